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
        (["--wheels", "/no/such/folder"], "no such folder; --collect fills one"),
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
    kernels = {"resample at 0.5 mm", "extract_tiles at 0.5 mm", "blend_tiles at 0.5 mm", "find_lesions noise50"}
    kernels |= {"region_props typical", "breast_mask", "trace_contours specks", "pixel_histogram of 16-bit scores"}
    assert kernels <= set(rows)
    compared = {job: row for job, row in rows.items() if job.startswith("identity")}
    assert len(compared) == 2
    for job, row in rows.items():
        if job in compared:
            assert row["facts"]["differing"] == 0 and row["note"].startswith("all "), row["note"]
        else:
            assert row["spread"] is not None and row["spread"]["p50"] is None, row["note"]
    assert (tmp_path / "table.md").read_text().startswith("NOT MEASURED")


def test_without_a_network_tools_come_from_a_folder(tmp_path):
    done = run("--dry-run", "--out", str(tmp_path), "--wheels", str(tmp_path), "--skip", "measure")
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines() if "install" in line]
    assert len(lines) == 2 and all(f"--no-index --find-links {tmp_path}" in line for line in lines)
    assert "tests/test_cuda_values.py" in done.stdout


def test_bars_are_held_against_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_bars
    from gpu_device import Spread
    from gpu_jobs import Row

    def row(job, p50, p99=None, who="lcx_fast", **more):
        return Row(job, who, Spread(p50, p99 or p50, 100), **more)

    rows = [
        row("network, one tile", 3.0, who="tensorrt fp16"),
        row("network, one tile", 1.0, who="torch eager fp16"),
        row("line, one film of 4096 x 3328", 4.0, 5.4, who="lcx_fast, tensorrt fp16 on cuda:0", facts={"tiles": 1}),
        row("find_lesions typical", 0.4, note="with its download", data_bytes=10**9),
        row("find_lesions typical", 8.0, who="cupyx label + sums"),
        row("resample at 0.5 mm", 1.0, data_bytes=10**9),
        row("blend_tiles at 0.5 mm", 1.0, data_bytes=3 * 10**9),
        Row("identity, 9 random masks", "lcx_fast", None, note="all 9", facts={"differing": 0}),
    ]
    found = {bar.name: bar for bar in gpu_bars.bars(rows, copy_speed=3000, upload_ms=0.5)}
    assert found["line over upload and network"].got == "1.143 x" and found["line over upload and network"].is_met
    assert found["p99 over p50 of the line"].is_met is False
    assert found["map to lesions, typical"].is_met and found["map to lesions, noise50"].is_met is None
    assert found["cupyx label + sums over ours, typical"].got == "20.0 x"
    assert not found["resample at 0.5 mm"].is_met and found["blend_tiles at 0.5 mm"].is_met
    assert found["identity, 9 random masks"].is_met and "find_lesions typical" not in found
    lines = gpu_bars.table(list(found.values())).splitlines()
    assert lines[2].endswith("missed |") and lines[-1].endswith("met |")


def test_the_size_is_checked():
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_run.py"), "--emulate", "--size", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "--size 7: needed: HxW" in done.stderr
