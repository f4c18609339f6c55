"""Measure a model on the images of a dataset that it was not trained on.

    python -m training.evaluate --data DIR --run runs/first [--model lcx_fast/models/cdd-cesm-lite0.onnx]
    python -m training.evaluate --data DIR --model lcx_fast/models/cdd-cesm-lite0.onnx --out evaluation
    python -m training.evaluate --data DIR --run runs/ddsm --split test

With --model the exported file runs, on tiles, as at inference; without, the checkpoint on whole images. Writes
validation.json and validation.html (test.json, test.html): training/METHOD.md's figures with intervals.
Figures on images that also chose the checkpoint are optimistic; the page says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from lcx_fast.evaluation import ImageResult, compare, find_detections, match_lesions, max_by_group, roc_auc
from lcx_fast.model import read_model_spec
from training import metrics
from training.checkpoint import load_average, read_state
from training.command import add_dataset_options, at_least, given_samples, one_line_errors
from training.config import Config, PoolingConfig, parse_config
from training.evaluation_page import Drawn, write_evaluation
from training.network import OUTPUT_NAMES, LesionNetwork
from training.pooling import image_logit
from training.prepare import Sample

Predictor = Callable[[Sample], NDArray[np.float32]]  # -> probabilities [2, H, W]


@dataclass(frozen=True)
class Prediction:
    """A sample's maps float32 [2, H, W], zero outside the breast, and its malignant image score."""

    sample: Sample
    probabilities: NDArray[np.float32]
    score: float


def held_out_samples(samples: Sequence[Sample], *, resampled: bool, split: str = "val") -> list[Sample]:
    """Every image of a split once: native where there is a choice, or all brought to 512 pixels first.

    See Note [Resampled images] in training.prepare: the second form takes the resolution away as a clue.
    """
    chosen = [sample for sample in samples if sample.split == split]
    in_both = {sample.name for sample in chosen if sample.resampled} & {s.name for s in chosen if not s.resampled}
    return [sample for sample in chosen if sample.name not in in_both or sample.resampled == resampled]


def torch_predictor(model: LesionNetwork, config: Config) -> Predictor:
    """Whole images at once, padded with zeros to multiples of 32."""
    device = model.pooling.device

    @torch.no_grad()
    def predict(sample: Sample) -> NDArray[np.float32]:
        height, width = sample.image.shape
        padded = torch.zeros(1, 1, -(-height // 32) * 32, -(-width // 32) * 32)
        padded[0, 0, :height, :width] = torch.from_numpy(sample.image)
        normalised = (padded - config.network.mean) / config.network.std
        logits = model(normalised.to(device, memory_format=torch.channels_last))
        result: NDArray[np.float32] = torch.sigmoid(logits)[0, :, :height, :width].cpu().numpy()
        return result

    return predict


def predict_all(
    predictor: Predictor, samples: Sequence[Sample], *, pooling: PoolingConfig, pooling_weights: torch.Tensor
) -> list[Prediction]:
    predictions = []
    malignant = OUTPUT_NAMES.index("malignant")
    for sample in samples:
        probabilities = np.where(sample.breast, predictor(sample), np.float32(0.0))
        inside = torch.from_numpy(probabilities[malignant][sample.breast]).clamp(1e-6, 1 - 1e-6)
        score = image_logit(
            torch.logit(inside),
            pooling_weights[malignant],
            r=pooling.lse_r,
            top_fraction=pooling.top_fraction,
        )
        predictions.append(Prediction(sample, probabilities, float(torch.sigmoid(score))))
    return predictions


def outlines_of(sample: Sample, *, output: str) -> NDArray[np.int16] | None:
    """What one map is asked about: numbered outlines, -1 where nothing counts; None where it is not told."""
    if not (sample.annotated if output == "abnormal" else sample.pathology != "unknown"):
        return None
    if output == "malignant" and sample.pathology != "malignant":
        return np.zeros_like(sample.labels)
    if output == "malignant" and sample.not_malignant:
        return np.where(np.isin(sample.labels, sample.not_malignant), np.int16(-1), sample.labels)
    return sample.labels


def lesion_results(
    predictions: Sequence[Prediction], *, output: str, threshold: float = 0.5, seed_threshold: float = 0.5
) -> list[ImageResult]:
    """Detections of one map against the outlines it was to learn, over every image that has them told."""
    index = OUTPUT_NAMES.index(output)
    results = []
    for prediction in predictions:
        sample = prediction.sample
        outlines = outlines_of(sample, output=output)
        if outlines is None:
            continue
        probability = np.where(outlines == -1, np.float32(0.0), prediction.probabilities[index])
        labels, scores = find_detections(
            probability, pixel_spacing_mm=sample.spacing_mm, threshold=threshold, seed_threshold=seed_threshold
        )
        results.append(
            compare(
                labels,
                scores,
                outlines,
                patient=sample.patient,
                name=sample.name,
                pixel_spacing_mm=sample.spacing_mm,
            )
        )
    return results


def image_auc(predictions: Sequence[Prediction]) -> float:
    """ROC AUC of the image scores, malignant against the rest; images of unknown pathology do not count."""
    known = [prediction for prediction in predictions if prediction.sample.pathology != "unknown"]
    positive = [prediction.sample.pathology == "malignant" for prediction in known]
    return float(roc_auc([prediction.score for prediction in known], positive))


def threshold_table(predictions: Sequence[Prediction], *, output: str) -> list[dict[str, float]]:
    """The figures at each pair of outline and seed threshold, to choose the file's thresholds from."""
    table = []
    for low in (0.3, 0.4, 0.5, 0.6):
        for high in (0.5, 0.6, 0.7, 0.8, 0.9):
            if high >= low:
                results = lesion_results(predictions, output=output, threshold=low, seed_threshold=high)
                summary = metrics.lesion_summary(results)
                matches = match_lesions(results, minimum=metrics.FROC_MINIMUM_IOU)
                hits = int((matches.lesion >= 0).sum())
                summary["false_positives_per_image"] = (len(matches.scores) - hits) / max(1, len(results))
                summary["sensitivity"] = hits / max(1, len(matches.lesion_image))
                table.append({"low": low, "high": high} | summary)
    return table


def confused_pixels(predictions: Sequence[Prediction], *, output: str) -> float:
    """Mean over the images with an outline of the count of breast pixels with 0.1 < p < 0.9."""
    index = OUTPUT_NAMES.index(output)
    counts = []
    for prediction in predictions:
        if (prediction.sample.labels > 0).any():
            p = prediction.probabilities[index][prediction.sample.breast]
            counts.append(int(((p > 0.1) & (p < 0.9)).sum()))
    return float(np.mean(counts)) if counts else 0.0


def brightness_predictor(*, sigma_mm: float, percentile: float) -> Predictor:
    """The baseline that learns nothing: smoothed grey value, p = 0.5 at the breast's own percentile."""

    def predict(sample: Sample) -> NDArray[np.float32]:
        smooth = ndimage.gaussian_filter(sample.image, sigma_mm / sample.spacing_mm)
        level = max(float(np.percentile(smooth[sample.breast], percentile)), 1e-3)
        map_ = np.clip(0.5 * smooth / level, 0.0, 1.0).astype(np.float32)
        return np.stack([map_, map_])

    return predict


def best_brightness(samples: Sequence[Sample], *, output: str) -> tuple[str, list[ImageResult]]:
    """The brightness baseline at the setting that suits these very images best: a generous baseline."""
    best: tuple[float, str, list[ImageResult]] = (-1.0, "", [])
    pooling, weights = PoolingConfig(lse_r=4.0, top_fraction=0.003), torch.zeros(2, 3)
    for sigma_mm in (1.5, 3.0, 5.0):
        for percentile in (85.0, 90.0, 95.0, 97.5):
            predictor = brightness_predictor(sigma_mm=sigma_mm, percentile=percentile)
            predictions = predict_all(predictor, samples, pooling=pooling, pooling_weights=weights)
            results = lesion_results(predictions, output=output)
            summary = metrics.lesion_summary(results)
            value = summary["sensitivity_at_1_fp"] + summary["ap_iou50"]
            if value > best[0]:
                best = (value, f"sigma {sigma_mm:g} mm, percentile {percentile:g}", results)
    return best[1], best[2]


def pixel_results(predictions: Sequence[Prediction], *, output: str) -> list[metrics.PixelResult]:
    """One map's pixels against the outlines it was to learn, over every image that has them told."""
    index = OUTPUT_NAMES.index(output)
    return [
        metrics.pixel_result(
            prediction.probabilities[index],
            outlines,
            prediction.sample.breast,
            patient=prediction.sample.patient,
            spacing_mm=prediction.sample.spacing_mm,
        )
        for prediction in predictions
        if (outlines := outlines_of(prediction.sample, output=output)) is not None
    ]


def measure(predictions: Sequence[Prediction], *, draws: int) -> tuple[dict[str, Any], Drawn]:
    """All figures of a set of predictions, each (value, low, high) where an interval makes sense; what to draw."""
    samples = [prediction.sample for prediction in predictions]
    known = [prediction for prediction in predictions if prediction.sample.pathology != "unknown"]
    scores = [prediction.score for prediction in known]
    positive = [prediction.sample.pathology == "malignant" for prediction in known]
    patients = [prediction.sample.patient for prediction in known]
    sides = [prediction.sample.laterality for prediction in known]
    document: dict[str, Any] = {"images": len(samples), "patients": len({sample.patient for sample in samples})}
    document["image_malignant"] = metrics.score_figures(scores, positive, patients, draws=draws)
    document["breast_malignant"] = metrics.breast_figures(scores, positive, patients, sides, draws=draws)
    drawn = Drawn({"images": (scores, positive)}, {})
    if document["breast_malignant"]:
        breasts = max_by_group(scores, positive, list(zip(patients, sides, strict=True)))
        drawn.rankings["breasts, highest view"] = (breasts.scores, breasts.labels)
    for output in OUTPUT_NAMES:
        results = lesion_results(predictions, output=output)
        pixels = metrics.pixel_figures(pixel_results(predictions, output=output), draws=draws)
        setting, baseline = best_brightness(samples, output=output)
        document[output] = {
            **metrics.with_intervals(results, draws=draws),
            **pixels,
            "operating_points": metrics.operating_points(results),
            "outlines": sum(len(result.reference_areas) for result in results),
            "smoothed_brightness": metrics.with_intervals(baseline, draws=draws) | {"setting": setting},
        }
        drawn.matches[output] = {
            "this model": match_lesions(results, minimum=metrics.FROC_MINIMUM_IOU),
            "smoothed brightness": match_lesions(baseline, minimum=metrics.FROC_MINIMUM_IOU),
        }
    return document, drawn


def load_model(checkpoint: Path) -> tuple[LesionNetwork, Config, dict[str, Any]]:
    """The averaged weights of a checkpoint, ready to run, with the settings and state of their training.

    Raises:
        ValueError: if it is no checkpoint, or damaged.
    """
    state = read_state(checkpoint)
    config = parse_config(state["config"])
    model = LesionNetwork(decoder_width=config.network.decoder_width)
    load_average(checkpoint, model)
    model.eval()
    return model, config, state


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; ``out`` and ``cache`` are filled in."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Measure a checkpoint or an exported model on images it was not trained on.",
    )
    add_dataset_options(parser, data="folder of the dataset", cache="in the run or output folder")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="which images (default: val)")
    parser.add_argument("--run", type=Path, help="run folder of training.train; needed unless --model is given")
    parser.add_argument("--checkpoint", default="best.safetensors", help="in the run folder")
    parser.add_argument("--model", type=Path, help="exported .onnx file to run in the checkpoint's place")
    parser.add_argument("--draws", type=at_least(1), default=2000, help="bootstrap draws")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: the run folder)")
    options = parser.parse_args(arguments)
    if options.run is None and (options.model is None or options.out is None):
        parser.error("give --run, or --model and --out")
    options.out = options.out or options.run
    options.cache = options.cache or (options.run or options.out) / "cache"
    return options


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input."""
    options = parse_arguments(arguments)
    predict: Callable[[Sequence[Sample]], list[Prediction]]
    document: dict[str, Any] = {}
    if options.run is not None:
        model, config, state = load_model(options.run / options.checkpoint)
        document["epoch"] = state["epoch"]
        spacing_mm = config.data.pixel_spacing_mm
        predict = partial(
            predict_all,
            torch_predictor(model, config),
            pooling=config.pooling,
            pooling_weights=model.pooling.detach(),
        )
    if options.model is not None:
        from training.model_file import open_engine, predict_samples

        spec = read_model_spec(options.model)
        document["model_sha256"] = spec.sha256
        spacing_mm = spec.pixel_spacing_mm
        predict = partial(predict_samples, spec, open_engine(options.model, "auto", "auto").infer)
    samples = given_samples(options, spacing_mm)
    drawn: dict[str, Drawn] = {}
    for name, chosen in _sets(samples, options.split).items():
        predictions = predict(chosen)
        document[name], drawn[name] = measure(predictions, draws=options.draws)
        if options.split == "val":  # of the last set; thresholds are chosen on validation images alone
            document["thresholds"] = threshold_table(predictions, output="abnormal")
    what = (options.model or options.run / options.checkpoint).name
    for path in write_evaluation(document, drawn, options.out, model=what, split=options.split):
        print(path)
    return 0


def _sets(samples: Sequence[Sample], split: str) -> dict[str, list[Sample]]:
    """The images to measure on by name; twice, where some are there at two sizes."""
    native, resampled = (held_out_samples(samples, split=split, resampled=form) for form in (False, True))
    if not native:
        raise ValueError(f"no image of this set is in the split {split!r}")
    if all(one is other for one, other in zip(native, resampled, strict=True)):
        return {"all_images": native}
    return {"native_where_available": native, "all_through_512": resampled}


if __name__ == "__main__":
    sys.exit(main())
