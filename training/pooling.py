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


def generalised_mean_pool(logits: Tensor, *, power: float) -> Tensor:
    """GeM(p) = (mean p^k)^(1/k) of p = sigmoid(z), as a logit: between the mean (k = 1) and the maximum.

    Radenovic et al. 2018, "Fine-tuning CNN image retrieval with no human annotation"; the ablation of LSE_r.

    Args:
        logits: [P].
        power: k > 0.
    """
    # log p = logsigmoid(z): the mean of powers as a log-sum-exp does not underflow.
    log_mean = (torch.logsumexp(power * F.logsigmoid(logits), dim=0) - math.log(logits.numel())) / power
    # logit of exp(log_mean); log(1 - exp(x)) by expm1, kept off zero where every p is 1
    return log_mean - torch.log((-torch.expm1(log_mean)).clamp_min(1e-7))


def generalised_mean_logit(logits: Tensor, weights: Tensor, *, r: float = 4.0, top_fraction: float = 0.003) -> Tensor:
    """image_logit with the generalised mean, k = r, in the place of log-sum-exp."""
    gem = generalised_mean_pool(logits, power=r)
    top = top_mean_pool(logits, fraction=top_fraction)
    return F.softplus(weights[0]) * gem + F.softplus(weights[1]) * top + weights[2]
