"""The published metrics in plain NumPy: lesions as components, matched to outlines; images by their score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

FALSE_POSITIVES_PER_IMAGE = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class ImageResult:
    """One image's detections against its outlines.

    scores [D], descending. intersections [D, G] and areas [D], [G] in pixels. outlined: the union A's
    intersection with all detections together, for IoP over pixels.
    """

    patient: str
    scores: NDArray[np.float64]
    intersections: NDArray[np.int64]
    predicted_areas: NDArray[np.int64]
    reference_areas: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        union = self.predicted_areas[:, None] + self.reference_areas[None, :] - self.intersections
        return np.asarray(self.intersections / np.maximum(union, 1))

    @property
    def iop(self) -> NDArray[np.float64]:
        """Share of each detection inside the union of the outlines, [D]."""
        return np.asarray(self.intersections.sum(axis=1) / np.maximum(self.predicted_areas, 1))


def find_detections(
    probability: NDArray[np.float32],
    *,
    pixel_spacing_mm: float,
    threshold: float = 0.5,
    seed_threshold: float = 0.5,
    min_area_mm2: float = 25.0,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Components of {p > threshold} of at least the area, holding a pixel above the seed threshold.

    Returns:
        label map [H, W] with 1..D by descending score, and the scores [D]: mean of a component's top 10 % p.
    """
    components, _ = ndimage.label(probability > threshold, structure=np.ones((3, 3)))
    found = []
    for index, box in enumerate(ndimage.find_objects(components), start=1):
        member = components[box] == index
        values = probability[box][member]
        if values.size * pixel_spacing_mm**2 >= min_area_mm2 and values.max() > seed_threshold:
            top = np.sort(values)[-max(1, int(np.ceil(0.1 * values.size))) :]
            found.append((float(top.mean()), index, box))
    found.sort(key=lambda item: -item[0])
    labels = np.zeros(probability.shape, np.int32)
    for rank, (_, index, box) in enumerate(found, start=1):
        labels[box][components[box] == index] = rank
    return labels, np.array([score for score, _, _ in found], float)


def compare(
    detections: NDArray[np.int32], scores: NDArray[np.float64], outlines: NDArray[np.int16], *, patient: str
) -> ImageResult:
    """Intersections of detections 1..D with outlines 1..G; outlines may be numbered with gaps."""
    ids = np.unique(outlines[outlines > 0])
    position = np.zeros(int(ids.max(initial=0)) + 1, np.int64)
    position[ids] = np.arange(1, len(ids) + 1)
    references = position[np.maximum(outlines, 0)]
    table = np.zeros((len(scores) + 1, len(ids) + 1), np.int64)
    np.add.at(table, (detections.ravel(), references.ravel()), 1)
    return ImageResult(
        patient=patient,
        scores=scores,
        intersections=table[1:, 1:],
        predicted_areas=table[1:].sum(axis=1),
        reference_areas=table[:, 1:].sum(axis=0),
    )


def greedy_matches(overlap: NDArray[np.float64], *, minimum: float) -> NDArray[np.bool_]:
    """One to one, detections in order of descending score, each to the free outline it overlaps most. [D]."""
    hit = np.zeros(overlap.shape[0], bool)
    free = np.ones(overlap.shape[1], bool)
    for detection, row in enumerate(overlap):
        allowed = np.where(free, row, -1.0)
        if allowed.size and allowed.max() >= minimum:
            hit[detection] = True
            free[int(allowed.argmax())] = False
    return hit


def _pooled(
    results: Sequence[ImageResult], overlap: Callable[[ImageResult], NDArray[np.float64]], minimum: float
) -> tuple[NDArray[np.bool_], int]:
    """Hits of all images' detections in order of descending score, and the number of outlines."""
    scores = np.concatenate([result.scores for result in results]) if results else np.zeros(0)
    hits = [greedy_matches(overlap(result), minimum=minimum) for result in results]
    order = np.argsort(-scores, kind="stable")
    return (np.concatenate(hits) if hits else np.zeros(0, bool))[order], sum(len(r.reference_areas) for r in results)


def average_precision(results: Sequence[ImageResult], *, minimum_iou: float = 0.5) -> float:
    """All-point interpolated AP over all images' detections (PASCAL VOC 2010 and later)."""
    hits, outlines = _pooled(results, lambda result: result.iou, minimum_iou)
    if outlines == 0 or not hits.size:
        return 0.0
    true_positives = np.cumsum(hits)
    precision = true_positives / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / outlines)


def average_precision_iop(results: Sequence[ImageResult], *, minimum_iop: float = 0.75) -> float:
    """AP where a hit is a detection lying by ``minimum_iop`` in the one outline it is matched to."""

    def share(result: ImageResult) -> NDArray[np.float64]:
        return result.intersections / np.maximum(result.predicted_areas, 1)[:, None]

    hits, outlines = _pooled(results, share, minimum_iop)
    if outlines == 0 or not hits.size:
        return 0.0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(np.maximum.accumulate(precision[::-1])[::-1][hits].sum() / outlines)


def sensitivity_at(
    results: Sequence[ImageResult], *, false_positives_per_image: float, minimum_iou: float = 0.2
) -> float:
    """Share of outlines found at the threshold that keeps false positives at or under the rate (FROC)."""
    hits, outlines = _pooled(results, lambda result: result.iou, minimum_iou)
    allowed = false_positives_per_image * len(results)
    kept = np.cumsum(~hits) <= allowed
    return float(hits[kept].sum() / outlines) if outlines else 0.0


def score_at(results: Sequence[ImageResult], *, false_positives_per_image: float, minimum_iou: float = 0.2) -> float:
    """The lowest lesion score kept at that rate; 1 where none is."""
    hits, _ = _pooled(results, lambda result: result.iou, minimum_iou)
    kept = int((np.cumsum(~hits) <= false_positives_per_image * len(results)).sum())
    scores = np.sort(np.concatenate([result.scores for result in results]))[::-1]
    return float(scores[kept - 1]) if kept else 1.0


def intersection_over_prediction(results: Sequence[ImageResult]) -> float:
    """IoP, micro: the share of all predicted pixels, over images with outlines, that lie in an outline."""
    with_outlines = [result for result in results if len(result.reference_areas)]
    inside = sum(int(result.intersections.sum()) for result in with_outlines)
    predicted = sum(int(result.predicted_areas.sum()) for result in with_outlines)
    return inside / predicted if predicted else 0.0


def roc_auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve as the Mann-Whitney statistic; ties count half. NaN without both classes."""
    high, low = scores[positive], scores[~positive]
    if not high.size or not low.size:
        return float("nan")
    difference = high[:, None] - low[None, :]
    return float((np.sum(difference > 0) + 0.5 * np.sum(difference == 0)) / difference.size)


def patient_bootstrap(
    patients: Sequence[str],
    statistic: Callable[[NDArray[np.int64]], float],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile 95 % interval of ``statistic(indices)`` with whole patients redrawn; NaN draws left out."""
    random = np.random.default_rng(seed)
    names = np.array(patients)
    groups = [np.nonzero(names == name)[0] for name in dict.fromkeys(patients)]
    values = []
    for _ in range(draws):
        chosen = random.integers(0, len(groups), len(groups))
        values.append(statistic(np.concatenate([groups[index] for index in chosen])))
    finite = np.array([value for value in values if np.isfinite(value)])
    if not finite.size:
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)
