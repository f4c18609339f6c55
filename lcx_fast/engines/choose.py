"""Picks the engine: the first in a fixed order that can be had, with the reason for each one that cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path

from ..errors import DeviceError, EngineError, InvalidArgument, LcxError
from ..parallel import memory_limit
from .background import PendingEngine
from .engine import Engine


@dataclass(frozen=True)
class SkippedEngine:
    """An engine that was not used, and why.

    Attributes:
        name: of the engine.
        device: ``"cpu"`` or ``"cuda"``.
        reason: one line.
        pending: where the reason is that it is still being built, that build.
    """

    name: str
    device: str
    reason: str
    pending: PendingEngine | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple[type[SkippedEngine], tuple[str, str, str]]:
        """Pickled and copied, for reports, without the build."""
        return SkippedEngine, (self.name, self.device, self.reason)

    def to_dict(self) -> dict[str, str]:
        """As JSON types."""
        return {"name": self.name, "device": self.device, "reason": self.reason}


@dataclass(frozen=True)
class EngineRequest:
    """What is asked of an engine.

    Attributes:
        model: the .onnx file.
        precision: one of ``PRECISIONS``.
        threads: CPU threads for one inference; 0 = all.
        gpu: which one, counted from 0.
        may_wait: whether minutes may pass before the engine is there.
    """

    model: Path
    precision: str = "auto"
    threads: int = 0
    gpu: int = 0
    may_wait: bool = False


class EngineNotBuiltError(EngineError):
    """The engine can be had, but not yet; ``pending.start()`` begins to build it."""

    def __init__(self, message: str, pending: PendingEngine) -> None:
        super().__init__(message)
        self.pending = pending


def _tensorrt(request: EngineRequest) -> Engine:
    from .tensorrt import TensorRtLoader

    loader = TensorRtLoader(request.model, request.precision, index=request.gpu)
    engine = loader.build() if request.may_wait else loader.cached()
    if engine is None:
        reason = f"its plan for {request.model.name} in {loader.precision} is not built yet (lcx-fast build-engine)"
        raise EngineNotBuiltError(reason, loader.in_background())
    return engine


def _onnxruntime_cuda(request: EngineRequest) -> Engine:
    from .onnxruntime import OnnxRuntimeCudaEngine

    return OnnxRuntimeCudaEngine(request.model, precision=request.precision, index=request.gpu)


def _openvino(request: EngineRequest) -> Engine:
    from .openvino import OpenVinoEngine

    return OpenVinoEngine(request.model, precision=request.precision, threads=request.threads)


def _onnxruntime(request: EngineRequest) -> Engine:
    from .onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(request.model, precision=request.precision, threads=request.threads)


#: (engine, device, how to make it), in the order tried.
CANDIDATES: tuple[tuple[str, str, Callable[[EngineRequest], Engine]], ...] = (
    ("tensorrt", "cuda", _tensorrt),
    ("onnxruntime", "cuda", _onnxruntime_cuda),
    ("openvino", "cpu", _openvino),
    ("onnxruntime", "cpu", _onnxruntime),
)

DEVICES = ("auto", "cpu", "cuda")
ENGINES = ("auto", "tensorrt", "openvino", "onnxruntime")
MAX_THREADS = 1024
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


def parse_device(device: str) -> tuple[str, int]:
    """``"cuda:1"`` -> ``("cuda", 1)``; without a number, GPU 0.

    Raises:
        InvalidArgument: for anything but ``DEVICES`` and ``"cuda:N"``.
    """
    kind, colon, index = str(device).partition(":")
    if kind not in DEVICES or (colon and (kind != "cuda" or not index.isdecimal())):
        raise InvalidArgument(f"device {device!r}; accepted: {', '.join(DEVICES)}, cuda:N")
    return kind, int(index or 0)


def choose_engine(
    model: Path, *, device: str = "auto", precision: str = "auto", engine: str = "auto", threads: int = 0
) -> tuple[Engine, tuple[SkippedEngine, ...]]:
    """Load a model into the first engine that can be had.

    With ``device="auto"`` nobody is kept waiting: where TensorRT's plan is yet to be built, that begins in the
    background and is told by ``SkippedEngine.pending``. With ``device="cuda"`` the plan is built first.

    Args:
        model: the .onnx file.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"auto"`` (fp32 on the CPU, fp16 in TensorRT), ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"int8"``.
        engine: ``"auto"`` or one engine's name.
        threads: CPU threads for one inference; 0 = all.

    Returns:
        The engine, and those passed over before it, each with its reason.

    Raises:
        InvalidArgument: for a value not listed.
        DeviceError: if ``device="cuda"`` cannot be served.
        EngineError: if no engine can be had.
    """
    for name, value, accepted in (("precision", precision, PRECISIONS), ("engine", engine, ENGINES)):
        if value not in accepted:
            raise InvalidArgument(f"{name} {value!r}; accepted: {', '.join(accepted)}")
    if not isinstance(threads, Integral) or not 0 <= threads <= MAX_THREADS:
        raise InvalidArgument(f"threads {threads!r}; accepted: 0 (all) to {MAX_THREADS}")
    wanted, gpu = parse_device(device)
    request = EngineRequest(model, precision, threads, gpu, may_wait=wanted == "cuda" or engine == "tensorrt")
    skipped: list[SkippedEngine] = []
    for name, kind, make in CANDIDATES:
        if wanted not in ("auto", kind):
            continue
        if engine not in ("auto", name):
            skipped.append(SkippedEngine(name, kind, f"engine {engine!r} was asked for"))
            continue
        try:
            return make(request), tuple(skipped)
        except EngineNotBuiltError as error:
            error.pending.start()
            skipped.append(SkippedEngine(name, kind, "its plan is being built", error.pending))
        except LcxError as error:
            skipped.append(SkippedEngine(name, kind, str(error)))
    error_class = DeviceError if wanted == "cuda" else EngineError
    raise error_class(_refusal(request, device, engine, skipped))


def _refusal(request: EngineRequest, device: str, engine: str, skipped: Sequence[SkippedEngine]) -> str:
    """Why there is no engine, each reason once, and what to do."""
    by_reason: dict[str, list[str]] = {}
    for entry in skipped:
        if engine in ("auto", entry.name):
            by_reason.setdefault(entry.reason, []).append(f"{entry.name} ({entry.device})")
    where = f"no engine can run {request.model.name} on {device}"
    if not by_reason:
        return f"{where}: {engine} does not run there; use another device or engine auto"
    reasons = "; ".join(f"{', '.join(names)}: {reason.strip()}" for reason, names in by_reason.items())
    if device != "auto" and parse_device(device)[0] == "cuda":
        remedy = "mend that, or use device cpu or auto"
    elif engine != "auto":
        remedy = "mend that, or use engine auto"
    elif (most := memory_limit()) is not None:
        remedy = f"this process may have {most >> 20} MB of memory (ulimit -v): raise that if it is the reason"
    else:
        remedy = "`pip install openvino` is the usual remedy, and `lcx-fast doctor` says what this machine has"
    return f"{where}: {reasons}; {remedy}"
