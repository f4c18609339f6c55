"""From the bytes of a DICOM file to its header and its still encoded pixel data.

pydicom reads the header. The parts where a hostile or damaged file does harm are done here: inflating is
bounded, nothing after the header is copied, and the pixel data's declared length is held against what is
there.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from ..errors import DicomError
from .limits import max_inflated_bytes
from .tags import HEADER_TAGS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

_PIXEL_DATA = 0x7FE00010
_FLOAT_PIXEL_DATA = (0x7FE00008, 0x7FE00009)
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}


@dataclass(frozen=True)
class EncodedPixels:
    """The value of (7FE0,0010) as it lies in the file.

    Attributes:
        value: up to the end of the file if encapsulated.
        vr: "OB", "OW" or "" (implicit).
        encapsulated: the value is a sequence of fragments.
        little_endian: byte order of native values.
    """

    value: memoryview
    vr: str
    encapsulated: bool
    little_endian: bool


@dataclass(frozen=True)
class DicomFile:
    """A parsed header and the encoded pixels that follow it."""

    dataset: Dataset
    transfer_syntax: str
    pixels: EncodedPixels


def looks_like_dicom(data: memoryview) -> bool:
    """True if the bytes carry the DICM mark, or start like a data set without the preamble."""
    return _start(data) is not None


def parse_file(data: memoryview) -> DicomFile:
    """Split a DICOM file into header and encoded pixels.

    Raises:
        DicomError: if this is no DICOM file, the header is damaged, or there are no pixels.
    """
    start = _start(data)
    if start is None:
        raise DicomError("not a DICOM file: neither the DICM mark at byte 128 nor a data set at byte 0")
    position, syntax = _read_meta(data, start)
    if not syntax:
        syntax = EXPLICIT_LITTLE if bytes(data[position + 4 : position + 6]).isupper() else IMPLICIT_LITTLE
    if syntax == DEFLATED_LITTLE:
        data, position = memoryview(inflate(data[position:])), 0
    little = syntax != EXPLICIT_BIG
    stream = _Stream(data, position)
    dataset = _read_header(stream, implicit=syntax == IMPLICIT_LITTLE, little=little)
    return DicomFile(dataset, syntax, _read_pixel_element(data, stream.tell(), little))


def inflate(deflated: memoryview) -> bytes:
    """Inflate a deflated data set (raw deflate, PS3.5 A.5), within ``max_inflated_bytes``."""
    limit = max_inflated_bytes(len(deflated))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(deflated, limit)
    except zlib.error:
        raise DicomError("the deflated data set is damaged") from None
    if not inflater.eof:
        if len(data) >= limit:
            raise DicomError(f"the deflated data set unfolds to more than {limit} bytes")
        raise DicomError("the deflated data set is truncated")
    return data


def _start(data: memoryview) -> int | None:
    if bytes(data[128:132]) == b"DICM":
        return 132
    if len(data) < 8:
        return None
    # No preamble: group 0002 or 0008 comes first, with a small element number.
    group, element, length = struct.unpack_from("<HHI", data)
    explicit = bytes(data[4:6]) in (b"UL", b"OB", b"CS", b"UI", b"DA", b"TM", b"LO")
    if group == 0x0002 and element <= 0x0102 and explicit:
        return 0
    return 0 if group == 0x0008 and element <= 0x0018 and (explicit or length <= 1024) else None


def _read_meta(data: memoryview, position: int) -> tuple[int, str]:
    """Walk group 0002, always explicit little endian; returns where it ends and the transfer syntax."""
    syntax = ""
    while bytes(data[position : position + 2]) == b"\x02\x00" and position + 12 <= len(data):
        element = int.from_bytes(data[position + 2 : position + 4], "little")
        value, length = _element_value(data, position, little=True)
        if length > len(data) - value:
            raise DicomError("the file meta information is truncated")
        if element == 0x0010:
            syntax = bytes(data[value : value + length]).rstrip(b"\0 ").decode("ascii", "replace")
        position = value + length
    if syntax and not all(c.isdigit() or c == "." for c in syntax):
        raise DicomError("the transfer syntax is not a UID")
    return position, syntax


def _element_value(data: memoryview, position: int, *, little: bool) -> tuple[int, int]:
    """Where an element's value starts, and its declared length."""
    order = "<" if little else ">"
    vr = bytes(data[position + 4 : position + 6])
    try:
        if vr in _LONG_VRS:
            return position + 12, struct.unpack_from(f"{order}I", data, position + 8)[0]
        if vr.isalpha() and vr.isupper():
            return position + 8, struct.unpack_from(f"{order}H", data, position + 6)[0]
        return position + 8, struct.unpack_from(f"{order}I", data, position + 4)[0]
    except struct.error:
        raise DicomError("the file is truncated within its header") from None


class _Stream:
    """What pydicom needs of a file, over bytes that need not be copied for it."""

    def __init__(self, data: memoryview, position: int) -> None:
        self._data = data
        self._position = position

    def read(self, size: int = -1) -> bytes:
        end = self._position + size if size >= 0 else len(self._data)
        piece = bytes(self._data[self._position : end])
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._data)}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position


def _read_header(stream: _Stream, *, implicit: bool, little: bool) -> Dataset:
    from pydicom.filereader import read_dataset

    def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return tag == _PIXEL_DATA or tag in _FLOAT_PIXEL_DATA

    try:
        return read_dataset(
            cast(BinaryIO, stream),
            is_implicit_VR=implicit,
            is_little_endian=little,
            stop_when=at_pixels,
            specific_tags=list(HEADER_TAGS),
        )
    except RecursionError:
        raise DicomError("the header nests sequences too deeply") from None
    except Exception as error:  # whatever a damaged header makes the parser raise
        raise DicomError(f"the header is damaged ({type(error).__name__})") from None


def _read_pixel_element(data: memoryview, position: int, little: bool) -> EncodedPixels:
    order = "<" if little else ">"
    if position + 8 > len(data):
        raise DicomError("no pixel data: the object is not an image, or the file is truncated")
    group, element = struct.unpack_from(f"{order}HH", data, position)
    tag = group << 16 | element
    if tag in _FLOAT_PIXEL_DATA:
        raise DicomError("floating-point pixel data; accepted: integers of 8 or 16 bits")
    if tag != _PIXEL_DATA:
        raise DicomError("no pixel data: the object is not an image, or the header is damaged")
    vr = bytes(data[position + 4 : position + 6])
    value, length = _element_value(data, position, little=little)
    encapsulated = length == _UNDEFINED
    available = len(data) - value
    if not encapsulated and length > available:
        raise DicomError(f"the pixel data are truncated: {length} bytes declared, {max(available, 0)} present")
    view = data[value:] if encapsulated else data[value : value + length]
    return EncodedPixels(view, vr.decode() if vr in (b"OB", b"OW") else "", encapsulated, little)
