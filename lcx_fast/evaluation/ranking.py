"""Scores against labels: ROC and precision-recall, with weights that a bootstrap can vary.

Equal scores are one threshold: no rule can tell them apart, so they enter the curves together and count half in the
area under the ROC curve (Mann-Whitney). ``weights`` holds one row per resample, each item counted that many times; the
result then has one value per row, and each row equals the plain result on the items repeated so.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..by_value import by_value
from ..errors import InvalidArgument
from .checks import floats_of, grouped, scored_items

Floats = NDArray[np.float64]


@by_value
class RankingCurve(NamedTuple):
    """Counts at each distinct score, highest first: items scoring at least that much.

    Attributes:
        thresholds: float64 [K], descending.
        true_positives: [K].
        false_positives: [K].
    """

    thresholds: Floats
    true_positives: Floats
    false_positives: Floats


@by_value
class Groups(NamedTuple):
    """What is left of several views: the highest score, whether any is positive, and the group it stands for."""

    scores: Floats
    labels: NDArray[np.bool_]
    keys: list[Any]


def roc_auc(scores: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> Any:
    """Area under the ROC curve; equal scores count half (Mann-Whitney).

    Args:
        scores: [N], not NaN.
        labels: [N], booleans, or 1 = positive and 0 = negative.
        weights: [B, N], not negative; see the module's text.

    Returns:
        A float, or float64 [B] with weights; NaN where one of the classes is missing.

    Raises:
        InvalidArgument: for shapes that differ, NaN, labels that are no numbers or below 0, or negative weights.
    """
    positive, negative, _ = _by_threshold(scores, labels, weights)
    # The groups come highest first; below means after.
    negatives = negative.sum(axis=1, keepdims=True)
    below = negatives - np.cumsum(negative, axis=1)
    area = (positive * (below + 0.5 * negative)).sum(axis=1)
    return _result(area, positive.sum(axis=1) * negatives[:, 0], weights)


def ranking_average_precision(scores: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> Any:
    """Average precision of a ranking, not interpolated: the sum of (R_k - R_{k-1}) P_k over the distinct scores.

    Arguments, result and errors as for ``roc_auc``; NaN where there is no positive.
    """
    positive, negative, _ = _by_threshold(scores, labels, weights)
    kept = np.cumsum(positive, axis=1)
    total = kept + np.cumsum(negative, axis=1)
    precision = kept / np.where(total > 0, total, 1.0)
    return _result((positive * precision).sum(axis=1), positive.sum(axis=1), weights)


def ranking_curve(scores: ArrayLike, labels: ArrayLike) -> RankingCurve:
    """The counts that ROC and precision-recall curves are drawn from."""
    positive, negative, thresholds = _by_threshold(scores, labels, None)
    return RankingCurve(thresholds, np.cumsum(positive[0]), np.cumsum(negative[0]))


def max_by_group(scores: ArrayLike, labels: ArrayLike, keys: Sequence[Hashable]) -> Groups:
    """One score for all views of a breast (or a patient): the highest; positive if any view is.

    Args:
        scores: [N].
        labels: [N], booleans, or 1 = positive and 0 = negative.
        keys: N, for example (patient, laterality).

    Returns:
        Groups in order of their first appearance.

    Raises:
        InvalidArgument: as ``roc_auc``.
    """
    values, positive = scored_items(scores, labels)
    if len(values) != len(keys):
        raise InvalidArgument(f"{len(values)} scores, {len(positive)} labels, {len(keys)} keys; needed: equally many")
    names, index = grouped(keys, "keys")
    highest, any_positive = np.full(len(names), -np.inf), np.zeros(len(names), bool)
    np.maximum.at(highest, index, values)
    np.logical_or.at(any_positive, index, positive)
    return Groups(highest, any_positive, names)


def distinct_ends(ordered: Floats) -> NDArray[np.intp]:
    """Index of the last of each stretch of equal values."""
    if not ordered.size:
        return np.zeros(0, np.intp)
    return np.append(np.nonzero(ordered[1:] != ordered[:-1])[0], ordered.size - 1)


def check_weights(weights: ArrayLike | None, count: int) -> Floats:
    """float64 [B, count]; one row of ones for None."""
    if weights is None:
        return np.ones((1, count))
    rows = floats_of(weights, "weights")
    if rows.ndim != 2 or rows.shape[1] != count:
        raise InvalidArgument(f"weights have shape {rows.shape}; needed: [B, {count}]")
    if not (rows >= 0).all():
        raise InvalidArgument("weights hold a negative value or NaN; needed: 0 or more")
    return rows


def _by_threshold(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Weight of the positives and of the negatives at each distinct score, [B, K] each; the scores, descending."""
    values, positive = scored_items(scores, labels)
    rows = check_weights(weights, len(values))
    order = np.argsort(-values, kind="stable")
    ends = distinct_ends(values[order])
    if not ends.size:
        return np.zeros((len(rows), 0)), np.zeros((len(rows), 0)), np.zeros(0)
    starts = np.append(0, ends[:-1] + 1)
    ordered = rows[:, order]
    is_positive = positive[order]
    return (
        np.add.reduceat(ordered * is_positive, starts, axis=1),
        np.add.reduceat(ordered * ~is_positive, starts, axis=1),
        values[order][ends],
    )


def _result(numerator: Floats, denominator: Floats, weights: ArrayLike | None) -> Any:
    quotient = np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), np.nan)
    return float(quotient[0]) if weights is None else quotient
