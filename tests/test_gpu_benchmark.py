"""benchmarks/gpu.sh and gpu_run.py as far as they go without a GPU: usage, what they say is missing, a dry run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import fake_cuda
import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def run(*arguments, path=None):
    environment = None if path is None else {"PATH": path}
    command = ["/bin/bash", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--no-such"], "unknown option --no-such"),
        (["--skip", "lunch"], "accepted: build, tests, sanitizer, measure"),
        (["--out"], "--out needs a value"),
    ],
)
def test_bad_usage_is_told(arguments, says):
    done = run(*arguments)
    assert done.returncode == 2 and says in done.stderr and done.stdout == ""


def test_help():
    done = run("--help")
    assert done.returncode == 0 and "--dry-run" in done.stdout and "set -e" not in done.stdout


def test_what_is_missing_is_told(tmp_path):
    done = run("--out", str(tmp_path / "out"), path="/usr/bin:/bin")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("gpu.sh: no ")


def test_a_dry_run_runs_everything_and_measures_nothing(tmp_path):
    fake_cuda.core()  # built here, so that the run's own time is short
    done = run("--dry-run", "--out", str(tmp_path), "--python", sys.executable)
    assert done.returncode == 0, done.stderr
    for step in ("build with CUDA", "every CUDA test, none skipped", "racecheck", "LCX_REQUIRE_CUDA=1"):
        assert step in done.stdout
    assert "NOT MEASURED" in done.stdout
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["measured"] is False and document["device"]["copy_gb_per_s"] is None
    rows = {row["job"]: row for row in document["rows"]}
    assert {"extract_tiles at 0.5 mm", "blend_tiles at 0.5 mm", "find_lesions noise50"} <= set(rows)
    for row in rows.values():
        assert row["spread"] is not None and row["spread"]["p50"] is None, row["note"]
    assert (tmp_path / "table.md").read_text().startswith("NOT MEASURED")


def test_the_size_is_checked():
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_run.py"), "--emulate", "--size", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "--size 7: needed: HxW" in done.stderr
