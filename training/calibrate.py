"""Measure a model file on the validation images and write into it what follows: figures, calibration, operating points.

    python -m training.calibrate --model lcx_fast/models/cdd-cesm-lite0.onnx --data CDD_CESM_FOLDER

Everything is fitted on the validation images, by the file itself, run as at inference: image and lesion scores to
probabilities by Platt scaling, and where to cut for three uses. Images come through 512 pixels where a set has both
forms (Note [Resampled images] in training.prepare), so that resolution gives no class away.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from lcx_fast.decision import OPERATING_POINTS
from lcx_fast.errors import InvalidArgument
from lcx_fast.evaluation import Matches, fit_platt, logit, match_lesions, operating_points, score_at_rate
from lcx_fast.model import SCHEMA_VERSION, ModelSpec, read_model_spec
from training.command import add_dataset_options, at_least, given_samples, one_line_errors
from training.evaluate import Prediction, held_out_samples, lesion_results, measure
from training.export import read_metadata, save_with_metadata
from training.metrics import FROC_MINIMUM_IOU
from training.model_file import open_engine, predict_samples
from training.prepare import Sample

#: The image's threshold keeps at least this sensitivity or specificity on the validation images.
IMAGE_TARGET = 0.95
#: False positives per image that each point's lesion threshold allows.
FALSE_POSITIVES = {"high_sensitivity": 2.0, "balanced": 0.5, "high_specificity": 0.25}
#: Thresholds lie this far under the score they keep: more than engines differ by, less than scores lie apart.
MARGIN = 1e-4


def calibrate(predictions: Sequence[Prediction], spec: ModelSpec, *, data: str) -> dict[str, Any]:
    """The metadata's calibration and operating points.

    Args:
        predictions: of the validation images.
        spec: the model's, for its thresholds.
        data: what the images are, in words.

    Raises:
        InvalidArgument: if the images lack a class, or nothing was found on them.
    """
    known = [prediction for prediction in predictions if prediction.sample.pathology != "unknown"]
    scores = np.array([prediction.score for prediction in known])
    malignant = np.array([prediction.sample.pathology == "malignant" for prediction in known])
    matches = _matches(predictions, spec)
    hits = matches.state[matches.state >= 0] == 1
    lesion_scores = matches.scores[matches.state >= 0]
    if hits.all() or not hits.any():
        found = f"{int(hits.sum())} of {len(hits)} marks hit a lesion"
        raise InvalidArgument(f"{found}; calibration needs hits and false marks: train longer, or lower the thresholds")
    return {
        "calibration": {
            "image": _platt(scores, malignant) | {"fitted_on": f"{len(known)} images, {data}"},
            "lesion": _platt(lesion_scores, hits) | {"fitted_on": f"{len(hits)} marks, {data}"},
        },
        "operating_points": _points(scores, malignant, matches),
        "default_operating_point": "balanced",
    }


def _matches(predictions: Sequence[Prediction], spec: ModelSpec) -> Matches:
    results = lesion_results(
        predictions, output="abnormal", threshold=spec.thresholds.low, seed_threshold=spec.thresholds.high
    )
    return match_lesions(results, minimum=FROC_MINIMUM_IOU)


def _platt(scores: Any, positive: Any) -> dict[str, Any]:
    fitted = fit_platt(logit(scores), positive)
    if not fitted.slope > 0:
        raise InvalidArgument("the scores do not rise with what they should mean; nothing can be calibrated")
    return {
        "method": "platt",
        "slope": float(fitted.slope),
        "intercept": float(fitted.intercept),
        "prevalence": float(np.mean(positive)),
    }


def _points(scores: Any, malignant: Any, matches: Matches) -> dict[str, Any]:
    chosen = operating_points(scores, malignant, sensitivity=IMAGE_TARGET, specificity=IMAGE_TARGET)
    points: dict[str, Any] = {}
    for name in OPERATING_POINTS:
        image = float(np.clip(chosen[name].threshold, 0.0, 1.0))
        lesion = max(0.0, score_at_rate(matches, FALSE_POSITIVES[name]) - MARGIN)
        kept = matches.scores >= lesion
        found = len(set(matches.lesion[kept & (matches.lesion >= 0)].tolist()))
        points[name] = {
            "image_score": image,
            "lesion_score": lesion,
            "measured": {
                "image_sensitivity": float(np.mean(scores[malignant] >= image)),
                "image_specificity": float(np.mean(scores[~malignant] < image)),
                "lesion_sensitivity": found / max(1, int(matches.lesion_counts.sum())),
                "false_positives_per_image": int((matches.state[kept] == 0).sum()) / matches.images,
            },
        }
    return points


def described(samples: Sequence[Sample], *, dataset: str | None) -> str:
    """What validation images are, in words."""
    patients = len({sample.patient for sample in samples})
    return f"{samples[0].folder if dataset is None else dataset} validation, {patients} patients"


def measured_metadata(path: Path, predictions: Sequence[Prediction], *, data: str, draws: int) -> dict[str, Any]:
    """The file's metadata with what these predictions of it say."""
    metadata = read_metadata(path) | {"schema_version": SCHEMA_VERSION}
    fitted = calibrate(predictions, read_model_spec(path), data=data)
    figures, _ = measure(predictions, draws=draws)
    note = "fitted on the images that also chose the checkpoint: optimistic"
    epoch = {key: value for key, value in metadata["metrics"].items() if key == "epoch"}
    return metadata | fitted | {"metrics": {**epoch, "data": data, "note": note, "validation": _finite(figures)}}


def _finite(value: Any) -> Any:
    """JSON types without NaN: a figure that is not defined becomes null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m training.calibrate", description="Figures, calibration and operating points into a model file."
    )
    parser.add_argument("--model", type=Path, required=True, help="the .onnx file, changed in place")
    add_dataset_options(parser, data="folder of the dataset")
    parser.add_argument("--draws", type=at_least(1), default=2000, help="bootstrap draws")
    options = parser.parse_args(arguments)
    spec = read_model_spec(options.model)
    samples = given_samples(options, spec.pixel_spacing_mm)
    chosen = held_out_samples(samples, resampled=True)
    if not chosen:
        raise ValueError(f"{options.data}: no validation image")
    data = described(chosen, dataset=options.dataset)
    engine = open_engine(options.model, "auto", "auto")
    predictions = predict_samples(spec, engine.infer, chosen)
    metadata = measured_metadata(options.model, predictions, data=data, draws=options.draws)
    save_with_metadata(onnx.load(str(options.model)), metadata, options.model)
    print(json.dumps({key: metadata[key] for key in ("calibration", "operating_points", "metrics")}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
