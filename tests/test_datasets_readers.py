"""INbreast, VinDr-Mammo and MIAS on small folders written in their published layouts, oddities included."""

from __future__ import annotations

import plistlib
from pathlib import Path

import dicom_files
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("scipy")

from training.datasets.inbreast import Inbreast, read_contours, roi_class
from training.datasets.mias import Mias
from training.datasets.record import assessed_pathology
from training.datasets.splits import check_disjoint
from training.datasets.vindr_mammo import VindrMammo, categories

SIZE = (64, 48)
SQUARE = [(10, 20), (30, 20), (30, 40), (10, 40)]


def write_dicom(path: Path, **attributes: object) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, SIZE).astype(np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = dicom_files.header(pixels, BitsStored=12, **attributes)
    path.write_bytes(dicom_files.encode_file(header, dicom_files.native_value(pixels), dicom_files.EXPLICIT))


# INbreast


def plist(*rois: tuple[str, list[tuple[float, float]]], **changes: object) -> bytes:
    entries = [
        {
            "Area": 1.0,
            "Name": name,
            "NumberOfPoints": len(points),
            "Point_px": [f"({x:f}, {y:f})" for x, y in points],
            "Type": 15,
        }
        | changes
        for name, points in rois
    ]
    return plistlib.dumps({"Images": [{"ImageIndex": 0, "NumberOfROIs": len(entries), "ROIs": entries}]})


@pytest.fixture
def inbreast(tmp_path: Path) -> Path:
    root = tmp_path / "INbreast Release 1.0"
    for name in (
        "20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm",
        "20586934_6c613a14b80a8591_MG_L_ML_ANON.dcm",
        "20586960_0123456789abcdef_MG_R_CC_ANON.dcm",
    ):
        write_dicom(root / "AllDICOMs" / name)
    (root / "AllXML").mkdir()
    rois = [
        ("Mass", SQUARE),
        ("Calcification", [(5.4, 6.6)]),
        ("Calcification", [(7, 8)]),
        ("Point 1", [(1, 2), (3, 4)]),
    ]
    (root / "AllXML" / "20586908.xml").write_bytes(plist(*rois))
    (root / "AllXML" / "20586960.xml").write_bytes(plist(("Assymetry", SQUARE), ("Pectoral Muscle", SQUARE)))
    rows = [
        "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads",
        "removed;removed;R;CC;201001;20586908;4;4a",
        "removed;removed;L;MLO;201001;20586934;2;1",
        "removed;removed;R;CC;201001;20586960;2;2",
    ]
    (root / "INbreast.csv").write_bytes("\r\n".join(rows).encode("latin-1"))
    return root


def test_inbreast(inbreast: Path) -> None:
    found = Inbreast(inbreast.parent)
    assert not found.skipped
    check_disjoint(found)
    first, second, third = found
    assert (first.patient, first.laterality, first.view) == ("6c613a14b80a8591", "R", "CC")
    assert (first.pathology, first.pathology_source) == ("malignant", "assessed")
    assert first.facts == {"birads": "4a", "density": "4"}
    assert (second.view, second.pathology, second.outlines) == ("MLO", "normal", ())
    assert second.patient == first.patient
    assert [outline.lesion for outline in third.outlines] == ["asymmetry"]
    masks = found.outline_masks(first, SIZE)
    assert [lesion for lesion, _ in masks] == ["mass", "calcification"]
    assert masks[0][1][20:40, 10:30].all()
    assert masks[0][1].sum() == 400
    assert sorted(map(tuple, np.argwhere(masks[1][1]))) == [(2, 1), (4, 3), (7, 5), (8, 7)]
    assert found.load(first).shape == SIZE


@pytest.mark.parametrize(
    "content",
    [
        b"not xml",
        b"",
        plist(("Mass", SQUARE), NumberOfPoints=7),
        plist(("Mass", SQUARE), Point_px=["(1, 2)", "__import__('os')"]),
        plistlib.dumps({"Images": "none"}),
        plistlib.dumps(["a", "list"]),
        plist(("Mass", SQUARE))[:200],
    ],
)
def test_inbreast_malformed_contours_skip_their_image(inbreast: Path, content: bytes) -> None:
    (inbreast / "AllXML" / "20586908.xml").write_bytes(content)
    found = Inbreast(inbreast)
    assert len(found) == 2
    [(case, reason)] = found.skipped
    assert case.startswith("20586908")
    assert "20586908.xml" in reason


def test_inbreast_without_its_table_says_so(inbreast: Path) -> None:
    (inbreast / "INbreast.csv").unlink()
    found = Inbreast(inbreast)
    assert len(found) == 3
    assert {record.pathology for record in found} == {"unknown"}
    assert "BI-RADS unknown" in " ".join(found.notes.by_reason())
    (inbreast / "INbreast.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    assert "INbreast.xls" in " ".join(Inbreast(inbreast).notes.by_reason())


def test_inbreast_contours_with_negative_and_exponent_numbers(tmp_path: Path) -> None:
    path = tmp_path / "1.xml"
    path.write_bytes(plist(("Mass", SQUARE), Point_px=["(-1.5, 2e1)", "(3,4)", " (5, 6) ", "(7.25, 8)"]))
    [(name, points)] = read_contours(path)
    assert name == "Mass"
    assert points[0].tolist() == [-1.5, 20.0]


@pytest.mark.parametrize(
    ("name", "lesion"),
    [
        ("Calcifications", "calcification"),
        ("Cluster", "calcification"),
        ("Spiculated Region", "other"),
        ("Distortion", "distortion"),
        ("Unnamed", "other"),
        ("Pectoral Muscle", None),
    ],
)
def test_inbreast_roi_names(name: str, lesion: str | None) -> None:
    assert roi_class(name) == lesion


@pytest.mark.parametrize(
    ("birads", "pathology"),
    [
        ("4c", "malignant"),
        ("BI-RADS 5", "malignant"),
        ("3", "benign"),
        ("1", "normal"),
        ("0", "unknown"),
        ("", "unknown"),
    ],
)
def test_assessed_pathology(birads: str, pathology: str) -> None:
    assert assessed_pathology(birads) == pathology


# VinDr-Mammo

VINDR_COLUMNS = (
    "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,"
    "finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
)


@pytest.fixture
def vindr(tmp_path: Path) -> Path:
    studies = [f"study{k:02d}" for k in range(12)]
    lines = [VINDR_COLUMNS]
    for k, study in enumerate(studies):
        split = "test" if k == 0 else "training"
        head = f"{study},series,{study}-L,L,CC,64,48,"
        if k == 0:
            lines.append(
                head + f"BI-RADS 4,DENSITY C,\"['Mass', 'Skin Retraction']\",BI-RADS 4,10.5,20,30.2,40,{split}"
            )
            lines.append(head + f"BI-RADS 4,DENSITY C,['Suspicious Calcification'],BI-RADS 3,1,2,6,7,{split}")
        else:
            lines.append(head + f"BI-RADS {1 if k > 1 else 5},DENSITY B,['No Finding'],,,,,,{split}")
        write_dicom(tmp_path / "images" / study / f"{study}-L.dicom")
    (tmp_path / "finding_annotations.csv").write_text("\r\n".join(lines) + "\r\n")
    return tmp_path


def test_vindr(vindr: Path) -> None:
    found = VindrMammo(vindr)
    assert not found.skipped
    check_disjoint(found)
    first, second, *others = found
    assert [outline.lesion for outline in first.outlines] == ["mass", "calcification"]
    assert [outline.pathology for outline in first.outlines] == ["malignant", "benign"]
    assert (first.split, first.patient, first.size) == ("test", "study00", SIZE)
    assert {record.split for record in found if record is not first} <= {"train", "val"}
    # Suspicious by its breast, but marked in no box of this view.
    assert (second.pathology, second.annotated) == ("malignant", False)
    assert {(record.pathology, record.annotated) for record in others} == {("normal", True)}
    [(_, mask), _] = found.outline_masks(first)
    assert np.argwhere(mask).min(axis=0).tolist() == [20, 10]
    assert np.argwhere(mask).max(axis=0).tolist() == [39, 30]
    assert found.load(first).shape == SIZE


def test_vindr_missing_image_and_missing_box(vindr: Path) -> None:
    (vindr / "images" / "study03" / "study03-L.dicom").unlink()
    table = vindr / "finding_annotations.csv"
    table.write_text(table.read_text().replace("10.5,20,30.2,40", ",,,"))
    found = VindrMammo(vindr)
    assert len(found) == 10
    assert dict(found.skipped) == {"study00-L": "a finding without a box", "study03-L": "missing image"}


def test_vindr_categories_are_parsed_not_evaluated() -> None:
    assert categories("['Mass', \"Paget's\"]") == ["Mass", "Paget's"]
    assert categories("__import__('os').getcwd()") == ["os"]
    assert categories("[]") == []


# MIAS


@pytest.fixture
def mias(tmp_path: Path) -> Path:
    text = (
        "Note: caf\xe9\r\nREFNUM BG CLASS SEVERITY X Y RADIUS\r\n"
        "mdb001 G CIRC B 535 425 197\r\nmdb002 G NORM\r\n"
        "mdb005 F CIRC B 477 133 30\r\nmdb005 F CIRC M 500 168 26\r\n"
        "mdb216 D CALC M *NOTE 3*\r\nmdb059 F CIRC B\r\nmdb300 D SPIC X 1 2 3\r\nmdb301 F ARCH M 10 20 30\r\n"
    )
    (tmp_path / "Info.txt").write_bytes(text.encode("latin-1"))
    folder = tmp_path / "all-mias"
    folder.mkdir()
    for number in (1, 2, 5, 216, 59, 300):
        pixels = np.zeros((1024, 1024), np.uint8)
        pixels[300:700, :500] = 120
        Image.fromarray(pixels).save(folder / f"mdb{number:03d}.pgm")
    return tmp_path


def test_mias(mias: Path) -> None:
    found = Mias(mias)
    records = {record.name: record for record in found}
    assert set(records) == {"mdb001", "mdb002", "mdb005", "mdb216", "mdb059"}
    assert set(dict(found.skipped)) == {"mdb300", "mdb301"}
    assert dict(found.skipped)["mdb301"] == "missing film"
    assert records["mdb001"].patient == records["mdb002"].patient
    assert records["mdb001"].split == records["mdb002"].split
    assert (records["mdb001"].laterality, records["mdb002"].laterality) == ("R", "L")
    assert [outline.pathology for outline in records["mdb005"].outlines] == ["benign", "malignant"]
    assert records["mdb005"].pathology == "malignant"
    assert records["mdb002"].pathology == "normal"
    for name in ("mdb216", "mdb059"):
        assert (records[name].annotated, records[name].outlines) == (False, ())
    assert records["mdb216"].pathology == "malignant"
    # The origin is at the bottom left.
    [(_, mask)] = found.outline_masks(records["mdb001"])
    assert np.argwhere(mask).mean(axis=0) == pytest.approx([1023 - 425, 535])
    assert mask.sum() == pytest.approx(np.pi * 197**2, rel=0.001)
    mammogram = found.load(records["mdb001"])
    assert mammogram.spacing.row_mm == pytest.approx(0.2)
    assert (mammogram.view_position, mammogram.laterality) == ("MLO", "R")
