"""Proof that a JPEG decoder used the stream to its last bit.

libjpeg fills missing entropy-coded data with zeros and reports success. A missing EOI is seen without
decoding; a stream that lacks data in its middle, or was closed with an EOI after truncation, is seen here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import DicomError
from .codestream import JpegHeader

_TEXTURED_SAMPLES = 256
_ROWS_AT_ONCE = 64
_SLACK_BYTES = 16
_INCOMPLETE = "the JPEG stream is incomplete or damaged: its last pixels are not what its last bytes encode"

Samples = NDArray[np.int32]
Predictor = Callable[[Samples, Samples, Samples], Samples]

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

    As many samples are taken as hold 256 that differ from their prediction, for a plain background looks the
    same wherever it is cut. Up to 16 bytes of padding are allowed.

    Args:
        stream: the whole JPEG stream.
        header: of ``stream``.
        pixels: uint8 or uint16 [H, W], as decoded.

    Raises:
        DicomError: if the stream does not end with these samples.
    """
    expected = _huffman_bits(_last_differences(header, pixels), _codes(header.huffman))
    needed = len(expected) // 8 + _SLACK_BYTES + 2
    # Stuffing doubles a byte at worst; a pair cut in two at the front does no harm.
    tail = stream[max(header.scan, header.end - 2 * needed) : header.end]
    restart = max(tail.rfind(bytes((0xFF, marker))) for marker in range(0xD0, 0xD8))
    tail = tail[restart + 2 :] if restart >= 0 else tail
    present = tail.rstrip(b"\xff").replace(b"\xff\x00", b"\xff")  # fill bytes may precede a marker
    bits = bin(int.from_bytes(b"\x01" + present, "big"))[3:]
    latest = len(bits) - len(expected)
    earliest = max(0, latest - 8 * _SLACK_BYTES - 7)
    if not any(bits.startswith(expected, start) for start in range(earliest, latest + 1)):
        raise DicomError(_INCOMPLETE)


def check_dct_scan(stream: bytes, header: JpegHeader) -> None:
    """Follow the Huffman codes of a sequential DCT scan: every block must be there, whole.

    A small part of the decoder's own work, and it sees what that passes over: data missing at the end or in the middle,
    and codes that no encoder writes.

    Raises:
        DicomError: if blocks are missing or damaged.
    """
    blocks = -(-header.rows // 8) * -(-header.columns // 8)
    present = _core.count_jpeg_blocks(
        stream,
        begin=header.scan,
        end=header.end,
        dc=header.huffman,
        ac=header.huffman_ac,
        blocks=blocks,
        restart_interval=header.restart_interval,
    )
    if present != blocks:
        raise DicomError(f"the JPEG stream is incomplete or damaged: {present} of {blocks} blocks are whole")


def _last_differences(header: JpegHeader, pixels: NDArray[Any]) -> Samples:
    """Prediction differences, in reading order, of the last samples of the last restart interval."""
    height, width = pixels.shape
    interval = header.restart_interval or height * width
    first_row = (height * width - 1) // interval * interval // width
    blocks: list[Samples] = []
    textured, row = 0, height
    while row > first_row and textured < _TEXTURED_SAMPLES:
        start = max(first_row, row - _ROWS_AT_ONCE)
        with_above = pixels[max(first_row, start - 1) : row]
        if start > first_row and int(with_above.min()) == int(with_above.max()):
            blocks.append(np.zeros((row - start) * width, np.int32))
        else:
            blocks.append(_differences(header, with_above, is_first=start == first_row).reshape(-1))
            textured += int(np.count_nonzero(blocks[-1]))
        row = start
    differences = np.concatenate(blocks[::-1])
    positions = np.flatnonzero(differences)
    return differences[positions[-_TEXTURED_SAMPLES] :] if textured > _TEXTURED_SAMPLES else differences


def _differences(header: JpegHeader, pixels: NDArray[Any], *, is_first: bool) -> Samples:
    """Prediction differences of rows, modulo 2^16.

    Args:
        header: of the stream.
        pixels: [h + 1, W], the rows and the one above; [h, W] if they begin an interval.
        is_first: the rows begin an interval.
    """
    samples = pixels.astype(np.int32) >> header.point_transform
    prediction = np.empty_like(samples)
    left, above, above_left = samples[1:, :-1], samples[:-1, 1:], samples[:-1, :-1]
    prediction[1:, 1:] = _PREDICTORS[header.selector](left, above, above_left)
    prediction[1:, 0] = samples[:-1, 0]
    prediction[0, 1:] = samples[0, :-1]
    prediction[0, 0] = 1 << (header.precision - header.point_transform - 1)
    differences = (samples - prediction) & 0xFFFF
    differences[differences > 0x8000] -= 0x10000
    return differences if is_first else differences[1:]


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


def _huffman_bits(differences: Samples, codes: dict[int, str]) -> str:
    """The bits that a lossless encoder writes for these differences (ISO 10918-1 H.1.2.2)."""
    bits: list[str] = []
    written = 0
    for position in np.flatnonzero(differences):
        difference = int(differences[position])
        category = abs(difference).bit_length()
        if category not in codes:
            raise DicomError(_INCOMPLETE)
        bits += [codes.get(0, "x") * int(position - written), codes[category]]
        if category < 16:
            value = difference if difference > 0 else difference + (1 << category) - 1
            bits.append(f"{value:0{category}b}")
        written = int(position) + 1
    return "".join(bits) + codes.get(0, "x") * (len(differences) - written)
