"""Writes small DICOM mammograms, of every transfer syntax, for the tests."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

SECRET = "SECRET^NAME"

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"

NATIVE = (IMPLICIT, EXPLICIT, DEFLATED, BIG)
LOSSLESS = (RLE, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1, JPEG_LS, JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS, HTJ2K_RPCL)
LOSSY = (JPEG_EXTENDED, JPEG_LS_NEAR, JPEG_2000, HTJ2K)


def breast(rows: int = 96, columns: int = 80, *, bits: int = 12, side: str = "L") -> NDArray[np.uint16]:
    """A bright half ellipse on one side, with noise, on black."""
    y, x = np.mgrid[:rows, :columns]
    inside = ((y - rows / 2) / (0.45 * rows)) ** 2 + (x / (0.7 * columns)) ** 2 < 1
    noise = np.random.default_rng(7).normal(0.0, 0.01, (rows, columns))
    grey = np.where(inside, 0.5 + 0.3 * np.cos(x / 9.0) * np.sin(y / 7.0) + noise, 0.0)
    image = np.clip(grey * (2**bits - 1), 0, 2**bits - 1).astype(np.uint16)
    return image if side == "L" else np.ascontiguousarray(image[:, ::-1])


def header(pixels: NDArray[Any], *, bits: int = 12, **attributes: Any) -> Dataset:
    """A mammography header that fits the pixels; attributes override, None removes."""
    frames, rows, columns = (1, *pixels.shape) if pixels.ndim == 2 else pixels.shape
    values: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2",
        "SOPInstanceUID": "1.2.3.4.5",
        "StudyInstanceUID": "1.2.3.4",
        "SeriesInstanceUID": "1.2.3",
        "Modality": "MG",
        "PresentationIntentType": "FOR PRESENTATION",
        "PatientName": SECRET,
        "PatientID": SECRET,
        "InstitutionName": SECRET,
        "ImageLaterality": "L",
        "ViewPosition": "MLO",
        "ImagerPixelSpacing": [0.07, 0.07],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": bits,
        "HighBit": attributes.get("BitsStored", bits) - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "NumberOfFrames": frames if frames > 1 else None,
    }
    dataset = Dataset()
    for keyword, value in (values | attributes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def encode_file(
    dataset: Dataset, value: bytes, syntax: str, *, vr: str = "OW", preamble: bool = True, meta: bool = True
) -> bytes:
    """A DICOM file: preamble, meta information, header, and the pixel data element."""
    little, implicit = syntax != BIG, syntax == IMPLICIT
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = little, implicit
    write_dataset(stream, dataset)
    order = "<" if little else ">"
    length = len(value) if syntax in NATIVE else 0xFFFFFFFF
    tag = struct.pack(f"{order}HH", 0x7FE0, 0x0010)
    head = tag + (b"" if implicit else vr.encode() + b"\0\0") + struct.pack(f"{order}I", length)
    body = stream.getvalue() + head + value
    if syntax == DEFLATED:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = deflater.compress(body) + deflater.flush()
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    lead = struct.pack("<HH2sH", 2, 0x0010, b"UI", len(uid)) + uid if meta else b""
    return (b"\0" * 128 + b"DICM" if preamble else b"") + lead + body


def native_value(pixels: NDArray[Any], syntax: str = EXPLICIT) -> bytes:
    """Uncompressed pixel data."""
    value = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == BIG else "<")).tobytes()
    return value + b"\0" * (len(value) % 2)


def encapsulate(frames: Sequence[bytes], *, offsets: bool = False, pieces: int = 1, close: bool = True) -> bytes:
    """Encapsulated frames, each in a number of pieces, with a basic offset table or an empty one."""
    items: list[bytes] = []
    starts: list[int] = []
    for frame in frames:
        starts.append(sum(map(len, items)))
        step = -(-len(frame) // pieces)
        step += step % 2
        for start in range(0, len(frame), step):
            piece = frame[start : start + step]
            items.append(_item(piece + b"\0" * (len(piece) % 2)))
    table = struct.pack(f"<{len(starts)}I", *starts) if offsets else b""
    end = b"\xfe\xff\xdd\xe0\0\0\0\0" if close else b""
    return _item(table) + b"".join(items) + end


def compress(pixels: NDArray[Any], syntax: str, *, bits: int = 12) -> bytes:
    """One frame's stream in a compressed transfer syntax."""
    if syntax == RLE:
        return rle(pixels)
    if syntax == JPEG_BASELINE:
        return bytes(imagecodecs.jpeg8_encode(pixels, level=95))
    if syntax == JPEG_EXTENDED:
        return bytes(imagecodecs.jpeg8_encode(pixels, level=98, bitspersample=bits))
    if syntax in (JPEG_LOSSLESS, JPEG_LOSSLESS_SV1):
        predictor = 1 if syntax == JPEG_LOSSLESS_SV1 else 6
        return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=bits, predictor=predictor))
    if syntax in (JPEG_LS, JPEG_LS_NEAR):
        return bytes(imagecodecs.jpegls_encode(pixels, level=0 if syntax == JPEG_LS else 2))
    if syntax in (JPEG_2000_LOSSLESS, JPEG_2000):
        quality: dict[str, Any] = {"level": 70, "reversible": False}
        if syntax == JPEG_2000_LOSSLESS:
            quality = {"level": 0, "reversible": True}
        return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", bitspersample=bits, **quality))
    if syntax in (HTJ2K_LOSSLESS, HTJ2K_RPCL, HTJ2K) and not hasattr(imagecodecs, "htj2k_encode"):
        import pytest  # the benchmarks write films with this module, without it

        pytest.skip(f"imagecodecs {imagecodecs.__version__} has no HTJ2K")
    if syntax in (HTJ2K_LOSSLESS, HTJ2K_RPCL):
        return bytes(imagecodecs.htj2k_encode(pixels, reversible=True))
    if syntax == HTJ2K:
        return bytes(imagecodecs.htj2k_encode(pixels, level=0.0005, reversible=False))
    raise ValueError(syntax)


def rle(pixels: NDArray[Any]) -> bytes:
    """DICOM RLE (PS3.5 G): PackBits of each byte plane, the most significant first, rows coded apart."""
    size = pixels.dtype.itemsize
    planes = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder(">")).view(np.uint8)
    segments = []
    for plane in range(size):
        rows = planes.reshape(pixels.shape[0], -1)[:, plane::size]
        segment = b"".join(bytes(imagecodecs.packbits_encode(np.ascontiguousarray(row).tobytes())) for row in rows)
        segments.append(segment + b"\0" * (len(segment) % 2))
    starts = [64 + sum(map(len, segments[:i])) for i in range(size)]
    return struct.pack("<16I", size, *starts, *[0] * (15 - size)) + b"".join(segments)


def plain_lossless_jpeg(
    pixels: NDArray[np.uint16], *, predictor: int, shift: int = 0, rows_per_interval: int = 0, bits: int = 12
) -> bytes:
    """Lossless JPEG (ISO 10918-1 H) written sample by sample, with five-bit Huffman codes."""
    height, width = pixels.shape
    samples = (pixels >> shift).astype(int).tolist()
    step = rows_per_interval or height
    scan = b""
    for index, first in enumerate(range(0, height, step)):
        written = ""
        for y in range(first, min(first + step, height)):
            for x in range(width):
                guess = _predict(samples, y, x, first, predictor, 1 << (bits - shift - 1))
                difference = samples[y][x] - guess
                category = abs(difference).bit_length()
                value = difference if difference > 0 else difference + (1 << category) - 1
                written += f"{category:05b}" + (f"{value:0{category}b}" if category else "")
        written += "1" * (-len(written) % 8)
        data = int(written, 2).to_bytes(len(written) // 8, "big").replace(b"\xff", b"\xff\x00")
        scan += data + (bytes((0xFF, 0xD0 + index % 8)) if first + step < height else b"")
    table = bytes((0, *[0] * 4, 17, *[0] * 11, *range(17)))
    restarts = _marker(0xDD, struct.pack(">H", step * width)) if rows_per_interval else b""
    frame = struct.pack(">BHHBBBB", bits, height, width, 1, 1, 0x11, 0)
    scan_header = bytes((1, 1, 0, predictor, 0, shift))
    head = _marker(0xC4, table) + _marker(0xC3, frame) + restarts + _marker(0xDA, scan_header)
    return b"\xff\xd8" + head + scan + b"\xff\xd9"


def _predict(samples: list[list[int]], y: int, x: int, first: int, predictor: int, middle: int) -> int:
    if y == first:
        return samples[y][x - 1] if x else middle
    if x == 0:
        return samples[y - 1][0]
    a, b, c = samples[y][x - 1], samples[y - 1][x], samples[y - 1][x - 1]
    guesses = (a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1)
    return guesses[predictor - 1]


def _marker(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def make_file(pixels: NDArray[Any], syntax: str = EXPLICIT, *, bits: int = 12, **attributes: Any) -> bytes:
    """A complete DICOM file of a frame, or of several ([N, H, W])."""
    if syntax in NATIVE:
        value = native_value(pixels, syntax)
    else:
        frames = [pixels] if pixels.ndim == 2 else list(pixels)
        value = encapsulate([compress(frame, syntax, bits=bits) for frame in frames])
    return encode_file(header(pixels, bits=bits, **attributes), value, syntax)


def _item(value: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(value)) + value
