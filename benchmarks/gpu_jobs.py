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

from lcx_fast import LcxError, Mammogram, PixelSpacing, ops, preprocess


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


@dataclass(frozen=True)
class Job:
    """An operation of ours on one array that is on the device already.

    Attributes:
        name: for the table.
        operation: called with the array.
        values: the array, on the host.
        data_bytes: what must be read and written at least: each input once, each output once; None where time goes into
            steps that follow one another, and not into memory.
        waits: whether it gives its result to the host and so waits for it.
    """

    name: str
    operation: Callable[[Any], Any]
    values: np.ndarray
    data_bytes: int | None
    waits: bool = False


def kernels(device: Any, shape: tuple[int, int], rounds: int) -> Iterator[Row]:
    """Each operation on arrays that are on the device already, cold in the second-level cache."""
    for job in (*_film_jobs(shape), *_region_jobs(shape), *_metric_jobs(device, shape)):
        yield attempt(job.name, "lcx_fast", partial(_measure, device, job, rounds))


def _measure(device: Any, job: Job, rounds: int) -> Row:
    arrays = device.copies(job.values)
    measure = device.time_with_host if job.waits else device.time_on_device
    spread = measure(lambda i: job.operation(arrays[i % len(arrays)]), rounds)
    note = "with its download" if job.waits else "" if job.data_bytes is not None else "not bound by memory"
    if spread.host_bound:
        note = "the device waited for the host between calls" + (f"; {note}" if note else "")
    return Row(job.name, "lcx_fast", spread, job.data_bytes, note=note)


def _film_jobs(shape: tuple[int, int]) -> Iterator[Job]:
    """What a film goes through: averages, breast, window, tiles, blending."""
    image = film(shape)
    spacing = 0.1 * 3328 / shape[1]
    scales = {"onto the coarse grid": preprocess.coarse_scale(shape), "at 0.5 mm": (0.5 / spacing, 0.5 / spacing)}
    for title, scale in scales.items():
        averages = ops.resample(image, scale=scale)
        data_bytes = image.nbytes + averages.nbytes
        yield Job(f"resample {title}", partial(ops.resample, scale=scale), image, data_bytes)
    coarse = ops.resample(image, scale=preprocess.coarse_scale(shape))
    yield Job("breast_mask", ops.breast_mask, coarse, None)
    yield Job("percentiles, two", partial(ops.percentiles, ranks=[1.0, 99.5]), coarse, None, waits=True)
    for title, steps in (("at 0.5 mm", scales["at 0.5 mm"]), ("unscaled", (1.0, 1.0))):
        grid = ops.plan_tiles(shape, scale=steps, tile_shape=(512, 512), overlap=0.25)
        tiles = np.zeros((len(grid), 2, 512, 512), np.float32)
        extract = partial(ops.extract_tiles, grid=grid, normalisation=ops.Normalisation(0, 4095))
        yield Job(f"extract_tiles {title}", extract, image, image.nbytes + tiles.nbytes // 2)
        maps_bytes = 8 * grid.shape[0] * grid.shape[1]
        yield Job(f"blend_tiles {title}", partial(ops.blend_tiles, grid=grid), tiles, tiles.nbytes + maps_bytes)


def _region_jobs(shape: tuple[int, int]) -> Iterator[Job]:
    pixels = shape[0] * shape[1]
    for scene in ("typical", "specks", "noise50"):
        values = SCENES[scene](shape)
        mask = (values >= 0.5).astype(np.uint8)
        lesions = partial(ops.find_lesions, low=0.5, high=0.6, min_area=16)
        yield Job(f"label_components {scene}", ops.label_components, mask, 5 * pixels, waits=True)
        yield Job(f"fill_holes {scene}", ops.fill_holes, mask, 2 * pixels)
        yield Job(f"trace_contours {scene}", ops.trace_contours, mask, pixels, waits=True)
        yield Job(f"find_lesions {scene}", lesions, values, 4 * pixels, waits=True)
        if scene != "noise50":
            labels, count = ops.label_components(mask)
            yield Job(f"region_props {scene}", partial(ops.region_props, count=count), labels, 4 * pixels, waits=True)


def _metric_jobs(device: Any, shape: tuple[int, int]) -> Iterator[Job]:
    """Evaluation: overlaps, matching, counts of scores."""
    rng = np.random.default_rng(0)
    count = 2000 if device.is_real else 50
    boxes = rng.uniform(0, 3000, (count, 4))
    others = device.array(rng.uniform(0, 3000, (count, 4)))
    overlap = partial(ops.box_iou, reference=others, format="xywh")
    yield Job(f"box_iou {count} x {count}, float64", overlap, boxes, 8 * count * count)
    iou = rng.random((count, count))
    matching = partial(ops.match_detections, thresholds=[0.1 * k for k in range(1, 10)])
    yield Job(f"match_detections {count} x {count}, 9 thresholds", matching, iou, None)
    side = (shape[0] // 4) * (shape[1] // 4)
    masks = rng.random((100, side)) < 0.1
    references = device.array(rng.random((100, side)) < 0.1)
    overlap = partial(ops.mask_iou, reference=references)
    yield Job(f"mask_iou 100 x 100 of {side} pixels", overlap, masks, 2 * masks.nbytes)
    pixels = shape[0] * shape[1]
    labels = device.array((rng.random(pixels) < 0.01).astype(np.uint8))
    bins = device.array(np.zeros((2, 65536), np.int64))
    scores = (65535 * rng.random(pixels) ** 8).astype(np.uint16)
    histogram = partial(_histogram, labels=labels, bins=bins)
    yield Job("pixel_histogram of 16-bit scores", histogram, scores, 3 * pixels)


def _histogram(scores: Any, *, labels: Any, bins: Any) -> None:
    ops._core.pixel_histogram(scores, labels, bins, threads=0)


def network_alone(device: Any, engine: Any, rounds: int) -> Row:
    """The engine on one tile that is on the device, replayed from a graph: as quickly as it runs in the line."""
    batch = device.array(np.random.default_rng(0).random(engine.input_shape, np.float32))
    output = device.array(np.empty(engine.output_shape, np.float32))
    replay = device.replayed(lambda stream: engine.infer(batch, output, stream))
    spread = device.time_on_device(lambda i: replay(), rounds)
    return Row("network, one tile", f"{engine.name} {engine.precision}", spread, note="replayed from a graph")


def exam(shape: tuple[int, int], count: int) -> list[Mammogram]:
    """Made-up films of one size."""
    spacing = 0.1 * 3328 / shape[1]
    return [Mammogram(film(shape, seed), PixelSpacing(spacing, spacing, "user")) for seed in range(count)]


def line(detector: Any, device: Any, shape: tuple[int, int], films: int, streams: int) -> Iterator[Row]:
    """From uint16 pixels on the host to the lesion list on the host."""
    images = exam(shape, 4)
    info = detector.engine_info
    who = f"lcx_fast, {info.name} {info.precision} on {info.device}"
    job, together = f"line, one film of {shape[0]} x {shape[1]}", f"line, {streams} films at once"

    def one_by_one() -> Row:
        spread = device.time_with_host(lambda i: detector.infer(images[i % len(images)]), films, seconds=60)
        tiles = len(preprocess.plan(images[0], detector.spec).grid)
        counts_tiles = detector._lines is not None and detector._lines.counts_tiles
        facts: dict[str, float] = {"films": spread.calls, "tiles": tiles, "counts tiles": counts_tiles}
        return Row(job, who, spread, facts=facts)

    def at_once() -> Row:
        list(detector.infer_many(images, streams=streams))  # every stream records its graph
        begin = time.perf_counter()
        count = sum(1 for _ in detector.infer_many((images[i % len(images)] for i in range(films)), streams=streams))
        seconds = time.perf_counter() - begin
        facts = {"films_per_s": count / seconds} if device.is_real else {}
        return Row(together, who, None, facts=facts)

    yield attempt(job, who, one_by_one)
    yield attempt(together, who, at_once)
