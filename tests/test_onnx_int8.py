"""A float network made int8 by its ranges: as the onnx package reads it, NumPy defines it and ONNX Runtime runs it."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import BRIGHTNESS_INT8, METADATA, write_brightness_model, write_quantised_model
from onnx import TensorProto, helper, numpy_helper

import lcx_fast
from lcx_fast import InvalidArgument, Unsupported
from lcx_fast.engines import choose_engine
from lcx_fast.engines.build import typed_model
from lcx_fast.engines.engine import cpu_content
from lcx_fast.model import bundled_models, model_path, read_model_spec
from lcx_fast.onnx_file import encode_fields
from lcx_fast.onnx_int8 import Quantisation, parse_quantisation, to_int8
from lcx_fast.onnx_parts import decode_model

SIDE, OUT = 6, 3
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(0, [[[[1.0]]], [[[0.1]]], [[[5.0]]]], (OUT, 2, 1, 1)).astype(np.float32)
BIAS = np.float32([0.4, -3.0, 0.001])
RANGES = {"x": (-1.25, 2.5)}
FORMS = {"unsigned": np.uint8, "symmetric": np.int8}
ALL = Quantisation(("c",), RANGES)


def write_float(path, *, weight=WEIGHT, bias=BIAS, opset=17, half=False):
    """x -> 1 x 1 convolution "c" -> ReLU -> y; x -> 1 x 1 convolution "free" is added and stays in float."""
    weights = [numpy_helper.from_array(weight, "w")]
    nodes = [helper.make_node("Conv", ["x", "w"] + ["b"] * (bias is not None), ["c"], name="c")]
    if half:
        weights = [numpy_helper.from_array(weight.astype(np.float16), "w.half")]
        nodes.insert(0, helper.make_node("Cast", ["w.half"], ["w"], to=TensorProto.FLOAT))
    if bias is not None:
        weights.append(numpy_helper.from_array(bias, "b"))
    weights.append(numpy_helper.from_array(np.ones((OUT, 2, 1, 1), np.float32), "ones"))
    nodes += [
        helper.make_node("Relu", ["c"], ["r"], name="r"),
        helper.make_node("Conv", ["x", "ones"], ["f"], name="free"),
        helper.make_node("Add", ["r", "f"], ["y"], name="y"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "test",
        [value("x", TensorProto.FLOAT, (1, 2, SIDE, SIDE))],
        [value("y", TensorProto.FLOAT, (1, OUT, SIDE, SIDE))],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def quantised(path, form, quantisation=ALL):
    return encode_fields(to_int8(decode_model(path), quantisation, form))


def run(content, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def rounded(values, low, high, form):
    """To the nearest of 256 values that hold 0 and the range."""
    if form == "symmetric":
        scale, zero, least, most = np.float32(max(-low, high) / 127), 0, -128, 127
    else:
        scale = np.float32((high - low) / 255)
        zero, least, most = round(-low / float(scale)), 0, 255
    return (np.clip(np.rint(values / scale) + zero, least, most) - zero) * scale


def defined(x, form, *, weight=WEIGHT, bias=BIAS):
    """The network of write_float in int8, in NumPy."""
    seen = rounded(x[0], *RANGES["x"], form)
    scale = np.abs(weight).max(axis=(1, 2, 3)) / np.float32(127)
    whole = np.rint(weight[..., 0, 0] / scale[:, None]) * scale[:, None]
    c = np.einsum("oi,iyx->oyx", whole, seen) + bias[:, None, None]
    return np.maximum(c, 0) + seen.sum(0)


def check_form(content, form):
    """What engines ask for: TensorRT zero points of 0."""
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    values = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    assert {v.dtype.type for v in values.values()} == {np.float32, np.int8} | ({np.uint8} & {FORMS[form]})
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert (values[node.input[1]] > 0).all()
            assert form == "unsigned" or not values[node.input[2]].any()
    assert set(values) == {name for node in model.graph.node for name in node.input} & set(values)
    return values


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("form", ["unsigned", "symmetric"])
def test_the_network_is_the_one_defined(tmp_path, form, half):
    weight = WEIGHT.astype(np.float16).astype(np.float32) if half else WEIGHT
    content = quantised(write_float(tmp_path / "f.onnx", weight=weight, half=half), form)
    values = check_form(content, form)
    assert np.abs(values["c/weight/int8"]).max(axis=(1, 2, 3)).tolist() == [127] * OUT
    x = RNG.uniform(-2, 3, (1, 2, SIDE, SIDE)).astype(np.float32)
    expected = defined(x, form, weight=weight)
    np.testing.assert_allclose(run(content, x)[0], expected, rtol=1e-4, atol=1e-4)


@given(st.floats(-1e4, 1e4), st.floats(0, 1e4), st.sampled_from(["unsigned", "symmetric"]))
@settings(deadline=None, max_examples=60)
def test_every_range_keeps_zero_and_its_ends(tmp_path_factory, low, width, form):
    path = tmp_path_factory.mktemp("ranges") / "f.onnx"
    ranges = {"x": (low, low + width)}
    values = {
        i.name: numpy_helper.to_array(i)
        for i in onnx.load_from_string(
            quantised(write_float(path), form, Quantisation(("c",), ranges))
        ).graph.initializer
    }
    scale, zero = float(values["x/scale"]), int(values["x/zero"])
    least, most = (0, 255) if form == "unsigned" else (-128, 127)
    assert scale > 0 and least <= zero <= most
    reached = (least - zero) * scale, (most - zero) * scale
    assert reached[0] <= min(low, 0) + scale and reached[1] >= max(low + width, 0) - scale


@pytest.mark.parametrize("form", ["unsigned", "symmetric"])
def test_channels_of_nothing_and_large_biases(tmp_path, form):
    weight = np.zeros_like(WEIGHT)
    weight[1] = 1e-6
    bias = np.float32([0, 0, 3e4])
    path = write_float(tmp_path / "f.onnx", weight=weight, bias=bias)
    x = np.ones((1, 2, SIDE, SIDE), np.float32)
    content = quantised(path, form, Quantisation(("c",), {"x": (0.0, 1.0)}))
    check_form(content, form)
    np.testing.assert_allclose(run(content, x), run(path.read_bytes(), x), rtol=1e-4, atol=1e-5)
    unbiased = write_float(tmp_path / "g.onnx", bias=None)
    assert run(quantised(unbiased, form), x).shape == (1, OUT, SIDE, SIDE)


@pytest.mark.parametrize(
    ("quantisation", "says"),
    [
        (Quantisation(("d",), RANGES), "the model has no d; its ranges are another model's"),
        (Quantisation(("r",), RANGES), "the model has no r"),
        (Quantisation(("c",), {**RANGES, "q": (0.0, 1.0)}), "the model has no q"),
        (Quantisation(("c",), {"r": (0.0, 1.0)}), "x, the input of c, has no range"),
    ],
)
def test_ranges_of_another_model_are_refused(tmp_path, quantisation, says):
    with pytest.raises(InvalidArgument, match=says):
        quantised(write_float(tmp_path / "f.onnx"), "unsigned", quantisation)


def test_what_it_cannot_do_is_refused(tmp_path):
    with pytest.raises(Unsupported, match="operator set 12"):
        quantised(write_float(tmp_path / "f.onnx", opset=12), "unsigned")
    with pytest.raises(InvalidArgument, match="w is not float32"):
        quantised(write_float(tmp_path / "d.onnx", weight=WEIGHT.astype(np.float64), bias=None), "unsigned")
    (tmp_path / "text.onnx").write_text("a text")
    for name in ("text.onnx", "absent.onnx"):
        with pytest.raises(InvalidArgument, match=r"not an ONNX file|cannot be read"):
            quantised(tmp_path / name, "unsigned")


def test_the_forms_keeping_survives_json():
    again = parse_quantisation(json.loads(json.dumps(ALL.to_dict())))
    assert again == ALL
    for bad in ({"x": [1.0, 0.0]}, {"x": [0.0, float("nan")]}, {"x": [0.0]}):
        with pytest.raises(ValueError, match=r"range of x|unpack"):
            parse_quantisation({"convolutions": [], "ranges": bad})


def test_a_model_with_ranges_runs_in_int8_everywhere(tmp_path):
    path = write_brightness_model(tmp_path / "m.onnx", METADATA | {"int8": BRIGHTNESS_INT8})
    x = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    maps = {}
    for precision in ("fp32", "int8"):
        for engine in ("openvino", "onnxruntime"):
            chosen = choose_engine(path, device="cpu", engine=engine, precision=precision)[0]
            assert chosen.precision == precision
            output = np.empty(chosen.output_shape, np.float32)
            chosen.infer(x, output)
            maps[engine, precision] = output
    for engine in ("openvino", "onnxruntime"):
        difference = np.abs(maps[engine, "int8"] - maps[engine, "fp32"]).max()
        assert 1e-3 < difference < 0.05, engine
    # TensorRT's form is the symmetric one, in fp16 where it is not quantised.
    values = {
        i.name: numpy_helper.to_array(i) for i in onnx.load_from_string(typed_model(path, "int8")).graph.initializer
    }
    assert values["image/scale"].dtype == np.float16 and values["scale/weight/int8"].dtype == np.int8
    assert values["image/zero"] == 0 and values["image/zero"].dtype == np.int8


def test_a_quantised_file_of_ones_own_runs_on_cpus_as_it_is(tmp_path):
    path = write_quantised_model(tmp_path / "own.onnx")
    assert cpu_content(path, "auto") == cpu_content(path, "int8") == (path.read_bytes(), True)
    for precision in ("auto", "int8"):
        assert lcx_fast.load_model(path, device="cpu", precision=precision).engine_info.precision == "int8"
    with pytest.raises(Unsupported, match=r"own\.onnx is quantised; ask for int8"):
        cpu_content(path, "fp32")


def test_int8_decides_by_its_own_points(tmp_path):
    def points(score):
        entry = {"image_score": score, "lesion_score": score}
        return {"operating_points": {"balanced": entry}, "default_operating_point": "balanced"}

    document = METADATA | {"schema_version": 2, **points(0.5), "int8": BRIGHTNESS_INT8 | points(0.25)}
    spec = read_model_spec(write_brightness_model(tmp_path / "m.onnx", document))
    assert spec.at_precision("fp16") is spec and spec.operating_points["balanced"].image_score == 0.5
    assert spec.at_precision("int8").operating_points["balanced"].image_score == 0.25
    document["int8"] = BRIGHTNESS_INT8 | {"ranges": {"image": [1.0, 0.0]}}
    with pytest.raises(InvalidArgument, match=r"bad metadata \(ValueError: range of image"):
        read_model_spec(write_brightness_model(tmp_path / "bad.onnx", document))


@pytest.mark.parametrize("name", bundled_models())
@pytest.mark.parametrize("form", ["unsigned", "symmetric"])
def test_the_bundled_model(name, form):
    path = model_path(name)
    spec = read_model_spec(path)
    if spec.quantisation is None:
        pytest.skip("no int8 form was good enough")
    content = quantised(path, form, spec.quantisation)
    check_form(content, form)
    y, x = np.indices(spec.tile_shape)
    tile = (np.sin(y / 40) * np.cos(x / 31) + 0.2).astype(np.float32)[None, None]
    assert np.abs(run(content, tile) - run(path.read_bytes(), tile)).mean() < 0.02
