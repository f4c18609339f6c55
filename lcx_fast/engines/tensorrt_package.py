"""NVIDIA's Python packages `tensorrt` and `tensorrt_rtx`: which is there, its log, and its library's file."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EngineError

#: In the order tried. TensorRT-RTX knows fewer cards (csrc/README.md) but installs everywhere.
PACKAGES = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True)
class TensorRtPackage:
    """An installed package.

    Attributes:
        name: ``"tensorrt"`` or ``"tensorrt_rtx"``.
        version: as it says.
        module: the package itself.
    """

    name: str
    version: str
    module: Any

    @property
    def is_rtx(self) -> bool:
        return self.name == "tensorrt_rtx"

    @property
    def label(self) -> str:
        """For messages and keys."""
        return f"{'TensorRT-RTX' if self.is_rtx else 'TensorRT'} {self.version}"


def find_package() -> TensorRtPackage:
    """Import the first package that is installed and works.

    Raises:
        EngineError: if there is none.
    """
    reasons = []
    for name in PACKAGES:
        try:
            module = importlib.import_module(name)
            module.Builder, module.Runtime  # noqa: B018  # the `tensorrt` placeholder wheel imports but holds nothing
        except Exception as error:  # a missing library raises whatever the loader likes
            reasons.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
            continue
        return TensorRtPackage(name, str(module.__version__), module)
    raise EngineError(
        f"TensorRT is not installed ({'; '.join(reasons)}); `pip install tensorrt` or `pip install tensorrt-rtx`"
    )


def library_candidates() -> tuple[str, ...]:
    """Files and names under which TensorRT's library may be opened, without importing any of it."""
    found: list[str] = []
    for package, pattern in (("tensorrt_libs", "libnvinfer.so.*"), ("tensorrt_rtx_libs", "libtensorrt_rtx.so.*")):
        # find_spec of a top-level package reads its location without running any of it.
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            found += [str(path) for path in sorted(Path(folder).glob(pattern))]
    return (*found, "libnvinfer.so.11", "libnvinfer.so.10", "libtensorrt_rtx.so.1")


class CollectedLog:
    """TensorRT's warnings and errors, to be told with the error that they explain.

    ``logger`` is what TensorRT takes; keep it alive as long as anything made with it.
    """

    MOST_CHARACTERS = 2000

    def __init__(self, package: TensorRtPackage) -> None:
        trt = package.module
        lines = self._lines = list[str]()

        class Logger(trt.ILogger):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity <= trt.ILogger.WARNING:
                    lines.append(" ".join(message.split()))

        self.logger = Logger()

    def take(self) -> str:
        """What was said since the last call, in one line, its end kept where it is long."""
        text = "; ".join(dict.fromkeys(self._lines)) or "TensorRT gave no reason"
        self._lines.clear()
        return text if len(text) <= self.MOST_CHARACTERS else "..." + text[-self.MOST_CHARACTERS :]
