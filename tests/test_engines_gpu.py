"""GPU engines driven from Python, with stand-ins for driver, TensorRT's package and CuPy: choice, fallback, swap."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from fake_tensorrt import cupy as fake_cupy
from fake_tensorrt import package as fake
from models import TILE, breast_image, write_brightness_model

import lcx_fast
from lcx_fast import DeviceError, EngineError, InvalidArgument
from lcx_fast.engines import choose_engine, cuda_driver
from lcx_fast.engines.onnxruntime import OnnxRuntimeCudaEngine
from lcx_fast.engines.plan_cache import PlanCache
from lcx_fast.engines.tensorrt import TensorRtEngine, TensorRtLoader, stream_address
from lcx_fast.engines.tensorrt_package import find_package

FAKES = Path(__file__).parent / "fake_tensorrt"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    folder = tmp_path_factory.mktemp("driver")
    command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", folder / "libcuda.so.1", FAKES / "libcuda.c"]
    subprocess.run(command, check=True, timeout=60)
    return folder


@pytest.fixture
def module(driver, monkeypatch, tmp_path):
    """A machine with two cards, TensorRT and CuPy, to this process and to those it starts."""
    monkeypatch.setattr(cuda_driver, "LIBRARY", str(driver / "libcuda.so.1"))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "tensorrt.py").write_text(
        "import sys\nfrom fake_tensorrt.package import make_module\nsys.modules[__name__] = make_module()\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(packages), str(FAKES.parent)]))
    module = fake.make_module()
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    return module


@pytest.fixture
def model(tmp_path):
    return write_brightness_model(tmp_path / "brightness.onnx")


def expected(x):
    return np.stack([1 / (1 + np.exp(offset - 20 * x[0, 0])) for offset in (15, 18)])[None]


def test_the_gpu_comes_first(model, module):
    engine, skipped = choose_engine(model, device="cuda")
    assert (engine.name, engine.device, engine.precision, engine.version) == ("tensorrt", "cuda:0", "fp16", "11.1.0")
    assert skipped == ()
    x = np.random.default_rng(0).random(engine.input_shape, np.float32)
    y = np.full(engine.output_shape, np.nan, np.float32)
    engine.infer(x, y)
    np.testing.assert_allclose(y, expected(x), atol=1e-5)
    again, _ = choose_engine(model)  # its plan is there now, so nobody waits
    assert again.device == "cuda:0"


def test_a_card_is_chosen_by_its_number(model, module):
    engine, _ = choose_engine(model, device="cuda:1", precision="fp32")
    assert (engine.device, engine.precision) == ("cuda:1", "fp32")
    assert PlanCache().entries()[0].key.gpu == "Card Two sm86"
    with pytest.raises(DeviceError, match="GPU 2; there are 2"):
        choose_engine(model, device="cuda:2")
    for device in ("cuda:", "cuda:x", "cpu:0", "auto:1"):
        with pytest.raises(InvalidArgument, match="accepted: auto, cpu, cuda, cuda:N"):
            choose_engine(model, device=device)


def test_device_arrays_are_taken_as_they_are(model, module):
    engine, _ = choose_engine(model, device="cuda")
    x, y = fake_cupy.empty(engine.input_shape, np.float32), fake_cupy.empty(engine.output_shape, np.float32)
    x.values[...] = 0.7
    engine.infer(x, y, stream=7)
    np.testing.assert_allclose(y.values, expected(x.values), atol=1e-5)
    assert list(engine.runner._contexts) == [7]
    engine.infer(x, y, stream=8)
    assert len(engine.runner._contexts) == 2  # scratch memory is not shared between streams
    for bad in (fake_cupy.empty((1, 1, TILE, 8), np.float32), fake_cupy.empty(engine.input_shape, np.float64)):
        with pytest.raises(InvalidArgument, match=r"batch is .*; needed: <f4"):
            engine.infer(bad, y)
    with pytest.raises(InvalidArgument, match="must both lie on one device"):
        engine.infer(np.zeros(engine.input_shape, np.float32), y)


@pytest.mark.parametrize("shape", [(1, 1, TILE, TILE + 1), (TILE, TILE)])
def test_host_arrays_are_checked(model, module, shape):
    engine, _ = choose_engine(model, device="cuda")
    y = np.empty(engine.output_shape, np.float32)
    with pytest.raises(InvalidArgument, match="batch is float32"):
        engine.infer(np.zeros(shape, np.float32), y)


def test_streams_of_every_kind():
    class Numbered:
        ptr = 11

    class Torch:
        cuda_stream = 12

    class Standard:
        def __cuda_stream__(self):
            return (0, 13)

    assert [stream_address(s) for s in (None, 10, Numbered(), Torch(), Standard())] == [0, 10, 11, 12, 13]


def test_a_plan_that_tensorrt_refuses_is_built_anew(model, module):
    loader = TensorRtLoader(model, "fp16")
    loader.cache.store(loader.key, b"a plan of another library")
    assert loader.cached() is None
    assert loader.build().infer is not None
    assert loader.cached() is not None


def test_a_bad_plan_is_refused_in_tensorrts_words(module):
    with pytest.raises(EngineError, match="could not read the plan: the plan is not one of mine"):
        TensorRtEngine(b"text", precision="fp16", package=find_package())


def test_without_a_gpu_the_cpu_serves_and_says_why(model, monkeypatch):
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libno-such-driver.so.1")
    report = lcx_fast.load_model(model).infer(breast_image(), pixel_spacing_mm=0.5)
    assert report.engine.device == "cpu" and len(report.lesions) == 1
    reasons = {(s.name, s.device): s.reason for s in report.engine.skipped}
    assert all("no NVIDIA driver" in reasons[name, "cuda"] for name in ("tensorrt", "onnxruntime"))


def test_a_refusal_tells_each_reason_once_and_a_way_out(model, monkeypatch):
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libno-such-driver.so.1")
    monkeypatch.setattr("lcx_fast.engines.choose.memory_limit", lambda: None)
    no_driver = r"no NVIDIA driver \(libno-such-driver\.so\.1 cannot be opened\)"
    both = r"tensorrt \(cuda\), onnxruntime \(cuda\)"
    with pytest.raises(DeviceError, match=rf"on cuda:1: {both}: {no_driver}; mend that, or use device cpu or auto$"):
        choose_engine(model, device="cuda:1")
    with pytest.raises(EngineError, match=rf"on auto: tensorrt \(cuda\): {no_driver}; mend that, or use engine auto$"):
        choose_engine(model, engine="tensorrt")
    with pytest.raises(EngineError, match=r"on cpu: tensorrt does not run there; use another device or engine auto$"):
        choose_engine(model, device="cpu", engine="tensorrt")
    monkeypatch.setattr("lcx_fast.engines.openvino.find_library", lambda: Path("/no/such/library"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        EngineError, match=r"`pip install onnxruntime`; `pip install openvino` is the usual remedy, and"
    ):
        choose_engine(model, device="cpu")
    monkeypatch.setattr("lcx_fast.engines.choose.memory_limit", lambda: 300 << 20)
    with pytest.raises(EngineError, match=r"this process may have 300 MB of memory \(ulimit -v\)"):
        choose_engine(model, device="cpu")


def test_without_the_package_the_cpu_serves_and_says_why(model, module, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    engine, skipped = choose_engine(model)
    assert engine.device == "cpu"
    assert "TensorRT is not installed" in skipped[0].reason
    with pytest.raises(DeviceError, match="TensorRT is not installed"):
        choose_engine(model, device="cuda")


def test_the_cpu_serves_while_the_plan_is_built(model, module):
    detector = lcx_fast.load_model(model)
    first = detector.infer(breast_image(), pixel_spacing_mm=0.5)
    assert first.engine.device == "cpu"
    pending = first.engine.skipped[0].pending
    if pending.engine is None:
        assert first.engine.skipped[0].reason == "its plan is being built"
    pending.wait(120)
    assert pending.failure is None
    second = detector.infer(breast_image(), pixel_spacing_mm=0.5)
    assert (second.engine.name, second.engine.device, second.engine.skipped) == ("tensorrt", "cuda:0", ())
    assert detector.engine_info.device == "cuda:0"
    assert [lesion.area_px for lesion in second.lesions] == [lesion.area_px for lesion in first.lesions]
    np.testing.assert_allclose(second.probability_map.values, first.probability_map.values, atol=1e-5)


def test_a_build_that_fails_is_told(model, module, tmp_path):
    (tmp_path / "packages" / "tensorrt.py").write_text(
        "import sys\nfrom fake_tensorrt.package import make_module\nmodule = make_module()\n"
        "module.Builder.fails = 'no kernel'\nsys.modules[__name__] = module\n"
    )
    detector = lcx_fast.load_model(model)
    detector.engine_info.skipped[0].pending.wait(120)
    info = detector.engine_info
    assert info.device == "cpu"
    assert "its plan could not be built: lcx-fast: " in info.skipped[0].reason
    assert info.skipped[0].reason.endswith("no kernel")
    document = detector.infer(breast_image(), pixel_spacing_mm=0.5).to_dict()
    assert document["manifest"]["engine"]["skipped"][0]["reason"] == info.skipped[0].reason


def test_a_gpu_that_fails_makes_room_for_the_cpu(model, module):
    choose_engine(model, device="cuda")
    detector = lcx_fast.load_model(model)
    assert detector.engine_info.device == "cuda:0"
    insists = lcx_fast.load_model(model, device="cuda")
    for one in (detector, insists):
        one._serving.current()[0].runner._engine.broken = True
    report = detector.infer(breast_image(), pixel_spacing_mm=0.5)
    assert report.engine.device == "cpu" and len(report.lesions) == 1
    assert "failed while running: TensorRT 11.1.0 could not run the network: the enqueue was refused" in str(
        report.engine.skipped[0].reason
    )
    assert detector.infer(breast_image(), pixel_spacing_mm=0.5).engine == report.engine
    with pytest.raises(
        EngineError, match="the enqueue was refused; with device auto and engine auto the CPU takes over"
    ):
        insists.infer(breast_image(), pixel_spacing_mm=0.5)


def test_many_threads_while_engines_change(model, module):
    choose_engine(model, device="cuda")
    detector = lcx_fast.load_model(model)
    wanted = detector.infer(breast_image(), pixel_spacing_mm=0.5).lesions[0].area_px
    areas, errors = [], []

    def work():
        try:
            for _ in range(5):
                areas.append(detector.infer(breast_image(), pixel_spacing_mm=0.5).lesions[0].area_px)
        except Exception as error:  # told below
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    detector._serving.current()[0].runner._engine.broken = True
    for thread in threads:
        thread.join()
    assert not errors and areas == [wanted] * 20
    assert detector.engine_info.device == "cpu"


def test_a_plan_of_another_network_is_not_swapped_in(model, module, tmp_path):
    (tmp_path / "packages" / "tensorrt.py").write_text(
        "import sys\nfrom fake_tensorrt.package import make_module, write_plan\nmodule = make_module()\n"
        "module.Builder.build_serialized_network = lambda *unused: write_plan(8, 8, [(1, 0)])\n"
        "sys.modules[__name__] = module\n"
    )
    detector = lcx_fast.load_model(model)
    detector.engine_info.skipped[0].pending.wait(120)
    info = detector.engine_info
    assert info.device == "cpu" and "metadata says" in info.skipped[0].reason


def test_onnxruntime_on_cuda_needs_its_build(model, module, monkeypatch):
    monkeypatch.delitem(sys.modules, "onnxruntime")
    with pytest.raises(EngineError, match="this ONNX Runtime has no CUDA; `pip install onnxruntime-gpu`"):
        OnnxRuntimeCudaEngine(model)
