"""The output folder of one exam, written whole or not at all; `result.json` comes last and means "done"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing_folder
from ICHSegmenterLib.notices.cause_notice import Cause
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
    slice_files: Sequence[Path] = (),
) -> dict[str, Path]:
    """Write the files of a result.

    Args:
        result: From `analysis.analyze.analyze`.
        volume: The exam it was made from.
        folder: Made if absent. Files of an earlier run are replaced at the very end.
        outputs: Names of the table of outputs, `+name` to add to the defaults, `-name` to take away; none: the
            defaults.
        source: File or folder that `volume` was read from, for DICOM objects.
        slice_files: DICOM files of its slices in any order, where they are known and `source` is not.

    Returns:
        File name to path.

    Raises:
        OutputError: The folder cannot be written, or an output cannot be made of this exam.
        DependencyError: An output needs a package that is missing.
        ValueError: An unknown output.
    """
    names = select(outputs)
    try:
        with replacing_folder(folder, own_files=_own_files(), done_file=DONE_FILE) as scratch:
            exam = ExamOutput(result, volume, scratch, names, source, tuple(slice_files))
            for name in names:
                OUTPUTS[name].write(exam)
            written = [path.name for path in scratch.iterdir()]
    except OSError as error:
        raise OutputError(
            f"Cannot write to {folder}: {error.strerror}. Free some space there. Choose another folder if "
            "that does not help.",
            Cause.DISK,
        ) from error
    return {name: folder / name for name in written}


def _own_files() -> set[str]:
    """Names of every file that a run may have left; those of an earlier one do not stay beside new ones."""
    return {file for output in OUTPUTS.values() for file in output.files}
