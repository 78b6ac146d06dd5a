"""`synthesize`: head CT with hemorrhage of known truth, in the layouts of the public data sets."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.cli.layouts import layout_argument, layouts_help
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.datasets.layouts import writable_layout
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.synthesis.parts import Part
from ICHSegmenterLib.volume.io import read_volume

PHANTOM = "phantom"
"""No style of a made-up head but the analytic one."""
STYLE_NAMES = ("standard", "thin", "shifted", "clinical", "clinical-crowded", "contrast", "clinical-shifted", PHANTOM)
PART_NAMES = tuple(part.value for part in Part)
_WHICH_BLEED = 2
"""Keeps these random numbers apart from those of the exams."""
SHEET_EXAMS = 8
"""So many exams are drawn on a contact sheet."""


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("synthesize", help="make head CT with hemorrhage of known truth")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder, made if absent")
    parser.add_argument("--exams", type=_count, default=10, metavar="N", help="each is another patient (default: 10)")
    parser.add_argument(
        "--layout", type=layout_argument(writable_layout), default="nifti", metavar="LAYOUT", help=layouts_help()
    )
    parser.add_argument("--seed", type=int, default=0, help="equal seeds make equal exams")
    parser.add_argument("--style", choices=STYLE_NAMES, default="standard", help="of anatomy and acquisition")
    parser.add_argument(
        "--with-part",
        type=_part,
        action="append",
        default=[],
        metavar="PART",
        help=f"have this part in every exam of a style with parts; may be repeated: {', '.join(PART_NAMES)}",
    )
    parser.add_argument(
        "--without-part",
        type=_part,
        action="append",
        default=[],
        metavar="PART",
        help="have it in none; may be repeated",
    )
    parser.add_argument("--matrix", type=_count, default=256, help="rows and columns (default: 256)")
    parser.add_argument(
        "--positive",
        type=_share,
        default=0.6,
        metavar="SHARE",
        help="of exams with blood, to the nearest whole exam (default: 0.6)",
    )
    parser.add_argument(
        "--insert-into",
        type=Path,
        nargs="+",
        default=(),
        metavar="CT",
        help="put lesions into these scans, in turn, instead of into made-up heads",
    )
    parser.add_argument(
        "--augment", action="store_true", help="change shape, density, noise and kernel of the scans of --insert-into"
    )
    parser.add_argument("--subtype", choices=SUBTYPE_LABELS[:-1], help="only lesions of this subtype")
    parser.add_argument("--volume", type=float, metavar="ML", help="of every lesion (default: as in real exams)")
    parser.add_argument("--workers", type=_count, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument("--contact-sheet", type=Path, metavar="FILE", help="PNG with slices of the first exams")
    parser.add_argument("--beside", type=Path, metavar="CT", help="a real scan, drawn in the sheet's first row")
    parser.set_defaults(run=run_synthesize)


def run_synthesize(arguments: argparse.Namespace) -> int:
    """The verb."""
    if arguments.beside is not None and arguments.contact_sheet is None:
        raise ValueError("--beside needs --contact-sheet")
    if arguments.augment and not arguments.insert_into:
        raise ValueError("--augment needs --insert-into: made-up heads vary by themselves")
    if arguments.style == PHANTOM and (arguments.subtype or arguments.volume or arguments.with_part):
        raise ValueError("--style phantom draws its own bleeds; leave out --subtype, --volume and --with-part")
    require_existing(arguments, "insert_into", "beside")
    sheet: list[Any] = []
    if arguments.beside is not None:
        sheet.append(("real", read_volume(arguments.beside), None))
    progress = TerminalProgress()
    try:
        count = writable_layout(arguments.layout).write(
            _shown(_exams(arguments), arguments, sheet, progress), arguments.output
        )
    finally:
        progress.close()
    print(f"{count} exams in {arguments.output} ({arguments.layout})")
    if arguments.contact_sheet is not None:
        from ICHSegmenterLib.report.contact_sheet import write_contact_sheet

        write_contact_sheet(sheet, arguments.contact_sheet)
        print(f"Contact sheet: {arguments.contact_sheet}")
    return 0


@dataclass(frozen=True)
class _Order:
    """Everything that decides one exam."""

    seed: int
    positive: float
    style: str
    matrix: int
    subtype: str | None
    volume_ml: float | None
    scan: Path | None
    with_parts: tuple[Part, ...]
    without_parts: tuple[Part, ...]
    is_augmented: bool


def _exams(arguments: argparse.Namespace) -> Iterator[Any]:
    """One exam after the other, the same however many processes make them; few are in memory."""
    seeds = np.random.SeedSequence(arguments.seed).generate_state(arguments.exams)
    scans = arguments.insert_into or (None,)
    bleeds = stratified(arguments.exams, arguments.positive, arguments.seed)
    orders = [
        _Order(
            int(seed),
            float(bleeds[number]),
            arguments.style,
            arguments.matrix,
            arguments.subtype,
            arguments.volume,
            scans[number % len(scans)],
            tuple(arguments.with_part),
            tuple(arguments.without_part),
            arguments.augment,
        )
        for number, seed in enumerate(seeds)
    ]
    if arguments.workers <= 1:
        yield from map(_make, orders)
        return
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        for start in range(0, len(orders), 2 * arguments.workers):
            yield from pool.map(_make, orders[start : start + 2 * arguments.workers])


def stratified(exams: int, share: float, seed: int) -> NDArray[np.bool_]:
    """bool (exams,), which bleed: exactly this share, to the nearest exam; drawn one by one six could all bleed."""
    bleeds = np.arange(exams) < round(share * exams)
    return np.random.default_rng((seed, _WHICH_BLEED)).permutation(bleeds)


def _make(order: _Order) -> Any:
    """The exam of an order."""
    from ICHSegmenterLib.synthesis.acquisition.background import augment_background
    from ICHSegmenterLib.synthesis.exam import draw_plans, make_exam
    from ICHSegmenterLib.synthesis.insertion import insert_lesions
    from ICHSegmenterLib.synthesis.pathology.lesions import LesionPlan
    from ICHSegmenterLib.synthesis.phantom_exam import make_phantom_exam
    from ICHSegmenterLib.synthesis.styles import style_named

    if order.style == PHANTOM and order.scan is None:
        return make_phantom_exam(order.seed, matrix=order.matrix, positive_share=order.positive)
    style = style_named(order.style).with_parts(always=order.with_parts, without=order.without_parts)
    if order.scan is None and order.subtype is None and order.volume_ml is None:
        return make_exam(order.seed, style=style, matrix=order.matrix, positive_share=order.positive)
    random = np.random.default_rng((order.seed, 1))
    plans = draw_plans(random, positive_share=order.positive)
    if order.subtype:
        plans = (LesionPlan.draw(random, order.subtype),) if plans else ()
    if order.volume_ml is not None:
        plans = tuple(LesionPlan.draw(random, plan.subtype, volume_ml=order.volume_ml) for plan in plans)
    if order.scan is not None:
        volume = read_volume(order.scan)
        volume = augment_background(volume, order.seed) if order.is_augmented else volume
        return insert_lesions(volume, plans, seed=order.seed)
    return make_exam(order.seed, style=style, plans=plans, matrix=order.matrix)


def _shown(
    exams: Iterator[Any], arguments: argparse.Namespace, sheet: list[Any], progress: TerminalProgress
) -> Iterator[Any]:
    """Hands exams on, reports progress, and keeps the first ones for the contact sheet."""
    run = progress.run()
    run.report(0, arguments.exams, Phase.SYNTHESIZING)
    for number, exam in enumerate(islice(exams, arguments.exams)):
        if arguments.contact_sheet is not None and number < SHEET_EXAMS:
            title = ", ".join(f"{key} {ml:.1f} mL" for key, ml in exam.blood_ml.items() if ml) or "no blood"
            sheet.append((title, exam.volume, exam.labelmap))
        run.report(number + 1, arguments.exams, Phase.SYNTHESIZING)
        yield exam


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text}")
    return value


def _part(text: str) -> Part:
    if text not in PART_NAMES:
        raise argparse.ArgumentTypeError(f"no part {text!r}; the parts are {', '.join(PART_NAMES)}")
    return Part(text)
