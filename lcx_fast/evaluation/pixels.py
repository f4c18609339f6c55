"""Exact ROC AUC, average precision and specificity over many pixels.

Scores of 16 bits are counted by value, so any number of pixels takes the same memory; float32 scores are kept (5 bytes
a pixel) and ranked by a radix sort. Both are exact, ties included: equal scores are one threshold.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..by_value import by_value
from ..errors import InvalidArgument
from .checks import truth_of

_SIXTEEN_BIT = (np.dtype(np.uint16), np.dtype(np.float16))
#: float16 numbers below 0: 1 of the 65,536 bits is -0 and 1,023 more are NaN.
_NEGATIVE_HALVES = 0xFC00 - 0x8000
#: Up to this many pixels, looking for NaN first is cheaper than a table of its own.
_FEW = 1 << 16


@by_value
class PixelCounts(NamedTuple):
    """Pixels scoring at least each distinct score, highest first.

    Attributes:
        thresholds: [K], descending, of the scores' dtype.
        true_positives: int64 [K].
        false_positives: int64 [K].
    """

    thresholds: NDArray[Any]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]


class PixelCurve:
    """Scores of pixels against their labels, image by image.

    Args:
        threads: most threads to use; 0 = all. The figures do not depend on it.
    """

    def __init__(self, *, threads: int = 0) -> None:
        self._threads = threads
        self._dtype: np.dtype[Any] | None = None
        self._counts = np.zeros((0, 0), np.int64)  # [2, 65536] by raw bits once there are 16-bit scores
        self._kept: list[tuple[NDArray[np.float32], NDArray[np.uint8]]] = []
        self._areas: tuple[float, float] | None = None

    def add(self, scores: ArrayLike, labels: ArrayLike, *, mask: ArrayLike | None = None) -> None:
        """Add pixels.

        Args:
            scores: uint8, uint16, float16 or float32 of any shape, without NaN; one dtype for all calls (uint8 counts
                as uint16). Arrays that are not dense are copied.
            labels: of the same shape, nonzero = positive; other dtypes than bool and uint8 are copied.
            mask: of the same shape; only pixels where it is nonzero count.

        Raises:
            InvalidArgument: for another dtype, shapes that differ, NaN, or labels or a mask that are no numbers;
                nothing is added then.
        """
        values, positive = np.asarray(scores), _labels(labels)
        if values.shape != positive.shape:
            raise InvalidArgument(f"scores have shape {values.shape}, labels {positive.shape}; shapes must be equal")
        if mask is not None:
            chosen = truth_of(mask, "mask pixels")
            if chosen.shape != values.shape:
                raise InvalidArgument(f"mask has shape {chosen.shape}; needed: {values.shape}")
            values, positive = values[chosen], positive[chosen]
        if values.dtype == np.uint8:
            values = values.astype(np.uint16)
        self._check_dtype(values.dtype)
        flat, flat_labels = values.reshape(-1), positive.reshape(-1).view(np.uint8)
        if values.dtype in _SIXTEEN_BIT:
            self._count(flat, flat_labels)
        else:
            if np.isnan(flat).any():
                raise InvalidArgument("scores hold NaN; remove or replace those pixels first")
            self._kept.append((flat.copy(), flat_labels.copy()))
        self._dtype, self._areas = values.dtype, None

    def merge(self, other: PixelCurve) -> None:
        """Add all pixels of another curve, made elsewhere, of the same dtype."""
        if not isinstance(other, PixelCurve):
            raise InvalidArgument(f"the other curve is a {type(other).__name__}; needed: a PixelCurve")
        if other._dtype is None:
            return
        self._check_dtype(other._dtype)
        if other._dtype in _SIXTEEN_BIT:
            self._counts = other._counts.copy() if self._dtype is None else self._counts + other._counts
        else:
            self._kept.extend(other._kept)
        self._dtype, self._areas = other._dtype, None

    @property
    def positives(self) -> int:
        """Pixels labelled so."""
        if self._dtype in _SIXTEEN_BIT:
            return int(self._counts[1].sum())
        return sum(int(np.count_nonzero(labels)) for _, labels in self._kept)

    @property
    def negatives(self) -> int:
        """Pixels not labelled positive."""
        if self._dtype in _SIXTEEN_BIT:
            return int(self._counts[0].sum())
        return sum(len(labels) for _, labels in self._kept) - self.positives

    def auc(self) -> float:
        """Area under the ROC curve, equal scores counting half; NaN unless there are pixels of both classes."""
        return self._both_areas()[0]

    def average_precision(self) -> float:
        """Average precision, the sum of (R_k - R_{k-1}) P_k over distinct scores; NaN without positives."""
        return self._both_areas()[1]

    def sensitivity(self, threshold: float) -> float:
        """Share of positives scoring at least the threshold; NaN without positives."""
        return self._share_at_least(threshold, 1)

    def specificity(self, threshold: float) -> float:
        """Share of negatives scoring less than the threshold; NaN without negatives."""
        return 1.0 - self._share_at_least(threshold, 0)

    def count_between(self, low: float, high: float) -> int:
        """Pixels with low < score < high, of both classes: the confused ones, for 0.1 and 0.9."""
        if self._dtype in _SIXTEEN_BIT:
            values, counts = self._by_value()
            return int(counts[:, (values > low) & (values < high)].sum())
        return sum(int(np.count_nonzero((scores > low) & (scores < high))) for scores, _ in self._kept)

    def curve(self) -> PixelCounts:
        """Counts at every distinct score, to draw ROC and precision-recall curves from."""
        if self._dtype is None:
            return PixelCounts(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))
        if self._dtype in _SIXTEEN_BIT:
            values, counts = self._by_value()
            negatives, positives = counts
        else:
            values, positives, negatives = _core.count_scores(*self._joined(), threads=self._threads)
        return PixelCounts(values[::-1], np.cumsum(positives[::-1]), np.cumsum(negatives[::-1]))

    def _check_dtype(self, dtype: np.dtype[Any]) -> None:
        if dtype not in (*_SIXTEEN_BIT, np.dtype(np.float32)):
            raise InvalidArgument(f"scores are {dtype}; accepted: uint8, uint16, float16, float32")
        if self._dtype is not None and dtype != self._dtype:
            raise InvalidArgument(f"scores are {dtype}, earlier ones {self._dtype}; use one dtype for all pixels")

    def _count(self, scores: NDArray[Any], labels: NDArray[np.uint8]) -> None:
        bits = scores.view(np.uint16)
        first = not self._counts.size
        into_ours = not first and len(bits) <= _FEW
        counts = self._counts if into_ours else np.zeros((2, 1 << 16), np.int64)
        # By its bits, ten times as fast as isnan.
        if into_ours and scores.dtype == np.float16 and ((bits & 0x7FFF) > 0x7C00).any():
            raise InvalidArgument("scores hold NaN; remove or replace those pixels first")
        _core.pixel_histogram(bits, labels, counts, threads=self._threads)
        if into_ours:
            return
        if scores.dtype == np.float16 and (counts[:, 0x7C01:0x8000].any() or counts[:, 0xFC01:].any()):
            raise InvalidArgument("scores hold NaN; remove or replace those pixels first")
        if first:
            self._counts = counts
        else:
            self._counts += counts

    def _by_value(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The distinct scores, ascending, and their counts [2, K]."""
        assert self._dtype is not None
        counts = self._ascending_counts()
        used = counts.any(axis=0)
        values = np.arange(1 << 16, dtype=np.uint16).view(self._dtype)
        return _ascending(values, self._dtype)[used], counts[:, used]

    def _ascending_counts(self) -> NDArray[np.int64]:
        """Counts of every value that is a number, in ascending order, [2, K]."""
        counts = _ascending(self._counts, self._dtype)
        if self._dtype == np.float16:
            counts[:, _NEGATIVE_HALVES] += self._counts[:, 0x8000]  # -0 is 0
        return counts

    def _joined(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """All float32 scores and labels as one array each."""
        if len(self._kept) > 1:
            self._kept = [(np.concatenate([s for s, _ in self._kept]), np.concatenate([y for _, y in self._kept]))]
        return self._kept[0]

    def _both_areas(self) -> tuple[float, float]:
        if self._areas is None:
            if self._dtype is None:
                self._areas = float("nan"), float("nan")
            elif self._dtype in _SIXTEEN_BIT:
                # Probabilities as float16 are in order already, and need no copy.
                ordered = self._dtype == np.float16 and not self._counts[:, 0x8000:].any()
                negatives, positives = self._counts[:, :0x7C01] if ordered else self._ascending_counts()
                self._areas = _core.count_areas(positives, negatives)
            else:
                self._areas = _core.rank_areas(*self._joined(), threads=self._threads)
        return self._areas

    def _share_at_least(self, threshold: float, label: int) -> float:
        if self._dtype in _SIXTEEN_BIT:
            values, counts = self._by_value()
            above, total = int(counts[label, values >= threshold].sum()), int(counts[label].sum())
        else:
            above = sum(int(np.count_nonzero((s >= threshold) & ((y != 0) == label))) for s, y in self._kept)
            total = self.positives if label else self.negatives
        return above / total if total else float("nan")


@by_value
class PixelAreas(NamedTuple):
    """The two areas of one ranking."""

    auc: float
    average_precision: float


def pixel_areas(scores: ArrayLike, labels: ArrayLike, *, threads: int = 0) -> PixelAreas:
    """ROC AUC and average precision of one set of pixels; see ``PixelCurve``, which takes the same arrays.

    float32 scores that are dense are not copied.
    """
    values, positive = np.asarray(scores), _labels(labels)
    if values.dtype == np.float32 and values.shape == positive.shape:
        return PixelAreas(*_core.rank_areas(values.reshape(-1), positive.reshape(-1).view(np.uint8), threads=threads))
    curve = PixelCurve(threads=threads)
    curve.add(values, positive)
    return PixelAreas(curve.auc(), curve.average_precision())


def _labels(labels: ArrayLike) -> NDArray[Any]:
    """bool or uint8, nonzero = positive."""
    given = np.asarray(labels)
    return given if given.dtype in (np.dtype(bool), np.dtype(np.uint8)) else truth_of(given, "labels")


def _ascending(of_bits: NDArray[Any], dtype: np.dtype[Any] | None) -> NDArray[Any]:
    """What is said of each 16 bits, [..., 65536], by ascending value: of float16 -inf to below 0, then 0 to inf.

    The order of float16's bits is known, and slices of a table are many times faster than an index for each value.
    """
    if dtype != np.float16:
        return of_bits
    return np.concatenate([of_bits[..., 0xFC00:0x8000:-1], of_bits[..., :0x7C01]], axis=-1)
