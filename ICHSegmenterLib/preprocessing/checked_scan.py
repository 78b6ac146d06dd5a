"""What is found about a scan before any method sees it: the brain, the noise, and what makes results less reliable.

It depends on the scan alone, so that another process may find it while a network works on the scan before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask as find_brain
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterLib.preprocessing.checks.texture import Noise
from ICHSegmenterLib.preprocessing.input_check import MeasuredScan, accepted_findings, finite, measure_scan
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.volume import Volume


@dataclass(frozen=True, eq=False)
class CheckedScan:
    """A scan that can be analyzed.

    Attributes:
        brain_mask: bool (slices, rows, columns) of the axial view of `AxialView.at_border`.
        quick: Findings without the brain.
        measured: What the pixels inside it say.
    """

    brain_mask: NDArray[np.bool_]
    quick: tuple[InputFinding, ...]
    measured: MeasuredScan

    @classmethod
    def of(cls, volume: Volume) -> CheckedScan | None:
        """What is found; None of a scan that an analysis refuses, and says why.

        Args:
            volume: Stored as axial, sagittal or coronal slices.
        """
        try:
            axial = finite(AxialView.at_border(volume.geometry).volume(volume))
            quick = accepted_findings(axial)
            mask = find_brain(axial)
        except VolumeError:
            return None
        return cls.behind(mask, axial, quick)

    @classmethod
    def behind(cls, brain_mask: NDArray[np.bool_], axial: Volume, quick: Sequence[InputFinding]) -> CheckedScan:
        """What is found behind a mask.

        Args:
            brain_mask: bool (slices, rows, columns); may be a user's own.
            axial: Axial slices.
            quick: What was found without it.
        """
        return cls(brain_mask, tuple(quick), measure_scan(axial, brain_mask))

    def to_json(self) -> dict[str, Any]:
        """Plain data of all but the mask, to the last digit."""
        measured = self.measured
        return {
            "noise": asdict(measured.noise),
            "quick": [_plain(finding) for finding in self.quick],
            "measured": [_plain(finding) for finding in measured.findings],
            "shifts_mm": None if measured.shifts_mm is None else measured.shifts_mm.tolist(),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], brain_mask: NDArray[np.bool_]) -> CheckedScan:
        """What `to_json` wrote, with its mask."""
        quick, measured = (
            tuple(InputFinding(InputCode(code), parameters) for code, parameters in plain[name])
            for name in ("quick", "measured")
        )
        shifts_mm = None if plain["shifts_mm"] is None else np.array(plain["shifts_mm"], dtype=np.float64)
        return cls(brain_mask, quick, MeasuredScan(measured, Noise(**plain["noise"]), shifts_mm))


def _plain(finding: InputFinding) -> tuple[str, dict[str, Any]]:
    parameters = {name: value if isinstance(value, str) else float(value) for name, value in finding.parameters.items()}
    return finding.code.value, parameters
