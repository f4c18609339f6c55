"""A model file measured, calibrated and quantised, on drawn samples and a network whose answer is known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("scipy")

from models import METADATA, write_brightness_model  # noqa: E402
from training_samples import make_sample  # noqa: E402

import lcx_fast  # noqa: E402
from lcx_fast import InvalidArgument  # noqa: E402
from lcx_fast.model import read_model_spec  # noqa: E402
from training import calibrate, command, quantise  # noqa: E402
from training.export import read_metadata, save_with_metadata  # noqa: E402
from training.model_file import open_engine, predict_samples  # noqa: E402
from training.prepare import Sample  # noqa: E402


def drawn_sample(name: str, pathology: str, split: str, *, lesion: float, decoy: float) -> Sample:
    """A grey breast at 1 mm a pixel; in it a square lesion and a square that is none, of these grey values."""
    sample = make_sample(name, pathology, split)
    noise = np.random.default_rng(sum(map(ord, name))).normal(0.0, 0.01, sample.image.shape)
    image = np.where(sample.breast, 0.4 + noise, 0.0)
    if pathology != "normal":
        image[sample.labels > 0] = lesion
    image[50:60, 8:20] = decoy
    return dataclasses.replace(sample, image=image.astype(np.float32), spacing_mm=1.0)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Lesions are mostly brighter than what is none, malignant ones brightest."""
    made = []
    for split in ("train", "val"):
        for k in range(12):
            malignant = k % 2 == 0
            lesion = (0.97 if malignant else 0.80) - 0.01 * k
            made.append(
                drawn_sample(
                    f"{split}{k:02d}", "malignant" if malignant else "benign", split,
                    lesion=lesion, decoy=0.78 if k % 3 else 0.4,
                )
            )  # fmt: skip
            made.append(drawn_sample(f"{split}{k:02d}n", "normal", split, lesion=0.0, decoy=0.77 if k % 4 else 0.4))
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_brightness_model(tmp_path / "brightness.onnx", METADATA | {"metrics": {"epoch": 7}})


def validation(samples: list[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.split == "val"]


def test_what_is_measured_is_what_inference_then_does(model: Path, samples: list[Sample]) -> None:
    spec = read_model_spec(model)
    predictions = predict_samples(spec, open_engine(model, "onnxruntime", "fp32").infer, validation(samples))
    metadata = calibrate.measured_metadata(model, predictions, data="drawn", draws=20)
    save_with_metadata(onnx.load(str(model)), metadata, model)

    calibrated = read_model_spec(model)
    assert calibrated.metadata["schema_version"] == 2 and calibrated.metadata["metrics"]["epoch"] == 7
    assert calibrated.default_operating_point == "balanced"
    points = calibrated.operating_points
    assert list(points) == ["high_sensitivity", "balanced", "high_specificity"]
    assert points["high_sensitivity"].lesion_score <= points["balanced"].lesion_score
    assert points["balanced"].lesion_score <= points["high_specificity"].lesion_score
    malignant = np.array([p.sample.pathology == "malignant" for p in predictions])
    scores = np.array([p.score for p in predictions])
    for name, point in points.items():
        assert point.measured["image_sensitivity"] == np.mean(scores[malignant] >= point.image_score)
        assert point.measured["image_specificity"] == np.mean(scores[~malignant] < point.image_score)
        assert point.measured["false_positives_per_image"] <= calibrate.FALSE_POSITIVES[name]
    assert points["high_sensitivity"].measured["image_sensitivity"] >= calibrate.IMAGE_TARGET
    # Calibrated scores are probabilities: on the images they were fitted on, their mean is the prevalence.
    image = calibrated.calibrations.image
    assert np.mean([image(score) for score in scores]) == pytest.approx(malignant.mean(), abs=0.05)
    assert image.prevalence == malignant.mean() and "drawn" in image.fitted_on

    detector = lcx_fast.load_model(model, operating_point="high-specificity")
    assert detector.spec.operating_points == points


def test_scores_that_mean_the_opposite_are_not_calibrated(model: Path, samples: list[Sample]) -> None:
    spec = read_model_spec(model)
    predictions = predict_samples(spec, open_engine(model, "onnxruntime", "fp32").infer, validation(samples))
    turned = [dataclasses.replace(p, score=1.0 - p.score) for p in predictions]
    with pytest.raises(InvalidArgument, match="do not rise"):
        calibrate.calibrate(turned, spec, data="drawn")


def test_a_model_that_marks_nothing_is_not_calibrated(model: Path, samples: list[Sample]) -> None:
    spec = read_model_spec(model)
    predictions = predict_samples(spec, open_engine(model, "onnxruntime", "fp32").infer, validation(samples))
    empty = [dataclasses.replace(p, probabilities=np.zeros_like(p.probabilities)) for p in predictions]
    with pytest.raises(InvalidArgument, match=r"0 of 0 marks hit a lesion; .* train longer"):
        calibrate.calibrate(empty, spec, data="drawn")


def test_samples_of_another_spacing_are_refused(model: Path, samples: list[Sample]) -> None:
    wrong = [dataclasses.replace(samples[0], spacing_mm=0.5)]
    with pytest.raises(ValueError, match=r"0\.5 mm a pixel; the model needs 1"):
        predict_samples(read_model_spec(model), lambda tile, output: None, wrong)


def test_the_command_measures_in_place(
    model: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_samples", lambda *arguments, **named: samples)
    assert calibrate.main(["--model", str(model), "--data", "drawn", "--draws", "20"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration"]["image"]["slope"] > 0
    assert read_model_spec(model).default_operating_point == "balanced"
    assert [path.name for path in model.parent.iterdir()] == ["brightness.onnx"]
    assert calibrate.main(["--model", "nowhere.onnx", "--data", "drawn"]) == 2


def test_int8_is_written_into_the_file_and_runs_in_every_engine(
    model: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_samples", lambda *arguments, **named: samples)
    with pytest.raises(InvalidArgument, match="no int8 form"):
        lcx_fast.load_model(model, precision="int8")
    graph = onnx.load(str(model)).graph
    assert quantise.main(["--model", str(model), "--data", "drawn", "--images", "8"]) == 0
    assert [path.name for path in model.parent.iterdir()] == [model.name]
    assert onnx.load(str(model)).graph == graph
    int8 = read_metadata(model)["int8"]
    assert int8["agreement_with_fp32"]["mask_iou"] > 0.97
    assert int8["convolutions"] == ["scale"] and list(int8["ranges"]) == ["image"]
    # Images hold 0 around the breast and a lesion at most 0.97.
    assert int8["ranges"]["image"] == pytest.approx([0.0, 0.97], abs=0.03)

    spec, shown = read_model_spec(model), validation(samples)
    reference = predict_samples(spec, open_engine(model, "onnxruntime", "fp32").infer, shown)
    for engine in ("openvino", "onnxruntime"):
        detector = lcx_fast.load_model(model, precision="int8", engine=engine)
        assert detector.engine_info.precision == "int8"
        assert (
            detector.spec.operating_points["balanced"].lesion_score
            == (int8["operating_points"]["balanced"]["lesion_score"])
        )
        found = predict_samples(spec, open_engine(model, engine, "int8").infer, shown)
        differences = [np.abs(a.probabilities - b.probabilities).max() for a, b in zip(reference, found, strict=True)]
        assert 1e-3 < max(differences) < 0.1


def test_an_int8_form_that_differs_is_not_kept(
    model: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_samples", lambda *arguments, **named: samples)
    arguments = ["--model", str(model), "--data", "drawn", "--images", "8"]
    assert quantise.main(arguments) == 0 and "int8" in read_metadata(model)
    monkeypatch.setattr(quantise, "MIN_MASK_IOU", 1.1)
    assert quantise.main(arguments) == 1
    assert "not good enough" in capsys.readouterr().out
    # Nor is the one that the file had before.
    assert "int8" not in read_metadata(model)
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_only_training_images_set_the_ranges(model: Path, samples: list[Sample]) -> None:
    spec = read_model_spec(model)
    assert len(list(quantise.calibration_tiles(spec, samples, count=5))) >= 5
    with pytest.raises(ValueError, match="no training image"):
        next(quantise.calibration_tiles(spec, validation(samples), count=5))


def test_without_a_validation_image_nothing_is_quantised(
    model: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = [sample for sample in samples if sample.split == "train"]
    monkeypatch.setattr(command, "load_samples", lambda *arguments, **named: train)
    before = model.read_bytes()
    assert quantise.main(["--model", str(model), "--data", "drawn"]) == 2
    assert capsys.readouterr().err == "error: drawn: no validation image to compare the two forms on\n"
    assert model.read_bytes() == before
