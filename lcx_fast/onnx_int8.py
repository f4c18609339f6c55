"""A float network in int8: made from the file and the ranges that its metadata keeps, when it is loaded.

A quantised network is the float one and the ranges of what goes into its convolutions. ``training/quantise.py``
measures the ranges and chooses the convolutions; this puts QuantizeLinear and DequantizeLinear before them, and rounds
their weights about 0, with a scale for each output channel. Biases and results stay in float. Engines differ in the
activations they take: CPUs uint8 with a zero point; TensorRT int8 without one, so that a range [low, high] becomes the
symmetric one that holds it. What follows a ReLU6 loses one of its eight bits by that, what is centred about 0 hardly
anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .by_value import by_value
from .errors import InvalidArgument, Unsupported
from .onnx_file import Field, decode_fields
from .onnx_parts import (
    FLOAT,
    GRAPH_INITIALIZER,
    GRAPH_INPUT,
    GRAPH_NODE,
    INT8,
    MODEL_GRAPH,
    MODEL_OPSET,
    UINT8,
    Node,
    Tensor,
    as_bytes,
    expand_weights,
    join_graph,
    opset_of,
    value_names,
)

Form = Literal["unsigned", "symmetric"]

#: Per-channel DequantizeLinear came with it.
_LEAST_OPSET = 13
#: No scale is smaller: the least float16, in which TensorRT keeps them.
_LEAST_SCALE = 2.0**-24


@by_value
@dataclass(frozen=True, eq=False)
class Quantisation:
    """What makes a float network an int8 one.

    Attributes:
        convolutions: names of the nodes that are computed in int8.
        ranges: least and greatest value of each tensor that is rounded to 8 bits; the input of every one of these
            convolutions is among them.
    """

    convolutions: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {"convolutions": list(self.convolutions), "ranges": {k: list(v) for k, v in self.ranges.items()}}


def parse_quantisation(entry: Mapping[str, Any]) -> Quantisation:
    """From a model file's metadata; raises KeyError, TypeError or ValueError where it is wrong."""
    ranges = {}
    for name, (low, high) in entry["ranges"].items():
        ranges[str(name)] = float(low), float(high)
        if not (np.isfinite([low, high]).all() and low <= high):
            raise ValueError(f"range of {name}: {low} to {high}")
    return Quantisation(tuple(str(name) for name in entry["convolutions"]), ranges)


def to_int8(fields: Iterable[Field], quantisation: Quantisation, form: Form) -> list[Field]:
    """A float32 model, quantised.

    Args:
        fields: the model, as ``onnx_parts.decode_model`` reads it.
        quantisation: its ranges.
        form: "unsigned" as CPUs take it, "symmetric" as TensorRT does.

    Returns:
        The new model; ``onnx_file.encode_fields`` makes a file of it. Inputs and outputs are float32 as before.

    Raises:
        InvalidArgument: if the ranges are another model's.
        Unsupported: for operator sets before 13.
    """
    edited: list[Field] = []
    for number, kind, value in expand_weights(fields):
        if number == MODEL_OPSET:
            domain, version = opset_of(as_bytes(value))
            if not domain and version < _LEAST_OPSET:
                raise Unsupported(f"int8: operator set {version}; {_LEAST_OPSET} or later is needed")
        elif number == MODEL_GRAPH:
            value = _Edit(as_bytes(value), quantisation, form).graph()
        edited.append((number, kind, value))
    return edited


class _Edit:
    """One graph on its way to int8: the new nodes and weights are collected as the old nodes are walked."""

    def __init__(self, data: bytes, quantisation: Quantisation, form: Form) -> None:
        self._fields = decode_fields(data)
        self._quantisation, self._form = quantisation, form
        self._old = [Node(as_bytes(v)) for n, _, v in self._fields if n == GRAPH_NODE]
        found = [Tensor.decode(as_bytes(v)) for n, _, v in self._fields if n == GRAPH_INITIALIZER]
        self._tensors = {tensor.name: tensor for tensor in found}
        self._nodes: list[Node] = []
        self._new: dict[str, Tensor] = {}
        #: What stands for a tensor in the new graph.
        self._rounded: dict[str, str] = {}
        made = {name for node in self._old for name in node.outputs} | set(value_names(self._fields, GRAPH_INPUT))
        convolutions = {node.name for node in self._old if node.operator == "Conv"}
        for missing in (quantisation.ranges.keys() - made, set(quantisation.convolutions) - convolutions):
            if missing:
                raise InvalidArgument(f"int8: the model has no {min(missing)}; its ranges are another model's")

    def graph(self) -> bytes:
        for name in value_names(self._fields, GRAPH_INPUT):
            self._round(name)
        for node in self._old:
            source = node.inputs[0] if node.inputs else ""
            node.inputs = [self._rounded.get(name, name) for name in node.inputs]
            if node.operator == "Conv" and node.name in self._quantisation.convolutions:
                self._quantise(node, source)
            self._nodes.append(node)
            for name in node.outputs:
                self._round(name)
        used = {name for node in self._nodes for name in node.inputs}
        kept = [v for n, _, v in self._fields if n == GRAPH_INITIALIZER and Tensor.decode(as_bytes(v)).name in used]
        weights = [*map(as_bytes, kept), *(tensor.encode() for tensor in self._new.values())]
        return join_graph(self._fields, self._nodes, weights)

    def _round(self, name: str) -> None:
        """Every value of a tensor that has a range to the nearest of 256."""
        if name not in self._quantisation.ranges:
            return
        # 0 is exact in either form: padding is 0.
        low, high = (f(limit, 0.0) for f, limit in zip((min, max), self._quantisation.ranges[name], strict=True))
        symmetric = self._form == "symmetric"
        scale = np.float32(max(max(-low, high) / 127 if symmetric else (high - low) / 255, _LEAST_SCALE))
        zero = 0 if symmetric else round(-low / float(scale))
        point = np.array(zero, np.int8 if symmetric else np.uint8)
        operands = [
            self._add(f"{name}/scale", FLOAT, scale),
            self._add(f"{name}/zero", INT8 if symmetric else UINT8, point),
        ]
        self._nodes.append(Node.make("QuantizeLinear", [name, *operands], f"{name}/int8"))
        self._nodes.append(Node.make("DequantizeLinear", [f"{name}/int8", *operands], f"{name}/rounded"))
        self._rounded[name] = f"{name}/rounded"

    def _quantise(self, node: Node, source: str) -> None:
        """A convolution's weights in int8."""
        if source not in self._rounded:
            raise InvalidArgument(f"int8: {source}, the input of {node.name}, has no range")
        if node.inputs[1] not in self._tensors:
            raise InvalidArgument(f"int8: the weights of {node.name} are no constant")
        weight = self._tensors[node.inputs[1]].floats()
        reach = np.abs(weight).reshape(len(weight), -1).max(axis=1) / np.float32(127)
        scale = np.maximum(reach, np.float32(_LEAST_SCALE))
        whole = np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8)
        name = f"{node.name}/weight"
        operands = [
            self._add(f"{name}/int8", INT8, whole),
            self._add(f"{name}/scale", FLOAT, scale.astype("<f4")),
            self._add(f"{name}/zero", INT8, np.zeros(len(scale), np.int8)),
        ]
        self._nodes.append(Node.make("DequantizeLinear", operands, name, axis=0))
        node.inputs[1] = name

    def _add(self, name: str, kind: int, values: NDArray[Any] | np.generic) -> str:
        self._new[name] = Tensor(name, kind, np.shape(values), values.tobytes())
        return name
