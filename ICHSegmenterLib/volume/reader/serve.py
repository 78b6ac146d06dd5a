"""The reader process from inside: requests are JSON lines, and the arrays that answer them are left in files."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ICHSegmenterLib.errors import DependencyError, VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.volume.dicom.facts import FileFacts, facts_of
from ICHSegmenterLib.volume.dicom.series import SeveralSeriesError
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.image_files import read_image_file
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.reader.limits import Limits, lift_time_limit, limit_this_process
from ICHSegmenterLib.volume.reader.process import VALUES_FILE
from ICHSegmenterLib.volume.volume import Volume

Answer = dict[str, Any]
LookAt = Callable[[Volume, Path], Answer]
"""The volume that was read last, and the folder for arrays, to plain data."""


def serve(more: Mapping[str, LookAt] | None = None) -> None:
    """Answer requests until nobody asks any more.

    Args:
        more: Further kinds of requests, which look at the volume that was read last; each can be looked at once.
    """
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not come between
    folder = ""
    server = _Server(more or {})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        folder = request["folder"]
        limit_this_process(Limits(request["seconds"], request["memory_bytes"]))
        answer = server.answer(request)
        lift_time_limit()
        answers.write(json.dumps(answer).encode("ascii") + b"\n")
    if folder:  # who asked was killed, and cannot remove it
        shutil.rmtree(folder, ignore_errors=True)


class _Server:
    """Answers one request after the other."""

    def __init__(self, more: Mapping[str, LookAt]) -> None:
        self._more = more
        self._read: Volume | None = None

    def answer(self, request: Answer) -> Answer:
        """The answer, or the error that it came to."""
        if request["kind"] == "facts":
            return {"facts": [asdict(_facts(Path(path))) for path in request["files"]]}
        name = Path(request["path"]).name
        try:
            return self._answer(request, Path(request["folder"]))
        except SeveralSeriesError as error:
            series = [asdict(summary) for summary in error.series]
            return {"error": "SeveralSeriesError", "message": str(error), "series": series}
        except (DependencyError, VolumeError) as error:
            return _refusal(error)
        except MemoryError:
            return {"error": "MemoryError"}
        except OSError as error:
            if error.errno is None:  # a library's, about the content
                return _refusal(VolumeError(f"{name}: the file is damaged. Copy it again.", Cause.DAMAGED_FILE))
            return {"error": "OSError", "number": error.errno, "message": error.strerror, "file": str(error.filename)}
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a decoder's panic is no Exception
            reason = f"{name}: the file cannot be read ({type(error).__name__}); it is damaged. Copy it again."
            return _refusal(VolumeError(reason, Cause.DAMAGED_FILE))

    def _answer(self, request: Answer, folder: Path) -> Answer:
        read, self._read = self._read, None
        if (look_at := self._more.get(request["kind"])) is not None:
            if read is None:
                raise VolumeError("Nothing was read.", Cause.DATA_MISMATCH)
            return look_at(read, folder)
        path, values = Path(request["path"]), folder / VALUES_FILE
        if request["kind"] == "image":
            image = read_image_file(path)
            np.save(values, image.values)
            return _plain(image.geometry)
        volume = read_volume(path, series_uid=request["series_uid"], files=request["files"])
        np.save(values, volume.hu)
        self._read = volume if self._more else None
        return {**_plain(volume.geometry), "source": asdict(volume.source)}


def _refusal(error: DependencyError | VolumeError) -> Answer:
    kind = "DependencyError" if isinstance(error, DependencyError) else "VolumeError"
    notice = None if error.notice is None else error.notice.to_json()
    return {"error": kind, "message": str(error), "notice": notice}


def _facts(path: Path) -> FileFacts:
    try:
        return facts_of(path)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # elements of any type and size can stand in a header
        reason = f"the DICOM header makes no sense ({type(error).__name__}); it is damaged. Copy it again."
        return FileFacts(problem=f"{path.name}: {reason}")


def _plain(geometry: VolumeGeometry) -> Answer:
    return {
        "shape": list(geometry.shape),
        "column_step": geometry.column_step.tolist(),
        "row_step": geometry.row_step.tolist(),
        "slice_origins": geometry.slice_origins.tolist(),
    }
