"""The published tables by name, each with the function that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ICHSegmenterLib.reproduce.options import ReproduceOptions
from ICHSegmenterLib.reproduce.outcome import Outcome, write_outcome
from ICHSegmenterLib.reproduce.rsna_sequence import sequence_transformer
from ICHSegmenterLib.reproduce.slice_tables import attention_maps, fold_networks
from ICHSegmenterLib.reproduce.smart_net import smart_net


@dataclass(frozen=True)
class PublishedTable:
    """One table: what makes it, and one phrase for people."""

    make: Callable[[str, ReproduceOptions], Outcome]
    title: str


TABLES: dict[str, PublishedTable] = {
    "hgi-sam": PublishedTable(attention_maps, "RSNA 2019 to train on (or --weights), PhysioNet CT-ICH to test on"),
    "swin-sam": PublishedTable(attention_maps, "the same"),
    "unet": PublishedTable(fold_networks, "five folds of PhysioNet CT-ICH"),
    "swin-unetr": PublishedTable(fold_networks, "the same"),
    "rsna-sequence": PublishedTable(sequence_transformer, "RSNA 2019, a tenth held out"),
    "smart-net": PublishedTable(smart_net, "train/, valid/ and test/ in SMART-Net's layout"),
}


def reproduce(name: str, options: ReproduceOptions) -> Outcome:
    """Make one table, or go on with it, and write it into the output folder when it is complete.

    Raises:
        ValueError: There is no such table.
        ICHSegmenterError: Data, weights or a recipe do not fit.
    """
    if name not in TABLES:
        raise ValueError(f"there is no table {name!r}; choose {', '.join(TABLES)}")
    outcome = TABLES[name].make(name, options)
    if not outcome.missing:
        write_outcome(outcome, options.output)
    return outcome
