"""SMART-Net upstream: one ResNet-50 encoder with heads for classification, segmentation and reconstruction of a slice.

Re-creates Kyung et al., Med Image Anal 2022 (S1361841522001360; babbu3682/SMART-Net, MIT). Key names are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import Bottleneck, ResNet

WIDTH = 64
"""Channels of ResNet-50's stem; every other width of the networks is a multiple or a part of it."""
LAYERS = (3, 4, 6, 3)
"""ResNet-50's blocks in each layer."""
SQUEEZE = 16

Task = Literal["cls", "seg", "rec"]
TASKS: tuple[Task, ...] = ("cls", "seg", "rec")


class SmartNetUp(nn.Module):
    """Slices (B, 1, H, W) in [0, 1], H and W multiples of 16, to one output a task, in the order cls, seg, rec.

    cls: logit (B, 1); seg: logit (B, 1, H, W); rec: the slice itself (B, 1, H, W). One task gives its tensor alone.

    Args:
        tasks: Any of `TASKS`.
        width, layers: Of the encoder; by default those of ResNet-50, as published.
    """

    def __init__(self, tasks: Sequence[Task] = TASKS, *, width: int = WIDTH, layers: Sequence[int] = LAYERS) -> None:
        super().__init__()
        self.tasks = tuple(task for task in TASKS if task in tasks)
        self.encoder = SliceEncoder(width, layers)
        if "cls" in self.tasks:
            self.classification_head = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(feature_width(width), 1)
            )
        if "seg" in self.tasks:
            self.seg_decoder = SegmentationDecoder(width)
            self.segmentation_head = nn.Sequential(nn.Conv2d(map_width(width), 1, 3, padding=1))
        if "rec" in self.tasks:
            self.rec_decoder = ReconstructionDecoder(width)
            self.reconstruction_head = nn.Sequential(nn.Conv2d(map_width(width), 1, 3, padding=1))
        for name, module in self.named_children():
            if name.endswith("_head"):
                _initialize_head(module)

    def forward(self, slices: Tensor) -> Tensor | tuple[Tensor, ...]:
        features = self.encoder(slices)
        outputs = []
        for task in self.tasks:
            if task == "cls":
                outputs.append(self.classification_head(features[-1]))
            elif task == "seg":
                outputs.append(self.segmentation_head(self.seg_decoder(features)))
            else:
                outputs.append(self.reconstruction_head(self.rec_decoder(features)))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


class SliceEncoder(ResNet):
    """ResNet-50 for one channel with a stem of stride 1; returns the input and five feature maps, finest first.

    Args:
        width: Channels of the stem.
        layers: Blocks of the four layers.
    """

    def __init__(self, width: int = WIDTH, layers: Sequence[int] = LAYERS) -> None:
        super().__init__(Bottleneck, list(layers))
        if width != WIDTH:
            self._change_width(width, layers)
        rgb = nn.Conv2d(3, width, kernel_size=7, stride=1, padding=3, bias=False)
        self.conv1 = nn.Conv2d(1, width, kernel_size=7, stride=1, padding=3, bias=False)
        with torch.no_grad():  # the authors sum the three input channels of a default convolution
            self.conv1.weight.copy_(rgb.weight.sum(dim=1, keepdim=True))
        del self.fc, self.avgpool

    def forward(self, slices: Tensor) -> list[Tensor]:
        stem = self.relu(self.bn1(self.conv1(slices)))
        features = [slices, stem, self.layer1(self.maxpool(stem))]
        for layer in (self.layer2, self.layer3, self.layer4):
            features.append(layer(features[-1]))
        return features

    def _change_width(self, width: int, layers: Sequence[int]) -> None:
        """Layers of another width than torchvision's, with its initial weights."""
        self.inplanes = width
        self.bn1 = nn.BatchNorm2d(width)
        for number, count in enumerate(layers):
            layer = self._make_layer(Bottleneck, width * 2**number, count, stride=2 if number else 1)
            self.add_module(f"layer{number + 1}", layer)
            for module in layer.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class SegmentationDecoder(nn.Module):
    """Four blocks with skips and one with attention: encoder features to (B, 16, H, W)."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        skips, widths = (16 * width, 8 * width, 4 * width, width), decoder_widths(width)
        ups = (feature_width(width), *widths[:-1])
        self.blocks = nn.ModuleList(SkipBlock(up, skip, out) for up, skip, out in zip(ups, skips, widths, strict=True))
        self.last_block = AttentionBlock(widths[-1], map_width(width))
        _initialize_decoder(self)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        tokens = features[-1]
        for block, skip in zip(self.blocks, features[-2:0:-1], strict=True):
            tokens = block(tokens, skip)
        mapped: Tensor = self.last_block(tokens)
        return mapped


class ReconstructionDecoder(nn.Module):
    """Four pixel-shuffle blocks without skips, so that the deepest features must hold the slice: to (B, 16, H, W)."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        widths = decoder_widths(width)
        ups = (feature_width(width), *widths[:-1])
        self.blocks = nn.ModuleList(ShuffleBlock(up, out) for up, out in zip(ups, widths, strict=True))
        self.last_block = AttentionBlock(widths[-1], map_width(width))
        _initialize_decoder(self)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        tokens = features[-1]
        for block in self.blocks:
            tokens = block(tokens)
        mapped: Tensor = self.last_block(tokens)
        return mapped


class SkipBlock(nn.Module):
    """Nearest upsampling, then [upsampled, skip], then two convolutions with batch norm."""

    def __init__(self, up: int, skip: int, out: int) -> None:
        super().__init__()
        self.up = up
        self.conv1 = _conv_norm(up + skip, out)
        self.conv2 = _conv_norm(out, out)

    def forward(self, tokens: Tensor, skip: Tensor) -> Tensor:
        upsampled = functional.interpolate(tokens, scale_factor=2.0, mode="nearest")
        joined: Tensor = self.conv2(self.conv1(torch.cat((upsampled, skip), dim=1)))
        return joined


class ShuffleBlock(nn.Module):
    """1x1 convolution to four times the channels, pixel shuffle, then two convolutions without norm."""

    def __init__(self, up: int, out: int) -> None:
        super().__init__()
        self.upsample = nn.Sequential()
        self.upsample.add_module("upsample", nn.Sequential(nn.Conv2d(up, 4 * up, 1), nn.PixelShuffle(2)))
        self.conv1 = nn.Sequential(nn.Conv2d(up, out, 3, padding=1), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(nn.Conv2d(out, out, 3, padding=1), nn.ReLU(inplace=True))

    def forward(self, tokens: Tensor) -> Tensor:
        decoded: Tensor = self.conv2(self.conv1(self.upsample(tokens)))
        return decoded


class AttentionBlock(nn.Module):
    """scSE, two convolutions to fewer channels, scSE."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.attention1 = Attention(width)
        self.conv1 = _conv_norm(width, out)
        self.conv2 = _conv_norm(out, out)
        self.attention2 = Attention(out)

    def forward(self, tokens: Tensor) -> Tensor:
        mapped: Tensor = self.attention2(self.conv2(self.conv1(self.attention1(tokens))))
        return mapped


class Attention(nn.Module):
    """Holder of the scSE module: the authors' keys have one more level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = SqueezeExcitation(width)

    def forward(self, tokens: Tensor) -> Tensor:
        weighted: Tensor = self.attention(tokens)
        return weighted


class SqueezeExcitation(nn.Module):
    """Concurrent spatial and channel squeeze and excitation (scSE, Roy et al. 2018): the two weightings added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = max(width // SQUEEZE, 1)
        self.cSE = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, width, 1),
            nn.Sigmoid(),
        )
        self.sSE = nn.Sequential(nn.Conv2d(width, 1, 1), nn.Sigmoid())

    def forward(self, tokens: Tensor) -> Tensor:
        weighted: Tensor = tokens * self.cSE(tokens) + tokens * self.sSE(tokens)
        return weighted


build_smart_net_up = SmartNetUp
build_smart_net_up_dual_cls_seg = partial(SmartNetUp, ("cls", "seg"))
build_smart_net_up_dual_cls_rec = partial(SmartNetUp, ("cls", "rec"))
build_smart_net_up_dual_seg_rec = partial(SmartNetUp, ("seg", "rec"))
build_smart_net_up_single_cls = partial(SmartNetUp, ("cls",))
build_smart_net_up_single_seg = partial(SmartNetUp, ("seg",))
build_smart_net_up_single_rec = partial(SmartNetUp, ("rec",))


def feature_width(width: int) -> int:
    """Channels of the deepest feature map: 2048."""
    return 32 * width


def decoder_widths(width: int) -> tuple[int, int, int, int]:
    """Channels after each block of a decoder: 256, 128, 64, 32."""
    return 4 * width, 2 * width, width, width // 2


def map_width(width: int) -> int:
    """Channels of a decoder's output: 16."""
    return width // 4


def _conv_norm(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True))


def _initialize_decoder(decoder: nn.Module) -> None:
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _initialize_head(head: nn.Module) -> None:
    for module in head.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
