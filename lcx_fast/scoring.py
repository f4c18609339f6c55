"""Scores of an image and of a region, made from a probability map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .model import ImageScoring

#: Probabilities are kept this far from 0 and 1 before the logit is taken.
EPSILON = 1e-6


def image_score(probability: NDArray[np.float32], breast: NDArray[np.bool_], scoring: ImageScoring) -> float:
    """An image's score from the evidence of one map alone.

    ``sigmoid(a1 LSE + a2 Top + b)`` over the breast, with ``LSE = log(mean(exp(r z))) / r`` (Pinheiro and Collobert
    2015) and ``Top`` the mean of the highest ``top_fraction`` of the logits z (at least one).

    Args:
        probability: float32 [H, W].
        breast: bool [H, W].
        scoring: the model's constants.

    Returns:
        0..1; 0 where there is no breast.
    """
    inside = probability[breast].astype(np.float64)
    if inside.size == 0:
        return 0.0
    inside = np.clip(inside, EPSILON, 1 - EPSILON)
    # In odds, so that only the top few need a logarithm: exp(r z) = odds ** r, and odds ascend with z.
    odds = inside / (1 - inside)
    peak = odds.max()
    log_sum_exp = np.log(peak) + np.log(np.mean(power(odds / peak, scoring.lse_r))) / scoring.lse_r
    count = top_count(odds.size, scoring.top_fraction)
    top = np.mean(np.log(np.partition(odds, odds.size - count)[odds.size - count :]))
    return float(1 / (1 + np.exp(-(scoring.a1 * log_sum_exp + scoring.a2 * top + scoring.b))))


def power(values: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """``values ** exponent``; by squaring for the usual exponent 4, which is some twenty times as fast."""
    if exponent == 4.0:
        squares = values * values
        return squares * squares
    return np.asarray(values**exponent)


def top_count(size: int, fraction: float) -> int:
    """``ceil(fraction * size)``, at least 1."""
    return max(1, int(np.ceil(fraction * size - 1e-9)))
