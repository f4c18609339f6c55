"""Tables and figures from the result files that are there: RESULTS.md, results/summary.json, figures/*.png."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from training.experiments import figures
from training.experiments.arms import read_arms
from training.experiments.data import Case
from training.experiments.suites import ABLATION_ARMS, BASELINE_ARMS, MAIN_ARMS, PHANTOM_ABLATION_ARMS, SWEEP_ARMS
from training.experiments.tables import RANKED, STATISTICS, Estimate, Image, estimate, paired_boundary, ratio

FOLDER = Path(__file__).resolve().parent
DATASETS = {"cdd_cesm": "CDD-CESM, outlines coarsened", "phantom": "Phantom, boundary exactly known"}
BASE, OURS, CEILING = MAIN_ARMS
Arms = dict[str, list[dict[str, Any]]]  # the result documents of each arm, by seed
_PERCENT_LESS = {"confused px", "boundary mm"}


def write_report(results: Path, *, work: Path, load: Callable[[str], Sequence[Case]]) -> None:
    """Make everything that the results allow.

    Args:
        results: folder of result files.
        work: folder of the runs, for their maps; figures that need one that is not there are left out.
        load: the cases of a dataset, for the pictures.
    """
    lines = [
        "# Results",
        "",
        "Made by `python -m training.experiments report`; README.md says what was run and what it means.",
        "",
    ]
    document: dict[str, Any] = {}
    for dataset, title in DATASETS.items():
        arms = read_results(results / dataset)
        if not arms:
            continue
        figures_of = _figures(arms)
        document[dataset] = {name: _as_json(values, arms[name]) for name, values in figures_of.items()}
        lines += [f"## {title}", "", _what(arms), "", "### The arms and the baselines", ""]
        lines += [*_table((*BASELINE_ARMS[:1], BASE, *BASELINE_ARMS[1:], OURS, CEILING), arms, figures_of), ""]
        if BASE in arms and OURS in arms:
            rows = targets(figures_of, arms)
            document[dataset]["targets"] = rows
            lines += ["### The targets", "", *_target_table(rows), "", *_seed_table(figures_of), ""]
        sweep: dict[str, dict[str, Estimate]] = {}
        ablations = tuple(dict.fromkeys((OURS, *ABLATION_ARMS, *PHANTOM_ABLATION_ARMS)))
        for heading, names in (("The size floor", SWEEP_ARMS), ("Ablations", ablations)):
            if sum(name in arms for name in names) > 1:
                alike = _same_seeds((*names, BASE, CEILING), arms)
                shown = _figures(alike)
                sweep = shown if names == SWEEP_ARMS else sweep
                lines += [f"### {heading}", "", *_table(names, alike, shown), ""]
        for path in figures.draw(dataset, arms, sweep, work=work, load=load, folder=FOLDER / "figures"):
            lines += [f"![{path.stem}](figures/{path.name})", ""]
    lines += ["## What the columns say", "", "P = {p > .5} of the abnormal map.", ""]
    lines += [f"- *{s.name}*: {s.text}." for s in STATISTICS] + [
        f"- *{name}*: {text}." for name, text in RANKED.items()
    ]
    (FOLDER / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (results / "summary.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_results(folder: Path) -> Arms:
    """Result documents by arm, in order of seed."""
    arms: Arms = {}
    for path in sorted(folder.glob("*_seed*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        arms.setdefault(document["arm"], []).append(document)
    return {name: sorted(runs, key=lambda run: int(run["seed"])) for name, runs in arms.items()}


def targets(figures_of: dict[str, dict[str, Estimate]], arms: Arms) -> list[dict[str, Any]]:
    """The issue's targets, each as [value, low, high]; quotients are paired over patients, on the seeds both have."""
    seeds = min(len(arms[name]) for name in (BASE, OURS))
    base, ours = (_first(arms[name], seeds) for name in (BASE, OURS))
    rows: list[dict[str, Any]] = []

    def add(text: str, value: tuple[float, float, float], target: float) -> None:
        rows.append({"target": text, "value": list(value), "wanted": target, "met": bool(value[0] >= target)})

    value, low, high = ratio(estimate("confused px", ours), estimate("confused px", base))
    add("confused pixels fewer than (a)'s, share", (1.0 - value, 1.0 - high, 1.0 - low), 0.60)
    for name in ("IoP", "IoP lesion"):
        figure = figures_of[OURS][name]
        add(f"{name}, (b)", (figure.value, figure.low, figure.high), 0.90)
    for name in ("IoU", "lesion IoU"):
        add(f"{name} with the true outline, (b) over (a)", ratio(estimate(name, ours), estimate(name, base)), 1.25)
        if CEILING in arms:
            shared = min(seeds, len(arms[CEILING]))
            quotient = ratio(estimate(name, _first(arms[OURS], shared)), estimate(name, _first(arms[CEILING], shared)))
            add(f"{name} with the true outline, (b) over (c)", quotient, 0.90)
    add("boundary distance, (a) over (b)", ratio(estimate("boundary mm", base), estimate("boundary mm", ours)), 2.0)
    near_base, near_ours = paired_boundary(base, ours)
    add("the same over lesions both come near", ratio(near_base, near_ours), 2.0)
    return rows


def _first(runs: list[dict[str, Any]], count: int) -> list[list[Image]]:
    return [run["images"] for run in runs[:count]]


def _figures(arms: Arms) -> dict[str, dict[str, Estimate]]:
    columns = [*(s.name for s in STATISTICS), *RANKED]
    return {
        arm: {name: estimate(name, [run["images"] for run in runs]) for name in columns} for arm, runs in arms.items()
    }


def _same_seeds(names: Sequence[str], arms: Arms) -> Arms:
    """These arms, as far as there are any, with the seeds that all of them have."""
    present = {name: arms[name] for name in names if name in arms}
    shared = set.intersection(*({run["seed"] for run in runs} for runs in present.values())) if present else set()
    return {name: [run for run in runs if run["seed"] in shared] for name, runs in present.items()}


def _as_json(values: dict[str, Estimate], runs: list[dict[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {"seeds": [run["seed"] for run in runs]}
    for name, e in values.items():
        document[name] = {"mean": _number(e.value), "interval": [_number(e.low), _number(e.high)],
                          "per_seed": [_number(v) for v in e.seeds]}  # fmt: skip
    return document


def _number(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None


def _what(arms: Arms) -> str:
    one = next(iter(arms.values()))[0]
    images = one["images"]
    lesions = sum(len(image["lesions"]) for image in images)
    spacing = one["settings"]["config"]["data"]["pixel_spacing_mm"]
    trained = max(run["trained_on"] for runs in arms.values() for run in runs)
    return (
        f"{spacing:g} mm a pixel; trained on {trained} images; measured on {len(images)} images of "
        f"{len({image['patient'] for image in images})} patients with {lesions} lesions. "
        "Mean over seeds [95 % interval by redrawing patients]."
    )


def _table(names: Sequence[str], arms: Arms, figures_of: dict[str, dict[str, Estimate]]) -> list[str]:
    known = read_arms()
    columns = [*(s.name for s in STATISTICS), *RANKED]
    lines = ["| arm | seeds | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
    for name in names:
        if name in arms:
            title = known[name].title if name in known else name
            cells = [_cell(figures_of[name][column]) for column in columns]
            lines.append(f"| {title} | {len(arms[name])} | " + " | ".join(cells) + " |")
    return lines


def _cell(e: Estimate) -> str:
    return f"{_short(e.value)} [{_short(e.low)}, {_short(e.high)}]" if math.isfinite(e.value) else "-"


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    text = f"{value:.2f}" if value < 10 else f"{value:.1f}"
    return text.removeprefix("0") if 0 < value < 1 else text


def _target_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["| target | wanted | measured | met |", "|---|---|---|---|"]
    for row in rows:
        value, low, high = row["value"]
        met = "yes" if row["met"] else "no"
        lines.append(f"| {row['target']} | {row['wanted']:g} | {value:.3g} [{low:.3g}, {high:.3g}] | {met} |")
    return lines


def _seed_table(figures_of: dict[str, dict[str, Estimate]]) -> list[str]:
    """Each seed's own value of the main arms."""
    columns = ("IoU", "lesion IoU", "boundary mm", "confused px", "IoP", "AP@.5 true", "sens@1FP")
    lines = ["| per seed | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name in MAIN_ARMS:
        if name in figures_of:
            cells = [", ".join(_short(v) for v in figures_of[name][column].seeds) for column in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines
