"""Compiling models: with TensorRT-RTX where installed (no GPU needed), and with a stand-in for what may go wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_tensorrt import package as fake
from models import TILE, write_brightness_model, write_quantised_model

from lcx_fast import DeviceError, EngineError, InvalidArgument, Unsupported, cli
from lcx_fast.engines import cuda_driver, tensorrt_package
from lcx_fast.engines.build import BuildTarget, build_plan, parse_compute_capability, plan_key, target_gpu, typed_model
from lcx_fast.engines.cuda_driver import Gpu, list_gpus
from lcx_fast.engines.plan_cache import PlanCache
from lcx_fast.model import bundled_models

GPU = Gpu(0, "Card One", (8, 9), "13.0")
TARGET = BuildTarget((8, 9), GPU)
PLAN = fake.write_plan(TILE, TILE, [(20, -15), (20, -18)])


@pytest.fixture
def model(tmp_path):
    return write_brightness_model(tmp_path / "brightness.onnx")


@pytest.fixture
def module(monkeypatch):
    module = fake.make_module()
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


@pytest.fixture
def package(module):
    return tensorrt_package.find_package()


@pytest.fixture
def caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_package_is_driven_to_a_plan(model, package):
    told = []
    for precision in ("fp32", "fp16", "bf16"):
        told.clear()
        assert build_plan(model, precision, TARGET, package, progress=lambda *step: told.append(step)) == PLAN
    assert [(done, steps) for _, done, steps in told] == [(0, 2), (0, 2), (1, 2), (0, 2), (2, 2), (2, 2)]


def test_a_refusal_is_told_in_tensorrts_own_words(model, package, module, tmp_path):
    module.Builder.fails = "no kernel\nfor this"
    with pytest.raises(EngineError, match=r"cannot compile brightness\.onnx in fp16 .*: no kernel for this$"):
        build_plan(model, "fp16", TARGET, package)
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(model.read_bytes().replace(b"Sigmoid", b"Softmax"))
    with pytest.raises(EngineError, match=r"cannot read bad\.onnx: an operator is not supported"):
        build_plan(bad, "fp32", TARGET, package)


def test_ctrl_c_stops_a_build(model, package):
    def interrupt(phase, done, steps):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_plan(model, "fp16", TARGET, package, progress=interrupt)


def test_int8_needs_ranges(model):
    with pytest.raises(InvalidArgument, match=r"model brightness: it has no int8 form; .*training\.quantise"):
        typed_model(model, "int8")
    assert typed_model(model, "fp32") == model.read_bytes()


def test_a_file_that_is_quantised_already_is_refused(tmp_path):
    path = write_quantised_model(tmp_path / "own.onnx")
    for precision in ("int8", "fp16", "fp32"):
        with pytest.raises(Unsupported, match=r"own\.onnx is quantised already; TensorRT gets int8 from a float model"):
            typed_model(path, precision)


def test_a_plan_depends_on_the_card_its_driver_and_the_options(model, package):
    key = plan_key(model, "fp16", TARGET, package)
    assert (key.library, key.gpu, key.driver) == ("TensorRT 11.1.0", "Card One sm89", "13.0")
    assert plan_key(model, "bf16", TARGET, package) != key
    other = BuildTarget((8, 9), Gpu(1, "Card Two", (8, 9), "13.0"))
    assert plan_key(model, "fp16", other, package) != key
    with pytest.raises(Unsupported, match="only on the card itself"):
        plan_key(model, "fp16", BuildTarget((8, 9)), package)


@pytest.mark.parametrize("text", ["", "8", "8.", ".9", "8.9.1", "a.b", "-8.9"])
def test_compute_capabilities_are_checked(text):
    with pytest.raises(InvalidArgument, match=r"needed: major\.minor"):
        parse_compute_capability(text)


def test_no_package_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(EngineError, match=r"TensorRT is not installed .*pip install tensorrt"):
        tensorrt_package.find_package()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    library = tmp_path_factory.mktemp("driver") / "libcuda.so"
    source = Path(__file__).parent / "fake_tensorrt" / "libcuda.c"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source], check=True, timeout=60)
    return str(library)


def test_gpus_are_asked_of_the_driver(driver, monkeypatch):
    monkeypatch.setattr(cuda_driver, "LIBRARY", driver)
    assert list_gpus() == (Gpu(0, "Card One", (8, 9), "13.0"), Gpu(1, "Card Two", (8, 6), "13.0"))
    assert target_gpu(1) == BuildTarget((8, 6), Gpu(1, "Card Two", (8, 6), "13.0"))
    with pytest.raises(DeviceError, match="GPU 2; there are 2"):
        target_gpu(2)
    monkeypatch.setenv("FAKE_CUDA_NONE", "1")
    with pytest.raises(DeviceError, match="shows no GPU"):
        list_gpus()
    monkeypatch.setenv("FAKE_CUDA_ERROR", "1")
    with pytest.raises(DeviceError, match="cannot start the NVIDIA driver: the driver is asleep"):
        list_gpus()


def test_no_driver_is_said(monkeypatch):
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libno-such-driver.so.1")
    with pytest.raises(DeviceError, match="no NVIDIA driver"):
        list_gpus()


def test_the_command_builds_once(model, module, caches, driver, monkeypatch, capsys):
    monkeypatch.setattr(cuda_driver, "LIBRARY", driver)
    for says in ("built in", "already there"):
        assert cli.main(["build-engine", str(model), "--device", "1"]) == 0
        captured = capsys.readouterr()
        assert says in captured.out and "fp16" in captured.out and "compute capability 8.6" in captured.out
        assert captured.err == ""  # no progress without a terminal
    (entry,) = PlanCache().entries()
    assert entry.key.gpu == "Card Two sm86"
    module.Builder.fails = "not today"
    assert cli.main(["build-engine", str(model), "--device", "1", "--rebuild"]) == 3
    assert "not today" in capsys.readouterr().err


def test_the_command_writes_a_bare_plan(model, module, caches, driver, monkeypatch, tmp_path):
    monkeypatch.setattr(cuda_driver, "LIBRARY", driver)
    assert cli.main(["build-engine", str(model), "--out", str(tmp_path / "a.plan")]) == 0
    assert (tmp_path / "a.plan").read_bytes() == PLAN
    assert PlanCache().entries() == ()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 3, "no NVIDIA driver"),
        ([], 3, "; --compute-capability X.Y builds for cards elsewhere"),
        (["--compute-capability", "8.9"], 2, "only on the card itself"),
        (["--compute-capability", "nine"], 2, "needed: major.minor"),
        (["--compute-capability", "8.9", "--device", "0"], 2, "one of them"),
        (["--precision", "fp64"], 2, "accepted: auto, fp32"),
        (["--compute-capability", "8.9", "--out", "."], 2, ". is a folder"),
        (["--compute-capability", "8.9", "--out", "/no/such/folder/a.plan"], 2, "no folder /no/such/folder"),
    ],
)
def test_errors_are_one_line(arguments, code, says, model, module, caches, monkeypatch, capsys):
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libno-such-driver.so.1")
    assert cli.main(["build-engine", str(model), *arguments]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lcx-fast: ") and says in line


def rtx():
    """TensorRT-RTX; a skip without it, unless LCX_REQUIRE_TENSORRT_RTX=1."""
    if os.environ.get("LCX_REQUIRE_TENSORRT_RTX") != "1":
        pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    import tensorrt_rtx

    return tensorrt_package.TensorRtPackage("tensorrt_rtx", tensorrt_rtx.__version__, tensorrt_rtx)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
@pytest.mark.parametrize("name", bundled_models())
def test_rtx_builds_the_bundled_model_with_no_gpu(name, precision, monkeypatch, caches, capsys):
    rtx()
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    arguments = ["build-engine", name, "--precision", precision, "--compute-capability", "8.9"]
    assert cli.main(arguments) == 0, capsys.readouterr().err
    (entry,) = PlanCache().entries()
    assert (entry.key.gpu, entry.key.driver) == ("sm89", "")
    assert entry.size > 1e6
    assert cli.main(arguments) == 0
    assert "already there" in capsys.readouterr().out


def test_rtx_names_the_cards_it_builds_for(model):
    with pytest.raises(DeviceError, match=r"does not know compute capability 9\.0; it builds for 7\.5, 8\.0"):
        build_plan(model, "fp16", BuildTarget((9, 0)), rtx())


def test_rtx_refuses_in_its_own_words(tmp_path):
    bad = tmp_path / "bad.onnx"
    content = write_brightness_model(tmp_path / "m.onnx").read_bytes()
    bad.write_bytes(content.replace(b"Sigmoid", b"Sigmoik"))
    with pytest.raises(EngineError, match=r"cannot read bad\.onnx: .*Sigmoik"):
        build_plan(bad, "fp32", BuildTarget((8, 9)), rtx())
