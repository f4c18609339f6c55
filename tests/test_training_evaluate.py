"""training.evaluate: figures of predictions known by hand, and the files it writes."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")

from training_samples import make_sample  # noqa: E402

from lcx_fast.model import model_path, read_model_spec  # noqa: E402
from training import evaluate, metrics  # noqa: E402
from training.evaluation_page import json_ready, write_evaluation  # noqa: E402


def predictions() -> list[evaluate.Prediction]:
    """Two views of each of two patients: one malignant, one benign; the lesion found half, or not."""
    made = []
    for patient, pathology, score in (("a", "malignant", 0.9), ("b", "benign", 0.3)):
        for view, found in enumerate((True, False)):
            sample = dataclasses.replace(
                make_sample(f"{patient}{view}", pathology, "val"), patient=patient, laterality="L", spacing_mm=1.0
            )
            map_ = np.zeros(sample.image.shape, np.float32)
            if found:
                map_[20:30, 8:24] = 0.8  # the upper half of the outline, 160 pixels
                map_[50:52, 0:5] = 0.95
            else:
                map_[10:12, 0:5] = 0.3
            made.append(evaluate.Prediction(sample, np.stack([map_, map_]), score - 0.1 * view))
    return made


def test_pixel_figures_by_hand() -> None:
    first = predictions()[0]
    result = metrics.pixel_result(
        first.probabilities[0], first.sample.labels, first.sample.breast, patient="a", spacing_mm=1.0
    )
    assert result.counts == (160, 10, 160, 60 * 30 - 330)
    assert result.confused == 160
    near_false, near_true = result.near
    assert near_false == 0 and near_true > 0  # the other detection is 11 rows below the outline
    assert len(result.boundary_mm) == 1 and 2 < result.boundary_mm[0] < 5
    ignored = np.where(first.sample.labels == 1, np.int16(-1), np.int16(0))
    blind = metrics.pixel_result(first.probabilities[0], ignored, first.sample.breast, patient="a", spacing_mm=1.0)
    assert blind.counts == (0, 10, 0, 60 * 30 - 330) and not blind.has_lesion


def test_figures_of_all_predictions() -> None:
    document, drawn = evaluate.measure(predictions(), draws=30)
    assert document["images"] == 4 and document["patients"] == 2
    assert document["image_malignant"]["auc"].value == 1.0 and document["breast_malignant"]["auc"].value == 1.0
    assert len(drawn.rankings["breasts, highest view"][0]) == 2
    abnormal = document["abnormal"]
    assert abnormal["outlines"] == 4
    assert abnormal["recall"].value == pytest.approx(0.25)
    assert abnormal["precision"].value == pytest.approx(160 / 170)
    assert abnormal["confused_pixels"].value == pytest.approx((2 * 160 + 2 * 10) / 4)
    assert abnormal["sensitivity_at_1_fp"].value == pytest.approx(0.5)
    assert abnormal["ap_iou50"].value == pytest.approx(0.5)  # exactly half of each of two outlines
    malignant = document["malignant"]
    assert malignant["outlines"] == 2 and malignant["iop"].value == 1.0


def test_unknown_sides_leave_breasts_out() -> None:
    unknown = [dataclasses.replace(p, sample=dataclasses.replace(p.sample, laterality="")) for p in predictions()]
    assert evaluate.measure(unknown, draws=5)[0]["breast_malignant"] == {}


def test_a_set_without_outlines_or_pathology_is_no_error(tmp_path: Path) -> None:
    bare = [
        dataclasses.replace(p, sample=dataclasses.replace(p.sample, pathology="unknown", annotated=False))
        for p in predictions()
    ]
    document, drawn = evaluate.measure(bare, draws=5)
    assert document["image_malignant"] == {} and "iou" not in document["abnormal"]
    write_evaluation({"epoch": 1, "x": document}, {"x": drawn}, tmp_path, model="m")
    assert (tmp_path / "validation.html").stat().st_size > 10_000


def test_the_page_and_the_json(tmp_path: Path) -> None:
    document: dict[str, Any] = {"epoch": 3, "not_defined": float("nan")}
    document["all_through_512"], drawn = evaluate.measure(predictions(), draws=20)
    written = write_evaluation(document, {"all_through_512": drawn}, tmp_path / "new", model="A <model>")
    assert [path.name for path in written] == ["validation.json", "validation.html"]
    parsed = json.loads(written[0].read_text(), parse_constant=pytest.fail)
    assert parsed["not_defined"] is None and len(parsed["all_through_512"]["abnormal"]["iou"]) == 3
    page = written[1].read_text()
    assert "Validation of A &lt;model&gt;" in page and "optimistic" in page
    assert "segmentation AP at IoU 0.5" in page and "smoothed brightness" in page
    pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(pictures) == 7
    assert all(b"<svg" in base64.b64decode(picture) for picture in pictures)
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert not list((tmp_path / "new").glob(".*"))


def test_an_exported_file_is_measured_without_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read_model_spec(model_path(None))
    samples = [dataclasses.replace(p.sample, spacing_mm=spec.pixel_spacing_mm) for p in predictions()]
    monkeypatch.setattr(evaluate, "given_samples", lambda *_: samples)
    monkeypatch.setattr(evaluate, "best_brightness", lambda *_, output: ("none", []))
    arguments = ["--data", "x", "--model", str(spec.path), "--out", str(tmp_path / "out"), "--draws", "5"]
    assert evaluate.main(arguments) == 0
    document = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert document["all_images"]["images"] == 4
    assert document["model_sha256"] == spec.sha256 and "epoch" not in document and document["thresholds"]
    assert evaluate.main([*arguments, "--split", "test"]) == 2  # there is none
    samples = [dataclasses.replace(sample, split="test") for sample in samples]
    assert evaluate.main([*arguments, "--split", "test"]) == 0
    assert "thresholds" not in json.loads((tmp_path / "out" / "test.json").read_text())
    assert "optimistic" not in (tmp_path / "out" / "test.html").read_text()
    with pytest.raises(SystemExit):
        evaluate.main(["--data", "x", "--model", str(spec.path)])


def test_images_at_two_sizes_are_measured_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = read_model_spec(model_path(None))
    samples = [dataclasses.replace(p.sample, spacing_mm=spec.pixel_spacing_mm) for p in predictions()]
    samples += [dataclasses.replace(samples[0], resampled=not samples[0].resampled)]
    monkeypatch.setattr(evaluate, "given_samples", lambda *_: samples)
    monkeypatch.setattr(evaluate, "best_brightness", lambda *_, output: ("none", []))
    evaluate.main(["--data", "x", "--model", str(spec.path), "--out", str(tmp_path), "--draws", "5"])
    document = json.loads((tmp_path / "validation.json").read_text())
    assert document["native_where_available"]["images"] == document["all_through_512"]["images"] == 4
    capsys.readouterr()
    assert evaluate.main(["--data", "x", "--run", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_figures_of_nothing_are_null() -> None:
    assert json_ready({"a": (float("nan"), 1.0), 2: [float("inf")]}) == {"a": [None, 1.0], "2": [None]}
