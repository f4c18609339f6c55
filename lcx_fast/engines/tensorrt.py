"""TensorRT on an NVIDIA GPU: through the compiled core, or through NVIDIA's Python package where the core cannot."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import DeviceError, EngineError, InvalidArgument, LcxError
from .background import PendingEngine
from .build import BuildTarget, Progress, build_plan, plan_key, resolve_precision, target_gpu
from .engine import Precision
from .plan_cache import PlanCache, PlanKey
from .tensorrt_package import CollectedLog, TensorRtPackage, find_package, library_candidates


class Runner(Protocol):
    """What runs a plan: the core's engine or ``PackageRunner``. Addresses are of device memory."""

    @property
    def version(self) -> str: ...
    @property
    def input_shape(self) -> Any: ...
    @property
    def output_shape(self) -> Any: ...
    def enqueue(self, input: int, output: int, stream: int) -> None: ...


class PackageRunner:
    """A plan run by NVIDIA's Python package. One context a stream: see csrc/engine/tensorrt_engine.hpp."""

    def __init__(self, plan: bytes, package: TensorRtPackage) -> None:
        trt = package.module
        self._package, self._log = package, CollectedLog(package)
        self._runtime = trt.Runtime(self._log.logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"{package.label} could not read the plan: {self._log.take()}")
        self.version = package.version
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        if len(names) != 2 or len(inputs) != 1:
            raise EngineError(
                f"the plan has {len(inputs)} inputs and {len(names) - len(inputs)} outputs; one of each is needed"
            )
        self._input = inputs[0]
        self._output = next(n for n in names if n != self._input)
        self.input_shape, self.output_shape = self._shape_of(self._input), self._shape_of(self._output)
        self._contexts: dict[int, Any] = {}
        self._lock = threading.Lock()

    def _shape_of(self, name: str) -> tuple[int, ...]:
        shape = tuple(int(n) for n in self._engine.get_tensor_shape(name))
        if self._engine.get_tensor_dtype(name) != self._package.module.DataType.FLOAT:
            raise EngineError(f"the plan's {name} is not float32")
        if len(shape) != 4 or min(shape) < 1:
            raise EngineError(f"the plan's {name} is not of fixed shape [N, C, H, W]")
        return shape

    def enqueue(self, input: int, output: int, stream: int) -> None:
        with self._lock:
            context = self._contexts.get(stream)
            if context is None:
                context = self._contexts[stream] = self._engine.create_execution_context()
            done = (
                context is not None
                and context.set_tensor_address(self._input, input)
                and context.set_tensor_address(self._output, output)
                and context.execute_async_v3(stream)
            )
            if not done:
                del self._contexts[stream]  # one that failed is not trusted again
                raise EngineError(f"{self._package.label} could not run the network: {self._log.take()}")


def open_runner(plan: bytes, index: int, package: TensorRtPackage | None) -> Runner:
    """Run a plan by the core if it was built for a TensorRT that is here, else by the package.

    Raises:
        DeviceError: if there is no such GPU.
        EngineError: if neither can, with both reasons.
    """
    reasons = []
    for path in library_candidates() if _core.tensorrt_major else ():
        try:
            return _core.TensorRtEngine(library_path=path, plan=plan, device=index)
        except EngineError as error:
            reasons.append(str(error))
    if package is None:
        raise EngineError("; ".join(reasons) or "this build has no TensorRT, and NVIDIA's package is not installed")
    try:
        return PackageRunner(plan, package)
    except EngineError as error:
        raise EngineError("; ".join([*reasons, str(error)])) from error


class _Lane:
    """A stream with buffers of its own, for arrays that lie in the CPU's memory."""

    def __init__(self, cupy: Any, index: int, runner: Runner) -> None:
        with cupy.cuda.Device(index):
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self.input = cupy.empty(tuple(runner.input_shape), np.float32)
            self.output = cupy.empty(tuple(runner.output_shape), np.float32)


class TensorRtEngine:
    """See ``Engine``.

    ``infer`` takes arrays in device memory (CuPy, Torch, anything with ``__cuda_array_interface__``), puts its work on
    the caller's stream and does not wait. It also takes NumPy arrays: those are copied to the card and back through
    CuPy, and the call waits for the result.
    """

    name = "tensorrt"

    def __init__(
        self, plan: bytes, *, precision: Precision, index: int = 0, package: TensorRtPackage | None = None
    ) -> None:
        self.precision: Precision = precision
        self.device = f"cuda:{index}"
        self.index = index
        self.runner = open_runner(plan, index, package)
        self._idle: list[_Lane] = []
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        return self.runner.version

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.runner.input_shape)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return tuple(self.runner.output_shape)

    def infer(self, batch: Any, output: Any, stream: Any = None) -> None:
        if isinstance(batch, np.ndarray) and isinstance(output, np.ndarray):
            self._infer_from_host(batch, output)
            return
        addresses = (
            device_address(batch, self.input_shape, "batch"),
            device_address(output, self.output_shape, "output"),
        )
        self.runner.enqueue(*addresses, stream_address(stream))

    def _infer_from_host(self, batch: NDArray[np.float32], output: NDArray[np.float32]) -> None:
        for name, array, shape in (("batch", batch, self.input_shape), ("output", output, self.output_shape)):
            if array.shape != shape or array.dtype != np.float32 or not array.flags.c_contiguous:
                raise InvalidArgument(f"{name} is {array.dtype} {array.shape}; needed: float32 {shape}, dense")
        lane = self._take_lane()
        try:
            lane.input.set(batch, stream=lane.stream)
            self.runner.enqueue(lane.input.data.ptr, lane.output.data.ptr, lane.stream.ptr)
            lane.output.get(stream=lane.stream, out=output)
            lane.stream.synchronize()
        except LcxError:
            raise
        except Exception as error:  # CuPy's own errors
            raise DeviceError(f"{self.device}: {' '.join(str(error).split())}") from error
        with self._lock:
            self._idle.append(lane)

    def _take_lane(self) -> _Lane:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            import cupy
        except ImportError as error:
            raise EngineError("TensorRT needs CuPy to take NumPy arrays; `pip install cupy-cuda13x`") from error
        return _Lane(cupy, self.index, self.runner)


def device_address(array: Any, shape: tuple[int, ...], name: str) -> int:
    """Where a dense float32 array of this shape lies on the device.

    Raises:
        InvalidArgument: if it is any other array.
    """
    facts = getattr(array, "__cuda_array_interface__", None)
    if facts is None:
        raise InvalidArgument(f"{name} is a {type(array).__name__}; batch and output must both lie on one device")
    found = tuple(facts["shape"])
    dense = facts.get("strides") is None or tuple(facts["strides"]) == np.empty(found, np.float32).strides
    if found != shape or facts["typestr"] != "<f4" or not dense:
        raise InvalidArgument(f"{name} is {facts['typestr']} {found}; needed: <f4 {shape}, dense")
    return int(facts["data"][0])


def stream_address(stream: Any) -> int:
    """The cudaStream_t of a stream: of CuPy (``ptr``), of Torch (``cuda_stream``), with the ``__cuda_stream__``
    protocol, or a number; None is the default stream."""
    if stream is None:
        return 0
    if hasattr(stream, "__cuda_stream__"):
        return int(stream.__cuda_stream__()[1])
    return int(getattr(stream, "ptr", getattr(stream, "cuda_stream", stream)))


class TensorRtLoader:
    """All that must be known to have a model's plan, before there is one.

    Raises:
        DeviceError: if there is no such GPU.
        EngineError: if NVIDIA's package, which builds plans, is not there.
    """

    def __init__(self, model: Path, precision: str, *, index: int = 0, cache: PlanCache | None = None) -> None:
        self.model, self.index = model, index
        self.precision: Precision = resolve_precision(precision)
        self.target: BuildTarget = target_gpu(index)
        self.package = find_package()
        self.key: PlanKey = plan_key(model, self.precision, self.target, self.package)
        self.cache = cache if cache is not None else PlanCache()

    def cached(self) -> TensorRtEngine | None:
        """The engine of the plan in the cache, or None if there is none or TensorRT refuses it."""
        plan = self.cache.load(self.key)
        if plan is None:
            return None
        try:
            return self._open(plan)
        except EngineError:
            self.cache.remove(self.key)
            return None

    def build(self, progress: Progress | None = None) -> TensorRtEngine:
        """The engine, its plan built first if need be."""
        make: Callable[[], bytes] = lambda: build_plan(  # noqa: E731
            self.model, self.precision, self.target, self.package, progress=progress
        )
        return self.cached() or self._open(self.cache.load_or_build(self.key, make))

    def in_background(self) -> PendingEngine:
        """The engine, its plan to be built by another process."""
        arguments = ["build-engine", str(self.model), "--precision", self.precision, "--device", str(self.index)]
        return PendingEngine(arguments, self._from_cache)

    def _from_cache(self) -> TensorRtEngine:
        engine = self.cached()
        if engine is None:
            raise EngineError("the plan that was built cannot be used")
        return engine

    def _open(self, plan: bytes) -> TensorRtEngine:
        return TensorRtEngine(plan, precision=self.precision, index=self.index, package=self.package)
