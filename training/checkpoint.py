"""Checkpoints: one .safetensors file whose header carries the JSON state. No pickle; written whole or not.

A resume starts at the epoch after the one saved. Everything random in an epoch is seeded by (seed, epoch),
so a resumed run and an uninterrupted one are the same run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


class ExponentialMovingAverage:
    """Shadow copy of a model: floating tensors averaged, integer ones copied.

    The decay grows as (1 + n) / (10 + n) up to its limit, so that early averages forget the random start.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.shadow[name].lerp_(value, 1.0 - decay)
            else:
                self.shadow[name].copy_(value)


def save_checkpoint(
    path: Path,
    *,
    model: nn.Module,
    average: ExponentialMovingAverage,
    optimiser: torch.optim.Optimizer,
    state: Mapping[str, Any],
) -> None:
    """Write everything a resume needs; ``state`` is any JSON document."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.shadow.items()}
    for index, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{slot}": torch.as_tensor(value) for slot, value in slots.items()}
    document = dict(state) | {"average_updates": average.updates}
    # contiguous copies: safetensors refuses channels_last strides and shared storage
    whole = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(whole, str(temporary), metadata={"state": json.dumps(document)})
    temporary.replace(path)


def load_checkpoint(
    path: Path, *, model: nn.Module, average: ExponentialMovingAverage, optimiser: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore all three in place and return the state document."""
    groups, state = _read(path)
    model.load_state_dict(groups["model"])
    for name, value in groups["average"].items():
        average.shadow[name].copy_(value)
    average.updates = int(state["average_updates"])
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in groups["optimiser"].items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = value
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
    return state


def load_average(path: Path, model: nn.Module) -> dict[str, Any]:
    """Put the averaged weights, the ones to use, into ``model``; return the state document."""
    groups, state = _read(path)
    model.load_state_dict(groups["average"])
    return state


def read_state(path: Path) -> dict[str, Any]:
    """The state document of a checkpoint.

    Raises:
        ValueError: if it is none, or damaged.
    """
    with _opened(path) as file:
        return _state(file)


def _read(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimiser": {}}
    with _opened(path) as file:
        state = _state(file)
        for name in file.keys():  # noqa: SIM118  (not a mapping)
            group, rest = name.split(".", 1)
            groups[group][rest] = file.get_tensor(name)
    return groups, state


def _state(file: Any) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((file.metadata() or {})["state"])
    return state


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(str(path), framework="pt") as file:
            yield file
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: no checkpoint of training.train, or damaged ({error})") from None
