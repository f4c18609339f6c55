"""What the package hands out: equal to its copies, by value, and ready for other processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from dataclasses import fields, is_dataclass, replace

import dicom_files
import numpy as np
import pytest
from models import breast_image, write_brightness_model

import lcx_fast
from lcx_fast import evaluation, ops
from lcx_fast.decision import Calibration, OperatingPoint
from lcx_fast.engines import SkippedEngine
from lcx_fast.evaluation.matches import count_by_threshold
from lcx_fast.mammogram import FileDigest
from lcx_fast.onnx_int8 import Quantisation
from lcx_fast.preprocess import coarse_view, plan

#: They do something, and stand for no value.
WORKERS = {lcx_fast.Detector, ops.TileBlender, evaluation.CocoEvaluator, evaluation.PixelCurve}


def a_report(tmp_path):
    film = tmp_path / "film.dcm"
    film.write_bytes(dicom_files.make_file(breast_image()))
    detector = lcx_fast.load_model(write_brightness_model(tmp_path / "m.onnx"))
    return detector.infer(film, pixel_spacing_mm=0.5)


def images():
    labels = np.zeros((20, 20), np.int32)
    labels[2:6, 2:6], labels[10:15, 10:12] = 1, 2
    found = np.zeros((20, 20), np.int32)
    found[2:6, 2:5], found[16:, 16:] = 1, 2
    return [
        evaluation.compare(found, np.array([0.9, 0.4]), labels, patient="p1", name="a"),
        evaluation.compare(found * 0, np.zeros(0), labels, patient="p2", name="b"),
    ]


def values(tmp_path):
    report = a_report(tmp_path)
    mask = np.zeros((9, 8), bool)
    mask[2:7, 1:6] = True
    mask[4, 3] = False
    labels, count = ops.label_components(mask)
    weights = np.linspace(0, 1, 72, dtype=np.float32).reshape(9, 8)
    scores, positive = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])
    matches = evaluation.match_lesions(images(), minimum=0.2)
    pixels = evaluation.PixelCurve()
    pixels.add(np.array([1, 2, 2, 3], np.uint8), positive)
    coco = {"images": [{"id": 1, "width": 20, "height": 20}], "categories": [{"id": 1, "name": "x"}]}
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0, "id": 1}
    evaluator = evaluation.CocoEvaluator(coco | {"annotations": [box]}, iou_type="bbox")
    found = evaluator.evaluate([{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 4], "score": 0.5}])
    grid = ops.plan_tiles((400, 300), scale=(2.5, 2.0), tile_shape=(64, 64), mask=mask)
    operating_point = OperatingPoint("balanced", 0.5, 0.5, {"sensitivity": float("nan")})
    return [
        report,
        *report.lesions,
        report.mammogram,
        report.mammogram.spacing,
        FileDigest(memoryview(b"file")),
        report.probability_map,
        report.engine,
        replace(report.model, operating_points={"balanced": operating_point}),
        SkippedEngine("tensorrt", "cuda", "no"),
        lcx_fast.Decision("balanced", True, 0.5, 0.5, 1),
        Calibration(1.0, 0.0),
        operating_point,
        Quantisation(("a",), {"x": (0.0, 1.0)}),
        grid,
        grid.tile(3),
        ops.Normalisation(0, 100),
        ops.trace_contours(mask),
        ops.trace_contours(mask).polygons,
        ops.region_props(labels, count=count),
        ops.region_props(labels, weights, count=count + 1),
        ops.find_lesions(weights, low=0.8, high=0.9),
        ops.match_detections(np.array([[0.6, 0.2]]), thresholds=[0.5]),
        ops.encode_rle(mask),
        ops.measure_runs(weights, np.array([[2, 1, 4]], np.int32)),
        coarse_view(report.mammogram.pixels),
        plan(report.mammogram, report.model),
        *images(),
        matches,
        count_by_threshold(matches),
        evaluation.froc_curve(matches),
        evaluation.ranking_curve(scores, positive),
        evaluation.reliability_curve(scores, positive),
        evaluation.fit_platt(scores, positive),
        evaluation.fit_isotonic(scores, positive),
        *evaluation.operating_points(scores, positive).values(),
        evaluation.Interval(float("nan"), 0.0, 1.0),
        evaluation.boundary_distance(mask, mask[::-1], pixel_spacing_mm=(0.1, 0.1)),
        evaluation.count_pixels(mask, mask[::-1]),
        pixels.curve(),
        evaluation.pixel_areas(np.array([1, 2], np.uint8), np.array([1, 1])),
        found,
        *found.per_category(),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return values(tmp_path_factory.mktemp("values"))


def test_every_public_class_is_looked_at(made):
    public = [getattr(module, name) for module in (lcx_fast, ops, evaluation) for name in module.__all__]
    classes = {thing for thing in public if inspect.isclass(thing) and not issubclass(thing, Exception)}
    assert classes - WORKERS == {type(value) for value in made} & classes


def test_copies_are_equal_in_value_hash_and_text(made):
    for value in made:
        copies = [pickle.loads(pickle.dumps(value, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
        for again in (*copies, copy.copy(value), copy.deepcopy(value)):
            assert type(again) is type(value)
            assert again == value, repr(value)
            assert not (again != value), repr(value)  # noqa: SIM202
            assert hash(again) == hash(value)
            assert repr(again) == repr(value)
        assert value != "something else" and value != None  # noqa: E711
        assert not re.search(r" at 0x[0-9a-f]+", repr(value)), repr(value)


def other(value):
    """Something else of the same type."""
    if isinstance(value, np.ndarray):
        return np.append(value.ravel(), value.ravel()[:1]) if value.size else np.ones(1, value.dtype)
    return "another" if isinstance(value, str) else 12345


def test_another_value_in_any_field_is_unequal(made):
    for value in made:
        if is_dataclass(value):
            names = [field.name for field in fields(value) if field.compare]
            changed = [(name, replace) for name in names]
        elif hasattr(value, "_fields"):
            changed = [(name, type(value)._replace) for name in value._fields]
        else:
            continue
        for name, change in changed:
            try:
                different = change(value, **{name: other(getattr(value, name))})
            except (lcx_fast.InvalidArgument, TypeError):
                continue  # what cannot be, need not be compared
            assert different != value, (type(value), name)


def test_arrays_are_compared_by_their_values():
    image = breast_image()
    one, same, dark = (ops.find_lesions(x.astype(np.float32) / 4000) for x in (image, image, image * 0.9))
    assert one == same and one != dark
    mammogram = lcx_fast.read_mammogram(image, pixel_spacing_mm=0.1)
    assert mammogram == lcx_fast.read_mammogram(image.copy(), pixel_spacing_mm=0.1)
    assert mammogram != lcx_fast.read_mammogram(image[::-1], pixel_spacing_mm=0.1)
    assert len({mammogram, lcx_fast.read_mammogram(image.copy(), pixel_spacing_mm=0.1)}) == 1


def test_grids_of_tiles_are_what_they_are_made_of():
    plan_one = {"scale": (2.5, 2.0), "tile_shape": (64, 64), "overlap": 0.25}
    grid = ops.plan_tiles((400, 300), **plan_one)
    assert grid == ops.plan_tiles((400, 300), **plan_one) and len({grid, ops.plan_tiles((400, 300), **plan_one)}) == 1
    for changed in ({"scale": (2.5, 2.1)}, {"tile_shape": (64, 63)}, {"overlap": 0.5}):
        assert grid != ops.plan_tiles((400, 300), **(plan_one | changed))
    assert grid != ops.plan_tiles((400, 301), **plan_one) and grid != grid.tile(0)
    assert repr(grid) == "<TileGrid 160 x 150 at scale 2.5 x 2, 9 tiles of 64 x 64>"
    image = np.random.default_rng(0).random((400, 300), np.float32)
    again = pickle.loads(pickle.dumps(grid))
    np.testing.assert_array_equal(again.origins, grid.origins)
    np.testing.assert_array_equal(ops.extract_tiles(image, again), ops.extract_tiles(image, grid))


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        (0, (0, 300)),
        (1, (0.0, 2.0)),
        (2, (64, 1 << 40)),
        (3, (0, 48, 1000)),
        (3, (-1, 48, 96)),
        (3, (96, 48, 0)),
        (4, ()),
        (5, b"\1" * 8),
    ],
)
def test_a_damaged_grid_is_refused(at, wrong):
    grid = ops.plan_tiles((400, 300), scale=(2.5, 2.0), tile_shape=(64, 64))
    state = list(grid.__getstate__())
    state[at] = wrong
    with pytest.raises(lcx_fast.InvalidArgument):
        type(grid).__new__(type(grid)).__setstate__(tuple(state))


def test_errors_come_back_from_other_processes():
    for name in lcx_fast.__all__:
        error = getattr(lcx_fast, name)
        if inspect.isclass(error) and issubclass(error, Exception):
            again = pickle.loads(pickle.dumps(error("what was wrong")))
            assert type(again) is error and str(again) == "what was wrong"
