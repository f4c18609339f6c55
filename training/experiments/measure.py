"""What is measured of one image, as small numbers that every table can be made from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcx_fast.evaluation import boundary_distance, compare, find_detections, near_band
from training.datasets.record import Mask
from training.experiments.data import Case

THRESHOLD = 0.5
CONFUSED = (0.1, 0.9)
NEAR_MM = 10.0


def measure_image(case: Case, probability: NDArray[np.float32], score: float, *, spacing_mm: float) -> dict[str, Any]:
    """The counts of one image, in pixels of its grid.

    Args:
        case: image, loose outline A and true outline T.
        probability: float32 [H, W], the abnormal map.
        score: malignant image score.
        spacing_mm: mm per pixel.

    Returns:
        A JSON document. P = {p > .5} in the breast without the ignored regions. ``lesions``: per finding what P
        holds within 10 mm of its loose outline. ``detections``: components of P of 25 mm² and more.
    """
    loose, true = case.sample.labels, case.true_labels
    asked = case.sample.breast & (loose >= 0) & (true >= 0)
    probability = np.where(asked, probability, np.float32(0.0))
    predicted = probability > THRESHOLD
    a, t = (loose > 0) & asked, (true > 0) & asked
    confused = asked & (probability > CONFUSED[0]) & (probability < CONFUSED[1])
    near = near_band(a, pixel_spacing_mm=(spacing_mm, spacing_mm), width_mm=NEAR_MM) & asked
    outside = asked & ~a
    ids = [int(k) for k in np.unique(true) if k > 0]
    labels, scores = find_detections(probability, pixel_spacing_mm=spacing_mm, threshold=THRESHOLD)
    against_true = compare(labels, scores, np.where(asked, true, 0).astype(np.int16), patient="")
    against_loose = compare(labels, scores, np.where(asked, loose, 0).astype(np.int16), patient="")
    return {
        "name": case.sample.name,
        "patient": case.sample.patient,
        "pathology": case.sample.pathology,
        "score": round(score, 5),
        "predicted": int(predicted.sum()),
        "true": int(t.sum()),
        "loose": int(a.sum()),
        "predicted_and_true": int((predicted & t).sum()),
        "predicted_and_loose": int((predicted & a).sum()),
        "confused": int(confused.sum()),
        "asked": int(asked.sum()),
        "near": int(near.sum()),
        "false_near": int((predicted & near).sum()),
        "outside": int(outside.sum()),
        "false_outside": int((predicted & outside).sum()),
        "lesions": [_lesion(loose == k, (true == k) & asked, a, predicted, spacing_mm) for k in ids],
        "detections": {
            "scores": [round(float(value), 5) for value in scores],
            "areas": against_true.predicted_areas.tolist(),
            "true_areas": against_true.reference_areas.tolist(),
            "loose_areas": against_loose.reference_areas.tolist(),
            "and_true": against_true.intersections.tolist(),
            "and_loose": against_loose.intersections.tolist(),
        },
    }


def _lesion(loose: Mask, true: Mask, every_loose: Mask, predicted: Mask, spacing_mm: float) -> dict[str, Any]:
    """One finding: P within 10 mm of its outline, what lies in other findings' outlines left out."""
    spacing = (spacing_mm, spacing_mm)
    around = loose | near_band(loose, pixel_spacing_mm=spacing, width_mm=NEAR_MM)
    seen = predicted & around & ~(every_loose & ~loose)
    distance = boundary_distance(seen, true, pixel_spacing_mm=spacing).mean_mm
    return {
        "predicted": int(seen.sum()),
        "true": int(true.sum()),
        "loose": int(loose.sum()),
        "predicted_and_true": int((seen & true).sum()),
        "predicted_and_loose": int((seen & loose).sum()),
        "boundary_mm": round(distance, 3) if np.isfinite(distance) else None,
    }
