"""What ``gpu_run.py`` measures of ours: each kernel, the network alone, the whole line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from gpu_device import Spread
from scenes import SCENES

from lcx_fast import LcxError, Mammogram, PixelSpacing, ops


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        job: what was done.
        who: ours, or a peer's name.
        spread: None where it could not be measured; ``note`` says why.
        data_bytes: read and written at least; None where that is not what bounds the job.
        facts: further figures by name.
    """

    job: str
    who: str
    spread: Spread | None
    data_bytes: int | None = None
    note: str = ""
    facts: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def film(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """uint16: a half disc with texture and a few brighter spots, of a mammogram's size and range."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[: shape[0], : shape[1]]
    inside = np.hypot(y - shape[0] / 2, x) < 0.44 * shape[0]
    image = np.where(inside, 1500, 60) + rng.integers(0, 200, shape)
    for _ in range(3):
        cy, cx = rng.uniform(0.3, 0.7) * shape[0], rng.uniform(0.1, 0.3) * shape[0]
        radius = 0.02 * shape[0]
        image = image + 900 * np.clip(2 - np.hypot(y - cy, x - cx) / radius, 0, 1)
    return np.clip(image, 0, 4095).astype(np.uint16)


def attempt(job: str, who: str, measure: Callable[[], Row]) -> Row:
    """A row, or why there is none. A peer's library may raise anything."""
    try:
        return measure()
    except Exception as error:
        kind = "" if isinstance(error, LcxError) else f"{type(error).__name__}: "
        return Row(job, who, None, note=kind + " ".join(str(error).split())[:160])


def kernels(device: Any, shape: tuple[int, int], rounds: int) -> Iterator[Row]:
    """Each operation on arrays that are on the device already, cold in the second-level cache."""
    image = film(shape)
    spacing = 0.1 * 3328 / shape[1]
    scale = (0.5 / spacing, 0.5 / spacing)
    pixels = shape[0] * shape[1]

    def on_device(name: str, operation: Callable[..., Any], values: np.ndarray, data_bytes: int) -> Row:
        arrays = device.copies(values)
        spread = device.time_on_device(lambda i: operation(arrays[i % len(arrays)]), rounds)
        return Row(name, "lcx_fast", spread, data_bytes)

    def with_host(name: str, operation: Callable[..., Any], values: np.ndarray, data_bytes: int) -> Row:
        arrays = device.copies(values)
        spread = device.time_with_host(lambda i: operation(arrays[i % len(arrays)]), rounds)
        return Row(name, "lcx_fast", spread, data_bytes, note="with its download")

    normalisation = ops.Normalisation(0, 4095)
    for title, steps in (("at 0.5 mm", scale), ("unscaled", (1.0, 1.0))):
        grid = ops.plan_tiles(shape, scale=steps, tile_shape=(512, 512), overlap=0.25)
        tiles = np.zeros((len(grid), 2, 512, 512), np.float32)
        extract = partial(_extract, grid, normalisation)
        extract_bytes = image.nbytes + tiles.nbytes // 2
        blend_bytes = tiles.nbytes + 8 * grid.shape[0] * grid.shape[1]
        jobs = (
            ("extract_tiles", extract, image, extract_bytes),
            ("blend_tiles", partial(_blend, grid), tiles, blend_bytes),
        )
        for name, operation, array, data_bytes in jobs:
            job = f"{name} {title}"
            yield attempt(job, "lcx_fast", partial(on_device, job, operation, array, data_bytes))
    for scene in ("typical", "specks", "noise50"):
        values = SCENES[scene](shape)
        mask = (values >= 0.5).astype(np.uint8)
        for name, how, operation, array, data_bytes in (
            ("label_components", with_host, ops.label_components, mask, 5 * pixels),
            ("fill_holes", on_device, ops.fill_holes, mask, 2 * pixels),
            ("find_lesions", with_host, partial(ops.find_lesions, low=0.5, high=0.6, min_area=16), values, 4 * pixels),
        ):
            job = f"{name} {scene}"
            yield attempt(job, "lcx_fast", partial(how, job, operation, array, data_bytes))


def _extract(grid: ops.TileGrid, normalisation: ops.Normalisation, image: Any) -> Any:
    return ops.extract_tiles(image, grid, normalisation=normalisation)


def _blend(grid: ops.TileGrid, tiles: Any) -> Any:
    return ops.blend_tiles(tiles, grid)


def network_alone(device: Any, engine: Any, rounds: int) -> Row:
    """The engine on arrays that are on the device, one tile a call."""
    batches = [device.array(np.random.default_rng(0).random(engine.input_shape, np.float32)) for _ in range(4)]
    output = device.array(np.empty(engine.output_shape, np.float32))
    spread = device.time_on_device(lambda i: engine.infer(batches[i % 4], output), rounds)
    return Row("network, one tile", f"{engine.name} {engine.precision}", spread)


def line(detector: Any, device: Any, shape: tuple[int, int], films: int, streams: int) -> Iterator[Row]:
    """From uint16 pixels on the host to the lesion list on the host."""
    spacing = 0.1 * 3328 / shape[1]
    images = [Mammogram(film(shape, seed), PixelSpacing(spacing, spacing, "user")) for seed in range(4)]
    info = detector.engine_info
    who = f"lcx_fast, {info.name} {info.precision} on {info.device}"
    spread = device.time_with_host(lambda i: detector.infer(images[i % len(images)]), films)
    yield Row(f"line, one film of {shape[0]} x {shape[1]}", who, spread)
    begin = time.perf_counter()
    count = sum(1 for _ in detector.infer_many([images[i % len(images)] for i in range(films)], streams=streams))
    seconds = time.perf_counter() - begin
    facts = {"films_per_s": count / seconds} if device.is_real else {}
    yield Row(f"line, {streams} films at once", who, None, facts=facts)
