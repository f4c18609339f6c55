"""Evaluation of arrays that are not what they should be: an error that says so, never a figure."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from lcx_fast import InvalidArgument, evaluation

SCORES, LABELS = np.array([0.9, 0.8, 0.3]), np.array([1, 0, 1])
NAN = np.array([0.9, np.nan, 0.3])
OUTLINES = np.zeros((6, 5), np.int32)
OUTLINES[1:3, 1:3] = 1
DETECTIONS = OUTLINES.copy()
DETECTIONS[4, 4] = 2
PROBABILITY = np.where(OUTLINES > 0, 0.9, 0.1).astype(np.float32)
RESULTS = [
    evaluation.compare(DETECTIONS, [0.9, 0.5], OUTLINES, patient="a"),
    evaluation.compare(OUTLINES * 0, [], OUTLINES, patient="b"),
]
MATCHES = evaluation.match_lesions(RESULTS)

ON_SCORES = (
    evaluation.roc_auc,
    evaluation.ranking_average_precision,
    evaluation.ranking_curve,
    evaluation.fit_platt,
    evaluation.fit_isotonic,
    evaluation.fit_temperature,
    evaluation.operating_points,
    evaluation.reliability_curve,
    evaluation.expected_calibration_error,
    lambda scores, labels: evaluation.max_by_group(scores, labels, ["a", "b", "c"]),
)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("function", ON_SCORES)
@pytest.mark.parametrize(
    ("scores", "labels", "told"),
    [
        (NAN, LABELS, "scores hold NaN"),
        ([0.9, None, 0.3], LABELS, "scores hold NaN"),
        (SCORES, LABELS[:2], r"scores have shape \(3,\), labels \(2,\); needed: \[N\] both"),
        (SCORES[None], LABELS[None], r"needed: \[N\] both"),
        (0.5, 1, r"needed: \[N\] both"),
        (["a", "b", "c"], LABELS, "scores are <U1; needed: real numbers"),
        (SCORES + 0j, LABELS, "scores are complex128; needed: real numbers"),
        ([[1], [1, 2]], LABELS, "scores are no array of numbers"),
        (SCORES, ["malignant", "benign", "benign"], "labels are <U9; needed: real numbers"),
        (SCORES, [1, 0, np.nan], "labels hold nan; needed: booleans, or 0"),
        (SCORES, [1, -1, 1], "labels hold -1; needed: booleans, or 0"),
        (SCORES, [0.2, 0, 1], "labels hold 0.2; needed: booleans, or 0"),
        (SCORES, [0, 1, 2], "labels hold 2; needed: booleans, or 0"),
    ],
)
def test_scores_and_labels_that_are_none(function, scores, labels, told):
    with pytest.raises(InvalidArgument, match=told):
        function(scores, labels)


def test_no_items_are_no_curve_and_no_calibration():
    assert np.isnan(evaluation.roc_auc([], [])) and np.isnan(evaluation.expected_calibration_error([], []))
    assert [len(part) for part in evaluation.reliability_curve([], [], binning="count")] == [0, 0, 0]
    for fit in (evaluation.fit_platt, evaluation.fit_isotonic, evaluation.fit_temperature):
        with pytest.raises(InvalidArgument, match="there are no items"):
            fit([], [])
    assert all(type(number) is float for number in evaluation.fit_platt(SCORES, LABELS))


def compare(detections=DETECTIONS, scores=(0.9, 0.5), outlines=OUTLINES, **more):
    return evaluation.compare(detections, scores, outlines, patient="a", **more)


def compare_points(points=((1.5, 1.5),), scores=(0.9,), outlines=OUTLINES):
    return evaluation.compare_points(points, scores, outlines, patient="a")


def match_points(points=((1.5, 1.5),), scores=(0.9,), **more):
    return evaluation.match_points([points], [scores], [OUTLINES], patients=["a"], **more)


def bootstrap(statistic, **more):
    return evaluation.patient_bootstrap(statistic, ["a", "b", "c"], draws=4, **more)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: compare(scores=[np.nan, 0.9]), "without NaN"),
        (lambda: compare(scores=[0.9, np.nan]), "without NaN"),
        (lambda: compare(OUTLINES, [np.nan]), "without NaN"),
        (lambda: compare(scores=[[0.9, 0.5]]), r"scores have shape (1, 2)"),
        (lambda: compare(scores=[0.9]), "detections are numbered to 2; scores have shape (1,)"),
        (lambda: compare(-DETECTIONS), "detections hold -2; needed: 0 for background, then 1, 2"),
        (lambda: compare(PROBABILITY, [0.9]), "detections are float32 (6, 5); needed: integers [H, W]"),
        (lambda: compare(outlines=PROBABILITY), "outlines are float32 (6, 5); needed: integers [H, W]"),
        (lambda: compare(DETECTIONS[None], outlines=OUTLINES[None]), "detections are int32 (1, 6, 5)"),
        (lambda: compare(outlines=OUTLINES.T), "detections are (6, 5), outlines (5, 6); shapes must be equal"),
        (lambda: compare(pixel_spacing_mm=-1), "pixel spacing -1 mm; needed: one positive number, or height and width"),
        (lambda: compare_points([[1, 2, 3]]), "points have shape (1, 3), scores (1,); needed: [D, 2] and [D]"),
        (lambda: compare_points([[np.nan, 2]]), "points hold NaN"),
        (lambda: compare_points(scores=[np.nan]), "without NaN"),
        (lambda: compare_points(outlines=PROBABILITY), "outlines are float32"),
        (lambda: match_points([[np.nan, 2]]), "points or scores hold NaN"),
        (lambda: match_points(scores=[np.nan]), "points or scores hold NaN"),
        (lambda: match_points(duplicates="x"), "duplicates 'x'; accepted: false_positive, ignored"),
        (lambda: evaluation.match_points([[]], [[]], [OUTLINES], patients="a"), "patients are the text 'a'"),
        (lambda: next(evaluation.patient_weights("abc", draws=2)), "patients are the text 'abc'; needed: a list"),
        (lambda: evaluation.match_lesions(RESULTS, duplicates="x"), "duplicates 'x'; accepted"),
        (lambda: evaluation.match_lesions(RESULTS, minimum=50), "minimum overlap 50; needed: more than 0, at most 1"),
        (lambda: evaluation.froc_curve(MATCHES, unit="breast"), "unit 'breast'; accepted: lesion, image, patient"),
        (lambda: evaluation.froc_curve(MATCHES, false_positives_on="x"), "false_positives_on 'x'; accepted"),
        (lambda: evaluation.froc_curve(RESULTS), "matches are a list; needed: Matches, as match_lesions makes"),
        (lambda: evaluation.froc_sensitivities(MATCHES, [1, np.nan]), "needed: [R] numbers, 0 or more"),
        (lambda: evaluation.froc_sensitivities(MATCHES, [[1, 2]]), "needed: [R] numbers, 0 or more"),
        (lambda: evaluation.froc_sensitivities(MATCHES, interpolation="x"), "interpolation 'x'; accepted"),
        (lambda: evaluation.interpolated_average_precision(MATCHES, interpolation="x"), "interpolation 'x'; accepted"),
        (lambda: evaluation.score_at_rate(MATCHES, np.nan), "rate nan; needed"),
        (lambda: bootstrap(lambda w: {"auc": evaluation.roc_auc(SCORES, LABELS)}), "'auc' has shape (); needed: [1]"),
        (lambda: bootstrap(lambda w: evaluation.roc_auc(SCORES, LABELS, weights=w)), "gives a ndarray; needed: values"),
        (lambda: bootstrap(lambda w: {}, strata=["x", "y", "z"]), "strata are <U1; needed: real numbers"),
        (lambda: bootstrap(lambda w: {}, strata=NAN), "strata are float64 (3,); needed: [3] whole numbers"),
        (lambda: evaluation.boundary_distance(PROBABILITY * np.nan, OUTLINES, pixel_spacing_mm=1), "hold NaN"),
        (lambda: evaluation.distance_transform(OUTLINES, pixel_spacing_mm=(1, 2, 3)), "needed: one positive number"),
        (lambda: evaluation.count_pixels(PROBABILITY * np.nan, OUTLINES), "predicted pixels hold NaN"),
        (lambda: evaluation.count_pixels("a.png", OUTLINES), "predicted pixels are <U5; needed: real numbers"),
        (lambda: evaluation.confused_pixels(PROBABILITY, OUTLINES.T), "shapes must be equal"),
        (lambda: evaluation.confused_pixels(PROBABILITY, OUTLINES[0]), "shapes must be equal"),
        (lambda: evaluation.confused_pixels(PROBABILITY, OUTLINES, between=(0.9, 0.1)), "the lower one first"),
        (lambda: evaluation.find_detections(OUTLINES, pixel_spacing_mm=1), "probabilities are int32; needed: floating"),
        (lambda: evaluation.find_detections(PROBABILITY, pixel_spacing_mm=np.nan), "pixel spacing nan mm"),
        (lambda: evaluation.pixel_areas(PROBABILITY, PROBABILITY * np.nan), "labels hold NaN"),
        (lambda: evaluation.pixel_areas(PROBABILITY, np.full((6, 5), "a")), "labels are <U1; needed: real numbers"),
        (lambda: evaluation.reliability_curve(SCORES, LABELS, bins=2.5), "bins 2.5; needed: a whole number"),
        (lambda: evaluation.reliability_curve(SCORES, LABELS, binning="x"), "binning 'x'; accepted: width, count"),
        (lambda: evaluation.operating_points(SCORES, LABELS, sensitivity=95), "sensitivity 95; needed: a share"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, told):
    with pytest.raises(InvalidArgument, match=re.escape(told)) as error:
        call()
    assert "\n" not in str(error.value)


def test_masks_lists_and_large_numbers_are_label_maps_too():
    expected = compare()
    for same in (
        compare(outlines=OUTLINES > 0),
        compare(outlines=OUTLINES.astype(np.int64) * 10**12),
        compare(outlines=OUTLINES.astype(np.uint64) * 7),
        compare(DETECTIONS.tolist(), outlines=OUTLINES.tolist()),
    ):
        assert same == expected
    assert compare(OUTLINES > 0, [0.9]) == compare(OUTLINES, [0.9])


def test_a_pixel_spacing_is_one_number_or_two():
    square, oblong = compare(pixel_spacing_mm=0.5), compare(pixel_spacing_mm=(0.5, 2))
    assert (square.pixel_area_mm2, oblong.pixel_area_mm2) == (0.25, 1.0)
    for spacing in (0.5, (0.5, 0.5), [0.5, 0.5], np.float32(0.5)):
        assert evaluation.boundary_distance(DETECTIONS, OUTLINES, pixel_spacing_mm=spacing) == (
            evaluation.boundary_distance(DETECTIONS, OUTLINES, pixel_spacing_mm=(0.5, 0.5))
        )
    for spacing, count in ((2.0, 0), ((2.0, 4.0), 1)):  # 16 and 32 square millimetres of the 25 that are asked
        assert len(evaluation.find_detections(PROBABILITY, pixel_spacing_mm=spacing)[1]) == count
