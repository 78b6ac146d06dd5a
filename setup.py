"""Puts Resources/Models into the wheel: Slicer wants it beside the library, pip can only carry it inside."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODELS = Path("Resources", "Models")


def bundled_models() -> list[str]:
    """The weight files that ship with the program, and their cards."""
    return sorted(str(path) for pattern in ("*.safetensors", "*.json") for path in MODELS.glob(pattern))


class BuildWithModels(build_py):
    """Also copies the models to `ICHSegmenterLib/Resources/Models`, where `bundled_folder` looks first."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "ICHSegmenterLib", MODELS)
            self.mkpath(str(target))
            for path in bundled_models():
                self.copy_file(path, str(target))

    def get_source_files(self) -> list[str]:
        """What a source distribution must hold."""
        return [*super().get_source_files(), *bundled_models()]


setup(cmdclass={"build_py": BuildWithModels})
