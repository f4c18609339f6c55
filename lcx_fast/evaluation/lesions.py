"""Predicted lesions beside reference lesions, image by image: the table that the lesion metrics are made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core, ops
from ..by_value import by_value
from ..errors import InvalidArgument
from .checks import array_of, at_least, floats_of, spacing_of
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
        in_order = np.count_nonzero(self.scores[1:] <= self.scores[:-1])  # half the time of all(); never so of NaN
        if shape[0] and (in_order < shape[0] - 1 or np.isnan(self.scores[0])):
            raise InvalidArgument("scores must be in descending order, without NaN")

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
    probability: NDArray[np.floating[Any]],
    *,
    pixel_spacing_mm: float | tuple[float, float],
    threshold: float = 0.5,
    seed_threshold: float = 0.5,
    min_area_mm2: float = 25.0,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Components of {p > threshold}, 8-connected, of at least the area, holding a pixel above the seed threshold.

    Args:
        probability: [H, W] of any floating type, where NaN counts as below the threshold.
        pixel_spacing_mm: height and width of a pixel, or one number for both.
        threshold: of the mask.
        seed_threshold: that some pixel exceeds.
        min_area_mm2: smaller components are left out.

    Returns:
        int32 [H, W] with 1..D by descending score, and the scores, float64 [D]: mean of a component's top 10 % p.

    Raises:
        InvalidArgument: for an array or a spacing that is not that, or another number that is below 0 or NaN.
    """
    values = array_of(probability, "probabilities")
    if values.dtype.kind != "f":
        raise InvalidArgument(f"probabilities are {values.dtype}; needed: floating numbers from 0 to 1")
    row_mm, column_mm = spacing_of(pixel_spacing_mm)
    threshold, seed_threshold = at_least(threshold, 0, "threshold"), at_least(seed_threshold, 0, "seed_threshold")
    min_area_mm2 = at_least(min_area_mm2, 0, "min_area_mm2")
    components, count = ops.label_components(values > threshold)
    props = ops.region_props(components, np.ascontiguousarray(values, np.float32), count=count)
    assert props.max is not None and props.top_mean is not None
    kept = np.nonzero((props.area * (row_mm * column_mm) >= min_area_mm2) & (props.max > seed_threshold))[0]
    kept = kept[np.argsort(-props.top_mean[kept], kind="stable")]
    rank = np.zeros(count + 1, np.int32)
    rank[kept + 1] = np.arange(1, len(kept) + 1)
    return rank[components], props.top_mean[kept].astype(np.float64)


def compare(
    detections: ArrayLike,
    scores: ArrayLike,
    outlines: ArrayLike,
    *,
    patient: str,
    name: str = "",
    pixel_spacing_mm: float | tuple[float, float] | None = None,
    classes: Sequence[str] = (),
) -> ImageResult:
    """Two label maps of one image, compared.

    Args:
        detections: integers [H, W], 0 and 1..D by descending score.
        scores: [D], descending, without NaN.
        outlines: integers [H, W], the reference lesions; numbers may have gaps; 0 and less are background.
        patient: of the image.
        name: of the image.
        pixel_spacing_mm: height and width of a pixel, or one number for both, for lesion sizes.
        classes: of the reference lesions in order of their numbers, or none.

    Raises:
        InvalidArgument: if the shapes differ, or the numbers and scores do, or arrays are of another kind.
    """
    found, values = _label_map(detections, "detections"), floats_of(scores)
    references, count = _renumbered(_label_map(outlines, "outlines"))
    if found.shape != references.shape:
        raise InvalidArgument(f"detections are {found.shape}, outlines {references.shape}; shapes must be equal")
    if values.ndim != 1 or int(found.max(initial=0)) > len(values):
        raise InvalidArgument(f"detections are numbered to {found.max(initial=0)}; scores have shape {values.shape}")
    if found.dtype.kind == "i" and int(found.min(initial=0)) < 0:
        raise InvalidArgument(f"detections hold {found.min()}; needed: 0 for background, then 1, 2, ...")
    width = count + 1
    pairs = np.bincount((found.astype(np.int64) * width + references).ravel(), minlength=(len(values) + 1) * width)
    table = pairs.reshape(len(values) + 1, width)
    return ImageResult(
        patient=patient,
        scores=values,
        intersections=table[1:, 1:],
        predicted_areas=table[1:].sum(axis=1),
        reference_areas=table[:, 1:].sum(axis=0),
        name=name,
        pixel_area_mm2=_pixel_area(pixel_spacing_mm),
        classes=tuple(classes),
        centre_inside=_centres_inside(found, references, len(values), count),
    )


def compare_points(
    points: ArrayLike,
    scores: ArrayLike,
    outlines: ArrayLike,
    *,
    patient: str,
    name: str = "",
    pixel_spacing_mm: float | tuple[float, float] | None = None,
) -> ImageResult:
    """Detections that are only points, as in LUNA16, beside a label map; match them with ``overlap="centre"``.

    ``match_points`` compares and matches many images at once.

    Args:
        points: [D, 2], (y, x) in pixels, pixel (i, j) covering [i, i + 1) x [j, j + 1); outside the image is allowed.
        scores: [D], in any order, without NaN.
        outlines: integers [H, W], the reference lesions; numbers may have gaps; 0 and less are background.
        patient: of the image.
        name: of the image.
        pixel_spacing_mm: height and width of a pixel, or one number for both, for lesion sizes.

    Raises:
        InvalidArgument: if there are not as many points as scores, or the outlines are no integers.
    """
    where, values = floats_of(points, "points"), floats_of(scores)
    if values.ndim != 1 or (where.shape != (len(values), 2) and where.size + values.size):
        raise InvalidArgument(f"points have shape {where.shape}, scores {values.shape}; needed: [D, 2] and [D]")
    if np.isnan(where).any():
        raise InvalidArgument("points hold NaN; remove or replace those first")
    ordered, lesion, areas, _ = _core.compare_points(
        where.reshape(-1, 2), values, counts=[len(values)], outlines=[_label_map(outlines, "outlines")], threads=1
    )
    inside = lesion[:, None] == np.arange(len(areas))
    return ImageResult(
        patient=patient,
        scores=ordered,
        intersections=np.zeros(inside.shape, np.int64),
        predicted_areas=np.zeros(len(ordered), np.int64),
        reference_areas=areas,
        name=name,
        pixel_area_mm2=_pixel_area(pixel_spacing_mm),
        centre_inside=inside,
    )


def checked_results(results: Iterable[ImageResult]) -> list[ImageResult]:
    """As a list, refused with InvalidArgument if it is one result, or holds something else."""
    if isinstance(results, ImageResult) or not isinstance(results, Iterable):
        raise InvalidArgument(f"results are a {type(results).__name__}; needed: a list of ImageResult, one per image")
    listed = list(results)
    for result in listed:
        if not isinstance(result, ImageResult):
            raise InvalidArgument(f"results hold a {type(result).__name__}; needed: ImageResult, as compare makes them")
    return listed


def intersection_over_prediction(results: Sequence[ImageResult], *, weights: ArrayLike | None = None) -> Any:
    """IoP, micro: the share of all predicted pixels, on images with lesions, that lie in a lesion.

    Args:
        results: one per image.
        weights: how often each image counts, [B, I]; see ``patient_bootstrap``.

    Returns:
        A float, or float64 [B] with weights; 0 where nothing was predicted.
    """
    results = checked_results(results)
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
    results = checked_results(results)
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


def _label_map(labels: ArrayLike, what: str) -> NDArray[Any]:
    """Integers [H, W]; a mask counts as 0 and 1."""
    array = array_of(labels, what)
    if array.dtype == bool:
        array = array.view(np.uint8)
    if array.dtype.kind not in "iu" or array.ndim != 2:
        raise InvalidArgument(f"{what} are {array.dtype} {array.shape}; needed: integers [H, W], 0 = background")
    return array


def _renumbered(outlines: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """The numbers above 0 as 1..G in their order, all others as 0; and G."""
    ids = np.unique(outlines[outlines > 0])
    highest = int(ids.max(initial=0))
    if highest > max(outlines.size, 1 << 16):  # a table of all numbers would be larger than the map
        return np.where(outlines > 0, np.searchsorted(ids, outlines) + 1, 0), len(ids)
    position = np.zeros(highest + 1, np.int64)
    position[ids] = np.arange(1, len(ids) + 1)
    return position[np.maximum(outlines, 0)], len(ids)


def _pixel_area(pixel_spacing_mm: float | tuple[float, float] | None) -> float | None:
    if pixel_spacing_mm is None:
        return None
    row_mm, column_mm = spacing_of(pixel_spacing_mm)
    return row_mm * column_mm


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
