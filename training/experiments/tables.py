"""Figures from the measurements of images, with intervals by redrawing patients.

Most figures of a set of images are sum(above) / sum(below), so that redrawing patients is a product: for a mean over
lesions `above` holds an image's sum over its lesions and `below` their number. AP, sensitivity and AUC rank all
detections or images; lcx_fast.evaluation computes them for many weights of images at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcx_fast.evaluation import (
    ImageResult,
    froc_sensitivities,
    interpolated_average_precision,
    match_lesions,
    patient_weights,
    roc_auc,
)
from training.metrics import FROC_MINIMUM_IOU

Image = dict[str, Any]
Values = NDArray[np.float64]
DRAWS = 1000


@dataclass(frozen=True)
class Statistic:
    """A column of the tables. of_image: (above, below) of one image. text: its definition, for the README."""

    name: str
    text: str
    of_image: Callable[[Image], tuple[float, float]]


def _lesion_mean(value: Callable[[dict[str, Any]], float | None]) -> Callable[[Image], tuple[float, float]]:
    def of_image(image: Image) -> tuple[float, float]:
        values = [v for lesion in image["lesions"] if (v := value(lesion)) is not None]
        return float(sum(values)), float(len(values))

    return of_image


def _image_mean(value: Callable[[Image], float]) -> Callable[[Image], tuple[float, float]]:
    return lambda image: (value(image), 1.0) if image["lesions"] else (0.0, 0.0)


def _ratio(above: str, below: str, *, positive: bool = True) -> Callable[[Image], tuple[float, float]]:
    return lambda image: (float(image[above]), float(image[below])) if image["lesions"] or not positive else (0.0, 0.0)


def _iou(part: dict[str, Any]) -> float:
    union = part["predicted"] + part["true"] - part["predicted_and_true"]
    return float(part["predicted_and_true"] / max(1, union))


def _complement(of_image: Callable[[Image], tuple[float, float]]) -> Callable[[Image], tuple[float, float]]:
    def complement(image: Image) -> tuple[float, float]:
        above, below = of_image(image)
        return below - above, below

    return complement


STATISTICS: tuple[Statistic, ...] = (
    Statistic("IoU", "IoU of P with the true lesions, mean over images with a lesion", _image_mean(_iou)),
    Statistic("precision", "share of P's pixels that are true lesion", _ratio("predicted_and_true", "predicted")),
    Statistic("recall", "share of the true lesions' pixels in P", _ratio("predicted_and_true", "true")),
    Statistic(
        "lesion IoU",
        "IoU of P within 10 mm of a loose outline with its lesion, mean over lesions, a missed one counting 0",
        _lesion_mean(_iou),
    ),
    Statistic(
        "boundary mm",
        "mean symmetric distance of the two boundaries, mean over lesions that P comes within 10 mm of",
        _lesion_mean(lambda lesion: lesion["boundary_mm"]),
    ),
    Statistic(
        "confused px", "breast pixels with .1 < p < .9, mean over images with a lesion",
        _image_mean(lambda image: float(image["confused"])),
    ),
    Statistic("IoP", "share of P's pixels inside a loose outline, images with a lesion",
              _ratio("predicted_and_loose", "predicted")),
    Statistic(
        "IoP lesion",
        "the same of P within 10 mm of an outline, mean over lesions",
        _lesion_mean(lambda x: x["predicted_and_loose"] / x["predicted"] if x["predicted"] else None),
    ),
    Statistic("found", "share of lesions that P touches", _lesion_mean(lambda x: float(x["predicted_and_true"] > 0))),
    Statistic("Spec_near", "share of the 10 mm round an outline that is not in P",
              _complement(_ratio("false_near", "near"))),
    Statistic("Spec_B", "share of the breast outside the outlines that is not in P, all images",
              _complement(_ratio("false_outside", "outside", positive=False))),
)  # fmt: skip
RANKED: dict[str, str] = {
    "AP@.5 true": "lesion AP at IoU .5 with the true outline",
    "AP@.5 loose": "lesion AP at IoU .5 with the loose outline",
    "sens@1FP": "sensitivity at 1 false positive per image, hit at IoU .2 with the true outline",
    "AUC": "image score, malignant against the rest",
}


def ranked(name: str, images: Sequence[Image], weights: Values) -> Values:
    """AP, sensitivity or AUC, float64 [draws], of images counted as often as ``weights`` [draws, images] say."""
    if name == "AUC":
        scores = [image["score"] for image in images]
        malignant = [image["pathology"] == "malignant" for image in images]
        return np.asarray(roc_auc(scores, malignant, weights=weights), np.float64)
    results = _results(images, "loose" if name.endswith("loose") else "true")
    if name.startswith("AP"):
        matches = match_lesions(results, minimum=0.5)
        return np.asarray(interpolated_average_precision(matches, weights=weights), np.float64)
    matches = match_lesions(results, minimum=FROC_MINIMUM_IOU)
    return np.asarray(froc_sensitivities(matches, [1.0], weights=weights)[:, 0], np.float64)


def summary(images: Sequence[Image]) -> dict[str, float]:
    """Every figure of one run."""
    one = np.ones((1, len(images)))
    values = {s.name: float(_weighted(_sums(s.of_image, images), one)[0]) for s in STATISTICS}
    return values | {name: float(ranked(name, images, one)[0]) for name in RANKED}


@dataclass(frozen=True)
class Estimate:
    """A figure of an arm: mean over seeds, 95 % interval by patients, the seeds' own values, and the draws."""

    value: float
    low: float
    high: float
    seeds: tuple[float, ...]
    draws: Values


def estimate(name: str, runs: Sequence[Sequence[Image]]) -> Estimate:
    """A figure of an arm; the same patients are drawn for every seed, and for every arm.

    Args:
        name: of STATISTICS or RANKED.
        runs: the measured images of each seed, all of the same images in the same order.
    """
    statistic = next((s for s in STATISTICS if s.name == name), None)
    if statistic is not None:
        return estimate_of(statistic.of_image, runs)
    return _estimate([partial(ranked, name, images) for images in runs], runs[0])


def estimate_of(of_image: Callable[[Image], tuple[float, float]], runs: Sequence[Sequence[Image]]) -> Estimate:
    """The same for any ratio of sums."""
    sums = [_sums(of_image, images) for images in runs]
    return _estimate([partial(_weighted, s) for s in sums], runs[0])


def ratio(above: Estimate, below: Estimate) -> tuple[float, float, float]:
    """Quotient of two arms' figures with its interval, paired: both drew the same patients."""
    drawn = above.draws / np.where(below.draws == 0.0, np.nan, below.draws)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return above.value / below.value if below.value else float("nan"), float(low), float(high)


def paired_boundary(first: Sequence[Sequence[Image]], second: Sequence[Sequence[Image]]) -> tuple[Estimate, Estimate]:
    """Boundary distance of two arms over the lesions that both come near, seed by seed."""
    pair: tuple[list[list[Image]], list[list[Image]]] = ([], [])
    for one, other in zip(first, second, strict=False):
        kept: tuple[list[Image], list[Image]] = ([], [])
        for a, b in zip(one, other, strict=True):
            both = [
                (p, q) for p, q in zip(a["lesions"], b["lesions"], strict=True)
                if p["boundary_mm"] is not None and q["boundary_mm"] is not None
            ]  # fmt: skip
            kept[0].append(a | {"lesions": [p for p, _ in both]})
            kept[1].append(b | {"lesions": [q for _, q in both]})
        pair[0].append(kept[0])
        pair[1].append(kept[1])
    of_image = _lesion_mean(lambda lesion: lesion["boundary_mm"])
    return estimate_of(of_image, pair[0]), estimate_of(of_image, pair[1])


def _sums(of_image: Callable[[Image], tuple[float, float]], images: Sequence[Image]) -> Values:
    return np.array([of_image(image) for image in images])


def _weighted(sums: Values, weights: Values) -> Values:
    above, below = weights @ sums[:, 0], weights @ sums[:, 1]
    return np.asarray(np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0))


def _estimate(seeds: Sequence[Callable[[Values], Values]], images: Sequence[Image]) -> Estimate:
    """seeds: of each the figure [draws] for weights [draws, images]."""
    weights = np.concatenate(list(patient_weights([image["patient"] for image in images], draws=DRAWS)))
    values = tuple(float(figure(np.ones((1, len(images))))[0]) for figure in seeds)
    drawn = np.mean([figure(weights) for figure in seeds], axis=0)
    finite = drawn[np.isfinite(drawn)]
    low, high = np.percentile(finite, [2.5, 97.5]) if finite.size else (float("nan"), float("nan"))
    return Estimate(float(np.mean(values)), float(low), float(high), values, drawn)


def _results(images: Sequence[Image], outline: str) -> list[ImageResult]:
    results = []
    for image in images:
        found = image["detections"]
        count = len(found[f"{outline}_areas"])
        results.append(
            ImageResult(
                patient=image["patient"],
                scores=np.array(found["scores"], float),
                intersections=np.array(found[f"and_{outline}"], np.int64).reshape(len(found["scores"]), count),
                predicted_areas=np.array(found["areas"], np.int64),
                reference_areas=np.array(found[f"{outline}_areas"], np.int64),
            )
        )
    return results
