"""The encoder alone from a file: of another SMART-Net, or of torchvision's ResNet-50 for photographs."""

import pytest
import torch
from torchvision.models import resnet50

from ICHSegmenterLib.errors import WeightsCorruptError, WeightsError
from ICHSegmenterLib.models import create_model, load_encoder


@pytest.fixture(scope="module")
def upstream():
    torch.manual_seed(1)
    return create_model("smart_net_up_dual_cls_seg")


@pytest.fixture(scope="module")
def upstream_file(upstream, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "epoch_9_checkpoint.pth"
    torch.save({"model_state_dict": upstream.state_dict(), "epoch": 9}, path)
    return path


@pytest.fixture
def downstream():
    torch.manual_seed(2)
    return create_model("smart_net_down_seg")


def test_the_encoder_is_copied_with_its_statistics_and_the_decoder_is_not(upstream, upstream_file, downstream):
    decoder = {key: tensor.clone() for key, tensor in downstream.seg_decoder.state_dict().items()}
    upstream.encoder.bn1.running_mean.fill_(0.25)
    torch.save({"model_state_dict": upstream.state_dict()}, upstream_file)
    load_encoder(downstream, upstream_file)
    for key, tensor in downstream.encoder.state_dict().items():
        assert torch.equal(tensor, upstream.encoder.state_dict()[key]), key
    for key, tensor in downstream.seg_decoder.state_dict().items():
        assert torch.equal(tensor, decoder[key]), key


def test_keys_written_by_data_parallel_training_are_understood(upstream, downstream, tmp_path):
    torch.save({f"module.{key}": tensor for key, tensor in upstream.state_dict().items()}, tmp_path / "up.pt")
    load_encoder(downstream, tmp_path / "up.pt")
    assert torch.equal(downstream.encoder.conv1.weight, upstream.encoder.conv1.weight)


def test_color_weights_answer_a_gray_slice_as_three_equal_channels(downstream, tmp_path):
    torch.manual_seed(3)
    color = resnet50()
    torch.save(color.state_dict(), tmp_path / "imagenet.pth")
    load_encoder(downstream, tmp_path / "imagenet.pth")
    gray = torch.rand(1, 1, 24, 24)
    expected = torch.nn.functional.conv2d(gray.expand(-1, 3, -1, -1), color.conv1.weight, padding=3)
    torch.testing.assert_close(downstream.encoder.conv1(gray), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(downstream.encoder.layer4[2].conv3.weight, color.layer4[2].conv3.weight)


def test_a_file_without_this_encoder_is_refused_and_nothing_changes(downstream, tmp_path):
    before = downstream.encoder.conv1.weight.clone()
    torch.save({"encoder.conv1.weight": torch.zeros(64, 1, 7, 7), "head.weight": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"x\.pt: belongs to another network: 31\d of the 318 tensors"):
        load_encoder(downstream, tmp_path / "x.pt")
    assert torch.equal(downstream.encoder.conv1.weight, before)


def test_a_truncated_file_is_refused(upstream_file, downstream, tmp_path):
    (tmp_path / "cut.pth").write_bytes(upstream_file.read_bytes()[:100_000])
    with pytest.raises(WeightsCorruptError, match=r"cut\.pth: cannot be read"):
        load_encoder(downstream, tmp_path / "cut.pth")
