"""The bundled model on the real head CT that it never saw, and how long an exam takes.

python Testing/Benchmarks/bench_bundled.py CT [--methods compact-unet hu-threshold] [--seeds 1 2 3]
    [--weights METHOD=FILE ...]

CT is a head without hemorrhage. Lesions of 10 mL of the five subtypes are put into it, one an exam, at a place that
follows from the seed. Printed: value of the exam and outlined mL without a lesion; for each subtype whether the exam
is positive, the share of the lesion that is outlined, Dice, and what it is called; seconds cold and warm, the same
head in 300 thin slices, by the clock, to which other programs add, and of CPU; and the most memory so far, for which
`--seeds` without a number leaves the lesions out. The bars: 28 slices in 4 s warm and 10 s cold on two cores with 2 GB,
300 slices in 25 s. Accuracy on many exams is measured by Testing/accuracy/measure.py.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.synthesis.insertion import insert_lesions
from ICHSegmenterLib.synthesis.pathology.lesions import SUBTYPES, LesionPlan
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

LESION_ML = 10.0
THIN_SLICES = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ct", type=Path, metavar="CT")
    parser.add_argument("--methods", nargs="+", default=["compact-unet", "hu-threshold"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--weights", nargs="+", default=[], metavar="METHOD=FILE")
    options = parser.parse_args()

    start = time.perf_counter()
    volume = read_volume(options.ct)
    print(f"{volume.geometry.shape[0]} slices read in {time.perf_counter() - start:.2f} s")
    files = dict(one.split("=", 1) for one in options.weights)
    lesions = {
        (seed, subtype): insert_lesions(volume, [LesionPlan(subtype, LESION_ML)], seed=seed)
        for seed in options.seeds
        for subtype in SUBTYPES
    }
    for method in options.methods:
        session = Session()
        weights = [Path(files[method])] if method in files else []
        request, result = AnalysisRequest(method, weights=weights), None
        print()
        for name in ("cold", "warm", "thin"):
            exam = in_slices(volume, THIN_SLICES) if name == "thin" else volume
            start, start_cpu = time.perf_counter(), time.process_time()
            analyzed = analyze(exam, request, session=session)
            wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
            print(
                f"{method}, {name}, {len(exam.hu)} slices: {wall:.2f} s, {cpu:.2f} s of CPU, {peak_gb():.2f} GB",
                flush=True,
            )
            result = result or analyzed
        print(f"  no lesion: exam {described(result)}, {outlined_ml(result):.2f} mL outlined")
        found = 0
        for (seed, subtype), exam in lesions.items():
            result = analyze(exam.volume, AnalysisRequest(method, weights=weights), session=session)
            truth = exam.labelmap > 0
            outline = result.segmentation.blood_mask if result.segmentation is not None else truth & False
            share = (outline & truth).sum() / truth.sum()
            dice = 2 * (outline & truth).sum() / (outline.sum() + truth.sum())
            found += bool(result.detection.is_positive and share >= 0.1)
            named = ", ".join(f"{one.key} {one.volume_ml:.1f}" for one in result.measurements)
            print(
                f"  seed {seed} {subtype} {exam.blood_ml[subtype]:5.1f} mL: exam {described(result)}, "
                f"share {share:.2f}, Dice {dice:.2f}, outlined {named or 'nothing'}"
            )
        print(f"  found {found} of {len(lesions)}")


def described(result: AnalysisResult) -> str:
    """Verdict and value of the exam."""
    found = result.detection
    return f"{'positive' if found.is_positive else 'negative'} ({found.exam_probabilities[ANY]:.2f})"


def in_slices(volume: Volume, count: int) -> Volume:
    """The same head in so many slices, linear between the acquired ones."""
    geometry = volume.geometry
    at = np.linspace(0, geometry.shape[0] - 1, count)
    origins = np.column_stack(
        [np.interp(at, np.arange(geometry.shape[0]), geometry.slice_origins[:, axis]) for axis in range(3)]
    )
    hu = np.stack([_between(volume.hu, position) for position in at])
    shape = (count, *geometry.shape[1:])
    return Volume(hu, VolumeGeometry(shape, geometry.column_step, geometry.row_step, origins), volume.source)


def _between(hu: np.ndarray, position: float) -> np.ndarray:
    low = min(int(position), len(hu) - 2)
    return hu[low] + np.float32(position - low) * (hu[low + 1] - hu[low])


def peak_gb() -> float:
    """The most memory that this process has had (Linux and macOS count differently)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def outlined_ml(result: AnalysisResult) -> float:
    """Blood, all segments together."""
    return sum(one.volume_ml for one in result.measurements if one.is_blood)


if __name__ == "__main__":
    main()
