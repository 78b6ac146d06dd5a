"""What is installed and what works, as text for a report of a problem: no name of a person, no path that holds one."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from ICHSegmenterLib import __version__
from ICHSegmenterLib.analysis.default_method import choose_method
from ICHSegmenterLib.cards.requirement import Requirement, missing_notice
from ICHSegmenterLib.cards.table import MODEL_CARDS, ModelCard, method_cards
from ICHSegmenterLib.errors import DependencyError, ICHSegmenterError
from ICHSegmenterLib.files import without_paths
from ICHSegmenterLib.runtime.device import available_devices, choose_device
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.cache import FOLDER_VARIABLE
from ICHSegmenterLib.weights.disk_use import disk_use

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


def diagnosis_lines() -> list[str]:
    """One line a package, processor and method; methods of one's own, whose names are one's own, are only counted."""
    machine = f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores"
    lines = [f"ICHSegmenter {__version__}, {machine}"]
    lines += [f"  {name:12} {_version_of(name):14} {purpose}" for name, purpose in PACKAGES.items()]
    for requirement, methods in _requirements().items():
        lines.append(f"  {requirement.distribution:12} {_version_of(requirement.distribution):14} {', '.join(methods)}")
    lines += map(without_paths, _device_lines())
    lines += method_lines(card for name, card in method_cards().items() if name in MODEL_CARDS)
    own = [card for name, card in method_cards().items() if name not in MODEL_CARDS]
    if own:
        lines.append(f"Methods of one's own: {len(own)}, ready: {sum(map(store.is_ready, own))}")
    lines.append(_weights_line())
    method = choose_method()
    lines.append(f"Method without --method: {method if method in MODEL_CARDS else 'one of ones own'}")
    return lines


def method_lines(cards: Iterable[ModelCard]) -> list[str]:
    """One line a method: its name, and whether it is ready."""
    return [f"  {card.name:16} {_state_of(card)}" for card in cards]


def _device_lines() -> list[str]:
    try:
        devices = available_devices()
        automatic = choose_device()
    except (DependencyError, RuntimeError) as error:  # a driver that breaks while it is asked
        return [f"  {error}"]
    lines = [f"  {device['name']:12} {device['problem'] or 'works':14} {device['title']}" for device in devices]
    return [*lines, f"Device for auto: {automatic.name} in {automatic.precision}"]


def _weights_line() -> str:
    folder = f"a folder that {FOLDER_VARIABLE} names" if os.environ.get(FOLDER_VARIABLE) else "the user's folder"
    try:
        used = disk_use()
    except ICHSegmenterError as error:
        return without_paths(f"Weights in {folder}: {error}")
    return f"Weights in {folder}: {used.count} files, {used.size / 1e6:.1f} MB; {used.free / 1e9:.1f} GB of disk free"


def _state_of(card: ModelCard) -> str:
    now = store.state(card)
    if not now.is_ready:
        return "weights missing"
    if card.missing_packages:
        return missing_notice(card.title, card.missing_packages).text
    return "ready (bundled)" if now.is_bundled else "ready"


def _requirements() -> dict[Requirement, list[str]]:
    """Each package that a published method needs, and the methods that do."""
    needed: dict[Requirement, list[str]] = {}
    for card in MODEL_CARDS.values():
        for requirement in card.requirements:
            needed.setdefault(requirement, []).append(card.name)
    return needed


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
