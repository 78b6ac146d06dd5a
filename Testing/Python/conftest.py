"""What every test may use: the shared data folder, and an environment that needs no screen."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared_folder import REPOSITORY, missing_reason, not_tested, shared_folder

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("MPLBACKEND", "Agg")
# VTK draws in memory, whatever display there may be.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkOSOpenGLRenderWindow")

PHANTOM_SCAN = "phantom-scan"
"""Folder that lasts as long as all tests."""


def shared_data(name: str = "") -> Path:
    """Path of a file or folder of the shared data, which is too large for the repository.

    The calling test (or, at module level, its file) is skipped when it is absent.
    """
    path = shared_folder() / name
    if not path.exists():
        pytest.skip(missing_reason(name), allow_module_level=True)
    return path


@pytest.fixture(name="shared_data")
def _shared_data() -> Callable[[str], Path]:
    return shared_data


@pytest.fixture(scope="module", autouse=True)
def _folders_last_as_long_as_their_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A small disk holds what one file of tests writes, not what all of them do; after a failure it stays to be seen.

    Folders of single tests end with them (`tmp_path_retention_policy`).
    """
    base = tmp_path_factory.getbasetemp()
    before = set(base.iterdir())
    yield
    if not request.session.testsfailed:
        for folder in set(base.iterdir()) - before:
            if not folder.name.startswith(PHANTOM_SCAN):
                shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_weights_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees or fills the weights cache of the person who runs it."""
    with tempfile.TemporaryDirectory(prefix="weights-cache-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("ICHSEGMENTER_WEIGHTS", folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_keys_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test leaves keys of its outputs with the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ICHSEGMENTER_KEYS", str(tmp_path_factory.mktemp("keys")))
        yield


@pytest.fixture(autouse=True)
def bundled_folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in place of Resources/Models, so that no test depends on what ships; a test may fill it.

    Tests marked `shipped` are about what ships, and see it.
    """
    if request.node.get_closest_marker("shipped"):
        yield REPOSITORY / "Resources" / "Models"
        return
    with tempfile.TemporaryDirectory(prefix="bundled-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for module in ("weights.store", "weights.checks", "weights.digests", "cards.own"):
            monkeypatch.setattr(f"ICHSegmenterLib.{module}.bundled_folder", lambda: folder)
        yield folder


@pytest.fixture(scope="session")
def computed_bfloat16() -> None:
    """Skips where the processor imitates bfloat16: one convolution of a large network takes minutes there."""
    from ICHSegmenterLib.runtime.device import choose_device

    if choose_device("cpu").precision != "bfloat16":
        pytest.skip("needs a processor that computes in bfloat16 (AVX512-BF16 or AMX)")


@pytest.fixture(scope="session")
def head_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the real head CT, or of a phantom with its geometry where that is absent."""
    real = shared_folder() / "data" / "ge_head_ct"
    if real.is_dir():
        return real
    from phantom_scan import write_phantom_scan

    return write_phantom_scan(tmp_path_factory.mktemp(PHANTOM_SCAN))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """End with one line of what was not tested and where to get what it needs."""
    yield
    reports = terminalreporter.stats.get("skipped", [])
    line = not_tested(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)
    if line:
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first, so that none of them is the last; `gpu` is skipped without a CUDA device."""
    long_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long_files)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    try:
        import torch
    except ImportError:
        available = False
    else:
        available = torch.cuda.is_available()
    if not available:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
