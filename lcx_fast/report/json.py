"""A report as JSON: a versioned schema with a manifest of what ran."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

from .. import __version__

if TYPE_CHECKING:
    from ..pipeline import ImageReport

SCHEMA = "lcx_fast.image_report/1"


def image_report_to_dict(report: ImageReport) -> dict[str, Any]:
    """A report as JSON types. Points are (y, x) in source pixels; times are seconds."""
    from ..pipeline import RESEARCH_USE_ONLY

    mammogram, model, engine = report.mammogram, report.model, report.engine
    spacing = mammogram.spacing
    return {
        "schema": SCHEMA,
        "notice": RESEARCH_USE_ONLY,
        "image": {
            "name": mammogram.name,
            "sha256": mammogram.sha256,
            "sop_instance_uid": mammogram.sop_instance_uid,
            "series_instance_uid": mammogram.series_instance_uid,
            "study_instance_uid": mammogram.study_instance_uid,
            "rows": mammogram.shape[0],
            "columns": mammogram.shape[1],
            "laterality": mammogram.laterality,
            "view_position": mammogram.view_position,
            "pixel_spacing_mm": [spacing.row_mm, spacing.column_mm] if spacing.is_physical else None,
            "pixel_spacing_source": spacing.source,
            "attributes": dict(mammogram.attributes),
        },
        "score": round(report.score, 6),
        "probability": None if report.probability is None else round(report.probability, 6),
        "decision": None if report.decision is None else report.decision.to_dict(),
        "lesions": [lesion.to_dict() for lesion in report.lesions],
        "warnings": list(report.warnings),
        "manifest": {
            "lcx_fast": __version__,
            "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
            "thresholds": {
                "low": model.thresholds.low,
                "high": model.thresholds.high,
                "min_area_mm2": model.thresholds.min_area_mm2,
            },
            "engine": {
                "name": engine.name,
                "version": engine.version,
                "device": engine.device,
                "precision": engine.precision,
                "skipped": [skipped.to_dict() for skipped in engine.skipped],
            },
            "timings_s": {step: round(seconds, 6) for step, seconds in report.timings.items()},
        },
    }


def json_content(report: ImageReport) -> bytes:
    """The report as a file's content."""
    return json.dumps(image_report_to_dict(report), indent=1, allow_nan=False).encode() + b"\n"
