"""Compiling a model into a TensorRT plan."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import DeviceError, EngineError, InvalidArgument, Unsupported
from ..model import check_has_int8, is_quantised, read_model_spec
from ..onnx_file import encode_fields
from ..onnx_int8 import to_int8
from ..onnx_parts import decode_model, expand_weights, refusing_damage
from ..onnx_precision import in_half_precision, to_half_precision
from .cuda_driver import Gpu, find_gpu
from .engine import Precision
from .plan_cache import PlanKey
from .tensorrt_package import CollectedLog, TensorRtPackage

#: (what TensorRT is doing, steps done, steps in all).
Progress = Callable[[str, int, int], None]

#: What ``"auto"`` is on a GPU.
DEFAULT_PRECISION: Precision = "fp16"


@dataclass(frozen=True)
class BuildTarget:
    """What a plan is built for.

    Attributes:
        compute_capability: (major, minor).
        gpu: the card itself, or None when building ahead of time for another machine.
    """

    compute_capability: tuple[int, int]
    gpu: Gpu | None = None

    def __str__(self) -> str:
        return "compute capability {}.{}".format(*self.compute_capability)


def target_gpu(index: int = 0) -> BuildTarget:
    """The card of this index.

    Raises:
        DeviceError: if there is none.
    """
    gpu = find_gpu(index)
    return BuildTarget(gpu.compute_capability, gpu)


def parse_compute_capability(text: str) -> BuildTarget:
    """``"8.9"``: a target without a card.

    Raises:
        InvalidArgument: for any other form.
    """
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise InvalidArgument(f"compute capability {text!r}; needed: major.minor, for example 8.9")
    return BuildTarget((int(major), int(minor)))


def resolve_precision(precision: str) -> Precision:
    """``"auto"`` made plain."""
    return DEFAULT_PRECISION if precision == "auto" else cast(Precision, precision)


def plan_key(model: Path, precision: Precision, target: BuildTarget, package: TensorRtPackage) -> PlanKey:
    """The cache key of the plan that ``build_plan`` would make.

    A TensorRT-RTX plan fits every card of its compute capability under every driver, for it is finished when it is
    loaded; that is why one can be built ahead of time. A TensorRT plan holds kernels timed on one card.
    """
    capability = "sm{}{}".format(*target.compute_capability)
    gpu, driver = capability, ""
    if not package.is_rtx:
        if target.gpu is None:
            raise Unsupported(f"{package.label} builds only on the card itself; TensorRT-RTX builds ahead of time")
        gpu, driver = f"{target.gpu.name} {capability}", target.gpu.driver
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    return PlanKey(digest, package.label, gpu, driver, f"precision={precision}")


def typed_model(model: Path, precision: Precision) -> bytes:
    """The .onnx file whose types say the precision, as TensorRT's strongly typed networks need it.

    Raises:
        InvalidArgument: if the file cannot be read, or has no int8 form.
        Unsupported: if the model cannot be had in this precision.
    """
    if is_quantised(model):
        raise Unsupported(f"{model.name} is quantised already; TensorRT gets int8 from a float model with ranges")
    with refusing_damage(model):
        if precision == "int8":
            quantisation = check_has_int8(read_model_spec(model))
            # What is not quantised runs in fp16: in fp32 it would take longer than all of it does in fp16.
            return in_half_precision(to_int8(decode_model(model), quantisation, "symmetric"), "fp16")
        if precision == "fp32":
            return encode_fields(expand_weights(decode_model(model)))
        return to_half_precision(model, precision)


def build_plan(
    model: Path,
    precision: Precision,
    target: BuildTarget,
    package: TensorRtPackage,
    *,
    progress: Progress | None = None,
) -> bytes:
    """Compile a model. Seconds with TensorRT-RTX, minutes with TensorRT, which times kernels on the card.

    Args:
        model: the .onnx file.
        precision: what the arithmetic is done in.
        target: what for.
        package: which TensorRT.
        progress: told how far it is; may raise KeyboardInterrupt to stop.

    Raises:
        Unsupported: if the model cannot be had in this precision.
        DeviceError: if the library does not know the target.
        EngineError: if TensorRT refuses the model, with its own words.
    """
    content = typed_model(model, precision)
    trt, log = package.module, CollectedLog(package)
    try:
        builder = trt.Builder(log.logger)
    except Exception as error:  # pybind11's error says nothing; the log does
        raise EngineError(f"{package.label} cannot start: {log.take()}") from error
    # Without the flag, which TensorRT 11 and TensorRT-RTX need not be told, TensorRT 10 would pick the types.
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(content):
        errors = "; ".join(" ".join(str(parser.get_error(i)).split()) for i in range(parser.num_errors))
        raise EngineError(f"{package.label} cannot read {model.name}: {errors or log.take()}")
    config = builder.create_builder_config()
    # TF32 would keep 10 bits of a float32's 23 and call it fp32.
    config.clear_flag(trt.BuilderFlag.TF32)
    _aim(config, target, package)
    monitor = _monitor(trt, progress) if progress is not None else None
    if monitor is not None:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor is not None and monitor.stopped_by is not None:
        raise monitor.stopped_by
    if plan is None:
        raise EngineError(f"{package.label} cannot compile {model.name} in {precision} for {target}: {log.take()}")
    return bytes(plan)


def _aim(config: Any, target: BuildTarget, package: TensorRtPackage) -> None:
    """Tell the builder what the plan is for."""
    if not package.is_rtx:
        return  # always the current card
    known = package.module.ComputeCapability.__members__
    name = "SM{}{}".format(*target.compute_capability)
    if name not in known:
        listed = ", ".join(_spell(n) for n in known if n.startswith("SM"))
        raise DeviceError(f"{package.label} does not know {target}; it builds for {listed}")
    config.num_compute_capabilities = 1
    if not config.set_compute_capability(known[name], 0):
        raise DeviceError(f"{package.label} refuses {target}")


def _spell(name: str) -> str:
    """``"SM120"`` -> ``"12.0"``."""
    return f"{name[2:-1]}.{name[-1]}"


def _monitor(trt: Any, progress: Progress) -> Any:
    """TensorRT's IProgressMonitor on top of a function. Steps are the outermost phase's: the inner ones nest deeply."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped_by: BaseException | None = None
            self._outermost = ""
            self._steps = 0

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            if not parent:
                self._outermost, self._steps = phase, steps
            self._tell(phase, 0)

        def step_complete(self, phase: str, step: int) -> bool:
            if phase == self._outermost:
                self._tell(phase, step + 1)
            return self.stopped_by is None

        def phase_finish(self, phase: str) -> None:
            if phase == self._outermost:
                self._tell(phase, self._steps)

        def _tell(self, phase: str, step: int) -> None:
            # Nothing may be raised through TensorRT's own frames.
            try:
                progress(phase, step, self._steps)
            except BaseException as error:
                self.stopped_by = error

    return Monitor()
