"""One process or several: what `torchrun` says of this one, and a model that trains in all of them as in one.

Note [Same as one process]
Two processes of n images each must take the step that one process takes with all 2n:
1. each image is drawn from its own seed (training.batches), so that who draws it does not matter;
2. gradients are averaged over processes (torch's DistributedDataParallel), which is the mean over all images
   because every process has equally many;
3. batch norm takes its mean and variance over the images of all processes.
What is left is the order of floating-point sums.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

# Rank 0 prepares the data and validates while the others wait for it.
_PATIENCE = datetime.timedelta(hours=4)


@dataclass(frozen=True)
class World:
    """This process's rank among ``size`` processes, and the device it computes on."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and speaks to the user."""
        return self.rank == 0

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            dist.barrier()

    def spread(self, model: nn.Module) -> nn.Module:
        """The module to call forward on, ``model``'s parameters in it. See Note [Same as one process].

        Keep it until the backward pass is done: it is what averages the gradients.
        """
        if self.size == 1:
            return model
        if self.device.type == "cuda":
            synced: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        else:
            synced = _with_synced_batch_norm(model)
        return nn.parallel.DistributedDataParallel(synced)

    def merge(self, totals: Mapping[str, tuple[float, int]]) -> dict[str, tuple[float, int]]:
        """Sums and counts by name, added up over all processes; a name may be missing in some."""
        if self.size == 1:
            return dict(totals)
        everybody: list[Any] = [None] * self.size
        dist.all_gather_object(everybody, dict(totals))
        merged: dict[str, tuple[float, int]] = {}
        for part in everybody:
            for name, (value, count) in part.items():
                before = merged.get(name, (0.0, 0))
                merged[name] = (before[0] + value, before[1] + count)
        return merged


@contextlib.contextmanager
def join(device: str = "auto") -> Iterator[World]:
    """Join the processes that `torchrun` started; alone without it.

    Args:
        device: ``"auto"`` (CUDA where there is one), ``"cpu"`` or ``"cuda"``.

    Raises:
        ValueError: for another name, or if CUDA is asked for and not there.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {device!r}; accepted: auto, cpu, cuda")
    on_cuda = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not on_cuda:
        raise ValueError("device 'cuda': torch sees no CUDA device; use --device cpu")
    rank, size, local = (int(os.environ.get(key, n)) for key, n in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    chosen = torch.device("cuda", local) if on_cuda else torch.device("cpu")
    if on_cuda:
        torch.cuda.set_device(chosen)
    if size == 1:
        yield World(0, 1, chosen)
        return
    dist.init_process_group("nccl" if on_cuda else "gloo", timeout=_PATIENCE)
    try:
        yield World(rank, size, chosen)
    finally:
        dist.destroy_process_group()


class _SumOverProcesses(torch.autograd.Function):
    """y = sum over processes of x; since y reaches every process's loss, dx = sum over processes of dy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the images of all processes; torch's own SyncBatchNorm runs on GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        given, x = x.dtype, x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _sum_over_processes(x.sum(dim=(0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = _sum_over_processes((centred * centred).sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(given)


def _sum_over_processes(x: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(x)  # type: ignore[no-untyped-call]
    return total


def _with_synced_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm2d below ``module`` in place, keeping its parameters and buffers."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            synced = SyncedBatchNorm2d(child.num_features, eps=child.eps, momentum=child.momentum)
            synced.weight, synced.bias = child.weight, child.bias
            synced.running_mean, synced.running_var = child.running_mean, child.running_var
            synced.num_batches_tracked = child.num_batches_tracked
            setattr(module, name, synced)
        else:
            _with_synced_batch_norm(child)
    return module
