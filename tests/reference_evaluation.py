"""The lesion and ranking metrics in plain loops over explicit lists: the specification.

Resamples are explicit here: an image drawn twice is in the list twice.
"""

from __future__ import annotations

import itertools
import math


def roc_auc(scores, labels):
    """Share of (positive, negative) pairs in the right order; equal scores count half."""
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, n in itertools.product(
            [s for s, y in zip(scores, labels, strict=True) if y],
            [s for s, y in zip(scores, labels, strict=True) if not y],
        )
    ]
    return sum(pairs) / len(pairs) if pairs else math.nan


def ranking_average_precision(scores, labels):
    positives = sum(map(bool, labels))
    value, before = 0.0, 0
    for threshold in sorted(set(scores), reverse=True):
        kept = [bool(y) for s, y in zip(scores, labels, strict=True) if s >= threshold]
        value += (sum(kept) - before) / positives * sum(kept) / len(kept) if positives else 0.0
        before = sum(kept)
    return value if positives else math.nan


def greedy_matches(overlap, minimum):
    """For each detection, in order, the free lesion it overlaps most, of equal ones the last; -1 for none."""
    taken, matched = set(), []
    for row in overlap:
        best, at = minimum, -1
        for lesion, value in enumerate(row):
            if lesion not in taken and value >= best:
                best, at = value, lesion
        matched.append(at)
        taken.add(at)
    return matched


def points_in_lesions(points, scores, labels):
    """Scores, best first; for each such point, in which lesion it lies (all, by number); the lesions' pixels."""
    numbers = sorted({int(v) for row in labels for v in row if v > 0})
    height, width = len(labels), len(labels[0]) if len(labels) else 0
    inside = []
    for k in sorted(range(len(scores)), key=lambda k: -scores[k]):
        y, x = points[k]
        seen = 0 <= y < height and 0 <= x < width
        under = int(labels[math.floor(y)][math.floor(x)]) if seen else 0
        inside.append([under == number for number in numbers])
    areas = [sum(int(v) == number for row in labels for v in row) for number in numbers]
    return sorted(scores, reverse=True), inside, areas


def curve(images, overlap, minimum, *, duplicates="false_positive", unit="lesion", normal_only=False):
    """[(threshold, found, false positives)] for each distinct score, descending; lesions to find; images counted.

    images: dicts with patient, scores, overlaps by name. Found is counted anew at each threshold, by hand.
    """
    detections = []  # (score, state, key of what it finds)
    to_find = set()
    for number, image in enumerate(images):
        table = image[overlap]
        for lesion in range(image["lesions"]):
            to_find.add(key_of(unit, number, lesion, image))
        for k, lesion in enumerate(greedy_matches(table, minimum)):
            score = image["scores"][k]
            if lesion >= 0:
                detections.append((score, "hit", key_of(unit, number, lesion, image)))
            elif duplicates == "ignored" and any(v >= minimum for v in table[k]):
                detections.append((score, "ignored", None))
            elif not (normal_only and image["lesions"]):
                detections.append((score, "false", None))
    counted = sum(1 for image in images if not (normal_only and image["lesions"]))
    points = []
    for threshold in sorted({d[0] for d in detections if d[1] != "ignored"}, reverse=True):
        kept = [d for d in detections if d[0] >= threshold]
        found = {key for _, state, key in kept if state == "hit"}
        points.append((threshold, len(found), sum(state == "false" for _, state, _ in kept)))
    return points, len(to_find), counted


def key_of(unit, number, lesion, image):
    return {"lesion": (number, lesion), "image": (number,), "patient": (image["patient"], image.get("copy"))}[unit]


def average_precision(points, to_find, interpolation="all"):
    if not to_find:
        return math.nan
    best = [max(f / (f + n) for _, f, n in points[k:]) if points else 0.0 for k in range(len(points))]
    if interpolation == "11":
        return (
            sum(
                max((b for (_, f, _), b in zip(points, best, strict=True) if 10 * f >= t * to_find), default=0)
                for t in range(11)
            )
            / 11
        )
    found = [0, *(f for _, f, _ in points)]
    return sum((b - a) / to_find * p for a, b, p in zip(found, found[1:], best, strict=False))


def sensitivity_at(points, to_find, images, rate):
    if not to_find or not images:
        return math.nan
    return max((f for _, f, n in points if n <= rate * images), default=0) / to_find


def distances(mask, spacing):
    """For each pixel, the distance from its centre to the nearest mask pixel's centre."""
    members = [(y, x) for y, row in enumerate(mask) for x, value in enumerate(row) if value]
    return [
        [
            min((math.hypot((y - v) * spacing[0], (x - u) * spacing[1]) for v, u in members), default=math.inf)
            for x in range(len(mask[0]))
        ]
        for y in range(len(mask))
    ]


def boundary(mask):
    """Mask pixels with one of four neighbours outside the mask or the image."""
    height, width = len(mask), len(mask[0])

    def inside(y, x):
        return 0 <= y < height and 0 <= x < width and mask[y][x]

    return [
        (y, x)
        for y in range(height)
        for x in range(width)
        if mask[y][x] and not all(inside(y + dy, x + dx) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    ]


def directed_distances(first, second, spacing):
    """From each boundary pixel of the first mask to the nearest of the second."""
    return [
        min(math.hypot((y - v) * spacing[0], (x - u) * spacing[1]) for v, u in boundary(second))
        for y, x in boundary(first)
    ]
