"""Lesions of the phantom: where their boundary runs, and how much brightness they add."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]
from scipy.spatial import ConvexHull  # type: ignore[import-untyped]

from .record import LesionClass, Mask, Pathology
from .shapes import fill_polygon

LesionKind = Literal["smooth_mass", "spiculated_mass", "benign_calcifications", "malignant_calcifications"]
Points = NDArray[np.float64]

_FACTS: dict[LesionKind, tuple[LesionClass, Pathology]] = {
    "smooth_mass": ("mass", "benign"),
    "spiculated_mass": ("mass", "malignant"),
    "benign_calcifications": ("calcification", "benign"),
    "malignant_calcifications": ("calcification", "malignant"),
}
_SUPERSAMPLING = 4


@dataclass(frozen=True, eq=False)
class DrawnLesion:
    """A lesion in its box of the image.

    mask: bool [h, w], the lesion's pixels; a cluster's are its hull 1 mm round the outermost calcifications.
    added: float32 [h, w], brightness; zero outside the mask up to the softness of a mass's edge.
    """

    kind: LesionKind
    box: tuple[slice, slice]
    mask: Mask
    added: NDArray[np.float32]

    @property
    def lesion(self) -> LesionClass:
        return _FACTS[self.kind][0]

    @property
    def pathology(self) -> Pathology:
        return _FACTS[self.kind][1]

    def mirrored(self, width: int) -> DrawnLesion:
        rows, columns = self.box
        box = (rows, slice(width - columns.stop, width - columns.start))
        return replace(self, box=box, mask=self.mask[:, ::-1], added=self.added[:, ::-1])


def draw_lesion(
    kind: LesionKind, room_mm: NDArray[np.float32], taken: Mask, *, spacing_mm: float, rng: np.random.Generator
) -> DrawnLesion | None:
    """Draw a lesion at a random place where it fits.

    Args:
        kind: what to draw.
        room_mm: float32 [H, W], distance to the skin, 0 where no lesion may lie.
        taken: bool [H, W], pixels of other lesions.
        spacing_mm: mm per pixel.
        rng: every choice comes from it.

    Returns:
        The lesion, or None if there is no place for it.
    """
    is_mass = kind in ("smooth_mass", "spiculated_mass")
    radius = float(np.exp(rng.uniform(np.log(3.5), np.log(11.0)))) if is_mass else rng.uniform(3.5, 9.0)
    shapes = _mass(kind, radius, 1.5 * spacing_mm, rng) if is_mass else _specks(kind, radius, rng)
    reach = max(float(np.abs(points).max()) for points in shapes) + 1.5
    centre = _place(room_mm, taken, reach, spacing_mm, rng)
    if centre is None:
        return None
    half = int(np.ceil(reach / spacing_mm)) + 2
    rows, columns = slice(centre[0] - half, centre[0] + half + 1), slice(centre[1] - half, centre[1] + half + 1)
    if rows.start < 0 or columns.start < 0 or rows.stop > room_mm.shape[0] or columns.stop > room_mm.shape[1]:
        return None
    scaled = [points / spacing_mm + half for points in shapes]
    side = 2 * half + 1
    cover = _coverage(scaled, side)
    if is_mass:
        mask = _main_part(np.logical_or.reduce([fill_polygon(points, (side, side)) for points in scaled]))
        added = _mass_brightness(cover, radius / spacing_mm, half, spacing_mm, rng)
    else:
        mask = fill_polygon(_hull(scaled, 1.0 / spacing_mm), (side, side))
        added = cover * np.float32(rng.uniform(900.0, 1700.0))
    return DrawnLesion(kind, (rows, columns), mask, added.astype(np.float32))


def _place(
    room_mm: NDArray[np.float32], taken: Mask, reach_mm: float, spacing_mm: float, rng: np.random.Generator
) -> tuple[int, int] | None:
    """A pixel (row, column) with the lesion's reach to the skin and twice that to other lesions."""
    step = max(1, round(1.0 / spacing_mm))
    free = room_mm[::step, ::step] > reach_mm + 2.0
    if taken.any():
        distance = ndimage.distance_transform_edt(~taken[::step, ::step]) * step * spacing_mm
        free &= distance > 2.0 * reach_mm
    margin = int(np.ceil((reach_mm / spacing_mm + 3) / step))
    free[:margin] = free[-margin:] = False
    free[:, :margin] = free[:, -margin:] = False
    candidates = np.argwhere(free)
    if not len(candidates):
        return None
    row, column = candidates[rng.integers(len(candidates))] * step
    return int(row), int(column)


def _mass(kind: LesionKind, radius: float, thinnest: float, rng: np.random.Generator) -> list[Points]:
    """Polygons in mm round (0, 0): an oval or lobulated core, and spicules if it is spiculated.

    thinnest: mm; spicules end at this width, so that pixels show them unbroken.
    """
    angle = np.linspace(0.0, 2.0 * np.pi, 180, endpoint=False)
    r = np.full_like(angle, radius)
    for k in (2, 3, 4, 5):
        r += radius * rng.normal(0.0, 0.13 / (k - 1)) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    if kind == "spiculated_mass":
        for k in range(6, 16):
            r += radius * rng.normal(0.0, 0.025) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    r = np.clip(r, 0.45 * radius, 1.6 * radius)
    core = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    if kind == "smooth_mass":
        return [core]
    count = int(rng.integers(10, 19))
    directions = (np.arange(count) + rng.uniform(-0.4, 0.4, count)) * 2.0 * np.pi / count
    return [core, *(_spicule(float(direction), radius, thinnest, rng) for direction in directions)]


def _spicule(direction: float, radius: float, thinnest: float, rng: np.random.Generator) -> Points:
    """A tapering, slightly bent wedge from inside the core outwards."""
    length, width = radius * rng.uniform(1.25, 2.2), radius * rng.uniform(0.14, 0.26)
    bend = rng.normal(0.0, 0.12)
    t = np.linspace(0.3 * radius, length, 24)
    way = direction + bend * (t / length) ** 2
    middle = np.stack([t * np.cos(way), t * np.sin(way)], axis=1)
    half = np.maximum(width * (1.0 - (t / length) ** 1.3), thinnest)[:, None] / 2.0
    side = np.stack([-np.sin(way), np.cos(way)], axis=1)
    return np.concatenate([middle + half * side, (middle - half * side)[::-1]])


def _specks(kind: LesionKind, radius: float, rng: np.random.Generator) -> list[Points]:
    """Calcifications of a cluster: round ones of one size if benign, else of many shapes and sizes."""
    malignant = kind == "malignant_calcifications"
    count = int(rng.integers(10, 30) if malignant else rng.integers(5, 13))
    angle = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    specks = []
    for _ in range(count):
        place = rng.uniform(0, 2 * np.pi)
        centre = radius * np.sqrt(rng.uniform()) * np.array([np.cos(place), np.sin(place)])
        size = rng.uniform(0.12, 0.32) if malignant else rng.uniform(0.3, 0.45)
        stretch, turn = (rng.uniform(1.0, 3.0), rng.uniform(0, np.pi)) if malignant else (1.0, 0.0)
        outline = np.stack([size * stretch * np.cos(angle), size * np.sin(angle)], axis=1)
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        specks.append(centre + outline @ rotation)
    return specks


def _main_part(mask: Mask) -> Mask:
    """The largest connected part: no pixel that a thin spicule left alone."""
    parts, count = ndimage.label(mask, structure=np.ones((3, 3)))
    return mask if count < 2 else np.asarray(parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])))


def _hull(specks: list[Points], margin: float) -> Points:
    angle = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    circle = margin * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    corners = np.concatenate([point + circle for speck in specks for point in speck])
    return np.asarray(corners[ConvexHull(corners).vertices], np.float64)


def _coverage(polygons: list[Points], side: int) -> NDArray[np.float32]:
    """How much of each pixel the polygons cover together, float32 [side, side] in 0..1."""
    fine = np.zeros((side * _SUPERSAMPLING, side * _SUPERSAMPLING), bool)
    for points in polygons:
        fine |= fill_polygon((points + 0.5) * _SUPERSAMPLING - 0.5, fine.shape)
    blocks = fine.reshape(side, _SUPERSAMPLING, side, _SUPERSAMPLING)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _mass_brightness(
    cover: NDArray[np.float32], radius_px: float, half: int, spacing_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Brightest in the middle, thinner outwards; its edge is 0.5 mm soft."""
    place = np.arange(2 * half + 1) - half
    distance = np.hypot(place[:, None], place[None, :]) / radius_px
    profile = np.clip(1.1 - 0.4 * distance, 0.5, 1.0)
    soft = ndimage.gaussian_filter(cover, 0.25 / spacing_mm)
    return np.asarray(soft * profile * rng.uniform(240.0, 560.0), np.float32)
