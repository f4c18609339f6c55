"""A model is one ``.onnx`` file whose metadata says everything inference needs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from .by_value import by_value
from .decision import Calibrations, OperatingPoint, parse_calibrations, parse_operating_points
from .errors import InvalidArgument, Unsupported
from .onnx_file import read_onnx
from .onnx_int8 import Quantisation, parse_quantisation
from .onnx_parts import operators

#: Metadata this version writes. Schema 2 adds calibration, operating points and precision to 1, which is read as well.
SCHEMA_VERSION = 2
READABLE_SCHEMAS = (1, 2)
METADATA_KEY = "lcx_fast"
DEFAULT_MODEL = "cdd-cesm-lite0"

_BUNDLED = Path(__file__).parent / "models"


@dataclass(frozen=True)
class ImageScoring:
    """How an image's score is made from a map: ``sigmoid(a1 * LSE_r(z) + a2 * TopT(z) + b)`` over the breast.

    Attributes:
        map: name of the output it is made from.
        lse_r: sharpness of the log-sum-exp pooling.
        top_fraction: part of the breast's pixels that the top mean takes.
        a1: weight of the log-sum-exp.
        a2: weight of the top mean.
        b: offset.
    """

    map: str
    lse_r: float
    top_fraction: float
    a1: float
    a2: float
    b: float


@dataclass(frozen=True)
class Thresholds:
    """Where a lesion begins and what counts as one.

    Attributes:
        low: probability at which the outline runs.
        high: probability that some pixel of a lesion reaches.
        min_area_mm2: smaller ones are dropped.
    """

    low: float
    high: float
    min_area_mm2: float


@by_value
@dataclass(frozen=True, eq=False)
class ModelSpec:
    """What a model file says of itself.

    Attributes:
        name: of the model.
        version: of the model.
        pixel_spacing_mm: it works at.
        tile_shape: (h, w) of its input in pixels.
        tile_overlap: least fraction shared by neighbouring tiles.
        tile_weights: how overlapping tiles are blended.
        low_percentile: of the breast's values; maps to 0 before mean and deviation are applied.
        high_percentile: maps to 1.
        mean: subtracted.
        deviation: divided by.
        outputs: names of the output maps, in order; the first is the one lesions are outlined on.
        thresholds: see Thresholds.
        image_score: see ImageScoring.
        sha256: of the file, hexadecimal.
        path: of the file.
        metadata: everything the file says, as parsed.
        calibrations: see Calibrations.
        operating_points: by name; none in a file of schema 1.
        default_operating_point: the one to use unless told otherwise; None: every candidate is a lesion.
        quantisation: what makes it an int8 network; None where it has no such form.
    """

    name: str
    version: str
    pixel_spacing_mm: float
    tile_shape: tuple[int, int]
    tile_overlap: float
    tile_weights: Literal["gaussian", "constant"]
    low_percentile: float
    high_percentile: float
    mean: float
    deviation: float
    outputs: tuple[str, ...]
    thresholds: Thresholds
    image_score: ImageScoring
    sha256: str
    path: Path
    metadata: Mapping[str, Any] = field(repr=False, default_factory=dict)
    calibrations: Calibrations = field(default_factory=Calibrations)
    operating_points: Mapping[str, OperatingPoint] = field(repr=False, default_factory=dict)
    default_operating_point: str | None = None
    quantisation: Quantisation | None = field(repr=False, default=None)

    def at_precision(self, precision: str) -> ModelSpec:
        """The same model as it decides in this precision: in int8 by calibration and operating points of its own.

        Raises:
            InvalidArgument: for int8, if the model has no such form.
        """
        if precision != "int8" or is_quantised(self.path):
            return self
        check_has_int8(self)
        return replace(self, **_decisions(self.metadata["int8"]))


def bundled_models() -> tuple[str, ...]:
    """Names of the models that come with the package."""
    return tuple(sorted(path.stem for path in _BUNDLED.glob("*.onnx")))


def model_path(name_or_path: str | Path | None) -> Path:
    """The file of a bundled model's name (None: the default one), or the path itself.

    Raises:
        InvalidArgument: if there is neither such a name nor such a file.
    """
    if name_or_path is None:
        name_or_path = DEFAULT_MODEL
    if not isinstance(name_or_path, str | os.PathLike):
        raise InvalidArgument(f"model {name_or_path!r}; needed: a bundled model's name or the path of an .onnx file")
    bundled = _BUNDLED / f"{name_or_path}.onnx"
    if isinstance(name_or_path, str) and name_or_path in bundled_models():
        return bundled
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise InvalidArgument(
        f"model {str(name_or_path)!r}: no such file, nor a bundled model ({', '.join(bundled_models()) or 'none'})"
    )


def check_has_int8(spec: ModelSpec) -> Quantisation:
    """What makes the model an int8 network.

    Raises:
        InvalidArgument: if it has no such form.
    """
    if spec.quantisation is None:
        raise InvalidArgument(f"model {spec.name}: it has no int8 form; `python -m training.quantise` gives it one")
    return spec.quantisation


def is_quantised(path: Path) -> bool:
    """Whether the file itself is a quantised network: somebody's own, which runs in int8 and in nothing else."""
    return "QuantizeLinear" in operators(path)


def read_model_spec(path: Path) -> ModelSpec:
    """Read a model file's description of itself.

    Raises:
        InvalidArgument: if the file is no ONNX model or its metadata is missing or wrong.
        Unsupported: if its weights lie in other files or its schema is newer than this version.
    """
    onnx_file = read_onnx(path)
    if not onnx_file.is_self_contained:
        raise Unsupported(f"model {path}: its weights lie in other files; export it as one file")
    text = onnx_file.metadata.get(METADATA_KEY)
    if text is None:
        raise InvalidArgument(f"model {path}: no {METADATA_KEY!r} metadata; export it with `python -m training.export`")
    try:
        document = json.loads(text)
        if document["schema_version"] not in READABLE_SCHEMAS:
            readable = " and ".join(map(str, READABLE_SCHEMAS))
            raise Unsupported(
                f"model {path}: metadata schema {document['schema_version']}; this version reads {readable}"
            )
        return _parse(document, path)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(f"model {path}: bad metadata ({type(error).__name__}: {error})") from error


def _parse(document: dict[str, Any], path: Path) -> ModelSpec:
    normalisation = document["normalisation"]
    height, width = (int(n) for n in document["tile_shape"])
    weights = document["tile_weights"]
    if weights not in ("gaussian", "constant"):
        raise ValueError(f"tile_weights {weights!r}")
    outputs = tuple(str(name) for name in document["outputs"])
    scoring = ImageScoring(
        map=str(document["image_score"]["map"]),
        **{key: float(document["image_score"][key]) for key in ("lse_r", "top_fraction", "a1", "a2", "b")},
    )
    if scoring.map not in outputs:
        raise ValueError(f"image_score.map {scoring.map!r} is not among the outputs")
    thresholds = Thresholds(**{key: float(document["thresholds"][key]) for key in ("low", "high", "min_area_mm2")})
    if not 0 < thresholds.low <= thresholds.high < 1:
        raise ValueError(f"thresholds low {thresholds.low}, high {thresholds.high}")
    int8 = document.get("int8")
    if int8 is not None:
        _decisions(int8)
    # In schema 1, operating_points were rates of false positives, for information only.
    decisions = _decisions(document if document["schema_version"] > 1 else {**document, "operating_points": {}})
    return ModelSpec(
        name=str(document["name"]),
        version=str(document["version"]),
        pixel_spacing_mm=_positive(document, "pixel_spacing_mm"),
        tile_shape=(height, width),
        tile_overlap=float(document["tile_overlap"]),
        tile_weights=cast(Literal["gaussian", "constant"], weights),
        low_percentile=float(normalisation["low_percentile"]),
        high_percentile=float(normalisation["high_percentile"]),
        mean=float(normalisation["mean"]),
        deviation=_positive(normalisation, "std"),
        outputs=outputs,
        thresholds=thresholds,
        image_score=scoring,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        path=path,
        metadata=document,
        quantisation=parse_quantisation(int8) if int8 is not None else None,
        **decisions,
    )


def _decisions(document: Mapping[str, Any]) -> dict[str, Any]:
    """How scores become decisions: of a model's metadata, or of its int8 form's."""
    points = parse_operating_points(document)
    return {
        "calibrations": parse_calibrations(document),
        "operating_points": points,
        "default_operating_point": document.get("default_operating_point") if points else None,
    }


def _positive(document: Mapping[str, Any], key: str) -> float:
    value = float(document[key])
    if not value > 0:
        raise ValueError(f"{key} {value}")
    return value
