"""Which NVIDIA GPUs there are, asked of the driver itself, so that it needs neither a toolkit nor a package."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from ..errors import DeviceError

LIBRARY = "libcuda.so.1"

# From cuda.h.
_MAJOR, _MINOR = 75, 76
_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        index: as CUDA counts them.
        name: as the driver says it.
        compute_capability: (major, minor).
        driver: the newest CUDA version the driver speaks, e.g. ``"13.0"``.
    """

    index: int
    name: str
    compute_capability: tuple[int, int]
    driver: str

    def __str__(self) -> str:
        major, minor = self.compute_capability
        return f"{self.name}, compute capability {major}.{minor}, driver for CUDA {self.driver}"


def list_gpus() -> tuple[Gpu, ...]:
    """Every GPU the driver shows this process; at least one.

    Raises:
        DeviceError: if there is no driver or no GPU, saying which.
    """
    try:
        cuda = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise DeviceError(f"no NVIDIA driver ({LIBRARY} cannot be opened)") from error
    try:
        _check(cuda, cuda.cuInit(0), "start the NVIDIA driver")
        version, count = ctypes.c_int(), ctypes.c_int()
        _check(cuda, cuda.cuDriverGetVersion(ctypes.byref(version)), "ask the driver's version")
        _check(cuda, cuda.cuDeviceGetCount(ctypes.byref(count)), "count GPUs")
        if count.value == 0:
            raise DeviceError("the NVIDIA driver shows no GPU")
        driver = f"{version.value // 1000}.{version.value % 1000 // 10}"
        return tuple(_describe(cuda, index, driver) for index in range(count.value))
    except AttributeError as error:
        raise DeviceError(f"{LIBRARY} is not the NVIDIA driver ({error})") from error


def find_gpu(index: int = 0) -> Gpu:
    """One GPU.

    Raises:
        DeviceError: if there is none of this index.
    """
    gpus = list_gpus()
    if not 0 <= index < len(gpus):
        raise DeviceError(f"GPU {index}; there are {len(gpus)}, counted from 0")
    return gpus[index]


def _describe(cuda: ctypes.CDLL, index: int, driver: str) -> Gpu:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _check(cuda, cuda.cuDeviceGet(ctypes.byref(device), index), "open a GPU")
    _check(cuda, cuda.cuDeviceGetName(name, _NAME_BYTES, device), "ask a GPU's name")
    _check(cuda, cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device), "ask a GPU's compute capability")
    _check(cuda, cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device), "ask a GPU's compute capability")
    return Gpu(index, name.value.decode(errors="replace"), (major.value, minor.value), driver)


def _check(cuda: ctypes.CDLL, status: int, what: str) -> None:
    if status == 0:
        return
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(status, ctypes.byref(text))
    reason = text.value.decode(errors="replace") if text.value else f"status {status}"
    raise DeviceError(f"cannot {what}: {reason}")
