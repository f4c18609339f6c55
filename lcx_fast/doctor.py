"""What this installation can do: versions, devices, engines and a self-test."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import time
from typing import Any

import numpy as np

from . import __version__, _core
from .engines.choose import CANDIDATES, EngineRequest
from .engines.cuda_driver import list_gpus
from .engines.plan_cache import PlanCache
from .errors import LcxError
from .model import bundled_models, model_path, read_model_spec

PACKAGES = (
    "numpy",
    "pydicom",
    "imagecodecs",
    "pillow",
    "openvino",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx",
    "cupy-cuda13x",
    "nvidia-nvimgcodec-cu13",
)


def _package_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def self_test() -> dict[str, Any]:
    """Run the default model on a drawn image, and say how long it took or what failed."""
    from .pipeline import load_model

    y, x = np.indices((1200, 900))
    image = 200 + 1500 * (np.hypot(y - 600, x) < 550) + 1800 * (np.hypot(y - 560, x - 250) < 40)
    try:
        detector = load_model()
        detector.infer(image.astype(np.uint16), pixel_spacing_mm=0.2)
        started = time.perf_counter()
        report = detector.infer(image.astype(np.uint16), pixel_spacing_mm=0.2)
        seconds = time.perf_counter() - started
    except LcxError as error:
        return {"passed": False, "error": f"{type(error).__name__}: {error}"}
    passed = bool(np.isfinite(report.probability_map.values).all() and report.probability_map.values.any())
    return {"passed": passed, "engine": vars(report.engine) | {"skipped": None}, "seconds": round(seconds, 4)}


def _gpus() -> dict[str, Any]:
    try:
        return {"found": [str(gpu) for gpu in list_gpus()]}
    except LcxError as error:
        return {"found": [], "reason": str(error)}


def _cuda() -> str:
    if not _core.has_cuda:
        return "built without CUDA"
    count = _core.cuda_device_count()
    return f"built with CUDA, {count} devices" if count else "built with CUDA, no driver or no GPU"


def _plans() -> dict[str, Any]:
    """What lies in the plan cache."""
    try:
        cache = PlanCache()
    except LcxError as error:
        return {"folder": None, "reason": str(error), "plans": []}
    plans = []
    for entry in cache.entries():
        key = entry.key
        what = f"{key.library}, {key.gpu}, {key.options}, model {key.model_sha256[:12]}" if key else "damaged"
        plans.append({"file": entry.path.name, "bytes": entry.size, "plan": what})
    return {"folder": str(cache.folder), "plans": plans}


def examine() -> dict[str, Any]:
    """Everything ``lcx-fast doctor`` says, as JSON types."""
    engines = []
    try:
        model = model_path(None)
    except LcxError:
        model = None
    for name, device, make in CANDIDATES:
        entry: dict[str, Any] = {"name": name, "device": device}
        if model is None:
            entry |= {"found": False, "reason": "no bundled model to try it with"}
        else:
            try:
                engine = make(EngineRequest(model))
                entry |= {"found": True, "version": engine.version, "precision": engine.precision}
            except LcxError as error:
                entry |= {"found": False, "reason": str(error)}
        engines.append(entry)
    return {
        "lcx_fast": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": _core.available_cpus(),
        "core": {"cuda": _cuda(), "tensorrt_major": _core.tensorrt_major or None},
        "gpus": _gpus(),
        "plan_cache": _plans(),
        "packages": {name: _package_version(name) for name in PACKAGES},
        "engines": engines,
        "models": {
            name: {
                "version": (spec := read_model_spec(model_path(name))).version,
                "sha256": spec.sha256,
                "pixel_spacing_mm": spec.pixel_spacing_mm,
                "operating_points": {p.name: p.image_score for p in spec.operating_points.values()},
                "default_operating_point": spec.default_operating_point,
                "calibrated": spec.calibrations.image is not None,
            }
            for name in bundled_models()
        },
        "self_test": self_test(),
    }


def describe(facts: dict[str, Any]) -> str:
    """The same, for people."""
    major = facts["core"]["tensorrt_major"]
    lines = [
        f"lcx_fast {facts['lcx_fast']}, Python {facts['python']}, {facts['platform']}",
        f"CPUs this process may use: {facts['cpus']}",
        f"compiled core: {facts['core']['cuda']}, " + (f"for TensorRT {major}" if major else "without TensorRT"),
        "GPUs: " + ("; ".join(facts["gpus"]["found"]) or f"none used: {facts['gpus']['reason']}"),
        "packages: " + ", ".join(f"{n} {v}" if v else f"{n} -" for n, v in facts["packages"].items()),
        "models: " + (", ".join(f"{n} {m['version']}" for n, m in facts["models"].items()) or "none"),
        *(
            f"  {name}: operating points {', '.join(model['operating_points'])}"
            f" (default {model['default_operating_point']})"
            for name, model in facts["models"].items()
            if model["operating_points"]
        ),
        "engines, in the order tried:",
    ]
    for engine in facts["engines"]:
        state = f"{engine['version']}, {engine['precision']}" if engine["found"] else f"not used: {engine['reason']}"
        lines.append(f"  {engine['name']} ({engine['device']}): {state}")
    cache = facts["plan_cache"]
    lines.append(f"TensorRT plans in {cache['folder'] or cache['reason']}: {len(cache['plans']) or 'none'}")
    lines += [f"  {plan['plan']}, {plan['bytes'] / 1e6:.1f} MB" for plan in cache["plans"]]
    test = facts["self_test"]
    if test["passed"]:
        info = test["engine"]
        used = f"{info['name']} {info['precision']} on {info['device']}"
        lines.append(f"self-test: passed ({used}, {test['seconds'] * 1e3:.0f} ms)")
    else:
        lines.append(f"self-test: FAILED ({test.get('error', 'the probability map is empty or not finite')})")
    return "\n".join(lines)
