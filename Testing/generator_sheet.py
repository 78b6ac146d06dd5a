"""The parts of the generator in a picture: for each, a real slice, and a made-up one without and with the part.

    python Testing/generator_sheet.py --real FOLDER --output docs/images/generator.png

The real slices are of the human head in neurolabusc/dcm_qa_ct (BSD 2-Clause); the page that shows the picture carries
its notice. The scan itself is not part of the repository.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.synthesis.acquisition.scanner import Protocol
from ICHSegmenterLib.synthesis.clinical import protocol_of
from ICHSegmenterLib.synthesis.exam import make_exam
from ICHSegmenterLib.synthesis.parts import CLINICAL, Part
from ICHSegmenterLib.synthesis.pathology.lesions import LesionPlan
from ICHSegmenterLib.synthesis.styles import STYLES
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

CELL, TITLE, GAP, ACROSS = 134, 13, 6, 2
FIELD_MM = 182.0
GRAYS = 32
SEED = 12
USUAL = frozenset(part for part, share in CLINICAL.items() if share >= 0.8) - {Part.BEAM_HARDENING}
LEVEL_MM: dict[Part, float] = {
    Part.TENTORIUM: -6,
    Part.FALX: 40,
    Part.CALCIFIED_FALX: 44,
    Part.SAGITTAL_SINUS: 48,
    Part.STRAIGHT_SINUS: 3,
    Part.TRANSVERSE_SINUS: -14,
    Part.SIGMOID_SINUS: -30,
    Part.PLEXUS: 12,
    Part.CALCIFIED_PLEXUS: 11,
    Part.PINEAL: 4,
    Part.CALCIFIED_PINEAL: 4,
    Part.DEEP_NUCLEI: 6,
    Part.CORTICAL_RIBBON: 46,
    Part.BASAL_ARTERIES: -12,
    Part.DENSE_ARTERY: -11,
    Part.ORBITAL_ROOFS: -14,
    Part.PETROUS_RIDGES: -20,
    Part.CLINOIDS: -14,
    Part.BRIGHT_VERTEX: 60,
    Part.BEAM_HARDENING: -30,
    Part.OLD_INFARCT: 10,
    Part.WHITE_MATTER_LUCENCY: 22,
    Part.ATROPHY: 26,
    Part.CHILD: 10,
    Part.CRANIOTOMY: 28,
    Part.CLIP: -13,
    Part.SHUNT: 20,
    Part.CONTRAST: -8,
    Part.SHARP_KERNEL: 12,
    Part.STRONG_NOISE: 12,
    Part.MOTION: 12,
    Part.THICK_SLICES: 58,
    Part.THIN_SLICES: 12,
    Part.BROAD_SUBDURAL: 28,
}
"""Height of the slice that shows a part, mm above the middle of the head."""
REAL_HEIGHTS_MM = (
    (5, -42),
    (7, -32),
    (8, -27),
    (10, -18),
    (12, -9),
    (14, -4),
    (16, 1),
    (17, 7),
    (18, 14),
    (19, 23),
    (20, 31),
    (21, 39),
    (22, 46),
    (23, 54),
    (24, 61),
)
"""Slices of the real head and about the heights that they would have in the made-up one."""
ZOOM: dict[Part, tuple[float, float, float]] = {
    Part.FALX: (0, 0, 110),
    Part.CALCIFIED_FALX: (0, -20, 110),
    Part.SAGITTAL_SINUS: (0, 48, 70),
    Part.STRAIGHT_SINUS: (0, 40, 90),
    Part.TRANSVERSE_SINUS: (0, 45, 125),
    Part.SIGMOID_SINUS: (38, 30, 76),
    Part.PLEXUS: (20, 28, 56),
    Part.CALCIFIED_PLEXUS: (0, 20, 90),
    Part.PINEAL: (0, 10, 80),
    Part.CALCIFIED_PINEAL: (0, 10, 80),
    Part.DEEP_NUCLEI: (0, -8, 110),
    Part.BASAL_ARTERIES: (0, -10, 76),
    Part.DENSE_ARTERY: (0, -10, 76),
    Part.CLINOIDS: (0, -15, 80),
    Part.CLIP: (0, -10, 120),
    Part.ORBITAL_ROOFS: (0, -45, 120),
}
"""Middle (x to the left, y to posterior) and width in mm of what is shown of a slice."""
SEEDS: dict[Part, int] = {Part.CRANIOTOMY: 5, Part.DENSE_ARTERY: 2, Part.SHUNT: 3}
WINDOW: dict[Part, tuple[float, float]] = {Part.CONTRAST: (0, 150), Part.CRANIOTOMY: (-100, 700)}
USUAL_WINDOW = (0.0, 80.0)


def main() -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="the real head: a folder of DICOM files")
    parser.add_argument("--output", type=Path, default=Path("docs/images/generator.png"))
    parser.add_argument("--part", type=Part, action="append", help="only these parts")
    arguments = parser.parse_args()
    real = read_volume(arguments.real)
    cells = [_cell(part, real) for part in arguments.part or Part]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    picture = _sheet(cells)
    picture.quantize(GRAYS).save(arguments.output, optimize=True)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1000:.0f} kB, {len(cells)} parts")
    return 0


def _cell(part: Part, real: Volume) -> Image.Image:
    """Title over three slices."""
    window = WINDOW.get(part, USUAL_WINDOW)
    without, with_part = _made(part, USUAL - {part}), _made(part, USUAL | {part})
    shown = (len(without) // 2, len(with_part) // 2)
    if with_part.shape == without.shape:  # where the part is most of all
        changed = np.abs(np.clip(with_part, *window) - np.clip(without, *window)).mean(axis=(1, 2))
        shown = (int(changed.argmax()),) * 2
    slices = [_real_slice(real, part), without[shown[0]], with_part[shown[1]]]
    picture = Image.new("L", (3 * CELL, CELL + TITLE))
    for number, image in enumerate(slices):
        gray = np.clip((image - window[0]) / (window[1] - window[0]), 0, 1) * 255
        picture.paste(Image.fromarray(gray.astype(np.uint8)), (number * CELL, TITLE))
    ImageDraw.Draw(picture).text((2, 0), f"{part.value}: real, without, with", fill=255)
    return picture


def _made(part: Part, parts: frozenset[Part]) -> np.ndarray:
    """Slices (n, CELL, CELL) about the part's level of a head with these parts."""
    x, y, field_mm = ZOOM.get(part, (0.0, 0.0, FIELD_MM))
    steps = (5.0,) * 4
    usual = Protocol(CELL, field_mm, steps, noise_hu=2.2, has_head_rest=False, cupping_hu=1.0)
    protocol = protocol_of(usual, parts, np.random.default_rng(SEED))
    protocol = replace(protocol, center_mm=(x, y, LEVEL_MM[part]), streak_hu=0.0)
    style = replace(STYLES["clinical"], parts=dict.fromkeys(parts, 1.0))
    plans = [LesionPlan("SDH", 70.0, 58.0, is_broad=True)] if Part.BROAD_SUBDURAL in parts else []
    exam = make_exam(SEEDS.get(part, SEED), style=style, plans=plans, protocol=protocol)
    return exam.volume.hu


def _real_slice(volume: Volume, part: Part) -> np.ndarray:
    """The slice (CELL, CELL) of the real head nearest to a part's level, as much of it as of the made-up ones."""
    x, y, field_mm = ZOOM.get(part, (0.0, 0.0, FIELD_MM))
    index = min(REAL_HEIGHTS_MM, key=lambda pair: abs(pair[1] - LEVEL_MM[part]))[0]
    image = AxialView.of(volume.geometry).apply(volume.hu)[index]
    pixel = volume.geometry.pixel_spacing_mm[0]
    middle = ndimage.center_of_mass(ndimage.binary_opening(image > 100, iterations=4))
    step = field_mm / CELL / pixel
    rows, columns = (
        m + shift / pixel + (np.arange(CELL) - CELL / 2) * step for m, shift in zip(middle, (y, x), strict=True)
    )
    smooth = ndimage.gaussian_filter(image, 0.4 * step)
    return ndimage.map_coordinates(smooth, np.meshgrid(rows, columns, indexing="ij"), order=1, cval=-1000)


def _sheet(cells: list[Image.Image]) -> Image.Image:
    width, height = cells[0].size
    rows = -(-len(cells) // ACROSS)
    sheet = Image.new("L", (ACROSS * (width + GAP) - GAP, rows * (height + GAP) - GAP))
    for number, cell in enumerate(cells):
        row, column = divmod(number, ACROSS)
        sheet.paste(cell, (column * (width + GAP), row * (height + GAP)))
    return sheet


if __name__ == "__main__":
    raise SystemExit(main())
