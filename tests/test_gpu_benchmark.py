"""benchmarks/gpu.sh and gpu_run.py as far as they go without a GPU: usage, what they say is missing, a dry run."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import types
from pathlib import Path

import fake_cuda
import numpy as np
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
        (["--only", "build,lunch"], "--only lunch; accepted: build, tests, sanitizer, measure"),
        (["--minutes", "soon"], "--minutes soon; a whole number"),
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
    kernels |= {"network, one tile", "line, one film of 700 x 500"}
    assert kernels <= set(rows)
    compared = {job: row for job, row in rows.items() if job.startswith("identity")}
    assert len(compared) == 2 and document["is_complete"]
    for job, row in rows.items():
        if job in compared:
            assert row["facts"]["differing"] == 0 and row["note"].startswith("all "), row["note"]
        elif job == "line, 4 films at once":
            assert row["note"] == ""
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
    over = next(bar for name, bar in found.items() if name.startswith("line over upload and network"))
    assert over.got == "1.143 x" and over.is_met
    assert "0.500 ms more than 0.500 + 3.000" in over.name and "standing in" not in over.name
    assert found["p99 over p50 of the line"].is_met is False
    assert found["map to lesions, typical"].is_met and found["map to lesions, noise50"].is_met is None
    assert found["cupyx label + sums over ours, typical"].got == "20.0 x"
    assert not found["resample at 0.5 mm"].is_met and found["blend_tiles at 0.5 mm"].is_met
    assert found["identity, 9 random masks"].is_met and "find_lesions typical" not in found
    lines = gpu_bars.table(list(found.values())).splitlines()
    assert lines[2].endswith("missed |") and lines[-1].endswith("met |")


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [("--size", "7", "--size 7: needed: HxW"), ("--only", "line,all", "--only all; accepted")],
)
def test_options_are_checked(option, value, says):
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_run.py"), "--emulate", option, value]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and says in done.stderr


def test_a_run_that_is_over_leaves_what_it_had(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_run

    fake_cuda.core()
    command = ["--emulate", "--only", "kernels", "--minutes", "0", "--size", "70x64", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, gpu_run.__file__, *command], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "results.json").read_text())
    assert not document["is_complete"] and [row["job"] for row in document["rows"]] == ["resample onto the coarse grid"]
    assert (tmp_path / "table.md").read_text().startswith("NOT COMPLETE")


def test_a_step_that_fails_is_told_and_those_after_it_are_done(tmp_path):
    """Everything outside is a stand-in that fails in one place."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("nvcc", "nvidia-smi", "compute-sanitizer"):
        (tools / name).write_text(f"#!/bin/sh\n[ {name} != compute-sanitizer ] || exit 9\n")
    script = f"""#!/bin/sh
case "$*" in
  *'-m pytest'*) echo 'one test failed'; exit 1 ;;
  *gpu_run*) echo 'the table' >{tmp_path}/out/table.md ;;
esac
"""
    (tools / "python3").write_text(script)
    for tool in tools.iterdir():
        tool.chmod(0o755)
    root = tmp_path / "project"
    (root / "build" / "gpu-venv").mkdir(parents=True)
    (root / "benchmarks").mkdir()
    (root / "benchmarks" / "gpu.sh").write_text(SCRIPT.read_text())
    (root / "build" / "gpu-venv" / "bin").symlink_to(tools)
    (tools / "python").symlink_to(tools / "python3")
    command = ["/bin/bash", str(root / "benchmarks" / "gpu.sh"), "--only", "tests,measure,sanitizer", "--minutes", "2"]
    environment = {"PATH": f"{tools}:/usr/bin:/bin"}
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=100, env=environment
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1] == "the table"
    summary = (tmp_path / "out" / "summary.txt").read_text()
    assert "none skipped: FAILED with 1" in summary and "one test failed" in summary
    assert "measurements: done" in summary and summary.count("FAILED with 9") == 4


def test_the_stand_in_network_is_found_from_anywhere_and_runs_on_the_stream_asked_for(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    where = f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import gpu_peers; gpu_peers.torch_network()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", where] if sys.version_info >= (3, 11) else [sys.executable, "-c", where],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
    )
    assert "No module named" not in done.stderr
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_peers

    used, tensors = [], {1: torch.zeros(1, 1, 4, 4), 2: torch.zeros(1, 2, 4, 4)}

    @contextlib.contextmanager
    def on(stream):
        used.append(stream)
        yield

    monkeypatch.setattr(gpu_peers, "torch_network", lambda: lambda x: x.expand(1, 2, 4, 4) + 1)
    monkeypatch.setattr(torch, "as_tensor", lambda a, device: tensors[a.__cuda_array_interface__["data"][0]])
    monkeypatch.setattr(torch.cuda, "MemPool", object)
    monkeypatch.setattr(torch.cuda, "use_mem_pool", lambda pool: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "ExternalStream", lambda handle: handle or "a new stream of its own")
    monkeypatch.setattr(torch.cuda, "default_stream", lambda: "default")
    enqueue, source, target = gpu_peers.captured_network((4, 4))
    enqueue(1, 2, 0)
    enqueue(1, 2, 77)
    assert used == ["default", 77] and (source, target) == ((1, 1, 4, 4), (1, 2, 4, 4))
    assert torch.allclose(tensors[2], torch.sigmoid(torch.ones(1, 2, 4, 4)), atol=1e-3)


def test_times_are_the_devices_and_not_the_hosts(monkeypatch):
    """Against a CuPy that keeps a log: the device is busy before a batch is asked for, and too late is noticed."""
    log = []

    class Event:
        done = False

        def record(self):
            log.append("event")

    cupy = types.ModuleType("cupy")
    cupy.__version__ = "0"
    cupy.RawKernel = lambda source, name: lambda blocks, threads, arguments: log.append("busy")

    class Pinned(bytearray):
        ptr = 1

    runtime = types.SimpleNamespace(
        memcpyHostToDevice=1,
        memcpyAsync=lambda to, source, size, kind, stream: log.append((to, source, size, kind, stream)),
        getDeviceProperties=lambda k: {"name": b"card", "major": 9, "minor": 0, "totalGlobalMem": 2**30},
        driverGetVersion=lambda: 13000,
    )
    card = types.SimpleNamespace(attributes={"L2CacheSize": 1000}, synchronize=lambda: log.append("sync"))
    cupy.cuda = types.SimpleNamespace(
        runtime=runtime, Device=lambda *k: card, Event=Event, get_elapsed_time=lambda begin, end: 2.0
    )
    cupy.cuda.alloc_pinned_memory = Pinned
    cupy.uint8, cupy.float32 = np.uint8, np.float32
    cupy.empty = lambda size, dtype: types.SimpleNamespace(data=types.SimpleNamespace(ptr=2))
    cupy.arange = lambda size, dtype: types.SimpleNamespace(nbytes=4 * size)
    cupy.empty_like, cupy.copyto = lambda array: array, lambda to, source: log.append("copy")
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from gpu_device import CudaDevice

    device = CudaDevice()
    spread = device.time_on_device(lambda i: log.append(i), 6)
    assert (spread.p50, spread.calls, spread.host_bound) == (2.0, 8, False)
    batch = lambda first: [x for i in range(first, first + 4) for x in ("event", i, "event")]  # noqa: E731
    assert log == [0, 1, 2, "sync", 3, "sync", "busy", *batch(0), "sync", "busy", *batch(4), "sync"]
    assert device.upload_speed(4000) == 4000 / 2 / 1e6 and log.count((2, 1, 4000, 1, 0)) == 4 + 20
    assert device.copy_speed() == 2 * 4 * 2**28 / 2 / 1e6 and log.count("copy") == 4 + 20
    Event.done = True
    assert device.time_on_device(lambda i: None, 6).host_bound
    assert device.time_with_host(lambda i: None, 50).calls == 50
    assert CudaDevice(seconds=0).time_with_host(lambda i: None, 50).calls == CudaDevice.FEWEST_CALLS
