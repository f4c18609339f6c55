"""The breast and percentiles on a GPU: the same kernels here under the emulation, against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import FakeCudaArray, to_numpy
from test_breast_mask import AWKWARD_SHAPES, digital, film

from lcx_fast import InvalidArgument, _core, ops


def same_breast(image):
    found = to_numpy(ops.breast_mask(FakeCudaArray(image)))
    wanted = _core.breast_mask(image)
    np.testing.assert_array_equal(found, wanted)
    return wanted


@pytest.mark.parametrize("shape", AWKWARD_SHAPES, ids=str)
def test_awkward_shapes(device, shape):
    rng = np.random.default_rng(0)
    same_breast(rng.random(shape, np.float32))
    same_breast((rng.random(shape) < 0.3).astype(np.float32))
    same_breast(np.zeros(shape, np.float32))


def scenes():
    rng = np.random.default_rng(3)
    shape = (250, 200)
    yield "digital", digital(shape, rng)[0]
    yield "mirrored", digital(shape, rng)[0][:, ::-1]
    yield "film", film(rng)[0][::2, ::2]
    yield "all troubles", film(rng, frame=14, black_frame=4, leak=True, scratch=True)[0][::2, ::2]
    yield "light leak", film(rng, leak=True)[0]
    yield "no background", digital(shape, rng)[0][100:160, :60]
    yield "frame of a comb", np.tile(np.float32([0, 900, 0]), (90, 33))
    dark = digital(shape, rng)[0]
    dark[::7, ::5] = np.nan
    dark[1, 1:4] = np.inf, -np.inf, 1e30
    yield "not finite", dark
    yield "two regions alike", np.pad(np.ones((30, 20), np.float32), ((20, 20), (10, 10)))[:, list(range(40)) * 2]
    yield "infinities only", np.full((5, 6), np.inf, np.float32)


@pytest.mark.parametrize(("name", "image"), list(scenes()), ids=lambda part: part if isinstance(part, str) else "")
def test_scenes(device, name, image):
    mask = same_breast(np.ascontiguousarray(image) if name != "mirrored" else image)
    if name in ("digital", "film", "light leak"):
        assert 0.05 < mask.mean() < 0.95


def test_random_images_of_blocks(emulated):
    rng = np.random.default_rng(4)
    for _ in range(12):
        shape = rng.integers(1, 150, 2)
        cell = int(rng.integers(1, 12))
        blocks = rng.random((shape[0] // cell + 1, shape[1] // cell + 1)) * (rng.random() < 0.8)
        image = np.kron(blocks > 0.6, np.ones((cell, cell)))[: shape[0], : shape[1]] + 0.02 * rng.random(shape)
        same_breast(image.astype(np.float32))


def test_nothing_waits(emulated):
    image = digital((120, 90), np.random.default_rng(5))[0]
    on_device = FakeCudaArray(image)
    to_numpy(ops.breast_mask(on_device))
    before = emulated.emulation.counters()
    mask = ops.breast_mask(on_device)
    after = emulated.emulation.counters()
    assert after["waits"] == before["waits"]
    np.testing.assert_array_equal(to_numpy(mask), _core.breast_mask(image))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (31, 33), (90, 71)], ids=str)
@pytest.mark.parametrize("kind", ["smooth", "few values", "not finite", "nothing finite"])
def test_percentiles_are_those_of_the_cpu(device, shape, kind):
    rng = np.random.default_rng(6)
    values = rng.normal(0, 100, shape).astype(np.float32)
    if kind == "few values":
        values = rng.choice(np.float32([-0.0, 0.0, -3.5, 7, 7.25]), shape)
    elif kind == "not finite":
        values[rng.random(shape) < 0.4] = rng.choice(np.float32([np.nan, np.inf, -np.inf]))
    elif kind == "nothing finite":
        values[:] = np.nan
    ranks = [0, 1, 99.5, 100, 50, 33.3, 12.5, 88, 71.7]
    for mask in (None, rng.random(shape) < 0.5, np.zeros(shape, bool)):
        own = None if mask is None else FakeCudaArray(mask)
        found = ops.percentiles(FakeCudaArray(values), ranks, mask=own)
        np.testing.assert_array_equal(found, _core.percentiles(values, ranks, mask=mask))
    strided = values[::-1, ::2]
    np.testing.assert_array_equal(
        ops.percentiles(FakeCudaArray(strided), ranks), _core.percentiles(strided, ranks, mask=None)
    )


def test_what_does_not_fit_is_refused(device):
    values = np.ones((3, 4), np.float32)
    with pytest.raises(InvalidArgument, match="shapes must be equal"):
        ops.percentiles(FakeCudaArray(values), [50], mask=FakeCudaArray(np.ones((4, 3), bool)))
    with pytest.raises(InvalidArgument, match="must be within 0 and 100"):
        ops.percentiles(FakeCudaArray(values), [101])
