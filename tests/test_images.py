"""Ordinary images and arrays, and the one entry point that takes anything."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import dicom_files as files
import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from lcx_fast.dicom.spacing import NOMINAL_WARNING
from lcx_fast.errors import DicomError, InvalidArgument
from lcx_fast.images import read_image, read_mammogram
from lcx_fast.mammogram import Mammogram

GREY16 = files.breast(41, 33, bits=16)
GREY8 = (GREY16 >> 8).astype(np.uint8)


def png(pixels: NDArray[Any]) -> bytes:
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))


def pgm(pixels: NDArray[Any], *, largest: int, kind: str = "P5", comment: str = "") -> bytes:
    height, width = pixels.shape
    head = f"{kind}\n{comment}{width} {height}\n{largest}\n".encode()
    if kind == "P2":
        return head + b"\n".join(" ".join(map(str, row)).encode() for row in pixels.tolist())
    return head + pixels.astype(">u2" if largest > 255 else np.uint8).tobytes()


def pillow(pixels: NDArray[Any], kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


LOSSLESS = {
    "png 8": (png(GREY8), GREY8),
    "png 16": (png(GREY16), GREY16),
    "png rgb": (png(np.stack([GREY8] * 3, axis=-1)), GREY8),
    "png rgba": (png(np.stack([GREY8] * 3 + [np.full_like(GREY8, 255)], axis=-1)), GREY8),
    "pgm 8": (pgm(GREY8, largest=255), GREY8),
    "pgm 16": (pgm(GREY16, largest=65535), GREY16),
    "pgm 12": (pgm(GREY16 >> 4, largest=4095), GREY16 >> 4),
    "pgm ascii": (pgm(GREY16, largest=65535, kind="P2"), GREY16),
    "pgm comment": (pgm(GREY8, largest=255, comment="# 5 5 5\n"), GREY8),
    "tiff 8": (pillow(GREY8, "TIFF"), GREY8),
    "tiff 16": (pillow(GREY16, "TIFF", compression="tiff_lzw"), GREY16),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_images(name: str, tmp_path: Path) -> None:
    data, pixels = LOSSLESS[name]
    path = tmp_path / "film.dat"  # content decides, not the name
    path.write_bytes(data)
    for read in (read_image, read_mammogram):
        for source in (data, path, str(path), io.BytesIO(data)):
            mammogram = read(source)
            assert mammogram.pixels.dtype == pixels.dtype
            assert np.array_equal(mammogram.pixels, pixels)
    assert read_image(path).name == "film.dat"
    assert len(read_image(path).sha256 or "") == 64


def test_jpeg() -> None:
    for pixels in (GREY8, np.stack([GREY8] * 3, axis=-1)):
        mammogram = read_image(pillow(pixels, "JPEG", quality=95))
        assert np.abs(mammogram.pixels.astype(int) - GREY8).max() <= 16


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", [*LOSSLESS, "jpeg"])
def test_truncated_images_are_refused(name: str) -> None:
    data, pixels = LOSSLESS.get(name) or (pillow(GREY8, "JPEG", quality=95), None)
    for cut in np.linspace(1, len(data) - 1, 40).astype(int):
        try:
            mammogram = read_mammogram(data[:cut])
        except (InvalidArgument, DicomError):
            continue
        # Only what follows the pixels is gone: TIFF tags of no weight, or the last digits of an ASCII number.
        assert pixels is not None
        assert name.startswith("tiff") or (name == "pgm ascii" and cut == len(data) - 1)
        assert name == "pgm ascii" or np.array_equal(mammogram.pixels, pixels)


def test_coloured_and_transparent_images_are_refused() -> None:
    coloured = np.stack([GREY8, GREY8, 255 - GREY8], axis=-1)
    transparent = np.stack([GREY8, GREY8, GREY8, GREY8], axis=-1)
    for data in (png(coloured), pillow(coloured, "JPEG"), pillow(coloured, "TIFF")):
        with pytest.raises(InvalidArgument, match="coloured"):
            read_image(data)
    with pytest.raises(InvalidArgument, match="transparent"):
        read_image(png(transparent))


@pytest.mark.parametrize(
    "data",
    (
        b"P5\n0 5\n255\n",
        b"P5\n99999 5\n255\n",
        b"P5\n999999999 999999999\n255\n",
        b"P5\n5 5\n70000\n" + b"\0" * 50,
        b"P5\n2 2\n100\n\xff\xff\xff\xff",
        b"P2\n2 2\n9\n1 2 3",
        b"P2\n2 2\n9\n1 2 3 -4",
        b"P2\n2 2\n9\n1 2 3 x",
        b"P5\nx",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xd9",
        b"II*\0",
    ),
)
def test_damaged_images_are_refused(data: bytes) -> None:
    for read in (read_image, read_mammogram):
        with pytest.raises(InvalidArgument):
            read(data)


def test_spacing_of_images() -> None:
    unknown = read_image(png(GREY8))
    assert unknown.spacing.source == "nominal"
    assert unknown.warnings == (NOMINAL_WARNING,)
    known = read_image(png(GREY8), pixel_spacing_mm=(0.05, 0.06))
    assert (known.spacing.row_mm, known.spacing.column_mm, known.spacing.source) == (0.05, 0.06, "user")
    assert known.warnings == ()


def test_other_content_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not a PNG"):
        read_image(b"nothing of the kind")
    with pytest.raises(DicomError, match="not a DICOM file"):
        read_mammogram(b"nothing of the kind" * 20)
    with pytest.raises(InvalidArgument, match="not a PNG"):
        read_image(files.make_file(GREY16, bits=16))


@pytest.mark.parametrize("dtype", (np.uint8, np.uint16, np.int16, np.float32))
def test_arrays_of_pixel_types_are_not_copied(dtype: Any) -> None:
    array = GREY8.astype(dtype)
    mammogram = read_mammogram(array)
    assert mammogram.pixels is array or np.shares_memory(mammogram.pixels, array)
    assert mammogram.pixels.dtype == dtype
    assert (mammogram.name, mammogram.sha256) == ("array", None)


@pytest.mark.parametrize("dtype", (bool, np.int8, np.int32, np.int64, np.uint32, np.float16, np.float64))
def test_other_numbers_become_float32(dtype: Any) -> None:
    array = (GREY8 >> 2).astype(dtype)
    pixels = read_mammogram(array, pixel_spacing_mm=0.05).pixels
    assert pixels.dtype == np.float32
    assert np.array_equal(pixels, array.astype(np.float32))


def test_byte_swapped_and_strided_arrays() -> None:
    swapped = GREY16.astype(GREY16.dtype.newbyteorder())
    assert read_mammogram(swapped).pixels.dtype == np.uint16
    assert np.array_equal(read_mammogram(swapped).pixels, GREY16)
    assert np.array_equal(read_mammogram(GREY16[::-1, ::2]).pixels, GREY16[::-1, ::2])
    askew = np.frombuffer(b"\0" + GREY16.tobytes(), np.uint8)[1:].view(np.uint16).reshape(GREY16.shape)
    assert not askew.flags.aligned and read_mammogram(askew).pixels.flags.aligned
    assert np.array_equal(read_mammogram(askew).pixels, GREY16)


def test_an_image_too_small_to_be_a_film_needs_a_spacing() -> None:
    with pytest.raises(InvalidArgument, match=r"1 x 3 pixels of unknown spacing .*give pixel_spacing_mm"):
        read_mammogram(np.zeros((1, 3)))
    assert read_mammogram(np.zeros((1, 3)), pixel_spacing_mm=0.1).shape == (1, 3)


@pytest.mark.parametrize(
    "array",
    (
        np.zeros(5),
        np.zeros((0, 5)),
        np.zeros((5, 5, 3)),
        np.zeros((5, 5), complex),
        np.zeros((5, 5), object),
        np.full((5, 5), np.nan),
        np.full((5, 5), np.inf, np.float32),
        np.full((5, 5), 1e300),
        np.broadcast_to(np.uint8(1), (40000, 2)),
        np.ma.masked_equal(np.array([[1, 2]] * 30), 2),
        np.zeros((1, 1)),
    ),
)
def test_unusable_arrays_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(InvalidArgument):
        read_mammogram(array)


def test_mammograms_and_data_sets() -> None:
    first = read_mammogram(GREY16)
    assert read_mammogram(first) is first
    respaced = read_mammogram(first, pixel_spacing_mm=0.05)
    assert isinstance(respaced, Mammogram)
    assert respaced.spacing.source == "user"
    assert respaced.warnings == ()
    assert respaced.pixels is first.pixels
    data = files.make_file(files.breast(), files.RLE)
    for source in (data, pydicom.dcmread(io.BytesIO(data))):
        assert np.array_equal(read_mammogram(source).pixels, files.breast())
    frames = files.make_file(np.stack([GREY16, GREY16 // 2]), bits=16)
    assert np.array_equal(read_mammogram(frames, frame=1).pixels, GREY16 // 2)


def test_a_dicom_preamble_may_pose_as_tiff() -> None:
    data = files.make_file(files.breast())
    assert np.array_equal(read_mammogram(b"II*\0" + data[4:]).pixels, files.breast())


def test_what_is_no_source_is_an_invalid_argument(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "absent.png", b"", None, 5, [1, 2]):
        with pytest.raises(InvalidArgument):
            read_mammogram(source)
    with pytest.raises(InvalidArgument, match="is a folder; a single file is accepted"):
        read_mammogram(tmp_path)


def test_heavy_libraries_load_on_use() -> None:
    code = (
        "import sys, lcx_fast.images, lcx_fast.dicom.read\n"
        "print([name for name in ('pydicom', 'imagecodecs', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
