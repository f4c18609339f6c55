"""The compiled operations against their best peers, one thread.

    python benchmarks/bench_ops.py [--json FILE] [--only WORD] [--quick]

Each result is checked against the peer's before anything is timed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # before kornia_rs starts its threads

import cc3d
import cv2
import fill_voids
import kornia_rs
import numpy as np
import torch
from harness import Comparison, compare, table, to_json
from monai.inferers import sliding_window_inference
from peers.chains import numpy_tiles, opencv_lesions
from scenes import SHAPE, scenes

from lcx_fast import ops

LOW, HIGH, MIN_AREA = 0.5, 0.7, 30


def bench_find_lesions(case: str, probability: np.ndarray, rounds: int) -> Comparison:
    ours = ops.find_lesions(probability, low=LOW, high=HIGH, min_area=MIN_AREA, threads=1)
    theirs = opencv_lesions(probability, LOW, HIGH, MIN_AREA)
    # An island in a hole is part of its surroundings for us and counted again by the contour chain.
    boxes = {tuple(int(v) for v in box) for box in ours.bounding_box}
    theirs = [t for t in theirs if tuple(t["bounding_box"]) in boxes]
    assert len({t["bounding_box"] for t in theirs}) == len(boxes)
    assert sorted(t["area"] for t in theirs)[-5:] == sorted(ours.area.tolist())[-5:]
    return compare(
        "map to lesions",
        case,
        {
            "lcx_fast": lambda: ops.find_lesions(probability, low=LOW, high=HIGH, min_area=MIN_AREA, threads=1),
            "OpenCV + NumPy": lambda: opencv_lesions(probability, LOW, HIGH, MIN_AREA),
        },
        floor=lambda: probability.max(),
        rounds=rounds,
    )


def bench_label(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    labels, count = ops.label_components(mask, threads=1)
    expected_count, expected = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)
    assert count == expected_count - 1
    # Same partition: a label of ours never meets two of theirs, and there are as many.
    pairs = np.unique(labels.astype(np.int64) * (count + 1) + expected)
    assert len(pairs) == count + 1
    candidates: dict[str, Callable[[], object]] = {
        "lcx_fast": lambda: ops.label_components(mask, threads=1),
        "OpenCV": lambda: cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S),
        "cc3d": lambda: cc3d.connected_components(mask, connectivity=8, out_dtype=np.uint32),
        "kornia_rs": lambda: kornia_rs.imgproc.connected_components(mask[:, :, None]),
    }
    assert np.array_equal(kornia_rs.imgproc.connected_components(mask[:, :, None])[1][..., 0], labels)
    return compare("label to int32", case, candidates, floor=lambda: labels.copy(), rounds=rounds)


def bench_fill(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    assert np.array_equal(ops.fill_holes(mask), fill_voids.fill(mask.astype(bool)))

    def by_contours() -> np.ndarray:
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        return cv2.drawContours(np.zeros_like(mask), contours, -1, 1, cv2.FILLED)

    return compare(
        "fill holes",
        case,
        {
            "lcx_fast": lambda: ops.fill_holes(mask, threads=1),
            "OpenCV contours": by_contours,
            "fill_voids": lambda: fill_voids.fill(mask),
        },
        floor=lambda: mask.copy(),
        rounds=rounds,
    )


def bench_outlines(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    def peer() -> object:
        return cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)

    outer = (~ops.trace_contours(mask).is_hole).sum()
    _, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    assert outer == (hierarchy[0, :, 3] < 0).sum()
    return compare(
        "outlines",
        case,
        {"lcx_fast": lambda: ops.trace_contours(mask, threads=1), "OpenCV findContours": peer},
        rounds=rounds,
    )


def bench_tiles(tile: int, overlap: float, rounds: int) -> Comparison:
    image = np.random.default_rng(5).random(SHAPE, np.float32)
    grid = ops.plan_tiles(SHAPE, tile_shape=(tile, tile), overlap=overlap)
    buffer = np.empty((1, 1, tile, tile), np.float32)

    def ours() -> np.ndarray:
        blender = ops.TileBlender(grid, channels=1)
        for n in range(len(grid)):
            ops.extract_tiles(image, grid.tile(n), out=buffer, threads=1)
            blender.add(n, buffer[0])
        return blender.finish()

    tensor = torch.from_numpy(image)[None, None]

    def monai() -> torch.Tensor:
        return sliding_window_inference(tensor, (tile, tile), 4, lambda x: x, overlap=overlap, mode="gaussian")

    sides = np.exp(-0.5 * ((np.arange(tile) + 0.5 - tile / 2) / (tile / 8)) ** 2)
    weights = np.outer(sides, sides).astype(np.float32)
    starts = [sorted({int(o[axis]) for o in grid.origins}) for axis in (0, 1)]
    total = np.zeros(SHAPE, np.float32)
    for y, x in grid.origins:
        total[y : y + tile, x : x + tile] += weights
    norm = 1 / total

    for result in (ours()[0], monai()[0, 0].numpy(), numpy_tiles(image, starts, tile, weights, norm)):
        np.testing.assert_allclose(result, image, atol=2e-6)
    return compare(
        "tile + blend",
        f"{tile}, overlap {overlap} ({len(grid)} tiles)",
        {
            "lcx_fast": ours,
            "MONAI": monai,
            "NumPy slices, cached 1/norm": lambda: numpy_tiles(image, starts, tile, weights, norm),
        },
        floor=lambda: image.copy(),
        rounds=rounds,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", help="jobs whose name contains this")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rounds = 5 if arguments.quick else 21
    found: list[Comparison] = []

    def run(job: str, bench: Callable[..., Comparison], *given: object) -> None:
        if arguments.only in job:
            found.append(bench(*given, rounds))
            print(table(found[-1:]).splitlines()[-1], flush=True)

    for case, probability in scenes().items():
        mask = (probability >= LOW).astype(np.uint8)
        run("map to lesions", bench_find_lesions, case, probability)
        run("label to int32", bench_label, case, mask)
        run("fill holes", bench_fill, case, mask)
        run("outlines", bench_outlines, case, mask)
    for tile, overlap in ((512, 0.25), (512, 0.5), (1024, 0.25), (1024, 0.5)):
        run("tile + blend", bench_tiles, tile, overlap)
    print("\n" + table(found))
    if arguments.json:
        arguments.json.write_text(to_json(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
