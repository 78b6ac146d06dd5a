"""A method and weights as somebody outside the program makes them: one JSON card, and a small network beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

OWN_CARD: dict[str, Any] = {
    "format_version": 2,
    "name": "my-unet",
    "title": "U-Net of our department",
    "summary": "Outlines blood slice by slice",
    "predictor": "unet",
    "network": "unet",
    "network_config": {"variant": "final", "widths": [4, 8, 16]},
    "options": {"tta": False, "min_pixels": 3},
    "requirements": ["torch"],
    "preprocessing": {
        "kind": "SlicePreprocessing",
        "windows": [{"level": 45, "width": 90}, {"level": 80, "width": 200}, {"level": 600, "width": 2800}],
        "resize": 64,
        "crop": 64,
        "normalization": "window",
    },
    "labels": ["ICH"],
    "threshold": 0.3,
    "detection_threshold": 0.4,
    "license": "CC-BY-4.0",
    "paper": "None",
    "limits": "Ours only",
}
"""As a stranger writes it."""
SUBTYPE_CHANGES: dict[str, Any] = {
    "network_config": {"variant": "release", "num_classes": 6, "widths": [4, 8, 16]},
    "labels": ["EDH", "IPH", "IVH", "SAH", "SDH"],
    "labelmap_rule": "sum",
    "knows_subtypes": True,
    "options": {"tta": True, "suppress_bone": True, "min_pixels": 21},
}
"""Changes to that card for a U-Net that tells the subtypes of slices."""


def write_card(path: Path, **changes: Any) -> Path:
    """The card as a file."""
    path.write_text(json.dumps({**OWN_CARD, **changes}))
    return path


def write_network(path: Path, *, seed: int = 0, **config: Any) -> Path:
    """Random weights of a U-Net, of the card's configuration unless another is given."""
    import torch

    from ICHSegmenterLib.models import create_model

    torch.manual_seed(seed)
    torch.save(create_model("unet", **(config or OWN_CARD["network_config"])).state_dict(), path)
    return path


def file_facts(path: Path) -> dict[str, Any]:
    """What a card says of the weight file beside it."""
    content = path.read_bytes()
    return {"weights": path.name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
