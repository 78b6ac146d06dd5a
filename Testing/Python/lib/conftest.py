"""What several tests of the library use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ICHSegmenterLib.volume.volume import Volume


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch computes with one thread, so that what is trained twice comes out equal to the bit."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch waits only a moment until the files of an exam have come to rest."""
    monkeypatch.setattr("ICHSegmenterLib.batch.settled.SETTLE_S", 0.02)


@pytest.fixture(scope="module")
def head() -> Volume:
    """A small head with a bleed."""
    from batch_inputs import small_head

    return small_head()
