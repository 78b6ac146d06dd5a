"""Derives what the repository says twice: CMake's file lists from the tree, addresses and names from pyproject.toml.

pyproject.toml is the one place where a maintainer fills in the address of the public repository and the contributors;
ICHSegmenterLib/__init__.py is the one place of the version.

`make metadata` rewrites the files; the tests call `stale_files()` and fail when that would change one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "SlicerICHSegmenter"
"""Name of the public repository: the last part of its address."""

FILES_WITH_ADDRESS = (
    "CMakeLists.txt",
    "CITATION.cff",
    "mkdocs.yml",
    "*.md",
    "docs/**/*.md",
    ".github/**/*.yml",
    "Testing/ExtensionsIndex/ICHSegmenter.json",
)
"""Patterns of the files that name the address."""
NOT_INSTALLED = {"__pycache__", "Screenshots", "Models"}
"""Folders whose files are not listed: screenshots are for the README and the Extensions Index only, and the models,
without what is written about them, are found by CMake itself."""


def public_home() -> str:
    """The address of the public repository, as pyproject.toml says it."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^Homepage = "(https://[^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise ValueError('pyproject.toml: [project.urls] has no line Homepage = "https://..."')
    return found.group(1)


def contributors() -> list[str]:
    """The authors, as pyproject.toml names them."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    authors = re.search(r"^authors = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    names = re.findall(r'name = "([^"]+)"', authors.group(1)) if authors else []
    if not names:
        raise ValueError('pyproject.toml: [project] has no line authors = [{ name = "..." }]')
    return names


def version() -> str:
    """The version, as ICHSegmenterLib/__init__.py says it."""
    text = (ROOT / "ICHSegmenterLib" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise ValueError('ICHSegmenterLib/__init__.py has no line __version__ = "..."')
    return found.group(1)


def cmake_lists() -> dict[str, dict[str, list[str]]]:
    """For each CMakeLists.txt and variable, the paths that the tree says should be listed."""
    library = _files("ICHSegmenterLib")
    module = ROOT / "ICHSegmenter"
    return {
        "CMakeLists.txt": {
            "ICHSEGMENTER_LIB_SCRIPTS": [path for path in library if path.endswith(".py")],
            "ICHSEGMENTER_RESOURCES": [path for path in library if not path.endswith(".py")] + _files("Resources"),
        },
        "ICHSegmenter/CMakeLists.txt": {
            "MODULE_PYTHON_SCRIPTS": [
                str(Path(path).relative_to(module.name).as_posix())
                for path in _files(module.name)
                if path.endswith(".py")
            ],
        },
    }


def expected_texts() -> dict[str, str]:
    """What each derived file should hold: path from the root to its text."""
    paths = sorted({path for pattern in FILES_WITH_ADDRESS for path in ROOT.glob(pattern)})
    home = public_home()
    texts = {path.relative_to(ROOT).as_posix(): _with_address(path.read_text(encoding="utf-8"), home) for path in paths}
    names = contributors()
    texts["CMakeLists.txt"] = re.sub(
        r'(?m)^(set\(EXTENSION_CONTRIBUTORS ").*("\))$',
        lambda line: line.group(1) + ", ".join(names) + line.group(2),
        texts["CMakeLists.txt"],
    )
    texts["CITATION.cff"] = re.sub(
        r"(?m)^authors:\n(?:  - .*\n)+",
        lambda _: "authors:\n" + "".join(f"  - name: {name}\n" for name in names),
        texts["CITATION.cff"],
    )
    texts["CITATION.cff"] = re.sub(r"(?m)^version: .*$", f"version: {version()}", texts["CITATION.cff"])
    for name, variables in cmake_lists().items():
        text = texts.get(name) or (ROOT / name).read_text(encoding="utf-8")
        for variable, paths in variables.items():
            text = _with_list(text, variable, paths)
        texts[name] = text
    return texts


def stale_files() -> list[str]:
    """Files that `make metadata` would change."""
    return [name for name, text in expected_texts().items() if (ROOT / name).read_text(encoding="utf-8") != text]


def _files(folder: str) -> list[str]:
    """Paths from the root of all files under a folder, sorted, without caches and hidden files."""
    found: Iterable[Path] = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in found
        if not NOT_INSTALLED.intersection(path.parts) and not any(part.startswith(".") for part in path.parts)
    )


def _with_address(text: str, home: str) -> str:
    owner = home.removesuffix(f"/{PROJECT}").rsplit("/", 1)[-1]
    pattern = rf"(https://(?:raw\.githubusercontent|github)\.com/)[\w.-]+(/{PROJECT})"
    return re.sub(pattern, rf"\g<1>{owner}\g<2>", text)


def _with_list(text: str, variable: str, paths: list[str]) -> str:
    lines = [f"# >>> {variable}", f"set({variable}", *(f"  {path}" for path in paths), "  )", "# <<<"]
    pattern = rf"# >>> {variable}\n.*?# <<<"
    if not re.search(pattern, text, re.DOTALL):
        raise ValueError(f"no markers '# >>> {variable}' and '# <<<' to write the list between")
    return re.sub(pattern, lambda _: "\n".join(lines), text, count=1, flags=re.DOTALL)


def main(arguments: list[str]) -> int:
    """Print which files are stale; with --write, rewrite them."""
    stale = stale_files()
    for name in stale:
        if "--write" in arguments:
            (ROOT / name).write_text(expected_texts()[name], encoding="utf-8", newline="\n")
        print(("rewrote " if "--write" in arguments else "stale: ") + name)
    return 0 if "--write" in arguments or not stale else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
