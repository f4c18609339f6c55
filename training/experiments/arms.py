"""The arms of the experiment: which outline is learnt, by which loss, and with which setting changed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from training.config import Config, parse_config
from training.experiments.data import OutlineKind

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]

Objective = Literal["method", "bce_dice", "gce_dice", "box", "brightness"]
Strict = Literal["penalty", "barrier", "none"]
Pooling = Literal["lse", "gem"]
CONFIGS = Path(__file__).resolve().parent.parent / "configs" / "experiments"


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        name: its heading in arms.toml.
        title: for tables.
        objective: ``method`` is training/METHOD.md's loss; others: baselines of training.experiments.objectives.
        outline: what training sees.
        strict: the price on p outside A; ``method`` only.
        pooling: of the class score; ``method`` only.
        classify: joint classification; ``method`` only.
        loss: settings of the config's [loss] section that this arm changes.
    """

    name: str
    title: str
    objective: Objective
    outline: OutlineKind = "loose"
    strict: Strict = "penalty"
    pooling: Pooling = "lse"
    classify: bool = True
    loss: dict[str, float] = field(default_factory=dict)

    def apply(self, document: dict[str, Any], *, seed: int) -> Config:
        """The dataset's config with this arm's changes and the run's seed."""
        unknown = sorted(set(self.loss) - set(document["loss"]))
        if unknown:
            raise ValueError(f"arm {self.name}: unknown [loss] settings {unknown}")
        changed = document | {
            "loss": document["loss"] | self.loss,
            "train": document["train"] | {"seed": seed},
        }
        return parse_config(changed)


def read_arms(path: Path = CONFIGS / "arms.toml") -> dict[str, Arm]:
    """All arms by name, in the file's order; an arm may be ``like`` an earlier one.

    Raises:
        ValueError: naming the arm and the key that does not fit.
    """
    with path.open("rb") as file:
        document = tomllib.load(file)
    arms: dict[str, Arm] = {}
    merged: dict[str, dict[str, Any]] = {}
    known = {item.name for item in fields(Arm)} - {"name"}
    for name, own in document.items():
        values = dict(own)
        parent = values.pop("like", None)
        if parent is not None:
            if parent not in merged:
                raise ValueError(f"arm {name}: like {parent!r}, which is not above it")
            loss = merged[parent].get("loss", {}) | values.get("loss", {})
            values = merged[parent] | values | ({"loss": loss} if loss else {})
        if set(values) - known or not {"title", "objective"} <= set(values):
            raise ValueError(f"arm {name}: keys {sorted(values)}; wanted title, objective and of {sorted(known)}")
        for key, allowed in (
            ("objective", Objective),
            ("strict", Strict),
            ("pooling", Pooling),
            ("outline", OutlineKind),
        ):
            if key in values and values[key] not in get_args(allowed):
                raise ValueError(f"arm {name}: {key} {values[key]!r}; known: {', '.join(get_args(allowed))}")
        merged[name] = values
        arms[name] = Arm(name=name, **values)
    return arms


def read_document(dataset: str) -> dict[str, Any]:
    """The settings shared by every arm on a dataset, as training.config reads them."""
    with (CONFIGS / f"{dataset}.toml").open("rb") as file:
        document: dict[str, Any] = tomllib.load(file)
    return document
