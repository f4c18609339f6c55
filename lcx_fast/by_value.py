"""Equality and hash of data classes that hold arrays, which data classes and tuples cannot compare by themselves."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

Class = TypeVar("Class", bound=type)


def by_value(cls: Class) -> Class:
    """Make a data class or NamedTuple equal to others of its class that hold the same, NaN being equal to NaN.

    Arrays are the same if dtype, shape and values are. They count in the hash by dtype and shape only, so that it costs
    nothing and stays when values are written into them. A pickled and a copied one are equal to the original.
    """
    for name, method in (("__eq__", _equal), ("__ne__", _unequal), ("__hash__", _hash)):
        setattr(cls, name, method)
    return cls


def _values(instance: Any) -> Iterable[Any]:
    """What is compared: all of a tuple, the fields of a data class that do not say otherwise."""
    if is_dataclass(instance):
        return [getattr(instance, field.name) for field in fields(instance) if field.compare]
    return tuple(instance)


def _equal(self: Any, other: Any) -> Any:
    if self is other:
        return True
    if type(other) is not type(self):
        return NotImplemented
    return all(_same(a, b) for a, b in zip(_values(self), _values(other), strict=True))


def _unequal(self: Any, other: Any) -> Any:
    equal = _equal(self, other)
    return equal if equal is NotImplemented else not equal


def _hash(self: Any) -> int:
    return hash((type(self).__name__, *map(_hashable, _values(self))))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        alike = isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and (a.dtype, a.shape) == (b.dtype, b.shape)
        return alike and bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    if (type(a) is type(b) and isinstance(a, list)) or type(a) is type(b) is tuple:
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    return bool(a == b) or (isinstance(a, float) and isinstance(b, float) and a != a and b != b)


def _hashable(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape
    if type(value) in (tuple, list):
        return tuple(map(_hashable, value))
    if isinstance(value, Mapping):
        return frozenset(value)
    if isinstance(value, float) and value != value:
        return "nan"
    return value if isinstance(value, Hashable) else type(value).__name__
