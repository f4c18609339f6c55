"""The training's images, drawn and augmented ahead of the network by threads.

Image n of a training is the same whoever makes it and whenever: its random numbers come from (seed, n) alone.
So neither the number of workers, nor a resume, nor several processes (training.distributed) change a run.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from training.augment import random_view
from training.config import Config
from training.distributed import World
from training.objective import TrainingImage
from training.prepare import Sample

# Batches kept ready, at least.
_LEAST_AHEAD = 3


class TrainingViews:
    """Image n of the training: by pathology in the configured shares, then evenly within each."""

    def __init__(self, samples: Sequence[Sample], config: Config) -> None:
        self.config = config
        self._kinds = sorted(config.data.share)
        self._pools = {kind: _forms([s for s in samples if s.pathology == kind]) for kind in self._kinds}
        shares = np.array([config.data.share[kind] * bool(self._pools[kind]) for kind in self._kinds])
        if not shares.sum() > 0:
            raise ValueError(f"no training image is of any kind that [data] share names ({', '.join(self._kinds)})")
        self._shares = shares / shares.sum()

    def __len__(self) -> int:
        train = self.config.train
        return train.epochs * train.steps_per_epoch * train.batch_size

    def __getitem__(self, n: int) -> TrainingImage:
        random = np.random.default_rng([self.config.train.seed, n])
        images = self._pools[str(random.choice(self._kinds, p=self._shares))]
        forms = images[int(random.integers(len(images)))]
        sample = forms[int(random.integers(len(forms)))]
        image, breast, labels, scale = random_view(sample, self.config.augment, random)
        return TrainingImage(
            image=image,
            breast=breast,
            labels=labels,
            pathology=sample.pathology,
            outlined_px=float((sample.labels > 0).sum()) * scale**2,
            annotated=sample.annotated,
            calcification_only=sample.calcification_only,
            not_malignant=sample.not_malignant,
        )


def batches(
    views: TrainingViews, *, first_step: int, last_step: int, world: World, workers: int
) -> Iterator[list[TrainingImage]]:
    """This process's share of each step's batch, from ``first_step`` up to before ``last_step``.

    Args:
        views: the training's images.
        first_step: steps count from the start of the training.
        last_step: no worker goes further.
        world: the batch is dealt out to its processes.
        workers: threads that prepare images; 0 prepares them when they are asked for.

    Raises:
        ValueError: if the batch cannot be dealt out evenly.
    """
    size = views.config.train.batch_size
    if size % world.size:
        raise ValueError(f"batch_size {size} cannot be dealt out to {world.size} processes; choose a multiple")
    steps = range(first_step, last_step)
    own = [range(step * size + world.rank, (step + 1) * size, world.size) for step in steps]
    make = _pinned(views) if world.device.type == "cuda" else views.__getitem__
    if workers:
        return _ahead(make, own, workers=workers)
    return ([make(n) for n in numbers] for numbers in own)


def _ahead(
    make: Callable[[int], TrainingImage], batches: Sequence[range], *, workers: int
) -> Iterator[list[TrainingImage]]:
    """Each batch in order, while threads make the images of the next ones.

    Threads, not processes: the samples are shared, nearly all of the work is done in NumPy and torch without the
    interpreter's lock, and a process that already computes in threads is not safely forked.
    """
    depth = max(_LEAST_AHEAD, -(-2 * workers // max(1, len(batches[0]) if batches else 1)))
    with ThreadPoolExecutor(workers, thread_name_prefix="lcx-views") as pool:
        coming: deque[list[Future[TrainingImage]]] = deque()
        try:
            for numbers in batches:
                coming.append([pool.submit(make, n) for n in numbers])
                if len(coming) > depth:
                    yield [future.result() for future in coming.popleft()]
            while coming:
                yield [future.result() for future in coming.popleft()]
        finally:
            for future in (future for batch in coming for future in batch):
                future.cancel()


def _pinned(views: TrainingViews) -> Callable[[int], TrainingImage]:
    return lambda n: views[n].pin_memory()


def default_workers(world: World) -> int:
    """One beside a network on the CPU, whose threads have the rest; as many as pay beside a GPU."""
    if world.device.type == "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // world.size - 1))


def _forms(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The forms (native, resampled) of each image; an image counts once however many it has."""
    forms: dict[str, list[Sample]] = {}
    for sample in samples:
        forms.setdefault(sample.name, []).append(sample)
    return list(forms.values())
