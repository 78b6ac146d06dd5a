"""The output folder of one exam, written whole or not at all; `result.json` comes last and means "done"."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.outputs.result_json import DONE_FILE
from ICHSegmenterLib.outputs.table import OUTPUTS, select
from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.volume import Volume


def write_outputs(
    result: AnalysisResult,
    volume: Volume,
    folder: Path,
    *,
    outputs: Iterable[str] = (),
    source: Path | None = None,
) -> dict[str, Path]:
    """Write the files of a result.

    Args:
        result: From `analysis.analyze.analyze`.
        volume: The exam it was made from.
        folder: Made if absent. Files of an earlier run are replaced at the very end.
        outputs: Names of the table of outputs, `+name` to add to the defaults, `-name` to take away; none: the
            defaults.
        source: File or folder that `volume` was read from, for DICOM SEG.

    Returns:
        File name to path.

    Raises:
        OutputError: The folder cannot be written, or an output cannot be made of this exam.
        DependencyError: An output needs a package that is missing.
        ValueError: An unknown output.
    """
    names = select(outputs)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".ichsegmenter-", dir=folder.parent))
    except OSError as error:
        raise OutputError(f"Cannot write to {folder.parent}: {error.strerror}. Choose another folder.") from error
    try:
        exam = ExamOutput(result, volume, scratch, names, source)
        for name in names:
            OUTPUTS[name].write(exam)
        return _publish(scratch, folder)
    except OSError as error:
        raise OutputError(
            f"Cannot write to {folder}: {error.strerror}. Free some space or choose another output folder."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _publish(scratch: Path, folder: Path) -> dict[str, Path]:
    """Move finished files into place, the done-file last; stale files of an earlier run do not stay beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted((file.name for file in scratch.iterdir()), key=lambda name: name == DONE_FILE)
    for stale in {file for output in OUTPUTS.values() for file in output.files} - set(names):
        (folder / stale).unlink(missing_ok=True)
    for name in names:
        (scratch / name).replace(folder / name)
    return {name: folder / name for name in names}
