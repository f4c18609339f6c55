"""The CUDA twins on a machine without a GPU: the emulated core, and arrays in its device memory.

``build`` compiles ``_core_emulated`` from the sources (``LCX_EMULATE_CUDA=ON``), once and again when they change.
``FakeCudaArray`` is a stand-in for CuPy's or Torch's arrays; on a machine with a GPU the same tests run there too.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
#: Name and seed of the emulation's schedules that tests go through.
SCHEDULES = [("in order", 0), ("reversed", 0), ("random", 1)]


def build_folder(*options: str, name: str = "emulated", target: str = "all") -> Path:
    """Configure and build the emulated core and its programs, or one of them; the folder they are in."""
    import pybind11

    folder = ROOT / "build" / f"{name}-{sys.implementation.cache_tag}"
    environment = dict(os.environ)
    # The environment's own tools before the system's, which may be too old: pytest may run without it being activated.
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment.get("PATH", os.defpath)))
    if shutil.which("ccache"):
        environment.setdefault("CMAKE_CXX_COMPILER_LAUNCHER", "ccache")
    cmake = shutil.which("cmake", path=environment["PATH"]) or "cmake"
    generator = ["-G", "Ninja"] if shutil.which("ninja", path=environment["PATH"]) else []
    python = [f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]
    jobs = str(len(os.sched_getaffinity(0)))
    commands = [
        [cmake, "-S", ROOT, "-B", folder, *generator, *python, "-DLCX_EMULATE_CUDA=ON", *options],
        [cmake, "--build", folder, "--parallel", jobs, "--target", target],
    ]
    for command in commands:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=900)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return folder


@functools.cache
def built() -> Path:
    """The folder of the emulated core, built once in a process."""
    return build_folder()


@functools.cache
def core() -> ModuleType:
    """The emulated core, built if need be."""
    [path] = built().glob("_core_emulated*.so")
    spec = importlib.util.spec_from_file_location("_core_emulated", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class EmulatedMemory:
    """Bytes in the emulated device's memory."""

    def __init__(self, size: int, device: int) -> None:
        self.address = core().emulation.malloc(max(size, 1), device)
        self._size = size

    def __del__(self) -> None:
        core().emulation.free(self.address)

    def write(self, block: bytes, stream: int | None) -> None:
        core().emulation.write(self.address, block, stream or 0)

    def read(self) -> bytes:
        return core().emulation.read(self.address, self._size)


class TorchMemory:
    """Bytes in a GPU's memory."""

    def __init__(self, size: int, device: int) -> None:
        import torch

        self._bytes = torch.empty(max(size, 1), dtype=torch.uint8, device=f"cuda:{device}")
        self._size = size
        self.address = self._bytes.data_ptr()

    def write(self, block: bytes, stream: int | None) -> None:
        import torch

        self._bytes[: self._size].copy_(torch.frombuffer(bytearray(block), dtype=torch.uint8))
        torch.cuda.synchronize(self._bytes.device)

    def read(self) -> bytes:
        import torch

        torch.cuda.synchronize(self._bytes.device)
        return self._bytes[: self._size].cpu().numpy().tobytes()


class FakeCudaArray:
    """An array in device memory: a copy of a NumPy array, strides and all.

    Args:
        array: what to copy.
        device: number of the device; the emulation has 0 and 1.
        stream: handle of the stream that the copy is put on and that the interface names; None names none.
        read_only: what the interface says.
    """

    #: Whose memory; the fixture ``device`` changes it for tests on a GPU.
    memory: type[EmulatedMemory] | type[TorchMemory] = EmulatedMemory

    def __init__(
        self, array: np.ndarray, *, device: int = 0, stream: int | None = None, read_only: bool = False
    ) -> None:
        self.shape, self.dtype, self.strides = array.shape, array.dtype, array.strides
        self.stream, self.read_only = stream, read_only
        reach = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
        self._start = -sum(min(r, 0) for r in reach)  # bytes before the first element
        self._bytes = self._start + sum(max(r, 0) for r in reach) + array.itemsize if array.size else 0
        self._memory = self.memory(self._bytes, device)
        if self._bytes:
            block = ctypes.string_at(array.__array_interface__["data"][0] - self._start, self._bytes)
            self._memory.write(block, stream)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self._memory.address + self._start, self.read_only),
            "strides": self.strides,
            "version": 3,
        }
        return interface if self.stream is None else interface | {"stream": self.stream}

    def to_host(self) -> np.ndarray:
        """A NumPy copy, once the default stream has done its work."""
        if not self._bytes:
            return np.zeros(self.shape, self.dtype)
        return np.ndarray(self.shape, self.dtype, self._memory.read(), self._start, self.strides)


class DlpackOnly:
    """An array that speaks DLPack and nothing else."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.streams: list[Any] = []

    def __dlpack__(self, **arguments: Any) -> Any:
        self.streams.append(arguments["stream"])
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


def to_numpy(array: Any) -> np.ndarray:
    """A result on the host: NumPy's, ours, or CuPy's."""
    if isinstance(array, np.ndarray):
        return array
    return array.to_host() if hasattr(array, "to_host") else array.get()
