"""Whether the GPU's results are the CPU's: on random masks, and on films. Part of ``gpu_run.py``; says what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lcx_fast import ops, preprocess

#: Sides of random masks: awkward ones, and several blocks' worth.
SIDES = (1, 2, 15, 31, 32, 33, 64, 97, 160)


@dataclass
class Verdict:
    """How many things were compared, and what differed."""

    compared: int = 0
    differing: dict[str, int] = field(default_factory=dict)

    def check(self, what: str, *, same: bool) -> None:
        self.compared += 1
        if not same:
            self.differing[what] = self.differing.get(what, 0) + 1

    def __str__(self) -> str:
        if not self.differing:
            return f"all {self.compared} results are the CPU's"
        listed = ", ".join(f"{what} {count}" for what, count in sorted(self.differing.items()))
        return f"of {self.compared} results these are not the CPU's: {listed}"


def to_host(array: Any) -> np.ndarray:
    """A result of ours on the host: NumPy's, CuPy's, or one of the emulation."""
    if isinstance(array, np.ndarray):
        return array
    return array.get() if hasattr(array, "get") else array.to_host()


def _close(one: Any, other: Any) -> bool:
    return np.shape(one) == np.shape(other) and bool(np.allclose(one, other, rtol=1e-6, atol=0, equal_nan=True))


def _same_measurements(one: ops.RegionProps, other: ops.RegionProps) -> bool:
    """Integers equal, floats to 1e-6."""
    whole = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("area", "bounding_box"))
    return whole and all(_close(getattr(one, n), getattr(other, n)) for n in ("centroid", "mean", "max", "top_mean"))


def _same_regions(one: ops.Regions, other: ops.Regions) -> bool:
    """The same, and outlines to 1e-6."""
    a, b = one.outlines, other.outlines
    return np.array_equal(a.offsets, b.offsets) and _close(a.points, b.points) and _same_measurements(one, other)


def _masks(count: int) -> Iterator[tuple[np.ndarray, np.random.Generator]]:
    """Noise of every density, and blobs of it."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        shape = rng.choice(SIDES, 2)
        mask = rng.random(shape) < rng.uniform(0.02, 0.98)
        if seed % 3 == 0:
            cell = int(rng.integers(2, 9))
            mask = np.kron(mask, np.ones((cell, cell), bool))[: shape[0], : shape[1]]
        yield mask, rng


def _check_regions(array: Callable[[np.ndarray], Any], mask: np.ndarray, rng: np.random.Generator, v: Verdict) -> None:
    on_device = array(mask)
    for connectivity in (4, 8):
        labels, count = ops.label_components(on_device, connectivity=connectivity)
        expected, expected_count = ops.label_components(mask, connectivity=connectivity)
        v.check("label_components", same=count == expected_count and np.array_equal(to_host(labels), expected))
    v.check("fill_holes", same=np.array_equal(to_host(ops.fill_holes(on_device)), ops.fill_holes(mask)))
    found, wanted = ops.trace_contours(on_device), ops.trace_contours(mask)
    v.check(
        "trace_contours",
        same=np.array_equal(found.is_hole, wanted.is_hole)
        and np.array_equal(found.polygons.offsets, wanted.polygons.offsets)
        and np.array_equal(found.polygons.points, wanted.polygons.points),
    )
    values = rng.random(mask.shape, np.float32) * (np.float32(0.3) + mask)
    settings = {"low": 0.5, "high": 0.9, "min_area": 3}
    values_there = array(values)
    lesions = ops.find_lesions(values_there, **settings)
    v.check("find_lesions", same=_same_regions(lesions, ops.find_lesions(values, **settings)))
    labels, count = ops.label_components(mask)
    props = ops.region_props(array(labels), values_there, count=count)
    v.check("region_props", same=_same_measurements(props, ops.region_props(labels, values, count=count)))
    v.check("breast_mask", same=np.array_equal(to_host(ops.breast_mask(values_there)), ops.breast_mask(values)))
    ranks = [1.0, 50.0, 99.5]
    v.check("percentiles", same=ops.percentiles(values_there, ranks) == ops.percentiles(values, ranks))


def _check_metrics(array: Callable[[np.ndarray], Any], rng: np.random.Generator, v: Verdict) -> None:
    detections, references = rng.integers(1, 40, 2)
    a, b = rng.uniform(0, 50, (detections, 4)), rng.uniform(0, 50, (references, 4))
    iou = ops.box_iou(a, b, format="xywh")
    v.check("box_iou", same=np.array_equal(to_host(ops.box_iou(array(a), array(b), format="xywh")), iou))
    found = ops.match_detections(array(iou), thresholds=[0.1, 0.5])
    wanted = ops.match_detections(iou, thresholds=[0.1, 0.5])
    v.check("match_detections", same=all(np.array_equal(to_host(x), y) for x, y in zip(found, wanted, strict=True)))
    pixels = int(rng.integers(1, 3000))
    one, other = rng.random((3, pixels)) < 0.5, rng.random((4, pixels)) < 0.5
    v.check("mask_iou", same=np.array_equal(to_host(ops.mask_iou(array(one), array(other))), ops.mask_iou(one, other)))


def random_masks(device: Any, count: int) -> Verdict:
    """``count`` random masks through every operation on regions, and as many random sets through the metrics."""
    verdict = Verdict()
    for mask, rng in _masks(count):
        _check_regions(device.array, mask, rng, verdict)
        _check_metrics(device.array, rng, verdict)
    return verdict


def films(detector: Any, mammograms: Sequence[Any]) -> Verdict:
    """The line on the GPU against the CPU's steps: breast, window, tiles; and the lesions of the GPU's own maps.

    The network's arithmetic is another on each engine, so its maps are not compared here.
    """
    from lcx_fast.gpu_line import GpuLines
    from lcx_fast.lesions import min_area

    verdict = Verdict()
    spec = detector.spec
    lines = GpuLines(detector.engine, spec)
    for mammogram in mammograms:
        found, maps, regions = lines.run(mammogram)
        wanted = preprocess.plan(mammogram, spec)
        verdict.check("breast", same=np.array_equal(found.breast, wanted.breast))
        windows = [np.float32((plan.normalisation.low, plan.normalisation.high)) for plan in (found, wanted)]
        verdict.check("window", same=np.array_equal(*windows))
        verdict.check("tiles", same=np.array_equal(found.grid.origins, wanted.grid.origins))
        thresholds = spec.thresholds
        lesions = ops.find_lesions(
            maps[0],
            low=thresholds.low,
            high=thresholds.high,
            min_area=min_area(found.grid.scale, mammogram.spacing, thresholds),
        )
        verdict.check("lesions", same=_same_regions(regions, lesions))
    return verdict
