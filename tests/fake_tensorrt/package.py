"""A stand-in for NVIDIA's Python package `tensorrt`, for tests of what drives it.

It "compiles" the one network of ``models.write_brightness_model``, a 1x1 convolution from one channel and a sigmoid,
into a plan of our own, which the stand-in library (fake_nvinfer.cpp) and the stand-in runtime below run:

    lcx fake plan 1
    <height> <width>
    <weight> <bias>        one line for each output channel
"""

from __future__ import annotations

import ctypes
import types
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

FIRST_LINE = "lcx fake plan 1"


def write_plan(height: int, width: int, channels: list[tuple[float, float]]) -> bytes:
    """A plan for sigmoid(weight * x + bias) of each channel."""
    lines = [FIRST_LINE, f"{height} {width}", *(f"{float(w)!r} {float(b)!r}" for w, b in channels)]
    return ("\n".join(lines) + "\n").encode()


class ILogger:
    INFO, WARNING, ERROR = 3, 2, 1


class IProgressMonitor:
    pass


class _Flag:
    TF32 = 7


class _Creation:
    STRONGLY_TYPED = 1


class _Config:
    def __init__(self) -> None:
        self.progress_monitor: Any = None
        self.cleared: list[int] = []

    def clear_flag(self, flag: int) -> None:
        self.cleared.append(flag)


class _Network:
    content = b""


class Builder:
    """``fails`` makes it say so and return nothing, as TensorRT does."""

    fails = ""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def create_network(self, flags: int) -> _Network:
        assert flags == 1 << _Creation.STRONGLY_TYPED
        return _Network()

    def create_builder_config(self) -> _Config:
        return _Config()

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        assert config.cleared == [_Flag.TF32]
        monitor = config.progress_monitor
        if monitor is not None:
            monitor.phase_start("Building", None, 2)
            for step in range(2):
                monitor.phase_start("Inner", "Building", 5)
                monitor.step_complete("Inner", 0)
                monitor.phase_finish("Inner")
                if not monitor.step_complete("Building", step):
                    return None
            monitor.phase_finish("Building")
        if self.fails:
            self._logger.log(ILogger.INFO, "not of interest")
            self._logger.log(ILogger.ERROR, self.fails)
            return None
        graph = onnx.load_from_string(network.content).graph
        weights = {t.name: numpy_helper.to_array(t).astype(np.float64).ravel() for t in graph.initializer}
        height, width = (d.dim_value for d in graph.input[0].type.tensor_type.shape.dim[2:])
        return write_plan(height, width, list(zip(weights["weight"], weights["bias"], strict=True)))


class OnnxParser:
    num_errors = 0

    def __init__(self, network: _Network, logger: Any) -> None:
        self._network, self._logger = network, logger

    def parse(self, content: bytes) -> bool:
        self._network.content = content
        known = {node.op_type for node in onnx.load_from_string(content).graph.node} <= {"Conv", "Sigmoid", "Cast"}
        if not known:
            self._logger.log(ILogger.ERROR, "an operator\nis not supported")
        return known


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        if self._engine.broken:
            self._engine.logger.log(ILogger.ERROR, "the enqueue was refused")
            return False
        arrays = {}
        for name in ("image", "probabilities"):
            shape = self._engine.get_tensor_shape(name)
            buffer = (ctypes.c_float * int(np.prod(shape))).from_address(self._addresses[name])
            arrays[name] = np.frombuffer(buffer, np.float32).reshape(shape)
        for channel, (weight, bias) in enumerate(self._engine.channels):
            arrays["probabilities"][0, channel] = 1 / (1 + np.exp(-(weight * arrays["image"][0, 0] + bias)))
        return True


class _Engine:
    broken = False

    def __init__(self, lines: list[str], logger: Any) -> None:
        self.logger = logger
        self.size = tuple(int(n) for n in lines[1].split())
        self.channels = [tuple(float(v) for v in line.split()) for line in lines[2:]]
        self.num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return ("image", "probabilities")[index]

    def get_tensor_mode(self, name: str) -> int:
        return TensorIOMode.INPUT if name == "image" else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (1, 1 if name == "image" else len(self.channels), *self.size)

    def get_tensor_dtype(self, name: str) -> int:
        return DataType.FLOAT

    def create_execution_context(self) -> _Context:
        return _Context(self)


class Runtime:
    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
        lines = plan.decode(errors="replace").splitlines()
        if not lines or lines[0] != FIRST_LINE:
            self._logger.log(ILogger.ERROR, "the plan is not one of mine")
            return None
        return _Engine(lines, self._logger)


class TensorIOMode:
    INPUT, OUTPUT = 1, 2


class DataType:
    FLOAT, HALF = 0, 1


def make_module(version: str = "11.1.0") -> types.ModuleType:
    """A module to put into ``sys.modules`` as ``tensorrt``."""
    module = types.ModuleType("tensorrt")
    module.__version__ = version
    for part in (ILogger, IProgressMonitor, OnnxParser, TensorIOMode, DataType):
        setattr(module, part.__name__, part)
    # Classes of its own, so that a test may set their switches.
    module.Builder = type("Builder", (Builder,), {})
    module.Runtime = type("Runtime", (Runtime,), {})
    module.BuilderFlag = _Flag
    module.NetworkDefinitionCreationFlag = _Creation
    return module
