"""The lesion figures of a comparison, with intervals, and the table that shows them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .average_precision import interpolated_average_precision
from .bootstrap import Interval, patient_bootstrap
from .froc import LUNA_RATES, MAMMOGRAPHY_RATES, froc_sensitivities, luna_score
from .lesions import ImageResult, intersection_over_prediction, mean_iop_by_lesion
from .matches import Matches, match_lesions
from .ranking import ranking_average_precision, roc_auc

#: A detection finds a lesion for FROC at this intersection over union.
FROC_MINIMUM_IOU = 0.2
#: Lesion sizes by the diameter of a disc of the same area, mm: the limits between T1b, T1c and T2.
DIAMETERS_MM = (10.0, 20.0)

Figures = Callable[[NDArray[np.float64]], Mapping[str, Any]]


@dataclass(frozen=True)
class Section:
    """A heading and its figures by name."""

    title: str
    figures: Mapping[str, Interval]
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """All figures of one comparison.

    Attributes:
        images: number of reference images.
        lesions: number of reference lesions.
        detections: number of predicted ones.
        patients: number that the intervals are drawn from.
        sections: the figures.
        coco: COCO's twelve figures by their usual names, or empty.
    """

    images: int
    lesions: int
    detections: int
    patients: int
    sections: Sequence[Section]
    coco: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; figures as [value, low, high], null where they are not defined."""
        return {
            "images": self.images,
            "lesions": self.lesions,
            "detections": self.detections,
            "patients": self.patients,
            "coco": {name: _finite(value) for name, value in self.coco.items()},
            "figures": {
                section.title: {name: [_finite(v) for v in interval] for name, interval in section.figures.items()}
                for section in self.sections
            },
        }


def summarise(
    results: Sequence[ImageResult],
    *,
    masks: bool,
    froc: bool,
    image_scores: Sequence[float] | None = None,
    draws: int = 2000,
) -> Summary:
    """The published figures (training/METHOD.md) that results alone can give.

    Args:
        results: one per image.
        masks: whether overlaps are of masks; IoP of boxes says nothing.
        froc: whether to add the FROC figures, by class and by size too.
        image_scores: of each image; None: the highest lesion score, or 0.
        draws: resamples for the intervals.
    """
    patients = [result.patient for result in results]

    def with_intervals(figures: Figures) -> dict[str, Interval]:
        return patient_bootstrap(figures, patients, draws=draws)

    sections = [Section("lesions", with_intervals(_lesion_figures(results, masks=masks)))]
    positive = [bool(len(result.reference_areas)) for result in results]
    if image_scores is None:
        image_scores = [float(result.scores[0]) if len(result.scores) else 0.0 for result in results]
    if any(positive) and not all(positive):
        sections.append(Section("images with a lesion", with_intervals(_image_figures(image_scores, positive))))
    if froc:
        sections.extend(_froc_sections(results, with_intervals))
    return Summary(
        images=len(results),
        lesions=sum(len(result.reference_areas) for result in results),
        detections=sum(len(result.scores) for result in results),
        patients=len(set(patients)),
        sections=sections,
    )


def _lesion_figures(results: Sequence[ImageResult], *, masks: bool) -> Figures:
    by_iou = match_lesions(results, minimum=0.5)
    by_iop = match_lesions(results, overlap="iop", minimum=0.75)

    def figures(weights: NDArray[np.float64]) -> Mapping[str, Any]:
        found: dict[str, Any] = {
            "AP at IoU 0.50": interpolated_average_precision(by_iou, weights=weights),
            "AP at IoU 0.50, 11 points": interpolated_average_precision(by_iou, interpolation="11", weights=weights),
        }
        if masks:
            found["AP at IoP 0.75"] = interpolated_average_precision(by_iop, weights=weights)
            found["IoP, all pixels"] = intersection_over_prediction(results, weights=weights)
            found["IoP, per lesion"] = mean_iop_by_lesion(results, weights=weights)
        return found

    return figures


def _image_figures(scores: Sequence[float], positive: Sequence[bool]) -> Figures:
    return lambda weights: {
        "ROC AUC": roc_auc(scores, positive, weights=weights),
        "average precision": ranking_average_precision(scores, positive, weights=weights),
    }


def _froc_sections(
    results: Sequence[ImageResult], with_intervals: Callable[[Figures], dict[str, Interval]]
) -> list[Section]:
    matches = match_lesions(results, minimum=FROC_MINIMUM_IOU)
    note = f"hit: IoU at least {FROC_MINIMUM_IOU:g}"
    sections = [
        Section("FROC, lesions", with_intervals(_froc_figures(matches, "lesion")), note),
        Section(
            "FROC, images", with_intervals(_froc_figures(matches, "image")), note + " with any lesion of the image"
        ),
    ]
    groups = {f"FROC, class {name}": matches.lesion_class == name for name in np.unique(matches.lesion_class)}
    chosen = groups if len(groups) > 1 else {}
    diameters = 2 * np.sqrt(matches.lesion_area_mm2 / np.pi)
    if np.isfinite(diameters).any():
        edges = (0.0, *DIAMETERS_MM, np.inf)
        for low, high in itertools.pairwise(edges):
            name = f"at least {low:g} mm" if high == np.inf else f"{low:g} to {high:g} mm"
            chosen[f"FROC, size {name}"] = (diameters >= low) & (diameters < high)
    for title, members in chosen.items():
        if members.any():
            figures = with_intervals(_froc_figures(matches.of_lesions(members), "lesion"))
            sections.append(Section(title, figures, f"{int(members.sum())} lesions; {note}"))
    if all(result.centre_inside is not None for result in results):
        luna = match_lesions(results, overlap="centre", duplicates="ignored")
        sections.append(
            Section(
                "LUNA16 score",
                with_intervals(lambda weights: {"mean sensitivity": luna_score(luna, weights=weights)}),
                f"hit: centre inside; mean over {', '.join(f'{r:g}' for r in LUNA_RATES)} false positives an image",
            )
        )
    return sections


def _froc_figures(matches: Matches, unit: Any) -> Figures:
    def figures(weights: NDArray[np.float64]) -> Mapping[str, Any]:
        values = froc_sensitivities(matches, MAMMOGRAPHY_RATES, unit=unit, weights=weights)
        return {f"sensitivity at {rate:g} FP an image": values[:, k] for k, rate in enumerate(MAMMOGRAPHY_RATES)}

    return figures


def table(summary: Summary) -> str:
    """The figures as text, a line each."""
    lines = [
        f"{summary.images} images, {summary.lesions} lesions, {summary.detections} detections; "
        f"95 % intervals by redrawing {summary.patients} patients (an image that names none counts as one)"
    ]
    for section in summary.sections:
        lines.append("")
        lines.append(section.title + (f" ({section.note})" if section.note else ""))
        for name, interval in section.figures.items():
            value = "   -" if np.isnan(interval.value) else f"{interval.value:.3f}"
            bounds = "" if np.isnan(interval.low) else f"  [{interval.low:.3f}, {interval.high:.3f}]"
            lines.append(f"  {name:<32}{value}{bounds}")
    return "\n".join(lines)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
