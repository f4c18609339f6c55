"""Overlaps, matching and score counts on a GPU: the same kernels here under the emulation, against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import FakeCudaArray, to_numpy

from lcx_fast import InvalidArgument, _core, ops


def boxes(rng, count, dtype):
    corners = rng.uniform(0, 50, (count, 4)).astype(dtype)
    corners[:, 2:] += corners[:, :2]
    corners[rng.random(count) < 0.1, 2] = np.nan
    corners[rng.random(count) < 0.1, 2:] = 0
    return corners


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("format", ["xyxy", "xywh"])
def test_box_overlaps_are_those_of_the_cpu(device, dtype, format):
    rng = np.random.default_rng(0)
    for detections, references in [(0, 3), (3, 0), (1, 1), (31, 33), (7, 100)]:
        a, b = boxes(rng, detections, dtype), boxes(rng, references, dtype)
        crowd = rng.random(references) < 0.3
        for flags in (None, crowd):
            on_device = None if flags is None else FakeCudaArray(flags)
            found = ops.box_iou(FakeCudaArray(a), FakeCudaArray(b), format=format, crowd=on_device)
            expected = _core.box_iou(a, b, format=format, crowd=flags, threads=1)
            np.testing.assert_array_equal(to_numpy(found), expected)


@pytest.mark.parametrize("pixels", [0, 1, 31, 32, 33, 1000, 20000])
def test_mask_overlaps_are_those_of_the_cpu(device, pixels):
    rng = np.random.default_rng(1)
    a, b = rng.random((3, pixels)) < 0.4, rng.random((5, pixels)) < 0.6
    a[0] = False
    b[0] = False
    crowd = np.array([0, 0, 1, 0, 1], np.uint8)
    for flags in (None, crowd):
        on_device = None if flags is None else FakeCudaArray(flags)
        found = ops.mask_iou(FakeCudaArray(a), FakeCudaArray(b), crowd=on_device)
        np.testing.assert_array_equal(to_numpy(found), _core.mask_iou(a, b, crowd=flags, threads=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (9, 4), (20, 300)], ids=str)
def test_matching_is_that_of_the_cpu(device, dtype, shape):
    rng = np.random.default_rng(2)
    iou = (rng.integers(0, 11, shape) / 10).astype(dtype)  # many ties
    iou[rng.random(shape) < 0.1] = np.nan
    thresholds = [0.5, 1.0, 0.0, -1.0, 0.75, 2.0]
    ignore, crowd = rng.random(shape[1]) < 0.3, rng.random(shape[1]) < 0.3
    for flags in ({}, {"ignore": ignore}, {"ignore": ignore, "crowd": crowd}, {"crowd": crowd}):
        own = {name: FakeCudaArray(value) for name, value in flags.items()}
        found = ops.match_detections(FakeCudaArray(iou), thresholds=thresholds, **own)
        both = {"ignore": None, "crowd": None} | flags
        for one, other in zip(found, _core.match_detections(iou, thresholds=thresholds, **both), strict=True):
            np.testing.assert_array_equal(to_numpy(one), other)


@pytest.mark.parametrize("count", [0, 1, 33, 5000])
def test_score_counts_are_those_of_the_cpu(device, count):
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 65536, count, np.uint16)
    scores[: count // 2] = 12345
    labels = rng.integers(0, 3, count, np.uint8)
    counts = FakeCudaArray(np.full((2, 65536), 5, np.int64))
    device.pixel_histogram(FakeCudaArray(scores), FakeCudaArray(labels), counts, threads=0)
    expected = np.full((2, 65536), 5, np.int64)
    _core.pixel_histogram(scores, labels, expected, threads=1)
    np.testing.assert_array_equal(counts.to_host(), expected)


def test_nothing_waits_and_devices_must_agree(emulated):
    a = FakeCudaArray(np.zeros((4, 4), np.float32))
    b = FakeCudaArray(np.zeros((4, 4), np.float32), device=1)
    before = emulated.emulation.counters()["waits"]
    ops.match_detections(ops.box_iou(a, a), thresholds=[0.5])
    assert emulated.emulation.counters()["waits"] == before
    with pytest.raises(InvalidArgument, match="predicted boxes are on cuda:0, reference boxes on cuda:1"):
        ops.box_iou(a, b)
