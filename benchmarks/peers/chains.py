"""What a careful user of the peers would write for jobs that no peer does in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np


def opencv_lesions(probability: np.ndarray, low: float, high: float, min_area: int) -> list[dict[str, Any]]:
    """Hysteresis, components, hole filling, small-object removal, statistics, top-tenth score and outline.

    Holes are filled by drawing each kept component's outer contour; measurements are made inside its bounding box.
    """
    mask = cv2.compare(probability, low, cv2.CMP_GE)
    count, labels = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)
    seeded = np.zeros(count, bool)
    seeded[labels[probability >= high]] = True
    seeded[0] = False
    if not seeded.all():
        mask = (seeded.view(np.uint8) * 255)[labels]
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    lesions = []
    for contour in contours:
        x, y, width, height = cv2.boundingRect(contour)
        inside = np.zeros((height, width), np.uint8)
        cv2.drawContours(inside, [contour], 0, 1, cv2.FILLED, offset=(-x, -y))
        chosen = inside.view(bool)
        area = int(np.count_nonzero(inside))
        if area < min_area:
            continue
        values = probability[y : y + height, x : x + width][chosen]
        top = (area + 9) // 10
        moments = cv2.moments(inside, binaryImage=True)
        lesions.append(
            {
                "area": area,
                "bounding_box": (y, x, y + height, x + width),
                "centroid": (moments["m01"] / area + y + 0.5, moments["m10"] / area + x + 0.5),
                "mean": float(values.mean()),
                "max": float(values.max()),
                "top_mean": float(np.partition(values, area - top)[area - top :].mean()),
                "outline": contour[:, 0],
            }
        )
    return lesions


def numpy_tiles(
    image: np.ndarray,
    starts: list[list[int]],
    tile: int,
    weights: np.ndarray,
    norm: np.ndarray,
    network: Callable[[np.ndarray], np.ndarray] = lambda part: part,
) -> np.ndarray:
    """Slices into a tile, a network, and a weighted sum times a cached 1 / (sum of weights)."""
    result = np.zeros(image.shape, np.float32)
    for y in starts[0]:
        for x in starts[1]:
            part = network(image[y : y + tile, x : x + tile])
            result[y : y + tile, x : x + tile] += part * weights
    result *= norm
    return result
