"""Pages and pictures that stand elsewhere in the repository: read there, shown on the site, links made to fit."""

from __future__ import annotations

import re
from pathlib import Path

COPIED = {
    "develop/contributing.md": "CONTRIBUTING.md",
    "develop/changelog.md": "CHANGELOG.md",
}
FOLDERS_WITH_PICTURES = ("Resources/Screenshots", "Resources/Icons")


def pages(root: Path) -> dict[str, str]:
    """Address on the site to text."""
    texts = {address: _for_the_site(_text(root / name), address) for address, name in COPIED.items()}
    models = _text(root / "Resources" / "Models" / "README.md")
    texts["bundled-models.md"] = models.replace("../Screenshots/", "assets/")
    return texts


def with_pictures_of_the_site(text: str) -> str:
    """A page of docs/ with the pictures, which it names as they lie in the repository, as they lie on the site."""
    return text.replace("](../Resources/Screenshots/", "](assets/")


def pictures(root: Path) -> dict[str, Path]:
    """Address on the site to the picture in the repository."""
    paths = (path for folder in FOLDERS_WITH_PICTURES for path in sorted((root / folder).glob("*.png")))
    return {f"assets/{path.name}": path for path in paths}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _for_the_site(text: str, address: str) -> str:
    """Links to pages under docs/ made relative to the page that the text becomes; other files stay names."""
    up = "../" * address.count("/")
    text = re.sub(r"\]\(docs/([^)]+)\)", rf"]({up}\1)", text)
    return re.sub(r"\[([^\]]+)\]\((?!https?:|\.\./|#)([\w./-]+)\)", r"`\2`", text)
