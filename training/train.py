"""Train a model.

    python -m training.train --data DIR --config training/configs/cdd_cesm.toml --out runs/first

The run folder receives cache.npz (prepared images), log.csv (one row an epoch), last.safetensors (resumed
from automatically), best.safetensors (best on validation). A kill costs at most the epoch under way.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training import evaluate
from training.augment import random_view
from training.checkpoint import ExponentialMovingAverage, load_checkpoint, save_checkpoint
from training.config import Config, parse_config, read_config
from training.network import LesionNetwork, load_imagenet_weights
from training.objective import TrainingImage, image_loss
from training.prepare import Sample, load_samples
from training.schedule import learning_rate


class Trainer:
    """Model, optimiser and average of one run, and the loop over its epochs."""

    def __init__(self, config: Config, samples: Sequence[Sample], out: Path, *, pretrained: bool = True) -> None:
        torch.manual_seed(config.train.seed)
        self.config, self.out = config, out
        self.train_samples = [sample for sample in samples if sample.split == "train"]
        self.validation = evaluate.validation_samples(samples, resampled=True)
        self.model = LesionNetwork(decoder_width=config.network.decoder_width)
        if pretrained:
            load_imagenet_weights(self.model.encoder)
        self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = make_optimiser(self.model, config)
        self.average = ExponentialMovingAverage(self.model, decay=config.train.ema_decay)
        self.epoch, self.best = 0, -1.0
        if (out / "last.safetensors").is_file():
            state = load_checkpoint(
                out / "last.safetensors", model=self.model, average=self.average, optimiser=self.optimiser
            )
            if parse_config(state["config"]) != config:
                raise ValueError(f"{out} holds a run with other settings; choose another --out")
            self.epoch, self.best = int(state["epoch"]), float(state["best"])

    def run(self, *, until: int | None = None) -> None:
        """Train to the end, or up to ``until`` epochs."""
        last = self.config.train.epochs if until is None else min(until, self.config.train.epochs)
        while self.epoch < last:
            started = time.monotonic()
            row: dict[str, Any] = {"epoch": self.epoch + 1} | self.train_epoch(self.epoch)
            self.epoch += 1
            if self.epoch % self.config.train.validate_every == 0 or self.epoch == self.config.train.epochs:
                row |= self.validate()
                if row["selection"] > self.best:
                    self.best = row["selection"]
                    self._save("best.safetensors")
            self._save("last.safetensors")
            row["seconds"] = round(time.monotonic() - started, 1)
            write_log_row(self.out / "log.csv", row)
            print(" ".join(f"{key} {_short(value)}" for key, value in row.items()), flush=True)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One epoch, fully determined by the model, the seed and the epoch's number."""
        config = self.config.train
        random = np.random.default_rng([config.seed, epoch])
        torch.manual_seed(config.seed * 100_003 + epoch)
        self.model.train()
        totals: dict[str, list[float]] = defaultdict(list)
        steps = config.epochs * config.steps_per_epoch
        for index in range(config.steps_per_epoch):
            step = epoch * config.steps_per_epoch + index
            rate = learning_rate(step, steps=steps, peak=config.peak_learning_rate, warmup_steps=config.warmup_steps)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            batch = list(draw_batch(self.train_samples, self.config, random))
            for name, value in self._step(batch, progress=step / steps).items():
                totals[name].append(value)
            _show_progress(f"epoch {epoch + 1} step {index + 1}/{config.steps_per_epoch}")
        return {name: float(np.mean(values)) for name, values in sorted(totals.items())}

    def _step(self, batch: Sequence[TrainingImage], *, progress: float) -> dict[str, float]:
        network = self.config.network
        images = torch.stack([view.image for view in batch])[:, None]
        images = ((images - network.mean) / network.std).contiguous(memory_format=torch.channels_last)
        logits = self.model(images)
        targets = self.config.loss.schedule.at(progress)
        terms: dict[str, list[Tensor]] = defaultdict(list)
        for view, maps in zip(batch, logits, strict=True):
            parts = image_loss(maps, self.model.pooling, view, targets=targets, config=self.config)
            for name, value in parts.items():
                terms[name].append(value)
        loss = torch.stack([value for values in terms.values() for value in values]).sum() / len(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip_norm)
        self.optimiser.step()
        self.average.update(self.model)
        means = {name: float(torch.stack(values).detach().mean()) for name, values in terms.items()}
        return {"loss": float(loss.detach()), **means}

    def validate(self) -> dict[str, float]:
        """Figures of the averaged weights; selection = sensitivity at 1 FP + AP@0.5, abnormal map."""
        model = LesionNetwork(decoder_width=self.config.network.decoder_width)
        model.load_state_dict(self.average.shadow)
        model.eval()
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        predictions = evaluate.predict_all(
            evaluate.torch_predictor(model, self.config),
            self.validation,
            pooling=self.config.pooling,
            pooling_weights=model.pooling.detach(),
        )
        row = {"val/auc": evaluate.image_auc(predictions, draws=1)[0]}
        for output in ("abnormal", "malignant"):
            summary = evaluate.lesion_summary(evaluate.lesion_results(predictions, output=output))
            row |= {f"val/{output}/{name}": value for name, value in summary.items()}
            row[f"val/{output}/confused"] = evaluate.confused_pixels(predictions, output=output)
        row["selection"] = row["val/abnormal/sensitivity_at_1_fp"] + row["val/abnormal/ap_iou50"]
        return row

    def _save(self, name: str) -> None:
        state = {"epoch": self.epoch, "best": self.best, "config": self.config.to_document()}
        save_checkpoint(self.out / name, model=self.model, average=self.average, optimiser=self.optimiser, state=state)


def make_optimiser(model: LesionNetwork, config: Config) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); no decay on biases, batch norms and pooling weights."""
    decayed = [p for p in model.parameters() if p.ndim > 2]
    others = [p for p in model.parameters() if p.ndim <= 2]
    groups = [
        {"params": decayed, "weight_decay": config.train.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.train.peak_learning_rate)


def draw_batch(samples: Sequence[Sample], config: Config, random: np.random.Generator) -> Iterator[TrainingImage]:
    """Images by pathology in the configured shares, then evenly within each; see [data] share."""
    kinds = sorted(config.data.share)
    shares = np.array([config.data.share[kind] for kind in kinds])
    pools = {kind: _names([sample for sample in samples if sample.pathology == kind]) for kind in kinds}
    shares = shares * np.array([bool(pools[kind]) for kind in kinds])
    for _ in range(config.train.batch_size):
        names = pools[str(random.choice(kinds, p=shares / shares.sum()))]
        forms = names[list(names)[int(random.integers(len(names)))]]
        sample = forms[int(random.integers(len(forms)))]
        image, breast, labels, scale = random_view(sample, config.augment, random)
        yield TrainingImage(
            image=image,
            breast=breast,
            labels=labels,
            pathology=sample.pathology,
            outlined_px=float((sample.labels > 0).sum()) * scale**2,
            annotated=sample.annotated,
            calcification_only=sample.calcification_only,
        )


def _names(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """The forms (native, resampled) of each image, by name."""
    forms: dict[str, list[Sample]] = {}
    for sample in samples:
        forms.setdefault(sample.name, []).append(sample)
    return forms


def write_log_row(path: Path, row: dict[str, Any]) -> None:
    """Append a row; columns that appear later are added to the whole file."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = [found for found in csv.DictReader(file) if int(found["epoch"]) < int(row["epoch"])]
    rows.append(row)
    columns = list(dict.fromkeys(name for found in rows for name in found))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a lesion model on CDD-CESM.")
    parser.add_argument("--data", type=Path, required=True, help="CDD-CESM folder")
    parser.add_argument("--config", type=Path, required=True, help="TOML file, see training/configs")
    parser.add_argument("--out", type=Path, required=True, help="run folder; resumed if it holds a run")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: all)")
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    samples = load_samples(options.data, options.out / "cache.npz")
    Trainer(read_config(options.config), samples, options.out).run()


if __name__ == "__main__":
    main()
