"""Slicer's "Reload and Test", and the test of the build machines: heads by formula, with and without a bleed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterSlicer.client import dependencies
from ICHSegmenterSlicer.logic import ICHSegmenterLogic
from ICHSegmenterSlicer.scene import sample

CLASSICAL, BUNDLED = "hu-threshold", "compact-unet"
VOLUME_TOLERANCE = 0.2
"""Share of the bleed's volume by which a method may miss it."""


class SelfTest(ScriptedLoadableModuleTest):
    """The job of the module, by the classical method and by the network that ships with it."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def test_theClassicalMethodFindsTheBleed(self) -> None:
        self._checkMethod(CLASSICAL)

    def test_theBundledNetworkFindsTheBleed(self) -> None:
        lacking = dependencies.missing(get_card(BUNDLED))
        if lacking:
            self.delayDisplay(f"Not tested: {BUNDLED} needs {', '.join(lacking)}. Install the PyTorch extension.")
            return
        self._checkMethod(BUNDLED)

    def _checkMethod(self, method: str) -> None:
        bleeding, clean = (sample.addPhantom(name, pixels=256, bleeds=name == "Bleed") for name in ("Bleed", "NoBleed"))
        with _logic() as logic:
            result = logic.process(bleeding.volumeNode, method)
            analysis = result.result.analysis
            assert result.segmentationNode is not None, f"{method} outlined nothing of a bleed of 20 mL"
            assert result.result.isPositive, f"{method} calls a bleed of 20 mL: {analysis.verdict}"
            assert abs(analysis.blood_ml - bleeding.bleedMl) < VOLUME_TOLERANCE * bleeding.bleedMl, analysis.blood_ml
            assert not logic.process(clean.volumeNode, method).result.isPositive, f"{method} found blood where none is"
        self.delayDisplay(f"{method}: {analysis.blood_ml:.1f} mL of {bleeding.bleedMl:.1f} mL, none in a clean head")


@contextmanager
def _logic() -> Iterator[ICHSegmenterLogic]:
    logic = ICHSegmenterLogic()
    try:
        yield logic
    finally:
        logic.client.shutdown()
