"""Average precision of lesion detection, as PASCAL VOC defined it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .checks import one_of
from .lesions import ImageResult
from .matches import Matches, Overlap, count_by_threshold, match_lesions

Interpolation = Literal["all", "11"]


def interpolated_average_precision(
    matches: Matches, *, interpolation: Interpolation = "all", weights: ArrayLike | None = None
) -> Any:
    """Area under the interpolated precision-recall curve, whose precision is the best at that recall or any above.

    Detections of equal score enter the curve together.

    Args:
        matches: from ``match_lesions``; all images count.
        interpolation: ``"all"``: every recall reached (VOC from 2010 on); ``"11"``: the mean over the recalls 0, 0.1,
            ... 1 (VOC 2007; Everingham et al. 2010).
        weights: how often each image counts, [B, I]; see ``patient_bootstrap``.

    Returns:
        A float, or float64 [B] with weights; 0 where nothing was found, NaN where there is no lesion to find.
    """
    one_of(interpolation, ("all", "11"), "interpolation")
    counts = count_by_threshold(matches, weights=weights)
    total = counts.found + counts.false_positives
    precision = counts.found / np.where(total > 0, total, 1.0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    to_find = np.where(counts.to_find > 0, counts.to_find, np.nan)
    if interpolation == "11":
        # Recalls compare as counts times ten, so that 3 of 10 lesions is a recall of .3 exactly.
        value = np.zeros(len(to_find))
        for tenth in range(11):
            reached = 10 * counts.found >= tenth * counts.to_find[:, None]
            value += np.where(reached, envelope, 0.0).max(axis=1, initial=0.0)
        value = np.where(counts.to_find > 0, value / 11, np.nan)
    else:
        value = (np.diff(counts.found, axis=1, prepend=0.0) * envelope).sum(axis=1) / to_find
    return float(value[0]) if weights is None else value


def lesion_average_precision(
    results: Sequence[ImageResult], *, minimum: float = 0.5, overlap: Overlap = "iou"
) -> float:
    """All-point average precision, a hit being a detection that overlaps its lesion by ``minimum``.

    Returns:
        0..1; NaN without any reference lesion.
    """
    return float(interpolated_average_precision(match_lesions(results, overlap=overlap, minimum=minimum)))
