"""Compiles the stand-in for TensorRT's library (fake_nvinfer.cpp), with faults to order."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path

_FOLDER = Path(__file__).parent


@functools.cache
def _build_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="fake-nvinfer-")


@functools.cache
def build_library(*faults: str) -> str:
    """Path of the library; see fake_nvinfer.cpp for the faults. Each kind is compiled once."""
    path = Path(_build_folder().name) / f"libnvinfer-{'-'.join(faults) or 'good'}.so"
    command = [os.environ.get("CXX", "c++"), "-std=c++20", "-O1", "-shared", "-fPIC", "-fvisibility=hidden"]
    command += ["-Wall", "-Wextra", "-Werror", f"-I{_FOLDER / 'include'}", *(f"-D{fault}" for fault in faults)]
    subprocess.run([*command, _FOLDER / "fake_nvinfer.cpp", "-o", path], check=True, timeout=120)
    return str(path)
