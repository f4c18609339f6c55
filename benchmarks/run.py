"""Runs the benchmarks, each in a process of its own, and writes the report.

    python benchmarks/run.py [--quick] [--only ops,decode,...] [--films FOLDER]

A benchmark that fails is named at the end, and the exit code is 1; the others still run, and its older results stay.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent

#: Name of the result file, and the command that makes it.
BENCHMARKS = {
    "ops": ("bench_ops.py",),
    "instructions": ("bench_ops.py", "--instructions"),
    "decode": ("bench_decode.py",),
    "pipeline": ("bench_pipeline.py",),
    "evaluation": ("bench_evaluation.py",),
    "metrics": ("bench_metrics.py",),
    "package": ("bench_package.py",),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs")
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="which, by name, separated by commas")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--readme", type=Path, default=HERE / "README.md")
    given = parser.parse_args()
    failed = []
    for name in given.only.split(","):
        script, *options = BENCHMARKS[name]
        if given.quick:
            options.append("--quick")
        print(f"\n== {name}", flush=True)
        started = time.monotonic()
        command = [sys.executable, str(HERE / script), *options, "--json", str(given.results / f"{name}.json")]
        if subprocess.run(command).returncode != 0:
            failed.append(name)
        print(f"== {name}: {time.monotonic() - started:.0f} s", flush=True)
    report = [sys.executable, str(HERE / "report.py"), "--results", str(given.results), "--readme", str(given.readme)]
    if subprocess.run(report).returncode != 0:
        failed.append("report")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
