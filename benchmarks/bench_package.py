"""What a user waits for and carries before the first film: import time, start of the command, size of the wheel.

python benchmarks/bench_package.py [--json FILE] [--only WORD] [--quick]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import Missing, Results, arguments, at_most, compare, peer, summarise

ROOT = Path(__file__).parent.parent

#: Asked of the package: an import well under 0.3 s, a wheel of at most 8 MB.
LIMITS = {"import": 300.0, "wheel": 8.0}


def import_of(module: str) -> Callable[[], None] | Missing:
    """A process that imports a module and ends."""
    found = peer(module.split(".")[0])
    if isinstance(found, Missing):
        return found
    return lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True, stderr=subprocess.DEVNULL)


def wheel_mb() -> float | None:
    """Size of the wheel built from this tree, in MB; None where it cannot be built."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)]
        if subprocess.run(command).returncode != 0:
            return None
        return next(Path(folder).glob("*.whl")).stat().st_size / 1e6


def main() -> int:
    given = arguments(__doc__).parse_args()
    results = Results("package", "The package")
    if given.only in "import":
        modules = ("lcx_fast", "numpy", "pydicom", "cv2", "onnxruntime", "openvino", "torch", "monai")
        ways = {module: import_of(module) for module in modules}
        empty = [sys.executable, "-c", "pass"]
        note = f"A new Python each time; *floor* is an empty one. Asked: at most {LIMITS['import']:.0f} ms."
        results.add(
            compare(
                "import, in a new process",
                "warm disk cache",
                ways,
                floor=lambda: subprocess.run(empty, check=True),
                rounds=3 if given.quick else 5,
                budget_s=30,
                note=note,
            )
        )
    if given.only in "wheel" and not given.quick:
        started = time.perf_counter()
        size = wheel_mb()
        if size is not None:
            figures = {"lcx_fast": [size], "asked": [LIMITS["wheel"]]}
            note = f"The bundled model included; built in {time.perf_counter() - started:.0f} s."
            results.add(summarise("wheel", "this platform", figures, bars=[at_most(1, "asked")], unit="MB", note=note))
    results.write(given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
