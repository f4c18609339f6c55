"""Probability maps to measure on, of a full-field mammogram's size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

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


def comb(shape: tuple[int, int]) -> np.ndarray:
    """float32: teeth one pixel wide with gaps as wide, joined at the very bottom: every row is all labels."""
    values = np.zeros(shape, np.float32)
    values[:, ::2] = 1
    values[-1] = 1
    return values


def checkerboard(shape: tuple[int, int]) -> np.ndarray:
    """float32: every other pixel; one component, joined by corners only, with every other pixel a hole."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return ((y + x) % 2 == 0).astype(np.float32)


def huge(shape: tuple[int, int]) -> np.ndarray:
    """float32: nearly everything is one component, with 300 holes."""
    return np.float32(1) - np.minimum(blobs(shape, 300, (10, 60), 6), np.float32(0.9))


#: The maps of a mammogram's size that everything is measured on. "typical": few lesions and specks; "specks": 2,000.
SCENES: dict[str, Callable[[tuple[int, int]], np.ndarray]] = {
    "typical": lambda shape: np.maximum(blobs(shape, 4, (60, 160), 3), blobs(shape, 200, (2, 5), 4)),
    "lesions": lambda shape: blobs(shape, 5, (80, 250), 1),
    "specks": lambda shape: blobs(shape, 2000, (2, 6), 2),
    "noise50": lambda shape: np.random.default_rng(0).random(shape, np.float32),
    "spiral": spiral,
    "comb": comb,
    "checkerboard": checkerboard,
    "huge": huge,
}


def scene(name: str, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """One scene by name."""
    return SCENES[name](shape)


def scenes(shape: tuple[int, int] = SHAPE, *, only: Collection[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Names and maps, made one at a time."""
    for name in SCENES:
        if only is None or name in only:
            yield name, scene(name, shape)
