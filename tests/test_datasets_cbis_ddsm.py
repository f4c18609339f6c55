"""The CBIS-DDSM reader on small trees in both layouts, with the oddities of the published files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from training.datasets.cbis_ddsm import CbisDdsm, fit_mask
from training.datasets.record import DatasetError
from training.datasets.splits import check_disjoint

ROOT_UID = "1.3.6.1.4.1.9590.100.1.2"
MASS_COLUMNS = next(
    csv.reader(
        [
            "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
            "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
        ]
    )
)
CALC_COLUMNS = next(
    csv.reader(
        [
            "patient_id,breast density,left or right breast,image view,abnormality id,abnormality type,calc type,"
            "calc distribution,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
        ]
    )
)
SIZE = (60, 48)


def write_dicom(path: Path, pixels: np.ndarray, series: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = f"{series}.1"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    bits = 8 * pixels.dtype.itemsize
    values = {
        "SOPClassUID": SecondaryCaptureImageStorage,
        "SOPInstanceUID": f"{series}.1",
        "SeriesInstanceUID": series,
        "Modality": "MG",
        "PatientOrientation": "CC",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    dataset.save_as(path, enforce_file_format=True)


class Tree:
    """Builds a set: tables at the root, files in the wanted layout."""

    def __init__(self, root: Path, layout: str) -> None:
        self.root, self.layout = root, layout
        self.tables: dict[str, list[dict[str, str]]] = {}
        self.count = 0
        self.films: dict[str, str] = {}

    def _write(self, case: str, file: str, pixels: np.ndarray, series: str) -> str:
        study = f"{series}.9"
        folder = {
            "original": self.root / "CBIS-DDSM" / case / study / series,
            "nbia": self.root / case / "07-20-2016-DDSM-NA-30104" / "1.000000-ROI mask images-18515",
            "flat": self.root / "dicom" / series,
            "headers": self.root / "files",
        }[self.layout]
        name = {"nbia": f"1-{self.count}.dcm", "headers": f"{self.count}.dcm"}.get(self.layout, file)
        self.count += 1
        write_dicom(folder / name, pixels, series)
        return f"{case}/{study}/{series}/{file}"

    def lesion(
        self,
        patient: str = "P_00001",
        *,
        table: str = "mass_case_description_train_set.csv",
        abnormality: int = 1,
        swapped: bool = False,
        mask: np.ndarray | None = None,
        with_mask: bool = True,
        **values: str,
    ) -> None:
        mass = table.startswith("mass")
        case = f"{'Mass' if mass else 'Calc'}-{'Test' if 'test' in table else 'Training'}_{patient}_LEFT_CC"
        rng = np.random.default_rng(self.count)
        if case not in self.films:
            film = rng.integers(100, 60000, SIZE).astype(np.uint16)
            self.films[case] = self._write(case, "000000.dcm", film, f"{ROOT_UID}.1{self.count}")
        crop = rng.integers(100, 60000, (20, 16)).astype(np.uint16)
        if mask is None:
            mask = np.zeros(SIZE, np.uint8)
            mask[10 * abnormality : 10 * abnormality + 8, 5:15] = 255
        series = f"{ROOT_UID}.2{self.count}"
        paths = {}
        pairs = [("crop", crop, "000000.dcm"), ("mask", mask, "000001.dcm")]
        for kind, pixels, file in pairs[: 2 if with_mask else 1]:
            paths[kind] = self._write(f"{case}_{abnormality}", file, pixels, series)
        paths.setdefault("mask", paths["crop"].replace("000000", "000001"))
        if swapped:
            paths["crop"], paths["mask"] = paths["mask"], paths["crop"]
        columns = MASS_COLUMNS if mass else CALC_COLUMNS
        density = "breast_density" if mass else "breast density"
        row = {
            "patient_id": patient,
            density: "3",
            "left or right breast": "LEFT",
            "image view": "CC",
            "abnormality id": str(abnormality),
            "abnormality type": "mass" if mass else "calcification",
            "pathology": "MALIGNANT",
            "image file path": self.films[case],
            # The published fields end in a line break.
            "cropped image file path": paths["crop"] + "\n",
            "ROI mask file path": paths["mask"] + "\r\n",
        }
        self.tables.setdefault(table, []).append(dict.fromkeys(columns, "") | row | values)

    def read(self) -> CbisDdsm:
        for name, rows in self.tables.items():
            with (self.root / name).open("w", newline="") as file:
                writer = csv.DictWriter(file, CALC_COLUMNS if name.startswith("calc") else MASS_COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
        return CbisDdsm(self.root)


@pytest.mark.parametrize("layout", ["original", "nbia", "flat", "headers"])
@pytest.mark.parametrize("swapped", [False, True])
def test_mask_is_found_by_content_in_every_layout(tmp_path: Path, layout: str, swapped: bool) -> None:
    tree = Tree(tmp_path, layout)
    tree.lesion(swapped=swapped, **{"mass shape": "ROUND", "mass margins": "CIRCUMSCRIBED"})
    found = tree.read()
    [(record, mammogram, masks)] = found.read_all()
    assert not found.skipped
    assert mammogram.shape == SIZE
    assert (record.name, record.patient, record.view, record.laterality) == ("P_00001_LEFT_CC", "P_00001", "CC", "L")
    assert mammogram.laterality == "L"
    assert record.facts["density"] == "3"
    [(lesion, mask)] = masks
    assert lesion == "mass"
    assert mask[10:18, 5:15].all()
    assert mask.sum() == 80


def test_several_lesions_of_both_tables_on_one_film(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "original")
    tree.lesion(abnormality=1, pathology="BENIGN")
    tree.lesion(abnormality=2, pathology="BENIGN_WITHOUT_CALLBACK", **{"mass shape": "ARCHITECTURAL_DISTORTION"})
    tree.lesion(table="calc_case_description_train_set.csv", abnormality=3)
    found = tree.read()
    [record] = found
    classes = [(outline.lesion, outline.pathology) for outline in record.outlines]
    assert sorted(classes) == [("calcification", "malignant"), ("distortion", "benign"), ("mass", "benign")]
    assert record.pathology == "malignant"
    assert len(found.outline_masks(record, SIZE)) == 3


def test_splits_by_patient_even_where_the_tables_disagree(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "original")
    tree.lesion("P_00001")
    tree.lesion("P_00001", table="calc_case_description_test_set.csv", **{"image view": "MLO"})
    for number in range(10, 40):
        tree.lesion(f"P_000{number}")
    found = tree.read()
    check_disjoint(found)
    splits = {record.patient: record.split for record in found}
    assert splits["P_00001"] == "test"
    assert {splits[patient] for patient in splits if patient != "P_00001"} == {"train", "val"}
    assert [case for case, _ in found.notes] == ["P_00001"]


def test_mask_of_another_size_is_scaled_or_skipped(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "flat")
    small = np.zeros((30, 24), np.uint8)
    small[5:10, 4:8] = 255
    tree.lesion("P_00001", mask=small)
    tree.lesion("P_00002", mask=np.eye(30, dtype=np.uint8))
    found = tree.read()
    [(record, _, [(_, mask)])] = found.read_all()
    assert record.patient == "P_00001"
    assert mask.shape == SIZE
    assert mask[10:20, 8:16].all()
    assert mask.sum() == 80
    [(case, reason)] = found.skipped
    assert case == "P_00002_LEFT_CC outline 1"
    assert "30 x 30" in reason


def test_fit_mask_of_the_published_odd_case() -> None:
    assert fit_mask(np.ones((4386, 1789), bool), (5041, 2056)).shape == (5041, 2056)
    with pytest.raises(DatasetError):
        fit_mask(np.ones((4386, 1789), bool), (5041, 2500))


def test_missing_mask_and_missing_film_are_skipped_and_counted(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "original")
    tree.lesion("P_00001", with_mask=False)
    tree.lesion("P_00002")
    tree.lesion("P_00003")
    for path in (tmp_path / "CBIS-DDSM" / "Mass-Training_P_00003_LEFT_CC").rglob("*.dcm"):
        path.unlink()
    found = tree.read()
    assert [record.patient for record, _, _ in found.read_all()] == ["P_00002"]
    reasons = dict(found.skipped)
    assert reasons["P_00003_LEFT_CC"] == "missing film"
    assert "no mask among 1 files" in reasons["P_00001_LEFT_CC outline 1"]


def test_damaged_film_is_skipped(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "original")
    tree.lesion("P_00001")
    tree.lesion("P_00002")
    [path] = (tmp_path / "CBIS-DDSM" / "Mass-Training_P_00001_LEFT_CC").rglob("*.dcm")
    path.write_bytes(path.read_bytes()[:-500])
    found = tree.read()
    assert [record.patient for record, _, _ in found.read_all()] == ["P_00002"]
    assert [case for case, _ in found.skipped] == ["P_00001_LEFT_CC"]


def test_wrong_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="case_description"):
        CbisDdsm(tmp_path)
    (tmp_path / "mass_case_description_train_set.csv").write_text("patient_id,pathology\nP_1,BENIGN\n")
    with pytest.raises(DatasetError, match="image_view"):
        CbisDdsm(tmp_path)


def test_unknown_pathology_skips_its_film(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "original")
    tree.lesion("P_00001", pathology="MAYBE")
    tree.lesion("P_00002", pathology="benign")
    found = tree.read()
    assert [record.pathology for record in found] == ["benign"]
    assert "MAYBE" in dict(found.skipped)["P_00001_LEFT_CC"]
