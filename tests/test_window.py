"""The window of a film: two float32 values, the second always above the first."""

from __future__ import annotations

import numpy as np
import pytest

from lcx_fast import preprocess


def window(values: np.ndarray, low: float = 1.0, high: float = 99.5) -> tuple[float, float]:
    coarse = preprocess.CoarseView(values.astype(np.float32), np.ones(values.shape, bool))
    return preprocess.window_of(coarse, low_percentile=low, high_percentile=high)


def test_percentiles_of_the_breast() -> None:
    values = np.arange(1001.0).reshape(7, 143)
    low, high = window(values, 1.0, 99.0)
    assert (low, high) == (10.0, 990.0)


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0, 3e8, -3e8, 1e30])
def test_equal_values_still_have_a_window(value: float) -> None:
    low, high = window(np.full((5, 6), value))
    assert low == np.float32(value) and np.float32(high) > np.float32(low)
    assert high == low + 1.0 or np.float32(low + 1.0) == np.float32(low)


def test_percentiles_that_float32_cannot_tell_apart() -> None:
    values = np.full((20, 20), np.float32(1000.0))
    values[0, 0] = np.nextafter(np.float32(1000.0), np.float32(np.inf))
    low, high = window(values, 0.0, 99.8)  # between the two, nearer to the lower
    assert np.float32(high) > np.float32(low)
