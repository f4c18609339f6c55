"""Averages of images, and bytes packed and unpacked, on a GPU: the same kernels here under the emulation."""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import FakeCudaArray, to_numpy

from lcx_fast import InvalidArgument, _core, ops


def image_of(shape, dtype, seed=0):
    values = np.random.default_rng(seed).uniform(0, 250 if dtype == np.uint8 else 4000, shape)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("scale", [(2.0, 2.0), (2.5, 7.14), (8.0, 31.9), (1.0, 1.0), (0.5, 0.7), (64.0, 256.0)])
def test_averages_are_those_of_the_cpu(device, dtype, scale):
    for shape in [(1, 1), (9, 33), (40, 160), (17, 1000)]:
        image = image_of(shape, dtype)
        found = to_numpy(ops.resample(FakeCudaArray(image), scale=scale))
        np.testing.assert_array_equal(found, _core.resample(image, scales=[scale], threads=1)[0])


@pytest.mark.parametrize(
    "view", [np.s_[:, 1:], np.s_[::-1, :], np.s_[:, ::2], np.s_[3:, 8:-5], np.s_[:, ::-1]], ids=str
)
def test_rows_that_do_not_begin_at_whole_words(device, view):
    image = image_of((30, 320), np.uint16)[view]
    for scale in [(3.0, 4.5), (1.5, 300.0)]:
        found = to_numpy(ops.resample(FakeCudaArray(image), scale=scale))
        np.testing.assert_array_equal(found, _core.resample(image, scales=[scale], threads=1)[0])


def test_a_row_of_more_columns_than_a_block_holds(device):
    image = image_of((5, 5000), np.uint16)
    for scale in [(2.0, 2.0), (2.0, 2.7), (1.0, 255.9), (5.0, 1000.0)]:
        found = to_numpy(ops.resample(FakeCudaArray(image), scale=scale))
        np.testing.assert_array_equal(found, _core.resample(image, scales=[scale], threads=1)[0])


def test_several_grids_and_what_is_refused(device):
    image = image_of((40, 50), np.float32)
    found = ops.resample_many(FakeCudaArray(image), scales=[(2.0, 3.0), (4.0, 4.0)])
    wanted = _core.resample(image, scales=[(2.0, 3.0), (4.0, 4.0)], threads=1)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(to_numpy(one), other)
    with pytest.raises(InvalidArgument, match="scale"):
        ops.resample(FakeCudaArray(image), scale=(0.0, 1.0))
    with pytest.raises(InvalidArgument):
        ops.resample(FakeCudaArray(image[:0]), scale=(1.0, 1.0))


@pytest.mark.parametrize("width", [1, 15, 16, 17, 31, 33, 64, 79, 100, 513])
def test_bytes_of_every_alignment_are_packed_and_unpacked(device, width):
    rng = np.random.default_rng(width)
    wide = rng.choice(np.uint8([0, 0, 1, 2, 128, 255]), (7, width + 21))
    for start in (0, 1, 2, 3, 5, 16):
        mask = wide[:, start : start + width]
        found = to_numpy(ops.fill_holes(FakeCudaArray(mask)))
        np.testing.assert_array_equal(found, _core.fill_holes(mask, threads=1))
