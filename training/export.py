"""Write a checkpoint as one self-describing .onnx file.

    python -m training.export --run runs/first --output lcx_fast/models/cdd-cesm-lite0.onnx

Input "image" float32 [1, 1, H, W], normalised as the metadata says; output "probabilities" float32
[1, 2, H, W]. Weights lie inside the file; everything inference needs is one JSON document under the metadata
key "lcx_fast".
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from training.config import Config
from training.evaluate import load_model
from training.network import OUTPUT_NAMES, LesionNetwork
from training.prepare import HIGH_PERCENTILE, LOW_PERCENTILE

METADATA_KEY = "lcx_fast"
SCHEMA_VERSION = 1
OPSET = 17
TILE_SHAPE = (512, 512)
MAX_BYTES = 20 * 1024 * 1024
PARITY_TOLERANCE = 1e-4


class ProbabilityNetwork(nn.Module):
    """The network with its sigmoid: what is exported."""

    def __init__(self, network: LesionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.network(image))


def export_onnx(
    network: LesionNetwork,
    path: Path,
    *,
    metadata: Mapping[str, Any],
    tile_shape: tuple[int, int] = TILE_SHAPE,
) -> float:
    """Write the file, check it, compare it with torch; return the largest absolute difference seen.

    Raises:
        ValueError: the file is too large, or differs from torch by more than PARITY_TOLERANCE.
    """
    model = ProbabilityNetwork(network).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    temporary = path.with_suffix(".tmp.onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, *tile_shape),),
        str(temporary),
        input_names=["image"],
        output_names=["probabilities"],
        opset_version=OPSET,
        # The TorchScript exporter: it needs no further package and these plain operators suit it.
        dynamo=False,
    )
    document = onnx.load(str(temporary))
    onnx.helper.set_model_props(document, {METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)})
    document.producer_name = "lcx_fast training"
    onnx.checker.check_model(document, full_check=True)
    onnx.save(document, str(temporary))
    size = temporary.stat().st_size
    difference = parity(model, temporary, tile_shape)
    if size > MAX_BYTES or not difference < PARITY_TOLERANCE:
        temporary.unlink()
        raise ValueError(f"{path.name}: {size} bytes (limit {MAX_BYTES}), differs from torch by {difference:.2g}")
    temporary.replace(path)
    return difference


@torch.no_grad()
def parity(model: nn.Module, path: Path, tile_shape: tuple[int, int]) -> float:
    """Largest absolute difference between torch and ONNX Runtime over smooth, noisy and empty tiles."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    noise = random.random((1, 1, *tile_shape), dtype=np.float32) * 4.0
    ramp = np.broadcast_to(np.linspace(0, 4, tile_shape[1], dtype=np.float32), (1, 1, *tile_shape)).copy()
    worst = 0.0
    for tile in (noise, ramp, np.zeros_like(noise)):
        (found,) = session.run(["probabilities"], {"image": tile})
        worst = max(worst, float(np.abs(model(torch.from_numpy(tile)).numpy() - found).max()))
    return worst


def make_metadata(
    network: LesionNetwork,
    config: Config,
    *,
    thresholds: Mapping[str, float],
    metrics: Mapping[str, Any],
    operating_points: Mapping[str, Any],
) -> dict[str, Any]:
    """The document that lcx_fast.model reads, schema version 1."""
    malignant = OUTPUT_NAMES.index("malignant")
    a1, a2, b = (float(value) for value in network.pooling.detach()[malignant])
    return {
        "schema_version": SCHEMA_VERSION,
        "name": "cdd-cesm-lite0",
        "version": "0.1.0",
        "pixel_spacing_mm": config.data.pixel_spacing_mm,
        "tile_shape": list(TILE_SHAPE),
        "tile_overlap": 0.25,
        "tile_weights": "gaussian",
        "normalisation": {
            "low_percentile": LOW_PERCENTILE,
            "high_percentile": HIGH_PERCENTILE,
            "mean": config.network.mean,
            "std": config.network.std,
        },
        "outputs": list(OUTPUT_NAMES),
        "thresholds": dict(thresholds),
        "image_score": {
            "map": "malignant",
            "lse_r": config.pooling.lse_r,
            "top_fraction": config.pooling.top_fraction,
            "a1": float(np.log1p(np.exp(a1))),
            "a2": float(np.log1p(np.exp(a2))),
            "b": b,
        },
        "training_data": "CDD-CESM low-energy images, training patients; doi 10.7937/29kw-ae92 (CC BY 4.0)",
        "licence": "Apache-2.0 (weights and code); training data CC BY 4.0",
        "citation": [
            "Khaled et al. 2022, Sci Data, doi 10.1038/s41597-022-01238-0",
            "An et al. 2021, Front Big Data 742779 (re-implemented from the abstract)",
        ],
        "operating_points": dict(operating_points),
        "metrics": dict(metrics),
        "intended_use": "research use only",
    }


def read_metadata(path: Path) -> dict[str, Any]:
    """The JSON document of an exported model."""
    properties = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    document: dict[str, Any] = json.loads(properties[METADATA_KEY])
    return document


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Export a checkpoint as one .onnx file.")
    parser.add_argument("--run", type=Path, required=True, help="run folder of training.train")
    parser.add_argument("--checkpoint", default="best.safetensors")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--low", type=float, default=0.5, help="outline threshold")
    parser.add_argument("--high", type=float, default=0.5, help="hysteresis seed threshold")
    parser.add_argument("--min-area-mm2", type=float, default=25.0)
    options = parser.parse_args(arguments)
    network, config, state = load_model(options.run / options.checkpoint)
    validation = options.run / "validation.json"
    metrics: dict[str, Any] = {
        "epoch": state["epoch"],
        "note": "validation images also chose the checkpoint: optimistic",
    }
    if validation.is_file() and (document := json.loads(validation.read_text()))["epoch"] == state["epoch"]:
        del document["thresholds"]
        metrics["validation"] = document
    points: dict[str, Any] = {}
    if "validation" in metrics:
        points = metrics["validation"]["all_through_512"]["abnormal"]["operating_points"]
    thresholds = {"low": options.low, "high": options.high, "min_area_mm2": options.min_area_mm2}
    metadata = make_metadata(network, config, thresholds=thresholds, metrics=metrics, operating_points=points)
    difference = export_onnx(network, options.output, metadata=metadata)
    print(f"{options.output}: {options.output.stat().st_size} bytes, differs from torch by {difference:.2g}")


if __name__ == "__main__":
    main()
