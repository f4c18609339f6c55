"""Overlaps, run lengths and COCO's evaluation against their best peers, on the same number of threads.

    python benchmarks/bench_evaluation.py [--json FILE] [--only WORD] [--threads N] [--quick]

Each result is checked against the peer's before anything is timed: COCO's tables to the last bit against pycocotools,
the rest to 1e-12.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before the peers start their threads.
os.environ["RAYON_NUM_THREADS"] = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv else "1"

import numpy as np
from coco_sets import SHAPE, lesion_sets, object_sets
from harness import Comparison, Missing, Results, arguments, at_most, candidate, compare, peer
from scenes import scenes

from lcx_fast import ops
from lcx_fast.evaluation import CocoEvaluator

faster_coco_eval = peer("faster_coco_eval")
hotcoco = peer("hotcoco")
powerboxes = peer("powerboxes")
pycocotools_coco = peer("pycocotools.coco")
pycocotools_eval = peer("pycocotools.cocoeval")
pycocotools_mask = peer("pycocotools.mask")
rlemasklib = peer("rlemasklib")

THREADS = int(os.environ["RAYON_NUM_THREADS"])
EVERYDAY = ("typical", "lesions", "specks")
QUICK_SCENES = ("typical", "noise50")


def bench_boxes(case: str, spread: float, rounds: int) -> Comparison:
    """2,000 x 2,000 boxes in float64; ``spread`` is how far apart they lie."""
    rng = np.random.default_rng(1)
    corner = rng.random((2000, 2)) * spread
    predicted = np.concatenate([corner, corner + rng.random((2000, 2)) * 100 + 1], 1)
    reference = predicted[rng.permutation(2000)] + rng.random((2000, 1))
    expected = ops.box_iou(predicted, reference)
    sides = [np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], 1) for b in (predicted, reference)]
    crowd = np.zeros(2000, np.uint8)

    def close(other: Any) -> bool:
        return np.allclose(other, expected, atol=1e-12)

    return compare(
        "box IoU",
        case,
        {
            "lcx_fast": lambda: ops.box_iou(predicted, reference, threads=THREADS),
            "powerboxes": candidate(
                powerboxes,
                lambda: powerboxes.iou_distance(predicted, reference),
                lambda distance: close(1 - distance),
            ),
            "pycocotools": candidate(pycocotools_mask, lambda: pycocotools_mask.iou(*sides, crowd), close),
        },
        floor=lambda: np.empty((2000, 2000)).fill(0),
        bars=[at_most(1 / 2, "powerboxes")],
        rounds=rounds,
        data_bytes=expected.nbytes,
    )


def bench_encode(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    """From an array whose columns are dense, as the peers want it, to COCO's string."""
    mask = np.asfortranarray(mask)
    expected = ops.encode_rle(mask).to_string()

    def same(other: Any) -> bool:
        counts = other["counts"]
        return (counts if isinstance(counts, bytes) else counts.encode()) == expected

    return compare(
        "RLE encode",
        case,
        {
            "lcx_fast": lambda: ops.encode_rle(mask).to_string(),
            "hotcoco": candidate(hotcoco, lambda: hotcoco.mask.encode(mask), same),
            "pycocotools": candidate(pycocotools_mask, lambda: pycocotools_mask.encode(mask), same),
        },
        bars=[at_most(1, "hotcoco")] if case in EVERYDAY else [],
        rounds=rounds,
        data_bytes=mask.nbytes,
    )


def bench_encode_rows(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    """From an array whose rows are dense, as a network gives it: the peers need it turned over first."""
    expected = ops.encode_rle(mask).to_string()

    def peer_encode(module: Any) -> Any:
        return lambda: module.encode(np.asfortranarray(mask))

    def same(other: Any) -> bool:
        counts = other["counts"]
        return (counts if isinstance(counts, bytes) else counts.encode()) == expected

    theirs = hotcoco if isinstance(hotcoco, Missing) else hotcoco.mask
    return compare(
        "RLE encode, rows dense",
        case,
        {
            "lcx_fast": lambda: ops.encode_rle(mask).to_string(),
            "hotcoco": candidate(theirs, peer_encode(theirs), same),
            "pycocotools": candidate(pycocotools_mask, peer_encode(pycocotools_mask), same),
        },
        floor=mask.max,
        bars=[at_most(1)],
        rounds=rounds,
        data_bytes=mask.nbytes,
    )


def bench_decode(case: str, mask: np.ndarray, rounds: int) -> Comparison:
    """From COCO's string to an array with dense columns."""
    text, shape = ops.encode_rle(mask).to_string(), mask.shape
    rle = {"size": list(shape), "counts": text}

    def same(other: Any) -> bool:
        return np.array_equal(other, mask)

    return compare(
        "RLE decode",
        case,
        {
            "lcx_fast": lambda: ops.Rle.from_string(text, shape).decode(),
            "hotcoco": candidate(hotcoco, lambda: hotcoco.mask.decode(rle), same),
            "pycocotools": candidate(pycocotools_mask, lambda: pycocotools_mask.decode(rle), same),
        },
        bars=[at_most(1, "hotcoco")] if case in EVERYDAY else [],
        rounds=rounds,
    )


def outlined(rng: np.random.Generator, radius: tuple[float, float], waves: int) -> ops.Rle:
    """A wavy blob at 4096 x 3328; many waves make many runs."""
    angles = np.linspace(0, 2 * np.pi, 12 * waves, endpoint=False)
    reach = rng.uniform(*radius) * (1 + 0.3 * np.cos(angles * waves))
    points = rng.random(2) * (3328, 4096) + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]
    return ops.Rle.from_polygons([points.ravel().tolist()], (4096, 3328))


def bench_masks(case: str, radius: tuple[float, float], waves: int, rounds: int) -> Comparison:
    """300 x 300 run-length masks at 4096 x 3328."""
    rng = np.random.default_rng(2)
    predicted, reference = ([outlined(rng, radius, waves) for _ in range(300)] for _ in range(2))
    expected = ops.mask_iou(predicted, reference)
    coded = [[{"size": [4096, 3328], "counts": r.to_string()} for r in rles] for rles in (predicted, reference)]
    crowd = [0] * 300
    theirs: Any = [None, None]
    if not isinstance(rlemasklib, Missing):
        theirs = [[rlemasklib.RLEMask.from_counts(r.counts, (4096, 3328)) for r in s] for s in (predicted, reference)]

    def close(other: Any) -> bool:
        return np.allclose(other, expected, atol=1e-12)

    return compare(
        "mask IoU, 300 x 300",
        case,
        {
            "lcx_fast": lambda: ops.mask_iou(predicted, reference, threads=THREADS),
            "rlemasklib": candidate(rlemasklib, lambda: rlemasklib.RLEMask.iou_matrix(*theirs), close),
            "hotcoco": candidate(hotcoco, lambda: hotcoco.mask.iou(*coded, [False] * 300), close),
            "pycocotools": candidate(pycocotools_mask, lambda: pycocotools_mask.iou(*coded, crowd), close),
        },
        bars=[at_most(1, "rlemasklib")],
        rounds=rounds,
    )


def coco_tables(coco_class: Any, eval_class: Any, paths: tuple[Path, Path], iou_type: str) -> Callable[[], Any]:
    """A peer's way from the two files to the three tables."""

    def call() -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            reference = coco_class(str(paths[0]))
            evaluation = eval_class(reference, reference.loadRes(str(paths[1])), iou_type)
            evaluation.evaluate()
            evaluation.accumulate()
        return evaluation.eval

    return call


def bench_coco(case: str, paths: tuple[Path, Path], iou_type: str, slow_peers: bool, rounds: int) -> Comparison:
    """From the two files to precision, recall and scores."""

    def ours() -> Any:
        return CocoEvaluator(paths[0], iou_type=iou_type, threads=THREADS).evaluate(paths[1])

    expected = ours()

    def close(other: Any, tolerance: float) -> bool:
        names = ("precision", "recall", "scores")
        return all(np.allclose(np.ravel(other[n]), getattr(expected, n).ravel(), rtol=0, atol=tolerance) for n in names)

    def like(module: Any, coco: Any, evaluation: Any, tolerance: float = 1e-12) -> Any:
        if isinstance(module, Missing):
            return module
        return candidate(module, coco_tables(coco, evaluation, paths, iou_type), lambda other: close(other, tolerance))

    candidates: dict[str, Any] = {"lcx_fast": ours}
    candidates["hotcoco"] = like(hotcoco, getattr(hotcoco, "COCO", None), getattr(hotcoco, "COCOeval", None))
    if slow_peers:
        coco, evaluation = getattr(pycocotools_coco, "COCO", None), getattr(pycocotools_eval, "COCOeval", None)
        candidates["pycocotools"] = like(pycocotools_coco, coco, evaluation, tolerance=0)
        coco = getattr(faster_coco_eval, "COCO", None)
        evaluation = getattr(faster_coco_eval, "COCOeval_faster", None)
        candidates["faster-coco-eval"] = like(faster_coco_eval, coco, evaluation)
    return compare(
        f"COCO from files, {iou_type}",
        case,
        candidates,
        floor=lambda: [path.read_bytes() for path in paths],
        bars=[at_most(1, "hotcoco")],
        rounds=rounds,
        budget_s=25,
        data_bytes=sum(path.stat().st_size for path in paths),
    )


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--threads", type=int, default=1, help="for all candidates that can be told")
    given = parser.parse_args()
    rounds = 1 if given.quick else 21
    results = Results("evaluation", f"Evaluation, {THREADS} thread{'s' * (THREADS > 1)}", given)

    def run(job: str, bench: Callable[..., Comparison], case: str, *what: object) -> None:
        results.run(job, lambda: bench(case, *what, rounds), case)

    run("box IoU", bench_boxes, "2,000 x 2,000, close together", 100)
    run("box IoU", bench_boxes, "2,000 x 2,000, far apart", 3000)
    for case, probability in scenes(only=QUICK_SCENES if given.quick else None):
        mask = (probability >= 0.5).astype(np.uint8)
        run("RLE encode", bench_encode, case, mask)
        run("RLE encode, rows dense", bench_encode_rows, case, mask)
        run("RLE decode", bench_decode, case, mask)
    run("mask IoU", bench_masks, "small, smooth", (20, 120), 3)
    run("mask IoU", bench_masks, "large, 6 waves", (300, 900), 6)
    if results.wants("COCO from files"):
        with tempfile.TemporaryDirectory() as folder:
            images = 200 if given.quick else 2000
            paths = lesion_sets(Path(folder), images=images)
            for iou_type in ("segm", "bbox"):
                run("COCO from files", bench_coco, f"{images:,} images, {SHAPE[0]} x {SHAPE[1]}", paths, iou_type, True)
            images = 200 if given.quick else 5000
            paths = object_sets(Path(folder), images=images)
            run("COCO from files", bench_coco, f"{images:,} images x 100 boxes x 80 kinds", paths, "bbox", False)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
