"""The breast mask against its NumPy definition, its invariances, and scenes whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import reference_breast
from hypothesis import given, settings
from hypothesis import strategies as st

from lcx_fast import _core

AWKWARD_SHAPES = [(1, 1), (1, 2), (2, 1), (1, 40), (40, 1), (3, 3), (31, 32), (33, 31), (64, 65), (128, 63)]


def breast_mask(image):
    mask = _core.breast_mask(image)
    assert mask.dtype == bool
    assert mask.shape == image.shape
    return mask


def half_disc(shape, *, centre=0.5, radius=0.36):
    """Signed depth below the skin in pixels, > 0 inside, of a breast at the left edge."""
    height, width = shape
    y, x = np.indices(shape)
    size = radius * max(height, width)
    return size - np.hypot(y - centre * (height - 1), 1.1 * x)


def tissue(shape, rng):
    """Cloudy texture in 0..1, from coarse to fine."""
    total = np.zeros(shape)
    for cell in (64, 24, 8, 3):
        blocks = rng.random((shape[0] // cell + 2, shape[1] // cell + 2))
        total += np.kron(blocks, np.ones((cell, cell)))[: shape[0], : shape[1]] / 4
    return total


def digital(shape, rng, **kwargs):
    """(image, truth): constant background, integers, so that affine changes are exact in float32."""
    depth = half_disc(shape, **kwargs)
    breast = 300 + 3000 * tissue(shape, rng) * np.clip(depth / 20, 0.2, 1)
    return np.where(depth > 0, np.round(breast), 0).astype(np.float32), depth > 0


def letters(shape):
    """Strokes, 4 pixels wide, in the upper right corner of an image of 500 x 400."""
    mask = np.zeros(shape, bool)
    for x in (300, 325, 350):
        mask[40:70, x : x + 4] = True
        mask[40:44, x : x + 16] = True
        mask[54:58, x : x + 14] = True
    return mask


def film(rng, *, noise=0.004, frame=0, black_frame=0, leak=False, scratch=False):
    """(image, truth, what must stay out) of a digitised film, 500 x 400, values 0..65535."""
    shape = (500, 400)
    depth = half_disc(shape)
    breast = (0.1 + 0.5 * tissue(shape, rng)) * np.clip(depth / 25, 0.15, 1)
    image = 0.05 + np.where(depth > 0, breast, 0)
    if leak:
        image += 0.18 * np.exp(-np.arange(400) / 9)
    stay_out = letters(shape)
    stay_out[400:470, 280:370] = True  # a sticker
    image[stay_out] = 0.9
    if scratch:
        image[246:248, :] = 1.0
        image[:, 150] = 1.0
    image += rng.normal(0, noise, shape)
    for thickness, value in ((frame, 1.0), (black_frame, 0.0)):
        if thickness:
            edge = np.ones(shape, bool)
            edge[thickness:-thickness, thickness:-thickness] = False
            image[edge] = value
            stay_out |= edge
    return (65535 * np.clip(image, 0, 1)).astype(np.float32), (depth > 0) & ~stay_out, stay_out


def intersection_over_union(mask, truth):
    return np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth)


SCENES = {
    "clean": {},
    "no noise": {"noise": 0},
    "strong noise": {"noise": 0.01},
    "white frame": {"frame": 10},
    "black frame": {"black_frame": 12},
    "leak": {"leak": True},
    "scratch": {"scratch": True},
    "all": {"frame": 6, "leak": True, "scratch": True},
}


# --- Equality with the definition ---


@pytest.mark.parametrize("shape", [*AWKWARD_SHAPES, (500, 400)])
def test_equals_reference_on_digital_phantoms(shape):
    rng = np.random.default_rng(sum(shape))
    image, _ = digital(shape, rng)
    np.testing.assert_array_equal(breast_mask(image), reference_breast.breast_mask(image))


@pytest.mark.parametrize("shape", AWKWARD_SHAPES)
@pytest.mark.parametrize("kind", ["noise", "sparse", "steps", "fading"])
def test_equals_reference_on_patterns(shape, kind):
    rng = np.random.default_rng(7)
    image = {
        "noise": rng.normal(size=shape),
        "sparse": rng.random(shape) > 0.7,
        "steps": tissue(shape, rng) ** 4,
        "fading": np.broadcast_to(np.linspace(-3, 5, shape[1]) ** 2, shape),
    }[kind].astype(np.float32)
    np.testing.assert_array_equal(breast_mask(image), reference_breast.breast_mask(image))


@pytest.mark.parametrize("scene", SCENES)
def test_equals_reference_on_films(scene):
    image, _, _ = film(np.random.default_rng(3), **SCENES[scene])
    np.testing.assert_array_equal(breast_mask(image), reference_breast.breast_mask(image))


@pytest.mark.parametrize("side", ["left", "right", "both"])
@pytest.mark.parametrize("reach", [6, 12, 25, 60])
def test_equals_reference_on_slow_fades(side, reach):
    """Skin and light leaks that fade so slowly that each threshold moves the outline."""
    shape = (300, 260)
    depth = half_disc(shape, radius=0.3)
    leak = 0.2 * np.exp(-np.arange(shape[1]) / reach)
    image = np.clip((depth + 30) / 200, 0, 1) ** 2 + leak
    image[130:138, :12] = 0  # a pocket that only the chest wall closes
    if side == "right":
        image = image[:, ::-1]
    elif side == "both":
        image = np.maximum(image, image[:, ::-1])
    image = image.astype(np.float32)
    np.testing.assert_array_equal(breast_mask(image), reference_breast.breast_mask(image))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    seed=st.integers(0, 2**31),
    density=st.floats(0.02, 0.98),
    cell=st.integers(1, 12),
)
def test_equals_reference_on_blocks(shape, seed, density, cell):
    rng = np.random.default_rng(seed)
    blocks = rng.random((shape[0] // cell + 1, shape[1] // cell + 1))
    image = np.kron(np.where(blocks < density, blocks, 0), np.ones((cell, cell)))
    image = image[: shape[0], : shape[1]].astype(np.float32)
    np.testing.assert_array_equal(breast_mask(image), reference_breast.breast_mask(image))


def test_equals_reference_on_numbers_that_are_none():
    rng = np.random.default_rng(11)
    image, _ = digital((90, 70), rng)
    image[rng.random(image.shape) < 0.05] = np.nan
    image[3, 4], image[60, 5] = np.inf, -np.inf
    np.testing.assert_array_equal(breast_mask(image), reference_breast.breast_mask(image))


# --- Contract ---


@pytest.mark.parametrize("value", [0.0, 1.0, 65535.0, -3.0, np.nan, np.inf])
@pytest.mark.parametrize("shape", [(1, 1), (33, 20), (120, 100)])
def test_constant_image_has_no_breast(shape, value):
    assert not breast_mask(np.full(shape, value, np.float32)).any()


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_empty_image(shape):
    assert breast_mask(np.zeros(shape, np.float32)).shape == shape


def test_image_without_background_is_all_breast():
    image = (0.2 + tissue((200, 160), np.random.default_rng(5))).astype(np.float32)
    assert breast_mask(image).all()


def test_nan_counts_as_darkest():
    image, _ = digital((200, 150), np.random.default_rng(2))
    expected = breast_mask(image)
    image[image == 0] = np.nan
    image[0, -1] = 0
    np.testing.assert_array_equal(breast_mask(image), expected)


@pytest.mark.parametrize(("gain", "offset"), [(0.25, 0), (4, 0), (1, -2000), (16, 4096), (1 / 65536, 0)])
def test_gain_and_offset_change_nothing(gain, offset):
    image, _ = digital((300, 220), np.random.default_rng(4))
    changed = image * np.float32(gain) + np.float32(offset)
    np.testing.assert_array_equal(breast_mask(changed), breast_mask(image))


@pytest.mark.parametrize("scene", SCENES)
def test_mirrored_image_gives_mirrored_mask(scene):
    image, _, _ = film(np.random.default_rng(9), **SCENES[scene])
    mirrored = np.ascontiguousarray(image[:, ::-1])
    np.testing.assert_array_equal(breast_mask(mirrored)[:, ::-1], breast_mask(image))


def test_mirrored_tie_keeps_both():
    image = np.zeros((64, 80), np.float32)
    image[20:40, :20] = image[20:40, -20:] = 100
    mask = breast_mask(image)
    np.testing.assert_array_equal(mask, mask[:, ::-1])
    assert mask[30, 5] and mask[30, -5] and not mask[30, 40]


def test_arrays_that_are_not_contiguous():
    image, _ = digital((150, 120), np.random.default_rng(6))
    expected = breast_mask(image)
    wide = np.zeros((300, 360), np.float32)
    wide[::2, ::3] = image
    for view in (np.asfortranarray(image), wide[::2, ::3], image[::-1][::-1]):
        np.testing.assert_array_equal(breast_mask(view), expected)
    np.testing.assert_array_equal(breast_mask(image[:, ::-1]), expected[:, ::-1])


# --- Scenes with a known truth ---


def test_digital_breast_is_found():
    image, truth = digital((500, 400), np.random.default_rng(1))
    assert intersection_over_union(breast_mask(image), truth) > 0.99


def test_padding_changes_nothing():
    image, truth = digital((400, 260), np.random.default_rng(8))
    padding = ((50, 50), (120, 120))
    mask = breast_mask(np.pad(image, padding))
    assert intersection_over_union(mask, np.pad(truth, padding)) > 0.99


def test_fat_as_black_as_the_background_is_breast():
    image, truth = digital((400, 300), np.random.default_rng(10))
    depth = half_disc((400, 300))
    y, x = np.indices(image.shape)
    image[(depth > 12) & ((y // 9 + x // 15) % 2 == 0)] = 0
    assert intersection_over_union(breast_mask(image), truth) > 0.98


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scene", SCENES)
def test_film_breast_is_found_and_labels_stay_out(scene, seed):
    image, truth, stay_out = film(np.random.default_rng(seed), **SCENES[scene])
    mask = breast_mask(image)
    assert intersection_over_union(mask, truth) > 0.97
    assert not (mask & stay_out)[10:-10, 10:-10].any()
