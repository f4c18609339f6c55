"""Loose outlines made from detailed ones, the way hand-drawn outlines are loose.

The experiment (training/experiments) needs outlines whose true lesion is known: a smooth closed curve round each
lesion, 2 to 4 times its area, off-centre by up to 20 % of its diameter. Every choice is drawn from a generator seeded
by the seed, the image's name and the lesion's own pixels, so that neither the order of images nor the numbering
of lesions changes an outline.

Note [Coarsening]
1. the lesion is brought to a grid on which its diameter (that of a disk of its area) is 64 pixels;
2. it is dilated to the wanted area: the curve follows the lesion, long ones and arcs included;
3. the dilated shape's boundary is reduced to its 6 lowest Fourier descriptors (Kuhl & Giardina 1982), of which
   the 2nd to 4th are disturbed by 3 % of the radius: smooth, and no drawing of the lesion;
4. it is scaled to the wanted area exactly and moved off-centre; where the lesion is so thin that less than
   80 % of it would stay inside, it is moved less.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]
from scipy.spatial import ConvexHull  # type: ignore[import-untyped]

from .record import DatasetError, Mask
from .shapes import fill_polygon, polygon_area

AREA_RATIO = (2.0, 4.0)
MAX_OFFSET = 0.2  # of the lesion's diameter
MIN_COVERAGE = 0.8
_GRID_DIAMETER = 64.0
_CURVE_POINTS = 256
_HARMONICS = 6
_DISTURBANCE = 0.03


def coarsen_mask(mask: Mask, *, seed: int, name: str) -> NDArray[np.float64]:
    """A loose outline of one lesion; one in several parts, such as calcifications, counts as its convex hull.

    Args:
        mask: bool [H, W], the lesion's own pixels.
        seed: another seed gives another outline.
        name: of the image.

    Returns:
        float64 [256, 2] (x, y), a smooth closed curve in pixels of ``mask``; it may leave the image. It
        encloses 2 to 4 times the lesion's area and its centre lies within 20 % of the lesion's diameter of the
        lesion's.

    Raises:
        DatasetError: if the mask is empty.
    """
    if not mask.any():
        raise DatasetError(f"{name}: a lesion without pixels has no outline")
    mask = _in_one_part(mask)
    rows, columns = np.nonzero(mask)
    rng = _generator(seed, name, rows, columns, mask.shape)
    ratio = rng.uniform(*AREA_RATIO)
    angle, reach = rng.uniform(0.0, 2.0 * np.pi), MAX_OFFSET * np.sqrt(rng.uniform())
    area = float(rows.size)
    diameter = 2.0 * np.sqrt(area / np.pi)
    lesion, origin, step = _on_grid(mask, rows, columns, diameter)
    curve = _smooth_curve(_dilate_to(lesion, ratio * float(lesion.sum())), rng)
    curve *= np.sqrt(ratio * area / (polygon_area(curve) * step**2))
    centre = (np.array([columns.mean(), rows.mean()]) - origin + 0.5) / step - 0.5
    offset = np.array([np.cos(angle), np.sin(angle)]) * reach * diameter / step
    curve += centre - _centroid(curve)
    lesion_points = int(lesion.sum())
    while int((fill_polygon(curve + offset, lesion.shape) & lesion).sum()) < MIN_COVERAGE * lesion_points:
        offset *= 0.5
        if np.hypot(*offset) < 0.5:
            offset[:] = 0.0
            break
    return np.asarray((curve + offset + 0.5) * step - 0.5 + origin, np.float64)


def coarsen_labels(labels: NDArray[np.int16], *, seed: int, name: str) -> NDArray[np.int16]:
    """Findings with every outline replaced by a loose one.

    Where loose outlines overlap, a lesion's own pixels stay its own, and elsewhere the smaller lesion's outline
    wins, so that none disappears. Ignored pixels (negative labels) stay so outside every loose outline.

    Args:
        labels: int16 [H, W]; 0 nothing, k > 0 finding k, negative ignored.
        seed: see ``coarsen_mask``.
        name: of the image.
    """
    coarse = np.where(labels < 0, labels, 0).astype(np.int16)
    findings = [int(k) for k in np.unique(labels) if k > 0]
    areas = {k: int((labels == k).sum()) for k in findings}
    filled = {k: fill_polygon(coarsen_mask(labels == k, seed=seed, name=name), labels.shape) for k in findings}
    for k in sorted(findings, key=lambda k: (-areas[k], k)):
        coarse[filled[k]] = k
    for k in findings:
        coarse[filled[k] & (labels == k)] = k
    return coarse


def trace_boundary(mask: Mask) -> NDArray[np.float64]:
    """The outer boundary of a connected region along pixel edges, clockwise as seen.

    Args:
        mask: bool [H, W], not empty; of several regions the one with the first pixel is traced.

    Returns:
        float64 [n, 2] (x, y) of the pixel corners passed; see Note [Pixel coordinates].
    """
    padded = np.pad(mask, 1)
    row, column = (int(value) for value in np.argwhere(padded)[0])
    start = (row, column)
    towards = (0, 1)  # along the first pixel's upper edge; the region lies to the right of the way
    corners: list[tuple[int, int]] = []
    while True:
        corners.append((column, row))
        row, column = row + towards[0], column + towards[1]
        if (row, column) == start:
            break
        down, right = towards
        # The two pixels ahead of the corner, to the left and to the right of the way.
        left_pixel = padded[row - (right > 0 or down < 0), column - (right < 0 or down < 0)]
        right_pixel = padded[row - (right < 0 or down < 0), column - (right < 0 or down > 0)]
        if left_pixel:
            towards = (-right, down)
        elif not right_pixel:
            towards = (right, -down)
    return np.asarray(corners, np.float64) - 1.5


def _generator(
    seed: int, name: str, rows: NDArray[np.int64], columns: NDArray[np.int64], size: tuple[int, ...]
) -> np.random.Generator:
    place = (rows.min(), rows.max(), columns.min(), columns.max(), rows.size, rows.sum(), columns.sum(), *size)
    digest = hashlib.sha256(f"{seed}:{name}:{[int(value) for value in place]}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _in_one_part(mask: Mask) -> Mask:
    """The mask, or its convex hull if it is in several parts."""
    rows, columns = np.nonzero(mask)
    box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    if ndimage.label(mask[box], structure=np.ones((3, 3)))[1] == 1:
        return mask
    centres = np.stack([columns, rows], axis=1).astype(np.float64)
    corners = np.concatenate([centres + np.array([dx, dy]) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)])
    return fill_polygon(corners[ConvexHull(corners).vertices], mask.shape) | mask


def _on_grid(
    mask: Mask, rows: NDArray[np.int64], columns: NDArray[np.int64], diameter: float
) -> tuple[Mask, NDArray[np.float64], float]:
    """The lesion at 64 grid pixels to its diameter with room all round; the crop's origin (x, y) and the step."""
    margin = int(np.ceil(1.5 * diameter)) + 1
    y0, x0 = int(rows.min()) - margin, int(columns.min()) - margin
    height, width = int(np.ptp(rows)) + 1 + 2 * margin, int(np.ptp(columns)) + 1 + 2 * margin
    step = diameter / _GRID_DIAMETER
    grid_rows = np.floor((np.arange(int(height / step)) + 0.5) * step).astype(int) + y0
    grid_columns = np.floor((np.arange(int(width / step)) + 0.5) * step).astype(int) + x0
    inside = np.outer(
        (grid_rows >= 0) & (grid_rows < mask.shape[0]), (grid_columns >= 0) & (grid_columns < mask.shape[1])
    )
    picked = mask[np.clip(grid_rows, 0, mask.shape[0] - 1)][:, np.clip(grid_columns, 0, mask.shape[1] - 1)]
    return picked & inside, np.array([x0, y0], np.float64), step


def _dilate_to(lesion: Mask, area: float) -> Mask:
    """The pixels nearest to the lesion, as many as make ``area`` once holes are filled; one region."""
    distance = ndimage.distance_transform_edt(~lesion)
    low, high = 0.0, float(distance.max())
    for _ in range(12):  # the filled area grows with the distance; to 1/4000 of the widest
        middle = (low + high) / 2.0
        filled = ndimage.binary_fill_holes(distance <= middle)
        low, high = (middle, high) if float(filled.sum()) < area else (low, middle)
    return np.asarray(ndimage.binary_fill_holes(distance <= high), bool)


def _smooth_curve(region: Mask, rng: np.random.Generator) -> NDArray[np.float64]:
    """The region's boundary as a disturbed curve of few Fourier descriptors, float64 [256, 2]."""
    corners = trace_boundary(region)
    closed = np.vstack([corners, corners[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.arange(_CURVE_POINTS) * length[-1] / _CURVE_POINTS
    z = np.interp(at, length, closed[:, 0]) + 1j * np.interp(at, length, closed[:, 1])
    descriptors = np.fft.fft(z) / _CURVE_POINTS
    order = np.fft.fftfreq(_CURVE_POINTS, 1.0 / _CURVE_POINTS)
    descriptors[np.abs(order) > _HARMONICS] = 0.0
    radius = np.sqrt(float(region.sum()) / np.pi)
    for k in (2, 3, 4):
        for sign in (1, -1):
            noise = rng.normal() + 1j * rng.normal()
            descriptors[sign * k] += _DISTURBANCE * radius * noise / k
    z = np.fft.ifft(descriptors) * _CURVE_POINTS
    return np.stack([z.real, z.imag], axis=1)


def _centroid(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre of mass of a closed polygon's inside, (x, y)."""
    following = np.roll(points, -1, axis=0)
    cross = points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]
    weighted = ((points + following) * cross[:, None]).sum(axis=0)
    return np.asarray(weighted / (3.0 * cross.sum()), np.float64)
