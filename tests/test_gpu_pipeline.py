"""``Detector`` on a GPU under the emulation, with stand-ins for the driver and TensorRT: results equal to the CPU's."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import dicom_files
import fake_cuda
import numpy as np
import pytest
from fake_tensorrt import package as fake
from fake_tensorrt.library import build_library
from models import TILE, breast_image, write_brightness_model

import lcx_fast
from lcx_fast import DicomError, EngineError, InvalidArgument
from lcx_fast.engines import cuda_driver
from lcx_fast.engines import tensorrt as tensorrt_engine
from lcx_fast.gpu_line import GpuEngine

FAKES = Path(__file__).parent / "fake_tensorrt"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    path = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", path, FAKES / "libcuda.c"]
    subprocess.run(command, check=True, timeout=60)
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_brightness_model(tmp_path_factory.mktemp("model") / "brightness.onnx")


@pytest.fixture(scope="module")
def cpu(model):
    return lcx_fast.load_model(model, device="cpu")


@pytest.fixture
def core(driver, monkeypatch, tmp_path):
    """The emulated core in the ordinary one's place, on a machine that has a card and TensorRT."""
    core = fake_cuda.core()
    library = build_library()
    ctypes.CDLL(library).fake_set_launch(ctypes.c_void_p(core.emulation.launch_as_kernel))
    for name, module in list(sys.modules.items()):
        if name.startswith("lcx_fast.") and hasattr(module, "_core"):
            monkeypatch.setattr(module, "_core", core)
    monkeypatch.setattr(cuda_driver, "LIBRARY", driver)
    monkeypatch.setattr(tensorrt_engine, "library_candidates", lambda: ("no-such-libnvinfer.so", library))
    monkeypatch.setitem(sys.modules, "tensorrt", fake.make_module())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return core


@pytest.fixture
def detector(core, model):
    return lcx_fast.load_model(model, device="cuda")


def compare(report, wanted):
    """Two reports of one film: everything that counts pixels is equal, probabilities to float32's last digits."""
    assert [lesion.area_px for lesion in report.lesions] == [lesion.area_px for lesion in wanted.lesions]
    assert [lesion.bounding_box for lesion in report.lesions] == [lesion.bounding_box for lesion in wanted.lesions]
    assert [len(lesion.contours[0]) for lesion in report.lesions] == [len(w.contours[0]) for w in wanted.lesions]
    assert report.score == pytest.approx(wanted.score, abs=1e-5)
    for name, values in wanted.maps.items():
        np.testing.assert_allclose(report.maps[name].values, values.values, atol=1e-5)
    assert report.warnings == wanted.warnings


def test_it_runs_on_the_card_and_says_so(detector):
    info = detector.engine_info
    assert (info.name, info.version, info.device, info.precision) == ("tensorrt", "99.3.1", "cuda:0", "fp16")
    assert info.skipped == ()


@pytest.mark.parametrize(
    ("image", "spacing"),
    [
        (breast_image([(120, 60, 14)]), 0.5),
        (breast_image([(100, 50, 12), (200, 60, 17), (160, 100, 1.2)]), 0.5),
        (breast_image([]), 0.5),
        (np.zeros((300, 200), np.uint16), 0.5),
        (breast_image([(120, 60, 14)], shape=(321, 123)), 0.31),
        (breast_image([(120, 60, 14)])[:, ::-1], 1.3),
        ((breast_image() / 20).astype(np.uint8), 0.5),
        (breast_image().astype(np.float64), 0.5),
        (breast_image(shape=(64, 48), blobs=[(30, 10, 6)]), 3.0),
    ],
)
def test_equal_to_the_cpu(detector, cpu, core, image, spacing):
    for schedule in fake_cuda.SCHEDULES[:2]:
        core.emulation.set_schedule(*schedule)
        try:
            report = detector.infer(image, pixel_spacing_mm=spacing)
        finally:
            core.emulation.set_schedule("in order")
        compare(report, cpu.infer(image, pixel_spacing_mm=spacing))
        assert report.engine.device == "cuda:0"
        assert set(report.timings) == {"read", "tile", "network", "blend", "lesions", "total"}


def test_dicom_files(detector, cpu):
    image = breast_image([(100, 50, 12), (200, 60, 17)])
    for syntax in list(dicom_files.LOSSLESS)[:2]:
        data = dicom_files.make_file(image, syntax)
        compare(detector.infer(data, pixel_spacing_mm=0.5), cpu.infer(data, pixel_spacing_mm=0.5))


def test_films_of_one_size_allocate_nothing_and_wait_once(detector, core):
    images = [breast_image([(100 + 5 * k, 50, 12)]) for k in range(4)]
    detector.infer(images[0], pixel_spacing_mm=0.5)
    before = core.emulation.counters()
    for image in images[1:]:
        detector.infer(image, pixel_spacing_mm=0.5)
    after = core.emulation.counters()
    assert after["allocations"] == before["allocations"]
    assert after["waits"] - before["waits"] == after["graphs"] - before["graphs"] == 3


def test_many_films_on_several_streams_come_in_order(detector, cpu):
    images = [breast_image([(80 + 10 * k, 50, 12)]) for k in range(9)]
    reports = list(detector.infer_many(iter(images), streams=3, pixel_spacing_mm=0.5))
    assert len(reports) == len(images)
    for report, image in zip(reports, images, strict=True):
        compare(report, cpu.infer(image, pixel_spacing_mm=0.5))
    assert 1 <= len(detector._lines._idle) <= 3


def test_infer_many_on_the_cpu_and_its_errors(cpu):
    images = [breast_image(), b"not an image", breast_image()]
    reports = cpu.infer_many(images, streams=2, pixel_spacing_mm=0.5)
    assert len(next(reports).lesions) == 1
    with pytest.raises(DicomError):
        next(reports)
    assert list(cpu.infer_many([])) == []
    with pytest.raises(InvalidArgument, match="streams 0"):
        list(cpu.infer_many(images, streams=0))


def test_infer_many_draws_sources_as_work_gets_done(cpu):
    drawn = []

    def sources():
        for k in range(10):
            drawn.append(k)
            yield breast_image()

    reports = cpu.infer_many(sources(), streams=2, pixel_spacing_mm=0.5)
    next(reports)
    assert len(drawn) <= 4
    reports.close()


def test_a_network_that_fails_makes_room_for_the_cpu(core, model, cpu, monkeypatch):
    lcx_fast.load_model(model, device="cuda")  # its plan is in the cache now
    broken = build_library("FAKE_ENQUEUE_FAILS")
    monkeypatch.setattr(tensorrt_engine, "library_candidates", lambda: (broken,))
    detector = lcx_fast.load_model(model)
    assert detector.engine_info.device == "cuda:0"
    report = detector.infer(breast_image(), pixel_spacing_mm=0.5)
    assert report.engine.device == "cpu"
    assert "failed while running: TensorRT 99.3.1 could not run the network: the stream is upside down" in (
        report.engine.skipped[0].reason
    )
    compare(report, cpu.infer(breast_image(), pixel_spacing_mm=0.5))
    with pytest.raises(EngineError, match="upside down"):
        lcx_fast.load_model(model, device="cuda").infer(breast_image(), pixel_spacing_mm=0.5)


def test_where_the_core_has_no_fitting_library_the_package_runs_the_plan(core, model, cpu, monkeypatch):
    wrong = build_library("FAKE_MAJOR=98")
    monkeypatch.setattr(tensorrt_engine, "library_candidates", lambda: (wrong,))
    detector = lcx_fast.load_model(model, device="cuda")
    assert isinstance(detector.engine.runner, tensorrt_engine.PackageRunner)
    assert detector.engine_info.version == "11.1.0"
    # The package's network, whose stand-in cannot reach device memory, put on the stream by the core's.
    plan = detector.engine.runner._engine
    native = core.TensorRtEngine(
        library_path=build_library(), plan=fake.write_plan(*plan.size, plan.channels), device=0
    )

    def execute(context, stream):
        native.enqueue(context._addresses["image"], context._addresses["probabilities"], stream)
        return True

    monkeypatch.setattr(fake._Context, "execute_async_v3", execute)
    images = [breast_image([(100 + 5 * k, 50, 12)]) for k in range(3)]
    compare(detector.infer(images[0], pixel_spacing_mm=0.5), cpu.infer(images[0], pixel_spacing_mm=0.5))
    before = core.emulation.counters()
    for image in images:
        report = detector.infer(image, pixel_spacing_mm=0.5)
        assert report.engine.device == "cuda:0"
        compare(report, cpu.infer(image, pixel_spacing_mm=0.5))
    after = core.emulation.counters()
    assert after["graphs"] - before["graphs"] == after["waits"] - before["waits"] == 3, "one graph a film here too"
    assert after["allocations"] == before["allocations"]


def test_any_network_that_can_put_itself_on_a_stream(core, detector, cpu):
    runner = detector.engine.runner
    engine = GpuEngine("mine", runner.enqueue, (1, 1, TILE, TILE), (1, 2, TILE, TILE), precision="fp16")
    mine = lcx_fast.Detector(detector.spec, engine)
    report = mine.infer(breast_image(), pixel_spacing_mm=0.5)
    assert (report.engine.name, report.engine.device) == ("mine", "cuda:0")
    compare(report, cpu.infer(breast_image(), pixel_spacing_mm=0.5))
