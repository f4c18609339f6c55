"""Pixel curves, masks and boundaries against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
import reference_evaluation as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from lcx_fast import InvalidArgument, _core, evaluation


def scores_of(kind, count, dtype, rng):
    if kind == "spread":
        values = rng.random(count) * 6e4 if dtype == np.uint16 else rng.normal(0, 3, count)
    elif kind == "few":
        values = rng.integers(0, 3, count) * (1 if dtype == np.uint16 else -0.25)
    elif kind == "constant":
        values = np.full(count, 7.0)
    elif kind == "bits":
        bits = rng.integers(0, 2**16 if dtype != np.float32 else 2**32, count, dtype=np.uint64)
        values = bits.astype(np.uint32 if dtype == np.float32 else np.uint16).view(dtype)
        return np.where(np.isnan(values), dtype(0), values) if dtype != np.uint16 else values
    else:  # signed zeros, infinities, denormals
        values = rng.choice([0.0, 1.0, 65535.0] if dtype == np.uint16 else [0.0, -0.0, np.inf, -np.inf, 6e-8], count)
    return values.astype(dtype)


kinds = st.sampled_from(["spread", "few", "constant", "bits", "special"])
dtypes = st.sampled_from([np.uint16, np.float16, np.float32])


def numpy_areas(scores, labels):
    """Sorting and cumulative sums in NumPy, for sizes where counting pairs is out of reach."""
    values, labels = scores.astype(np.float64) + 0.0, labels != 0
    distinct, inverse = np.unique(values, return_inverse=True)
    positive = np.bincount(inverse, labels, len(distinct))
    negative = np.bincount(inverse, ~labels, len(distinct))
    below = np.cumsum(negative) - negative
    kept, wrong = np.cumsum(positive[::-1])[::-1], np.cumsum(negative[::-1])[::-1]
    auc = (positive * (below + 0.5 * negative)).sum() / (labels.sum() * (~labels).sum())
    return auc, (positive * kept / (kept + wrong)).sum() / labels.sum()


@settings(max_examples=150, deadline=None)
@given(kinds, dtypes, st.sampled_from([0, 1, 2, 31, 60]), st.sampled_from([0.0, 0.2, 0.7, 1.0]), st.integers(0, 2**31))
def test_areas_equal_the_definitions(kind, dtype, count, share, seed):
    rng = np.random.default_rng(seed)
    scores, labels = scores_of(kind, count, dtype, rng), rng.random(count) < share
    curve = evaluation.PixelCurve()
    curve.add(scores, labels)
    plain = [float(s) for s in scores]
    expected = reference.roc_auc(plain, labels), reference.ranking_average_precision(plain, labels)
    np.testing.assert_allclose((curve.auc(), curve.average_precision()), expected, rtol=1e-12)
    np.testing.assert_allclose(evaluation.pixel_areas(scores, labels), expected, rtol=1e-12)
    assert (curve.positives, curve.negatives) == (labels.sum(), count - labels.sum())


@pytest.mark.parametrize("dtype", [np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("kind", ["spread", "few", "constant", "bits", "special"])
@pytest.mark.parametrize("size", [255, 257, 70_001, 2_300_000])
def test_areas_of_many_pixels(kind, dtype, size):
    rng = np.random.default_rng(size)
    scores, labels = scores_of(kind, size, dtype, rng), (rng.random(size) < 0.1).astype(np.uint8)
    expected = numpy_areas(scores, labels)
    one = evaluation.pixel_areas(scores, labels, threads=1)
    np.testing.assert_allclose(one, expected, rtol=1e-10)
    assert evaluation.pixel_areas(scores, labels, threads=3) == one


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([0, 1, 63, 64, 65, 128, 1000, 140_000]),
    st.sampled_from([1, 9, 70, 5000]),
    st.sampled_from([0.0, 0.03, 0.2, 0.5, 0.97, 1.0]),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_counts_of_stretches_of_scores(size, stretch, share, runs_of_labels, seed):
    rng = np.random.default_rng(seed)
    scores = np.repeat(rng.integers(0, 65536, size, dtype=np.uint16), rng.integers(1, stretch + 1, size))[:size]
    labels = (rng.random(size) < share) * rng.integers(1, 256, size)
    if runs_of_labels:
        labels = np.sort(labels)
    labels = labels.astype(np.uint8)
    counts = rng.integers(0, 9, (2, 65536))
    expected = counts.copy()
    np.add.at(expected, ((labels != 0).astype(int), scores), 1)
    _core.pixel_histogram(scores, labels, counts, threads=1)
    assert np.array_equal(counts, expected)


@settings(max_examples=60, deadline=None)
@given(kinds, dtypes, st.integers(0, 2**31))
def test_streamed_merged_and_strided_pixels_give_the_same(kind, dtype, seed):
    rng = np.random.default_rng(seed)
    scores, labels = scores_of(kind, 240, dtype, rng).reshape(12, 20), rng.integers(0, 3, (12, 20))
    whole, left, right = evaluation.PixelCurve(), evaluation.PixelCurve(), evaluation.PixelCurve()
    whole.add(scores, labels)
    left.add(scores[:, ::2], labels[:, ::2])
    right.add(scores[::-1, 1::2], (labels != 0)[::-1, 1::2])
    right.merge(evaluation.PixelCurve())
    left.merge(right)
    assert (left.auc(), left.average_precision()) == (whole.auc(), whole.average_precision())
    for ours, theirs in zip(left.curve(), whole.curve(), strict=True):
        assert np.array_equal(ours, theirs)
    masked = evaluation.PixelCurve()
    masked.add(scores, labels, mask=labels != 2)
    expected = evaluation.PixelCurve()
    expected.add(scores[labels != 2], labels[labels != 2])
    assert masked.curve()[1].tolist() == expected.curve()[1].tolist()


@settings(max_examples=60, deadline=None)
@given(kinds, dtypes, st.integers(0, 2**31))
def test_curve_and_rates_equal_counting(kind, dtype, seed):
    rng = np.random.default_rng(seed)
    scores, labels = scores_of(kind, 80, dtype, rng), rng.random(80) < 0.4
    curve = evaluation.PixelCurve()
    curve.add(scores, labels)
    thresholds, found, wrong = curve.curve()
    assert np.array_equal(np.asarray(thresholds, float), np.unique(scores.astype(float) + 0.0)[::-1])
    assert found.tolist() == [int((scores[labels] >= t).sum()) for t in thresholds]
    assert wrong.tolist() == [int((scores[~labels] >= t).sum()) for t in thresholds]
    for t in (thresholds[0], thresholds[-1], 0.3):
        assert curve.sensitivity(t) == pytest.approx((scores[labels] >= t).mean())
        assert curve.specificity(t) == pytest.approx((scores[~labels] < t).mean())
    assert curve.count_between(0.1, 3.0) == int(((scores > 0.1) & (scores < 3.0)).sum())


def test_bytes_count_as_16_bits_and_caller_may_reuse_its_buffer():
    scores, labels = np.array([3, 200, 7], np.uint8), np.array([0, 1, 1])
    curve = evaluation.PixelCurve()
    curve.add(scores, labels)
    assert curve.auc() == 1.0
    buffer = np.array([0.1, 0.9], np.float32)
    kept = evaluation.PixelCurve()
    kept.add(buffer, np.array([0, 1]))
    buffer[:] = 0.5
    assert kept.auc() == 1.0


def test_pixels_that_cannot_be_ranked():
    curve = evaluation.PixelCurve()
    assert np.isnan(curve.auc()) and np.isnan(curve.average_precision()) and not len(curve.curve().thresholds)
    for dtype in (np.float16, np.float32):
        for size in (5, 200_000):
            scores = np.zeros(size, dtype)
            scores[3] = np.nan
            nan_curve = evaluation.PixelCurve()
            with pytest.raises(InvalidArgument, match="NaN"):
                nan_curve.add(scores, np.zeros(size, bool))
            assert nan_curve.positives + nan_curve.negatives == 0
            with pytest.raises(InvalidArgument, match="NaN"):
                evaluation.pixel_areas(scores, np.zeros(size, bool))
    with pytest.raises(InvalidArgument, match="float64"):
        curve.add(np.zeros(3), np.zeros(3))
    with pytest.raises(InvalidArgument, match="shapes must be equal"):
        curve.add(np.zeros(3, np.float32), np.zeros(4))
    with pytest.raises(InvalidArgument, match="mask has shape"):
        curve.add(np.zeros(3, np.float32), np.zeros(3), mask=np.zeros(2))
    curve.add(np.zeros(3, np.float32), np.zeros(3))
    assert np.isnan(curve.auc()) and np.isnan(curve.sensitivity(0.5)) and curve.specificity(0.5) == 1.0
    with pytest.raises(InvalidArgument, match="one dtype"):
        curve.add(np.zeros(3, np.uint16), np.zeros(3))
    other = evaluation.PixelCurve()
    other.add(np.zeros(3, np.float16), np.zeros(3))
    with pytest.raises(InvalidArgument, match="one dtype"):
        curve.merge(other)


masks = st.builds(
    lambda h, w, share, seed: np.random.default_rng(seed).random((h, w)) < share,
    st.sampled_from([1, 2, 9, 14]),
    st.sampled_from([1, 3, 8, 13]),
    st.sampled_from([0.0, 0.03, 0.3, 0.9, 1.0]),
    st.integers(0, 2**31),
)
spacings = st.sampled_from([(1.0, 1.0), (0.07, 0.07), (2.0, 0.5), (0.5, 3.0)])


@settings(max_examples=100, deadline=None)
@given(masks, spacings, st.sampled_from([lambda m: m, np.asfortranarray, lambda m: m[::-1, ::-1]]))
def test_distance_transform(mask, spacing, layout):
    mask = layout(mask)
    ours = evaluation.distance_transform(mask, pixel_spacing_mm=spacing)
    np.testing.assert_allclose(ours, reference.distances(mask.tolist(), spacing), rtol=1e-6)


def test_distance_transform_of_a_large_mask_on_threads():
    ndimage = pytest.importorskip("scipy.ndimage")
    mask = np.random.default_rng(0).random((700, 333)) < 0.001
    expected = ndimage.distance_transform_edt(~mask, sampling=(0.5, 0.7))
    for threads in (1, 3):
        from lcx_fast import _core

        ours = _core.distance_transform(mask, spacing=(0.5, 0.7), threads=threads)
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
    with pytest.raises(InvalidArgument, match="positive"):
        evaluation.distance_transform(mask, pixel_spacing_mm=(0.0, 1.0))


@settings(max_examples=100, deadline=None)
@given(masks, spacings, st.integers(0, 2**31))
def test_boundary_distance(mask, spacing, seed):
    other = np.random.default_rng(seed).random(mask.shape) < 0.4
    ours = evaluation.boundary_distance(mask, other, pixel_spacing_mm=spacing)
    if not (mask.any() and other.any()):
        assert np.isnan(ours.mean_mm) if not (mask.any() or other.any()) else np.isinf(ours.mean_mm)
        return
    there = reference.directed_distances(mask.tolist(), other.tolist(), spacing)
    back = reference.directed_distances(other.tolist(), mask.tolist(), spacing)
    assert ours.mean_mm == pytest.approx(np.mean(there + back), rel=1e-6)
    assert ours.p95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), rel=1e-6)


def test_boundary_distance_by_hand():
    small, large = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    small[5:10, 5:10] = True
    large[5:10, 5:12] = True  # two pixels wider to the right
    distance = evaluation.boundary_distance(small, large, pixel_spacing_mm=(0.5, 0.5))
    assert distance.p95_mm == pytest.approx(1.0)
    assert evaluation.boundary_distance(small, small, pixel_spacing_mm=(1, 1)) == (0.0, 0.0)


def test_mask_counts():
    predicted, reference_mask = np.zeros((10, 10), int), np.zeros((10, 10), bool)
    predicted[0:4, 0:4], reference_mask[0:4, 2:6] = 3, True
    within = np.ones((10, 10), bool)
    within[:, 9] = False
    counts = evaluation.count_pixels(predicted, reference_mask, within=within)
    assert (counts.true_positives, counts.false_positives, counts.false_negatives) == (8, 8, 8)
    assert counts.true_negatives == 90 - 24
    assert (counts.iou, counts.precision, counts.recall, counts.dice) == (1 / 3, 0.5, 0.5, 0.5)
    assert counts.specificity == 66 / 74
    total = counts + evaluation.count_pixels(predicted, predicted)
    assert total.true_positives == 24
    assert np.isnan(evaluation.MaskCounts().iou)
    with pytest.raises(InvalidArgument, match="shapes must be equal"):
        evaluation.count_pixels(predicted, reference_mask[:5])


def test_band_and_confused_pixels():
    outline = np.zeros((40, 40), bool)
    outline[20, 20] = True
    band = evaluation.near_band(outline, pixel_spacing_mm=(1.0, 2.0), width_mm=4.0)
    y, x = np.nonzero(band)
    assert (np.hypot(y - 20, 2 * (x - 20)) <= 4).all() and not band[20, 20]
    assert band.sum() == sum(0 < np.hypot(a, 2 * b) <= 4 for a in range(-9, 10) for b in range(-9, 10))
    assert not evaluation.near_band(np.zeros((3, 3)), pixel_spacing_mm=(1, 1)).any()
    p = np.array([[0.1, 0.5, 0.9, 0.2]])
    assert evaluation.confused_pixels(p, [[1, 1, 1, 0]]) == 1
