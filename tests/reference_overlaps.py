"""The operations of evaluation in plain NumPy: the specification."""

from __future__ import annotations

import numpy as np


def box_iou(predicted, reference, box_format="xyxy", crowd=None):
    iou = np.zeros((len(predicted), len(reference)), predicted.dtype)
    for d, g in np.ndindex(iou.shape):
        a, b = (
            box if box_format == "xyxy" else (*box[:2], *(box[2:] + box[:2])) for box in (predicted[d], reference[g])
        )
        area_a, area_b = (
            (box[2] - box[0]) * (box[3] - box[1]) if box_format == "xyxy" else box[2] * box[3]
            for box in (predicted[d], reference[g])
        )
        if not np.isfinite([*a, *b, area_a, area_b]).all():
            continue
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        if width > 0 and height > 0:
            both = width * height
            iou[d, g] = both / (area_a if crowd is not None and crowd[g] else area_a + area_b - both)
    return iou


def mask_iou(predicted, reference, crowd=None):
    iou = np.zeros((len(predicted), len(reference)))
    for d, g in np.ndindex(iou.shape):
        a, b = predicted[d] != 0, reference[g] != 0
        whole = a if crowd is not None and crowd[g] else a | b
        if (a & b).any():
            iou[d, g] = np.count_nonzero(a & b) / np.count_nonzero(whole)
    return iou


def match_detections(iou, thresholds, ignore=None, crowd=None):
    """(detection_to_reference, reference_to_detection, detection_ignored), one threshold and detection at a time."""
    detections, references = iou.shape
    ignore = np.zeros(references, bool) if ignore is None else np.asarray(ignore, bool)
    crowd = np.zeros(references, bool) if crowd is None else np.asarray(crowd, bool)
    to_reference = np.full((len(thresholds), detections), -1)
    to_detection = np.full((len(thresholds), references), -1)
    ignored = np.zeros((len(thresholds), detections), bool)
    for t, threshold in enumerate(thresholds):
        for d in range(detections):
            free = [
                g
                for g in range(references)
                if iou[d, g] >= min(threshold, 1 - 1e-10) and (crowd[g] or to_detection[t, g] < 0)
            ]
            if free:
                best = max(free, key=lambda g: (not ignore[g], iou[d, g], g))
                to_reference[t, d] = best
                to_detection[t, best] = d
                ignored[t, d] = ignore[best]
    return to_reference, to_detection, ignored


def rle_counts(mask):
    """Lengths of background, foreground, background, ... down the columns."""
    counts, value = [0], False
    for pixel in mask.ravel(order="F") != 0:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts
