"""Calibration and operating points: from a model file's metadata to what a report says."""

from __future__ import annotations

import copy
import itertools
import json
import math

import numpy as np
import pytest
from models import METADATA, breast_image, write_brightness_model

import lcx_fast
from lcx_fast import InvalidArgument
from lcx_fast.cli import main
from lcx_fast.decision import Calibration, choose_operating_point
from lcx_fast.model import read_model_spec

POINTS = {
    "high_sensitivity": {"image_score": 0.1, "lesion_score": 0.5, "measured": {"sensitivity": 0.95}},
    "balanced": {"image_score": 0.5, "lesion_score": 0.95},
    "high_specificity": {"image_score": 0.9999, "lesion_score": 0.9999},
}
CALIBRATED = METADATA | {
    "schema_version": 2,
    "operating_points": POINTS,
    "default_operating_point": "balanced",
    "calibration": {
        "image": {"method": "platt", "slope": 0.5, "intercept": -1.0, "fitted_on": "drawn images", "prevalence": 0.25},
        "lesion": {"method": "platt", "slope": 2.0, "intercept": 0.0},
    },
}


@pytest.fixture
def model(tmp_path):
    return write_brightness_model(tmp_path / "brightness.onnx", CALIBRATED)


@pytest.fixture
def image():
    """Two blobs; the second is fainter."""
    pixels = breast_image([(120, 60, 14)]).astype(np.float32)
    pixels[pixels == 1000] = 1800
    y, x = np.indices(pixels.shape)
    pixels[np.hypot(y - 200, x - 50) < 12] = 2640
    return pixels.astype(np.uint16)


def test_metadata_of_schema_2_is_read(model):
    spec = read_model_spec(model)
    assert list(spec.operating_points) == ["high_sensitivity", "balanced", "high_specificity"]
    assert spec.default_operating_point == "balanced"
    assert spec.operating_points["high_sensitivity"].measured["sensitivity"] == 0.95
    assert spec.calibrations.image.prevalence == 0.25 and spec.calibrations.image.fitted_on == "drawn images"


def test_schema_1_has_neither_and_its_rates_are_for_information(tmp_path, image):
    old = METADATA | {"operating_points": {"0.25_fp_per_image": {"min_lesion_score": 0.7, "sensitivity": 0.4}}}
    detector = lcx_fast.load_model(write_brightness_model(tmp_path / "old.onnx", old))
    report = detector.infer(image, pixel_spacing_mm=1.0)
    assert report.decision is None and report.probability is None
    assert len(report.lesions) == 2 and report.lesions[0].probability is None
    with pytest.raises(InvalidArgument, match="this model has: all"):
        detector.infer(image, operating_point="balanced")


def test_calibration_is_platts_formula_and_keeps_order():
    calibration = Calibration(0.5, -1.0)
    scores = np.linspace(0.0, 1.0, 101)
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    expected = 1 / (1 + np.exp(-(0.5 * np.log(clipped / (1 - clipped)) - 1.0)))
    found = [calibration(float(score)) for score in scores]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert all(a < b for a, b in itertools.pairwise(found))


def test_points_choose_what_is_marked_and_decided(model, image):
    reports = {
        name: lcx_fast.load_model(model, operating_point=name).infer(image, pixel_spacing_mm=1.0)
        for name in ("high-sensitivity", "balanced", "high_specificity", "all")
    }
    everything = reports["all"].lesions
    assert len(everything) == 2 and reports["all"].decision is None
    assert everything[0].score > 0.95 > everything[1].score > 0.5
    assert [len(reports[name].lesions) for name in ("high-sensitivity", "balanced", "high_specificity")] == [2, 1, 0]
    for name, report in reports.items():
        if name != "all":
            point = POINTS[name.replace("-", "_")]
            assert report.decision.operating_point == name.replace("-", "_")
            assert report.decision.recall == (report.score >= point["image_score"])
            assert report.decision.left_out == 2 - len(report.lesions)
    assert reports["high-sensitivity"].decision.recall and not reports["high_specificity"].decision.recall


def test_the_model_has_a_default_and_a_call_may_choose_another(model, image):
    detector = lcx_fast.load_model(model)
    assert detector.infer(image, pixel_spacing_mm=1.0).decision.operating_point == "balanced"
    report = detector.infer(image, pixel_spacing_mm=1.0, operating_point="HIGH-sensitivity")
    assert report.decision.operating_point == "high_sensitivity"
    score = min(max(report.score, 1e-6), 1 - 1e-6)
    assert report.probability == pytest.approx(1 / (1 + math.exp(1.0 - 0.5 * math.log(score / (1 - score)))))
    lesion = report.lesions[1]
    odds = lesion.score / (1 - lesion.score)
    assert lesion.probability == pytest.approx(odds**2 / (1 + odds**2))
    document = json.loads(json.dumps(report.to_dict()))
    assert document["decision"]["operating_point"] == "high_sensitivity" and document["decision"]["recall"] is True
    assert document["probability"] == pytest.approx(report.probability, abs=1e-6)
    assert document["lesions"][1]["probability"] == pytest.approx(lesion.probability, abs=1e-6)


def test_an_unknown_point_is_refused_before_anything_runs(model):
    with pytest.raises(InvalidArgument, match="'cautious'; this model has: high_sensitivity, balanced"):
        lcx_fast.load_model(model, operating_point="cautious")
    with pytest.raises(InvalidArgument, match="cautious"):
        lcx_fast.load_model(model).infer("nowhere.dcm", operating_point="cautious")


@pytest.mark.parametrize(
    "change",
    [
        {"default_operating_point": "other"},
        {"operating_points": {"wild": POINTS["balanced"]}},
        {"operating_points": {"balanced": {"image_score": 2.0, "lesion_score": 0.5}}},
        {"operating_points": {"balanced": {"image_score": 0.5}}},
        {"calibration": {"image": {"method": "isotonic", "slope": 1.0, "intercept": 0.0}}},
        {"calibration": {"image": {"method": "platt", "slope": -1.0, "intercept": 0.0}}},
        {"calibration": {"lesion": {"method": "platt", "slope": 1.0}}},
    ],
)
def test_bad_metadata_is_refused(tmp_path, change):
    path = write_brightness_model(tmp_path / "bad.onnx", copy.deepcopy(CALIBRATED) | change)
    with pytest.raises(InvalidArgument, match="bad metadata"):
        read_model_spec(path)


def test_without_a_default_every_candidate_is_a_lesion():
    assert choose_operating_point({}, None, default=None) is None


def test_the_command_says_the_point_and_the_decision(model, image, tmp_path, capsys):
    from PIL import Image

    path = tmp_path / "film.png"
    Image.fromarray(image).save(path)
    arguments = ["infer", str(path), "--model", str(model), "--pixel-spacing", "1.0", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--operating-point", "high-sensitivity"]) == 0
    assert "(recall, high sensitivity), 2 lesions" in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "film.json").read_text())
    assert written["decision"]["recall"] is True
    assert main([*arguments, "--operating-point", "high-specificity"]) == 0
    assert "(no recall, high specificity), 0 lesions" in capsys.readouterr().out
    assert main([*arguments, "--operating-point", "cautious"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
