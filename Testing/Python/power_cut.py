"""A training that is killed half-way, for tests of what resumes."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl


class PowerCut(pl.Callback):
    """Ends the process's work after so many batches, as a kill does: nothing is saved on the way out."""

    def __init__(self, after: int) -> None:
        self._left = after

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise RuntimeError("power cut")
