"""`python -m ICHSegmenterLib.batch.reading`: reads exams in a process of its own, and checks them there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ICHSegmenterLib.batch.reading.checking_reader import BRAIN_FILE, CHECK
from ICHSegmenterLib.preprocessing.checked_scan import CheckedScan
from ICHSegmenterLib.volume.reader.serve import serve
from ICHSegmenterLib.volume.volume import Volume


def check(volume: Volume, folder: Path) -> dict[str, Any]:
    """What is found about a volume; its mask is left in the folder."""
    checked = CheckedScan.of(volume)
    if checked is None:
        return {"checked": None}
    np.save(folder / BRAIN_FILE, checked.brain_mask)
    return {"checked": checked.to_json()}


if __name__ == "__main__":
    serve({CHECK: check})
