"""A model file run on samples exactly as at inference: the package's engines, tiles, blending and image score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lcx_fast import ops
from lcx_fast.engines import Engine, choose_engine
from lcx_fast.model import ModelSpec
from lcx_fast.scoring import image_score
from training.evaluate import Prediction
from training.network import LesionNetwork
from training.onnx_graph import ProbabilityNetwork
from training.prepare import Sample

Floats = NDArray[np.float32]
#: Fills the output [1, C, h, w] from a tile [1, 1, h, w].
RunTile = Callable[[Floats, Floats], None]


def open_engine(path: Path, engine: str, precision: str, *, threads: int = 0) -> Engine:
    """An engine on the CPU by name; raises EngineError, with the reason, where it cannot run the file so."""
    return choose_engine(path, device="cpu", engine=engine, precision=precision, threads=threads)[0]


def torch_tiles(network: LesionNetwork) -> RunTile:
    """The network in torch, fp32, a tile at a time."""
    model = ProbabilityNetwork(network).eval()

    @torch.no_grad()
    def run(tile: Floats, output: Floats) -> None:
        output[...] = model(torch.from_numpy(tile)).numpy()

    return run


def predict_samples(spec: ModelSpec, run: RunTile, samples: Sequence[Sample]) -> list[Prediction]:
    """Each sample's maps, zero outside the breast, and its image score.

    Args:
        spec: the model's description of itself.
        run: an engine's ``infer``, or torch_tiles.
        samples: on the model's grid.

    Raises:
        ValueError: samples of another pixel spacing.
    """
    normalisation = ops.Normalisation(0.0, 1.0, spec.mean, spec.deviation)
    shape = (1, len(spec.outputs), *spec.tile_shape)
    scored = spec.outputs.index(spec.image_score.map)
    predictions = []
    for sample in samples:
        if not np.isclose(sample.spacing_mm, spec.pixel_spacing_mm):
            raise ValueError(f"{sample.name}: {sample.spacing_mm} mm a pixel; the model needs {spec.pixel_spacing_mm}")
        height, width = sample.image.shape
        grid = ops.plan_tiles(
            (height, width), tile_shape=spec.tile_shape, overlap=spec.tile_overlap, mask=sample.breast
        )
        tiles = ops.extract_tiles(sample.image, grid, normalisation=normalisation, mask=sample.breast)
        outputs = np.empty((len(tiles), *shape[1:]), np.float32)
        for n in range(len(tiles)):
            run(tiles[n : n + 1], outputs[n : n + 1])
        maps = ops.blend_tiles(outputs, grid, weights=spec.tile_weights, mask=sample.breast)
        maps = np.where(sample.breast, maps, np.float32(0.0))
        predictions.append(Prediction(sample, maps, image_score(maps[scored], sample.breast, spec.image_score)))
    return predictions
