"""Quantise a model file to int8 after training.

    python -m training.quantise --model lcx_fast/models/cdd-cesm-lite0.onnx --data CDD_CESM_FOLDER

Writes NAME-int8.onnx beside it: QuantizeLinear and DequantizeLinear round each convolution, weights by output channel,
activations by tensor, ranges from training images (never from validation). Every engine that runs int8 reads this form.
It is kept only if it agrees with the fp32 model on the validation images: see the limits below.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lcx_fast import ops
from lcx_fast.model import INT8_SUFFIX, ModelSpec, read_model_spec
from training import metrics
from training.command import one_line_errors
from training.evaluate import lesion_results, validation_samples
from training.export import read_metadata, save_with_metadata
from training.model_file import open_engine, predict_samples
from training.onnx_graph import INPUT
from training.parity import mask_iou
from training.prepare import Sample
from training.prepared import load_samples

#: A quantised model is good enough from here on.
MIN_MASK_IOU = 0.97
MAX_AP_LOSS = 0.01
CALIBRATION_IMAGES = 64

# Note [What stays in float]
# Mask IoU with fp32 on CDD-CESM validation, by what was left in float: nothing .40; the stem and blocks 0 to 4 .94;
# the decoder alone .46; those early blocks and all depthwise convolutions and the last layers .971. The early layers'
# channels differ in range by orders, and one scale serves a whole tensor; and the maps are flat round 0.5, so that a
# mask moves with the least rounding. The pattern is matched against the names of convolutions.
KEEP_FLOAT = r"encoder\.(stem|blocks\.[0-4])\.|depthwise|decoder\.(head|reduce|lateral_stride2|smooth_stride2)"


def calibration_tiles(
    spec: ModelSpec, samples: Sequence[Sample], *, count: int, seed: int = 0
) -> Iterator[NDArray[np.float32]]:
    """Tiles [1, 1, h, w] of training images, as the network meets them, a fixed draw of ``count`` images."""
    train = [sample for sample in samples if sample.split == "train"]
    if not train:
        raise ValueError("no training image to take the ranges of activations from")
    normalisation = ops.Normalisation(0.0, 1.0, spec.mean, spec.deviation)
    order = np.random.default_rng(seed).permutation(len(train))[:count]
    for index in order:
        sample = train[int(index)]
        height, width = sample.image.shape
        grid = ops.plan_tiles(
            (height, width), tile_shape=spec.tile_shape, overlap=spec.tile_overlap, mask=sample.breast
        )
        tiles = ops.extract_tiles(sample.image, grid, normalisation=normalisation, mask=sample.breast)
        yield from (tiles[n : n + 1] for n in range(len(tiles)))


def quantise(source: Path, target: Path, tiles: Iterator[NDArray[np.float32]], *, keep_float: str = KEEP_FLOAT) -> None:
    """Write ``target``, the quantised form of ``source``, with its metadata.

    Args:
        source: a model file of training.export.
        target: of the quantised file.
        tiles: what to measure activations on.
        keep_float: convolutions whose name this pattern is found in stay in float; see Note [What stays in float].
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            tile = next(tiles, None)
            return None if tile is None else {INPUT: tile}

    nodes = [node for node in onnx.load(str(source)).graph.node if node.op_type == "Conv"]
    excluded = [node.name for node in nodes if re.search(keep_float, node.name)]
    temporary = target.with_suffix(".tmp.onnx")
    quantize_static(
        str(source),
        str(temporary),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
        op_types_to_quantize=["Conv"],
        nodes_to_exclude=excluded,
        extra_options={"CalibMovingAverage": False},
    )
    document = onnx.load(str(temporary))
    temporary.unlink()
    save_with_metadata(document, int8_metadata(read_metadata(source), target.stem), target)


def int8_metadata(metadata: dict[str, Any], name: str) -> dict[str, Any]:
    """What the quantised file says of itself: as its source, but its figures and calibration must be its own."""
    own = dict(metadata) | {"name": name, "precision": "int8", "metrics": {}}
    for key in ("calibration", "operating_points", "default_operating_point"):
        own.pop(key, None)
    return own


def compare_with_fp32(source: Path, target: Path, samples: Sequence[Sample]) -> dict[str, float]:
    """Agreement of the two on validation images, run by ONNX Runtime."""
    predictions = []
    for path, precision in ((source, "fp32"), (target, "int8")):
        spec = read_model_spec(path)
        predictions.append(predict_samples(spec, open_engine(path, "onnxruntime", precision).infer, samples))
    figures = [metrics.lesion_summary(lesion_results(p, output="abnormal")) for p in predictions]
    return {
        "mask_iou": mask_iou(*predictions),
        "ap_fp32": figures[0]["ap_iou50"],
        "ap_int8": figures[1]["ap_iou50"],
        "largest_score_difference": max(abs(a.score - b.score) for a, b in zip(*predictions, strict=True)),
    }


def is_good_enough(agreement: dict[str, float]) -> bool:
    """Whether the quantised model may take the fp32 one's place."""
    return agreement["mask_iou"] > MIN_MASK_IOU and abs(agreement["ap_int8"] - agreement["ap_fp32"]) <= MAX_AP_LOSS


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 written, 1 not good enough (nothing is left behind), 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m training.quantise", description="Quantise a model to int8.")
    parser.add_argument("--model", type=Path, required=True, help="the fp32 .onnx file")
    parser.add_argument("--data", type=Path, required=True, help="folder of the dataset it was trained on")
    parser.add_argument("--dataset", help="its layout; found out if not given")
    parser.add_argument("--cache", type=Path, help="folder of prepared images (default: made and removed)")
    parser.add_argument("--images", type=int, default=CALIBRATION_IMAGES, help="training images to measure ranges on")
    parser.add_argument(
        "--keep-float", default=KEEP_FLOAT, metavar="PATTERN", help="names of convolutions that stay in float"
    )
    options = parser.parse_args(arguments)
    spec = read_model_spec(options.model)
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder) / "cache"
        samples = load_samples(options.data, cache, dataset=options.dataset, spacing_mm=spec.pixel_spacing_mm)
    target = options.model.with_name(f"{options.model.stem}{INT8_SUFFIX}.onnx")
    trial = target.with_suffix(".trial.onnx")
    tiles = calibration_tiles(spec, samples, count=options.images)
    quantise(options.model, trial, tiles, keep_float=options.keep_float)
    agreement = compare_with_fp32(options.model, trial, validation_samples(samples, resampled=True))
    print(json.dumps(agreement))
    if not is_good_enough(agreement):
        trial.unlink()
        print(f"not good enough: mask IoU above {MIN_MASK_IOU} and AP within {MAX_AP_LOSS} are needed")
        return 1
    metadata = read_metadata(trial) | {"name": target.stem, "agreement_with_fp32": agreement}
    save_with_metadata(onnx.load(str(trial)), metadata, target)
    trial.unlink()
    print(f"{target}: {target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
