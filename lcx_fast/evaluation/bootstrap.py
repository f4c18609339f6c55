"""Confidence intervals by redrawing whole patients.

Images of one patient are alike, so the patient is what is drawn (Efron and Tibshirani 1993, chapter 8). A resample is a
row of weights, how often each image was drawn, and statistics take all rows of a block at once: nothing is copied, and
2,000 resamples take a second or so.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..by_value import by_value
from ..errors import InvalidArgument
from .checks import array_of, check_patients, count_of, floats_of, grouped

#: Takes image weights float64 [B, I] and returns values [B] by name.
Statistic = Callable[[NDArray[np.float64]], Mapping[str, Any]]

#: Weights held at once.
BLOCK_VALUES = 1 << 20


@by_value
class Interval(NamedTuple):
    """A figure and the percentile interval round it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def patient_bootstrap(
    statistic: Statistic,
    patients: Sequence[Hashable],
    *,
    draws: int = 2000,
    seed: int = 0,
    strata: ArrayLike | None = None,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Percentile intervals of some figures with whole patients redrawn.

    Args:
        statistic: image weights float64 [B, I] to values [B] by name, for instance
            ``lambda w: {"auc": roc_auc(scores, labels, weights=w)}``.
        patients: I, the patient of each image.
        draws: resamples.
        seed: the same seed gives the same intervals.
        strata: [I] whole numbers: patients are redrawn within the highest stratum of their images, so that each
            resample keeps the numbers of, say, patients with and without cancer.
        level: of the interval.

    Returns:
        By name: the figure on the images as they are, and its interval. Resamples where it is NaN (one class
        missing, say) are left out; where all are, the interval is NaN.

    Raises:
        InvalidArgument: for no patients, no draws, a level outside (0, 1), strata that are no whole numbers, or a
            statistic that does not give a value for each row of weights.
    """
    if not 0 < level < 1:
        raise InvalidArgument(f"level {level:g}; accepted: between 0 and 1")
    value = {name: v[0] for name, v in _figures(statistic, np.ones((1, len(patients)))).items()}
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in value}
    for weights in patient_weights(patients, draws=draws, seed=seed, strata=strata):
        for name, block in _figures(statistic, weights).items():
            drawn[name].append(block)
    return {name: _interval(float(value[name]), np.concatenate(drawn[name]), level) for name in value}


def patient_weights(
    patients: Sequence[Hashable], *, draws: int, seed: int = 0, strata: ArrayLike | None = None
) -> Iterator[NDArray[np.float64]]:
    """How often each image is in each resample, float64 [B, I] a block; see ``patient_bootstrap``."""
    check_patients(patients)
    draws = count_of(draws, "draws")
    if not len(patients):
        raise InvalidArgument("there are no patients; needed: one for each image, at least 1")
    names, index = grouped(patients, "patients")
    stratum = np.zeros(len(names), np.int64)
    if strata is not None:
        given = array_of(strata, "strata")
        if given.shape != index.shape or given.dtype.kind == "f":
            raise InvalidArgument(f"strata are {given.dtype} {given.shape}; needed: [{len(index)}] whole numbers")
        given = given.astype(np.int64)
        stratum[:] = given.min()
        np.maximum.at(stratum, index, given)
    members = [np.nonzero(stratum == level)[0] for level in np.unique(stratum)]
    random = np.random.default_rng(seed)
    rows = max(1, BLOCK_VALUES // max(len(names), len(index)))
    for begin in range(0, draws, rows):
        count = min(rows, draws - begin)
        weights = np.zeros((count, len(names)))
        for group in members:
            chosen = group[random.integers(0, len(group), (count, len(group)))]
            chosen += np.arange(count)[:, None] * len(names)
            weights += np.bincount(chosen.ravel(), minlength=weights.size).reshape(weights.shape)
        yield weights[:, index]


def _figures(statistic: Statistic, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """What a statistic gives, each float64 [B]."""
    given = statistic(weights)
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"the statistic gives a {type(given).__name__}; needed: values by name, {{'auc': ...}}")
    figures = {name: floats_of(values, f"values of {name!r}") for name, values in given.items()}
    for name, values in figures.items():
        if values.shape != weights.shape[:1]:
            raise InvalidArgument(
                f"the statistic's {name!r} has shape {values.shape}; needed: [{len(weights)}], one for each row of "
                "weights, which it has to pass on"
            )
    return figures


def _interval(value: float, drawn: NDArray[np.float64], level: float) -> Interval:
    finite = drawn[~np.isnan(drawn)]
    if not finite.size:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(finite, [50 * (1 - level), 50 * (1 + level)])
    return Interval(value, float(low), float(high))
