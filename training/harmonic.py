"""Values at a region's edge continued into it: what one would expect there if nothing lay inside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]
from scipy.sparse.linalg import spsolve  # type: ignore[import-untyped]

Floats = NDArray[np.float64]

#: Weight of a pixel's pull to the region's mean. Without it a part of the region that meets no known pixel has no
#: solution; with it that part gets the mean, and everywhere else it is too weak to be seen.
_PULL = 1e-9


def harmonic_continuation(values: Floats, region: NDArray[np.bool_], known: NDArray[np.bool_]) -> Floats:
    """The discrete solution of Laplace's equation in ``region``, where its 4-neighbours in ``known`` keep their values.

    Neighbours that are neither, and those beyond the image, do not count: nothing flows over that edge (Neumann). The
    membrane of Perez, Gangnet and Blake 2003, "Poisson image editing".

    Args:
        values: float64 [H, W].
        region: bool [H, W], where a value is looked for.
        known: bool [H, W], whose values hold; pixels of the region among them are not looked at.

    Returns:
        float64 [H, W]: ``values`` outside the region; within, between the least and the greatest known value at its
        edge. A part of the region (4-connected) without known neighbour gets the mean of ``values`` in the region.
    """
    result: Floats = values.copy()
    count = int(np.count_nonzero(region))
    if count == 0:
        return result
    number = np.full(region.shape, -1)
    number[region] = np.arange(count)
    number = np.pad(number, 1, constant_values=-1)
    outside = np.pad(known & ~region, 1)
    padded = np.pad(values, 1)
    height, width = region.shape
    neighbours, ends = np.full(count, _PULL), np.full(count, _PULL * values[region].mean())
    rows, columns = [], []
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        beside = (slice(y, y + height), slice(x, x + width))
        other, is_known = number[beside][region], outside[beside][region]
        neighbours += (other >= 0) | is_known
        ends += np.where(is_known, padded[beside][region], 0.0)
        rows.append(np.flatnonzero(other >= 0))
        columns.append(other[other >= 0])
    row, column = np.concatenate(rows), np.concatenate(columns)
    laplacian = sparse.diags(neighbours) - sparse.coo_matrix((np.ones(len(row)), (row, column)), shape=(count, count))
    result[region] = spsolve(laplacian.tocsc(), ends)
    return result
