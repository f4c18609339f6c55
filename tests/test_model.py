"""Model files: metadata, refusals, and the engines that run them."""

from __future__ import annotations

import copy
import re

import numpy as np
import onnx
import pytest
from models import METADATA, TILE, write_brightness_model

import lcx_fast
from lcx_fast import DeviceError, EngineError, InvalidArgument, LcxError, Unsupported, _core
from lcx_fast.engines import choose_engine
from lcx_fast.engines.build import typed_model
from lcx_fast.engines.engine import cpu_content
from lcx_fast.model import bundled_models, model_path, read_model_spec
from lcx_fast.onnx_file import read_onnx


@pytest.fixture
def model(tmp_path):
    return write_brightness_model(tmp_path / "brightness.onnx")


def test_metadata_is_read_as_the_onnx_package_reads_it(model):
    expected = {p.key: p.value for p in onnx.load(model).metadata_props}
    assert read_onnx(model).metadata == expected


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_models_are_read(name):
    spec = read_model_spec(model_path(name))
    assert spec.name == name
    assert {p.key for p in onnx.load(spec.path).metadata_props} == set(read_onnx(spec.path).metadata)
    assert spec.path.stat().st_size <= 20e6
    onnx.checker.check_model(str(spec.path))


def test_there_is_a_bundled_default_model():
    assert model_path(None).stem in bundled_models()


def test_spec(model):
    spec = read_model_spec(model)
    assert (spec.name, spec.tile_shape, spec.outputs) == (
        "brightness",
        (TILE, TILE),
        ("abnormal", "malignant"),
    )
    assert len(spec.sha256) == 64


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tile_shape", [64]),
        ("outputs", None),
        ("pixel_spacing_mm", 0),
        ("tile_weights", "linear"),
        ("thresholds", {"low": 0.7, "high": 0.6, "min_area_mm2": 1}),
        ("image_score", METADATA["image_score"] | {"map": "other"}),
        ("normalisation", {}),
    ],
)
def test_bad_metadata_is_refused(tmp_path, key, value):
    metadata = copy.deepcopy(METADATA)
    metadata[key] = value
    path = write_brightness_model(tmp_path / "m.onnx", metadata)
    with pytest.raises(InvalidArgument, match="bad metadata"):
        read_model_spec(path)


def test_newer_schema_is_refused(tmp_path):
    path = write_brightness_model(tmp_path / "m.onnx", METADATA | {"schema_version": 99})
    with pytest.raises(Unsupported, match="schema 99"):
        read_model_spec(path)


def test_model_without_metadata_is_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="no 'lcx_fast' metadata"):
        read_model_spec(write_brightness_model(tmp_path / "bare.onnx"))


def test_external_weights_are_refused(tmp_path):
    with pytest.raises(Unsupported, match="other files"):
        read_model_spec(write_brightness_model(tmp_path / "m.onnx", external=True))


@pytest.mark.parametrize("content", [b"", b"\x08", b"not a model at all", b"\xff" * 100])
def test_files_that_are_no_model_are_refused(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match="not an ONNX file"):
        read_model_spec(path)


def test_truncated_models_never_pass_for_whole(model, tmp_path):
    data = model.read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(0, len(data) - 1, 7):
        path.write_bytes(data[:length])
        with pytest.raises(InvalidArgument):
            read_model_spec(path)


def test_unknown_names_are_refused():
    with pytest.raises(InvalidArgument, match="no such file, nor a bundled model"):
        lcx_fast.load_model("no-such-model")


ENGINES = ["openvino", "onnxruntime"]


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_compute_the_network(model, engine):
    chosen, _ = choose_engine(model, engine=engine)
    assert (chosen.name, chosen.device, chosen.precision) == (engine, "cpu", "fp32")
    assert chosen.input_shape == (1, 1, TILE, TILE)
    x = np.random.default_rng(0).random(chosen.input_shape, np.float32)
    y = np.full(chosen.output_shape, np.nan, np.float32)
    chosen.infer(x, y)
    for channel, offset in enumerate((15, 18)):
        np.testing.assert_allclose(y[0, channel], 1 / (1 + np.exp(offset - 20 * x[0, 0])), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_check_their_buffers(model, engine):
    chosen, _ = choose_engine(model, engine=engine)
    y = np.empty(chosen.output_shape, np.float32)
    with pytest.raises(InvalidArgument):
        chosen.infer(np.zeros((1, 1, TILE, TILE + 1), np.float32), y)
    with pytest.raises(InvalidArgument):
        chosen.infer(np.zeros(chosen.input_shape, np.float32), y[:, :1])


def test_what_was_asked_for_is_what_runs(model):
    chosen, skipped = choose_engine(model)
    assert chosen.name == "openvino"
    assert [(s.name, s.device) for s in skipped] == [("tensorrt", "cuda"), ("onnxruntime", "cuda")]
    assert all(s.reason for s in skipped)
    with pytest.raises(DeviceError, match="no engine can run"):
        choose_engine(model, device="cuda")
    with pytest.raises(InvalidArgument, match="accepted: auto, cpu, cuda"):
        choose_engine(model, device="tpu")
    with pytest.raises(EngineError, match="int8"):
        choose_engine(model, device="cpu", precision="int8")


def test_onnxruntime_serves_where_openvino_is_missing(model, monkeypatch):
    def missing():
        raise EngineError("OpenVINO is not installed")

    monkeypatch.setattr("lcx_fast.engines.openvino.find_library", missing)
    chosen, skipped = choose_engine(model)
    assert chosen.name == "onnxruntime"
    assert skipped[-1].reason == "OpenVINO is not installed"


def test_a_wrong_library_or_model_is_an_engine_error(model, tmp_path):
    from lcx_fast import _core
    from lcx_fast.engines.openvino import find_library

    with pytest.raises(EngineError, match="cannot open OpenVINO"):
        _core.OpenVinoEngine(library_path=str(tmp_path / "none.so"), model=b"", precision="f32", threads=1)
    for bad in (b"text", b"", model.read_bytes()[:-9]):
        with pytest.raises(EngineError, match="OpenVINO could not read the model"):
            _core.OpenVinoEngine(library_path=str(find_library()), model=bad, precision="f32", threads=1)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_damage_anywhere_in_a_file_is_one_of_our_errors(tmp_path, precision):
    whole = model_path(None).read_bytes()
    names = [found.start() for found in re.finditer(rb"[a-z_./]{6,}", whole)]
    path, random = tmp_path / "damaged.onnx", np.random.default_rng(5)
    refused = 0
    for _ in range(12):
        content = bytearray(whole)
        for at in random.choice(names, 3):  # beside names, where messages begin and end
            content[at + random.integers(-8, 8)] = random.integers(256)
        path.write_bytes(content)
        for read in (cpu_content, typed_model):
            try:
                read(path, precision)
            except LcxError as error:
                refused += isinstance(error, InvalidArgument) and "damaged.onnx: not an ONNX file" in str(error)
    assert refused >= 4


def test_an_error_of_the_core_may_quote_what_is_no_text():
    with pytest.raises(EngineError, match="no\ufffdsuch"):
        _core.OpenVinoEngine(library_path=b"/no\xffsuch.so", model=b"", precision="f32", threads=1)
