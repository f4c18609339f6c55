"""What a compressed stream says about itself, read before it is decoded, and whether all of it is there.

libjpeg and OpenJPH answer a truncated stream with an image and no error, so the ends of streams are looked
for here. CharLS and OpenJPEG (strict) refuse such streams themselves; their markers are read all the same.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..errors import DicomError

_RESTARTS = tuple(bytes((0xFF, 0xD0 + i)) for i in range(8))


@dataclass(frozen=True)
class FrameHeader:
    """Size and sample format of a compressed frame, by its own header."""

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool = False


@dataclass(frozen=True)
class JpegHeader(FrameHeader):
    """Of a JPEG or JPEG-LS stream.

    Attributes:
        process: the SOF marker's second byte: 0xC0, 0xC1 (DCT), 0xC3 (lossless), 0xF7 (JPEG-LS).
        scan: where the entropy-coded data begin.
        end: where the EOI marker lies.
        restart_interval: in MCUs, 0 if none.
        selector: Ss of the scan: the predictor of a lossless scan.
        point_transform: Al of the scan.
        huffman: counts and symbols of the scan's (DC) Huffman table as in DHT, b"" if not there.
        huffman_ac: of its AC table, likewise.
    """

    process: int = 0
    scan: int = 0
    end: int = 0
    restart_interval: int = 0
    selector: int = 0
    point_transform: int = 0
    huffman: bytes = b""
    huffman_ac: bytes = b""


def read_jpeg(stream: bytes) -> JpegHeader:
    """Walk the markers of a one-component, one-scan JPEG or JPEG-LS stream up to its scan, and find its end.

    Raises:
        DicomError: if a marker is damaged, the stream has more than one component, or its end is missing.
    """
    if stream[:2] != b"\xff\xd8":
        raise DicomError("the JPEG stream does not start with SOI")
    position, restart = 2, 0
    frame: tuple[int, int, int, int, int] | None = None
    tables: dict[int, bytes] = {}
    while True:
        marker, body, position = _segment(stream, position)
        if marker == 0xC4:
            tables.update(_huffman_tables(body))
        elif marker == 0xDD and len(body) == 2:
            restart = struct.unpack(">H", body)[0]
        elif marker in (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xD0), 0xF7):
            if frame is not None or len(body) < 6:
                raise DicomError("the JPEG stream's frame header is damaged or repeated")
            frame = (marker, *struct.unpack(">BHHB", body[:6]))
        elif marker == 0xDA:
            break
    if frame is None or len(body) != 6 or body[0] != 1:
        raise DicomError("the JPEG stream is not of one component in one scan")
    process, precision, rows, columns, components = frame
    return JpegHeader(
        rows=rows,
        columns=columns,
        components=components,
        precision=precision,
        process=process,
        scan=position,
        end=_find_end(stream, position, b"\xff\xd9", "JPEG stream", "EOI"),
        restart_interval=restart,
        selector=body[3],
        point_transform=body[5] & 15,
        huffman=tables.get(body[2] >> 4, b""),
        huffman_ac=tables.get(0x10 | body[2] & 15, b""),
    )


def check_restarts(stream: bytes, header: JpegHeader, units: int) -> None:
    """Refuse a Huffman-coded scan of ``units`` MCUs in which restart markers are missing."""
    if header.restart_interval == 0:
        return
    expected = (units - 1) // header.restart_interval
    found = sum(stream.count(marker, header.scan, header.end) for marker in _RESTARTS)
    if found != expected:
        raise DicomError(f"the JPEG stream has {found} restart markers, {expected} are due: it is incomplete")


def read_jpeg2000(stream: bytes) -> FrameHeader:
    """Read the SIZ marker of a JPEG 2000 or HTJ2K codestream, and hold the tile-parts against their lengths.

    Raises:
        DicomError: if a marker is damaged, a tile-part is cut or missing, or the end (EOC) is missing.
    """
    position = _codestream_start(stream)
    if stream[position : position + 4] != b"\xff\x4f\xff\x51":
        raise DicomError("the JPEG 2000 stream does not start with SOC and SIZ")
    _, siz, _ = _segment(stream, position + 2)
    if len(siz) < 39:
        raise DicomError("the JPEG 2000 stream's SIZ marker is damaged")
    _, x1, y1, x0, y0, tile_w, tile_h, tile_x, tile_y, components = struct.unpack(">HIIIIIIIIH", siz[:36])
    depth, step_x, step_y = siz[36], siz[37], siz[38]
    if not (x1 > x0 and y1 > y0 and tile_w and tile_h and tile_x <= x0 and tile_y <= y0):
        raise DicomError("the JPEG 2000 stream's SIZ marker is damaged")
    if (step_x, step_y) != (1, 1):
        raise DicomError("the JPEG 2000 stream is subsampled")
    tiles = -(-(x1 - tile_x) // tile_w) * -(-(y1 - tile_y) // tile_h)
    _check_tile_parts(stream, position + 2, tiles)
    return FrameHeader(y1 - y0, x1 - x0, components, (depth & 0x7F) + 1, bool(depth & 0x80))


def with_sign(stream: bytes, *, signed: bool) -> bytes:
    """The codestream with its first component declared signed or not.

    A decoder adds 2^(precision - 1) to the samples of an unsigned component, nothing to those of a signed one.
    """
    depth = _codestream_start(stream) + 42  # Ssiz
    declared = stream[depth] & 0x7F | (0x80 if signed else 0)
    return stream[:depth] + bytes((declared,)) + stream[depth + 1 :]


def _check_tile_parts(stream: bytes, position: int, tiles: int) -> None:
    """Walk main header and tile-parts from ``position``; every tile must be there, whole."""
    while stream[position : position + 2] != b"\xff\x90":
        _, _, position = _segment(stream, position)
    seen: dict[int, int] = {}
    declared: dict[int, int] = {}
    while stream[position : position + 2] == b"\xff\x90":
        if position + 12 > len(stream):
            raise DicomError("the JPEG 2000 stream is truncated in a tile-part header")
        tile, length, _, parts = struct.unpack_from(">HIBB", stream, position + 4)
        seen[tile] = seen.get(tile, 0) + 1
        if parts:
            declared[tile] = parts
        if length == 0:  # the last tile-part, open to the end of the codestream
            position = _find_end(stream, position, b"\xff\xd9", "JPEG 2000 stream", "EOC")
        elif length < 14 or position + length > len(stream):
            raise DicomError("the JPEG 2000 stream is truncated in a tile-part")
        else:
            position += length
    if stream[position : position + 2] != b"\xff\xd9":
        raise DicomError("the JPEG 2000 stream is truncated: its end (EOC) is missing")
    whole = all(seen[tile] == count for tile, count in declared.items())
    if len(seen) != tiles or max(seen) >= tiles or not whole:
        raise DicomError(f"the JPEG 2000 stream has parts of {len(seen)} tiles, {tiles} are due: it is incomplete")


def _codestream_start(stream: bytes) -> int:
    """0, or where the codestream lies in a JP2 file (which the standard excludes and some writers store)."""
    if stream[4:8] != b"jP  ":
        return 0
    position = 0
    while position + 16 <= len(stream):
        length, kind = struct.unpack_from(">I4s", stream, position)
        head = 8
        if length == 1:
            length, head = struct.unpack_from(">Q", stream, position + 8)[0], 16
        if kind == b"jp2c":
            return position + head
        if length < 8:
            break
        position += length
    raise DicomError("the JP2 file holds no codestream")


def _segment(stream: bytes, position: int) -> tuple[int, bytes, int]:
    """Marker, body and the position behind, of the marker segment at ``position``."""
    while stream[position : position + 2] == b"\xff\xff":  # fill bytes
        position += 1
    if position + 4 > len(stream):
        raise DicomError("the compressed stream is truncated within its header")
    prefix, marker, length = struct.unpack_from(">BBH", stream, position)
    end = position + 2 + length
    if prefix != 0xFF or length < 2 or end > len(stream):
        raise DicomError("the compressed stream is truncated or damaged within its header")
    return marker, stream[position + 4 : end], end


def _huffman_tables(body: bytes) -> dict[int, bytes]:
    """Tables of a DHT segment by class (0 DC or lossless, 0x10 AC) and destination: 16 counts, then the symbols."""
    tables: dict[int, bytes] = {}
    position = 0
    while position + 17 <= len(body):
        end = position + 17 + sum(body[position + 1 : position + 17])
        tables[body[position]] = body[position + 1 : end]
        position = end
    return tables


def _find_end(stream: bytes, start: int, marker: bytes, what: str, name: str) -> int:
    """Where the end marker lies; nothing but padding may follow it."""
    end = stream.rfind(marker, start)
    if end < 0 or stream[end + 2 :].strip(b"\0\xff"):
        raise DicomError(f"the {what} is truncated: its end ({name}) is missing")
    return end
