"""Writing a file all or nothing: a reader never sees half of it, and a failed run leaves the old one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ICHSegmenterLib.errors import OutputError


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path in the same folder, renamed to `path` when the block ends well, removed when it fails.

    The folder is made if absent; the temporary name keeps the suffixes, by which writers choose formats.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    path = Path(path)
    suffixes = "".join(path.suffixes)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=suffixes)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o644)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{path.name} cannot be written ({reason}). Choose another output folder.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
