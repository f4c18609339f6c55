"""The four zones of a training image that the losses speak of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -1  # label of an outlined region that is neither lesion nor background (skin thickening, say)


@dataclass(frozen=True)
class Zones:
    """Boolean masks [H, W] of one image.

    breast: B. lesions: A_k, one per finding. inside: A, their union. ring: R, the pixels of B within the ring
    width of A or of an ignored region. outside: O = B minus A minus R minus ignored regions.
    """

    breast: Tensor
    lesions: tuple[Tensor, ...]
    inside: Tensor
    ring: Tensor
    outside: Tensor


def zones(labels: Tensor, breast: Tensor, *, ring_px: float) -> Zones:
    """Split an image into its zones.

    Args:
        labels: int [H, W]; 0 nothing, k > 0 the filled outline of finding k, IGNORED an ignored region.
        breast: bool [H, W].
        ring_px: width of the ring R in pixels (1 mm divided by the pixel spacing).
    """
    inside = (labels > 0) & breast
    marked = labels != 0
    near = dilate_disk(marked, radius=ring_px) & breast
    finding_ids = [int(k) for k in torch.unique(labels) if k > 0]
    lesions = tuple(mask for k in finding_ids if bool((mask := (labels == k) & breast).any()))
    return Zones(breast=breast, lesions=lesions, inside=inside, ring=near & ~marked, outside=breast & ~near & ~marked)


def dilate_disk(mask: Tensor, *, radius: float) -> Tensor:
    """All pixels within ``radius`` pixels (Euclidean) of a set pixel of the bool mask [H, W]."""
    reach = math.floor(radius)
    offsets = torch.arange(-reach, reach + 1, device=mask.device)
    disk = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2).to(torch.float32)
    hits = F.conv2d(mask[None, None].to(torch.float32), disk[None, None], padding=reach)
    return hits[0, 0] > 0.5
