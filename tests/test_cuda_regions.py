"""Components, holes, measurements, outlines and lesions on a GPU: the same kernels here under the emulation.

What is compared with is the CPU's operation, which tests/test_regions.py holds to its definition.
"""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import FakeCudaArray, to_numpy

from lcx_fast import InvalidArgument, _core, ops

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
def test_labels_are_those_of_the_cpu(device, shape, connectivity):
    for mask in masks(shape, np.random.default_rng(0)):
        labels, count = ops.label_components(FakeCudaArray(mask), connectivity=connectivity)
        expected, expected_count = _core.label_components(mask, connectivity=connectivity, threads=1)
        assert count == expected_count
        assert np.array_equal(to_numpy(labels), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_holes_are_filled_as_on_the_cpu(device, shape):
    for mask in masks(shape, np.random.default_rng(1)):
        filled = ops.fill_holes(FakeCudaArray(mask))
        assert filled.dtype == bool
        assert np.array_equal(to_numpy(filled), _core.fill_holes(mask, threads=1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("connectivity", [4, 8])
def test_small_components_go_as_on_the_cpu(device, shape, connectivity):
    for mask in masks(shape, np.random.default_rng(5)):
        for min_area in (0, 1, 2, 7, 10**12):
            options = {"min_area": min_area, "connectivity": connectivity}
            kept = ops.remove_small(FakeCudaArray(mask), **options)
            assert kept.dtype == bool
            assert np.array_equal(to_numpy(kept), _core.remove_small(mask, threads=1, **options))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("connectivity", [4, 8])
def test_hysteresis_is_the_cpus(device, shape, connectivity):
    rng = np.random.default_rng(6)
    for mask in masks(shape, rng):
        values = np.where(mask, rng.random(shape), 0.2).astype(np.float32)
        values[rng.random(shape) < 0.05] = np.nan
        for low, high in ((0.3, 0.3), (0.3, 0.8), (0.3, 0.99), (-1.0, 2.0), (-1.0, -0.5)):
            options = {"low": low, "high": high, "connectivity": connectivity}
            kept = ops.hysteresis(FakeCudaArray(values), **options)
            assert kept.dtype == bool
            assert np.array_equal(to_numpy(kept), _core.hysteresis(values, threads=1, **options))


def test_wrong_calls_are_refused_on_the_device_too(device):
    with pytest.raises(InvalidArgument, match="min_area -1"):
        ops.remove_small(FakeCudaArray(np.ones((4, 4), bool)), min_area=-1)
    with pytest.raises(InvalidArgument, match="low at most high"):
        ops.hysteresis(FakeCudaArray(np.ones((4, 4), np.float32)), low=0.6, high=0.5)
    assert ops.remove_small(FakeCudaArray(np.ones((0, 4), bool)), min_area=3).shape == (0, 4)
    assert ops.hysteresis(FakeCudaArray(np.ones((4, 0), np.float32)), low=0.2, high=0.4).shape == (4, 0)


def values_of(kind, shape, rng):
    values = rng.normal(size=shape).astype(np.float32)
    if kind == "probabilities":
        values = rng.random(shape, np.float32)
    elif kind == "few":
        values = rng.integers(0, 3, shape).astype(np.float32)
    elif kind == "wild":
        values = (values * 10.0 ** rng.integers(-44, 38, shape)).astype(np.float32)
    elif kind == "infinite":
        values[rng.random(shape) < 0.02] = np.inf
        values[rng.random(shape) < 0.02] = -np.inf
    return values


@pytest.mark.parametrize("shape", [(1, 1), (5, 33), (33, 64), (60, 257)], ids=str)
@pytest.mark.parametrize("kind", [None, "normal", "probabilities", "few", "wild", "infinite"])
def test_measurements_are_those_of_the_cpu(device, shape, kind):
    rng = np.random.default_rng(2)
    values = None if kind is None else values_of(kind, shape, rng)
    for count in (0, 1, 7, 300):
        labels = rng.integers(0, count + 1, shape).astype(np.int32)
        if count == 7:
            labels = np.sort(labels, axis=1)
        found = ops.region_props(FakeCudaArray(labels), None if values is None else FakeCudaArray(values), count=count)
        expected = _core.region_props(labels, values, count=count)
        for name in ("area", "bounding_box", "centroid"):
            np.testing.assert_array_equal(getattr(found, name), expected[name])
        if values is None:
            assert found.mean is None
            continue
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(found.max, expected["max"])
            scale = np.abs(values[np.isfinite(values)]).max(initial=0) if kind in ("normal", "wild", "infinite") else 0
            for name in ("mean", "top_mean"):
                np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1e-6, atol=1e-7 * scale)


def test_many_labels_are_measured_in_portions(device):
    labels = (np.arange(200 * 200, dtype=np.int32) // 2 + 1).reshape(200, 200)
    values = np.random.default_rng(4).random(labels.shape, np.float32)
    found = ops.region_props(FakeCudaArray(labels), FakeCudaArray(values), count=20000)
    expected = _core.region_props(labels, values, count=20000)
    for name, column in expected.items():
        np.testing.assert_allclose(getattr(found, name), column, rtol=1e-6)


def test_labels_out_of_range_are_refused(device):
    for wrong in (-1, 4):
        labels = np.ones((5, 40), np.int32)
        labels[3, 35] = wrong
        with pytest.raises(InvalidArgument, match=f"label {wrong}; must be within 0 and count"):
            ops.region_props(FakeCudaArray(labels), count=3)
    with pytest.raises(InvalidArgument, match="pass their count"):
        ops.region_props(FakeCudaArray(np.ones((5, 40), np.int32)))
    with pytest.raises(InvalidArgument, match="both must be on one device"):
        labels = FakeCudaArray(np.ones((5, 40), np.int32))
        ops.region_props(labels, np.ones((5, 40), np.float32), count=1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_contours_are_those_of_the_cpu(device, shape):
    for mask in list(masks(shape, np.random.default_rng(5)))[2::3]:
        found = ops.trace_contours(FakeCudaArray(mask))
        polygons, is_hole = ops.trace_contours(mask, threads=1)
        assert np.array_equal(found.is_hole, is_hole)
        assert len(found.polygons) == len(polygons)
        for own, expected in zip(found.polygons, polygons, strict=True):
            assert np.array_equal(own, expected)


def check_lesions(found, expected):
    assert len(found) == len(expected["area"])
    for name in ("area", "bounding_box", "centroid", "max"):
        np.testing.assert_array_equal(getattr(found, name), expected[name])
    for name in ("mean", "top_mean"):
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1e-6)
    points, offsets = expected["outlines"]
    np.testing.assert_array_equal(found.outlines.points, points)
    np.testing.assert_array_equal(found.outlines.offsets, offsets)


def probability_map(kind, shape, rng):
    values = rng.random(shape, np.float32)
    if kind == "smooth":
        for _ in range(2):
            values = sum(np.roll(values, s, a) for s in (-1, 0, 1) for a in (0, 1)) / 6
        values = ((values - values.min()) / max(float(np.ptp(values)), 1e-9)).astype(np.float32)
    elif kind == "nan":
        values[rng.random(shape) < 0.1] = np.nan
    elif kind == "full":
        values[:] = 1
    return values


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (33, 64), (50, 130)], ids=str)
@pytest.mark.parametrize("kind", ["noise", "smooth", "nan", "full"])
def test_lesions_are_those_of_the_cpu(device, shape, kind):
    values = probability_map(kind, shape, np.random.default_rng(6))
    for low, high, min_area, fill in [
        (0.5, 0.5, 1, True),
        (0.4, 0.8, 1, True),
        (0.5, 0.9, 4, False),
        (0.7, 0.7, 2, True),
    ]:
        options = {"low": low, "high": high, "min_area": min_area, "fill_holes": bool(fill)}
        found = ops.find_lesions(FakeCudaArray(values), **options)
        check_lesions(found, _core.find_lesions(values, **options, threads=1))


def test_more_lesions_and_edges_than_there_was_room_for(emulated):
    values = np.zeros((130, 300), np.float32)
    values[::2, ::2] = 0.9
    on_device = FakeCudaArray(values)
    before = emulated.emulation.counters()["waits"]
    found = ops.find_lesions(on_device)
    assert emulated.emulation.counters()["waits"] - before == 2
    check_lesions(found, _core.find_lesions(values, low=0.5, high=0.5, min_area=1, fill_holes=True, threads=1))
    assert len(found) == 65 * 150
    contours = ops.trace_contours(FakeCudaArray(values > 0.5))
    assert len(contours.polygons) == 65 * 150


def test_lesions_take_one_wait(emulated):
    values = FakeCudaArray(probability_map("smooth", (40, 50), np.random.default_rng(7)))
    before = emulated.emulation.counters()
    ops.find_lesions(values)
    assert emulated.emulation.counters()["waits"] - before["waits"] == 1


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_empty_arrays(device, shape):
    assert ops.label_components(FakeCudaArray(np.zeros(shape, bool)))[1] == 0
    assert ops.fill_holes(FakeCudaArray(np.zeros(shape, bool))).shape == shape
    assert len(ops.region_props(FakeCudaArray(np.zeros(shape, np.int32)), count=2)) == 2
    assert len(ops.find_lesions(FakeCudaArray(np.zeros(shape, np.float32)))) == 0
    assert not ops.trace_contours(FakeCudaArray(np.zeros(shape, bool))).polygons


@pytest.mark.cuda
@pytest.mark.parametrize("device", ["gpu"], indirect=True)
def test_ten_thousand_random_masks(device):
    rng = np.random.default_rng(8)
    for _ in range(10_000):
        shape = tuple(rng.integers(1, 200, 2))
        values = rng.random(shape, np.float32)
        level = float(rng.uniform(0.2, 0.98))
        mask = values >= level
        labels, count = ops.label_components(FakeCudaArray(mask))
        expected, expected_count = _core.label_components(mask, connectivity=8, threads=1)
        assert count == expected_count
        np.testing.assert_array_equal(to_numpy(labels), expected)
        options = {"low": level, "high": min(level + 0.05, 1.0), "min_area": 2, "fill_holes": True}
        check_lesions(
            ops.find_lesions(FakeCudaArray(values), **options), _core.find_lesions(values, **options, threads=1)
        )
