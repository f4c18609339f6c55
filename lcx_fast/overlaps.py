"""The compiled operations of evaluation: overlaps of boxes and masks, matching, run-length masks.

All of them are names of ``lcx_fast.ops`` too; what that module says about arrays, threads and errors holds here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._core import Rle
from .by_value import by_value
from .errors import InvalidArgument

__all__ = ["MatchResult", "Rle", "box_iou", "encode_rle", "mask_iou", "match_detections", "merge_rle"]

#: An array, or anything that speaks DLPack.
Array = Any


@by_value
class MatchResult(NamedTuple):
    """Who was matched to whom at each of T thresholds, for D detections and G references.

    Attributes:
        detection_to_reference: int32 [T, D], -1 = unmatched.
        reference_to_detection: int32 [T, G], -1 = unmatched; for a crowd taken several times, the last detection.
        detection_ignored: bool [T, D], matched to an ignored reference.
    """

    detection_to_reference: NDArray[np.int32]
    reference_to_detection: NDArray[np.int32]
    detection_ignored: NDArray[np.bool_]


def box_iou(
    predicted: Array,
    reference: Array,
    *,
    format: Literal["xyxy", "xywh"] = "xyxy",
    crowd: Array | None = None,
    threads: int = 0,
    stream: Any = None,
) -> NDArray[Any]:
    """Intersection over union of each predicted with each reference box.

    Args:
        predicted: float64 or float32 [D, 4].
        reference: [G, 4] of the same dtype.
        format: the four numbers: two corners ``(x0, y0, x1, y1)``, or COCO's ``(x, y, width, height)``.
        crowd: bool or uint8 [G]; for a crowd the overlap is intersection over the predicted box's area.
        threads: most threads to use; 0 = all.
        stream: for arrays on a GPU; see ``lcx_fast.ops``.

    Returns:
        [D, G] of the same dtype. Boxes without area or with a coordinate that is not finite overlap nothing.
    """
    iou: NDArray[Any] = _core.box_iou(predicted, reference, format=format, crowd=crowd, threads=threads, stream=stream)
    return iou


def mask_iou(
    predicted: Array,
    reference: Array,
    *,
    crowd: Array | None = None,
    threads: int = 0,
    stream: Any = None,
) -> NDArray[np.float64]:
    """Intersection over union of each predicted with each reference mask.

    Args:
        predicted: bool or uint8 [D, H, W] or [D, P], nonzero = foreground; or D ``Rle``.
        reference: G masks of the same shape, in the same form.
        crowd: bool or uint8 [G]; for a crowd the overlap is intersection over the predicted mask's area.
        threads: most threads to use; 0 = all.
        stream: for arrays on a GPU; see ``lcx_fast.ops``.

    Returns:
        float64 [D, G]; two empty masks score 0.
    """
    if isinstance(predicted, (list, tuple)) and isinstance(reference, (list, tuple)):
        for name, masks in (("predicted", predicted), ("reference", reference)):
            for i, mask in enumerate(masks):
                if not isinstance(mask, Rle):
                    raise InvalidArgument(f"{name}[{i}] is a {type(mask).__name__}; needed: Rle, or one array for all")
        return _core.rle_iou(list(predicted), list(reference), crowd=crowd, threads=threads)
    if np.ndim(predicted) == 3 and np.ndim(reference) == 3:
        if predicted.shape[1:] != reference.shape[1:]:
            raise InvalidArgument(
                f"predicted masks are {tuple(predicted.shape[1:])}, reference masks {tuple(reference.shape[1:])}; "
                "shapes must be equal"
            )
        pixels = predicted.shape[1] * predicted.shape[2]
        predicted = predicted.reshape((len(predicted), pixels))
        reference = reference.reshape((len(reference), pixels))
    iou: NDArray[np.float64] = _core.mask_iou(predicted, reference, crowd=crowd, threads=threads, stream=stream)
    return iou


def match_detections(
    iou: Array,
    *,
    thresholds: Sequence[float] | NDArray[np.float64],
    ignore: Array | None = None,
    crowd: Array | None = None,
    stream: Any = None,
) -> MatchResult:
    """Match detections to references greedily, one to one, by COCO's rules.

    Detections choose in turn: of the references they overlap by at least the threshold and that are still free, a
    regular one before an ignored one, then the one with the highest overlap, then the last one.

    Args:
        iou: float32 or float64 [D, G], detections by descending score. Detections of equal score choose in the order
            given; sort them stably, ``np.argsort(-scores, kind="stable")``, to keep the original one, as COCO does.
        thresholds: T thresholds, finite, in any order; above 1 - 1e-10 they count as that.
        ignore: bool or uint8 [G]: references that count neither as found nor as missed.
        crowd: bool or uint8 [G]: references that any number of detections may take. COCO ignores crowds too: pass
            them in ``ignore`` as well.
        stream: for arrays on a GPU; see ``lcx_fast.ops``.
    """
    levels = [float(t) for t in thresholds]
    return MatchResult(*_core.match_detections(iou, thresholds=levels, ignore=ignore, crowd=crowd, stream=stream))


def encode_rle(mask: Array) -> Rle:
    """A mask in COCO's run-length code.

    Args:
        mask: bool or uint8 [H, W], nonzero = foreground, any strides.
    """
    return _core.encode_rle(mask)


def merge_rle(masks: Sequence[Rle], *, mode: Literal["union", "intersection"] = "union") -> Rle:
    """The union or the intersection of one or more masks of one shape."""
    return _core.merge_rle(list(masks), mode=mode)
