"""Writes the phantom that ships with the extension anew: `python Testing/sample_file.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(folder) for folder in (REPOSITORY, REPOSITORY / "Testing", REPOSITORY / "ICHSegmenter")]

import SlicerShell  # noqa: E402


def main() -> None:
    """Compute the phantom and write it with all voxels compressed."""
    SlicerShell.boot()
    import slicer

    from ICHSegmenterSlicer.paths import resourcePath
    from ICHSegmenterSlicer.scene import sample

    path = resourcePath(sample.SAMPLE_FILE)
    path.parent.mkdir(exist_ok=True)
    node = sample.addPhantom(pixels=256).volumeNode
    if not slicer.util.saveNode(node, str(path), {"useCompression": 1}):
        sys.exit(f"{path} could not be written")
    print(f"{path}: {path.stat().st_size} bytes")
    sys.stdout.flush()
    os._exit(0)  # Qt and VTK are torn down in an order of their own


if __name__ == "__main__":
    main()
