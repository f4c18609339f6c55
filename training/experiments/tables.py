"""Figures from the measurements of images, each as a ratio of sums, so that redrawing patients is a product.

A statistic of a set of images is sum(above) / sum(below): for a mean over lesions `above` holds an image's sum over
its lesions and `below` their number. AP, sensitivity and AUC rank everything and are computed anew per draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import metrics

Image = dict[str, Any]
Values = NDArray[np.float64]
DRAWS = 1000
RANKED_DRAWS = 300


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


def ranked(name: str, images: Sequence[Image]) -> float:
    """AP, sensitivity or AUC of a set of images."""
    if name == "AUC":
        scores = np.array([image["score"] for image in images])
        return metrics.roc_auc(scores, np.array([image["pathology"] == "malignant" for image in images]))
    results = _results(images, "loose" if name.endswith("loose") else "true")
    if name.startswith("AP"):
        return metrics.average_precision(results)
    return metrics.sensitivity_at(results, false_positives_per_image=1.0)


def summary(images: Sequence[Image]) -> dict[str, float]:
    """Every statistic of one run."""
    one = np.ones((1, len(images)))
    values = {s.name: float(_weighted(one, _sums(s, images))[0]) for s in STATISTICS}
    return values | {name: ranked(name, images) for name in RANKED}


@dataclass(frozen=True)
class Estimate:
    """A figure of an arm: mean over seeds, 95 % interval by patients, the seeds' own values, and the draws."""

    value: float
    low: float
    high: float
    seeds: tuple[float, ...]
    draws: Values


def patient_draws(images: Sequence[Image], *, draws: int = DRAWS, seed: int = 0) -> NDArray[np.float64]:
    """How often each image is in each redrawing of the patients, float64 [draws, images]."""
    random = np.random.default_rng(seed)
    names = {patient: k for k, patient in enumerate(dict.fromkeys(image["patient"] for image in images))}
    owner = np.array([names[image["patient"]] for image in images])
    counts = np.stack(
        [np.bincount(random.integers(0, len(names), len(names)), minlength=len(names)) for _ in range(draws)]
    )
    return np.asarray(counts[:, owner], np.float64)


def estimate(name: str, runs: Sequence[Sequence[Image]]) -> Estimate:
    """A statistic of an arm; the same patients are drawn for every seed, and for every arm.

    Args:
        name: of STATISTICS or RANKED.
        runs: the measured images of each seed, all of the same images in the same order.
    """
    statistic = next((s for s in STATISTICS if s.name == name), None)
    if statistic is not None:
        return estimate_of(statistic.of_image, runs)
    weights = patient_draws(runs[0], draws=RANKED_DRAWS)
    values = tuple(ranked(name, images) for images in runs)
    drawn = np.zeros(len(weights))
    for k, row in enumerate(weights):
        chosen = np.repeat(np.arange(len(row)), row.astype(int)).tolist()
        drawn[k] = np.mean([ranked(name, [images[i] for i in chosen]) for images in runs])
    return _estimate(values, drawn)


def estimate_of(of_image: Callable[[Image], tuple[float, float]], runs: Sequence[Sequence[Image]]) -> Estimate:
    """The same for any ratio of sums."""
    weights = patient_draws(runs[0])
    sums = [np.array([of_image(image) for image in images]) for images in runs]
    values = tuple(float(_weighted(np.ones((1, len(s))), s)[0]) for s in sums)
    return _estimate(values, np.mean([_weighted(weights, s) for s in sums], axis=0))


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


def _sums(statistic: Statistic, images: Sequence[Image]) -> Values:
    return np.array([statistic.of_image(image) for image in images])


def _weighted(weights: Values, sums: Values) -> Values:
    above, below = weights @ sums[:, 0], weights @ sums[:, 1]
    return np.asarray(np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0))


def _estimate(values: tuple[float, ...], drawn: Values) -> Estimate:
    finite = drawn[np.isfinite(drawn)]
    low, high = np.percentile(finite, [2.5, 97.5]) if finite.size else (float("nan"), float("nan"))
    return Estimate(float(np.mean(values)), float(low), float(high), values, drawn)


def _results(images: Sequence[Image], outline: str) -> list[metrics.ImageResult]:
    results = []
    for image in images:
        found = image["detections"]
        count = len(found[f"{outline}_areas"])
        results.append(
            metrics.ImageResult(
                patient=image["patient"],
                scores=np.array(found["scores"], float),
                intersections=np.array(found[f"and_{outline}"], np.int64).reshape(len(found["scores"]), count),
                predicted_areas=np.array(found["areas"], np.int64),
                reference_areas=np.array(found[f"{outline}_areas"], np.int64),
            )
        )
    return results
