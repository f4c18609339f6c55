"""Figures: the frontier over the size floor, and crops of film, outlines and maps side by side."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.experiments.data import Case
from training.experiments.suites import MAIN_ARMS, SWEEP_ARMS
from training.experiments.tables import Estimate

BASE, OURS, CEILING = MAIN_ARMS
_MARGIN_MM = 18.0
# Not the best ones: the lesions at these quantiles of our own IoU.
_QUANTILES = (0.25, 0.5, 0.75, 0.9)
_CREDIT = {
    "cdd_cesm": "Images: CDD-CESM (Khaled et al. 2022, doi 10.7937/29kw-ae92), CC BY 4.0, resampled and cropped.",
    "phantom": "Images: the phantom of training.datasets.phantom.",
}
Results = Mapping[str, Sequence[dict[str, Any]]]


def draw(
    dataset: str,
    arms: Results,
    sweep: Mapping[str, Mapping[str, Estimate]],
    *,
    work: Path,
    load: Callable[[str], Sequence[Case]],
    folder: Path,
) -> list[Path]:
    """Every figure of a dataset that the results allow; their paths. One drawn before is kept if its maps are gone.

    Args:
        dataset: which.
        arms: result documents.
        sweep: the figures of the frontier's arms, all over the same seeds.
        work: folder of the runs, for their maps.
        load: the cases of a dataset.
        folder: of the figures.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    frontier, crops = folder / f"{dataset}_frontier.png", folder / f"{dataset}_crops.png"
    if sum(name in sweep for name in SWEEP_ARMS) > 1:
        _frontier(sweep, {name: _floor(arms[name][0]) for name in SWEEP_ARMS if name in arms}, frontier)
    maps = {name: _maps(dataset, arms[name][0], work) for name in MAIN_ARMS if name in arms}
    if all(maps.get(name) is not None for name in (BASE, OURS)):
        cases = [case for case in load(dataset) if case.part == "held"]
        _crops(dataset, cases, arms[OURS][0], {name: found for name, found in maps.items() if found}, crops)
    return [path for path in (frontier, crops) if path.is_file()]


def _maps(dataset: str, run: dict[str, Any], work: Path) -> list[NDArray[np.float32]] | None:
    path = work / dataset / f"{run['arm']}_seed{run['seed']}_{run['identity']}" / "maps.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[f"map{i}"].astype(np.float32) / np.float32(255.0) for i in range(len(arrays.files))]


def _floor(run: dict[str, Any]) -> float:
    return float(run["settings"]["config"]["loss"]["size_floor"])


def _frontier(figures_of: Mapping[str, Mapping[str, Estimate]], floor_of: Mapping[str, float], path: Path) -> None:
    """Precision against recall with lines of equal IoU, and IoU, for each size floor."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
    recall = np.linspace(0.02, 1.0, 200)
    for iou in (0.1, 0.2, 0.3, 0.4, 0.5):
        with np.errstate(divide="ignore"):
            precision = 1.0 / (1.0 / iou + 1.0 - 1.0 / recall)
        shown = (precision > 0.0) & (precision <= 1.0)
        left.plot(recall[shown], precision[shown], color="0.85", zorder=0)
        left.annotate(f"IoU {iou:g}", (1.0, iou), color="0.5", fontsize=8, ha="right", va="bottom")
    others = ((BASE, "(a) BCE + Dice, loose", "tab:red"), (CEILING, "(c) BCE + Dice, true", "tab:green"))
    for name, text, colour in others:
        if name in figures_of:
            e = figures_of[name]
            left.scatter([e["recall"].value], [e["precision"].value], color=colour, marker="s", label=text)
            right.axhline(e["lesion IoU"].value, color=colour, linestyle="--", label=text)
    present = [name for name in SWEEP_ARMS if name in figures_of]
    floors = [floor_of[name] for name in present]
    points = [(figures_of[n]["recall"].value, figures_of[n]["precision"].value) for n in present]
    text = f"(b), size floors {min(floors):.2f} to {max(floors):.2f}"
    left.plot(*zip(*points, strict=True), color="tab:blue", marker="o", linewidth=1, label=text)
    left.legend(fontsize=8, loc="upper right")
    left.set(xlabel="recall of the true lesions' pixels", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    values = [figures_of[n]["lesion IoU"] for n in present]
    errors = [[e.value - e.low for e in values], [e.high - e.value for e in values]]
    right.errorbar(floors, [e.value for e in values], errors, color="tab:blue", marker="o", capsize=3)
    right.set(
        xlabel="size floor (share of the loose outline)", ylabel="lesion IoU with the true outline", ylim=(0, None)
    )
    right.legend(fontsize=8)
    _save(figure, path, dpi=90)
    plt.close(figure)


def _crops(
    dataset: str,
    cases: Sequence[Case],
    ours: dict[str, Any],
    maps: Mapping[str, Sequence[NDArray[np.float32]]],
    path: Path,
) -> None:
    """A row per lesion: film; both outlines; each arm's map with its own contour at .5 and the true outline."""
    from matplotlib import pyplot as plt

    spacing = float(ours["settings"]["config"]["data"]["pixel_spacing_mm"])
    chosen = _chosen(ours)
    titles = {BASE: "(a) BCE + Dice on loose", OURS: "(b) this method", CEILING: "(c) BCE + Dice on true"}
    columns = [name for name in (BASE, OURS, CEILING) if name in maps]
    figure, axes = plt.subplots(
        len(chosen), 2 + len(columns), figsize=(2.3 * (2 + len(columns)), 2.3 * len(chosen) + 0.5), layout="constrained"
    )
    for row, (index, number, iou) in zip(axes, chosen, strict=True):
        case = cases[index]
        box = _box(case, number, spacing)
        film, loose, true = case.sample.image[box], case.sample.labels[box] > 0, case.true_labels[box] > 0
        for axis in row:
            axis.set(xticks=[], yticks=[])
        for axis in row[:2]:
            axis.imshow(film, cmap="gray", vmin=0.0, vmax=1.0)
        row[1].contour(loose, [0.5], colors="orange", linewidths=1.2)
        row[1].contour(true, [0.5], colors="lime", linewidths=1.2)
        for axis, name in zip(row[2:], columns, strict=True):
            p = maps[name][index][box]
            axis.imshow(p, cmap="magma", vmin=0.0, vmax=1.0)
            axis.contour(true, [0.5], colors="lime", linewidths=1.0)
            if (p > 0.5).any() and (p <= 0.5).any():
                axis.contour(p, [0.5], colors="cyan", linewidths=1.0)
        row[0].set_ylabel(f"{case.sample.name}\nIoU of (b) {iou:.2f}", fontsize=7)
    heads = ["film", "loose (orange), true (green)", *(titles[name] for name in columns)]
    for axis, text in zip(axes[0], heads, strict=True):
        axis.set_title(text, fontsize=8)
    figure.supxlabel(f"Maps: p from 0 (black) to 1; cyan: p = .5; green: true outline. {_CREDIT[dataset]}", fontsize=7)
    _save(figure, path, dpi=80)
    plt.close(figure)


def _save(figure: Any, path: Path, *, dpi: int) -> None:
    """A PNG of 256 colours: the pictures lie in the repository."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    with Image.open(buffer) as drawn:
        drawn.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)


def _chosen(run: dict[str, Any]) -> list[tuple[int, int, float]]:
    """(image, lesion, IoU of ours) at the quantiles; each from another image."""
    found = []
    for index, image in enumerate(run["images"]):
        for number, lesion in enumerate(image["lesions"]):
            union = lesion["predicted"] + lesion["true"] - lesion["predicted_and_true"]
            found.append((lesion["predicted_and_true"] / max(1, union), index, number))
    found.sort()
    chosen: dict[int, tuple[int, int, float]] = {}
    for quantile in _QUANTILES:
        position = int(quantile * (len(found) - 1))
        while position < len(found) - 1 and found[position][1] in chosen:
            position += 1
        iou, index, number = found[position]
        chosen[index] = (index, number, iou)
    return list(chosen.values())


def _box(case: Case, number: int, spacing: float) -> tuple[slice, slice]:
    """The loose outline and 18 mm round it, square where the image allows."""
    ids = [int(k) for k in np.unique(case.true_labels) if k > 0]
    mask = case.sample.labels == ids[number]
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    half = int(max(rows[-1] - rows[0], columns[-1] - columns[0]) / 2 + _MARGIN_MM / spacing)
    y, x = (int(rows[0]) + int(rows[-1])) // 2, (int(columns[0]) + int(columns[-1])) // 2
    height, width = mask.shape
    return slice(max(0, y - half), min(height, y + half)), slice(max(0, x - half), min(width, x + half))
