"""VinDr-Mammo: 5,000 exams with boxes round findings.

Nguyen et al. 2023, Scientific Data, doi 10.1038/s41597-023-02100-7.

    finding_annotations.csv              one row per finding, or one saying No Finding
    images/STUDY/IMAGE.dicom

Boxes mark what is not benign (BI-RADS 3 to 5), and there is no histology: see training.datasets.record, Note
[Assessed]. The patient is the study: each has one. Training studies are split further for validation.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import cast

from .record import (
    DatasetError,
    Laterality,
    LesionClass,
    Outline,
    Pathology,
    Record,
    RecordSet,
    Split,
    assessed_pathology,
    worst,
)
from .shapes import Box
from .splits import split_by_hash
from .tables import read_table

TABLE = "finding_annotations.csv"
_REQUIRED = (
    "study_id",
    "image_id",
    "laterality",
    "view_position",
    "finding_categories",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
)
#: Parts of category names; of several categories in one box the first of these counts.
_CLASSES: tuple[tuple[str, LesionClass], ...] = (
    ("mass", "mass"),
    ("calcification", "calcification"),
    ("distortion", "distortion"),
    ("asymmetry", "asymmetry"),
)
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


class VindrMammo(RecordSet):
    """Reader of VinDr-Mammo; see the module."""

    name = "vindr-mammo"

    def __init__(self, root: Path, *, seed: int = 0) -> None:
        super().__init__(root)
        tables = sorted(root.rglob(TABLE))
        if not tables:
            raise DatasetError(f"{root}: no {TABLE}")
        self._images = tables[0].parent / "images"
        rows: dict[str, list[dict[str, str]]] = defaultdict(list)
        for row in read_table(tables[0], required=_REQUIRED):
            rows[row["image_id"]].append(row)
        records = []
        for image, findings in rows.items():
            try:
                records.append(self._record(image, findings, seed))
            except DatasetError as error:
                self.skipped.add(image, error)
        self.records = tuple(records)

    def _record(self, image: str, rows: list[dict[str, str]], seed: int) -> Record:
        first = rows[0]
        study = first["study_id"]
        path = next(
            (
                found
                for suffix in (".dicom", ".dcm", ".png")
                if (found := self._images / study / f"{image}{suffix}").is_file()
            ),
            None,
        )
        if path is None:
            raise DatasetError("missing image")
        laterality = first["laterality"].upper()
        if laterality not in ("L", "R"):
            raise DatasetError(f"laterality {laterality!r}; known: L, R")
        outlines = tuple(outline for row in rows if (outline := _outline(row)) is not None)
        whole = assessed_pathology(first.get("breast_birads", ""))
        split: Split = "test" if first.get("split", "") == "test" else split_by_hash(study, seed=seed, test=0.0)
        return Record(
            name=image,
            image=path,
            patient=study,
            split=split,
            view=first["view_position"].upper() or None,
            laterality=cast(Laterality, laterality),
            outlines=outlines,
            pathology=worst([outline.pathology for outline in outlines] or [whole], otherwise=whole),
            pathology_source="assessed",
            # A suspicious breast without a box in this view: the finding was marked in the other one.
            annotated=bool(outlines) or whole != "malignant",
            size=_size(first),
            facts={"birads": first.get("breast_birads", ""), "density": first.get("breast_density", "")},
        )


def categories(text: str) -> list[str]:
    """Names in a list written as Python writes one: ``['Mass', 'Skin Retraction']``. Parsed, never evaluated."""
    return [single or double for single, double in _QUOTED.findall(text)]


def finding_class(names: list[str]) -> LesionClass:
    """The class of a box by its categories."""
    joined = " ".join(names).lower()
    return next((lesion for word, lesion in _CLASSES if word in joined), "other")


def _outline(row: dict[str, str]) -> Outline | None:
    names = categories(row["finding_categories"])
    if not names:
        raise DatasetError(f"finding categories {row['finding_categories']!r}")
    if names == ["No Finding"]:
        return None
    try:
        x0, y0, x1, y1 = (float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        raise DatasetError("a finding without a box") from None
    pathology: Pathology = assessed_pathology(row.get("finding_birads", ""))
    return Outline(finding_class(names), pathology, Box(x0, y0, x1, y1), ", ".join(names))


def _size(row: dict[str, str]) -> tuple[int, int] | None:
    try:
        return int(row["height"]), int(row["width"])
    except (KeyError, ValueError):
        return None
