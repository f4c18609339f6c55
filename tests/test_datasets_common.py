"""What all readers share: shapes, tables, patient splits, detection of layouts, and the check command."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("scipy")

from training.datasets.__main__ import main
from training.datasets.cdd_cesm_set import CddCesm, finding_class
from training.datasets.detect import FORMATS, detect, open_dataset
from training.datasets.phantom import PhantomSettings
from training.datasets.phantom_set import PhantomPlan, write_phantom
from training.datasets.record import DatasetError, Record, worst
from training.datasets.shapes import Box, Ellipse, LabelFile, Points, Polygon, Trace, fill_polygon, paste
from training.datasets.splits import check_disjoint, split_by_hash
from training.datasets.tables import read_table

SMALL = PhantomSettings(height=240, width=180, spacing_mm=1.0)

# Shapes


def inside_reference(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Winding number pixel by pixel: the sum of the angles under which the edges are seen."""
    mask = np.zeros(size, bool)
    for y in range(size[0]):
        for x in range(size[1]):
            z = (points[:, 0] - x) + 1j * (points[:, 1] - y)
            mask[y, x] = abs(np.angle(np.roll(z, -1) / z).sum()) > np.pi
    return mask


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 9))
def test_polygon_against_the_winding_number(seed: int, corners: int) -> None:
    # Coordinates off the pixel grid, so that no pixel centre lies on an edge.
    points = np.random.default_rng(seed).integers(-40, 160, (corners, 2)) / 8 + np.array([1 / 31, 1 / 37])
    np.testing.assert_array_equal(fill_polygon(points, (17, 13)), inside_reference(points, (17, 13)))


def test_polygon_that_crosses_itself_has_no_holes() -> None:
    angle = np.arange(5) * 4 * np.pi / 5
    star = np.stack([20 + 15 * np.cos(angle), 20 + 15 * np.sin(angle)], axis=1)
    mask = fill_polygon(star, (40, 40))
    assert mask[20, 20]


@pytest.mark.parametrize(
    "shape",
    [
        Polygon(np.array([[0.0, 0.0], [1.0, 1.0]])),
        Polygon(np.array([[0.0, 0.0], [np.nan, 1.0], [2.0, 5.0]])),
        Polygon(np.array([[0.0, 0.0], [1e300, 1.0], [2.0, 5.0]])),
        Ellipse(1, 2, 0, 4),
        Ellipse(1, 2, np.inf, 4),
        Box(1, 2, 1, 5),
        Box(1, 2, np.nan, 5),
        Points(np.array([[np.inf, 0.0]])),
        Trace(np.array([[0, 0], [900, 0], [900, 900], [0, 900]])),
    ],
)
def test_impossible_shapes_are_refused(shape: Polygon) -> None:
    with pytest.raises(DatasetError):
        shape.fill((20, 30))


@pytest.mark.parametrize("dx", [-100, -7, 0, 25, 100])
@pytest.mark.parametrize("dy", [-100, -7, 0, 15, 100])
def test_shapes_are_cut_by_the_image(dx: int, dy: int) -> None:
    wide = np.zeros((220, 230), bool)
    wide[100 + dy + 2 : 100 + dy + 8, 100 + dx + 3 : 100 + dx + 9] = True
    expected = wide[100:120, 100:130]
    place = np.array([dx, dy])
    corners = np.array([[3, 2], [9, 2], [9, 8], [3, 8]]) + place
    rim = [(3, 2), (8, 2), (8, 7), (3, 7)]
    border = np.concatenate([np.linspace(p, q, 6)[:-1] for p, q in zip(rim, rim[1:] + rim[:1], strict=True)])
    np.testing.assert_array_equal(Polygon(corners.astype(float)).fill((20, 30)), expected)
    np.testing.assert_array_equal(Box(3 + dx, 2 + dy, 9 + dx, 8 + dy).fill((20, 30)), expected)
    np.testing.assert_array_equal(Trace(border.astype(int) + place).fill((20, 30)), expected)
    np.testing.assert_array_equal(paste(np.ones((6, 6), bool), (2 + dy, 3 + dx), (20, 30)), expected)


def test_trace_fills_what_it_encloses_and_closes_itself() -> None:
    ring = [(x, 5) for x in range(5, 15)] + [(15, y) for y in range(5, 15)] + [(x, 15) for x in range(15, 5, -1)]
    mask = Trace(np.array([*ring, (5, 15)])).fill((20, 20))
    assert mask[5:16, 5:16].all()
    assert mask.sum() == 121


def test_label_file(tmp_path: Path) -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[3:5, 4:9] = 2
    Image.fromarray(labels).save(tmp_path / "labels.png")
    assert LabelFile(tmp_path / "labels.png", 2).fill((20, 30)).sum() == 10
    assert not LabelFile(tmp_path / "labels.png", 1).fill((20, 30)).any()
    with pytest.raises(DatasetError, match="20 x 30, its image 30 x 20"):
        LabelFile(tmp_path / "labels.png", 2).fill((30, 20))
    with pytest.raises(DatasetError, match="missing"):
        LabelFile(tmp_path / "none.png", 2).fill((20, 30))


# Tables


def test_table_of_any_delimiter_encoding_and_line_end(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for content in (
        'Patient ID,Breast-Density\n"P1", "2"\n\n'.replace(', "2"', ',"2\n"'),
        "patient_id;breast density\r\nP1;2\r\n;\r\n",
        "\ufeffpatient id\tbreast_density\r\nP1\t2",
    ):
        path.write_text(content, encoding="utf-8", newline="")
        assert read_table(path) == [{"patient_id": "P1", "breast_density": "2"}]
    path.write_bytes("id,pr\xe9nom\n1,Zo\xeb\n".encode("latin-1"))
    assert read_table(path)[0]["pr_nom"] == "Zo\xeb"


def test_table_that_lacks_a_column_or_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"missing table: none\.csv"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="column c is missing; there are a, b"):
        read_table(tmp_path / "t.csv", required=("a", "c"))
    (tmp_path / "t.csv").write_text("")
    assert read_table(tmp_path / "t.csv") == []


# Splits


def test_split_depends_on_patient_and_seed_alone() -> None:
    patients = [f"P{k}" for k in range(3000)]
    splits = [split_by_hash(patient) for patient in patients]
    assert splits == [split_by_hash(patient) for patient in patients]
    assert splits.count("test") / 3000 == pytest.approx(0.1, abs=0.02)
    assert splits.count("val") / 3000 == pytest.approx(0.1, abs=0.02)
    assert splits != [split_by_hash(patient, seed=1) for patient in patients]
    assert "test" not in {split_by_hash(patient, test=0.0) for patient in patients}


def test_patient_in_two_splits_is_found() -> None:
    records = [Record(str(k), Path("x"), f"P{k // 2}", "train") for k in range(6)]
    check_disjoint(records)
    with pytest.raises(DatasetError, match="P1"):
        check_disjoint([*records, Record("7", Path("x"), "P1", "test")])


def test_worst_pathology() -> None:
    assert worst(["benign", "malignant"], otherwise="normal") == "malignant"
    assert worst(["benign", "unknown"], otherwise="normal") == "unknown"
    assert worst([], otherwise="normal") == "normal"


# CDD-CESM in the common form


@pytest.fixture
def cdd_cesm(tmp_path: Path) -> Path:
    header = "name,patient,side,view,pathology,findings,tags,split\n"
    rows = 'P1_L_DM_CC,P1,L,CC,Malignant,"irregular mass",mass,train\nP2_R_DM_MLO,P2,R,MLO,Benign,,,val\n'
    (tmp_path / "native.csv").write_text(header + rows)
    (tmp_path / "resized512.csv").write_text(header)
    (tmp_path / "hand_drawn_segmentations.csv").write_text("#filename,region_shape_attributes\n")
    for folder in ("images", "masks"):
        (tmp_path / "native" / folder).mkdir(parents=True)
    for name in ("P1_L_DM_CC", "P2_R_DM_MLO"):
        mask = np.zeros((300, 200), np.uint8)
        mask[100:160, 50:110] = mask[200:240, 20:60] = 255
        Image.fromarray(mask // 2 + 20).save(tmp_path / "native" / "images" / f"{name}.jpg")
        Image.fromarray(mask).save(tmp_path / "native" / "masks" / f"{name}.png")
    return tmp_path


def test_cdd_cesm_record_set(cdd_cesm: Path) -> None:
    found = open_dataset(cdd_cesm)
    assert isinstance(found, CddCesm)
    [(first, mammogram, masks), _] = found.read_all()
    assert [lesion for lesion, _ in masks] == ["mass", "mass"]
    assert sorted(int(mask.sum()) for _, mask in masks) == [1600, 3600]
    assert (first.split, first.pathology, first.laterality) == ("train", "malignant", "L")
    assert mammogram.spacing.row_mm == pytest.approx(0.1)
    (cdd_cesm / "native" / "masks" / "P1_L_DM_CC.png").unlink()
    rest = CddCesm(cdd_cesm)
    assert [record.name for record in rest] == ["P2_R_DM_MLO"]
    assert rest.skipped.by_reason() == {"missing file: native/masks/*.png": 1}


def test_finding_class_only_where_one_is_named() -> None:
    assert finding_class("Irregular MASS") == "mass"
    assert finding_class("mass with calcifications") == "other"
    assert finding_class("skin thickening") == "other"


# The command


def test_check_of_a_phantom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_phantom(tmp_path, PhantomPlan(patients=4, seed=1, normal=0.0, settings=SMALL))
    assert main(["check", str(tmp_path), "--read", "-1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "format      phantom" in out
    assert "images      8" in out
    assert "patients    4" in out
    assert "spacing     1 mm" in out
    assert "skipped" not in out


def test_check_tells_what_was_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_phantom(tmp_path, PhantomPlan(patients=3, normal=0.0, settings=SMALL))
    images, masks = sorted((tmp_path / "images").iterdir()), sorted((tmp_path / "masks").iterdir())
    images[0].unlink()
    images[1].write_bytes(images[1].read_bytes()[:4000])
    masks[-1].unlink()
    assert main(["check", str(tmp_path), "--read", "-1", "--format", "phantom"]) == 0
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if line.startswith("skipped ")]) >= 3
    assert "missing mask" in out


@pytest.mark.parametrize("kind", ["nowhere", "empty", "mixed", "file", "all skipped"])
def test_check_of_bad_input_is_one_line_and_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = tmp_path
    if kind == "nowhere":
        path = tmp_path / "nowhere"
    elif kind == "mixed":
        (tmp_path / "A-1-1.ics").write_text("")
        (tmp_path / "finding_annotations.csv").write_text("")
    elif kind == "file":
        path = tmp_path / "x.txt"
        path.write_text("x")
    elif kind == "all skipped":
        (tmp_path / "A-1-1.ics").write_text("")
    assert main(["check", str(path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_check_finds_a_patient_in_two_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [{"id": k, "file_name": f"{k}.png", "height": 4, "width": 4, "patient": "p"} for k in (1, 2)]
    images[0]["split"], images[1]["split"] = "train", "test"
    for k in (1, 2):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"{k}.png")
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    assert main(["check", str(tmp_path)]) == 2
    assert "more than one split: p" in capsys.readouterr().err


def test_progress_only_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert main(["phantom", str(tmp_path / "set"), "--patients", "1", "--spacing", "1", "--arrays"]) == 0
    assert "[2/2] images drawn" in screen.getvalue() and screen.getvalue().endswith("\r\033[K")
    assert detect(tmp_path / "set") == "phantom"
    screen.truncate(0)
    assert main(["phantom", str(tmp_path / "set")]) == 2
    assert "new or an empty folder" in screen.getvalue()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("deep/case1/A-1-1.ics", "ddsm"),
        ("csv/Mass_Case_Description_test_set.csv", "cbis-ddsm"),
        ("vindr/finding_annotations.csv", "vindr-mammo"),
        ("all-mias/mdb001.pgm", "mias"),
        ("AllDICOMs/20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm", "inbreast"),
    ],
)
def test_layout_is_found_out(tmp_path: Path, file: str, expected: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("")
    assert detect(tmp_path) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_every_reader_refuses_an_empty_folder_or_finds_nothing(tmp_path: Path, name: str) -> None:
    try:
        assert len(open_dataset(tmp_path, format_name=name)) == 0
    except DatasetError as error:
        assert str(tmp_path) in str(error) or "missing" in str(error)
