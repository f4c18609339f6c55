"""The same network in half precision: an edit of the ONNX graph.

TensorRT from version 11 on takes the precision of each operation from the types in the file, so a half-precision plan
needs a half-precision file. The edit is small: weights become float16 or bfloat16, one Cast follows each input, and a
final sigmoid stays in float32, so that probabilities near 1 keep their digits. Inputs and outputs stay float32.
Only operators whose meaning the edit is known to keep are accepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import Unsupported
from .onnx_file import BYTES, VARINT, Field, decode_fields, encode_fields
from .onnx_parts import (
    ATTRIBUTE_NAME,
    ATTRIBUTE_TENSOR,
    BFLOAT16,
    FLOAT,
    FLOAT16,
    GRAPH_INITIALIZER,
    GRAPH_INPUT,
    GRAPH_NODE,
    GRAPH_OUTPUT,
    MODEL_GRAPH,
    MODEL_IR_VERSION,
    MODEL_OPSET,
    NODE_ATTRIBUTE,
    OPSET_VERSION,
    TENSOR_FLOATS,
    TENSOR_NAME,
    TENSOR_RAW,
    TENSOR_TYPE,
    Node,
    as_bytes,
    decode_model,
    expand_weights,
    join_graph,
    opset_of,
    text_of,
    value_names,
)

HalfPrecision = Literal["fp16", "bf16"]

#: Operators of which every float input and output has one type, apart from ``_FLOAT_PARAMETERS``.
# fmt: off
_KNOWN = frozenset({
    "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Constant", "Conv", "ConvTranspose",
    "DequantizeLinear", "Div", "GlobalAveragePool", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "MaxPool",
    "Mul", "Pad", "QuantizeLinear", "Relu", "Resize", "Sigmoid", "Softplus", "Sub", "Tanh", "Transpose",
})
# fmt: on
#: Inputs that stay float32: by operator, their positions.
_FLOAT_PARAMETERS = {"Resize": (1, 2)}
#: The first version of the default operator set in which all of ``_KNOWN`` take the type (for float16 the scales of
#: QuantizeLinear ask for 19), and the file format it needs. From version 13 on, the newer versions of these operators
#: mean the same as the older ones.
_WANTED_OPSET = {"fp16": 19, "bf16": 22}
_LEAST_IR_VERSION = {"fp16": 9, "bf16": 10}
_LEAST_OPSET = 13
#: A scale must not become 0: the least float16. Only channels whose weights are all nearly 0 have one so small.
_LEAST_SCALE = 2.0**-24


def to_half_precision(model: Path, precision: HalfPrecision) -> bytes:
    """An ONNX model with its arithmetic in half precision.

    Args:
        model: a float32 .onnx file with its weights inside.
        precision: ``"fp16"`` or ``"bf16"``.

    Returns:
        The new file's content; inputs and outputs are float32 as before.

    Raises:
        InvalidArgument: if the file is no ONNX model.
        Unsupported: for an operator or a tensor that the edit does not know, or a weight beyond float16.
    """
    return in_half_precision(expand_weights(decode_model(model)), precision)


def in_half_precision(fields: Iterable[Field], precision: HalfPrecision) -> bytes:
    """``to_half_precision`` of a model that has been read and whose weights are expanded."""
    edited = []
    for number, kind, value in fields:
        if number == MODEL_GRAPH:
            value = _edit_graph(as_bytes(value), precision)
        elif number == MODEL_OPSET:
            value = _edit_opset(as_bytes(value), precision)
        elif number == MODEL_IR_VERSION:
            value = max(int(value), _LEAST_IR_VERSION[precision])
        edited.append((number, kind, value))
    return encode_fields(edited)


def _edit_opset(data: bytes, precision: HalfPrecision) -> bytes:
    domain, version = opset_of(data)
    if domain or version < _LEAST_OPSET:
        raise Unsupported(f"operator set {domain or 'ai.onnx'} {version}; needed: ai.onnx, {_LEAST_OPSET} or later")
    wanted = max(version, _WANTED_OPSET[precision])
    return encode_fields([(n, k, wanted if n == OPSET_VERSION else v) for n, k, v in decode_fields(data)])


def _edit_graph(data: bytes, precision: HalfPrecision) -> bytes:
    fields = decode_fields(data)
    nodes = [Node(as_bytes(v)) for n, _, v in fields if n == GRAPH_NODE]
    unknown = sorted({node.operator for node in nodes} - _KNOWN)
    if unknown:
        raise Unsupported(f"{precision}: the conversion does not know the operator {', '.join(unknown)}")
    kept = _float_parameters(nodes)
    scales = {node.inputs[1] for node in nodes if node.operator in ("QuantizeLinear", "DequantizeLinear")}
    initializers = []
    for number, _, value in fields:
        if number == GRAPH_INITIALIZER:
            name = text_of(decode_fields(as_bytes(value)), TENSOR_NAME)
            least = _LEAST_SCALE if name in scales else None
            edited = value if name in kept else _edit_tensor(as_bytes(value), name, precision, least=least)
            initializers.append((name, as_bytes(edited)))
    for node in nodes:
        if node.operator == "Constant" and node.outputs[0] not in kept:
            node.rest = [_edit_constant(field, node.outputs[0], precision) for field in node.rest]
    weights = {name for name, _ in initializers}
    inputs = [name for name in value_names(fields, GRAPH_INPUT) if name not in weights]
    nodes = _cast_inputs(nodes, inputs, precision)
    nodes = _cast_outputs(nodes, set(value_names(fields, GRAPH_OUTPUT)))
    return join_graph(fields, nodes, [value for _, value in initializers])


def _float_parameters(nodes: Iterable[Node]) -> set[str]:
    return {
        node.inputs[position]
        for node in nodes
        for position in _FLOAT_PARAMETERS.get(node.operator, ())
        if position < len(node.inputs) and node.inputs[position]
    }


def _cast_inputs(nodes: list[Node], inputs: list[str], precision: HalfPrecision) -> list[Node]:
    half = {name: f"{name}/{precision}" for name in inputs}
    for node in nodes:
        node.inputs = [half.get(name, name) for name in node.inputs]
    return [*(_cast(name, half[name], _type_number(precision)) for name in inputs), *nodes]


def _cast_outputs(nodes: list[Node], outputs: set[str]) -> list[Node]:
    """Back to float32: before a sigmoid that ends the network, else after the node that does."""
    result = []
    for node in nodes:
        made = outputs.intersection(node.outputs)
        if not made:
            result.append(node)
        elif node.operator == "Sigmoid":
            name = f"{node.inputs[0]}/float"
            result.append(_cast(node.inputs[0], name, FLOAT))
            node.inputs[0] = name
            result.append(node)
        else:
            if any(made.intersection(other.inputs) for other in nodes):
                raise Unsupported("an output of the network is used inside it")
            node.outputs = [f"{name}/half" if name in made else name for name in node.outputs]
            result.append(node)
            result += [_cast(f"{name}/half", name, FLOAT) for name in sorted(made)]
    return result


def _cast(source: str, target: str, type_number: int) -> Node:
    return Node.make("Cast", [source], target, to=type_number)


def _edit_constant(field: Field, name: str, precision: HalfPrecision) -> Field:
    number, kind, value = field
    if number != NODE_ATTRIBUTE:
        return field
    parts = decode_fields(as_bytes(value))
    label = text_of(parts, ATTRIBUTE_NAME)
    if label in ("value_float", "value_floats"):
        raise Unsupported(f"constant {name} is not a tensor")
    edited: list[Field] = [
        (n, k, _edit_tensor(as_bytes(v), name, precision) if n == ATTRIBUTE_TENSOR else v) for n, k, v in parts
    ]
    return number, kind, encode_fields(edited)


def _edit_tensor(data: bytes, name: str, precision: HalfPrecision, *, least: float | None = None) -> bytes:
    """A TensorProto in half precision, no value below ``least``; one that is not float32 stays as it is."""
    fields = decode_fields(data)
    if next((v for n, _, v in fields if n == TENSOR_TYPE), 0) != FLOAT:
        return data
    raw = b"".join(as_bytes(v) for n, _, v in fields if n in (TENSOR_RAW, TENSOR_FLOATS))
    values = np.frombuffer(raw, "<f4")
    if least is not None:
        values = np.maximum(values, np.float32(least))
    half = _to_float16(values, name) if precision == "fp16" else _to_bfloat16(values)
    kept = [field for field in fields if field[0] not in (TENSOR_TYPE, TENSOR_RAW, TENSOR_FLOATS)]
    return encode_fields([*kept, (TENSOR_TYPE, VARINT, _type_number(precision)), (TENSOR_RAW, BYTES, half.tobytes())])


def _to_float16(values: NDArray[np.float32], name: str) -> NDArray[np.uint16]:
    with np.errstate(over="ignore"):
        half = values.astype("<f2")
    if not np.isfinite(half[np.isfinite(values)]).all():
        raise Unsupported(f"fp16: {name} has values up to {np.abs(values).max():.3g}, beyond float16; use bf16")
    return half.view("<u2")


def _to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of a float32, rounded to nearest even."""
    bits = values.view("<u4").astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # Rounding could carry a NaN's lowest bits into an infinity.
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype("<u2")


def _type_number(precision: HalfPrecision) -> int:
    return FLOAT16 if precision == "fp16" else BFLOAT16
