"""Stage S3: lesions found inside loose outlines, and a training that goes through it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

from training_samples import make_samples, tiny_config  # noqa: E402

from training.annotation import IGNORED  # noqa: E402
from training.objective import TrainingImage, image_loss  # noqa: E402
from training.prepare import Sample  # noqa: E402
from training.self_training import lesion_labels, otsu_threshold, relabelled  # noqa: E402
from training.train import RunOptions, Trainer  # noqa: E402

SETTINGS = tiny_config().loss.self_training


def sample(labels: np.ndarray, image: np.ndarray | None = None) -> Sample:
    grey = np.full(labels.shape, 0.3, np.float32) if image is None else image.astype(np.float32)
    return Sample(
        name="a", patient="p", pathology="malignant", split="train", folder="", annotated=True,
        calcification_only=False, resampled=False, image=grey, breast=np.ones(labels.shape, bool),
        labels=labels.astype(np.int16), spacing_mm=1.0,
    )  # fmt: skip


def disk(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_otsu_is_the_best_of_all_cuts() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0, 1, 300), random.normal(4, 1, 100)])

    def between(cut: float) -> float:
        low, high = values[values <= cut], values[values > cut]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(low) and len(high) else 0.0

    best = max(between(cut) for cut in values)
    assert between(otsu_threshold(values)) == pytest.approx(best, rel=0.01)
    assert otsu_threshold(np.full(5, 2.0)) == 2.0


def test_a_bright_disk_off_the_outlines_centre_is_found() -> None:
    outline, lesion = disk((60, 60), (30, 30), 20), disk((60, 60), (33, 34), 11)
    image = 0.3 + 0.2 * lesion + np.random.default_rng(1).normal(0, 0.02, lesion.shape)
    found = lesion_labels(sample(outline * 4, image), np.full(outline.shape, 0.1, np.float32), SETTINGS)
    assert set(np.unique(found)) == {0, 4}
    assert not ((found == 4) & ~outline).any()
    assert iou(outline, lesion) < 0.35 and iou(found == 4, lesion) > 0.75


def test_each_kind_of_evidence_alone() -> None:
    outline = disk((60, 60), (30, 30), 20)
    bright, probable = disk((60, 60), (30, 24), 8), disk((60, 60), (38, 34), 8)
    image, p = 0.3 + 0.3 * bright, np.where(probable, 0.9, 0.1).astype(np.float32)

    def found(**weights: float) -> np.ndarray:
        none = {"evidence_network": 0.0, "evidence_contrast": 0.0, "evidence_depth": 0.0}
        return lesion_labels(sample(outline, image), p, replace(SETTINGS, **{**none, **weights})) == 1

    assert iou(found(evidence_contrast=1.0), bright) > 0.8
    assert iou(found(evidence_network=1.0), probable) > 0.95
    middle = found(evidence_depth=1.0)
    assert middle[30, 30] and not middle[30, 12] and 0.2 < middle.sum() / outline.sum() < 0.7
    assert np.array_equal(found(), outline)  # no evidence: the outline is the lesion


def test_a_slope_of_the_tissue_is_no_lesion() -> None:
    outline, lesion = disk((60, 60), (30, 30), 20), disk((60, 60), (32, 36), 8)
    slope = np.tile(np.linspace(0.7, 0.1, 60), (60, 1))  # over the outline it falls by more than the lesion rises
    image = slope + 0.1 * lesion
    contrast = replace(SETTINGS, evidence_network=0.0, evidence_depth=0.0)
    found = lesion_labels(sample(outline, image), np.full(outline.shape, 0.1, np.float32), contrast) == 1
    assert iou(found, lesion) > 0.8


def test_what_may_be_odd_about_outlines() -> None:
    labels = np.zeros((30, 40), int)
    labels[2:12, 2:12], labels[20:22, 20:23], labels[0], labels[14:28, 2:16] = 1, 2, IGNORED, 3
    seen = replace(sample(labels), breast=labels != 3)
    found = lesion_labels(seen, np.full(labels.shape, 0.5, np.float32), SETTINGS)
    assert (found[0] == IGNORED).all()
    assert (found == 2).sum() == 6  # too small to look into
    assert np.array_equal(found == 3, labels == 3)  # outside the breast
    assert 0 < (found == 1).sum() < 100
    assert not ((found > 0) & (labels <= 0)).any()


def test_calcification_clusters_keep_their_outlines_and_the_loose_terms() -> None:
    cluster = replace(sample(disk((40, 40), (20, 20), 12)), calcification_only=True)
    found = lesion_labels(cluster, np.full(cluster.labels.shape, 0.5, np.float32), SETTINGS)
    assert np.array_equal(found, cluster.labels)

    config = tiny_config()
    view = TrainingImage(
        image=torch.from_numpy(cluster.image), breast=torch.from_numpy(cluster.breast), calcification_only=True,
        labels=torch.from_numpy(cluster.labels.astype(np.int64)), pathology="malignant", annotated=True,
        outlined_px=float((cluster.labels > 0).sum()),
    )  # fmt: skip

    def terms(view: TrainingImage) -> set[str]:
        found = image_loss(torch.zeros(2, 40, 40), torch.zeros(2, 3), view, progress=0.9, config=config)
        return {name.removeprefix("abnormal/") for name in found if name.startswith("abnormal/")}

    assert config.is_self_training(0.9)
    assert {"inside", "outside", "hard"} < terms(view) and not {"bce", "dice", "size"} & terms(view)
    assert {"bce", "dice"} < terms(replace(view, calcification_only=False))


def lesion_view(labels: np.ndarray) -> TrainingImage:
    return TrainingImage(
        image=torch.full(labels.shape, 0.3), breast=torch.ones(labels.shape, dtype=torch.bool),
        labels=torch.from_numpy(labels.astype(np.int64)), pathology="malignant", annotated=True,
        calcification_only=False, outlined_px=float((labels > 0).sum()),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["inside", "strict", "class"])
def test_a_term_keeps_its_share(name: str) -> None:
    config, view = tiny_config(), lesion_view(disk((40, 40), (20, 20), 12))
    named = {"inside": ("inside",), "strict": ("outside", "hard"), "class": ("class",)}[name]

    def weights(progress: float, share: float) -> list[float]:
        s3 = replace(config.loss.self_training, **{f"self_training_{name}": share})
        changed = replace(config, loss=replace(config.loss, self_training=s3))
        terms = image_loss(torch.zeros(2, 40, 40), torch.zeros(2, 3), view, progress=progress, config=changed)
        return [float(terms.get(f"malignant/{term}", torch.zeros(()))) for term in named]

    assert all(value > 0 for value in weights(0.9, 1.0))
    assert weights(0.0, 0.25) == weights(0.0, 1.0)
    assert weights(0.9, 0.25) == pytest.approx([value / 4 for value in weights(0.9, 1.0)])
    assert weights(0.9, 2.0) == pytest.approx([value * 2 for value in weights(0.9, 1.0)])
    assert not any(weights(0.9, 0.0))


def test_the_inside_term_counts_a_small_lesion_like_a_large_one() -> None:
    config = tiny_config()
    s3 = replace(config.loss.self_training, self_training_inside=1.0)
    config = replace(config, loss=replace(config.loss, self_training=s3))
    small, large = disk((60, 60), (50, 50), 3), disk((60, 60), (22, 22), 18)
    view = lesion_view(large + 2 * small)

    def term(seen: np.ndarray) -> float:
        logits = torch.where(torch.from_numpy(seen), 4.0, -4.0).expand(2, -1, -1)
        return float(image_loss(logits, torch.zeros(2, 3), view, progress=0.9, config=config)["abnormal/inside"])

    assert term(small) == pytest.approx(term(large))
    assert term(small | large) < 0.01 * term(small)


def test_kept_labels_are_read_and_not_made_again(tmp_path: Path) -> None:
    seen = [sample(disk((40, 40), (20, 20), 12))]
    first = relabelled(seen, lambda s: np.full(s.labels.shape, 0.5, np.float32), SETTINGS, tmp_path / "kept.npz")
    assert 0 < (first[0].labels == 1).sum() < (seen[0].labels == 1).sum()

    def never(_: Sample) -> np.ndarray:
        raise AssertionError

    again = relabelled(seen, never, SETTINGS, tmp_path / "kept.npz")
    assert np.array_equal(first[0].labels, again[0].labels)
    assert not list(tmp_path.glob("*.tmp*"))


def test_a_training_learns_from_the_lesions_found_and_says_so(tmp_path: Path) -> None:
    config = tiny_config()
    trainer = Trainer(config, make_samples(), tmp_path, pretrained=False, options=RunOptions(workers=0))
    trainer.run(until=1)
    assert not (tmp_path / "self_training.npz").exists()
    trainer.run()
    with np.load(tmp_path / "self_training.npz") as kept:
        assert sorted(kept) == ["labels0", "labels1", "labels2"]
        for index, outlined in enumerate(s.labels > 0 for s in make_samples() if s.split == "train"):
            found = kept[f"labels{index}"] > 0
            assert found.sum() < outlined.sum() if outlined.any() else not found.any()
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["abnormal/inside"]) for row in rows] == [True, False, False]
    assert [bool(row["abnormal/dice"]) for row in rows] == [False, True, True]


@pytest.mark.parametrize(("start", "first"), [(0.0, 0), (0.3, 2), (0.5, 2), (0.51, 3), (0.76, None), (1.0, None)])
def test_the_stage_starts_with_an_epoch(start: float, first: int | None) -> None:
    config = tiny_config()
    loss = replace(config.loss, self_training=replace(config.loss.self_training, self_training_from=start))
    config = replace(config, loss=loss, train=replace(config.train, epochs=4))
    steps = 4 * 7
    on = [config.is_self_training(step / steps) for step in range(steps)]
    assert on == [first is not None and step >= first * 7 for step in range(steps)]
