"""Scores that mean what they say: reliability, calibration fitted on validation data, operating points."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..by_value import by_value
from ..errors import InvalidArgument
from .checks import count_of, floats_of, one_of, scored_items, share_of
from .ranking import ranking_curve

Floats = NDArray[np.float64]


@by_value
class Reliability(NamedTuple):
    """The bins that hold something, in order.

    Attributes:
        predicted: [K], mean probability of a bin's items.
        observed: [K], share of positives among them.
        counts: int64 [K].
    """

    predicted: Floats
    observed: Floats
    counts: NDArray[np.int64]


@by_value
class PlattScaling(NamedTuple):
    """``sigmoid(slope * score + intercept)``."""

    slope: float
    intercept: float

    def __call__(self, scores: ArrayLike) -> Floats:
        return sigmoid(self.slope * np.asarray(scores, np.float64) + self.intercept)


@by_value
class IsotonicMap(NamedTuple):
    """A rising step function of the score, linear between ``scores``, flat outside them.

    Attributes:
        scores: [K], ascending.
        probabilities: [K], not falling.
    """

    scores: Floats
    probabilities: Floats

    def __call__(self, scores: ArrayLike) -> Floats:
        return np.interp(np.asarray(scores, np.float64), self.scores, self.probabilities)


@by_value
class OperatingPoint(NamedTuple):
    """A threshold (positive: score at least that) and what it gave on the data it was chosen on."""

    threshold: float
    sensitivity: float
    specificity: float


def sigmoid(values: ArrayLike) -> Floats:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(values, np.float64))))


def logit(probabilities: ArrayLike, *, epsilon: float = 1e-6) -> Floats:
    """Log odds, kept finite by clipping to [epsilon, 1 - epsilon].

    Args:
        probabilities: of any shape, in 0..1; NaN stays NaN.
        epsilon: above 0, below .5.

    Raises:
        InvalidArgument: for numbers that are not that.
    """
    given = floats_of(probabilities, "probabilities")
    if ((given < 0) | (given > 1)).any():
        raise InvalidArgument("probabilities lie outside 0..1; log odds are of probabilities only")
    if not 0 < epsilon < 0.5:
        raise InvalidArgument(f"epsilon {epsilon}; needed: above 0, below 0.5")
    clipped = np.clip(given, epsilon, 1 - epsilon)
    return np.asarray(np.log(clipped / (1 - clipped)))


def fit_platt(scores: ArrayLike, labels: ArrayLike) -> PlattScaling:
    """Fit ``P(positive) = sigmoid(slope * score + intercept)`` by maximum likelihood.

    With Platt's (1999) smoothed targets, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), which keep it finite on separable data;
    Newton's method with step halving (Lin, Lin and Weng 2007).

    Args:
        scores: [N], any real numbers; for probabilities pass ``logit(p)``.
        labels: [N], booleans, or 1 = positive and 0 = negative; both classes present.

    Returns:
        (slope, intercept).

    Raises:
        InvalidArgument: if shapes differ, a score is not finite or a class is missing.
    """
    values, positive = _check_both_classes(scores, labels, "calibration needs")
    count = int(positive.sum())
    targets = np.where(positive, (count + 1) / (count + 2), 1 / (len(positive) - count + 2))
    centre, scale = values.mean(), max(float(values.std()), 1e-12)
    design = np.stack([(values - centre) / scale, np.ones_like(values)], axis=1)
    slope, intercept = _logistic_newton(design, targets)
    return PlattScaling(slope / scale, float(intercept - slope * centre / scale))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature T > 0 for which ``sigmoid(logit / T)`` has the least log loss (Guo et al. 2017).

    Found by golden-section search over log T in [-4, 4]. Arguments and errors as for ``fit_platt``, which see.
    """
    values, positive = _check_both_classes(logits, labels, "calibration needs")

    def loss(log_t: float) -> float:
        z = values / np.exp(log_t)
        return float(np.mean(np.logaddexp(0.0, np.where(positive, -z, z))))

    low, high, ratio = -4.0, 4.0, (5**0.5 - 1) / 2
    while high - low > 1e-7:
        inner = high - ratio * (high - low), low + ratio * (high - low)
        if loss(inner[0]) <= loss(inner[1]):
            high = inner[1]
        else:
            low = inner[0]
    return float(np.exp(0.5 * (low + high)))


def fit_isotonic(scores: ArrayLike, labels: ArrayLike) -> IsotonicMap:
    """The rising function with the least squared error, by pooling adjacent violators (Barlow et al. 1972).

    Args:
        scores: [N], at least one, finite.
        labels: [N], booleans, or 1 = positive and 0 = negative.

    Raises:
        InvalidArgument: if they are not that.
    """
    values, positive = _check(scores, labels)
    distinct, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, positive) / counts
    blocks: list[list[float]] = []  # [sum of weights, mean, number of distinct scores]
    for weight, mean in zip(counts.astype(float), means, strict=True):
        blocks.append([weight, float(mean), 1])
        while len(blocks) > 1 and blocks[-2][1] >= blocks[-1][1]:
            weight_b, mean_b, length_b = blocks.pop()
            weight_a, mean_a, length_a = blocks[-1]
            total = weight_a + weight_b
            blocks[-1] = [total, (weight_a * mean_a + weight_b * mean_b) / total, length_a + length_b]
    fitted = np.repeat([mean for _, mean, _ in blocks], [int(length) for _, _, length in blocks])
    # Only the ends of each level are needed.
    keep = np.ones(len(fitted), bool)
    keep[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    return IsotonicMap(distinct[keep], fitted[keep])


def reliability_curve(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 10, binning: Literal["width", "count"] = "width"
) -> Reliability:
    """Predicted against observed share of positives.

    Args:
        probabilities: [N] in 0..1.
        labels: [N], booleans, or 1 = positive and 0 = negative.
        bins: how many.
        binning: ``"width"``: equal parts of [0, 1]; ``"count"``: about equally many items each, equal ones together.
    """
    values, positive = _check(probabilities, labels, least=0)
    one_of(binning, ("width", "count"), "binning")
    if values.size and (values.min() < 0 or values.max() > 1):
        raise InvalidArgument("probabilities lie outside 0..1; calibrate the scores first")
    bins = count_of(bins, "bins")
    if binning == "width":
        index = np.minimum((values * bins).astype(np.intp), bins - 1)
    else:
        edges = np.unique(np.quantile(values, np.arange(1, bins) / bins)) if values.size else np.zeros(0)
        index = np.searchsorted(edges, values, side="right")
    count = np.bincount(index)
    used = count > 0
    predicted = np.bincount(index, values)[used] / count[used]
    observed = np.bincount(index, positive)[used] / count[used]
    return Reliability(predicted, observed, count[used].astype(np.int64))


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 10, binning: Literal["width", "count"] = "width"
) -> float:
    """Mean over the items of |predicted - observed| of their bin (Naeini et al. 2015); NaN without items."""
    curve = reliability_curve(probabilities, labels, bins=bins, binning=binning)
    if not curve.counts.size:
        return float("nan")
    return float(np.average(np.abs(curve.predicted - curve.observed), weights=curve.counts))


def operating_points(
    scores: ArrayLike, labels: ArrayLike, *, sensitivity: float = 0.95, specificity: float = 0.95
) -> dict[str, OperatingPoint]:
    """Thresholds for three uses, chosen on these data: pass validation data.

    Args:
        scores: [N].
        labels: [N], booleans, or 1 = positive and 0 = negative; both classes present.
        sensitivity: at least this for ``high_sensitivity``, at the best specificity.
        specificity: at least this for ``high_specificity``, at the best sensitivity; where no score reaches it, the
            threshold is above them all.

    Returns:
        ``high_sensitivity``, ``balanced`` (greatest sensitivity + specificity, Youden 1950) and ``high_specificity``.
        Thresholds lie half way to the next lower score, so that rounding a score does not change the decision.
    """
    values, positive = _check_both_classes(scores, labels, "operating points need")
    sensitivity, specificity = share_of(sensitivity, "sensitivity"), share_of(specificity, "specificity")
    curve = ranking_curve(values, positive)
    found = np.append(0.0, curve.true_positives) / positive.sum()
    spared = 1 - np.append(0.0, curve.false_positives) / (~positive).sum()
    between = 0.5 * (curve.thresholds + np.append(curve.thresholds[1:], curve.thresholds[-1]))
    thresholds = np.append(np.nextafter(curve.thresholds[0], np.inf), between)
    chosen = {
        "high_sensitivity": int(np.argmax(found >= sensitivity - 1e-12)),
        "balanced": int(np.argmax(found + spared)),
        "high_specificity": len(spared) - 1 - int(np.argmax(spared[::-1] >= specificity - 1e-12)),
    }
    return {name: OperatingPoint(float(thresholds[k]), float(found[k]), float(spared[k])) for name, k in chosen.items()}


def _check(scores: ArrayLike, labels: ArrayLike, *, least: int = 1) -> tuple[Floats, NDArray[np.bool_]]:
    values, positive = scored_items(scores, labels, finite=True)
    if len(values) < least:
        raise InvalidArgument("there are no items; needed: one at least")
    return values, positive


def _check_both_classes(scores: ArrayLike, labels: ArrayLike, who_needs: str) -> tuple[Floats, NDArray[np.bool_]]:
    values, positive = _check(scores, labels)
    if positive.all() or not positive.any():
        raise InvalidArgument(f"labels hold one class only; {who_needs} both")
    return values, positive


def _logistic_newton(design: Floats, targets: Floats) -> tuple[float, float]:
    def loss(weights: Floats) -> float:
        z = design @ weights
        return float(np.sum(np.logaddexp(0.0, z) - targets * z))

    weights = np.array([0.0, np.log(targets.mean() / (1 - targets.mean()))])
    current = loss(weights)
    for _ in range(100):
        p = sigmoid(design @ weights)
        gradient = design.T @ (p - targets)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while loss(weights - size * step) > current and size > 1e-10:
            size *= 0.5
        weights = weights - size * step
        previous, current = current, loss(weights)
        if abs(gradient).max() < 1e-10 * len(targets) or previous - current < 1e-14 * abs(previous):
            break
    return float(weights[0]), float(weights[1])
