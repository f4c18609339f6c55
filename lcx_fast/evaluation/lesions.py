"""Predicted lesions beside reference lesions, image by image: the table that the lesion metrics are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core, ops
from ..by_value import by_value
from ..errors import InvalidArgument
from .ranking import check_weights


@by_value
@dataclass(frozen=True, eq=False)
class ImageResult:
    """One image's D detections against its G reference lesions.

    Attributes:
        patient: redrawn together by the bootstrap.
        scores: float64 [D], descending.
        intersections: [D, G], in pixels, like the areas.
        predicted_areas: [D].
        reference_areas: [G].
        name: of the image.
        pixel_area_mm2: of one pixel; None where it is unknown, and then there are no lesion sizes.
        classes: G classes, or empty.
        centre_inside: bool [D, G]: whether the detection's centroid lies in the reference lesion; None if not known.
    """

    patient: str
    scores: NDArray[np.float64]
    intersections: NDArray[Any]
    predicted_areas: NDArray[Any]
    reference_areas: NDArray[Any]
    name: str = ""
    pixel_area_mm2: float | None = None
    classes: tuple[str, ...] = ()
    centre_inside: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.predicted_areas), len(self.reference_areas))
        if self.intersections.shape != shape or len(self.scores) != shape[0]:
            raise InvalidArgument(
                f"{len(self.scores)} scores, intersections {self.intersections.shape}; needed: {shape[0]} and {shape}"
            )
        if self.classes and len(self.classes) != shape[1]:
            raise InvalidArgument(f"{len(self.classes)} classes; needed: none or {shape[1]}")
        if np.count_nonzero(self.scores[1:] > self.scores[:-1]):  # half the time of any()
            raise InvalidArgument("scores must be in descending order")

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union, [D, G]; 0 of two empty ones."""
        union = self.predicted_areas[:, None] + self.reference_areas[None, :] - self.intersections
        return np.asarray(self.intersections / np.where(union > 0, union, 1))

    @property
    def iop(self) -> NDArray[np.float64]:
        """Share of each detection inside the union of the reference lesions (which do not overlap), [D]."""
        return np.asarray(self.iop_by_lesion.sum(axis=1))

    @property
    def iop_by_lesion(self) -> NDArray[np.float64]:
        """Share of each detection inside each reference lesion, [D, G]."""
        area = np.where(self.predicted_areas > 0, self.predicted_areas, 1)
        return np.asarray(self.intersections / area[:, None])


def find_detections(
    probability: NDArray[np.float32],
    *,
    pixel_spacing_mm: float,
    threshold: float = 0.5,
    seed_threshold: float = 0.5,
    min_area_mm2: float = 25.0,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Components of {p > threshold}, 8-connected, of at least the area, holding a pixel above the seed threshold.

    Args:
        probability: float32 [H, W] without NaN.
        pixel_spacing_mm: side of a pixel.
        threshold: of the mask.
        seed_threshold: that some pixel exceeds.
        min_area_mm2: smaller components are left out.

    Returns:
        int32 [H, W] with 1..D by descending score, and the scores, float64 [D]: mean of a component's top 10 % p.
    """
    components, count = ops.label_components(probability > threshold)
    props = ops.region_props(components, np.ascontiguousarray(probability, np.float32), count=count)
    assert props.max is not None and props.top_mean is not None
    kept = np.nonzero((props.area * pixel_spacing_mm**2 >= min_area_mm2) & (props.max > seed_threshold))[0]
    kept = kept[np.argsort(-props.top_mean[kept], kind="stable")]
    rank = np.zeros(count + 1, np.int32)
    rank[kept + 1] = np.arange(1, len(kept) + 1)
    return rank[components], props.top_mean[kept].astype(np.float64)


def compare(
    detections: NDArray[Any],
    scores: NDArray[np.float64],
    outlines: NDArray[Any],
    *,
    patient: str,
    name: str = "",
    pixel_spacing_mm: float | None = None,
    classes: Sequence[str] = (),
) -> ImageResult:
    """Two label maps of one image, compared.

    Args:
        detections: [H, W], 0 and 1..D by descending score.
        scores: float64 [D].
        outlines: [H, W], the reference lesions; numbers may have gaps; 0 and less are background.
        patient: of the image.
        name: of the image.
        pixel_spacing_mm: side of a pixel, for lesion sizes.
        classes: of the reference lesions in order of their numbers, or none.

    Raises:
        InvalidArgument: if the shapes differ, or the numbers and scores do.
    """
    if detections.shape != outlines.shape:
        raise InvalidArgument(f"detections are {detections.shape}, outlines {outlines.shape}; shapes must be equal")
    if int(detections.max(initial=0)) > len(scores):
        raise InvalidArgument(f"detections are numbered to {detections.max()}; there are {len(scores)} scores")
    ids = np.unique(outlines[outlines > 0])
    position = np.zeros(int(ids.max(initial=0)) + 1, np.int64)
    position[ids] = np.arange(1, len(ids) + 1)
    references = position[np.maximum(outlines, 0)]
    width = len(ids) + 1
    pairs = np.bincount((detections.astype(np.int64) * width + references).ravel(), minlength=(len(scores) + 1) * width)
    table = pairs.reshape(len(scores) + 1, width)
    return ImageResult(
        patient=patient,
        scores=np.asarray(scores, np.float64),
        intersections=table[1:, 1:],
        predicted_areas=table[1:].sum(axis=1),
        reference_areas=table[:, 1:].sum(axis=0),
        name=name,
        pixel_area_mm2=None if pixel_spacing_mm is None else pixel_spacing_mm**2,
        classes=tuple(classes),
        centre_inside=_centres_inside(detections, references, len(scores), len(ids)),
    )


def compare_points(
    points: ArrayLike,
    scores: ArrayLike,
    outlines: NDArray[Any],
    *,
    patient: str,
    name: str = "",
    pixel_spacing_mm: float | None = None,
) -> ImageResult:
    """Detections that are only points, as in LUNA16, beside a label map; match them with ``overlap="centre"``.

    ``match_points`` compares and matches many images at once.

    Args:
        points: [D, 2], (y, x) in pixels, pixel (i, j) covering [i, i + 1) x [j, j + 1); outside the image is allowed.
        scores: [D], in any order.
        outlines: integer [H, W], the reference lesions; numbers may have gaps; 0 and less are background.
        patient: of the image.
        name: of the image.
        pixel_spacing_mm: side of a pixel, for lesion sizes.

    Raises:
        InvalidArgument: if there are not as many points as scores, or the outlines are no integers.
    """
    where = np.asarray(points, np.float64).reshape(-1, 2)
    values = np.asarray(scores, np.float64)
    if values.shape != (len(where),):
        raise InvalidArgument(f"{len(where)} points, scores of shape {values.shape}; needed: [{len(where)}]")
    ordered, lesion, areas, _ = _core.compare_points(
        where, values, counts=[len(where)], outlines=[np.asarray(outlines)], threads=1
    )
    inside = lesion[:, None] == np.arange(len(areas))
    return ImageResult(
        patient=patient,
        scores=ordered,
        intersections=np.zeros(inside.shape, np.int64),
        predicted_areas=np.zeros(len(ordered), np.int64),
        reference_areas=areas,
        name=name,
        pixel_area_mm2=None if pixel_spacing_mm is None else pixel_spacing_mm**2,
        centre_inside=inside,
    )


def intersection_over_prediction(results: Sequence[ImageResult], *, weights: ArrayLike | None = None) -> Any:
    """IoP, micro: the share of all predicted pixels, on images with lesions, that lie in a lesion.

    Args:
        results: one per image.
        weights: how often each image counts, [B, I]; see ``patient_bootstrap``.

    Returns:
        A float, or float64 [B] with weights; 0 where nothing was predicted.
    """
    rows = check_weights(weights, len(results))
    has_lesion = np.array([len(result.reference_areas) > 0 for result in results], bool)
    inside = rows @ (np.array([float(result.intersections.sum()) for result in results]) * has_lesion)
    predicted = rows @ (np.array([float(result.predicted_areas.sum()) for result in results]) * has_lesion)
    share = inside / np.where(predicted > 0, predicted, 1.0)
    return float(share[0]) if weights is None else share


def mean_iop_by_lesion(results: Sequence[ImageResult], *, weights: ArrayLike | None = None) -> Any:
    """IoP, per lesion: over the reference lesions that detections touch, the mean of the share of those detections that
    lies in any reference lesion.

    Arguments and result as of ``intersection_over_prediction``; NaN where no lesion is touched.
    """
    rows = check_weights(weights, len(results))
    sums, counts = np.zeros(len(results)), np.zeros(len(results))
    for k, result in enumerate(results):
        inside = result.intersections.sum(axis=1)
        for column in np.asarray(result.intersections).T:
            touching = column > 0
            if touching.any():
                sums[k] += inside[touching].sum() / result.predicted_areas[touching].sum()
                counts[k] += 1
    total = rows @ counts
    mean = np.where(total > 0, rows @ sums / np.where(total > 0, total, 1.0), np.nan)
    return float(mean[0]) if weights is None else mean


def _centres_inside(
    detections: NDArray[Any], references: NDArray[np.int64], count: int, reference_count: int
) -> NDArray[np.bool_]:
    """Whether the pixel under each detection's centroid belongs to each reference lesion, [D, G]."""
    inside = np.zeros((count, reference_count), bool)
    if count and reference_count:
        props = ops.region_props(np.ascontiguousarray(detections, np.int32), count=count)
        for k in np.nonzero(props.area)[0]:
            y, x = (int(c) for c in props.centroid[k])
            if references[y, x]:
                inside[k, references[y, x] - 1] = True
    return inside
