"""Weights from a file into a network: PyTorch, safetensors, NumPy and Paddle files, with strict and telling checks."""

from __future__ import annotations

import logging
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ICHSegmenterLib.checkpoints.safetensors_file import read_safetensors
from ICHSegmenterLib.errors import WeightsCorruptError, WeightsError, WeightsMissingError
from ICHSegmenterLib.notices.cause_notice import Cause

State = dict[str, torch.Tensor]

_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "params")
"""Entries under which training scripts put the weights beside the optimizer's state."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.")
"""Prefixes that DataParallel, torch.compile and Lightning write before every key."""
COLORS = 3
"""Input channels of a network trained on photographs."""
_NAMED = 3
"""How many keys an error names."""

MAX_GROWTH = 20
"""Times the size of a compressed weight file that its content may have."""
SMALL_BYTES = 64 << 20
"""What any file may become: new weights are zeros in part."""

_log = logging.getLogger(__name__)


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Fill a network with the weights of a file.

    A network may have `convert_keys(state) -> state`: it translates the authors' key names and layouts.

    Args:
        model: network as `create_model` builds it; changed only if the whole file fits.
        path: .pth, .pt, .ckpt, .safetensors, .npz or .pdparams.

    Raises:
        WeightsMissingError: there is no such file.
        WeightsCorruptError: the file is truncated, holds code, or has values that are not finite.
        WeightsError: it is of an unknown kind, or its weights belong to another network.
    """
    path = Path(path)
    state = _without_prefix(_read(path), set(model.state_dict()))
    convert: Callable[[State], Mapping[str, torch.Tensor]] | None = getattr(model, "convert_keys", None)
    if convert is not None:
        try:
            state = dict(convert(state))
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            raise WeightsError(
                f"{path.name}: its weights cannot be translated for {type(model).__name__} ({error}); "
                "choose the file that was published for this method.",
                Cause.OTHER_NETWORK,
            ) from error
    _check_fits(model, state, path.name)
    _check_finite(state, path.name)
    model.load_state_dict(state, strict=True)
    _log.info("%s: %d tensors loaded into %s", path.name, len(state), type(model).__name__)


def load_encoder(model: nn.Module, path: str | Path) -> None:
    """Fill only the `encoder` of a network: from a network with the same encoder, or from torchvision's ResNet-50.

    Everything else keeps its initial weights, decoders too. Of a network for color images the first convolution is
    summed over the three inputs, so that a gray image gives what it gave as three equal channels.

    Args:
        model: Has a submodule `encoder`; changed only if all of its tensors are found.
        path: As for `load_checkpoint`.

    Raises:
        WeightsError: As `load_checkpoint`; what the file holds besides the encoder does not matter.
    """
    path = Path(path)
    encoder = model.get_submodule("encoder")
    expected = set(encoder.state_dict())
    state = _read(path)
    state = _without_prefix(state, {f"encoder.{key}" for key in expected})
    inside = {key.removeprefix("encoder."): tensor for key, tensor in state.items() if key.startswith("encoder.")}
    tensors = {key: tensor for key, tensor in (inside or state).items() if key in expected}
    first = tensors.get("conv1.weight")
    if first is not None and first.ndim == 4 and first.shape[1] == COLORS:
        tensors["conv1.weight"] = first.sum(dim=1, keepdim=True)
    _check_fits(encoder, tensors, path.name)
    _check_finite(tensors, path.name)
    encoder.load_state_dict(tensors, strict=True)
    _log.info("%s: %d tensors loaded into the encoder of %s", path.name, len(tensors), type(model).__name__)


def read_state(path: str | Path) -> State:
    """The tensors of a weight file under its own key names, unchecked; to start a training from part of them.

    Raises:
        WeightsError: As `load_checkpoint`, if the file cannot be read.
    """
    return _read(Path(path))


def _read(path: Path) -> State:
    if not path.is_file():
        raise WeightsMissingError(
            f"{path}: no such weight file; download it or choose Import from file.", Cause.OUT_OF_REACH
        )
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise WeightsError(
            f"{path.name}: unknown kind of weight file; known are {', '.join(_READERS)}.", Cause.NO_WEIGHTS
        )
    return _unwrapped(reader(path), path.name)


def _read_torch(path: Path) -> Any:
    _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights only" in str(error).lower() and zipfile.is_zipfile(path):
            raise WeightsCorruptError(
                f"{path.name}: holds Python objects besides weights; running code from a weight file is not allowed. "
                "Save the network's state_dict() alone.",
                Cause.WEIGHTS_WITH_CODE,
            ) from error
        raise _truncated(path, error) from error
    except Exception as error:  # a damaged pickle may fail in any way
        raise _truncated(path, error) from error


def _read_safetensors(path: Path) -> Any:
    try:
        return read_safetensors(path)
    except (OSError, ValueError, RecursionError, OverflowError) as error:
        raise _truncated(path, error) from error


def _read_npz(path: Path) -> Any:
    _check_archive(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except ValueError as error:  # NumPy's word for an array of objects or a file of pickled data
        raise WeightsCorruptError(
            f"{path.name}: is not a NumPy archive of plain arrays; pickled objects are not read. "
            "Save it with np.savez.",
            Cause.WEIGHTS_WITH_CODE,
        ) from error
    except Exception as error:  # a damaged archive may fail in any way
        raise _truncated(path, error) from error


def _read_pdparams(path: Path) -> Any:
    from ICHSegmenterLib.checkpoints.pdparams import read_pdparams  # its unpickler serves only Paddle's files

    return read_pdparams(path)


_READERS: dict[str, Callable[[Path], Any]] = {
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".ckpt": _read_torch,
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".pdparams": _read_pdparams,
}


def _check_archive(path: Path) -> None:
    """Refuse an archive that becomes far larger than its file; weights hardly compress."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            inside = sum(member.file_size for member in archive.infolist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):  # no archive, or a damaged one
        return
    if inside > MAX_GROWTH * size + SMALL_BYTES:
        raise WeightsCorruptError(
            f"{path.name}: {size} bytes would become {inside}; weights do not compress so well. "
            "The file is damaged, or made to do harm: get it from its authors again.",
            Cause.WEIGHTS_DAMAGED,
        )


def _truncated(path: Path, error: Exception) -> WeightsCorruptError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return WeightsCorruptError(
        f"{path.name}: cannot be read ({path.stat().st_size} bytes; {reason[0][:120]}). "
        "It is incomplete or altered: download or import it again.",
        Cause.WEIGHTS_DAMAGED,
    )


def _unwrapped(content: Any, name: str) -> State:
    """The mapping of keys to tensors inside whatever a training script saved around it."""
    for _ in _WRAPPERS:  # not longer: a mapping may hold itself
        if not isinstance(content, Mapping) or _is_state(content):
            break
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not _is_state(content):
        raise WeightsError(
            f"{name}: holds no weights (found {_described(content)}); a state_dict is expected.", Cause.NO_WEIGHTS
        )
    try:
        state = {key: torch.as_tensor(value) for key, value in content.items()}
    except (TypeError, ValueError, RuntimeError) as error:  # arrays of text, or of a kind that torch does not know
        raise WeightsCorruptError(f"{name}: holds arrays that are no weights ({error}).", Cause.NO_WEIGHTS) from error
    strange = [key for key, tensor in state.items() if tensor.layout != torch.strided or tensor.is_quantized]
    if strange or any(tensor.is_meta for tensor in state.values()):
        raise WeightsError(
            f"{name}: {_named(strange)} are sparse, quantized or empty; save them as plain tensors.", Cause.NO_WEIGHTS
        )
    return state


def _is_state(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(
        isinstance(key, str) and isinstance(value, (torch.Tensor, np.ndarray)) for key, value in content.items()
    )


def _described(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"entries {_named(map(str, content))}" if content else "nothing"
    return f"a {type(content).__name__}"


def _without_prefix(state: State, expected: set[str]) -> State:
    """Keys without the wrapper's prefix, if every key has it and the network itself does not use it."""
    for prefix in _PREFIXES:
        used_by_network = any(key.startswith(prefix) for key in expected)
        if not used_by_network and all(key.startswith(prefix) for key in state):
            return _without_prefix({key[len(prefix) :]: tensor for key, tensor in state.items()}, expected)
    return state


def _check_fits(model: nn.Module, state: State, name: str) -> None:
    expected = model.state_dict()
    network = type(model).__name__
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    differing = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    if len(missing) > len(expected) / 2:
        raise WeightsError(
            f"{name}: belongs to another network: {len(missing)} of the {len(expected)} tensors of {network} are not "
            f"in it ({_named(missing)}), its own are {_named(state)}. Choose the method that the file was made for.",
            Cause.OTHER_NETWORK,
        )
    if missing or unexpected:
        parts = [
            f"{len(keys)} {word} ({_named(keys)})"
            for keys, word in ((missing, "missing"), (unexpected, "unexpected"))
            if keys
        ]
        raise WeightsError(
            f"{name}: does not fit {network}: {' and '.join(parts)} tensors. "
            "It was made for another variant of this network; choose the method or variant that it belongs to.",
            Cause.OTHER_NETWORK,
        )
    if differing:
        raise _wrong_shapes(expected, state, differing, name, network)


def _wrong_shapes(
    expected: Mapping[str, torch.Tensor], state: State, differing: list[str], name: str, network: str
) -> WeightsError:
    """The last layer alone with another first dimension means another number of classes."""
    last_layer = list(expected)[-1].rsplit(".", 1)[0]
    if all(key.rsplit(".", 1)[0] == last_layer for key in differing):
        shape, expected_shape = (tensors[differing[0]].shape for tensors in (state, expected))
        if shape[1:] == expected_shape[1:]:
            return WeightsError(
                f"{name}: was trained for {shape[0]} classes, this method needs {expected_shape[0]}; "
                "choose the method or the file with the same number of classes.",
                Cause.OTHER_NETWORK,
            )
    shapes = [f"{key} {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}" for key in differing[:_NAMED]]
    return WeightsError(
        f"{name}: {len(differing)} tensors have other shapes than {network} needs: {'; '.join(shapes)}. "
        "It was made for another size of this network.",
        Cause.OTHER_NETWORK,
    )


def _check_finite(state: State, name: str) -> None:
    for key, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor.sum(dtype=torch.float32)):
            raise WeightsCorruptError(
                f"{name}: {key} has values that are not finite; the file is damaged or its training failed.",
                Cause.WEIGHTS_DAMAGED,
            )


def _named(keys: Any) -> str:
    """The first few keys, and how many more there are."""
    keys = list(keys)
    more = f", and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more
