"""Components, holes, measurements, outlines and lesions against their NumPy definitions."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from lcx_fast import InvalidArgument, ops


def spiral(n):
    mask = np.zeros((n, n), bool)
    y = x = 0
    heading = (0, 1)
    mask[0, 0] = True
    for _ in range(4 * n):
        length = 0
        while True:
            far = (y + 2 * heading[0], x + 2 * heading[1])
            near = (y + heading[0], x + heading[1])
            if not (0 <= near[0] < n and 0 <= near[1] < n) or (0 <= far[0] < n and 0 <= far[1] < n and mask[far]):
                break
            y, x = near
            mask[y, x] = True
            length += 1
        if not length:
            break
        heading = (heading[1], -heading[0])
    return mask


def pattern(name, shape, rng):
    if name == "checkerboard":
        return np.indices(shape).sum(axis=0) % 2 == 0
    if name == "comb":
        mask = np.zeros(shape, bool)
        mask[:, ::2] = True
        mask[-1] = True
        return mask
    if name == "spiral":
        return spiral(max(shape))[: shape[0], : shape[1]]
    if name == "rings":
        y, x = np.indices(shape)
        return (np.hypot(y - shape[0] / 2, x - shape[1] / 2).astype(int) // 2) % 2 == 0
    if name == "stripes":  # rows that repeat, and now and then do not
        return np.tile(rng.random((1, shape[1])) < 0.5, (shape[0], 1)) ^ (rng.random(shape) < 0.02)
    if name == "frayed board":
        return pattern("checkerboard", shape, rng) ^ (rng.random(shape) < 0.1)
    return rng.random(shape) < {"empty": 0.0, "sparse": 0.1, "half": 0.5, "dense": 0.8, "full": 1.0}[name]


masks = st.builds(
    lambda name, height, width, seed: pattern(name, (height, width), np.random.default_rng(seed)),
    st.sampled_from(
        [
            "empty",
            "sparse",
            "half",
            "dense",
            "full",
            "checkerboard",
            "comb",
            "spiral",
            "rings",
            "stripes",
            "frayed board",
        ]
    ),
    st.sampled_from([1, 2, 5, 31, 33, 70]),
    st.sampled_from([1, 2, 5, 31, 32, 33, 63, 64, 65, 66, 130]),
    st.integers(0, 2**31),
)
layouts = st.sampled_from([lambda m: m, np.asfortranarray, lambda m: m[::-1, ::-1]])


@settings(max_examples=100, deadline=None)
@given(masks, layouts, st.sampled_from([4, 8]), st.sampled_from([1, 3]))
def test_labels_equal_a_flood_fill(mask, layout, connectivity, threads):
    mask = layout(mask)
    labels, count = ops.label_components(mask, connectivity=connectivity, threads=threads)
    expected, expected_count = reference.label_components(mask, connectivity)
    assert count == expected_count
    assert np.array_equal(labels, expected)


@settings(max_examples=60, deadline=None)
@given(masks, layouts)
def test_fill_holes(mask, layout):
    mask = layout(mask)
    filled = ops.fill_holes(mask)
    assert filled.dtype == bool
    assert np.array_equal(filled, reference.fill_holes(mask))


@settings(max_examples=60, deadline=None)
@given(masks, layouts, st.sampled_from([4, 8]), st.sampled_from([0, 1, 2, 3, 7, 40, 10**6]), st.sampled_from([1, 3]))
def test_remove_small(mask, layout, connectivity, min_area, threads):
    mask = layout(mask)
    kept = ops.remove_small(mask, min_area=min_area, connectivity=connectivity, threads=threads)
    assert kept.dtype == bool
    assert np.array_equal(kept, reference.remove_small(mask, min_area, connectivity))


@settings(max_examples=30, deadline=None)
@given(mask=masks, connectivity=st.sampled_from([4, 8]), min_area=st.sampled_from([2, 9, 60]))
def test_what_else_there_is_changes_nothing(mask, connectivity, min_area):
    """Masks of many runs are worked on in other ways: here stripes make them many, and touch nothing."""
    height, width = mask.shape
    whole = np.zeros((height + 2 + 230, max(width, 600) + 2), bool)
    whole[:height, :width] = mask
    whole[height + 2 :, ::2] = True
    assert np.count_nonzero(np.diff(whole, axis=1)) > 2 * (1 << 16)
    outside = np.pad(mask, ((0, 1), (0, 1)))  # open where it ends within the whole
    for found, expected in (
        (ops.fill_holes(whole), reference.fill_holes(outside)),
        (
            ops.remove_small(whole, min_area=min_area, connectivity=connectivity),
            reference.remove_small(outside, min_area, connectivity),
        ),
    ):
        assert np.array_equal(found[:height, :width], expected[:-1, :-1])
        assert np.array_equal(found[height:], whole[height:])


@settings(max_examples=60, deadline=None)
@given(masks, layouts, st.sampled_from([4, 8]), st.integers(0, 2**31), st.sampled_from([0.3, 0.6, 0.99]))
def test_hysteresis(mask, layout, connectivity, seed, high):
    values = np.random.default_rng(seed).random(mask.shape, np.float32) * (0.3 + 0.7 * mask).astype(np.float32)
    values[values > 0.995] = np.nan
    values = layout(values)
    kept = ops.hysteresis(values, low=0.3, high=high, connectivity=connectivity)
    assert kept.dtype == bool
    assert np.array_equal(kept, reference.hysteresis(values, np.float32(0.3), np.float32(high), connectivity))


@settings(max_examples=60, deadline=None)
@given(masks, layouts, st.integers(0, 2**31), st.integers(0, 2))
def test_region_props(mask, layout, seed, extra):
    labels, count = reference.label_components(mask)
    labels = layout(labels)
    values = np.random.default_rng(seed).random(mask.shape, np.float32)
    props = ops.region_props(labels, values, count=count + extra)
    expected = reference.region_props(labels, values, count + extra)
    assert len(props) == len(expected)
    for i, region in enumerate(expected):
        assert props.area[i] == region["area"]
        if region["area"] == 0:
            assert np.isnan(props.centroid[i]).all()
            continue
        assert tuple(props.bounding_box[i]) == region["bounding_box"]
        np.testing.assert_allclose(props.centroid[i], region["centroid"], rtol=1e-12)
        for name in ("mean", "max", "top_mean"):
            np.testing.assert_allclose(getattr(props, name)[i], region[name], rtol=1e-6)


@settings(max_examples=150, deadline=None)
@given(
    count=st.sampled_from([1, 2, 31, 160, 161, 170, 400, 3000]),
    odd=st.lists(st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 3e38, -3e38]), min_size=1, max_size=3),
    share=st.sampled_from([0.02, 0.3, 0.9, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_values_that_are_not_finite_are_measured_as_numpy_does(count, odd, share, seed):
    rng = np.random.default_rng(seed)
    values = rng.random((1, count), np.float32)
    values = np.where(rng.random(values.shape) < share, rng.choice(odd, values.shape), values).astype(np.float32)
    props = ops.region_props(np.ones(values.shape, np.int32), values)
    expected = reference.region_props(np.ones(values.shape, np.int32), values)[0]
    runs = ops.measure_runs(values, np.array([[0, 0, count]], np.int32))
    for name in ("mean", "max", "top_mean"):
        for found in (getattr(props, name)[0], getattr(runs, name)):
            np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def cyclic(points):
    """Points from the smallest one on, so that polygons with different starts compare equal."""
    points = [tuple(float(c) for c in p) for p in points]
    start = points.index(min(points))
    return points[start:] + points[:start]


@settings(max_examples=60, deadline=None)
@given(masks)
def test_contours_equal_the_definition_and_fill_back_to_the_mask(mask):
    contours = ops.trace_contours(mask)
    expected = reference.trace_contours(mask)
    actual = {(tuple(cyclic(p)), bool(h)) for p, h in zip(contours.polygons, contours.is_hole, strict=True)}
    # Equal as sets of polygons up to where they start: a chain may be split in two at a corner it passes twice.
    edges = sorted(e for points, _ in actual for e in unit_edges(points))
    assert edges == sorted(e for points, _ in expected for e in unit_edges(points))
    assert (~contours.is_hole).sum() == reference.label_components(mask, 8)[1]
    runs = ops.fill_polygons(contours.polygons, mask.shape)
    assert np.array_equal(paint(runs, mask.shape), mask)


def unit_edges(points):
    for (y0, x0), (y1, x1) in zip(points, points[1:] + points[:1], strict=True):
        length = int(abs(y1 - y0) + abs(x1 - x0))
        dy, dx = int(np.sign(y1 - y0)), int(np.sign(x1 - x0))
        for k in range(length):
            yield (int(y0) + k * dy, int(x0) + k * dx, dy, dx)


def paint(runs, shape):
    mask = np.zeros(shape, bool)
    for y, begin, end in runs:
        assert not mask[y, begin:end].any()
        mask[y, begin:end] = True
    return mask


polygons = st.lists(
    st.lists(st.tuples(st.floats(-5, 25, width=16), st.floats(-5, 25, width=16)), min_size=1, max_size=8).map(
        lambda p: np.array(p, np.float64)
    ),
    max_size=3,
)


@settings(max_examples=100, deadline=None)
@given(polygons, st.tuples(st.integers(0, 20), st.integers(0, 20)))
def test_fill_polygons(shapes, image_shape):
    runs = ops.fill_polygons(shapes, image_shape)
    assert np.array_equal(paint(runs, image_shape), reference.fill_polygons(shapes, image_shape))
    keys = [(int(y), int(begin)) for y, begin, _ in runs]
    assert keys == sorted(keys)


def smooth_map(rng, shape):
    noise = rng.random(shape)
    for _ in range(2):
        noise = sum(np.roll(noise, s, a) for s in (-1, 0, 1) for a in (0, 1)) / 6
    low, high = noise.min(), noise.max()
    return ((noise - low) / max(high - low, 1e-9)).astype(np.float32)


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.sampled_from([1, 7, 31, 64, 65])),
    low=st.sampled_from([0.3, 0.5, 0.7]),
    margin=st.sampled_from([0.0, 0.2]),
    min_area=st.sampled_from([1, 4, 30]),
    fill=st.booleans(),
    kind=st.sampled_from(["smooth", "noise", "nan", "flat"]),
    layout=layouts,
    seed=st.integers(0, 2**31),
)
def test_find_lesions_equals_the_definition(shape, low, margin, min_area, fill, kind, layout, seed):
    rng = np.random.default_rng(seed)
    probability = smooth_map(rng, shape) if kind != "noise" else rng.random(shape, np.float32)
    if kind == "nan":
        probability[rng.random(shape) < 0.1] = np.nan
    if kind == "flat":
        probability[:] = low
    probability = layout(probability)
    high = low + margin
    found = ops.find_lesions(probability, low=low, high=high, min_area=min_area, fill_holes=fill)
    expected = reference.find_lesions(probability, low, high, min_area, fill)
    assert len(found) == len(expected) == len(found.outlines)
    for i, lesion in enumerate(expected):
        assert found.area[i] == lesion["area"]
        assert tuple(found.bounding_box[i]) == lesion["bounding_box"]
        np.testing.assert_allclose(found.centroid[i], lesion["centroid"], rtol=1e-12)
        for name in ("mean", "max", "top_mean"):
            np.testing.assert_allclose(getattr(found, name)[i], lesion[name], rtol=1e-6)
        np.testing.assert_allclose(sorted(map(tuple, found.outlines[i])), sorted(lesion["outline"]), atol=1e-12)
        assert reference.signed_area(found.outlines[i]) >= 0


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 140), st.integers(1, 140)),
    dtype=st.sampled_from([np.float16, np.uint8]),
    low=st.sampled_from([-0.1, 0.0, 0.3, 0.5, 128 / 255, 1.0, 1.1]),
    margin=st.sampled_from([0.0, 0.3]),
    layout=layouts,
    seed=st.integers(0, 2**31),
)
def test_lesions_of_a_stored_map_are_those_of_its_probabilities(shape, dtype, low, margin, layout, seed):
    rng = np.random.default_rng(seed)
    if dtype == np.uint8:
        stored = (smooth_map(rng, shape) * 255).astype(np.uint8)
    else:
        stored = smooth_map(rng, shape).astype(np.float16)
        odd = np.array([np.nan, np.inf, -np.inf, -0.0, 6e-8, -6e-8, 65504], np.float16)
        stored = np.where(rng.random(shape) < 0.05, rng.choice(odd, shape), stored)
    stored = layout(stored)
    arguments = {"low": low, "high": low + margin, "min_area": 3}
    found = ops.find_lesions(stored, **arguments)
    expected = ops.find_lesions(reference.probabilities(stored), **arguments)
    for name in ("area", "bounding_box", "centroid", "mean", "max", "top_mean"):
        assert np.array_equal(getattr(found, name), getattr(expected, name), equal_nan=True)
    assert np.array_equal(found.outlines.points, expected.outlines.points)
    assert np.array_equal(found.outlines.offsets, expected.outlines.offsets)


def test_every_half_is_read_exactly():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)[None]
    for low in (-1.0, 0.0, 1e-7, 0.5, 60000.0):
        found = ops.find_lesions(halves, low=low, high=low)
        expected = ops.find_lesions(halves.astype(np.float32), low=low, high=low)
        assert np.array_equal(found.area, expected.area) and np.array_equal(found.max, expected.max)


def test_polygons_are_a_sequence():
    contours = ops.trace_contours(np.eye(5, dtype=bool)[:, [0, 1, 3, 2, 4]])
    polygons = contours.polygons
    assert len(polygons) == len(list(polygons)) == len(polygons[:]) == len(contours.is_hole)
    assert np.array_equal(polygons[-1], list(polygons)[-1]) and polygons[0].base is not None
    with pytest.raises(IndexError):
        polygons[len(polygons)]


def test_outline_of_a_disc_is_where_the_map_crosses_the_threshold():
    y, x = np.indices((80, 80)) + 0.5
    probability = np.clip(0.5 - 0.05 * (np.hypot(y - 40, x - 41) - 20.3), 0, 1).astype(np.float32)
    found = ops.find_lesions(probability)
    radius = np.hypot(*(found.outlines[0] - (40, 41)).T)
    assert np.abs(radius - 20.3).max() < 0.02
    assert abs(reference.signed_area(found.outlines[0]) / (np.pi * 20.3**2) - 1) < 0.01


def test_a_hole_swallows_what_lies_in_it():
    probability = np.zeros((30, 30), np.float32)
    probability[5:25, 5:25] = 0.9
    probability[8:22, 8:22] = 0.1
    probability[12:15, 12:15] = 0.6
    found = ops.find_lesions(probability, low=0.5, high=0.8)
    assert list(found.area) == [400]


@settings(max_examples=60, deadline=None)
@given(levels=st.lists(st.sampled_from([0.1, 0.6, 0.9]), min_size=2, max_size=12), fill=st.booleans())
def test_islands_in_holes_of_what_is_dropped_remain(levels, fill):
    """Two nests of rings, side by side and one the other's inside out: some rings have no seed, some are joined."""
    probability = np.full((56, 112), 0.1, np.float32)
    for depth, level in enumerate(levels):
        probability[2 + 2 * depth : 54 - 2 * depth, 2 + 2 * depth : 54 - 2 * depth] = level
    probability[:, 56:] = 1 - probability[:, 55::-1]
    found = ops.find_lesions(probability, low=0.5, high=0.8, fill_holes=fill)
    expected = reference.find_lesions(probability, 0.5, 0.8, 1, fill)
    assert [(f, tuple(b)) for f, b in zip(found.area, found.bounding_box, strict=True)] == [
        (e["area"], e["bounding_box"]) for e in expected
    ]
    for outline, lesion in zip(found.outlines, expected, strict=True):
        np.testing.assert_allclose(sorted(map(tuple, outline)), sorted(lesion["outline"]), atol=1e-6)


def test_full_size_adversaries():
    rng = np.random.default_rng(0)
    shape = (2048, 1664)
    noise = rng.random(shape, np.float32)
    found = ops.find_lesions(noise, low=0.5, high=0.5)
    _, count = ops.label_components(ops.fill_holes(noise >= 0.5))
    assert len(found) == count
    board = (np.indices(shape).sum(axis=0) % 2 == 0).astype(np.float32)
    assert len(ops.find_lesions(board, fill_holes=False)) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
@pytest.mark.parametrize("name", ["noise", "comb", "frayed board"])
@pytest.mark.parametrize("fill", [True, False])
def test_lesions_of_dense_maps_equal_the_steps_one_by_one(name, fill, dtype):
    rng = np.random.default_rng(3)
    shape = (513, 601)
    values = rng.random(shape)
    if name != "noise":
        values = np.where(pattern(name, shape, rng), 0.5 + values / 2, values / 2)
    values = (255 * values).astype(dtype) if dtype == np.uint8 else values.astype(dtype)
    probability = values.astype(np.float32) / np.float32(255 if dtype == np.uint8 else 1)
    low, high, min_area = 0.5, 0.95, 4
    found = ops.find_lesions(values, low=low, high=high, min_area=min_area, fill_holes=fill)
    mask = probability >= low
    assert np.count_nonzero(np.diff(mask.astype(np.int8), axis=1) == 1) > 1 << 16
    labels, count = ops.label_components(mask)
    mask &= np.isin(labels, labels[mask & (probability >= high)])
    if fill:
        mask = ops.fill_holes(mask)
    labels, count = ops.label_components(mask)
    props = ops.region_props(labels, probability, count=count)
    large = props.area >= min_area
    assert 0 < large.sum() == len(found)
    for what in ("area", "bounding_box", "centroid", "max"):
        assert np.array_equal(getattr(found, what), getattr(props, what)[large])
    for what in ("mean", "top_mean"):
        np.testing.assert_allclose(getattr(found, what), getattr(props, what)[large], rtol=1e-6)
    contours = ops.trace_contours(np.append(False, large)[labels])
    lengths = [
        np.abs(np.diff(polygon, axis=0, append=polygon[:1])).sum()
        for polygon, is_hole in zip(contours.polygons, contours.is_hole, strict=True)
        if not is_hole
    ]
    assert [len(outline) for outline in found.outlines] == lengths


def test_arguments_are_checked():
    with pytest.raises(InvalidArgument, match="low at most high"):
        ops.find_lesions(np.zeros((4, 4), np.float32), low=0.6, high=0.5)
    with pytest.raises(InvalidArgument, match="min_area"):
        ops.find_lesions(np.zeros((4, 4), np.float32), min_area=0)
    with pytest.raises(InvalidArgument, match="float32"):
        ops.find_lesions(np.zeros((4, 4)))
    with pytest.raises(InvalidArgument, match="connectivity"):
        ops.label_components(np.zeros((4, 4), bool), connectivity=6)
    with pytest.raises(InvalidArgument, match="at least 0 pixels"):
        ops.remove_small(np.zeros((4, 4), bool), min_area=-1)
    with pytest.raises(InvalidArgument, match="low at most high"):
        ops.hysteresis(np.zeros((4, 4), np.float32), low=0.6, high=0.5)
    with pytest.raises(InvalidArgument, match="both must be finite"):
        ops.hysteresis(np.zeros((4, 4), np.float32), low=0.6, high=np.nan)
    with pytest.raises(InvalidArgument, match="label 3"):
        ops.region_props(np.full((2, 2), 3, np.int32), count=2)
    with pytest.raises(InvalidArgument, match="not finite"):
        ops.fill_polygons([np.array([[0, 0], [1, np.nan], [1, 1]])], (4, 4))
    for points in (np.zeros((2, 3)), np.zeros((3, 3)), np.zeros(4), np.zeros((1, 2, 2))):
        with pytest.raises(InvalidArgument, match=r"polygon 1 is \[.*; needed: \[K, 2\]"):
            ops.fill_polygons([np.zeros((3, 2)), points], (4, 4))
    for labels in (None, "labels", np.zeros((2, 2), bool), np.full((2, 2), np.nan), np.zeros((2, 2), complex)):
        with pytest.raises(InvalidArgument, match="labels is "):
            ops.region_props(labels)
    for dtype, highest in ((np.int32, 2**31 - 1), (np.int64, 2**40)):
        with pytest.raises(InvalidArgument, match=f"labels are numbered to {highest} on 4 pixels; number them anew"):
            ops.region_props(np.array([[0, 1], [0, highest]], dtype))


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_empty_arrays(shape):
    assert ops.label_components(np.zeros(shape, bool))[1] == 0
    assert ops.fill_holes(np.zeros(shape, bool)).shape == shape
    assert ops.remove_small(np.zeros(shape, bool), min_area=3).shape == shape
    assert ops.hysteresis(np.zeros(shape, np.float32), low=0.2, high=0.4).shape == shape
    assert len(ops.find_lesions(np.zeros(shape, np.float32))) == 0
    assert not ops.trace_contours(np.zeros(shape, bool)).polygons
