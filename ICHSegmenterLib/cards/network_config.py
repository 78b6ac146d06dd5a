"""The arguments that each network may be built with, as data: a card can be checked before torch is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Whole:
    """A whole number from low to high."""

    low: int
    high: int

    def allows(self, value: Any) -> bool:
        """The value is one of them."""
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Wholes:
    """A list of whole numbers."""

    each: Whole
    lengths: tuple[int, int]

    def allows(self, value: Any) -> bool:
        """The value is such a list."""
        least, most = self.lengths
        return isinstance(value, list | tuple) and least <= len(value) <= most and all(map(self.each.allows, value))

    def __str__(self) -> str:
        least, most = self.lengths
        count = f"{least}" if least == most else f"{least} to {most}"
        return f"a list of {count} numbers, each {self.each}"


@dataclass(frozen=True)
class Words:
    """One of some words."""

    words: tuple[str, ...]

    def allows(self, value: Any) -> bool:
        """The value is one of them."""
        return value in self.words

    def __str__(self) -> str:
        return f"one of {', '.join(self.words)}"


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    def allows(self, value: Any) -> bool:
        """The value is true or false."""
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "true or false"


_FOUR_STAGES = Wholes(Whole(1, 64), (4, 4))
_STAGES = Wholes(Whole(1, 64), (1, 6))

SMART_NET_UP_NETWORKS = (
    "smart_net_up",
    "smart_net_up_dual_cls_rec",
    "smart_net_up_dual_cls_seg",
    "smart_net_up_dual_seg_rec",
    "smart_net_up_single_cls",
    "smart_net_up_single_rec",
    "smart_net_up_single_seg",
)
SMART_NET_DOWN_NETWORKS = ("smart_net_down_cls", "smart_net_down_seg")
NETWORK_CONFIGS: Mapping[str, Mapping[str, Whole | Wholes | Words | Flag]] = MappingProxyType(
    {
        "context_unet": {"num_classes": Whole(2, 6), "widths": Wholes(Whole(8, 1024), (2, 6))},
        "deepmedic": {"num_classes": Whole(2, 32)},
        "slice_sequence_transformer": {
            "embed_dim": Whole(4, 512),
            "depths": _FOUR_STAGES,
            "num_heads": _FOUR_STAGES,
        },
        **{name: {"width": Whole(4, 256), "layers": _FOUR_STAGES} for name in SMART_NET_UP_NETWORKS},
        **{
            name: {"width": Whole(4, 256), "layers": _FOUR_STAGES, "per_depth": Flag()}
            for name in SMART_NET_DOWN_NETWORKS
        },
        "swin_classifier": {
            "num_classes": Whole(1, 6),
            "image_size": Whole(16, 1024),
            "window_size": Whole(2, 64),
            "embed_dim": Whole(4, 512),
            "depths": _STAGES,
            "num_heads": _STAGES,
        },
        "swin_unetr": {},
        "unet": {
            "variant": Words(("release", "final")),
            "num_classes": Whole(2, 6),
            "widths": Wholes(Whole(1, 1024), (2, 6)),
        },
    }
)
"""Network name to argument to what it may be; the bounds keep a foreign card from filling the memory."""


def check_network_config(network: str, config: Mapping[str, Any]) -> None:
    """Check the arguments of a network's builder.

    Raises:
        ValueError: An argument that the network does not have, or a value that it may not be.
    """
    allowed = NETWORK_CONFIGS[network]
    for key, value in config.items():
        if key not in allowed:
            raise ValueError(
                f"network_config.{key}: {network} has no such argument; known: {', '.join(allowed) or 'none'}"
            )
        if not allowed[key].allows(value):
            raise ValueError(f"network_config.{key} must be {allowed[key]}, got {value!r}")
