"""Small models for tests, written with the onnx package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lcx_fast.onnx_file import encode_fields
from lcx_fast.onnx_int8 import parse_quantisation, to_int8
from lcx_fast.onnx_parts import decode_model

TILE = 64

METADATA = {
    "schema_version": 1,
    "name": "brightness",
    "version": "1.0",
    "pixel_spacing_mm": 1.0,
    "tile_shape": [TILE, TILE],
    "tile_overlap": 0.25,
    "tile_weights": "gaussian",
    "normalisation": {"low_percentile": 0.0, "high_percentile": 100.0, "mean": 0.0, "std": 1.0},
    "outputs": ["abnormal", "malignant"],
    "thresholds": {"low": 0.5, "high": 0.6, "min_area_mm2": 10.0},
    "image_score": {"map": "malignant", "lse_r": 4.0, "top_fraction": 0.003, "a1": 0.5, "a2": 0.5, "b": 0.0},
}


def write_brightness_model(path: Path, metadata: dict | None = None, *, external: bool = False) -> Path:
    """A network of one 1x1 convolution: abnormal = sigmoid(20 (x - 0.75)), malignant = sigmoid(20 (x - 0.9))."""
    weight = numpy_helper.from_array(np.full((2, 1, 1, 1), 20, np.float32), "weight")
    bias = numpy_helper.from_array(np.array([-15, -18], np.float32), "bias")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "weight", "bias"], ["logits"], name="scale", kernel_shape=[1, 1]),
            helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
        ],
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, TILE, TILE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 2, TILE, TILE])],
        [weight, bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if metadata is not None or path.name != "bare.onnx":
        text = json.dumps(METADATA if metadata is None else metadata)
        helper.set_model_props(model, {"lcx_fast": text})
    if external:
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    else:
        onnx.save(model, path)
    return path


#: What makes an int8 network of the brightness model.
BRIGHTNESS_INT8 = {"convolutions": ["scale"], "ranges": {"image": [0.0, 1.0]}}


def write_quantised_model(path: Path) -> Path:
    """The brightness model as somebody's own quantised file."""
    content = encode_fields(
        to_int8(decode_model(write_brightness_model(path)), parse_quantisation(BRIGHTNESS_INT8), "unsigned")
    )
    path.write_bytes(content)
    return path


def breast_image(blobs=((120, 60, 14),), *, shape=(320, 240)) -> np.ndarray:
    """uint16: a half disc on the left edge with brighter discs (y, x, radius) in it."""
    y, x = np.indices(shape) + 0.5
    image = np.where(np.hypot(y - shape[0] / 2, x) < shape[0] * 0.44, 1000.0, 0.0)
    for cy, cx, radius in blobs:
        image = np.maximum(image, 3000.0 * np.clip(radius - np.hypot(y - cy, x - cx) + 0.5, 0, 1))
    return image.astype(np.uint16)
