"""The compiled operations against their best peers, one thread.

    python benchmarks/bench_ops.py [--json FILE] [--only WORD] [--scenes NAME,...] [--quick]

Each result is checked against the peer's before anything is timed. A peer whose answer differs on a scene is named as
such and not timed there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"  # before kornia_rs starts its threads

import numpy as np
from harness import (
    FLOOR,
    Bar,
    Comparison,
    Missing,
    Results,
    arguments,
    at_most,
    candidate,
    compare,
    number,
    peer,
)
from machine import count_instructions
from scenes import SHAPE, scenes

from lcx_fast import ops

cc3d = peer("cc3d")
chains = peer("peers.chains")
cv2 = peer("cv2")
fill_voids = peer("fill_voids")
kornia_rs = peer("kornia_rs")
monai_inferers = peer("monai.inferers")
rlemasklib = peer("rlemasklib")
skimage_filters = peer("skimage.filters")
torch = peer("torch")

LOW, HIGH, MIN_AREA = 0.5, 0.7, 30
EVERYDAY = ("typical", "lesions", "specks")
QUICK_SCENES = ("typical", "noise50")

Candidates = dict[str, Callable[[], Any] | Missing]


def same_partition(labels: np.ndarray, count: int, others: np.ndarray) -> bool:
    """Whether two labellings are one but for the numbers: each label meets one other, and there are as many."""
    others = np.asarray(others).reshape(labels.shape).astype(np.int64)
    pairs = np.unique(labels.astype(np.int64) * (int(others.max()) + 1) + others)
    return len(pairs) == count + 1 and int(others.max()) == count


def bench_find_lesions(case: str, probability: np.ndarray, rounds: int) -> Comparison:
    """Hysteresis, components, holes, small objects, statistics, score and outlines, from the float map."""

    def ours() -> ops.Regions:
        return ops.find_lesions(probability, low=LOW, high=HIGH, min_area=MIN_AREA, threads=1)

    def chain() -> list[dict[str, Any]]:
        return chains.opencv_lesions(probability, LOW, HIGH, MIN_AREA)  # type: ignore[no-any-return]

    found = ours()
    boxes = {tuple(int(v) for v in box) for box in found.bounding_box}

    def is_right(lesions: list[dict[str, Any]]) -> bool:
        # An island in a hole is part of its surroundings for us and counted again by the contour chain.
        theirs = [t for t in lesions if tuple(t["bounding_box"]) in boxes]
        largest = sorted(t["area"] for t in theirs)[-5:]
        return len({t["bounding_box"] for t in theirs}) == len(boxes) and largest == sorted(found.area.tolist())[-5:]

    bars = [at_most(1 / 12, "OpenCV + NumPy"), at_most(2, FLOOR)] if case in EVERYDAY else [at_most(1)]
    return compare(
        "map to lesions",
        case,
        {"lcx_fast": ours, "OpenCV + NumPy": candidate(chains, chain, is_right)},
        floor=probability.max,
        bars=bars,
        rounds=rounds,
        data_bytes=probability.nbytes,
    )


def bench_label(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    """A plain labelling."""
    labels, count = ops.label_components(mask, threads=1)

    def is_right(other: Any) -> bool:
        return same_partition(labels, count, other)

    def opencv() -> Any:
        return cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)[1]

    candidates: Candidates = {
        "lcx_fast": lambda: ops.label_components(mask, threads=1),
        "OpenCV": candidate(cv2, opencv, is_right),
        "cc3d": candidate(cc3d, lambda: cc3d.connected_components(mask, connectivity=8, out_dtype=np.uint32), is_right),
        "kornia_rs": candidate(
            kornia_rs, lambda: kornia_rs.imgproc.connected_components(mask[:, :, None])[1], is_right
        ),
    }
    bars = [at_most(1)] if case in EVERYDAY else [at_most(1, "cc3d", "OpenCV")]
    return compare("label to int32", case, candidates, floor=labels.copy, bars=bars, rounds=rounds)


def bench_statistics(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    """Labels, then area, box and centroid of each."""

    def ours() -> ops.RegionProps:
        labels, count = ops.label_components(mask, threads=1)
        return ops.region_props(labels, count=count)

    areas = np.sort(ours().area)
    # Its masks are runs down the columns: it gets the array as it likes it.
    by_column = np.asfortranarray(mask)

    def rle() -> Any:
        return rlemasklib.RLEMask.from_array(by_column).connected_component_stats(connectivity=8)

    def opencv() -> Any:
        return cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)

    def cc3d_statistics() -> Any:
        return cc3d.statistics(cc3d.connected_components(mask, connectivity=8, out_dtype=np.uint32))

    candidates: Candidates = {
        "lcx_fast": ours,
        "OpenCV": candidate(cv2, opencv, lambda r: np.array_equal(np.sort(r[2][1:, cv2.CC_STAT_AREA]), areas)),
        "rlemasklib (no label image)": candidate(rlemasklib, rle, lambda r: np.array_equal(np.sort(r[0]), areas)),
        "cc3d": candidate(cc3d, cc3d_statistics, lambda r: np.array_equal(np.sort(r["voxel_counts"][1:]), areas)),
    }
    return compare("label + statistics", case, candidates, rounds=rounds, budget_s=2.5)


def bench_fill(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    """Fill holes, mask to mask."""
    filled = ops.fill_holes(mask, threads=1)
    by_column = np.asfortranarray(mask)

    def is_right(other: Any) -> bool:
        return np.array_equal(np.asarray(other, bool), filled)

    def by_contours() -> np.ndarray:
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        return cv2.drawContours(np.zeros_like(mask), contours, -1, 1, cv2.FILLED)

    def rle() -> Any:
        runs = rlemasklib.RLEMask.from_array(by_column).fill_small_holes(min_size=mask.size // 8)
        return runs.to_array(order="F")

    candidates: Candidates = {
        "lcx_fast": lambda: ops.fill_holes(mask, threads=1),
        "OpenCV contours": candidate(cv2, by_contours, is_right),
        "fill_voids": candidate(fill_voids, lambda: fill_voids.fill(mask), is_right),
        "rlemasklib": candidate(rlemasklib, rle, is_right),
    }
    return compare("fill holes", case, candidates, floor=mask.copy, rounds=rounds, budget_s=2.5)


def bench_remove_small(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    """Drop small components, mask to mask."""
    kept = ops.remove_small(mask, min_area=MIN_AREA, threads=1)
    by_column = np.asfortranarray(mask)

    def is_right(other: Any) -> bool:
        return np.array_equal(np.asarray(other, bool), kept)

    def rle() -> Any:
        runs = rlemasklib.RLEMask.from_array(by_column)
        return runs.remove_small_components(min_size=MIN_AREA, connectivity=8).to_array(order="F")

    candidates: Candidates = {
        "lcx_fast": lambda: ops.remove_small(mask, min_area=MIN_AREA, threads=1),
        "cc3d": candidate(cc3d, lambda: cc3d.dust(mask, threshold=MIN_AREA, connectivity=8), is_right),
        "rlemasklib": candidate(rlemasklib, rle, is_right),
    }
    return compare("remove small", case, candidates, floor=mask.copy, rounds=rounds, budget_s=2.5)


def bench_hysteresis(case: str, probability: np.ndarray, rounds: int) -> Comparison:
    """Two thresholds, float map to mask."""
    kept = ops.hysteresis(probability, low=LOW, high=HIGH, threads=1)

    def is_right(other: Any) -> bool:
        return np.array_equal(other, kept)

    def opencv() -> np.ndarray:
        count, labels = cv2.connectedComponents(cv2.compare(probability, LOW, cv2.CMP_GE), ltype=cv2.CV_32S)
        seeded = np.zeros(count, bool)
        seeded[labels[probability >= HIGH]] = True
        seeded[0] = False
        return seeded[labels]

    # Its thresholds are exclusive, and its neighbours four.
    below = np.nextafter(np.float32([LOW, HIGH]), np.float32(0))

    def skimage() -> Any:
        return skimage_filters.apply_hysteresis_threshold(probability, below[0], below[1])

    ours_by_sides = ops.hysteresis(probability, low=LOW, high=HIGH, connectivity=4, threads=1)
    candidates: Candidates = {
        "lcx_fast": lambda: ops.hysteresis(probability, low=LOW, high=HIGH, threads=1),
        "OpenCV + NumPy": candidate(cv2, opencv, is_right),
        "skimage (4 neighbours)": candidate(skimage_filters, skimage, lambda r: np.array_equal(r, ours_by_sides)),
    }
    return compare("hysteresis", case, candidates, floor=probability.max, rounds=rounds, budget_s=2.5)


def bench_outlines(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    """Every outline, outer ones and holes."""
    outer = int((~ops.trace_contours(mask, threads=1).is_hole).sum())

    def is_right(found: Any) -> bool:
        return int((found[1][0, :, 3] < 0).sum()) == outer  # the hierarchy's contours without a parent

    def by_contours() -> Any:
        return cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)

    candidates: Candidates = {
        "lcx_fast": lambda: ops.trace_contours(mask, threads=1),
        "OpenCV findContours": candidate(cv2, by_contours, is_right),
        "OpenCV LinkRuns": candidate(cv2, lambda: cv2.findContoursLinkRuns(mask), is_right),
    }
    return compare("outlines", case, candidates, rounds=rounds, budget_s=2.5)


def bench_tiles(case: str, tile: int, overlap: float, rounds: int) -> Comparison:
    """Cut, an identity network, blend with Gaussian weights."""
    image = np.random.default_rng(5).random(SHAPE, np.float32)
    grid = ops.plan_tiles(SHAPE, tile_shape=(tile, tile), overlap=overlap)
    buffer = np.empty((1, 1, tile, tile), np.float32)

    def ours() -> np.ndarray:
        blender = ops.TileBlender(grid, channels=1)
        for n in range(len(grid)):
            ops.extract_tiles(image, grid.tile(n), out=buffer, threads=1)
            blender.add(n, buffer[0])
        return blender.finish()

    def monai() -> Any:
        with torch.no_grad():
            return monai_inferers.sliding_window_inference(
                tensor, (tile, tile), 4, lambda x: x, overlap=overlap, mode="gaussian"
            )

    tensor = None if isinstance(torch, Missing) else torch.from_numpy(image)[None, None]
    starts, weights, norm = gaussian_plan(grid, tile)

    def by_slices() -> np.ndarray:
        result: np.ndarray = chains.numpy_tiles(image, starts, tile, weights, norm)
        return result

    def is_right(result: Any) -> bool:
        return bool(np.abs(np.asarray(result).reshape(SHAPE) - image).max() < 2e-6)

    assert np.abs(ours()[0] - image).max() < 1e-6
    asked: list[Bar] = []
    if (tile, overlap) == (512, 0.25):
        asked = [at_most(1 / 8, "MONAI"), at_most(1.5, FLOOR)]
    return compare(
        "tile + blend",
        f"{case} ({len(grid)} tiles)",
        {
            "lcx_fast": ours,
            "MONAI": candidate(monai_inferers, monai, is_right),
            "NumPy slices, cached 1/norm": candidate(chains, by_slices, is_right),
        },
        floor=image.copy,
        bars=asked,
        rounds=rounds,
        data_bytes=2 * image.nbytes,
    )


def bench_tile_views(case: str, tile: int, overlap: float, rounds: int) -> Comparison:
    """The same where the network takes a view of the image: nothing is cut, on either side."""
    image = np.random.default_rng(5).random(SHAPE, np.float32)
    grid = ops.plan_tiles(SHAPE, tile_shape=(tile, tile), overlap=overlap)

    def ours() -> np.ndarray:
        blender = ops.TileBlender(grid, channels=1)
        for n, (y, x) in enumerate(grid.origins):
            blender.add(n, image[None, y : y + tile, x : x + tile])
        return blender.finish()

    starts, weights, norm = gaussian_plan(grid, tile)
    assert np.abs(ours()[0] - image).max() < 1e-6

    def by_slices() -> Any:
        return chains.numpy_tiles(image, starts, tile, weights, norm)

    return compare(
        "blend views",
        f"{case} ({len(grid)} tiles)",
        {"lcx_fast": ours, "NumPy slices, cached 1/norm": candidate(chains, by_slices)},
        floor=image.copy,
        rounds=rounds,
        data_bytes=2 * image.nbytes,
    )


def gaussian_plan(grid: ops.TileGrid, tile: int) -> tuple[list[list[int]], np.ndarray, np.ndarray]:
    """What a careful user keeps between images: tile starts, weights and 1 / (sum of weights)."""
    sides = np.exp(-0.5 * ((np.arange(tile) + 0.5 - tile / 2) / (tile / 8)) ** 2)
    weights = np.outer(sides, sides).astype(np.float32)
    starts = [sorted({int(o[axis]) for o in grid.origins}) for axis in (0, 1)]
    total = np.zeros(SHAPE, np.float32)
    for y, x in grid.origins:
        total[y : y + tile, x : x + tile] += weights
    return starts, weights, 1 / total


def count(results: Results) -> None:
    """Instructions of the three hottest operations on the typical scene."""
    script = Path(__file__).with_name("one_operation.py")
    rows = []
    for operation in ("find_lesions", "label_components", "tiles"):
        found = count_instructions(script, operation)
        if found is None:
            results.add_table("Instructions", ["operation"], [], "valgrind is missing")
            return
        rows.append([operation, f"{found / 1e6:.2f}", f"{found / (SHAPE[0] * SHAPE[1]):.2f}"])
    columns = ["operation (typical, one thread)", "million instructions", "per pixel"]
    note = "By callgrind, AVX2 code: these do not depend on the machine's mood."
    results.add_table("Instructions", columns, rows, note)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--scenes", default="", help="only these, by name")
    parser.add_argument("--instructions", action="store_true", help="only count instructions (needs valgrind)")
    given = parser.parse_args()
    if not isinstance(cv2, Missing):
        cv2.setNumThreads(1)
    if not isinstance(torch, Missing):
        torch.set_num_threads(1)
    rounds = 1 if given.quick else 11
    if given.instructions:
        given.quick = False  # nothing is timed
        results = Results("instructions", "Instructions of the three hottest operations", given)
        results.run("instructions", lambda: count(results))
        return results.finish()
    results = Results("ops", "Operations, one thread, 4096 x 3328", given)
    chosen = given.scenes.split(",") if given.scenes else QUICK_SCENES if given.quick else None

    def run(job: str, bench: Callable[..., Comparison], case: str, *what: object) -> None:
        results.run(job, lambda: bench(case, *what, rounds), case)

    for case, probability in scenes(only=chosen):
        mask = (probability >= LOW).astype(np.uint8)
        run("map to lesions", bench_find_lesions, case, probability)
        run("label to int32", bench_label, case, mask)
        run("label + statistics", bench_statistics, case, mask)
        run("fill holes", bench_fill, case, mask)
        run("remove small", bench_remove_small, case, mask)
        run("hysteresis", bench_hysteresis, case, probability)
        if case in (*EVERYDAY, "spiral", "huge"):  # outlines of noise take over a minute and are nobody's job
            run("outlines", bench_outlines, case, mask)
    for tile, overlap in ((512, 0.25), (512, 0.5), (1024, 0.25), (1024, 0.5)):
        run("tile + blend", bench_tiles, f"{tile}, overlap {number(overlap)}", tile, overlap)
        run("blend views", bench_tile_views, f"{tile}, overlap {number(overlap)}", tile, overlap)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
