"""What every dataset is read into: one record per image, its outlines, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lcx_fast.mammogram import Mammogram

LesionClass = Literal["mass", "calcification", "asymmetry", "distortion", "other"]
Pathology = Literal["malignant", "benign", "normal", "unknown"]
Split = Literal["train", "val", "test"]
Laterality = Literal["L", "R"]
Mask = NDArray[np.bool_]
#: ``proven``: by biopsy or follow-up. ``assessed``: the reader's BI-RADS stands in for it (see Note [Assessed]).
PathologySource = Literal["proven", "assessed", "none"]

LESION_CLASSES: tuple[LesionClass, ...] = get_args(LesionClass)
SPLITS: tuple[Split, ...] = get_args(Split)


class DatasetError(ValueError):
    """The files contradict the published layout; the message names the file or the case, and what is wrong."""


class Shape(Protocol):
    """A region of an image, in the pixels of that image; see training.datasets.shapes."""

    def fill(self, size: tuple[int, int]) -> Mask:
        """Bool [H, W] of ``size`` (H, W): True inside. Raises DatasetError if the region cannot be had."""
        ...


@dataclass(frozen=True, eq=False)
class Outline:
    """One outlined lesion. text: the set's own words for it, for reports."""

    lesion: LesionClass
    pathology: Pathology
    shape: Shape
    text: str = ""


@dataclass(frozen=True, eq=False)
class Record:
    """One image and what is known of it.

    Attributes:
        name: unique in its set; no patient's name.
        image: the file the image is read from.
        patient: what splits go by.
        view: ``"CC"``, ``"MLO"``, ... or None.
        pathology: of the image: the worst of its outlines, or what the set says of the whole image.
        annotated: False where a lesion may be present that nobody outlined; such an image has no background
            to learn from.
        spacing_mm: mm per pixel (row, column) as the set states it; None: as the image file says, if it does.
        size: (H, W) of the image where the tables state it.
        facts: further facts (digitizer, density); no patient data.
    """

    name: str
    image: Path
    patient: str
    split: Split
    view: str | None = None
    laterality: Laterality | None = None
    outlines: tuple[Outline, ...] = ()
    pathology: Pathology = "unknown"
    pathology_source: PathologySource = "none"
    annotated: bool = True
    spacing_mm: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def calcification_only(self) -> bool:
        """Whether there are outlines and all of them are calcifications."""
        return bool(self.outlines) and all(outline.lesion == "calcification" for outline in self.outlines)


class CaseLog:
    """Cases and reasons, each pair once however often it is met."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], None] = {}

    def add(self, case: str, reason: object) -> None:
        """Remember that ``case`` (a file or a record's name) met ``reason``."""
        self._entries[(case, " ".join(str(reason).split()))] = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def by_reason(self) -> Counter[str]:
        """How many cases met each reason."""
        return Counter(reason for _, reason in self._entries)


class Dataset(Protocol):
    """A dataset on disk. ``skipped`` grows while images and outlines are read; nothing is left out silently."""

    name: str
    root: Path
    skipped: CaseLog
    notes: CaseLog

    def __iter__(self) -> Iterator[Record]: ...

    def __len__(self) -> int: ...

    def load(self, record: Record) -> Mammogram:
        """The image, brighter meaning denser. Raises LcxError or DatasetError if it cannot be read."""
        ...

    def outline_masks(self, record: Record, size: tuple[int, int] | None = None) -> list[tuple[LesionClass, Mask]]:
        """Each outline as bool [H, W] in source pixels; one that cannot be had is skipped and logged."""
        ...

    def read_all(self) -> Iterator[tuple[Record, Mammogram, list[tuple[LesionClass, Mask]]]]:
        """Every record with its image and masks; what cannot be had whole is skipped and logged."""
        ...


class RecordSet:
    """The common part of the readers: holds the records, reads DICOM and ordinary images, fills outlines.

    A reader subclasses it and overrides ``load`` where its images are neither.
    """

    name = "records"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.skipped = CaseLog()
        self.notes = CaseLog()
        self.records: tuple[Record, ...] = ()

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def load(self, record: Record) -> Mammogram:
        from lcx_fast.images import read_mammogram

        return with_facts(read_mammogram(record.image, pixel_spacing_mm=record.spacing_mm), record)

    def outline_masks(self, record: Record, size: tuple[int, int] | None = None) -> list[tuple[LesionClass, Mask]]:
        size = size or record.size or self.load(record).shape
        masks: list[tuple[LesionClass, Mask]] = []
        for number, outline in enumerate(record.outlines, start=1):
            try:
                mask = outline.shape.fill(size)
            except (DatasetError, OSError) as error:
                self.skipped.add(f"{record.name} outline {number}", error)
                continue
            if mask.any():
                masks.append((outline.lesion, mask))
            else:
                self.skipped.add(f"{record.name} outline {number}", "the outline holds no pixel of its image")
        return masks

    def read_all(self) -> Iterator[tuple[Record, Mammogram, list[tuple[LesionClass, Mask]]]]:
        """Every record with its image and masks.

        An image that cannot be read is skipped and logged, and so is one that lacks an outline: a lesion nobody
        can place would count as background.
        """
        from lcx_fast.errors import LcxError

        for record in self:
            try:
                mammogram = self.load(record)
            except (LcxError, DatasetError, OSError) as error:
                self.skipped.add(record.name, error)
                continue
            masks = self.outline_masks(record, mammogram.shape)
            if len(masks) == len(record.outlines):
                yield record, mammogram, masks


def with_facts(mammogram: Mammogram, record: Record) -> Mammogram:
    """The mammogram with the set's own view and side where the file has none."""
    from dataclasses import replace

    return replace(
        mammogram,
        name=record.name,
        laterality=mammogram.laterality or record.laterality,
        view_position=mammogram.view_position or record.view,
    )


def worst(pathologies: Sequence[Pathology], *, otherwise: Pathology) -> Pathology:
    """The gravest of some findings; ``otherwise`` if there are none."""
    gravest_first: tuple[Pathology, ...] = ("malignant", "unknown", "benign", "normal")
    return next((pathology for pathology in gravest_first if pathology in pathologies), otherwise)


def assessed_pathology(birads: str) -> Pathology:
    """What a BI-RADS category stands for where there is no proof.

    Note [Assessed]
    INbreast and VinDr-Mammo publish the readers' BI-RADS and no histology. As is usual with these sets, 4, 5
    and 6 count as malignant, 2 and 3 as benign, 1 as normal; 0 (incomplete) as unknown. Such records say
    ``pathology_source="assessed"``, and figures from them must say so too.
    """
    digit = birads.upper().replace("BI-RADS", "").replace("BIRADS", "").strip(" :-")[:1]
    if digit in ("4", "5", "6"):
        return "malignant"
    if digit in ("2", "3"):
        return "benign"
    return "normal" if digit == "1" else "unknown"
