"""What README and documentation promise: commands parse, links and pictures exist, the table is the program's."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from ICHSegmenterLib.cards.table import MODEL_CARDS
from ICHSegmenterLib.cli.main import main
from Testing import metadata

ROOT = metadata.ROOT
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODELS_PAGE = (ROOT / "Resources" / "Models" / "README.md").read_text(encoding="utf-8")
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
PAGES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))}
PAGES |= {ROOT / name: (ROOT / name).read_text(encoding="utf-8") for name in ROOT_PAGES}
EVERYTHING = "\n".join([*PAGES.values(), MODELS_PAGE])
COMMAND = "ichsegmenter "
MODULE_COMMANDS = ("python -m ICHSegmenterLib ", "torchrun --nproc-per-node 4 -m ICHSegmenterLib ")
MAX_README_LINES, MAX_COLUMNS = 130, 120
MADE_WITH_THE_SITE = ("methods.md", "verbs.md", "bundled-models.md", "contributing.md", "changelog.md", "imports.svg")
"""Pages and pictures that only the site has; its strict build checks the links to them."""


def code_blocks(language: str, text: str = EVERYTHING) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(*starts: str) -> list[str]:
    whole = (block.replace("\\\n", " ") for block in code_blocks("bash"))  # a line may go on after a backslash
    lines = (line.split(" #")[0].strip() for block in whole for line in block.splitlines())
    return list(dict.fromkeys(line for line in lines if line.startswith(starts)))


@pytest.mark.parametrize("command", commands(COMMAND, *MODULE_COMMANDS))
def test_a_library_command_of_the_texts_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing is real; the verb itself is not run."""
    ran = []
    (start,) = (start for start in (COMMAND, *MODULE_COMMANDS) if command.startswith(start))
    arguments = shlex.split(command.removeprefix(start))
    parse = main.__globals__["_parser"]

    def parser_that_only_parses(words: list[str]) -> object:
        parser = parse(words)
        understand = parser.parse_args

        def parse_args(words: list[str]) -> object:
            chosen = understand(words)
            chosen.run = lambda it: ran.append(it) or 0
            return chosen

        parser.parse_args = parse_args
        return parser

    monkeypatch.setitem(main.__globals__, "_parser", parser_that_only_parses)
    assert main(arguments) == 0
    assert len(ran) == 1


def test_a_verb_that_does_not_exist_would_be_noticed() -> None:
    assert main(["outline", "exam/"]) == 2


@pytest.mark.parametrize("command", commands("make "))
def test_a_make_target_of_the_texts_exists(command: str) -> None:
    target = command.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_methods_named_in_commands_exist() -> None:
    named = re.findall(r"--method ([\w-]+)", EVERYTHING) + re.findall(r"models download ([\w-]+)", EVERYTHING)
    assert len(named) > 5
    assert set(named) <= set(MODEL_CARDS)


def test_the_table_lists_every_method() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", README.split("## Methods")[1], re.MULTILINE)
    assert sorted(rows) == sorted(MODEL_CARDS)


def test_the_page_of_the_bundled_models_says_what_they_learned_from_and_how_to_repeat_it() -> None:
    assert "Trained on synthetic bleeds" in MODELS_PAGE
    trained = re.findall(r"^ichsegmenter train ([\w-]+)", MODELS_PAGE, re.MULTILINE)
    shipped = [name for name in MODEL_CARDS if f"`{name}.safetensors`" in MODELS_PAGE]
    assert list(dict.fromkeys(trained)) == shipped != []
    assert set(shipped) == {path.stem for path in (ROOT / "Resources" / "Models").glob("*.safetensors")}


def test_every_doi_of_a_card_is_cited() -> None:
    assert [card.name for card in MODEL_CARDS.values() if card.doi and card.doi not in README] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_files_and_pictures_exist(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", PAGES[page])
    local = [target for target in targets if "://" not in target and not target.startswith("10.")]
    written = [target for target in local if Path(target).name not in MADE_WITH_THE_SITE and "api/" not in target]
    assert [target for target in written if not (page.parent / target).exists()] == []


def test_the_readme_links_every_page_that_is_written() -> None:
    not_linked = {page.name for page in PAGES if f"({page.relative_to(ROOT).as_posix()})" not in README}
    assert not_linked == {"README.md", "index.md"}


def test_the_readme_is_short_and_its_lines_too() -> None:
    lines = README.splitlines()
    assert len(lines) <= MAX_README_LINES
    assert [line for line in lines if len(line) > MAX_COLUMNS] == []


def test_the_readme_names_the_installed_command_first() -> None:
    assert 0 < README.index(COMMAND) < README.index("python -m ICHSegmenterLib")


def test_the_texts_give_every_verb_as_the_installed_command() -> None:
    """Only what cannot be started otherwise names the module: torchrun and the worker."""
    blocks = code_blocks("bash")
    assert [line for block in blocks for line in block.splitlines() if line.startswith(MODULE_COMMANDS[0])] == []


def test_the_texts_name_the_sample_data_as_the_program_does() -> None:
    program = (ROOT / "ICHSegmenter" / "ICHSegmenterSlicer" / "scene" / "sample.py").read_text(encoding="utf-8")
    (category,) = re.findall(r'category="([^"]+)"', program)
    for text in (README, PAGES[ROOT / "docs" / "tutorial.md"]):
        assert f"*Sample Data > {category}*" in " ".join(text.split())


def test_scripts_that_commands_run_exist() -> None:
    scripts = re.findall(r"--python-script (\S+)", EVERYTHING)
    assert scripts
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


@pytest.mark.parametrize("block", code_blocks("python"))
def test_names_imported_by_an_example_exist(block: str) -> None:
    imports = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = importlib.import_module(str(node.module))
        assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_readme_says_that_it_is_for_research_and_uploads_nothing() -> None:
    assert "Not a medical device" in README
    assert "Nothing is uploaded" in README
    assert "Nothing is uploaded" in (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
