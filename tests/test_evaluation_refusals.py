"""Evaluation of numbers that cannot be meant, and at its edges: refused in one line, or as before.

Arrays of the wrong kind are in ``test_evaluation_arguments.py``.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import astuple

import numpy as np
import pytest

from lcx_fast import InvalidArgument, evaluation, ops

DATASET = {
    "images": [{"id": 1, "width": 20, "height": 20}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}],
    "categories": [{"id": 1, "name": "mass"}],
}
FOUND = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}
SCORES, LABELS = np.array([0.9, 0.8, 0.3, 0.1]), np.array([1, 0, 1, 0])
OUTLINES = np.zeros((6, 5), np.int32)
OUTLINES[1:3, 1:3] = 1
MASK = OUTLINES > 0
PROBABILITY = np.where(MASK, 0.9, 0.2).astype(np.float32)
RESULT = evaluation.compare(OUTLINES, [0.9], OUTLINES, patient="a")


def coco(**more):
    return evaluation.CocoEvaluator(DATASET, iou_type="bbox", **more)


def bootstrap(patients, **more):
    return evaluation.patient_bootstrap(lambda w: {"n": w.sum(axis=1)}, patients, **more)


def match_points(spacings):
    points = [[[1.5, 1.5]], [[0, 0]]]
    return evaluation.match_points(
        points, [[0.9], [0.8]], [OUTLINES] * 2, patients=["a", "b"], pixel_spacing_mm=spacings
    )


def find(**more):
    return evaluation.find_detections(PROBABILITY, pixel_spacing_mm=1, **more)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: evaluation.CocoEvaluator(None), "reference is a NoneType; needed: a COCO dataset, its path"),
        (lambda: evaluation.CocoEvaluator([]), "reference is a list; needed: a COCO dataset, its path"),
        (lambda: coco().evaluate(None), "predictions are a NoneType; a path or a list of dictionaries is needed"),
        (lambda: coco().evaluate(FOUND), "predictions are a dict; a path or a list of dictionaries is needed"),
        (lambda: coco(iou_thresholds=[50]), "iou_thresholds [50.0]; needed: a list of shares from 0 to 1"),
        (lambda: coco(iou_thresholds=0.5), "iou_thresholds 0.5; needed: a list of shares from 0 to 1"),
        (lambda: coco(recall_thresholds=[np.nan]), "recall_thresholds [nan]; needed: a list of shares"),
        (lambda: coco(max_detections=100), "max_detections 100; needed: a list of whole numbers"),
        (lambda: evaluation.count_pixels(PROBABILITY, MASK), "predicted pixels hold fractions; needed: a mask of"),
        (lambda: evaluation.count_pixels(MASK, MASK, within=PROBABILITY), "pixels that count hold fractions"),
        (
            lambda: evaluation.boundary_distance(PROBABILITY, MASK, pixel_spacing_mm=1),
            "predicted pixels hold fractions",
        ),
        (
            lambda: evaluation.boundary_distance(MASK, MASK * 0.01, pixel_spacing_mm=1),
            "reference pixels hold fractions",
        ),
        (lambda: evaluation.distance_transform(PROBABILITY, pixel_spacing_mm=1), "mask pixels hold fractions"),
        (lambda: evaluation.pixel_areas(PROBABILITY, PROBABILITY), "labels hold fractions"),
        (lambda: evaluation.near_band(PROBABILITY, pixel_spacing_mm=1), "reference pixels hold fractions"),
        (
            lambda: evaluation.near_band(MASK, pixel_spacing_mm=1, width_mm=-3),
            "width_mm -3; needed: a number, 0 or more",
        ),
        (lambda: evaluation.near_band(MASK, pixel_spacing_mm=1, width_mm=np.nan), "width_mm nan; needed: a number"),
        (lambda: evaluation.confused_pixels(PROBABILITY * np.nan, MASK), "floating numbers from 0 to 1, without NaN"),
        (lambda: evaluation.confused_pixels(PROBABILITY * 255, MASK), "floating numbers from 0 to 1, without NaN"),
        (lambda: evaluation.confused_pixels(OUTLINES, MASK), "probabilities are int32; needed: floating numbers"),
        (lambda: evaluation.confused_pixels(PROBABILITY, MASK, between=0.5), "between 0.5; needed: two bounds"),
        (lambda: evaluation.confused_pixels(PROBABILITY, MASK, between=(0.1, np.nan)), "needed: two bounds"),
        (lambda: evaluation.logit([0.5, 2]), "probabilities lie outside 0..1; log odds are of probabilities only"),
        (lambda: evaluation.logit([0.5], epsilon=0.7), "epsilon 0.7; needed: above 0, below 0.5"),
        (lambda: evaluation.max_by_group(SCORES, LABELS, [["a"]] * 4), "keys hold what cannot be hashed"),
        (lambda: bootstrap([["a"], ["b"]]), "patients hold what cannot be hashed"),
        (lambda: bootstrap(["a"], draws=10.5), "draws 10.5; needed: a whole number, at least 1"),
        (lambda: bootstrap(["a"], draws=0), "draws 0; needed: a whole number, at least 1"),
        (lambda: bootstrap([]), "there are no patients; needed: one for each image"),
        (lambda: evaluation.PixelCurve().merge(3), "the other curve is a int; needed: a PixelCurve"),
        (lambda: evaluation.match_lesions(RESULT), "results are a ImageResult; needed: a list of ImageResult"),
        (lambda: evaluation.match_lesions(evaluation.match_lesions([RESULT])), "results are a Matches; needed: a list"),
        (lambda: evaluation.match_lesions([RESULT, OUTLINES]), "results hold a ndarray; needed: ImageResult"),
        (lambda: evaluation.match_lesions([RESULT], minimum="a"), "minimum overlap a; needed: more than 0"),
        (lambda: evaluation.lesion_average_precision(RESULT), "results are a ImageResult; needed: a list"),
        (lambda: evaluation.intersection_over_prediction(RESULT), "results are a ImageResult; needed: a list"),
        (lambda: evaluation.mean_iop_by_lesion([None]), "results hold a NoneType; needed: ImageResult"),
        (lambda: match_points(0.1), "pixel spacings have shape (); needed: [2], one per image"),
        (lambda: match_points([0.1]), "pixel spacings have shape (1,); needed: [2], one per image"),
        (lambda: match_points([0.1, -1]), "pixel spacings hold infinity, or numbers not above 0"),
        (lambda: find(threshold=np.nan), "threshold nan; needed: a number, 0 or more"),
        (lambda: find(seed_threshold=np.nan), "seed_threshold nan; needed: a number, 0 or more"),
        (lambda: find(min_area_mm2=np.nan), "min_area_mm2 nan; needed: a number, 0 or more"),
        (lambda: evaluation.match_lesions([RESULT]).units("breast"), "unit 'breast'; accepted: lesion, image, patient"),
        (lambda: evaluation.score_at_rate(evaluation.match_lesions([RESULT]), [1]), "rate [1]; needed: a number"),
        (
            lambda: evaluation.compare_points(np.zeros((2, 3)), [0.5, 0.4, 0.3], OUTLINES, patient="a"),
            "points have shape",
        ),
        (lambda: ops.resample(PROBABILITY, scale=2), "scales [2]; needed: two numbers for each grid, along y and x"),
        (lambda: ops.resample(PROBABILITY, scale="12"), "scales ['12']; needed: two numbers for each grid"),
        (lambda: ops.percentiles(PROBABILITY, 50), "ranks 50; needed: a list of numbers from 0 to 100"),
        (lambda: ops.percentiles(PROBABILITY, "50"), "ranks 50; needed: a list of numbers from 0 to 100"),
        (lambda: ops.region_props(OUTLINES, count=1.5), "count 1.5; needed: a whole number"),
    ],
)
def test_wrong_calls_are_refused(call, told):
    with pytest.raises(InvalidArgument, match=re.escape(told)) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint8, np.int64, np.float32, float, object])
def test_labels_are_booleans_or_0_and_1_of_any_kind(kind):
    labels = LABELS.astype(kind)
    assert evaluation.roc_auc(SCORES, labels) == 0.75
    assert evaluation.roc_auc(SCORES.tolist(), labels.tolist()) == 0.75
    assert evaluation.max_by_group(SCORES, labels, list("aabb")).labels.tolist() == [True, True]
    assert evaluation.fit_platt(SCORES, labels) == evaluation.fit_platt(SCORES, LABELS)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int32, np.uint64, np.float16, float])
def test_masks_of_whole_numbers_are_masks_of_any_kind(kind):
    mask = MASK.astype(kind) if kind is bool else MASK.astype(kind) * kind(255)
    assert astuple(evaluation.count_pixels(mask, MASK)) == (4, 0, 0, 26)
    assert tuple(evaluation.boundary_distance(mask, MASK, pixel_spacing_mm=(1, 1))) == (0, 0)
    assert evaluation.confused_pixels(PROBABILITY, mask, between=(0.1, 0.5)) == 0
    assert int(evaluation.near_band(mask, pixel_spacing_mm=(1, 1), width_mm=1).sum()) == 8


def test_edges_give_what_they_gave():
    assert np.isnan(evaluation.roc_auc([], [])) and evaluation.roc_auc([0.5, 0.5], [0, 1]) == 0.5
    assert np.isnan(evaluation.roc_auc([0.5], [1])) and np.isnan(evaluation.logit([np.nan])).all()
    np.testing.assert_allclose(evaluation.logit([0, 0.5, 1]), [-13.815510, 0, 13.815510])
    assert [len(part) for part in evaluation.max_by_group([], [], [])] == [0, 0, 0]
    assert astuple(evaluation.count_pixels([], [])) == (0, 0, 0, 0)
    assert evaluation.confused_pixels(np.zeros((0, 3)), np.zeros((0, 3))) == 0
    assert not evaluation.near_band(MASK, pixel_spacing_mm=1, width_mm=0).any()
    assert evaluation.match_lesions([]).images == 0 and evaluation.match_lesions(iter([RESULT])).images == 1
    assert evaluation.intersection_over_prediction([]) == 0 and np.isnan(evaluation.mean_iop_by_lesion([]))
    assert bootstrap(["a"], draws=np.int64(3))["n"].value == 1
    assert len(find(threshold=1.0)[1]) == 0


def test_operations_take_whole_numbers_of_any_kind():
    expected = ops.resample(PROBABILITY, scale=(2.0, 2.0))
    np.testing.assert_array_equal(ops.resample(PROBABILITY, scale=np.array([2, 2])), expected)
    assert ops.percentiles(PROBABILITY, np.array([0, 100])) == ops.percentiles(PROBABILITY, [0, 100.0])
    assert ops.region_props(OUTLINES, count=np.int64(1)).area.tolist() == [4]


def test_points_spacings_are_sides_or_pairs_or_unknown():
    area = match_points([0.5, 2]).lesion_area_mm2
    assert area.tolist() == [1.0, 16.0]
    assert match_points([(0.5, 0.5), (1, 4)]).lesion_area_mm2.tolist() == area.tolist()
    assert np.isnan(match_points([None, 2]).lesion_area_mm2).tolist() == [True, False]
    assert np.isnan(match_points(None).lesion_area_mm2).all()


def test_coco_takes_any_list_of_predictions():
    expected = coco().evaluate([FOUND])
    assert expected.stats["AP"] == pytest.approx(1)
    assert coco().evaluate((FOUND,)) == expected and coco().evaluate(iter([FOUND])) == expected
    assert coco(iou_thresholds=[0, 1]).evaluate([]).stats["AP"] == 0.0
