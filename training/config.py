"""The training's settings, read from one TOML file; every unknown or missing key and every wrong value is an error."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from training.augment import AugmentConfig
from training.schedule import LossSchedule
from training.self_training import SelfTraining

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]


@dataclass(frozen=True)
class DataConfig:
    pixel_spacing_mm: float
    ring_mm: float
    share: dict[str, float]


@dataclass(frozen=True)
class NetworkConfig:
    decoder_width: int
    mean: float
    std: float


@dataclass(frozen=True)
class PoolingConfig:
    lse_r: float
    top_fraction: float


@dataclass(frozen=True)
class TrainConfig:
    seed: int
    epochs: int
    steps_per_epoch: int
    batch_size: int
    peak_learning_rate: float
    warmup_steps: int
    weight_decay: float
    ema_decay: float
    clip_norm: float
    validate_every: int


@dataclass(frozen=True)
class LossConfig:
    schedule: LossSchedule
    self_training: SelfTraining
    abnormal_classification: float
    calcification_top_fraction: float


@dataclass(frozen=True)
class Config:
    data: DataConfig
    network: NetworkConfig
    pooling: PoolingConfig
    train: TrainConfig
    augment: AugmentConfig
    loss: LossConfig

    def is_self_training(self, progress: float) -> bool:
        """Whether stage S3 is on at ``progress`` in 0..1; it starts with an epoch."""
        epochs, start = self.train.epochs, self.loss.self_training.self_training_from
        # A hair before the epoch's first step: progress is a quotient, and rounded.
        return start < 1.0 and progress > math.ceil(start * epochs) / epochs - 1e-9

    def class_share(self, progress: float) -> float:
        """The share of its weight that the classification term has at ``progress``."""
        return self.loss.self_training.self_training_class if self.is_self_training(progress) else 1.0

    def to_document(self) -> dict[str, Any]:
        """The document that parse_config reads back to an equal Config (through JSON, too)."""
        document = asdict(self)
        loss = document["loss"]
        document["loss"] = loss.pop("schedule") | loss.pop("self_training") | loss
        return document


#: Settings that 0 and less make no sense for.
_POSITIVE = frozenset(
    (
        *("pixel_spacing_mm", "decoder_width", "std", "lse_r", "top_fraction", "crop", "scale", "gamma"),
        *("epochs", "steps_per_epoch", "batch_size", "peak_learning_rate", "clip_norm", "validate_every"),
    )
)
_WORDS: dict[Any, str] = {int: "whole number", float: "number"}


def read_config(path: Path) -> Config:
    """Read a TOML file; raise ValueError naming the file, the section and what does not fit."""
    try:
        with path.open("rb") as file:
            return parse_config(tomllib.load(file))
    except ValueError as error:  # of TOML's, too
        raise ValueError(f"{path}: {error}") from None


def parse_config(document: dict[str, Any]) -> Config:
    sections = {field.name for field in fields(Config)}
    if set(document) != sections:
        raise ValueError(f"config sections {sorted(document)}; wanted {sorted(sections)}")
    loss = dict(document["loss"])
    own = {name: loss.pop(name) for name in ("abnormal_classification", "calcification_top_fraction") if name in loss}
    own["self_training"] = _fill(SelfTraining, _pop(loss, SelfTraining), "loss")
    augment = {key: tuple(value) if isinstance(value, list) else value for key, value in document["augment"].items()}
    return Config(
        data=_fill(DataConfig, document["data"], "data"),
        network=_fill(NetworkConfig, document["network"], "network"),
        pooling=_fill(PoolingConfig, document["pooling"], "pooling"),
        train=_fill(TrainConfig, document["train"], "train"),
        augment=_fill(AugmentConfig, augment, "augment"),
        loss=_fill(LossConfig, {"schedule": _fill(LossSchedule, loss, "loss"), **own}, "loss"),
    )


def _pop(values: dict[str, Any], kind: Any) -> dict[str, Any]:
    """Take the keys that ``kind`` has out of ``values``."""
    return {field.name: values.pop(field.name) for field in fields(kind) if field.name in values}


def _fill(kind: Any, values: dict[str, Any], section: str) -> Any:
    wanted = {field.name for field in fields(kind)}
    if set(values) != wanted:
        missing, unknown = sorted(wanted - set(values)), sorted(set(values) - wanted)
        raise ValueError(f"config [{section}]: missing {missing}, unknown {unknown}")
    for name, wanted_type in get_type_hints(kind).items():
        if not _fits(values[name], wanted_type, positive=name in _POSITIVE):
            what = f"{'positive ' * (name in _POSITIVE)}{_WORDS.get(wanted_type, wanted_type)}"
            raise ValueError(f"config [{section}]: {name} = {values[name]!r}; needed: {what}")
    return kind(**values)


def _fits(value: Any, wanted: Any, *, positive: bool) -> bool:
    """Whether a value is of a type and finite, and above 0 if it must be; what is read elsewhere fits."""
    if get_origin(wanted) is tuple:
        parts = get_args(wanted)
        fits = isinstance(value, tuple) and len(value) == len(parts)
        return fits and all(_fits(v, part, positive=positive) for v, part in zip(value, parts, strict=True))
    if get_origin(wanted) is dict:
        return isinstance(value, dict) and all(_fits(v, get_args(wanted)[1], positive=positive) for v in value.values())
    if wanted not in _WORDS:
        return True
    accepted = int if wanted is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, accepted):
        return False
    return math.isfinite(value) and (value > 0 or not positive)
