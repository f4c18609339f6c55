"""The edit that makes a quantised ONNX graph TensorRT's: as the onnx package reads it and ONNX Runtime runs it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from models import float_models
from onnx import TensorProto, helper, numpy_helper

from lcx_fast import InvalidArgument, Unsupported
from lcx_fast.engines.build import typed_model
from lcx_fast.model import model_path, quantised_path
from lcx_fast.onnx_int8 import to_symmetric_int8

SIDE, OUT = 6, 3


def tensor(name, values, dtype, *, raw=True):
    values = np.asarray(values, dtype)
    if raw:
        return numpy_helper.from_array(values, name)
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    return helper.make_tensor(name, kind, values.shape, values.ravel().tolist())


def write_quantised(path, *, scale=0.05, point=90, raw=True, change=None):
    """x -> Q -> DQ -> 1 x 1 convolution with int8 weights and an int32 bias -> y, as training.quantise writes it."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (OUT, 2, 1, 1))
    initializers = {
        "s": tensor("s", scale, np.float32),
        "z": tensor("z", point, np.uint8, raw=raw),
        "w": tensor("w", weight, np.int8, raw=raw),
        "ws": tensor("ws", [0.01, 0.02, 0.003], np.float32),
        "wz": tensor("wz", [0, 0, 0], np.int8, raw=raw),
        "b": tensor("b", [1000, -70000, 3], np.int32, raw=raw),
        "bs": tensor("bs", np.float32([0.01, 0.02, 0.003]) * np.float32(scale), np.float32),
        "bz": tensor("bz", [0, 0, 0], np.int32, raw=raw),
    }
    initializers.update(change or {})
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "test",
        [value("x", TensorProto.FLOAT, (1, 2, SIDE, SIDE))],
        [value("y", TensorProto.FLOAT, (1, OUT, SIDE, SIDE))],
        list(initializers.values()),
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def run(content, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def check_form(content):
    """What TensorRT asks for: zero points of 0 in int8, no int32; and the weights as they were."""
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    values = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in nodes:
        zero = values[node.input[2]]
        assert zero.dtype == np.int8 and not zero.any()
        assert (values[node.input[1]] > 0).all()
    assert not any(value.dtype in (np.int32, np.uint8) for value in values.values())
    assert set(values) == {name for node in model.graph.node for name in node.input} & set(values)
    return values


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("point", [0, 1, 90, 127, 128, 255])
def test_the_symmetric_network_is_the_one_defined(tmp_path, point, raw):
    path = write_quantised(tmp_path / "q.onnx", point=point, raw=raw)
    content = to_symmetric_int8(path)
    values = check_form(content)
    scale = np.float32(0.05) * np.float32(max(point, 255 - point) / 127)
    assert values["s"] == scale
    x = np.random.default_rng(1).uniform(-0.05 * point - 1, 0.05 * (255 - point) + 1, (1, 2, SIDE, SIDE))
    x = x.astype(np.float32)
    weight = values["w"][..., 0, 0] * np.float32([0.01, 0.02, 0.003])[:, None]
    seen = np.clip(np.rint(x[0] / scale), -128, 127) * scale
    bias = np.float32([1000, -70000, 3]) * np.float32([0.01, 0.02, 0.003]) * np.float32(0.05)
    expected = np.einsum("oi,iyx->oyx", weight, seen) + bias[:, None, None]
    np.testing.assert_allclose(run(content, x)[0], expected, rtol=1e-4, atol=1e-4)


def test_it_stays_as_near_to_float_as_its_coarser_steps_allow(tmp_path):
    path = write_quantised(tmp_path / "q.onnx")
    x = np.random.default_rng(1).uniform(-4.5, 8.2, (1, 2, SIDE, SIDE)).astype(np.float32)
    step = 0.05 * 165 / 127
    reach = 2 * 127 * 0.02 * (step / 2 + 0.05 / 2)
    assert np.abs(run(to_symmetric_int8(path), x) - run(path.read_bytes(), x)).max() <= reach


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"wz": tensor("wz", [0, 1, 0], np.int8)}, "wz is signed and not 0"),
        ({"s": tensor("s", [0.05, 0.1], np.float32), "z": tensor("z", [3, 4], np.uint8)}, "a scale for each channel"),
        ({"ws": tensor("other", [1, 1, 1], np.float32)}, "no constant scale"),
    ],
)
def test_what_it_does_not_know_is_refused(tmp_path, change, says):
    with pytest.raises(Unsupported, match=says):
        to_symmetric_int8(write_quantised(tmp_path / "q.onnx", change=change))


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("a text")
    for name in ("text.onnx", "absent.onnx"):
        with pytest.raises(InvalidArgument, match=r"not an ONNX file|cannot be read"):
            to_symmetric_int8(tmp_path / name)


def test_a_scale_too_small_for_float16_does_not_become_0(tmp_path):
    small = {"ws": tensor("ws", [1e-9, 0.02, 0.003], np.float32)}
    content = typed_model(write_quantised(tmp_path / "q.onnx", change=small), "int8")
    values = {i.name: numpy_helper.to_array(i) for i in onnx.load_from_string(content).graph.initializer}
    assert values["ws"].dtype == values["s"].dtype == np.float16 and (values["ws"] > 0).all()
    assert values["w"].dtype == np.int8


@pytest.mark.parametrize("name", float_models())
def test_the_bundled_model(name):
    path = quantised_path(model_path(name))
    content = to_symmetric_int8(path)
    check_form(content)
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    y, x = np.indices([d.dim_value for d in shape][2:])
    tile = (np.sin(y / 40) * np.cos(x / 31) + 0.2).astype(np.float32)[None, None]
    maps = [run(c, tile) for c in (content, path.read_bytes(), model_path(name).read_bytes())]
    symmetric, unsigned = (np.abs(m - maps[2]).mean() for m in maps[:2])
    assert symmetric < 2 * unsigned + 1e-3
