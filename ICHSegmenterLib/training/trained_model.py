"""The files of a trained model: weights as safetensors, and a model card with versions as JSON."""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from ICHSegmenterLib import __version__
from ICHSegmenterLib.cards.table import ModelCard, card_facts, get_card
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.weights.digests import hash_file
from ICHSegmenterLib.weights.own_file import own_card

PACKAGES = ("torch", "lightning", "monai", "timm", "numpy")


def write_trained_model(network: nn.Module, recipe: Recipe, folder: Path, results: Mapping[str, float]) -> Path:
    """Write `NAME.safetensors` and `NAME.json`; the weights load by `--weights`.

    Args:
        network: Filled with the best weights.
        recipe: Resolved.
        folder: Output folder of the training.
        results: Metrics of the best epoch.
    """
    from safetensors.torch import save_file  # only for writing

    path = folder / f"{recipe.name}.safetensors"
    kind = torch.float16 if recipe.saved_as == "float16" else torch.float32
    state = {
        key: (tensor.to(kind) if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for key, tensor in network.state_dict().items()
    }
    with replacing(path) as draft:
        save_file(state, draft)
    card = {
        **card_facts(trained_card(recipe)),
        "recipe": recipe.name,
        "weights": path.name,
        "sha256": hash_file(path),
        "size": path.stat().st_size,
        "results": dict(results),
        "made_with": code_version(),
    }
    with replacing(path.with_suffix(".json")) as draft:
        draft.write_text(json.dumps(card, indent=1), encoding="utf-8")
    return path


def trained_card(recipe: Recipe) -> ModelCard:
    """The card of the method with this recipe's network and preprocessing, and its own title and license."""
    card = own_card(get_card(recipe.method), recipe.name, recipe.license)
    return dataclasses.replace(
        card,
        title=recipe.title or card.title,
        summary=recipe.summary or card.summary,
        network=recipe.network.name,
        network_config=recipe.network.config,
        preprocessing=recipe.preprocessing_spec(),
        limits=f"Trained with the recipe {recipe.name} on data in the {recipe.data.layout} layout. Research only.",
    )


def code_version() -> dict[str, str]:
    """Versions of this library, of its source if it is a clone, and of what it stands on."""
    versions = {"ichsegmenter": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    try:
        command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
        versions["commit"] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        versions["commit"] = "unknown: not a git clone"
    return versions


def network_weights(path: Path) -> dict[str, torch.Tensor]:
    """The network's part of a Lightning checkpoint."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "network."
    return {key[len(prefix) :]: one for key, one in content["state_dict"].items() if key.startswith(prefix)}
