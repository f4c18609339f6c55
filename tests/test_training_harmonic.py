"""The continuation of grey values into an outline."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from training.harmonic import harmonic_continuation


def relaxed(values: np.ndarray, region: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The definition: a pixel of the region becomes the mean of those neighbours that count, until nothing moves."""
    result = values.copy()
    result[region] = values[region].mean()
    counted = np.pad(known | region, 1).astype(float)
    for _ in range(20_000):
        padded = np.pad(result, 1)
        total, count = np.zeros_like(values), np.zeros_like(values)
        for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
            beside = (slice(y, y + values.shape[0]), slice(x, x + values.shape[1]))
            total += padded[beside] * counted[beside]
            count += counted[beside]
        moved = np.where(region & (count > 0), total / np.maximum(count, 1), result)
        if np.abs(moved - result).max() < 1e-12:
            break
        result = moved
    return result


@pytest.mark.parametrize("seed", range(4))
def test_every_pixel_is_the_mean_of_its_neighbours(seed: int) -> None:
    random = np.random.default_rng(seed)
    region, known = np.zeros((2, 17, 23), bool)
    region[2:13, 4:20] = random.random((11, 16)) < 0.8
    region[0, :9] = True  # at the image's border
    known[:] = random.random(known.shape) < 0.7
    known[3, 3] = region[3, 4] = True
    values = random.normal(size=region.shape)
    np.testing.assert_allclose(harmonic_continuation(values, region, known), relaxed(values, region, known), atol=2e-6)


def test_a_slope_goes_on_below_a_lesion() -> None:
    y, x = np.mgrid[:40, :50].astype(float)
    slope, region = 0.3 + 0.01 * y - 0.004 * x, np.hypot(y - 20, x - 25) < 12
    seen = slope + 0.5 * (np.hypot(y - 22, x - 23) < 6)
    np.testing.assert_allclose(harmonic_continuation(seen, region, np.ones_like(region)), slope, atol=1e-6)


def test_what_lies_beyond_the_breast_does_not_count() -> None:
    values, region, known = np.full((20, 20), 0.4), np.zeros((20, 20), bool), np.ones((20, 20), bool)
    values[:, 12:], known[:, 12:], region[5:15, 4:12] = 0.0, False, True  # the outline reaches the breast's edge
    np.testing.assert_allclose(harmonic_continuation(values, region, known)[region], 0.4, atol=1e-6)


def test_a_region_without_an_edge_gets_its_mean_and_an_empty_one_nothing() -> None:
    values = np.arange(30.0).reshape(5, 6)
    everywhere, nowhere = np.ones((5, 6), bool), np.zeros((5, 6), bool)
    np.testing.assert_allclose(harmonic_continuation(values, everywhere, everywhere), np.full((5, 6), 14.5), atol=1e-5)
    assert np.array_equal(harmonic_continuation(values, nowhere, everywhere), values)
