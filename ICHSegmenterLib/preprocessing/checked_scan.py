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
from ICHSegmenterLib.preprocessing.checks.texture import Noise, measure_noise
from ICHSegmenterLib.preprocessing.input_check import accepted_findings, finite, measured_findings
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.volume import Volume


@dataclass(frozen=True, eq=False)
class CheckedScan:
    """A scan that can be analyzed.

    Attributes:
        brain_mask: bool (slices, rows, columns) of the axial view of `AxialView.at_border`.
        noise: Of the brain.
        quick, measured: Findings without the brain and by it, as of `quick_findings` and `measured_findings`.
    """

    brain_mask: NDArray[np.bool_]
    noise: Noise
    quick: tuple[InputFinding, ...]
    measured: tuple[InputFinding, ...]

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
        noise = measure_noise(axial, brain_mask)
        return cls(brain_mask, noise, tuple(quick), measured_findings(axial, brain_mask, noise))

    def to_json(self) -> dict[str, Any]:
        """Plain data of all but the mask, to the last digit."""
        return {
            "noise": asdict(self.noise),
            "quick": [_plain(finding) for finding in self.quick],
            "measured": [_plain(finding) for finding in self.measured],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], brain_mask: NDArray[np.bool_]) -> CheckedScan:
        """What `to_json` wrote, with its mask."""
        quick, measured = (
            tuple(InputFinding(InputCode(code), parameters) for code, parameters in plain[name])
            for name in ("quick", "measured")
        )
        return cls(brain_mask, Noise(**plain["noise"]), quick, measured)


def _plain(finding: InputFinding) -> tuple[str, dict[str, Any]]:
    parameters = {name: value if isinstance(value, str) else float(value) for name, value in finding.parameters.items()}
    return finding.code.value, parameters
