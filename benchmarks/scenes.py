"""Probability maps to measure on, of a full-field mammogram's size; see ``shared`` names in the tables."""

from __future__ import annotations

import numpy as np

SHAPE = (4096, 3328)


def blobs(shape: tuple[int, int], count: int, radius: tuple[float, float], seed: int) -> np.ndarray:
    """float32: smooth round blobs; 1 at the centre, 0.5 at the radius, on a low textured ground."""
    rng = np.random.default_rng(seed)
    # Textured, so that every page of the array is real memory.
    values = rng.random(shape, np.float32) * np.float32(0.05)
    for _ in range(count):
        r = rng.uniform(*radius)
        cy, cx = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        y0, y1 = max(0, int(cy - 2 * r)), min(shape[0], int(cy + 2 * r) + 1)
        x0, x1 = max(0, int(cx - 2 * r)), min(shape[1], int(cx + 2 * r) + 1)
        y, x = np.ogrid[y0:y1, x0:x1]
        blob = 1 - np.hypot(y + 0.5 - cy, x + 0.5 - cx) / (2 * r)
        part = values[y0:y1, x0:x1]
        np.maximum(part, blob.astype(np.float32), out=part)
    return values


def spiral(shape: tuple[int, int]) -> np.ndarray:
    """float32: one line, four pixels wide with gaps as wide, winding inwards."""
    y, x = np.indices(shape, np.float32)
    y -= shape[0] / 2
    x -= shape[1] / 2
    turn = (np.hypot(y, x) / 8 - np.arctan2(y, x) / np.float32(2 * np.pi)) % 1
    return (turn < 0.5).astype(np.float32)


def scenes(shape: tuple[int, int] = SHAPE) -> dict[str, np.ndarray]:
    """The maps of ``PEERS``: few lesions and specks; lesions; 2,000 specks; 50 % noise; a spiral."""
    lesions = blobs(shape, 5, (80, 250), 1)
    return {
        "typical": np.maximum(blobs(shape, 4, (60, 160), 3), blobs(shape, 200, (2, 5), 4)),
        "lesions": lesions,
        "specks": blobs(shape, 2000, (2, 6), 2),
        "noise50": np.random.default_rng(0).random(shape, np.float32),
        "spiral": spiral(shape),
    }
