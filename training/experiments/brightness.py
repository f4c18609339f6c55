"""The baseline that learns nothing: smoothed grey values, set against the breast's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from training.experiments.data import Case
from training.prepare import Sample

SIGMAS_MM = (1.5, 3.0, 5.0)
PERCENTILES = (85.0, 90.0, 93.0, 95.0, 97.5)
WIDTH = 0.05  # of the logistic, in grey values of 0..1


def brightness_map(sample: Sample, *, sigma_mm: float, percentile: float, spacing_mm: float) -> NDArray[np.float32]:
    """p = 0.5 where the smoothed grey value equals its ``percentile`` over the breast. float32 [H, W]."""
    smooth = ndimage.gaussian_filter(sample.image, sigma_mm / spacing_mm)
    level = float(np.percentile(smooth[sample.breast], percentile))
    p = 1.0 / (1.0 + np.exp(-(smooth - level) / WIDTH))
    return np.where(sample.breast, p, 0.0).astype(np.float32)


def brightness_maps(cases: Sequence[Case], measured: Sequence[Case], *, spacing_mm: float) -> list[NDArray[np.float32]]:
    """The baseline's maps [2, H, W]; its two settings suit the train patients' loose outlines best (mean IoU)."""
    learnt = [case for case in cases if case.part != "held" and (case.sample.labels > 0).any()]

    def quality(setting: tuple[float, float]) -> float:
        values = []
        for case in learnt:
            map_ = brightness_map(case.sample, sigma_mm=setting[0], percentile=setting[1], spacing_mm=spacing_mm)
            predicted, outline = map_ > 0.5, case.sample.labels > 0
            values.append(float((predicted & outline).sum()) / max(1, int((predicted | outline).sum())))
        return float(np.mean(values))

    sigma, percentile = max(((s, p) for s in SIGMAS_MM for p in PERCENTILES), key=quality)
    maps = []
    for case in measured:
        map_ = brightness_map(case.sample, sigma_mm=sigma, percentile=percentile, spacing_mm=spacing_mm)
        maps.append(np.stack([map_, map_]))
    return maps
