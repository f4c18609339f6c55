"""The line on a GPU: pixels go up, maps and lesions come down, and all between stays there.

See ``csrc/line/device_line.hpp``. Here are its users' side: an engine for any network that can put itself on a stream,
and a pool of lines, one for each film that is being worked on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core, ops
from .engines import Engine
from .engines.engine import Precision
from .engines.tensorrt import TensorRtEngine, device_address, stream_address
from .lesions import min_area
from .mammogram import Mammogram
from .model import ModelSpec
from .preprocess import TilePlan, coarse_scale, grid_scale

#: Puts a network's work on a stream: addresses of its float32 input and output on the device, and the stream's handle.
Enqueue = Callable[[int, int, int], None]


class GpuEngine:
    """A network on a GPU that is neither TensorRT's nor ONNX Runtime's, as an ``Engine``.

    Args:
        name: for reports.
        enqueue: see ``Enqueue``. From its second call for a stream on it must do nothing that a CUDA graph cannot hold.
        input_shape: (1, 1, h, w).
        output_shape: (1, C, h, w).
        precision: what it computes in.
        version: for reports.
        index: of the GPU.
    """

    def __init__(
        self,
        name: str,
        enqueue: Enqueue,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        *,
        precision: Precision = "fp32",
        version: str = "-",
        index: int = 0,
    ) -> None:
        self.name, self.version, self.precision = name, version, precision
        self.device, self.index = f"cuda:{index}", index
        self.input_shape, self.output_shape = input_shape, output_shape
        self.enqueue = enqueue

    def infer(self, batch: Any, output: Any, stream: Any = None) -> None:
        self.enqueue(
            device_address(batch, self.input_shape, "batch"),
            device_address(output, self.output_shape, "output"),
            stream_address(stream),
        )


def runs_on_line(engine: Engine) -> bool:
    """Whether ``GpuLines`` can be made of an engine.

    Not where the driver serves TensorRT's package but is too old for the core's CUDA: then tiles come from the host.
    """
    if isinstance(engine, TensorRtEngine):
        return engine.index < _core.cuda_device_count()
    return isinstance(engine, GpuEngine)


class GpuLines:
    """Lines of one model on one GPU, as many as there are films at once. Safe for many threads.

    Args:
        engine: one of which ``runs_on_line`` is true.
        spec: of the model.
        threads: most CPU threads to use for a film; 0 = all.
    """

    def __init__(self, engine: Engine, spec: ModelSpec, *, threads: int = 0) -> None:
        self.engine, self._spec, self._threads = engine, spec, threads
        self._idle: list[_core.DeviceLine] = []
        self._lock = threading.Lock()

    def run(self, mammogram: Mammogram) -> tuple[TilePlan, NDArray[np.float32], ops.Regions]:
        """Probability maps and lesions of one film.

        Args:
            mammogram: the film.

        Returns:
            How it was cut into tiles; float32 [C, h, w] on the grid; and the lesions on the first of them.

        Raises:
            DeviceError, EngineError: if the GPU fails.
        """
        with self._lock:
            line = self._idle.pop() if self._idle else None
        if line is None:
            line = self._new_line()
        spec = self._spec
        scale = grid_scale(mammogram, spec.pixel_spacing_mm)
        grid, (low, high), breast, maps, found = line.run(
            mammogram.pixels,
            coarse_scale=coarse_scale(mammogram.shape),
            grid_scale=scale,
            overlap=spec.tile_overlap,
            percentiles=(spec.low_percentile, spec.high_percentile),
            mean=spec.mean,
            deviation=spec.deviation,
            low=spec.thresholds.low,
            high=spec.thresholds.high,
            min_area=min_area(scale, mammogram.spacing, spec.thresholds),
        )
        # One that failed is not trusted again.
        with self._lock:
            self._idle.append(line)
        found["outlines"] = ops.Polygons(*found["outlines"])
        plan = TilePlan(grid, ops.Normalisation(low, high, spec.mean, spec.deviation), breast)
        return plan, maps, ops.Regions(**found)

    @property
    def counts_tiles(self) -> bool:
        """Whether the network ran only for tiles that meet the breast, on every line that has run."""
        with self._lock:
            return all(line.counts_tiles for line in self._idle)

    def _new_line(self) -> _core.DeviceLine:
        weights, engine = self._spec.tile_weights, self.engine
        if isinstance(engine, TensorRtEngine) and isinstance(engine.runner, _core.TensorRtEngine):
            return _core.DeviceLine(engine.runner, weights=weights, threads=self._threads)
        assert isinstance(engine, GpuEngine | TensorRtEngine)
        return _core.DeviceLine(
            engine.enqueue if isinstance(engine, GpuEngine) else engine.runner.enqueue,
            input_shape=engine.input_shape,
            output_shape=engine.output_shape,
            device=engine.index,
            weights=weights,
            threads=self._threads,
        )
