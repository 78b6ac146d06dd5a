"""Does smoothing help a method on sharp and noisy scans? Dice, blood and score with and without, as a table.

    python Testing/harmonize_trial.py CT --method hu-threshold [--method ...] [--weights blast-ct=FILE] [--noise 25]

A bleed-free head gets 10 mL of parenchymal or subdural blood, or none, and then the grain of a bone kernel.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.preprocessing.checks.texture import measure_noise
from ICHSegmenterLib.preprocessing.harmonize import harmonize
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.synthesis.acquisition.kernels import draw_kernel
from ICHSegmenterLib.synthesis.insertion import insert_lesions
from ICHSegmenterLib.synthesis.pathology.lesions import LesionPlan
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.overlap import dice
from ICHSegmenterLib.volume.volume import Volume

SHARPNESS = 0.9
LESIONS = {"none": (), "IPH": (LesionPlan("IPH", 10.0),), "SDH": (LesionPlan("SDH", 10.0),)}


def main() -> int:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", type=Path)
    parser.add_argument("--method", action="append", required=True)
    parser.add_argument("--weights", action="append", default=[], metavar="METHOD=FILE")
    parser.add_argument("--noise", type=float, default=25.0)
    arguments = parser.parse_args()
    weights = dict(text.split("=", 1) for text in arguments.weights)
    plain, session = read_volume(arguments.scan), Session()
    mask = brain_mask(plain)
    print("| method | blood | true mL | as acquired: Dice, mL, score | smoothed: Dice, mL, score | noise HU |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, plans in LESIONS.items():
        exam = insert_lesions(plain, plans, seed=3, brain_mask=mask)
        sharp = sharpened(exam.volume, arguments.noise)
        soft, finding = harmonize(sharp, mask, measure_noise(sharp, mask))
        said = "-" if finding is None else "{noise_hu:.1f} to {remaining_hu:.1f}".format(**finding.parameters)
        for method in arguments.method:
            request = AnalysisRequest(method, weights=(weights[method],) if method in weights else ())
            cells = []
            for volume in (sharp, soft):
                result = analyze(volume, request, session=session, brain_mask=mask)
                overlap = dice(result.segmentation.blood_mask, exam.labelmap > 0) if plans else float("nan")
                cells.append(f"{overlap:.2f}, {result.blood_ml:.1f}, {result.assessment.probability:.2f}")
            true_ml = sum(exam.blood_ml.values())
            print(f"| {method} | {name} | {true_ml:.1f} | {cells[0]} | {cells[1]} | {said} |", flush=True)
    return 0


def sharpened(volume: Volume, noise_hu: float) -> Volume:
    """The scan as a bone kernel shows it."""
    random = np.random.default_rng(7)
    kernel, pixel = draw_kernel(SHARPNESS, random), volume.geometry.pixel_spacing_mm[0]
    hu = [
        kernel.reconstruct(image, pixel) + np.float32(noise_hu) * kernel.noise(image.shape, pixel, random)
        for image in volume.hu
    ]
    return replace(volume, hu=np.clip(np.rint(np.stack(hu)), -1024, 3071).astype(np.float32))


if __name__ == "__main__":
    raise SystemExit(main())
