"""Compiled operations on pixel values: at another resolution, by rank, under runs. All are in ``lcx_fast.ops``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _core
from .errors import InvalidArgument

#: An array, or anything that speaks DLPack.
Array = Any


def resample(image: Array, *, scale: tuple[float, float], threads: int = 0, stream: Any = None) -> NDArray[np.float32]:
    """Area-average an image to a coarser (or finer) grid.

    Args:
        image: [H, W]; uint8, uint16, int16 or float32, any strides, not empty.
        scale: image pixels per result pixel along y and x, 1/64 to 4096.
        threads: most threads to use; 0 = all.
        stream: for an image on a GPU, as for the other operations.

    Returns:
        float32 [ceil(H / scale_y), ceil(W / scale_x)], where the image is.
    """
    return resample_many(image, scales=[scale], threads=threads, stream=stream)[0]


def resample_many(
    image: Array, *, scales: Sequence[tuple[float, float]], threads: int = 0, stream: Any = None
) -> list[NDArray[np.float32]]:
    """``resample`` to several grids, the image read from memory once.

    Args:
        image: as in ``resample``.
        scales: of each grid.
        threads: as in ``resample``.
        stream: as in ``resample``.

    Returns:
        One array for each scale.
    """
    try:
        pairs = [(y * 1.0, x * 1.0) for y, x in scales]  # float() would read text
    except (TypeError, ValueError):
        raise InvalidArgument(f"scales {scales}; needed: two numbers for each grid, along y and x") from None
    return _core.resample(image, scales=pairs, threads=threads, stream=stream)


def spread_mask(
    mask: Array, shape: tuple[int, int], *, scale: tuple[float, float], image_shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """A mask at another resolution: each pixel of ``shape`` looks up the mask pixel under its centre.

    Args:
        mask: bool or uint8 [h, w], spread over the whole image; not empty.
        shape: of the result.
        scale: image pixels per result pixel along y and x.
        image_shape: (H, W) of the image.
    """
    return _core.spread_mask(mask, shape, scale=scale, image_shape=image_shape)


def percentiles(values: Array, ranks: Sequence[float], *, mask: Array | None = None, stream: Any = None) -> list[float]:
    """Percentiles of the finite values inside a mask, interpolated linearly between ranks.

    Args:
        values: float32 [H, W].
        ranks: 0 to 100.
        mask: bool or uint8 [H, W]; None takes all values.
        stream: for arrays on a GPU, as for the other operations; waited for.

    Returns:
        One value for each rank; NaN where no value inside is finite.
    """
    try:
        wanted = [rank * 1.0 for rank in ranks]  # float() would read text
    except (TypeError, ValueError):
        raise InvalidArgument(f"ranks {ranks}; needed: a list of numbers from 0 to 100") from None
    return _core.percentiles(values, wanted, mask=mask, stream=stream)


class RunValues(NamedTuple):
    """Values of one region: their mean, maximum, and the mean of the highest tenth (``ceil(area / 10)`` values)."""

    mean: float
    max: float
    top_mean: float


def measure_runs(values: Array, runs: Array) -> RunValues:
    """Summarise the values of one region given as runs.

    Args:
        values: float32 [H, W]; NaN counts as 0.
        runs: int32 [M, 3], (y, x_begin, x_end), half-open, as ``fill_polygons`` returns them.

    Returns:
        All 0 where there is no pixel.
    """
    return RunValues(*_core.measure_runs(values, runs))
