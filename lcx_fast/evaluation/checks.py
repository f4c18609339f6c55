"""What evaluation takes: numbers that are numbers, masks that are masks; anything else is an error and no figure."""

from __future__ import annotations

import numbers
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidArgument

Floats = NDArray[np.float64]


def array_of(values: ArrayLike, what: str) -> NDArray[Any]:
    """Booleans or real numbers, as they are; objects that are numbers (None is NaN) as float64.

    Raises:
        InvalidArgument: if they are neither, or rows of different lengths.
    """
    try:
        array = np.asarray(values)
        if array.dtype == object:
            array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise InvalidArgument(f"{what} are no array of numbers; needed: numbers, rows of one length") from None
    if array.dtype.kind not in "biuf":
        raise InvalidArgument(f"{what} are {array.dtype}; needed: real numbers")
    return array


def floats_of(values: ArrayLike, what: str = "scores") -> Floats:
    """float64 of real numbers, NaN among them or not."""
    return array_of(values, what).astype(np.float64, copy=False)


def truth_of(values: ArrayLike, what: str) -> NDArray[np.bool_]:
    """A mask: where the values are not 0.

    Raises:
        InvalidArgument: if they are no numbers, such as names of classes, hold NaN, or fractions, as probabilities do.
    """
    array = array_of(values, what)
    if array.dtype.kind == "f":
        if np.isnan(array).any():
            raise InvalidArgument(f"{what} hold NaN; needed: 0, or another number for what is positive")
        if not (array == np.trunc(array)).all():
            raise InvalidArgument(f"{what} hold fractions; needed: a mask of whole numbers, such as p > 0.5")
    return np.asarray(array if array.dtype == bool else array != 0)


def scored_items(scores: ArrayLike, labels: ArrayLike, *, finite: bool = False) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores, float64 [N] without NaN (and infinities, if asked), and whether each item is positive.

    Raises:
        InvalidArgument: if they are not that, or labels hold another number than 0 and 1: -1 and probabilities, some
            of whose readers mean negative by them, and numbers of classes.
    """
    values, given = floats_of(scores), array_of(labels, "labels")
    positive = given if given.dtype == bool else given == 1
    if values.ndim != 1 or positive.shape != values.shape:
        raise InvalidArgument(f"scores have shape {values.shape}, labels {positive.shape}; needed: [N] both")
    if given.dtype != bool and not (known := positive | (given == 0)).all():
        raise InvalidArgument(f"labels hold {given[~known][0]:g}; needed: booleans, or 0 (negative) and 1 (positive)")
    if finite and not np.isfinite(values).all():
        raise InvalidArgument("scores hold NaN or infinity; remove or replace those items first")
    if np.isnan(values).any():
        raise InvalidArgument("scores hold NaN; remove or replace those items first")
    return values, positive


def spacing_of(pixel_spacing_mm: float | Sequence[float]) -> tuple[float, float]:
    """Height and width of a pixel, of which one number is both.

    Raises:
        InvalidArgument: if they are not one or two finite numbers above 0.
    """
    pair = floats_of(pixel_spacing_mm, "pixel spacings")
    if pair.shape not in ((), (1,), (2,)) or not (np.isfinite(pair) & (pair > 0)).all():
        raise InvalidArgument(f"pixel spacing {pixel_spacing_mm} mm; needed: one positive number, or height and width")
    return float(pair.flat[0]), float(pair.flat[-1])


def share_of(value: float, what: str) -> float:
    """A number from 0 to 1.

    Raises:
        InvalidArgument: if it is none.
    """
    if not (isinstance(value, numbers.Real) and 0 <= value <= 1):
        raise InvalidArgument(f"{what} {value}; needed: a share from 0 to 1")
    return float(value)


def shares_of(values: ArrayLike, what: str) -> Floats:
    """float64 [N] of numbers from 0 to 1.

    Raises:
        InvalidArgument: if they are not that.
    """
    given = floats_of(values, what)
    if given.ndim != 1 or not ((given >= 0) & (given <= 1)).all():
        raise InvalidArgument(f"{what} {given.tolist()}; needed: a list of shares from 0 to 1")
    return given


def at_least(value: float, least: float, what: str) -> float:
    """A number that is not below another.

    Raises:
        InvalidArgument: if it is below, NaN, or no number.
    """
    if not (isinstance(value, numbers.Real) and value >= least):
        raise InvalidArgument(f"{what} {value}; needed: a number, {least:g} or more")
    return float(value)


def count_of(value: int, what: str) -> int:
    """A whole number from 1.

    Raises:
        InvalidArgument: if it is none.
    """
    if not (isinstance(value, numbers.Integral) and value >= 1):
        raise InvalidArgument(f"{what} {value}; needed: a whole number, at least 1")
    return int(value)


def check_patients(patients: Sequence[Hashable]) -> None:
    """Refuse one text, which would be read as a patient for each character.

    Raises:
        InvalidArgument: if it is one.
    """
    if isinstance(patients, str):
        raise InvalidArgument(f"patients are the text {patients!r}; needed: a list with one for each image")


def grouped(keys: Sequence[Hashable], what: str) -> tuple[list[Hashable], NDArray[np.intp]]:
    """The distinct keys in order of their first appearance, and which of them each key is.

    Raises:
        InvalidArgument: if one cannot be hashed, such as a list.
    """
    try:
        place = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    except TypeError:
        raise InvalidArgument(f"{what} hold what cannot be hashed; needed: text, numbers, or tuples of them") from None
    return list(place), np.array([place[key] for key in keys], np.intp)


def one_of(value: str, accepted: Sequence[str], what: str) -> None:
    """Refuse a word that means nothing.

    Raises:
        InvalidArgument: if it is not among those accepted.
    """
    if value not in accepted:
        raise InvalidArgument(f"{what} {value!r}; accepted: {', '.join(accepted)}")
