"""The core's TensorRT engine, compiled against stand-in headers and run with a stand-in library on emulated streams."""

from __future__ import annotations

import ctypes
import os
import subprocess

import fake_cuda
import numpy as np
import pytest
from fake_tensorrt.library import build_library
from fake_tensorrt.package import write_plan

from lcx_fast import DeviceError, EngineError

CHANNELS = [(20, -15), (20, -18), (-3, 0.5)]
PLAN = write_plan(6, 10, CHANNELS)


@pytest.fixture(scope="module")
def core():
    return fake_cuda.core()


@pytest.fixture
def library(core):
    path = build_library()
    ctypes.CDLL(path).fake_set_launch(ctypes.c_void_p(core.emulation.launch_as_kernel))
    return path


@pytest.fixture
def engine(core, library):
    return core.TensorRtEngine(library_path=library, plan=PLAN, device=0)


def expected(x):
    return np.stack([1 / (1 + np.exp(-(w * x[0, 0] + b))) for w, b in CHANNELS])[None]


def test_facts(core, engine):
    assert core.tensorrt_major == 99
    assert (engine.version, engine.input_shape, engine.output_shape) == ("99.3.1", [1, 1, 6, 10], [1, 3, 6, 10])


def test_work_is_put_on_the_stream_and_nobody_waits(core, engine):
    x = np.random.default_rng(0).random((1, 1, 6, 10), np.float32)
    y = np.zeros((1, 3, 6, 10), np.float32)
    stream = core.emulation.create_stream()
    on_device, result = fake_cuda.FakeCudaArray(x), fake_cuda.FakeCudaArray(y)
    core.emulation.synchronize(0)
    waits = core.emulation.counters()["waits"]
    address = [a.__cuda_array_interface__["data"][0] for a in (on_device, result)]
    engine.enqueue(*address, stream)
    assert core.emulation.counters()["waits"] == waits
    assert not result.to_host().any()  # the default stream does not wait for a non-blocking one
    core.emulation.synchronize(stream)
    np.testing.assert_allclose(result.to_host(), expected(x), rtol=1e-5)
    core.emulation.destroy_stream(stream)


def test_each_stream_has_a_context_of_its_own(core, engine, library):
    count = ctypes.CDLL(library).fake_contexts_alive
    before = count()
    x, y = (
        fake_cuda.FakeCudaArray(np.zeros((1, 1, 6, 10), "f4")),
        fake_cuda.FakeCudaArray(np.zeros((1, 3, 6, 10), "f4")),
    )
    address = [a.__cuda_array_interface__["data"][0] for a in (x, y)]
    streams = [core.emulation.create_stream() for _ in range(2)]
    for stream in (*streams, *streams):
        engine.enqueue(*address, stream)
    assert count() == before + 2
    for stream in streams:
        core.emulation.synchronize(stream)
        engine.forget(stream)
        core.emulation.destroy_stream(stream)
    assert count() == before


@pytest.mark.parametrize(
    ("faults", "plan", "says"),
    [
        ((), b"text", "TensorRT 99.3.1 could not read the plan: this is odd; the plan is not one of mine"),
        ((), b"", "could not read the plan"),
        ((), PLAN + b"half\n", "the plan's image is not float32"),
        ((), PLAN + b"dynamic\n", "not of fixed shape"),
        ((), PLAN + b"rank 3\n", "not of fixed shape"),
        ((), PLAN + b"two inputs\n", "the plan has 2 inputs and 1 outputs; one of each is needed"),
        (("FAKE_MAJOR=98",), PLAN, "is 98.3.1; this build speaks 99.x"),
        (("FAKE_NO_FACTORY",), PLAN, "has no createInferRuntime_INTERNAL; version 10 or later is needed"),
        (("FAKE_NO_RUNTIME",), PLAN, "TensorRT 99.3.1 could not start: no licence"),
    ],
)
def test_what_cannot_be_opened_is_told(core, faults, plan, says):
    with pytest.raises(EngineError) as caught:
        core.TensorRtEngine(library_path=build_library(*faults), plan=plan, device=0)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("FAKE_ENQUEUE_FAILS", "TensorRT 99.3.1 could not run the network: the stream is upside down"),
        ("FAKE_CONTEXT_FAILS", "TensorRT 99.3.1 could not make an execution context: out of memory"),
    ],
)
def test_what_cannot_be_run_is_told(core, fault, says):
    engine = core.TensorRtEngine(library_path=build_library(fault), plan=PLAN, device=0)
    for _ in range(2):  # and the next call starts afresh
        with pytest.raises(EngineError) as caught:
            engine.enqueue(256, 256, 0)
        assert str(caught.value) == says


def test_missing_libraries_and_devices_are_told(core, library, tmp_path):
    with pytest.raises(EngineError, match=r"cannot open TensorRT at .*none"):
        core.TensorRtEngine(library_path=str(tmp_path / "none.so"), plan=PLAN, device=0)
    not_tensorrt = tmp_path / "other.so"
    command = [os.environ.get("CC", "cc"), "-shared", "-x", "c", "/dev/null", "-o", not_tensorrt]
    subprocess.run(command, check=True, timeout=60)
    with pytest.raises(EngineError, match="has no getInferLibMajorVersion"):
        core.TensorRtEngine(library_path=str(not_tensorrt), plan=PLAN, device=0)
    for device in (2, -1):
        with pytest.raises(DeviceError, match=f"cuda:{device}; there are 2 GPUs"):
            core.TensorRtEngine(library_path=library, plan=PLAN, device=device)


def test_the_ordinary_build_says_what_it_lacks():
    from lcx_fast import Unsupported, _core

    if _core.tensorrt_major:
        pytest.skip("this build has TensorRT")
    with pytest.raises(Unsupported, match="this build has no TensorRT; build with CUDA and LCX_TENSORRT_INCLUDE"):
        _core.TensorRtEngine(library_path="libnvinfer.so", plan=b"", device=0)
