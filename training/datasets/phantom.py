"""Mammogram-like images whose lesions have an exactly known boundary.

Not a simulation of X-rays: what matters is that the lesions lie in tissue of the right statistics (a power
spectrum of 1/f^3, Burgess et al. 2001, doi 10.1118/1.1355308) and that their outlines are known to the pixel.
All sizes are in millimetres, and the same seed and settings give the same image.

Layers: fat under a compressed, rounded edge; fibroglandular clumps and strands behind the nipple; skin; in an
MLO view the pectoral muscle; lesions; blur and noise. Brighter means denser, 12 bits, background 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from .phantom_lesions import DrawnLesion, LesionKind, draw_lesion
from .record import Laterality, Mask

View = Literal["CC", "MLO"]
Field = NDArray[np.float32]
LARGEST_VALUE = 4095


@dataclass(frozen=True)
class PhantomSettings:
    """Size of the image in pixels, mm per pixel, and how far lesions stand out (1: as in the default set)."""

    height: int = 1200
    width: int = 900
    spacing_mm: float = 0.2
    lesion_contrast: float = 1.0


@dataclass(frozen=True, eq=False)
class Phantom:
    """One image. pixels: uint16 [H, W]; breast: bool [H, W]; labels: uint8 [H, W], k for lesions[k - 1]."""

    pixels: NDArray[np.uint16]
    breast: Mask
    labels: NDArray[np.uint8]
    lesions: tuple[DrawnLesion, ...]


def render(
    kinds: Sequence[LesionKind],
    *,
    seed: Sequence[int],
    view: View,
    laterality: Laterality,
    settings: PhantomSettings | None = None,
) -> Phantom:
    """Draw one image with the wanted lesions; one that finds no room in the breast is left out.

    Args:
        kinds: of the lesions.
        seed: numbers that say which image it is.
        view: an MLO view has a pectoral muscle.
        laterality: the chest wall is on the left for L, on the right for R.
        settings: the default ones if None.
    """
    settings = settings or PhantomSettings()
    rng = np.random.default_rng(list(seed))
    y = (np.arange(settings.height, dtype=np.float32)[:, None] + 0.5) * settings.spacing_mm
    x = (np.arange(settings.width, dtype=np.float32)[None, :] + 0.5) * settings.spacing_mm
    breast, nipple = _breast_shape(y, x, view, rng)
    depth = ndimage.distance_transform_edt(np.pad(breast, ((0, 0), (1, 0)), mode="edge"))[:, 1:]
    depth_mm = (depth * settings.spacing_mm).astype(np.float32)
    pectoral = _pectoral(y, x, rng) if view == "MLO" else np.zeros_like(depth_mm)
    brightness = _tissue(depth_mm, np.hypot(y - nipple[0], x - nipple[1]), pectoral, settings, rng)
    room = depth_mm * (pectoral < 0.05)
    labels = np.zeros(breast.shape, np.uint8)
    lesions: list[DrawnLesion] = []
    for kind in kinds:
        lesion = draw_lesion(kind, room, labels > 0, spacing_mm=settings.spacing_mm, rng=rng)
        if lesion is not None:
            lesions.append(lesion)
            labels[lesion.box][lesion.mask] = len(lesions)
            brightness[lesion.box] += settings.lesion_contrast * lesion.added
    brightness = ndimage.gaussian_filter(brightness, 0.12 / settings.spacing_mm)
    grain = rng.standard_normal(brightness.shape, np.float32)
    brightness += grain * np.sqrt(np.maximum(brightness, 0.0)) * 0.35
    pixels = np.where(breast, np.clip(brightness, 1, LARGEST_VALUE), 0).round().astype(np.uint16)
    found = Phantom(pixels, breast, labels, tuple(lesions))
    return found if laterality == "L" else _mirror(found)


def power_law_noise(
    size: tuple[int, int], spacing_mm: float, rng: np.random.Generator, *, exponent: float = 3.0
) -> Field:
    """Gaussian noise with a power spectrum of 1/f^exponent above 1/100 mm, mean 0, variance 1.

    Args:
        size: (H, W).
        spacing_mm: mm per pixel.
        rng: source of the phases.
        exponent: of the power spectrum.
    """
    frequency = np.hypot(np.fft.fftfreq(size[0], spacing_mm)[:, None], np.fft.rfftfreq(size[1], spacing_mm)[None])
    amplitude = np.maximum(frequency, 0.01) ** (-exponent / 2.0)
    amplitude[0, 0] = 0.0
    spectrum = np.fft.rfft2(rng.standard_normal(size, np.float32)) * amplitude
    field = np.fft.irfft2(spectrum, s=size)
    return np.asarray(field / max(float(field.std()), 1e-12), np.float32)


def _breast_shape(y: Field, x: Field, view: View, rng: np.random.Generator) -> tuple[Mask, tuple[float, float]]:
    """A half superellipse at the left edge, and where its nipple lies (y, x) in mm; MLO reaches the top."""
    height, width = float(y[-1, 0]), float(x[0, -1])
    reach = width * rng.uniform(0.5, 0.72)
    middle = height * (rng.uniform(0.45, 0.55) if view == "CC" else rng.uniform(0.55, 0.63))
    down = (height - middle) * rng.uniform(0.8, 0.95)
    up = middle * rng.uniform(0.8, 0.95) if view == "CC" else middle * rng.uniform(1.15, 1.4)
    power = rng.uniform(2.0, 2.5)
    above = np.abs(y - middle) / np.where(y < middle, up, down)
    inside = (x / reach) ** power + above**power < 1.0
    nipple_size = rng.uniform(3.0, 5.0)
    inside |= np.hypot(y - middle, x - reach) < nipple_size
    return inside, (middle, reach)


def _pectoral(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """0..1: a triangle in the upper corner at the chest wall, its edge slightly bent and 3 mm soft."""
    height, width = float(y[-1, 0]), float(x[0, -1])
    across, along = width * rng.uniform(0.28, 0.45), height * rng.uniform(0.45, 0.7)
    bend = rng.uniform(-0.06, 0.1)
    t = y / along
    edge = across * (1.0 - t + bend * np.sin(np.pi * np.clip(t, 0.0, 1.0)))
    return np.asarray(1.0 / (1.0 + np.exp(np.clip((x - edge) / 0.8, -30, 30))), np.float32)


def _tissue(
    depth_mm: Field, from_nipple_mm: Field, pectoral: Field, settings: PhantomSettings, rng: np.random.Generator
) -> Field:
    """Brightness of the breast without lesions, float32 [H, W]; 0 outside."""
    size, spacing = (depth_mm.shape[0], depth_mm.shape[1]), settings.spacing_mm
    texture = power_law_noise(size, spacing, rng)
    clumps = power_law_noise(size, spacing, rng, exponent=3.4)
    strands = np.exp(-((power_law_noise(size, spacing, rng, exponent=4.2) / 0.05) ** 2))
    strands += np.exp(-((power_law_noise(size, spacing, rng, exponent=3.8) / 0.04) ** 2))
    thickness = np.sqrt(1.0 - (1.0 - np.clip(depth_mm / 22.0, 0.0, 1.0)) ** 2)
    density, spread = rng.uniform(-0.9, 0.7), rng.uniform(45.0, 70.0)
    behind_nipple = 1.7 * np.exp(-((from_nipple_mm / spread) ** 2)) - 1.1
    under_skin = np.clip((depth_mm - 4.0) / 8.0, 0.0, 1.0)
    gland = under_skin * (1.0 - pectoral) / (1.0 + np.exp(-2.0 * (clumps + behind_nipple + density)))
    body = 600.0 + 120.0 * texture + 620.0 * gland * (1.0 + 0.3 * texture)
    body += 130.0 * strands * under_skin * (0.4 + 0.6 * gland) + 520.0 * pectoral
    skin = 330.0 * np.exp(-(((depth_mm - 0.9) / 0.7) ** 2))
    return np.asarray(np.where(depth_mm > 0, body * (0.25 + 0.75 * thickness) + skin, 0.0), np.float32)


def _mirror(phantom: Phantom) -> Phantom:
    """The other breast: columns in reverse order."""
    return Phantom(
        pixels=np.ascontiguousarray(phantom.pixels[:, ::-1]),
        breast=np.ascontiguousarray(phantom.breast[:, ::-1]),
        labels=np.ascontiguousarray(phantom.labels[:, ::-1]),
        lesions=tuple(lesion.mirrored(phantom.pixels.shape[1]) for lesion in phantom.lesions),
    )
