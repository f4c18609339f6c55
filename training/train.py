"""Train a model.

    python -m training.train --dataset ddsm --data PATH                  any set of training.datasets
    torchrun --nproc-per-node 4 -m training.train ...                    the same run on four GPUs

The run folder (runs/DATASET without --out) receives cache/ (prepared images), log.csv (one row an epoch),
last.safetensors (resumed from automatically), best.safetensors (best on validation). A kill costs at most the
epoch under way. The settings are training/configs/DATASET.toml without --config, default.toml where there is none.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training import evaluate, metrics
from training.batches import TrainingViews, batches, default_workers
from training.checkpoint import ExponentialMovingAverage, load_checkpoint, save_checkpoint
from training.command import at_least
from training.config import Config, parse_config, read_config
from training.datasets.detect import FORMATS, detect
from training.datasets.record import SPLITS
from training.distributed import World, join
from training.logs import Progress, TensorBoardLog, require_tensorboard, write_log_row
from training.network import LesionNetwork, load_imagenet_weights
from training.objective import ABNORMAL, TrainingImage, image_loss
from training.prepare import Sample
from training.prepared import load_samples
from training.schedule import learning_rate
from training.self_training import relabelled

PRECISIONS = ("fp32", "bf16")
CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class RunOptions:
    """How a run is computed, as opposed to what it learns (Config): none of it is needed to use the result.

    precision: of the network's forward and backward; losses, weights and averages stay fp32. workers: threads
    that prepare images; None: as many as suit the device. tensorboard: also write the log for TensorBoard.
    """

    precision: str = "fp32"
    workers: int | None = None
    tensorboard: bool = False


class Trainer:
    """Model, optimiser and average of one run, and the loop over its epochs.

    Under `torchrun` every process has one; see training.distributed.
    """

    def __init__(
        self,
        config: Config,
        samples: Sequence[Sample],
        out: Path,
        *,
        pretrained: bool = True,
        options: RunOptions | None = None,
        world: World | None = None,
    ) -> None:
        self.options, self.world = options or RunOptions(), world or World()
        if self.options.precision not in PRECISIONS:
            raise ValueError(f"precision {self.options.precision!r}; accepted: {', '.join(PRECISIONS)}")
        torch.manual_seed(config.train.seed)
        self.config, self.out = config, out
        self.samples = [sample for sample in samples if sample.split == "train"]
        self.views = TrainingViews(self.samples, config)
        self.validation = evaluate.held_out_samples(samples, resampled=True)
        self.model = LesionNetwork(decoder_width=config.network.decoder_width)
        if pretrained:
            load_imagenet_weights(self.model.encoder)
        self.model = self.model.to(self.world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
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
        self.spread_model = self.world.spread(self.model)
        writes_events = self.options.tensorboard and self.world.is_main
        self._events = TensorBoardLog(out / "tensorboard") if writes_events else None
        if self.world.is_main and not any((sample.labels > 0).any() for sample in self.validation):
            missing = "no outline in the validation images" if self.validation else "no validation image"
            print(f"{missing}: the last epoch counts as the best, and nothing can be calibrated", file=sys.stderr)

    def run(self, *, until: int | None = None) -> None:
        """Train to the end, or up to ``until`` epochs."""
        train = self.config.train
        last = train.epochs if until is None else min(until, train.epochs)
        loose = [n for n in range(self.epoch, last) if not self.config.is_self_training(n / train.epochs)]
        steps, done = last * train.steps_per_epoch, self.epoch * train.steps_per_epoch
        with Progress(steps=steps, done=done, shown=self.world.is_main) as self._progress:
            self._run_stage(self.views, last=self.epoch + len(loose))
            if self.epoch < last:
                self._run_stage(self._self_training_views(), last=last)

    def _run_stage(self, views: TrainingViews, *, last: int) -> None:
        """The epochs up to ``last``, all from the same views."""
        workers = default_workers(self.world) if self.options.workers is None else self.options.workers
        first_step, last_step = (epoch * self.config.train.steps_per_epoch for epoch in (self.epoch, last))
        source = batches(views, first_step=first_step, last_step=last_step, world=self.world, workers=workers)
        while self.epoch < last:
            started = time.monotonic()
            row: dict[str, Any] = {"epoch": self.epoch + 1} | self.train_epoch(self.epoch, source)
            self.epoch += 1
            if self.world.is_main:
                self._finish_epoch(row, started)
            self.world.wait()

    def _self_training_views(self) -> TrainingViews:
        """The images with stage S3's outlines: found by the main process, kept in the run's folder, read by all."""
        settings, kept = self.config.loss.self_training, self.out / "self_training.npz"
        predict = evaluate.torch_predictor(self._averaged_model(), self.config)
        found = partial(relabelled, self.samples, lambda sample: predict(sample)[ABNORMAL], settings, kept)
        if self.world.is_main:
            found()
        self.world.wait()
        return TrainingViews(found(), self.config)

    def train_epoch(self, epoch: int, source: Iterator[list[TrainingImage]]) -> dict[str, float]:
        """One epoch, fully determined by the model, the seed and the epoch's number; the mean of each term."""
        config = self.config.train
        torch.manual_seed(config.seed * 100_003 + epoch)
        self.model.train()
        totals: dict[str, list[Tensor]] = defaultdict(list)
        steps = config.epochs * config.steps_per_epoch
        for index in range(config.steps_per_epoch):
            step = epoch * config.steps_per_epoch + index
            rate = learning_rate(step, steps=steps, peak=config.peak_learning_rate, warmup_steps=config.warmup_steps)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            for name, values in self._step(next(source), progress=step / steps).items():
                totals[name] += values
            self._progress.step(epoch + 1)
        # Only here are the numbers fetched from the device: a step must not wait for them.
        sums = {name: (float(torch.stack(values).sum()), len(values)) for name, values in totals.items()}
        merged = self.world.merge(sums)
        return {name: value / count for name, (value, count) in sorted(merged.items())}

    def _step(self, batch: Sequence[TrainingImage], *, progress: float) -> dict[str, list[Tensor]]:
        """One step; each term of each image, on the device."""
        network, device = self.config.network, self.world.device
        views = [view.to(device) for view in batch]
        images = torch.stack([view.image for view in views])[:, None]
        images = ((images - network.mean) / network.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            logits = self.spread_model(images)
        terms: dict[str, list[Tensor]] = defaultdict(list)
        for view, maps in zip(views, logits.float(), strict=True):
            parts = image_loss(maps, self.model.pooling, view, progress=progress, config=self.config)
            for name, value in parts.items():
                terms[name].append(value)
        # A batch may lack the class terms; the other processes still wait for the pooling weights' gradient.
        nothing = 0.0 * (self.model.pooling.sum() + logits.float().mean())
        loss = torch.stack([nothing, *(value for values in terms.values() for value in values)]).sum() / len(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip_norm)
        self.optimiser.step()
        self.average.update(self.model)
        return {"loss": [loss.detach()], **{name: [v.detach() for v in values] for name, values in terms.items()}}

    def _finish_epoch(self, row: dict[str, Any], started: float) -> None:
        """Validate, save and log; in the main process only."""
        self._progress.clear()
        if self.epoch % self.config.train.validate_every == 0 or self.epoch == self.config.train.epochs:
            row |= self.validate()
            if row["selection"] >= self.best:  # of equals the longest trained
                self.best = row["selection"]
                self._save("best.safetensors")
        self._save("last.safetensors")
        row["seconds"] = round(time.monotonic() - started, 1)
        write_log_row(self.out / "log.csv", row)
        if self._events is not None:
            self._events.write(row)
        print(" ".join(f"{key} {_short(value)}" for key, value in row.items()), flush=True)

    def validate(self) -> dict[str, float]:
        """Figures of the averaged weights; selection = sensitivity at 1 FP + AP@0.5, abnormal map."""
        model = self._averaged_model()
        predictions = evaluate.predict_all(
            evaluate.torch_predictor(model, self.config),
            self.validation,
            pooling=self.config.pooling,
            pooling_weights=model.pooling.detach().cpu(),
        )
        row = {"val/auc": evaluate.image_auc(predictions)}
        for output in ("abnormal", "malignant"):
            summary = metrics.lesion_summary(evaluate.lesion_results(predictions, output=output))
            row |= {f"val/{output}/{name}": value for name, value in summary.items()}
            row[f"val/{output}/confused"] = evaluate.confused_pixels(predictions, output=output)
        # Neither is defined without an outline in the validation images; then the last epoch counts as the best.
        row["selection"] = float(
            np.nan_to_num(row["val/abnormal/sensitivity_at_1_fp"]) + np.nan_to_num(row["val/abnormal/ap_iou50"])
        )
        return row

    def _averaged_model(self) -> LesionNetwork:
        model = LesionNetwork(decoder_width=self.config.network.decoder_width)
        model.load_state_dict(self.average.shadow)
        model.eval()
        return model.to(self.world.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

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


def be_deterministic() -> None:
    """Only algorithms that give the same bits every time; must come before the first use of CUDA."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for it, by its documentation
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.train", description="Train a lesion model; under torchrun on several GPUs."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the dataset, or a COCO .json file")
    parser.add_argument("--dataset", choices=list(FORMATS), help="its layout; found out if not given")
    parser.add_argument("--config", type=Path, help="TOML file (default: training/configs/DATASET.toml)")
    parser.add_argument("--out", type=Path, help="run folder, resumed if it holds a run (default: runs/DATASET)")
    parser.add_argument("--split-seed", type=int, default=0, help="of the split by patient, if the set has none")
    parser.add_argument("--device", default="auto", help="auto (CUDA where there is one), cpu or cuda")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the network's arithmetic")
    parser.add_argument("--deterministic", action="store_true", help="the same bits every time; slower")
    parser.add_argument("--workers", type=at_least(0), help="threads that prepare images (default: by the device)")
    parser.add_argument("--threads", type=at_least(1), help="CPU threads of the network (default: all)")
    parser.add_argument("--tensorboard", action="store_true", help="also log for TensorBoard, in OUT/tensorboard")
    return parser


def default_config(dataset: str) -> Path:
    """The settings that come with a dataset."""
    own = CONFIGS / f"{dataset.replace('-', '_')}.toml"
    return own if own.is_file() else CONFIGS / "default.toml"


def _load_samples(chosen: argparse.Namespace, dataset: str, config: Config, cache: Path, world: World) -> list[Sample]:
    """Prepared by the main process, then read by all."""
    workers = default_workers(world) if chosen.workers is None else chosen.workers
    how: dict[str, Any] = {"seed": chosen.split_seed, "spacing_mm": config.data.pixel_spacing_mm}
    if world.is_main:
        load_samples(chosen.data, cache, dataset=dataset, workers=workers, **how)
    world.wait()
    samples = load_samples(chosen.data, cache, dataset=dataset, **how)
    if world.is_main:
        counts = ", ".join(f"{split} {sum(s.split == split for s in samples)}" for split in SPLITS)
        print(f"{dataset}: {counts} samples in {cache}", flush=True)
    return samples


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input, 130 interrupted."""
    chosen = _parser().parse_args(arguments)
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    if chosen.deterministic:
        be_deterministic()
    options = RunOptions(precision=chosen.precision, workers=chosen.workers, tensorboard=chosen.tensorboard)
    try:
        if chosen.tensorboard:
            require_tensorboard()  # before hours of preparing images
        dataset = chosen.dataset or detect(chosen.data)
        config = read_config(chosen.config or default_config(dataset))
        out = chosen.out or Path("runs") / dataset
        with join(chosen.device) as world:
            samples = _load_samples(chosen, dataset, config, out / "cache", world)
            Trainer(config, samples, out, options=options, world=world).run()
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last epoch", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
