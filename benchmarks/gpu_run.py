"""Measure lcx_fast on a GPU beside its peers; ``gpu.sh`` builds and tests first and then runs this.

    python benchmarks/gpu_run.py [--quick] [--once] [--emulate] [--size HxW] [--films DIR] [--out DIR]

Kernels are timed between CUDA events, inputs in turns so that none is still in the second-level cache; what gives its
result to the host is timed until it is there. Bandwidth is what must be read and written at least, over the time, as a
share of a copy's on the same card. Exit codes: 0 done, 1 a result is not the CPU's, 2 bad usage.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gpu_bars
import gpu_identity
import gpu_jobs
import gpu_peers
import numpy as np
from gpu_device import CudaDevice, EmulatedDevice
from gpu_jobs import Row, attempt

import lcx_fast
from lcx_fast import LcxError
from lcx_fast.model import ModelSpec, model_path, read_model_spec


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure lcx_fast on a GPU beside its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--once", action="store_true", help="each of our jobs once: for compute-sanitizer")
    parser.add_argument("--emulate", action="store_true", help="on the CPU's emulation of CUDA; measures nothing")
    parser.add_argument("--size", default="4096x3328", metavar="HxW", help="of the film in pixels (default: 4096x3328)")
    parser.add_argument("--streams", type=int, default=4, help="films at once (default: 4)")
    parser.add_argument(
        "--films",
        type=Path,
        default=Path("demo/films"),
        metavar="DIR",
        help="a sample exam's DICOM files, where there are",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write results.json and table.md here")
    options = parser.parse_args(arguments)
    height, _, width = options.size.partition("x")
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= 64):
        parser.error(f"--size {options.size}: needed: HxW, each at least 64")
    options.shape = (int(height), int(width))
    return options


def detector_on_gpu() -> tuple[Any, str]:
    """A detector with TensorRT, else with Torch's network captured in its place; and which."""
    try:
        return lcx_fast.load_model(device="cuda", engine="tensorrt"), ""
    except LcxError as error:
        reason = str(error)
    from lcx_fast.gpu_line import GpuEngine

    spec = read_model_spec(model_path(None))
    enqueue, input_shape, output_shape = gpu_peers.captured_network(spec.tile_shape)
    engine = GpuEngine("torch, stand-in", enqueue, input_shape, output_shape, precision="fp16")
    return lcx_fast.Detector(spec, engine), f"Torch's network stands in for TensorRT: {reason}"


def detector_of_nothing(spec: ModelSpec) -> Any:
    """For the emulation: a network that does nothing, so that everything round it can be run."""
    from lcx_fast.gpu_line import GpuEngine

    shapes = (1, 1, *spec.tile_shape), (1, len(spec.outputs), *spec.tile_shape)
    return lcx_fast.Detector(spec, GpuEngine("nothing", lambda *_: None, *shapes))


def identity(options: argparse.Namespace, device: Any, detector: Any) -> list[Row]:
    """Whether results are the CPU's; the rows' fact ``differing`` says of how many they are not."""
    masks = 3 if options.once or not device.is_real else 1000 if options.quick else 10_000
    mammograms: list[Any] = gpu_jobs.exam(options.shape, 1 if options.once or not device.is_real else 4)
    if device.is_real and not options.once:
        mammograms += [lcx_fast.read_mammogram(path) for path in sorted(options.films.glob("*.dcm"))]
    jobs = {
        f"identity, {masks} random masks": lambda: gpu_identity.random_masks(device, masks),
        f"identity, {len(mammograms)} films": lambda: gpu_identity.films(detector, mammograms),
    }
    rows = []
    for job, compare in jobs.items():
        if detector is None and "films" in job:
            continue

        def row(job: str = job, compare: Any = compare) -> Row:
            verdict = compare()
            return Row(job, "lcx_fast", None, note=str(verdict), facts={"differing": sum(verdict.differing.values())})

        rows.append(attempt(job, "lcx_fast", row))
    return rows


def measure(options: argparse.Namespace, device: Any) -> list[Row]:
    rounds = 1 if options.once else 20 if options.quick else 100
    films = 2 if options.once or not device.is_real else 100 if options.quick else 1000
    rows = list(gpu_jobs.kernels(device, options.shape, rounds))
    spec = read_model_spec(model_path(None))
    if not device.is_real:
        return rows + identity(options, device, detector_of_nothing(spec))
    detector = None
    try:
        detector, note = detector_on_gpu()
    except Exception as error:  # without a network the kernels' figures still stand
        rows.append(Row("line", "lcx_fast", None, note=" ".join(str(error).split())[:160]))
    else:
        if note:
            rows.append(Row("line", "note", None, note=note))
        engine = detector.engine
        rows.append(attempt("network, one tile", engine.name, lambda: gpu_jobs.network_alone(device, engine, rounds)))
        rows += gpu_jobs.line(detector, device, options.shape, films, options.streams)
    rows += identity(options, device, detector)
    if not options.once:
        rows += gpu_peers.rows(device, spec.path, spec.tile_shape, options.shape, rounds)
    return rows


def table(rows: Sequence[Row], copy_speed: float) -> str:
    """As Markdown."""
    lines = ["| job | who | p50 ms | p99 ms | GB/s | of a copy | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        p50 = p99 = speed = share = ""
        if row.spread is not None and not math.isnan(row.spread.p50):
            p50, p99 = f"{row.spread.p50:.3f}", f"{row.spread.p99:.3f}"
            if row.data_bytes is not None:
                rate = row.data_bytes / row.spread.p50 / 1e6
                speed, share = f"{rate:.0f}", f"{100 * rate / copy_speed:.0f} %"
        extra = [row.note, *(f"{name} {value:.1f}" for name, value in row.facts.items())]
        cells = (row.job, row.who, p50, p99, speed, share, "; ".join(filter(None, extra)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    device = EmulatedDevice() if options.emulate else CudaDevice()
    copy_speed = device.copy_speed()
    upload = device.upload_speed(2 * options.shape[0] * options.shape[1])
    rows = measure(options, device)
    document = {
        "schema": "lcx_fast.gpu_benchmark/1",
        "measured": device.is_real and not options.once,
        "device": device.facts | {"copy_gb_per_s": copy_speed, "upload_gb_per_s": upload},
        "host": {"system": platform.platform(), "python": platform.python_version(), "numpy": np.__version__},
        "lcx_fast": lcx_fast.__version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "film": list(options.shape),
        "rows": [row.to_dict() for row in rows],
    }
    document: dict[str, Any] = _without_nan(document)
    facts = ", ".join(f"{name} {value}" for name, value in document["device"].items() if value is not None)
    text = f"{facts}\n\n{table(rows, copy_speed)}\n"
    if document["measured"]:
        bars = gpu_bars.bars(rows, copy_speed=copy_speed, upload_ms=2e-6 * options.shape[0] * options.shape[1] / upload)
        document["bars"] = [bar.to_dict() for bar in bars]
        text += f"\n{gpu_bars.table(bars)}\n"
    else:
        text = "NOT MEASURED: everything was run once to see that it runs.\n\n" + text
    print(text)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "results.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
        (options.out / "table.md").write_text(text)
    # A comparison that could not be made is no equality.
    return 1 if any(row.job.startswith("identity") and row.facts.get("differing") != 0 for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
