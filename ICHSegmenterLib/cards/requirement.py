"""Python packages that methods need: how Python imports them, and what pip calls them. None is imported here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Literal

from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice


@dataclass(frozen=True)
class Requirement:
    """A package.

    Attributes:
        module: Its import name.
        package: For pip, with the least version.
        extra: The extra of ICHSegmenter that installs it.
    """

    module: str
    package: str
    extra: Literal["torch", "train"] = "torch"

    @property
    def distribution(self) -> str:
        """Its name for pip."""
        return self.package.partition(">=")[0]

    @property
    def is_installed(self) -> bool:
        """It is there; nothing is imported."""
        try:
            return find_spec(self.module) is not None
        except (ImportError, ValueError):  # an import hook that forbids it, or a module without a specification
            return False


TORCH = Requirement("torch", "torch>=2.4")
TORCHVISION = Requirement("torchvision", "torchvision>=0.19")
TIMM = Requirement("timm", "timm>=1.0.9")
OPENCV = Requirement("cv2", "opencv-python-headless>=4.8")
MONAI = Requirement("monai", "monai>=1.4", "train")
EINOPS = Requirement("einops", "einops>=0.7", "train")

REQUIREMENTS: Mapping[str, Requirement] = MappingProxyType(
    {one.module: one for one in (TORCH, TORCHVISION, TIMM, OPENCV, MONAI, EINOPS)}
)
"""By import name: all that a card may ask for, so that a foreign card cannot have anything installed."""


def missing(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """Those that are not installed."""
    return tuple(one for one in requirements if not one.is_installed)


def missing_notice(title: str, lacking: Sequence[Requirement]) -> ErrorNotice:
    """The packages that a method lacks, and the command that installs them."""
    extras = ",".join(dict.fromkeys(("torch", *sorted(one.extra for one in lacking))))
    parameters = {
        "title": title,
        "names": ", ".join(repr(one.module) for one in lacking),
        "extras": f'"ichsegmenter[{extras}]"',
        "packages": " ".join(f'"{one.package}"' for one in lacking),
    }
    return ErrorNotice(ErrorCode.METHOD_NEEDS_PACKAGES, parameters)
