"""Picks the engine: the first in a fixed order that can be had, with the reason for each one that cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import DeviceError, EngineError, InvalidArgument, LcxError
from .engine import Engine


@dataclass(frozen=True)
class SkippedEngine:
    """An engine that was not used, and why."""

    name: str
    device: str
    reason: str


def _tensorrt(model: Path, precision: str, threads: int) -> Engine:
    raise EngineError("this version of lcx_fast has no TensorRT engine yet")


def _onnxruntime_cuda(model: Path, precision: str, threads: int) -> Engine:
    raise EngineError("this version of lcx_fast has no ONNX Runtime CUDA engine yet")


def _openvino(model: Path, precision: str, threads: int) -> Engine:
    from .openvino import OpenVinoEngine

    return OpenVinoEngine(model, precision=precision, threads=threads)


def _onnxruntime(model: Path, precision: str, threads: int) -> Engine:
    from .onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(model, precision=precision, threads=threads)


#: (engine, device, how to make it), in the order tried.
CANDIDATES: tuple[tuple[str, str, Callable[[Path, str, int], Engine]], ...] = (
    ("tensorrt", "cuda", _tensorrt),
    ("onnxruntime", "cuda", _onnxruntime_cuda),
    ("openvino", "cpu", _openvino),
    ("onnxruntime", "cpu", _onnxruntime),
)

DEVICES = ("auto", "cpu", "cuda")
ENGINES = ("auto", "tensorrt", "openvino", "onnxruntime")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


def choose_engine(
    model: Path, *, device: str = "auto", precision: str = "auto", engine: str = "auto", threads: int = 0
) -> tuple[Engine, tuple[SkippedEngine, ...]]:
    """Load a model into the first engine that can be had.

    Args:
        model: the .onnx file.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        precision: ``"auto"`` (fp32 on the CPU), ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"int8"``.
        engine: ``"auto"`` or one engine's name.
        threads: CPU threads for one inference; 0 = all.

    Returns:
        The engine, and those passed over before it, each with its reason.

    Raises:
        InvalidArgument: for a value not listed.
        DeviceError: if ``device="cuda"`` cannot be served.
        EngineError: if no engine can be had.
    """
    for name, value, accepted in (
        ("device", device, DEVICES),
        ("precision", precision, PRECISIONS),
        ("engine", engine, ENGINES),
    ):
        if value not in accepted:
            raise InvalidArgument(f"{name} {value!r}; accepted: {', '.join(accepted)}")
    skipped: list[SkippedEngine] = []
    for name, kind, make in CANDIDATES:
        if device not in ("auto", kind):
            continue
        if engine not in ("auto", name):
            skipped.append(SkippedEngine(name, kind, f"engine {engine!r} was asked for"))
            continue
        try:
            return make(model, precision, threads), tuple(skipped)
        except LcxError as error:
            skipped.append(SkippedEngine(name, kind, str(error)))
    reasons = "; ".join(f"{s.name} ({s.device}): {s.reason}" for s in skipped)
    error_class = DeviceError if device == "cuda" else EngineError
    raise error_class(f"no engine can run {model.name} on {device}: {reasons}")
