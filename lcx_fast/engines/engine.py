"""What every engine can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import Unsupported
from ..onnx_precision import operators

Precision = Literal["fp32", "bf16", "fp16", "int8"]


def check_quantised(model: Path, precision: str) -> bool:
    """Whether a CPU engine is to run a model in int8.

    Int8 is in the file, not in the engine: a quantised file runs in int8 and in nothing else.

    Raises:
        Unsupported: if file and precision do not fit.
    """
    quantised = "QuantizeLinear" in operators(model)
    if precision == "int8" and not quantised:
        raise Unsupported(f"int8 needs a model quantised by `python -m training.quantise`; {model.name} is not")
    if quantised and precision not in ("auto", "int8"):
        raise Unsupported(f"{precision}: {model.name} is quantised; ask for int8")
    return quantised


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
