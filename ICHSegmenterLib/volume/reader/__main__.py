"""`python -m ICHSegmenterLib.volume.reader`: exams are asked for by JSON lines, and their voxels left in a file."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ICHSegmenterLib.errors import DependencyError, VolumeError
from ICHSegmenterLib.volume.dicom.facts import FileFacts, facts_of
from ICHSegmenterLib.volume.dicom.series import SeveralSeriesError
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.image_files import read_image_file
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.reader.limits import Limits, lift_time_limit, limit_this_process
from ICHSegmenterLib.volume.reader.process import VALUES_FILE


def main() -> None:
    """Answer requests until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not come between
    folder = ""
    for line in sys.stdin.buffer:
        request = json.loads(line)
        folder = request["folder"]
        limit_this_process(Limits(request["seconds"], request["memory_bytes"]))
        answer = _answer(request)
        lift_time_limit()
        answers.write(json.dumps(answer).encode("ascii") + b"\n")
    if folder:  # who asked was killed, and cannot remove it
        shutil.rmtree(folder, ignore_errors=True)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if request["kind"] == "facts":
        return {"facts": [asdict(_facts(Path(path))) for path in request["files"]]}
    path = Path(request["path"])
    values = Path(request["folder"]) / VALUES_FILE
    try:
        if request["kind"] == "image":
            image = read_image_file(path)
            np.save(values, image.values)
            return _plain(image.geometry)
        volume = read_volume(path, series_uid=request["series_uid"], files=request["files"])
        np.save(values, volume.hu)
        return {**_plain(volume.geometry), "source": asdict(volume.source)}
    except DependencyError as error:
        return {"error": "DependencyError", "message": str(error)}
    except SeveralSeriesError as error:
        series = [asdict(summary) for summary in error.series]
        return {"error": "SeveralSeriesError", "message": str(error), "series": series}
    except VolumeError as error:
        return {"error": "VolumeError", "message": str(error)}
    except MemoryError:
        return {"error": "MemoryError"}
    except OSError as error:
        if error.errno is None:  # a library's, about the content
            return {"error": "VolumeError", "message": f"{path.name}: the file is damaged. Copy it again."}
        return {"error": "OSError", "number": error.errno, "message": error.strerror, "file": str(error.filename)}
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a decoder's panic is no Exception
        return {
            "error": "VolumeError",
            "message": f"{path.name}: the file cannot be read ({type(error).__name__}); it is damaged. Copy it again.",
        }


def _facts(path: Path) -> FileFacts:
    try:
        return facts_of(path)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # elements of any type and size can stand in a header
        reason = f"the DICOM header makes no sense ({type(error).__name__}); it is damaged. Copy it again."
        return FileFacts(problem=f"{path.name}: {reason}")


def _plain(geometry: VolumeGeometry) -> dict[str, Any]:
    return {
        "shape": list(geometry.shape),
        "column_step": geometry.column_step.tolist(),
        "row_step": geometry.row_step.tolist(),
        "slice_origins": geometry.slice_origins.tolist(),
    }


if __name__ == "__main__":
    main()
