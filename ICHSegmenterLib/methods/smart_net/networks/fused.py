"""SMART-Net's networks for inference: the same functions with fewer passes over memory and fewer products.

Batch norms are folded, sums and ReLUs computed within the convolutions. A decoder's convolution over an enlarged map
becomes a transposed convolution over the small one: of its nine products for a pixel only four have different factors.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from ICHSegmenterLib.methods.smart_net.networks.batch_norm import fold_batch_norms
from ICHSegmenterLib.methods.smart_net.networks.fused_convolution import FusedConvolution
from ICHSegmenterLib.methods.smart_net.networks.upstream import SkipBlock, SliceEncoder


def fuse(network: nn.Module) -> None:
    """Change a float32 network in evaluation mode in place; its parameters get other names."""
    fold_batch_norms(network)
    _replace_within(network)


class FusedBottleneck(nn.Module):
    """A residual block of the encoder whose norms are folded."""

    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            FusedConvolution(conv) for conv in (block.conv1, block.conv2, block.conv3)
        )
        self.downsample = block.downsample

    def forward(self, tokens: Tensor) -> Tensor:
        """The tokens are overwritten where they are the shortcut: between blocks of a layer nobody else reads them."""
        shortcut = tokens if self.downsample is None else self.downsample(tokens)
        output: Tensor = self.conv3(self.conv2(self.conv1(tokens)), shortcut)
        return output


class FusedSkipBlock(nn.Module):
    """A decoder block whose norms are folded: nothing is enlarged or joined before it is convolved."""

    def __init__(self, block: SkipBlock) -> None:
        super().__init__()
        first, second = _convolution_of(block.conv1), _convolution_of(block.conv2)
        weight = first.weight.detach()
        self.enlarge = nn.ConvTranspose2d(block.up, first.out_channels, 4, stride=2, padding=1, bias=False)
        self.enlarge.weight = nn.Parameter(enlarging_kernel(weight[:, : block.up]), requires_grad=False)
        first.weight = nn.Parameter(weight[:, block.up :].clone(), requires_grad=False)
        self.conv1, self.conv2 = FusedConvolution(first), FusedConvolution(second)

    def forward(self, tokens: Tensor, skip: Tensor) -> Tensor:
        joined: Tensor = self.conv2(self.conv1(skip, self.enlarge(tokens)))
        return joined


def enlarging_kernel(weight: Tensor) -> Tensor:
    """The transposed convolution of stride 2 that equals nearest x2 upsampling and a 3x3 convolution.

    Each token is spread over 2x2 pixels and each pixel over the 3x3 around it: (out, in, 3, 3) to (in, out, 4, 4).
    """
    spread = weight.flip(2, 3)
    kernel = weight.new_zeros(*weight.shape[:2], 4, 4)
    for row in (0, 1):
        for column in (0, 1):
            kernel[:, :, row : row + 3, column : column + 3] += spread
    return kernel.transpose(0, 1).contiguous()


def _replace_within(module: nn.Module) -> None:
    if isinstance(module, SliceEncoder):
        module.add_module("conv1", FusedConvolution(module.conv1))
        module.add_module("relu", nn.Identity())
    for name, child in list(module.named_children()):
        if isinstance(child, Bottleneck):
            setattr(module, name, FusedBottleneck(child))
        elif isinstance(child, SkipBlock):
            setattr(module, name, FusedSkipBlock(child))
        elif isinstance(child, nn.Sequential) and _is_convolution_and_relu(child):
            setattr(module, name, FusedConvolution(_convolution_of(child)))
        else:
            _replace_within(child)


def _is_convolution_and_relu(layers: nn.Sequential) -> bool:
    return [type(layer) for layer in layers] == [nn.Conv2d, nn.Identity, nn.ReLU]


def _convolution_of(layers: nn.Sequential) -> nn.Conv2d:
    first = layers[0]
    if not isinstance(first, nn.Conv2d):
        raise TypeError(f"a decoder's layers must begin with a convolution, got {first}")
    return first
