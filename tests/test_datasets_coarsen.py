"""Loose outlines: their area, place and smoothness, and what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from training.datasets.coarsen import coarsen_labels, coarsen_mask, trace_boundary
from training.datasets.record import DatasetError
from training.datasets.shapes import fill_polygon, polygon_area

SIZE = (220, 260)
ROWS, COLUMNS = np.mgrid[: SIZE[0], : SIZE[1]]


def star(y: float, x: float, radius: float, *, points: int, depth: float, turn: float = 0.0) -> np.ndarray:
    angle = np.arctan2(ROWS - y, COLUMNS - x)
    return np.hypot(ROWS - y, COLUMNS - x) <= radius * (1.0 + depth * np.sin(points * angle + turn))


def is_in_one_part(mask: np.ndarray) -> bool:
    """Small stars can fall apart into pixels, and then count as their hull."""
    return int(ndimage.label(mask, structure=np.ones((3, 3)))[1]) == 1


def diameter(mask: np.ndarray) -> float:
    return 2.0 * float(np.sqrt(mask.sum() / np.pi))


def centre(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)[::-1]


stars = st.builds(
    star,
    st.floats(70, 150),
    st.floats(80, 180),
    st.floats(2, 34),
    points=st.integers(2, 9),
    depth=st.floats(0, 0.5),
    turn=st.floats(0, 6),
).filter(is_in_one_part)


@settings(max_examples=40, deadline=None)
@given(lesion=stars, seed=st.integers(0, 2**32))
def test_area_place_and_coverage(lesion: np.ndarray, seed: int) -> None:
    outline = coarsen_mask(lesion, seed=seed, name="image")
    assert 2.0 <= polygon_area(outline) / lesion.sum() <= 4.0
    filled = fill_polygon(outline, SIZE)
    assert (filled & lesion).sum() >= 0.75 * lesion.sum()
    # The curve's centre, by its pixels: half a pixel of rounding comes on top of the 20 %.
    assert np.hypot(*(centre(filled) - centre(lesion))) <= 0.2 * diameter(lesion) + 0.5


def test_ratios_and_offsets_fill_their_ranges() -> None:
    lesion = star(110, 130, 20, points=3, depth=0.1)
    outlines = [coarsen_mask(lesion, seed=seed, name="image") for seed in range(60)]
    ratios = np.array([polygon_area(outline) / lesion.sum() for outline in outlines])
    offsets = np.array([np.hypot(*(outline.mean(axis=0) - centre(lesion))) for outline in outlines])
    assert ratios.min() < 2.3
    assert ratios.max() > 3.7
    assert offsets.max() > 0.14 * diameter(lesion)


@pytest.mark.parametrize("thickness", [1, 3, 8])
def test_thin_lesions_stay_mostly_inside(thickness: int) -> None:
    lesion = np.zeros(SIZE, bool)
    lesion[100 : 100 + thickness, 60:200] = True
    for seed in range(10):
        outline = coarsen_mask(lesion, seed=seed, name="image")
        assert (fill_polygon(outline, SIZE) & lesion).sum() >= 0.7 * lesion.sum()


def test_scattered_specks_count_as_their_hull() -> None:
    lesion = np.zeros(SIZE, bool)
    for row, column in ((50, 50), (50, 90), (80, 60), (90, 90)):
        lesion[row : row + 2, column : column + 2] = True
    outline = coarsen_mask(lesion, seed=1, name="image")
    assert fill_polygon(outline, SIZE)[lesion].all()


def test_outline_is_smooth() -> None:
    spiky = star(110, 130, 25, points=9, depth=0.5)
    outline = coarsen_mask(spiky, seed=3, name="image")
    steps = np.diff(np.vstack([outline, outline[:2]]), axis=0)
    turns = np.abs(np.angle(np.exp(1j * np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))))))
    assert turns.max() < 0.25


def test_same_seed_same_outline_and_every_key_matters() -> None:
    lesion = star(110, 130, 20, points=5, depth=0.2)
    first = coarsen_mask(lesion, seed=7, name="image")
    np.testing.assert_array_equal(first, coarsen_mask(lesion.copy(), seed=7, name="image"))
    moved = np.roll(lesion, 3, axis=1)
    for other in (
        coarsen_mask(lesion, seed=8, name="image"),
        coarsen_mask(lesion, seed=7, name="other"),
        coarsen_mask(moved, seed=7, name="image") - [3, 0],
    ):
        assert np.abs(other - first).max() > 0.5


def test_labels_do_not_depend_on_their_numbering() -> None:
    labels = np.zeros(SIZE, np.int16)
    labels[star(60, 60, 15, points=4, depth=0.1)] = 1
    labels[star(150, 180, 25, points=5, depth=0.2)] = 2
    labels[200:205, 10:40] = -1
    coarse = coarsen_labels(labels, seed=5, name="image")
    swapped = np.where(labels == 1, 2, np.where(labels == 2, 1, labels)).astype(np.int16)
    again = coarsen_labels(swapped, seed=5, name="image")
    np.testing.assert_array_equal(np.where(again == 1, 2, np.where(again == 2, 1, again)), coarse)
    assert (coarse[labels > 0] == labels[labels > 0]).mean() > 0.9
    assert (coarse[labels < 0] == -1).all()
    for k in (1, 2):
        assert 1.9 <= (coarse == k).sum() / (labels == k).sum() <= 4.1


def test_neighbours_that_overlap_both_survive() -> None:
    labels = np.zeros(SIZE, np.int16)
    labels[star(100, 100, 30, points=4, depth=0.0)] = 1
    labels[star(100, 136, 4, points=4, depth=0.0)] = 2
    coarse = coarsen_labels(labels, seed=5, name="image")
    assert (coarse == 2).sum() > 1.5 * (labels == 2).sum()
    assert (coarse[labels == 1] != 2).all()


def test_empty_lesion_is_refused() -> None:
    with pytest.raises(DatasetError, match="image"):
        coarsen_mask(np.zeros((5, 5), bool), seed=0, name="image")


def test_lesion_at_the_border_is_cut_by_the_image_only() -> None:
    lesion = star(2, 3, 12, points=3, depth=0.1)
    outline = coarsen_mask(lesion, seed=2, name="image")
    assert outline.min() < 0
    assert 2.0 <= polygon_area(outline) / lesion.sum() <= 4.0


def test_boundary_of_a_region_encloses_exactly_its_pixels() -> None:
    region = star(110, 130, 30, points=7, depth=0.4)
    corners = trace_boundary(region)
    assert polygon_area(corners) == region.sum()
    np.testing.assert_array_equal(fill_polygon(corners, SIZE), region)
