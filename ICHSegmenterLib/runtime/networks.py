"""From a network's name to the network. The table is literal: no registration by import, nothing loaded before use."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ICHSegmenterLib.errors import DependencyError, ModelNotFoundError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice

if TYPE_CHECKING:
    from torch import nn

_BUILDERS = MappingProxyType(
    {
        "context_unet": "unet.context_network:build_context_unet",
        "deepmedic": "blast_ct.network:build_deepmedic",
        "slice_sequence_transformer": "rsna_sequence.network:build_slice_sequence_transformer",
        "smart_net_down_cls": "smart_net.networks.downstream:build_smart_net_down_cls",
        "smart_net_down_seg": "smart_net.networks.downstream:build_smart_net_down_seg",
        "smart_net_up": "smart_net.networks.upstream:build_smart_net_up",
        "smart_net_up_dual_cls_rec": "smart_net.networks.upstream:build_smart_net_up_dual_cls_rec",
        "smart_net_up_dual_cls_seg": "smart_net.networks.upstream:build_smart_net_up_dual_cls_seg",
        "smart_net_up_dual_seg_rec": "smart_net.networks.upstream:build_smart_net_up_dual_seg_rec",
        "smart_net_up_single_cls": "smart_net.networks.upstream:build_smart_net_up_single_cls",
        "smart_net_up_single_rec": "smart_net.networks.upstream:build_smart_net_up_single_rec",
        "smart_net_up_single_seg": "smart_net.networks.upstream:build_smart_net_up_single_seg",
        "swin_classifier": "swin.network:build_swin_classifier",
        "swin_unetr": "unet.swin_unetr:build_swin_unetr",
        "unet": "unet.network:build_unet",
    }
)
"""Network name to "module:function" below `methods`."""

MODEL_NAMES: tuple[str, ...] = tuple(_BUILDERS)


def create_model(name: str, **config: Any) -> nn.Module:
    """A network in evaluation mode with initial weights; fill it with `load_checkpoint`.

    Args:
        name: one of `MODEL_NAMES`.
        config: arguments of that network's builder, such as num_classes= or variant=.

    Raises:
        ModelNotFoundError: no network has this name.
        DependencyError: a package that the network needs is not installed.
    """
    if name not in _BUILDERS:
        raise ModelNotFoundError(
            f"Unknown network {name!r}; available: {', '.join(MODEL_NAMES)}.", Cause.UNKNOWN_METHOD
        )
    module, function = _BUILDERS[name].split(":")
    try:
        builder = getattr(import_module(f"ICHSegmenterLib.methods.{module}"), function)
        network: nn.Module = builder(**config)
    except ModuleNotFoundError as error:
        raise DependencyError(ErrorNotice(ErrorCode.PACKAGE_MISSING, {"package": error.name})) from error
    return network.eval()
