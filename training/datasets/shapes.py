"""Regions as datasets store them, each of which fills itself into a mask.

Note [Pixel coordinates]
x is the column and y the row; a pixel's centre has whole coordinates, (0, 0) is the centre of the first pixel.
A pixel belongs to a region if its centre does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .record import DatasetError, Mask


@dataclass(frozen=True, eq=False)
class Polygon:
    """The inside of a closed polygon (winding rule, so that a curve that crosses itself leaves no holes).

    points: float64 [n, 2], (x, y).
    """

    points: NDArray[np.float64]

    def fill(self, size: tuple[int, int]) -> Mask:
        return fill_polygon(self.points, size)


@dataclass(frozen=True)
class Ellipse:
    """An ellipse or circle; theta turns it, in radians, clockwise as seen (y runs down)."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    theta: float = 0.0

    def fill(self, size: tuple[int, int]) -> Mask:
        reach = max(self.radius_x, self.radius_y)
        if not (np.isfinite([self.x, self.y, self.theta, reach]).all() and min(self.radius_x, self.radius_y) > 0):
            raise DatasetError("the ellipse or circle has no finite radius above 0")
        mask = np.zeros(size, bool)
        y0, y1 = clip_range(self.y - reach, self.y + reach + 1, size[0])
        x0, x1 = clip_range(self.x - reach, self.x + reach + 1, size[1])
        dy = np.arange(y0, y1)[:, None] - self.y
        dx = np.arange(x0, x1)[None, :] - self.x
        cos, sin = np.cos(self.theta), np.sin(self.theta)
        along, across = (dx * cos + dy * sin) / self.radius_x, (dy * cos - dx * sin) / self.radius_y
        mask[y0:y1, x0:x1] = along**2 + across**2 <= 1.0
        return mask


@dataclass(frozen=True)
class Box:
    """A rectangle between pixel edges: columns x0 to x1 and rows y0 to y1, the second ones left out."""

    x0: float
    y0: float
    x1: float
    y1: float

    def fill(self, size: tuple[int, int]) -> Mask:
        if not (np.isfinite([self.x0, self.y0, self.x1, self.y1]).all() and self.x1 > self.x0 and self.y1 > self.y0):
            raise DatasetError("the bounding box is empty or not finite")
        mask = np.zeros(size, bool)
        y0, y1 = clip_range(np.floor(self.y0), self.y1, size[0])
        x0, x1 = clip_range(np.floor(self.x0), self.x1, size[1])
        mask[y0:y1, x0:x1] = True
        return mask


@dataclass(frozen=True, eq=False)
class Points:
    """Single pixels, such as point calcifications. points: float64 [n, 2], (x, y)."""

    points: NDArray[np.float64]

    def fill(self, size: tuple[int, int]) -> Mask:
        mask = np.zeros(size, bool)
        columns, rows = np.round(_finite(self.points)).astype(int).T
        inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
        mask[rows[inside], columns[inside]] = True
        return mask


@dataclass(frozen=True, eq=False)
class Trace:
    """A boundary given pixel by pixel: its pixels and what they enclose. points: int [n, 2], (x, y)."""

    points: NDArray[np.int64]

    def fill(self, size: tuple[int, int]) -> Mask:
        from scipy import ndimage  # type: ignore[import-untyped]

        x0, y0 = self.points.min(axis=0)
        x1, y1 = self.points.max(axis=0) + 1
        if (x1 - x0) * (y1 - y0) > 4 * size[0] * size[1]:
            raise DatasetError("the boundary is larger than its image")
        drawn = np.zeros((y1 - y0, x1 - x0), bool)
        drawn[self.points[:, 1] - y0, self.points[:, 0] - x0] = True
        steps = int(np.abs(self.points[0] - self.points[-1]).max()) + 1
        columns, rows = np.linspace(self.points[-1], self.points[0], steps).round().astype(int).T  # closes it
        drawn[rows - y0, columns - x0] = True
        return paste(ndimage.binary_fill_holes(drawn), (int(y0), int(x0)), size)


@dataclass(frozen=True, eq=False)
class Union:
    """Several shapes together."""

    parts: tuple[Polygon, ...]

    def fill(self, size: tuple[int, int]) -> Mask:
        mask = np.zeros(size, bool)
        for part in self.parts:
            mask |= part.fill(size)
        return mask


@dataclass(frozen=True, eq=False)
class RunLength:
    """COCO's run-length code: runs down the columns, the first one background. size: (H, W) it was made for."""

    counts: NDArray[np.int64]
    size: tuple[int, int]

    def fill(self, size: tuple[int, int]) -> Mask:
        if tuple(self.size) != tuple(size):
            raise DatasetError(f"the run-length code is of {self.size[0]} x {self.size[1]}, not {size[0]} x {size[1]}")
        total = int(self.counts.sum()) if self.counts.size else 0
        if total != size[0] * size[1] or (self.counts < 0).any():
            raise DatasetError(f"the runs add up to {total} pixels, {size[0] * size[1]} are due")
        values = np.arange(len(self.counts)) % 2 == 1
        return np.ascontiguousarray(np.repeat(values, self.counts).reshape(size[1], size[0]).T)


@dataclass(frozen=True)
class LabelFile:
    """The pixels of one value in a PNG label map; value None: every pixel above half of the largest."""

    path: Path
    value: int | None = None

    def fill(self, size: tuple[int, int]) -> Mask:
        from PIL import Image

        if not self.path.is_file():
            raise DatasetError(f"missing mask: {self.path.name}")
        with Image.open(self.path) as image:
            labels = np.asarray(image if image.mode.startswith(("I", "L")) else image.convert("L"))
        if labels.shape != tuple(size):
            raise DatasetError(f"the mask is {labels.shape[0]} x {labels.shape[1]}, its image {size[0]} x {size[1]}")
        return np.asarray(labels > 127 if self.value is None else labels == self.value)


def fill_polygon(points: ArrayLike, size: tuple[int, int]) -> Mask:
    """Fill a closed polygon by the winding rule; see Note [Pixel coordinates].

    Every edge leaves +1 or -1 in each row it crosses, at the first pixel centre to its right; the running sum
    along a row is the winding number.

    Args:
        points: [n, 2] (x, y), n >= 3; parts outside the image are cut off.
        size: (H, W) of the mask.

    Raises:
        DatasetError: if there are fewer than three points or one is not finite.
    """
    corners = _finite(points)
    if len(corners) < 3:
        raise DatasetError(f"a polygon of {len(corners)} points")
    mask = np.zeros(size, bool)
    y0, y1 = clip_range(corners[:, 1].min(), corners[:, 1].max() + 1, size[0])
    x0, x1 = clip_range(corners[:, 0].min(), corners[:, 0].max() + 1, size[1])
    if y0 >= y1 or x0 >= x1:
        return mask
    following = np.roll(corners, -1, axis=0)
    (xa, ya), (xb, yb) = corners.T, following.T
    first = np.clip(np.ceil(np.minimum(ya, yb)), y0, y1).astype(int)
    last = np.clip(np.ceil(np.maximum(ya, yb)), y0, y1).astype(int)
    edge = np.repeat(np.arange(len(corners)), last - first)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(last - first) - (last - first), last - first) + first[edge]
    slope = (xb[edge] - xa[edge]) / (yb[edge] - ya[edge])
    columns = np.clip(np.ceil(xa[edge] + (rows - ya[edge]) * slope), x0, x1).astype(int)
    width = x1 - x0 + 1
    turns = np.bincount(
        (rows - y0) * width + columns - x0,
        weights=np.where(yb[edge] > ya[edge], 1.0, -1.0),
        minlength=(y1 - y0) * width,
    )
    mask[y0:y1, x0:x1] = np.cumsum(turns.reshape(-1, width), axis=1)[:, :-1] != 0
    return mask


def polygon_area(points: NDArray[np.float64]) -> float:
    """Area enclosed by a simple closed polygon, points [n, 2] (the shoelace formula)."""
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) / 2.0)


def paste(part: Mask, origin: tuple[int, int], size: tuple[int, int]) -> Mask:
    """A mask of ``size`` with ``part`` at ``origin`` (row, column), cut at the borders."""
    mask = np.zeros(size, bool)
    y0, x0 = origin
    target = mask[max(0, y0) : max(0, y0 + part.shape[0]), max(0, x0) : max(0, x0 + part.shape[1])]
    top, left = max(0, -y0), max(0, -x0)
    target[...] = part[top : top + target.shape[0], left : left + target.shape[1]]
    return mask


def clip_range(low: float, high: float, length: int) -> tuple[int, int]:
    """The whole numbers from ``low`` to below ``high`` that lie in 0 to ``length``, as a half-open range."""
    start = int(np.clip(np.ceil(low), 0, length))
    return start, max(start, int(np.clip(np.ceil(high), 0, length)))


def as_points(values: Sequence[Sequence[float]] | NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [n, 2]."""
    return np.asarray(values, np.float64).reshape(-1, 2)


def _finite(points: ArrayLike) -> NDArray[np.float64]:
    corners = np.asarray(points, np.float64).reshape(-1, 2)
    if not np.isfinite(corners).all() or (corners.size and np.abs(corners).max() > 1e7):
        raise DatasetError("the outline has coordinates that are not finite")
    return corners
