"""Write a checkpoint as one self-describing .onnx file.

    python -m training.export --run runs/first --output lcx_fast/models/cdd-cesm-lite0.onnx

    python -m training.export --model old.onnx --output lcx_fast/models/cdd-cesm-lite0.onnx

    python -m training.export --check lcx_fast/models/cdd-cesm-lite0.onnx

Input "image" float32 [1, 1, H, W], normalised as the metadata says; output "probabilities" float32
[1, 2, H, W]. Weights lie inside the file, rounded and in half precision (Note [Weight bits] in training.onnx_graph);
everything inference needs is one JSON document under the metadata key "lcx_fast". The second form rounds and writes a
model file anew; like any other it is then to be measured: `make measure`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from lcx_fast.model import METADATA_KEY, SCHEMA_VERSION, read_model_spec
from training.command import at_least, one_line_errors
from training.config import Config
from training.evaluate import held_out_samples, load_model
from training.network import OUTPUT_NAMES, LesionNetwork
from training.onnx_graph import WEIGHT_BITS, build_model, read_network, round_weights
from training.parity import (
    MASK_THRESHOLD,
    MAX_SCORE_DIFFERENCE,
    compare_engines,
    largest_difference,
    phantom_samples,
)
from training.prepare import HIGH_PERCENTILE, LOW_PERCENTILE
from training.prepared import INDEX, load_samples

MAX_BYTES = 20 * 1024 * 1024
PARITY_TOLERANCE = 1e-4
# What one tile covers: the whole of most breasts.
TILE_EXTENT_MM = 256.0


class TrainingData(NamedTuple):
    """What a model file says of the data it was trained on."""

    description: str
    licence: str
    citation: tuple[str, ...]


DATA = {
    "cdd-cesm": TrainingData(
        "CDD-CESM low-energy images, training patients; doi 10.7937/29kw-ae92 (CC BY 4.0)",
        "training data CC BY 4.0",
        ("Khaled et al. 2022, Sci Data, doi 10.1038/s41597-022-01238-0",),
    ),
    "ddsm": TrainingData(
        "DDSM, training patients by hash",
        "training data: the terms of the DDSM",
        ("Heath et al. 2001, Proc. 5th Int. Workshop on Digital Mammography, 212-218",),
    ),
    "cbis-ddsm": TrainingData(
        "CBIS-DDSM, training patients; doi 10.7937/K9/TCIA.2016.7O02S9CY (CC BY 3.0)",
        "training data CC BY 3.0",
        ("Lee et al. 2017, Sci Data, doi 10.1038/sdata.2017.177",),
    ),
}
UNKNOWN_DATA = TrainingData("a data set of the trainer's own", "training data: its own terms", ())


def tile_shape_at(spacing_mm: float) -> tuple[int, int]:
    """A square of TILE_EXTENT_MM in pixels, a multiple of the network's largest stride."""
    side = 32 * round(TILE_EXTENT_MM / spacing_mm / 32)
    return side, side


def export_onnx(
    network: LesionNetwork,
    path: Path,
    *,
    metadata: Mapping[str, Any],
    tile_shape: tuple[int, int],
    weight_bits: int = WEIGHT_BITS,
) -> float:
    """Round the network, write the file, check it, compare it with torch; return the largest absolute difference seen.

    Args:
        network: any; the file holds ``round_weights`` of it, and that is what it is compared with.
        path: of the file.
        metadata: what it says of itself.
        tile_shape: (h, w) of its input.
        weight_bits: see round_weights.

    Raises:
        ValueError: the file is too large, or differs from torch by more than PARITY_TOLERANCE.
    """
    network = round_weights(network, bits=weight_bits)
    document = build_model(network, tile_shape=tile_shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.onnx")
    save_with_metadata(document, metadata, temporary)
    size = temporary.stat().st_size
    difference = largest_difference(network, temporary, tile_shape)
    if size > MAX_BYTES or not difference < PARITY_TOLERANCE:
        temporary.unlink()
        raise ValueError(f"{path.name}: {size} bytes (limit {MAX_BYTES}), differs from torch by {difference:.2g}")
    temporary.replace(path)
    return difference


def save_with_metadata(document: onnx.ModelProto, metadata: Mapping[str, Any], path: Path) -> None:
    """Write a model as one file with everything inference needs under METADATA_KEY; never half of one."""
    onnx.helper.set_model_props(document, {METADATA_KEY: json.dumps(dict(metadata), sort_keys=True, allow_nan=False)})
    onnx.checker.check_model(document, full_check=True)
    temporary = path.with_suffix(".writing")
    onnx.save(document, str(temporary))
    temporary.replace(path)


def make_metadata(
    network: LesionNetwork,
    config: Config,
    *,
    name: str,
    thresholds: Mapping[str, float],
    dataset: str = "cdd-cesm",
    version: str = "0.1.0",
    epoch: int | None = None,
) -> dict[str, Any]:
    """The document that lcx_fast.model reads; training.calibrate adds figures, calibration and operating points."""
    malignant = OUTPUT_NAMES.index("malignant")
    a1, a2, b = (float(value) for value in network.pooling.detach()[malignant])
    data = DATA.get(dataset, UNKNOWN_DATA)
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "version": version,
        "precision": "fp32",
        "pixel_spacing_mm": config.data.pixel_spacing_mm,
        "tile_shape": list(tile_shape_at(config.data.pixel_spacing_mm)),
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
        "training_data": data.description,
        "licence": f"Apache-2.0 (weights and code); {data.licence}",
        "citation": [*data.citation, "An et al. 2021, Front Big Data 742779 (re-implemented from the abstract)"],
        "metrics": {} if epoch is None else {"epoch": epoch},
        "intended_use": "research use only",
    }


#: What a file says that was measured on its own weights.
_MEASURED = ("calibration", "operating_points", "default_operating_point", "int8")


def unmeasured(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata for the same model with other weights: what was measured on the old ones is left out."""
    kept = {key: value for key, value in metadata.items() if key not in _MEASURED}
    return kept | {"metrics": {key: value for key, value in metadata["metrics"].items() if key == "epoch"}}


def read_metadata(path: Path) -> dict[str, Any]:
    """The JSON document of an exported model."""
    properties = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    document: dict[str, Any] = json.loads(properties[METADATA_KEY])
    return document


def check(path: Path, *, data: Path | None, count: int) -> int:
    """Print how far each engine is from torch; 0 if those in fp32 are close enough."""
    spec = read_model_spec(path)
    if data is None:
        samples, what = phantom_samples(count=count, spacing_mm=spec.pixel_spacing_mm), "phantom images"
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = load_samples(data, Path(folder) / "cache", spacing_mm=spec.pixel_spacing_mm)
        samples, what = held_out_samples(found, resampled=False)[:count], f"validation images of {data}"
    rows, missing = compare_engines(path, samples)
    print(f"{path.name} against torch in fp32, {len(samples)} {what}")
    print(f"{'engine':<12} {'precision':<9} {'largest difference':>18} {'of the score':>13} {'mask IoU':>9}")
    for row in rows:
        print(
            f"{row.engine:<12} {row.precision:<9} {row.probability:>18.2e} {row.score:>13.2e} {_shown(row.mask_iou):>9}"
            + ("" if row.precision != "fp32" else "  as close as it must be" if row.passes else "  TOO FAR")
        )
    if any(isnan(row.mask_iou) for row in rows):
        print(
            f"masks not compared: no pixel is above {MASK_THRESHOLD} here, so each pixel's probability was held to "
            f"{MAX_SCORE_DIFFERENCE:g} instead; --data FOLDER checks on your own images"
        )
    for line in missing:
        print(f"not compared: {line}")
    exact = [row for row in rows if row.precision == "fp32"]
    return 0 if exact and all(row.passes for row in exact) else 1


def _shown(mask_iou: float) -> str:
    return "-" if isnan(mask_iou) else f"{mask_iou:.5f}"


def _trained_on(run: Path) -> str:
    """The dataset of a run's prepared images."""
    index = run / "cache" / INDEX
    return str(json.loads(index.read_text())["dataset"]) if index.is_file() else "cdd-cesm"


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 an engine is too far from torch, 2 bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m training.export", description="Export a checkpoint as one .onnx file, or check such a file."
    )
    parser.add_argument("--run", type=Path, help="run folder of training.train")
    parser.add_argument("--model", type=Path, help="or a model file, to be written anew, unmeasured")
    parser.add_argument("--checkpoint", default="best.safetensors")
    parser.add_argument("--output", type=Path, help="the .onnx file to write; its name is the model's")
    parser.add_argument("--version", default="0.1.0", help="of the model")
    parser.add_argument("--weight-bits", type=int, default=WEIGHT_BITS, help="that a weight keeps, up to 11")
    parser.add_argument("--low", type=float, default=0.5, help="outline threshold")
    parser.add_argument("--high", type=float, default=0.5, help="hysteresis seed threshold")
    parser.add_argument("--min-area-mm2", type=float, default=25.0)
    parser.add_argument("--check", type=Path, metavar="MODEL", help="compare every engine with torch on this file")
    parser.add_argument("--data", type=Path, help="check on a dataset's validation images (default: on phantoms)")
    parser.add_argument("--images", type=at_least(1), default=16, help="how many to check on")
    options = parser.parse_args(arguments)
    if options.check is not None:
        return check(options.check, data=options.data, count=options.images)
    if (options.run is None) == (options.model is None) or options.output is None:
        raise ValueError("give --run or --model, and --output, to export; or --check MODEL")
    if options.output.suffix != ".onnx":
        raise ValueError(f"--output {options.output}: a model file's name ends in .onnx")
    if options.model is not None:
        metadata = unmeasured(read_metadata(options.model)) | {"name": options.output.stem}
        network = read_network(options.model, pooling=metadata["image_score"])
    else:
        network, config, state = load_model(options.run / options.checkpoint)
        metadata = make_metadata(
            network,
            config,
            name=options.output.stem,
            version=options.version,
            thresholds={"low": options.low, "high": options.high, "min_area_mm2": options.min_area_mm2},
            dataset=_trained_on(options.run),
            epoch=state["epoch"],
        )
    height, width = metadata["tile_shape"]
    difference = export_onnx(
        network, options.output, metadata=metadata, tile_shape=(height, width), weight_bits=options.weight_bits
    )
    print(f"{options.output}: {options.output.stat().st_size} bytes, differs from torch by {difference:.2g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
