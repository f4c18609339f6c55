"""CBIS-DDSM: DICOM films, masks and crops, and the four case description tables.

Lee et al. 2017, Scientific Data, doi 10.1038/sdata.2017.177. Two layouts are read, mixed if need be:

    Mass-Training_P_00001_LEFT_CC/STUDY/SERIES/000000.dcm     as in the tables (or with any folders in between)
    SERIES/*.dcm or SERIES.dcm                                flat, by SeriesInstanceUID

Where neither the folder nor the file is named so, the files' own SeriesInstanceUID decides.

Note [CBIS-DDSM oddities]
- The series called a mask and the one called a crop are exchanged in places, and file numbers do not help: a
  mask is the file of at most two values; the crop has many.
- Some masks differ in size from their film; where height and width differ by the same factor the mask is
  brought to the film's size, else it is skipped.
- A film can carry several lesions, of both tables; a film in both is stored twice under two UIDs.
- 31 patients are both in a training and in a test table. All their films count as test.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .ddsm_text import PATHOLOGIES, lesion_class
from .record import DatasetError, Laterality, Mask, Outline, Record, RecordSet, Split, worst
from .splits import split_by_hash
from .tables import read_table

_CASE = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_P_\d+_(?:LEFT|RIGHT)_(?:CC|MLO)(?:_\d+)?", re.IGNORECASE)
_UID = re.compile(r"\d+(?:\.\d+){3,}")
_REQUIRED = (
    "patient_id",
    "left_or_right_breast",
    "image_view",
    "abnormality_type",
    "pathology",
    "image_file_path",
    "cropped_image_file_path",
    "roi_mask_file_path",
)
#: Height and width of a mask may differ from its film's by one factor, up to this relative error.
_SAME_FACTOR = 0.02


class CbisDdsm(RecordSet):
    """Reader of CBIS-DDSM; see the module. tables: folder of the four tables, found under ``root`` if not given."""

    name = "cbis-ddsm"

    def __init__(self, root: Path, *, tables: Path | None = None, seed: int = 0) -> None:
        super().__init__(root)
        found = sorted((tables or root).rglob("*case_description*.csv"))
        if not found:
            raise DatasetError(f"{tables or root}: no *_case_description_*.csv")
        files = FileIndex(root)
        films: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
        test: set[str] = set()
        train: set[str] = set()
        for path in found:
            for row in read_table(path, required=_REQUIRED):
                key = (row["patient_id"], row["left_or_right_breast"].upper(), row["image_view"].upper())
                films[key].append(row)
                (test if "test" in path.name.lower() else train).add(row["patient_id"])
        for patient in sorted(test & train):
            self.notes.add(patient, "the patient is in a training and in a test table; it counts as test")
        records = []
        for key, rows in sorted(films.items()):
            split: Split = "test" if key[0] in test else split_by_hash(key[0], seed=seed, test=0.0)
            try:
                records.append(_record(key, rows, files, split))
            except DatasetError as error:
                self.skipped.add("_".join(key), error)
        self.records = tuple(records)


@dataclass(frozen=True)
class MaskAmongFiles:
    """The one file of ``files`` that is a mask; see Note [CBIS-DDSM oddities]."""

    files: tuple[Path, ...]

    def fill(self, size: tuple[int, int]) -> Mask:
        from lcx_fast.errors import LcxError
        from lcx_fast.images import read_mammogram

        masks = []
        problem = "none of them has two values" if self.files else "there is no file"
        for path in self.files:
            try:
                pixels = read_mammogram(path).pixels
            except LcxError as error:
                problem = str(error)
                continue
            low, high = pixels.min(), pixels.max()
            if low != high and bool(((pixels == low) | (pixels == high)).all()):
                masks.append(np.asarray(pixels == high))
        if not masks:
            raise DatasetError(f"no mask among {len(self.files)} files: {problem}")
        # A crop of a mask would be smaller than the film: the mask nearest to its size is meant.
        mask = min(masks, key=lambda found: abs(found.shape[0] - size[0]) + abs(found.shape[1] - size[1]))
        return fit_mask(mask, size)


def fit_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask brought to its film's size, each pixel that of the nearest centre.

    Raises:
        DatasetError: if height and width would need different factors.
    """
    if mask.shape == size:
        return mask
    factors = (size[0] / mask.shape[0], size[1] / mask.shape[1])
    if abs(factors[0] / factors[1] - 1.0) > _SAME_FACTOR:
        raise DatasetError(f"the mask is {mask.shape[0]} x {mask.shape[1]}, its film {size[0]} x {size[1]}")
    rows = ((np.arange(size[0]) + 0.5) / factors[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) / factors[1]).astype(int)
    return np.asarray(mask[rows][:, columns], bool)


class FileIndex:
    """Where the files of a case folder or of a series lie under a root."""

    def __init__(self, root: Path) -> None:
        self._cases: dict[str, list[Path]] = defaultdict(list)
        self._series: dict[str, list[Path]] = defaultdict(list)
        self._others: list[Path] = []
        for folder, folders, names in os.walk(root):
            folders.sort()
            place = Path(folder)
            inside = place.relative_to(root).parts
            case = next((part.upper() for part in inside if _CASE.fullmatch(part)), None)
            series = inside[-1] if inside and _UID.fullmatch(inside[-1]) else None
            for name in sorted(names):
                path = place / name
                if path.suffix.lower() not in (".dcm", ".dicom"):
                    continue
                own = series or (path.stem if _UID.fullmatch(path.stem) else None)
                if case:
                    self._cases[case].append(path)
                if own:
                    self._series[own].append(path)
                if not case and not own:
                    self._others.append(path)

    def find(self, table_path: str) -> list[Path]:
        """Files of the series a table's path names, or of its case folder; [] if there are none."""
        parts = [part for part in table_path.replace("\\", "/").split("/") if part]
        if len(parts) < 2:
            return []
        if self._others:
            self._read_headers()
        return self._series.get(parts[-2]) or self._cases.get(parts[0].upper(), [])

    def _read_headers(self) -> None:
        """Sort the files whose names tell nothing by the SeriesInstanceUID in their headers."""
        import pydicom

        for path in self._others:
            try:
                header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
            except Exception:  # pydicom raises many kinds; such a file belongs to no series
                continue
            self._series[str(header.get("SeriesInstanceUID", ""))].append(path)
        self._others = []


def _record(key: tuple[str, str, str], rows: list[dict[str, str]], files: FileIndex, split: Split) -> Record:
    patient, side, view = key
    if side not in ("LEFT", "RIGHT"):
        raise DatasetError(f"breast {side!r}; known: LEFT, RIGHT")
    image = next((found for row in rows for found in _film(row, files)), None)
    if image is None:
        raise DatasetError("missing film")
    outlines = []
    for row in rows:
        pathology = row["pathology"].upper()
        if pathology not in PATHOLOGIES:
            raise DatasetError(f"pathology {pathology!r}; known: {', '.join(PATHOLOGIES)}")
        masks = dict.fromkeys(files.find(row["roi_mask_file_path"]) + files.find(row["cropped_image_file_path"]))
        masks.pop(image, None)
        kind = row["abnormality_type"].upper()
        shape, margins = row.get("mass_shape", ""), row.get("mass_margins", "")
        text = f"{kind} SHAPE {shape.upper()} MARGINS {margins.upper()}" if kind == "MASS" else kind
        shapes = MaskAmongFiles(tuple(masks))
        outlines.append(Outline(lesion_class([text]), PATHOLOGIES[pathology], shapes, text))
    laterality: Laterality = "L" if side == "LEFT" else "R"
    facts = {"density": rows[0].get("breast_density", ""), "subtlety": " ".join(r.get("subtlety", "") for r in rows)}
    return Record(
        name=f"{patient}_{side}_{view}",
        image=image,
        patient=patient,
        split=split,
        view=view,
        laterality=laterality,
        outlines=tuple(outlines),
        pathology=worst([outline.pathology for outline in outlines], otherwise="unknown"),
        pathology_source="proven",
        facts=facts,
    )


def _film(row: dict[str, str], files: FileIndex) -> list[Path]:
    """The film's file; the largest where a folder holds more than one."""
    found = files.find(row["image_file_path"])
    return sorted(found, key=lambda path: -path.stat().st_size)[:1]
