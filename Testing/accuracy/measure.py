"""The accuracy page, in one command: exams of the recipe, every method on them, tables and pictures.

python Testing/accuracy/measure.py --output DIR [--methods compact-unet compact-hgi hu-threshold blast-ct:0.1]
    [--sets unlike clean contrast inserted heads same-bleed] [--share 0.25] [--weights METHOD=FILE ...]
    [--made] [--again] [--page docs/accuracy.md | --no-page]

Exams are made once and kept in DIR/exams. Rows in DIR/rows are taken again while recipe, card, weights and the code of
the methods are the same, but not with --again. A method's own share stands behind a colon. Real scans and the weights
of BLAST-CT are read from $ICHSEGMENTER_SHARED/data; what is absent is left out, and the page says so.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.errors import WeightsError
from Testing.accuracy.known_exam import KnownExam, ScanMissingError
from Testing.accuracy.page import write_page
from Testing.accuracy.recipe import Recipe
from Testing.accuracy.rows import Judge, Row, RowFolder

METHODS = ("compact-unet", "compact-hgi", "hu-threshold", "blast-ct:0.1")
PAGE = ROOT / "docs" / "accuracy.md"


@dataclass(frozen=True)
class MethodPlan:
    """A method with its weights, and the share of exams it is given."""

    judge: Judge
    share: float = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="NAME[:SHARE]")
    parser.add_argument("--sets", nargs="+", default=(), metavar="SET")
    parser.add_argument("--share", type=float, default=1.0, help="of the exams of each group")
    parser.add_argument("--weights", nargs="+", default=(), metavar="METHOD=FILE")
    parser.add_argument("--made", action="store_true", help="only exams that DIR/exams holds already")
    parser.add_argument("--again", action="store_true", help="take no row of an earlier run")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="(default: docs/accuracy.md)")
    parser.add_argument("--no-page", action="store_true", help="write tables and pictures into DIR only")
    options = parser.parse_args(arguments)

    recipe = Recipe.read()
    scans = shared_data()
    made = {path.stem for path in (options.output / "exams").glob("*.npz")} if options.made else None
    methods, absent = method_plans(options.methods, options.weights, scans)
    rows: dict[str, list[Row]] = {}
    folder = RowFolder(options.output / "rows")
    obtain = partial(KnownExam.obtain, folder=options.output / "exams", scans=scans)
    for method in methods:
        judge = method.judge
        name = judge.method
        plans = recipe.of_sets(options.sets, options.share * method.share, made)
        rows[name] = []
        start = time.perf_counter()
        for number, plan in enumerate(plans, start=1):
            row = None if options.again else folder.read(judge, plan)
            if row is None:
                try:
                    exam = obtain(plan)
                except ScanMissingError as error:
                    absent[str(error)] = None
                    continue
                row, outline = judge.row(plan, exam)
                folder.write(row, judge, plan, outline)
            rows[name].append(row)
            print(f"\r{name}: {number} of {len(plans)}, {time.perf_counter() - start:.0f} s", end="", flush=True)
        print()
    for sentence in absent:
        print(f"Left out: {sentence}")
    page = None if options.no_page else options.page
    write_page(recipe, rows, folder, obtain, options.output, page=page, absent=tuple(absent))
    return 0


def shared_data() -> Path:
    """Folder of real scans and weights; need not exist."""
    return Path(os.environ.get("ICHSEGMENTER_SHARED") or ROOT.parent / "shared") / "data"


def method_plans(names: Sequence[str], weights: Sequence[str], scans: Path) -> tuple[list[MethodPlan], dict[str, None]]:
    """The methods that can run, and sentences about those that cannot."""
    own: dict[str, list[Path]] = {}
    for text in weights:
        method, _, file = text.partition("=")
        own.setdefault(method, []).append(Path(file))
    plans, absent = [], {}
    for text in names:
        name, _, share = text.partition(":")
        files = tuple(own.get(name, ())) or shared_weights(name, scans)
        try:
            plans.append(MethodPlan(Judge(name, files), float(share or 1)))
        except WeightsError as error:
            absent[f"{name}: {error}".rstrip(".")] = None
    return plans, absent


def shared_weights(method: str, scans: Path) -> tuple[Path, ...]:
    """Weights of BLAST-CT at hand, so many as the method takes by default; none for other methods."""
    if method != "blast-ct":
        return ()
    card = get_card(method)
    files = [scans / "blast_ct_v1" / file.name.removeprefix("blast_ct_v1_") for file in card.weights]
    return tuple(file for file in files[: card.default_models] if file.is_file())


if __name__ == "__main__":
    raise SystemExit(main())
