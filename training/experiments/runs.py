"""One run: train an arm with a seed, measure it, write its result. Resumed after a kill; skipped when done."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.batches import TrainingViews
from training.checkpoint import ExponentialMovingAverage, load_checkpoint, save_checkpoint
from training.config import Config
from training.experiments.arms import Arm, read_document
from training.experiments.brightness import brightness_maps
from training.experiments.data import Case, Part, fingerprint
from training.experiments.measure import measure_image
from training.experiments.objectives import arm_loss
from training.network import OUTPUT_NAMES, LesionNetwork, load_imagenet_weights
from training.objective import TrainingImage
from training.pooling import generalised_mean_logit, image_logit, top_mean_pool
from training.prepare import Sample
from training.schedule import learning_rate
from training.self_training import relabelled
from training.train import make_optimiser

ABNORMAL, MALIGNANT = (OUTPUT_NAMES.index(name) for name in ("abnormal", "malignant"))
# Raised when the code of training or measuring changes what a run gives.
PROTOCOL = 1


@dataclass(frozen=True)
class Run:
    """What is trained on what. parts: see Note [Parts of the data] in training.experiments.data."""

    dataset: str
    arm: Arm
    seed: int
    train_parts: tuple[Part, ...] = ("fit", "tune")
    measured_part: Part = "held"

    @property
    def name(self) -> str:
        return f"{self.arm.name}_seed{self.seed}"

    def config(self) -> Config:
        return self.arm.apply(read_document(self.dataset), seed=self.seed)

    def identity(self, data: str) -> str:
        """A hash of everything that decides the result: settings, arm, seed, parts, data, protocol.

        What only the method's loss reads is left out for the other arms.
        """
        arm = {key: value for key, value in asdict(self.arm).items() if key not in ("name", "title")}
        config = self.config().to_document()
        if self.arm.objective != "method":
            arm = {key: arm[key] for key in ("objective", "outline")}
            del config["loss"]
        parts = [*self.train_parts, self.measured_part]
        document = [PROTOCOL, self.dataset, config, arm, self.seed, parts, data]
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


class OutOfTimeError(Exception):
    """The time given is over; the run goes on from its checkpoint."""


def execute(
    run: Run, cases: Sequence[Case], *, work: Path, results: Path, deadline: float, command: str
) -> dict[str, Any] | None:
    """Bring a run to its result, or as far as the time allows.

    Args:
        run: which.
        cases: of its dataset.
        work: folder for checkpoints and maps.
        results: folder of result files; one that is there and fits is returned as it is.
        deadline: time.monotonic() after which no further epoch starts.
        command: to note in the result.

    Returns:
        The result document, or None if another process holds the run.

    Raises:
        OutOfTimeError: at the deadline.
    """
    path = results / run.dataset / f"{run.name}.json"
    identity = run.identity(fingerprint(cases))
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["identity"] == identity:
            return found
    folder = work / run.dataset / f"{run.name}_{identity}"
    folder.mkdir(parents=True, exist_ok=True)
    with _claimed(folder) as mine:
        if not mine:
            return None
        trained = None if run.arm.objective == "brightness" else _Training(run, cases, folder).go(deadline)
        measured = [case for case in cases if case.part == run.measured_part]
        config = run.config()
        if trained is None:
            maps = brightness_maps(cases, measured, spacing_mm=config.data.pixel_spacing_mm)
            seconds = 0.0
        else:
            maps = [trained.predict(case.sample) for case in measured]
            seconds = trained.seconds
        document = {
            "identity": identity,
            "dataset": run.dataset,
            "arm": run.arm.name,
            "seed": run.seed,
            "data": fingerprint(cases),
            "command": command,
            "versions": _versions(),
            "cpu_seconds": round(seconds, 1),
            "settings": {"arm": asdict(run.arm), "config": config.to_document()},
            "trained_on": len([case for case in cases if case.part in run.train_parts]),
            "images": [
                measure_image(case, map_[ABNORMAL], _score(map_, case, trained, run.arm, config),
                              spacing_mm=config.data.pixel_spacing_mm)
                for case, map_ in zip(measured, maps, strict=True)
            ],
        }  # fmt: skip
        shown = {f"map{i}": np.round(map_[ABNORMAL] * 255.0).astype(np.uint8) for i, map_ in enumerate(maps)}
        np.savez_compressed(folder / "maps.npz", **shown)
        write_result(path, document)
        (folder / "last.safetensors").unlink(missing_ok=True)
        return document


def write_result(path: Path, document: dict[str, Any]) -> None:
    """One image a line: small, and a change shows where it is."""
    images = ",\n".join("  " + json.dumps(image, separators=(",", ":")) for image in document["images"])
    head = json.dumps({key: value for key, value in document.items() if key != "images"}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(f'{head[:-2]},\n "images": [\n{images}\n ]\n}}\n', encoding="utf-8")
    temporary.replace(path)


class _Training:
    """Model, optimiser and average of one run."""

    def __init__(self, run: Run, cases: Sequence[Case], folder: Path) -> None:
        self.run, self.folder, self.config = run, folder, run.config()
        self.samples = [case.with_outline(run.arm.outline) for case in cases if case.part in run.train_parts]
        torch.manual_seed(run.seed)
        self.model = LesionNetwork(decoder_width=self.config.network.decoder_width)
        load_imagenet_weights(self.model.encoder)
        self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = make_optimiser(self.model, self.config)
        self.average = ExponentialMovingAverage(self.model, decay=self.config.train.ema_decay)
        self.epoch, self.seconds = 0, 0.0
        if self._checkpoint.is_file():
            state = load_checkpoint(self._checkpoint, model=self.model, average=self.average, optimiser=self.optimiser)
            self.epoch, self.seconds = int(state["epoch"]), float(state["seconds"])
        self.averaged: LesionNetwork | None = None

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "last.safetensors"

    def go(self, deadline: float) -> _Training:
        """Train to the end, an epoch at a time."""
        train = self.config.train
        while self.epoch < train.epochs:
            if time.monotonic() > deadline:
                raise OutOfTimeError
            started = time.process_time()
            if self.run.arm.objective == "method" and self.config.is_self_training(self.epoch / train.epochs):
                settings, kept = self.config.loss.self_training, self.folder / "self_training.npz"
                samples = relabelled(self.samples, lambda s: self.predict(s)[ABNORMAL], settings, kept)
            else:
                samples = self.samples
            means = self._epoch(TrainingViews(samples, self.config))
            self.epoch += 1
            self.seconds += time.process_time() - started
            self.averaged = None
            state = {"epoch": self.epoch, "seconds": self.seconds}
            save_checkpoint(
                self._checkpoint, model=self.model, average=self.average, optimiser=self.optimiser, state=state
            )
            row = " ".join(f"{name.replace('abnormal/', '')} {value:.3f}" for name, value in means.items()
                           if not name.startswith("malignant"))  # fmt: skip
            print(
                f"{self.run.dataset} {self.run.name} {self.epoch}/{train.epochs} {self.seconds:.0f} s {row}", flush=True
            )
        return self

    def _epoch(self, views: TrainingViews) -> dict[str, float]:
        """One epoch, fully determined by the model, the seed and the epoch's number."""
        train = self.config.train
        self.model.train()
        totals: dict[str, list[float]] = defaultdict(list)
        steps = train.epochs * train.steps_per_epoch
        for index in range(train.steps_per_epoch):
            step = self.epoch * train.steps_per_epoch + index
            rate = learning_rate(step, steps=steps, peak=train.peak_learning_rate, warmup_steps=train.warmup_steps)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            batch = [views[n] for n in range(step * train.batch_size, (step + 1) * train.batch_size)]
            for name, value in self._step(batch, step / steps).items():
                totals[name].append(value)
        return {name: float(np.mean(values)) for name, values in sorted(totals.items())}

    def _step(self, batch: Sequence[TrainingImage], progress: float) -> dict[str, float]:
        network = self.config.network
        images = (torch.stack([view.image for view in batch])[:, None] - network.mean) / network.std
        logits = self.model(images.contiguous(memory_format=torch.channels_last))
        terms: dict[str, list[Tensor]] = defaultdict(list)
        for view, maps in zip(batch, logits, strict=True):
            parts = arm_loss(maps, self.model.pooling, view, arm=self.run.arm, config=self.config, progress=progress)
            for name, value in parts.items():
                terms[name].append(value)
        loss = torch.stack([value for values in terms.values() for value in values]).sum() / len(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip_norm)
        self.optimiser.step()
        self.average.update(self.model)
        return {name: float(torch.stack(values).detach().mean()) for name, values in terms.items()}

    @torch.no_grad()
    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """Probabilities float32 [2, H, W] of the averaged weights on a whole image, padded to multiples of 32."""
        if self.averaged is None:
            self.averaged = LesionNetwork(decoder_width=self.config.network.decoder_width)
            self.averaged.load_state_dict(self.average.shadow)
            self.averaged.eval()
            self.averaged = self.averaged.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        height, width = sample.image.shape
        padded = torch.zeros(1, 1, -(-height // 32) * 32, -(-width // 32) * 32)
        padded[0, 0, :height, :width] = torch.from_numpy(sample.image)
        normalised = (padded - self.config.network.mean) / self.config.network.std
        logits = self.averaged(normalised.contiguous(memory_format=torch.channels_last))
        found: NDArray[np.float32] = torch.sigmoid(logits)[0, :, :height, :width].numpy()
        return np.where(sample.breast, found, np.float32(0.0))


def _score(map_: NDArray[np.float32], case: Case, trained: _Training | None, arm: Arm, config: Config) -> float:
    """Malignant image score: the arm's own where it learnt one, else the mean of the map's top pixels."""
    inside = torch.from_numpy(map_[MALIGNANT][case.sample.breast]).clamp(1e-6, 1.0 - 1e-6)
    logits = torch.logit(inside)
    if trained is None or arm.objective != "method" or not arm.classify:
        return float(torch.sigmoid(top_mean_pool(logits, fraction=config.pooling.top_fraction)))
    pool: Callable[..., Tensor] = generalised_mean_logit if arm.pooling == "gem" else image_logit
    weights = trained.average.shadow["pooling"][MALIGNANT]
    return float(torch.sigmoid(pool(logits, weights, r=config.pooling.lse_r, top_fraction=config.pooling.top_fraction)))


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Hold the run's folder; False if another process does. The lock goes with the process, however it ends."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _versions() -> dict[str, str]:
    import scipy  # type: ignore[import-untyped]

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "threads": str(torch.get_num_threads()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
