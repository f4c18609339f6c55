"""How far each engine's answer is from torch's: on tiles when a file is written, on images for the record."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np
import torch

from lcx_fast.engines.onnxruntime import import_onnxruntime
from lcx_fast.errors import LcxError
from lcx_fast.model import read_model_spec
from training.evaluate import Prediction
from training.model_file import open_engine, predict_samples, torch_tiles
from training.network import LesionNetwork
from training.onnx_graph import ProbabilityNetwork, read_network
from training.prepare import Sample
from training.prepared import load_samples

#: What fp32 must keep (issue: score within 1e-3, masks above 0.99).
MAX_SCORE_DIFFERENCE = 1e-3
MIN_MASK_IOU = 0.99
MASK_THRESHOLD = 0.5


@dataclass(frozen=True)
class Difference:
    """One engine against torch in fp32, over some images.

    probability: largest absolute difference of any pixel. score: of any image's score. mask_iou: of {p > 0.5} of the
    lesion map, all images' pixels together; NaN if both are empty.
    """

    engine: str
    precision: str
    probability: float
    score: float
    mask_iou: float

    @property
    def passes(self) -> bool:
        """Whether it is as close as fp32 must be; where no mask holds a pixel, every pixel must be."""
        masks_agree = self.probability < MAX_SCORE_DIFFERENCE if isnan(self.mask_iou) else self.mask_iou > MIN_MASK_IOU
        return self.score < MAX_SCORE_DIFFERENCE and masks_agree


@torch.no_grad()
def largest_difference(network: LesionNetwork, path: Path, tile_shape: tuple[int, int]) -> float:
    """Largest absolute difference between torch and ONNX Runtime over smooth, noisy and empty tiles."""
    session = import_onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    model = ProbabilityNetwork(network).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    random = np.random.default_rng(0)
    noise = random.random((1, 1, *tile_shape), dtype=np.float32) * 4.0
    ramp = np.broadcast_to(np.linspace(0, 4, tile_shape[1], dtype=np.float32), (1, 1, *tile_shape)).copy()
    worst = 0.0
    for tile in (noise, ramp, np.zeros_like(noise)):
        (found,) = session.run(["probabilities"], {"image": tile})
        worst = max(worst, float(np.abs(model(torch.from_numpy(tile)).numpy() - found).max()))
    return worst


def phantom_samples(*, count: int, spacing_mm: float, seed: int = 0) -> list[Sample]:
    """Mammogram-like images with lesions, drawn: what a check uses where no data is at hand."""
    from training.datasets.phantom import PhantomSettings
    from training.datasets.phantom_set import PhantomPlan, write_phantom

    height, width = round(240.0 / spacing_mm), round(180.0 / spacing_mm)
    settings = PhantomSettings(height=height, width=width, spacing_mm=spacing_mm)
    plan = PhantomPlan(patients=-(-count // 2), seed=seed, normal=0.0, file_format="npy", settings=settings)
    with tempfile.TemporaryDirectory() as folder:
        write_phantom(Path(folder) / "phantom", plan)
        return load_samples(Path(folder) / "phantom", Path(folder) / "cache", spacing_mm=spacing_mm)[:count]


def compare_engines(path: Path, samples: Sequence[Sample]) -> tuple[list[Difference], list[str]]:
    """Every engine of this machine's CPU against torch running the file's own weights.

    Args:
        path: a model file of training.export.
        samples: on the model's grid.

    Returns:
        A row per engine and precision, and a line for each that cannot be had.
    """
    spec = read_model_spec(path)
    reference = predict_samples(spec, torch_tiles(read_network(path)), samples)
    rows, missing = [], []
    for engine, precision in (
        ("onnxruntime", "fp32"),
        ("openvino", "fp32"),
        ("openvino", "bf16"),
        ("openvino", "fp16"),
        ("onnxruntime", "int8"),
        ("openvino", "int8"),
    ):
        if precision == "int8" and spec.quantisation is None:
            continue
        try:
            runner = open_engine(path, engine, precision)
            # Asked for and not done: OpenVINO answers bf16 on a CPU without it in fp32.
            if runner.precision != precision:
                missing.append(f"{engine} {precision}: runs in {runner.precision} here")
                continue
            rows.append(_difference(engine, precision, reference, predict_samples(spec, runner.infer, samples)))
        except LcxError as error:
            missing.append(f"{engine} {precision}: {error}")
    return rows, missing


def _difference(
    engine: str, precision: str, reference: Sequence[Prediction], found: Sequence[Prediction]
) -> Difference:
    pairs = list(zip(reference, found, strict=True))
    return Difference(
        engine=engine,
        precision=precision,
        probability=max(float(np.abs(a.probabilities - b.probabilities).max()) for a, b in pairs),
        score=max(abs(a.score - b.score) for a, b in pairs),
        mask_iou=mask_iou(reference, found),
    )


def mask_iou(reference: Sequence[Prediction], found: Sequence[Prediction]) -> float:
    """Intersection over union of {p > 0.5} of the first map, over all images' pixels together."""
    both = either = 0
    for a, b in zip(reference, found, strict=True):
        one, other = a.probabilities[0] > MASK_THRESHOLD, b.probabilities[0] > MASK_THRESHOLD
        both += int((one & other).sum())
        either += int((one | other).sum())
    return both / either if either else float("nan")
