"""The model card: figures from the file, words from people, pictures of what went wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from models import METADATA, write_brightness_model  # noqa: E402
from PIL import Image  # noqa: E402
from test_training_calibrate import drawn_sample  # noqa: E402

from lcx_fast.model import model_path, read_model_spec  # noqa: E402
from training import command, model_card  # noqa: E402
from training.calibrate import measured_metadata  # noqa: E402
from training.export import save_with_metadata  # noqa: E402
from training.model_file import open_engine, predict_samples  # noqa: E402
from training.prepare import Sample  # noqa: E402


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """The first has a lesion too faint to be found, the second a bright square that is none."""
    made = [drawn_sample("val-missed", "malignant", "val", lesion=0.4, decoy=0.4)]
    made.append(drawn_sample("val-false", "normal", "val", lesion=0.0, decoy=0.99))
    made += [drawn_sample(f"val-found{k}", "malignant", "val", lesion=0.9 + 0.01 * k, decoy=0.4) for k in range(6)]
    made += [drawn_sample(f"val-faint{k}", "normal", "val", lesion=0.0, decoy=0.78) for k in range(6)]
    return made


@pytest.fixture
def model(tmp_path: Path, samples: list[Sample]) -> Path:
    path = write_brightness_model(tmp_path / "brightness.onnx", METADATA | {"metrics": {}})
    predictions = predict_samples(read_model_spec(path), open_engine(path, "onnxruntime", "fp32").infer, samples)
    metadata = measured_metadata(path, predictions, data="drawn", draws=20)
    save_with_metadata(onnx.load(str(path)), metadata, path)
    return path


def test_the_card_and_its_pictures(
    model: Path, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "load_samples", lambda *arguments, **named: samples)
    card, pictures = tmp_path / "run" / "CARD.md", tmp_path / "run" / "failures"
    pictures.mkdir(parents=True)
    arguments = ["--model", str(model), "--data", "drawn", "--output", str(card), "--pictures", str(pictures)]
    arguments += ["--count", "1"]
    assert model_card.main(arguments) == 0
    text = card.read_text()
    assert "<!--" not in text and "There is no int8 form." in text
    point = read_model_spec(model).operating_points["balanced"]
    assert f"| balanced (default) | {point.image_score:.3f} |" in text
    assert "(failures/brightness-1.png)" in text and "Missed: a lesion of" in text and "(val-missed, malignant)" in text
    assert "False mark, score 0.99 (val-false, normal)" in text
    with Image.open(pictures / "brightness-1.png") as picture:
        colours = {tuple(pixel) for pixel in np.asarray(picture).reshape(-1, 3).tolist()}
    assert model_card._OUTLINE in colours and model_card._MARK not in colours
    with Image.open(pictures / "brightness-2.png") as picture:
        colours = {tuple(pixel) for pixel in np.asarray(picture).reshape(-1, 3).tolist()}
    assert model_card._MARK in colours and model_card._OUTLINE not in colours


def test_an_unmeasured_model_has_no_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_brightness_model(tmp_path / "bare-metadata.onnx")
    arguments = ["--model", str(path), "--data", "d", "--output", str(tmp_path / "c"), "--pictures", str(tmp_path)]
    assert model_card.main(arguments) == 2
    assert "training.calibrate" in capsys.readouterr().err


def test_notes_must_have_every_place(model: Path) -> None:
    with pytest.raises(ValueError, match="<!-- points -->"):
        model_card.write_card(model, "<!-- figures -->", [])


def test_the_bundled_card_says_what_the_bundled_file_says() -> None:
    path = model_path(None)
    card = (path.parent / "MODEL_CARD.md").read_text()
    for line in model_card.figures_table(read_model_spec(path).metadata) + model_card.points_table(
        read_model_spec(path)
    ):
        assert line in card
