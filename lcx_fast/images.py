"""Reading ordinary images and arrays, and ``read_mammogram``, which takes whatever holds a mammogram."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .dicom.container import looks_like_dicom
from .dicom.limits import MAX_PIXELS, MAX_SIDE
from .dicom.read import ReadOptions, read_dicom, read_dicom_bytes
from .dicom.source import BytesSource, load_bytes
from .dicom.spacing import NOMINAL_WARNING, UserSpacing, user_spacing
from .errors import InvalidArgument, LcxError
from .mammogram import PIXEL_DTYPES, FileDigest, Mammogram, PixelSpacing, nominal_spacing

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    Source = BytesSource | Dataset | Mammogram | ArrayLike
else:
    Source = Any

_PNG_MARK = b"\x89PNG\r\n\x1a\n"


def read_mammogram(
    source: Source,
    *,
    pixel_spacing_mm: UserSpacing | None = None,
    frame: int | None = None,
    allow_for_processing: bool = False,
) -> Mammogram:
    """Read a mammogram from anything that holds one; files are told apart by their content.

    Args:
        source: a path, bytes or binary file object (DICOM, PNG, PGM, JPEG, TIFF), a pydicom ``Dataset``, a
            ``Mammogram`` (returned as it is), or a 2-D array, brighter meaning denser.
        pixel_spacing_mm: one number or (row, column) in mm; takes the place of what the source says.
        frame: see ``read_dicom``; for DICOM only.
        allow_for_processing: see ``read_dicom``; for DICOM only.

    Raises:
        DicomError: if the content is neither one of these images nor a DICOM mammogram that can be read.
        InvalidArgument: if there is no such file, an image is damaged or coloured, or an argument is wrong.
    """
    spacing = user_spacing(pixel_spacing_mm)
    if isinstance(source, Mammogram):
        return _with_spacing(source, spacing)
    if hasattr(source, "get_item"):
        return read_dicom(
            source,  # type: ignore[arg-type]
            pixel_spacing_mm=pixel_spacing_mm,
            frame=frame,
            allow_for_processing=allow_for_processing,
        )
    if hasattr(source, "__array__") or hasattr(source, "__array_interface__"):
        return _from_array(as_pixels(source), spacing)
    data, name = load_bytes(source)  # type: ignore[arg-type]
    if _image_kind(data) is not None:
        return _read_image_bytes(data, name, spacing)
    options = ReadOptions(pixel_spacing_mm, frame, allow_for_processing)
    return read_dicom_bytes(data, name=name, options=options)


def read_image(source: BytesSource, *, pixel_spacing_mm: UserSpacing | None = None) -> Mammogram:
    """Read a PNG, PGM, JPEG or TIFF image of grey values, brighter meaning denser.

    Args:
        source: a path, bytes, or a binary file object.
        pixel_spacing_mm: one number or (row, column) in mm; unknown if not given.

    Returns:
        The image; uint8 or uint16, values as stored (float32 for 32-bit TIFF).

    Raises:
        InvalidArgument: if there is no such file, or it is no such image, damaged, or coloured.
    """
    data, name = load_bytes(source)
    return _read_image_bytes(data, name, user_spacing(pixel_spacing_mm))


def as_pixels(array: Any) -> NDArray[Any]:
    """An array as the pixels of a ``Mammogram``; copies only to convert, and what is not aligned.

    Args:
        array: [H, W], any real numeric type; uint8, uint16, int16, float32 are kept, others become float32.

    Raises:
        InvalidArgument: if it is not 2-D, empty, not numeric, too large, not finite, or has masked values.
    """
    if np.ma.isMaskedArray(array) and np.ma.is_masked(array):
        raise InvalidArgument("the array has masked values; fill them first: array.filled(0)")
    pixels = np.asarray(array)
    if not pixels.flags.aligned:
        pixels = pixels.copy()
    if pixels.ndim != 2 or 0 in pixels.shape:
        raise InvalidArgument(f"a mammogram is a non-empty 2-D array; got {pixels.shape}")
    _check_size(*pixels.shape)
    if pixels.dtype.kind not in "biuf":
        raise InvalidArgument(f"an array of {pixels.dtype}; accepted: booleans, integers and floating point")
    native = pixels.dtype.newbyteorder("=")
    target = native if native in PIXEL_DTYPES else np.dtype(np.float32)
    with np.errstate(over="ignore"):  # reported below
        pixels = pixels.astype(target, copy=False)
    if target.kind == "f" and not (np.isfinite(pixels.min()) and np.isfinite(pixels.max())):
        raise InvalidArgument("the array has values that are not finite in float32")
    return pixels


def _with_spacing(mammogram: Mammogram, spacing: PixelSpacing | None) -> Mammogram:
    if spacing is None:
        return mammogram
    warnings = tuple(line for line in mammogram.warnings if line != NOMINAL_WARNING)
    return replace(mammogram, spacing=spacing, warnings=warnings)


def _from_array(pixels: NDArray[Any], spacing: PixelSpacing | None, **known: Any) -> Mammogram:
    height, width = pixels.shape
    warnings = () if spacing is not None else (NOMINAL_WARNING,)
    spacing = spacing if spacing is not None else nominal_spacing((height, width))
    return Mammogram(pixels=pixels, spacing=spacing, warnings=warnings, **known)


def _read_image_bytes(data: memoryview, name: str, spacing: PixelSpacing | None) -> Mammogram:
    kind = _image_kind(data)
    if kind is None:
        raise InvalidArgument(f"{name} is not a PNG, PGM, JPEG or TIFF image")
    try:
        pixels = as_pixels(_grey(_DECODE[kind](data)))
    except LcxError as error:
        raise InvalidArgument(f"{name}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # every codec has its own error class
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InvalidArgument(f"{name} is a damaged {kind} image: {reason}") from None
    attributes = {"format": kind}
    return _from_array(pixels, spacing, name=name, digest=FileDigest(data), attributes=attributes)


def _image_kind(data: memoryview) -> str | None:
    if looks_like_dicom(data):  # a DICOM preamble may pose as a TIFF file
        return None
    start = bytes(data[: len(_PNG_MARK)])
    if start == _PNG_MARK:
        return "PNG"
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if re.match(rb"P[25][\s#]", start):
        return "PGM"
    if start.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    return None


def _grey(pixels: NDArray[Any]) -> NDArray[Any]:
    """[H, W] of an image that is grey whatever its channels; an alpha channel must be opaque."""
    if pixels.ndim == 2:
        return pixels
    if pixels.ndim != 3 or pixels.shape[2] > 4:
        raise InvalidArgument(f"an image of shape {pixels.shape}; accepted: one grey image")
    if pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1]
        if int(alpha.min()) != np.iinfo(pixels.dtype).max:
            raise InvalidArgument("the image is transparent in places; accepted: opaque grey images")
        pixels = pixels[..., :-1]
    first = pixels[..., 0]
    if any(not np.array_equal(first, pixels[..., i]) for i in range(1, pixels.shape[2])):
        raise InvalidArgument("the image is coloured; accepted: grey images")
    return np.ascontiguousarray(first)


def _decode_png(data: memoryview) -> NDArray[Any]:
    import imagecodecs

    _check_size(int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big"))
    _check_png_chunks(data)
    return np.asarray(imagecodecs.png_decode(bytes(data)))


def _check_png_chunks(data: memoryview) -> None:
    """Walk the chunks up to IEND: a file cut between two of them is refused here."""
    position, kind = len(_PNG_MARK), b""
    while kind != b"IEND":
        if position + 12 > len(data):
            raise InvalidArgument("the PNG image is truncated")
        length, kind = int.from_bytes(data[position : position + 4], "big"), bytes(data[position + 4 : position + 8])
        position += 12 + length
    if position > len(data):
        raise InvalidArgument("the PNG image is truncated")


def _decode_pillow(data: memoryview | bytes) -> NDArray[Any]:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        _check_size(image.height, image.width)
        if image.mode == "P":
            return np.asarray(image.convert("RGB"))
        if image.mode == "CMYK":
            raise InvalidArgument("the image is coloured; accepted: grey images")
        return np.asarray(image)


def _decode_jpeg(data: memoryview) -> NDArray[Any]:
    whole = bytes(data)
    end = whole.rfind(b"\xff\xd9")
    if end < 0 or whole[end + 2 :].strip(b"\0\xff\r\n"):
        raise InvalidArgument("the JPEG image is truncated: its end (EOI) is missing")
    return _decode_pillow(whole)  # bytes are read where they lie


def _decode_pgm(data: memoryview) -> NDArray[Any]:
    """Netpbm's PGM: P5 (binary, two bytes big-endian above 255) or P2 (decimal)."""
    blank = rb"(?:\s|#[^\n\r]*[\n\r])+"
    head = re.match(rb"P([25])" + blank + rb"(\d{1,9})" + blank + rb"(\d{1,9})" + blank + rb"(\d{1,9})\s", data)
    if head is None:
        raise InvalidArgument("the PGM header is damaged")
    kind, width, height, largest = (int(number) for number in head.groups())
    _check_size(height, width)
    if not 1 <= largest <= 65535:
        raise InvalidArgument(f"PGM values up to {largest}; accepted: 1 to 65535")
    dtype = np.dtype(np.uint8 if largest < 256 else ">u2")
    count = height * width
    body = data[head.end() :]
    if kind == 5:
        if len(body) < count * dtype.itemsize:
            raise InvalidArgument(f"the PGM image is truncated: {count} pixels due")
        pixels = np.frombuffer(body, dtype, count=count)
    else:
        numbers = re.sub(rb"#[^\n\r]*", b"", body).split()
        if len(numbers) != count:
            raise InvalidArgument(f"the PGM image has {len(numbers)} pixels, {count} are due")
        pixels = np.array(numbers, np.int64)
    if int(pixels.max()) > largest or int(pixels.min()) < 0:
        raise InvalidArgument(f"the PGM image has values outside 0 to {largest}")
    return pixels.astype(dtype.newbyteorder("="), copy=False).reshape(height, width)


_DECODE: dict[str, Callable[[memoryview], NDArray[Any]]] = {
    "PNG": _decode_png,
    "PGM": _decode_pgm,
    "JPEG": _decode_jpeg,
    "TIFF": _decode_pillow,
}


def _check_size(height: int, width: int) -> None:
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and height * width <= MAX_PIXELS):
        raise InvalidArgument(
            f"an image of {height} x {width} pixels; accepted: up to {MAX_SIDE} each, {MAX_PIXELS} in all"
        )
