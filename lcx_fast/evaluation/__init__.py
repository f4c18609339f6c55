"""Evaluation of detections, masks and scores, exact and fast; NumPy and the compiled core only.

Match once, then draw curves, resample or cut by class and size::

    from lcx_fast import evaluation

    results = [evaluation.compare(labels, scores, outlines, patient=p) for ...]
    matches = evaluation.match_lesions(results, minimum=0.2)
    evaluation.froc_sensitivities(matches, [0.25, 0.5, 1, 2])
    evaluation.patient_bootstrap(
        lambda w: {"ap": evaluation.interpolated_average_precision(matches, weights=w)}, matches.patients
    )
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .average_precision import interpolated_average_precision, lesion_average_precision
    from .bootstrap import Interval, patient_bootstrap, patient_weights
    from .boundary import BoundaryDistance, boundary_distance, distance_transform
    from .calibration import (
        IsotonicMap,
        OperatingPoint,
        PlattScaling,
        Reliability,
        expected_calibration_error,
        fit_isotonic,
        fit_platt,
        fit_temperature,
        logit,
        operating_points,
        reliability_curve,
    )
    from .coco import COCO_AREA_RANGES, CategoryResult, CocoEvaluator, CocoResult
    from .froc import (
        LUNA_RATES,
        MAMMOGRAPHY_RATES,
        FrocCurve,
        froc_curve,
        froc_sensitivities,
        luna_score,
        score_at_rate,
    )
    from .lesions import (
        ImageResult,
        compare,
        compare_points,
        find_detections,
        intersection_over_prediction,
        mean_iop_by_lesion,
    )
    from .masks import MaskCounts, confused_pixels, count_pixels, near_band
    from .matches import Matches, match_lesions, match_points
    from .pixels import PixelAreas, PixelCounts, PixelCurve, pixel_areas
    from .ranking import max_by_group, ranking_average_precision, ranking_curve, roc_auc

#: Which module each public name lives in; loaded on first use.
_HOMES = {
    "average_precision": ("interpolated_average_precision", "lesion_average_precision"),
    "bootstrap": ("Interval", "patient_bootstrap", "patient_weights"),
    "boundary": ("BoundaryDistance", "boundary_distance", "distance_transform"),
    "calibration": (
        "IsotonicMap",
        "OperatingPoint",
        "PlattScaling",
        "Reliability",
        "expected_calibration_error",
        "fit_isotonic",
        "fit_platt",
        "fit_temperature",
        "logit",
        "operating_points",
        "reliability_curve",
    ),
    "coco": ("COCO_AREA_RANGES", "CategoryResult", "CocoEvaluator", "CocoResult"),
    "froc": (
        "FrocCurve",
        "LUNA_RATES",
        "MAMMOGRAPHY_RATES",
        "froc_curve",
        "froc_sensitivities",
        "luna_score",
        "score_at_rate",
    ),
    "lesions": (
        "ImageResult",
        "compare",
        "compare_points",
        "find_detections",
        "intersection_over_prediction",
        "mean_iop_by_lesion",
    ),
    "masks": ("MaskCounts", "confused_pixels", "count_pixels", "near_band"),
    "matches": ("Matches", "match_lesions", "match_points"),
    "pixels": ("PixelAreas", "PixelCounts", "PixelCurve", "pixel_areas"),
    "ranking": ("max_by_group", "ranking_average_precision", "ranking_curve", "roc_auc"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "COCO_AREA_RANGES",
    "LUNA_RATES",
    "MAMMOGRAPHY_RATES",
    "BoundaryDistance",
    "CategoryResult",
    "CocoEvaluator",
    "CocoResult",
    "FrocCurve",
    "ImageResult",
    "Interval",
    "IsotonicMap",
    "MaskCounts",
    "Matches",
    "OperatingPoint",
    "PixelAreas",
    "PixelCounts",
    "PixelCurve",
    "PlattScaling",
    "Reliability",
    "boundary_distance",
    "compare",
    "compare_points",
    "confused_pixels",
    "count_pixels",
    "distance_transform",
    "expected_calibration_error",
    "find_detections",
    "fit_isotonic",
    "fit_platt",
    "fit_temperature",
    "froc_curve",
    "froc_sensitivities",
    "interpolated_average_precision",
    "intersection_over_prediction",
    "lesion_average_precision",
    "logit",
    "luna_score",
    "match_lesions",
    "match_points",
    "max_by_group",
    "mean_iop_by_lesion",
    "near_band",
    "operating_points",
    "patient_bootstrap",
    "patient_weights",
    "pixel_areas",
    "ranking_average_precision",
    "ranking_curve",
    "reliability_curve",
    "roc_auc",
    "score_at_rate",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'lcx_fast.evaluation' has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
