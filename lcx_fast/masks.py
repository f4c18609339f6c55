"""Masks made and mended: ``lcx_fast.ops`` has these functions too, and says what holds for all of them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import _core

__all__ = ["fill_holes", "hysteresis", "remove_small"]

#: An array, or anything that speaks DLPack.
Array = Any


def fill_holes(mask: Array, *, threads: int = 0, stream: Any = None) -> NDArray[np.bool_]:
    """Make background that is not 4-connected to the border foreground.

    Args:
        mask: bool or uint8 [H, W], nonzero = foreground.
        threads: most threads to use; 0 = all.
        stream: for arrays on a GPU; see above.
    """
    filled: NDArray[np.bool_] = _core.fill_holes(mask, threads=threads, stream=stream)
    return filled


def remove_small(
    mask: Array, *, min_area: int, connectivity: Literal[4, 8] = 8, threads: int = 0, stream: Any = None
) -> NDArray[np.bool_]:
    """Remove the connected components of fewer pixels than ``min_area``.

    Args:
        mask: bool or uint8 [H, W], nonzero = foreground.
        min_area: pixels, at least 0.
        connectivity: 4 or 8.
        threads: most threads to use; 0 = all.
        stream: for arrays on a GPU; see above.
    """
    kept: NDArray[np.bool_] = _core.remove_small(
        mask, min_area=min_area, connectivity=connectivity, threads=threads, stream=stream
    )
    return kept


def hysteresis(
    values: Array, *, low: float, high: float, connectivity: Literal[4, 8] = 8, threads: int = 0, stream: Any = None
) -> NDArray[np.bool_]:
    """The pixels of at least ``low`` that are connected to one of at least ``high``.

    Args:
        values: float32 [H, W], where NaN counts as below every threshold.
        low: finite, at most ``high``.
        high: finite.
        connectivity: 4 or 8.
        threads: most threads to use; 0 = all.
        stream: for arrays on a GPU; see above.
    """
    mask: NDArray[np.bool_] = _core.hysteresis(
        values, low=low, high=high, connectivity=connectivity, threads=threads, stream=stream
    )
    return mask
