"""Starting weights of a training: a file of any known kind, or a network of timm's that was trained on photographs.

Where a file is no state of the network itself, what it was made for decides: timm's Swin fills a Swin classifier and
the backbone of the sequence transformer, torchvision's and timm's ResNet-50 the encoder of SMART-Net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ICHSegmenterLib.checkpoints.checkpoint import COLORS, read_state
from ICHSegmenterLib.errors import DownloadError, WeightsError
from ICHSegmenterLib.methods.rsna_sequence.network import SliceSequenceTransformer
from ICHSegmenterLib.methods.rsna_sequence.pretrained import backbone_from_timm, is_timm_swin
from ICHSegmenterLib.methods.swin.network import SwinClassifier

TIMM = "timm:"
"""Begins the name of a network that timm downloads, such as timm:swin_base_patch4_window12_384.ms_in22k_ft_in1k."""

State = Mapping[str, torch.Tensor]


def start_from(network: nn.Module, source: str | Path, parts: Sequence[str] = ()) -> tuple[int, int]:
    """Fill a network with the tensors that fit it; others, such as another head, keep their initial values.

    Args:
        network: Changed.
        source: A weight file of any known kind, or timm:NAME.
        parts: Beginnings of the names to take; all if none is given.

    Returns:
        How many tensors were taken, and how many the network has.

    Raises:
        DownloadError: timm cannot get the weights.
        WeightsError: None of the tensors fits, or they are of a network that works in another way.
    """
    is_timm = str(source).startswith(TIMM)
    title = str(source) if is_timm else Path(source).name
    state = timm_state(str(source).removeprefix(TIMM)) if is_timm else read_state(source)
    adapted = _adapted(network, state, title)
    own = network.state_dict()
    names = [key for key in own if not parts or key.startswith(tuple(parts))]
    fitting = {key: adapted[key] for key in names if key in adapted and adapted[key].shape == own[key].shape}
    if not fitting:
        raise WeightsError(
            f"{title}: none of its {len(state)} tensors fits the {len(own)} of {type(network).__name__}."
        )
    network.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)


def timm_state(name: str) -> State:
    """The weights of a network of timm's, downloaded once and kept in its cache.

    Raises:
        DownloadError: There is no such network, or no way to it.
    """
    import timm

    try:
        state: State = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # of timm, of the hub behind it, or of the network
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise DownloadError(
            f"timm cannot load {name!r} ({reason}). Check the name and the connection, or download the file elsewhere "
            "and give its path as network.initial_weights."
        ) from error
    return state


def _adapted(network: nn.Module, state: State, title: str) -> State:
    """The tensors under the network's own names."""
    if is_timm_swin(state):
        if isinstance(network, SliceSequenceTransformer):
            return backbone_from_timm(state)
        if isinstance(network, SwinClassifier):
            return _swin_of(network, state, title)
    if _is_resnet(state) and isinstance(getattr(network, "encoder", None), nn.Module):
        return _encoder_of(state)
    convert: Any = getattr(network, "convert_keys", None)
    return state if convert is None else dict(convert(dict(state)))


def _swin_of(network: SwinClassifier, state: State, title: str) -> State:
    """timm's Swin under `swin.`; position tables of another window are resized by timm.

    Raises:
        WeightsError: It is a Swin V2, whose attention and norms this network does not have.
    """
    from timm.models.swin_transformer import checkpoint_filter_fn

    if any(key.endswith("attn.logit_scale") for key in state):
        raise WeightsError(
            f"{title}: is a Swin V2, whose attention works in another way than that of {type(network).__name__}. Take "
            "a Swin of the first kind, such as swin_base_patch4_window12_384; Swin V2 starts rsna-sequence."
        )
    without_head = {key: tensor for key, tensor in state.items() if not key.startswith("head.")}
    filtered = checkpoint_filter_fn(without_head, network.swin)
    return {f"swin.{key}": tensor for key, tensor in filtered.items()}


def _is_resnet(state: State) -> bool:
    return {"conv1.weight", "layer1.0.conv3.weight", "layer4.2.conv3.weight"} <= set(state)


def _encoder_of(state: State) -> State:
    """A ResNet-50 under `encoder.`; the first convolution is summed over the colors, as SMART-Net's authors do."""
    encoder = {f"encoder.{key}": tensor for key, tensor in state.items()}
    first = encoder["encoder.conv1.weight"]
    if first.shape[1] == COLORS:
        encoder["encoder.conv1.weight"] = first.sum(dim=1, keepdim=True)
    return encoder
