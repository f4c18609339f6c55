"""The half-precision edit of an ONNX graph, as the onnx package reads it and ONNX Runtime runs it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import TILE, write_brightness_model
from onnx import TensorProto, helper, numpy_helper

from lcx_fast import InvalidArgument, Unsupported
from lcx_fast.model import bundled_models, model_path
from lcx_fast.onnx_file import BYTES, FIXED32, FIXED64, VARINT, decode_fields, encode_fields
from lcx_fast.onnx_parts import decode_model, expand_weights, operators
from lcx_fast.onnx_precision import _to_bfloat16, to_half_precision

HALF = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


def write_model(path, nodes, initializers, *, shape=(1, 2, 8, 8), out_shape=None, opset=17):
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out_shape or shape)],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def run(content, x):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: x})
    return result


@pytest.mark.parametrize("precision", HALF)
def test_weights_and_arithmetic_are_half_inputs_and_outputs_are_not(tmp_path, precision):
    path = write_brightness_model(tmp_path / "m.onnx")
    model = onnx.load_from_string(to_half_precision(path, precision))
    onnx.checker.check_model(model, full_check=True)
    assert {t.data_type for t in model.graph.initializer} == {HALF[precision]}
    values = [*model.graph.input, *model.graph.output]
    assert [v.type.tensor_type.elem_type for v in values] == [TensorProto.FLOAT] * 2
    assert [n.op_type for n in model.graph.node] == ["Cast", "Conv", "Cast", "Sigmoid"]
    assert {p.key for p in model.metadata_props} == {"lcx_fast"}
    weight = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float32)
    np.testing.assert_array_equal(weight, np.full((2, 1, 1, 1), 20, np.float32))


def test_fp16_computes_the_same_network(tmp_path):
    path = write_brightness_model(tmp_path / "m.onnx")
    x = np.random.default_rng(0).random((1, 1, TILE, TILE), np.float32)
    np.testing.assert_allclose(run(to_half_precision(path, "fp16"), x), run(path.read_bytes(), x), atol=5e-3)


@pytest.mark.parametrize("name", bundled_models())
@pytest.mark.parametrize("precision", HALF)
def test_bundled_models_are_converted(name, precision):
    path = model_path(name)
    content = to_half_precision(path, precision)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    kinds = {v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    assert kinds <= {HALF[precision], TensorProto.FLOAT} and HALF[precision] in kinds
    if precision == "fp16":
        h, w = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[2:])
        x = np.random.default_rng(0).random((1, 1, h, w), np.float32) * 4
        assert np.abs(run(content, x) - run(path.read_bytes(), x)).max() < 0.02


def test_resize_scales_stay_float32(tmp_path):
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")]
    path = write_model(tmp_path / "m.onnx", nodes, [scales], out_shape=(1, 2, 16, 16))
    model = onnx.load_from_string(to_half_precision(path, "fp16"))
    onnx.checker.check_model(model, full_check=True)
    assert [t.data_type for t in model.graph.initializer] == [TensorProto.FLOAT]
    x = np.arange(128, dtype=np.float32).reshape(1, 2, 8, 8)
    np.testing.assert_array_equal(run(model.SerializeToString(), x), x.repeat(2, 2).repeat(2, 3))


def test_weights_kept_as_floats_are_converted_too(tmp_path):
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.5, -2.0])
    assert not weight.raw_data
    low = helper.make_tensor("low", TensorProto.FLOAT, [], [0.25])
    nodes = [
        helper.make_node("Constant", [], ["low"], value=low),
        helper.make_node("Clip", ["x", "low"], ["clipped"]),
        helper.make_node("Mul", ["clipped", "w"], ["y"]),
    ]
    path = write_model(tmp_path / "m.onnx", nodes, [weight], shape=(1, 2))
    content = to_half_precision(path, "fp16")
    np.testing.assert_array_equal(run(content, np.array([[0, 3]], np.float32)), [[0.375, -6]])


def test_what_the_edit_does_not_know_is_refused(tmp_path):
    path = write_model(tmp_path / "a.onnx", [helper.make_node("Erf", ["x"], ["y"])], [])
    with pytest.raises(Unsupported, match="operator Erf"):
        to_half_precision(path, "fp16")
    big = numpy_helper.from_array(np.array(1e6, np.float32), "big")
    path = write_model(tmp_path / "b.onnx", [helper.make_node("Mul", ["x", "big"], ["y"])], [big])
    with pytest.raises(Unsupported, match=r"big has values up to 1e\+06"):
        to_half_precision(path, "fp16")
    to_half_precision(path, "bf16")
    path = write_model(tmp_path / "c.onnx", [helper.make_node("Relu", ["x"], ["y"])], [], opset=12)
    with pytest.raises(Unsupported, match=r"operator set ai\.onnx 12"):
        to_half_precision(path, "fp16")


@pytest.mark.parametrize("content", [b"\x08", b"not a model at all", b"\xff" * 100, b"\x38\x01"])
def test_files_that_are_no_model_are_refused(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match="not an ONNX file"):
        to_half_precision(path, "fp16")


def half_weights(path, *, packed=True):
    """y = 2 w x + h, the constant w in half precision behind a Cast, h in half precision and used as such too."""
    w = np.array([1.5, -0.1], np.float16)
    halves = [numpy_helper.from_array(w, "w.half"), numpy_helper.from_array(w, "h.half")]
    if not packed:
        halves = [helper.make_tensor(t.name, TensorProto.FLOAT16, [2], w.tolist()) for t in halves]
    nodes = [
        helper.make_node("Cast", ["w.half"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["h.half"], ["h"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["h.half", "h.half"], ["hh"]),
        helper.make_node("Cast", ["hh"], ["double"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "a"], ["b"]),
        helper.make_node("Add", ["b", "h"], ["c"]),
        helper.make_node("Sub", ["c", "double"], ["y"]),
    ]
    return write_model(path, nodes, halves, shape=(1, 2))


def test_stored_halves_are_expanded(tmp_path):
    path = half_weights(tmp_path / "m.onnx")
    content = encode_fields(expand_weights(decode_model(path)))
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert kinds == {"w": TensorProto.FLOAT, "h": TensorProto.FLOAT, "h.half": TensorProto.FLOAT16}
    assert [n.op_type for n in model.graph.node].count("Cast") == 1
    x = np.array([[0.3, -2]], np.float32)
    np.testing.assert_array_equal(run(content, x), run(path.read_bytes(), x))
    again = encode_fields(expand_weights(decode_fields(content)))
    assert again == content


def test_halves_stored_in_another_way_are_left_alone_and_refused(tmp_path):
    path = half_weights(tmp_path / "m.onnx", packed=False)
    assert encode_fields(expand_weights(decode_model(path))) == path.read_bytes()
    with pytest.raises(Unsupported, match="operator Cast"):
        to_half_precision(path, "fp16")


def test_operators(tmp_path):
    assert operators(write_brightness_model(tmp_path / "m.onnx")) == {"Conv", "Sigmoid"}


def test_bfloat16_rounds_to_nearest_even():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**32, 20000, np.uint32).view(np.float32)
    values = np.concatenate([values, np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, 3.39e38], np.float32)])
    back = (_to_bfloat16(values).astype(np.uint32) << 16).view(np.float32)
    assert np.isnan(back[np.isnan(values)]).all()
    finite = np.isfinite(values)
    low = (values.view(np.uint32) & 0xFFFF0000).view(np.float32)
    high = ((values.view(np.uint32) & 0xFFFF0000) + 0x10000).view(np.float32)
    exact = values.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        nearer_low = np.abs(exact - low) < np.abs(exact - high)
        nearer_high = np.abs(exact - high) < np.abs(exact - low)
    assert (back[finite & nearer_low] == low[finite & nearer_low]).all()
    assert (back[finite & nearer_high & np.isfinite(high)] == high[finite & nearer_high & np.isfinite(high)]).all()
    halfway = (np.array([0x3F808000, 0x3F818000], np.uint32)).view(np.float32)
    assert list(_to_bfloat16(halfway)) == [0x3F80, 0x3F82]
    assert list(_to_bfloat16(np.array([np.inf, -np.inf], np.float32))) == [0x7F80, 0xFF80]


field = st.one_of(
    st.tuples(st.integers(1, 2**29 - 1), st.just(VARINT), st.integers(0, 2**64 - 1)),
    st.tuples(st.integers(1, 2**29 - 1), st.just(BYTES), st.binary(max_size=300)),
    st.tuples(st.integers(1, 2**29 - 1), st.just(FIXED32), st.binary(min_size=4, max_size=4)),
    st.tuples(st.integers(1, 2**29 - 1), st.just(FIXED64), st.binary(min_size=8, max_size=8)),
)


@given(st.lists(field, max_size=20))
def test_messages_survive_the_round_trip(fields):
    assert decode_fields(encode_fields(fields)) == fields
