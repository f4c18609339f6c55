"""The terms of the baselines and of the ablations, one small function each; conventions as in training.losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy_loss(logits: Tensor, target: Tensor) -> Tensor:
    """L_bce: the mean of -y log p - (1 - y) log(1 - p).

    Args:
        logits: [P], the pixels asked.
        target: bool [P], y.
    """
    return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype)) if logits.numel() else _zero(logits)


def dice_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """L_dice = 1 - (2 sum p y + s) / (sum p + sum y + s). Milletari et al. 2016, V-Net; s keeps 0/0 away.

    Args:
        logits: [P]. target: bool [P], y.
    """
    p, y = torch.sigmoid(logits), target.to(logits.dtype)
    return 1.0 - (2.0 * (p * y).sum() + smooth) / (p.sum() + y.sum() + smooth)


def generalised_cross_entropy_loss(logits: Tensor, target: Tensor, *, q: float = 0.7) -> Tensor:
    """L_q: the mean of (1 - p_y^q) / q, p_y being the probability given to the pixel's label.

    Cross entropy for q -> 0, mean absolute error for q = 1: a pixel whose label the network finds absurd pulls
    less. Zhang & Sabuncu 2018, "Generalized cross entropy loss for training deep networks with noisy labels".

    Args:
        logits: [P]. target: bool [P].
    """
    if not logits.numel():
        return _zero(logits)
    # p_y = sigmoid(+z or -z); its power through the logarithm stays finite for every z.
    signed = torch.where(target, logits, -logits)
    return ((1.0 - torch.exp(q * F.logsigmoid(signed))) / q).mean()


def projection_loss(logits: Tensor, boxes: Tensor) -> Tensor:
    """L_proj: the box's and the map's largest values along x, and along y, are to agree.

    D(max_x p, max_x b) + D(max_y p, max_y b) with D(u, v) = 1 - 2 sum u v / (sum u^2 + sum v^2). BoxInst, Tian
    et al. 2021; there per instance, here for the union of an image's boxes, as one map holds them all.

    Args:
        logits: [H, W].
        boxes: bool [H, W], the union of the bounding boxes; costs zero if empty.
    """
    if not bool(boxes.any()):
        return _zero(logits)
    p, b = torch.sigmoid(logits), boxes.to(logits.dtype)
    total = _zero(logits)
    for axis in (0, 1):
        u, v = p.amax(axis), b.amax(axis)
        total = total + 1.0 - 2.0 * (u * v).sum() / (u.square().sum() + v.square().sum())
    return total


def log_barrier(value: Tensor, *, sharpness: float) -> Tensor:
    """psi_t(v), a smooth price on v > 0: -log(-v) / t for v <= -1/t^2, else t v - log(1/t^2) / t + 1/t.

    The log-barrier extension of Kervadec et al. 2019 (arXiv 1904.04205), also in "Bounding boxes for weakly
    supervised segmentation" (2020). t = ``sharpness``: it nears the hard constraint v <= 0 as t grows.
    """
    t = sharpness
    edge = -1.0 / t**2
    inside = -torch.log(-value.clamp(max=edge)) / t
    return torch.where(value <= edge, inside, t * value - math.log(1.0 / t**2) / t + 1.0 / t)


def outside_barrier_loss(logits: Tensor, outside: Tensor, *, sharpness: float, allowance: float = 0.0) -> Tensor:
    """The log barrier on the emptiness of O: psi_t(mean over O of p - allowance). Both [H, W].

    Kervadec et al. 2020 bound the sum; the mean is the same constraint, its price independent of the image's size.
    """
    p = torch.sigmoid(logits[outside])
    return log_barrier(p.mean() - allowance, sharpness=sharpness) if p.numel() else _zero(logits)


def box_mask(mask: Tensor) -> Tensor:
    """The filled bounding box of a bool mask [H, W]; empty stays empty."""
    rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
    box = torch.zeros_like(mask)
    if rows.numel():
        box[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1] = True
    return box


def _zero(logits: Tensor) -> Tensor:
    return logits.sum() * 0.0
