"""What every test may use: the shared data folder, and an environment that needs no screen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("MPLBACKEND", "Agg")
# VTK draws in memory, whatever display there may be.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkOSOpenGLRenderWindow")


def shared_data(name: str = "") -> Path:
    """Path of a file or folder of the shared data, which is too large for the repository.

    The folder is the environment's ICHSEGMENTER_SHARED, else `shared` beside the repository.
    The calling test (or, at module level, its file) is skipped when it is absent.
    """
    folder = Path(os.environ.get("ICHSEGMENTER_SHARED", REPOSITORY.parent / "shared"))
    path = folder / name
    if not path.exists():
        pytest.skip(f"needs {name or 'the shared folder'}, not found in {folder}", allow_module_level=True)
    return path


@pytest.fixture(name="shared_data")
def _shared_data() -> Callable[[str], Path]:
    return shared_data


@pytest.fixture(autouse=True)
def _own_weights_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or fills the weights cache of the person who runs it."""
    monkeypatch.setenv("ICHSEGMENTER_WEIGHTS", str(tmp_path_factory.mktemp("weights-cache")))


@pytest.fixture(autouse=True)
def bundled_folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty folder in place of Resources/Models, so that no test depends on what ships; a test may fill it.

    Tests marked `shipped` are about what ships, and see it.
    """
    if request.node.get_closest_marker("shipped"):
        return REPOSITORY / "Resources" / "Models"
    folder = tmp_path_factory.mktemp("bundled")
    for module in ("weights.store", "weights.checks", "weights.digests", "cards.own"):
        monkeypatch.setattr(f"ICHSegmenterLib.{module}.bundled_folder", lambda: folder)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests inside Slicer come last; tests marked `gpu` are skipped where there is no CUDA device.

    Reloading the extension there makes every class of the library anew, and a test that imported the old ones
    would no longer recognize the new ones.
    """
    items.sort(key=lambda item: item.path.parent.name == "in_slicer")
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
