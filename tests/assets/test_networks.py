"""Networks in one file: what is written comes back, and what can't be is refused."""

import pytest
import torch
from torch import nn

from facelab.assets import networks
from facelab.errors import CheckpointError


def build(header: dict) -> nn.Linear:
    return nn.Linear(header["config"]["inputs"], 2)


def test_a_network_comes_back_with_its_header(tmp_path):
    network = nn.Linear(3, 2)
    networks.save(tmp_path / "x.safetensors", "line", network, config={"inputs": 3}, step=7)
    found, header = networks.load(tmp_path / "x.safetensors", "line", build, "save")
    torch.testing.assert_close(found.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert header == {"method": "line", "config": {"inputs": 3}, "step": 7}
    assert not found.training
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_half_rounds_to_float16(tmp_path):
    network = nn.Linear(3, 2)
    networks.save(tmp_path / "x.safetensors", "line", network, half=True, config={"inputs": 3})
    found, _ = networks.load(tmp_path / "x.safetensors", "line", build, "save")
    assert torch.equal(found.weight, network.weight.half().float())


def test_half_refuses_what_float16_does_not_hold(tmp_path):
    tensors = {"fine": torch.tensor([torch.inf]), "large": torch.tensor([7e4])}
    with pytest.raises(CheckpointError, match="large has numbers beyond float16's 65,504"):
        networks.save_tensors(tmp_path / "x.safetensors", "line", tensors, half=True)
    assert not list(tmp_path.iterdir())


def test_another_method_is_refused(tmp_path):
    networks.save(tmp_path / "x.safetensors", "line", nn.Linear(3, 2), config={"inputs": 3})
    with pytest.raises(CheckpointError, match="is of line, circle expected; give a file that save"):
        networks.load(tmp_path / "x.safetensors", "circle", build, "save")


def test_another_configuration_is_refused(tmp_path):
    networks.save(tmp_path / "x.safetensors", "line", nn.Linear(3, 2), config={"inputs": 4})
    with pytest.raises(CheckpointError, match="does not hold the network of its header"):
        networks.load(tmp_path / "x.safetensors", "line", build, "save")


def test_the_header_of_a_file_that_cannot_be_read(tmp_path):
    """The method is not "unknown": there is no file, or it is damaged."""
    missing, damaged = tmp_path / "missing.safetensors", tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no weights")
    for path in (missing, damaged):
        with pytest.raises(CheckpointError) as found:
            networks.read_header(path, "net", "a writer")
        assert str(found.value).startswith(f"{path} can't be read (")
        assert str(found.value).endswith("; give a file that a writer wrote")
