"""The experiment's parts: arms, measurements against slow counts, bootstrap, and a run that resumes."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")

from training.annotation import IGNORED  # noqa: E402
from training.experiments import runs as runs_module  # noqa: E402
from training.experiments import tables  # noqa: E402
from training.experiments.arms import read_arms, read_document  # noqa: E402
from training.experiments.brightness import brightness_maps  # noqa: E402
from training.experiments.data import Case, Part, fingerprint  # noqa: E402
from training.experiments.measure import measure_image  # noqa: E402
from training.experiments.objectives import arm_loss  # noqa: E402
from training.experiments.runs import OutOfTimeError, Run, execute  # noqa: E402
from training.experiments.suites import suite_runs  # noqa: E402
from training.objective import TrainingImage  # noqa: E402
from training.prepare import Sample  # noqa: E402

ARMS = read_arms()


def case(number: int, *, part: Part = "fit", pathology: str = "malignant", shape: tuple[int, int] = (48, 40)) -> Case:
    """A bright disk in noise with a loose outline round it; a normal one has neither."""
    random = np.random.default_rng(number)
    image = random.random(shape, np.float32) * np.float32(0.3)
    y, x = np.indices(shape)
    distance = np.hypot(y - random.integers(16, 32), x - random.integers(14, 26))
    true = ((distance < 6) & (pathology != "normal")).astype(np.int16)
    loose = ((distance < 10) & (pathology != "normal")).astype(np.int16)
    image[true > 0] += np.float32(0.5)
    sample = Sample(
        name=f"image{number}",
        patient=f"patient{number // 2}",
        pathology=pathology,
        split="train",
        folder="",
        annotated=True,
        calcification_only=False,
        resampled=True,
        image=image,
        breast=np.ones(shape, bool),
        labels=loose,
    )
    return Case(sample, true, part)


@pytest.fixture
def cases() -> list[Case]:
    kinds = ("malignant", "benign", "normal", "malignant")
    parts: tuple[Part, ...] = ("fit", "tune", "held")
    return [case(n, part=parts[n // 4], pathology=kinds[n % 4]) for n in range(12)]


def view(of: Case) -> TrainingImage:
    sample = of.sample
    return TrainingImage(
        image=torch.from_numpy(sample.image),
        breast=torch.from_numpy(sample.breast),
        labels=torch.from_numpy(sample.labels.astype(np.int64)),
        pathology=sample.pathology,
        outlined_px=float((sample.labels > 0).sum()),
        annotated=True,
        calcification_only=False,
    )


@pytest.mark.parametrize("dataset", ["cdd_cesm", "phantom"])
def test_every_suite_is_made_of_known_arms_with_valid_settings(dataset: str) -> None:
    everything = suite_runs("all", ARMS)
    assert len({(run.dataset, run.name) for run in everything}) == len(everything)
    for suite in ("main", "phantom", "baselines", "sweep", "ablations"):
        for run in suite_runs(suite, ARMS):
            assert (run.dataset, run.name) in {(r.dataset, r.name) for r in everything}
            if run.dataset == dataset:
                assert run.config().train.seed == run.seed


def test_main_suite_finishes_a_seed_before_the_next() -> None:
    learnt = [run for run in suite_runs("main", ARMS) if run.arm.objective != "brightness"]
    assert [run.seed for run in learnt] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_unknown_suite_and_setting_are_errors() -> None:
    with pytest.raises(ValueError, match="suite 'best'; known: main"):
        suite_runs("best", ARMS)
    with pytest.raises(ValueError, match=r"unknown .loss. settings .'floor'"):
        replace(ARMS["method"], loss={"floor": 0.1}).apply(read_document("cdd_cesm"), seed=1)


def test_arms_file_errors_name_the_arm(tmp_path: Path) -> None:
    path = tmp_path / "arms.toml"
    for text, message in (
        ('[a]\ntitle = "A"\n', "arm a: keys"),
        ('[a]\ntitle = "A"\nobjective = "dice"\n', "arm a: objective 'dice'"),
        ('[a]\nlike = "b"\ntitle = "A"\n', "arm a: like 'b'"),
        ('[a]\ntitle = "A"\nobjective = "method"\nfloor = 1\n', "arm a: keys"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_arms(path)


def test_an_arm_like_another_changes_only_what_it_says() -> None:
    parent, child = ARMS["method"], ARMS["floor_15"]
    assert child.loss == parent.loss | {"size_floor": 0.15}
    assert replace(child, name="", title="", loss={}) == replace(parent, name="", title="", loss={})


def test_settings_of_the_method_do_not_touch_the_other_arms() -> None:
    baseline, ours = ARMS["coarse_bce_dice"], ARMS["method"]
    assert Run("cdd_cesm", baseline, 1).identity("d") == Run("cdd_cesm", replace(baseline, strict="none"), 1).identity(
        "d"
    )
    for changed in (replace(ours, strict="none"), replace(ours, loss={"size_floor": 0.2})):
        assert Run("cdd_cesm", ours, 1).identity("d") != Run("cdd_cesm", changed, 1).identity("d")
    kinds = [Run("cdd_cesm", baseline, 1), Run("cdd_cesm", baseline, 2), Run("phantom", baseline, 1)]
    assert len({run.identity(data) for run in kinds for data in "de"}) == 6


@pytest.mark.parametrize("name", [name for name, arm in ARMS.items() if arm.objective != "brightness"])
@pytest.mark.parametrize("pathology", ["malignant", "benign", "normal"])
@pytest.mark.parametrize("progress", [0.15, 0.95])
def test_every_arm_has_a_finite_loss_and_gradient(name: str, pathology: str, progress: float) -> None:
    logits = torch.from_numpy(np.random.default_rng(5).normal(0, 1, (2, 48, 40))).requires_grad_()
    pooling = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    arm = ARMS[name]
    config = arm.apply(read_document("cdd_cesm"), seed=1)
    terms = arm_loss(logits, pooling, view(case(1, pathology=pathology)), arm=arm, config=config, progress=progress)
    torch.stack(list(terms.values())).sum().backward()
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all()) and bool(logits.grad.any())
    classifies = arm.objective == "method" and arm.classify and config.class_share(progress) > 0
    assert ("malignant/class" in terms) == classifies


def test_ablations_leave_out_what_they_name() -> None:
    logits, pooling, seen = torch.zeros(2, 48, 40), torch.zeros(2, 3), view(case(1))

    def terms(name: str, progress: float = 0.15) -> set[str]:
        config = ARMS[name].apply(read_document("cdd_cesm"), seed=1)
        found = arm_loss(logits, pooling, seen, arm=ARMS[name], config=config, progress=progress)
        return {term.split("/")[1] for term in found}

    everything = terms("method")
    assert everything == {"outside", "hard", "inside", "size", "pairwise", "class"}
    assert terms("no_strict_penalty") == everything - {"outside", "hard"}
    assert terms("log_barrier") == everything - {"outside", "hard"} | {"barrier"}
    assert terms("no_pairwise") == everything - {"pairwise"}
    assert terms("no_classification") == everything - {"class"}
    assert terms("generalised_mean") == everything
    assert terms("coarse_bce_dice") == {"bce", "dice"}
    assert terms("gce_dice") == {"gce", "dice"}
    assert terms("boxinst") == {"outside", "projection", "pairwise"}
    self_training = {"bce", "dice", "inside", "sharpness"}
    assert terms("method", 0.95) == terms("inside_self_training", 0.95) == self_training
    assert terms("no_inside_self_training", 0.95) == self_training - {"inside"}
    assert terms("full_classification", 0.95) == terms("fifth_classification", 0.95) == self_training | {"class"}
    assert terms("strict_self_training", 0.95) == self_training | {"outside", "hard"}
    assert terms("no_strict_penalty", 0.95) == terms("log_barrier", 0.95) == self_training
    assert terms("no_classification", 0.95) == self_training
    assert terms("no_self_training", 0.95) == everything | {"sharpness"}


def test_measured_counts_are_those_of_a_loop() -> None:
    one = case(3)
    loose = one.sample.labels.copy()
    loose[:4] = IGNORED
    one = replace(one, sample=replace(one.sample, labels=loose))
    p = np.random.default_rng(7).random(loose.shape).astype(np.float32)
    found = measure_image(one, p, 0.25, spacing_mm=2.0)
    expected = dict.fromkeys(
        ("predicted", "true", "loose", "predicted_and_true", "predicted_and_loose", "confused", "near", "false_near"), 0
    )
    outlined = np.argwhere((loose > 0) & (loose != IGNORED))
    for y, x in np.ndindex(loose.shape):
        if loose[y, x] == IGNORED:
            continue
        hit, a, t = p[y, x] > 0.5, loose[y, x] > 0, one.true_labels[y, x] > 0
        near = not a and np.hypot(*(outlined - (y, x)).T).min() * 2.0 <= 10.0
        for key, value in (
            ("predicted", hit),
            ("true", t),
            ("loose", a),
            ("predicted_and_true", hit and t),
            ("predicted_and_loose", hit and a),
            ("confused", 0.1 < p[y, x] < 0.9),
            ("near", near),
            ("false_near", near and hit),
        ):
            expected[key] += int(value)
    assert {key: found[key] for key in expected} == expected
    (lesion,) = found["lesions"]
    assert lesion["true"] == expected["true"]
    assert lesion["predicted"] == expected["predicted_and_loose"] + expected["false_near"]
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("spacing_mm", [0.5, 0.8, 1.25, 2.0])
def test_bands_and_boundary_distances_are_those_the_published_figures_were_made_with(spacing_mm: float) -> None:
    """By SciPy's exact transform in pixels, times the spacing."""

    def reach(mask: Any) -> Any:
        return ndimage.distance_transform_edt(~mask) * spacing_mm <= 10.0

    def distance(first: Any, second: Any) -> float:
        edges = [mask & ~ndimage.binary_erosion(mask) for mask in (np.pad(first, 1), np.pad(second, 1))]
        both = [ndimage.distance_transform_edt(~edges[1 - k])[edges[k]] for k in (0, 1)]
        return float(np.concatenate(both).mean() * spacing_mm)

    for number in range(12):
        one = case(number, shape=(70 + number, 60))
        noise = ndimage.gaussian_filter(np.random.default_rng(number).random(one.true_labels.shape), 2)
        found = measure_image(one, (noise / noise.max()).astype(np.float32), 0.5, spacing_mm=spacing_mm)
        loose, breast = one.sample.labels > 0, one.sample.breast
        near = reach(loose) & ~loose & breast
        assert found["near"] == near.sum()
        seen = (noise / noise.max() > 0.5) & breast & reach(loose)
        (lesion,) = found["lesions"]
        assert lesion["predicted"] == seen.sum()
        assert lesion["boundary_mm"] == pytest.approx(distance(seen, one.true_labels > 0), abs=6e-4)  # three digits


def images(count: int = 8) -> list[dict[str, Any]]:
    random = np.random.default_rng(3)
    return [
        measure_image(c, random.random(c.sample.image.shape, np.float32), float(random.random()), spacing_mm=2.0)
        for c in (case(n, pathology="malignant" if n % 3 else "normal") for n in range(count))
    ]


def test_estimate_redraws_whole_patients() -> None:
    found = images()
    for name in ("IoU", "AUC", "AP@.5 true"):
        estimate = tables.estimate(name, [found, found])
        assert estimate.seeds[0] == estimate.seeds[1] == pytest.approx(tables.summary(found)[name])
        assert estimate.low <= estimate.value <= estimate.high


def test_ratio_of_an_arm_with_itself_is_one() -> None:
    estimate = tables.estimate("confused px", [images()])
    assert tables.ratio(estimate, estimate) == pytest.approx((1.0, 1.0, 1.0))


def test_brightness_finds_bright_disks_without_learning(cases: list[Case]) -> None:
    held = [c for c in cases if c.part == "held"]
    for c, map_ in zip(held, brightness_maps(cases, held, spacing_mm=2.0), strict=True):
        if c.true_labels.any():
            assert map_[0][c.true_labels > 0].mean() > map_[0][c.true_labels == 0].mean()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of three steps of two small images, without the published weights."""
    document = read_document("cdd_cesm")
    document["train"] |= {"epochs": 3, "steps_per_epoch": 1, "batch_size": 2}
    document["augment"] |= {"crop": [64, 64]}
    document["network"] |= {"decoder_width": 8}
    monkeypatch.setattr(runs_module, "read_document", lambda _: json.loads(json.dumps(document)))
    monkeypatch.setattr(runs_module, "load_imagenet_weights", lambda _: None)


@pytest.mark.parametrize("arm", ["method", "coarse_bce_dice", "brightness"])
def test_a_run_that_is_stopped_goes_on_as_if_it_were_not(
    arm: str, cases: list[Case], tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run("cdd_cesm", ARMS[arm], 1)
    never = time.monotonic() + 1e6
    whole = execute(run, cases, work=tmp_path / "w1", results=tmp_path / "r1", deadline=never, command="")
    assert whole is not None and len(whole["images"]) == 4
    save, calls = runs_module.save_checkpoint, []

    def save_then_stop(*arguments: Any, **keywords: Any) -> None:
        save(*arguments, **keywords)
        calls.append(1)
        raise OutOfTimeError

    if arm != "brightness":
        monkeypatch.setattr(runs_module, "save_checkpoint", save_then_stop)
        for _ in range(3):
            with pytest.raises(OutOfTimeError):
                execute(run, cases, work=tmp_path / "w2", results=tmp_path / "r2", deadline=never, command="")
        assert len(calls) == 3
    pieces = execute(run, cases, work=tmp_path / "w2", results=tmp_path / "r2", deadline=never, command="")
    assert pieces is not None and pieces["images"] == whole["images"]


def test_a_result_that_fits_is_not_computed_again(cases: list[Case], tmp_path: Path, small: None) -> None:
    run = Run("cdd_cesm", ARMS["brightness"], 1)
    where: dict[str, Any] = {"work": tmp_path / "work", "results": tmp_path / "results", "command": ""}
    execute(run, cases, deadline=0.0, **where)
    path = tmp_path / "results" / "cdd_cesm" / "brightness_seed1.json"
    document = json.loads(path.read_text())
    document["images"] = []
    path.write_text(json.dumps(document))
    again = execute(run, cases, deadline=0.0, **where)
    assert again is not None and again["images"] == []
    changed = [replace(cases[0], true_labels=np.zeros_like(cases[0].true_labels)), *cases[1:]]
    assert fingerprint(changed) != fingerprint(cases)
    anew = execute(run, changed, deadline=0.0, **where)
    assert anew is not None and len(anew["images"]) == 4


def test_out_of_time_before_the_first_epoch(cases: list[Case], tmp_path: Path, small: None) -> None:
    run = Run("cdd_cesm", ARMS["method"], 1)
    with pytest.raises(OutOfTimeError):
        execute(run, cases, work=tmp_path, results=tmp_path / "results", deadline=0.0, command="")
