"""Overlaps, matching and run-length masks against their NumPy definitions and against pycocotools."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import reference_overlaps as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from test_regions import layouts, masks

from lcx_fast import InvalidArgument, ops
from lcx_fast.ops import Rle

seeds = st.integers(0, 2**31)
sizes = st.sampled_from([0, 1, 2, 7, 8, 9, 33])


def random_boxes(rng, count, dtype=np.float64):
    boxes = rng.integers(-3, 12, (count, 4)).astype(dtype)
    boxes[:, 2:] += boxes[:, :2] if rng.random() < 0.5 else 0.25
    return boxes


@settings(max_examples=80, deadline=None)
@given(seeds, sizes, sizes, st.sampled_from([np.float32, np.float64]), st.sampled_from(["xyxy", "xywh"]), st.booleans())
def test_box_iou_equals_the_definition(seed, detections, references, dtype, box_format, crowded):
    rng = np.random.default_rng(seed)
    predicted, boxes = random_boxes(rng, detections, dtype), random_boxes(rng, references, dtype)
    for array in (predicted, boxes):
        if len(array) and rng.random() < 0.3:
            array[rng.integers(len(array)), rng.integers(4)] = rng.choice([np.nan, np.inf, -np.inf])
    crowd = rng.random(references) < 0.4 if crowded else None
    with np.errstate(all="ignore"):
        expected = reference.box_iou(predicted, boxes, box_format, crowd)
    iou = ops.box_iou(predicted, boxes, format=box_format, crowd=crowd)
    assert iou.dtype == dtype
    assert np.array_equal(iou, expected)
    strided = np.asfortranarray(predicted)[::-1]
    assert np.array_equal(ops.box_iou(strided, boxes, format=box_format, crowd=crowd, threads=3), expected[::-1])


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 20), st.integers(1, 20))
def test_box_iou_equals_pycocotools_to_the_bit(seed, detections, references):
    rng = np.random.default_rng(seed)
    predicted, boxes = rng.random((detections, 4)), rng.random((references, 4))
    crowd = rng.random(references) < 0.3
    expected = coco_mask.iou(predicted, boxes, crowd.astype(np.uint8))
    assert np.array_equal(ops.box_iou(predicted, boxes, format="xywh", crowd=crowd), expected)


def test_box_iou_of_many_boxes_on_several_threads():
    rng = np.random.default_rng(3)
    boxes = rng.random((1500, 4)) + np.array([0, 0, 1, 1])
    whole = ops.box_iou(boxes, boxes, threads=4)
    assert np.array_equal(whole, ops.box_iou(boxes, boxes, threads=1))
    np.testing.assert_allclose(np.diag(whole), 1)
    assert np.array_equal(whole[:40, :40], reference.box_iou(boxes[:40], boxes[:40]))


@pytest.mark.parametrize(
    ("predicted", "boxes", "keywords", "message"),
    [
        (np.zeros((2, 5)), np.zeros((2, 4)), {}, r"predicted boxes are \[2, 5\]"),
        (np.zeros((2, 4)), np.zeros((2, 4), np.float32), {}, "reference is float32; needed: float64"),
        (np.zeros((2, 4), int), np.zeros((2, 4)), {}, "predicted is int64; accepted: float32, float64"),
        (np.zeros((2, 4)), np.zeros((2, 4)), {"crowd": np.zeros(3, bool)}, "crowd has 3 entries"),
        (np.zeros((2, 4)), np.zeros((2, 4)), {"format": "yxyx"}, "format 'yxyx'; accepted: 'xyxy', 'xywh'"),
    ],
)
def test_box_iou_refuses(predicted, boxes, keywords, message):
    with pytest.raises(InvalidArgument, match=message):
        ops.box_iou(predicted, boxes, **keywords)


@st.composite
def mask_stacks(draw):
    """Two stacks of masks of one shape."""
    shape = draw(st.sampled_from([(1, 1), (5, 3), (8, 8), (31, 5), (64, 2), (33, 65), (70, 130)]))
    rng = np.random.default_rng(draw(seeds))
    density = draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))
    counts = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    stacks = [rng.random((n, *shape)) < density for n in counts]
    for stack in stacks:
        if len(stack) and draw(st.booleans()):
            stack[0] = False
            stack[0, : shape[0] // 2, shape[1] // 2 :] = True
    return stacks


@settings(max_examples=80, deadline=None)
@given(mask_stacks(), st.booleans(), st.sampled_from([1, 2]))
def test_mask_iou_equals_the_definition_and_pycocotools(stacks, crowded, threads):
    predicted, truths = stacks
    crowd = np.arange(len(truths)) % 2 == 0 if crowded else None
    expected = reference.mask_iou(predicted, truths, crowd)
    assert np.array_equal(ops.mask_iou(predicted, truths, crowd=crowd, threads=threads), expected)
    grey = [stack.astype(np.uint8) * 200 for stack in stacks]
    assert np.array_equal(ops.mask_iou(grey[0][:, ::-1], grey[1][:, ::-1], crowd=crowd), expected)
    runs = [[ops.encode_rle(mask) for mask in stack] for stack in stacks]
    assert np.array_equal(ops.mask_iou(*runs, crowd=crowd, threads=threads), expected)
    if len(predicted) and len(truths):
        theirs = [coco_mask.encode(np.asfortranarray(np.moveaxis(s, 0, -1).astype(np.uint8))) for s in stacks]
        flags = np.zeros(len(truths), np.uint8) if crowd is None else crowd.astype(np.uint8)
        assert np.array_equal(coco_mask.iou(*theirs, flags), expected)


def test_mask_iou_refuses():
    with pytest.raises(InvalidArgument, match="shapes must be equal"):
        ops.mask_iou(np.zeros((1, 2, 6), bool), np.zeros((1, 3, 4), bool))
    with pytest.raises(InvalidArgument, match="predicted masks have 4 pixels, reference masks 5"):
        ops.mask_iou(np.zeros((1, 4), bool), np.zeros((1, 5), bool))
    small, large = (ops.encode_rle(np.ones(shape, bool)) for shape in ((2, 3), (3, 2)))
    with pytest.raises(InvalidArgument, match="predicted mask 0 is 2 x 3 pixels, reference mask 1 3 x 2"):
        ops.mask_iou([small], [small, large])
    with pytest.raises(InvalidArgument, match=r"reference\[0\] is a dict; needed: Rle"):
        ops.mask_iou([small], [{"size": [2, 3]}])


@settings(max_examples=150, deadline=None)
@given(
    seeds,
    st.integers(0, 12),
    st.integers(0, 9),
    st.sampled_from([1, 3, 10, 64, 65, 130]),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(["plain", "ignore", "crowd"]),
)
def test_matching_equals_the_definition(seed, detections, references, count, dtype, kind):
    rng = np.random.default_rng(seed)
    # Few values, so that overlaps tie with one another and with thresholds.
    iou = rng.choice(np.array([0, 0.25, 0.5, 0.5, 0.75, 1, np.nan], dtype), (detections, references))
    thresholds = rng.choice([0.0, 0.25, 0.3, 0.5, 0.75, 1.0, 2.0], count)
    ignore = None if kind == "plain" else rng.random(references) < 0.4
    crowd = ignore if kind == "crowd" else None
    result = ops.match_detections(iou, thresholds=thresholds, ignore=ignore, crowd=crowd)
    expected = reference.match_detections(iou, thresholds, ignore, crowd)
    for ours, theirs in zip(result, expected, strict=True):
        assert np.array_equal(ours, theirs)


def test_matching_refuses():
    iou = np.zeros((2, 3))
    with pytest.raises(InvalidArgument, match="threshold 1 is nan; must be finite"):
        ops.match_detections(iou, thresholds=[0.5, np.nan])
    with pytest.raises(InvalidArgument, match="ignore has 2 entries; must be one for each of 3 references"):
        ops.match_detections(iou, thresholds=[0.5], ignore=np.zeros(2, bool))
    with pytest.raises(InvalidArgument, match="iou has 1 axes"):
        ops.match_detections(iou[0], thresholds=[0.5])


@settings(max_examples=120, deadline=None)
@given(masks, layouts)
def test_run_lengths_equal_the_definition_and_pycocotools(mask, layout):
    mask = layout(mask)
    runs = ops.encode_rle(mask)
    assert runs.counts.tolist() == reference.rle_counts(mask)
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert runs.to_string() == theirs["counts"]
    assert runs.area == mask.sum() == coco_mask.area(theirs)
    x, y, width, height = coco_mask.toBbox(theirs).astype(int).tolist()
    assert runs.bounding_box == (y, x, y + height, x + width)
    decoded = runs.decode()
    assert decoded.flags.f_contiguous
    assert np.array_equal(decoded, mask)
    assert runs.shape == mask.shape
    assert runs == Rle.from_counts(runs.counts, mask.shape) == Rle.from_string(theirs["counts"], mask.shape)
    assert pickle.loads(pickle.dumps(runs)) == runs


def test_run_lengths_of_a_large_mask_in_every_layout():
    rng = np.random.default_rng(8)
    mask = np.zeros((700, 530), np.uint8)
    for _ in range(30):
        y, x = rng.integers(0, 600), rng.integers(0, 450)
        mask[y : y + rng.integers(1, 200), x : x + rng.integers(1, 90)] = rng.integers(0, 256)
    expected = coco_mask.encode(np.asfortranarray((mask > 0).astype(np.uint8)))["counts"]
    for array in (mask, np.asfortranarray(mask), mask[::-1][::-1], np.stack([mask] * 2, -1)[..., 1]):
        assert ops.encode_rle(array).to_string() == expected


@pytest.mark.parametrize(
    "shape", [(1, 129), (127, 1), (128, 3), (130, 65), (8191, 2), (8192, 3), (16500, 2), (3, 20000)]
)
@pytest.mark.parametrize("turns", [0.0, 0.001, 0.02, 0.5, 1.0])
def test_run_lengths_wherever_they_begin_and_end(shape, turns):
    """Runs of every length across words, pairs of words, blocks and columns; any nonzero byte is foreground."""
    rng = np.random.default_rng(int(1000 * turns))
    line = np.cumsum(rng.random(shape[0] * shape[1]) < turns) % 2 == rng.integers(2)
    mask = line.reshape(shape, order="F") * rng.integers(1, 256, shape, np.uint8)
    expected = coco_mask.encode(np.asfortranarray((mask > 0).astype(np.uint8)))["counts"]
    for array in (np.asfortranarray(mask), np.ascontiguousarray(mask)):
        runs = ops.encode_rle(array)
        assert runs.to_string() == expected
        assert runs.counts.tolist() == reference.rle_counts(mask)


def test_counts_of_every_length_in_a_string():
    """Up to seven characters a count: from one pixel to nearly all that a mask may have."""
    counts = [0, 1, 15, 16, 17, 2**9, 3, 2**14, 1, 2**19, 5, 2**24, 2**24, 1, 2**29, 7, 2**31]
    shape = (sum(counts), 1)
    text = coco_mask.frPyObjects({"size": list(shape), "counts": counts}, *shape)["counts"]
    assert Rle.from_counts(counts, shape).to_string() == text
    assert Rle.from_string(text, shape).counts.tolist() == counts


def test_stretches_of_length_0_are_joined():
    assert Rle.from_counts([1, 2, 0, 3, 0, 0, 4], (2, 5)).counts.tolist() == [1, 5, 4]
    assert Rle.from_counts([0, 0, 10], (2, 5)).counts.tolist() == [10]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("zeros", [0.0, 0.1, 0.5])
def test_long_strings_and_counts_are_read_alike(seed, zeros):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, 13_000) * (rng.random(13_000) >= zeros)
    shape = (int(counts.sum()), 1)
    text = coco_mask.frPyObjects({"size": list(shape), "counts": counts.tolist()}, *shape)["counts"]
    mask = np.repeat(np.arange(len(counts)) % 2, counts).reshape(shape)
    for runs in (Rle.from_counts(counts, shape), Rle.from_string(text, shape)):
        assert runs == ops.encode_rle(mask.astype(np.uint8))
        assert np.array_equal(runs.decode(), mask)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0, 0, 1, 2, 40, 3000]), min_size=1, max_size=12))
def test_strings_and_counts_are_read_alike(counts):
    shape = (sum(counts), 1)
    text = coco_mask.frPyObjects({"size": shape, "counts": counts}, *shape)["counts"]
    expected = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    for runs in (Rle.from_counts(counts, shape), Rle.from_string(text, shape)):
        assert runs.counts.tolist() == reference.rle_counts(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(masks, min_size=1, max_size=4))
def test_merging(stack):
    shape = np.min([m.shape for m in stack], axis=0)
    stack = [m[: shape[0], : shape[1]] for m in stack]
    runs = [ops.encode_rle(m) for m in stack]
    assert np.array_equal(ops.merge_rle(runs).decode(), np.any(stack, axis=0))
    assert np.array_equal(ops.merge_rle(runs, mode="intersection").decode(), np.all(stack, axis=0))


@st.composite
def polygons(draw):
    rng = np.random.default_rng(draw(seeds))
    shape = draw(st.sampled_from([(1, 1), (7, 9), (40, 30), (130, 201), (64, 64)]))
    kind = draw(st.sampled_from(["free", "integer", "outside", "tiny", "circle", "halves"]))
    found = []
    for _ in range(draw(st.integers(1, 3))):
        count = int(rng.integers(3, 30))
        points = rng.random((count, 2)) * shape[::-1]
        if kind == "integer":
            points = np.round(points)
        elif kind == "outside":
            points = points * 3 - np.array(shape[::-1])
        elif kind == "tiny":
            points = points * 0.02 + points[:1]
        elif kind == "halves":
            points = np.round(points * 10) / 10
        elif kind == "circle":
            angle = np.sort(rng.random(count)) * 2 * np.pi
            points = (np.stack([np.cos(angle), np.sin(angle)], 1) * 0.6 + 0.5) * shape[::-1]
        found.append(points.ravel().tolist())
    return found, shape


@settings(max_examples=300, deadline=None)
@given(polygons())
def test_polygons_are_drawn_as_pycocotools_draws_them(case):
    outlines, shape = case
    ours = Rle.from_polygons(outlines, shape)
    theirs = coco_mask.merge(coco_mask.frPyObjects(outlines, *shape))
    assert ours.to_string() == theirs["counts"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Rle.from_counts([3, 4], (2, 3)), "counts go beyond the mask's 6 pixels"),
        (lambda: Rle.from_counts([3, 2], (2, 3)), "counts sum to 5; the mask has 6 pixels"),
        (lambda: Rle.from_counts([-1, 7], (2, 3)), "count 0 is -1"),
        (lambda: Rle.from_counts([1], (-1, -1)), "sides must be at least 0"),
        (lambda: Rle.from_counts([1], (2**40, 2**40)), "pixels at most 2"),
        (lambda: Rle.from_string("6~", (2, 3)), "character 1 of the compressed counts"),
        (lambda: Rle.from_string("P", (2, 3)), "the compressed counts end within count 0"),
        (lambda: Rle.from_string("o" * 20, (2, 3)), "count 0 of the compressed counts is too long"),
        (lambda: Rle.from_string(b"O", (2, 3)), "count 0 of the compressed counts is -1"),
        (lambda: Rle.from_polygons([[0, 0, 1, 1]], (2, 3)), "polygon 0 has 4 numbers"),
        (lambda: Rle.from_polygons([[0, 0, 1, 1, np.nan, 2]], (2, 3)), "polygon coordinate 4 is nan"),
        (lambda: Rle.from_polygons([[0, 0, 1e12, 1, 5, 2]], (2, 3)), "polygon coordinate 2 is 1e"),
        (lambda: ops.merge_rle([]), "no masks to merge"),
        (lambda: ops.merge_rle([ops.encode_rle(np.eye(3, dtype=bool)), None]), "mask 1 is None; needed: Rle"),
    ],
)
def test_damaged_run_lengths_are_refused(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()
