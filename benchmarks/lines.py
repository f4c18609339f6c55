"""The whole line, ours and the peers', made by name; and one of them in a process of its own.

    python benchmarks/lines.py NAME FILM [--network NET]

prints what it found, how long it took warm, how long it was in coming, and its peak memory, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

Line = Callable[[Path], list[dict[str, Any]]]

NAMES = ("lcx_fast", "OpenCV + NumPy", "MONAI", "MONAI, OpenCV post")

#: The job without a network: full resolution, tiles of 1024, the windowed image taken for probabilities.
TILE, OVERLAP, LOW, HIGH, MIN_AREA_MM2 = 1024, 0.25, 0.5, 0.7, 5.0


class IdentityEngine:
    """A network that returns what it is given; see ``lcx_fast.engines.Engine``."""

    name, version, device, precision = "identity", "1", "cpu", "fp32"
    input_shape = output_shape = (1, 1, TILE, TILE)

    def infer(self, batch: np.ndarray, output: np.ndarray, stream: Any = None) -> None:
        output[...] = batch


def identity_detector(spacing_mm: float, *, threads: int = 1) -> Any:
    """The product's own detector with the identity in the engine's place."""
    from lcx_fast.model import Thresholds, model_path, read_model_spec
    from lcx_fast.pipeline import Detector

    spec = read_model_spec(model_path(None))
    spec = replace(
        spec,
        name="identity",
        pixel_spacing_mm=spacing_mm,
        tile_shape=(TILE, TILE),
        tile_overlap=OVERLAP,
        mean=0.0,
        deviation=1.0,
        outputs=("abnormal",),
        thresholds=Thresholds(LOW, HIGH, MIN_AREA_MM2),
        image_score=replace(spec.image_score, map="abnormal"),
    )
    return Detector(spec, IdentityEngine(), threads=threads)


def identity_line(name: str, spacing_mm: float, *, threads: int = 1) -> Line:
    """A line with the identity network at the film's own spacing."""
    if name == "lcx_fast":
        detector = identity_detector(spacing_mm, threads=threads)
        return lambda path: found(detector.infer(path))
    from peers.pipelines import Task

    least = int(np.ceil(MIN_AREA_MM2 / spacing_mm**2 - 1e-9))
    task = Task(lambda x: x, spacing_mm, spacing_mm, TILE, OVERLAP, 0.0, 1.0, (1.0, 99.5), LOW, HIGH, least)
    return peer_line(name, task)


def network_line(name: str, spacing_mm: float) -> Line:
    """A line with the bundled model, by OpenVINO in fp32 on every CPU."""
    import lcx_fast

    if name == "lcx_fast":
        # Every candidate, as the peers give them: an operating point would leave some out.
        detector = lcx_fast.load_model(operating_point="all")
        return lambda path: found(detector.infer(path))
    from peers.pipelines import Task

    from lcx_fast.model import model_path, read_model_spec

    spec = read_model_spec(model_path(None))
    task = Task(
        openvino_network(spec.path),
        spec.pixel_spacing_mm,
        spacing_mm,
        spec.tile_shape[0],
        spec.tile_overlap,
        spec.mean,
        spec.deviation,
        (spec.low_percentile, spec.high_percentile),
        spec.thresholds.low,
        spec.thresholds.high,
        int(np.ceil(spec.thresholds.min_area_mm2 / spec.pixel_spacing_mm**2)),
    )
    return peer_line(name, task)


def openvino_network(model: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The first output map of an ONNX model, by OpenVINO's Python package."""
    import openvino

    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(model), "CPU", hints)
    request = compiled.create_infer_request()

    def run(tile: np.ndarray) -> np.ndarray:
        result: np.ndarray = request.infer([np.ascontiguousarray(tile)[None, None]])[0]
        return result[0, 0]

    return run


def peer_line(name: str, task: Any) -> Line:
    """A peer's line.

    Raises:
        ImportError: if one of its libraries is missing.
    """
    from peers.pipelines import MonaiPipeline, OpenCvPipeline

    if name == "OpenCV + NumPy":
        return OpenCvPipeline(task)
    return MonaiPipeline(task, own_post=name == "MONAI")


def found(report: Any) -> list[dict[str, Any]]:
    """Our lesions as the peers give theirs."""
    return [{"area": lesion.area_px, "bounding_box": lesion.bounding_box} for lesion in report.lesions]


def one_thread() -> None:
    """Hold everything in this process to one CPU."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("film", type=Path)
    parser.add_argument("--spacing", type=float, required=True)
    parser.add_argument("--network", choices=("identity", "bundled"), default="identity")
    given = parser.parse_args()
    from machine import peak_mib

    started = time.perf_counter()
    if given.network == "identity":
        one_thread()
        line = identity_line(given.name, given.spacing)
    else:
        line = network_line(given.name, given.spacing)
    made = time.perf_counter()
    lesions = line(given.film)
    first = time.perf_counter()
    line(given.film)
    result = {
        "lesions": len(lesions),
        "ready_s": made - started,
        "first_s": first - made,
        "warm_s": time.perf_counter() - first,
        "peak_mib": peak_mib(),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
