"""Callbacks of a training: its progress, the history of epochs, the checkpoint to resume from, a limit of steps."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO

from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.learning.task import TrainingTask

LAST = "last.ckpt"


class StepProgress(pl.Callback):
    """Reports the steps of each phase, where Lightning shows no bar.

    Args:
        report: Called with (steps done, steps at most, message).
        what: Network that is trained, for people; empty for the only one.
    """

    def __init__(self, report: Callable[[int, int, str], None], what: str = "") -> None:
        self._report, self._what = report, f" {what}" if what else ""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report a step."""
        assert isinstance(pl_module, TrainingTask)
        total = min(trainer.estimated_stepping_batches, pl_module.phase.max_steps or math.inf)
        if trainer.is_global_zero and math.isfinite(total):
            self._report(trainer.global_step, int(total), f"Training{self._what}, phase {pl_module.phase_number + 1}")


class EpochHistory(pl.Callback):
    """One row an epoch, kept in the checkpoint and written as CSV, so that a resumed training has one history.

    Args:
        path: The CSV.
        earlier: Rows of phases before.
    """

    def __init__(self, path: Path, earlier: list[dict[str, float]] | None = None) -> None:
        self.rows = list(earlier or [])
        self._path = path
        self._sum, self._batches = 0.0, 0
        self._started = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"rows": self.rows, "sum": self._sum, "batches": self._batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.rows, self._sum, self._batches = state_dict["rows"], state_dict["sum"], state_dict["batches"]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A new row."""
        self._sum, self._batches, self._started = 0.0, 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the loss of a step."""
        assert isinstance(pl_module, TrainingTask)
        self._sum += float(pl_module.last_loss)
        self._batches += 1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Finish the row."""
        assert isinstance(pl_module, TrainingTask)
        here = torch.tensor([self._sum, float(self._batches)], device=pl_module.device)
        total = trainer.strategy.reduce(here, reduce_op="sum")
        row = {
            "phase": float(pl_module.phase_number),
            "epoch": float(trainer.current_epoch),
            "step": float(trainer.global_step),
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "train_loss": float(total[0] / total[1].clamp(min=1)),
            "seconds": round(time.perf_counter() - self._started, 3),
        }
        row |= {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
        self.rows.append(row)
        if trainer.is_global_zero:
            write_history(self.rows, self._path)


class ResumePoint(pl.Callback):
    """Writes `last.ckpt` every so many steps and after each epoch, with the place where to go on.

    It stands last, so that the state of the others is that of the same moment.
    """

    def __init__(self, folder: Path, every_steps: int) -> None:
        self._path, self._every = folder / LAST, every_steps
        self._saved_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The step that a resumed training begins at is saved already; between two steps gradients would be lost."""
        self._saved_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """In the middle of an epoch; its end is left to the hook below, after validation."""
        step = trainer.global_step
        if trainer.is_last_batch or step == self._saved_step or step % self._every:
            return
        self._saved_step = step
        self._save(trainer, pl_module, (trainer.current_epoch, batch_idx + 1))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After the validation of an epoch."""
        self._saved_step = trainer.global_step
        self._save(trainer, pl_module, (trainer.current_epoch + 1, 0))

    def _save(self, trainer: pl.Trainer, pl_module: pl.LightningModule, position: tuple[int, int]) -> None:
        assert isinstance(pl_module, TrainingTask)
        pl_module.position = position
        trainer.save_checkpoint(self._path)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place first: Lightning's way by the temporary folder may leave half of one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it, or leave the one of before.

        Raises:
            OutputError: The disk is full, or cannot be written.
        """
        target = Path(path)
        try:
            with replacing(target) as draft:
                torch.save(checkpoint, draft)
        except RuntimeError as error:  # torch's word for a full disk
            reason = (str(error).splitlines() or [""])[0]
            raise OutputError(
                f"{target.name} cannot be written ({reason}). Free some space on the disk of {target.parent}, then go "
                "on with --resume."
            ) from error


class StepLimit(pl.Callback):
    """Stops after so many steps in all."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ask the trainer to stop."""
        if trainer.global_step >= self._steps:
            trainer.should_stop = True


def write_history(rows: list[dict[str, float]], path: Path) -> None:
    """The history as CSV with every column that any row has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
