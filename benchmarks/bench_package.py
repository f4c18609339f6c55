"""What a user waits for and carries before the first film: import time, start of the command, size of the wheel.

python benchmarks/bench_package.py [--json FILE] [--only WORD] [--quick]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from harness import Comparison, Missing, Results, arguments, at_most, compare, peer, summarise

ROOT = Path(__file__).parent.parent

#: Asked of the package: an import well under 0.3 s, a wheel of at most 8 MB with code for every kind of GPU.
LIMITS = {"import": 300.0, "wheel": 8.0}


def import_of(module: str) -> Callable[[], None] | Missing:
    """A process that imports a module and ends."""
    found = peer(module.split(".")[0])
    if isinstance(found, Missing):
        return found
    return lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True, stderr=subprocess.DEVNULL)


def bench_import(rounds: int) -> Comparison:
    """A new Python each time."""
    modules = ("lcx_fast", "numpy", "pydicom", "cv2", "onnxruntime", "openvino", "torch", "monai")
    empty = [sys.executable, "-c", "pass"]
    return compare(
        "import, in a new process",
        "warm disk cache",
        {module: import_of(module) for module in modules},
        floor=lambda: subprocess.run(empty, check=True),
        rounds=rounds,
        budget_s=30,
        note=f"A new Python each time; *floor* is an empty one. Asked: at most {LIMITS['import']:.0f} ms.",
    )


def built_wheel(folder: Path) -> Path:
    """A wheel built from this tree.

    Raises:
        CalledProcessError: if it cannot be built.
    """
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def bench_wheel(path: Path | None) -> Comparison:
    """Size of a wheel, in MB: the one given, or one built now. The bar is one for wheels that hold GPU code."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = path or built_wheel(Path(folder))
        with zipfile.ZipFile(wheel) as parts:
            core = [i for i in parts.infolist() if i.filename.startswith("lcx_fast/_core.") and ".so" in i.filename]
            models = sum(i.compress_size for i in parts.infolist() if i.filename.endswith(".onnx"))
            has_gpu_code = any(b".nv_fatbin" in parts.read(part) for part in core)
        figures = {"lcx_fast": [wheel.stat().st_size / 1e6], "asked": [LIMITS["wheel"]]}
    note = (
        f"{sum(part.compress_size for part in core) / 1e6:.2f} MB of it the compiled core, "
        f"{'with' if has_gpu_code else 'without'} GPU code, {models / 1e6:.2f} MB the bundled models."
    )
    bars = [at_most(1, "asked")] if has_gpu_code else []
    return summarise("wheel", "this platform", figures, bars=bars, unit="MB", note=note)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--wheel", type=Path, help="the wheel to weigh; else one is built, in minutes")
    given = parser.parse_args()
    results = Results("package", "The package", given)
    results.run("import", lambda: bench_import(1 if given.quick else 5))
    if given.wheel is not None or not given.quick:
        results.run("wheel", lambda: bench_wheel(given.wheel))
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
