"""Python packages are asked for once, and torch comes from the PyTorch extension only."""

import sys
import types

import pytest

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.errors import DependencyError

pytestmark = pytest.mark.slicer


@pytest.fixture
def dependencies(shell):
    from ICHSegmenterSlicer.client import dependencies

    return dependencies


@pytest.fixture
def installed(dependencies, monkeypatch):
    """The packages that seem to be installed."""
    versions = {}
    monkeypatch.setattr(dependencies, "_version", lambda name: versions.get(name, ""))
    monkeypatch.setattr("ICHSegmenterLib.cards.requirement.find_spec", versions.get)
    return versions


@pytest.fixture
def extension(monkeypatch):
    """A PyTorch extension; remembers how it was called."""
    calls = []

    class PyTorchUtilsLogic:
        answer = object()

        def installTorch(self, **options):
            calls.append(options)
            return self.answer

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic, module.calls = PyTorchUtilsLogic, calls
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return module


def test_the_classical_method_needs_nothing(dependencies, installed):
    assert dependencies.missing(get_card("hu-threshold")) == []


def test_networks_need_torch_and_some_more(dependencies, installed):
    assert dependencies.missing(get_card("blast-ct")) == ["torch>=2.4"]
    assert dependencies.missing(get_card("hgi-sam")) == ["torch>=2.4", "timm>=1.0.9"]
    installed.update(torch="2.6.0", timm="1.0.12")
    assert dependencies.missing(get_card("hgi-sam")) == []


def test_torch_is_installed_by_the_extension_after_asking(dependencies, extension):
    dependencies.install(["torch>=2.4"])
    assert extension.calls == [{"askConfirmation": True, "torchVersionRequirement": ">=2.4"}]


def test_a_declined_installation_says_what_works_without(dependencies, extension):
    extension.PyTorchUtilsLogic.answer = None
    with pytest.raises(DependencyError, match="HU threshold works without it"):
        dependencies.install(["torch>=2.4"])


def test_without_the_extension_it_is_installed_from_the_server_and_slicer_must_restart(dependencies, monkeypatch):
    import slicer

    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    manager, asked = slicer.app.extensionsManagerModel(), []
    monkeypatch.setattr(
        type(manager), "installExtensionFromServer", lambda self, *arguments: asked.append(arguments) or True
    )
    with pytest.raises(DependencyError, match="Restart Slicer"):
        dependencies.install(["torch>=2.4"], ask=False)
    assert asked == [("PyTorch", False)]


def test_without_extension_and_server_the_way_by_hand_is_told(dependencies, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(DependencyError, match="Open the Extensions Manager"):
        dependencies.install(["torch>=2.4"], ask=False)


def test_other_packages_go_through_slicers_packaging(dependencies, monkeypatch):
    from slicer import packaging

    calls = []
    monkeypatch.setattr(packaging, "pip_ensure", lambda names, **options: calls.append((names, options)))
    dependencies.install(["timm>=1.0.9"], ask=False)
    names, options = calls[0]
    assert names == ["timm>=1.0.9"]
    assert options["prompt_install"] is False
    assert options["requester"] == "ICHSegmenter"


def test_a_failed_installation_names_the_package_and_the_next_step(dependencies, monkeypatch):
    from slicer import packaging

    def fail(names, **options):
        raise RuntimeError("no network")

    monkeypatch.setattr(packaging, "pip_ensure", fail)
    with pytest.raises(DependencyError, match=r"timm.*no network.*proxy"):
        dependencies.install(["timm>=1.0.9"])
