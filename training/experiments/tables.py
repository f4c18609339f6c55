"""Figures from result files: every arm's mean over seeds, with an interval by redrawing patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from training import metrics

Image = dict[str, Any]
Statistic = Callable[[Sequence[Image]], float]


def _positive(images: Sequence[Image]) -> list[Image]:
    return [image for image in images if image["lesions"]]


def _ratio(images: Sequence[Image], above: str, below: str) -> float:
    total = sum(image[below] for image in images)
    return sum(image[above] for image in images) / total if total else float("nan")


def image_iou(images: Sequence[Image]) -> float:
    """Mean over positive images of the IoU of P with the true lesions."""
    values = []
    for image in _positive(images):
        union = image["predicted"] + image["true"] - image["predicted_and_true"]
        values.append(image["predicted_and_true"] / max(1, union))
    return float(np.mean(values)) if values else float("nan")


def lesion_iou(images: Sequence[Image]) -> float:
    """Mean over lesions of the IoU of P within 10 mm of the loose outline with the true lesion; missed ones are 0."""
    values = []
    for image in images:
        for lesion in image["lesions"]:
            union = lesion["predicted"] + lesion["true"] - lesion["predicted_and_true"]
            values.append(lesion["predicted_and_true"] / max(1, union))
    return float(np.mean(values)) if values else float("nan")


def lesion_iop(images: Sequence[Image]) -> float:
    """IoP per lesion: the mean over found lesions of the share of P within 10 mm of A that lies in A."""
    values = [
        lesion["predicted_and_loose"] / lesion["predicted"]
        for image in images for lesion in image["lesions"] if lesion["predicted"]
    ]  # fmt: skip
    return float(np.mean(values)) if values else float("nan")


def boundary_mm(images: Sequence[Image]) -> float:
    """Mean over found lesions of the mean symmetric boundary distance in mm."""
    values = [
        lesion["boundary_mm"]
        for image in images for lesion in image["lesions"] if lesion["boundary_mm"] is not None
    ]  # fmt: skip
    return float(np.mean(values)) if values else float("nan")


def found(images: Sequence[Image]) -> float:
    """Share of lesions that P touches."""
    values = [lesion["predicted_and_true"] > 0 for image in images for lesion in image["lesions"]]
    return float(np.mean(values)) if values else float("nan")


def _results(images: Sequence[Image], outline: str) -> list[metrics.ImageResult]:
    results = []
    for image in images:
        found_ = image["detections"]
        count = len(found_[f"{outline}_areas"])
        results.append(
            metrics.ImageResult(
                patient=image["patient"],
                scores=np.array(found_["scores"], float),
                intersections=np.array(found_[f"and_{outline}"], np.int64).reshape(-1, count),
                predicted_areas=np.array(found_["areas"], np.int64),
                reference_areas=np.array(found_[f"{outline}_areas"], np.int64),
            )
        )
    return results


def auc(images: Sequence[Image]) -> float:
    """Image level, malignant against the rest."""
    scores = np.array([image["score"] for image in images])
    return metrics.roc_auc(scores, np.array([image["pathology"] == "malignant" for image in images]))


STATISTICS: dict[str, Statistic] = {
    "IoU": image_iou,
    "precision": lambda images: _ratio(_positive(images), "predicted_and_true", "predicted"),
    "recall": lambda images: _ratio(_positive(images), "predicted_and_true", "true"),
    "lesion IoU": lesion_iou,
    "boundary mm": boundary_mm,
    "confused px": lambda images: float(np.mean([image["confused"] for image in _positive(images)])),
    "IoP": lambda images: _ratio(_positive(images), "predicted_and_loose", "predicted"),
    "IoP lesion": lesion_iop,
    "found": found,
    "AP@.5 true": lambda images: metrics.average_precision(_results(images, "true")),
    "AP@.5 loose": lambda images: metrics.average_precision(_results(images, "loose")),
    "sens@1FP": lambda images: metrics.sensitivity_at(_results(images, "true"), false_positives_per_image=1.0),
    "Spec_B": lambda images: 1.0 - _ratio(images, "false_outside", "outside"),
    "Spec_near": lambda images: 1.0 - _ratio(_positive(images), "false_near", "near"),
    "AUC": auc,
}


def summary(images: Sequence[Image]) -> dict[str, float]:
    return {name: statistic(images) for name, statistic in STATISTICS.items()}
