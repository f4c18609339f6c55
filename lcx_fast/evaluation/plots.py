"""ROC, precision-recall, FROC and reliability plots. Needs matplotlib: ``pip install 'lcx-fast[plots]'``.

Figures are made without pyplot, so that nothing global changes and no window opens.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..errors import Unsupported
from .average_precision import interpolated_average_precision
from .bootstrap import patient_weights
from .calibration import expected_calibration_error, reliability_curve
from .froc import MAMMOGRAPHY_RATES, froc_curve, froc_sensitivities
from .matches import Matches, count_by_threshold
from .ranking import ranking_average_precision, ranking_curve, roc_auc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Resamples behind a shaded band.
BAND_DRAWS = 500
#: False positives per image that the FROC axis spans.
FROC_SPAN = (1 / 16, 8.0)

#: Scores [N] and labels [N] of one ranking.
Ranking = tuple[ArrayLike, ArrayLike]


def roc_figure(rankings: Mapping[str, Ranking], *, title: str = "ROC") -> Figure:
    """Sensitivity against 1 - specificity, a line per name."""
    figure, axes = _figure(title, "1 - specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    for name, (scores, labels) in rankings.items():
        curve = ranking_curve(scores, labels)
        positives, negatives = curve.true_positives.max(initial=0), curve.false_positives.max(initial=0)
        if positives and negatives:
            x, y = np.append(0, curve.false_positives / negatives), np.append(0, curve.true_positives / positives)
            axes.plot(x, y, label=f"{name}: AUC {roc_auc(scores, labels):.3f}")
    return _finished(figure, axes, "lower right")


def precision_recall_figure(rankings: Mapping[str, Ranking], *, title: str = "Precision and recall") -> Figure:
    """Precision against recall of scores with labels; the dotted line is the share of positives."""
    figure, axes = _figure(title, "recall (sensitivity)", "precision")
    for name, (scores, labels) in rankings.items():
        curve = ranking_curve(scores, labels)
        positives = curve.true_positives.max(initial=0)
        if positives:
            precision = curve.true_positives / (curve.true_positives + curve.false_positives)
            average = ranking_average_precision(scores, labels)
            (line,) = axes.step(
                np.append(0, curve.true_positives / positives),
                np.append(precision[0], precision),
                where="pre",
                label=f"{name}: AP {average:.3f}",
            )
            share = positives / len(np.asarray(labels))
            axes.axhline(share, color=line.get_color(), linewidth=1, linestyle=":")
    return _finished(figure, axes, "lower left")


def detection_figure(matches: Mapping[str, Matches], *, title: str = "Lesions: precision and recall") -> Figure:
    """Precision against recall of detections; dotted: interpolated, as average precision takes it."""
    figure, axes = _figure(title, "recall", "precision")
    heights = []
    for name, table in matches.items():
        counts = count_by_threshold(table)
        if counts.to_find[0] and counts.thresholds.size:
            recall = counts.found[0] / counts.to_find[0]
            precision = counts.found[0] / (counts.found[0] + counts.false_positives[0])
            average = interpolated_average_precision(table)
            marker = "o" if recall.size == 1 else ""  # one threshold is a point, and no line
            label = f"{name}: AP {average:.3f} (under the dotted line)"
            (line,) = axes.plot(recall, precision, marker=marker, markersize=4, label=label)
            heights.append(precision.mean())
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            axes.step(
                np.append(0, recall),
                np.append(envelope[0], envelope),
                where="pre",
                linestyle=":",
                color=line.get_color(),
            )
    return _finished(figure, axes, "lower left" if np.mean(heights or 1) > 0.5 else "upper right")


def froc_figure(
    matches: Mapping[str, Matches],
    *,
    unit: Literal["lesion", "image", "patient"] = "lesion",
    title: str = "FROC",
) -> Figure:
    """Sensitivity against false positives per image on a logarithmic axis, with a 95 % patient-bootstrap band."""
    figure, axes = _figure(title, "false positives per image", f"sensitivity (per {unit})")
    rates = np.union1d(np.geomspace(*FROC_SPAN, 160), MAMMOGRAPHY_RATES)  # so that the dots lie on the line
    for name, table in matches.items():
        curve = froc_curve(table, unit=unit)
        if not curve.sensitivity.size or np.isnan(curve.sensitivity).any():
            continue
        drawn = np.concatenate(
            [
                froc_sensitivities(table, rates, unit=unit, weights=weights)
                for weights in patient_weights(table.patients, draws=BAND_DRAWS)
            ]
        )
        low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
        (line,) = axes.plot(rates, froc_sensitivities(table, rates, unit=unit), drawstyle="steps-post", label=name)
        axes.fill_between(rates, low, high, step="post", alpha=0.15, color=line.get_color(), linewidth=0)
        marked = froc_sensitivities(table, MAMMOGRAPHY_RATES, unit=unit)
        axes.plot(MAMMOGRAPHY_RATES, marked, "o", markersize=4, color=line.get_color())
    axes.set_xscale("log", base=2)
    axes.set_xlim(*FROC_SPAN)
    ticks = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]
    axes.set_xticks(ticks, ["1/16", "1/8", "1/4", "1/2", "1", "2", "4", "8"])
    return _finished(figure, axes, "upper left")


def reliability_figure(rankings: Mapping[str, Ranking], *, bins: int = 10, title: str = "Reliability") -> Figure:
    """Observed share of positives against the mean probability of about equally filled bins."""
    figure, axes = _figure(title, "mean predicted probability", "share of positives")
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    for name, (probabilities, labels) in rankings.items():
        if not len(np.asarray(labels)):
            continue
        curve = reliability_curve(probabilities, labels, bins=bins, binning="count")
        error = expected_calibration_error(probabilities, labels, bins=bins, binning="count")
        axes.plot(curve.predicted, curve.observed, "o-", markersize=4, label=f"{name}: ECE {error:.3f}")
    return _finished(figure, axes, "upper left")


def figure_bytes(figure: Figure, *, format: Literal["png", "svg"] = "png") -> bytes:
    """A figure as a file's content; the same figure gives the same bytes."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    metadata: dict[str, Any] = {"Software": None} if format == "png" else {"Date": None, "Creator": None}
    with rc_context({"svg.hashsalt": "lcx_fast"}):
        figure.savefig(buffer, format=format, dpi=120, metadata=metadata)
    return buffer.getvalue()


def require_matplotlib() -> Any:
    """matplotlib's Figure class.

    Raises:
        Unsupported: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Unsupported("plots need matplotlib, which is not installed: pip install 'lcx-fast[plots]'") from error
    return Figure


def _figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = require_matplotlib()(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _finished(
    figure: Figure, axes: Axes, place: Literal["lower right", "lower left", "upper left", "upper right"]
) -> Figure:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=place, fontsize=8, framealpha=0.85, edgecolor="none")  # legible where it covers a line
    else:
        behind = {"facecolor": "white", "edgecolor": "none"}
        axes.text(
            0.5, 0.5, "not defined on these data", ha="center", transform=axes.transAxes, color="0.4", bbox=behind
        )
    return figure
