"""The compiled operations, on arrays.

Arrays are taken without a copy: NumPy, CuPy, Torch, anything that speaks DLPack or ``__cuda_array_interface__``. An
operation runs where its arrays are, all of them on one device. On a GPU it is put on ``stream`` (a handle, or a CuPy or
Torch stream; by default the one that the first array names, or that its library uses now), in order after the streams
that the arrays come from, and results are ready in the order of that stream: CuPy arrays where CuPy is installed, else
``DeviceArray``, which any consumer of these two protocols takes without a copy. Where the signatures below say NumPy,
that is meant. Small results (tables, outlines) come to the host.

Points are (y, x) with pixel (i, j) covering [i, i + 1) x [j, j + 1), so its centre is (i + 0.5, j + 0.5).
``threads=0`` uses every CPU the process may. All functions release the GIL and raise ``InvalidArgument`` for a wrong
shape, dtype or value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._core import TileGrid
from .errors import InvalidArgument
from .masks import fill_holes, hysteresis, remove_small
from .overlaps import MatchResult, Rle, box_iou, encode_rle, mask_iou, match_detections, merge_rle
from .polygons import Polygons
from .regions import Contours, RegionProps, Regions
from .values import RunValues, measure_runs, percentiles, resample, resample_many, spread_mask

__all__ = [
    "Contours",
    "MatchResult",
    "Normalisation",
    "Polygons",
    "RegionProps",
    "Regions",
    "Rle",
    "RunValues",
    "TileBlender",
    "TileGrid",
    "blend_tiles",
    "box_iou",
    "breast_mask",
    "cut_tiles",
    "encode_rle",
    "extract_tiles",
    "fill_holes",
    "fill_polygons",
    "find_lesions",
    "hysteresis",
    "label_components",
    "mask_iou",
    "match_detections",
    "measure_runs",
    "merge_rle",
    "percentiles",
    "plan_tiles",
    "region_props",
    "release_memory",
    "remove_small",
    "resample",
    "resample_many",
    "spread_mask",
    "trace_contours",
]

#: An array, or anything that speaks DLPack.
Array = Any

#: A table of so many regions takes no notable memory, whatever the image's size.
_FEW_LABELS = 1 << 16


@dataclass(frozen=True)
class Normalisation:
    """Pixel value to network input: ``(clip((v - low) / (high - low), 0, 1) - mean) / deviation``."""

    low: float
    high: float
    mean: float = 0.0
    deviation: float = 1.0


def plan_tiles(
    image_shape: tuple[int, int],
    *,
    scale: tuple[float, float] = (1.0, 1.0),
    tile_shape: tuple[int, int],
    overlap: float = 0.25,
    mask: Array | None = None,
) -> TileGrid:
    """Plan tiles of one size over an image, evenly spread, leaving out those that meet no mask pixel.

    Args:
        image_shape: (H, W) in image pixels.
        scale: image pixels per grid pixel along y and x, 1/64 to 4096.
        tile_shape: (h, w) in grid pixels.
        overlap: least fraction of a tile shared with its neighbour, 0 to 0.9.
        mask: bool or uint8 [h, w] of any size, spread over the whole image; nonzero = keep. None keeps every tile.
    """
    return _core.plan_tiles(image_shape, scale=scale, tile_shape=tile_shape, overlap=overlap, mask=mask)


def extract_tiles(
    image: Array,
    grid: TileGrid,
    *,
    normalisation: Normalisation | None = None,
    mask: Array | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int = 0,
    stream: Any = None,
) -> NDArray[np.float32]:
    """Cut an image into tiles on the model's grid: gather, area average, normalise and pad in one pass.

    Args:
        image: [H, W] of the grid's image shape; uint8, uint16, int16 or float32, any strides.
        grid: from ``plan_tiles``.
        normalisation: None leaves plain averages.
        mask: as in ``plan_tiles``; where it is 0, and outside the image, a tile holds what ``low`` maps to (0 without
            a normalisation).
        out: float32 [N, 1, h, w] to fill and return, instead of a new array.
        threads: most threads to use; 0 = all.
        stream: for arrays on a GPU; see above.

    Returns:
        float32 [N, 1, h, w] in the order of ``grid.origins``.
    """
    packed = None
    if normalisation is not None:
        packed = (normalisation.low, normalisation.high, normalisation.mean, normalisation.deviation)
    tiles: NDArray[np.float32] = _core.extract_tiles(
        image, grid, normalisation=packed, mask=mask, out=out, threads=threads, stream=stream
    )
    return tiles


def cut_tiles(
    averages: Array,
    grid: TileGrid,
    *,
    normalisation: Normalisation | None = None,
    mask: Array | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int = 0,
) -> NDArray[np.float32]:
    """``extract_tiles`` from an image that is on the grid already.

    Args:
        averages: float32 [H, W] of the grid's shape, as from ``resample`` at the grid's scale.
        grid: from ``plan_tiles``.
        normalisation: as in ``extract_tiles``, and so are the others.
        mask: likewise.
        out: likewise.
        threads: likewise.
    """
    packed = None
    if normalisation is not None:
        packed = (normalisation.low, normalisation.high, normalisation.mean, normalisation.deviation)
    return _core.cut_tiles(averages, grid, normalisation=packed, mask=mask, out=out, threads=threads)


def blend_tiles(
    tiles: Array,
    grid: TileGrid,
    *,
    weights: Literal["gaussian", "constant"] = "gaussian",
    mask: Array | None = None,
    threads: int = 0,
    stream: Any = None,
) -> NDArray[np.float32]:
    """Blend overlapping tiles into one map.

    Args:
        tiles: float32 [N, C, h, w], in the order of ``grid.origins``.
        grid: the grid that produced the tiles.
        weights: how much a tile's pixel counts: all the same, or a separable Gaussian about the tile's centre with a
            sigma of one eighth of the side.
        mask: as in ``plan_tiles``; the map is 0 where it is 0.
        threads: most threads to use; 0 = all.
        stream: for arrays on a GPU; see above.

    Returns:
        float32 [C, H, W] of the grid's shape; each pixel is the weight-normalised mean of the tiles that cover it, or
        0 where none does.
    """
    blended: NDArray[np.float32] = _core.blend_tiles(
        tiles, grid, weights=weights, mask=mask, threads=threads, stream=stream
    )
    return blended


class TileBlender:
    """``blend_tiles`` one tile at a time: no more than one need be in memory, and that one stays in the cache.

    Args:
        grid: from ``plan_tiles``.
        channels: C of the tiles.
        weights: as in ``blend_tiles``.
        mask: as in ``blend_tiles``.
        out: float32 [C, H, W] to fill and return, instead of a new array. Tiles on a GPU need one there.
        stream: for arrays on a GPU; see above.
    """

    def __init__(
        self,
        grid: TileGrid,
        *,
        channels: int = 1,
        weights: Literal["gaussian", "constant"] = "gaussian",
        mask: Array | None = None,
        out: NDArray[np.float32] | None = None,
        stream: Any = None,
    ) -> None:
        self._core = _core.TileBlender(grid, channels=channels, weights=weights, mask=mask, out=out, stream=stream)

    def add(self, n: int, tile: Array) -> None:
        """Add tile n, float32 [C, h, w] with dense rows; n = 0, 1, 2, ... in this order."""
        self._core.add(n, tile)

    def finish(self) -> NDArray[np.float32]:
        """float32 [C, H, W] of the grid's shape, once every tile has been added."""
        blended: NDArray[np.float32] = self._core.finish()
        return blended


def release_memory() -> int:
    """Give back what is kept for the next results.

    Memory of large results (1 MiB and more) is kept when their arrays are gone, at most eight pieces of 256 MiB
    together, so that the next result of such a size needs none from the system, which may take its pages at any time.

    Returns:
        How many bytes were given back.
    """
    return _core.release_memory()


def breast_mask(image: Array, *, stream: Any = None) -> NDArray[np.bool_]:
    """Where the breast is, on a coarse image; ``lcx_fast.breast_mask`` does it for an image of any size.

    Args:
        image: float32 [h, w], brighter = denser, at most 1024 a side.
        stream: for an array on a GPU; see above.

    Returns:
        bool [h, w].
    """
    breast: NDArray[np.bool_] = _core.breast_mask(image, stream=stream)
    return breast


def label_components(
    mask: Array, *, connectivity: Literal[4, 8] = 8, threads: int = 0, stream: Any = None
) -> tuple[NDArray[np.int32], int]:
    """Number the connected components of a mask.

    Args:
        mask: bool or uint8 [H, W], nonzero = foreground.
        connectivity: 4 or 8.
        threads: most threads to use; 0 = all.
        stream: for an array on a GPU; see above. Waited for once, to return the count.

    Returns:
        int32 [H, W], 0 = background, 1 .. count in raster order of each component's first pixel; and the count.
    """
    return _core.label_components(mask, connectivity=connectivity, threads=threads, stream=stream)


def region_props(
    labels: Array, values: Array | None = None, *, count: int | None = None, stream: Any = None
) -> RegionProps:
    """Measure labelled regions.

    Args:
        labels: int32 [H, W], 0 = background.
        values: float32 [H, W], to be summarised per region; NaN counts as 0.
        count: the highest label; found by a pass over ``labels`` if not given, which takes them on the CPU.
        stream: for arrays on a GPU; see above. Waited for.
    """
    if count is None:
        if not isinstance(labels, np.ndarray) and hasattr(labels, "__cuda_array_interface__"):
            raise InvalidArgument("labels are on a GPU; pass their count too, which label_components returns")
        found = np.asarray(labels)
        # What are no labels is refused below, in the words for any wrong array.
        count = int(found.max(initial=0)) if found.dtype.kind in "iu" else 0
        if count > max(found.size, _FEW_LABELS):
            raise InvalidArgument(
                f"labels are numbered to {count} on {found.size} pixels; number them anew, or pass the count to get so "
                "many regions"
            )
    elif not hasattr(count, "__index__"):
        raise InvalidArgument(f"count {count}; needed: a whole number")
    return RegionProps(**_core.region_props(labels, values, count=count, stream=stream))


def trace_contours(mask: Array, *, threads: int = 0, stream: Any = None) -> Contours:
    """Trace the exact outlines of a mask: outer ones clockwise on screen, holes the other way.

    The polygons run along pixel edges; ``fill_polygons`` gives the mask back.

    Args:
        mask: bool or uint8 [H, W], nonzero = foreground, 8-connected.
        threads: most threads to use; 0 = all.
        stream: for arrays on a GPU; see above. Waited for.
    """
    (points, offsets), is_hole = _core.trace_contours(mask, threads=threads, stream=stream)
    return Contours(Polygons(points, offsets), is_hole)


def fill_polygons(polygons: Sequence[NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.int32]:
    """The pixels whose centre lies inside a set of polygons, by the even-odd rule.

    Args:
        polygons: [K, 2] points (y, x) each, not closed.
        shape: (H, W) of the image; what lies outside is cut off.

    Returns:
        int32 [M, 3]: the runs (y, x_begin, x_end), half-open, in raster order.
    """
    arrays = [np.asarray(p, np.float64) for p in polygons]
    for k, points in enumerate(arrays):
        if points.size and (points.ndim != 2 or points.shape[1] != 2):
            raise InvalidArgument(f"polygon {k} is {list(points.shape)}; needed: [K, 2] points (y, x)")
    arrays = [points.reshape(-1, 2) for points in arrays]
    points = np.concatenate(arrays) if arrays else np.zeros((0, 2))
    offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int64)
    return _core.fill_polygons(points, offsets, height=shape[0], width=shape[1])


def find_lesions(
    probability: Array,
    *,
    low: float = 0.5,
    high: float = 0.5,
    min_area: int = 1,
    fill_holes: bool = True,
    threads: int = 0,
    stream: Any = None,
) -> Regions:
    """Find lesions in a probability map.

    Pixels of at least ``low`` form 8-connected components; those without a pixel of at least ``high`` are dropped;
    holes are filled; components smaller than ``min_area`` are dropped. The outline has one point for each pair of
    neighbouring pixels it separates, where the map, interpolated linearly between their centres, equals ``low``.

    Args:
        probability: [H, W]; float32 or float16, where NaN counts as below ``low``, or uint8, which counts 255ths. Read
            as it is, without a converted copy; on a GPU float32 only.
        low: threshold of the outline.
        high: threshold that some pixel of a lesion reaches.
        min_area: pixels, after hole filling.
        fill_holes: whether to fill holes.
        threads: most threads to use; 0 = all.
        stream: for arrays on a GPU; see above. Waited for.

    Returns:
        The lesions in raster order of their first pixel.
    """
    found = _core.find_lesions(
        probability, low=low, high=high, min_area=min_area, fill_holes=fill_holes, threads=threads, stream=stream
    )
    found["outlines"] = Polygons(*found["outlines"])
    return Regions(**found)
