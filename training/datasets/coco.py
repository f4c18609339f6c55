"""COCO JSON (object detection): polygons, boxes and both kinds of run-length code.

    {"images": [{"id", "file_name", "width", "height"}], "categories": [{"id", "name"}],
     "annotations": [{"image_id", "category_id", "bbox": [x, y, w, h], "segmentation", "iscrowd"}]}

Of an image the optional fields ``patient`` (or ``patient_id``), ``split``, ``view``, ``laterality`` and
``pixel_spacing_mm`` are used; of an annotation or a category ``pathology``. Without a patient each image counts
as one, which is noted. COCO measures from the corner of the first pixel, half a pixel off ours.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .record import DatasetError, LesionClass, Outline, Pathology, Record, RecordSet, Shape, Split, worst
from .shapes import Box, Polygon, RunLength, Union, as_points
from .splits import split_by_hash

_CLASSES: tuple[tuple[str, LesionClass], ...] = (
    ("calc", "calcification"),
    ("mass", "mass"),
    ("nodule", "mass"),
    ("distort", "distortion"),
    ("asym", "asymmetry"),
)
_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_PATHOLOGIES: tuple[Pathology, ...] = ("malignant", "benign", "normal", "unknown")


class Coco(RecordSet):
    """Reader of one COCO file, or of the only one in a folder."""

    name = "coco"

    def __init__(self, root: Path, *, seed: int = 0) -> None:
        super().__init__(root)
        path = root if root.is_file() else find_coco(root)
        if path is None:
            raise DatasetError(f"{root}: no COCO file (JSON with images and annotations)")
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            images = list(content["images"])
            names = {item["id"]: item for item in content["categories"]}
            annotations: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
            for item in content["annotations"]:
                annotations[item["image_id"]].append(item)
        except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise DatasetError(f"{path.name}: not a COCO file ({type(error).__name__}: {error})") from None
        records = []
        for image in images:
            try:
                records.append(self._record(path.parent, image, annotations.pop(image["id"], []), names, seed))
            except (DatasetError, KeyError, TypeError, ValueError) as error:
                name = str(image.get("file_name", "?")) if isinstance(image, dict) else "?"
                self.skipped.add(name, error if isinstance(error, DatasetError) else repr(error))
        for image_id, found in annotations.items():
            self.skipped.add(f"image {image_id}", f"{len(found)} annotations of an image that is not listed")
        self.records = tuple(records)

    def _record(
        self,
        folder: Path,
        image: Mapping[str, Any],
        annotations: list[Mapping[str, Any]],
        names: Mapping[Any, Mapping[str, Any]],
        seed: int,
    ) -> Record:
        file_name = str(image["file_name"])
        path = next((p for p in (folder / file_name, folder / "images" / file_name) if p.is_file()), None)
        if path is None:
            raise DatasetError("missing image")
        size = (int(image["height"]), int(image["width"]))
        outlines = tuple(_outline(item, names, size) for item in annotations)
        patient = str(image.get("patient", image.get("patient_id", "")))
        if not patient:
            self.notes.add(file_name, "the image has no patient; it counts as one of its own")
        patient = patient or Path(file_name).stem
        stated = str(image.get("split", "")).lower()
        spacing = image.get("pixel_spacing_mm")
        laterality = str(image.get("laterality", "")).upper()[:1]
        return Record(
            name=str(Path(file_name).with_suffix("")),
            image=path,
            patient=patient,
            split=_SPLITS.get(stated) or split_by_hash(patient, seed=seed),
            view=str(image["view"]).upper() if image.get("view") else None,
            laterality=cast(Any, laterality) if laterality in ("L", "R") else None,
            outlines=outlines,
            pathology=worst([outline.pathology for outline in outlines], otherwise="normal"),
            spacing_mm=None if spacing is None else _spacing(spacing),
            size=size,
        )


def find_coco(folder: Path) -> Path | None:
    """The first JSON file of a folder (or one below) that begins like a COCO file."""
    for path in sorted([*folder.glob("*.json"), *folder.glob("*/*.json")]):
        with path.open("rb") as file:
            head = file.read(1 << 16)
        tail = path.read_bytes()[-(1 << 16) :]
        if b'"annotations"' in head + tail and b'"images"' in head + tail:
            return path
    return None


def decode_counts(text: str) -> NDArray[np.int64]:
    """Run lengths of COCO's compressed string.

    Each number is written in groups of five bits, lowest first, as characters from ``0`` on; the sixth bit says
    that more follow, the fifth of the last group is the sign. From the fourth run on, the number is the
    difference to the run two before.

    Raises:
        DatasetError: if the string ends within a number or has other characters.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise DatasetError("a run-length code with characters that are not of it")
        value |= (group & 31) << shift
        shift += 5
        if shift > 60:
            raise DatasetError("a run-length code with a number of more than 60 bits")
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise DatasetError("a run-length code that ends within a number")
    return np.array(counts, np.int64)


def category_class(name: str) -> LesionClass:
    """The class a category's name speaks of."""
    lowered = name.lower()
    return next((lesion for word, lesion in _CLASSES if word in lowered), "other")


def _outline(item: Mapping[str, Any], names: Mapping[Any, Mapping[str, Any]], size: tuple[int, int]) -> Outline:
    category = names.get(item["category_id"])
    if category is None:
        raise DatasetError(f"category {item['category_id']!r} is not listed")
    name = str(category.get("name", ""))
    said = str(item.get("pathology", category.get("pathology", ""))).lower()
    guessed: Pathology = "malignant" if "malig" in name.lower() else "benign" if "benign" in name.lower() else "unknown"
    pathology = next((known for known in _PATHOLOGIES if known == said), guessed)
    return Outline(category_class(name), pathology, _shape(item, size), name)


def _shape(item: Mapping[str, Any], size: tuple[int, int]) -> Shape:
    segmentation = item.get("segmentation")
    if isinstance(segmentation, Mapping):
        counts = segmentation["counts"]
        runs = decode_counts(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
        stated = segmentation.get("size", size)
        return RunLength(runs, (int(stated[0]), int(stated[1])))
    if segmentation:
        if any(len(part) < 6 or len(part) % 2 for part in segmentation):
            raise DatasetError("a polygon with an odd number of coordinates, or fewer than six")
        return Union(tuple(Polygon(as_points(np.asarray(part, float)) - 0.5) for part in segmentation))
    x, y, width, height = (float(value) for value in item["bbox"])
    return Box(x, y, x + width, y + height)


def _spacing(value: Any) -> tuple[float, float]:
    pair = value if isinstance(value, list) else [value, value]
    return float(pair[0]), float(pair[1])
