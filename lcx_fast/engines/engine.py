"""What every engine can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import Unsupported
from ..model import check_has_int8, is_quantised, read_model_spec
from ..onnx_file import encode_fields
from ..onnx_int8 import to_int8
from ..onnx_parts import decode_model, refusing_damage

Precision = Literal["fp32", "bf16", "fp16", "int8"]


class ModelContent(NamedTuple):
    """What an engine loads.

    Attributes:
        onnx: content of an .onnx file.
        is_int8: whether its convolutions are quantised.
    """

    onnx: bytes
    is_int8: bool


def cpu_content(model: Path, precision: str) -> ModelContent:
    """A model as engines that know zero points load it: the file, or for int8 what its ranges make of it.

    Raises:
        InvalidArgument: if the file cannot be read, or has no int8 form.
        Unsupported: if file and precision do not fit.
    """
    quantised = is_quantised(model)
    if quantised and precision not in ("auto", "int8"):
        raise Unsupported(f"{precision}: {model.name} is quantised; ask for int8")
    if precision != "int8" or quantised:
        return ModelContent(model.read_bytes(), quantised)
    quantisation = check_has_int8(read_model_spec(model))
    with refusing_damage(model):
        return ModelContent(encode_fields(to_int8(decode_model(model), quantisation, "unsigned")), True)


class Engine(Protocol):
    """A model, loaded and ready. Safe to call from several threads at once."""

    @property
    def name(self) -> str:
        """``"openvino"``, ``"onnxruntime"``, ..."""

    @property
    def version(self) -> str:
        """Of the library that runs the model."""

    @property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda:0"``."""

    @property
    def precision(self) -> Precision:
        """What the network is computed in, as the library reports it."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """[N, 1, h, w]."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        """[N, C, h, w]."""

    def infer(self, batch: NDArray[np.float32], output: NDArray[np.float32], stream: Any = None) -> None:
        """Run one batch into the caller's buffer.

        Args:
            batch: float32 of ``input_shape``, dense.
            output: float32 of ``output_shape``, dense, overwritten.
            stream: the device stream to run on; None on the CPU.

        Raises:
            InvalidArgument: for a wrong shape or dtype.
            EngineError: if the library fails.
        """
