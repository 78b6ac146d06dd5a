"""Densities, volumes and texture of made-up heads beside real ones and published figures, as tables in Markdown.

    python Testing/generator_table.py --real ge=FOLDER --real invesalius=FILE [--exams 12] [--page docs/generator.md]

With a page, the tables replace what stands there between the two marks.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.preprocessing.checks.texture import RIM_MM, SMOOTHING_MM, measure_noise
from ICHSegmenterLib.synthesis.anatomy.canvas import Densities
from ICHSegmenterLib.synthesis.clinical import person_of
from ICHSegmenterLib.synthesis.exam import SyntheticExam, make_exam
from ICHSegmenterLib.synthesis.parts import CLINICAL, Part, draw_parts
from ICHSegmenterLib.synthesis.pathology.lesions import SUBTYPES
from ICHSegmenterLib.synthesis.styles import STYLES, Style, draw_parameters
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

MARKS = ("<!-- tables: made by Testing/generator_table.py -->", "<!-- end of tables -->")
BRIGHT_HU = (50.0, 90.0)
BRIGHT_SMOOTHING_MM = 1.5
PUBLISHED = {
    "EDH": (3.9, 56.0, 9.4),
    "IPH": (1.2, 47.5, 8.6),
    "IVH": (0.54, 39.9, 8.9),
    "SAH": (0.18, 43.9, 7.9),
    "SDH": (0.54, 50.3, 12.4),
}
"""BHSD, 1 873 connected lesions: median mL, mean and SD of HU (tables of InSilicoICH, CC0)."""


@dataclass(frozen=True)
class Texture:
    """What is measured in a head CT; the names are the rows of the table."""

    brain_ml: float
    brain_p5_hu: float
    brain_median_hu: float
    brain_p95_hu: float
    vertex_minus_middle_hu: float
    base_minus_middle_hu: float
    bright_ml: float
    noise_sd_hu: float
    noise_length_mm: float
    next_pixel_correlation: float
    next_slice_correlation: float

    @classmethod
    def of(cls, volume: Volume) -> Texture:
        """Measure a bleed-free head."""
        mask, pixel = brain_mask(volume), volume.geometry.pixel_spacing_mm[0]
        voxels = volume.geometry.voxel_volumes_mm3 / 1000
        soft = np.clip(volume.hu, -20, 100)
        smooth = _each(soft, SMOOTHING_MM / pixel)
        inner = np.stack([ndimage.distance_transform_edt(one) * pixel > RIM_MM for one in mask])
        noise = measure_noise(volume, mask, slices=None)
        height = volume.geometry.slice_positions_mm * np.sign(volume.geometry.normal[2])
        used = np.flatnonzero(mask.sum(axis=(1, 2)) * pixel**2 > 1500)
        low, high = height[used].min(), height[used].max()
        share = (height - low) / (high - low)
        zones = [inner & ((share >= a) & (share <= b))[:, None, None] for a, b in ((0, 0.2), (0.4, 0.65), (0.88, 1.0))]
        base, middle, vertex = (float(np.median(smooth[zone])) if zone.any() else np.nan for zone in zones)
        fine = _each(soft, BRIGHT_SMOOTHING_MM / pixel)
        bright = mask & (fine > BRIGHT_HU[0]) & (fine < BRIGHT_HU[1])
        return cls(
            float(mask.sum(axis=(1, 2)) @ voxels),
            *(float(np.percentile(smooth[inner], p)) for p in (5, 50, 95)),
            vertex - middle,
            base - middle,
            float(bright.sum(axis=(1, 2)) @ voxels),
            noise.sd_hu,
            noise.length_mm,
            noise.next_pixel,
            noise.next_slice,
        )


def main() -> int:
    """Measure and print, or write into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--exams", type=int, default=12)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    real = {}
    for text in arguments.real:
        name, _, path = text.partition("=")
        real[name] = Texture.of(read_volume(path))
    usual = STYLES["clinical"].with_parts(
        without=[Part.CONTRAST, Part.STRONG_NOISE, Part.SHARP_KERNEL, Part.THIN_SLICES]
    )
    made = {
        name: [Texture.of(exam.volume) for exam in _exams(style, arguments.exams, is_clean=True)]
        for name, style in (("standard", STYLES["standard"]), ("clinical", usual))
    }
    text = "\n\n".join(
        (_textures(real, made), _tissues(), _lesions(_exams(usual, 2 * arguments.exams, is_clean=False)), _speed())
    )
    if arguments.page is None:
        print(text)
        return 0
    page = arguments.page.read_text(encoding="utf-8")
    start, end = page.index(MARKS[0]) + len(MARKS[0]), page.index(MARKS[1])
    arguments.page.write_text(f"{page[:start]}\n\n{text}\n\n{page[end:]}", encoding="utf-8")
    return 0


def _exams(style: Style, count: int, *, is_clean: bool) -> Iterable[SyntheticExam]:
    for seed in range(count):
        yield make_exam(1000 + seed, style=style, plans=() if is_clean else None, positive_share=1.0)


def _textures(real: dict[str, Texture], made: dict[str, list[Texture]]) -> str:
    lines = [_row(["", *real, *(f"{name} ({len(all_)})" for name, all_ in made.items())])]
    lines.append(_row(["---"] * (1 + len(real) + len(made))))
    for field in fields(Texture):
        cells = [f"{getattr(one, field.name):.2f}" for one in real.values()]
        for textures in made.values():
            values = np.array([getattr(one, field.name) for one in textures])
            cells.append(f"{np.nanmean(values):.2f} ({np.nanmin(values):.2f} to {np.nanmax(values):.2f})")
        lines.append(_row([field.name.replace("_", " "), *cells]))
    return "\n".join(lines)


def _tissues() -> str:
    """Drawn densities of 500 people, mean and SD, beside the published ranges."""
    random = np.random.default_rng(0)
    people = [
        person_of(draw_parameters(STYLES["clinical"], random), draw_parts(CLINICAL, random), random) for _ in range(500)
    ]
    plain, enhanced = ([Densities.draw(random, is_enhanced=on) for _ in range(500)] for on in (False, True))
    rows: list[tuple[str, Sequence[float], str]] = [
        ("cerebrospinal fluid", [one.csf_hu for one in people], "0 to 15"),
        ("white matter", [one.white_hu for one in people], "20 to 30"),
        ("gray matter", [one.gray_hu for one in people], "37 to 45"),
        ("dura, undiluted", [one.dura for one in plain], "50"),
        ("venous sinus", [one.sinus for one in plain], "50 to 75"),
        ("artery", [one.artery for one in plain], "37 and above"),
        ("plexus, pineal gland", [one.plexus for one in plain], "-"),
        ("enhanced artery", [one.artery for one in enhanced], "100 to 350"),
        ("enhanced sinus", [one.sinus for one in enhanced], "100 to 250"),
    ]
    lines = [_row(["drawn HU", "mean", "SD", "published or asked for"]), _row(["---"] * 4)]
    lines += [_row([name, f"{np.mean(v):.1f}", f"{np.std(v):.1f}", text]) for name, v, text in rows]
    return "\n".join(lines)


def _lesions(exams: Iterable[SyntheticExam]) -> str:
    """Connected lesions of exams with blood beside those of BHSD."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SUBTYPES}
    for exam in exams:
        voxels = exam.volume.geometry.voxel_volumes_mm3 / 1000
        for value, name in enumerate(SUBTYPES, start=1):
            pieces, count = ndimage.label(exam.labelmap == value, np.ones((3, 3, 3)))
            for number in range(1, count + 1):
                piece = pieces == number
                found[name].append((float(piece.sum(axis=(1, 2)) @ voxels), float(exam.volume.hu[piece].mean())))
    lines = [_row(["", "pieces", "median mL", "of BHSD", "mean HU", "SD", "of BHSD"]), _row(["---"] * 7)]
    for name, pieces in found.items():
        median_ml, mean, sd = PUBLISHED[name]
        volumes, densities = np.array(pieces).reshape(-1, 2).T
        figures = ["-"] * 3
        if len(volumes):
            figures = [f"{np.median(volumes):.2f}", f"{densities.mean():.1f}", f"{densities.std():.1f}"]
        lines.append(_row([name, str(len(volumes)), figures[0], f"{median_ml}", *figures[1:], f"{mean} ± {sd}"]))
    return "\n".join(lines)


def _speed() -> str:
    """Seconds of the processor for an exam of 28 x 256 x 256."""
    lines = [_row(["style", "seconds for 28 × 256 × 256"]), _row(["---"] * 2)]
    for name in ("standard", "clinical"):
        style = replace(STYLES[name], slice_mm=(5.36, 5.36))
        if style.parts is not None:
            style = style.with_parts(without=[Part.THIN_SLICES, Part.THICK_SLICES])
        seconds = []
        for seed in range(4):
            start = time.process_time()
            make_exam(seed + 3, style=style, plans=())
            seconds.append(time.process_time() - start)
        lines.append(_row([name, f"{np.median(seconds):.1f}"]))
    return "\n".join(lines)


def _each(hu: np.ndarray, sd_pixels: float) -> np.ndarray:
    return np.stack([ndimage.gaussian_filter(one, sd_pixels) for one in hu])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
