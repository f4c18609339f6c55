"""COCO's evaluation of detections and masks, equal to pycocotools' in every number, and fast.

The definition is pycocotools' ``COCOeval``: greedy matching per image and category at each overlap threshold, precision
at fixed recalls over all images, averaged. Differences, all of them where pycocotools fails or misleads: annotation ids
do not matter (it counts a match with annotation 0 as a miss); predictions may be empty; masks of one image that differ
in shape, and damaged run lengths, are errors; headline figures use the largest of ``max_detections``, whatever it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..by_value import by_value
from ..errors import InvalidArgument
from .checks import shares_of

__all__ = ["COCO_AREA_RANGES", "CategoryResult", "CocoEvaluator", "CocoResult"]

#: COCO's object sizes in square pixels, both ends included.
COCO_AREA_RANGES: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}

IouType = Literal["bbox", "segm"]


@dataclass(frozen=True)
class CategoryResult:
    """One category's figures over all sizes, at the largest number of detections; -1 where it has no reference."""

    category_id: int
    name: str
    average_precision: float
    average_precision_50: float
    average_recall: float


@by_value
@dataclass(frozen=True, eq=False)
class CocoResult:
    """What an evaluation found. T thresholds, R recalls, K categories, A area ranges, M numbers of detections.

    Attributes:
        precision: float64 [T, R, K, A, M], the highest precision at a recall of at least R; -1 where a category has no
            reference in an area range.
        recall: float64 [T, K, A, M], the highest recall; -1 likewise.
        scores: float64 [T, R, K, A, M], the score at which R is reached.
        iou_type: "bbox" or "segm".
        iou_thresholds: float64 [T].
        recall_thresholds: float64 [R].
        area_ranges: A names and ranges in square pixels.
        max_detections: M, ascending.
        category_ids: K, or (-1,) if categories were not used.
        category_names: K.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    scores: NDArray[np.float64]
    iou_type: IouType
    iou_thresholds: NDArray[np.float64]
    recall_thresholds: NDArray[np.float64]
    area_ranges: Mapping[str, tuple[float, float]]
    max_detections: tuple[int, ...]
    category_ids: tuple[int, ...]
    category_names: tuple[str, ...] = field(default=())

    @property
    def stats(self) -> dict[str, float]:
        """COCO's figures by name, for its own parameters the twelve: AP, AP50, AP75, APs, APm, APl, AR1, ... ARl.

        -1 where nothing was there to average, as with pycocotools.
        """
        return {name: self._mean(**query) for name, _, query in self._figures()}

    def summary(self) -> str:
        """The table that pycocotools prints."""
        lines = []
        for _, kind, query in self._figures():
            title, short = ("Average Precision", "(AP)") if kind == "precision" else ("Average Recall", "(AR)")
            threshold = query["threshold"]
            first, last = self.iou_thresholds[[0, -1]] if len(self.iou_thresholds) else (0.0, 0.0)
            iou = f"{first:0.2f}:{last:0.2f}" if threshold is None else f"{threshold:0.2f}"
            lines.append(
                f" {title:<18} {short} @[ IoU={iou:<9} | area={query['area']:>6s} | "
                f"maxDets={query['most']:>3d} ] = {self._mean(**query):0.3f}"
            )
        return "\n".join(lines)

    def per_category(self) -> tuple[CategoryResult, ...]:
        """Each category's figures, in the order of ``category_ids``."""
        most, found = self.max_detections[-1], []
        for k, (category_id, name) in enumerate(zip(self.category_ids, self.category_names, strict=True)):
            figures = [
                self._mean("precision", None, "all", most, k),
                self._mean("precision", 0.5, "all", most, k),
                self._mean("recall", None, "all", most, k),
            ]
            found.append(CategoryResult(category_id, name, *figures))
        return tuple(found)

    def category_table(self) -> str:
        """``per_category`` as text."""
        rows = self.per_category()
        width = max([len("category"), *(len(row.name) for row in rows)])
        lines = [f"{'category':<{width}}  {'id':>6}  {'AP':>6}  {'AP50':>6}  {'AR':>6}"]
        for row in rows:
            lines.append(
                f"{row.name:<{width}}  {row.category_id:>6}  {row.average_precision:6.3f}  "
                f"{row.average_precision_50:6.3f}  {row.average_recall:6.3f}"
            )
        return "\n".join(lines)

    def _figures(self) -> list[tuple[str, Literal["precision", "recall"], dict[str, Any]]]:
        """(name, kind, arguments of _mean) in COCO's order."""
        most = self.max_detections[-1]
        sizes = [name for name in self.area_ranges if name != "all"]
        letters = {"small": "s", "medium": "m", "large": "l"}
        rows: list[tuple[str, Literal["precision", "recall"], float | None, str, int]] = [
            ("AP", "precision", None, "all", most),
            ("AP50", "precision", 0.5, "all", most),
            ("AP75", "precision", 0.75, "all", most),
        ]
        rows += [(f"AP{letters.get(size, '_' + size)}", "precision", None, size, most) for size in sizes]
        rows += [(f"AR{count}", "recall", None, "all", count) for count in self.max_detections]
        rows += [(f"AR{letters.get(size, '_' + size)}", "recall", None, size, most) for size in sizes]
        return [
            (name, kind, {"kind": kind, "threshold": threshold, "area": area, "most": count})
            for name, kind, threshold, area, count in rows
        ]

    def _mean(
        self,
        kind: Literal["precision", "recall"],
        threshold: float | None,
        area: str,
        most: int,
        category: int | None = None,
    ) -> float:
        values = self.precision if kind == "precision" else self.recall
        if threshold is not None:
            values = values[threshold == self.iou_thresholds]
        a = [i for i, name in enumerate(self.area_ranges) if name == area]
        m = [i for i, count in enumerate(self.max_detections) if count == most]
        # Indexed as pycocotools does, so that the sum runs in the same order.
        values = values[..., a, m] if category is None else values[..., [category], :, :][..., a, m]
        values = values[values > -1]
        return float(np.mean(values)) if len(values) else -1.0


class CocoEvaluator:
    """Evaluates predictions against one reference, which is read once.

    Args:
        reference: COCO annotations: the path of a JSON file, or the same as a dictionary.
        iou_type: "bbox", or "segm" for masks (polygons, run lengths, compressed run lengths, or ``ops.Rle``).
        iou_thresholds: T overlaps; None: .5, .55, ... .95.
        recall_thresholds: R recalls; None: 0, .01, ... 1.
        max_detections: how many of an image's and category's best predictions count.
        area_ranges: names and ranges in square pixels, both ends included; None: COCO's.
        use_categories: False takes all categories for one.
        image_ids: the images that count; None: all.
        category_ids: the categories that count; None: all.
        threads: most threads to use; 0 = all.

    Raises:
        InvalidArgument: a file that is no such JSON ("PATH: byte N: expected ..."), or annotations that lack something.
    """

    def __init__(
        self,
        reference: str | os.PathLike[str] | Mapping[str, Any],
        *,
        iou_type: IouType = "segm",
        iou_thresholds: Sequence[float] | NDArray[np.float64] | None = None,
        recall_thresholds: Sequence[float] | NDArray[np.float64] | None = None,
        max_detections: Sequence[int] = (1, 10, 100),
        area_ranges: Mapping[str, tuple[float, float]] | None = None,
        use_categories: bool = True,
        image_ids: Iterable[int] | None = None,
        category_ids: Iterable[int] | None = None,
        threads: int = 0,
    ) -> None:
        if not isinstance(max_detections, Sequence):
            raise InvalidArgument(f"max_detections {max_detections!r}; needed: a list of whole numbers")
        if not max_detections:
            raise InvalidArgument("max_detections is empty; at least one number is needed")
        self.iou_type = iou_type
        self.iou_thresholds = shares_of(
            np.linspace(0.5, 0.95, 10) if iou_thresholds is None else iou_thresholds, "iou_thresholds"
        )
        self.recall_thresholds = shares_of(
            np.linspace(0.0, 1.0, 101) if recall_thresholds is None else recall_thresholds, "recall_thresholds"
        )
        self.max_detections = tuple(sorted(int(count) for count in max_detections))
        self.area_ranges = dict(COCO_AREA_RANGES if area_ranges is None else area_ranges)
        self.use_categories = use_categories
        self.threads = threads
        if isinstance(reference, Mapping):
            self._reference = _core.CocoDataset.reference_from_objects(
                dict(reference), name="reference", iou_type=iou_type, threads=threads
            )
        elif isinstance(reference, (str, os.PathLike)):
            self._reference = _core.CocoDataset.reference_from_file(
                os.fspath(reference), iou_type=iou_type, threads=threads
            )
        else:
            raise InvalidArgument(
                f"reference is a {type(reference).__name__}; needed: a COCO dataset, its path or a dictionary"
            )
        names = dict(self._reference.categories)
        self.image_ids = tuple(sorted(set(self._reference.image_ids if image_ids is None else image_ids)))
        self.category_ids = tuple(sorted(set(names if category_ids is None else category_ids)))
        self._category_names = tuple(names.get(category, str(category)) for category in self.category_ids)

    def evaluate(self, predictions: str | os.PathLike[str] | Sequence[Mapping[str, Any]]) -> CocoResult:
        """Evaluate predictions.

        Args:
            predictions: COCO results: the path of a JSON file, or the same as a list of dictionaries with ``image_id``,
                ``category_id``, ``score`` and ``bbox`` or ``segmentation``. As in pycocotools, areas are those of the
                boxes if the first prediction has one, else those of the masks.

        Raises:
            InvalidArgument: as above, or a prediction is of an image that the reference does not have.
        """
        if isinstance(predictions, (str, os.PathLike)):
            dataset = _core.CocoDataset.predictions_from_file(
                os.fspath(predictions), self._reference, iou_type=self.iou_type, threads=self.threads
            )
        elif isinstance(predictions, Mapping) or not isinstance(predictions, Iterable):
            raise InvalidArgument(
                f"predictions are a {type(predictions).__name__}; a path or a list of dictionaries is needed"
            )
        else:
            dataset = _core.CocoDataset.predictions_from_objects(
                list(predictions),
                self._reference,
                name="predictions",
                iou_type=self.iou_type,
                threads=self.threads,
            )
        precision, recall, scores = _core.coco_evaluate(
            self._reference,
            dataset,
            iou_type=self.iou_type,
            iou_thresholds=self.iou_thresholds.tolist(),
            recall_thresholds=self.recall_thresholds.tolist(),
            area_ranges=[(float(low), float(high)) for low, high in self.area_ranges.values()],
            max_detections=list(self.max_detections),
            use_categories=self.use_categories,
            image_ids=list(self.image_ids),
            category_ids=list(self.category_ids),
            threads=self.threads,
        )
        return CocoResult(
            precision=precision,
            recall=recall,
            scores=scores,
            iou_type=self.iou_type,
            iou_thresholds=self.iou_thresholds,
            recall_thresholds=self.recall_thresholds,
            area_ranges=self.area_ranges,
            max_detections=self.max_detections,
            category_ids=self.category_ids if self.use_categories else (-1,),
            category_names=self._category_names if self.use_categories else ("all",),
        )
