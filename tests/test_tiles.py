"""Tile planning, extraction, resampling and blending against their NumPy definitions."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from lcx_fast import InvalidArgument, Unsupported, _core, ops

DTYPES = [np.uint8, np.uint16, np.int16, np.float32]


def random_image(rng, shape, dtype):
    if np.dtype(dtype).kind == "f":
        return rng.uniform(-1, 1, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def close(actual, expected, scale=1.0):
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-6 * scale)


sizes = st.sampled_from([1, 2, 3, 31, 32, 33, 64, 97])
scales = st.sampled_from([0.5, 0.7, 1.0, 1.5, 2.0, 3.3, 7.14])


@settings(max_examples=80, deadline=None)
@given(
    height=sizes,
    width=sizes,
    scale_y=scales,
    scale_x=scales,
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(["dense", "transposed", "every other", "reversed"]),
    threads=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 2**31),
)
def test_resample_is_the_area_average(height, width, scale_y, scale_x, dtype, layout, threads, seed):
    rng = np.random.default_rng(seed)
    image = random_image(rng, (height, width), dtype)
    if layout == "transposed":
        image = np.asfortranarray(image)
    elif layout == "every other":
        image = np.repeat(np.repeat(image, 2, 0), 2, 1)[::2, ::2]
    elif layout == "reversed":
        image = image[::-1, ::-1]
    actual = ops.resample(image, scale=(scale_y, scale_x), threads=threads)
    expected = reference.resample(image, (scale_y, scale_x))
    assert actual.shape == expected.shape
    close(actual, expected, scale=max(1.0, float(np.abs(image.astype(np.float64)).max())))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(sizes, sizes),
    scale=st.tuples(scales, scales),
    tile=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    mask_shape=st.none() | st.tuples(st.integers(1, 40), st.integers(1, 40)),
    normalise=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_plan_and_extract_equal_the_definition(shape, scale, tile, overlap, mask_shape, normalise, seed):
    rng = np.random.default_rng(seed)
    image = random_image(rng, shape, np.uint16)
    mask = None if mask_shape is None else rng.random(mask_shape) < 0.2
    grid = ops.plan_tiles(shape, scale=scale, tile_shape=tile, overlap=overlap, mask=mask)
    origins = reference.plan_tiles(shape, scale, tile, overlap, mask)
    assert [tuple(o) for o in grid.origins] == origins
    assert len(grid) == len(origins)
    assert grid.shape == reference.grid_shape(shape, scale)
    window = (1000.0, 50000.0, 0.3, 0.2) if normalise else None
    normalisation = ops.Normalisation(*window) if window else None
    tiles = ops.extract_tiles(image, grid, normalisation=normalisation, mask=mask)
    expected = reference.extract_tiles(image, scale, tile, origins, window, mask)
    close(tiles, expected, scale=10.0 if normalise else 65535.0)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    tile=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    kind=st.sampled_from(["gaussian", "constant"]),
    channels=st.integers(1, 3),
    with_mask=st.booleans(),
    threads=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**31),
)
def test_blend_equals_the_definition(shape, tile, overlap, kind, channels, with_mask, threads, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 5)) < 0.5 if with_mask else None
    grid = ops.plan_tiles(shape, tile_shape=tile, overlap=overlap, mask=mask)
    tiles = rng.random((len(grid), channels, *tile), np.float32)
    actual = ops.blend_tiles(tiles, grid, weights=kind, mask=mask, threads=threads)
    expected = reference.blend_tiles(tiles, [tuple(o) for o in grid.origins], grid.shape, kind)
    if mask is not None:
        expected = expected * reference.spread(mask, grid.shape, grid.scale, shape)
    close(actual, expected)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    scale=st.sampled_from([(1.0, 1.0), (0.7, 2.3)]),
    tile=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    kind=st.sampled_from(["gaussian", "constant"]),
    with_mask=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_one_tile_at_a_time_is_the_same(shape, scale, tile, overlap, kind, with_mask, seed):
    rng = np.random.default_rng(seed)
    image = random_image(rng, shape, np.uint16)
    mask = rng.random((7, 5)) < 0.5 if with_mask else None
    grid = ops.plan_tiles(shape, scale=scale, tile_shape=tile, overlap=overlap, mask=mask)
    normalisation = ops.Normalisation(100, 60000, mean=0.2, deviation=0.3)
    tiles = ops.extract_tiles(image, grid, normalisation=normalisation, mask=mask)
    blender = ops.TileBlender(grid, channels=1, weights=kind, mask=mask)
    buffer = np.empty((1, 1, *tile), np.float32)
    for n in range(len(grid)):
        ops.extract_tiles(image, grid.tile(n), normalisation=normalisation, mask=mask, out=buffer)
        assert np.array_equal(buffer[0], tiles[n])
        blender.add(n, buffer[0])
    assert np.array_equal(blender.finish(), ops.blend_tiles(tiles, grid, weights=kind, mask=mask))


@pytest.mark.parametrize(
    ("kind", "tile", "overlap", "keep"),
    [
        ("gaussian", (256, 300), 0.25, 1.0),
        ("constant", (333, 77), 0.6, 1.0),
        ("gaussian", (256, 300), 0.5, 0.02),
        ("gaussian", (251, 307), 0.72, 1.0),
        ("constant", (300, 40), 0.9, 1.0),
        ("constant", (500, 500), 0.0, 0.02),
    ],
)
def test_large_maps_past_the_cache_equal_the_definition(kind, tile, overlap, keep):
    """More than 8 MiB are written in whole lines of the cache; tiles that are missing leave gaps and mixed rows."""
    rng = np.random.default_rng(3)
    shape = (1440, 1501)
    mask = rng.random((11, 13)) < keep
    grid = ops.plan_tiles(shape, tile_shape=tile, overlap=overlap, mask=mask)
    tiles = rng.random((len(grid), 1, *tile), np.float32)
    expected = reference.blend_tiles(tiles, [tuple(o) for o in grid.origins], grid.shape, kind)
    expected = expected * reference.spread(mask, grid.shape, grid.scale, shape)
    blended = ops.blend_tiles(tiles, grid, weights=kind, mask=mask, threads=1)
    close(blended, expected)
    assert np.array_equal(ops.blend_tiles(tiles, grid, weights=kind, mask=mask, threads=3), blended)
    out = np.full((1, shape[0], shape[1] + 5), np.nan, np.float32)[:, :, 3:-2]  # rows begin within lines
    blender = ops.TileBlender(grid, weights=kind, mask=mask, out=out)
    for n, values in enumerate(tiles):
        blender.add(n, values)
    assert np.array_equal(blender.finish(), blended)


def test_tiles_are_added_once_each_and_in_order():
    grid = ops.plan_tiles((40, 40), tile_shape=(16, 16))
    tile = np.zeros((1, 16, 16), np.float32)
    blender = ops.TileBlender(grid)
    with pytest.raises(InvalidArgument, match="the next one is 0"):
        blender.add(1, tile)
    blender.add(0, tile)
    with pytest.raises(InvalidArgument, match="only 1 of"):
        blender.finish()
    with pytest.raises(InvalidArgument, match="needed"):
        blender.add(1, tile[:, :8])
    with pytest.raises(InvalidArgument, match="tile 99"):
        grid.tile(99)


@pytest.mark.parametrize("kind", ["gaussian", "constant"])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_identity_network_gives_the_image_back(kind, overlap):
    image = np.random.default_rng(0).random((700, 533), np.float32)
    grid = ops.plan_tiles(image.shape, tile_shape=(128, 96), overlap=overlap)
    blended = ops.blend_tiles(ops.extract_tiles(image, grid), grid, weights=kind)
    np.testing.assert_allclose(blended[0], image, atol=1e-6, rtol=0)


def test_tiled_and_whole_inference_of_a_local_network_agree():
    def network(x):
        return 1 / (1 + np.exp(-(3 * x * x - x)))

    image = np.random.default_rng(1).random((400, 300), np.float32)
    grid = ops.plan_tiles(image.shape, tile_shape=(96, 96), overlap=0.25)
    blended = ops.blend_tiles(network(ops.extract_tiles(image, grid)), grid)[0]
    np.testing.assert_allclose(blended, network(image), atol=1e-6, rtol=0)


def test_no_mask_pixel_means_no_tile():
    grid = ops.plan_tiles((100, 100), tile_shape=(32, 32), mask=np.zeros((10, 10), bool))
    assert len(grid) == 0
    tiles = ops.extract_tiles(np.ones((100, 100), np.uint8), grid)
    assert tiles.shape == (0, 1, 32, 32)
    assert not ops.blend_tiles(tiles, grid).any()


def test_nan_pixels_become_the_darkest_value():
    image = np.full((4, 4), np.nan, np.float32)
    grid = ops.plan_tiles((4, 4), tile_shape=(4, 4))
    tiles = ops.extract_tiles(image, grid, normalisation=ops.Normalisation(0, 1, mean=0.5, deviation=0.25))
    assert (tiles == -2.0).all()


def test_arguments_are_checked():
    image = np.zeros((10, 10), np.uint16)
    grid = ops.plan_tiles((10, 10), tile_shape=(8, 8))
    for wrong in [image[:5], image.astype(np.float64), image[0], "text"]:
        with pytest.raises(InvalidArgument):
            ops.extract_tiles(wrong, grid)
    with pytest.raises(InvalidArgument, match="high above low"):
        ops.extract_tiles(image, grid, normalisation=ops.Normalisation(5, 5))
    with pytest.raises(InvalidArgument, match="overlap"):
        ops.plan_tiles((10, 10), tile_shape=(8, 8), overlap=1.0)
    with pytest.raises(InvalidArgument, match="scale"):
        ops.plan_tiles((10, 10), tile_shape=(8, 8), scale=(0.0, 1.0))
    with pytest.raises(InvalidArgument, match="weights"):
        ops.blend_tiles(np.zeros((len(grid), 1, 8, 8), np.float32), grid, weights="linear")
    with pytest.raises(InvalidArgument, match="the grid needs"):
        ops.blend_tiles(np.zeros((1, 1, 9, 8), np.float32), grid)


class OnGpu:
    """An array-like that says it is in GPU memory."""

    __cuda_array_interface__: dict = {}  # noqa: RUF012


def test_gpu_arrays_are_refused_with_a_reason():
    """Where the core has no CUDA; else only what is wrong with this one (tests/test_cuda_arrays.py has the rest)."""
    grid = ops.plan_tiles((10, 10), tile_shape=(8, 8))
    error, words = (InvalidArgument, "without shape") if _core.has_cuda else (Unsupported, "no CUDA")
    with pytest.raises(error, match=words):
        ops.extract_tiles(OnGpu(), grid)


class Exporter:
    """A DLPack producer that is no NumPy array."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **arguments):
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_arrays_are_taken():
    image = np.random.default_rng(2).random((20, 20), np.float32)
    grid = ops.plan_tiles(image.shape, tile_shape=(8, 8))
    assert np.array_equal(ops.extract_tiles(Exporter(image), grid), ops.extract_tiles(image, grid))
