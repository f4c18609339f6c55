"""The bars that were set for the GPU, beside what ``gpu_run.py`` has measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gpu_jobs import Row

#: Of a copy's bandwidth, that what is bound by memory reaches at least.
LEAST_SHARE = 0.8


@dataclass(frozen=True)
class Bar:
    """What was asked and what came out.

    Attributes:
        name: of the bar.
        asked: the bar.
        got: what was measured; None where a figure is missing.
        is_met: None likewise.
    """

    name: str
    asked: str
    got: str | None
    is_met: bool | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _at_most(name: str, limit: float, value: float | None, unit: str) -> Bar:
    if value is None:
        return Bar(name, f"at most {limit:g} {unit}", None, None)
    return Bar(name, f"at most {limit:g} {unit}", f"{value:.3f} {unit}", value <= limit)


def _find(rows: Sequence[Row], job: str, who: str = "") -> Row | None:
    return next((row for row in rows if row.job.startswith(job) and who in row.who and row.spread is not None), None)


def _p50(row: Row | None) -> float | None:
    return None if row is None or row.spread is None else row.spread.p50


def bars(rows: Sequence[Row], *, copy_speed: float, upload_ms: float) -> list[Bar]:
    """Every bar.

    Args:
        rows: what was measured.
        copy_speed: GB/s of a copy within the card's memory.
        upload_ms: of one film, at the speed measured from pinned memory.
    """
    line = _find(rows, "line, one film")
    network = _p50(_find(rows, "network, one tile", "" if line is None else line.who.split(",")[-1].split()[0]))
    ratio = jitter = None
    # A slower network flatters what is round it, so it must be plain which one it was.
    name = "line over upload and network"
    if line is not None and line.spread is not None:
        jitter = line.spread.p99 / line.spread.p50
        if network is not None:
            least = upload_ms + line.facts["tiles"] * network
            ratio = line.spread.p50 / least
            name += f" ({line.spread.p50 - least:.3f} ms more than {upload_ms:.3f} + {least - upload_ms:.3f})"
        if "stand-in" in line.who:
            name += ", torch's network standing in for TensorRT"
    found = [
        _at_most(name, 1.15, ratio, "x"),
        _at_most("p99 over p50 of the line", 1.3, jitter, "x"),
        _at_most("map to lesions, typical", 0.5, _p50(_find(rows, "find_lesions typical", "lcx_fast")), "ms"),
        _at_most("map to lesions, noise50", 3.0, _p50(_find(rows, "find_lesions noise50", "lcx_fast")), "ms"),
    ]
    ours, peer = (_p50(_find(rows, "find_lesions typical", who)) for who in ("lcx_fast", "cupyx"))
    times = None if ours is None or peer is None else peer / ours
    got = None if times is None else f"{times:.1f} x"
    found.append(
        Bar("cupyx label + sums over ours, typical", "at least 10 x", got, None if times is None else times >= 10)
    )
    for row in rows:
        is_waited_for = "with its download" in row.note
        if row.who == "lcx_fast" and row.data_bytes is not None and row.spread is not None and not is_waited_for:
            share = row.data_bytes / row.spread.p50 / 1e6 / copy_speed
            found.append(
                Bar(
                    row.job,
                    f"at least {100 * LEAST_SHARE:.0f} % of a copy",
                    f"{100 * share:.0f} %",
                    share >= LEAST_SHARE,
                )
            )
    for row in rows:
        if "differing" in row.facts:
            found.append(Bar(row.job, "none differs", row.note, row.facts["differing"] == 0))
    return found


def table(found: Sequence[Bar]) -> str:
    """As Markdown, missed ones first."""
    lines = ["| bar | asked | got | |", "|---|---|---|---|"]
    words = {True: "met", False: "missed", None: "not measured"}
    for bar in sorted(found, key=lambda bar: (bar.is_met is not False, bar.is_met is True)):
        lines.append(f"| {bar.name} | {bar.asked} | {bar.got or '-'} | {words[bar.is_met]} |")
    return "\n".join(lines)
