"""Fair timing of alternatives: same arrays, same process, turn by turn.

Absolute times move with the machine's mood, so candidates take turns, each round calling every one once, and the figure
that counts is the ratio: the median over rounds of one candidate's time over the other's in that same round.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Timing:
    """One candidate: milliseconds over the rounds, and its ratio to the first candidate."""

    name: str
    median_ms: float
    best_ms: float
    spread_ms: float
    rounds: int
    ratio: float


@dataclass(frozen=True)
class Comparison:
    """One job done by several candidates. The first is ours; ``floor_ms`` is the same data copied or read once."""

    job: str
    case: str
    timings: tuple[Timing, ...]
    floor_ms: float | None = None
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def best_peer(self) -> Timing | None:
        """The fastest of the others."""
        return min(self.timings[1:], key=lambda t: t.median_ms, default=None)


def compare(
    job: str,
    case: str,
    candidates: Mapping[str, Callable[[], Any]],
    *,
    floor: Callable[[], Any] | None = None,
    rounds: int = 15,
    budget_s: float = 20.0,
    note: str = "",
) -> Comparison:
    """Time candidates in turns. Each is called once to warm up; rounds stop early when the budget is spent."""
    for call in candidates.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    floors: list[float] = []
    started = time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        for done in range(rounds):
            for name, call in candidates.items():
                times[name].append(_time(call))
            if floor is not None:
                floors.append(_time(floor))
            if done >= 2 and time.perf_counter() - started > budget_s:
                break
    finally:
        gc.enable()
    own = next(iter(times.values()))
    timings = tuple(
        Timing(
            name,
            1e3 * statistics.median(values),
            1e3 * min(values),
            1e3 * (np.percentile(values, 75) - np.percentile(values, 25)),
            len(values),
            statistics.median(v / o for v, o in zip(values, own, strict=True)),
        )
        for name, values in times.items()
    )
    return Comparison(job, case, timings, 1e3 * statistics.median(floors) if floors else None, note)


def _time(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def machine() -> dict[str, Any]:
    """What this ran on."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = lines[0].split(":", 1)[1].strip() if lines else cpu
    return {
        "cpu": cpu,
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.system(),
    }


def table(comparisons: list[Comparison]) -> str:
    """A Markdown table: ours, the floor, and every peer as a multiple of ours."""
    lines = ["| job | case | lcx_fast, ms | floor, ms | peers, ms (times ours) |", "|---|---|---|---|---|"]
    for c in comparisons:
        own, *peers = c.timings
        floor = "" if c.floor_ms is None else f"{c.floor_ms:.2f}"
        others = ", ".join(f"{p.name} {p.median_ms:.2f} ({p.ratio:.1f}x)" for p in peers)
        lines.append(f"| {c.job} | {c.case} | **{own.median_ms:.2f}** | {floor} | {others} |")
    return "\n".join(lines)


def to_json(comparisons: list[Comparison]) -> str:
    """Everything measured, with the machine."""
    return json.dumps({"machine": machine(), "comparisons": [asdict(c) for c in comparisons]}, indent=1)
