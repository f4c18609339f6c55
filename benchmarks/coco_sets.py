"""Seeded COCO datasets as files, for the evaluation's benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lcx_fast.ops import Rle

#: Of the images; masks are run lengths on this grid.
SHAPE = (1024, 832)


def blob(rng: np.random.Generator, centre: np.ndarray, radius: float) -> Rle:
    """A star-shaped outline with 60 corners about a centre (x, y)."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    reach = radius * (1 + 0.15 * np.cos(angles * rng.integers(2, 7) + rng.random()) + 0.03 * rng.standard_normal(60))
    points = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]
    return Rle.from_polygons([points.ravel().tolist()], SHAPE)


def described(rle: Rle, image: int, category: int) -> dict[str, Any]:
    """An annotation of a mask."""
    y0, x0, y1, x1 = rle.bounding_box
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": {"size": list(SHAPE), "counts": rle.to_string().decode()},
        "bbox": [float(x0), float(y0), float(x1 - x0), float(y1 - y0)],
    }


def lesion_sets(folder: Path, *, images: int = 2000, seed: int = 3) -> tuple[Path, Path]:
    """Lesions of two kinds: some 1.2 references and 4 predictions an image, half of the references found."""
    rng = np.random.default_rng(seed)
    annotations, predictions = [], []
    for image in range(1, images + 1):
        for _ in range(rng.poisson(1.2)):
            centre, radius = rng.random(2) * SHAPE[::-1], rng.uniform(10, 90)
            annotation = described(blob(rng, centre, radius), image, int(rng.integers(1, 3)))
            annotation |= {"id": len(annotations) + 1, "iscrowd": 0, "area": float(np.pi * radius**2)}
            annotations.append(annotation)
            if rng.random() < 0.7:
                moved = blob(rng, centre + rng.normal(0, 0.15 * radius, 2), radius * rng.uniform(0.8, 1.2))
                predictions.append(described(moved, image, annotation["category_id"]))
        for _ in range(rng.poisson(3.2)):
            other = blob(rng, rng.random(2) * SHAPE[::-1], rng.uniform(10, 60))
            predictions.append(described(other, image, int(rng.integers(1, 3))))
    return write(folder, "lesions", range(1, images + 1), 2, annotations, predictions, rng)


def object_sets(
    folder: Path, *, images: int = 5000, boxes: int = 100, categories: int = 80, seed: int = 4
) -> tuple[Path, Path]:
    """As many boxes as COCO's validation set brings forth: ``boxes`` predictions and some 7 references an image."""
    rng = np.random.default_rng(seed)
    annotations, predictions = [], []
    for image in range(1, images + 1):
        truths = np.concatenate([rng.random((7, 2)) * 500, rng.random((7, 2)) * 150 + 2], 1).round(2)
        kinds = rng.integers(1, categories + 1, 7)
        for box, kind in zip(truths.tolist(), kinds.tolist(), strict=True):
            annotations.append(
                {"image_id": image, "category_id": kind, "bbox": box, "area": box[2] * box[3] * 0.6}
                | {"id": len(annotations) + 1, "iscrowd": int(rng.random() < 0.01)}
            )
        of = rng.integers(0, 7, boxes)
        found = truths[of] + rng.normal(0, 12, (boxes, 4))
        found[:, 2:] = np.abs(found[:, 2:]) + 1
        said = np.where(rng.random(boxes) < 0.5, kinds[of], rng.integers(1, categories + 1, boxes))
        for box, kind in zip(found.round(2).tolist(), said.tolist(), strict=True):
            predictions.append({"image_id": image, "category_id": kind, "bbox": box})
    return write(folder, "objects", range(1, images + 1), categories, annotations, predictions, rng)


def write(
    folder: Path,
    name: str,
    images: range,
    categories: int,
    annotations: list[dict[str, Any]],
    predictions: list[dict[str, Any]],
    rng: np.random.Generator,
) -> tuple[Path, Path]:
    """The reference file and the prediction file."""
    for prediction in predictions:
        prediction["score"] = round(float(rng.random()), 5)
    reference = {
        "images": [{"id": i, "height": SHAPE[0], "width": SHAPE[1], "file_name": f"{i}.png"} for i in images],
        "categories": [{"id": k, "name": f"kind {k}"} for k in range(1, categories + 1)],
        "annotations": annotations,
    }
    paths = folder / f"{name}-reference.json", folder / f"{name}-predictions.json"
    for path, value in zip(paths, (reference, predictions), strict=True):
        path.write_text(json.dumps(value))
    return paths
