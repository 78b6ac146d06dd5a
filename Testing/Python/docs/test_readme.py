"""What the README promises: its commands parse, its links and pictures exist, its table is the program's."""

from __future__ import annotations

import ast
import importlib
import re
import shlex

import pytest

from ICHSegmenterLib.cards.table import MODEL_CARDS
from ICHSegmenterLib.cli.main import main
from Testing import metadata

ROOT = metadata.ROOT
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODELS_PAGE = (ROOT / "Resources" / "Models" / "README.md").read_text(encoding="utf-8")
LIBRARY_COMMAND = "python -m ICHSegmenterLib "


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README + MODELS_PAGE, re.DOTALL)


def commands(start: str) -> list[str]:
    whole = (block.replace("\\\n", " ") for block in code_blocks("bash"))  # a line may go on after a backslash
    lines = (line.split(" #")[0].strip() for block in whole for line in block.splitlines())
    return [line for line in lines if line.startswith(start)]


@pytest.mark.parametrize("command", commands(LIBRARY_COMMAND))
def test_a_library_command_of_the_readme_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing is real; the verb itself is not run."""
    ran = []
    arguments = shlex.split(command.removeprefix(LIBRARY_COMMAND))
    parse = main.__globals__["_parser"]

    def parser_that_only_parses() -> object:
        parser = parse()
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
def test_a_make_target_of_the_readme_exists(command: str) -> None:
    target = command.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_methods_named_in_commands_exist() -> None:
    named = re.findall(r"--method ([\w-]+)", README) + re.findall(r"models download ([\w-]+)", README)
    assert named
    assert set(named) <= set(MODEL_CARDS)


def test_the_table_lists_every_method() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", README.split("## Methods")[1], re.MULTILINE)
    assert sorted(rows) == sorted(MODEL_CARDS)


def test_the_page_of_the_bundled_models_says_what_they_learned_from_and_how_to_repeat_it() -> None:
    assert "Trained on synthetic bleeds" in MODELS_PAGE
    trained = re.findall(r"^python -m ICHSegmenterLib train ([\w-]+)", MODELS_PAGE, re.MULTILINE)
    shipped = [name for name in MODEL_CARDS if f"`{name}.safetensors`" in MODELS_PAGE]
    assert list(dict.fromkeys(trained)) == shipped != []
    assert set(shipped) == {path.stem for path in (ROOT / "Resources" / "Models").glob("*.safetensors")}


def test_every_doi_of_a_card_is_cited() -> None:
    assert [card.name for card in MODEL_CARDS.values() if card.doi and card.doi not in README] == []


def test_linked_files_and_pictures_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    local = [target for target in targets if "://" not in target and not target.startswith("10.")]
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_scripts_that_commands_run_exist() -> None:
    scripts = re.findall(r"--python-script (\S+)", README)
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
