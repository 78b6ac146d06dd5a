"""Training steps, samples a second: the authors' way against ours, three networks, in one run on one machine.

python Testing/Benchmarks/bench_training.py [--networks hgi-sam smart-net-up rsna-sequence] [--samples 2] [--rounds 3]

A step is forward, loss, backward and optimizer on the same samples with the same initial weights. The authors' way:
float32, torch's default layout in memory, and an optimizer that goes from tensor to tensor. Ours as `train` runs it, in
float32 and with `--set precision=bf16-mixed`. The ways take turns, and the fastest round counts. With OMP_NUM_THREADS=1
the thread's own time on the processor is measured, to which other programs add less. The loader is measured by
`bench_loader.py`. The losses of the first step say how far bfloat16 is from float32.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.learning.task import TrainingTask
from ICHSegmenterLib.training.fit import TASKS

NETWORKS = ("hgi-sam", "smart-net-up", "rsna-sequence")


def samples_for(recipe: Recipe, count: int) -> Any:
    """Noise in the shape of the recipe's samples, with labels of both kinds."""
    random = torch.Generator().manual_seed(0)
    labels = (torch.arange(count) % 2)[:, None].expand(count, 6)
    if recipe.task == "series":
        return [{"image": torch.rand(count, 3, 224, 224, generator=random), "label": labels.float()}]
    if recipe.task == "smart-net-slices":
        image = torch.rand(count, 1, 256, 256, generator=random)
        return {"image": image, "label": labels[:, :1].float(), "mask": (image > 0.9).float()}
    return {"image": torch.rand(count, 3, 384, 384, generator=random), "label": labels}


def authors_optimizer(recipe: Recipe, task: TrainingTask) -> torch.optim.Optimizer:
    """The recipe's optimizer, tensor by tensor."""
    settings, rate = recipe.optimizer, task.phase.learning_rate
    if settings.name == "sgd":
        return torch.optim.SGD(
            task.parameters(),
            rate,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
            weight_decay=settings.weight_decay,
            foreach=False,
        )
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(task.parameters(), rate, weight_decay=settings.weight_decay, foreach=False)


def step_of(recipe: Recipe, samples: Any, *, is_ours: bool, autocast: bool = False) -> Callable[[], float]:
    """One step of the last phase, in which everything learns; returns its loss."""
    task = TASKS[recipe.task](recipe, len(recipe.phases) - 1).train()
    if not is_ours:
        for parameter in task.parameters():
            parameter.data = parameter.data.contiguous()
    configured = task.configure_optimizers() if is_ours else authors_optimizer(recipe, task)
    optimizer = configured if isinstance(configured, torch.optim.Optimizer) else _optimizer(configured)

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = task.loss_of(samples)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss)

    return step


def _optimizer(configured: Any) -> torch.optim.Optimizer:
    optimizer = configured["optimizer"] if isinstance(configured, dict) else configured[0][0]
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"no optimizer in {configured}")
    return optimizer


def compare(name: str, count: int, rounds: int) -> None:
    """Time the three ways in turns and print a line."""
    recipe = load_recipe(name, [])
    samples = samples_for(recipe, count)
    ways = [
        step_of(recipe, samples, is_ours=False),
        step_of(recipe, samples, is_ours=True),
        step_of(recipe, samples, is_ours=True, autocast=True),
    ]
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    least, losses = [float("inf")] * len(ways), [0.0] * len(ways)
    for number in range(rounds + 1):  # the first round only warms up
        for way, step in enumerate(ways):
            torch.manual_seed(number)
            start = clock()
            loss = step()
            if number:
                least[way] = min(least[way], clock() - start)
            else:
                losses[way] = loss
    theirs, ours, fast = (count / seconds for seconds in least)
    print(
        f"{name:14} {theirs:8.2f} {ours:9.2f} ({ours / theirs:.1f} times) {fast:9.2f} ({fast / theirs:.1f} times)"
        f"   loss {losses[0]:.4f}, {losses[1]:.4f}, {losses[2]:.4f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--samples", type=int, default=2, help="of each step")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; samples a second:")
    print(f"{'':14} {'authors':>8} {'ours':>9} {'ours, bf16-mixed':>23}")
    for name in options.networks:
        compare(name, options.samples, options.rounds)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()
