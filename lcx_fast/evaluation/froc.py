"""FROC: sensitivity against false positives per image."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..by_value import by_value
from ..errors import InvalidArgument
from .checks import at_least, floats_of, one_of
from .matches import Counts, Matches, Unit, count_by_threshold

Floats = NDArray[np.float64]

#: The rates that mammography papers report.
MAMMOGRAPHY_RATES = (0.25, 0.5, 1.0, 2.0)
#: LUNA16's seven (Setio et al. 2017); their mean sensitivity is its score.
LUNA_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@by_value
class FrocCurve(NamedTuple):
    """At each distinct score, highest first.

    Attributes:
        thresholds: float64 [K], descending.
        false_positives_per_image: float64 [K].
        sensitivity: float64 [K].
    """

    thresholds: Floats
    false_positives_per_image: Floats
    sensitivity: Floats


def froc_curve(
    matches: Matches, *, unit: Unit = "lesion", false_positives_on: Literal["all", "normal"] = "all"
) -> FrocCurve:
    """The FROC curve.

    Args:
        matches: from ``match_lesions``, which decides what a hit is.
        unit: what is to be found: each lesion, or any lesion of an image or of a patient (case-based).
        false_positives_on: count them, and the images, on all images or only on those without any lesion.
    """
    counts = count_by_threshold(matches, unit=unit, false_positives_on=false_positives_on)
    rate, sensitivity = _rates(counts)
    return FrocCurve(counts.thresholds, rate[0], sensitivity[0])


def froc_sensitivities(
    matches: Matches,
    rates: ArrayLike = MAMMOGRAPHY_RATES,
    *,
    unit: Unit = "lesion",
    false_positives_on: Literal["all", "normal"] = "all",
    interpolation: Literal["step", "linear"] = "step",
    weights: ArrayLike | None = None,
) -> Any:
    """Sensitivity at rates of false positives per image.

    Args:
        matches: from ``match_lesions``.
        rates: [R], false positives per image.
        unit: as in ``froc_curve``.
        false_positives_on: as in ``froc_curve``.
        interpolation: ``"step"``: of the thresholds that keep to the rate, the best; ``"linear"``: between the curve's
            points, as LUNA16 and MONAI do.
        weights: how often each image counts, [B, I]; see ``patient_bootstrap``.

    Returns:
        float64 [R], or [B, R] with weights; NaN without a lesion to find, or an image to count false positives on.

    Raises:
        InvalidArgument: for a word that is none of these, or a rate below 0.
    """
    one_of(interpolation, ("step", "linear"), "interpolation")
    wanted = np.atleast_1d(floats_of(rates, "rates"))
    if wanted.ndim != 1 or not (wanted >= 0).all():
        raise InvalidArgument(f"rates {np.asarray(rates).tolist()}; needed: [R] numbers, 0 or more")
    counts = count_by_threshold(matches, unit=unit, false_positives_on=false_positives_on, weights=weights)
    rate, sensitivity = _rates(counts)
    if interpolation == "step":
        # Counts, not quotients, are compared, so that 3 of 12 images is a rate of .25 exactly.
        allowed = wanted[None, :] * counts.images[:, None]
        kept = np.zeros(allowed.shape, np.intp)
        for r in range(len(wanted)):
            kept[:, r] = (counts.false_positives <= allowed[:, [r]]).sum(axis=1)
        padded = np.concatenate([np.zeros((len(sensitivity), 1)), sensitivity], axis=1)
        values = np.take_along_axis(padded, kept, axis=1)
    else:
        values = np.stack([_linear(x, y, wanted) for x, y in zip(rate, sensitivity, strict=True)])
    undefined = (counts.to_find == 0) | (counts.images == 0)
    values = np.where(undefined[:, None], np.nan, values)
    return values[0] if weights is None else values


def luna_score(matches: Matches, *, weights: ArrayLike | None = None) -> Any:
    """LUNA16's score: the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per image, interpolated.

    LUNA16 counts a detection as a hit if its centre lies in the nodule, and ignores further hits of the same one: pass
    ``match_lesions(results, overlap="centre", duplicates="ignored")``.
    """
    value = froc_sensitivities(matches, LUNA_RATES, interpolation="linear", weights=weights).mean(axis=-1)
    return float(value) if weights is None else value


def score_at_rate(
    matches: Matches, rate: float, *, unit: Unit = "lesion", false_positives_on: Literal["all", "normal"] = "all"
) -> float:
    """The lowest score whose false positives keep to the rate: keep detections scoring at least that. 1 if none do."""
    rate = at_least(rate, 0, "rate")
    counts = count_by_threshold(matches, unit=unit, false_positives_on=false_positives_on)
    kept = int((counts.false_positives[0] <= rate * counts.images[0]).sum())
    return float(counts.thresholds[kept - 1]) if kept else 1.0


def _rates(counts: Counts) -> tuple[Floats, Floats]:
    """False positives per image and sensitivity, [B, K] each."""
    images = np.where(counts.images > 0, counts.images, np.nan)[:, None]
    to_find = np.where(counts.to_find > 0, counts.to_find, np.nan)[:, None]
    return counts.false_positives / images, counts.found / to_find


def _linear(rate: Floats, sensitivity: Floats, wanted: Floats) -> Floats:
    """Between the points from (0, 0) on; flat after the last. Where points share a rate the last, highest, counts."""
    x, y = np.append(0.0, rate), np.append(0.0, sensitivity)
    if np.isnan(y).any() or np.isnan(x).any():
        return np.full(len(wanted), np.nan)
    values: Floats = np.interp(wanted, x, y)
    exact = np.searchsorted(x, wanted, side="right") - 1
    return np.where(x[exact] == wanted, y[exact], values)
