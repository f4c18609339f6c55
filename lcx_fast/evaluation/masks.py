"""Pixels of masks: overlap, specificity and confused pixels, as counts that add up over images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidArgument
from .boundary import distance_transform
from .checks import array_of, at_least, floats_of, truth_of

#: Probabilities strictly between these are neither yes nor no.
CONFUSED = (0.1, 0.9)
#: Width in mm of the band round the outlines that ``near_band`` gives.
NEAR_MM = 10.0


@dataclass(frozen=True)
class MaskCounts:
    """Pixels of a predicted mask against a reference; counts of images add up with ``+``. Rates of nothing are NaN."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    true_negatives: int = 0

    def __add__(self, other: MaskCounts) -> MaskCounts:
        return MaskCounts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.true_negatives + other.true_negatives,
        )

    @property
    def iou(self) -> float:
        """Intersection over union."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives + self.false_negatives)

    @property
    def dice(self) -> float:
        """Twice the intersection over the sum of the areas."""
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def precision(self) -> float:
        """Share of the predicted pixels in the reference: IoP, where the reference is a loose outline."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the reference predicted."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP): Spec_B within the breast, Spec_near within ``near_band``."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_positives)


def count_pixels(predicted: ArrayLike, reference: ArrayLike, *, within: ArrayLike | None = None) -> MaskCounts:
    """Compare two masks.

    Args:
        predicted: [H, W], nonzero = lesion.
        reference: [H, W], likewise.
        within: [H, W], nonzero = pixels that count (the breast, or a band); None: all.

    Raises:
        InvalidArgument: if shapes differ, or one of them is no mask: no numbers, NaN, or fractions among them.
    """
    p, r = truth_of(predicted, "predicted pixels"), truth_of(reference, "reference pixels")
    w = np.ones(p.shape, bool) if within is None else truth_of(within, "pixels that count")
    if not p.shape == r.shape == w.shape:
        raise InvalidArgument(f"masks have shapes {p.shape}, {r.shape} and {w.shape}; shapes must be equal")
    both, inside = int(np.count_nonzero(p & r & w)), int(np.count_nonzero(w))
    false_positives = int(np.count_nonzero(p & w)) - both
    false_negatives = int(np.count_nonzero(r & w)) - both
    return MaskCounts(both, false_positives, false_negatives, inside - both - false_positives - false_negatives)


def near_band(
    reference: ArrayLike, *, pixel_spacing_mm: float | tuple[float, float], width_mm: float = NEAR_MM
) -> NDArray[np.bool_]:
    """The band round a mask: pixels outside it whose centre is at most ``width_mm`` from a mask pixel's centre.

    Args:
        reference: [H, W], nonzero = lesion.
        pixel_spacing_mm: height and width of a pixel, or one number for both.
        width_mm: of the band, 0 or more.
    """
    mask, width_mm = truth_of(reference, "reference pixels"), at_least(width_mm, 0, "width_mm")
    return np.asarray((distance_transform(mask, pixel_spacing_mm=pixel_spacing_mm) <= width_mm) & ~mask)


def confused_pixels(probability: ArrayLike, breast: ArrayLike, *, between: tuple[float, float] = CONFUSED) -> int:
    """Breast pixels with a probability strictly between the two.

    The published figure is its mean over the images with lesions; the reduction is 1 - C / C of the baseline.

    Args:
        probability: [H, W] of any floating type, in 0..1.
        breast: [H, W], nonzero = breast.
        between: exclusive bounds, the lower one first.

    Raises:
        InvalidArgument: for arrays or bounds that are not that, NaN among the probabilities included.
    """
    p, inside = array_of(probability, "probabilities"), truth_of(breast, "pixels of the breast")
    if p.shape != inside.shape:
        raise InvalidArgument(f"probabilities have shape {p.shape}, the breast {inside.shape}; shapes must be equal")
    # NaN is the minimum and the maximum of values that hold it.
    if p.dtype.kind != "f" or (p.size and not (p.min() >= 0 and p.max() <= 1)):
        raise InvalidArgument(f"probabilities are {p.dtype}; needed: floating numbers from 0 to 1, without NaN")
    bounds = floats_of(between, "bounds")
    if bounds.shape != (2,) or not bounds[0] < bounds[1]:
        raise InvalidArgument(f"between {between}; needed: two bounds, the lower one first")
    return int(np.count_nonzero((p > between[0]) & (p < between[1]) & inside))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
