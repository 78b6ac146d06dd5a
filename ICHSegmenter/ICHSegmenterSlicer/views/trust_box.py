"""Below the method: how far to trust it, and the offer of weights that would make a better default."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ICHSegmenterLib.analysis.default_method import WeightsOffer, first_run_offer
from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.trust import Rate
from ICHSegmenterLib.weights import store

REFUSED_KEY = "ICHSegmenter/offerRefused"
MEGABYTE = 1_000_000


class TrustView:
    """The folded box with the trust lines of the chosen method, and the first-run line.

    Args:
        ui: The panel's widgets by name.
        accept: Called with the name of the method whose weights were accepted.
    """

    def __init__(self, ui: Any, accept: Callable[[str], None]) -> None:
        self._ui = ui
        self._accept = accept
        self._offer: WeightsOffer | None = None
        ui.offerDownloadButton.connect("clicked()", self._onAccepted)
        ui.offerLaterButton.connect("clicked()", self._onRefused)

    def show(self, card: ModelCard, *, busy: bool) -> None:
        """The lines of this method; the offer, unless it was refused, accepted or its weights are being fetched."""
        self._ui.trustLabel.setText(_trustText(card))
        refused = bool(qt.QSettings().value(REFUSED_KEY))
        self._offer = None if busy or refused else first_run_offer()
        if self._offer is not None and self._offer.method == card.name:
            self._offer = None  # the method box asks for them already
        if not store.is_ready(card):
            self._offer = None  # two methods that ask for files would be taken for one
        self._ui.offerFrame.setVisible(self._offer is not None)
        if self._offer is not None:
            self._ui.offerLabel.setText(_offerText(self._offer))

    def _onAccepted(self) -> None:
        if self._offer is not None:
            self._accept(self._offer.method)

    def _onRefused(self) -> None:
        qt.QSettings().setValue(REFUSED_KEY, "true")
        self._ui.offerFrame.setVisible(False)


def _trustText(card: ModelCard) -> str:
    """HTML: one paragraph a question, in the order in which a reader asks."""
    trust = card.trust
    unknown = _("not stated")
    trained = trust.trained_on
    population = trained.population or unknown
    if trained.population and trained.exams is not None:
        population = _("{exams} exams: {population}").format(exams=trained.exams, population=trained.population)
    lines = [(_("Trained on"), population + _source(trained.source))]
    if trust.terms:
        lines.append((_("Terms of the training data"), trust.terms))
    none = _("no published figure is known")
    lines += [
        (_("False alarms"), "; ".join(map(_rateText, trust.false_alarms)) or none),
        (_("Sensitivity"), "; ".join(map(_rateText, trust.sensitivity)) or none),
        (_("Does not see"), "; ".join(trust.not_seen) or unknown),
    ]
    paragraphs = [f"<b>{html.escape(heading)}</b>: {html.escape(text)}" for heading, text in lines]
    return "<small>" + "<br>".join(paragraphs) + "</small>"


def _rateText(rate: Rate) -> str:
    least = getattr(rate, "from_ml", None)
    text = f"{rate.share} {rate.population}"
    if least is not None:
        text = _("{rate}, from {least:g} mL of blood").format(rate=text, least=least)
    return text + _source(rate.source)


def _source(source: str) -> str:
    return f" ({source})" if source else ""


def _offerText(offer: WeightsOffer) -> str:
    text = _("{title} was trained on {trained}: {files} files, {size:.0f} MB, {license}. {reason}").format(
        title=offer.title,
        trained=offer.trained_on,
        files=offer.files,
        size=offer.size / MEGABYTE,
        license=offer.license,
        reason=_alarmsText(offer),
    )
    return f"<small>{html.escape(text.rstrip())}</small>"


def _alarmsText(offer: WeightsOffer) -> str:
    if not offer.alarms:
        return ""
    own, others, population = offer.alarms
    return _("False alarms in {population}: {own} by {method}, {others} by {instead}.").format(
        own=own, method=offer.method, others=others, instead=offer.instead_of, population=population
    )
