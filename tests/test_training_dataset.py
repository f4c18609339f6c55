"""The CDD-CESM reader on small folders written here in the published layout, oddities included."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("scipy")

from training import prepared
from training.datasets import cdd_cesm
from training.datasets.detect import open_dataset

COLUMNS = ("name", "patient", "side", "view", "pathology", "findings", "tags", "split")


def row(name: str, split: str, pathology: str = "Malignant", findings: str = "mass") -> dict[str, str]:
    patient, side, _, view = name.split("_")
    values = (name, patient, side, view, pathology, findings, "", split)
    return dict(zip(COLUMNS, values, strict=True))


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_image(path: Path, *, size: tuple[int, int], breast: tuple[slice, slice]) -> None:
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[breast] = np.random.default_rng(0).integers(60, 200, pixels[breast].shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


def write_mask(path: Path, *, size: tuple[int, int], boxes: list[tuple[int, int, int, int]]) -> None:
    mask = np.zeros((size[1], size[0]), np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One image in both sizes, one only resized, one native and benign, four without outlines."""
    native = [row("P1_L_DM_CC", "train"), row("P3_R_DM_CC", "val", "Benign", "macrocalcification")]
    resized = [row("P1_L_DM_CC", "train"), row("P2_L_DM_MLO", "val")]
    write_table(tmp_path / "native.csv", native)
    write_table(tmp_path / "resized512.csv", resized)
    for entry in native:
        size, stem = (1000, 1600), entry["name"]
        write_image(tmp_path / f"native/images/{stem}.jpg", size=size, breast=(slice(100, 1500), slice(0, 800)))
        write_mask(tmp_path / f"native/masks/{stem}.png", size=size, boxes=[(300, 400, 420, 600)])
    for entry in resized:
        size, stem = (512, 512), entry["name"]
        write_image(tmp_path / f"resized512/images/{stem}.jpg", size=size, breast=(slice(10, 500), slice(150, 350)))
        # A mass and a long thin arc; in native pixels four times as large.
        boxes = [(200, 100, 260, 180), (150, 20, 158, 420)]
        write_mask(tmp_path / f"resized512/masks/{stem}.png", size=size, boxes=boxes)
    with (tmp_path / "hand_drawn_segmentations.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["#filename", "region_shape_attributes"])
        for x0, y0, x1, y1 in [(200, 100, 260, 180), (150, 20, 158, 420)]:
            polygon = {
                "name": "polygon",
                "all_points_x": [4 * x0 - 600, 4 * x1 - 600, 4 * x1 - 600, 4 * x0 - 600],
                "all_points_y": [4 * y0, 4 * y0, 4 * y1, 4 * y1],
            }
            writer.writerow(["P2_L_DM_MLO.jpg", json.dumps(polygon)])
    for name in ("normal_left_IM0001", "normal_right_IM0002", "benign_left_IM0003", "normal_left_IM0009"):
        path = tmp_path / f"native_unannotated/{name}.jpg"
        write_image(path, size=(1000, 1600), breast=(slice(0, 1600), slice(0, 700)))
    return tmp_path


def test_reads_every_image_once_and_the_duplicate_at_native_size(folder: Path) -> None:
    records = {record.name: record for record in cdd_cesm.read_records(folder)}
    assert len(records) == 7
    assert records["P1_L_DM_CC"].folder == "native"
    assert records["P1_L_DM_CC"].pixel_spacing_mm == pytest.approx(0.1)
    assert records["P2_L_DM_MLO"].spacing_source == "outlines"
    assert records["P2_L_DM_MLO"].pixel_spacing_mm == pytest.approx(0.4, rel=0.01)
    assert records["P3_R_DM_CC"].pathology == "benign"
    assert records["P3_R_DM_CC"].calcification_only
    assert not records["P2_L_DM_MLO"].calcification_only


def test_the_highest_numbered_unannotated_images_validate(folder: Path) -> None:
    splits = {r.name: r.split for r in cdd_cesm.read_records(folder) if r.folder == "native_unannotated"}
    assert [name for name, split in splits.items() if split == "val"] == ["normal_left_IM0009"]


def test_labels_ignore_the_arc_and_keep_the_mass(folder: Path) -> None:
    record = next(r for r in cdd_cesm.read_records(folder) if r.name == "P2_L_DM_MLO")
    labels = cdd_cesm.read_labels(record)
    assert set(np.unique(labels)) == {-1, 0, 1}
    assert (labels[100:180, 200:260] == 1).all()
    assert (labels[20:420, 150:158] == -1).all()


def test_patient_in_two_splits_of_different_tables_is_an_error(folder: Path) -> None:
    write_table(folder / "resized512.csv", [row("P1_L_DM_CC", "train"), row("P3_R_DM_MLO", "train")])
    with pytest.raises(cdd_cesm.DatasetError, match="P3"):
        cdd_cesm.read_records(folder)


def unlink_mask(folder: Path) -> None:
    (folder / "resized512/masks/P2_L_DM_MLO.png").unlink()


def cut_mask(folder: Path) -> None:
    path = folder / "resized512/masks/P2_L_DM_MLO.png"
    path.write_bytes(path.read_bytes()[:60])


def other_mask(folder: Path) -> None:
    write_mask(folder / "resized512/masks/P2_L_DM_MLO.png", size=(256, 256), boxes=[(100, 50, 130, 90)])


def unlink_image(folder: Path) -> None:
    (folder / "resized512/images/P2_L_DM_MLO.jpg").unlink()


def unknown_pathology(folder: Path) -> None:
    write_table(folder / "resized512.csv", [row("P1_L_DM_CC", "train"), row("P2_L_DM_MLO", "val", "Unproven")])


@pytest.mark.parametrize("spoil", [unlink_mask, cut_mask, other_mask, unlink_image, unknown_pathology])
def test_one_bad_image_is_skipped_and_counted(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, spoil: Callable[[Path], None]
) -> None:
    spoil(folder)
    found = open_dataset(folder)
    names = [record.name for record, _, _ in found.read_all()]
    assert len(names) == 6 and "P2_L_DM_MLO" not in names
    assert [case.split()[0] for case, _ in found.skipped] == ["P2_L_DM_MLO"]
    samples = prepared.load_samples(folder, tmp_path_factory.mktemp("cache"))
    assert {sample.name for sample in samples} == set(names)


def test_a_broken_outline_leaves_its_scale_to_the_default(folder: Path) -> None:
    rows = '#filename,region_shape_attributes\nP2_L_DM_MLO.jpg,"{""name"": ""polygon"""\n'
    (folder / "hand_drawn_segmentations.csv").write_text(rows)
    found = open_dataset(folder)
    assert len(found) == 7
    [(name, reason)] = found.skipped
    assert name == "P2_L_DM_MLO.jpg" and "cannot be read" in reason
    assert next(r for r in cdd_cesm.read_records(folder) if r.name == "P2_L_DM_MLO").spacing_source == "default"


def test_scale_falls_back_to_the_default_without_outlines(folder: Path) -> None:
    (folder / "hand_drawn_segmentations.csv").write_text("#filename,region_shape_attributes\n")
    record = next(r for r in cdd_cesm.read_records(folder) if r.name == "P2_L_DM_MLO")
    assert record.spacing_source == "default"
    assert record.pixel_spacing_mm == pytest.approx(0.1 * cdd_cesm.DEFAULT_RESIZE_FACTOR)


def test_scale_is_refused_where_width_and_height_disagree() -> None:
    mask = np.zeros((512, 512), bool)
    mask[100:200, 100:200] = True
    square = np.array([[0.0, 0.0], [400.0, 400.0]])
    wide = np.array([[0.0, 0.0], [800.0, 400.0]])
    assert cdd_cesm.resize_factor([square], mask) == pytest.approx(4.0)
    assert cdd_cesm.resize_factor([wide], mask) is None
    assert cdd_cesm.resize_factor([np.empty((0, 2))], mask) is None


def test_samples_are_cached_and_read_back_equal(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "run" / "cache"
    made = prepared.load_samples(folder, cache)
    read = prepared.load_samples(Path("/nowhere"), cache)
    assert [s.name for s in made] == [s.name for s in read]
    # Each native image comes in two forms, the resized one in one.
    assert len(made) == 13
    for first, second in zip(made, read, strict=True):
        assert first.labels.tobytes() == second.labels.tobytes()
        np.testing.assert_allclose(first.image, second.image, atol=0.002)
        assert not first.image[~first.breast].any()
        assert first.image.shape == first.breast.shape == first.labels.shape


def test_thin_arcs_are_told_from_lesions() -> None:
    rows, columns = np.indices((440, 400))
    distance = np.hypot(rows - 200, columns - 0)
    skin = (distance > 170) & (distance < 182)
    wide_skin = (distance > 182) & (distance < 199)
    mass = np.hypot(rows - 200, columns - 200) < 30
    spiculated = mass | (np.abs(rows - 200) < 4) | (np.abs(columns - 200) < 4)
    assert cdd_cesm.is_thin(skin, 0.45)
    assert cdd_cesm.is_thin(wide_skin, 0.6)
    assert not cdd_cesm.is_thin(mass, 0.45)
    assert not cdd_cesm.is_thin(spiculated, 0.45)
