"""Authors' weight files to safetensors with our keys and a card beside it that says where they come from."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from ICHSegmenterLib import __version__
from ICHSegmenterLib.cards.own import CARD_SUFFIX
from ICHSegmenterLib.cards.table import ModelCard, card_facts, weights_by_sha256
from ICHSegmenterLib.errors import DependencyError, WeightsError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.methods.from_card import load_network_and_config
from ICHSegmenterLib.weights.digests import file_sha256, hash_file
from ICHSegmenterLib.weights.own_file import OwnFacts, card_with
from ICHSegmenterLib.weights.sidecar import WEIGHTS_SUFFIX

UNKNOWN_LICENSE = "not known: that of the source file"


def convert(
    source: Path, card: ModelCard, output: Path | None = None, *, license_text: str = "", title: str = ""
) -> Path:
    """Write `output` and, beside it, its card as JSON; both load by `--weights` and by import.

    Args:
        source: .pth, .pt, .ckpt, .npz, .pdparams or .safetensors.
        card: Of the method that the file belongs to.
        output: Ends in .safetensors; by default the source's name with that ending, in the working folder.
        license_text: Of the source; by default what is known of a published file.
        title: Of weights of one's own; by default the name of the source.

    Returns:
        The file written.

    Raises:
        WeightsError: The source does not fit the method, or the output has another ending.
        OutputError: The output cannot be written.
        DependencyError: safetensors is not installed.
    """
    output = Path(f"{source.stem}{WEIGHTS_SUFFIX}") if output is None else output
    if output.suffix != WEIGHTS_SUFFIX or output.resolve() == source.resolve():
        raise WeightsError(f"{output}: name another file that ends in {WEIGHTS_SUFFIX}.")
    if not card.needs_weights:
        raise WeightsError(f"{card.name} is a classical method and has no weights to convert.")
    try:
        from safetensors.torch import save_file  # only for writing
    except ModuleNotFoundError as error:
        raise DependencyError("Converting needs the Python package 'safetensors'.") from error
    network, config = load_network_and_config(card, source)
    state = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in network.state_dict().items()}
    with replacing(output) as draft:
        save_file(state, draft)
    digest = file_sha256(source)
    published = weights_by_sha256().get(digest)
    facts = {
        **card_facts(card_with(card, [source], OwnFacts(title=title))),
        "network_config": dict(config),
        "license": license_text or (published.license if published else UNKNOWN_LICENSE),
        "weights": output.name,
        "sha256": hash_file(output),
        "size": output.stat().st_size,
        "source": {"file": published.name if published else source.name, "sha256": digest},
        "version": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    with replacing(output.with_suffix(CARD_SUFFIX)) as draft:
        draft.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return output
