"""A set of phantom images on disk: writing it, and reading it back.

    phantom.json          how it was made, and per image its patient, view, split and lesions
    images/NAME.dcm       For Presentation mammogram with its pixel spacing (or NAME.npy, uint16)
    masks/NAME.png        exact lesions: 8-bit, k where lesion k of phantom.json lies, 0 elsewhere

A lesion's loose outline (training.datasets.coarsen) is a polygon in phantom.json: ``--dataset phantom-loose`` trains
on those, ``--dataset phantom`` on the exact ones. Each patient has one breast in two views, CC and MLO, with the same
kinds of lesions. The same seed and settings write the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from .coarsen import coarsen_mask
from .phantom import LARGEST_VALUE, Phantom, PhantomSettings, View, render
from .phantom_lesions import LesionKind
from .record import SPLITS, DatasetError, Laterality, Outline, Record, RecordSet, Shape, Split, with_facts, worst
from .shapes import LabelFile, Polygon, as_points, paste
from .splits import hash_fraction, split_by_hash

if TYPE_CHECKING:
    from lcx_fast.mammogram import Mammogram

INDEX = "phantom.json"
VERSION = 1
FileFormat = Literal["dicom", "npy"]
_UID_ROOT = "2.25."
_VIEWS: tuple[View, ...] = ("CC", "MLO")
_KINDS: tuple[LesionKind, ...] = (
    "smooth_mass",
    "spiculated_mass",
    "benign_calcifications",
    "malignant_calcifications",
)


@dataclass(frozen=True)
class PhantomPlan:
    """What to write. normal: fraction of patients without a lesion; calcifications: of lesions that are such."""

    patients: int = 20
    seed: int = 0
    normal: float = 0.3
    calcifications: float = 0.25
    file_format: FileFormat = "dicom"
    settings: PhantomSettings = field(default_factory=PhantomSettings)


def write_phantom(root: Path, plan: PhantomPlan, *, progress: Callable[[int, int], None] | None = None) -> int:
    """Write a set of phantom images; the index comes last, so that a folder with an index is complete.

    Args:
        root: folder to make or fill.
        plan: what to write.
        progress: called with images done and images in all.

    Returns:
        How many images were written.
    """
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    entries = []
    total = plan.patients * len(_VIEWS)
    drawn = [_patient(plan, patient) for patient in range(plan.patients)]
    splits = _splits(plan, has_lesion=[bool(kinds) for kinds, _ in drawn])
    for patient, (kinds, laterality) in enumerate(drawn):
        for number, view in enumerate(_VIEWS):
            name = f"phantom{patient:04d}_{laterality}_{view}"
            seed = (plan.seed, patient, number)
            phantom = render(kinds, seed=seed, view=view, laterality=laterality, settings=plan.settings)
            entry = _write_image(root, name, phantom, plan, patient, view, laterality)
            entries.append(entry | {"split": splits[patient]})
            if progress:
                progress(len(entries), total)
    index = {"version": VERSION, "plan": asdict(plan), "images": entries}
    (root / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return len(entries)


class PhantomSet(RecordSet):
    """Reader of such a folder. outlines: ``exact`` or ``loose``."""

    name = "phantom"

    def __init__(self, root: Path, *, outlines: Literal["exact", "loose"] = "exact") -> None:
        super().__init__(root)
        self.outlines = outlines
        try:
            index = json.loads((root / INDEX).read_text(encoding="utf-8"))
            if index["version"] != VERSION:
                raise DatasetError(f"{INDEX}: version {index['version']}; known: {VERSION}")
            spacing = float(index["plan"]["settings"]["spacing_mm"])
            entries = list(index["images"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{root / INDEX}: {error or type(error).__name__}") from None
        records = []
        for entry in entries:
            try:
                records.append(self._record(entry, spacing))
            except (KeyError, TypeError, ValueError) as error:
                name = str(entry.get("name", "?")) if isinstance(entry, dict) else "?"
                self.skipped.add(name, error if isinstance(error, DatasetError) else f"{INDEX}: {error!r}")
        self.records = tuple(records)

    def load(self, record: Record) -> Mammogram:
        from lcx_fast.images import read_mammogram

        if record.image.suffix != ".npy":
            return with_facts(read_mammogram(record.image), record)
        pixels = np.load(record.image, allow_pickle=False)
        return with_facts(read_mammogram(pixels, pixel_spacing_mm=record.spacing_mm), record)

    def _record(self, entry: dict[str, Any], spacing: float) -> Record:
        image = self.root / entry["file"]
        if not image.is_file():
            raise DatasetError(f"missing image: {entry['file']}")
        mask = self.root / "masks" / f"{entry['name']}.png"
        outlines = []
        for k, lesion in enumerate(entry["lesions"], start=1):
            exact = self.outlines == "exact"
            shape: Shape = LabelFile(mask, k) if exact else Polygon(as_points(lesion["loose_outline"]))
            outlines.append(Outline(lesion["class"], lesion["pathology"], shape, lesion["kind"]))
        return Record(
            name=entry["name"],
            image=image,
            patient=entry["patient"],
            split=_known_split(entry.get("split") or split_by_hash(entry["patient"])),
            view=entry["view"],
            laterality=entry["laterality"],
            outlines=tuple(outlines),
            pathology=worst([outline.pathology for outline in outlines], otherwise="normal"),
            pathology_source="proven",
            spacing_mm=(spacing, spacing),
            size=(int(entry["size"][0]), int(entry["size"][1])),
        )


class LoosePhantomSet(PhantomSet):
    """The same folder with the loose outlines, under a name of its own: what was prepared of it is another set."""

    name = "phantom-loose"

    def __init__(self, root: Path) -> None:
        super().__init__(root, outlines="loose")


def _name(plan: PhantomPlan, patient: int) -> str:
    return f"phantom{plan.seed}-{patient:04d}"


def _splits(plan: PhantomPlan, *, has_lesion: Sequence[bool]) -> list[Split]:
    """By hash; where that leaves validation or test without a lesion, as in small sets, a train patient goes there."""
    splits = [split_by_hash(_name(plan, patient)) for patient in range(plan.patients)]
    wanted: tuple[Split, ...] = ("val", "test")
    for split in wanted:
        train = [k for k in range(plan.patients) if splits[k] == "train" and has_lesion[k]]
        filled = any(found == split and has_lesion[k] for k, found in enumerate(splits))
        if not filled and len(train) > 1:
            splits[min(train, key=lambda k: hash_fraction(_name(plan, k)))] = split
    return splits


def _known_split(split: str) -> Split:
    if split not in SPLITS:
        raise DatasetError(f"split {split!r}; known: {', '.join(SPLITS)}")
    return split


def _patient(plan: PhantomPlan, patient: int) -> tuple[list[LesionKind], Laterality]:
    rng = np.random.default_rng([plan.seed, patient])
    laterality: Laterality = "L" if rng.uniform() < 0.5 else "R"
    if rng.uniform() < plan.normal:
        return [], laterality
    kinds: list[LesionKind] = []
    for _ in range(1 if rng.uniform() < 0.75 else 2):
        calcification, malignant = rng.uniform() < plan.calcifications, rng.uniform() < 0.5
        kinds.append(_KINDS[2 * int(calcification) + int(malignant)])
    return kinds, laterality


def _write_image(
    root: Path, name: str, phantom: Phantom, plan: PhantomPlan, patient: int, view: View, laterality: Laterality
) -> dict[str, Any]:
    """Write image and mask; the image's entry in the index."""
    suffix = "dcm" if plan.file_format == "dicom" else "npy"
    path = root / "images" / f"{name}.{suffix}"
    if plan.file_format == "dicom":
        _write_dicom(path, phantom, plan, patient, view, laterality)
    else:
        np.save(path, phantom.pixels, allow_pickle=False)
    Image.fromarray(phantom.labels).save(root / "masks" / f"{name}.png")
    lesions = []
    for lesion in phantom.lesions:
        origin = (lesion.box[0].start, lesion.box[1].start)
        exact = paste(lesion.mask, origin, phantom.labels.shape)
        loose = coarsen_mask(exact, seed=plan.seed, name=name)
        lesions.append(
            {
                "kind": lesion.kind,
                "class": lesion.lesion,
                "pathology": lesion.pathology,
                "area_mm2": round(float(exact.sum()) * plan.settings.spacing_mm**2, 3),
                "loose_outline": np.round(loose, 2).tolist(),
            }
        )
    return {
        "name": name,
        "file": f"images/{path.name}",
        "patient": _name(plan, patient),
        "view": view,
        "laterality": laterality,
        "size": list(phantom.pixels.shape),
        "lesions": lesions,
    }


def _write_dicom(
    path: Path, phantom: Phantom, plan: PhantomPlan, patient: int, view: View, laterality: Laterality
) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

    made_of = f"phantom v{VERSION} {plan.seed} {plan.settings} {patient}"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID(_uid(f"{made_of} {view}"))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    height, width = phantom.pixels.shape
    spacing = f"{plan.settings.spacing_mm:g}"
    values = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": _uid(made_of),
        "SeriesInstanceUID": _uid(f"{made_of} series"),
        "Modality": "MG",
        "Manufacturer": "lcx_fast phantom",
        "PatientID": f"PHANTOM{plan.seed}-{patient:04d}",
        "PatientName": "PHANTOM",
        "PresentationIntentType": "FOR PRESENTATION",
        "ImageType": ["DERIVED", "PRIMARY"],
        "ImageLaterality": laterality,
        "ViewPosition": view,
        "PatientOrientation": ["A" if laterality == "L" else "P", _down(view, laterality)],
        "ImagerPixelSpacing": [spacing, spacing],
        "PixelSpacing": [spacing, spacing],
        "BurnedInAnnotation": "NO",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PresentationLUTShape": "IDENTITY",
        "Rows": height,
        "Columns": width,
        "BitsAllocated": 16,
        "BitsStored": int(LARGEST_VALUE).bit_length(),
        "HighBit": int(LARGEST_VALUE).bit_length() - 1,
        "PixelRepresentation": 0,
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = phantom.pixels.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)


def _down(view: View, laterality: Laterality) -> str:
    """PatientOrientation of the columns: CC runs medially, MLO down and medially."""
    medial = "R" if laterality == "L" else "L"
    return medial if view == "CC" else f"F{medial}"


def _uid(made_of: str) -> str:
    """A UID that depends on its argument alone (PS3.5 B.2: 2.25. and a 128-bit number)."""
    import hashlib

    return _UID_ROOT + str(int.from_bytes(hashlib.sha256(made_of.encode()).digest()[:16], "big"))
