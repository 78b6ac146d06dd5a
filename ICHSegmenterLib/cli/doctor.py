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
from ICHSegmenterLib.cards.table import MODEL_CARDS, ModelCard
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
    "matplotlib": "overview.png",
    "torch": "networks",
    "timm": "Swin methods",
    "monai": "swin-unetr",
    "opencv-python-headless": "SMART-Net",
    "lightning": "training",
}


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
    _print_devices()
    for card in MODEL_CARDS.values():
        print(f"  {card.name:16} {_weights_of(card)}")
    print(f"Weights: {weights_folder()}")
    print(f"Method without --method: {choose_method()}")
    return 0


def _print_devices() -> None:
    try:
        for device in available_devices():
            print(f"  {device['name']:12} {device['problem'] or 'works':14} {device['title']}")
        chosen = choose_device()
        print(f"Device for auto: {chosen.name} in {chosen.precision}")
    except DependencyError as error:
        print(f"  {error}", file=sys.stderr)


def _weights_of(card: ModelCard) -> str:
    now = store.state(card)
    ready = "ready (bundled)" if now.is_bundled else "ready"
    return ready if now.is_ready else "weights missing"


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
