"""Encapsulated pixel data (PS3.5 A.4): items, offset tables, and which fragments make one frame."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from ..errors import DicomError

_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0"


@dataclass(frozen=True)
class Encapsulated:
    """The items of an encapsulated value, not copied.

    Attributes:
        basic_offsets: of the frames, counted from the first fragment's item tag; may be empty.
        fragments: the frames' pieces.
        starts: where each fragment's item tag lies, counted likewise.
        is_closed: a sequence delimiter ends the value.
    """

    basic_offsets: tuple[int, ...]
    fragments: tuple[memoryview, ...]
    starts: tuple[int, ...]
    is_closed: bool


def split_items(value: memoryview) -> Encapsulated:
    """Walk the items of an encapsulated value.

    Raises:
        DicomError: if an item is missing, malformed or longer than what is there.
    """
    table, position = _item(value, 0, "basic offset table")
    if table is None or len(table) % 4:
        raise DicomError("encapsulated pixel data without a basic offset table item")
    offsets = struct.unpack(f"<{len(table) // 4}I", table)
    first = position
    fragments: list[memoryview] = []
    starts: list[int] = []
    is_closed = False
    while position < len(value):
        start = position
        fragment, position = _item(value, position, f"fragment {len(fragments)}")
        if fragment is None:
            is_closed = True
            break
        fragments.append(fragment)
        starts.append(start - first)
    if not fragments:
        raise DicomError("encapsulated pixel data without any fragment")
    return Encapsulated(offsets, tuple(fragments), tuple(starts), is_closed)


def frame_stream(parts: Encapsulated, *, frame: int, frames: int, extended_offsets: tuple[int, ...] = ()) -> bytes:
    """Join the fragments of one frame.

    Args:
        parts: the items.
        frame: which one, from 0.
        frames: how many there are by the header.
        extended_offsets: Extended Offset Table, used in place of the basic one where present.

    Raises:
        DicomError: if the fragments cannot be assigned to that many frames.
    """
    count = len(parts.fragments)
    if frames == 1:
        bounds = [0, count]
    elif count == frames:
        bounds = list(range(count + 1))
    elif count < frames:
        raise DicomError(f"{frames} frames declared, {count} fragments present")
    else:
        bounds = _bounds(parts, frames, extended_offsets or parts.basic_offsets)
    chosen = parts.fragments[bounds[frame] : bounds[frame + 1]]
    return bytes(chosen[0]) if len(chosen) == 1 else b"".join(chosen)


def _bounds(parts: Encapsulated, frames: int, offsets: tuple[int, ...]) -> list[int]:
    """First fragment of every frame, and the fragment count at the end."""
    count = len(parts.fragments)
    if offsets:
        index_of = {start: index for index, start in enumerate(parts.starts)}
        first = [index_of.get(offset, -1) for offset in offsets]
        rising = all(a < b for a, b in pairwise(first))
        if len(first) != frames or first[0] != 0 or not rising:
            raise DicomError("the offset table does not point at the fragments of the declared frames")
        return [*first, count]
    ends = [i + 1 for i, f in enumerate(parts.fragments) if bytes(f[-4:]).rstrip(b"\0")[-2:] == b"\xff\xd9"]
    if len(ends) != frames or ends[-1] != count:
        raise DicomError(f"{count} fragments without an offset table cannot be assigned to {frames} frames")
    return [0, *ends]


def _item(value: memoryview, position: int, what: str) -> tuple[memoryview | None, int]:
    """One item's value and where the next begins; None at the sequence delimiter."""
    tag = bytes(value[position : position + 4])
    if tag == _SEQUENCE_END:
        return None, position + 8
    if tag != _ITEM or position + 8 > len(value):
        raise DicomError(f"encapsulated pixel data are damaged or truncated at the {what}")
    length = struct.unpack_from("<I", value, position + 4)[0]
    start = position + 8
    if length > len(value) - start:
        present = len(value) - start
        raise DicomError(f"the {what} is truncated: {length} bytes declared, {present} present")
    return value[start : start + length], start + length
