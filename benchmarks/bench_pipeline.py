"""The whole line, film to lesions: its steps on real films, beside its peers, its memory, and many films at once.

    python benchmarks/bench_pipeline.py [FILMS ...] [--json FILE] [--only PART] [--quick]

Parts: ``steps`` (warm latency of each film, split), ``without a network`` (the identity in its place, one CPU),
``memory`` (each line in a process of its own), ``with the network`` (all CPUs), ``films a second`` (of ``lcx-fast
infer``).
"""

from __future__ import annotations

import functools
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import films
import lines
import numpy as np
from harness import Comparison, Missing, Results, arguments, at_most, candidate, compare, peer, summarise
from machine import measure_in_child

import lcx_fast
from lcx_fast.batch import FORMATS, find_images, infer_files, write_results
from lcx_fast.errors import InvalidArgument

torch = peer("torch")
#: What each peer's line needs.
MODULES = {"OpenCV + NumPy": ("cv2", "pydicom"), "MONAI": ("cv2", "torch", "monai")}

STEPS = ("read", "tile", "network", "blend", "lesions", "total")
PEERS = lines.NAMES[1:]
POST_NOTE = (
    "MONAI is measured with its own post-processing (threshold, fill holes, remove small objects) and with the OpenCV "
    "chain in its place; the bar was set against the former."
)


def step_table(results: Results, paths: Sequence[Path], repeat: int) -> None:
    """Median milliseconds of each step, film by film, the detector kept."""
    detector = lcx_fast.load_model()
    rows = []
    for path in paths:
        shape = detector.infer(path).mammogram.shape
        runs = [detector.infer(path).timings for _ in range(repeat)]
        times = {step: statistics.median(run[step] for run in runs) for step in STEPS}
        rest = (times["tile"] + times["blend"] + times["lesions"]) / times["total"]
        cells = [f"{1e3 * times[step]:.1f}" for step in STEPS]
        rows.append([path.stem, f"{shape[0]} x {shape[1]}", *cells, f"{rest:.1%}"])
    note = f"Warm, {detector!r}, median of {repeat}, ms. *rest*: all but reading and the network (asked: at most 10 %)."
    results.add_table("Latency by step", ["film", "pixels", *STEPS, "rest"], rows, note)


def make(build: Callable[[str, float], lines.Line], name: str) -> lines.Line | Missing:
    """A line, or why there is none."""
    for needed in MODULES.get(name.split(",")[0], ()):
        module = peer(needed)
        if isinstance(module, Missing):
            return module
    return build(name, films.SPACING_MM)


def same_lesions(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], scale: float) -> bool:
    """As many lesions, and the box of each of ours overlaps another one of theirs, scaled to the film, by at least 0.9.

    What is left of a difference: we find the window and look for lesions only where there is breast, and our boxes hold
    the outline, which lies between pixels, theirs whole pixels of the network's.
    """
    if len(ours) != len(theirs):
        return False
    boxes = np.array([lesion["bounding_box"] for lesion in theirs], float).reshape(-1, 4) * scale
    free = np.ones(len(boxes), bool)
    for lesion in ours:
        box = np.array(lesion["bounding_box"], float)
        low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - shared
        overlap = np.where(free, shared / union, 0)
        if overlap.max(initial=0) < 0.9:
            return False
        free[overlap.argmax()] = False
    return True


def beside_peers(
    film: Path, build: Callable[[str, float], lines.Line], scale: float, names: Sequence[str] = PEERS
) -> dict[str, Callable[[], Any] | Missing]:
    """Our line and the peers' on one film, each checked against ours."""
    ours = make(build, "lcx_fast")
    if isinstance(ours, Missing) or not (expected := ours(film)):
        raise ValueError("our own line finds nothing to compare")
    found: dict[str, Callable[[], Any] | Missing] = {"lcx_fast": functools.partial(ours, film)}
    for name in names:
        line = make(build, name)
        call = None if isinstance(line, Missing) else functools.partial(line, film)
        found[name] = candidate(line, call, lambda lesions: same_lesions(expected, lesions, scale))
    return found


def without_network(folder: Path, syntax: str, names: Sequence[str], rounds: int) -> Comparison:
    """Film to lesion list with the identity in the network's place, on one CPU."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    lines.one_thread()
    try:
        film = films.write_film(folder, syntax)
        bars = [at_most(1 / 2, "OpenCV + NumPy"), *([at_most(1 / 25, "MONAI")] if "MONAI" in names else [])]
        return compare(
            "film to lesions, no network",
            syntax,
            beside_peers(film, lines.identity_line, 1.0, names),
            floor=film.read_bytes,
            bars=bars,
            rounds=rounds,
            budget_s=25,
            note=POST_NOTE,
        )
    finally:
        if cpus:
            os.sched_setaffinity(0, cpus)


def with_network(folder: Path, rounds: int) -> Comparison:
    """The bundled model at its own spacing, fp32 by OpenVINO in every line, on all CPUs."""
    film = films.write_film(folder, "uncompressed, explicit")
    detector = lcx_fast.load_model()
    scale = detector.spec.pixel_spacing_mm / films.SPACING_MM
    return compare(
        "film to lesions, bundled model",
        "uncompressed, explicit",
        beside_peers(film, lines.network_line, scale),
        bars=[at_most(1)],
        rounds=rounds,
        budget_s=25,
    )


def memory(folder: Path, results: Results) -> Comparison:
    """Peak memory of each line in a process of its own; and a table of how long a new process takes."""
    film = str(films.write_film(folder, "uncompressed, explicit"))
    peaks: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    rows = []
    for name in lines.NAMES:
        try:
            script = str(Path(lines.__file__))
            found = measure_in_child([script, name, film, "--spacing", str(films.SPACING_MM)])
        except RuntimeError as error:
            missing[name] = str(error)[-100:]
            continue
        peaks[name] = [found["peak_mib"]]
        seconds = [f"{found[key]:.2f}" for key in ("ready_s", "first_s", "warm_s")]
        rows.append([name, *seconds, f"{found['peak_mib']:.0f}"])
    bars = [at_most(1 / 2, "OpenCV + NumPy"), at_most(1 / 2, "MONAI")]
    columns = ["line", "ready (imports included), s", "first film, s", "warm film, s", "peak, MiB"]
    results.add_table("A process of its own, no network, one CPU", columns, rows)
    return summarise("peak memory, no network", "uncompressed, explicit", peaks, bars=bars, missing=missing, unit="MiB")


def throughput(paths: Sequence[Path], rounds: int) -> Comparison:
    """Milliseconds a film of ``lcx-fast infer`` with its reports and pictures, against the steps one after another."""
    detector = lcx_fast.load_model()
    figures: dict[str, list[float]] = {"lcx_fast": [], "one step after another": []}

    def overlapped(out: Path) -> None:
        for result in infer_files(detector, paths, out=out, formats=FORMATS):
            assert result.error is None

    def in_turn(out: Path) -> None:
        for path in paths:
            write_results(detector.infer(path), out, path.stem, FORMATS)

    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds + 1):
            for name, call in zip(figures, (overlapped, in_turn), strict=True):
                started = time.perf_counter()
                call(Path(folder))
                if turn > 0:
                    figures[name].append(1e3 * (time.perf_counter() - started) / len(paths))
    best = 1e3 / min(figures["lcx_fast"])
    note = f"ms a film, JSON and picture written; at best {best:.1f} films a second."
    return summarise("lcx-fast infer", f"{len(paths)} films", figures, bars=[at_most(1)], note=note)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("films", nargs="*", type=Path, default=[films.ROOT / "demo" / "films"])
    given = parser.parse_args()
    warnings.filterwarnings("ignore")  # MONAI's and scikit-image's, about the film's missing orientation
    cv2 = peer("cv2")
    if not isinstance(cv2, Missing):
        cv2.setNumThreads(1)
    if not isinstance(torch, Missing):
        torch.set_num_threads(1)
    try:
        paths = find_images(given.films)
    except InvalidArgument as error:
        print(f"{error}; `make bench` fetches the sample films", file=sys.stderr)
        return 2
    rounds = 1 if given.quick else 9
    results = Results("pipeline", "The whole line", given)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for syntax, names in (("uncompressed, explicit", PEERS), ("JPEG Lossless .70", PEERS[:1])):
            measure = functools.partial(without_network, folder, syntax, names, rounds)
            results.run("without a network", measure, syntax)
        results.run("memory", lambda: memory(folder, results))
        results.run("with the network", lambda: with_network(folder, rounds))
        results.run("films a second", lambda: throughput(paths, rounds))
        results.run("steps", lambda: step_table(results, paths, rounds))
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
