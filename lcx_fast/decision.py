"""What follows from a score: calibrated probabilities and operating points, fitted on validation data.

Both are part of a model file's metadata (schema 2); a file of schema 1 has neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .by_value import by_value
from .errors import InvalidArgument

#: The operating points a model may have, from most to fewest marks.
OPERATING_POINTS = ("high_sensitivity", "balanced", "high_specificity")
#: Asks for every lesion candidate and no decision, as evaluation needs it.
ALL_CANDIDATES = "all"

_EPSILON = 1e-6


@by_value
@dataclass(frozen=True, eq=False)
class Calibration:
    """Platt scaling (Platt 1999) of a score: ``sigmoid(slope * logit(score) + intercept)``.

    Attributes:
        slope: positive, so that the order of scores stays.
        intercept: at the prevalence of the data it was fitted on.
        fitted_on: which data, in words.
        prevalence: share of positives in them.
    """

    slope: float
    intercept: float
    fitted_on: str = ""
    prevalence: float = math.nan

    def __call__(self, score: float) -> float:
        """The probability, 0..1, that a score in 0..1 stands for."""
        score = min(max(score, _EPSILON), 1.0 - _EPSILON)
        z = self.slope * math.log(score / (1.0 - score)) + self.intercept
        return 0.5 * (1.0 + math.tanh(0.5 * z))


@dataclass(frozen=True)
class Calibrations:
    """How a model's scores become probabilities; None where its file does not say.

    Attributes:
        image: the image score, to the probability that the image shows a malignant finding.
        lesion: a lesion's score, to the probability that a radiologist would outline it.
    """

    image: Calibration | None = None
    lesion: Calibration | None = None


@by_value
@dataclass(frozen=True, eq=False)
class OperatingPoint:
    """Where to cut.

    Attributes:
        name: one of ``OPERATING_POINTS``.
        image_score: an image of at least this score is to be recalled.
        lesion_score: lesions of at least this score are marked.
        measured: what it gave on the validation data it was chosen on (sensitivity, specificity, false positives).
    """

    name: str
    image_score: float
    lesion_score: float
    measured: Mapping[str, float] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Decision:
    """What an operating point says of an image.

    Attributes:
        operating_point: its name.
        recall: whether the image's score reaches ``image_threshold``.
        image_threshold: of the image score.
        lesion_threshold: of the lesions' scores; lesions below it are not in the report.
        left_out: how many lesion candidates were below it.
    """

    operating_point: str
    recall: bool
    image_threshold: float
    lesion_threshold: float
    left_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "operating_point": self.operating_point,
            "recall": self.recall,
            "image_threshold": round(self.image_threshold, 6),
            "lesion_threshold": round(self.lesion_threshold, 6),
            "candidates_left_out": self.left_out,
        }


def choose_operating_point(
    points: Mapping[str, OperatingPoint], wanted: str | None, *, default: str | None
) -> OperatingPoint | None:
    """The operating point of a name, "-" or "_" alike; None for ``"all"``, and where a model has none.

    Args:
        points: the model's, by name.
        wanted: a name; None for the model's default.
        default: the model's default, None if it has none.

    Raises:
        InvalidArgument: if the model has no such point.
    """
    name = default if wanted is None else str(wanted).replace("-", "_").lower()
    if name is None or name == ALL_CANDIDATES:
        return None
    if name not in points:
        known = ", ".join([*points, ALL_CANDIDATES])
        raise InvalidArgument(f"operating point {wanted!r}; this model has: {known}")
    return points[name]


def parse_calibrations(document: Mapping[str, Any]) -> Calibrations:
    """From a model file's metadata; raises KeyError, TypeError or ValueError where it is wrong."""
    found = document.get("calibration", {})
    return Calibrations(**{key: _parse_calibration(found[key]) for key in ("image", "lesion") if key in found})


def _parse_calibration(entry: Mapping[str, Any]) -> Calibration:
    if entry["method"] != "platt":
        raise ValueError(f"calibration method {entry['method']!r}")
    slope, intercept = float(entry["slope"]), float(entry["intercept"])
    if not (slope > 0 and math.isfinite(slope) and math.isfinite(intercept)):
        raise ValueError(f"calibration slope {slope}, intercept {intercept}")
    return Calibration(slope, intercept, str(entry.get("fitted_on", "")), float(entry.get("prevalence", math.nan)))


def parse_operating_points(document: Mapping[str, Any]) -> dict[str, OperatingPoint]:
    """From a model file's metadata, schema 2; raises KeyError, TypeError or ValueError where it is wrong."""
    points = {}
    for name, entry in document.get("operating_points", {}).items():
        if name not in OPERATING_POINTS:
            raise ValueError(f"operating point {name!r}; known: {', '.join(OPERATING_POINTS)}")
        image, lesion = float(entry["image_score"]), float(entry["lesion_score"])
        if not (0.0 <= image <= 1.0 and 0.0 <= lesion <= 1.0):
            raise ValueError(f"operating point {name}: image_score {image}, lesion_score {lesion}")
        measured = {key: float(value) for key, value in entry.get("measured", {}).items()}
        points[name] = OperatingPoint(name, image, lesion, measured)
    default = document.get("default_operating_point")
    if default is not None and default not in points:
        raise ValueError(f"default_operating_point {default!r} is not among the operating points")
    return {name: points[name] for name in OPERATING_POINTS if name in points}
