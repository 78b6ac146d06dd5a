"""Outputs of a SMART-Net for one exam at its own 256 x 256 pixels, by each of the authors' tests.

Kyung et al., Med Image Anal 2022 (babbu3682/SMART-Net, MIT). Nothing is multiplied by a brain mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.evaluation.dataset import KnownExam
from ICHSegmenterLib.evaluation.smart_net import metrics
from ICHSegmenterLib.methods.smart_net.input import SmartNetStack
from ICHSegmenterLib.methods.smart_net.loss import by_task
from ICHSegmenterLib.methods.smart_net.mask import resized_mask, without_specks
from ICHSegmenterLib.methods.smart_net.networks.upstream import SmartNetUp
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing

Test = Literal["slice-wise", "stacked", "exams"]
"""One slice of each exam; every slice of it, stacked; the exam as a whole, by the downstream networks."""
BATCH_SIZE = 4


@dataclass(frozen=True, eq=False)
class ExamOutputs:
    """The scores of one exam under one test.

    Attributes:
        truth, values: (items,) whether the slices, or the exam, bleed, and the network's probability.
        dice: Of the outline with the true mask; NaN without true blood, or without an outline.
        false_positive_voxels: In an exam without blood.
        error: Mean absolute error of the reconstruction; NaN without one.
        picture: (seen, reconstructed) of the middle item, float32 (size, size); None without a reconstruction.
    """

    truth: NDArray[np.bool_]
    values: NDArray[np.float64]
    dice: float
    false_positive_voxels: int
    error: float
    picture: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None


def tests_of(network: nn.Module) -> tuple[Test, ...]:
    """The tests that a network can take: both slice tests with all heads, else slice-wise, as the authors' code."""
    if not isinstance(network, SmartNetUp):
        return ("exams",)
    return ("slice-wise", "stacked") if {"cls", "seg"} <= set(network.tasks) else ("slice-wise",)


@torch.inference_mode()
def outputs_of(
    network: nn.Module, exam: KnownExam, preprocessing: SmartNetPreprocessing, test: Test, seed: int
) -> ExamOutputs:
    """Run one test on one exam.

    Args:
        network: In evaluation mode, on the device to run on.
        exam: With its true mask.
        preprocessing: Of the card; normalization and the empty ends follow from the test.
        test: One of `tests_of`.
        seed: Of the slice that the slice-wise test draws.

    Raises:
        EvaluationError: There is no true mask.
    """
    if exam.mask is None:
        raise EvaluationError("SMART-Net's tests need masks; choose a data set that has them.")
    one_slice = test == "slice-wise"
    settings = replace(preprocessing, normalize="slice" if one_slice else "volume", drop_empty_ends=one_slice)
    view = AxialView.of(exam.volume.geometry)
    stack = SmartNetStack.of(exam.volume, view, settings)
    full = view.apply(exam.mask)
    axial = [view.acquired_index(index, len(full)) for index in stack.indices]
    masks = without_specks(resized_mask(full[axial], settings.size, settings.mask_sampling))
    if test == "exams":
        return _exam(network, stack.slices, masks)
    if one_slice:
        number = drawn_slice(masks, np.random.default_rng(seed))
        return _slices(network, stack.slices[number : number + 1], masks[number : number + 1])
    return _slices(network, stack.slices, masks)


def drawn_slice(masks: NDArray[np.bool_], random: np.random.Generator) -> int:
    """The slice of a random voxel of blood, or any slice without blood, as the authors draw it."""
    areas = np.count_nonzero(masks, axis=(1, 2)) / max(1, np.count_nonzero(masks))
    return int(random.choice(len(masks), p=areas) if areas.any() else random.integers(len(masks)))


def _slices(network: nn.Module, slices: NDArray[np.float32], masks: NDArray[np.bool_]) -> ExamOutputs:
    parts: dict[str, list[Tensor]] = {}
    tasks: Any = network.tasks
    device = _device_of(network)
    for start in range(0, len(slices), BATCH_SIZE):
        batch = torch.from_numpy(np.ascontiguousarray(slices[start : start + BATCH_SIZE]))[:, None].to(device)
        for task, output in by_task(network(batch), tasks).items():
            parts.setdefault(task, []).append(output.float().cpu())
    joined = {task: torch.cat(outputs) for task, outputs in parts.items()}
    truth: NDArray[np.bool_] = np.asarray(masks.any(axis=(1, 2)))
    outlined = joined["seg"].sigmoid()[:, 0].numpy() > metrics.POSITIVE_ABOVE if "seg" in joined else None
    if "cls" in joined:
        values = joined["cls"].sigmoid().flatten().numpy().astype(np.float64)
    else:
        values = np.full(len(truth), np.nan)
        if outlined is not None:
            values = np.asarray(outlined.any(axis=(1, 2)), dtype=np.float64)
    error, picture = float("nan"), None
    if "rec" in joined:
        made = joined["rec"][:, 0].numpy()
        middle = len(slices) // 2
        error, picture = float(np.abs(made - slices).mean()), (slices[middle], made[middle])
    return ExamOutputs(truth, values, *_outline(outlined, masks), error, picture)


def _exam(network: nn.Module, slices: NDArray[np.float32], masks: NDArray[np.bool_]) -> ExamOutputs:
    volume = torch.from_numpy(np.ascontiguousarray(slices)).permute(1, 2, 0)[None, None]  # (1, 1, H, W, slices)
    volume = volume.to(_device_of(network))
    truth = np.array([masks.any()])
    if hasattr(network, "LSTM"):
        logit = network(volume, torch.tensor([len(slices)]))
        return ExamOutputs(truth, logit.sigmoid().flatten().double().cpu().numpy(), float("nan"), 0, float("nan"))
    soft = network(volume).sigmoid()[0, 0].permute(2, 0, 1).cpu().numpy()
    outlined = soft > metrics.POSITIVE_ABOVE
    return ExamOutputs(truth, np.array([float(soft.max())]), *_outline(outlined, masks), float("nan"))


def _outline(outlined: NDArray[np.bool_] | None, masks: NDArray[np.bool_]) -> tuple[float, int]:
    """(Dice, false positive voxels)."""
    if outlined is None:
        return float("nan"), 0
    return metrics.dice(outlined, masks), metrics.false_positive_voxels(outlined, masks)


def _device_of(network: nn.Module) -> torch.device:
    return next((one.device for one in network.parameters()), torch.device("cpu"))
