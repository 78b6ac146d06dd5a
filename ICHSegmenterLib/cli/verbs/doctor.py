"""`doctor`: what is installed, which devices work, which methods are ready."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ICHSegmenterLib import __version__
from ICHSegmenterLib.analysis.default_method import choose_method
from ICHSegmenterLib.cards.requirement import Requirement, missing_text
from ICHSegmenterLib.cards.table import ModelCard, method_cards
from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.runtime.device import available_devices, choose_device
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.cache import weights_folder

PACKAGES = {
    "numpy": "needed",
    "scipy": "needed",
    "pydicom": "needed",
    "SimpleITK": "NRRD and MHA files",
    "nibabel": "NIfTI files",
    "slicerio": "segmentation.seg.nrrd",
    "pylibjpeg": "compressed DICOM",
    "pillow": "overview.png",
    "matplotlib": "plots of batches, comparisons and evaluations",
    "pyarrow": "Parquet tables",
    "lightning": "training",
}
"""Packages of the library itself; those of methods stand on their cards."""


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("doctor", help="what is installed, which devices work")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """The verb."""
    machine = f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores"
    print(f"ICHSegmenter {__version__}, {machine}")
    for name, purpose in PACKAGES.items():
        print(f"  {name:12} {_version_of(name):14} {purpose}")
    for requirement, methods in _requirements().items():
        print(f"  {requirement.distribution:12} {_version_of(requirement.distribution):14} {', '.join(methods)}")
    _print_devices()
    for card in method_cards().values():
        print(f"  {card.name:16} {_state_of(card)}")
    print(f"Weights: {weights_folder()}")
    print(f"Method without --method: {choose_method()}")
    return 0


def _print_devices() -> None:
    try:
        for device in available_devices():
            print(f"  {device['name']:12} {device['problem'] or 'works':14} {device['title']}")
        automatic = choose_device()
        print(f"Device for auto: {automatic.name} in {automatic.precision}")
    except DependencyError as error:
        print(f"  {error}", file=sys.stderr)


def _state_of(card: ModelCard) -> str:
    now = store.state(card)
    if not now.is_ready:
        return "weights missing"
    if card.missing_packages:
        return missing_text(card.title, card.missing_packages)
    return "ready (bundled)" if now.is_bundled else "ready"


def _requirements() -> dict[Requirement, list[str]]:
    """Each package that a method needs, and the methods that do."""
    needed: dict[Requirement, list[str]] = {}
    for card in method_cards().values():
        for requirement in card.requirements:
            needed.setdefault(requirement, []).append(card.name)
    return needed


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
