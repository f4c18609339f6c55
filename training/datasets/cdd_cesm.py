"""Reader of a CDD-CESM folder: low-energy mammograms with the radiologists' own outlines.

Khaled et al. 2022, Scientific Data, doi 10.1038/s41597-022-01238-0; data doi 10.7937/29kw-ae92 (CC BY 4.0).

Layout read (names as in the folder's tables):

    resized512.csv, resized512/{images/*.jpg,masks/*.png}   512 x 512, aspect kept, centre-padded
    native.csv,     native/{images/*.jpg,masks/*.png}       native size
    native_unannotated/{normal,benign}_{left,right}_IMnnnn.jpg
    hand_drawn_segmentations.csv                            outlines in native pixels (VGG Image Annotator)

Note [Unannotated images]
Their patient is unknown, so no split by patient is possible among them. Sorted by image number, the highest
quarter is kept for validation and the rest trains: a patient's two breasts tend to carry neighbouring
numbers, so a block leaks less than a random draw. Normal images have an empty A, so that the strict penalty
falls on the whole breast; benign ones have a lesion whose place is not told, so only the malignant map learns
from them.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

from .record import CaseLog
from .record import DatasetError as DatasetError
from .tables import read_table

Pathology = Literal["malignant", "benign", "normal"]
Split = Literal["train", "val"]
Folder = Literal["native", "resized512"]
SpacingSource = Literal["native", "outlines", "default"]

NATIVE_SPACING_MM = 0.1  # the detector's pixel
RESIZED_SIDE = 512
# Median of native long side / 512 over the images whose outlines give it.
DEFAULT_RESIZE_FACTOR = 4.6
UNANNOTATED_VALIDATION_FRACTION = 0.25
IGNORED = -1  # training.annotation.IGNORED
_COLUMNS = ("name", "patient", "side", "view", "pathology", "findings", "tags", "split")


@dataclass(frozen=True)
class CddCesmRecord:
    """One image and what is known of it.

    mask_path is None where nobody drew an outline. spacing_source says where pixel_spacing_mm came from.
    calcification_only: every finding named is a calcification, so outlines are clusters, not masses.
    """

    name: str
    image_path: Path
    mask_path: Path | None
    pathology: Pathology
    patient: str
    view: str
    side: str
    pixel_spacing_mm: float
    spacing_source: SpacingSource
    calcification_only: bool
    folder: Literal["native", "resized512", "native_unannotated"]
    split: Split


def read_records(root: Path, skipped: CaseLog | None = None) -> list[CddCesmRecord]:
    """Every image of the folder once; an image in both native and resized512 is taken at native size.

    Args:
        root: the folder.
        skipped: receives the images that cannot be used, and why.

    Raises:
        DatasetError: a table is missing or not the published one, or a patient is in two splits.
    """
    skipped = CaseLog() if skipped is None else skipped
    native, resized = (read_table(root / name, required=_COLUMNS) for name in ("native.csv", "resized512.csv"))
    check_splits([*native, *resized])
    outlines = read_outlines(root / "hand_drawn_segmentations.csv", skipped)
    records = []
    names = {row["name"] for row in native}
    for row in native + [row for row in resized if row["name"] not in names]:
        try:
            folder: Folder = "native" if row["name"] in names else "resized512"
            records.append(_record(root, row, folder, outlines.get(f"{row['name']}.jpg", [])))
        except (DatasetError, OSError) as error:
            skipped.add(row["name"], error)
    return records + _unannotated_records(root / "native_unannotated")


def check_splits(rows: Iterable[Mapping[str, str]]) -> None:
    """Raise DatasetError if any patient is in more than one split, over all tables together."""
    splits = defaultdict(set)
    for row in rows:
        splits[row["patient"]].add(row["split"])
    mixed = sorted(patient for patient, found in splits.items() if len(found) > 1)
    if mixed:
        raise DatasetError(f"patients in more than one split: {', '.join(mixed)}")
    unknown = sorted({split for found in splits.values() for split in found} - {"train", "val"})
    if unknown:
        raise DatasetError(f"unknown split: {', '.join(unknown)}; known: train, val")


def read_outlines(path: Path, skipped: CaseLog | None = None) -> dict[str, list[NDArray[np.float64]]]:
    """Outlines by file name, each as points float64 [n, 2] (x, y) in native pixels.

    A circle or an ellipse becomes the corners of its bounding box, which is all that scale recovery needs; an
    ellipse drawn at an angle has no points for the same reason, and neither has one that cannot be read, which
    ``skipped`` is told.
    """
    outlines: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for row in read_table(path, required=("filename", "region_shape_attributes")):
        try:
            shape = json.loads(row.get("region_shape_attributes") or "{}")
            points = _shape_points(shape)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{path.name}: an outline that cannot be read ({type(error).__name__}); no scale from it"
            (CaseLog() if skipped is None else skipped).add(row["filename"], reason)
            shape, points = {"unreadable": True}, None
        if points is not None:
            outlines[row["filename"]].append(points)
        elif shape:
            outlines[row["filename"]].append(np.empty((0, 2)))
    return dict(outlines)


def resize_factor(outlines: Sequence[NDArray[np.float64]], mask: NDArray[np.bool_]) -> float | None:
    """Native pixels per pixel of a resized image, from its outlines in both sizes.

    The union of the outlines and the mask have the same extent up to the factor. Width and height must agree
    within 4 %, which fails where one of the two lacks a region; then None, as when any outline is unusable.

    Args:
        outlines: points [n, 2] (x, y) in native pixels.
        mask: bool [512, 512].
    """
    if not outlines or any(len(points) == 0 for points in outlines) or not mask.any():
        return None
    points = np.concatenate(list(outlines))
    native_width, native_height = np.ptp(points, axis=0)
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    if min(width, height) < 10:
        return None
    by_width, by_height = native_width / width, native_height / height
    if abs(by_width / by_height - 1.0) > 0.04:
        return None
    # The longer extent carries the smaller rounding error.
    factor = float(by_height if height >= width else by_width)
    return factor if 2.0 <= factor <= 8.0 else None


def read_image(record: CddCesmRecord) -> NDArray[np.uint8]:
    """Grey values uint8 [H, W]; black padding columns and rows are kept (the breast mask leaves them out)."""
    return _read_grey(record.image_path)


def read_labels(record: CddCesmRecord) -> NDArray[np.int16]:
    """Findings int16 [H, W]: 0 none, k > 0 finding k (connected component), IGNORED an outline not to learn.

    Ignored are thin arcs (see is_thin), specks below 4 mm², and every outline of an image called normal.
    """
    if record.mask_path is None:
        with Image.open(record.image_path) as image:
            return np.zeros((image.height, image.width), np.int16)
    mask = _read_grey(record.mask_path) > 127
    components, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    labels = np.zeros(mask.shape, np.int16)
    finding = 0
    for index, box in enumerate(ndimage.find_objects(components), start=1):
        component = components[box] == index
        area_mm2 = float(component.sum()) * record.pixel_spacing_mm**2
        if record.pathology == "normal" or area_mm2 < 4.0 or is_thin(component, record.pixel_spacing_mm):
            labels[box][component] = IGNORED
        else:
            finding += 1
            labels[box][component] = finding
    return labels


def is_thin(component: NDArray[np.bool_], pixel_spacing_mm: float) -> bool:
    """Whether a component is an arc such as thickened skin rather than a lesion.

    The area of a strip of width w and length l is w l, that of its largest inscribed circle pi (w / 2)^2; their
    ratio exceeds 6 where l > 4.7 w. An arc is a strip nowhere wider than 9 mm, or a wider one so bent that it
    fills less than 15 % of its bounding box (lesions of the training images, spiculated ones too, fill 19 % and
    more).
    """
    radius_mm = float(ndimage.distance_transform_edt(np.pad(component, 1)).max()) * pixel_spacing_mm
    area_mm2 = float(component.sum()) * pixel_spacing_mm**2
    elongation = area_mm2 / (np.pi * radius_mm**2)
    rows, columns = np.nonzero(component.any(1))[0], np.nonzero(component.any(0))[0]
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    fill = float(component.sum()) / float(box)
    return bool(elongation > 6.0 and (radius_mm < 4.5 or (elongation > 7.0 and fill < 0.15)))


def _record(
    root: Path, row: Mapping[str, str], folder: Folder, outlines: Sequence[NDArray[np.float64]]
) -> CddCesmRecord:
    """One row's record; raise DatasetError or OSError where its files or words cannot be used."""
    image_path = root / folder / "images" / f"{row['name']}.jpg"
    mask_path = root / folder / "masks" / f"{row['name']}.png"
    _require(image_path)
    _require(mask_path)
    factor, source = _native_factor(mask_path, folder, outlines)
    pathology = row["pathology"].lower()
    if pathology not in ("malignant", "benign", "normal"):
        raise DatasetError(f"{row['name']}: pathology {row['pathology']!r}; known: Malignant, Benign, Normal")
    return CddCesmRecord(
        name=row["name"],
        image_path=image_path,
        mask_path=mask_path,
        pathology=pathology,  # type: ignore[arg-type]  # narrowed by the check above
        patient=row["patient"],
        view=row["view"],
        side=row["side"],
        pixel_spacing_mm=NATIVE_SPACING_MM * factor,
        spacing_source=source,
        calcification_only=_is_calcification_only(f"{row['findings']} {row['tags']}"),
        folder=folder,
        split="train" if row["split"] == "train" else "val",
    )


def _native_factor(
    mask_path: Path, folder: Folder, outlines: Sequence[NDArray[np.float64]]
) -> tuple[float, SpacingSource]:
    """Native pixels per pixel of the image, and where that is known from."""
    if folder == "native":
        return 1.0, "native"
    factor = resize_factor(outlines, _read_grey(mask_path) > 127)
    return (DEFAULT_RESIZE_FACTOR, "default") if factor is None else (factor, "outlines")


def _unannotated_records(folder: Path) -> list[CddCesmRecord]:
    """See Note [Unannotated images]."""
    pattern = re.compile(r"(normal|benign)_(left|right)_IM(\d+)\.jpg")
    found = sorted(
        ((int(match[3]), path, match) for path in folder.glob("*.jpg") if (match := pattern.fullmatch(path.name))),
        key=lambda item: (item[0], item[1].name),
    )
    first_validation = round(len(found) * (1.0 - UNANNOTATED_VALIDATION_FRACTION))
    return [
        CddCesmRecord(
            name=path.stem,
            image_path=path,
            mask_path=None,
            pathology="normal" if match[1] == "normal" else "benign",
            patient=f"unknown-{path.stem}",
            view="CC",
            side="L" if match[2] == "left" else "R",
            pixel_spacing_mm=NATIVE_SPACING_MM,
            spacing_source="native",
            calcification_only=False,
            folder="native_unannotated",
            split="train" if position < first_validation else "val",
        )
        for position, (_, path, match) in enumerate(found)
    ]


def _is_calcification_only(text: str) -> bool:
    lowered = text.lower()
    others = ("mass", "asymmetr", "distortion", "edema", "scar", "node", "imln")
    return "calcific" in lowered and not any(word in lowered for word in others)


def _shape_points(shape: Mapping[str, object]) -> NDArray[np.float64] | None:
    """Points whose bounding box is the shape's; None if the shape is of no use."""
    kind = shape.get("name")
    if kind in ("polygon", "polyline"):
        return np.stack([np.asarray(shape["all_points_x"], float), np.asarray(shape["all_points_y"], float)], axis=1)
    if kind == "circle":
        radius_x = radius_y = float(str(shape["r"]))
    elif kind == "ellipse" and abs(np.sin(2.0 * float(str(shape.get("theta", 0.0))))) < 0.05:
        radius_x, radius_y = float(str(shape["rx"])), float(str(shape["ry"]))
        if abs(np.sin(float(str(shape.get("theta", 0.0))))) > 0.5:
            radius_x, radius_y = radius_y, radius_x
    else:
        return None
    x, y = float(str(shape["cx"])), float(str(shape["cy"]))
    return np.array([[x - radius_x, y - radius_y], [x + radius_x, y + radius_y]])


def _read_grey(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def _require(path: Path) -> None:
    if not path.is_file():
        raise DatasetError(f"missing file: {path.parent.parent.name}/{path.parent.name}/*{path.suffix}")
