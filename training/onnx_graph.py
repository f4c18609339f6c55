"""The network as a plain ONNX graph, and back.

Written node by node instead of traced: the network is convolutions, ReLU6, additions and upsampling, so the graph is
shorter than what torch's exporters make of it (no Constant nodes, no traces of the machine it was exported on), its
names are the modules' own, and it depends on nothing that is deprecated. Batch norms are folded into convolutions;
weights that are float16 numbers, as round_weights makes them, lie in the file as such, with a Cast to float32 behind
each that engines fold when they load it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from training.network import FEATURE_BLOCKS, OUTPUT_NAMES, InvertedResidual, LesionNetwork

OPSET = 17
IR_VERSION = 8
INPUT, OUTPUT = "image", "probabilities"
#: Ends the name of a weight that lies in the file in half precision.
HALF = ".half"

#: Note [Weight bits]
# Significant bits that a stored weight keeps. float16 has 11; of 3 million weights each one less makes a packed file
# .3 MB smaller. On the CDD-CESM validation images the model of 0.1.0 had the same figures with 11, 10, 9 and 8 (AP .203
# to .202, sensitivity to the last lesion); its masks agreed with its float32 weights' by .997, .993, .987, .983.
WEIGHT_BITS = 9


def fold_batch_norms(network: LesionNetwork) -> LesionNetwork:
    """A copy in which every batch norm is part of the convolution before it; the same function in evaluation."""
    folded = copy.deepcopy(network).eval()
    for sequence in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        if len(sequence) > 1 and isinstance(sequence[1], nn.BatchNorm2d):
            assert isinstance(sequence[0], nn.Conv2d)
            sequence[0] = _folded(sequence[0], sequence[1])
            sequence[1] = nn.Identity()
    return folded


@torch.no_grad()
def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    assert norm.running_mean is not None and norm.running_var is not None and convolution.bias is None
    assert isinstance(convolution.padding, tuple)
    result = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (convolution.kernel_size[0], convolution.kernel_size[1]),
        (convolution.stride[0], convolution.stride[1]),
        (convolution.padding[0], convolution.padding[1]),
        groups=convolution.groups,
    )
    assert result.bias is not None
    # In double precision: the folded weights are rounded once.
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    result.weight.copy_(convolution.weight.double() * scale[:, None, None, None])
    result.bias.copy_(norm.bias.double() - norm.running_mean.double() * scale)
    return result


@torch.no_grad()
def round_weights(network: LesionNetwork, *, bits: int = WEIGHT_BITS) -> LesionNetwork:
    """A copy with its batch norms folded and its convolutions' weights rounded: the network that a file holds.

    Biases stay as they are: there are few of them.

    Args:
        network: any.
        bits: significant ones that each weight keeps, at most float16's 11; see Note [Weight bits].

    Raises:
        ValueError: a weight is beyond float16.
    """
    if not 1 <= bits <= 11:
        raise ValueError(f"{bits} significant bits; accepted: 1 to 11, as many as float16 has")
    rounded = fold_batch_norms(network)
    for name, module in rounded.named_modules():
        if isinstance(module, nn.Conv2d):
            mantissa, exponent = np.frexp(module.weight.detach().cpu().numpy())
            kept = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
            with np.errstate(over="ignore"):
                half = kept.astype(np.float16)
            if not np.isfinite(half).all():
                raise ValueError(f"{name}: weights up to {np.abs(kept).max():.3g}, beyond float16")
            module.weight.copy_(torch.from_numpy(half.astype(np.float32)))
    return rounded


class _Graph:
    """Collects nodes and weights; each method returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {
            "zero": np.array(0.0, np.float32),
            "six": np.array(6.0, np.float32),
            "double": np.array([1.0, 1.0, 2.0, 2.0], np.float32),
        }

    def add(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def weight(self, name: str, value: NDArray[Any]) -> None:
        """Stored in half precision where nothing is lost by it."""
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if np.array_equal(half.astype(np.float32), value):
            self.weights[f"{name}{HALF}"] = half
            self.add("Cast", [f"{name}{HALF}"], name, to=onnx.TensorProto.FLOAT)
        else:
            self.weights[name] = value

    def convolution(self, module: nn.Module, x: str, name: str) -> str:
        assert isinstance(module, nn.Conv2d) and isinstance(module.padding, tuple) and module.bias is not None
        self.weight(f"{name}.weight", module.weight.detach().cpu().contiguous().numpy())
        self.weights[f"{name}.bias"] = module.bias.detach().cpu().numpy()
        pads = [int(pad) for pad in module.padding]
        return self.add(
            "Conv",
            [x, f"{name}.weight", f"{name}.bias"],
            name,
            kernel_shape=list(module.kernel_size),
            strides=list(module.stride),
            pads=pads + pads,
            group=module.groups,
        )

    def block(self, module: nn.Module, x: str, name: str) -> str:
        """Convolution, and ReLU6 where the sequence ends in one."""
        assert isinstance(module, nn.Sequential)
        result = self.convolution(module[0], x, f"{name}.0")
        if isinstance(module[-1], nn.ReLU6):
            result = self.add("Clip", [result, "zero", "six"], f"{name}.relu6")
        return result

    def resize(self, x: str, name: str, *, is_linear: bool) -> str:
        if is_linear:
            mode: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        else:
            mode = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", [x, "", "double"], name, **mode)


def build_model(network: LesionNetwork, *, tile_shape: tuple[int, int]) -> onnx.ModelProto:
    """The graph of one tile: "image" float32 [1, 1, h, w], normalised -> "probabilities" float32 [1, 2, h, w]."""
    graph = _Graph()
    _write_decoder(graph, fold_batch_norms(network))
    height, width = tile_shape
    image = helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, [1, 1, height, width])
    maps = helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, [1, len(OUTPUT_NAMES), height, width])
    weights = [numpy_helper.from_array(value, name) for name, value in graph.weights.items()]
    document = helper.make_model(
        helper.make_graph(graph.nodes, "lesion_network", [image], [maps], weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="lcx_fast training",
    )
    onnx.checker.check_model(document, full_check=True)
    return document


def _write_encoder(graph: _Graph, network: LesionNetwork) -> list[str]:
    """Lite0Encoder.forward; names of the features at strides 2 to 32."""
    x = graph.block(network.encoder.stem, INPUT, "encoder.stem")
    features = []
    for index, block in enumerate(network.encoder.blocks):
        assert isinstance(block, InvertedResidual)
        name = f"encoder.blocks.{index}"
        y = x if isinstance(block.expand, nn.Identity) else graph.block(block.expand, x, f"{name}.expand")
        y = graph.block(block.depthwise, y, f"{name}.depthwise")
        y = graph.block(block.project, y, f"{name}.project")
        x = graph.add("Add", [x, y], f"{name}.skip") if block.has_skip else y
        if index in FEATURE_BLOCKS:
            features.append(x)
    return features


def _write_decoder(graph: _Graph, network: LesionNetwork) -> None:
    """TopDownDecoder.forward, the last doubling and the sigmoid."""
    decoder = network.decoder
    stride2, stride4, stride8, stride16, stride32 = _write_encoder(graph, network)

    def merge(x: str, lateral: nn.Module, feature: str, name: str, key: str) -> str:
        doubled = graph.resize(x, f"decoder.double_to_{name}", is_linear=False)
        return graph.add("Add", [doubled, graph.convolution(lateral, feature, key)], f"decoder.merge_{name}")

    x = graph.convolution(decoder.lateral[3], stride32, "decoder.lateral.3")
    x = merge(x, decoder.lateral[2], stride16, "stride16", "decoder.lateral.2")
    x = merge(x, decoder.lateral[1], stride8, "stride8", "decoder.lateral.1")
    x = graph.block(decoder.smooth_stride8, x, "decoder.smooth_stride8")
    x = merge(x, decoder.lateral[0], stride4, "stride4", "decoder.lateral.0")
    x = graph.block(decoder.smooth_stride4, x, "decoder.smooth_stride4")
    x = graph.convolution(decoder.reduce, x, "decoder.reduce")
    x = merge(x, decoder.lateral_stride2, stride2, "stride2", "decoder.lateral_stride2")
    x = graph.block(decoder.smooth_stride2, x, "decoder.smooth_stride2")
    x = graph.convolution(decoder.head, x, "decoder.head")
    x = graph.resize(x, "logits", is_linear=True)
    graph.add("Sigmoid", [x], OUTPUT)


def read_network(path: Path, *, pooling: Mapping[str, float] | None = None) -> LesionNetwork:
    """The network of a file that build_model made, with its batch norms folded: to check it, or to train on from it.

    Args:
        path: of the .onnx file, not quantised.
        pooling: a1, a2 and b of the malignant map's image score, from the file's metadata.

    Raises:
        ValueError: the file holds another network.
    """
    document = onnx.load(str(path))
    weights = {
        w.name.removesuffix(HALF): torch.from_numpy(numpy_helper.to_array(w).astype(np.float32))
        for w in document.graph.initializer
    }
    if "decoder.lateral.0.weight" not in weights:
        raise ValueError(f"{path}: not a graph of training.onnx_graph; export it with `python -m training.export`")
    network = fold_batch_norms(LesionNetwork(decoder_width=len(weights["decoder.lateral.0.weight"])))
    known = {name: value for name, value in weights.items() if name not in ("zero", "six", "double")}
    missing, unknown = network.load_state_dict(known, strict=False)
    if missing != ["pooling"] or unknown:
        raise ValueError(f"{path}: another network (missing {missing[:3]}, unknown {unknown[:3]})")
    if pooling is not None:
        row = [math.log(math.expm1(pooling["a1"])), math.log(math.expm1(pooling["a2"])), pooling["b"]]
        with torch.no_grad():
            network.pooling[OUTPUT_NAMES.index("malignant")] = torch.tensor(row)
    return network.eval()


class ProbabilityNetwork(nn.Module):
    """The network with its sigmoid: what the file computes."""

    def __init__(self, network: LesionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.network(image))
