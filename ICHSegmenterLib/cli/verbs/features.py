"""`features`: what a network's encoder makes of exams, as vectors, a t-SNE and activation maps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ICHSegmenterLib.analysis.features import FEATURE_METHODS, ExamFeatures, extract_features
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.batch.run import find_exams
from ICHSegmenterLib.cli.arguments import add_device_arguments, option, request_of, require_existing
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.report.activation import write_activation
from ICHSegmenterLib.report.embedding import MIN_POINTS, embed, write_embedding
from ICHSegmenterLib.results import RESEARCH_NOTICE
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.io import read_volume


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("features", help="vectors, t-SNE and activation maps of a network's encoder")
    parser.add_argument("inputs", type=Path, nargs="+", help="folders and files, searched with their subfolders")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--method", default="smart-net-cls", choices=FEATURE_METHODS)
    parser.add_argument("--weights", type=Path, nargs="+", action="extend", default=[], metavar="FILE")
    parser.add_argument(
        "--option",
        dest="options",
        type=option,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="of the method, such as drop_empty_ends=true",
    )
    add_device_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb; the files are listed at its end."""
    require_existing(arguments, "inputs", "weights")
    request = request_of(arguments)
    session, progress = Session(), TerminalProgress()
    features: dict[str, ExamFeatures] = {}
    written = []
    exams = find_exams(arguments.inputs)
    for number, exam in enumerate(exams):
        progress.announce(number, len(exams), exam.name)
        volume = read_volume(exam.path, series_uid=exam.series_uid)
        try:
            extracted = extract_features(volume, request, progress.run(), session)
        finally:
            progress.close()
        features[exam.name] = extracted
        name = f"{exam.name}-activation"
        write_nifti(extracted.activation, volume.geometry, arguments.output / f"{name}.nii.gz")
        write_activation(
            extracted.activation,
            volume,
            extracted.slice_indices,
            f"{request.method}: activation of the encoder",
            arguments.output / f"{name}.png",
        )
        written += [f"{name}.nii.gz", f"{name}.png"]
    written += _write_vectors(features, request.method, arguments.output)
    slices = sum(len(exam_features.slice_indices) for exam_features in features.values())
    print(f"{len(features)} exams, {slices} slices by {request.method}")
    print(f"Results: {arguments.output} ({', '.join(written)})")
    print(RESEARCH_NOTICE)
    return 0


def _write_vectors(features: dict[str, ExamFeatures], method: str, folder: Path) -> list[str]:
    """`features.npz`, and a picture of the slices and of the exams if there are enough of them."""
    slice_exams = [name for name, one in features.items() for _ in one.slice_indices]
    arrays: dict[str, Any] = {
        "exams": np.array(list(features)),
        "exam_vectors": np.stack([one.exam_vector for one in features.values()]),
        "slice_exams": np.array(slice_exams),
        "slice_indices": np.concatenate([one.slice_indices for one in features.values()]),
        "slice_vectors": np.concatenate([one.slice_vectors for one in features.values()]),
    }
    pictures = {
        "tsne-slices": (arrays["slice_vectors"], slice_exams, f"{method}: slices, joined in their order"),
        "tsne-exams": (arrays["exam_vectors"], list(features), f"{method}: exams"),
    }
    written = ["features.npz"]
    for name, (vectors, groups, title) in pictures.items():
        if len(vectors) >= MIN_POINTS:
            points = embed(vectors)
            arrays[name.replace("-", "_")] = points
            write_embedding(points, groups, title, folder / f"{name}.png")
            written.append(f"{name}.png")
    with replacing(folder / "features.npz") as temporary:
        np.savez_compressed(temporary, **arrays)
    return written
