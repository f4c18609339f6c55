"""Distances between the boundaries of two masks, in mm."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..errors import InvalidArgument
from .checks import spacing_of, truth_of


class BoundaryDistance(NamedTuple):
    """How far two boundaries lie apart, in mm; both infinite where one mask is empty and the other is not.

    Attributes:
        mean_mm: average symmetric surface distance (Heimann et al. 2009): of all boundary pixels of both masks, each to
            the nearest of the other.
        p95_mm: the greater of the two directed 95th percentiles (the robust Hausdorff distance).
    """

    mean_mm: float
    p95_mm: float


def distance_transform(
    mask: ArrayLike, *, pixel_spacing_mm: float | tuple[float, float], threads: int = 0
) -> NDArray[np.float32]:
    """Exact distance of each pixel's centre to the nearest mask pixel's centre, in mm.

    Args:
        mask: [H, W], nonzero = foreground.
        pixel_spacing_mm: height and width of a pixel, or one number for both.
        threads: most threads to use; 0 = all.

    Returns:
        float32 [H, W]; infinite where the mask is empty.
    """
    return _core.distance_transform(
        truth_of(mask, "mask pixels"), spacing=spacing_of(pixel_spacing_mm), threads=threads
    )


def boundary_distance(
    predicted: ArrayLike, reference: ArrayLike, *, pixel_spacing_mm: float | tuple[float, float]
) -> BoundaryDistance:
    """The distance between two masks' boundaries.

    A boundary pixel is a mask pixel with a neighbour above, below, left or right that is not in the mask; what lies
    beyond the image is not. Distances are between the centres of boundary pixels.

    Args:
        predicted: [H, W], nonzero = lesion.
        reference: [H, W], likewise.
        pixel_spacing_mm: height and width of a pixel, or one number for both.

    Returns:
        NaN of two empty masks.
    """
    masks = [truth_of(mask, f"{what} pixels") for what, mask in (("predicted", predicted), ("reference", reference))]
    spacing = spacing_of(pixel_spacing_mm)
    if masks[0].ndim != 2 or masks[0].shape != masks[1].shape:
        raise InvalidArgument(f"masks have shapes {masks[0].shape} and {masks[1].shape}; needed: [H, W] both")
    present = [bool(mask.any()) for mask in masks]
    if not all(present):
        value = float("inf") if any(present) else float("nan")
        return BoundaryDistance(value, value)
    # Beyond the box of both there is no boundary, and inside it distances are the same.
    either = masks[0] | masks[1]
    rows, columns = np.nonzero(either.any(axis=1))[0], np.nonzero(either.any(axis=0))[0]
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    first, second = (_boundary(mask[box]) for mask in masks)
    to_second = distance_transform(second, pixel_spacing_mm=spacing)[first].astype(np.float64)
    to_first = distance_transform(first, pixel_spacing_mm=spacing)[second].astype(np.float64)
    return BoundaryDistance(
        float((to_second.sum() + to_first.sum()) / (to_second.size + to_first.size)),
        float(max(np.percentile(to_second, 95), np.percentile(to_first, 95))),
    )


def _boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    surrounded = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~surrounded)
