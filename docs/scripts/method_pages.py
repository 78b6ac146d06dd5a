"""The page of the method cards, from the table that the program itself reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from ICHSegmenterLib import METHODS
from ICHSegmenterLib.cards.folders import bundled_folder
from ICHSegmenterLib.cards.published_files import AUTHORS_FILES
from ICHSegmenterLib.cards.table import read_card

INTRODUCTION = """# Method cards

Every method is data: one card says what it is, what the network sees, what it outputs, and how far to trust it. This
page is written from the cards of the program; `ichsegmenter models list` says which weights are on a computer. The JSON
file beside a weight file is such a card too.

None of this is a medical device. Cite the paper of the method that you ran.
"""
MEGABYTE, GIGABYTE = 1e6, 1e9


def page() -> str:
    """The page in Markdown: one section a method, in the order of the table."""
    cards = map(_shipped, METHODS.values())
    return INTRODUCTION + "".join("\n" + "\n".join(_section(card)) + "\n" for card in cards)


def _shipped(card: Any) -> Any:
    """The card beside the weights that ship, which holds their figures; else the method's own."""
    path = bundled_folder() / f"{card.name}.json"
    return (read_card(path) if path.is_file() else None) or card


def _section(card: Any) -> Iterator[str]:
    yield f"## {card.title} {{ #{card.name} }}\n"
    yield f"`{card.name}`: {card.summary}.\n"
    yield "| | |"
    yield "|---|---|"
    segments = ", ".join(label.name for label in card.labels) or "none, detection only"
    if card.draws_attention:
        segments += ": an attention map, not an outline"
    yield f"| segments | {segments} |"
    yield f"| slice values | {card.value_name}, positive from {card.detection_threshold:g} |"
    if card.threshold is not None:
        yield f"| threshold of the map | {card.threshold:g} |"
    yield f"| network | {_network(card)} |"
    yield f"| input | {_fields(card.preprocessing)} |"
    yield from (
        f"| option `{each.name}` | {each.help}: {each.values}, default {each.default} |" for each in _options(card)
    )
    yield f"| weights | {_weights(card)} |"
    yield from (f"| {heading.lower()} | {text} |" for heading, text in card.trust.lines())
    yield f"| license | {card.license} |"
    yield f"| paper | {card.paper}{f', [{card.doi}](https://doi.org/{card.doi})' if card.doi else ''} |\n"
    yield f"**Limits.** {card.limits}"


def _options(card: Any) -> Sequence[Any]:
    return getattr(card, "options", ())


def _network(card: Any) -> str:
    if not card.network:
        return "none"
    config = ", ".join(f"{name} {value}" for name, value in card.network_config.items())
    return f"`{card.network}`" + (f" ({config})" if config else "")


def _fields(preprocessing: Any) -> str:
    """The values of a preprocessing, which is a dataclass, as one cell of a table."""
    values = ", ".join(f"{each.name} {_plain(getattr(preprocessing, each.name))}" for each in fields(preprocessing))
    return f"`{type(preprocessing).__name__}`" + (f": {values}" if values else "")


def _plain(value: Any) -> str:
    """A value for people; a window as "level 40 width 80"."""
    if isinstance(value, tuple):
        return "(" + ", ".join(_plain(each) for each in value) + ")"
    if is_dataclass(value):
        return " ".join(f"{each.name} {_plain(getattr(value, each.name))}" for each in fields(value))
    return str(value)


def _weights(card: Any) -> str:
    if not card.network:
        return "none needed"
    if card.name in AUTHORS_FILES:
        authors = AUTHORS_FILES[card.name]
        return f"{authors.size / GIGABYTE:.2f} GB, [offered by its authors]({authors.page}): {authors.steps}"
    if not card.weights:
        return "no file to download: ships with the program, or train or convert it"
    sizes = sum(file.size for file in card.weights) / MEGABYTE
    release = f", {card.release}" if card.release else ""
    count = f"{len(card.weights)} file{'s' * (len(card.weights) > 1)}"
    return f"{count if card.weights[0].urls else 'ships with the program'}, {sizes:.0f} MB{release}"
