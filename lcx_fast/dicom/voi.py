"""What a stored value means: every grey-scale transform of PS3.3, composed into one table.

Note [Grey scale]: the order is stored value -> modality transform -> VOI transform -> inversion (MONOCHROME1)
-> padding to 0. The composed table is indexed by the sample as it lies in memory, so that masking to
BitsStored and the sign are part of it too. If the table says nothing new, the samples are handed out as they
are.

Without a VOI transform a linear rescale is only a change of unit and is left out (a negative slope inverts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .header import Header, PixelLayout
from .limits import MAX_LUT_ENTRIES

VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Window:
    """A VOI window (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    center: float
    width: float
    function: VoiFunction = "LINEAR"

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map modality values to 0..1."""
        if self.function == "SIGMOID":
            exponent = np.clip(-4.0 * (values - self.center) / self.width, -700.0, 700.0)
            return np.asarray(1.0 / (1.0 + np.exp(exponent)))
        center, width = self.center, self.width
        if self.function == "LINEAR":
            center, width = center - 0.5, width - 1.0
        scaled = (values - center) / width + 0.5 if width > 0.0 else np.zeros_like(values)
        scaled = np.where(values <= center - width / 2.0, 0.0, scaled)
        return np.where(values > center + width / 2.0, 1.0, scaled)


@dataclass(frozen=True)
class LookupTable:
    """A modality or VOI LUT (PS3.3 C.11.1.1 and C.11.2.1.1).

    Attributes:
        first: the input value that maps to the first entry; smaller ones do too.
        entries: float64 [n].
        bits: of an entry.
    """

    first: int
    entries: NDArray[np.float64]
    bits: int

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map values to entries; inputs outside the table get its first or last one."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[index.astype(np.int64)])


@dataclass(frozen=True)
class GreyScale:
    """The composed transform.

    Attributes:
        table: uint8 or uint16, indexed by the sample in memory.
        description: which transforms it holds, for reports.
        warnings: one line each.
    """

    table: NDArray[Any]
    description: str
    warnings: tuple[str, ...] = ()


def compose_grey_scale(header: Header, layout: PixelLayout) -> GreyScale:
    """Compose every grey-scale transform of a frame. See Note [Grey scale].

    Args:
        header: of the frame.
        layout: how its samples are stored.
    """
    warnings: list[str] = []
    stored = stored_values(layout)
    values, unit, largest, steps = _modality(header, layout, stored, warnings)
    voi = read_voi(header, layout, warnings)
    if isinstance(voi, Window):
        steps.append(f"window {voi.function}")
        out, largest = voi(unit) * 65535.0, 65535
    elif voi is not None:
        steps.append("VOI LUT")
        out, largest = voi(unit) * (65535.0 / (2**voi.bits - 1)), 65535
    else:
        out = values
    if _is_inverted(header, warnings):
        steps.append("inversion")
        out = largest - out
    table = np.floor(out + 0.5).astype(np.uint8 if largest <= 255 else np.uint16)
    padding = read_padding(header, layout)
    if padding is not None:
        steps.append("padding")
        table[(stored >= padding[0]) & (stored <= padding[1])] = 0
    return GreyScale(table, ", ".join(steps) or "stored values", tuple(warnings))


def apply_grey_scale(samples: NDArray[Any], layout: PixelLayout, table: NDArray[Any]) -> NDArray[Any]:
    """Look every sample up in the table; the samples themselves if that changes nothing.

    Args:
        samples: uint8 or uint16 [H, W], as stored, in any byte order.
        layout: how they are stored.
        table: from ``compose_grey_scale``.

    Returns:
        uint8 or uint16 [H, W], in native byte order.
    """
    largest = None
    if not samples.dtype.isnative:
        samples, largest = _core.swap_bytes(samples)
    if _is_identity(samples, layout, table, largest):
        return samples
    flat = np.ascontiguousarray(samples).reshape(-1)
    out = np.empty(flat.size, table.dtype)
    # In chunks, because take() widens its indices to 64 bits; "clip" spares it a buffer and never clips here.
    for start in range(0, flat.size, _CHUNK):
        piece = slice(start, start + _CHUNK)
        np.take(table, flat[piece], out=out[piece], mode="clip")
    return out.reshape(samples.shape)


def stored_values(layout: PixelLayout) -> NDArray[np.int64]:
    """The stored value of every possible sample in memory: shifted, masked and sign-extended."""
    values = np.arange(1 << layout.bits_allocated, dtype=np.int64)
    values = (values >> (layout.high_bit + 1 - layout.bits_stored)) & ((1 << layout.bits_stored) - 1)
    if layout.signed:
        values = np.where(values >> (layout.bits_stored - 1), values - (1 << layout.bits_stored), values)
    return values


def read_padding(header: Header, layout: PixelLayout) -> tuple[int, int] | None:
    """Lowest and highest stored value of pixel padding (PS3.3 C.7.5.1.1.2), or None."""
    value = header.integer("PixelPaddingValue")
    if value is None:
        return None
    limit = header.integer("PixelPaddingRangeLimit")
    ends = [_as_sample(end, layout) for end in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def read_voi(header: Header, layout: PixelLayout, warnings: list[str]) -> Window | LookupTable | None:
    """The VOI LUT, else the first window, else None; unusable ones are left out with a warning."""
    for item in header.items("VOILUTSequence")[:1]:
        lut = _read_lut(item, signed=layout.signed, little_endian=header.little_endian)
        if lut is not None:
            return lut
        warnings.append("VOILUTSequence is unusable and was left out")
    centers, widths = header.numbers("WindowCenter"), header.numbers("WindowWidth")
    if centers is None and widths is None:
        return None
    function = header.code("VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        warnings.append("VOILUTFunction is unknown; LINEAR was used")
        function = "LINEAR"
    smallest = 1.0 if function == "LINEAR" else 0.0
    if not centers or not widths or widths[0] < smallest or widths[0] == 0.0:
        warnings.append("WindowCenter and WindowWidth are unusable and were left out")
        return None
    return Window(centers[0], widths[0], function)  # type: ignore[arg-type]


def _modality(
    header: Header, layout: PixelLayout, stored: NDArray[np.int64], warnings: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], int, list[str]]:
    """Values for use without a VOI, values in modality units, the largest of the former, and the steps."""
    for item in header.items("ModalityLUTSequence")[:1]:
        lut = _read_lut(item, signed=layout.signed, little_endian=header.little_endian)
        if lut is not None:
            values = lut(stored.astype(np.float64))
            return values, values, 2**lut.bits - 1, ["modality LUT"]
        warnings.append("ModalityLUTSequence is unusable and was left out")
    largest = (1 << layout.bits_stored) - 1
    offset = 1 << (layout.bits_stored - 1) if layout.signed else 0
    values = (stored + offset).astype(np.float64)
    slopes, intercepts = header.numbers("RescaleSlope"), header.numbers("RescaleIntercept")
    if slopes == [] or intercepts == [] or (slopes and slopes[0] == 0.0):
        warnings.append("RescaleSlope or RescaleIntercept is unusable and was left out")
        slopes, intercepts = None, None
    slope = slopes[0] if slopes else 1.0
    unit = stored.astype(np.float64) * slope + (intercepts[0] if intercepts else 0.0)
    if slope < 0.0:
        return largest - values, unit, largest, ["negative rescale"]
    return values, unit, largest, []


def _is_inverted(header: Header, warnings: list[str]) -> bool:
    """True if low values are bright. PhotometricInterpretation decides; a contradiction is reported."""
    inverted = header.code("PhotometricInterpretation") == "MONOCHROME1"
    shape = header.code("PresentationLUTShape")
    if shape in ("IDENTITY", "INVERSE") and (shape == "INVERSE") != inverted:
        warnings.append(f"PresentationLUTShape {shape} contradicts PhotometricInterpretation, which was followed")
    return inverted


def _read_lut(item: Header, *, signed: bool, little_endian: bool) -> LookupTable | None:
    """A LUT item, or None if its parts do not fit together."""
    descriptor = item.numbers("LUTDescriptor")
    if not descriptor or len(descriptor) != 3:
        return None
    count, first, bits = (int(value) for value in descriptor)
    count = count & 0xFFFF or MAX_LUT_ENTRIES
    if signed and first >= 0x8000:
        first -= 0x10000
    if not signed and first < 0:
        first += 0x10000
    entries = _lut_entries(item, count, bits, little_endian)
    if entries is None or not 1 <= bits <= 16:
        return None
    bits = max(bits, int(entries.max()).bit_length())
    return LookupTable(first, entries.astype(np.float64), bits)


def _lut_entries(item: Header, count: int, bits: int, little_endian: bool) -> NDArray[Any] | None:
    """LUTData as uint8 or uint16 [count]: words, or bytes packed into words."""
    raw = item.raw("LUTData")
    if raw is None:
        words = item.numbers("LUTData")
        if not words or min(words) < -0x8000 or max(words) > 0xFFFF:
            return None
        entries = (np.array(words, np.int64) & 0xFFFF).astype(np.uint16)
        raw, little_endian = entries.astype("<u2").tobytes(), True
    if len(raw) >= 2 * count:
        return np.frombuffer(raw, "<u2" if little_endian else ">u2", count=count).astype(np.uint16)
    if bits <= 8 and len(raw) >= count:
        packed = np.frombuffer(raw, np.uint8)
        if not little_endian:
            packed = packed[: len(raw) // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)
        return packed[:count] if len(packed) >= count else None
    return None


def _as_sample(value: int, layout: PixelLayout) -> int:
    """A padding value in the samples' own signedness: writers mix US and SS up."""
    value &= (1 << layout.bits_allocated) - 1
    return value - (1 << layout.bits_allocated) if layout.signed and _sign(value, layout) else value


def _sign(value: int, layout: PixelLayout) -> int:
    return value >> (layout.bits_allocated - 1)


def _is_identity(samples: NDArray[Any], layout: PixelLayout, table: NDArray[Any], largest: int | None) -> bool:
    """True if no sample that can occur (or, where spare bits exist, does occur) would change."""
    if samples.dtype != table.dtype or layout.high_bit != layout.bits_stored - 1:
        return False
    used = 1 << layout.bits_stored
    if not np.array_equal(table[:used], np.arange(used)):
        return False
    if layout.bits_stored == layout.bits_allocated:
        return True
    return (int(samples.max()) if largest is None else largest) < used
