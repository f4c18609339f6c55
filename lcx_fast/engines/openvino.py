"""OpenVINO on the CPU, through its C API and the compiled core; its Python package is never imported."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import EngineError, Unsupported
from .engine import Precision, cpu_content
from .forks import Home

_TO_OPENVINO = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_FROM_OPENVINO: dict[str, Precision] = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}


def find_library() -> Path:
    """The C library of the installed openvino wheel.

    Raises:
        EngineError: if there is none.
    """
    # find_spec of a top-level package reads its location without running any of it.
    spec = importlib.util.find_spec("openvino")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for pattern in ("libopenvino_c.so*", "libopenvino_c*.dylib"):
            found = sorted((Path(folder) / "libs").glob(pattern))
            if found:
                return found[0]
    raise EngineError("OpenVINO is not installed; `pip install openvino`")


@cache
def _library_home() -> Home:
    """Where the library was loaded, which is never unloaded."""
    return Home()


class OpenVinoEngine:
    """See ``Engine``."""

    name = "openvino"
    device = "cpu"

    def __init__(self, model: Path, *, precision: str = "auto", threads: int = 0) -> None:
        # fp32 unless asked: OpenVINO would pick bf16 by itself on some CPUs, and the same film would get another score
        # on another machine.
        content = cpu_content(model, precision)
        self._is_int8 = content.is_int8
        wanted = "fp32" if precision in ("auto", "int8") else precision
        if wanted not in _TO_OPENVINO:
            raise Unsupported(f"OpenVINO here computes in fp32, bf16, fp16 or int8, not {wanted}")
        library = find_library()
        _library_home().check("OpenVINO")
        self._engine = _core.OpenVinoEngine(
            library_path=str(library),
            model=content.onnx,
            precision=_TO_OPENVINO[wanted],
            threads=threads or _core.available_cpus(),
        )

    @property
    def version(self) -> str:
        return self._engine.version

    @property
    def precision(self) -> Precision:
        if self._is_int8:
            return "int8"
        return _FROM_OPENVINO.get(self._engine.precision, "fp32")

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self._engine.input_shape)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return tuple(self._engine.output_shape)

    def infer(self, batch: NDArray[np.float32], output: NDArray[np.float32], stream: Any = None) -> None:
        _library_home().check("OpenVINO")
        self._engine.infer(batch, output)
