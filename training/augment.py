"""Random views of a sample: geometry, grey values, and a little of what a digitised film does to an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.prepare import Sample


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges of the random draws; each range is (lowest, highest)."""

    crop: tuple[int, int] = (448, 320)
    scale: tuple[float, float] = (0.8, 1.25)
    rotation_degrees: float = 15.0
    gamma: tuple[float, float] = (0.65, 1.5)
    blur_sigma_px: tuple[float, float] = (0.0, 1.0)
    noise: float = 0.02
    window_jitter: float = 0.08


def random_view(
    sample: Sample, config: AugmentConfig, random: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, float]:
    """One augmented crop.

    Returns:
        image float32 [h, w] in 0..1 (zero outside the breast), breast bool [h, w], labels int64 [h, w], and
        the scale by which the view is larger than the sample.
    """
    image, breast, labels, scale = _random_geometry(sample, config, random)
    image = _random_grey(image, config, random)
    return image * breast, breast, labels, scale


def _random_geometry(
    sample: Sample, config: AugmentConfig, random: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, float]:
    height, width = sample.image.shape
    crop_height, crop_width = config.crop
    scale = float(np.exp(random.uniform(*np.log(config.scale))))
    angle = np.deg2rad(random.uniform(-config.rotation_degrees, config.rotation_degrees))
    flip_x, flip_y = (float(random.choice([-1.0, 1.0])) for _ in range(2))
    centre_y = _random_centre(height, crop_height / scale, random)
    centre_x = _random_centre(width, crop_width / scale, random)

    # Where each crop pixel comes from: centre + R(angle) * flipped offset / scale, in sample pixels.
    ys = (torch.arange(crop_height) - (crop_height - 1) / 2) * (flip_y / scale)
    xs = (torch.arange(crop_width) - (crop_width - 1) / 2) * (flip_x / scale)
    offset_y, offset_x = torch.meshgrid(ys, xs, indexing="ij")
    source_y = centre_y + np.cos(angle) * offset_y + np.sin(angle) * offset_x
    source_x = centre_x - np.sin(angle) * offset_y + np.cos(angle) * offset_x
    grid = torch.stack([(2 * source_x + 1) / width - 1, (2 * source_y + 1) / height - 1], dim=-1)[None]

    image = _sample(sample.image, grid, "bilinear")
    breast = _sample(sample.breast.astype(np.float32), grid, "nearest") > 0.5
    labels = _sample(sample.labels.astype(np.float32), grid, "nearest").round().to(torch.int64)
    return image, breast, labels, scale


def _random_centre(length: int, view: float, random: np.random.Generator) -> float:
    """A view centre that wastes no more of the view than it must, give or take a tenth of it."""
    slack = abs(length - view) / 2
    return (length - 1) / 2 + random.uniform(-slack, slack) * 0.9 + random.uniform(-0.05, 0.05) * view


def _sample(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]], grid: Tensor, mode: str) -> Tensor:
    source = torch.from_numpy(np.ascontiguousarray(array))[None, None]
    return F.grid_sample(source, grid.to(torch.float32), mode=mode, padding_mode="zeros", align_corners=False)[0, 0]


def _random_grey(image: Tensor, config: AugmentConfig, random: np.random.Generator) -> Tensor:
    """Blur, window, gamma, noise: in the order in which a film and its scanner would add them."""
    sigma = random.uniform(*config.blur_sigma_px)
    if sigma > 0.3:
        image = gaussian_blur(image, sigma)
    low = random.uniform(-config.window_jitter, config.window_jitter)
    high = 1.0 + random.uniform(-config.window_jitter, config.window_jitter)
    image = ((image - low) / (high - low)).clamp(0.0, 1.0)
    image = image ** float(np.exp(random.uniform(*np.log(config.gamma))))
    noise = torch.from_numpy(random.standard_normal(tuple(image.shape), dtype=np.float32))
    return (image + float(random.uniform(0.0, config.noise)) * noise).clamp(0.0, 1.0)


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian of [H, W], cut at three sigma, edges reflected."""
    reach = max(1, int(np.ceil(3 * sigma)))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(image.dtype)
    padded = F.pad(image[None, None], (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[0, 0]
