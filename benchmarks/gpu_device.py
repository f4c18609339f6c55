"""The GPU that is measured: arrays on it and honest timing. Its stand-in is the tests' emulation of CUDA on the CPU, on
which everything can be run and nothing measured."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parent.parent / "tests"


@dataclass(frozen=True)
class Spread:
    """Milliseconds of many calls."""

    p50: float
    p99: float
    calls: int

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Spread:
        ordered = sorted(milliseconds)
        return cls(statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], len(ordered))


class CudaDevice:
    """A GPU through CuPy."""

    is_real = True

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy
        properties = cupy.cuda.runtime.getDeviceProperties(0)
        attributes = cupy.cuda.Device(0).attributes
        self.l2_bytes = int(attributes["L2CacheSize"])
        self.facts = {
            "card": properties["name"].decode(),
            "compute_capability": f"{properties['major']}.{properties['minor']}",
            "memory_gib": round(properties["totalGlobalMem"] / 2**30, 1),
            "l2_mib": round(self.l2_bytes / 2**20, 1),
            "driver_cuda": cupy.cuda.runtime.driverGetVersion(),
            "cupy": cupy.__version__,
        }

    def array(self, values: np.ndarray) -> Any:
        """A copy on the device."""
        return self._cupy.asarray(values)

    def copies(self, values: np.ndarray) -> list[Any]:
        """So many copies that, used in turn, none is still in the second-level cache when its turn comes."""
        count = max(2, -(-3 * self.l2_bytes // max(values.nbytes, 1)) + 1)
        return [self.array(values) for _ in range(min(count, 64))]

    def synchronize(self) -> None:
        self._cupy.cuda.Device().synchronize()

    def time_on_device(self, call: Callable[[int], Any], rounds: int) -> Spread:
        """Between two events on the default stream; ``call(i)`` is given the number of its turn."""
        for i in range(3):
            call(i)
        events = [(self._cupy.cuda.Event(), self._cupy.cuda.Event()) for _ in range(rounds)]
        self.synchronize()
        for i, (begin, end) in enumerate(events):
            begin.record()
            call(i)
            end.record()
        self.synchronize()
        return Spread.of([self._cupy.cuda.get_elapsed_time(begin, end) for begin, end in events])

    def time_with_host(self, call: Callable[[int], Any], rounds: int) -> Spread:
        """From the call to its return, for what waits for its result."""
        for i in range(3):
            call(i)
        self.synchronize()
        seconds = []
        for i in range(rounds):
            begin = time.perf_counter()
            call(i)
            seconds.append(time.perf_counter() - begin)
        return Spread.of([1e3 * s for s in seconds])

    def copy_speed(self) -> float:
        """GB/s read and written by a copy within the device's memory: what a memory-bound kernel is held to."""
        source = self._cupy.zeros(1 << 28, self._cupy.float32)
        target = self._cupy.empty_like(source)
        spread = self.time_on_device(lambda i: self._cupy.copyto(target, source), 20)
        return 2 * source.nbytes / spread.p50 / 1e6

    def upload_speed(self, size: int) -> float:
        """GB/s from pinned memory to the device, ``size`` bytes at a time."""
        cupy = self._cupy
        pinned = np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)
        target = cupy.empty(size, cupy.uint8)
        spread = self.time_on_device(lambda i: target.set(pinned, stream=cupy.cuda.Stream.null), 20)
        return size / spread.p50 / 1e6


class EmulatedDevice:
    """CUDA on the CPU, from the tests. One turn each; its times mean nothing and are not told."""

    is_real = False
    l2_bytes = 0

    def __init__(self) -> None:
        sys.path.insert(0, str(TESTS))
        import fake_cuda

        self._fake = fake_cuda
        self.core = fake_cuda.core()
        self.facts = {"card": "none: CUDA emulated on the CPU; nothing is measured"}
        # Every module of the package meets the emulated core in the place of the ordinary one.
        for name, module in list(sys.modules.items()):
            if name.startswith("lcx_fast") and hasattr(module, "_core"):
                module._core = self.core

    def array(self, values: np.ndarray) -> Any:
        return self._fake.FakeCudaArray(values)

    def copies(self, values: np.ndarray) -> list[Any]:
        return [self.array(values), self.array(values)]

    def synchronize(self) -> None:
        self.core.emulation.synchronize(0)

    def time_on_device(self, call: Callable[[int], Any], rounds: int) -> Spread:
        call(0)
        self.synchronize()
        return Spread(float("nan"), float("nan"), 1)

    time_with_host = time_on_device

    def copy_speed(self) -> float:
        return float("nan")

    def upload_speed(self, size: int) -> float:
        return float("nan")
