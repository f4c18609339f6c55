"""The two text files of a DDSM case: .ics (about the case) and .OVERLAY (about the lesions of one film).

Heath et al. 2001, The Digital Database for Screening Mammography; layout after the database's own page
"Description of a case". Files are read as latin-1 with any line ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .record import DatasetError, LesionClass, Pathology

VIEWS = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
PATHOLOGIES: dict[str, Pathology] = {
    "MALIGNANT": "malignant",
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign",
    "UNPROVEN": "unknown",
}
#: Steps (x, y) of chain codes 0 to 7: up, then clockwise.
STEPS = np.array([[0, -1], [1, -1], [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1]], np.int64)
#: A boundary whose ends lie further apart than this part of its extent lacks a piece.
LARGEST_GAP = 0.25


@dataclass(frozen=True)
class Film:
    """One film by its line in the .ics file. microns: per pixel, None if not given."""

    lines: int
    pixels_per_line: int
    bits_per_pixel: int
    microns: float | None
    has_overlay: bool


@dataclass(frozen=True)
class Case:
    """A case. name: as in the file, ``A-1234-1``; digitizer: first word of its line, in capitals."""

    name: str
    digitizer: str
    density: str
    films: dict[str, Film]


@dataclass(frozen=True, eq=False)
class Abnormality:
    """One abnormality of an overlay. boundary and cores: int [n, 2] (x, y), pixel by pixel."""

    lesion_types: tuple[str, ...]
    assessment: str
    subtlety: str
    pathology: Pathology
    boundary: NDArray[np.int64]
    cores: tuple[NDArray[np.int64], ...]


def read_ics(path: Path) -> Case:
    """Read a .ics file. Raises DatasetError if no film can be made out."""
    values: dict[str, str] = {}
    films: dict[str, Film] = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        words = line.split()
        if not words:
            continue
        key = words[0].upper()
        if key in VIEWS:
            films[key] = _film(words[1:], f"{path.name}: {key}")
        else:
            values.setdefault(key, " ".join(words[1:]))
    if not films:
        raise DatasetError(f"{path.name}: no line for any of {', '.join(VIEWS)}")
    digitizer = values.get("DIGITIZER", "").upper().split()
    return Case(
        name=values.get("FILENAME") or path.stem,
        digitizer=digitizer[0] if digitizer else "",
        density=values.get("DENSITY", ""),
        films=films,
    )


def read_overlay(path: Path) -> list[Abnormality]:
    """Read a .OVERLAY file.

    Raises:
        DatasetError: if any part of it cannot be trusted: an abnormality that is lost would count as background.
    """
    try:
        return _parse_overlay(path.read_text(encoding="latin-1"))
    except DatasetError as error:
        raise DatasetError(f"{path.name}: {error}") from None


def chain_points(tokens: list[str]) -> NDArray[np.int64]:
    """Pixels of an outline: start column, start row, then chain codes; int [n, 2] (x, y)."""
    try:
        numbers = np.array([int(token) for token in tokens], np.int64)
    except ValueError:
        raise DatasetError("a chain code is not a number") from None
    if len(numbers) < 2 + 3:
        raise DatasetError(f"an outline of {max(0, len(numbers) - 2)} chain codes")
    codes = numbers[2:]
    if codes.min() < 0 or codes.max() > 7:
        raise DatasetError("a chain code outside 0 to 7")
    points = np.concatenate([numbers[None, :2], numbers[:2] + np.cumsum(STEPS[codes], axis=0)])
    extent = float(np.ptp(points, axis=0).max())
    if float(np.abs(points[-1] - points[0]).max()) > max(8.0, LARGEST_GAP * extent):
        raise DatasetError("an outline does not come back to its start")
    return points


def lesion_class(kinds: tuple[str, ...] | list[str]) -> LesionClass:
    """The class of a lesion by its LESION_TYPE lines (or CBIS-DDSM's type and shape), in capitals.

    A mass that is also called an architectural distortion or comes with calcifications is a mass: its outline
    surrounds one.
    """
    masses = [kind for kind in kinds if kind.startswith("MASS")]
    if masses:
        shape = masses[0].partition("SHAPE")[2].partition("MARGINS")[0].strip()
        parts = set(shape.split("-"))
        if parts == {"ARCHITECTURAL_DISTORTION"}:
            return "distortion"
        if parts and parts <= {"ASYMMETRIC_BREAST_TISSUE", "FOCAL_ASYMMETRIC_DENSITY"}:
            return "asymmetry"
        return "mass"
    return "calcification" if any(kind.startswith("CALC") for kind in kinds) else "other"


def _film(words: list[str], where: str) -> Film:
    pairs = {words[i].upper(): words[i + 1] for i in range(len(words) - 1)}
    try:
        lines, pixels = int(pairs["LINES"]), int(pairs["PIXELS_PER_LINE"])
        bits = int(pairs.get("BITS_PER_PIXEL", "12"))
        microns = float(pairs["RESOLUTION"]) if "RESOLUTION" in pairs else None
    except (KeyError, ValueError) as error:
        raise DatasetError(f"{where}: unreadable {error}") from None
    if not (0 < lines <= 20000 and 0 < pixels <= 20000):
        raise DatasetError(f"{where}: {lines} lines of {pixels} pixels")
    if microns is not None and not 5.0 <= microns <= 500.0:
        microns = None
    return Film(lines, pixels, bits, microns, "OVERLAY" in [word.upper() for word in words])


def _parse_overlay(text: str) -> list[Abnormality]:
    rows = [row for row in (line.split() for line in text.splitlines()) if row]
    if not rows or rows[0][0].upper() != "TOTAL_ABNORMALITIES" or not rows[0][1:2] or not rows[0][1].isdigit():
        raise DatasetError("it does not begin with TOTAL_ABNORMALITIES and a number")
    starts = [i for i, row in enumerate(rows) if row[0].upper() == "ABNORMALITY"] + [len(rows)]
    found = [_abnormality(rows[a:b]) for a, b in pairwise(starts)]
    if len(found) != int(rows[0][1]):
        raise DatasetError(f"{rows[0][1]} abnormalities announced, {len(found)} found")
    return found


def _abnormality(rows: list[list[str]]) -> Abnormality:
    number = " ".join(rows[0][1:])
    fields: dict[str, list[str]] = {}
    for row in rows[1:]:
        fields.setdefault(row[0].upper(), []).append(" ".join(row[1:]).upper())
    boundary: NDArray[np.int64] | None = None
    cores = []
    for name, tokens in _outlines(rows):
        points = chain_points(tokens)
        if name == "CORE":
            cores.append(points)
        elif boundary is None:
            boundary = points
        else:
            raise DatasetError(f"abnormality {number} has two boundaries")
    if boundary is None:
        raise DatasetError(f"abnormality {number} has no BOUNDARY")
    pathology = fields.get("PATHOLOGY", [""])[0].split()
    if not pathology or pathology[0] not in PATHOLOGIES:
        known = ", ".join(PATHOLOGIES)
        raise DatasetError(f"abnormality {number}: pathology {' '.join(pathology)!r}; known: {known}")
    return Abnormality(
        lesion_types=tuple(fields.get("LESION_TYPE", ())),
        assessment=fields.get("ASSESSMENT", [""])[0],
        subtlety=fields.get("SUBTLETY", [""])[0],
        pathology=PATHOLOGIES[pathology[0]],
        boundary=boundary,
        cores=tuple(cores),
    )


def _outlines(rows: list[list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Name and numbers of each outline, up to its ``#``; numbers may run over several lines."""
    name, tokens = "", list[str]()
    for row in rows:
        if row[0].upper() in ("BOUNDARY", "CORE"):
            if name:
                raise DatasetError(f"a {name} does not end with #")
            name, tokens = row[0].upper(), []
            row = row[1:]
        if not name:
            continue
        for word in row:
            tokens.append(word.rstrip("#"))
            if word.endswith("#"):
                yield name, [token for token in tokens if token]
                name = ""
                break
    if name:
        raise DatasetError(f"a {name} does not end with #")
