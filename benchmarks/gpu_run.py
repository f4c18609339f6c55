"""Measure lcx_fast on a GPU beside its peers; ``gpu.sh`` builds and tests first and then runs this.

    python benchmarks/gpu_run.py [--quick] [--once] [--emulate] [--only PARTS] [--minutes N] [--size HxW]
                                 [--films DIR] [--out DIR]

Kernels are timed between CUDA events, inputs in turns so that none is still in the second-level cache; what gives its
result to the host is timed until it is there. Bandwidth is what must be read and written at least, over the time, as a
share of a copy's on the same card. The results are written after every row, so that a run that is ended leaves what it
had. Exit codes: 0 done, 1 a result is not the CPU's, 2 bad usage.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gpu_bars
import gpu_identity
import gpu_jobs
import gpu_peers
import numpy as np
from gpu_device import CudaDevice, EmulatedDevice, OnceDevice
from gpu_jobs import Row, attempt

import lcx_fast
from lcx_fast import LcxError
from lcx_fast.model import ModelSpec, model_path, read_model_spec

#: In the order of how much they matter, for a run that may not come to its end.
PARTS = ("line", "identity", "kernels", "peers")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure lcx_fast on a GPU beside its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--once", action="store_true", help="each of our jobs once: for compute-sanitizer")
    parser.add_argument("--emulate", action="store_true", help="on the CPU's emulation of CUDA; measures nothing")
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help=f"of {', '.join(PARTS)} (default: all)"
    )
    parser.add_argument("--minutes", type=float, metavar="N", help="begin nothing more after so many")
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
    options.only = tuple(options.only.split(","))
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"--only {', '.join(sorted(unknown))}; accepted: {', '.join(PARTS)}")
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


def detector_of_nothing(spec: ModelSpec, device: Any) -> Any:
    """With a network that gives zeros: everything round it can be run, and nothing but our kernels is."""
    from lcx_fast.gpu_line import GpuEngine

    shapes = (1, 1, *spec.tile_shape), (1, len(spec.outputs), *spec.tile_shape)
    output_bytes = 4 * math.prod(shapes[1])
    return lcx_fast.Detector(spec, GpuEngine("nothing", lambda _, to, on: device.clear(to, output_bytes, on), *shapes))


def make_detector(options: argparse.Namespace, device: Any) -> tuple[Any, str]:
    """A detector, and what must be said of it; None and why where there is none."""
    if not device.is_timed:
        return detector_of_nothing(read_model_spec(model_path(None)), device), ""
    try:
        return detector_on_gpu()
    except Exception as error:  # without a network the kernels' figures still stand
        return None, " ".join(str(error).split())[:300]


def line(options: argparse.Namespace, device: Any, detector: Any, note: str) -> Iterator[Row]:
    """The network alone and the whole line."""
    if note:
        yield Row("line", "note", None, note=note)
    if detector is None:
        return
    films = 2 if not device.is_timed else 100 if options.quick else 1000
    engine, rounds = detector.engine, rounds_of(options)
    yield attempt("network, one tile", engine.name, lambda: gpu_jobs.network_alone(device, engine, rounds))
    yield from gpu_jobs.line(detector, device, options.shape, films, options.streams)


def identity(options: argparse.Namespace, device: Any, detector: Any) -> Iterator[Row]:
    """Whether results are the CPU's; the rows' fact ``differing`` says of how many they are not."""
    masks = 3 if not device.is_timed else 1000 if options.quick else 10_000
    mammograms: list[Any] = gpu_jobs.exam(options.shape, 4 if device.is_timed else 1)
    if device.is_timed:
        mammograms += [lcx_fast.read_mammogram(path) for path in sorted(options.films.glob("*.dcm"))]
    jobs = {
        f"identity, {len(mammograms)} films": lambda: gpu_identity.films(detector, mammograms),
        f"identity, {masks} random masks": lambda: gpu_identity.random_masks(device, masks),
    }
    for job, compare in jobs.items():
        if detector is None and "films" in job:
            continue

        def row(job: str = job, compare: Any = compare) -> Row:
            verdict = compare()
            return Row(job, "lcx_fast", None, note=str(verdict), facts={"differing": sum(verdict.differing.values())})

        yield attempt(job, "lcx_fast", row)


def rounds_of(options: argparse.Namespace) -> int:
    return 1 if options.once else 20 if options.quick else 100


def measure(options: argparse.Namespace, device: Any) -> Iterator[Row]:
    """Every row, as soon as it is there."""
    detector, note = None, ""
    if {"line", "identity"} & set(options.only):
        detector, note = make_detector(options, device)
    spec = read_model_spec(model_path(None))
    rounds = rounds_of(options)
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "line": lambda: line(options, device, detector, note),
        "identity": lambda: identity(options, device, detector),
        "kernels": lambda: gpu_jobs.kernels(device, options.shape, rounds),
        "peers": lambda: gpu_peers.rows(device, spec.path, spec.tile_shape, options.shape, rounds),
    }
    for part in PARTS:
        if part in options.only and (part != "peers" or device.is_timed):
            yield from parts[part]()


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


class Results:
    """What was measured so far, written after every row.

    Args:
        device: the one measured.
        options: of the command.
    """

    def __init__(self, device: Any, options: argparse.Namespace) -> None:
        self.rows: list[Row] = []
        self._options = options
        self._is_measured = device.is_timed
        self._copy_speed = device.copy_speed()
        self._upload = device.upload_speed(2 * options.shape[0] * options.shape[1])
        self._document = {
            "schema": "lcx_fast.gpu_benchmark/1",
            "measured": self._is_measured,
            "is_complete": False,
            "device": device.facts | {"copy_gb_per_s": self._copy_speed, "upload_gb_per_s": self._upload},
            "host": {"system": platform.platform(), "python": platform.python_version(), "numpy": np.__version__},
            "lcx_fast": lcx_fast.__version__,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "film": list(options.shape),
        }

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.write(is_complete=False)

    def write(self, *, is_complete: bool) -> str:
        """The table; with the JSON in the folder asked for."""
        self._document["is_complete"] = is_complete
        document: dict[str, Any] = _without_nan(self._document | {"rows": [row.to_dict() for row in self.rows]})
        facts = ", ".join(f"{name} {value}" for name, value in document["device"].items() if value is not None)
        text = f"{facts}\n\n{table(self.rows, self._copy_speed)}\n"
        if self._is_measured:
            height, width = self._options.shape
            upload_ms = 2e-6 * height * width / self._upload
            bars = gpu_bars.bars(self.rows, copy_speed=self._copy_speed, upload_ms=upload_ms)
            document["bars"] = [bar.to_dict() for bar in bars]
            text += f"\n{gpu_bars.table(bars)}\n"
        else:
            text = "NOT MEASURED: everything was run once to see that it runs.\n\n" + text
        if not is_complete:
            text = "NOT COMPLETE: written while it ran.\n\n" + text
        if out := self._options.out:
            out.mkdir(parents=True, exist_ok=True)
            (out / "results.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
            (out / "table.md").write_text(text)
        return text


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    end = math.inf if options.minutes is None else time.monotonic() + 60 * options.minutes
    device = EmulatedDevice() if options.emulate else OnceDevice() if options.once else CudaDevice()
    results = Results(device, options)
    is_complete = True
    for row in measure(options, device):
        results.add(row)
        print(f"{time.strftime('%H:%M:%S')} {row.job}, {row.who}", flush=True)
        if time.monotonic() > end:
            is_complete = False
            print(f"the {options.minutes:g} minutes are over", flush=True)
            break
    print(results.write(is_complete=is_complete))
    # A comparison that could not be made is no equality.
    return 1 if any(row.job.startswith("identity") and row.facts.get("differing") != 0 for row in results.rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
