"""Lesion metrics: small cases worked out by hand, and random ones against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import reference_evaluation as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from lcx_fast import InvalidArgument, evaluation


def blobs(*boxes):
    probability = np.zeros((60, 60), np.float32)
    for y0, x0, y1, x1, value in boxes:
        probability[y0:y1, x0:x1] = value
    return probability


def result(probability, outlines, patient="a"):
    labels, scores = evaluation.find_detections(probability, pixel_spacing_mm=1.0)
    return evaluation.compare(labels, scores, outlines, patient=patient, pixel_spacing_mm=0.5)


def outline(*boxes):
    labels = np.zeros((60, 60), np.int16)
    for index, (y0, x0, y1, x1) in enumerate(boxes, start=1):
        labels[y0:y1, x0:x1] = 2 * index  # numbered with gaps
    return labels


def test_detections_are_ranked_and_small_or_faint_ones_left_out():
    probability = blobs((0, 0, 10, 10, 0.7), (20, 20, 30, 30, 0.9), (40, 40, 44, 44, 0.99), (50, 0, 60, 9, 0.4))
    labels, scores = evaluation.find_detections(probability, pixel_spacing_mm=1.0)
    assert scores == pytest.approx([0.9, 0.7])
    assert labels[25, 25] == 1 and labels[5, 5] == 2 and labels[41, 41] == 0
    _, seeded = evaluation.find_detections(probability, pixel_spacing_mm=1.0, threshold=0.3, seed_threshold=0.8)
    assert seeded == pytest.approx([0.9])


def test_a_detection_scores_the_mean_of_its_top_tenth():
    probability = blobs((0, 0, 10, 11, 0.6))
    probability[0, :11] = np.linspace(0.7, 0.9, 11)
    _, scores = evaluation.find_detections(probability, pixel_spacing_mm=1.0)
    assert scores == pytest.approx([probability[0, :11].mean()])


def test_overlaps():
    found = result(blobs((0, 0, 10, 10, 0.8)), outline((0, 0, 10, 5), (40, 40, 50, 50)))
    assert found.iou == pytest.approx(np.array([[0.5, 0.0]]))
    assert found.iop == pytest.approx([0.5])
    assert found.centre_inside.tolist() == [[False, False]]  # its centre is at (5, 5), one right of the outline
    assert result(blobs((0, 0, 9, 9, 0.8)), outline((0, 0, 10, 5))).centre_inside.tolist() == [[True]]


def test_average_precision_by_hand():
    # Descending scores: hit, miss, hit; three outlines. Precision at the hits: 1, 2/3.
    first = result(blobs((0, 0, 10, 10, 0.9), (20, 0, 30, 10, 0.8)), outline((0, 0, 10, 10), (40, 40, 50, 50)))
    second = result(blobs((0, 0, 10, 10, 0.7)), outline((0, 0, 10, 9)))
    assert evaluation.lesion_average_precision([first, second]) == pytest.approx((1 + 2 / 3) / 3)
    matches = evaluation.match_lesions([first, second])
    eleven = evaluation.interpolated_average_precision(matches, interpolation="11")
    assert eleven == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)  # recalls 0 to .3, and .4 to .6


def test_sensitivity_at_false_positive_rates():
    images = [
        result(blobs((0, 0, 10, 10, 0.95)), outline()),
        result(blobs((0, 0, 10, 10, 0.9)), outline((0, 0, 10, 10))),
        result(blobs((0, 0, 10, 10, 0.6)), outline((40, 40, 50, 50))),
        result(blobs((0, 0, 10, 10, 0.55)), outline((0, 0, 10, 10))),
    ]
    matches = evaluation.match_lesions(images, minimum=0.2)
    np.testing.assert_allclose(evaluation.froc_sensitivities(matches, [0.0, 0.25, 0.5]), [0, 1 / 3, 2 / 3])
    assert evaluation.score_at_rate(matches, 0.25) == pytest.approx(0.9)
    assert evaluation.score_at_rate(matches, 0.0) == 1.0
    normal = evaluation.froc_sensitivities(matches, [0.0, 1.0], false_positives_on="normal")
    np.testing.assert_allclose(normal, [0, 2 / 3])  # one normal image, one false positive on it


def test_points_are_hits_where_they_lie_in_an_outline():
    outlines = outline((0, 0, 10, 10), (20, 20, 30, 30))
    points = [(5.0, 9.99), (5.0, 10.0), (25, 25), (-1, 3), (60, 0), (21, 21)]
    image = evaluation.compare_points(points, [0.9, 0.8, 0.3, 0.5, 0.4, 0.7], outlines, patient="a")
    assert image.scores.tolist() == [0.9, 0.8, 0.7, 0.5, 0.4, 0.3]
    assert image.centre_inside.tolist() == [[1, 0], [0, 0], [0, 1], [0, 0], [0, 0], [0, 1]]
    matches = evaluation.match_lesions([image], overlap="centre", duplicates="ignored")
    assert matches.state.tolist() == [1, 0, 1, 0, 0, -1] and matches.lesion_counts.all()
    empty = evaluation.compare_points([], [], np.zeros((4, 4), int), patient="a")
    assert empty.centre_inside.shape == (0, 0)
    with pytest.raises(InvalidArgument, match=r"points have shape \(2, 2\), scores \(1,\)"):
        evaluation.compare_points([(0, 0), (1, 1)], [0.5], outlines, patient="a")


INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(INTEGERS),
    st.sampled_from([(0, 5), (5, 0), (1, 1), (7, 31), (32, 33), (9, 700)]),
    st.sampled_from(["dense", "columns", "every other", "backwards"]),
    st.integers(0, 2**31),
)
def test_points_equal_the_definition(dtype, shape, layout, seed):
    rng = np.random.default_rng(seed)
    height, width = shape
    labels = np.zeros((2 * height, 2 * width), dtype)
    numbers = [1, 2, 3, 90, 127, np.iinfo(dtype).max, np.iinfo(dtype).min]
    for number in (numbers[k] for k in rng.integers(0, len(numbers), rng.integers(0, 6))):
        y, x = rng.integers(0, 2 * height + 1), rng.integers(0, 2 * width + 1)
        labels[y : y + rng.integers(1, 9), x : x + rng.integers(1, 90)] = number
    labels = labels[:height, :width] if layout != "every other" else labels[::2, ::2]
    labels = {"columns": np.asfortranarray(labels), "backwards": labels[::-1, ::-1]}.get(layout, labels)
    labels = np.ascontiguousarray(labels) if layout == "dense" else labels
    count = int(rng.integers(0, 7))
    points = rng.uniform(-2, 1, (count, 2)) * -np.array(shape)  # some outside
    points[: count // 2] = np.round(points[: count // 2])
    scores = rng.choice([0.1, 0.5, 0.50001, 0.9], count)
    image = evaluation.compare_points(points, scores, labels, patient="a", pixel_spacing_mm=0.5)
    expected, inside, areas = reference.points_in_lesions(points.tolist(), scores.tolist(), labels.tolist())
    assert image.scores.tolist() == expected
    assert image.centre_inside.tolist() == inside and image.centre_inside.shape == (count, len(areas))
    assert image.reference_areas.tolist() == areas
    assert image.intersections.shape == image.centre_inside.shape and image.predicted_areas.shape == (count,)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_lesions_of_a_large_map_are_measured(dtype):
    rng = np.random.default_rng(3)
    labels = np.zeros((701, 1003), dtype)
    for number in rng.integers(1, 128, 60):
        y, x = rng.integers(0, 690), rng.integers(0, 990)
        labels[y : y + rng.integers(1, 90), x : x + rng.integers(1, 90)] = number
    labels[-1, -1] = np.iinfo(dtype).min  # 0 or less
    image = evaluation.compare_points([], [], labels, patient="a")
    assert image.reference_areas.tolist() == np.unique(labels[labels > 0], return_counts=True)[1].tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.sampled_from(["false_positive", "ignored"]), st.booleans(), st.integers(0, 2**31))
def test_many_images_of_points_equal_one_by_one(images, duplicates, spaced, seed):
    rng = np.random.default_rng(seed)
    points, scores, outlines = [], [], []
    for _ in range(images):
        points.append(rng.integers(-2, 14, (rng.integers(0, 9), 2)))
        scores.append(rng.choice(SCORES, len(points[-1])))
        outlines.append(np.kron(rng.integers(-1, 4, (4, 4)), np.ones((3, 3))).astype(rng.choice([np.int16, np.uint8])))
    patients = [f"p{k // 2}" for k in range(images)]
    spacing = rng.random(images).tolist() if spaced else [None] * images
    results = [
        evaluation.compare_points(p, s, o, patient=who, pixel_spacing_mm=mm)
        for p, s, o, who, mm in zip(points, scores, outlines, patients, spacing, strict=True)
    ]
    expected = evaluation.match_lesions(results, overlap="centre", duplicates=duplicates)
    found = evaluation.match_points(
        points, scores, outlines, patients=patients, pixel_spacing_mm=spacing if spaced else None, duplicates=duplicates
    )
    for name in ("scores", "state", "image", "lesion", "lesion_image", "lesion_counts", "lesion_area_mm2"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
        assert mine.dtype == theirs.dtype, name
    assert found.lesion_class.tolist() == expected.lesion_class.tolist() and found.patients == expected.patients


def test_points_and_images_must_go_together():
    labels, points, scores = np.zeros((4, 4), int), [(0, 0), (1, 1)], [0.5, 0.4]
    for what, arguments in {
        "scores of 0 images": ([points], [], [labels]),
        "outlines of 2 images": ([points], [scores], [labels, labels]),
        "image 0: points of shape": ([points], [[0.5]], [labels]),
        r"points of shape \(1, 3\)": ([[(1, 2, 3)]], [[0.5]], [labels]),
        r"points of shape \(\)": ([7], [[0.5]], [labels]),
        "outlines is float64": ([points], [scores], [labels * 1.0]),
    }.items():
        with pytest.raises(InvalidArgument, match=what):
            evaluation.match_points(*arguments, patients=["a"])


@pytest.mark.parametrize("levels", [[0.1, 0.2], [0.1, 0.2, -np.inf], [0.3], None])
def test_equal_scores_keep_their_order(levels):
    """Of N images with a point each; None: no two scores are equal."""
    rng = np.random.default_rng(0)
    scores = rng.permutation(50) / 50 if levels is None else rng.choice(levels, 50)
    labels, patients = np.zeros((4, 4), np.int32), [str(k) for k in range(50)]
    found = evaluation.match_points([[(0, 0)]] * 50, scores[:, None], [labels] * 50, patients=patients)
    np.testing.assert_array_equal(found.image, np.argsort(-scores, kind="stable"))


def test_classes_and_sizes():
    labels, scores = evaluation.find_detections(blobs((0, 0, 10, 10, 0.9), (20, 20, 30, 30, 0.8)), pixel_spacing_mm=1.0)
    outlines = outline((0, 0, 10, 10), (20, 20, 30, 30), (40, 40, 50, 55))
    image = evaluation.compare(
        labels, scores, outlines, patient="a", pixel_spacing_mm=0.5, classes=["mass", "cluster", "mass"]
    )
    matches = evaluation.match_lesions([image])
    assert matches.lesion_area_mm2.tolist() == [25.0, 25.0, 37.5]
    masses = matches.of_lesions(matches.lesion_class == "mass")
    # The cluster found is no false positive among the masses.
    assert evaluation.froc_sensitivities(masses, [0.0]) == pytest.approx([0.5])
    small = matches.of_lesions(matches.lesion_area_mm2 < 30)
    assert evaluation.froc_sensitivities(small, [0.0]) == pytest.approx([1.0])
    assert np.isnan(evaluation.interpolated_average_precision(matches.of_lesions(matches.lesion_area_mm2 > 99)))


def test_nothing_detected_scores_zero_and_nothing_to_find_is_undefined():
    nothing = [result(blobs(), outline((0, 0, 10, 10)))]
    matches = evaluation.match_lesions(nothing)
    assert evaluation.interpolated_average_precision(matches) == 0.0
    assert evaluation.froc_sensitivities(matches, [1.0]) == [0.0]
    assert evaluation.luna_score(matches) == 0.0
    assert evaluation.intersection_over_prediction(nothing) == 0.0
    assert np.isnan(evaluation.mean_iop_by_lesion(nothing))
    empty = evaluation.match_lesions([result(blobs((0, 0, 10, 10, 0.9)), outline())])
    assert np.isnan(evaluation.interpolated_average_precision(empty))
    assert np.isnan(evaluation.froc_sensitivities(empty, [1.0])).all()


def test_iop_counts_pixels_and_lesions():
    images = [
        result(blobs((0, 0, 10, 10, 0.8)), outline((0, 0, 10, 5))),
        result(blobs((0, 0, 10, 10, 0.8)), outline()),  # no lesion: does not count
        result(blobs((0, 0, 20, 20, 0.8), (30, 30, 40, 40, 0.7)), outline((0, 0, 20, 20), (50, 50, 55, 55))),
    ]
    assert evaluation.intersection_over_prediction(images) == pytest.approx(450 / 600)
    assert evaluation.mean_iop_by_lesion(images) == pytest.approx((0.5 + 1.0) / 2)
    np.testing.assert_allclose(evaluation.mean_iop_by_lesion(images, weights=[[2, 0, 1], [0, 1, 0]]), [2 / 3, np.nan])
    np.testing.assert_allclose(evaluation.intersection_over_prediction(images, weights=[[2, 9, 1]]), [500 / 700])


SCORES = [0.2, 0.4, 0.5, 0.500001, 0.7, 0.9]


@st.composite
def image_lists(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    results, plain = [], []
    for number in range(draw(st.integers(1, 6))):
        detections, lesions = int(rng.integers(0, 5)), int(rng.integers(0, 3))
        scores = np.sort(rng.choice(SCORES, detections))[::-1]
        predicted, actual = rng.integers(10, 30, detections), rng.integers(10, 30, lesions)
        shared = rng.integers(0, 10, (detections, lesions)) * rng.integers(0, 2, (detections, lesions))
        inside = rng.random((detections, lesions)) < 0.3
        patient = f"p{number // 2}"
        results.append(
            evaluation.ImageResult(patient, scores, shared, predicted, actual, centre_inside=inside, name=str(number))
        )
        plain.append(
            {
                "patient": patient,
                "scores": scores.tolist(),
                "lesions": lesions,
                "iou": (shared / (predicted[:, None] + actual - shared)).tolist(),
                "iop": (shared / predicted[:, None]).tolist(),
                "centre": inside.astype(float).tolist(),
            }
        )
    return results, plain


options = st.fixed_dictionaries(
    {
        "overlap": st.sampled_from(["iou", "iop", "centre"]),
        "minimum": st.sampled_from([0.1, 0.25]),
        "duplicates": st.sampled_from(["false_positive", "ignored"]),
    }
)
counting = st.fixed_dictionaries(
    {"unit": st.sampled_from(["lesion", "image", "patient"]), "false_positives_on": st.sampled_from(["all", "normal"])}
)


@settings(max_examples=200, deadline=None)
@given(image_lists(), options, counting)
def test_curves_equal_the_plain_definition(images, how, what):
    results, plain = images
    matches = evaluation.match_lesions(results, **how)
    points, to_find, counted = reference.curve(
        plain,
        how["overlap"],
        how["minimum"],
        duplicates=how["duplicates"],
        unit=what["unit"],
        normal_only=what["false_positives_on"] == "normal",
    )
    curve = evaluation.froc_curve(matches, **what)
    if to_find and counted:
        assert [round(float(s) * to_find) for s in curve.sensitivity][-1:] == [f for _, f, _ in points][-1:]
        for rate, sensitivity, threshold in zip(
            curve.false_positives_per_image, curve.sensitivity, curve.thresholds, strict=True
        ):
            # A point where nothing new was found (a second hit of an image) may be left out of our curve.
            found, false = next((f, n) for t, f, n in reversed(points) if t >= threshold)
            assert (sensitivity, rate) == pytest.approx((found / to_find, false / counted))
    rates = [0.0, 0.25, 0.5, 1.0, 4.0]
    expected = [reference.sensitivity_at(points, to_find, counted, rate) for rate in rates]
    np.testing.assert_allclose(evaluation.froc_sensitivities(matches, rates, **what), expected)
    if what == {"unit": "lesion", "false_positives_on": "all"}:
        for interpolation in ("all", "11"):
            np.testing.assert_allclose(
                evaluation.interpolated_average_precision(matches, interpolation=interpolation),
                reference.average_precision(points, to_find, interpolation),
            )


@settings(max_examples=100, deadline=None)
@given(image_lists(), options, counting, st.integers(0, 2**31))
def test_weights_count_as_repeated_images(images, how, what, seed):
    results, plain = images
    weights = np.random.default_rng(seed).integers(0, 3, (3, len(results)))
    if what["unit"] == "patient":  # whole patients are drawn
        first = {r.patient: k for k, r in reversed(list(enumerate(results)))}
        weights = weights[:, [first[r.patient] for r in results]]
    matches = evaluation.match_lesions(results, **how)
    values = evaluation.froc_sensitivities(matches, [0.5, 1.0], weights=weights, **what)
    precision = evaluation.interpolated_average_precision(matches, weights=weights)
    for row, value, ap in zip(weights, values, precision, strict=True):
        repeated = [image | {"copy": c} for image, times in zip(plain, row, strict=True) for c in range(times)]
        arguments = {"duplicates": how["duplicates"]}
        points, to_find, counted = reference.curve(
            repeated,
            how["overlap"],
            how["minimum"],
            unit=what["unit"],
            normal_only=what["false_positives_on"] == "normal",
            **arguments,
        )
        expected = [reference.sensitivity_at(points, to_find, counted, rate) for rate in (0.5, 1.0)]
        np.testing.assert_allclose(value, expected)
        points, to_find, _ = reference.curve(repeated, how["overlap"], how["minimum"], **arguments)
        np.testing.assert_allclose(ap, reference.average_precision(points, to_find))


def test_linear_interpolation_and_the_luna_score():
    # One lesion found at score .9, a false positive at .8, the other lesion at .7; two images.
    images = [
        evaluation.ImageResult("a", np.array([0.9, 0.8]), np.array([[10], [0]]), np.array([10, 10]), np.array([10])),
        evaluation.ImageResult("b", np.array([0.7]), np.array([[10]]), np.array([10]), np.array([10])),
    ]
    matches = evaluation.match_lesions(images)
    linear = evaluation.froc_sensitivities(matches, [0.0, 0.125, 0.5, 3.0], interpolation="linear")
    np.testing.assert_allclose(linear, [0.5, 0.5, 1.0, 1.0])
    assert evaluation.luna_score(matches) == pytest.approx((2 * 0.5 + 5 * 1.0) / 7)


def test_arguments_are_checked():
    with pytest.raises(InvalidArgument, match="descending"):
        evaluation.ImageResult("a", np.array([0.1, 0.9]), np.zeros((2, 0)), np.ones(2), np.zeros(0))
    with pytest.raises(InvalidArgument, match="intersections"):
        evaluation.ImageResult("a", np.array([0.1]), np.zeros((2, 0)), np.ones(1), np.zeros(0))
    with pytest.raises(InvalidArgument, match="more than 0"):
        evaluation.match_lesions([], minimum=0.0)
    image = evaluation.ImageResult("a", np.array([0.9]), np.ones((1, 1)), np.ones(1), np.ones(1))
    with pytest.raises(InvalidArgument, match="centres are not known"):
        evaluation.match_lesions([image], overlap="centre")
    with pytest.raises(InvalidArgument, match="accepted: iou, iop, centre"):
        evaluation.match_lesions([image], overlap="dice")
    with pytest.raises(InvalidArgument, match="shapes must be equal"):
        evaluation.compare(np.zeros((2, 2), int), np.zeros(0), np.zeros((2, 3), int), patient="a")


def test_no_images_at_all():
    matches = evaluation.match_lesions([])
    assert np.isnan(evaluation.interpolated_average_precision(matches))
    assert np.isnan(evaluation.froc_sensitivities(matches, [1.0])).all()
