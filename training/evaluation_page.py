"""An evaluation as one JSON file and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcx_fast.evaluation import Interval
from lcx_fast.evaluation.matches import Matches
from lcx_fast.evaluation.plots import (
    Ranking,
    figure_bytes,
    froc_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What each figure means, in the order of the page's tables.
MEANING = {
    "auc": "ROC AUC",
    "average_precision": "average precision",
    "ap_iou50": "segmentation AP at IoU 0.5",
    "ap_iop75": "segmentation AP at IoP 0.75",
    "sensitivity_at_0.25_fp": "sensitivity at 0.25 false positives an image (IoU ≥ 0.2)",
    "sensitivity_at_0.5_fp": "sensitivity at 0.5",
    "sensitivity_at_1_fp": "sensitivity at 1",
    "sensitivity_at_2_fp": "sensitivity at 2",
    "iop": "IoP, all pixels",
    "iop_by_lesion": "IoP, per lesion touched",
    "iou": "IoU of the mask with the outlines",
    "precision": "precision against the outlines",
    "recall": "recall of the outlines",
    "boundary_mm": "mean boundary distance, mm, of lesions reached",
    "spec_breast": "specificity in the breast",
    "spec_near": "specificity within 10 mm of an outline",
    "confused_pixels": "confused pixels (0.1 < p < 0.9) per image with an outline",
}
SETS = {
    "all_images": "All images",
    "native_where_available": "Images at native size where there is one",
    "all_through_512": "All images brought to 512 pixels first",
}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .6em 0 1.4em } td, th { padding: .18em .9em .18em 0; text-align: left }
th { font-weight: 600; border-bottom: 1px solid #bbb } td + td { font-variant-numeric: tabular-nums }
h2 { margin-top: 2em; border-top: 1px solid #ddd; padding-top: .8em } .note { color: #555 }
.plots { display: flex; flex-wrap: wrap; gap: 12px } .plots img { width: 350px; height: auto }
"""


@dataclass(frozen=True)
class Drawn:
    """What a set of images gives to draw: image and breast rankings, and of each map its matches by name."""

    rankings: dict[str, Ranking]
    matches: dict[str, dict[str, Matches]]


def write_evaluation(
    document: Mapping[str, Any], drawn: Mapping[str, Drawn], folder: Path, *, model: str, split: str = "val"
) -> tuple[Path, Path]:
    """Write validation.json and validation.html (of other splits NAME.json) into a folder, made if missing.

    Args:
        document: figures of each of ``drawn`` by the same name, and other facts.
        drawn: by name of the set of images.
        folder: to write into.
        model: its name.
        split: whose images they are.

    Returns:
        The paths of both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = "validation" if split == "val" else split
    paths = folder / f"{stem}.json", folder / f"{stem}.html"
    text = json.dumps(json_ready(document), indent=2, allow_nan=False) + "\n"
    contents = text, page(document, drawn, title=f"{stem.capitalize()} of {model}", chose_checkpoint=split == "val")
    for path, content in zip(paths, contents, strict=True):
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(path)
    return paths


def json_ready(value: Any) -> Any:
    """JSON types; figures that are not defined are null."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def page(document: Mapping[str, Any], drawn: Mapping[str, Drawn], *, title: str, chose_checkpoint: bool) -> str:
    """The HTML page; plots are inside it."""
    body = [
        f"<h1>{html.escape(title)}</h1>",
        "<p>" + (f"Epoch {document['epoch']}. " if "epoch" in document else "") + "Intervals: 95 %, by redrawing "
        "whole patients. "
        + ("These images also chose the checkpoint, so the figures are optimistic. " if chose_checkpoint else "")
        + "Research use only.</p>",
    ]
    for name, what in drawn.items():
        body.extend(_set(document[name], what, SETS.get(name, name)))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _set(figures: Mapping[str, Any], drawn: Drawn, title: str) -> list[str]:
    rows = {"images": figures["image_malignant"], "breasts, highest view": figures["breast_malignant"]}
    parts = [
        f"<h2>{html.escape(title)}</h2>",
        f'<p class="note">{figures["images"]} images of {figures["patients"]} patients.</p>',
        "<h3>Malignant against the rest</h3>",
        _table({name: found for name, found in rows.items() if found}),
        _plots(
            [
                ("ROC", roc_figure(drawn.rankings)),
                ("precision and recall", precision_recall_figure(drawn.rankings)),
                ("reliability", reliability_figure({"images": drawn.rankings["images"]})),
            ]
        ),
    ]
    for output, matches in drawn.matches.items():
        found = figures[output]
        columns = {"this model": found, f"smoothed brightness ({found['smoothed_brightness']['setting']})": found[
            "smoothed_brightness"
        ]}  # fmt: skip
        parts += [
            f"<h3>The {html.escape(output)} map</h3>",
            f'<p class="note">{found["outlines"]} outlines. The brightness baseline learns nothing; its setting is the '
            "one that suits these very images best.</p>",
            _table(columns),
            _plots(
                [
                    ("FROC, lesions", froc_figure(matches, title=f"FROC, {output}: lesions")),
                    ("FROC, images", froc_figure(matches, unit="image", title=f"FROC, {output}: images")),
                ]
            ),
        ]
    return parts


def _table(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """Figures down, columns across."""
    known = [name for name in MEANING if any(name in found for found in columns.values())]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    rows = [
        f"<tr><td>{html.escape(MEANING[name])}</td>"
        + "".join(f"<td>{_cell(found.get(name))}</td>" for found in columns.values())
        + "</tr>"
        for name in known
    ]
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _cell(interval: Interval | None) -> str:
    if interval is None:
        return ""
    if math.isnan(interval.value):
        return "not defined"
    digits = 0 if interval.value > 100 else 2 if interval.value > 1.5 else 3
    bounds = "" if math.isnan(interval.low) else f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    return f"{interval.value:.{digits}f}{bounds}"


def _plots(figures: Sequence[tuple[str, Figure]]) -> str:
    images = []
    for name, figure in figures:
        data = base64.b64encode(figure_bytes(figure, format="svg")).decode()
        images.append(f'<img alt="{html.escape(name)}" src="data:image/svg+xml;base64,{data}">')
    return f'<div class="plots">{"".join(images)}</div>'
