"""A quantised network in the form that TensorRT takes: an edit of the ONNX graph.

``training/quantise.py`` writes activations as uint8 with a zero point and biases as int32, which suits CPUs. TensorRT
knows only zero points of 0 and float biases. So a range [low, high] becomes the symmetric one that holds it,
[-127 s, 127 s]: what follows a ReLU6 loses one of its eight bits, what is centred about 0 hardly anything. Weights are
symmetric already and stay as they are; a bias gets the value back that its integers stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import Unsupported
from .onnx_file import BYTES, VARINT, Field, decode_fields, encode_fields
from .onnx_precision import (
    FLOAT,
    GRAPH_INITIALIZER,
    GRAPH_NODE,
    GRAPH_VALUE_INFO,
    MODEL_GRAPH,
    TENSOR_FLOATS,
    TENSOR_NAME,
    TENSOR_RAW,
    TENSOR_TYPE,
    Node,
    as_bytes,
    as_text,
    decode_model,
)

# TensorProto.DataType in onnx.proto3.
_UINT8, _INT8, _INT32 = 2, 3, 6
_DTYPES = {FLOAT: "<f4", _UINT8: "u1", _INT8: "i1", _INT32: "<i4"}
#: The field in which a tensor's integers may lie instead of its raw bytes, as varints.
_TENSOR_INT32S = 5


def _varints(data: int | bytes) -> list[int]:
    """The numbers of a packed field."""
    numbers, value, shift = [], 0, 0
    for byte in as_bytes(data):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    return numbers


@dataclass
class _Tensor:
    """An initializer: its values, flat, and the file's own words on it."""

    fields: list[Field]
    type: int
    values: NDArray[np.generic]

    @classmethod
    def decode(cls, data: bytes) -> _Tensor:
        fields = decode_fields(data)
        kind = next((int(v) for n, _, v in fields if n == TENSOR_TYPE and isinstance(v, int)), 0)
        if kind not in _DTYPES:
            return cls(fields, kind, np.zeros(0))
        listed = [x for n, k, v in fields if n == _TENSOR_INT32S for x in ([v] if k == VARINT else _varints(v))]
        if listed:
            return cls(fields, kind, np.array(listed, np.uint64).astype(np.int64).astype(_DTYPES[kind]))
        raw = b"".join(as_bytes(v) for n, _, v in fields if n in (TENSOR_RAW, TENSOR_FLOATS))
        return cls(fields, kind, np.frombuffer(raw, _DTYPES[kind]))

    @property
    def name(self) -> str:
        return next((as_text(v) for n, _, v in self.fields if n == TENSOR_NAME), "")

    def encode(self, *, name: str, kind: int, values: NDArray[np.generic]) -> bytes:
        """The same shape with other values."""
        replaced = (TENSOR_TYPE, TENSOR_RAW, TENSOR_FLOATS, _TENSOR_INT32S, TENSOR_NAME)
        kept = [field for field in self.fields if field[0] not in replaced]
        own: list[Field] = [
            (TENSOR_TYPE, VARINT, kind),
            (TENSOR_NAME, BYTES, name.encode()),
            (TENSOR_RAW, BYTES, values.tobytes()),
        ]
        return encode_fields([*kept, *own])


def to_symmetric_int8(model: Path) -> bytes:
    """A quantised ONNX model with signed activations about 0 and float biases.

    Args:
        model: an .onnx file with QuantizeLinear and DequantizeLinear, activations of one scale a tensor, its weights
            inside.

    Returns:
        The new file's content.

    Raises:
        InvalidArgument: if the file is no ONNX model.
        Unsupported: if it is quantised in a way that the edit does not know.
    """
    edited = [(n, k, _edit_graph(as_bytes(v)) if n == MODEL_GRAPH else v) for n, k, v in decode_model(model)]
    return encode_fields(edited)


def _edit_graph(data: bytes) -> bytes:
    fields = decode_fields(data)
    nodes = [Node(as_bytes(v)) for n, _, v in fields if n == GRAPH_NODE]
    tensors = {t.name: t for t in (_Tensor.decode(as_bytes(v)) for n, _, v in fields if n == GRAPH_INITIALIZER)}
    replaced: dict[str, bytes] = {}
    kept = []
    for node in nodes:
        if node.operator in ("QuantizeLinear", "DequantizeLinear"):
            names = _quantisation(node, tensors)
            if node.operator == "DequantizeLinear" and _type_of(tensors, node.inputs[0]) == _INT32:
                replaced[node.outputs[0]] = _float_bias(node, tensors)
                continue
            if tensors[names[1]].type == _UINT8:
                replaced.update(_symmetric(*names, tensors))
        kept.append(node)
    used = {name for node in kept for name in node.inputs}
    rest = [field for field in fields if field[0] not in (GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_VALUE_INFO)]
    unchanged = [
        (GRAPH_INITIALIZER, BYTES, encode_fields(tensor.fields))
        for name, tensor in tensors.items()
        if name in used and name not in replaced
    ]
    return encode_fields(
        [
            *((GRAPH_NODE, BYTES, node.encode()) for node in kept),
            *unchanged,
            *((GRAPH_INITIALIZER, BYTES, tensor) for tensor in replaced.values()),
            *rest,
        ]
    )


def _type_of(tensors: dict[str, _Tensor], name: str) -> int:
    return tensors[name].type if name in tensors else 0


def _quantisation(node: Node, tensors: dict[str, _Tensor]) -> tuple[str, str]:
    """Names of a node's scale and zero point, both constants."""
    names = (*node.inputs[1:], "", "")[:2]
    for name in names:
        if name not in tensors or not tensors[name].values.size:
            raise Unsupported(f"int8: {node.operator} of {node.inputs[0]} has no constant scale and zero point")
    scale, zero = (tensors[name] for name in names)
    if zero.type == _INT8 and np.any(zero.values):
        raise Unsupported(f"int8: {names[1]} is signed and not 0")
    if zero.type == _UINT8 and scale.values.size != 1:
        raise Unsupported(f"int8: {names[0]} has a scale for each channel of an unsigned tensor")
    return names[0], names[1]


def _symmetric(scale: str, zero: str, tensors: dict[str, _Tensor]) -> dict[str, bytes]:
    """The scale of the symmetric range that holds an unsigned one, and its zero point."""
    point = int(tensors[zero].values[0])
    reach = max(point, 255 - point)
    wider = np.asarray(tensors[scale].values * np.float32(reach / 127), "<f4")
    return {
        scale: tensors[scale].encode(name=scale, kind=FLOAT, values=wider),
        zero: tensors[zero].encode(name=zero, kind=_INT8, values=np.zeros(1, np.int8)),
    }


def _float_bias(node: Node, tensors: dict[str, _Tensor]) -> bytes:
    """What an int32 bias stands for, in float32, under the name of the node that would have said so."""
    whole, scale, zero = (tensors[name] for name in node.inputs[:3])
    values = (whole.values.astype(np.int64) - zero.values.astype(np.int64)) * scale.values.astype(np.float64)
    return whole.encode(name=node.outputs[0], kind=FLOAT, values=values.astype("<f4"))
