"""What this runs on, and what a process of its own shows: peak memory, instruction counts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def machine() -> dict[str, Any]:
    """What this ran on, and when."""
    cpu, memory = os.uname().machine, None
    info = Path("/proc/cpuinfo")
    if info.exists():
        text = info.read_text()
        cpu = _first(r"model name\s*:\s*(.+)", text) or cpu
        kib = _first(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
        memory = round(int(kib) / 2**20, 1) if kib else None
    copy, read = memory_speed()
    return {
        "cpu": cpu,
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": memory,
        "copy_gb_per_s": round(copy, 1),
        "read_gb_per_s": round(read, 1),
        "system": f"{os.uname().sysname} {os.uname().release.split('-')[0]}",
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def load_average() -> float:
    """Of the last minute; about 1 while one benchmark has the machine to itself."""
    return round(os.getloadavg()[0], 2)


def memory_speed(size: int = 1 << 26) -> tuple[float, float]:
    """GB/s of one thread that copies (bytes read and bytes written both count), and of one that reads."""
    source, target = np.ones(size // 8), np.ones(size // 8)
    copy = _best_time(lambda: np.copyto(target, source))
    read = _best_time(source.max)
    return 2 * size / copy / 1e9, size / read / 1e9


def _best_time(call: Callable[[], object], rounds: int = 5) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found.group(1).strip() if found else None


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def commit() -> str | None:
    """Of the tree that this file is in, shortened."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def peak_mib() -> float:
    """The most memory this process has had resident since it began, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count what the parent had when it forked
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text()).group(1)) / 1024  # type: ignore[union-attr]
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def measure_in_child(command: Sequence[str], *, timeout_s: float = 300) -> dict[str, Any]:
    """Run Python with these arguments and parse the last line it prints as JSON.

    Raises:
        RuntimeError: if it fails, with the last line it said, or takes too long.
    """
    try:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(command)}: more than {timeout_s:.0f} s") from None
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {_last_line(done.stderr)}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def count_instructions(script: Path, operation: str) -> int | None:
    """Instructions of one call of an operation: ``script OPERATION N`` under callgrind, N = 3 against N = 1.

    None where valgrind is missing. The figure does not depend on the machine's mood, only on its instruction set:
    valgrind has no AVX-512, so the AVX2 clones are counted.
    """
    if shutil.which("valgrind") is None:
        return None
    counts = []
    for calls in (1, 3):
        with tempfile.TemporaryDirectory() as folder:
            command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", sys.executable]
            done = subprocess.run(
                [*command, str(script), operation, str(calls)],
                capture_output=True,
                text=True,
                env=os.environ | {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
            )
        found = _first(r"Collected : (\d+)", done.stderr)
        if done.returncode != 0 or found is None:
            raise RuntimeError(f"{script.name} {operation}: {_last_line(done.stderr)}")
        counts.append(int(found))
    return (counts[1] - counts[0]) // 2
