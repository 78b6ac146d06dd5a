"""Region codes that Slicer does not ship: the spaces next to the dura."""

from __future__ import annotations

from pathlib import Path

import slicer

from ICHSegmenterLib.labels import OWN_REGION_CONTEXT
from ICHSegmenterSlicer.paths import resourcePath

REGION_FILE = "Terminology/IntracranialCompartments-ICHSegmenter.term.json"


def load() -> bool:
    """Make our region context known to Slicer, once; True if it is known now."""
    logic = slicer.modules.terminologies.logic()
    known: list[str] = []
    logic.GetLoadedRegionContextNames(known)
    if OWN_REGION_CONTEXT in known:
        return True
    path: Path = resourcePath(REGION_FILE)
    return logic.LoadRegionContextFromFile(str(path)) == OWN_REGION_CONTEXT
