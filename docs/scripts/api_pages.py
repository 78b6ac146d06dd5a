"""The API pages: one for each top-level package or module of the library, with every public module in it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "ICHSegmenterLib"
WITHOUT_PAGE = ("cli",)
"""The command line has pages of its own."""
INTRODUCTION = """# {title}

{summary}
"""


@dataclass(frozen=True)
class Page:
    """One page of the site.

    Attributes:
        address: Path from the folder of the documentation.
    """

    title: str
    address: str
    text: str


def pages(root: Path) -> list[Page]:
    """The page of the package itself, then one a package or module below it, by name."""
    package = root / PACKAGE
    below = sorted(path for path in package.iterdir() if _is_public(path))
    return [_page(package / "__init__.py", root), *(_page(path, root) for path in below)]


def modules(path: Path, root: Path) -> list[str]:
    """Dotted names of the public modules in a package (those that say something) or of one module."""
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    public = [file for file in files if not _is_private(file.relative_to(root)) and file.read_text().strip()]
    return [_dotted(file.relative_to(root)) for file in public]


def _page(path: Path, root: Path) -> Page:
    name = PACKAGE if path.name == "__init__.py" else path.stem
    title = name if name == PACKAGE else f"{PACKAGE}.{name}"
    summary = _first_paragraph(path / "__init__.py" if path.is_dir() else path)
    text = INTRODUCTION.format(title=f"`{title}`", summary=summary)
    blocks = "\n".join(f"::: {module}\n" for module in modules(path, root))
    return Page(name, f"api/{name}.md", f"{text}\n{blocks}")


def _is_public(path: Path) -> bool:
    is_module = path.suffix == ".py" and not path.name.startswith("_")
    is_package = path.is_dir() and any(path.rglob("*.py"))
    return (is_module or is_package) and path.stem not in WITHOUT_PAGE


def _is_private(path: Path) -> bool:
    return any(part.startswith("_") and part != "__init__.py" for part in path.parts)


def _dotted(path: Path) -> str:
    return ".".join(part for part in path.with_suffix("").parts if part != "__init__")


def _first_paragraph(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    return (docstring or "").partition("\n\n")[0]
