"""Every network, with an input of its real size and one for rehearsals, as the methods run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ICHSegmenterLib.methods.blast_ct.dense_tiling import DenseDeepMedic, predict_probabilities
from ICHSegmenterLib.methods.smart_net.slices import fit_for_inference
from ICHSegmenterLib.methods.swin.attention_maps import AttentionMapper
from ICHSegmenterLib.models import create_model
from Testing.Gpu.tolerances import SIGNIFICANT_BITS

SEED = 1
ATTENTION_GAIN = 3.0
"""timm's initial weights look at everything equally; these look at something, as trained ones do."""

Outputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Case:
    """One network, or one method's way to run it.

    Attributes:
        name: In the table.
        network, config, small_config: For `create_model`.
        shape, small_shape: Of the input.
        run: Network, input, device and dtype to the outputs.
        passes: Passes through the layers: 2 with a backward pass.
        rehearsed: Precisions that a CPU computes soon enough for a rehearsal.
    """

    name: str
    network: str
    shape: tuple[int, ...]
    small_shape: tuple[int, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    small_config: Mapping[str, Any] = field(default_factory=dict)
    run: Callable[[nn.Module, Tensor, str, torch.dtype], Outputs] = lambda *given: _plain(*given)
    passes: int = 1
    rehearsed: tuple[str, ...] = tuple(SIGNIFICANT_BITS)

    def build(self, *, is_small: bool) -> nn.Module:
        """The network, with weights from a seed."""
        torch.manual_seed(SEED)
        network = create_model(self.network, **(self.small_config if is_small else self.config))
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if self.network == "swin_classifier" and ("qkv.weight" in name or "bias_table" in name):
                    parameter.mul_(ATTENTION_GAIN)
        return network.requires_grad_(False).eval()

    def input(self, *, is_small: bool) -> Tensor:
        """float32 in [0, 1]."""
        shape = self.small_shape if is_small else self.shape
        return torch.rand(shape, generator=torch.Generator().manual_seed(SEED))


def _plain(network: nn.Module, x: Tensor, device: str, dtype: torch.dtype) -> Outputs:
    outputs = network.to(device, dtype)(x.to(device, dtype))
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _series(network: nn.Module, x: Tensor, device: str, dtype: torch.dtype) -> Outputs:
    """The sequence part stays in float32."""
    network.to(device).backbone.to(dtype)
    return (network.sequence(network.features(x.to(device, dtype)).float()),)


def _exam_class(network: nn.Module, x: Tensor, device: str, dtype: torch.dtype) -> Outputs:
    """The LSTM and what follows stay in float32; x: (slices, 1, H, W)."""
    network.to(device).encoder.to(dtype)
    features = network.slice_features(x.to(device, dtype)).float()
    return (network.head(network.pooled(features[None], torch.tensor([len(x)]))),)


def _exam_outline(network: nn.Module, x: Tensor, device: str, dtype: torch.dtype) -> Outputs:
    """x: (slices, 1, H, W)."""
    maps = network.to(device, dtype).slice_maps(x.to(device, dtype))
    return (network.volume_logits(maps.permute(1, 2, 3, 0)[None]),)


def _fused(
    run: Callable[[nn.Module, Tensor, str, torch.dtype], Outputs],
    network: nn.Module,
    x: Tensor,
    device: str,
    dtype: torch.dtype,
) -> Outputs:
    fit_for_inference(network, device, dtype)
    return run(network, x.contiguous(memory_format=torch.channels_last), device, dtype)


def _map(kind: str, network: nn.Module, x: Tensor, device: str, dtype: torch.dtype) -> Outputs:
    mapper = AttentionMapper(network.to(device, dtype))
    brain = torch.ones(len(x), *x.shape[2:], dtype=torch.bool, device=device)
    return getattr(mapper, kind)(x.to(device), brain)


def _dense(network: nn.Module, x: Tensor, device: str, dtype: torch.dtype) -> Outputs:
    """Probabilities in float16, as the method keeps them."""
    dense = DenseDeepMedic.prepare(network, device=device, dtype=dtype)
    return (torch.from_numpy(predict_probabilities(x[0, 0].numpy(), [dense])),)


_SMALL_SWIN = {"image_size": 64, "window_size": 4, "embed_dim": 8, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 2, 2)}
_SWIN = {"network": "swin_classifier", "shape": (2, 3, 384, 384), "small_shape": (2, 3, 64, 64)}
_UP = (
    "smart_net_up",
    *(
        f"smart_net_up_{name}"
        for name in ("dual_cls_seg", "dual_cls_rec", "dual_seg_rec", "single_cls", "single_seg", "single_rec")
    ),
)
_SLICES, _SMALL_SLICES, _FLOAT32 = (2, 1, 256, 256), (2, 1, 32, 32), ("float32",)
_UNET = {"network": "unet", "shape": (2, 3, 384, 384), "small_shape": (2, 3, 64, 64)}
_SMALL_WIDTHS = (4, 8, 16, 32)

CASES: tuple[Case, ...] = (
    *(
        Case(
            f"unet ({variant})",
            **_UNET,
            config={"variant": variant},
            small_config={"variant": variant, "widths": _SMALL_WIDTHS},
        )
        for variant in ("release", "final")
    ),
    Case(
        "context_unet",
        "context_unet",
        (2, 7, 208, 208),
        (2, 7, 64, 64),
        config={"num_classes": 6},
        small_config={"num_classes": 6, "widths": (8, 8, 16)},
    ),
    Case("swin_unetr", "swin_unetr", (1, 3, 384, 384), (1, 3, 64, 64), rehearsed=_FLOAT32),
    Case("swin_classifier", **_SWIN, small_config=_SMALL_SWIN),
    Case("hgi-sam's map", **_SWIN, small_config=_SMALL_SWIN, run=partial(_map, "hgi_sam"), passes=2),
    Case("swin-sam's map", **_SWIN, small_config=_SMALL_SWIN, run=partial(_map, "swin_sam")),
    Case("swin-gradcam's map", **_SWIN, small_config=_SMALL_SWIN, run=partial(_map, "grad_cam"), passes=2),
    Case(
        "slice_sequence_transformer",
        "slice_sequence_transformer",
        (2, 3, 224, 224),
        (2, 3, 224, 224),
        small_config={"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1)},
        run=_series,
    ),
    *(Case(name, name, _SLICES, _SMALL_SLICES, rehearsed=()) for name in _UP),
    Case("smart_net_up, fused", "smart_net_up", _SLICES, _SMALL_SLICES, run=partial(_fused, _plain), rehearsed=()),
    Case("smart_net_down_cls", "smart_net_down_cls", (4, *_SLICES[1:]), _SMALL_SLICES, run=_exam_class, rehearsed=()),
    Case("smart_net_down_seg", "smart_net_down_seg", (4, *_SLICES[1:]), _SMALL_SLICES, run=_exam_outline, rehearsed=()),
    Case(
        "smart_net_down_seg, fused",
        "smart_net_down_seg",
        (4, *_SLICES[1:]),
        _SMALL_SLICES,
        run=partial(_fused, _exam_outline),
        rehearsed=_FLOAT32,
    ),
    Case("deepmedic", "deepmedic", (1, 1, 110, 110, 110), (1, 1, 95, 95, 95), rehearsed=()),
    Case("blast-ct, dense", "deepmedic", (1, 1, 30, 30, 30), (1, 1, 15, 15, 15), run=_dense, rehearsed=_FLOAT32),
)
