"""The whole line, film to lesion list, as a careful user of the peers would write it.

Each pipeline is made once (what can be kept between films is kept) and called with a path. All use the same window,
tiles, blending weights and thresholds, so that their lesions can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .chains import numpy_tiles, opencv_lesions

#: float32 [h, w] in, probabilities of the same shape out.
Network = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Task:
    """What every pipeline does.

    Attributes:
        network: on one tile.
        spacing_mm: the network's; ``film_spacing_mm`` over it is the factor that images are reduced by.
        film_spacing_mm: of the film.
        tile: side in pixels.
        overlap: least fraction shared.
        mean: taken off the windowed image.
        deviation: divided by.
        percentiles: of the foreground, mapped to 0 and 1.
        low: threshold of an outline.
        high: threshold that a lesion reaches.
        min_area: in pixels of the network's grid.
    """

    network: Network
    spacing_mm: float
    film_spacing_mm: float
    tile: int
    overlap: float
    mean: float
    deviation: float
    percentiles: tuple[float, float]
    low: float
    high: float
    min_area: int

    @property
    def scale(self) -> float:
        """Network pixels per film pixel."""
        return self.film_spacing_mm / self.spacing_mm


def window(pixels: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Percentiles of what is not background, on every eighth pixel of an area average."""
    small = cv2.resize(pixels, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    low, high = np.percentile(small[small > small.max() / 10], percentiles)
    return float(low), float(high)


class OpenCvPipeline:
    """pydicom, OpenCV and NumPy, by hand."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._plans: dict[tuple[int, int], tuple[list[list[int]], np.ndarray, np.ndarray]] = {}

    def __call__(self, path: Path) -> list[dict[str, Any]]:
        import pydicom

        task = self._task
        pixels = pydicom.dcmread(path).pixel_array
        low, high = window(pixels, task.percentiles)
        image = pixels.astype(np.float32)
        if task.scale != 1:
            image = cv2.resize(image, None, fx=task.scale, fy=task.scale, interpolation=cv2.INTER_AREA)
        image -= low
        image *= 1 / (high - low)
        np.clip(image, 0, 1, out=image)
        image -= task.mean
        image *= 1 / task.deviation
        return opencv_lesions(self._probabilities(image), task.low, task.high, task.min_area)

    def _probabilities(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape
        tile = self._task.tile
        rows, columns = max(height, tile), max(width, tile)
        if (rows, columns) != (height, width):
            black = -self._task.mean / self._task.deviation
            image = cv2.copyMakeBorder(image, 0, rows - height, 0, columns - width, cv2.BORDER_CONSTANT, value=black)
        if (rows, columns) not in self._plans:
            self._plans[rows, columns] = self._plan((rows, columns))
        starts, weights, norm = self._plans[rows, columns]
        return numpy_tiles(image, starts, tile, weights, norm, self._task.network)[:height, :width]

    def _plan(self, shape: tuple[int, int]) -> tuple[list[list[int]], np.ndarray, np.ndarray]:
        tile = self._task.tile
        sides = np.exp(-0.5 * ((np.arange(tile) + 0.5 - tile / 2) / (tile / 8)) ** 2)
        weights = np.outer(sides, sides).astype(np.float32)
        step = int(tile * (1 - self._task.overlap))
        starts = [[min(i * step, n - tile) for i in range(-(-(n - tile) // step) + 1)] for n in shape]
        total = np.zeros(shape, np.float32)
        for y in starts[0]:
            for x in starts[1]:
                total[y : y + tile, x : x + tile] += weights
        return starts, weights, 1 / total


class MonaiPipeline:
    """MONAI's reader, transforms and sliding window; then its own post-processing, or OpenCV's.

    Args:
        task: what to do.
        own_post: threshold, fill holes, remove small objects by MONAI's transforms; else ``opencv_lesions``.
    """

    def __init__(self, task: Task, *, own_post: bool) -> None:
        import torch
        from monai import transforms
        from monai.inferers import sliding_window_inference

        self._task = task
        self._torch = torch
        self._slide = sliding_window_inference
        self._load = transforms.Compose(
            [transforms.LoadImage(reader="PydicomReader", image_only=True), transforms.EnsureChannelFirst()]
        )
        self._transforms = transforms
        self._post = None
        if own_post:
            self._post = transforms.Compose(
                [
                    transforms.AsDiscrete(threshold=task.low),
                    transforms.FillHoles(),
                    transforms.RemoveSmallObjects(min_size=task.min_area, connectivity=2),
                ]
            )

    def __call__(self, path: Path) -> list[dict[str, Any]]:
        task, torch = self._task, self._torch
        image = self._load(str(path))
        low, high = window(np.ascontiguousarray(image[0].numpy()), task.percentiles)
        steps = [self._transforms.ScaleIntensityRange(low, high, 0.0, 1.0, clip=True)]
        if task.scale != 1:
            shape = [round(n * task.scale) for n in image.shape[1:]]
            steps.insert(0, self._transforms.Resize(shape, mode="area"))
        if (task.mean, task.deviation) != (0, 1):
            steps.append(self._transforms.NormalizeIntensity(task.mean, task.deviation))
        # An image smaller than a tile gets black below and to the right. Left to itself, the sliding window would put
        # it in the middle, and the network, which looks at every second pixel deeper down, would see other pixels.
        steps.append(
            self._transforms.SpatialPad((task.tile, task.tile), method="end", value=-task.mean / task.deviation)
        )
        columns, rows = (round(n * task.scale) for n in image.shape[1:])
        image = self._transforms.Compose(steps)(image)
        with torch.no_grad():
            probability = self._slide(
                image[None].as_tensor(), (task.tile, task.tile), 1, self._network, overlap=task.overlap, mode="gaussian"
            )[0, :, :columns, :rows]
        # Its reader gives [columns, rows].
        if self._post is None:
            return opencv_lesions(np.ascontiguousarray(probability[0].numpy().T), task.low, task.high, task.min_area)
        mask = np.ascontiguousarray(self._post(probability)[0].numpy().T.astype(np.uint8))
        _, _, found, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        return [
            {"area": int(area), "bounding_box": (int(y), int(x), int(y + h), int(x + w))}
            for x, y, w, h, area in found[1:]
        ]

    def _network(self, batch: Any) -> Any:
        found = [self._task.network(image[0].numpy().T).T for image in batch]
        return self._torch.from_numpy(np.stack(found)[:, None])
