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
    z = np.log(inside / (1 - inside))
    peak = z.max()
    log_sum_exp = peak + np.log(np.mean(np.exp(scoring.lse_r * (z - peak)))) / scoring.lse_r
    top = top_mean(z, scoring.top_fraction)
    return float(1 / (1 + np.exp(-(scoring.a1 * log_sum_exp + scoring.a2 * top + scoring.b))))


def top_mean(values: NDArray[np.floating], fraction: float) -> float:
    """Mean of the highest ``ceil(fraction * n)`` values, at least one of them."""
    count = max(1, int(np.ceil(fraction * values.size - 1e-9)))
    return float(np.mean(np.partition(values, values.size - count)[values.size - count :]))
