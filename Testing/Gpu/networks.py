"""Every network on the device against the CPU in float32, in each precision that the methods offer."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch

from ICHSegmenterLib.runtime.device import torch_dtype
from Testing.Gpu.cases import CASES, Case, Outputs
from Testing.Gpu.rows import Row, attempt
from Testing.Gpu.tolerances import SIGNIFICANT_BITS, relative_difference, size_of, tolerance
from Testing.Gpu.trial_setup import Setup, without_tf32

TITLE = "Networks: difference from the CPU in float32"
NAME = "network"
COLUMNS = tuple(SIGNIFICANT_BITS)
NOTE = (
    "Norm of the difference as a share of the output's norm, the largest of all outputs, and in brackets how large it "
    "may be (from the number format's bits and the network's depth, see `Testing/Gpu/tolerances.py`). TF32 is off."
)


def rows(setup: Setup) -> Iterator[Row]:
    """One line a network."""
    for case in CASES:
        if setup.is_small and not case.rehearsed:
            continue
        yield attempt(case.name, lambda case=case: compared(case, setup), is_late=setup.is_late)


def compared(case: Case, setup: Setup) -> tuple[Mapping[str, str], str]:
    """The difference in each precision, and which is too large."""
    network, x = case.build(is_small=setup.is_small), case.input(is_small=setup.is_small)
    layers, fan_in = size_of(network)
    values, problems = {}, []
    with torch.set_grad_enabled(False), without_tf32():
        reference = case.run(copy.deepcopy(network), x, "cpu", torch.float32)
        for precision in case.rehearsed if setup.is_small else SIGNIFICANT_BITS:
            outputs = case.run(copy.deepcopy(network), x, setup.device, torch_dtype(precision))
            difference, limit = largest(outputs, reference), tolerance(precision, case.passes * layers, fan_in)
            values[precision] = f"{difference:.1e} ({limit:.1e})"
            if not difference <= limit:
                problems.append(f"{precision} differs by {difference:.1e}, more than {limit:.1e}")
    if any(not output.any() for output in reference):
        values = {precision: f"{text}, an output is empty" for precision, text in values.items()}
    return values, "; ".join(problems)


def largest(outputs: Outputs, reference: Outputs) -> float:
    """The largest relative difference of the outputs."""
    return max(relative_difference(*pair) for pair in zip(outputs, reference, strict=True))
