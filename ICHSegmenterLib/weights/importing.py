"""Brings one file into the weights folder: a published file, one with its card, one of one's own, or a card alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cards.json.reader import read_json
from ICHSegmenterLib.cards.json.writer import card_facts
from ICHSegmenterLib.cards.own import CARD_SUFFIX
from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.table import MODEL_CARDS, get_card, read_card
from ICHSegmenterLib.errors import CardError, OutputError, WeightsError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.weights.cache import weights_folder, writable_weights_folder
from ICHSegmenterLib.weights.checks import intact
from ICHSegmenterLib.weights.digests import file_sha256, hash_file, remember
from ICHSegmenterLib.weights.own_file import NOTHING_STATED, OwnFacts, card_with
from ICHSegmenterLib.weights.sidecar import WEIGHTS_SUFFIXES, CardedFile, carded_file, checked

PART_SUFFIX = ".part"
"""Ends the name of a file that is not complete yet."""


def import_file(
    path: Path, published: Mapping[str, WeightsFile], stated: OwnFacts = NOTHING_STATED
) -> WeightsFile | None:
    """A file with a card, a copy of a published file, one of a stated method, or a card, now in the folder; else None.

    Args:
        path: Left where it is.
        published: Files by their digest.
        stated: Of a file of one's own, by the user: title and license win over the card beside it.

    Raises:
        WeightsError: A card cannot be used or belongs to another file; or title or license are stated of a published
            file, which has its own.
        OutputError: The weights folder cannot be written.
    """
    if path.suffix == CARD_SUFFIX:
        return _import_card(path)
    carded = carded_file(path)
    if carded is not None:
        return _import_pair(checked(carded), stated)
    sizes = {file.size for file in published.values()}
    file = published.get(file_sha256(path)) if path.stat().st_size in sizes else None
    if file is not None and (stated.title or stated.license):
        raise WeightsError(
            f"{path.name} is the published file {file.name}, whose title and license are known ({file.license}); "
            "import it without --title and --license.",
            Cause.UNWANTED_WEIGHTS,
        )
    if file is not None:
        return _copy(path, file)
    return _import_own(path, stated) if stated.method and path.suffix in WEIGHTS_SUFFIXES else None


def weights_of_card(path: Path) -> Path:
    """The weight file beside a card, which is what is meant; a card without one, and any other file, as it is."""
    if path.suffix != CARD_SUFFIX:
        return path
    return next(filter(Path.is_file, map(path.with_suffix, WEIGHTS_SUFFIXES)), path)


def _import_pair(carded: CardedFile, stated: OwnFacts) -> WeightsFile:
    """A file and its card, which then names it as it is called here, with title and license as stated."""
    facts = read_json(carded.card_path) or {}
    facts |= {key: text for key, text in (("title", stated.title), ("license", stated.license)) if text}
    return _store(carded, facts, stated.license)


def _import_own(path: Path, stated: OwnFacts) -> WeightsFile:
    """A file without a card, and the card of its method with its own title and license.

    Raises:
        ModelNotFoundError: No such method.
        WeightsError: The method has no network.
    """
    method = get_card(stated.method)
    if not method.needs_weights:
        raise WeightsError(
            f"{path.name}: the method {method.name} has no network and takes no weights.", Cause.UNWANTED_WEIGHTS
        )
    card = card_with(method, [path], stated)
    file = WeightsFile(path.name, (), file_sha256(path), path.stat().st_size, card.license)
    return _store(CardedFile(path, card, file), card_facts(card), card.license)


def _store(carded: CardedFile, facts: Mapping[str, Any], license_text: str) -> WeightsFile:
    """The file and a card with these facts, under a name that is free."""
    file = replace(carded.file, name=_free_name(carded), license=license_text or carded.file.license)
    copied = _copy(carded.path, file)
    facts = {**facts, "weights": file.name, "sha256": file.sha256, "size": file.size}
    with replacing((weights_folder() / file.name).with_suffix(CARD_SUFFIX)) as draft:
        draft.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return copied


def _import_card(path: Path) -> WeightsFile | None:
    """A card without a weight file beside it, now in the weights folder under its method's name; None if it is none.

    Raises:
        CardError: It cannot be used, or the program has a method of this name.
    """
    card = read_card(path) if weights_of_card(path) == path else None
    if card is None:
        return None
    if card.name in MODEL_CARDS:
        raise CardError(f"{path.name}: {card.name} is a method of the program; give the card another name.", Cause.CARD)
    writable_weights_folder(path.stat().st_size)
    target = weights_folder() / f"{card.name}{CARD_SUFFIX}"
    if path.resolve() != target.resolve():
        with replacing(target) as draft:
            shutil.copyfile(path, draft)
    return WeightsFile(target.name, (), hash_file(target), target.stat().st_size, card.license)


def _free_name(carded: CardedFile) -> str:
    """Its own name, or with its digest where another imported or a published file has that name."""
    path, digest = carded.path, carded.file.sha256
    target = weights_folder() / path.name
    is_free = file_sha256(target) == digest if target.is_file() else not target.with_suffix(CARD_SUFFIX).is_file()
    if is_free and target.name not in published_names():
        return target.name
    return f"{path.stem}-{digest[:8]}{path.suffix}"


def published_names() -> set[str]:
    """File names that belong to the program's own methods."""
    return {file.name for card in MODEL_CARDS.values() for file in card.weights}


def _copy(path: Path, file: WeightsFile) -> WeightsFile:
    """Copy into the weights folder, whole or not at all."""
    target = weights_folder() / file.name
    if target.is_file() and hash_file(target) == file.sha256:
        return file
    draft = writable_weights_folder(file.size) / f"{file.name}.{os.getpid()}{PART_SUFFIX}"
    try:
        shutil.copyfile(path, draft)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OutputError(
            f"{path.name} could not be copied to {target} ({error.strerror or error}).", Cause.DISK
        ) from error
    remember(target, hash_file(target))
    intact(file, target)
    return file
