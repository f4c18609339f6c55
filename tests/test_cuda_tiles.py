"""Tiles cut and blended on a GPU: the same kernels here under the emulation, against the CPU's operations."""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import FakeCudaArray, to_numpy

from lcx_fast import InvalidArgument, _core, ops

#: (image shape, scale, tile shape, overlap, mask shape)
PLANS = [
    ((1, 1), (1.0, 1.0), (1, 1), 0.0, None),
    ((33, 97), (1.0, 1.0), (16, 32), 0.25, (5, 4)),
    ((64, 31), (2.0, 2.0), (16, 8), 0.5, None),
    ((97, 64), (1.43, 3.3), (31, 33), 0.25, (9, 9)),
    ((70, 50), (0.7, 0.5), (40, 300), 0.0, None),
    ((90, 80), (7.14, 2.0), (5, 7), 0.9, (3, 3)),
]


def plan(core, index, rng):
    shape, scale, tile, overlap, mask_shape = PLANS[index]
    mask = None if mask_shape is None else rng.random(mask_shape) < 0.5
    grid = core.plan_tiles(shape, scale=scale, tile_shape=tile, overlap=overlap, mask=mask)
    return shape, grid, mask


def on_device(array):
    return None if array is None else FakeCudaArray(array)


@pytest.mark.parametrize("index", range(len(PLANS)))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_tiles_are_those_of_the_cpu(device, index, dtype):
    rng = np.random.default_rng(index)
    shape, grid, mask = plan(device, index, rng)
    image = (rng.random(shape) * 250).astype(dtype)
    if index % 2:
        image = np.asfortranarray(image)
    for window in (None, (10.0, 200.0, 0.3, 0.2)):
        normalisation = None if window is None else ops.Normalisation(*window)
        tiles = ops.extract_tiles(FakeCudaArray(image), grid, normalisation=normalisation, mask=on_device(mask))
        own = _core.plan_tiles(shape, scale=grid.scale, tile_shape=grid.tile_shape, overlap=PLANS[index][3], mask=mask)
        expected = _core.extract_tiles(image, own, normalisation=window, mask=mask, out=None, threads=1)
        np.testing.assert_allclose(to_numpy(tiles), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("index", range(len(PLANS)))
@pytest.mark.parametrize("weights", ["gaussian", "constant"])
@pytest.mark.parametrize("channels", [1, 2])
def test_blending_is_that_of_the_cpu(device, index, weights, channels):
    rng = np.random.default_rng(index)
    shape, grid, mask = plan(device, index, rng)
    own = _core.plan_tiles(shape, scale=grid.scale, tile_shape=grid.tile_shape, overlap=PLANS[index][3], mask=mask)
    tiles = rng.random((len(grid), channels, *grid.tile_shape), np.float32)
    for with_mask in (None, mask):
        found = ops.blend_tiles(FakeCudaArray(tiles), grid, weights=weights, mask=on_device(with_mask))
        expected = _core.blend_tiles(tiles, own, weights=weights, mask=with_mask, threads=1)
        np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-6, atol=1e-7)


def test_identity_network_gives_the_image_back(device):
    image = np.random.default_rng(0).random((70, 53), np.float32)
    grid = device.plan_tiles(image.shape, scale=(1.0, 1.0), tile_shape=(16, 24), overlap=0.25, mask=None)
    blended = ops.blend_tiles(ops.extract_tiles(FakeCudaArray(image), grid), grid)
    np.testing.assert_allclose(to_numpy(blended)[0], image, atol=1e-6, rtol=0)


def test_the_callers_buffer_is_filled(emulated):
    image = np.random.default_rng(0).random((20, 30), np.float32)
    grid = emulated.plan_tiles(image.shape, scale=(1.0, 1.0), tile_shape=(8, 8), overlap=0.25, mask=None)
    out = FakeCudaArray(np.zeros((len(grid), 1, 8, 8), np.float32))
    assert ops.extract_tiles(FakeCudaArray(image), grid, out=out) is out
    np.testing.assert_array_equal(out.to_host(), to_numpy(ops.extract_tiles(FakeCudaArray(image), grid)))
    with pytest.raises(InvalidArgument, match="out is read-only"):
        read_only = FakeCudaArray(np.zeros((len(grid), 1, 8, 8), np.float32), read_only=True)
        ops.extract_tiles(FakeCudaArray(image), grid, out=read_only)
    with pytest.raises(InvalidArgument, match="image is on cuda:0, tiles on cuda:1; both must be on one device"):
        elsewhere = FakeCudaArray(np.zeros((len(grid), 1, 8, 8), np.float32), device=1)
        ops.extract_tiles(FakeCudaArray(image), grid, out=elsewhere)
    with pytest.raises(InvalidArgument, match="image is float64; accepted: uint8, uint16, int16, float32"):
        ops.extract_tiles(FakeCudaArray(image.astype(np.float64)), grid)


def test_neither_waits(emulated):
    image = FakeCudaArray(np.random.default_rng(0).random((20, 30), np.float32))
    grid = emulated.plan_tiles(image.shape, scale=(1.0, 1.0), tile_shape=(8, 8), overlap=0.25, mask=None)
    before = emulated.emulation.counters()["waits"]
    ops.blend_tiles(ops.extract_tiles(image, grid), grid)
    assert emulated.emulation.counters()["waits"] == before


@pytest.mark.parametrize("index", range(len(PLANS)))
def test_one_tile_at_a_time_is_the_same(emulated, index):
    rng = np.random.default_rng(index)
    _, grid, mask = plan(emulated, index, rng)
    tiles = rng.random((len(grid), 2, *grid.tile_shape), np.float32)
    out = FakeCudaArray(np.full((2, *grid.shape), 7, np.float32))
    before = emulated.emulation.counters()["waits"]
    blender = ops.TileBlender(grid, channels=2, mask=on_device(mask), out=out)
    kept = [FakeCudaArray(tile) for tile in tiles]
    for n, tile in enumerate(kept):
        blender.add(n, tile)
    assert blender.finish() is out
    assert emulated.emulation.counters()["waits"] == before
    expected = ops.blend_tiles(FakeCudaArray(tiles), grid, mask=on_device(mask))
    np.testing.assert_allclose(out.to_host(), to_numpy(expected), rtol=1e-6, atol=1e-7)


def rows_apart(array, pad):
    """The same values in rows that lie further apart: the second row begins ``pad`` floats behind a multiple."""
    wider = np.full((*array.shape[:-1], array.shape[-1] + pad), -7, np.float32)
    wider[..., : array.shape[-1]] = array
    return wider[..., : array.shape[-1]]


@pytest.mark.parametrize("width", [1, 3, 4, 5, 8, 31, 32, 33])
@pytest.mark.parametrize("pad", [0, 1, 2, 3, 4])
def test_four_at_a_time_wherever_rows_begin(emulated, width, pad):
    """Accesses of 16 bytes are taken where they can be; nothing is written between the rows."""
    rng = np.random.default_rng(width)
    image = rng.random((9, 37), np.float32)
    grid = emulated.plan_tiles(image.shape, scale=(1.0, 1.0), tile_shape=(5, width), overlap=0.3, mask=None)
    own = _core.plan_tiles(image.shape, scale=(1.0, 1.0), tile_shape=(5, width), overlap=0.3, mask=None)
    tiles = _core.extract_tiles(image, own, normalisation=None, mask=None, out=None, threads=1)
    out = FakeCudaArray(rows_apart(np.zeros_like(tiles), pad))
    ops.extract_tiles(FakeCudaArray(rows_apart(image, pad)), grid, out=out)
    np.testing.assert_array_equal(out.to_host(), tiles)
    noisy = rng.random(tiles.shape, np.float32)
    expected = _core.blend_tiles(noisy, own, weights="gaussian", mask=None, threads=1)
    found = ops.blend_tiles(FakeCudaArray(rows_apart(noisy, pad)), grid)
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-6, atol=1e-7)
    out = FakeCudaArray(rows_apart(np.zeros_like(expected), pad))
    blender = ops.TileBlender(grid, out=out)
    kept = [FakeCudaArray(rows_apart(tile, pad)) for tile in noisy]
    for n, tile in enumerate(kept):
        blender.add(n, tile)
    blender.finish()
    np.testing.assert_allclose(out.to_host(), expected, rtol=1e-6, atol=1e-7)
    between = np.frombuffer(out._memory.read(), np.float32)
    assert (between == -7).sum() == pad * (expected.shape[1] - 1)


def test_a_blender_takes_tiles_of_its_own_device(emulated):
    grid = emulated.plan_tiles((20, 20), scale=(1.0, 1.0), tile_shape=(20, 20), overlap=0.0, mask=None)
    tile = np.zeros((1, 20, 20), np.float32)
    with pytest.raises(InvalidArgument, match="tile is on cuda:0, map on cpu"):
        ops.TileBlender(grid).add(0, FakeCudaArray(tile))
    with pytest.raises(InvalidArgument, match="tile is on cpu, map on cuda:1"):
        ops.TileBlender(grid, out=FakeCudaArray(tile, device=1)).add(0, tile)


def test_breast_mask_is_that_of_the_cpu(device):
    y, x = np.indices((90, 60))
    image = (100 + 900 * (np.hypot(y - 45, x) < 40)).astype(np.float32)
    for layout in (image, np.asfortranarray(image)):
        found = to_numpy(ops.breast_mask(FakeCudaArray(layout)))
        assert found.dtype == bool and found.any() and not found.all()
        np.testing.assert_array_equal(found, _core.breast_mask(image))
