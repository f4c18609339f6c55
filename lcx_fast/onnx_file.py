"""What the package needs to know of an ONNX file before an engine opens it: its metadata, and that it is whole.

Reading two fields does not justify a dependency on the onnx package, and the engines' own ways to the metadata differ.
An ONNX file is one protobuf message; this walks its wire format (https://protobuf.dev/programming-guides/encoding)
along ModelProto.metadata_props and GraphProto.initializer and skips everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import InvalidArgument

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

#: (field number, wire type, value) of a message; everything but a varint as bytes.
Field = tuple[int, int, "int | bytes"]

# Field numbers from onnx.proto3.
_MODEL_GRAPH = 7
_MODEL_METADATA = 14
_GRAPH_INITIALIZER = 5
_TENSOR_DATA_LOCATION = 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX model's metadata and whether its weights are all inside the file."""

    metadata: dict[str, str]
    is_self_contained: bool


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint of more than 64 bits")


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """(field number, wire type, value) of one message; bytes fields as views."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            length, at = _varint(data, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + length > len(data):
            raise ValueError("field runs past the end")
        yield number, kind, data[at : at + length]
        at += length


def decode_fields(data: bytes) -> list[Field]:
    """The fields of one message in their order; ``encode_fields`` gives the message back.

    Raises:
        ValueError, IndexError: if it is no message.
    """
    return [(n, k, v if isinstance(v, int) else bytes(v)) for n, k, v in _fields(memoryview(data))]


def encode_fields(fields: Iterable[Field]) -> bytes:
    """A message of these fields."""
    out = bytearray()
    for number, kind, value in fields:
        out += _encode_varint(number << 3 | kind)
        if isinstance(value, int):
            out += _encode_varint(value)
            continue
        if kind == BYTES:
            out += _encode_varint(len(value))
        out += value
    return bytes(out)


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _submessages(data: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, _, value in _fields(data):
        if number == wanted and isinstance(value, memoryview):
            yield value


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file's metadata.

    Raises:
        InvalidArgument: if the file cannot be read or is no ONNX model.
    """
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise InvalidArgument(f"model {path}: cannot be read ({error.strerror})") from error
    try:
        metadata = {}
        for entry in _submessages(data, _MODEL_METADATA):
            fields = {n: bytes(v).decode() for n, _, v in _fields(entry) if isinstance(v, memoryview)}
            metadata[fields.get(_ENTRY_KEY, "")] = fields.get(_ENTRY_VALUE, "")
        graphs = list(_submessages(data, _MODEL_GRAPH))
        if not graphs:
            raise ValueError("no graph")
        external = any(
            value == 1
            for graph in graphs
            for tensor in _submessages(graph, _GRAPH_INITIALIZER)
            for number, _, value in _fields(tensor)
            if number == _TENSOR_DATA_LOCATION
        )
    except (ValueError, IndexError) as error:
        raise InvalidArgument(f"model {path}: not an ONNX file ({error or 'cut short'})") from error
    return OnnxFile(metadata, not external)
