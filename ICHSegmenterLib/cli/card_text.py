"""A model card as text for people: what the method outputs, whom it learned from, how often it is wrong."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.published_files import AUTHORS_FILES

WIDTH = 110
INDENT = "  "


def card_text(card: ModelCard) -> str:
    """The card of `models show`, a heading and a wrapped text for each line."""
    width = max(len(heading) for heading, _ in _lines(card)) + len(INDENT)
    wrapper = textwrap.TextWrapper(
        WIDTH, subsequent_indent=" " * (len(INDENT) + width), break_long_words=False, break_on_hyphens=False
    )
    paragraphs = (wrapper.fill(f"{INDENT}{heading:{width}}{text}") for heading, text in _lines(card))
    return "\n".join((f"{card.name}: {card.title}", *paragraphs))


def _lines(card: ModelCard) -> Iterator[tuple[str, str]]:
    yield "Output", card.summary
    if card.draws_attention:
        yield "Segments", "attention map, not an outline: where the network looked"
    else:
        yield "Segments", ", ".join(label.name for label in card.labels) or "none, detection only"
    yield from card.trust.lines()
    yield "Limits", card.limits
    yield "License", card.license
    if card.release:
        yield "Weights", card.release
    if card.name in AUTHORS_FILES:
        authors = AUTHORS_FILES[card.name]
        yield "Authors' file", f"{authors.size / 1e9:.2f} GB, {authors.page}: {authors.steps}"
    yield "Paper", card.paper + (f", https://doi.org/{card.doi}" if card.doi else "")
