"""Proof that a JPEG decoder used the stream to its last bit.

libjpeg fills missing entropy-coded data with zeros and reports success. A missing EOI is seen without
decoding; a stream that lacks data in its middle, or was closed with an EOI after truncation, is seen here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError
from .codestream import JpegHeader

_SAMPLES = 512
_SLACK_BYTES = 16
_INCOMPLETE = "the JPEG stream is incomplete or damaged: its last pixels are not what its last bytes encode"

Predictor = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]

#: Prediction from a (left), b (above) and c (above left), ISO 10918-1 table H.1.
_PREDICTORS: dict[int, Predictor] = {
    1: lambda a, b, c: a,
    2: lambda a, b, c: b,
    3: lambda a, b, c: c,
    4: lambda a, b, c: a + b - c,
    5: lambda a, b, c: a + ((b - c) >> 1),
    6: lambda a, b, c: b + ((a - c) >> 1),
    7: lambda a, b, c: (a + b) >> 1,
}


def check_lossless_tail(stream: bytes, header: JpegHeader, pixels: NDArray[Any]) -> None:
    """Encode the last samples of a decoded lossless JPEG again and look for them at the end of the stream.

    Args:
        stream: the whole JPEG stream.
        header: of ``stream``.
        pixels: uint8 or uint16 [H, W], as decoded.

    Raises:
        DicomError: if the stream does not end with these samples. Up to 16 bytes of padding are allowed.
    """
    differences = _last_differences(header, pixels)
    expected = _huffman_bits(differences, _codes(header.huffman))
    needed = len(expected) // 8 + _SLACK_BYTES + 2
    # Stuffing doubles a byte at worst; one cut in two at the front does no harm.
    tail = stream[max(header.scan, header.end - 2 * needed) : header.end]
    restart = max(tail.rfind(bytes((0xFF, marker))) for marker in range(0xD0, 0xD8))
    tail = tail[restart + 2 :] if restart >= 0 else tail
    present = tail.rstrip(b"\xff").replace(b"\xff\x00", b"\xff")  # fill bytes may precede a marker
    bits = bin(int.from_bytes(b"\x01" + present, "big"))[3:]
    found = bits.rfind(expected)
    if found < 0 or len(bits) - found - len(expected) >= 8 * (_SLACK_BYTES + 1):
        raise DicomError(_INCOMPLETE)


def check_dct_tail(
    stream: bytes, header: JpegHeader, pixels: NDArray[Any], decode: Callable[[bytes], NDArray[Any]]
) -> None:
    """Decode again with other bytes behind the scan: only a decoder that ran out of data sees them.

    Missing DCT data show as blocks without texture, so that a textured last block needs no second decoding.

    Raises:
        DicomError: if the stream ended before the last block.
    """
    last = pixels[(pixels.shape[0] - 1) // 8 * 8 :, (pixels.shape[1] - 1) // 8 * 8 :]
    if last.size > 1 and int(last.min()) != int(last.max()):
        return
    longer = stream[: header.end] + b"\xb5\x6a\x2d" * 40 + stream[header.end :]
    if not np.array_equal(decode(longer), pixels):
        raise DicomError(_INCOMPLETE)


def _last_differences(header: JpegHeader, pixels: NDArray[Any]) -> list[int]:
    """Prediction differences of the last row's last samples, without its first sample, modulo 2^16."""
    height, width = pixels.shape
    first = max(1, width - _SAMPLES)
    shift = header.point_transform
    row = pixels[-1, first - 1 :].astype(np.int64) >> shift
    current, left = row[1:], row[:-1]
    starts_anew = header.restart_interval and (height - 1) * width % header.restart_interval == 0
    if height == 1 or starts_anew:
        prediction = left
    else:
        above = pixels[-2, first - 1 :].astype(np.int64) >> shift
        prediction = _PREDICTORS[header.selector](left, above[1:], above[:-1])
    differences = (current - prediction) & 0xFFFF
    signed = np.where(differences > 0x8000, differences - 0x10000, differences)
    return [int(value) for value in signed]


def _codes(table: bytes) -> dict[int, str]:
    """Code of every symbol as a string of 0 and 1 (ISO 10918-1 C.2)."""
    codes: dict[int, str] = {}
    code, position = 0, 16
    for length in range(1, 17):
        for _ in range(table[length - 1] if len(table) >= 16 else 0):
            codes[table[position]] = f"{code:0{length}b}"
            code += 1
            position += 1
        code <<= 1
    return codes


def _huffman_bits(differences: list[int], codes: dict[int, str]) -> str:
    """The bits that a lossless encoder writes for these differences (ISO 10918-1 H.1.2.2)."""
    bits: list[str] = []
    for difference in differences:
        category = abs(difference).bit_length()
        if category not in codes:
            raise DicomError(_INCOMPLETE)
        bits.append(codes[category])
        if 0 < category < 16:
            value = difference if difference > 0 else difference + (1 << category) - 1
            bits.append(f"{value:0{category}b}")
    return "".join(bits)
