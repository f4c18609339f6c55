"""CDD-CESM in the form common to all sets; training.datasets.cdd_cesm reads the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import cdd_cesm
from .cdd_cesm import CddCesmRecord
from .record import DatasetError, Laterality, LesionClass, Mask, Outline, Record, RecordSet

if TYPE_CHECKING:
    from lcx_fast.mammogram import Mammogram

_WORDS: tuple[tuple[LesionClass, tuple[str, ...]], ...] = (
    ("mass", ("mass",)),
    ("calcification", ("calcific",)),
    ("asymmetry", ("asymmetr",)),
    ("distortion", ("distortion",)),
)


@dataclass(frozen=True, eq=False)
class Finding:
    """One finding of training.datasets.cdd_cesm.read_labels."""

    record: CddCesmRecord
    number: int

    def fill(self, size: tuple[int, int]) -> Mask:
        labels = cdd_cesm.read_labels(self.record)
        if labels.shape != tuple(size):
            raise DatasetError(f"the mask is {labels.shape[0]} x {labels.shape[1]}, its image {size[0]} x {size[1]}")
        return np.asarray(labels == self.number, bool)


class CddCesm(RecordSet):
    """The folder's images, each with the findings that are lesions by its reader (no arcs, no specks).

    The tables name findings per image, not per outline: a class is given where they name one only, else "other".
    """

    name = "cdd-cesm"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        found = cdd_cesm.read_records(root, self.skipped)
        texts = _findings(root)
        self._records = {record.name: record for record in found}
        records = []
        for record in found:
            try:
                records.append(_record(record, texts.get(record.name, "")))
            except OSError as error:
                self.skipped.add(record.name, f"the mask cannot be read: {type(error).__name__}")
        self.records = tuple(records)

    def original(self, record: Record) -> CddCesmRecord:
        """The record as training.datasets.cdd_cesm reads it."""
        return self._records[record.name]

    def load(self, record: Record) -> Mammogram:
        from lcx_fast.mammogram import Mammogram, PixelSpacing

        mm = self._records[record.name].pixel_spacing_mm
        return Mammogram(
            pixels=cdd_cesm.read_image(self._records[record.name]),
            spacing=PixelSpacing(mm, mm, "user"),
            laterality=record.laterality,
            view_position=record.view,
            name=record.name,
        )


def finding_class(text: str) -> LesionClass:
    """The class of an image's findings if its words name one only."""
    lowered = text.lower()
    named = [lesion for lesion, words in _WORDS if any(word in lowered for word in words)]
    return named[0] if len(named) == 1 else "other"


def _record(record: CddCesmRecord, text: str) -> Record:
    labels = cdd_cesm.read_labels(record) if record.mask_path is not None else None
    lesion = finding_class(text)
    count = 0 if labels is None else max(0, int(labels.max()))
    outlines = tuple(Outline(lesion, record.pathology, Finding(record, k + 1), text) for k in range(count))
    laterality: Laterality = "L" if record.side.upper() == "L" else "R"
    return Record(
        name=record.name,
        image=record.image_path,
        patient=record.patient,
        split=record.split,
        view=record.view,
        laterality=laterality,
        outlines=outlines,
        pathology=record.pathology,
        pathology_source="proven",
        annotated=record.mask_path is not None or record.pathology == "normal",
        spacing_mm=(record.pixel_spacing_mm, record.pixel_spacing_mm),
        facts={"folder": record.folder, "spacing": record.spacing_source},
    )


def _findings(root: Path) -> dict[str, str]:
    """Words of the findings and tags columns by image name."""
    from .tables import read_table

    rows = [row for table in ("resized512.csv", "native.csv") for row in read_table(root / table)]
    return {row["name"]: f"{row['findings']} {row['tags']}" for row in rows}
