"""Lesions in source pixels, made from regions of the probability map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ops
from .by_value import by_value
from .mammogram import PixelSpacing
from .model import Thresholds


@by_value
@dataclass(frozen=True, eq=False)
class Lesion:
    """One lesion, in the source image's pixels.

    The outline is the lesion: ``area_px``, ``bounding_box``, ``centroid``, ``mask()`` and ``rle()`` all count the
    pixels whose centre lies inside ``contours``.

    Attributes:
        score: 0-1, mean of the highest tenth of the lesion probability inside.
        malignancy: 0-1, likewise of the malignancy map; None where the model has none.
        area_px: pixels.
        area_mm2: None where the image's spacing is unknown.
        bounding_box: half-open (y0, x0, y1, x1).
        centroid: (y, x); pixel (i, j) covers [i, i + 1) x [j, j + 1).
        contours: float64 [K, 2] polygons (y, x), not closed.
        probability: 0-1, that a radiologist would outline it, by the model's calibration; None where it has none.
    """

    score: float
    malignancy: float | None
    area_px: int
    area_mm2: float | None
    bounding_box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    contours: tuple[NDArray[np.float64], ...]
    image_shape: tuple[int, int] = field(repr=False)
    runs: NDArray[np.int32] = field(repr=False)
    probability: float | None = None

    def mask(self) -> NDArray[np.bool_]:
        """bool [H, W] of the source image."""
        mask = np.zeros(self.image_shape, np.bool_)
        for y, begin, end in self.runs:
            mask[y, begin:end] = True
        return mask

    def rle(self) -> ops.Rle:
        """``mask()`` as COCO's run-length mask of the source image."""
        return ops.encode_rle(self.mask())

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; contours rounded to a hundredth of a pixel."""
        return {
            "score": round(self.score, 6),
            "probability": None if self.probability is None else round(self.probability, 6),
            "malignancy": None if self.malignancy is None else round(self.malignancy, 6),
            "area_px": self.area_px,
            "area_mm2": None if self.area_mm2 is None else round(self.area_mm2, 3),
            "bounding_box": list(self.bounding_box),
            "centroid": [round(c, 2) for c in self.centroid],
            "contours": [np.round(c, 2).tolist() for c in self.contours],
        }


def find_lesions(
    maps: Mapping[str, NDArray[np.float32]],
    *,
    grid: ops.TileGrid,
    spacing: PixelSpacing,
    thresholds: Thresholds,
    threads: int = 0,
    regions: ops.Regions | None = None,
) -> tuple[Lesion, ...]:
    """Find lesions on the first of a model's maps.

    Args:
        maps: float32 [h, w] by output name, on the grid; ``"malignant"``, if present, gives each lesion's malignancy.
        grid: its scale takes grid pixels to source pixels.
        spacing: of the source image.
        thresholds: see Thresholds.
        threads: most threads to use; 0 = all.
        regions: on the grid, where somebody has found them already.

    Returns:
        Best score first.
    """
    malignant = maps.get("malignant")
    if regions is None:
        regions = ops.find_lesions(
            next(iter(maps.values())),
            low=thresholds.low,
            high=thresholds.high,
            min_area=min_area(grid.scale, spacing, thresholds),
            threads=threads,
        )
    assert regions.top_mean is not None
    lesions = []
    for outline, score in zip(regions.outlines, regions.top_mean, strict=True):
        malignancy = None if malignant is None else _top_mean_inside(malignant, outline)
        lesion = _to_source(outline, float(score), malignancy, grid, spacing)
        if lesion is not None:
            lesions.append(lesion)
    return tuple(sorted(lesions, key=lambda lesion: -lesion.score))


def min_area(scale: tuple[float, float], spacing: PixelSpacing, thresholds: Thresholds) -> int:
    """Pixels of a grid of ``scale`` that a lesion has at least."""
    grid_pixel_mm2 = scale[0] * spacing.row_mm * scale[1] * spacing.column_mm
    return max(1, int(np.ceil(thresholds.min_area_mm2 / grid_pixel_mm2 - 1e-9)))


def _top_mean_inside(values: NDArray[np.float32], outline: NDArray[np.float64]) -> float:
    height, width = values.shape
    return ops.measure_runs(values, ops.fill_polygons([outline], (height, width))).top_mean


def _to_source(
    outline: NDArray[np.float64],
    score: float,
    malignancy: float | None,
    grid: ops.TileGrid,
    spacing: PixelSpacing,
) -> Lesion | None:
    """A lesion in source pixels; None if no pixel's centre lies inside."""
    # The grid's last row and column may hang over the image.
    contour = np.minimum(outline * grid.scale, grid.image_shape)
    runs = ops.fill_polygons([contour], grid.image_shape)
    if len(runs) == 0:
        return None
    y, begin, end = runs.astype(np.int64).T
    length = end - begin
    area = int(length.sum())
    centroid = (
        float((y * length).sum() / area + 0.5),
        float(((begin + end - 1) * length).sum() / (2 * area) + 0.5),
    )
    return Lesion(
        score=score,
        malignancy=malignancy,
        area_px=area,
        area_mm2=area * spacing.row_mm * spacing.column_mm if spacing.is_physical else None,
        bounding_box=(int(y[0]), int(begin.min()), int(y[-1]) + 1, int(end.max())),
        centroid=centroid,
        contours=(contour,),
        image_shape=grid.image_shape,
        runs=runs,
    )
