"""The terms of the loss, one small function each.

Every function takes the logits z of one map of one image and masks of that image, and returns a scalar; an
empty zone costs zero. p = sigmoid(z), so that -log(1-p) = softplus(z) and -log p = softplus(-z).

Formulas without a source named are this project's reading of the LatentCADx abstract (An et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# Half of the eight neighbours; the other half are the same pairs seen from the other side.
_PAIR_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


def classification_loss(score_logit: Tensor, target: float) -> Tensor:
    """L_cls = BCE(sigmoid(s), y) of one image score s (scalar)."""
    return F.softplus(score_logit) - target * score_logit


def outside_loss(logits: Tensor, outside: Tensor) -> Tensor:
    """L_out, the strict penalty: the mean over O of -log(1 - p). Both [H, W]."""
    values = logits[outside]
    return F.softplus(values).mean() if values.numel() else _zero(logits)


def hard_outside_loss(logits: Tensor, outside: Tensor, *, fraction: float = 0.005) -> Tensor:
    """L_hard: the same over the hardest ``fraction`` of O (at least one pixel).

    Online hard example mining per pixel; Shrivastava et al. 2016.
    """
    values = logits[outside]
    if not values.numel():
        return _zero(logits)
    count = max(1, math.ceil(fraction * values.numel()))
    return F.softplus(values.topk(count).values).mean()


def inside_bag_loss(logits: Tensor, lesions: Sequence[Tensor], *, top_fraction: float) -> Tensor:
    """L_in: for each A_k the mean of -log p over its most probable ``top_fraction`` pixels; mean over k.

    A multiple-instance bag: some of the outline is lesion, it is not said which (Hsu et al. 2019).
    """
    terms = []
    for lesion in lesions:
        values = logits[lesion]
        count = max(1, math.ceil(top_fraction * values.numel()))
        terms.append(F.softplus(-values.topk(count).values).mean())
    return _mean(terms, logits)


def size_loss(logits: Tensor, lesions: Sequence[Tensor], *, floor: float, ceiling: float) -> Tensor:
    """L_size: for each A_k (floor - m)+^2 + (m - ceiling)+^2 with m = mean of p in A_k; mean over k.

    Kervadec et al. 2019, "Constrained-CNN losses for weakly supervised segmentation".
    """
    terms = []
    for lesion in lesions:
        mean = torch.sigmoid(logits[lesion]).mean()
        terms.append(F.relu(floor - mean) ** 2 + F.relu(mean - ceiling) ** 2)
    return _mean(terms, logits)


def pairwise_loss(
    logits: Tensor,
    image: Tensor,
    inside: Tensor,
    *,
    distance: int = 2,
    similarity_threshold: float = 0.45,
    theta: float = 0.1,
) -> Tensor:
    """L_pair: neighbours inside A that look alike get the same label.

    -log(p_i p_j + (1 - p_i)(1 - p_j)), averaged over the pairs of pixels ``distance`` apart in eight
    directions, both inside A, whose similarity exp(-|I_i - I_j| / theta) exceeds the threshold.
    BoxInst, Tian et al. 2021, with grey values in place of LAB colour.

    Args:
        logits: [H, W].
        image: [H, W], grey values in 0..1.
        inside: bool [H, W], the union A.
    """
    if not bool(inside.any()):
        return _zero(logits)
    # Only the bounding box of A can hold a pair.
    rows, columns = torch.nonzero(inside.any(1))[:, 0], torch.nonzero(inside.any(0))[:, 0]
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    logits, image, inside = logits[box], image[box], inside[box]
    log_p, log_q = -F.softplus(-logits), -F.softplus(logits)
    total, pairs = _zero(logits), 0
    for dy, dx in _PAIR_DIRECTIONS:
        first, second = _shifted(logits.shape, dy * distance, dx * distance)
        alike = torch.exp(-(image[first] - image[second]).abs() / theta) > similarity_threshold
        chosen = alike & inside[first] & inside[second]
        same = torch.logaddexp(log_p[first] + log_p[second], log_q[first] + log_q[second])
        total = total - same[chosen].sum()
        pairs += int(chosen.sum())
    return total / max(1, pairs)


def sharpness_loss(logits: Tensor, breast: Tensor) -> Tensor:
    """L_sharp: the mean over B of 4 p (1 - p), which is 1 at p = 0.5 and 0 at certainty.

    The Gini form of entropy minimisation (Grandvalet & Bengio 2004); it lowers the count of confused pixels.
    """
    p = torch.sigmoid(logits[breast])
    return (4.0 * p * (1.0 - p)).mean() if p.numel() else _zero(logits)


def _shifted(shape: torch.Size, dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of all pixel pairs (y, x), (y + dy, x + dx) that lie in the array."""
    height, width = shape
    first = (slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx)))
    second = (slice(max(0, dy), height - max(0, -dy)), slice(max(0, dx), width - max(0, -dx)))
    # An array smaller than the shift holds no pair; a negative stop must not wrap round.
    if abs(dy) >= height or abs(dx) >= width:
        empty = (slice(0, 0), slice(0, 0))
        return empty, empty
    return first, second


def _mean(terms: Sequence[Tensor], logits: Tensor) -> Tensor:
    return torch.stack(list(terms)).mean() if terms else _zero(logits)


def _zero(logits: Tensor) -> Tensor:
    return logits.sum() * 0.0
