"""Latency of the whole line on real films, split by step.

    python benchmarks/bench_pipeline.py demo/films [--repeat 5] [--json FILE]

A film is read, and inferred once to warm up, then ``--repeat`` times with the same Detector; the median of each step is
shown in ms. ``rest`` is everything but reading and the network, as a share of the total.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import lcx_fast
from lcx_fast.batch import find_images

STEPS = ("read", "tile", "network", "blend", "lesions", "total")


def measure(detector: lcx_fast.Detector, path: Path, repeat: int) -> dict[str, float]:
    """Median seconds of each step."""
    detector.infer(path)
    runs = [detector.infer(path).timings for _ in range(repeat)]
    return {step: statistics.median(run[step] for run in runs) for step in STEPS}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--model")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    detector = lcx_fast.load_model(arguments.model, precision=arguments.precision)
    rows = []
    print("| film | pixels | " + " | ".join(STEPS) + " | rest |")
    print("|---" * (len(STEPS) + 3) + "|")
    for path in find_images(arguments.paths):
        times = measure(detector, path, arguments.repeat)
        height, width = lcx_fast.read_mammogram(path).shape
        rest = (times["tile"] + times["blend"] + times["lesions"]) / times["total"]
        rows.append({"film": path.name, "rows": height, "columns": width, **times, "rest": rest})
        cells = " | ".join(f"{times[step] * 1e3:.1f}" for step in STEPS)
        print(f"| {path.stem} | {height} x {width} | {cells} | {rest:.0%} |", flush=True)
    if arguments.json:
        facts = {"detector": repr(detector), "repeat": arguments.repeat, "films": rows}
        arguments.json.write_text(json.dumps(facts, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
