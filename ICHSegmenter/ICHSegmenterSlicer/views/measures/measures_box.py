"""The box "Measures": numbers of the exam and of the current finding, with lines that can be drawn and dragged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import slicer

from ICHSegmenterLib.labels import ICH, IVH
from ICHSegmenterLib.measuring.abc2 import Abc2
from ICHSegmenterLib.measuring.criteria import flags_of
from ICHSegmenterLib.measuring.line import Line
from ICHSegmenterLib.measuring.midline import Midline, NoMidline
from ICHSegmenterLib.measuring.piece import PieceMeasures
from ICHSegmenterSlicer.client.steps import StepRunner
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.measures import corrections
from ICHSegmenterSlicer.scene.measures.lines import MeasuredLines
from ICHSegmenterSlicer.scene.measures.pieces import measureFindings
from ICHSegmenterSlicer.scene.results.findings import Finding
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.views.measures.measures_text import examLines, flagLines, pieceLines
from ICHSegmenterSlicer.views.measures.prior_box import PriorView
from ICHSegmenterSlicer.views.results.finding_row import findingText

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
        client: The worker, which compares with a prior exam.
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
        self.prior = PriorView(ui, client, self._write)
        ui.linesButton.connect("toggled(bool)", lambda _checked: self._draw())

    @property
    def midline(self) -> Midline | NoMidline | None:
        """The midline of the result, as a person corrected it if anybody did; None if the run measured nothing."""
        corrected = corrections.midline(self._resultNode)
        measures = self._result.analysis.measures
        return corrected or (None if measures is None else measures.midline)

    def begin(self, resultNode: slicer.vtkMRMLTextNode, result: StoredResult) -> None:
        """Another result is shown."""
        self.clear()
        self._resultNode, self._result = resultNode, result

    def update(
        self, listed: Sequence[Finding], current: Finding | None, volumeNode: slicer.vtkMRMLScalarVolumeNode | None
    ) -> None:
        """Measure the findings as they are now, in steps; then text and lines follow."""
        if self._resultNode is None or volumeNode is None:
            return
        self._findings, self._current, self._volumeNode = listed, current, volumeNode
        self._stop()
        steps = measureFindings(tuple(listed), volumeNode, self._pieces)
        self._reader = StepRunner(steps, self._onMeasured, _raise, startNow=True)

    def clear(self) -> None:
        """Show none."""
        self._stop()
        self._lines.remove()
        self.prior.clear()
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
        totalMl = sum(finding.volumeMl for finding in self._findings)
        ventricularMl = sum(finding.volumeMl for finding in self._findings if finding.key == IVH.key)
        midline = self.midline
        shiftMm = midline.shift_mm if isinstance(midline, Midline) else None
        lines = examLines(totalMl, len(self._findings), ventricularMl, self._touches(), midline)
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

    def _touches(self) -> bool | None:
        """What the run said of the ventricles, as long as one of the pieces that it speaks of is there."""
        measures = self._result.analysis.measures
        if measures is None:
            return None
        reached = [piece for piece in measures.pieces if piece.touches_ventricle]
        return measures.reaches_ventricles if not reached else any(map(self._isThere, reached))

    def _isThere(self, piece: PieceMeasures) -> bool:
        """True if a piece of the run lies in a finding of now."""
        index = self._result.analysis.geometry.lps_to_ijk(piece.center_lps_mm)
        voxel = tuple(round(float(position)) for position in index[::-1])
        return any(finding.key == (piece.label or ICH.key) and finding.contains(voxel) for finding in self._findings)

    def _draw(self) -> None:
        """Draw the lines while the button is down."""
        lines: dict[str, Line] = {}
        finding = self._measured()
        if self._resultNode is not None and self._ui.linesButton.checked:
            if finding is not None:
                lines.update({name: getattr(self.diameters(finding), field) for name, field in DIAMETERS.items()})
            midline = self.midline
            if isinstance(midline, Midline):
                lines.update({IDEAL: midline.ideal, SHIFT: midline.shift})
        self._lines.show(lines)

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


def _raise(error: Exception) -> None:
    """An error that nobody can do anything about goes to Slicer's console."""
    raise error
