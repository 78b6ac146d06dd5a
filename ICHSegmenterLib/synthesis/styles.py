"""Styles: the ranges from which heads and protocols are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ICHSegmenterLib.synthesis.acquisition.scanner import Protocol
from ICHSegmenterLib.synthesis.anatomy.head_shape import HeadParameters
from ICHSegmenterLib.synthesis.fields import Random
from ICHSegmenterLib.synthesis.parts import CLINICAL, Part, Probabilities, switched

COVERAGE_MM = 150.0
CROWDED = 0.4
"""The least probability of a part in the style `clinical-crowded`."""


@dataclass(frozen=True)
class Style:
    """Ranges from which heads and protocols are drawn; (low, high) each.

    Attributes:
        slice_mm: Slice thickness.
        field_of_view_mm, noise_hu, blur_mm, sharpening, tilt_deg: Ranges of the protocol.
        head_size: Factor of the head's half-axes.
        skull_mm, atrophy: Ranges of the head.
        density_hu: Added to gray and white matter and to blood.
        parts: Probability of each part of a detailed head and its acquisition; None for a plain head.
    """

    slice_mm: tuple[float, float] = (2.5, 5.5)
    field_of_view_mm: tuple[float, float] = (215.0, 250.0)
    noise_hu: tuple[float, float] = (2.0, 5.5)
    blur_mm: tuple[float, float] = (0.45, 0.9)
    sharpening: tuple[float, float] = (0.0, 0.5)
    tilt_deg: tuple[float, float] = (-4.0, 22.0)
    head_size: tuple[float, float] = (0.94, 1.06)
    skull_mm: tuple[float, float] = (4.5, 8.0)
    atrophy: tuple[float, float] = (0.0, 1.0)
    density_hu: tuple[float, float] = (-1.5, 1.5)
    parts: Probabilities | None = None

    def with_parts(self, *, always: Iterable[Part] = (), without: Iterable[Part] = ()) -> Style:
        """The style with some parts in every exam and others in none.

        Raises:
            ValueError: A part is both, or the style has a plain head.
        """
        if not (always or without):
            return self
        if self.parts is None:
            names = ", ".join(name for name, style in STYLES.items() if style.parts is not None)
            raise ValueError(f"parts can be switched in the styles {names}; this style draws a plain head")
        return replace(self, parts=switched(self.parts, always=always, without=without))


CLINICAL_STYLE = Style(
    slice_mm=(2.0, 6.0), field_of_view_mm=(205.0, 255.0), noise_hu=(2.0, 6.5), tilt_deg=(-6.0, 22.0),
    head_size=(0.92, 1.07), skull_mm=(4.0, 10.0), density_hu=(-5.0, 4.0), parts=CLINICAL,
)  # fmt: skip
STYLES = {
    "standard": Style(),
    "thin": Style(slice_mm=(0.6, 1.5), noise_hu=(4.0, 9.0), tilt_deg=(0.0, 0.0)),
    "shifted": Style(
        slice_mm=(5.5, 7.0), field_of_view_mm=(250.0, 275.0), noise_hu=(4.5, 7.5), blur_mm=(0.9, 1.3),
        sharpening=(0.5, 0.9), tilt_deg=(-14.0, -5.0), head_size=(1.05, 1.10), skull_mm=(7.5, 10.0),
        density_hu=(1.5, 3.0),
    ),
    "clinical": CLINICAL_STYLE,
    "contrast": replace(CLINICAL_STYLE, parts=switched(CLINICAL, always=[Part.CONTRAST])),
    "clinical-crowded": replace(
        CLINICAL_STYLE, parts={part: max(CROWDED, often) for part, often in CLINICAL.items()} | {Part.CONTRAST: 0.0}
    ),
    "clinical-shifted": replace(
        CLINICAL_STYLE, field_of_view_mm=(250.0, 275.0), tilt_deg=(-14.0, -5.0), head_size=(1.04, 1.09),
        skull_mm=(7.5, 10.0), density_hu=(2.5, 5.0), parts=dict.fromkeys(CLINICAL, 0.6) | {Part.CONTRAST: 0.0},
    ),
}  # fmt: skip
"""`clinical-crowded` is `clinical` with what is rare in four of ten exams, so that hard ones are learned. `shifted` is
anatomy and acquisition outside what `standard` draws, for testing what was trained on it; `clinical-shifted` is that to
`clinical`, with every part but contrast medium in six of ten exams."""


def style_named(style: str | Style) -> Style:
    """The style itself, or the one of that name.

    Raises:
        ValueError: There is no style of that name.
    """
    if isinstance(style, Style):
        return style
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    return STYLES[style]


def draw_parameters(style: Style, random: Random) -> HeadParameters:
    """A head within the ranges."""
    drawn = HeadParameters.draw(random)
    size = random.uniform(*style.head_size)
    low, high = style.atrophy
    shift = float(random.uniform(*style.density_hu))
    changed: dict[str, Any] = {
        "radii": tuple(r * size for r in drawn.radii),
        "skull_mm": float(random.uniform(*style.skull_mm)),
        "atrophy": low + (high - low) * drawn.atrophy,
        "gray_hu": drawn.gray_hu + shift,
        "white_hu": drawn.white_hu + shift,
    }
    return replace(drawn, **changed)


def draw_protocol(style: Style, random: Random, *, matrix: int = 256) -> Protocol:
    """A protocol within the ranges: one step for all slices, or thin ones below and thick ones above."""
    step = random.uniform(*style.slice_mm)
    count = round(COVERAGE_MM / step)
    steps = [step] * (count - 1)
    if step > 2 and random.random() < 0.25:
        steps = [0.6 * step] * round(60 / (0.6 * step)) + [step] * round(90 / step)
    return Protocol(
        matrix=matrix,
        field_of_view_mm=float(random.uniform(*style.field_of_view_mm)),
        steps_mm=tuple(float(one) for one in steps),
        tilt_deg=float(random.uniform(*style.tilt_deg)) if random.random() < 0.5 else 0.0,
        pose_deg=(float(random.normal(0, 4)), float(random.normal(0, 2.5)), float(random.normal(0, 4))),
        center_mm=(float(random.normal(0, 3)), float(random.normal(0, 4)), float(random.normal(4, 4))),
        noise_hu=float(random.uniform(*style.noise_hu)),
        blur_mm=float(random.uniform(*style.blur_mm)),
        sharpening=float(random.uniform(*style.sharpening)),
        cupping_hu=float(random.uniform(0, 5)),
        streak_hu=float(random.uniform(4, 20)),
        motion_mm=float(random.uniform(0.5, 2.0)) if random.random() < 0.15 else 0.15,
        gain=float(random.normal(1, 0.008)),
        offset_hu=float(random.normal(0, 1)),
        has_head_rest=bool(random.random() < 0.8),
        is_descending=bool(random.random() < 0.3),
    )
