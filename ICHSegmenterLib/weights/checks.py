"""Checks of single weight files, and what people are told when one is missing, altered or something else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.published_files import AUTHORS_FILES, WeightsFile
from ICHSegmenterLib.errors import WeightsCorruptError, WeightsMissingError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.weights.cache import bundled_folder, in_megabytes
from ICHSegmenterLib.weights.digests import file_sha256

COMMAND = "ichsegmenter models"
_GIT_LFS_POINTER = b"version https://git-lfs"


def missing_text(card: ModelCard) -> str:
    """The missing files, their size and licence, and how to get them."""
    files = card.weights[: card.default_models]
    if not files and card.name in AUTHORS_FILES:
        authors = AUTHORS_FILES[card.name]
        return (
            f"{card.name} needs its authors' weights ({authors.size / 1e9:.2f} GB), which have to be fetched by hand "
            f"from {authors.page}: {authors.steps}."
        )
    if not files:
        return (
            f"{card.name} has no published weights to download. Choose your own file with --weights FILE, or run "
            f"`{COMMAND} import FILE --method {card.name}` once."
        )
    text = f"{card.name} needs {_names(files)}, which is not on this computer ({_sizes(files)}, {files[0].license}). "
    if files[0].urls:
        text += f"Press Download in the panel or run `{COMMAND} download {card.name}`. "
    if card.trust.terms:
        text += f"The training data have terms: {card.trust.terms}; accept them first (--accept-license). "
    text += f"If you have it: Import from file… in the panel or `{COMMAND} import FILE`, under any file name."
    return text + (f" Note: {files[0].note}" if files[0].note else "")


def explicit_file(path: Path) -> Path:
    """A file that the user named: it must exist and not be an obvious non-file."""
    path = path.expanduser()
    if not path.is_file():
        raise WeightsMissingError(
            f"{path} does not exist. Choose the weight file itself, for example model.pt.", Cause.OUT_OF_REACH
        )
    if path.stat().st_size == 0 or _is_lfs_pointer(path):
        raise WeightsCorruptError(
            f"{path}: {content_of(path)}, not weights. Get the real file and choose it again.", Cause.NO_WEIGHTS
        )
    return path


def intact(file: WeightsFile, path: Path) -> Path:
    """The path of a file that is what its name or its card says.

    Raises:
        WeightsCorruptError: It is not.
    """
    if path.stat().st_size == file.size and file_sha256(path) == file.sha256:
        return path
    code = ErrorCode.BUNDLED_WEIGHTS_ALTERED if path.parent == bundled_folder() else ErrorCode.WEIGHTS_ALTERED
    sizes = {"stored": in_megabytes(path.stat().st_size), "published": in_megabytes(file.size)}
    raise WeightsCorruptError(ErrorNotice(code, {"path": str(path), "name": file.name, **sizes}))


def content_of(path: Path) -> str:
    """The likely content of a file that is no known weights."""
    if path.stat().st_size == 0:
        return "an empty file"
    if _is_lfs_pointer(path):
        return "a Git LFS pointer, a text file that only names the weights"
    return f"{in_megabytes(path.stat().st_size)}, SHA-256 {file_sha256(path)[:12]}…"


def _is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_GIT_LFS_POINTER)) == _GIT_LFS_POINTER


def _names(files: Sequence[WeightsFile]) -> str:
    if len(files) == 1:
        return files[0].name
    return f"{files[0].name} {'or' if len(files) == 2 else 'to'} {files[-1].name} (at least one)"


def _sizes(files: Sequence[WeightsFile]) -> str:
    return in_megabytes(sum(file.size for file in files))
