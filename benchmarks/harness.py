"""Fair timing of alternatives: same arrays, same process, turn by turn.

Absolute times move with the machine's mood, so candidates take turns, each round calling every one once, and the figure
that counts is the ratio: the median over rounds of one candidate's time over the other's in that same round. What was
asked of a job is stated beside it as a ``Bar``, and the tables say whether it was met.

Memory is measured in processes of their own, instructions by valgrind: see ``machine.py``.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from machine import load_average, machine

#: Stands for the floor in a ``Bar``.
FLOOR = "floor"

#: A call this short is repeated within a round, so that the clock's own cost does not count.
SHORTEST_TURN_S = 2e-3

#: A call this long has no warming up but its first one.
LONG_CALL_S = 0.05


@dataclass(frozen=True)
class Timing:
    """One candidate: its figures over the rounds, and its ratio to the first candidate in the same round."""

    name: str
    median: float
    best: float
    spread: float
    rounds: int
    ratio: float


@dataclass(frozen=True)
class Bar:
    """What was asked: ours takes at most ``times`` of what the best of ``against`` takes (empty: of all peers)."""

    times: float
    against: tuple[str, ...] = ()

    def __str__(self) -> str:
        share = f"1/{1 / self.times:.3g}" if self.times < 1 else f"{self.times:.3g}x"
        return f"≤ {share} of {' or '.join(self.against) or 'the best peer'}"


def at_most(times: float, *against: str) -> Bar:
    """A ``Bar``; ``against`` names candidates or ``FLOOR``, none of them meaning every peer."""
    return Bar(times, against)


@dataclass(frozen=True)
class Verdict:
    """A bar and what became of it; ``ratio`` is ours over theirs, None where they could not be measured."""

    asked: str
    ratio: float | None
    met: bool | None


@dataclass(frozen=True)
class Missing:
    """A peer that could not be measured, and why."""

    reason: str

    def __getattr__(self, name: str) -> Missing:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


@dataclass(frozen=True)
class Comparison:
    """One job done by several candidates. The first is ours.

    Attributes:
        floor: the same data copied or read once.
        data_bytes: what must be read and written at least.
        unit: of every figure: "ms" or "MiB".
        missing: candidates that could not be measured, and why.
    """

    job: str
    case: str
    timings: tuple[Timing, ...]
    floor: float | None = None
    verdicts: tuple[Verdict, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    data_bytes: int | None = None
    unit: str = "ms"
    note: str = ""

    @property
    def best_peer(self) -> Timing | None:
        """The best of the others."""
        return min(self.timings[1:], key=lambda t: t.median, default=None)


def peer(name: str) -> Any:
    """A peer's module, or ``Missing`` if it cannot be imported; the tables name it then."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken install may raise anything
        reason = " ".join(str(error).split())[:100]
        return Missing(f"{type(error).__name__}: {reason}")


def candidate(
    module: Any, call: Callable[[], Any], is_right: Callable[[Any], bool] | None = None
) -> Callable[[], Any] | Missing:
    """The call, if its module is there and its answer is right; else what is wrong."""
    if isinstance(module, Missing):
        return module
    try:
        if is_right is not None and not is_right(call()):
            return Missing("its answer differs")
    except Exception as error:  # a peer may fail on a hard scene
        return Missing(f"fails: {type(error).__name__}")
    return call


def compare(
    job: str,
    case: str,
    candidates: Mapping[str, Callable[[], Any] | Missing],
    *,
    floor: Callable[[], Any] | None = None,
    bars: Sequence[Bar] = (),
    rounds: int = 15,
    budget_s: float = 4.0,
    data_bytes: int | None = None,
    note: str = "",
) -> Comparison:
    """Time candidates in turns, each warmed up; from the third round on they stop when the budget is spent."""
    present = {name: call for name, call in candidates.items() if not isinstance(call, Missing)}
    missing = {name: call.reason for name, call in candidates.items() if isinstance(call, Missing)}
    calls = present | ({FLOOR: floor} if floor is not None else {})
    repeats = {name: _repeats(call) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    started = time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        for done in range(rounds):
            for name, call in calls.items():
                seconds[name].append(_time(call, repeats[name]))
            if done >= 2 and time.perf_counter() - started > budget_s:
                break
    finally:
        gc.enable()
    figures = {name: [1e3 * value for value in values] for name, values in seconds.items()}
    floors = figures.pop(FLOOR, None)
    return summarise(
        job, case, figures, floors=floors, bars=bars, missing=missing, data_bytes=data_bytes, unit="ms", note=note
    )


def summarise(
    job: str,
    case: str,
    figures: Mapping[str, Sequence[float]],
    *,
    floors: Sequence[float] | None = None,
    bars: Sequence[Bar] = (),
    missing: Mapping[str, str] | None = None,
    data_bytes: int | None = None,
    unit: str = "ms",
    note: str = "",
) -> Comparison:
    """Make a comparison of figures measured round by round, the first candidate being ours."""
    own = next(iter(figures.values()))
    timings = tuple(
        Timing(
            name,
            statistics.median(values),
            min(values),
            float(np.percentile(values, 75) - np.percentile(values, 25)),
            len(values),
            statistics.median(v / o for v, o in zip(values, own, strict=True)),
        )
        for name, values in figures.items()
    )
    known = dict(figures) | ({FLOOR: floors} if floors else {})
    return Comparison(
        job,
        case,
        timings,
        statistics.median(floors) if floors else None,
        tuple(_judge(bar, own, known) for bar in bars),
        missing or {},
        data_bytes,
        unit,
        note,
    )


def _judge(bar: Bar, own: Sequence[float], known: Mapping[str, Sequence[float]]) -> Verdict:
    names = bar.against or tuple(name for name in list(known)[1:] if name != FLOOR)
    rivals = [known[name] for name in names if name in known]
    if not rivals:
        return Verdict(str(bar), None, None)
    ratio = max(statistics.median(o / r for o, r in zip(own, values, strict=True)) for values in rivals)
    return Verdict(str(bar), ratio, ratio <= bar.times)


def _repeats(call: Callable[[], Any]) -> int:
    if _time(call, 1) >= LONG_CALL_S:
        return 1
    return max(1, min(1000, int(SHORTEST_TURN_S / max(_time(call, 1), 1e-7))))


def _time(call: Callable[[], Any], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats


class Results:
    """Collects what one benchmark measures, says each line as it comes, and keeps the JSON on disk up to date.

    Args:
        name: of the benchmark.
        title: of its section.
        given: of ``arguments()``: which jobs, where to write, whether in few rounds.
    """

    def __init__(self, name: str, title: str, given: argparse.Namespace) -> None:
        self.name = name
        self.title = title
        self.comparisons: list[Comparison] = []
        self.tables: list[dict[str, Any]] = []
        self.failures: dict[str, str] = {}
        self._given = given
        self._started = time.monotonic()
        self._machine = machine()

    def wants(self, job: str) -> bool:
        """Whether the user asked for jobs of this name."""
        return self._given.only in job

    def run(self, job: str, measure: Callable[[], Comparison | None], case: str = "") -> None:
        """Measure a job, if it is wanted, and keep and print its row. A job that fails is named; the others go on."""
        if not self.wants(job):
            return
        try:
            comparison = measure()
        except Exception as error:  # whatever it is, there are other jobs
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            self.failures[f"{job}, {case}" if case else job] = reason
            print(f"FAILED: {job} {case}: {reason}", flush=True)
        else:
            if comparison is not None:
                self.comparisons.append(comparison)
                print(table([comparison]).splitlines()[-1], flush=True)
        self._write(complete=False)

    def add_table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
        """Keep a table of other figures, and print it."""
        self.tables.append({"title": title, "columns": list(columns), "rows": [list(r) for r in rows], "note": note})
        print(f"\n{title}\n" + markdown(columns, rows), flush=True)
        self._write(complete=False)

    def finish(self) -> int:
        """Say that this was all, and give the exit code: 1 if a job failed."""
        self._write(complete=True)
        return 1 if self.failures else 0

    def _write(self, *, complete: bool) -> None:
        """Write the JSON, whole or not at all, as far as it got."""
        path: Path | None = self._given.json
        if path is None:
            return
        found = {
            "name": self.name,
            "title": self.title,
            "complete": complete,
            "quick": self._given.quick,
            "seconds": round(time.monotonic() - self._started),
            "machine": self._machine | {"load": load_average()},
            "comparisons": [asdict(c) for c in self.comparisons],
            "tables": self.tables,
            "failures": self.failures,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(found, indent=1) + "\n")
        partial.replace(path)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options every benchmark has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--only", default="", help="jobs whose name contains this")
    parser.add_argument("--quick", action="store_true", help="one round, fewer scenes: to see that it runs")
    return parser


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def table(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table: ours, the floor, the best peer, what was asked and whether it was met, and all peers."""
    columns = ["job", "case", "lcx_fast", "floor", "best peer", "ahead by", "asked: got", "other peers"]
    return markdown(columns, [_row(c) for c in comparisons])


def _row(c: Comparison) -> list[str]:
    own, best = c.timings[0], c.best_peer
    others = [f"{t.name} {number(t.median)}" for t in c.timings[1:] if t is not best]
    others += [f"{name} missing ({reason})" for name, reason in c.missing.items()]
    return [
        c.job,
        c.case,
        f"**{number(own.median)}** {c.unit}",
        "" if c.floor is None else number(c.floor),
        "" if best is None else f"{best.name} {number(best.median)}",
        "" if best is None else f"{best.ratio:.3g}x",
        "; ".join(_said(v) for v in c.verdicts),
        ", ".join(others),
    ]


def _said(verdict: Verdict) -> str:
    if verdict.ratio is None:
        return f"{verdict.asked}: not measured"
    share = f"1/{1 / verdict.ratio:.3g}" if verdict.ratio < 1 else f"{verdict.ratio:.3g}x"
    return f"{verdict.asked}: {share} {'met' if verdict.met else '**missed**'}"


def number(value: float) -> str:
    """Three significant digits, no exponent."""
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"
