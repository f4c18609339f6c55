"""ONNX Runtime: the fallback on the CPU where OpenVINO is missing, and on a GPU where TensorRT is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import EngineError, InvalidArgument, Unsupported
from .cuda_driver import find_gpu
from .engine import Precision, cpu_content
from .forks import Home

_CUDA = "CUDAExecutionProvider"


class OnnxRuntimeEngine:
    """See ``Engine``."""

    name = "onnxruntime"
    device = "cpu"
    precision: Precision = "fp32"

    def __init__(self, model: Path, *, precision: str = "auto", threads: int = 0) -> None:
        self._open(model, precision, threads, ["CPUExecutionProvider"])

    def _open(self, model: Path, precision: str, threads: int, providers: Sequence[Any]) -> None:
        content = cpu_content(model, precision)
        if content.is_int8:
            self.precision = "int8"
        elif precision not in ("auto", "fp32"):
            raise Unsupported(f"ONNX Runtime here computes in fp32 or int8, not {precision}")
        onnxruntime = import_onnxruntime()
        self._home = Home()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or _core.available_cpus()
        options.log_severity_level = 3
        try:
            # Its Python layer would answer an error with text on standard output and a second try of its own.
            self._session = onnxruntime.InferenceSession(
                content.onnx, sess_options=options, providers=providers, enable_fallback=0
            )
        except Exception as error:  # its exceptions derive from Exception only
            raise EngineError(f"ONNX Runtime cannot load {model}: {_one_line(error)}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise EngineError(f"the model has {len(inputs)} inputs and {len(outputs)} outputs; one of each is needed")
        self._input, self._output = inputs[0], outputs[0]
        self.version: str = onnxruntime.__version__
        self.input_shape: tuple[int, ...] = tuple(self._input.shape)
        self.output_shape: tuple[int, ...] = tuple(self._output.shape)

    def infer(self, batch: NDArray[np.float32], output: NDArray[np.float32], stream: Any = None) -> None:
        if batch.shape != self.input_shape or output.shape != self.output_shape:
            raise InvalidArgument(
                f"batch {batch.shape}, output {output.shape}; the model needs {self.input_shape} and "
                f"{self.output_shape}"
            )
        self._home.check("this model in ONNX Runtime")
        try:
            output[...] = self._session.run([self._output.name], {self._input.name: batch})[0]
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {_one_line(error)}") from error


class OnnxRuntimeCudaEngine(OnnxRuntimeEngine):
    """See ``Engine``. Takes and gives NumPy arrays: ONNX Runtime copies them to the GPU and back."""

    def __init__(self, model: Path, *, precision: str = "auto", index: int = 0) -> None:
        find_gpu(index)
        if _CUDA not in import_onnxruntime().get_available_providers():
            raise EngineError("this ONNX Runtime has no CUDA; `pip install onnxruntime-gpu`")
        self.device = f"cuda:{index}"
        # TF32 would keep 10 bits of a float32's 23 and call it fp32.
        self._open(model, precision, 0, [(_CUDA, {"device_id": index, "use_tf32": 0})])
        if _CUDA not in self._session.get_providers():
            raise EngineError("ONNX Runtime could not start CUDA and offers the CPU instead")


def import_onnxruntime() -> Any:
    """The package, its telemetry off.

    From 1.29 on its official builds report the machine, the process and every model to Microsoft and write an
    identifier into the user's folder. The environment is read once, when the library is first loaded; turning its
    events off afterwards does not stop the first report. Whoever loads ONNX Runtime before us decides for themselves.

    Raises:
        EngineError: if it is not installed, or cannot be loaded.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise EngineError("ONNX Runtime is not installed; `pip install onnxruntime`") from error
    except ImportError as error:
        raise EngineError(f"ONNX Runtime cannot be loaded: {_one_line(error)}") from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
