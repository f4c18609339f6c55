"""The data line: a mammogram in, lesions out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ops
from .by_value import by_value
from .decision import Decision, OperatingPoint, choose_operating_point
from .engines import Engine, ServingEngine, SkippedEngine, choose_engine
from .errors import DeviceError, EngineError, InvalidArgument
from .gpu_line import GpuLines, runs_on_line
from .images import Source, read_mammogram
from .lesions import Lesion, find_lesions
from .mammogram import Mammogram, PixelSpacing
from .model import ModelSpec, model_path, read_model_spec
from .parallel import map_in_order
from .preprocess import TilePlan, grid_mask, plan
from .scoring import image_score

RESEARCH_USE_ONLY = "Research use only. Not a medical device; not for diagnosis."


@by_value
@dataclass(frozen=True, eq=False)
class ProbabilityMap:
    """Probabilities on the model's grid, and how that lies on the source image.

    ``numpy.asarray(map)`` gives the values. Attributes:
        values: float32 [h, w]; 0 outside the breast.
        spacing: of a map pixel.
        scale: source pixels per map pixel along y and x.
        source_shape: (H, W) of the source image.
    """

    values: NDArray[np.float32]
    spacing: PixelSpacing
    scale: tuple[float, float]
    source_shape: tuple[int, int]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=True if copy is None else copy)

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the map."""
        height, width = self.values.shape
        return int(height), int(width)

    def at_source(self) -> NDArray[np.float32]:
        """float32 [H, W]: interpolated linearly at the source image's pixel centres."""
        rows, columns = (
            np.clip((np.arange(n) + 0.5) / s - 0.5, 0, m - 1)
            for n, s, m in zip(self.source_shape, self.scale, self.shape, strict=True)
        )
        top = np.minimum(rows.astype(np.intp), self.shape[0] - 1)
        bottom = np.minimum(top + 1, self.shape[0] - 1)
        part = (rows - top).astype(np.float32)[:, None]
        values = self.values[top] * (1 - part) + self.values[bottom] * part
        left = np.minimum(columns.astype(np.intp), self.shape[1] - 1)
        right = np.minimum(left + 1, self.shape[1] - 1)
        part = (columns - left).astype(np.float32)
        full: NDArray[np.float32] = values[:, left] * (1 - part) + values[:, right] * part
        return full


@dataclass(frozen=True)
class EngineInfo:
    """What ran, and what did not and why."""

    name: str
    version: str
    device: str
    precision: str
    skipped: tuple[SkippedEngine, ...] = ()


@by_value
@dataclass(frozen=True, eq=False)
class ImageReport:
    """Everything found on one image.

    Attributes:
        score: 0-1, the image's malignancy score.
        lesions: best first; those that the operating point marks.
        probability_map: of lesions, on the model's grid.
        maps: every output of the model by name, likewise.
        mammogram: the image read.
        timings: seconds by step: read, tile (with finding the breast), network, blend, lesions; and total. On a GPU
            network is all from the upload to the lesions on the model's grid.
        warnings: one line each.
        model: the model that ran.
        engine: the engine that ran it.
        probability: 0-1, the score as the probability of malignancy at the prevalence of the model's validation data;
            None where the model is not calibrated.
        decision: what the operating point says of the image; None with ``operating_point="all"``, and where the model
            has no operating points.
    """

    score: float
    lesions: tuple[Lesion, ...]
    probability_map: ProbabilityMap
    mammogram: Mammogram
    timings: Mapping[str, float]
    warnings: tuple[str, ...]
    model: ModelSpec
    engine: EngineInfo
    maps: Mapping[str, ProbabilityMap] = field(repr=False, default_factory=dict)
    probability: float | None = None
    decision: Decision | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON types; see ``lcx_fast.report.json``."""
        from .report.json import image_report_to_dict

        return image_report_to_dict(self)


class StepClock:
    """Adds up the time each step of an inference takes."""

    STEPS = ("read", "tile", "network", "blend", "lesions")

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._seconds = dict.fromkeys(self.STEPS, 0.0)

    def end_step(self, step: str) -> None:
        """Count the time since the last call towards ``step``."""
        now = time.perf_counter()
        self._seconds[step] += now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        """Seconds by step, and their total."""
        return self._seconds | {"total": sum(self._seconds.values())}


def _describe(engine: Engine, skipped: tuple[SkippedEngine, ...]) -> EngineInfo:
    return EngineInfo(engine.name, engine.version, engine.device, engine.precision, skipped)


class Detector:
    """A model, loaded once; safe to call from many threads.

    Made by ``load_model``.
    """

    def __init__(
        self,
        spec: ModelSpec,
        engine: Engine,
        skipped: tuple[SkippedEngine, ...] = (),
        *,
        threads: int = 0,
        fallback: Callable[[], Engine] | None = None,
        operating_point: str | None = None,
    ) -> None:
        self.spec = spec
        self._operating_point = operating_point
        self._choose_point(operating_point)  # so that a wrong name is told now
        self._serving = ServingEngine(engine, skipped, fallback=fallback, check=self._check_engine)
        self._threads = threads
        self._lines: GpuLines | None = None

    @property
    def engine(self) -> Engine:
        """What would run the next image."""
        return self._serving.current()[0]

    @property
    def engine_info(self) -> EngineInfo:
        """What would run the next image, and what not and why."""
        return _describe(*self._serving.current())

    def _check_engine(self, engine: Engine) -> None:
        """That an engine's network is what the model's metadata says."""
        spec = self.spec
        found = (engine.input_shape, engine.output_shape)
        expected = ((1, 1, *spec.tile_shape), (1, len(spec.outputs), *spec.tile_shape))
        if found != expected:
            raise EngineError(f"model {spec.name}: input, output {found}; its metadata says {expected}; export it anew")

    def __reduce__(self) -> str:
        raise TypeError("a Detector cannot be pickled or copied; call load_model in each process")

    def __repr__(self) -> str:
        info = self.engine_info
        return f"Detector({self.spec.name} {self.spec.version}, {info.name} {info.precision} on {info.device})"

    def infer(
        self, source: Source, *, pixel_spacing_mm: float | None = None, operating_point: str | None = None
    ) -> ImageReport:
        """Find the lesions of one mammogram.

        Args:
            source: a path, bytes, a binary file object, a pydicom Dataset, a Mammogram, or a 2-D array of any numeric
                type, brighter = denser.
            pixel_spacing_mm: overrides whatever the source says.
            operating_point: ``"high_sensitivity"``, ``"balanced"``, ``"high_specificity"``, or ``"all"`` for every
                lesion candidate and no decision; None for what ``load_model`` was given.

        Raises:
            DicomError: if a DICOM file is not a mammogram that can be read.
            InvalidArgument: if the source is nothing that can be read, or the model has no such operating point.
            EngineError: if the engine fails.
        """
        point = self._choose_point(operating_point or self._operating_point)
        clock = StepClock()
        mammogram = read_mammogram(source, pixel_spacing_mm=pixel_spacing_mm)
        clock.end_step("read")
        tile_plan, blended, regions, engine_info = self._probabilities(mammogram, clock)
        maps = dict(zip(self.spec.outputs, blended, strict=True))
        breast = grid_mask(tile_plan.breast, tile_plan.grid)
        score = image_score(maps[self.spec.image_score.map], breast, self.spec.image_score)
        candidates = find_lesions(
            maps,
            grid=tile_plan.grid,
            spacing=mammogram.spacing,
            thresholds=self.spec.thresholds,
            threads=self._threads,
            regions=regions,
        )
        lesions, decision = self._decide(score, candidates, point)
        clock.end_step("lesions")
        warnings = list(mammogram.warnings)
        if not tile_plan.breast.any():
            warnings.append("no breast was found on this image; nothing was looked for")
        wrapped = {name: self._wrap(values, tile_plan.grid, mammogram) for name, values in maps.items()}
        return ImageReport(
            score=score,
            lesions=lesions,
            probability_map=wrapped[self.spec.outputs[0]],
            maps=wrapped,
            mammogram=mammogram,
            timings=clock.seconds(),
            warnings=tuple(warnings),
            probability=None if self.spec.calibrations.image is None else self.spec.calibrations.image(score),
            decision=decision,
            model=self.spec,
            engine=engine_info,
        )

    def _choose_point(self, name: str | None) -> OperatingPoint | None:
        return choose_operating_point(self.spec.operating_points, name, default=self.spec.default_operating_point)

    def _decide(
        self, score: float, candidates: tuple[Lesion, ...], point: OperatingPoint | None
    ) -> tuple[tuple[Lesion, ...], Decision | None]:
        """The candidates that an operating point marks, with their probabilities, and what it says of the image."""
        if calibration := self.spec.calibrations.lesion:
            candidates = tuple(replace(lesion, probability=calibration(lesion.score)) for lesion in candidates)
        if point is None:
            return candidates, None
        marked = tuple(lesion for lesion in candidates if lesion.score >= point.lesion_score)
        left_out = len(candidates) - len(marked)
        return marked, Decision(point.name, score >= point.image_score, point.image_score, point.lesion_score, left_out)

    def infer_many(
        self, sources: Iterable[Source], *, streams: int = 2, pixel_spacing_mm: float | None = None
    ) -> Iterator[ImageReport]:
        """Find the lesions of many mammograms, several at a time: on a GPU each on a stream of its own.

        Args:
            sources: as ``infer`` takes them; drawn from as work gets done.
            streams: how many at a time.
            pixel_spacing_mm: overrides whatever the sources say.

        Returns:
            A report for each source, in their order, as they come.

        Raises:
            What ``infer`` raises, when that source's turn comes; later sources are not worked on then.
        """
        if streams < 1:
            raise InvalidArgument(f"streams {streams}; at least 1")
        if isinstance(sources, str | bytes):
            raise InvalidArgument("sources is a single one; give a list, or use infer")
        return map_in_order(partial(self.infer, pixel_spacing_mm=pixel_spacing_mm), sources, workers=streams)

    def _probabilities(
        self, mammogram: Mammogram, clock: StepClock
    ) -> tuple[TilePlan, NDArray[np.float32], ops.Regions | None, EngineInfo]:
        """How the film was cut into tiles; float32 [C, h, w]; lesions on the grid, if found already; and what ran.

        A GPU that fails is replaced by the CPU.
        """
        while True:
            engine, skipped = self._serving.current()
            try:
                tile_plan, blended, regions = self._run(engine, mammogram, clock)
            except (DeviceError, EngineError) as error:
                self._serving.fall_back(engine, error)
            else:
                return tile_plan, blended, regions, _describe(engine, skipped)

    def _run(
        self, engine: Engine, mammogram: Mammogram, clock: StepClock
    ) -> tuple[TilePlan, NDArray[np.float32], ops.Regions | None]:
        if runs_on_line(engine):
            # One graph, in which no step has a time of its own: all of it is counted as "network".
            result = self._lines_of(engine).run(mammogram)
            clock.end_step("network")
            return result
        tile_plan = plan(mammogram, self.spec, threads=self._threads)
        clock.end_step("tile")
        return tile_plan, self._run_tiles(engine, mammogram, tile_plan, clock), None

    def _lines_of(self, engine: Engine) -> GpuLines:
        lines = self._lines
        if lines is None or lines.engine is not engine:
            lines = self._lines = GpuLines(engine, self.spec, threads=self._threads)
        return lines

    def _run_tiles(
        self, engine: Engine, mammogram: Mammogram, tile_plan: TilePlan, clock: StepClock
    ) -> NDArray[np.float32]:
        """One tile at a time, so that it is still in the cache when it is blended."""
        tile = np.empty(engine.input_shape, np.float32)
        output = np.empty(engine.output_shape, np.float32)
        blender = ops.TileBlender(
            tile_plan.grid,
            channels=len(self.spec.outputs),
            weights=self.spec.tile_weights,
            mask=tile_plan.breast,
        )
        for n in range(len(tile_plan.grid)):
            tile_plan.extract(mammogram.pixels, n, tile, threads=self._threads)
            clock.end_step("tile")
            engine.infer(tile, output)
            clock.end_step("network")
            blender.add(n, output[0])
            clock.end_step("blend")
        blended = blender.finish()
        clock.end_step("blend")
        return blended

    def _wrap(self, values: NDArray[np.float32], grid: ops.TileGrid, mammogram: Mammogram) -> ProbabilityMap:
        spacing = mammogram.spacing
        return ProbabilityMap(
            values,
            PixelSpacing(spacing.row_mm * grid.scale[0], spacing.column_mm * grid.scale[1], spacing.source),
            grid.scale,
            grid.image_shape,
        )


def load_model(
    name_or_path: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
    threads: int = 0,
    operating_point: str | None = None,
) -> Detector:
    """Load a model.

    Args:
        name_or_path: a bundled model's name or an .onnx file; None for the default model.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``. With ``"auto"`` the CPU serves while TensorRT's plan
            is built in the background, and whenever the GPU fails; ``"cuda"`` waits for the plan and raises.
        precision: ``"auto"`` (fp32 on the CPU, fp16 in TensorRT), ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"int8"``
            (made from the ranges that the model file keeps; see ``training.quantise``).
        engine: ``"auto"``, or an engine's name to insist on it.
        threads: CPU threads for one inference; 0 = all that the process may use.
        operating_point: how sensitive to be: ``"high_sensitivity"``, ``"balanced"``, ``"high_specificity"``, or
            ``"all"`` for every lesion candidate and no decision; None for the model's default.

    Raises:
        InvalidArgument: if there is no such model or operating point, its metadata is wrong, or a value is not one of
            these.
        DeviceError: if ``device="cuda"`` cannot be served.
        EngineError: if no engine can run the model.
    """
    path = model_path(name_or_path)
    spec = read_model_spec(path).at_precision(precision)
    chosen, skipped = choose_engine(spec.path, device=device, precision=precision, engine=engine, threads=threads)
    fallback: Callable[[], Engine] | None = None
    if device == "auto" and engine == "auto":
        # A precision that was asked for, but that only the GPU can do, is better answered in fp32 than not at all.
        fallback = partial(_cpu_engine, spec.path, precision, threads)
    return Detector(spec, chosen, skipped, threads=threads, fallback=fallback, operating_point=operating_point)


def _cpu_engine(model: Path, precision: str, threads: int) -> Engine:
    try:
        return choose_engine(model, device="cpu", precision=precision, threads=threads)[0]
    except EngineError:
        return choose_engine(model, device="cpu", threads=threads)[0]
