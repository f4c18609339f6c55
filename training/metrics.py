"""METHOD.md's figures of a set of images, with patient-bootstrap intervals; the metrics are lcx_fast.evaluation's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcx_fast.evaluation import (
    MAMMOGRAPHY_RATES,
    ImageResult,
    Interval,
    froc_sensitivities,
    interpolated_average_precision,
    intersection_over_prediction,
    match_lesions,
    mean_iop_by_lesion,
    patient_bootstrap,
    ranking_average_precision,
    roc_auc,
    score_at_rate,
)

#: A detection finds its outline for FROC at this intersection over union.
FROC_MINIMUM_IOU = 0.2

Weights = NDArray[np.float64]


def lesion_figures(results: Sequence[ImageResult]) -> Callable[[Weights], Mapping[str, Any]]:
    """The published figures as a statistic of image weights; detections are matched once, here."""
    by_iou = match_lesions(results, minimum=0.5)
    by_iop = match_lesions(results, overlap="iop", minimum=0.75)
    loosely = match_lesions(results, minimum=FROC_MINIMUM_IOU)

    def figures(weights: Weights) -> Mapping[str, Any]:
        sensitivity = froc_sensitivities(loosely, MAMMOGRAPHY_RATES, weights=weights)
        return {
            "ap_iou50": interpolated_average_precision(by_iou, weights=weights),
            **{f"sensitivity_at_{r:g}_fp": sensitivity[:, k] for k, r in enumerate(MAMMOGRAPHY_RATES)},
            "ap_iop75": interpolated_average_precision(by_iop, weights=weights),
            "iop": intersection_over_prediction(results, weights=weights),
            "iop_by_lesion": mean_iop_by_lesion(results, weights=weights),
        }

    return figures


def lesion_summary(results: Sequence[ImageResult]) -> dict[str, float]:
    """The published figures by name; NaN where they are not defined (no outlines)."""
    return {name: float(v[0]) for name, v in lesion_figures(results)(np.ones((1, len(results)))).items()}


def with_intervals(results: Sequence[ImageResult], *, draws: int) -> dict[str, Interval]:
    """The published figures, each (value, low, high)."""
    return patient_bootstrap(lesion_figures(results), [result.patient for result in results], draws=draws)


def score_figures(
    scores: ArrayLike, positive: ArrayLike, patients: Sequence[str], *, draws: int
) -> dict[str, Interval]:
    """ROC AUC and average precision of image or breast scores, each (value, low, high)."""

    def figures(weights: Weights) -> Mapping[str, Any]:
        return {
            "auc": roc_auc(scores, positive, weights=weights),
            "average_precision": ranking_average_precision(scores, positive, weights=weights),
        }

    return patient_bootstrap(figures, patients, draws=draws)


def operating_points(results: Sequence[ImageResult]) -> dict[str, dict[str, float]]:
    """For each published rate of false positives, the lesion score to cut at and the sensitivity there."""
    matches = match_lesions(results, minimum=FROC_MINIMUM_IOU)
    sensitivity = froc_sensitivities(matches, MAMMOGRAPHY_RATES)
    return {
        f"{rate:g}_fp_per_image": {
            "min_lesion_score": score_at_rate(matches, rate),
            "sensitivity": float(sensitivity[k]),
        }
        for k, rate in enumerate(MAMMOGRAPHY_RATES)
    }
