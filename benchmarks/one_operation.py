"""Calls one operation N times, for ``harness.count_instructions``: ``one_operation.py OPERATION N``."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from scenes import SHAPE, scene

from lcx_fast import ops


def prepare(operation: str) -> Callable[[], object]:
    """The operation on its input, as ``bench_ops`` measures it."""
    if operation == "tiles":
        image = np.random.default_rng(5).random(SHAPE, np.float32)
        grid = ops.plan_tiles(SHAPE, tile_shape=(512, 512), overlap=0.25)
        buffer = np.empty((1, 1, 512, 512), np.float32)

        def tiles() -> None:
            blender = ops.TileBlender(grid, channels=1)
            for n in range(len(grid)):
                ops.extract_tiles(image, grid.tile(n), out=buffer, threads=1)
                blender.add(n, buffer[0])
            blender.finish()

        return tiles
    probability = scene("typical")
    if operation == "find_lesions":
        return lambda: ops.find_lesions(probability, low=0.5, high=0.7, min_area=30, threads=1)
    mask = (probability >= 0.5).astype(np.uint8)
    return lambda: ops.label_components(mask, threads=1)


if __name__ == "__main__":
    call = prepare(sys.argv[1])
    for _ in range(int(sys.argv[2])):
        call()
