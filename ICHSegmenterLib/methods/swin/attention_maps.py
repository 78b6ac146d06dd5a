"""Hemorrhage maps of a batch of slices from a Swin slice classifier: HGI-SAM, Swin-SAM and Grad-CAM.

Papers: Rasoulian et al., MELBA 2023:012, arXiv 2304.04902 (HGI-SAM); Rasoulian et al., MLCN 2022 (Swin-SAM);
Selvaraju et al., arXiv 1610.02391 (Grad-CAM). Authors' code: HealthX-Lab/HGI-SAM (Apache-2.0). Where paper and code
differ, the code is followed: the gradient is taken at the attention before softmax.

Every function returns logits float32 (B, classes) and maps float32 (B, H, W) in [0, 1], zero outside the brain mask;
every slice is scaled by itself, so its map does not depend on the batch. A map without contrast is zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ICHSegmenterLib.methods.swin.network import SwinClassifier
from ICHSegmenterLib.methods.swin.window_attention import AttentionRecorder, BlockAttention

HEMORRHAGE_CLASS = 1
"""The class whose logit HGI-SAM derives, of a two-class network."""
HGI_SAM_STAGES = (0, 1, 2)
SWIN_SAM_STAGES = (0, 1, 2, 3)
GRAD_CAM_EPSILON = 1e-7
FLOAT16_GRADIENT_SCALE, FLOAT16_SCALE_STEP = 2.0**14, 2.0**4
"""The score is multiplied by it before the backward pass in float16, where gradients below 6e-8 would vanish, and by
less after an overflow. Powers of two, so nothing is rounded; maps do not depend on the size of a gradient."""


class AttentionMapper:
    """A classifier made ready for maps: position bias and masks of its attention are computed once.

    Args:
        network: in evaluation mode, on its device and in its dtype (float32, bfloat16 or float16), parameter
            gradients off.
    """

    def __init__(self, network: SwinClassifier) -> None:
        if any(parameter.requires_grad for parameter in network.parameters()):
            raise ValueError("maps need no parameter gradients; call network.requires_grad_(False) first")
        self.network = network
        self._recorder = AttentionRecorder(network.swin)
        self._gradient_scale = FLOAT16_GRADIENT_SCALE if network.head.weight.dtype == torch.float16 else 1.0

    def logits(self, slices: torch.Tensor) -> torch.Tensor:
        """Logits float32 (B, classes) alone, of slices (B, 3, H, W) in [0, 1]."""
        with torch.no_grad(), self._recorder.recording(()):
            return self._scores(slices)

    def hgi_sam(self, slices: torch.Tensor, brain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention of three stages, each head weighted by the gradient of the hemorrhage logit.

        Args:
            slices: (B, 3, H, W) in [0, 1].
            brain: (B, H, W), nonzero in the brain.
        """
        while True:
            with torch.enable_grad(), self._recorder.recording(HGI_SAM_STAGES, gradients=True) as blocks:
                scores = self._scores(slices)
                (scores[:, HEMORRHAGE_CLASS].sum() * self._gradient_scale).backward()
            if self._is_scale_right([block.gradient_norm for block in blocks]):
                return scores.detach(), _attention_maps(blocks, brain)

    def swin_sam(self, slices: torch.Tensor, brain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention of all four stages, mean of the heads; no gradient. Arguments as in `hgi_sam`."""
        with torch.no_grad(), self._recorder.recording(SWIN_SAM_STAGES) as blocks:
            scores = self._scores(slices)
        return scores, _attention_maps(blocks, brain)

    def grad_cam(self, slices: torch.Tensor, brain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Grad-CAM of the predicted class at the last block's first norm. Arguments as in `hgi_sam`."""
        activations: list[torch.Tensor] = []

        def start_graph(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
            activations.append(output.detach().requires_grad_())
            return activations[0]

        hook = self.network.swin.layers[-1].blocks[-1].norm1.register_forward_hook(start_graph)
        try:
            while True:
                activations.clear()
                with torch.enable_grad(), self._recorder.recording(()):
                    scores = self._scores(slices)
                    scale = self._gradient_scale
                    (gradient,) = torch.autograd.grad(scores.amax(dim=1).sum() * scale, activations)
                if self._is_scale_right([gradient]):
                    break
        finally:
            hook.remove()
        return scores.detach(), _grad_cam_maps(activations[0].detach(), gradient.float() / scale, brain)

    def _is_scale_right(self, gradients: Sequence[torch.Tensor | None]) -> bool:
        """False, and a smaller scale for another try, if a gradient left the range of float16."""
        if self._gradient_scale == 1.0 or all(bool(one.isfinite().all()) for one in gradients if one is not None):
            return True
        self._gradient_scale = max(1.0, self._gradient_scale / FLOAT16_SCALE_STEP)
        return False

    def _scores(self, slices: torch.Tensor) -> torch.Tensor:
        weight = self.network.head.weight
        return self.network(slices.to(weight.device, weight.dtype)).float()


def _attention_maps(blocks: Sequence[BlockAttention], brain: torch.Tensor) -> torch.Tensor:
    """Product of the stage maps, in the brain, scaled to [0, 1]; float32 (B, H, W)."""
    batch, *size = brain.shape
    product = torch.ones(brain.shape, device=brain.device)
    for stage in sorted({block.stage for block in blocks}):
        tokens = [_token_grid(block, batch) for block in blocks if block.stage == stage]
        pairs = torch.stack([first * second for first, second in zip(tokens[::2], tokens[1::2], strict=True)])
        stage_map = _scaled(pairs.mean(dim=0)).to(brain.device)
        product *= F.interpolate(stage_map[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    return _scaled(product * (brain != 0))


def _token_grid(block: BlockAttention, batch: int) -> torch.Tensor:
    """Received attention on the stage's grid of tokens: float32 (B, rows, columns)."""
    if block.received is None:
        raise ValueError(f"stage {block.stage}: run the network while recording before asking for its map")
    received = block.received
    if block.gradient_norm is not None:
        received = received * block.gradient_norm[:, :, None]
    (rows, columns), (high, wide) = block.grid, block.window
    # (B * windows, heads, tokens) -> (B, rows, columns)
    windows = received.mean(dim=1).view(batch, rows // high, columns // wide, high, wide)
    grid = windows.transpose(2, 3).reshape(batch, rows, columns)
    return torch.roll(grid, block.shift, dims=(1, 2))


def _grad_cam_maps(activation: torch.Tensor, gradient: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
    """Maps (B, H, W) of activations and their gradients (B, rows, columns, C)."""
    channel_weights = gradient.float().mean(dim=(1, 2), keepdim=True)
    cam = F.relu((channel_weights * activation.float()).sum(dim=-1))
    cam = cam - cam.amin(dim=(1, 2), keepdim=True)
    cam = cam / (cam.amax(dim=(1, 2), keepdim=True) + GRAD_CAM_EPSILON)
    size = brain.shape[1:]
    maps = F.interpolate(cam[:, None], size=size, mode="bilinear", align_corners=False)[:, 0].to(brain.device)
    return _scaled(maps * (brain != 0))


def _scaled(maps: torch.Tensor) -> torch.Tensor:
    """Each slice of (B, H, W) from its minimum and maximum to 0 and 1; zero where they are equal, NaN stays NaN."""
    lowest = maps.amin(dim=(1, 2), keepdim=True)
    extent = maps.amax(dim=(1, 2), keepdim=True) - lowest
    return torch.where(extent == 0, torch.zeros_like(maps), (maps - lowest) / extent)
