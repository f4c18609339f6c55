"""Components, holes, measurements, outlines and lesions on a GPU: the same kernels here under the emulation.

What is compared with is the CPU's operation, which tests/test_regions.py holds to its definition.
"""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import FakeCudaArray, to_numpy

from lcx_fast import _core, ops

SHAPES = [(1, 1), (1, 70), (65, 1), (2, 31), (3, 32), (5, 33), (31, 64), (40, 257), (70, 130)]


def spiral(shape):
    y, x = np.indices(shape) - np.array(shape)[:, None, None] / 2
    return np.sin(np.hypot(y, x) * 1.5 + np.arctan2(y, x)) > 0


def masks(shape, rng):
    """Masks from empty to full, and some that labelling algorithms dislike."""
    y, x = np.indices(shape)
    yield from (rng.random(shape) < density for density in (0.0, 0.1, 0.4, 0.5, 0.6, 0.9, 1.0))
    yield spiral(shape)
    yield (x % 2 == 0) | (y == 0)  # comb
    yield (x % 2 == 0) | (y == shape[0] - 1)
    yield (x + y) % 2 == 0  # checkerboard
    yield (y // 3 + x // 40) % 2 == 0


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("connectivity", [4, 8])
def test_labels_are_those_of_the_cpu(emulated, shape, connectivity):
    for mask in masks(shape, np.random.default_rng(0)):
        labels, count = ops.label_components(FakeCudaArray(mask), connectivity=connectivity)
        expected, expected_count = _core.label_components(mask, connectivity=connectivity, threads=1)
        assert count == expected_count
        assert np.array_equal(to_numpy(labels), expected)
