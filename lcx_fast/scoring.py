"""Scores of an image and of a region, made from a probability map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import _core
from .model import ImageScoring


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
    return _core.image_score(
        probability,
        breast,
        lse_r=scoring.lse_r,
        top_fraction=scoring.top_fraction,
        a1=scoring.a1,
        a2=scoring.a2,
        b=scoring.b,
    )
