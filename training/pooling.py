"""The image score, computed from a map alone, so that the evidence for the class is the mask itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def log_sum_exp_pool(logits: Tensor, *, r: float) -> Tensor:
    """LSE_r(z) = (1/r) log mean exp(r z): between the mean (r -> 0) and the maximum (r -> inf).

    Pinheiro & Collobert 2015, "From image-level to pixel-level labeling with convolutional networks".

    Args:
        logits: [P], the pixels of the breast.
        r: sharpness, > 0.
    """
    return (torch.logsumexp(r * logits, dim=0) - math.log(logits.numel())) / r


def top_mean_pool(logits: Tensor, *, fraction: float) -> Tensor:
    """TopT(z): the mean of the highest ``fraction`` of the pixels [P], at least one."""
    count = max(1, math.ceil(fraction * logits.numel()))
    return logits.topk(count).values.mean()


def image_logit(logits: Tensor, weights: Tensor, *, r: float = 4.0, top_fraction: float = 0.003) -> Tensor:
    """s = softplus(a1) LSE_r + softplus(a2) TopT + b; the image score is sigmoid(s).

    Args:
        logits: [P], one map's logits over the breast B, P > 0.
        weights: [3], (a1, a2, b) before the softplus.
    """
    lse = log_sum_exp_pool(logits, r=r)
    top = top_mean_pool(logits, fraction=top_fraction)
    return F.softplus(weights[0]) * lse + F.softplus(weights[1]) * top + weights[2]
