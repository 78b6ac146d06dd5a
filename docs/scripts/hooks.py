"""MkDocs' hooks: pages that are derived from the code are made while the site is built, so that none can grow old."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import api_pages  # noqa: E402
import command_pages  # noqa: E402
import import_drawing  # noqa: E402
import method_pages  # noqa: E402
import repository_pages  # noqa: E402


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the API pages, one a top-level package or module, behind the pages that mkdocs.yml names."""
    pages = [{page.title: page.address} for page in api_pages.pages(ROOT)]
    config.nav = [*(config.nav or []), {"API": pages}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every derived page and copied picture."""
    texts: dict[str, str] = {page.address: page.text for page in api_pages.pages(ROOT)}
    texts |= repository_pages.pages(ROOT)
    texts["methods.md"] = method_pages.page()
    texts["verbs.md"] = command_pages.page()
    texts["assets/imports.svg"] = import_drawing.drawing(import_drawing.direct_imports())
    for address, text in texts.items():
        files.append(File.generated(config, address, content=text))
    for address, path in repository_pages.pictures(ROOT).items():
        files.append(File.generated(config, address, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show pictures where the site has them."""
    return repository_pages.with_pictures_of_the_site(markdown)
