"""One mammogram as the rest of the package sees it: oriented pixels plus what is known about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .by_value import by_value
from .errors import InvalidArgument

#: Where a pixel spacing came from. ``nominal``: nothing was known and the long side was counted as 240 mm.
SpacingSource = Literal["PixelSpacing", "ImagerPixelSpacing", "user", "nominal"]

#: Long side in mm that an image without any spacing is counted as (a 24 cm film).
NOMINAL_LONG_SIDE_MM = 240.0

MIN_SPACING_MM, MAX_SPACING_MM = 1e-3, 10.0

PIXEL_DTYPES = (np.uint8, np.uint16, np.int16, np.float32)


@dataclass(frozen=True)
class PixelSpacing:
    """Distance between pixel centres in mm, and the attribute it was taken from."""

    row_mm: float
    column_mm: float
    source: SpacingSource

    def __post_init__(self) -> None:
        for value in (self.row_mm, self.column_mm):
            if not (np.isfinite(value) and MIN_SPACING_MM <= value <= MAX_SPACING_MM):
                raise InvalidArgument(f"pixel spacing {value!r} mm is outside 0.001 to 10 mm")

    @property
    def is_physical(self) -> bool:
        """False if the spacing is only nominal, so that no length in mm may be reported."""
        return self.source != "nominal"


class FileDigest:
    """SHA-256 of a file's bytes, computed when first asked for: it takes longer than reading an uncompressed film.

    Until then the bytes are kept; a view of them holds an uncompressed film's pixels anyway.
    """

    def __init__(self, data: memoryview | None, hexadecimal: str = "") -> None:
        self._data = data
        self._hexadecimal = hexadecimal

    def __reduce__(self) -> tuple[type[FileDigest], tuple[None, str]]:
        """Pickled and copied as what it comes to; the file's bytes stay here."""
        return FileDigest, (None, self.hexdigest())

    def __eq__(self, other: object) -> bool:
        return self.hexdigest() == other.hexdigest() if isinstance(other, FileDigest) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hexdigest())

    def __repr__(self) -> str:
        return f"FileDigest({self.hexdigest()!r})"

    def hexdigest(self) -> str:
        """In hexadecimal; two threads that ask at once may both compute it."""
        data = self._data
        if data is not None:
            self._hexadecimal = hashlib.sha256(data).hexdigest()
            self._data = None
        return self._hexadecimal


@by_value
@dataclass(frozen=True, eq=False)
class Mammogram:
    """A single-view mammogram, brighter meaning denser tissue.

    Attributes:
        pixels: [H, W], uint8, uint16, int16 or float32. Rescale, VOI and photometric inversion are applied;
            padding is the darkest value.
        spacing: of the pixels; ``source == "nominal"`` where the file has none.
        laterality: ``"L"``, ``"R"`` or None (unknown).
        view_position: ``"CC"``, ``"MLO"``, another DICOM code value, or None.
        sop_instance_uid: of the DICOM object, or None.
        study_instance_uid: likewise.
        series_instance_uid: likewise.
        sop_class_uid: likewise.
        name: what to call it in reports: the file's name, never a patient's.
        digest: of the file's bytes, or None for arrays; see ``sha256``. Not compared: equal pixels are.
        warnings: one line each; what a reader of the results must know.
        attributes: further facts for reports (transfer syntax, decoder, manufacturer); no patient data.
    """

    pixels: NDArray[Any]
    spacing: PixelSpacing
    laterality: Literal["L", "R"] | None = None
    view_position: str | None = None
    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_class_uid: str | None = None
    name: str = "array"
    digest: FileDigest | None = field(default=None, repr=False, compare=False)
    warnings: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or 0 in pixels.shape:
            shape = getattr(pixels, "shape", type(pixels).__name__)
            raise InvalidArgument(f"a mammogram is a non-empty 2-D array; got {shape}")
        if pixels.dtype not in PIXEL_DTYPES:
            raise InvalidArgument(f"pixels of {pixels.dtype}; accepted: uint8, uint16, int16, float32")

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        height, width = self.pixels.shape
        return int(height), int(width)

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the file's bytes, hexadecimal, or None for arrays; computed when first asked for."""
        return None if self.digest is None else self.digest.hexdigest()


def nominal_spacing(shape: tuple[int, int]) -> PixelSpacing:
    """The spacing an image of this shape counts as when nothing is known: its long side is 240 mm.

    Raises:
        InvalidArgument: if that is no spacing of a mammogram: the image is far too small or too large.
    """
    millimetres = NOMINAL_LONG_SIDE_MM / max(shape)
    if not MIN_SPACING_MM <= millimetres <= MAX_SPACING_MM:
        raise InvalidArgument(
            f"{shape[0]} x {shape[1]} pixels of unknown spacing cannot count as a film of 240 mm; give pixel_spacing_mm"
        )
    return PixelSpacing(millimetres, millimetres, "nominal")
