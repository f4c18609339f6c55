"""Where a training step's time goes: python -m training.experiments.profile [--config FILE] [--steps 10]

Times in CPU seconds of one thread, so that other jobs on the machine disturb them little. The network's own part is
its forward and backward pass with a given gradient on its output: what no loss can avoid. The rest is drawing and
augmenting the images, the loss with its gradient, and clipping, optimiser and weight average.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from training.batches import TrainingViews
from training.checkpoint import ExponentialMovingAverage
from training.config import Config, read_config
from training.experiments.arms import CONFIGS, Arm, read_arms
from training.experiments.objectives import arm_loss
from training.network import LesionNetwork
from training.prepare import Sample
from training.train import make_optimiser

_PARTS = ("images", "network", "loss", "optimiser")


def profile_step(config: Config, arm: Arm, *, steps: int, progress: float = 0.5) -> dict[str, float]:
    """Median CPU seconds of each part of a step, on images of noise with two outlines each.

    Args:
        config: sizes and weights.
        arm: which loss.
        steps: measured after one that warms up.
        progress: of the schedule, 0 to 1: says which stage the step belongs to.
    """
    torch.manual_seed(0)
    model = LesionNetwork(decoder_width=config.network.decoder_width).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = make_optimiser(model, config)
    average = ExponentialMovingAverage(model, decay=config.train.ema_decay)
    views = TrainingViews(_samples(config), config)
    times: dict[str, list[float]] = {part: [] for part in _PARTS}
    for step in range(steps + 1):
        marks = [time.process_time()]
        size = config.train.batch_size
        batch = [views[n % len(views)] for n in range(step * size, (step + 1) * size)]
        marks.append(time.process_time())
        images = torch.stack([view.image for view in batch])[:, None].contiguous(memory_format=torch.channels_last)
        logits = model(images)
        marks.append(time.process_time())
        maps = logits.detach().requires_grad_()
        pooling = model.pooling.detach().requires_grad_()
        terms = [
            value
            for view, map_ in zip(batch, maps, strict=True)
            for value in arm_loss(map_, pooling, view, arm=arm, config=config, progress=progress).values()
        ]
        torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]
        marks.append(time.process_time())
        optimiser.zero_grad(set_to_none=True)
        logits.backward(maps.grad)
        marks.append(time.process_time())
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.train.clip_norm)
        optimiser.step()
        average.update(model)
        marks.append(time.process_time())
        drawn, forward, loss, backward, update = np.diff(marks)
        for part, seconds in zip(_PARTS, (drawn, forward + backward, loss, update), strict=True):
            times[part].append(float(seconds))
    return {part: float(np.median(values[1:])) for part, values in times.items()}


def _samples(config: Config) -> list[Sample]:
    """Noise the size of a breast, with two round outlines; a normal one has none."""
    random = np.random.default_rng(0)
    shape = (config.augment.crop[0], config.augment.crop[1])
    y, x = np.indices(shape)
    samples = []
    for number, pathology in enumerate(config.data.share):
        labels = np.zeros(shape, np.int16)
        for k, (row, column) in enumerate(((0.3, 0.3), (0.7, 0.6)), start=1):
            labels[np.hypot(y - row * shape[0], x - column * shape[1]) < 0.12 * shape[0]] = k
        samples.append(
            Sample(
                name=str(number),
                patient=str(number),
                pathology=pathology,
                split="train",
                folder="",
                annotated=True,
                calcification_only=False,
                resampled=True,
                image=random.random(shape, np.float32),
                breast=np.ones(shape, bool),
                labels=labels * np.int16(pathology != "normal"),
            )
        )
    return samples


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.experiments.profile", description="Where a training step's time goes."
    )
    parser.add_argument("--config", type=Path, default=CONFIGS / "cdd_cesm.toml")
    parser.add_argument("--arms", nargs="+", default=["method", "coarse_bce_dice"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--progress", type=float, default=0.5, help="where in the schedule, 0 to 1 (default: 0.5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    config, arms = read_config(options.config), read_arms()
    found = {
        name: profile_step(config, arms[name], steps=options.steps, progress=options.progress) for name in options.arms
    }
    if options.json:
        print(json.dumps(found, indent=1))
        return
    crop, batch = config.augment.crop, config.train.batch_size
    print(f"{options.config.name}: batch of {batch} at {crop[0]} x {crop[1]}, CPU seconds of one thread, one step")
    for name, parts in found.items():
        total = sum(parts.values())
        text = ", ".join(f"{part} {seconds:.3f}" for part, seconds in parts.items())
        print(f"{name}: {text}; step {total:.3f} = {total / parts['network']:.2f} x the network's own")


if __name__ == "__main__":
    main()
