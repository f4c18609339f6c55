"""``lcx-fast build-engine``: compile a model for a GPU, now or ahead of time."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import ProgressLine, let_interrupts_unwind
from .errors import DeviceError, InvalidArgument

if TYPE_CHECKING:
    from .engines.build import BuildTarget

PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8")


def add_parser(commands: Any) -> None:
    """Add the command to ``lcx-fast``'s grammar."""
    parser = commands.add_parser(
        "build-engine",
        help="compile a model for a GPU with TensorRT",
        description="Compile a model into a TensorRT plan and keep it where `lcx-fast infer` looks for it.",
        epilog="Exit codes: 0 built or already there, 2 bad input, 3 no GPU, no TensorRT, or TensorRT refused.",
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a bundled model's name or an .onnx file")
    parser.add_argument(
        "--precision", default="auto", metavar="P", help="fp32, fp16, bf16 or int8 (default: auto, which is fp16)"
    )
    parser.add_argument("--device", type=int, metavar="N", help="which GPU, counted from 0 (default: 0)")
    parser.add_argument(
        "--compute-capability",
        metavar="X.Y",
        help="build ahead of time for cards of this compute capability; needs TensorRT-RTX and no GPU",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the bare plan here instead of into the cache")
    parser.add_argument("--rebuild", action="store_true", help="build even if the cache has the plan")


def _target(arguments: argparse.Namespace) -> BuildTarget:
    from .engines.build import parse_compute_capability, target_gpu

    if arguments.compute_capability is None:
        try:
            return target_gpu(arguments.device or 0)
        except DeviceError as error:
            raise DeviceError(
                f"{error}; --compute-capability X.Y builds for cards elsewhere, with TensorRT-RTX and no GPU"
            ) from error
    if arguments.device is not None:
        raise InvalidArgument("--device and --compute-capability: one of them, a card here or cards elsewhere")
    return parse_compute_capability(arguments.compute_capability)


def run(arguments: argparse.Namespace) -> int:
    """``lcx-fast build-engine``."""
    from .engines.build import build_plan, plan_key, resolve_precision
    from .engines.plan_cache import PlanCache
    from .engines.tensorrt_package import find_package
    from .files import check_file_name, write_bytes
    from .model import model_path, read_model_spec

    let_interrupts_unwind()
    if arguments.precision not in PRECISIONS:
        raise InvalidArgument(f"--precision {arguments.precision!r}; accepted: {', '.join(PRECISIONS)}")
    precision = resolve_precision(arguments.precision)
    if arguments.out is not None:
        check_file_name(arguments.out)
    path = model_path(arguments.model)
    model = read_model_spec(path).at_precision(precision).path
    target = _target(arguments)
    package = find_package()
    key = plan_key(model, precision, target, package)
    started: list[float] = []

    def build() -> bytes:
        started.append(time.perf_counter())
        with ProgressLine() as progress:
            return build_plan(model, precision, target, package, progress=progress.show)

    cache = PlanCache()
    if arguments.out is not None:
        plan = build()
        write_bytes(arguments.out, plan)
        path = arguments.out
    elif arguments.rebuild:
        plan = build()
        path = cache.store(key, plan)
    else:
        plan = cache.load_or_build(key, build)
        path = cache.folder / key.file_name
    took = f"built in {time.perf_counter() - started[0]:.1f} s" if started else "already there"
    print(f"{path}: {len(plan) / 1e6:.1f} MB, {package.label}, {precision}, {target}; {took}")
    return 0
