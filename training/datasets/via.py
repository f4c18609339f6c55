"""Outlines drawn with the VGG Image Annotator (version 2), exported as CSV, beside their images.

    anything.csv     #filename, ..., region_shape_attributes, region_attributes (the last two are JSON)
    images anywhere below, by the names in the first column

This is how CDD-CESM is published: its names, ``P1_L_DM_MLO.jpg``, tell patient, side and view; its
contrast-enhanced images (``CM``) are left out, for they are no mammograms. In another set every image counts as
a patient of its own, which is noted.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from .record import (
    CaseLog,
    DatasetError,
    Laterality,
    LesionClass,
    Mask,
    Outline,
    Pathology,
    Record,
    RecordSet,
    Shape,
    worst,
)
from .shapes import Box, Ellipse, Points, Polygon, as_points
from .splits import split_by_hash
from .tables import read_table

_CDD_CESM = re.compile(r"(P\d+)_([LR])_(DM|CM)_(CC|MLO)", re.IGNORECASE)
_IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".pgm", ".dcm")
_CLASSES: tuple[tuple[str, LesionClass], ...] = (
    ("calc", "calcification"),
    ("mass", "mass"),
    ("distort", "distortion"),
    ("asym", "asymmetry"),
)


@dataclass(frozen=True, eq=False)
class Region:
    """One drawn region and the words of its attributes."""

    shape: Shape
    words: str


class Via(RecordSet):
    """Reader of such a folder; see the module."""

    name = "via"

    def __init__(self, root: Path, *, seed: int = 0) -> None:
        super().__init__(root)
        table = find_via(root)
        if table is None:
            raise DatasetError(f"{root}: no CSV with region_shape_attributes")
        # Of copies in several sizes the largest is the one that was drawn on.
        found = [path for path in root.rglob("*") if path.suffix.lower() in _IMAGES]
        images = {path.name: path for path in sorted(found, key=lambda path: (path.stat().st_size, path))}
        records = []
        for file_name, regions in read_regions(table, self.skipped).items():
            match = _CDD_CESM.fullmatch(Path(file_name).stem)
            if match and match[3].upper() == "CM":
                self.notes.add(file_name, "a contrast-enhanced image; left out")
            elif file_name not in images:
                self.skipped.add(file_name, "missing image")
            else:
                records.append(self._record(images[file_name], regions, match, seed))
        self.records = tuple(records)

    def outline_masks(self, record: Record, size: tuple[int, int] | None = None) -> list[tuple[LesionClass, Mask]]:
        size = size or self.load(record).shape
        reach = [outline.shape.points for outline in record.outlines if isinstance(outline.shape, Polygon)]
        if any((points.max(axis=0) > 1.02 * np.array(size[::-1])).any() for points in reach):
            self.skipped.add(record.name, "outlines outside the image: they were drawn on one of another size")
            return []
        return super().outline_masks(record, size)

    def _record(self, path: Path, regions: list[Region], match: re.Match[str] | None, seed: int) -> Record:
        if match is None:
            self.notes.add(path.name, "the name tells no patient; the image counts as one of its own")
        patient = match[1].upper() if match else path.stem
        outlines = tuple(
            Outline(_class(region.words), _pathology(region.words), region.shape, region.words) for region in regions
        )
        return Record(
            name=path.stem,
            image=path,
            patient=patient,
            split=split_by_hash(patient, seed=seed),
            view=match[4].upper() if match else None,
            laterality=cast(Laterality, match[2].upper()) if match else None,
            outlines=outlines,
            pathology=worst([outline.pathology for outline in outlines], otherwise="unknown"),
            annotated=bool(outlines),
            spacing_mm=(0.1, 0.1) if match else None,  # the detector's pixel; see training.datasets.cdd_cesm
        )


def find_via(folder: Path) -> Path | None:
    """The first CSV of a folder (or one below) that VIA wrote."""
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*/*.csv")]):
        with path.open("rb") as file:
            if b"region_shape_attributes" in file.readline(4096):
                return path
    return None


def read_regions(path: Path, skipped: CaseLog) -> dict[str, list[Region]]:
    """Regions by file name, in the order of the file; a file without regions has an empty list.

    Args:
        path: a CSV file of VIA.
        skipped: a region that cannot be used is logged here and takes its image along, for a lesion that is
            left out would count as background.
    """
    csv.field_size_limit(1 << 24)  # a polygon may have thousands of points
    regions: dict[str, list[Region]] = defaultdict(list)
    broken = set()
    for row in read_table(path, required=("filename", "region_shape_attributes")):
        name = row["filename"]
        found = regions[name]
        try:
            attributes = _json(row["region_shape_attributes"])
            if attributes:
                words = _json(row.get("region_attributes", ""))
                found.append(Region(region_shape(attributes), _words(words)))
        except DatasetError as error:
            skipped.add(name, error)
            broken.add(name)
    return {name: found for name, found in regions.items() if name not in broken}


def region_shape(attributes: Mapping[str, Any]) -> Shape:
    """The shape of VIA's ``region_shape_attributes``; a polyline counts as closed.

    Raises:
        DatasetError: if it is of an unknown kind, or its numbers are missing or make no area.
    """
    kind = attributes.get("name")
    try:
        if kind in ("polygon", "polyline"):
            x, y = attributes["all_points_x"], attributes["all_points_y"]
            points = as_points(np.stack([np.asarray(x, float), np.asarray(y, float)], axis=1))
            if len(np.unique(points, axis=0)) < 3:
                raise DatasetError(f"a {kind} of fewer than three points")
            return Polygon(points)
        if kind in ("circle", "ellipse"):
            radii = ("r", "r") if kind == "circle" else ("rx", "ry")
            shape = Ellipse(
                float(attributes["cx"]),
                float(attributes["cy"]),
                float(attributes[radii[0]]),
                float(attributes[radii[1]]),
                float(attributes.get("theta", 0.0)),
            )
            if not min(shape.radius_x, shape.radius_y) > 0:
                raise DatasetError(f"a {kind} of radius {shape.radius_x:g}, {shape.radius_y:g}")
            return shape
        if kind == "rect":
            left, top, width, height = (float(attributes[key]) for key in ("x", "y", "width", "height"))
            return Box(left, top, left + width, top + height)
        if kind == "point":
            return Points(as_points([[float(attributes["cx"]), float(attributes["cy"])]]))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{kind}: its numbers cannot be read ({error!r})") from None
    raise DatasetError(f"a region of kind {kind!r}; known: polygon, polyline, circle, ellipse, rect, point")


def _json(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise DatasetError("attributes that are not JSON") from None
    return value if isinstance(value, Mapping) else {}


def _words(attributes: Mapping[str, Any]) -> str:
    """Values of the attributes; of a set of check boxes the names of those that are on."""
    words = []
    for value in attributes.values():
        words += [str(key) for key, on in value.items() if on] if isinstance(value, Mapping) else [str(value)]
    return " ".join(" ".join(words).split())


def _class(words: str) -> LesionClass:
    lowered = words.lower()
    return next((lesion for word, lesion in _CLASSES if word in lowered), "other")


def _pathology(words: str) -> Pathology:
    lowered = words.lower()
    return "malignant" if "malig" in lowered else "benign" if "benign" in lowered else "unknown"
