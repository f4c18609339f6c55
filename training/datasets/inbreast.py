"""INbreast: DICOM mammograms with contours as OsiriX property lists.

Moreira et al. 2012, Academic Radiology, doi 10.1016/j.acra.2011.09.014.

    .../AllDICOMs/20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm    number, patient, side, view (ML means MLO)
    .../AllXML/20586908.xml                                    OsiriX plist; absent where nothing was marked
    .../INbreast.csv (or .xls, which needs the xlrd package)    BI-RADS and density by file number

There is no histology: see training.datasets.record, Note [Assessed]. All single calcifications of an image,
which can be hundreds, make one outline.
"""

from __future__ import annotations

import importlib
import plistlib
import re
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np

from .record import DatasetError, Laterality, LesionClass, Outline, Pathology, Record, RecordSet, assessed_pathology
from .shapes import Points, Polygon, as_points
from .splits import split_by_hash
from .tables import column_name, read_table

_FILE = re.compile(r"(\d+)_([0-9a-z]+)_MG_([LR])_(CC|MLO|ML)_ANON\.dcm", re.IGNORECASE)
_POINT = re.compile(r"\s*\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)\s*")
#: Parts of ROI names, tried in this order; the set spells some of them in several ways.
_CLASSES: tuple[tuple[str, LesionClass], ...] = (
    ("calcif", "calcification"),
    ("cluster", "calcification"),
    ("mass", "mass"),
    ("distor", "distortion"),
    ("asym", "asymmetry"),
    ("assym", "asymmetry"),
)
_NOT_LESIONS = ("pectoral", "muscle", "nipple")


class Inbreast(RecordSet):
    """Reader of INbreast; see the module."""

    name = "inbreast"

    def __init__(self, root: Path, *, seed: int = 0) -> None:
        super().__init__(root)
        images = sorted((path for path in root.rglob("*") if _FILE.fullmatch(path.name)), key=lambda path: path.name)
        if not images:
            raise DatasetError(f"{root}: no image named like 20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm")
        contours = {path.stem: path for path in sorted(root.rglob("*.xml"))}
        if not contours:
            raise DatasetError(f"{root}: no contours (AllXML/*.xml)")
        table = self._table()
        records = []
        for path in images:
            match = _FILE.fullmatch(path.name)
            assert match is not None  # filtered above
            number, patient, side, view = match.groups()
            row = table.get(number, {})
            pathology = assessed_pathology(row.get("bi_rads", ""))
            try:
                found = _outlines(contours[number], pathology) if number in contours else ()
            except DatasetError as error:
                self.skipped.add(path.name, error)
                continue
            laterality: Laterality = "L" if side.upper() == "L" else "R"
            facts = {"birads": row.get("bi_rads", ""), "density": row.get("acr", "")}
            records.append(
                Record(
                    name=f"{number}_{laterality}_{'CC' if view.upper() == 'CC' else 'MLO'}",
                    image=path,
                    patient=patient,
                    split=split_by_hash(patient, seed=seed),
                    view="CC" if view.upper() == "CC" else "MLO",
                    laterality=laterality,
                    outlines=found,
                    pathology=pathology,
                    pathology_source="assessed" if pathology != "unknown" else "none",
                    annotated=bool(found) or pathology != "malignant",
                    facts={key: value for key, value in facts.items() if value},
                )
            )
        self.records = tuple(records)

    def _table(self) -> dict[str, dict[str, str]]:
        """BI-RADS and density by file number; empty, with a note, if they cannot be had."""
        csvs = sorted(path for path in self.root.rglob("*.csv") if "inbreast" in path.name.lower())
        sheets = sorted(path for path in self.root.rglob("*.xls") if "inbreast" in path.name.lower())
        try:
            if csvs:
                rows = read_table(csvs[0], required=("file_name", "bi_rads"))
            elif sheets:
                rows = _read_xls(sheets[0])
            else:
                raise DatasetError("no INbreast.csv or INbreast.xls: BI-RADS unknown")
        except DatasetError as error:
            self.notes.add("table", error)
            return {}
        return {row["file_name"].partition(".")[0]: row for row in rows if row.get("file_name")}


def is_image_name(name: str) -> bool:
    """Whether a file is named as INbreast names its images."""
    return _FILE.fullmatch(name) is not None


def read_contours(path: Path) -> list[tuple[str, np.ndarray]]:
    """Name and points float64 [n, 2] (x, y) of every ROI in an OsiriX property list.

    Raises:
        DatasetError: if it is none, or a point cannot be read.
    """
    try:
        with path.open("rb") as file:
            content: Any = plistlib.load(file)
        rois = [roi for image in content["Images"] for roi in image["ROIs"]]
        found = []
        for roi in rois:
            points = [_POINT.fullmatch(text) for text in roi["Point_px"]]
            if None in points:
                raise DatasetError(f"{path.name}: a point is not written as (x, y)")
            numbers = [(float(match[1]), float(match[2])) for match in points if match is not None]
            if len(numbers) != int(roi.get("NumberOfPoints", len(numbers))):
                raise DatasetError(f"{path.name}: {roi['NumberOfPoints']} points announced, {len(numbers)} found")
            found.append((str(roi.get("Name", "")), as_points(numbers)))
    except DatasetError:
        raise
    except (ExpatError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DatasetError(f"{path.name}: not a property list of OsiriX ROIs ({type(error).__name__})") from None
    return found


def roi_class(name: str) -> LesionClass | None:
    """The class an ROI's name speaks of; None if it marks no lesion."""
    lowered = name.lower()
    if any(word in lowered for word in _NOT_LESIONS):
        return None
    return next((lesion for word, lesion in _CLASSES if word in lowered), "other")


def _outlines(path: Path, pathology: Pathology) -> tuple[Outline, ...]:
    outlines = []
    single = []
    for name, points in read_contours(path):
        lesion = roi_class(name)
        if lesion is None or not len(points):
            continue
        if len(points) <= 2:
            single.append(points)
        else:
            outlines.append(Outline(lesion, pathology, Polygon(points), name))
    if single:
        shape = Points(np.concatenate(single))
        outlines.append(Outline("calcification", pathology, shape, f"{len(single)} single calcifications"))
    return tuple(outlines)


def _read_xls(path: Path) -> list[dict[str, str]]:
    """Rows of the first sheet of an old Excel file."""
    try:
        xlrd = importlib.import_module("xlrd")
    except ImportError:
        raise DatasetError(f"{path.name} needs the xlrd package; or save it as INbreast.csv") from None
    try:
        sheet = xlrd.open_workbook(str(path)).sheet_by_index(0)
        names = [column_name(str(value)) for value in sheet.row_values(0)]
        rows = [[_cell(value) for value in sheet.row_values(i)] for i in range(1, sheet.nrows)]
    except Exception as error:  # xlrd raises errors of many kinds on damaged files
        raise DatasetError(f"{path.name}: {error}") from None
    return [dict(zip(names, row, strict=False)) for row in rows if any(row)]


def _cell(value: object) -> str:
    """Excel keeps whole numbers as floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
