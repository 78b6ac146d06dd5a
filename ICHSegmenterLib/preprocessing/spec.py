"""Preprocessing as data. A model card holds one of these, so weights never meet the wrong window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MaskSampling = Literal["center", "floor"]
"""How a mask is resized: to the pixel whose center is nearest, or to the one at the new pixel's upper left corner, as
torch's "nearest" and so the authors of HGI-SAM and SMART-Net do, which moves a mask by up to half a pixel."""


@dataclass(frozen=True)
class Window:
    """A CT window in HU. The edges are level - width // 2 and level + width // 2, as the published methods compute."""

    level: int
    width: int

    @property
    def edges(self) -> tuple[int, int]:
        """Lowest and highest HU shown."""
        return self.level - self.width // 2, self.level + self.width // 2


BRAIN_WINDOW = Window(40, 80)
SUBDURAL_WINDOW = Window(80, 200)
BONE_WINDOW = Window(600, 2800)
PHYSIONET_WINDOWS = (Window(40, 120), Window(80, 340), Window(700, 3200))
"""HGI-SAM's windows for PhysioNet CT-ICH (Rasoulian et al., arXiv 2304.04902)."""
RSNA_WINDOWS = (BRAIN_WINDOW, SUBDURAL_WINDOW, BONE_WINDOW)
"""HGI-SAM's windows for RSNA 2019, without the header's own first window."""


@dataclass(frozen=True)
class SlicePreprocessing:
    """Input of a slice network: windows as channels, resize of the shorter side, center crop.

    Attributes:
        windows: One channel each.
        resize: Shorter side in pixels after bilinear resizing without antialiasing.
        crop: Side in pixels of the central square that the network sees.
        normalization: "minmax": of the clipped values, per slice and channel (constant slices unchanged);
            "window": window edges to 0 and 1.
        mask_sampling: Of bleed and brain masks.
    """

    windows: tuple[Window, ...] = PHYSIONET_WINDOWS
    resize: int = 422
    crop: int = 384
    normalization: Literal["minmax", "window"] = "minmax"
    mask_sampling: MaskSampling = "center"


@dataclass(frozen=True)
class SlabPreprocessing:
    """Input of a network that sees a slab of an exam with its neighbors, all at equal distances in millimeters.

    Attributes:
        windows: Channels of the slab itself, window edges to 0 and 1.
        neighbor_window: The window of the neighbors, a channel each; first of all channels, lowest first.
        neighbors_mm: How far above the slab each neighbor lies; negative below.
        slab_mm: Thinner slices are averaged until they are about as thick; thicker ones stay as acquired.
        spacing_mm: Pixel of the network.
        side: Pixels along a side of the square around the brain that the network sees.
    """

    windows: tuple[Window, ...] = (BRAIN_WINDOW, SUBDURAL_WINDOW, BONE_WINDOW)
    neighbor_window: Window = BRAIN_WINDOW
    neighbors_mm: tuple[float, ...] = (-10.0, -5.0, 5.0, 10.0)
    slab_mm: float = 4.0
    spacing_mm: float = 0.95
    side: int = 208


@dataclass(frozen=True)
class VolumePreprocessing:
    """Input of a volume network: a regular LPS-aligned grid, HU clipped and mapped linearly to -1..1."""

    spacing_mm: float = 1.0
    hu_range: tuple[float, float] = (-15.0, 100.0)


@dataclass(frozen=True)
class SeriesPreprocessing:
    """Input of a sequence network: all slices in bytes, cropped to the head, squeezed to squares of `side` pixels."""

    windows: tuple[Window, ...] = (BRAIN_WINDOW, SUBDURAL_WINDOW, Window(40, 380))
    side: int = 224


@dataclass(frozen=True)
class SmartNetPreprocessing:
    """Input of SMART-Net: one window, squashed to a square, contrast equalized slice by slice, normalized to 0 to 1.

    Attributes:
        window: HU shown.
        size: Side of the square in pixels; the aspect is not kept.
        clip_limit, tiles: Of the contrast-limited adaptive histogram equalization (CLAHE), tiles along each side.
        normalize: The minimum and maximum that become 0 and 1 are those of each "slice" or of the whole "volume".
        drop_empty_ends: Leave out the slices below and above all that the window shows.
        mask_sampling: Of bleed and brain masks.
    """

    window: Window = BRAIN_WINDOW
    size: int = 256
    clip_limit: float = 2.0
    tiles: int = 8
    normalize: Literal["slice", "volume"] = "volume"
    drop_empty_ends: bool = False
    mask_sampling: MaskSampling = "center"


@dataclass(frozen=True)
class NoPreprocessing:
    """The method reads HU on the acquired grid."""


Preprocessing = (
    SlicePreprocessing
    | SlabPreprocessing
    | VolumePreprocessing
    | SmartNetPreprocessing
    | SeriesPreprocessing
    | NoPreprocessing
)
