"""Recipes as YAML files: found by name, changed from the command line, read into frozen data and written back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ICHSegmenterLib.errors import RecipeError, did_you_mean
from ICHSegmenterLib.files import typed_reader
from ICHSegmenterLib.learning.config import build
from ICHSegmenterLib.learning.recipe import Recipe

METHODS_FOLDER = Path(__file__).parents[1] / "methods"
"""Each method's room holds its recipes."""


def recipe_names() -> list[str]:
    """The recipes that come with the library."""
    return sorted(_recipe_files())


def load_recipe(name_or_file: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """A recipe by name or YAML file.

    Args:
        name_or_file: One of `recipe_names()`, or a file.
        changes: "key=value" with dots, such as "data.fold=2" or "phases.0.max_epochs=5"; values as YAML.

    Raises:
        RecipeError: Nothing of that name, no YAML, an unknown key, or a value of the wrong kind.
    """
    path = Path(name_or_file)
    if path.suffix not in (".yaml", ".yml"):
        path = _recipe_files().get(str(name_or_file), path)
    if not path.is_file():
        raise RecipeError(
            f"There is no recipe {name_or_file}; choose {', '.join(recipe_names())}, or a .yaml file."
            + did_you_mean(str(name_or_file), recipe_names())
        )
    content = _read_yaml(path)
    for change in changes:
        _change(content, change)
    return recipe_from(content)


@typed_reader(RecipeError)
def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path.name}: no valid YAML ({str(error).splitlines()[0]}).") from error


def _recipe_files() -> dict[str, Path]:
    """Recipe name to its file."""
    return {path.stem: path for path in METHODS_FOLDER.glob("*/*.yaml")}


def recipe_from(content: Any) -> Recipe:
    """A recipe from the content of YAML.

    Raises:
        RecipeError: An unknown key, a missing one, or a value of the wrong kind.
    """
    try:
        return build(Recipe, content, "")
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise RecipeError(f"A value of the recipe is impossible ({str(error)[:100]}). Correct it.") from error


def recipe_text(recipe: Recipe) -> str:
    """The resolved recipe as YAML; reading it gives an equal recipe."""
    return str(yaml.safe_dump(_plain(dataclasses.asdict(recipe)), sort_keys=False, allow_unicode=True, width=110))


def differences(first: Recipe, second: Recipe) -> list[str]:
    """Dotted keys in which two recipes differ."""
    before, after = (_flat(_plain(dataclasses.asdict(recipe))) for recipe in (first, second))
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def _change(content: Any, change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator:
        raise RecipeError(f"A change must look like data.fold=2, got {change!r}.")
    *parents, last = key.split(".")
    node = content
    for part in parents:
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict):
            node = node.setdefault(part, {})
        else:
            raise RecipeError(f"{key}: there is nothing called {part} to change.")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{key}: {text[:60]!r} is no value in YAML ({str(error).splitlines()[0]}).") from error
    if isinstance(node, list) and last.isdigit() and int(last) < len(node):
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise RecipeError(f"{key}: there is nothing called {last} to change.")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _flat(content: Any, where: str = "") -> dict[str, Any]:
    if isinstance(content, (dict, list)) and content:
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        return {key: leaf for name, inner in pairs for key, leaf in _flat(inner, f"{where}.{name}".lstrip(".")).items()}
    return {where: content}
