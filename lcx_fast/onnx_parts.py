"""The parts of an ONNX file that the edits of a graph (onnx_precision, onnx_int8) look at and make.

Everything else is carried over as it stands. Numbers are those of onnx.proto3.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidArgument, LcxError
from .onnx_file import BYTES, VARINT, Field, decode_fields, encode_fields

MODEL_IR_VERSION, MODEL_GRAPH, MODEL_OPSET = 1, 7, 8
OPSET_DOMAIN, OPSET_VERSION = 1, 2
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE_INFO = 1, 5, 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP, NODE_ATTRIBUTE = 1, 2, 3, 4, 5
ATTRIBUTE_NAME, _ATTRIBUTE_INT, ATTRIBUTE_TENSOR, _ATTRIBUTE_TYPE = 1, 3, 5, 20
_ATTRIBUTE_IS_INT = 2
_TENSOR_DIMS, TENSOR_TYPE, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW = 1, 2, 4, 8, 9
_VALUE_NAME = 1
#: TensorProto.DataType.
FLOAT, UINT8, INT8, INT32, FLOAT16, BFLOAT16 = 1, 2, 3, 6, 10, 16


class Node:
    """A node's inputs, outputs, operator and name; its attributes as the file has them."""

    def __init__(self, data: bytes) -> None:
        fields = decode_fields(data)
        self.inputs = [as_text(v) for n, _, v in fields if n == _NODE_INPUT]
        self.outputs = [as_text(v) for n, _, v in fields if n == _NODE_OUTPUT]
        self.operator = text_of(fields, _NODE_OP)
        self.name = text_of(fields, _NODE_NAME)
        self.rest = [field for field in fields if field[0] not in (_NODE_INPUT, _NODE_OUTPUT)]

    @classmethod
    def make(cls, operator: str, inputs: Iterable[str], output: str, **attributes: int) -> Node:
        """A new node with whole numbers as attributes, named after its output."""
        node = cls(b"")
        node.inputs, node.outputs, node.operator, node.name = list(inputs), [output], operator, f"{operator}/{output}"
        node.rest = [(_NODE_NAME, BYTES, node.name.encode()), (_NODE_OP, BYTES, operator.encode())]
        for name, value in attributes.items():
            attribute: list[Field] = [
                (ATTRIBUTE_NAME, BYTES, name.encode()),
                (_ATTRIBUTE_INT, VARINT, value),
                (_ATTRIBUTE_TYPE, VARINT, _ATTRIBUTE_IS_INT),
            ]
            node.rest.append((NODE_ATTRIBUTE, BYTES, encode_fields(attribute)))
        return node

    def whole_number(self, name: str) -> int | None:
        """An attribute's value; None where there is none."""
        for number, _, value in self.rest:
            if number == NODE_ATTRIBUTE:
                parts = decode_fields(as_bytes(value))
                if text_of(parts, ATTRIBUTE_NAME) == name:
                    return number_of(parts, _ATTRIBUTE_INT)
        return None

    def encode(self) -> bytes:
        names = [(_NODE_INPUT, BYTES, name.encode()) for name in self.inputs]
        names += [(_NODE_OUTPUT, BYTES, name.encode()) for name in self.outputs]
        return encode_fields([*names, *self.rest])


@dataclass
class Tensor:
    """An initializer whose values lie in it as bytes.

    Attributes:
        name: of the tensor.
        kind: its TensorProto.DataType.
        shape: of the values.
        raw: the values, little-endian.
    """

    name: str
    kind: int
    shape: tuple[int, ...]
    raw: bytes

    @classmethod
    def decode(cls, data: bytes) -> Tensor:
        fields = decode_fields(data)
        shape = [x for n, k, v in fields if n == _TENSOR_DIMS for x in ([int(v)] if k == VARINT else _varints(v))]
        raw = b"".join(as_bytes(v) for n, _, v in fields if n in (TENSOR_RAW, TENSOR_FLOATS))
        return cls(text_of(fields, TENSOR_NAME), number_of(fields, TENSOR_TYPE) or 0, tuple(shape), raw)

    def encode(self) -> bytes:
        fields: list[Field] = [(_TENSOR_DIMS, VARINT, extent) for extent in self.shape]
        fields += [(TENSOR_TYPE, VARINT, self.kind), (TENSOR_NAME, BYTES, self.name.encode())]
        return encode_fields([*fields, (TENSOR_RAW, BYTES, self.raw)])

    def floats(self) -> NDArray[np.float32]:
        """The values of a float32 tensor.

        Raises:
            InvalidArgument: for a tensor of another type.
        """
        if self.kind != FLOAT:
            raise InvalidArgument(f"{self.name} is not float32")
        return np.frombuffer(self.raw, "<f4").reshape(self.shape)


@contextlib.contextmanager
def refusing_damage(model: Path) -> Iterator[None]:
    """What in here finds bytes that are no message, at whatever depth, refuses the file.

    Raises:
        InvalidArgument: in their place.
    """
    try:
        yield
    except OSError as error:
        raise InvalidArgument(f"model {model}: cannot be read ({error.strerror})") from error
    except LcxError:
        raise
    except (ValueError, IndexError) as error:
        raise InvalidArgument(f"model {model}: not an ONNX file, or damaged ({error or 'cut short'})") from error


def decode_model(model: Path) -> list[Field]:
    """The fields of an ONNX file.

    Raises:
        InvalidArgument: if it is none.
    """
    with refusing_damage(model):
        return decode_fields(model.read_bytes())


def operators(model: Path) -> frozenset[str]:
    """The operators a model uses.

    Raises:
        InvalidArgument: if the file cannot be read.
    """
    with refusing_damage(model):
        return frozenset(
            Node(as_bytes(v)).operator
            for number, _, graph in decode_model(model)
            if number == MODEL_GRAPH
            for n, _, v in decode_fields(as_bytes(graph))
            if n == GRAPH_NODE
        )


def expand_weights(fields: Iterable[Field]) -> list[Field]:
    """The same model with every weight as the float32 tensor that the graph computes with.

    A file keeps weights that are float16 numbers as such, each with a Cast behind it, at half the size. Engines fold
    the Casts when they load the file; the edits do it here and see one form only.
    """
    return [(n, k, _expand_graph(as_bytes(v)) if n == MODEL_GRAPH else v) for n, k, v in fields]


def _expand_graph(data: bytes) -> bytes:
    fields = decode_fields(data)
    nodes = [Node(as_bytes(v)) for n, _, v in fields if n == GRAPH_NODE]
    tensors = [Tensor.decode(as_bytes(v)) for n, _, v in fields if n == GRAPH_INITIALIZER]
    halves = {t.name: t for t in tensors if t.kind == FLOAT16 and len(t.raw) == 2 * int(np.prod(t.shape))}
    casts = [n for n in nodes if n.operator == "Cast" and n.inputs[0] in halves and n.whole_number("to") == FLOAT]
    if not casts:
        return data
    folded = {id(node) for node in casts}
    kept = [node for node in nodes if id(node) not in folded]
    used = {name for node in kept for name in node.inputs}
    unused = {node.inputs[0] for node in casts} - used
    weights = []
    for node in casts:
        half = halves[node.inputs[0]]
        raw = np.frombuffer(half.raw, "<f2").astype("<f4").tobytes()
        weights.append(Tensor(node.outputs[0], FLOAT, half.shape, raw).encode())
    old = [v for n, _, v in fields if n == GRAPH_INITIALIZER]
    weights += [as_bytes(v) for v, tensor in zip(old, tensors, strict=True) if tensor.name not in unused]
    return join_graph(fields, kept, weights)


def join_graph(fields: Iterable[Field], nodes: Iterable[Node], initializers: Iterable[bytes]) -> bytes:
    """A graph with other nodes and weights. Notes on the types of inner values, which are optional, are left out."""
    replaced = (GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_VALUE_INFO)
    return encode_fields(
        [
            *((GRAPH_NODE, BYTES, node.encode()) for node in nodes),
            *((GRAPH_INITIALIZER, BYTES, value) for value in initializers),
            *(field for field in fields if field[0] not in replaced),
        ]
    )


def opset_of(data: bytes) -> tuple[str, int]:
    """Domain ("" is ai.onnx) and version of an operator set."""
    fields = decode_fields(data)
    return text_of(fields, OPSET_DOMAIN), number_of(fields, OPSET_VERSION) or 1


def value_names(fields: Iterable[Field], number: int) -> list[str]:
    """Names of a graph's inputs or outputs."""
    return [text_of(decode_fields(as_bytes(value)), _VALUE_NAME) for n, _, value in fields if n == number]


def text_of(fields: Iterable[Field], number: int) -> str:
    """A message's text field; empty where it is missing, as protobuf has it."""
    return next((as_text(v) for n, _, v in fields if n == number), "")


def number_of(fields: Iterable[Field], number: int) -> int | None:
    """A message's whole number; None where it is missing."""
    return next((v for n, _, v in fields if n == number and isinstance(v, int)), None)


def as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise InvalidArgument("not an ONNX file (a number where a message belongs)")
    return value


def as_text(value: int | bytes) -> str:
    return as_bytes(value).decode()


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
