"""training/METHOD.md's figures of a set of images, with intervals; the metrics are lcx_fast.evaluation's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcx_fast.evaluation import (
    MAMMOGRAPHY_RATES,
    ImageResult,
    Interval,
    boundary_distance,
    confused_pixels,
    count_pixels,
    froc_sensitivities,
    interpolated_average_precision,
    intersection_over_prediction,
    match_lesions,
    max_by_group,
    mean_iop_by_lesion,
    near_band,
    patient_bootstrap,
    ranking_average_precision,
    roc_auc,
    score_at_rate,
)
from lcx_fast.evaluation.summary import FROC_MINIMUM_IOU as FROC_MINIMUM_IOU

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
    """The published figures, each (value, low, high); none without images."""
    if not results:
        return {}
    return patient_bootstrap(lesion_figures(results), [result.patient for result in results], draws=draws)


def score_figures(
    scores: ArrayLike, positive: ArrayLike, patients: Sequence[str], *, draws: int
) -> dict[str, Interval]:
    """ROC AUC and average precision of image or breast scores, each (value, low, high); none without any."""
    if not len(patients):
        return {}

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


def breast_figures(
    scores: Sequence[float],
    positive: Sequence[bool],
    patients: Sequence[str],
    lateralities: Sequence[str],
    *,
    draws: int,
) -> dict[str, Interval]:
    """``score_figures`` per breast: the highest score of its views; empty where a side is not known."""
    if not lateralities or not all(lateralities):
        return {}
    breasts = max_by_group(scores, positive, list(zip(patients, lateralities, strict=True)))
    return score_figures(breasts.scores, breasts.labels, [patient for patient, _ in breasts.keys], draws=draws)


@dataclass(frozen=True)
class PixelResult:
    """Pixels of one image: P = {p > .5} against the outlines A, within the breast and what may be asked of.

    counts: TP, FP, FN, TN. near: FP and TN in the 10 mm band round A. confused: pixels with 0.1 < p < 0.9.
    boundary_mm: mean boundary distance of each lesion that P reaches, see ``pixel_result``.
    """

    patient: str
    has_lesion: bool
    counts: tuple[int, int, int, int]
    near: tuple[int, int]
    confused: int
    boundary_mm: tuple[float, ...]


def pixel_result(
    probability: NDArray[np.float32],
    outlines: NDArray[np.int16],
    breast: NDArray[np.bool_],
    *,
    patient: str,
    spacing_mm: float,
) -> PixelResult:
    """Compare one map with numbered outlines; where they are -1 nothing counts.

    A lesion's own part of P, for the boundary distance, is what lies within 10 mm of it and in no other outline.
    """
    spacing = (spacing_mm, spacing_mm)
    asked = breast & (outlines >= 0)
    predicted, reference = (probability > 0.5) & asked, (outlines > 0) & asked
    whole = count_pixels(predicted, reference, within=asked)
    band = count_pixels(predicted, reference, within=asked & near_band(reference, pixel_spacing_mm=spacing))
    distances = []
    for number in np.unique(outlines[reference]):
        lesion = reference & (outlines == number)
        own = predicted & (lesion | near_band(lesion, pixel_spacing_mm=spacing)) & ~(reference & ~lesion)
        if own.any():
            distances.append(boundary_distance(own, lesion, pixel_spacing_mm=spacing).mean_mm)
    return PixelResult(
        patient=patient,
        has_lesion=bool(reference.any()),
        counts=(whole.true_positives, whole.false_positives, whole.false_negatives, whole.true_negatives),
        near=(band.false_positives, band.true_negatives),
        confused=confused_pixels(np.where(asked, probability, np.float32(0.0)), breast),
        boundary_mm=tuple(distances),
    )


def pixel_figures(results: Sequence[PixelResult], *, draws: int) -> dict[str, Interval]:
    """Overlap with the outlines on images that have any, specificity, confused pixels and boundary distance.

    Overlap and boundary mean something where the outlines are the true boundary, as CDD-CESM's are meant to be.
    """
    has_lesion = np.array([result.has_lesion for result in results], bool)
    counts = np.array([result.counts for result in results], float).reshape(-1, 4)
    near = np.array([result.near for result in results], float).reshape(-1, 2)
    confused = np.array([result.confused for result in results], float)
    distance = np.array([sum(result.boundary_mm) for result in results], float)
    reached = np.array([len(result.boundary_mm) for result in results], float)

    def figures(weights: Weights) -> Mapping[str, Any]:
        on_lesions = weights * has_lesion
        tp, fp, fn, _ = (on_lesions @ counts).T
        everywhere = weights @ counts
        close = on_lesions @ near
        return {
            "iou": _share(tp, tp + fp + fn),
            "precision": _share(tp, tp + fp),
            "recall": _share(tp, tp + fn),
            "spec_breast": _share(everywhere[:, 3], everywhere[:, 1] + everywhere[:, 3]),
            "spec_near": _share(close[:, 1], close.sum(axis=1)),
            "confused_pixels": _share(on_lesions @ confused, on_lesions.sum(axis=1)),
            "boundary_mm": _share(weights @ distance, weights @ reached),
        }

    return patient_bootstrap(figures, [result.patient for result in results], draws=draws) if results else {}


def _share(part: Weights, whole: Weights) -> Weights:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)
