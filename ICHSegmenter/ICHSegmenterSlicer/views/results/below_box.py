"""The folded list of pieces that the method saw below its threshold: they are neither drawn nor counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from ICHSegmenterLib.verdict import Piece
from ICHSegmenterSlicer.scene.results.stored_result import LPS_TO_RAS, StoredResult
from ICHSegmenterSlicer.views.results.result_box import HEADER_HEIGHT, ROW_HEIGHT, cell, prepareTable
from ICHSegmenterSlicer.views.results.verdict_text import belowText

TYPE = 0
MAX_ROWS = 5
"""More are scrolled."""


class BelowView:
    """The section; hidden while there is no such piece, folded whenever another result is shown.

    Args:
        ui: The panel's widgets by name.
        jump: Called with RAS mm (3,) of a piece that was clicked.
    """

    def __init__(self, ui: Any, jump: Callable[[np.ndarray], None]) -> None:
        self._ui = ui
        self._jump = jump
        self._pieces: Sequence[Piece] = ()
        prepareTable(ui.belowTable, (_("Type"), _("Score"), _("mL"), _("HU"), _("Slice")), TYPE)
        ui.belowTable.connect("cellClicked(int,int)", self._onClicked)
        self.show(None)

    def show(self, result: StoredResult | None) -> None:
        """List the pieces of a result, the most probable first."""
        assessment = None if result is None else result.analysis.assessment
        self._pieces = () if assessment is None else assessment.below_threshold
        button, table = self._ui.belowButton, self._ui.belowTable
        button.collapsed = True
        button.setVisible(bool(self._pieces))
        table.setRowCount(len(self._pieces))
        if not self._pieces:
            return
        button.setText(belowText(self._pieces))
        table.horizontalHeaderItem(1).setText(_("Probability") if assessment.is_calibrated else _("Score"))
        for row, piece in enumerate(self._pieces):
            numbers = (
                f"{piece.probability:.2f}",
                f"{piece.volume_ml:.1f}",
                f"{piece.mean_hu:.0f}",
                str(result.analysis.slice_number(piece.key_slice)),
            )
            table.setItem(row, TYPE, cell(piece.subtype))
            for column, text in enumerate(numbers, start=1):
                table.setItem(row, column, cell(text, right=True))
        table.setFixedHeight(HEADER_HEIGHT + min(MAX_ROWS, len(self._pieces)) * ROW_HEIGHT + 4)

    def _onClicked(self, row: int) -> None:
        if row < len(self._pieces):
            self._jump(np.asarray(self._pieces[row].center_lps_mm) * LPS_TO_RAS)
