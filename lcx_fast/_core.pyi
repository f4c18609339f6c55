"""
The compiled core of lcx_fast.
"""

from __future__ import annotations

import collections.abc
import os
import typing

import numpy
import numpy.typing
import typing_extensions

__all__: list[str] = [
    "CocoDataset",
    "DeviceArray",
    "DeviceLine",
    "OpenVinoEngine",
    "Rle",
    "TensorRtEngine",
    "TileBlender",
    "TileGrid",
    "available_cpus",
    "blend_tiles",
    "box_iou",
    "breast_mask",
    "coco_evaluate",
    "compare_points",
    "count_areas",
    "count_jpeg_blocks",
    "count_scores",
    "cuda_device_count",
    "cut_tiles",
    "distance_transform",
    "encode_rle",
    "extract_tiles",
    "fill_holes",
    "fill_polygons",
    "find_lesions",
    "has_cuda",
    "hysteresis",
    "image_score",
    "label_components",
    "mask_iou",
    "match_detections",
    "match_lesions",
    "measure_runs",
    "merge_rle",
    "percentiles",
    "pixel_histogram",
    "plan_tiles",
    "rank_areas",
    "read_bytes",
    "region_props",
    "release_memory",
    "remove_small",
    "resample",
    "rle_iou",
    "spread_mask",
    "swap_bytes",
    "tensorrt_major",
    "trace_contours",
]

class DeviceArray:
    """
    A result in GPU memory, where CuPy is not installed; any CuPy, Torch or DLPack consumer takes it without a copy.
    """
    def __dlpack__(
        self,
        *,
        stream: typing.Any = None,
        max_version: typing.Any = None,
        dl_device: typing.Any = None,
        copy: typing.Any = None,
    ) -> typing_extensions.CapsuleType: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def to_host(self) -> typing.Any:
        """
        A NumPy copy; waits for the stream that makes the array.
        """
    @property
    def __cuda_array_interface__(self) -> dict: ...
    @property
    def dtype(self) -> numpy.dtype[typing.Any]:
        """
        NumPy's name of the type.
        """
    @property
    def shape(self) -> tuple:
        """
        The extent of each axis.
        """

class TileGrid:
    """
    Where the tiles of one image lie on the model's grid; see plan_tiles.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __getstate__(self) -> tuple: ...
    def __hash__(self) -> int: ...
    def __len__(self) -> int: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, arg0: tuple) -> None: ...
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
        stream: typing.Any = None,
    ) -> None: ...
    def add(self, n: typing.SupportsInt | typing.SupportsIndex, tile: typing.Any) -> None: ...
    def finish(self) -> typing.Any: ...

class OpenVinoEngine:
    """
    A model compiled for the CPU by OpenVINO's C API.
    """
    def __init__(
        self, *, library_path: str, model: bytes, precision: str, threads: typing.SupportsInt | typing.SupportsIndex
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
    def forget(self, stream: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def input_shape(self) -> typing.Annotated[list[int], "FixedSize(4)"]: ...
    @property
    def output_shape(self) -> typing.Annotated[list[int], "FixedSize(4)"]: ...
    @property
    def version(self) -> str: ...

class DeviceLine:
    """
    From the pixels of one image to its probability maps on one GPU; one image at a time.
    """
    @typing.overload
    def __init__(
        self, engine: TensorRtEngine, *, weights: str, threads: typing.SupportsInt | typing.SupportsIndex = 0
    ) -> None: ...
    @typing.overload
    def __init__(
        self,
        enqueue: collections.abc.Callable,
        *,
        input_shape: typing.Annotated[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(4)"
        ],
        output_shape: typing.Annotated[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(4)"
        ],
        device: typing.SupportsInt | typing.SupportsIndex,
        weights: str,
        threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    def run(
        self,
        image: typing.Any,
        *,
        coarse_scale: typing.Annotated[
            collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"
        ],
        grid_scale: typing.Annotated[
            collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"
        ],
        overlap: typing.SupportsFloat | typing.SupportsIndex,
        percentiles: typing.Annotated[
            collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"
        ],
        mean: typing.SupportsFloat | typing.SupportsIndex,
        deviation: typing.SupportsFloat | typing.SupportsIndex,
        low: typing.SupportsFloat | typing.SupportsIndex,
        high: typing.SupportsFloat | typing.SupportsIndex,
        min_area: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple:
        """
        The tiles' grid; the window (low, high); bool [h, w], the breast; float32 [C, H, W], the network's maps; and find_lesions of the first.
        """
    @property
    def counts_tiles(self) -> bool:
        """
        Whether the network runs only for tiles that meet the breast.
        """
    @property
    def device_bytes(self) -> int: ...
    @property
    def graphs_recorded(self) -> int: ...
    @property
    def pinned_bytes(self) -> int: ...

class Rle:
    """
    A binary mask in COCO's run-length code: stretches of background and foreground down the columns, background first.
    """
    @staticmethod
    def from_counts(
        counts: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
    ) -> Rle:
        """
        From COCO's uncompressed counts, uint32 [N], and (H, W).
        """
    @staticmethod
    def from_polygons(
        polygons: collections.abc.Sequence[collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]],
        shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
    ) -> Rle:
        """
        The union of polygons [x0, y0, x1, y1, ...], drawn to the pixel as COCO's own tools draw them.
        """
    @staticmethod
    def from_string(
        text: bytes | str,
        shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
    ) -> Rle:
        """
        From COCO's compressed string, bytes or str, and (H, W).
        """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __getstate__(self) -> tuple[int, int, bytes]: ...
    def __hash__(self) -> int: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, arg0: tuple) -> None: ...
    def decode(self) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]:
        """
        bool [H, W] in Fortran order.
        """
    def to_string(self) -> bytes:
        """
        COCO's compressed string.
        """
    @property
    def area(self) -> int:
        """
        Foreground pixels.
        """
    @property
    def bounding_box(self) -> tuple[int, int, int, int]:
        """
        Half-open (y0, x0, y1, x1); all 0 for an empty mask.
        """
    @property
    def counts(self) -> numpy.typing.NDArray[numpy.uint32]:
        """
        uint32 [N]: lengths of background, foreground, background, ...
        """
    @property
    def shape(self) -> tuple[int, int]:
        """
        (H, W).
        """

class CocoDataset:
    """
    COCO references, or predictions, in memory.
    """
    @staticmethod
    def predictions_from_file(
        path: os.PathLike | str | bytes,
        reference: CocoDataset,
        *,
        iou_type: str,
        threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> CocoDataset: ...
    @staticmethod
    def predictions_from_objects(
        items: list,
        reference: CocoDataset,
        *,
        name: str,
        iou_type: str,
        threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> CocoDataset: ...
    @staticmethod
    def reference_from_file(
        path: os.PathLike | str | bytes, *, iou_type: str, threads: typing.SupportsInt | typing.SupportsIndex
    ) -> CocoDataset: ...
    @staticmethod
    def reference_from_objects(
        object: dict, *, name: str, iou_type: str, threads: typing.SupportsInt | typing.SupportsIndex
    ) -> CocoDataset: ...
    def __len__(self) -> int: ...
    @property
    def categories(self) -> list[tuple[int, str]]: ...
    @property
    def image_ids(self) -> list[int]: ...

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
    stream: typing.Any = None,
) -> typing.Any: ...
def box_iou(
    predicted: typing.Any,
    reference: typing.Any,
    *,
    format: str,
    crowd: typing.Any,
    threads: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.Any = None,
) -> typing.Any: ...
def breast_mask(image: typing.Any, *, stream: typing.Any = None) -> typing.Any: ...
def coco_evaluate(
    reference: CocoDataset,
    predictions: CocoDataset,
    *,
    iou_type: str,
    iou_thresholds: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    recall_thresholds: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    area_ranges: collections.abc.Sequence[
        typing.Annotated[collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"]
    ],
    max_detections: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    use_categories: bool,
    image_ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    category_ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple: ...
def compare_points(
    points: typing.Any,
    scores: typing.Any,
    *,
    counts: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    outlines: list,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple: ...
def count_areas(positives: typing.Any, negatives: typing.Any) -> tuple: ...
def count_jpeg_blocks(
    stream: bytes,
    *,
    begin: typing.SupportsInt | typing.SupportsIndex,
    end: typing.SupportsInt | typing.SupportsIndex,
    dc: bytes,
    ac: bytes,
    blocks: typing.SupportsInt | typing.SupportsIndex,
    restart_interval: typing.SupportsInt | typing.SupportsIndex,
) -> int: ...
def count_scores(
    scores: typing.Any, labels: typing.Any, *, threads: typing.SupportsInt | typing.SupportsIndex
) -> tuple: ...
def cuda_device_count() -> int:
    """
    CUDA devices this process can use; 0 without a driver, or in a build without CUDA.
    """

def cut_tiles(
    averages: typing.Any,
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
def distance_transform(
    mask: typing.Any,
    *,
    spacing: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
def encode_rle(mask: typing.Any) -> Rle: ...
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
    stream: typing.Any = None,
) -> typing.Any: ...
def fill_holes(
    mask: typing.Any, *, threads: typing.SupportsInt | typing.SupportsIndex, stream: typing.Any = None
) -> typing.Any: ...
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
    stream: typing.Any = None,
) -> dict: ...
def hysteresis(
    values: typing.Any,
    *,
    low: typing.SupportsFloat | typing.SupportsIndex,
    high: typing.SupportsFloat | typing.SupportsIndex,
    connectivity: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.Any = None,
) -> typing.Any: ...
def image_score(
    probability: typing.Any,
    mask: typing.Any,
    *,
    lse_r: typing.SupportsFloat | typing.SupportsIndex,
    top_fraction: typing.SupportsFloat | typing.SupportsIndex,
    a1: typing.SupportsFloat | typing.SupportsIndex,
    a2: typing.SupportsFloat | typing.SupportsIndex,
    b: typing.SupportsFloat | typing.SupportsIndex,
) -> float: ...
def label_components(
    mask: typing.Any,
    *,
    connectivity: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.Any = None,
) -> tuple: ...
def mask_iou(
    predicted: typing.Any,
    reference: typing.Any,
    *,
    crowd: typing.Any,
    threads: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.Any = None,
) -> typing.Any: ...
def match_detections(
    iou: typing.Any,
    *,
    thresholds: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    ignore: typing.Any,
    crowd: typing.Any,
    stream: typing.Any = None,
) -> tuple: ...
def match_lesions(overlaps: list, *, minimum: typing.SupportsFloat | typing.SupportsIndex) -> tuple: ...
def measure_runs(values: typing.Any, runs: typing.Any) -> tuple: ...
def merge_rle(masks: collections.abc.Sequence[Rle], *, mode: str) -> Rle: ...
def percentiles(
    values: typing.Any,
    ranks: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    *,
    mask: typing.Any,
    stream: typing.Any = None,
) -> list[float]: ...
def pixel_histogram(
    scores: typing.Any,
    labels: typing.Any,
    counts: typing.Any,
    *,
    threads: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.Any = None,
) -> None: ...
def plan_tiles(
    image_shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
    *,
    scale: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"],
    tile_shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
    overlap: typing.SupportsFloat | typing.SupportsIndex,
    mask: typing.Any,
) -> TileGrid: ...
def rank_areas(
    scores: typing.Any, labels: typing.Any, *, threads: typing.SupportsInt | typing.SupportsIndex
) -> tuple: ...
def read_bytes(
    descriptor: typing.SupportsInt | typing.SupportsIndex, size: typing.SupportsInt | typing.SupportsIndex
) -> memoryview: ...
def region_props(
    labels: typing.Any,
    values: typing.Any,
    *,
    count: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.Any = None,
) -> dict: ...
def release_memory() -> int:
    """
    Unmaps what is kept for results; see lcx_fast.ops.
    """

def remove_small(
    mask: typing.Any,
    *,
    min_area: typing.SupportsInt | typing.SupportsIndex,
    connectivity: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.Any = None,
) -> typing.Any: ...
def resample(
    image: typing.Any,
    *,
    scales: collections.abc.Sequence[
        typing.Annotated[collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"]
    ],
    threads: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.Any = None,
) -> list: ...
def rle_iou(
    predicted: collections.abc.Sequence[Rle],
    reference: collections.abc.Sequence[Rle],
    *,
    crowd: typing.Any,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
def spread_mask(
    mask: typing.Any,
    shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
    *,
    scale: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], "FixedSize(2)"],
    image_shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
) -> numpy.ndarray[typing.Any, numpy.dtype[typing.Any]]: ...
def swap_bytes(
    samples: numpy.ndarray[typing.Any, numpy.dtype[typing.Any]],
) -> tuple[numpy.ndarray[typing.Any, numpy.dtype[typing.Any]], int]: ...
def trace_contours(
    mask: typing.Any, *, threads: typing.SupportsInt | typing.SupportsIndex, stream: typing.Any = None
) -> tuple: ...

has_cuda: bool = True
tensorrt_major: int = 0
