"""`models list|show|download|import|convert|verify|remove`: the methods, and the weight files on this computer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cards.requirement import missing_notice
from ICHSegmenterLib.cards.table import get_card, method_cards
from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.cli.card_text import card_text
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.errors import WeightsError
from ICHSegmenterLib.runtime.device import import_torch
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.cache import in_megabytes, weights_folder
from ICHSegmenterLib.weights.checks import COMMAND
from ICHSegmenterLib.weights.download import Transfer, download_model
from ICHSegmenterLib.weights.own_file import OwnFacts


def add_parsers(verbs: Any) -> None:
    """Add the verbs to the parser."""
    models = verbs.add_parser("models", help="list, show, download, import, convert, verify or remove weight files")
    actions = models.add_subparsers(title="actions", metavar="ACTION", required=True)
    actions.add_parser("list", help="every method and whether its weights are here").set_defaults(run=run_list)
    show = actions.add_parser("show", help="training data, false alarms, sensitivity and limits of a method")
    show.add_argument("method", nargs="+")
    show.set_defaults(run=run_show)
    get = actions.add_parser("download", help="fetch the published weights of a method")
    get.add_argument("method", nargs="+")
    get.add_argument("--accept-license", action="store_true", help="accept the terms of the weights' training data")
    get.set_defaults(run=run_download)
    bring = actions.add_parser("import", help="take weight files that you have, known by digest or card, and cards")
    bring.add_argument("file", nargs="+", type=Path)
    bring.add_argument("--method", default="", metavar="NAME", help="of a file of your own that has no card")
    bring.add_argument("--title", default="", metavar="TEXT", help="of your own file (default: its name)")
    bring.add_argument("--license", default="", metavar="TEXT", help="of your own file (default: unknown)")
    bring.set_defaults(run=run_import)
    turn = actions.add_parser("convert", help="authors' file to safetensors, with a card that says where it comes from")
    turn.add_argument("file", type=Path, help=".pth, .pt, .ckpt, .npz or .pdparams")
    turn.add_argument(
        "--method", required=True, help=", ".join(card.name for card in method_cards().values() if card.network)
    )
    turn.add_argument("--output", type=Path, metavar="FILE", help="ends in .safetensors (default: FILE's name, here)")
    turn.add_argument("--title", default="", metavar="TEXT", help="of your own file (default: its name)")
    turn.add_argument("--license", default="", metavar="TEXT", help="of the file (default: what is known of it)")
    turn.set_defaults(run=run_convert)
    actions.add_parser("verify", help="read every installed file again").set_defaults(run=run_verify)
    drop = actions.add_parser("remove", help="delete the weights of a method, or one file")
    drop.add_argument("name", nargs="+", help="method or file name")
    drop.set_defaults(run=run_remove)


def run_list(_: argparse.Namespace) -> int:
    """The action `list`."""
    for card in method_cards().values():
        state, total = store.state(card), len(card.weights)
        missing = f"{in_megabytes(state.download_bytes)} to download" if state.wanted else "a file is needed"
        ready = "ready" if state.is_ready else missing
        if state.is_ready and card.missing_packages:
            ready = "package missing"
        count = f"{len(state.present)} of {total} files" if total else "no weights needed"
        if (state.imported and not state.present) or (card.needs_weights and not total):
            count = "bundled" if state.is_bundled else f"{len(state.imported)} imported"
        shown = store.card_of(card.name)
        print(f"{card.name:16} {ready:22} {count:18} {shown.license:11} {shown.summary}")
        print(f"{'':16} {shown.trust.summary}")
        if shown.trust.terms:
            print(f"{'':16} its training data have terms: `{COMMAND} show {card.name}`")
        if card.missing_packages:
            print(f"{'':16} {missing_notice(card.title, card.missing_packages)}")
    print(f"Folder: {weights_folder()}")
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """The action `show`: the card that would run."""
    print("\n\n".join(card_text(store.card_of(name)) for name in arguments.method))
    return 0


def run_download(arguments: argparse.Namespace) -> int:
    """The action `download`."""
    progress = TerminalProgress()
    for name in arguments.method:
        card = get_card(name)
        try:
            files = download_model(card, Transfer(progress=progress.update), accept_license=arguments.accept_license)
        finally:
            progress.close()
        print(f"{name}: {', '.join(path.name for path in files) or 'nothing to download'} ({card.license})")
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    """The action `import`: each file by itself, so that what is done is said before what fails; exit code 1 then."""
    require_existing(arguments, "file")
    stated = OwnFacts(arguments.method, arguments.title, arguments.license)
    progress, failures = TerminalProgress(), []
    for number, path in enumerate(arguments.file):
        progress.update(number, len(arguments.file), f"Importing {path.name}")
        try:
            files = store.import_files([path], stated)
        except WeightsError as error:
            failures.append(str(error))
            continue
        finally:
            progress.close()
        for file in files:
            print(f"{file.name}: imported ({in_megabytes(file.size)}, {file.license})", flush=True)
    for message in failures:
        print(f"error: {message}", file=sys.stderr)
    if failures and len(arguments.file) > 1:
        print(f"{len(arguments.file) - len(failures)} of {len(arguments.file)} imported", file=sys.stderr)
    return int(bool(failures))


def run_convert(arguments: argparse.Namespace) -> int:
    """The action `convert`."""
    require_existing(arguments, "file")
    import_torch()
    from ICHSegmenterLib.methods.convert import convert  # needs torch, which the other actions do without

    card, texts = get_card(arguments.method), {"license_text": arguments.license, "title": arguments.title}
    path = convert(arguments.file, card, arguments.output, **texts)
    print(f"{path} and {path.with_suffix('.json').name}; use it with --weights, or `{COMMAND} import {path}`")
    return 0


def run_verify(_: argparse.Namespace) -> int:
    """The action `verify`: exit code 1 if a file is corrupt."""
    progress = TerminalProgress()
    try:
        conditions = store.verify(progress.update)
    finally:
        progress.close()
    for path, condition in conditions:
        print(f"{condition.value:20} {path}")
    if not conditions:
        print(f"No weight files in {weights_folder()}")
    return int(any(condition is store.FileCondition.CORRUPT for _, condition in conditions))


def run_remove(arguments: argparse.Namespace) -> int:
    """The action `remove`."""
    for path in store.remove(arguments.name):
        print(f"removed {path}")
    return 0
