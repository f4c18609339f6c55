"""Lesions of images, from whatever file holds them, as boxes and run-length masks; and pairs of them compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..by_value import by_value
from ..errors import InvalidArgument
from .lesions import ImageResult

IouType = Literal["segm", "bbox"]


@by_value
@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """N lesions of one image.

    Attributes:
        name: what images are matched by.
        shape: (H, W).
        boxes: float64 [N, 4], (x, y, width, height).
        masks: N masks; a lesion that has only a box has None.
        scores: float64 [N]; 1 for reference lesions.
        classes: N names.
        crowd: bool [N].
        score: of the whole image, where the file has one.
        patient: where the file has one.
        pixel_area_mm2: where the spacing is known.
        left_out: lesions found and not reported, as below an operating point.
    """

    name: str
    shape: tuple[int, int]
    boxes: NDArray[np.float64]
    masks: tuple[ops.Rle | None, ...]
    scores: NDArray[np.float64]
    classes: tuple[str, ...]
    crowd: NDArray[np.bool_]
    score: float | None = None
    patient: str = ""
    pixel_area_mm2: float | None = None
    left_out: int = 0


def from_masks(
    name: str,
    shape: tuple[int, int],
    masks: Sequence[ops.Rle],
    *,
    scores: Sequence[float] | NDArray[np.float64] | None = None,
    **known: Any,
) -> AnnotatedImage:
    """An image's lesions from their masks alone; ``known`` are further fields."""
    boxes = [(b[1], b[0], b[3] - b[1], b[2] - b[0]) for b in (mask.bounding_box for mask in masks)]
    return AnnotatedImage(
        name=name,
        shape=shape,
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        masks=tuple(masks),
        scores=np.ones(len(masks)) if scores is None else np.asarray(scores, np.float64),
        classes=known.pop("classes", ("lesion",) * len(masks)),
        crowd=np.zeros(len(masks), bool),
        **known,
    )


def compare_images(
    predictions: Mapping[str, AnnotatedImage], reference: Mapping[str, AnnotatedImage], *, iou_type: IouType
) -> list[ImageResult]:
    """Each reference image's lesions with the predictions of the same name, or none. Crowd regions are left out.

    Raises:
        InvalidArgument: if shapes differ, or ``"segm"`` is asked and a lesion has only a box.
    """
    return [_compare(predictions.get(name), image, iou_type) for name, image in reference.items()]


def coco_objects(
    predictions: Mapping[str, AnnotatedImage], reference: Mapping[str, AnnotatedImage]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same as a COCO dataset and COCO results of one category, for ``CocoEvaluator``."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image_id, (name, image) in enumerate(reference.items(), start=1):
        images.append({"id": image_id, "file_name": name, "height": image.shape[0], "width": image.shape[1]})
        for k, entry in enumerate(_coco_entries(image)):
            crowd = int(image.crowd[k])
            annotations.append({**entry, "id": len(annotations) + 1, "image_id": image_id, "iscrowd": crowd})
        if name in predictions:
            found = predictions[name]
            for k, entry in enumerate(_coco_entries(found)):
                results.append({**entry, "image_id": image_id, "score": float(found.scores[k])})
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "lesion"}]}, results


def _coco_entries(image: AnnotatedImage) -> Iterator[dict[str, Any]]:
    for box, mask in zip(image.boxes, image.masks, strict=True):
        area = float(box[2] * box[3]) if mask is None else mask.area
        entry = {"category_id": 1, "bbox": [float(v) for v in box], "area": area}
        yield entry if mask is None else entry | {"segmentation": mask}


def _compare(predicted: AnnotatedImage | None, reference: AnnotatedImage, iou_type: IouType) -> ImageResult:
    if predicted is not None and predicted.shape != reference.shape:
        raise InvalidArgument(
            f"image {reference.name!r}: the prediction is {predicted.shape[0]} x {predicted.shape[1]} pixels, "
            f"the reference {reference.shape[0]} x {reference.shape[1]}"
        )
    kept = [int(k) for k in np.nonzero(~reference.crowd)[0]]
    order = [int(k) for k in np.argsort(-predicted.scores, kind="stable")] if predicted is not None else []
    scores = predicted.scores[order] if predicted is not None else np.zeros(0)
    areas: list[NDArray[np.float64]]
    if iou_type == "bbox":
        boxes = predicted.boxes[order] if predicted is not None else np.zeros((0, 4))
        truths = reference.boxes[kept]
        iou = ops.box_iou(boxes, truths, format="xywh") if len(boxes) and len(truths) else None
        areas = [b[:, 2] * b[:, 3] for b in (boxes, truths)]
        centres = boxes[:, :2] + boxes[:, 2:] / 2
        low, high = truths[:, :2], truths[:, :2] + truths[:, 2:]
        inside = ((centres[:, None] >= low) & (centres[:, None] < high)).all(axis=2)
    else:
        masks = [_mask(predicted, k) for k in order] if predicted is not None else []
        references = [_mask(reference, k) for k in kept]
        iou = ops.mask_iou(masks, references) if masks and references else None
        areas = [np.array([mask.area for mask in group], np.float64) for group in (masks, references)]
        inside = np.array([[_holds(r, _centre(m)) for r in references] for m in masks], bool)
    shape = (len(areas[0]), len(areas[1]))
    if iou is None:
        iou = np.zeros(shape)
    # Intersections from IoU: exact for masks, whose areas are whole.
    shared = iou * (areas[0][:, None] + areas[1]) / (1 + iou)
    return ImageResult(
        patient=reference.patient or reference.name,
        scores=scores,
        intersections=shared if iou_type == "bbox" else np.rint(shared),
        predicted_areas=areas[0],
        reference_areas=areas[1],
        name=reference.name,
        pixel_area_mm2=reference.pixel_area_mm2,
        classes=tuple(reference.classes[k] for k in kept),
        centre_inside=inside.reshape(shape),
    )


def _mask(image: AnnotatedImage, index: int) -> ops.Rle:
    mask = image.masks[index]
    if mask is None:
        raise InvalidArgument(f"image {image.name!r}: lesion {index + 1} has a box but no mask; use --iou-type bbox")
    return mask


def _centre(mask: ops.Rle) -> tuple[int, int]:
    """The pixel (y, x) under the centroid; (-1, -1) of an empty mask."""
    if not mask.area:
        return -1, -1
    ends = np.cumsum(mask.counts, dtype=np.int64)
    begins, ends = ends[:-1:2], ends[1::2]
    height = mask.shape[0]

    def columns_below(position: NDArray[np.int64]) -> int:
        """Sum of the column numbers of all pixels before these positions down the columns."""
        column, row = position // height, position % height
        return int((height * column * (column - 1) // 2 + row * column).sum())

    x = columns_below(ends) - columns_below(begins[: len(ends)])
    positions = int((ends * (ends - 1) // 2).sum() - (begins * (begins - 1) // 2)[: len(ends)].sum())
    y = positions - height * x
    return int(y / mask.area + 0.5), int(x / mask.area + 0.5)


def _holds(mask: ops.Rle, pixel: tuple[int, int]) -> bool:
    y, x = pixel
    if y < 0:
        return False
    ends = np.cumsum(mask.counts, dtype=np.int64)
    return bool(np.searchsorted(ends, x * mask.shape[0] + y, side="right") % 2 == 1)
