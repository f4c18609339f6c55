"""
The compiled core of lcx_fast.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

__all__: list[str] = [
    "OpenVinoEngine",
    "TensorRtEngine",
    "TileBlender",
    "TileGrid",
    "available_cpus",
    "blend_tiles",
    "breast_mask",
    "extract_tiles",
    "fill_holes",
    "fill_polygons",
    "find_lesions",
    "has_cuda",
    "label_components",
    "plan_tiles",
    "region_props",
    "tensorrt_major",
    "trace_contours",
]

class TileGrid:
    """
    Where the tiles of one image lie on the model's grid; see plan_tiles.
    """
    def __len__(self) -> int: ...
    def tile(self, n: typing.SupportsInt | typing.SupportsIndex) -> TileGrid:
        """
        The grid of tile n alone.
        """
    @property
    def image_shape(self) -> tuple[int, int]:
        """
        (H, W) of the image, in its pixels.
        """
    @property
    def origins(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        int64 [N, 2]: first grid pixel (y, x) of each tile.
        """
    @property
    def scale(self) -> tuple[float, float]:
        """
        Image pixels per grid pixel, along y and x.
        """
    @property
    def shape(self) -> tuple[int, int]:
        """
        (H, W) of the grid.
        """
    @property
    def tile_shape(self) -> tuple[int, int]:
        """
        (h, w) of a tile, in grid pixels.
        """

class TileBlender:
    """
    Blends tiles one after another; see lcx_fast.ops.TileBlender.
    """
    def __init__(
        self,
        grid: TileGrid,
        *,
        channels: typing.SupportsInt | typing.SupportsIndex,
        weights: str,
        mask: typing.Any,
        out: typing.Any,
    ) -> None: ...
    def add(self, n: typing.SupportsInt | typing.SupportsIndex, tile: typing.Any) -> None: ...
    def finish(self) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...

class OpenVinoEngine:
    """
    A model compiled for the CPU by OpenVINO's C API.
    """
    def __init__(
        self, *, library_path: str, model_path: str, precision: str, threads: typing.SupportsInt | typing.SupportsIndex
    ) -> None: ...
    def infer(
        self,
        input: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
        output: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
    ) -> None: ...
    @property
    def input_shape(self) -> list[int]: ...
    @property
    def output_shape(self) -> list[int]: ...
    @property
    def precision(self) -> str: ...
    @property
    def version(self) -> str: ...

class TensorRtEngine:
    """
    A TensorRT plan on one GPU. Addresses are of device memory.
    """
    def __init__(
        self, *, library_path: str, plan: bytes, device: typing.SupportsInt | typing.SupportsIndex
    ) -> None: ...
    def enqueue(
        self,
        input: typing.SupportsInt | typing.SupportsIndex,
        output: typing.SupportsInt | typing.SupportsIndex,
        stream: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @property
    def input_shape(self) -> typing.Annotated[list[int], "FixedSize(4)"]: ...
    @property
    def output_shape(self) -> typing.Annotated[list[int], "FixedSize(4)"]: ...
    @property
    def version(self) -> str: ...

def available_cpus() -> int:
    """
    CPUs this process may use: affinity and cgroup quota.
    """

def blend_tiles(
    tiles: typing.Any,
    grid: TileGrid,
    *,
    weights: str,
    mask: typing.Any,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
def breast_mask(image: typing.Any) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
def extract_tiles(
    image: typing.Any,
    grid: TileGrid,
    *,
    normalisation: typing.Annotated[
        collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(4)"
    ]
    | None,
    mask: typing.Any,
    out: typing.Any,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
def fill_holes(
    mask: typing.Any, *, threads: typing.SupportsInt | typing.SupportsIndex
) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
def fill_polygons(
    points: typing.Any,
    offsets: typing.Any,
    *,
    height: typing.SupportsInt | typing.SupportsIndex,
    width: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
def find_lesions(
    map: typing.Any,
    *,
    low: typing.SupportsFloat | typing.SupportsIndex,
    high: typing.SupportsFloat | typing.SupportsIndex,
    min_area: typing.SupportsInt | typing.SupportsIndex,
    fill_holes: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> dict: ...
def label_components(
    mask: typing.Any,
    *,
    connectivity: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple: ...
def plan_tiles(
    image_shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
    *,
    scale: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"],
    tile_shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
    overlap: typing.SupportsFloat | typing.SupportsIndex,
    mask: typing.Any,
) -> TileGrid: ...
def region_props(
    labels: typing.Any, values: typing.Any, *, count: typing.SupportsInt | typing.SupportsIndex
) -> dict: ...
def trace_contours(mask: typing.Any, *, threads: typing.SupportsInt | typing.SupportsIndex) -> tuple: ...

has_cuda: bool = False
tensorrt_major: int = 0
