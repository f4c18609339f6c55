"""Pixel spacing of a projection image, and which attribute it came from."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidArgument
from ..mammogram import PixelSpacing, SpacingSource, nominal_spacing
from .header import Header

NOMINAL_WARNING = "the pixel spacing is unknown: the long side was counted as 240 mm; no lengths or areas in mm"

UserSpacing = float | Sequence[float]


def user_spacing(pixel_spacing_mm: UserSpacing | None) -> PixelSpacing | None:
    """A spacing the caller gave.

    Args:
        pixel_spacing_mm: mm between pixel centres, one number or (row, column); None if not given.

    Raises:
        InvalidArgument: if it is neither, or outside 0.001 to 10 mm.
    """
    if pixel_spacing_mm is None:
        return None
    try:
        given = list(pixel_spacing_mm) if isinstance(pixel_spacing_mm, Sequence) else [pixel_spacing_mm] * 2
        row, column = (float(value) for value in given)
    except (TypeError, ValueError):
        raise InvalidArgument("pixel_spacing_mm is one number or (row, column), in mm") from None
    return PixelSpacing(row, column, "user")


def read_spacing(header: Header, shape: tuple[int, int]) -> tuple[PixelSpacing, tuple[str, ...]]:
    """The spacing by the header, else the nominal one.

    PixelSpacing counts where it is calibrated: where PixelSpacingCalibrationType says so, or where it is not
    just a copy of ImagerPixelSpacing (PS3.3 10.7.1.3). ImagerPixelSpacing lies in the detector's plane and is
    divided by EstimatedRadiographicMagnificationFactor.

    Args:
        header: of the frame.
        shape: (H, W) of the frame.

    Returns:
        The spacing, and warnings.
    """
    warnings: list[str] = []
    pixel = _pair(header, "PixelSpacing", warnings)
    imager = _pair(header, "ImagerPixelSpacing", warnings)
    calibrated = header.code("PixelSpacingCalibrationType") in ("GEOMETRY", "FIDUCIAL")
    magnification = _magnification(header, warnings)
    is_copy = pixel is not None and pixel == imager and not calibrated and magnification != 1.0
    if pixel is not None and not is_copy:
        return PixelSpacing(*pixel, "PixelSpacing"), tuple(warnings)
    if imager is not None:
        row, column = (value / magnification for value in imager)
        try:
            return PixelSpacing(row, column, "ImagerPixelSpacing"), tuple(warnings)
        except InvalidArgument:
            warnings.append("ImagerPixelSpacing is outside 0.001 to 10 mm and was left out")
    return nominal_spacing(shape), (*warnings, NOMINAL_WARNING)


def _pair(header: Header, keyword: str, warnings: list[str]) -> tuple[float, float] | None:
    numbers = header.numbers(keyword)
    if numbers is None:
        return None
    try:
        row, column = numbers
        source: SpacingSource = "PixelSpacing"
        PixelSpacing(row, column, source)  # its range check
    except ValueError:
        warnings.append(f"{keyword} is not two numbers from 0.001 to 10 mm and was left out")
        return None
    return row, column


def _magnification(header: Header, warnings: list[str]) -> float:
    numbers = header.numbers("EstimatedRadiographicMagnificationFactor")
    if numbers is None:
        return 1.0
    if not numbers or not 0.5 <= numbers[0] <= 10.0:
        warnings.append("EstimatedRadiographicMagnificationFactor is not from 0.5 to 10 and was left out")
        return 1.0
    return numbers[0]
