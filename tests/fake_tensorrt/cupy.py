"""A stand-in for the few parts of CuPy that ``lcx_fast.engines.tensorrt`` uses, on the CPU's memory."""

from __future__ import annotations

import contextlib
import types

import numpy as np


class _Array:
    def __init__(self, shape, dtype):
        self.values = np.full(shape, np.nan, dtype)
        self.data = types.SimpleNamespace(ptr=self.values.ctypes.data)

    @property
    def __cuda_array_interface__(self):
        return self.values.__array_interface__ | {"version": 3}

    def set(self, array, stream):
        assert stream.ptr
        self.values[...] = array

    def get(self, *, stream, out):
        assert stream.ptr
        out[...] = self.values


def empty(shape, dtype):
    return _Array(shape, dtype)


class _Stream:
    made = 0

    def __init__(self, *, non_blocking):
        assert non_blocking
        _Stream.made += 1
        self.ptr = 4096 + _Stream.made

    def synchronize(self):
        pass


cuda = types.SimpleNamespace(Device=lambda index: contextlib.nullcontext(), Stream=_Stream)
