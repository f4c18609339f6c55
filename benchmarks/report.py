"""Writes the measured tables into benchmarks/README.md, and the plot beside it.

    python benchmarks/report.py [--results FOLDER] [--readme FILE]

Reads every ``*.json`` of the results folder; what stands between ``<!-- results -->`` and ``<!-- /results -->`` is
replaced, nothing else is touched.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import Comparison, Timing, Verdict, markdown, table

HERE = Path(__file__).parent
BEGIN, END = "<!-- results -->", "<!-- /results -->"

#: The order of the sections; others follow by name.
ORDER = ("ops", "instructions", "decode", "pipeline", "evaluation", "metrics", "package")


def load(folder: Path) -> list[dict[str, Any]]:
    """Every benchmark's results, in the tables' order."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda r: (ORDER.index(r["name"]) if r["name"] in ORDER else len(ORDER), r["name"]))


def comparisons(result: dict[str, Any]) -> list[Comparison]:
    """The comparisons of one benchmark's results."""
    return [
        Comparison(
            **{
                **row,
                "timings": tuple(Timing(**t) for t in row["timings"]),
                "verdicts": tuple(Verdict(**v) for v in row["verdicts"]),
            }
        )
        for row in result["comparisons"]
    ]


def verdicts(results: Sequence[dict[str, Any]]) -> str:
    """How many bars were met, and every one that was missed or could not be measured."""
    judged = [(c, v) for result in results for c in comparisons(result) for v in c.verdicts]
    met = sum(v.met is True for _, v in judged)
    rows = [
        [
            c.job,
            c.case,
            v.asked,
            "not measured" if v.ratio is None else f"{v.ratio:.3g}x" if v.ratio >= 1 else f"1/{1 / v.ratio:.3g}",
        ]
        for c, v in judged
        if v.met is not True
    ]
    text = f"Of {len(judged)} bars {met} were met."
    return text if not rows else f"{text} The others:\n\n" + markdown(["job", "case", "asked", "got"], rows)


def section(result: dict[str, Any]) -> str:
    """One benchmark's tables."""
    m = result["machine"]
    where = (
        f"{m['cpu']}, {m['cpus']} CPUs, {m['memory_gib']} GiB; one thread copies {m['copy_gb_per_s']} GB/s (read and "
        f"written), reads {m['read_gb_per_s']} GB/s; {m['system']}, Python {m['python']}, NumPy {m['numpy']}; commit "
        f"{m['commit']}, {m['date']}; load average {m['load']}."
    )
    parts = [f"### {result['title']}", where]
    if result.get("quick"):
        parts.append("*In one round, `--quick`: this shows that it runs; its times are no measurement.*")
    if not result.get("complete", True):
        parts.append("*Stopped before its end: some jobs are missing.*")
    parts += [f"*Failed: {job} ({reason})*" for job, reason in result.get("failures", {}).items()]
    rows = comparisons(result)
    if rows:
        parts.append(table(rows))
        notes = dict.fromkeys(f"{c.job}: {c.note}" for c in rows if c.note)
        parts += [f"*{note}*" for note in notes]
    for extra in result["tables"]:
        parts.append(f"**{extra['title']}**" + (f" {extra['note']}" if extra["note"] else ""))
        if extra["rows"]:
            parts.append(markdown(extra["columns"], extra["rows"]))
    return "\n\n".join(parts)


def replace_between(text: str, body: str) -> str:
    """The text with everything between the two markers replaced.

    Raises:
        ValueError: if the markers are not there once each, in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{BEGIN} and {END} must stand in the file once each, in this order")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{body.strip()}\n\n{END}{rest.split(END)[1]}"


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """How far ahead of the best peer each job is: one point a case, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    ahead: dict[str, list[float]] = {}
    for result in results:
        for c in comparisons(result):
            if c.best_peer is not None:
                ahead.setdefault(f"{c.job} ({c.unit})", []).append(c.best_peer.ratio)
    names = list(reversed(ahead))
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.28 * max(1, len(names))))
    for row, name in enumerate(names):
        axes.plot(ahead[name], [row] * len(ahead[name]), "o", color="#1f6f8b", alpha=0.7, markersize=6)
    axes.axvline(1, color="#888888", linewidth=1)
    axes.set_xscale("log")
    low = min((min(v) for v in ahead.values()), default=0.5)
    high = max((max(v) for v in ahead.values()), default=2.0)
    axes.set_xlim(min(0.5, low / 1.3), max(2.0, high * 1.3))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:g}x"))
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(-0.7, max(0.3, len(names) - 0.3))
    axes.grid(axis="x", which="both", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.set_title(
        "Best peer's figure over ours, same run; right of the line we are ahead; one point a case", fontsize=9
    )
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--readme", type=Path, default=HERE / "README.md")
    given = parser.parse_args()
    results = load(given.results)
    if not results:
        print(f"{given.results}: no results; run `make bench`", file=sys.stderr)
        return 2
    body = "\n\n".join([f"### Bars\n\n{verdicts(results)}", *map(section, results)])
    given.readme.write_text(replace_between(given.readme.read_text(), body))
    plot(results, given.readme.with_name("results.png"))
    print(f"{given.readme} and {given.readme.with_name('results.png')} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
