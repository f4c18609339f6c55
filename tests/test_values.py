"""Resampling to several grids, masks at another resolution, percentiles and scores against their NumPy definitions."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from lcx_fast import InvalidArgument, _core, ops

sizes = st.sampled_from([1, 2, 3, 31, 32, 33, 64, 97])
scales = st.sampled_from([0.5, 0.7, 1.0, 1.5, 3.3, 7.14, 200.0])
shapes = st.tuples(sizes, sizes)


def lay_out(array, layout):
    """The same values with other strides."""
    if layout == "transposed":
        return np.asfortranarray(array)
    if layout == "every other":
        return np.repeat(np.repeat(array, 2, 0), 2, 1)[::2, ::2]
    if layout == "reversed":
        return array[::-1, ::-1].copy()[::-1, ::-1]
    return array


layouts = st.sampled_from(["dense", "transposed", "every other", "reversed"])


@settings(max_examples=60, deadline=None)
@given(
    shape=shapes,
    grids=st.lists(st.tuples(scales, scales), min_size=1, max_size=3),
    dtype=st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]),
    layout=layouts,
    seed=st.integers(0, 2**31),
)
def test_resampling_to_several_grids_equals_one_at_a_time(shape, grids, dtype, layout, seed):
    image = lay_out((np.random.default_rng(seed).random(shape) * 200).astype(dtype), layout)
    together = ops.resample_many(image, scales=grids)
    for scale, averages in zip(grids, together, strict=True):
        np.testing.assert_allclose(averages, reference.resample(image, scale), rtol=2e-6, atol=4e-4)
        assert np.array_equal(averages, ops.resample(image, scale=scale))


def test_threads_do_not_change_a_resampled_image():
    image = np.random.default_rng(0).integers(0, 65535, (3000, 2100), np.uint16)
    grids = [(9.23, 9.23), (6.1, 7.7), (1.0, 1.0)]
    one, many = (ops.resample_many(image, scales=grids, threads=n) for n in (1, 5))
    assert all(np.array_equal(a, b) for a, b in zip(one, many, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    shape=shapes,
    scale=st.tuples(scales, scales),
    tile=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    with_mask=st.booleans(),
    normalise=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_tiles_cut_from_averages_are_those_of_the_image(shape, scale, tile, with_mask, normalise, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 4096, shape, np.uint16)
    mask = rng.random((7, 5)) < 0.5 if with_mask else None
    grid = ops.plan_tiles(shape, scale=scale, tile_shape=tile, overlap=0.25, mask=mask)
    given_too = {"normalisation": ops.Normalisation(100, 3000, 0.3, 0.2) if normalise else None, "mask": mask}
    averages = ops.resample(image, scale=scale)
    assert np.array_equal(
        ops.cut_tiles(averages, grid, **given_too), ops.extract_tiles(image, grid, **given_too), equal_nan=True
    )


@settings(max_examples=60, deadline=None)
@given(mask_shape=shapes, shape=shapes, image_shape=shapes, layout=layouts, seed=st.integers(0, 2**31))
def test_spread_mask(mask_shape, shape, image_shape, layout, seed):
    mask = lay_out(np.random.default_rng(seed).random(mask_shape) < 0.7, layout)
    scale = (image_shape[0] / shape[0], image_shape[1] / shape[1])
    spread = ops.spread_mask(mask, shape, scale=scale, image_shape=image_shape)
    assert spread.dtype == bool
    assert np.array_equal(spread, reference.spread(mask, shape, scale, image_shape))


def values_of(kind, shape, rng):
    """Smooth, tied, spread over many orders of magnitude, constant, or with values that do not count."""
    if kind == "tied":
        return rng.integers(0, 3, shape).astype(np.float32)
    if kind == "wide":
        return (rng.choice([-1, 1], shape) * 10.0 ** rng.uniform(-38, 38, shape)).astype(np.float32)
    if kind == "constant":
        return np.full(shape, -2.5, np.float32)
    values = rng.normal(1000, 300, shape).astype(np.float32)
    if kind == "not finite":
        values[rng.random(shape) < 0.3] = rng.choice([np.nan, np.inf, -np.inf])
    return values


kinds = st.sampled_from(["smooth", "tied", "wide", "constant", "not finite"])


@settings(max_examples=80, deadline=None)
@given(
    shape=shapes,
    kind=kinds,
    share=st.sampled_from([0.05, 0.5, 1.0]),
    ranks=st.lists(st.floats(0, 100), max_size=3),
    layout=layouts,
    seed=st.integers(0, 2**31),
)
def test_percentiles(shape, kind, share, ranks, layout, seed):
    rng = np.random.default_rng(seed)
    values = values_of(kind, shape, rng)
    mask = rng.random(shape) < share
    ranks = [0.0, 1.0, 50.0, 99.5, 100.0, *ranks]
    found = ops.percentiles(lay_out(values, layout), ranks, mask=lay_out(mask, layout))
    if not (mask & np.isfinite(values)).any():
        assert np.isnan(found).all()
        return
    np.testing.assert_allclose(found, reference.percentiles(values, ranks, mask), rtol=1e-12)
    if share == 1.0:
        assert found == ops.percentiles(values, ranks)


@settings(max_examples=80, deadline=None)
@given(
    shape=shapes,
    r=st.sampled_from([1.0, 2.5, 4.0]),
    top_fraction=st.sampled_from([0.0, 0.003, 0.1, 1.0]),
    tied=st.booleans(),
    share=st.sampled_from([0.0, 0.05, 1.0]),
    layout=layouts,
    seed=st.integers(0, 2**31),
)
def test_image_score(shape, r, top_fraction, tied, share, layout, seed):
    rng = np.random.default_rng(seed)
    probability = rng.choice([0, 0.25, 1, np.nan], shape) if tied else rng.random(shape) ** 4
    probability = probability.astype(np.float32)
    mask = rng.random(shape) < share
    constants = {"lse_r": r, "top_fraction": top_fraction, "a1": 0.7, "a2": 0.4, "b": -0.3}
    found = _core.image_score(lay_out(probability, layout), lay_out(mask, layout), **constants)
    assert found == pytest.approx(reference.image_score(probability, mask, *constants.values()), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(shape=shapes, share=st.sampled_from([0.0, 0.3, 1.0]), layout=layouts, seed=st.integers(0, 2**31))
def test_measure_runs(shape, share, layout, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, shape).astype(np.float32)
    values[rng.random(shape) < 0.1] = np.nan
    runs = [(y, *sorted(rng.integers(0, shape[1] + 1, 2))) for y in range(shape[0]) if rng.random() < share]
    found = ops.measure_runs(lay_out(values, layout), np.array(runs, np.int32).reshape(-1, 3))
    assert found == pytest.approx(reference.measure_runs(values, runs), rel=1e-5, abs=1e-6)


def test_arguments_are_checked():
    image = np.zeros((4, 5), np.float32)
    mask = np.ones((4, 5), bool)
    for bad in ((0.0, 1.0), (1.0, 5000.0), (np.nan, 1.0)):
        with pytest.raises(InvalidArgument, match="scale"):
            ops.resample(image, scale=bad)
    with pytest.raises(InvalidArgument, match="empty"):
        ops.resample(image[:0], scale=(2, 2))
    with pytest.raises(InvalidArgument, match="averages are"):
        ops.cut_tiles(image, ops.plan_tiles((4, 6), tile_shape=(2, 2)))
    with pytest.raises(InvalidArgument, match="empty"):
        ops.spread_mask(mask[:0], (3, 3), scale=(1, 1), image_shape=(3, 3))
    with pytest.raises(InvalidArgument, match="percentile"):
        ops.percentiles(image, [101])
    with pytest.raises(InvalidArgument, match="shapes must be equal"):
        ops.percentiles(image, [1], mask=mask[:3])
    with pytest.raises(InvalidArgument, match="shapes must be equal"):
        _core.image_score(image, mask[:3], lse_r=4, top_fraction=0.1, a1=1, a2=1, b=0)
    with pytest.raises(InvalidArgument, match="lse_r"):
        _core.image_score(image, mask, lse_r=0, top_fraction=0.1, a1=1, a2=1, b=0)
    with pytest.raises(InvalidArgument, match="leaves the image"):
        ops.measure_runs(image, np.array([[0, 2, 6]], np.int32))
