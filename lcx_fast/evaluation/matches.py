"""All detections of all images in one table, each hit or not: match once, then draw, resample, or cut by class."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..by_value import by_value
from ..errors import InvalidArgument
from .checks import check_patients, floats_of, grouped, one_of
from .lesions import ImageResult, checked_results
from .ranking import check_weights, distinct_ends

Floats = NDArray[np.float64]

#: What a detection must reach: intersection over union, intersection over prediction, or its centre in the lesion.
Overlap = Literal["iou", "iop", "centre"]
#: What is to be found: each lesion, or any lesion of an image, or of a patient.
Unit = Literal["lesion", "image", "patient"]

_UNITS = ("lesion", "image", "patient")
_DUPLICATES = ("false_positive", "ignored")

HIT, FALSE_POSITIVE, IGNORED = 1, 0, -1


@by_value
@dataclass(frozen=True, eq=False)
class Matches:
    """N detections of I images, in order of descending score.

    Attributes:
        scores: float64 [N].
        state: int8 [N]: HIT, FALSE_POSITIVE or IGNORED.
        image: [N], index of the detection's image.
        lesion: [N], index of the lesion hit, -1 for none.
        lesion_image: [M], index of each lesion's image.
        lesion_counts: bool [M], whether the lesion is among those to be found.
        lesion_area_mm2: float64 [M], NaN where it is unknown.
        lesion_class: M classes, "" where it is unknown.
        patients: I patients.
    """

    scores: Floats
    state: NDArray[np.int8]
    image: NDArray[np.intp]
    lesion: NDArray[np.intp]
    lesion_image: NDArray[np.intp]
    lesion_counts: NDArray[np.bool_]
    lesion_area_mm2: Floats
    lesion_class: NDArray[np.str_]
    patients: tuple[str, ...]

    @property
    def images(self) -> int:
        """I."""
        return len(self.patients)

    def of_lesions(self, chosen: ArrayLike) -> Matches:
        """Only some lesions to be found: a detection that hit another is neither hit nor false positive.

        Args:
            chosen: bool [M], for instance ``matches.lesion_class == "malignant"`` or ``lesion_area_mm2 < 100``.
        """
        counts = np.asarray(chosen, bool)
        if counts.shape != self.lesion_counts.shape:
            raise InvalidArgument(f"chosen has shape {counts.shape}; needed: {self.lesion_counts.shape}")
        counts = counts & self.lesion_counts
        state = self.state.copy()
        other = self.lesion >= 0
        other[other] = ~counts[self.lesion[other]]
        state[other] = IGNORED
        return replace(self, state=state, lesion_counts=counts)

    def units(self, unit: Unit) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """An image to stand for each thing to be found, [U]; and the detections that find one first, bool [N]."""
        one_of(unit, _UNITS, "unit")
        to_find = self.lesion_image[self.lesion_counts]
        hits = self.state == HIT
        if unit == "lesion":
            return to_find, hits
        if unit == "image":
            group = np.arange(self.images)
        else:
            _, group = grouped(self.patients, "patients")
        _, first_image = np.unique(group[to_find], return_index=True)
        positions = np.nonzero(hits)[0]
        _, first_hit = np.unique(group[self.image[positions]], return_index=True)
        found = np.zeros(len(hits), bool)
        found[positions[first_hit]] = True
        return to_find[first_image], found


@by_value
@dataclass(frozen=True, eq=False)
class Counts:
    """At each distinct score, highest first, what scores at least that much; one row per resample.

    Attributes:
        thresholds: float64 [K].
        found: float64 [B, K].
        false_positives: float64 [B, K].
        to_find: float64 [B].
        images: float64 [B], those false positives are counted on.
    """

    thresholds: Floats
    found: Floats
    false_positives: Floats
    to_find: Floats
    images: Floats


def match_lesions(
    results: Sequence[ImageResult],
    *,
    overlap: Overlap = "iou",
    minimum: float = 0.5,
    duplicates: Literal["false_positive", "ignored"] = "false_positive",
) -> Matches:
    """Match detections to lesions, greedily and one to one: by descending score, each to the free lesion it overlaps
    most, if by at least ``minimum`` (of equal overlaps the last one, as COCO does).

    Args:
        results: one per image; images without lesions or detections count too.
        overlap: what must reach ``minimum``: IoU, IoP (the share of the detection in that lesion), or ``"centre"``:
            the detection's centroid lies in the lesion.
        minimum: above 0, at most 1; no matter for ``"centre"``.
        duplicates: what a detection is that reaches ``minimum`` only with lesions found before it: a false positive
            (the usual convention for mammograms), or ignored (LUNA16's).

    Raises:
        InvalidArgument: for results, a ``minimum`` or a word that are none of these.
    """
    results = checked_results(results)
    one_of(duplicates, _DUPLICATES, "duplicates")
    if not (isinstance(minimum, numbers.Real) and 0 < minimum <= 1):
        raise InvalidArgument(f"minimum overlap {minimum}; needed: more than 0, at most 1")
    least = 0.5 if overlap == "centre" else minimum
    lesion, reached = _core.match_lesions([_overlap_table(result, overlap) for result in results], minimum=least)
    state = np.where(lesion >= 0, HIT, FALSE_POSITIVE).astype(np.int8)
    if duplicates == "ignored":
        state[(lesion < 0) & (reached != 0)] = IGNORED
    scores = _join([result.scores for result in results], np.float64)
    order = _best_first(scores)
    reference_counts = [len(result.reference_areas) for result in results]
    pixel_areas = [np.nan if result.pixel_area_mm2 is None else result.pixel_area_mm2 for result in results]
    areas = _join([result.reference_areas for result in results], np.float64)
    return Matches(
        scores=scores[order],
        state=state[order],
        image=np.repeat(np.arange(len(results)), [len(result.scores) for result in results])[order],
        lesion=lesion[order],
        lesion_image=np.repeat(np.arange(len(results)), reference_counts),
        lesion_counts=np.ones(len(areas), bool),
        lesion_area_mm2=areas * np.repeat(np.array(pixel_areas, np.float64), reference_counts),
        lesion_class=np.array([c for r in results for c in (r.classes or [""] * len(r.reference_areas))], np.str_),
        patients=tuple(result.patient for result in results),
    )


def match_points(
    points: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    outlines: Sequence[ArrayLike],
    *,
    patients: Sequence[str],
    pixel_spacing_mm: Sequence[float | None] | Sequence[tuple[float, float]] | None = None,
    duplicates: Literal["false_positive", "ignored"] = "ignored",
    threads: int = 0,
) -> Matches:
    """Detections that are only points, as in LUNA16: a point finds the lesion it lies in, the best one of several.

    The same as ``compare_points`` on each image and ``match_lesions(..., overlap="centre")``, several times as fast.

    Args:
        points: of each image [D, 2], (y, x) in pixels, pixel (i, j) covering [i, i + 1) x [j, j + 1).
        scores: of each image [D], in any order, without NaN.
        outlines: of each image integers [H, W], the reference lesions: each number above 0 is one.
        patients: one per image.
        pixel_spacing_mm: for lesion sizes, one per image: all the side of a pixel, or all its height and width; None or
            NaN where it is unknown.
        duplicates: what further points in a lesion are: ignored, as LUNA16 does, or false positives.
        threads: most threads to use; 0 = all.

    Raises:
        InvalidArgument: for numbers of images or of points that differ, NaN scores, or outlines that are no integers.
    """
    one_of(duplicates, _DUPLICATES, "duplicates")
    check_patients(patients)
    images = len(patients)
    given = {"points": len(points), "scores": len(scores), "outlines": len(outlines)}
    for what, count in given.items():
        if count != images:
            raise InvalidArgument(f"{what} of {count} images, patients of {images}; needed: equally many")
    pixel_area = _pixel_areas(pixel_spacing_mm, images)
    where, values, per_image = _join_points(points, scores)
    if np.isnan(values).any() or np.isnan(where).any():
        raise InvalidArgument("points or scores hold NaN; remove or replace those points first")
    ordered, lesion, areas, counts = _core.compare_points(
        where, values, counts=per_image, outlines=[np.asarray(labels) for labels in outlines], threads=threads
    )
    # The first point in a lesion is its image's best.
    _, first = np.unique(lesion, return_index=True)
    state = np.where(lesion >= 0, IGNORED if duplicates == "ignored" else FALSE_POSITIVE, FALSE_POSITIVE).astype(
        np.int8
    )
    state[first] = np.where(lesion[first] >= 0, HIT, FALSE_POSITIVE)
    order = _best_first(ordered)
    return Matches(
        scores=ordered[order],
        state=state[order],
        image=np.repeat(np.arange(images), per_image)[order],
        lesion=np.where(state == HIT, lesion, -1)[order],
        lesion_image=np.repeat(np.arange(images), counts),
        lesion_counts=np.ones(len(areas), bool),
        lesion_area_mm2=areas * np.repeat(pixel_area, counts),
        lesion_class=np.full(len(areas), "", np.str_),
        patients=tuple(patients),
    )


def count_by_threshold(
    matches: Matches,
    *,
    unit: Unit = "lesion",
    false_positives_on: Literal["all", "normal"] = "all",
    weights: ArrayLike | None = None,
) -> Counts:
    """What every threshold finds and what it costs.

    Args:
        matches: from ``match_lesions``.
        unit: what is to be found.
        false_positives_on: count them on all images or only on those without any lesion.
        weights: how often each image counts, [B, I], as ``patient_weights`` gives them; None: once.
    """
    if not isinstance(matches, Matches):
        raise InvalidArgument(
            f"matches are a {type(matches).__name__}; needed: Matches, as match_lesions makes of results"
        )
    one_of(false_positives_on, ("all", "normal"), "false_positives_on")
    rows = check_weights(weights, matches.images)
    representatives, found = matches.units(unit)
    false_positive = matches.state == FALSE_POSITIVE
    counted = np.ones(matches.images, bool)
    if false_positives_on == "normal":
        counted[matches.lesion_image] = False
        false_positive = false_positive & counted[matches.image]
    relevant = found | false_positive
    ends = distinct_ends(matches.scores[relevant])
    weight = rows[:, matches.image[relevant]]
    return Counts(
        thresholds=matches.scores[relevant][ends],
        found=np.cumsum(weight * found[relevant], axis=1)[:, ends],
        false_positives=np.cumsum(weight * false_positive[relevant], axis=1)[:, ends],
        to_find=rows[:, representatives].sum(axis=1),
        images=rows[:, counted].sum(axis=1),
    )


def _overlap_table(result: ImageResult, overlap: Overlap) -> Floats | NDArray[np.bool_]:
    """float64 or bool [D, G]."""
    if overlap == "iou":
        return result.iou.astype(np.float64, copy=False)
    if overlap == "iop":
        return result.iop_by_lesion.astype(np.float64, copy=False)
    if overlap == "centre":
        if result.centre_inside is None:
            raise InvalidArgument(f"image {result.name!r}: centres are not known; use overlap 'iou' or 'iop'")
        return result.centre_inside
    raise InvalidArgument(f"overlap {overlap!r}; accepted: iou, iop, centre")


def _pixel_areas(pixel_spacing_mm: Any, images: int) -> Floats:
    """In mm², float64 [I]; NaN where it is unknown."""
    if pixel_spacing_mm is None:
        return np.full(images, np.nan)
    spacing = floats_of(pixel_spacing_mm, "pixel spacings")
    if spacing.shape not in ((images,), (images, 2)):
        raise InvalidArgument(f"pixel spacings have shape {spacing.shape}; needed: [{images}], one per image")
    if ((spacing <= 0) | np.isinf(spacing)).any():
        raise InvalidArgument("pixel spacings hold infinity, or numbers not above 0; needed: mm, or NaN for unknown")
    return spacing**2 if spacing.ndim == 1 else spacing.prod(axis=1)


def _join_points(points: Sequence[ArrayLike], scores: Sequence[ArrayLike]) -> tuple[Floats, Floats, list[int]]:
    """All points, float64 [N, 2], all scores, float64 [N], and how many each image has."""
    where, values = [np.asarray(p) for p in points], [np.asarray(s) for s in scores]
    counts = [s.size for s in values]
    with contextlib.suppress(ValueError):  # arrays of different rank
        places, joined = _join(where, np.float64), _join(values, np.float64)
        # What could be joined has one rank, so that not every image need be looked at.
        if places.shape[1:] == (2,) and joined.ndim == 1 and [len(p) for p in where] == counts:
            return places, joined, counts
    for k, (place, score) in enumerate(zip(where, values, strict=True)):
        if score.ndim != 1 or place.shape[:1] != score.shape or (place.shape[1:] != (2,) and place.size):
            raise InvalidArgument(
                f"image {k}: points of shape {place.shape}, scores of shape {score.shape}; needed: [D, 2] and [D]"
            )
    some = [place for place in where if place.size]
    return _join(some, np.float64).reshape(-1, 2), _join(values, np.float64), counts


def _best_first(scores: Floats) -> NDArray[np.intp]:
    """The order of descending scores, of equal ones the first first. They are rare, and a stable sort takes longer."""
    order = np.argsort(-scores)
    ordered = scores[order]
    if (ordered[1:] < ordered[:-1]).all():
        return order
    return np.argsort(-scores, kind="stable")


def _join(arrays: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(arrays).astype(dtype, copy=False) if arrays else np.zeros(0, dtype)
