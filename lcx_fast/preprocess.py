"""From a mammogram to what the network sees, the same in training and at inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import ops
from .by_value import by_value
from .errors import InvalidArgument
from .mammogram import PIXEL_DTYPES, Mammogram

if TYPE_CHECKING:
    from .model import ModelSpec

#: Long side in pixels of the coarse image on which the breast is found and the window is measured. About 0.5 mm a
#: pixel on a film: the skin line is located to a pixel, letters and scratches are still apart from the breast.
COARSE_LONG_SIDE = 512


@by_value
@dataclass(frozen=True, eq=False)
class CoarseView:
    """An image seen coarsely.

    Attributes:
        image: float32 [h, w], area averages.
        breast: bool [h, w].
    """

    image: NDArray[np.float32]
    breast: NDArray[np.bool_]


#: Where a model's grid has at most a quarter of the image's pixels, the image is averaged onto it while it is read for
#: the coarse view; reading it once more for the tiles would take as long as that did.
LEAST_AVERAGED = 4.0


@by_value
@dataclass(frozen=True, eq=False)
class TilePlan:
    """How to cut one image into a model's tiles.

    Attributes:
        grid: where the tiles lie.
        normalisation: of their values.
        breast: bool [h, w], coarse, spread over the whole image.
        averages: float32 [H, W], the image on the grid, not normalised; None where tiles are cut from the image itself.
    """

    grid: ops.TileGrid
    normalisation: ops.Normalisation
    breast: NDArray[np.bool_]
    averages: NDArray[np.float32] | None = None

    def extract(self, pixels: NDArray[Any], n: int, out: NDArray[np.float32], *, threads: int = 0) -> None:
        """Fill ``out``, float32 [1, 1, h, w], with tile n."""
        cut, image = (ops.extract_tiles, pixels) if self.averages is None else (ops.cut_tiles, self.averages)
        cut(image, self.grid.tile(n), normalisation=self.normalisation, mask=self.breast, out=out, threads=threads)


@by_value
@dataclass(frozen=True, eq=False)
class ModelGridImage:
    """A whole image on the model's grid, as training reads it.

    Attributes:
        image: float32 [h, w], windowed to 0..1, 0 outside the breast.
        breast: bool [h, w].
        grid: the grid; ``grid.scale`` is source pixels per grid pixel.
    """

    image: NDArray[np.float32]
    breast: NDArray[np.bool_]
    grid: ops.TileGrid


def coarse_view(pixels: NDArray[Any], *, threads: int = 0) -> CoarseView:
    """Reduce an image and find the breast on it.

    Args:
        pixels: [H, W]; uint8, uint16, int16 or float32.
        threads: most threads to use; 0 = all.
    """
    image = ops.resample(pixels, scale=coarse_scale(pixels.shape), threads=threads)
    return CoarseView(image, ops.breast_mask(image))


def coarse_scale(shape: tuple[int, ...]) -> tuple[float, float]:
    """Image pixels per coarse pixel along y and x."""
    scale = max(1.0, max(shape) / COARSE_LONG_SIDE)
    return scale, scale


def averaged_views(
    pixels: NDArray[Any], scale: tuple[float, float], *, threads: int = 0
) -> tuple[CoarseView, NDArray[np.float32] | None]:
    """The coarse view, and the image on a grid of ``scale`` unless that is nearly as fine as the image itself."""
    if scale[0] * scale[1] < LEAST_AVERAGED:
        return coarse_view(pixels, threads=threads), None
    coarse, averages = ops.resample_many(pixels, scales=[coarse_scale(pixels.shape), scale], threads=threads)
    return CoarseView(coarse, ops.breast_mask(coarse)), averages


def window_of(coarse: CoarseView, *, low_percentile: float, high_percentile: float) -> tuple[float, float]:
    """The values of the breast that map to 0 and 1.

    Where there is no breast, the whole image counts; where all values are equal as float32, the window is one unit
    wide, or as narrow as float32 is there.
    """
    ranks = [low_percentile, high_percentile]
    low, high = ops.percentiles(coarse.image, ranks, mask=coarse.breast)
    if np.isnan(low) and not coarse.breast.any():
        low, high = ops.percentiles(coarse.image, ranks)
    if np.isnan(low):
        return 0.0, 1.0
    low, high = float(np.float32(low)), float(np.float32(high))
    return low, high if high > low else max(float(np.float32(low + 1.0)), float(np.nextafter(np.float32(low), np.inf)))


def grid_scale(mammogram: Mammogram, spacing_mm: float) -> tuple[float, float]:
    """Source pixels per model pixel along y and x."""
    return spacing_mm / mammogram.spacing.row_mm, spacing_mm / mammogram.spacing.column_mm


def plan(mammogram: Mammogram, spec: ModelSpec, *, threads: int = 0) -> TilePlan:
    """Find the breast, its window of values, and the tiles that cover it."""
    scale = grid_scale(mammogram, spec.pixel_spacing_mm)
    coarse, averages = averaged_views(mammogram.pixels, scale, threads=threads)
    return plan_tiles_of(mammogram, spec, coarse, averages=averages)


def plan_tiles_of(
    mammogram: Mammogram, spec: ModelSpec, coarse: CoarseView, *, averages: NDArray[np.float32] | None = None
) -> TilePlan:
    """The tiles that cover the breast, once the image has been seen coarsely. See ``TilePlan`` for ``averages``."""
    low, high = window_of(coarse, low_percentile=spec.low_percentile, high_percentile=spec.high_percentile)
    grid = ops.plan_tiles(
        mammogram.shape,
        scale=grid_scale(mammogram, spec.pixel_spacing_mm),
        tile_shape=spec.tile_shape,
        overlap=spec.tile_overlap,
        mask=coarse.breast,
    )
    return TilePlan(grid, ops.Normalisation(low, high, spec.mean, spec.deviation), coarse.breast, averages)


def to_model_grid(
    mammogram: Mammogram,
    spacing_mm: float,
    *,
    low_percentile: float = 1.0,
    high_percentile: float = 99.5,
    threads: int = 0,
) -> ModelGridImage:
    """A whole mammogram on the model's grid, windowed to 0..1 and 0 outside the breast."""
    coarse = coarse_view(mammogram.pixels, threads=threads)
    low, high = window_of(coarse, low_percentile=low_percentile, high_percentile=high_percentile)
    scale = grid_scale(mammogram, spacing_mm)
    height, width = (int(np.ceil(n / s)) + 1 for n, s in zip(mammogram.shape, scale, strict=True))
    grid = ops.plan_tiles(mammogram.shape, scale=scale, tile_shape=(height, width), overlap=0.0)
    tile = ops.extract_tiles(
        mammogram.pixels,
        grid,
        normalisation=ops.Normalisation(low, high),
        mask=coarse.breast,
        threads=threads,
    )[0, 0, : grid.shape[0], : grid.shape[1]]
    return ModelGridImage(tile, grid_mask(coarse.breast, grid), grid)


def spread_mask(
    mask: NDArray[np.bool_],
    shape: tuple[int, int],
    *,
    scale: tuple[float, float] = (1.0, 1.0),
    image_shape: tuple[int, int] | None = None,
) -> NDArray[np.bool_]:
    """A mask at another resolution: pixel i of ``shape`` looks up the mask pixel under its centre.

    The same look-up as the compiled operations do (``csrc/core/tile_grid.hpp``, Note [Mask lookup]).
    """
    return ops.spread_mask(mask, shape, scale=scale, image_shape=image_shape or shape)


def grid_mask(mask: NDArray[np.bool_], grid: ops.TileGrid) -> NDArray[np.bool_]:
    """A coarse mask on a grid."""
    return spread_mask(mask, grid.shape, scale=grid.scale, image_shape=grid.image_shape)


def breast_mask(image: Mammogram | NDArray[Any]) -> NDArray[np.bool_]:
    """Where the breast is: without letters, labels, scratches, film edges and frames.

    The pectoral muscle may stay in. Found on a reduced grid, so the border is good to about half a millimetre.

    Args:
        image: a Mammogram, or a 2-D array of any numeric type, brighter = denser.

    Returns:
        bool [H, W].

    Raises:
        InvalidArgument: if the array is not 2-D, empty or not numeric.
    """
    pixels = image.pixels if isinstance(image, Mammogram) else np.asarray(image)
    if pixels.ndim != 2 or pixels.size == 0 or pixels.dtype.kind not in "buif":
        raise InvalidArgument(f"image is {pixels.dtype} {list(pixels.shape)}; a non-empty 2-D numeric array is needed")
    if pixels.dtype not in PIXEL_DTYPES:
        pixels = pixels.astype(np.float32)
    height, width = pixels.shape
    return spread_mask(coarse_view(pixels).breast, (height, width))
