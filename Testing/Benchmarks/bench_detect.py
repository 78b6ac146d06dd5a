"""Seconds an exam: `detect`, which makes no maps, against `segment`, which does, with equal probabilities.

python Testing/Benchmarks/bench_detect.py [--slices 10] [--rounds 3] [--methods hgi-sam swin-sam swin-gradcam]

Weights are made from a seed. Both run in alternation and the median of the rounds counts, since a busy machine adds to
both; only the prediction is timed, as provenance records it (loading, brain mask and pictures are the same for both).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.request import PRECISIONS, AnalysisRequest
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom

HEIGHT_MM = 140.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=["hgi-sam", "swin-sam", "swin-gradcam"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    options = parser.parse_args()

    geometry = head_geometry((options.slices, 256, 256), pixel_mm=(0.9, 0.9), slice_step_mm=HEIGHT_MM / options.slices)
    exam = make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(25.0, (26.0, 6.0, 30.0), 62.0),)), seed=1).volume
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {options.slices} slices")
    print(f"{'method':14}{'segment, s':>12}{'detect, s':>12}{'ratio':>8}{'largest difference':>20}")
    with tempfile.TemporaryDirectory() as folder:
        for method in options.methods:
            weights = seeded_weights(method, Path(folder))
            session, seconds, values = Session(), ([], []), ([], [])
            for round_number in range(options.rounds + 1):  # the first one warms up
                for kind, detection_only in enumerate((False, True)):
                    request = AnalysisRequest(
                        method,
                        weights=(weights,),
                        device=options.device,
                        precision=options.precision,
                        detection_only=detection_only,
                    )
                    result = analyze(exam, request, session=session)
                    values[kind][:] = [row.probabilities[ANY] for row in result.detection.slices]
                    if round_number:
                        seconds[kind].append(result.provenance.seconds["predict"])
            slow, fast = map(statistics.median, seconds)
            difference = max(abs(first - second) for first, second in zip(*values, strict=True))
            print(f"{method:14}{slow:12.2f}{fast:12.2f}{slow / fast:8.2f}{difference:20.1e}", flush=True)


def seeded_weights(method: str, folder: Path) -> Path:
    """A weight file of the method's network, made from a seed."""
    card = get_card(method)
    torch.manual_seed(0)
    path = folder / f"{method}.pt"
    torch.save(create_model(card.network, **card.network_config).state_dict(), path)
    return path


if __name__ == "__main__":
    main()
