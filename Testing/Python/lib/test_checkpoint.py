"""Weights from files: every supported kind and wrapper fits, and every bad file says what is wrong with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ICHSegmenterLib.checkpoints.checkpoint import read_state
from ICHSegmenterLib.errors import ModelNotFoundError, WeightsCorruptError, WeightsError, WeightsMissingError
from ICHSegmenterLib.models import MODEL_NAMES, create_model, load_checkpoint

SMALL_SWIN = {"image_size": 96, "window_size": 3, "embed_dim": 8, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 2, 4)}


def unet(seed=0, variant="release"):
    torch.manual_seed(seed)
    return create_model("unet", variant=variant)


def swin(seed=0, num_classes=2):
    torch.manual_seed(seed)
    return create_model("swin_classifier", num_classes=num_classes, **SMALL_SWIN)


def assert_same_weights(model, other):
    for key, tensor in other.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], tensor, rtol=0, atol=0, msg=key)


def layout_of_timm_0_6(state):
    """The published files' layout: downsampling counted to the stage before, and two buffers saved."""
    old = {}
    for key, tensor in state.items():
        parts = key.split(".")
        if "downsample" in parts:
            parts[2] = str(int(parts[2]) - 1)
        old[".".join(parts)] = tensor
    old["swin.layers.0.blocks.1.attn_mask"] = torch.zeros(64, 9, 9)
    old["swin.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(9, 9, dtype=torch.long)
    return old


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".npz", ".safetensors"])
def test_weights_survive_each_kind_of_file(tmp_path, suffix):
    saved, path = unet(seed=1), tmp_path / f"fold{suffix}"
    state = saved.state_dict()
    if suffix == ".npz":
        np.savez(path, **{key: tensor.numpy() for key, tensor in state.items()})
    elif suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, path)
    else:
        torch.save(state, path)
    model = unet(seed=2)
    load_checkpoint(model, path)
    assert_same_weights(model, saved)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.module."])
def test_usual_wrappers_and_prefixes_are_taken_off(tmp_path, wrapper, prefix):
    saved, path = unet(seed=1), tmp_path / "wrapped.pth"
    torch.save({"epoch": 3, wrapper: {prefix + key: tensor for key, tensor in saved.state_dict().items()}}, path)
    model = unet(seed=2)
    load_checkpoint(model, path)
    assert_same_weights(model, saved)


@pytest.mark.parametrize("layout", [dict, layout_of_timm_0_6])
def test_swin_weights_load_from_the_layout_of_timm_0_6_and_of_today(tmp_path, layout):
    saved, path = swin(seed=1), tmp_path / "SwinWeak.pth"
    torch.save(layout(saved.state_dict()), path)
    model = swin(seed=2)
    load_checkpoint(model, path)
    assert_same_weights(model, saved)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsMissingError, match=r"absent\.pth"):
        load_checkpoint(unet(), tmp_path / "absent.pth")


def test_unknown_kind_of_file_lists_the_known_ones(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"unknown kind.*\.safetensors"):
        load_checkpoint(unet(), path)


@pytest.mark.parametrize("suffix", [".pth", ".npz", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_truncated_file_is_called_incomplete(tmp_path, suffix, kept):
    path = tmp_path / f"cut{suffix}"
    state = unet().state_dict()
    if suffix == ".npz":
        np.savez(path, **{key: tensor.numpy() for key, tensor in state.items()})
    elif suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, path)
    else:
        torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(WeightsCorruptError, match="incomplete or altered"):
        load_checkpoint(unet(), path)


def test_every_kind_of_number_is_read_from_safetensors(tmp_path):
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool)
    state = {str(kind): (torch.arange(6).reshape(2, 3) - 2).to(kind) for kind in kinds}
    state |= {"scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4)}
    path = tmp_path / "kinds.safetensors"
    pytest.importorskip("safetensors.torch").save_file(state, path, metadata={"format": "pt"})
    found = read_state(path)
    assert found.keys() == state.keys()
    for key, tensor in state.items():
        assert found[key].dtype == tensor.dtype
        torch.testing.assert_close(found[key], tensor, rtol=0, atol=0)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"a": 3},
        {"a": {"dtype": "F7", "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}},
    ],
)
def test_a_safetensors_file_that_contradicts_itself_is_called_altered(tmp_path, header):
    path, text = tmp_path / "odd.safetensors", json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"1234")
    with pytest.raises(WeightsCorruptError, match="incomplete or altered"):
        read_state(path)


def test_half_precision_weights_with_a_large_sum_are_finite(tmp_path):
    model, path = unet(), tmp_path / "half.pth"
    state = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in model.state_dict().items()}
    name = next(key for key in state if key.endswith("weight"))
    state[name].fill_(6e4)
    torch.save(state, path)
    load_checkpoint(model, path)
    assert model.state_dict()[name].max() > 5e4


def test_web_page_saved_as_weights_is_called_altered(tmp_path):
    path = tmp_path / "fold0.pt"
    path.write_text("<html>404: not found</html>")
    with pytest.raises(WeightsCorruptError, match="incomplete or altered"):
        load_checkpoint(unet(), path)


def test_file_with_python_objects_is_refused_and_nothing_in_it_runs(tmp_path):
    marker = tmp_path / "ran"

    class Intruder:
        def __reduce__(self):
            return marker.touch, ()

    path = tmp_path / "evil.pth"
    torch.save({"state_dict": Intruder()}, path)
    with pytest.raises(WeightsCorruptError, match="not allowed"):
        load_checkpoint(unet(), path)
    assert not marker.exists()


def test_pickled_numpy_archive_is_refused(tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, head=np.array([{"a": 1}], dtype=object))
    with pytest.raises(WeightsCorruptError, match="plain arrays"):
        load_checkpoint(unet(), path)


def test_file_without_weights_says_what_it_holds(tmp_path):
    path = tmp_path / "log.pth"
    torch.save({"epoch": 3, "loss": 0.5}, path)
    with pytest.raises(WeightsError, match=r"holds no weights.*epoch, loss"):
        load_checkpoint(unet(), path)


def test_file_of_another_network_is_called_so(tmp_path):
    path = tmp_path / "swin.pth"
    torch.save(swin().state_dict(), path)
    with pytest.raises(WeightsError, match=r"another network.*UNet"):
        load_checkpoint(unet(), path)


def test_the_other_unet_variant_does_not_load_and_the_keys_are_named(tmp_path):
    path = tmp_path / "final.pth"
    torch.save(unet(variant="final").state_dict(), path)
    with pytest.raises(WeightsError, match=r"missing \(.*block\.3\.weight.*unexpected \(.*block\.2\.weight"):
        load_checkpoint(unet(), path)


def test_wrong_number_of_classes_is_told_with_both_numbers(tmp_path):
    path = tmp_path / "multi.pth"
    torch.save(swin(num_classes=6).state_dict(), path)
    with pytest.raises(WeightsError, match="trained for 6 classes, this method needs 2"):
        load_checkpoint(swin(num_classes=2), path)


def test_wrong_shape_is_told_with_both_shapes(tmp_path):
    path = tmp_path / "shape.pth"
    state = unet().state_dict()
    state["decoder.up-1.weight"] = torch.zeros(192, 96, 2, 2)
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"up-1\.weight \(192, 96, 2, 2\) instead of \(192, 96, 3, 3\)"):
        load_checkpoint(unet(), path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    path = tmp_path / "nan.pth"
    state = unet().state_dict()
    state["head.bias"][0] = value
    torch.save(state, path)
    with pytest.raises(WeightsCorruptError, match=r"head\.bias has values that are not finite"):
        load_checkpoint(unet(), path)


def test_network_is_unchanged_when_a_file_does_not_fit(tmp_path):
    path = tmp_path / "final.pth"
    torch.save(unet(seed=1, variant="final").state_dict(), path)
    model = unet(seed=2)
    with pytest.raises(WeightsError):
        load_checkpoint(model, path)
    assert_same_weights(model, unet(seed=2))


def test_unknown_network_name_lists_the_available_ones():
    with pytest.raises(ModelNotFoundError, match=r"'resnet'.*swin_classifier.*unet"):
        create_model("resnet")


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if name in ("unet", "deepmedic")])
def test_networks_are_made_in_evaluation_mode(name):
    assert not create_model(name).training
