"""Ranking pixels, FROC and bootstrap against scikit-learn, torcheval and MONAI, one thread.

    python benchmarks/bench_metrics.py [--json FILE] [--only WORD] [--quick]

Each result is checked against the peer's before anything is timed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import Comparison, Missing, Results, arguments, at_most, candidate, compare, peer

from lcx_fast import evaluation

sklearn_metrics = peer("sklearn.metrics")
torch = peer("torch")
torcheval = peer("torcheval.metrics.functional")
froc = peer("monai.metrics.froc")

PIXELS = 10_000_000
IMAGES = 2000


def pixel_scores(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """A probability map's scores: most near 0, lesions higher; 3 % positive."""
    rng = np.random.default_rng(0)
    labels = (rng.random(PIXELS) < 0.03).astype(np.uint8)
    logits = rng.standard_normal(PIXELS, np.float32) * 2 - 5 + 4 * labels
    scores = 1 / (1 + np.exp(-logits, dtype=np.float32))
    return (scores * 65535).astype(dtype) if dtype == np.uint16 else scores.astype(dtype), labels


def bench_pixels(dtype: Any, share: float, rounds: int) -> Comparison:
    scores, labels = pixel_scores(dtype)
    ours = evaluation.pixel_areas(scores, labels, threads=1)

    def by_sklearn() -> tuple[float, float]:
        return (
            sklearn_metrics.roc_auc_score(labels, scores),
            sklearn_metrics.average_precision_score(labels, scores),
        )

    tensors = (
        () if isinstance(torch, Missing) else (torch.from_numpy(scores.astype(np.float32)), torch.from_numpy(labels))
    )

    def by_torcheval() -> tuple[float, float]:
        return (
            float(torcheval.binary_auroc(tensors[0], tensors[1].long())),
            float(torcheval.binary_auprc(tensors[0], tensors[1].long())),
        )

    def close(other: tuple[float, float]) -> bool:
        return bool(np.allclose(ours, other, rtol=1e-9, atol=0))

    candidates: dict[str, Callable[[], Any] | Missing] = {
        "lcx_fast": lambda: evaluation.pixel_areas(scores, labels, threads=1),
        "scikit-learn": candidate(sklearn_metrics, by_sklearn, close),
    }
    if dtype == np.float32:  # it takes nothing else; its AUPRC is by trapezoids, which is another figure
        candidates["torcheval"] = candidate(
            torcheval, by_torcheval, lambda other: bool(np.isclose(ours.auc, other[0], rtol=2e-3))
        )
    return compare(
        "pixel ROC AUC + average precision",
        f"10^7 pixels, {np.dtype(dtype)}",
        candidates,
        floor=lambda: (scores.copy(), labels.copy()),
        bars=[at_most(share, "scikit-learn")],
        rounds=rounds,
        budget_s=40,
        data_bytes=scores.nbytes + labels.nbytes,
    )


Scene = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def candidates_of_images(dtype: Any = np.int32) -> Scene:
    """(points, scores, outlines) of each image: 256 x 256 pixels, about 4 candidates and 1.2 lesions an image."""
    rng = np.random.default_rng(1)
    scene: Scene = []
    for _ in range(IMAGES):
        outlines = np.zeros((256, 256), dtype)
        points = list(rng.integers(0, 256, (rng.poisson(3.2), 2)))
        for number in range(1, rng.integers(0, 3) + 1):
            y, x = 90 * number + rng.integers(-20, 20), rng.integers(30, 226)
            outlines[y - 12 : y + 12, x - 12 : x + 12] = number
            if rng.random() < 0.8:
                points.append(np.array([y, x]))
        order = np.array(points, np.int64).reshape(-1, 2)
        scene.append((order, rng.random(len(order)), outlines))
    return scene


def our_froc(scene: Scene) -> tuple[evaluation.Matches, float]:
    points, scores, outlines = zip(*scene, strict=True)
    patients = [str(k // 4) for k in range(len(scene))]
    matches = evaluation.match_points(points, scores, outlines, patients=patients, threads=1)
    return matches, evaluation.luna_score(matches)


def monai_froc(scene: Scene) -> float:
    false, true, targets = [], [], 0
    for points, scores, outlines in scene:
        fp, tp, count = froc.compute_fp_tp_probs(
            probs=scores, y_coord=points[:, 0], x_coord=points[:, 1], evaluation_mask=outlines
        )
        false.append(fp)
        true.append(tp)
        targets += count
    rates, sensitivity = froc.compute_froc_curve_data(np.concatenate(false), np.concatenate(true), targets, len(scene))
    return float(froc.compute_froc_score(rates, sensitivity, evaluation.LUNA_RATES))


def bench_froc(dtype: Any, rounds: int) -> Comparison:
    scene = candidates_of_images(dtype)
    score = our_froc(scene)[1]
    return compare(
        "FROC, LUNA16 score",
        f"{IMAGES} images, {sum(len(p) for p, _, _ in scene)} candidates, outlines {np.dtype(dtype)}",
        {
            "lcx_fast": lambda: our_froc(scene),
            "MONAI": candidate(
                froc, lambda: monai_froc(scene), lambda other: bool(np.isclose(score, other, rtol=1e-9))
            ),
        },
        floor=lambda: [outlines.max() for _, _, outlines in scene],
        bars=[at_most(1 / 5, "MONAI")],
        rounds=rounds,
    )


def bench_bootstrap(rounds: int) -> Comparison:
    """ROC AUC of image scores; scikit-learn in the loop that papers use, a tenth of the resamples."""
    rng = np.random.default_rng(2)
    patients = [str(k // 4) for k in range(IMAGES)]
    labels = rng.random(IMAGES) < 0.3
    scores = rng.normal(labels * 1.0)

    def ours(draws: int) -> evaluation.Interval:
        return evaluation.patient_bootstrap(
            lambda weights: {"auc": evaluation.roc_auc(scores, labels, weights=weights)}, patients, draws=draws
        )["auc"]

    def loop(draws: int) -> np.ndarray:
        groups = np.arange(IMAGES).reshape(-1, 4)
        drawn = np.random.default_rng(0)
        values = []
        for _ in range(draws):
            index = groups[drawn.integers(0, len(groups), len(groups))].ravel()
            values.append(sklearn_metrics.roc_auc_score(labels[index], scores[index]))
        return np.percentile(values, [2.5, 97.5])

    interval = ours(2000)[1:]
    return compare(
        "patient bootstrap, ROC AUC",
        f"{IMAGES} images, 2,000 resamples",
        {
            "lcx_fast": lambda: ours(2000),
            # Other resamples, so only about the same interval.
            "scikit-learn, a loop": candidate(
                sklearn_metrics, lambda: loop(2000), lambda other: bool(np.allclose(interval, other, rtol=0, atol=4e-3))
            ),
        },
        rounds=min(rounds, 3),
        budget_s=30,
    )


def bench_lesion_bootstrap(rounds: int) -> Comparison:
    """Average precision and sensitivity at four rates, 2,000 resamples: no peer does it."""
    matches, _ = our_froc(candidates_of_images())

    def figures(weights: np.ndarray) -> dict[str, Any]:
        sensitivity = evaluation.froc_sensitivities(matches, weights=weights)
        return {
            "ap": evaluation.interpolated_average_precision(matches, weights=weights),
            **{str(k): sensitivity[:, k] for k in range(4)},
        }

    return compare(
        "patient bootstrap, AP + FROC",
        f"{len(matches.scores)} candidates, 2,000 resamples",
        {"lcx_fast": lambda: evaluation.patient_bootstrap(figures, matches.patients, draws=2000)},
        rounds=min(rounds, 5),
    )


def main() -> int:
    given = arguments(__doc__).parse_args()
    if not isinstance(torch, Missing):
        torch.set_num_threads(1)
    rounds = 1 if given.quick else 7
    results = Results("metrics", "Ranking metrics, FROC and bootstrap, one thread", given)
    results.run("pixel float32", lambda: bench_pixels(np.float32, 1 / 40, rounds))
    results.run("pixel uint16", lambda: bench_pixels(np.uint16, 1 / 300, rounds))
    results.run("pixel float16", lambda: bench_pixels(np.float16, 1 / 300, rounds))
    results.run("froc int32", lambda: bench_froc(np.int32, rounds))
    results.run("froc uint8", lambda: bench_froc(np.uint8, rounds))
    results.run("bootstrap auc", lambda: bench_bootstrap(rounds))
    results.run("bootstrap froc", lambda: bench_lesion_bootstrap(rounds))
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
