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

#: Keeps the device busy for so many nanoseconds.
SPIN = """
__device__ __forceinline__ unsigned long long now() {
  unsigned long long t;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  return t;
}
extern "C" __global__ void spin(unsigned long long nanoseconds) {
  const unsigned long long begin = now();
  while (now() - begin < nanoseconds) {}
}
"""


@dataclass(frozen=True)
class Spread:
    """Milliseconds of many calls.

    Attributes:
        host_bound: whether the device waited for the host between calls, so that the host's time is in them.
    """

    p50: float
    p99: float
    calls: int
    host_bound: bool = False

    @classmethod
    def of(cls, milliseconds: Sequence[float], *, host_bound: bool = False) -> Spread:
        ordered = sorted(milliseconds)
        p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
        return cls(statistics.median(ordered), p99, len(ordered), host_bound)


class CudaDevice:
    """A GPU through CuPy.

    Args:
        seconds: that the calls of one job may take together; fewer calls are timed where they would take longer.
    """

    is_real = True
    is_timed = True
    #: Calls asked for at a time: a device takes a thousand launches or so before the host has to wait for it.
    BATCH = 4
    FEWEST_CALLS = 5

    def __init__(self, seconds: float = 4.0) -> None:
        import cupy

        self._cupy = cupy
        self._seconds = seconds
        self._spin = cupy.RawKernel(SPIN, "spin")
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

    def clear(self, address: int, size: int, stream: int) -> None:
        """Zeroes memory in a stream's order."""
        self._cupy.cuda.runtime.memsetAsync(address, 0, size, stream)

    def synchronize(self) -> None:
        self._cupy.cuda.Device().synchronize()

    def time_on_device(self, call: Callable[[int], Any], rounds: int) -> Spread:
        """Between two events on the default stream; ``call(i)`` is given the number of its turn.

        The device is kept busy until the host has asked for a batch of calls, so that what lies between the events is
        the device's work, and not the host's asking for it, which takes longer than a quick kernel.
        """
        asking, whole = self._try(call)
        rounds = self._affordable(rounds, whole)
        busy = 1e-3 + 2 * self.BATCH * asking
        milliseconds: list[float] = []
        late = 0
        while len(milliseconds) < rounds:
            events = [(self._cupy.cuda.Event(), self._cupy.cuda.Event()) for _ in range(self.BATCH)]
            self._spin((1,), (1,), (np.uint64(1e9 * busy),))
            for i, (begin, end) in enumerate(events, len(milliseconds)):
                begin.record()
                call(i)
                end.record()
            is_late = events[0][0].done
            self.synchronize()
            if is_late and late < 3:  # slower to ask than at first: once more, with more time
                late, busy = late + 1, 2 * busy
                continue
            milliseconds += [self._cupy.cuda.get_elapsed_time(begin, end) for begin, end in events]
        return Spread.of(milliseconds, host_bound=late >= 3)

    def time_with_host(self, call: Callable[[int], Any], rounds: int, *, seconds: float | None = None) -> Spread:
        """From the call to its return, for what waits for its result; ``seconds`` in place of the device's."""
        _, whole = self._try(call)
        milliseconds = []
        for i in range(self._affordable(rounds, whole, seconds)):
            begin = time.perf_counter()
            call(i)
            milliseconds.append(1e3 * (time.perf_counter() - begin))
        return Spread.of(milliseconds)

    def _try(self, call: Callable[[int], Any]) -> tuple[float, float]:
        """Seconds that the host takes to ask for a call, and that all of it takes; warmed up."""
        for i in range(3):
            call(i)
        self.synchronize()
        begin = time.perf_counter()
        call(3)
        asked = time.perf_counter()
        self.synchronize()
        return asked - begin, time.perf_counter() - begin

    def _affordable(self, rounds: int, one: float, seconds: float | None = None) -> int:
        most = int((self._seconds if seconds is None else seconds) / max(one, 1e-6))
        return max(min(self.FEWEST_CALLS, rounds), min(rounds, most))

    def replayed(self, enqueue: Callable[[Any], Any]) -> Callable[[], None]:
        """What ``enqueue`` puts on the stream that it is given, recorded into a graph: put on the default stream."""
        stream = self._cupy.cuda.Stream(non_blocking=True)
        self.synchronize()  # what the default stream still does to the arrays
        for _ in range(2):
            enqueue(stream)
        stream.synchronize()
        stream.begin_capture()
        try:
            enqueue(stream)
        finally:
            graph = stream.end_capture()
        # The stream stays: what was recorded on it may be kept by its handle.
        return lambda stream=stream: graph.launch(self._cupy.cuda.Stream.null)

    def copy_speed(self) -> float:
        """GB/s read and written by a copy within the device's memory: what a memory-bound kernel is held to."""
        source = self._cupy.arange(1 << 28, dtype=self._cupy.float32)  # and not zeros, which may be quicker to copy
        target = self._cupy.empty_like(source)
        spread = self.time_on_device(lambda i: self._cupy.copyto(target, source), 20)
        return 2 * source.nbytes / spread.p50 / 1e6

    def upload_speed(self, size: int) -> float:
        """GB/s from pinned memory to the device, ``size`` bytes at a time."""
        cupy, runtime = self._cupy, self._cupy.cuda.runtime
        pinned = cupy.cuda.alloc_pinned_memory(size)
        np.frombuffer(pinned, np.uint8, size)[:] = 7  # pages that are there
        target = cupy.empty(size, cupy.uint8)
        to, kind = target.data.ptr, runtime.memcpyHostToDevice
        spread = self.time_on_device(lambda i: runtime.memcpyAsync(to, pinned.ptr, size, kind, 0), 20)
        return size / spread.p50 / 1e6


class _Untimed:
    """Calls every job once and times none."""

    is_timed = False

    def time_on_device(self, call: Callable[[int], Any], rounds: int) -> Spread:
        call(0)
        self.synchronize()
        return Spread(float("nan"), float("nan"), 1)

    def time_with_host(self, call: Callable[[int], Any], rounds: int, *, seconds: float | None = None) -> Spread:
        return self.time_on_device(call, rounds)

    def synchronize(self) -> None:
        raise NotImplementedError

    def copy_speed(self) -> float:
        return float("nan")

    def upload_speed(self, size: int) -> float:
        return float("nan")


class OnceDevice(_Untimed, CudaDevice):
    """A GPU, for compute-sanitizer."""

    def copies(self, values: np.ndarray) -> list[Any]:
        return [self.array(values)]

    def synchronize(self) -> None:
        CudaDevice.synchronize(self)


class EmulatedDevice(_Untimed):
    """CUDA on the CPU, from the tests; its times would mean nothing."""

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

    def clear(self, address: int, size: int, stream: int) -> None:
        self.core.emulation.clear(address, size, stream)

    def synchronize(self) -> None:
        self.core.emulation.synchronize(0)

    def replayed(self, enqueue: Callable[[Any], Any]) -> Callable[[], None]:
        return lambda: enqueue(None)
