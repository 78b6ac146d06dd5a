"""Starting weights: files of timm's Swin and Swin V2 and of ResNet-50, made here with random numbers."""

from __future__ import annotations

import logging

import pytest

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
pytest.importorskip("lightning", reason="needs the train extra")

from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2

from ICHSegmenterLib.errors import DownloadError, WeightsError
from ICHSegmenterLib.methods.rsna_sequence.pretrained import backbone_from_timm
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.training.initial_weights import start_from

SEQUENCE = {"embed_dim": 8, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)}
SMALL = {"window_size": 4, "embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2)}
CLASSIFIER = {"num_classes": 2, "image_size": 32, **SMALL}


def swin(**config):
    torch.manual_seed(0)
    return SwinTransformer(num_classes=10, **config).eval()


@pytest.fixture
def small_swin():
    return swin(img_size=32, window_size=4, embed_dim=8, depths=(2, 2), num_heads=(1, 2))


def test_timms_swin_fills_the_whole_classifier_but_its_head(small_swin, tmp_path):
    torch.save(small_swin.state_dict(), tmp_path / "swin.pth")
    network = create_model("swin_classifier", **CLASSIFIER)
    taken, total = start_from(network, tmp_path / "swin.pth")
    assert total - taken == 2  # weight and bias of the head
    slices = torch.rand(2, 3, 32, 32)
    expected = small_swin.forward_head(small_swin.forward_features(slices), pre_logits=True)
    torch.testing.assert_close(network.swin(slices), expected)


def test_position_tables_of_another_window_are_resized(tmp_path):
    other = swin(img_size=64, window_size=8, embed_dim=8, depths=(2, 2), num_heads=(1, 2))
    torch.save({"model": other.state_dict()}, tmp_path / "swin.pth")
    network = create_model("swin_classifier", **CLASSIFIER)
    taken, total = start_from(network, tmp_path / "swin.pth")
    assert total - taken == 2
    assert network.swin.layers[0].blocks[0].attn.relative_position_bias_table.shape == (49, 1)


def test_swin_v2_is_refused_where_attention_works_in_another_way(tmp_path):
    torch.manual_seed(0)
    other = SwinTransformerV2(img_size=32, window_size=4, embed_dim=8, depths=(2, 2), num_heads=(1, 2))
    torch.save(other.state_dict(), tmp_path / "v2.pth")
    with pytest.raises(WeightsError, match="is a Swin V2"):
        start_from(create_model("swin_classifier", **CLASSIFIER), tmp_path / "v2.pth")


def test_timms_swin_fills_the_backbone_of_the_sequence_transformer(tmp_path):
    other = swin(img_size=224, window_size=7, **SEQUENCE)
    torch.save(other.state_dict(), tmp_path / "swin.pth")
    network = create_model("slice_sequence_transformer", **SEQUENCE)
    start_from(network, tmp_path / "swin.pth")
    missing = set(network.backbone.state_dict()) - {
        key.removeprefix("backbone.") for key in backbone_from_timm(other.state_dict())
    }
    assert missing == {"fc.weight", "fc.bias"}
    slices = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(network.backbone.patch_embedding(slices), other.patch_embed(slices))
    merged = torch.rand(1, 56, 56, 8)
    torch.testing.assert_close(network.backbone.stages[0].downsample(merged), other.layers[1].downsample(merged))


def test_swin_v2_gives_its_blocks_and_its_position_bias_as_a_table(tmp_path):
    torch.manual_seed(0)
    other = SwinTransformerV2(img_size=224, window_size=7, **SEQUENCE)
    for block in (block for layer in other.layers for block in layer.blocks):
        torch.nn.init.normal_(block.attn.q_bias)
        torch.nn.init.normal_(block.attn.v_bias)
    torch.save(other.state_dict(), tmp_path / "v2.pth")
    network = create_model("slice_sequence_transformer", **SEQUENCE)
    start_from(network, tmp_path / "v2.pth")
    theirs, ours = other.layers[2].blocks[1], network.backbone.stages[2].blocks[1]
    table = 16 * torch.sigmoid(theirs.attn.cpb_mlp(theirs.attn.relative_coords_table)).view(-1, 4)
    torch.testing.assert_close(ours.attn.relative_position_bias_table.detach(), table.detach())
    torch.testing.assert_close(ours.attn.qkv.bias[:32], theirs.attn.q_bias)
    assert not ours.attn.qkv.bias[32:64].any()
    torch.testing.assert_close(ours.attn.qkv.bias[64:], theirs.attn.v_bias)
    tokens = torch.rand(1, 5, 32)
    torch.testing.assert_close(ours.norm2(ours.mlp(tokens)), theirs.norm2(theirs.mlp(tokens)))


@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize("name", ["smart_net_up_single_cls", "smart_net_down_cls"])
def test_a_resnet_of_either_library_fills_the_encoder(library, name, tmp_path):
    torch.manual_seed(0)
    if library == "torchvision":
        from torchvision.models import resnet50

        color = resnet50()
    else:
        color = timm.create_model("resnet50", pretrained=False)
    torch.save(color.state_dict(), tmp_path / "resnet50.pth")
    network = create_model(name)
    taken, _ = start_from(network, tmp_path / "resnet50.pth", ("encoder.",))
    assert taken == len(network.encoder.state_dict())
    torch.testing.assert_close(network.encoder.conv1.weight, color.conv1.weight.sum(dim=1, keepdim=True))
    torch.testing.assert_close(network.encoder.layer3[0].downsample[0].weight, color.layer3[0].downsample[0].weight)


def test_timm_is_asked_for_a_network_by_name(small_swin, monkeypatch):
    names = []
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: names.append((name, pretrained)) or small_swin)
    start_from(create_model("swin_classifier", **CLASSIFIER), "timm:swin_base_patch4_window12_384.ms_in22k")
    assert names == [("swin_base_patch4_window12_384.ms_in22k", True)]


def test_a_network_that_timm_cannot_load_says_what_to_do(monkeypatch):
    def fail(name, pretrained):
        raise OSError("We couldn't connect to the hub")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(DownloadError, match="couldn't connect.*give its path as network.initial_weights"):
        start_from(create_model("swin_classifier", **CLASSIFIER), "timm:swin_base")


def test_training_a_head_on_random_frozen_features_warns(caplog, tmp_path):
    from ICHSegmenterLib.learning.recipe_file import load_recipe
    from ICHSegmenterLib.training.fit import TASKS, _initialize

    config = "config: {num_classes: 2, image_size: 32, window_size: 4, embed_dim: 8, depths: [2, 2], num_heads: [1, 2]}"
    recipe = load_recipe("hgi-sam", ["network={name: swin_classifier, " + config + "}"])
    with caplog.at_level(logging.WARNING):
        _initialize(TASKS[recipe.task](recipe, 0), recipe, 0, tmp_path)
    assert "frozen with random weights" in caplog.text
