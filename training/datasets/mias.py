"""The mini-MIAS database: 322 films of 161 patients, reduced to 0.2 mm per pixel, circles round lesions.

Suckling et al. 1994, Excerpta Medica 1069.

    mdb001.pgm ... mdb322.pgm     1024 x 1024, 8 bits, all MLO; odd numbers right, even numbers left
    Info.txt                      ref tissue class [severity x y radius], several rows for some films

Origin at the bottom left: row = height - 1 - y. Calcifications all over a film have no circle; such a film is
kept without an outline and marked as not annotated.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from .record import DatasetError, LesionClass, Outline, Pathology, Record, RecordSet, worst
from .shapes import Ellipse
from .splits import split_by_hash

HEIGHT = 1024
SPACING_MM = 0.2
_CLASSES: dict[str, LesionClass] = {
    "CALC": "calcification",
    "CIRC": "mass",
    "SPIC": "mass",
    "MISC": "mass",
    "ARCH": "distortion",
    "ASYM": "asymmetry",
}
_SEVERITY: dict[str, Pathology] = {"B": "benign", "M": "malignant"}
_ROW = re.compile(r"\s*(mdb\d{3})\s+([FGD])\s+(\w+)(.*)", re.IGNORECASE)


class Mias(RecordSet):
    """Reader of mini-MIAS; see the module."""

    name = "mias"

    def __init__(self, root: Path, *, seed: int = 0) -> None:
        super().__init__(root)
        tables = [path for path in sorted(root.rglob("*")) if path.name.lower() in ("info.txt", "info.csv")]
        if not tables:
            raise DatasetError(f"{root}: no Info.txt")
        rows: dict[str, list[tuple[str, str, list[str]]]] = defaultdict(list)
        for line in tables[0].read_text(encoding="latin-1").splitlines():
            match = _ROW.match(line.replace(",", " "))
            if match:
                rows[match[1].lower()].append((match[2].upper(), match[3].upper(), match[4].split()))
        if not rows:
            raise DatasetError(f"{tables[0].name}: no row beginning with mdb and a number")
        films = {path.stem.lower(): path for path in sorted(root.rglob("*.pgm"))}
        records = []
        for name, found in sorted(rows.items()):
            try:
                if name not in films:
                    raise DatasetError("missing film")
                records.append(_record(name, films[name], found, seed))
            except DatasetError as error:
                self.skipped.add(name, error)
        self.records = tuple(records)


def _record(name: str, path: Path, rows: list[tuple[str, str, list[str]]], seed: int) -> Record:
    number = int(name[3:])
    patient = f"mias{(number + 1) // 2:03d}"
    outlines = []
    pathologies: list[Pathology] = []
    complete = True
    for _, kind, rest in rows:
        if kind == "NORM":
            continue
        if kind not in _CLASSES or not rest or rest[0].upper() not in _SEVERITY:
            raise DatasetError(f"class {kind!r} with {' '.join(rest)!r}")
        pathology = _SEVERITY[rest[0].upper()]
        pathologies.append(pathology)
        try:
            x, y, radius = (float(value) for value in rest[1:4])
        except ValueError:
            complete = False  # spread over the film: the place was left out or replaced by a note
            continue
        outlines.append(Outline(_CLASSES[kind], pathology, Ellipse(x, HEIGHT - 1 - y, radius, radius), kind))
    return Record(
        name=name,
        image=path,
        patient=patient,
        split=split_by_hash(patient, seed=seed),
        view="MLO",
        laterality="L" if number % 2 == 0 else "R",
        outlines=tuple(outlines),
        pathology=worst(pathologies, otherwise="normal"),
        pathology_source="proven",
        annotated=complete,
        spacing_mm=(SPACING_MM, SPACING_MM),
        size=(HEIGHT, HEIGHT),
        facts={"tissue": rows[0][0]},
    )
