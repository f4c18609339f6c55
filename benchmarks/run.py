"""Runs the benchmarks, each in a process of its own, and writes the report.

    python benchmarks/run.py [--quick] [--only ops,decode,...] [--resume] [--wheel FILE]

Each benchmark keeps its results up to date in FOLDER/NAME.json while it runs. One that fails or takes more than
``LIMIT_S`` is named at the end, and the exit code is 1; the others still run, what it had measured stays, and the
report says that some is missing. With ``--resume`` those that have run to their end on this commit are not repeated.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from machine import commit

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

#: Several times what the longest benchmark takes on two quiet cores: something hangs.
LIMIT_S = 900.0
#: Between asking a process to end and ending it.
GRACE_S = 10.0


def run(command: list[str], limit_s: float) -> str:
    """Run a command; what went wrong with it, or nothing."""
    process = subprocess.Popen(command)
    try:
        code = process.wait(timeout=limit_s)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"ended after {limit_s:.0f} s"
    except KeyboardInterrupt:
        _end(process)
        raise
    return "" if code == 0 else f"exit code {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # so that it removes its temporary files
    try:
        process.wait(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def is_done(path: Path, *, quick: bool) -> bool:
    """Whether a benchmark ran to its end, on this commit, in as many rounds."""
    if not path.exists():
        return False
    found = json.loads(path.read_text())
    return bool(found.get("complete")) and found.get("quick") == quick and found["machine"]["commit"] == commit()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, fewer scenes: to see that it runs")
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="which, by name, separated by commas")
    parser.add_argument("--resume", action="store_true", help="leave out those already done on this commit")
    parser.add_argument("--wheel", type=Path, help="of lcx_fast, to be weighed; else one is built")
    parser.add_argument("--limit", type=float, default=LIMIT_S, metavar="SECONDS", help="for each benchmark")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--readme", type=Path, default=HERE / "README.md")
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    failed = []
    for name in names:
        path = given.results / f"{name}.json"
        if given.resume and is_done(path, quick=given.quick):
            print(f"\n== {name}: done before", flush=True)
            continue
        script, *options = BENCHMARKS[name]
        options += ["--quick"] * given.quick
        if name == "package" and given.wheel is not None:
            options += ["--wheel", str(given.wheel)]
        print(f"\n== {name} ({names.index(name) + 1} of {len(names)})", flush=True)
        started = time.monotonic()
        trouble = run([sys.executable, str(HERE / script), *options, "--json", str(path)], given.limit)
        print(f"== {name}: {time.monotonic() - started:.0f} s{trouble and f', {trouble}'}", flush=True)
        if trouble:
            failed.append(f"{name} ({trouble})")
    report = [sys.executable, str(HERE / "report.py"), "--results", str(given.results), "--readme", str(given.readme)]
    if trouble := run(report, given.limit):
        failed.append(f"report ({trouble})")
    if failed:
        print(f"not all went well: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
