"""Give a model file an int8 form after training.

    python -m training.quantise --model lcx_fast/models/cdd-cesm-lite0.onnx --data CDD_CESM_FOLDER

What is written into the file is small: which convolutions are computed in int8, the ranges of their inputs over
training images (never over validation images), and how the result decides. The quantised network itself is made of
the float one when an engine loads it (``lcx_fast.onnx_int8``). It is kept only if it agrees with the fp32 model on the
validation images: see the limits below.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lcx_fast import ops
from lcx_fast.engines.onnxruntime import import_onnxruntime
from lcx_fast.model import ModelSpec, read_model_spec
from lcx_fast.onnx_int8 import Quantisation
from training import metrics
from training.calibrate import calibrate, described
from training.command import add_dataset_options, at_least, given_samples, one_line_errors
from training.evaluate import Prediction, held_out_samples, lesion_results
from training.export import read_metadata, save_with_metadata
from training.model_file import open_engine, predict_samples
from training.onnx_graph import INPUT, OUTPUT
from training.parity import mask_iou
from training.prepare import Sample

#: A quantised model is good enough from here on.
MIN_MASK_IOU = 0.97
MAX_AP_LOSS = 0.01
CALIBRATION_IMAGES = 64

# Note [What stays in float]
# Mask IoU with fp32 on CDD-CESM validation, inputs and results rounded, by what was left in float: nothing .40; the
# stem and blocks 0 to 4 .94; the decoder alone .46; those early blocks and all depthwise convolutions and the last
# layers .970; and with results in float as well, as it is done, .976. The early layers' channels differ in range by
# orders, and one scale serves a whole tensor; and the maps are flat round 0.5, so that a mask moves with the least
# rounding. The pattern is matched against the names of convolutions.
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


def measure_ranges(path: Path, tiles: Iterator[NDArray[np.float32]], *, keep_float: str = KEEP_FLOAT) -> Quantisation:
    """Which convolutions are to be int8, and the least and greatest value of their inputs over the tiles.

    Args:
        path: a model file of training.export.
        tiles: what to measure on.
        keep_float: convolutions whose name this pattern is found in stay in float; see Note [What stays in float].
    """
    document = onnx.load(str(path))
    convolutions = [n for n in document.graph.node if n.op_type == "Conv" and not re.search(keep_float, n.name)]
    names = list(dict.fromkeys(node.input[0] for node in convolutions))
    # A session tells the values of outputs only.
    shown = [name for name in names if name != INPUT]
    document.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, shown))
    session = import_onnxruntime().InferenceSession(document.SerializeToString(), providers=["CPUExecutionProvider"])
    ranges = dict.fromkeys(names, (np.inf, -np.inf))
    for tile in tiles:
        _, *found = session.run([OUTPUT, *shown], {INPUT: tile})
        values = dict(zip(shown, found, strict=True)) | {INPUT: tile}
        for name in names:
            low, high = ranges[name]
            ranges[name] = min(low, float(values[name].min())), max(high, float(values[name].max()))
    return Quantisation(tuple(node.name for node in convolutions), ranges)


def write_int8(path: Path, int8: Mapping[str, Any] | None) -> None:
    """Put what is known of the int8 form into the file, in place of what it said of one; None: it has none."""
    metadata = {key: value for key, value in read_metadata(path).items() if key != "int8"}
    save_with_metadata(onnx.load(str(path)), metadata | ({} if int8 is None else {"int8": dict(int8)}), path)


def agreement_with_fp32(fp32: Sequence[Prediction], int8: Sequence[Prediction]) -> dict[str, float]:
    """How near the two forms' answers on the same images are."""
    figures = [metrics.lesion_summary(lesion_results(p, output="abnormal")) for p in (fp32, int8)]
    return {
        "mask_iou": mask_iou(fp32, int8),
        "ap_fp32": figures[0]["ap_iou50"],
        "ap_int8": figures[1]["ap_iou50"],
        "largest_score_difference": max(abs(a.score - b.score) for a, b in zip(fp32, int8, strict=True)),
    }


def is_good_enough(agreement: dict[str, float]) -> bool:
    """Whether the quantised model may take the fp32 one's place."""
    return agreement["mask_iou"] > MIN_MASK_IOU and abs(agreement["ap_int8"] - agreement["ap_fp32"]) <= MAX_AP_LOSS


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 written, 1 not good enough (the file then has no int8 form), 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m training.quantise", description="Give a model an int8 form.")
    parser.add_argument("--model", type=Path, required=True, help="the .onnx file, changed in place")
    add_dataset_options(parser, data="folder of the dataset it was trained on")
    parser.add_argument(
        "--images", type=at_least(1), default=CALIBRATION_IMAGES, help="training images to measure ranges on"
    )
    parser.add_argument(
        "--keep-float", default=KEEP_FLOAT, metavar="PATTERN", help="names of convolutions that stay in float"
    )
    options = parser.parse_args(arguments)
    spec = read_model_spec(options.model)
    samples = given_samples(options, spec.pixel_spacing_mm)
    chosen = held_out_samples(samples, resampled=True)
    if not chosen:
        raise ValueError(f"{options.data}: no validation image to compare the two forms on")
    tiles = calibration_tiles(spec, samples, count=options.images)
    ranges = measure_ranges(options.model, tiles, keep_float=options.keep_float).to_dict()
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(shutil.copy(options.model, folder))
        write_int8(trial, ranges)
        fp32, int8 = (
            predict_samples(spec, open_engine(trial, "auto", precision).infer, chosen) for precision in ("fp32", "int8")
        )
    agreement = agreement_with_fp32(fp32, int8)
    print(json.dumps(agreement))
    if not is_good_enough(agreement):
        write_int8(options.model, None)
        print(f"not good enough: mask IoU above {MIN_MASK_IOU} and AP within {MAX_AP_LOSS} are needed")
        return 1
    decides = calibrate(int8, spec, data=described(chosen, dataset=options.dataset))
    write_int8(options.model, ranges | decides | {"agreement_with_fp32": agreement})
    print(f"{options.model}: int8 with {len(ranges['convolutions'])} convolutions and {len(ranges['ranges'])} ranges")
    return 0


if __name__ == "__main__":
    sys.exit(main())
