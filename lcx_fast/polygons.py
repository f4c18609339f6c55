"""Polygons as the compiled operations return them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


class Polygons(Sequence[NDArray[Any]]):
    """Arrays [K, 2] of points (y, x), not closed: an immutable sequence of views into one array, made when asked for.

    Attributes:
        points: [P, 2], all polygons' points one behind another.
        offsets: int64 [N + 1]; polygon n is ``points[offsets[n]:offsets[n + 1]]``.
    """

    __slots__ = ("offsets", "points")

    def __init__(self, points: NDArray[Any], offsets: NDArray[np.int64]) -> None:
        self.points = points
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[Any]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | list[NDArray[Any]]:
        if isinstance(index, slice):
            return [self[n] for n in range(len(self))[index]]
        n = range(len(self))[index]
        polygon: NDArray[Any] = self.points[self.offsets[n] : self.offsets[n + 1]]
        return polygon

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Polygons):
            return NotImplemented
        mine, others = (p.points[p.offsets[0] : p.offsets[-1]] for p in (self, other))
        starts = np.array_equal(self.offsets - self.offsets[0], other.offsets - other.offsets[0])
        return starts and np.array_equal(mine, others, equal_nan=mine.dtype.kind == others.dtype.kind == "f")

    def __hash__(self) -> int:
        return hash(("Polygons", len(self)))

    def __repr__(self) -> str:
        return f"Polygons({len(self)} of {len(self.points)} points)"
