"""CocoEvaluator equals pycocotools in every figure and every entry."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from coco_cases import pycocotools_result, random_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from lcx_fast import InvalidArgument, ops
from lcx_fast.evaluation import CocoEvaluator

#: pycocotools decodes masks in a way that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
TABLES = ("precision", "recall", "scores")
seeds = st.integers(0, 2**31)
iou_types = st.sampled_from(["bbox", "segm"])


def write(path, value):
    path.write_text(json.dumps(value, indent=1 if len(str(path)) % 2 else None))
    return path


def assert_equal(result, theirs):
    for name in TABLES:
        assert np.array_equal(getattr(result, name), theirs.eval[name]), name


@settings(max_examples=60, deadline=None)
@given(
    seeds,
    iou_types,
    st.sampled_from([0.0, 0.15, 0.7]),
    st.booleans(),
    st.sampled_from([1, 5]),
    st.sampled_from([0, 2, 9]),
    st.sampled_from([1.0, 6.0]),
)
def test_equal_to_pycocotools(seed, iou_type, crowds, ties, categories, per_image, scale):
    reference, predictions = random_dataset(
        np.random.default_rng(seed),
        segm=iou_type == "segm",
        crowds=crowds,
        ties=ties,
        categories=categories,
        per_image=per_image,
        scale=scale,
    )
    theirs, text = pycocotools_result(reference, predictions, iou_type)
    result = CocoEvaluator(reference, iou_type=iou_type, threads=2).evaluate(predictions)
    assert_equal(result, theirs)
    assert list(result.stats.values()) == theirs.stats.tolist()
    assert result.summary() + "\n" == text


@settings(max_examples=30, deadline=None)
@given(seeds, iou_types)
def test_files_and_objects_give_the_same(tmp_path_factory, seed, iou_type):
    reference, predictions = random_dataset(np.random.default_rng(seed), segm=iou_type == "segm")
    folder = tmp_path_factory.mktemp("coco")
    paths = write(folder / "reference.json", reference), write(folder / "predictions.json", predictions)
    from_files = CocoEvaluator(paths[0], iou_type=iou_type).evaluate(str(paths[1]))
    from_objects = CocoEvaluator(reference, iou_type=iou_type).evaluate(predictions)
    for name in TABLES:
        assert np.array_equal(getattr(from_files, name), getattr(from_objects, name))
    assert from_files.category_names == from_objects.category_names == ("kind 0", "kind 1", "kind 2")


@settings(max_examples=40, deadline=None)
@given(
    seeds,
    iou_types,
    st.sampled_from([[0.5], [0.0, 0.3, 1.0], np.linspace(0.05, 0.95, 40).tolist(), [0.9, 0.1]]),
    st.sampled_from([[0.0, 0.5, 1.0], [0.1], [0.7, 0.2, 0.0]]),
    st.sampled_from([[1, 2, 3], [100], [1, 1000]]),
    st.booleans(),
    st.booleans(),
)
def test_parameters(seed, iou_type, thresholds, recalls, most, use_categories, subset):
    rng = np.random.default_rng(seed)
    reference, predictions = random_dataset(rng, segm=iou_type == "segm", per_image=6)
    areas = {"all": (0, 1e10), "tiny": (0, 50), "nothing": (5, 4)}
    images = sorted(image["id"] for image in reference["images"])[: 3 if subset else None]
    categories = [2, 16] if subset else [2, 9, 16]
    theirs, _ = pycocotools_result(
        reference,
        predictions,
        iou_type,
        iouThrs=np.array(thresholds),
        recThrs=np.array(recalls),
        maxDets=most,
        areaRng=[list(r) for r in areas.values()],
        areaRngLbl=list(areas),
        useCats=int(use_categories),
        imgIds=images,
        catIds=categories,
    )
    result = CocoEvaluator(
        reference,
        iou_type=iou_type,
        iou_thresholds=thresholds,
        recall_thresholds=recalls,
        max_detections=most,
        area_ranges=areas,
        use_categories=use_categories,
        image_ids=images,
        category_ids=categories,
    ).evaluate(predictions)
    assert_equal(result, theirs)


@settings(max_examples=25, deadline=None)
@given(seeds, iou_types, st.sampled_from([0.0, 0.4, 1.0]), st.sampled_from([0, 1, 40, 160]))
def test_copies_and_more_detections_than_count(seed, iou_type, crowds, detections):
    """Each of a few shapes many times over: overlaps tie, scores tie, and what comes after the hundredth is cut."""
    rng = np.random.default_rng(seed)
    reference, predictions = random_dataset(rng, segm=iou_type == "segm", images=2, crowds=crowds, per_image=3)
    # pycocotools takes masks of predictions as compressed run lengths only.
    shapes = predictions if iou_type == "segm" else [*reference["annotations"], *predictions]
    copies = []
    for k in rng.integers(0, len(shapes), detections if shapes else 0):
        copies.append(
            {name: shapes[k][name] for name in ("image_id", "category_id", "bbox", "segmentation") if name in shapes[k]}
        )
        copies[-1]["score"] = float(rng.choice([0.0, 0.25, 0.25, 1.0]))
    for k in rng.integers(0, len(reference["annotations"]), 4 if reference["annotations"] else 0):
        twin = reference["annotations"][k] | {"id": 1 + len(reference["annotations"])}
        reference["annotations"].append(twin | {"iscrowd": int(rng.random() < crowds)})
    theirs, text = pycocotools_result(reference, copies, iou_type)
    result = CocoEvaluator(reference, iou_type=iou_type).evaluate(copies)
    assert_equal(result, theirs)
    assert result.summary() + "\n" == text


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_many_images_on_several_threads(iou_type):
    reference, predictions = random_dataset(
        np.random.default_rng(5), segm=iou_type == "segm", images=700, categories=2, per_image=3
    )
    evaluator = CocoEvaluator(reference, iou_type=iou_type, threads=4)
    assert_equal(evaluator.evaluate(predictions), pycocotools_result(reference, predictions, iou_type)[0])


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_empty(iou_type):
    reference, _ = random_dataset(np.random.default_rng(2), segm=iou_type == "segm")
    result = CocoEvaluator(reference, iou_type=iou_type).evaluate([])
    assert_equal(result, pycocotools_result(reference, [], iou_type)[0])
    assert result.stats["AP"] == 0
    nothing = {"images": [], "categories": [], "annotations": []}
    assert CocoEvaluator(nothing, iou_type=iou_type).evaluate([]).precision.shape == (10, 101, 0, 4, 3)
    assert CocoEvaluator({}, iou_type=iou_type).evaluate([]).stats["AP"] == -1


def test_boxes_of_predictions_with_masks_only():
    reference, predictions = random_dataset(np.random.default_rng(11), segm=True, images=12)
    theirs, _ = pycocotools_result(reference, predictions, "bbox")
    assert_equal(CocoEvaluator(reference, iou_type="bbox").evaluate(predictions), theirs)


def test_boxes_drawn_as_masks():
    reference, _ = random_dataset(np.random.default_rng(12), segm=True, images=12)
    predictions = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "score": 0.5, "bbox": a["bbox"]}
        for a in reference["annotations"]
    ]
    theirs, _ = pycocotools_result(reference, predictions, "segm")
    assert_equal(CocoEvaluator(reference).evaluate(predictions), theirs)


def test_a_box_beside_a_mask_decides_the_area():
    reference, predictions = random_dataset(np.random.default_rng(13), segm=True, images=20, per_image=6)
    for prediction in predictions:
        prediction["bbox"] = [0.0, 0.0, 40.0, 40.0]
    theirs, _ = pycocotools_result(reference, predictions, "segm")
    assert_equal(CocoEvaluator(reference).evaluate(predictions), theirs)


def test_run_length_objects_are_taken_as_they_are():
    reference, predictions = random_dataset(np.random.default_rng(15), segm=True)
    expected = CocoEvaluator(reference).evaluate(predictions)
    for prediction in predictions:
        rle = prediction["segmentation"]
        prediction["segmentation"] = ops.Rle.from_string(rle["counts"], tuple(rle["size"]))
    assert np.array_equal(CocoEvaluator(reference).evaluate(predictions).scores, expected.scores)


def test_annotation_ids_do_not_matter():
    reference, predictions = random_dataset(np.random.default_rng(16))
    expected = CocoEvaluator(reference, iou_type="bbox").evaluate(predictions)
    without = copy.deepcopy(reference)
    for annotation in without["annotations"]:
        del annotation["id"]
    result = CocoEvaluator(without, iou_type="bbox").evaluate(predictions)
    assert np.array_equal(result.precision, expected.precision)


def test_per_category_figures():
    reference, predictions = random_dataset(np.random.default_rng(17), images=30, per_image=8)
    result = CocoEvaluator(reference, iou_type="bbox").evaluate(predictions)
    rows = result.per_category()
    assert [row.category_id for row in rows] == [2, 9, 16]
    assert np.mean([row.average_precision for row in rows]) == pytest.approx(result.stats["AP"])
    assert np.mean([row.average_recall for row in rows]) == pytest.approx(result.stats["AR100"])
    assert len(result.category_table().splitlines()) == 4


GOOD = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [0, 0, 2, 2]}
REFERENCE = {
    "images": [{"id": 1, "height": 5, "width": 5}],
    "categories": [{"id": 1, "name": "a"}],
    "annotations": [
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2], "area": 4, "segmentation": [[0, 0, 2, 0, 2, 2]]}
    ],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 2}, "predictions: prediction 0 is of image 2, which reference does not have"),
        ({"score": None}, "predictions: prediction 0 has no score"),
        ({"score": float("nan")}, r"predictions: predictions\[0\]: score is nan; a finite number is needed"),
        ({"image_id": "1"}, r"predictions: predictions\[0\]: image_id is '1'; an integer"),
        ({"image_id": 1.5}, "image_id is 1.5; an integer"),
        ({"category_id": None}, "has no category_id"),
        ({"bbox": [1, 2, 3]}, "bbox must have four numbers"),
        ({"bbox": "1234"}, "bbox must be a list"),
        ({"bbox": None}, "prediction 0 has no segmentation"),
        ({"segmentation": {"size": [5, 5]}}, "has no counts"),
        ({"segmentation": {"size": [4, 4], "counts": [0, 16]}}, "a predicted mask is 4 x 4 pixels, a reference mask"),
        ({"segmentation": {"size": [5, 5], "counts": [0, 16]}}, "annotation 0: counts sum to 16; the mask has 25"),
        ({"segmentation": {"size": [5, 5], "counts": "\udcff"}}, "annotation 0: counts sum to 15; the mask has 25"),
        ({"segmentation": [[1, 2, 3]]}, "segmentation: expected a polygon"),
        ({"segmentation": []}, "segmentation is empty"),
    ],
)
def test_bad_predictions_are_refused(change, message):
    with pytest.raises(InvalidArgument, match=message):
        CocoEvaluator(REFERENCE, iou_type="segm").evaluate([{**GOOD, **change}])


def test_other_bad_arguments_are_refused():
    with pytest.raises(InvalidArgument, match="iou_type 'keypoints'; accepted: 'bbox', 'segm'"):
        CocoEvaluator(REFERENCE, iou_type="keypoints")
    with pytest.raises(InvalidArgument, match="reference: image id 1 occurs twice"):
        CocoEvaluator({**REFERENCE, "images": REFERENCE["images"] * 2})
    with pytest.raises(InvalidArgument, match="image 1 has no height and width"):
        CocoEvaluator({**REFERENCE, "images": [{"id": 1}]})
    with pytest.raises(InvalidArgument, match="annotation 0 has no bbox"):
        CocoEvaluator({"annotations": [{"image_id": 1, "category_id": 1}]}, iou_type="bbox")
    with pytest.raises(InvalidArgument, match="max_detections is empty"):
        CocoEvaluator(REFERENCE, max_detections=[])
    with pytest.raises(InvalidArgument, match="max_detections must ascend, within 1"):
        CocoEvaluator(REFERENCE, max_detections=[0]).evaluate([])
    with pytest.raises(InvalidArgument, match="a list of dictionaries is needed"):
        CocoEvaluator(REFERENCE).evaluate({"annotations": []})
    with pytest.raises(InvalidArgument, match=r"predictions\[0\]: a dictionary is needed"):
        CocoEvaluator(REFERENCE).evaluate([3])
