"""A layout as an argument: its name checked against the table, and what each name stands for."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ICHSegmenterLib.datasets.layouts import LAYOUTS


def layout_argument(check: Callable[[str], object]) -> Callable[[str], str]:
    """For argparse: the name of a layout that passes a check of `datasets.layouts`, such as `labeled_layout`."""

    def layout(name: str) -> str:
        try:
            check(name)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return name

    return layout


def layouts_help() -> str:
    """All layouts with their titles, for the help of a verb."""
    return "; ".join(f"{name}: {entry.title}" for name, entry in LAYOUTS.items())
