"""The box "Measures": numbers of the exam and of the current finding, with lines that can be drawn and dragged."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import slicer

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.labels import IVH
from ICHSegmenterLib.measuring.abc2 import Abc2
from ICHSegmenterLib.measuring.criteria import flags_of
from ICHSegmenterLib.measuring.line import Line
from ICHSegmenterLib.measuring.midline import Midline, NoMidline
from ICHSegmenterLib.measuring.piece import PieceMeasures
from ICHSegmenterSlicer.client.steps import StepRunner, raiseError
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.measures import corrections
from ICHSegmenterSlicer.scene.measures.lines import MeasuredLines
from ICHSegmenterSlicer.scene.measures.measured_anew import MeasuringAnew, measuredAnew, versionOf
from ICHSegmenterSlicer.scene.measures.pieces import measureFindings
from ICHSegmenterSlicer.scene.results.findings import MAX_LISTED, Finding
from ICHSegmenterSlicer.scene.results.measured import MeasuredSegments
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.views.measures.measures_text import (
    flagLines,
    midlineText,
    pieceLines,
    totalText,
    ventriclesText,
)
from ICHSegmenterSlicer.views.measures.prior_box import PriorView
from ICHSegmenterSlicer.views.results.finding_row import findingText
from ICHSegmenterSlicer.words.failure_text import failureText

IDEAL, SHIFT = "Midline of the skull", "Midline shift"
DIAMETERS = {"A": "a", "B": "b", "C": "c"}
COLORS = {
    "A": (1.0, 0.9, 0.2),
    "B": (0.4, 1.0, 0.4),
    "C": (0.4, 0.8, 1.0),
    IDEAL: (1.0, 1.0, 1.0),
    SHIFT: (1.0, 0.5, 0.2),
}


class MeasuresView:
    """The box.

    Args:
        ui: The panel's widgets by name.
        client: The worker, which measures anew after an edit, and compares with a prior exam.
    """

    def __init__(self, ui: Any, client: WorkerClient) -> None:
        self._ui = ui
        self._resultNode: slicer.vtkMRMLTextNode | None = None
        self._result: StoredResult | None = None
        self._volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self._findings: Sequence[Finding] = ()
        self._current: Finding | None = None
        self._pieces: dict[str, PieceMeasures] = {}
        self._reader: StepRunner[dict[str, PieceMeasures]] | None = None
        self._lines = MeasuredLines(COLORS, self._onMoved)
        self._segments = MeasuredSegments()
        self._failure = ""
        self._measuringAnew = MeasuringAnew(client, self._onMeasuredAnew, self._onFailed)
        self.prior = PriorView(ui, client, self._write)
        ui.measureAgainButton.connect("clicked()", self._onMeasureAgain)
        ui.linesButton.connect("toggled(bool)", lambda _checked: self._draw())

    @property
    def midline(self) -> Midline | NoMidline | None:
        """The midline of the result, as a person corrected it if anybody did; None if the run measured nothing."""
        return corrections.midline(self._resultNode) or self._examMeasures()[0]

    def begin(self, resultNode: slicer.vtkMRMLTextNode, result: StoredResult) -> None:
        """Another result is shown."""
        self.clear()
        self._resultNode, self._result = resultNode, result

    def update(
        self,
        listed: Sequence[Finding],
        current: Finding | None,
        volumeNode: slicer.vtkMRMLScalarVolumeNode | None,
        segments: MeasuredSegments,
    ) -> None:
        """Measure the findings as they are now, in steps; then text and lines follow.

        Args:
            listed: The findings.
            current: That whose row is marked.
            volumeNode: The exam.
            segments: All that they are pieces of; small and very many pieces are not listed.
        """
        if self._resultNode is None or volumeNode is None:
            return
        self._findings, self._current, self._volumeNode, self._segments = listed, current, volumeNode, segments
        self._stop()
        steps = measureFindings(tuple(listed), volumeNode, self._pieces)
        self._reader = StepRunner(steps, self._onMeasured, raiseError, startNow=True)

    def clear(self) -> None:
        """Show none."""
        self._stop()
        self._lines.remove()
        self.prior.clear()
        self._measuringAnew.stop()
        self._segments, self._failure = MeasuredSegments(), ""
        self._resultNode = self._result = self._volumeNode = self._current = None
        self._findings, self._pieces = (), {}
        self._ui.measuresLabel.setText("")
        self._ui.measuresButton.setVisible(False)

    def diameters(self, finding: Finding) -> Abc2:
        """The three diameters of a finding, as a person corrected them if anybody did."""
        return corrections.diameters(self._resultNode, finding.digest) or self._pieces[finding.digest].abc2

    def _onMeasured(self, measured: dict[str, PieceMeasures]) -> None:
        self._pieces = measured
        self._ui.measuresButton.setVisible(True)
        self.prior.show(self._resultNode, self._volumeNode)
        self._write()
        self._draw()

    def _write(self) -> None:
        """Fill the label by the findings as they are now."""
        totalMl = self._segments.bloodMl
        ventricularMl = sum(segment.volumeMl for segment in self._segments.blood if segment.key == IVH.key)
        midline, isCorrected = self.midline, corrections.midline(self._resultNode) is not None
        shiftMm = midline.shift_mm if isinstance(midline, Midline) else None
        _midline, reaches, isNow = self._examMeasures()
        lines = [
            totalText(totalMl, len(self._findings), isAll=len(self._findings) < MAX_LISTED),
            ventriclesText(ventricularMl, reaches, isNow=isNow),
            midlineText(midline, isNow=isNow or isCorrected),
        ]
        self._ui.measureAgainButton.setVisible(not isNow)
        self._ui.measureAgainButton.setEnabled(not self._measuringAnew.isRunning)
        if self._failure:
            lines.append(f"⚠ {html.escape(self._failure)}")
        lines += flagLines(flags_of(self._pieces.values(), shiftMm))
        finding = self._measured()
        if finding is not None:
            piece, priorMl = self._pieces[finding.digest], self.prior.priorMl(finding)
            lines += pieceLines(findingText(finding), piece, self.diameters(finding), priorMl)
        self._ui.measuresLabel.setText("<br>".join(lines))
        self.prior.write(totalMl)

    def _measured(self) -> Finding | None:
        """The current finding, else the most important one; None if there is none."""
        candidates = [self._current] if self._current is not None else list(self._findings[:1])
        return next((finding for finding in candidates if finding.digest in self._pieces), None)

    def _examMeasures(self) -> tuple[Midline | NoMidline | None, bool | None, bool]:
        """Midline, whether a ventricle is reached, and whether both are of the segments as they are now."""
        made = self._result.analysis.measures
        midline, reaches = (None, None) if made is None else (made.midline, made.reaches_ventricles)
        anew = measuredAnew(self._resultNode) if self._segments.isEdited else None
        if anew is None:
            return midline, reaches, not self._segments.isEdited
        return anew.midline, anew.reachesVentricles, anew.version == versionOf(self._findings)

    def _onMeasureAgain(self) -> None:
        if self._resultNode is not None:
            self._failure = ""
            self._measuringAnew.begin(self._resultNode, self._findings)
            self._write()

    def _onMeasuredAnew(self) -> None:
        self._write()
        self._draw()

    def _onFailed(self, failure: Failure) -> None:
        self._failure = failureText(failure)
        self._write()

    def _draw(self) -> None:
        """Draw the lines, if there are any, while the button is down."""
        lines: dict[str, Line] = {}
        finding = self._measured()
        if self._resultNode is not None:
            if finding is not None:
                lines.update({name: getattr(self.diameters(finding), field) for name, field in DIAMETERS.items()})
            midline = self.midline
            if isinstance(midline, Midline):
                lines.update({IDEAL: midline.ideal, SHIFT: midline.shift})
        self._ui.linesButton.setEnabled(bool(lines))
        self._lines.show(lines if self._ui.linesButton.checked else {})

    def _onMoved(self, name: str, line: Line) -> None:
        """A person dragged an end: the number follows, and the correction is kept with the result."""
        if self._resultNode is None:
            return
        finding = self._measured()
        if name in DIAMETERS and finding is not None:
            corrected = replace(self.diameters(finding), **{DIAMETERS[name]: line})
            corrections.keepDiameters(self._resultNode, finding.digest, corrected)
        elif isinstance(self.midline, Midline):
            moved = {"ideal": line} if name == IDEAL else {"septum": line.end}
            corrections.keepMidline(self._resultNode, replace(self.midline, **moved))
            self._draw()
        self._write()

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None
