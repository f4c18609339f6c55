"""What the compiled operations say of regions of a mask. All are names of ``lcx_fast.ops``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .by_value import by_value
from .polygons import Polygons


@by_value
class Contours(NamedTuple):
    """Outlines of a mask: int32 [K, 2] polygons of pixel corners (y, x), and which of them are holes."""

    polygons: Polygons
    is_hole: NDArray[np.bool_]


@by_value
@dataclass(frozen=True, eq=False)
class RegionProps:
    """Measurements of N regions.

    Attributes:
        area: int64 [N], pixels.
        bounding_box: int32 [N, 4], half-open (y0, x0, y1, x1).
        centroid: float64 [N, 2], mean of the pixel centres (y, x); NaN for a label without pixels.
        mean: float32 [N] of the values, or None without values; likewise ``max`` and ``top_mean``.
        max: float32 [N].
        top_mean: float32 [N], mean of the highest tenth (``ceil(area / 10)`` values).
    """

    area: NDArray[np.int64]
    bounding_box: NDArray[np.int32]
    centroid: NDArray[np.float64]
    mean: NDArray[np.float32] | None = None
    max: NDArray[np.float32] | None = None
    top_mean: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.area)


@by_value
@dataclass(frozen=True, eq=False)
class Regions(RegionProps):
    """``RegionProps`` with an outer outline each.

    Attributes:
        outlines: N arrays, float64 [K, 2] (y, x), clockwise on screen.
    """

    outlines: Sequence[NDArray[np.float64]] = ()
