"""The model card: what a model file says of itself, for people, and pictures of where it fails.

    python -m training.model_card --model lcx_fast/models/cdd-cesm-lite0.onnx --data CDD_CESM_FOLDER \\
        --output lcx_fast/models/MODEL_CARD.md --pictures docs/failures

The figures come from the file's metadata (training.calibrate); the words on how the model was made and what is known to
go wrong from ``--notes``, a Markdown file that people write. Pictures are of validation images.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lcx_fast.evaluation import find_detections
from lcx_fast.model import ModelSpec, read_model_spec
from training.command import add_dataset_options, at_least, given_samples, one_line_errors
from training.evaluate import Prediction, held_out_samples, lesion_results
from training.export import read_metadata
from training.metrics import FROC_MINIMUM_IOU
from training.model_file import open_engine, predict_samples

_LESION_FIGURES = (
    ("ap_iou50", "AP at IoU 0.5"),
    ("sensitivity_at_0.25_fp", "sensitivity at 0.25 false positives an image"),
    ("sensitivity_at_0.5_fp", "at 0.5"),
    ("sensitivity_at_1_fp", "at 1"),
    ("sensitivity_at_2_fp", "at 2"),
    ("ap_iop75", "AP at IoP 0.75"),
    ("iop", "IoP, the part of the marked area inside an outline"),
)
#: Words for a model about which nobody has written any.
NOTES = Path(__file__).parent / "configs" / "default_card.md"
_OUTLINE, _MARK = (90, 200, 255), (255, 170, 0)


def figures_table(metadata: dict[str, Any]) -> list[str]:
    """Markdown lines: lesion and image figures with their intervals, beside the baseline's."""
    found = metadata["metrics"]["validation"]
    abnormal, baseline = found["abnormal"], found["abnormal"]["smoothed_brightness"]
    lines = ["| map of any finding | this model | smoothed brightness, no learning |", "|---|---|---|"]
    lines += [
        f"| {words} | {_interval(abnormal[key])} | {_interval(baseline[key])} |" for key, words in _LESION_FIGURES
    ]
    image = found["image_malignant"]
    lines += ["", "| image score, malignant against the rest | this model |", "|---|---|"]
    lines += [f"| ROC AUC | {_interval(image['auc'])} |", f"| AP | {_interval(image['average_precision'])} |"]
    return lines


def points_table(spec: ModelSpec) -> list[str]:
    """Markdown lines: each operating point with what it gave."""
    lines = [
        "| operating point | image score | sensitivity | specificity | lesion score | lesions found | false marks |",
        "|---|---|---|---|---|---|---|",
    ]
    for point in spec.operating_points.values():
        m = point.measured
        name = point.name.replace("_", " ") + (" (default)" if point.name == spec.default_operating_point else "")
        lines.append(
            f"| {name} | {point.image_score:.3f} | {m['image_sensitivity']:.2f} | {m['image_specificity']:.2f} "
            f"| {point.lesion_score:.3f} | {m['lesion_sensitivity']:.2f} | {m['false_positives_per_image']:.2f} |"
        )
    return lines


def write_card(path: Path, notes: str, pictures: Sequence[tuple[str, str]]) -> str:
    """The card's Markdown.

    Args:
        path: the model file.
        notes: Markdown with the lines ``<!-- figures -->``, ``<!-- points -->``, ``<!-- int8 -->`` and
            ``<!-- pictures -->``, which are replaced.
        pictures: as the card is to refer to them, each with a caption.
    """
    spec, metadata = read_model_spec(path), read_metadata(path)
    calibration = spec.calibrations.image
    points = points_table(spec)
    if calibration is not None:
        points += ["", f"Calibrated on {calibration.fitted_on}, {calibration.prevalence:.0%} of them malignant."]
    shown = [line for picture, caption in pictures for line in (f"![{caption}]({picture})", "", f"*{caption}*", "")]
    parts = {"figures": figures_table(metadata), "points": points, "int8": _int8(metadata), "pictures": shown}
    text = f"# {spec.name} {spec.version}\n\n{notes}"
    for name, lines in parts.items():
        if f"<!-- {name} -->" not in text:
            raise ValueError(f"the notes lack the line <!-- {name} -->")
        text = text.replace(f"<!-- {name} -->", "\n".join(lines).strip())
    return text


def _int8(metadata: dict[str, Any]) -> list[str]:
    if "int8" not in metadata:
        return ["There is no int8 form."]
    agreement = metadata["int8"]["agreement_with_fp32"]
    return [
        f"`--precision int8` on a CPU: mask IoU with fp32 {agreement['mask_iou']:.3f}, AP at IoU 0.5 "
        f"{agreement['ap_int8']:.3f} against {agreement['ap_fp32']:.3f},",
        f"image score at most {agreement['largest_score_difference']:.3f} apart. It has operating points of its own.",
    ]


def _interval(figure: Sequence[float | None]) -> str:
    value, low, high = ("-" if number is None else f"{number:.2f}".replace("0.", ".", 1) for number in figure)
    return f"{value} ({low}-{high})"


def failures(predictions: Sequence[Prediction], spec: ModelSpec, *, count: int) -> list[tuple[Prediction, str]]:
    """The worst of both kinds: the largest lesions missed, and the highest false marks, in turn."""
    point = spec.operating_points[spec.default_operating_point or "balanced"]
    missed: list[tuple[float, Prediction, str]] = []
    false: list[tuple[float, Prediction, str]] = []
    shown = [prediction for prediction in predictions if prediction.sample.annotated]
    for prediction, result in zip(shown, lesion_results(shown, output="abnormal"), strict=True):
        kept = result.scores >= point.lesion_score
        overlap = result.iou[kept]
        for k, area in enumerate(result.reference_areas):
            if not (overlap[:, k] >= FROC_MINIMUM_IOU).any():
                mm2 = float(area) * spec.pixel_spacing_mm**2
                missed.append((mm2, prediction, f"Missed: a lesion of {mm2:.0f} mm²"))
        for score, row in zip(result.scores[kept], overlap, strict=True):
            if not (row >= FROC_MINIMUM_IOU).any():
                false.append((float(score), prediction, f"False mark, score {score:.2f}"))
    chosen: dict[str, tuple[Prediction, str]] = {}
    for kind in (missed, false):
        kind.sort(key=lambda item: -item[0])
        before = len(chosen)
        for _, prediction, text in kind:
            if len(chosen) - before < count:
                chosen.setdefault(prediction.sample.name, (prediction, text))
    return list(chosen.values())


def draw_failure(prediction: Prediction, spec: ModelSpec) -> Image.Image:
    """The image, the radiologist's outline in blue, what the model marks at its default point in orange."""
    point = spec.operating_points[spec.default_operating_point or "balanced"]
    probability = np.where(prediction.sample.labels == -1, np.float32(0.0), prediction.probabilities[0])
    labels, scores = find_detections(probability, pixel_spacing_mm=spec.pixel_spacing_mm)
    marks = np.isin(labels, 1 + np.nonzero(scores >= point.lesion_score)[0])
    picture = Image.fromarray(np.round(prediction.sample.image * 255).astype(np.uint8)).convert("RGB")
    pixels = np.asarray(picture).copy()
    pixels[_edge(marks)] = _MARK
    pixels[_edge(prediction.sample.labels > 0)] = _OUTLINE
    large = Image.fromarray(pixels)
    ImageDraw.Draw(large).text((4, 4), f"score {prediction.score:.2f}", fill=(255, 255, 255))
    return large


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask with a neighbour outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m training.model_card", description="Write a model's card.")
    parser.add_argument("--model", type=Path, required=True)
    add_dataset_options(parser, data="folder of the dataset, for the pictures")
    parser.add_argument("--notes", type=Path, default=NOTES, help="Markdown with the places to fill in")
    parser.add_argument("--output", type=Path, required=True, help="the card")
    parser.add_argument("--pictures", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--count", type=at_least(0), default=2, help="pictures of each kind of failure")
    options = parser.parse_args(arguments)
    spec = read_model_spec(options.model)
    if not spec.operating_points:
        raise ValueError(f"{options.model}: not measured yet; `python -m training.calibrate`")
    samples = given_samples(options, spec.pixel_spacing_mm)
    engine = open_engine(options.model, "auto", "auto")
    predictions = predict_samples(spec, engine.infer, held_out_samples(samples, resampled=True))
    options.pictures.mkdir(parents=True, exist_ok=True)
    pictures = []
    for number, (prediction, text) in enumerate(failures(predictions, spec, count=options.count), start=1):
        path = options.pictures / f"{spec.name}-{number}.png"
        draw_failure(prediction, spec).save(path, optimize=True)
        relative = os.path.relpath(path, options.output.parent)
        pictures.append((relative, f"{text} ({prediction.sample.name}, {prediction.sample.pathology})"))
    options.output.write_text(write_card(options.model, options.notes.read_text(), pictures))
    print(f"{options.output}, {len(pictures)} pictures in {options.pictures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
