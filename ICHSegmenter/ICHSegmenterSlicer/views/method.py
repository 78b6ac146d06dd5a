"""The method box of the panel: the methods, their weights and packages, and how to get those."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.analysis.default_method import choose_method
from ICHSegmenterLib.cards.published_files import AUTHORS_FILES
from ICHSegmenterLib.cards.table import ModelCard, get_card, method_cards
from ICHSegmenterLib.errors import DependencyError, Failure, ICHSegmenterError
from ICHSegmenterLib.protocol import Message, MessageType, Stage
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.weights import store
from ICHSegmenterSlicer.client import dependencies
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.views.computer.computer_box import ComputerView
from ICHSegmenterSlicer.views.trust_box import TrustView
from ICHSegmenterSlicer.views.whole_text import setWholeText
from ICHSegmenterSlicer.words.stage_text import stageText

SECONDS_KEY = "ICHSegmenter/seconds/{method}/{device}"
MEGABYTE, GIGABYTE = 1_000_000, 1_000_000_000


def rememberSeconds(method: str, device: str, seconds: float) -> None:
    """Keep how long a run took on this computer."""
    qt.QSettings().setValue(SECONDS_KEY.format(method=method, device=device.split(":")[0]), f"{seconds:.1f}")


def rememberedSeconds(method: str) -> dict[str, float]:
    """Processor to seconds of the last run on this computer."""
    keys = {device: SECONDS_KEY.format(method=method, device=device) for device in ("cpu", "cuda", "mps")}
    return {device: float(value) for device, key in keys.items() if (value := qt.QSettings().value(key))}


def itemText(card: ModelCard) -> str:
    """A method in the list: its title, and what it needs if it is not ready."""
    return card.title if store.state(card).is_ready and store.is_ready(card) else f"{card.title} ({stateText(card)})"


def stateText(card: ModelCard) -> str:
    """The state of a method in a few words: ready, or what it needs."""
    state = store.state(card)
    if not state.is_ready and state.wanted:
        return _("download {size:.0f} MB").format(size=state.download_bytes / MEGABYTE)
    if not state.is_ready:
        return _("file needed")
    if not store.is_ready(card):
        return _("package needed")
    return _("ready")


class MethodView:
    """Method and processor, weights and packages.

    Args:
        ui: The panel's widgets by name.
        client: The worker; it downloads and imports.
        changed: Called when another method or processor was selected, or weights or packages have come.
        fail: Shows a failure in the panel.
    """

    def __init__(
        self, ui: Any, client: WorkerClient, changed: Callable[[], None], fail: Callable[[Failure], None]
    ) -> None:
        self._ui = ui
        self._client = client
        self._changed = changed
        self._fail = fail
        self._requestId: str | None = None
        self._described = False
        self._trust = TrustView(ui, self._onOfferAccepted)
        self._computer = ComputerView(ui, client, self._onWeightsRemoved, fail)
        self._offer()
        ui.deviceComboBox.addItem(_("Automatic"), "auto")
        ui.deviceComboBox.addItem(_("CPU"), "cpu")
        ui.methodComboBox.connect("currentIndexChanged(int)", self._onSelected)
        ui.deviceComboBox.connect("currentIndexChanged(int)", self._onSelected)
        ui.downloadButton.connect("clicked()", self._onDownload)
        ui.importButton.connect("clicked()", self._onImport)
        ui.importMoreButton.connect("clicked()", self._onImport)
        ui.installButton.connect("clicked()", self._onInstall)
        ui.freeButton.connect("clicked()", lambda: client.send({"type": MessageType.FREE}))
        self.update()

    @property
    def method(self) -> str:
        return self._ui.methodComboBox.currentData

    @property
    def device(self) -> str:
        return self._ui.deviceComboBox.currentData

    @property
    def card(self) -> ModelCard:
        return get_card(self.method)

    @property
    def isReady(self) -> bool:
        return store.is_ready(self.card)

    @property
    def isTransferring(self) -> bool:
        return self._requestId is not None

    def choose(self, method: str, device: str) -> None:
        """Show a method and a processor, as a loaded scene holds them."""
        self._select(self._ui.methodComboBox, method if method in method_cards() else choose_method())
        if self._ui.deviceComboBox.findData(device) < 0:
            self._ui.deviceComboBox.addItem(device.upper(), device)
        self._select(self._ui.deviceComboBox, device)
        self.update()

    def warmUp(self) -> None:
        """Let the worker load the network now, so that the click starts predicting at once."""
        if not self.card.needs_weights or not self.isReady or self._client.state.isBusy:
            return
        request = AnalysisRequest(self.method, device=self.device)
        self._client.submit({"type": MessageType.WARM, "request": request.to_json()})
        if not self._described:
            self._described = True
            self._client.submit({"type": MessageType.DESCRIBE}, done=self._onDescribed)

    def update(self) -> None:
        """Show what the method does and what it lacks."""
        self._offer()
        ui, card, state = self._ui, self.card, store.state(self.card)
        missing = dependencies.missing(card)
        setWholeText(ui.methodComboBox, ui.methodComboBox.currentText)
        ui.methodInfoLabel.setText(_infoText(card))
        ui.limitsLabel.setText(f"{card.limits} {card.paper}.")
        lacks = []
        if missing:
            lacks.append(_("Needs the Python package {names}.").format(names=", ".join(missing)))
        if not state.is_ready:
            lacks.append(_weightsText(card, state))
        ui.needsFrame.setVisible(bool(lacks) or self.isTransferring)
        ui.needsLabel.setText(" ".join(lacks))
        ui.installButton.setVisible(bool(missing))
        ui.importButton.setVisible(not state.is_ready or self.isTransferring)
        ui.downloadButton.setVisible((not state.is_ready and bool(state.wanted)) or self.isTransferring)
        for button in (ui.importButton, ui.importMoreButton):
            button.setEnabled(not self.isTransferring)
        ui.downloadButton.setText(_("Cancel") if self.isTransferring else _("Download"))
        ui.downloadProgressBar.setVisible(self.isTransferring)
        self._trust.show(_cardAtHand(card), busy=self.isTransferring)
        self._computer.update()

    def _offer(self) -> None:
        """List the methods with their state: those of cards that came or went since."""
        box, cards = self._ui.methodComboBox, method_cards()
        blocked = box.blockSignals(True)
        for row in reversed(range(box.count)):
            if box.itemData(row) not in cards:
                box.removeItem(row)
        for card in cards.values():
            if box.findData(card.name) < 0:
                box.addItem(card.title, card.name)
            box.setItemText(box.findData(card.name), itemText(card))
        box.blockSignals(blocked)

    def _select(self, comboBox: qt.QComboBox, data: str) -> None:
        blocked = comboBox.blockSignals(True)
        comboBox.setCurrentIndex(max(0, comboBox.findData(data)))
        comboBox.blockSignals(blocked)

    def _onSelected(self, _index: int) -> None:
        self.update()
        self._changed()

    def _onOfferAccepted(self, method: str) -> None:
        """Choose the method whose weights were offered, and fetch them."""
        self.choose(method, self.device)
        self._changed()
        self._onDownload()

    def _onDownload(self) -> None:
        if self._requestId is not None:
            self._client.cancel(self._requestId)
            return
        terms = self.card.trust.terms
        if terms and not slicer.util.confirmOkCancelDisplay(_termsText(self.card), _("Terms of the training data")):
            return
        self._transfer({"type": MessageType.DOWNLOAD, "method": self.method, "accept_license": bool(terms)})

    def _onImport(self) -> None:
        paths = qt.QFileDialog.getOpenFileNames(
            slicer.util.mainWindow(),
            _("Import weight files"),
            "",
            _("Weights and cards (*.pt *.pth *.pdparams *.safetensors *.json);;All (*)"),
        )
        if paths:
            self.importFiles(list(paths))

    def importFiles(self, paths: list[str]) -> None:
        """Import weight files by their SHA-256."""
        # A file of the authors is known by the method alone; a published one by its SHA-256, whatever is said here.
        method = self.method if self.method in AUTHORS_FILES else ""
        self._transfer({"type": MessageType.IMPORT, "paths": paths, "method": method})

    def _transfer(self, message: Message) -> None:
        self._ui.downloadProgressBar.setRange(0, 0)
        self._requestId = ""  # `failed` may come before `submit` returns
        requestId = self._client.submit(
            message, progress=self._onProgress, done=lambda _message: self._onTransferred(), failed=self._onTransferred
        )
        if self._requestId is not None:
            self._requestId = requestId
        self.update()

    def _onProgress(self, done: int, total: int, stage: Stage) -> None:
        bar = self._ui.downloadProgressBar
        bar.setRange(0, max(1, total // 1000))
        bar.setValue(done // 1000)
        self._ui.needsLabel.setText(stageText(done, total, stage))

    def _onTransferred(self, failure: Failure | None = None) -> None:
        self._requestId = None
        self.update()
        self._changed()
        if failure is not None and failure.kind != "cancelled":
            self._fail(failure)

    def _onWeightsRemoved(self) -> None:
        self.update()
        self._changed()

    def _onInstall(self) -> None:
        try:
            dependencies.install(dependencies.missing(self.card))
        except DependencyError as error:
            self._fail(Failure.of(error))
        self._client.shutdown()  # a worker that started before does not see new packages
        self.update()
        self._changed()

    def _onDescribed(self, message: Message) -> None:
        for device in message.get("devices", ()):
            if not device["problem"] and self._ui.deviceComboBox.findData(device["name"]) < 0:
                self._ui.deviceComboBox.addItem(device["title"], device["name"])


def _infoText(card: ModelCard) -> str:
    """One or two lines: what it does, licence, seconds, and whether it is ready."""
    parts = [card.license]
    if card.trust.terms:
        parts.append(
            _("trained on data for non-commercial use") if _isNonCommercial(card) else _("training data: terms")
        )
    names = {"cpu": "CPU", "cuda": "CUDA", "mps": "MPS"}
    for device, seconds in rememberedSeconds(card.name).items():
        parts.append(_("{seconds:.0f} s on {device} here").format(seconds=max(1.0, seconds), device=names[device]))
    state = store.state(card)
    if card.needs_weights and state.is_ready:
        parts.append(_("weights bundled") if state.is_bundled else _("weights present"))
    return f"{card.summary}.<br><small>{' · '.join(parts)}</small>"


def _cardAtHand(card: ModelCard) -> ModelCard:
    """The card beside the weights that would run, whose figures are theirs; if it cannot be read, the method's own."""
    try:
        return store.card_of(card.name)
    except (ICHSegmenterError, ValueError):  # a run says what is wrong with it
        return card


def _isNonCommercial(card: ModelCard) -> bool:
    """True if terms of the training data forbid commercial use."""
    return "non-commercial" in card.trust.terms.lower()


def _termsText(card: ModelCard) -> str:
    return _(
        "The weight files of {title} are under {license}, but they were trained on data with terms of their own:\n\n"
        "{terms}\n\nDownload them only if you accept these terms."
    ).format(title=card.title, license=card.license, terms=card.trust.terms)


def _weightsText(card: ModelCard, state: store.WeightsState) -> str:
    """HTML: which files the method needs, on which terms, and where they are."""
    authors = AUTHORS_FILES.get(card.name)
    if not state.wanted and authors is None:
        return _("No weights were published; train the method, then import your file.")
    if not state.wanted:
        return _(
            'Needs the authors\' weights, {size:.2f} GB: open <a href="{page}">their page</a>, {steps}. Terms: {terms}.'
        ).format(
            size=authors.size / GIGABYTE,
            page=html.escape(authors.page),
            steps=_("download brain_ihd.tar.gz by the link there, unpack it, and import 0.04368_rank1/model.pdparams"),
            terms=html.escape(card.trust.terms or card.license),
        )
    one, several = (
        _("Needs one weight file, {size:.0f} MB, {license}; not on this computer."),
        _("Needs {count} weight files, {size:.0f} MB, {license}; not on this computer."),
    )
    text = (one if len(state.wanted) == 1 else several).format(
        count=len(state.wanted), size=state.download_bytes / MEGABYTE, license=state.wanted[0].license
    )
    if card.trust.terms:
        text += " " + _("Terms of the training data: {terms}.").format(terms=html.escape(card.trust.terms))
    return text
