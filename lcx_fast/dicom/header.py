"""Typed, forgiving access to header attributes, functional groups included."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..errors import DicomError
from .limits import MAX_FRAMES, MAX_PIXELS, MAX_SIDE
from .tags import MACRO_OF

if TYPE_CHECKING:
    from pydicom.dataelem import RawDataElement
    from pydicom.dataset import Dataset

_LUT_DATA = 0x00283006

#: VRs of binary numbers; where the sign is in doubt, the reader of the value decides.
_NUMBERS = {"US": "H", "SS": "h", "US or SS": "H", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


class Header:
    """Attributes of one frame: its own functional group, else the shared one, else the top level.

    Unreadable values count as absent. This class puts no value into an error message, numbers excepted.
    """

    def __init__(self, dataset: Dataset, frame: int = 0) -> None:
        self.dataset = dataset
        self._frame = frame

    def value(self, keyword: str) -> Any:
        """The attribute's value as pydicom gives it, or None."""
        macro = MACRO_OF.get(keyword)
        if macro is not None:
            for group in self._functional_groups():
                items = _items(group, macro)
                found = _get(items[0], keyword) if items else None
                if found is not None:
                    return found
        return _get(self.dataset, keyword)

    def text(self, keyword: str) -> str | None:
        """A string attribute's first value, stripped, or None."""
        values = self.texts(keyword)
        return values[0] if values else None

    def texts(self, keyword: str) -> list[str]:
        """All values of a string attribute, stripped, empty ones left out."""
        stripped = (str(value).strip(" \0") for value in _as_list(self.value(keyword)))
        return [value for value in stripped if value]

    def code(self, keyword: str) -> str | None:
        """A code string (VR CS), or None if it is not one: free text never passes."""
        text = (self.text(keyword) or "").upper()
        return text if re.fullmatch(r"[A-Z0-9_ ]{1,16}", text) else None

    def private_creator(self, tag: int) -> str:
        """A private creator's text in capitals, "" if absent."""
        return " ".join(str(value) for value in _as_list(_get(self.dataset, tag))).upper()

    def uid(self, keyword: str) -> str | None:
        """A UID, or None if absent or malformed."""
        text = self.text(keyword) or ""
        return text if re.fullmatch(r"[0-9.]{1,64}", text) else None

    def numbers(self, keyword: str) -> list[float] | None:
        """All values of a numeric attribute; None if absent, an empty list if any is not a finite number."""
        values = _as_list(self.value(keyword))
        if not values:
            return None
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError, OverflowError):
            return []
        return numbers if all(math.isfinite(number) for number in numbers) else []

    def number(self, keyword: str) -> float | None:
        """The first value of a numeric attribute, or None if absent or bad."""
        numbers = self.numbers(keyword)
        return numbers[0] if numbers else None

    def integer(self, keyword: str) -> int | None:
        """The first value of an integer attribute, or None if absent or bad."""
        number = self.number(keyword)
        return int(number) if number is not None and number == int(number) else None

    def items(self, keyword: str) -> list[Header]:
        """The items of a sequence, an empty list if there is none."""
        return [Header(item) for item in _as_list(self.value(keyword)) if hasattr(item, "get_item")]

    def raw(self, keyword: str) -> bytes | None:
        """A binary attribute's bytes, or None."""
        value = self.value(keyword)
        return value if isinstance(value, bytes) else None

    @property
    def little_endian(self) -> bool:
        """Byte order in which the header was encoded."""
        return self.dataset.original_encoding[1] is not False

    def _functional_groups(self) -> Iterable[Dataset]:
        per_frame = _items(self.dataset, "PerFrameFunctionalGroupsSequence")
        if self._frame < len(per_frame):
            yield per_frame[self._frame]
        yield from _items(self.dataset, "SharedFunctionalGroupsSequence")[:1]


def _get(dataset: Dataset, keyword: str | int) -> Any:
    """An attribute's value, or None if absent, empty or unreadable.

    Values from files are converted here, because pydicom's own conversion quotes bad ones in warnings.
    """
    from pydicom.dataelem import RawDataElement

    try:
        element = dataset.get_item(keyword)
        if isinstance(element, RawDataElement) and element.value is not None:
            value = _convert(dataset, element)
        else:
            value = element.value if element is not None else None
    except Exception:  # rubbish in sequences, deferred values whose file is gone
        return None
    return None if value is None or (isinstance(value, str | bytes) and not value) else value


def _convert(dataset: Dataset, element: RawDataElement) -> Any:
    """Strings and numbers as they are, undecoded bytes for what is binary, items for sequences."""
    from pydicom.datadict import dictionary_VR

    vr, raw = element.VR, cast(bytes, element.value)
    if vr in (None, "UN") and not element.tag.is_private:
        vr = dictionary_VR(element.tag)
    if vr == "SQ":
        return dataset[element.tag].value
    if element.tag == _LUT_DATA or vr in ("OB", "OW", "OV", "UN"):
        return raw
    order = "<" if element.is_little_endian else ">"
    number = _NUMBERS.get(str(vr))
    if number is not None:
        size = struct.calcsize(number)
        return list(struct.unpack(f"{order}{len(raw) // size}{number}", raw[: len(raw) // size * size]))
    return raw.decode("latin-1").split("\\")


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    return [item for item in _as_list(_get(dataset, keyword)) if hasattr(item, "get_item")]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return [value]
    return list(value)


@dataclass(frozen=True)
class PixelLayout:
    """How one frame's samples are stored. Every field has passed the limits."""

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns * self.bits_allocated // 8


def read_layout(header: Header) -> PixelLayout:
    """Read and check the image pixel attributes (PS3.3 C.7.6.3).

    Raises:
        DicomError: if one is missing, outside the limits or of a kind that is not read.
    """
    photometric = header.code("PhotometricInterpretation")
    samples = _required(header, "SamplesPerPixel", 1, 65535)
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise DicomError(
            f"PhotometricInterpretation {photometric} with {samples} sample(s) per pixel; "
            "accepted: MONOCHROME1 and MONOCHROME2 with one"
        )
    rows = _required(header, "Rows", 1, MAX_SIDE)
    columns = _required(header, "Columns", 1, MAX_SIDE)
    if rows * columns > MAX_PIXELS:
        raise DicomError(f"{rows} x {columns} pixels; at most {MAX_PIXELS} are accepted")
    frames = 1
    if header.value("NumberOfFrames") is not None:
        frames = _required(header, "NumberOfFrames", 1, MAX_FRAMES)
    allocated = _required(header, "BitsAllocated", 1, 65535)
    if allocated not in (8, 16):
        raise DicomError(f"BitsAllocated {allocated}; accepted: 8 and 16")
    stored = _required(header, "BitsStored", 1, allocated)
    high = header.integer("HighBit")
    high = stored - 1 if high is None else high
    if not stored - 1 <= high < allocated:
        raise DicomError(f"HighBit {high} does not fit BitsStored {stored} in BitsAllocated {allocated}")
    signed = _required(header, "PixelRepresentation", 0, 1) == 1
    return PixelLayout(rows, columns, frames, allocated, stored, high, signed)


def _required(header: Header, keyword: str, low: int, high: int) -> int:
    value = header.integer(keyword)
    if value is None:
        raise DicomError(f"{keyword} is missing or not a number")
    if not low <= value <= high:
        raise DicomError(f"{keyword} {value}; accepted: {low} to {high}")
    return value
