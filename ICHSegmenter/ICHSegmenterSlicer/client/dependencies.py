"""Python packages that networks need in the worker, and how Slicer gets them. Nothing of them is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.cards.requirement import TORCH, TORCHVISION
from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.errors import DependencyError

PYTORCH_PACKAGES = (TORCH, TORCHVISION)
"""Packages that the PyTorch extension installs together."""
BATCH_REQUIREMENTS = (
    "matplotlib>=3.7",
    "nibabel>=5.2",
    "pydicom>=3.0",
    "pylibjpeg>=2.0",
    "pylibjpeg-libjpeg>=2.1",
    "slicerio>=1.2",
)
"""Packages for compressed DICOM, results and reports, in Slicer's own process of a batch."""
READING_REQUIREMENTS = ("nibabel>=5.2", "pydicom>=3.0", "pylibjpeg>=2.0", "pylibjpeg-libjpeg>=2.1")
"""Of these the ones with which the worker reads NIfTI and DICOM."""


OUTPUT_REQUIREMENTS = {
    "highdicom>=0.24": ("dicom_seg", "dicom_sr"),
    "matplotlib>=3.7": ("pdf",),
    "Pillow>=10.1": ("pdf",),
}
"""Packages that outputs need, in the worker and in a batch."""


def missing(card: ModelCard) -> list[str]:
    """Requirements of a method that are not installed; a classical method needs none."""
    return [requirement.package for requirement in card.missing_packages]


def missingForBatch() -> list[str]:
    """Requirements of the batch itself that are not installed."""
    return _absent(BATCH_REQUIREMENTS)


def missingForReading() -> list[str]:
    """Requirements of the reading of files that are not installed."""
    return _absent(READING_REQUIREMENTS)


def missingForOutputs(outputs: Sequence[str]) -> list[str]:
    """Requirements of some outputs, by their names, that are not installed."""
    return [
        package
        for package, needing in OUTPUT_REQUIREMENTS.items()
        if set(needing).intersection(outputs) and not _version(package.split(">=")[0])
    ]


def install(requirements: Sequence[str], *, ask: bool = True) -> None:
    """Install with Slicer's means: torch by the PyTorch extension, the rest by slicer.packaging.

    Raises:
        DependencyError: Declined, or it failed; says what to do.
    """
    ofPyTorch = [requirement.package for requirement in PYTORCH_PACKAGES]
    if any(package in ofPyTorch for package in requirements):
        _installTorch(ask=ask)
    others = [package for package in requirements if package not in ofPyTorch]
    if others:
        _installOthers(others, ask=ask)


def _absent(requirements: Sequence[str]) -> list[str]:
    return [package for package in requirements if not _version(package.split(">=")[0])]


def _installTorch(*, ask: bool) -> None:
    try:
        import PyTorchUtils  # a Slicer extension; it exists only where it is installed
    except ModuleNotFoundError as error:
        if _offerExtension(ask=ask):
            raise DependencyError(_("The PyTorch extension was installed. Restart Slicer to go on.")) from error
        raise DependencyError(
            _(
                "PyTorch is installed by the PyTorch extension, which is absent. Open the Extensions Manager, install "
                "PyTorch, restart Slicer. HU threshold works without it."
            )
        ) from error
    torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(
        askConfirmation=ask, torchVersionRequirement=TORCH.package.removeprefix("torch")
    )
    if torch is None:
        raise DependencyError(_("PyTorch was not installed. HU threshold works without it."))


def _offerExtension(*, ask: bool) -> bool:
    """Install the PyTorch extension from the server, if the user agrees."""
    manager = slicer.app.extensionsManagerModel()
    if manager is None:
        return False
    text = _(
        "This method needs PyTorch (about 1 to 3 GB). Install the PyTorch extension now? Slicer must restart then."
    )
    if ask and not slicer.util.confirmOkCancelDisplay(text, _("Install PyTorch")):
        raise DependencyError(_("PyTorch was not installed. HU threshold works without it."))
    manager.interactive = False
    return bool(manager.installExtensionFromServer("PyTorch", False))


def _installOthers(requirements: list[str], *, ask: bool) -> None:
    try:
        from slicer import packaging  # Slicer 5.12 and later
    except ImportError:
        _installOthersPlainly(requirements, ask=ask)
        return
    try:
        packaging.pip_ensure(
            requirements, prompt_install=ask, prompt_restart=False, requester="ICHSegmenter", skip_in_testing=False
        )
    except Exception as error:  # RuntimeError: declined; CalledProcessError: pip failed
        raise DependencyError(_failedText(requirements, error)) from error


def _installOthersPlainly(requirements: list[str], *, ask: bool) -> None:
    text = _("This method needs {packages}. Install now?").format(packages=", ".join(requirements))
    if ask and not slicer.util.confirmOkCancelDisplay(text, _("Install Python packages")):
        raise DependencyError(_failedText(requirements, _("declined")))
    try:
        slicer.util.pip_install(requirements)
    except Exception as error:
        raise DependencyError(_failedText(requirements, error)) from error


def _failedText(requirements: Sequence[str], reason: object) -> str:
    return _(
        "{packages} could not be installed ({reason}). Check the network and proxy settings, then try again. "
        "HU threshold works without it."
    ).format(packages=", ".join(requirements), reason=reason)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
