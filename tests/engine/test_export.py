"""What is shipped: averages in float16 with a header that rebuilds the network."""

import pytest
import torch

from facelab import assets
from facelab.assets import networks
from facelab.engine.export import export_weights
from facelab.engine.loop import train
from facelab.engine.settings import Settings
from facelab.errors import CheckpointError


@pytest.fixture(scope="module")
def ended(toy, tmp_path_factory):
    """A run of four steps, its folder and its method."""
    folder, method = tmp_path_factory.mktemp("run"), toy.toy(normalised=True)
    settings = Settings(steps=4, batch=8, device="cpu", checkpoint_every=2)
    result = train(method, toy.Noise(), settings, folder, progress=False)
    return folder, method, result


def test_the_average_in_half_loads_as_its_network(toy, ended, tmp_path):
    folder, _, result = ended
    sha256 = export_weights(folder, tmp_path / "x.safetensors")
    assert len(sha256) == 64

    def build(header):
        return toy.Generator(toy.Config(**header["config"]))

    found, header = networks.load(tmp_path / "x.safetensors", "toy", build, "export_weights")
    average = result.networks["generator"].state_dict()
    for name, tensor in found.state_dict().items():
        expected = average[name].half().float() if tensor.is_floating_point() else average[name]
        assert torch.equal(tensor, expected), name
    told = {name: header[name] for name in ("method", "step", "images", "seed", "networks")}
    assert told == {
        "method": "toy", "step": 4, "images": 32, "seed": 0, "networks": ["generator"],
    }  # fmt: skip
    assert header["data"]["sha256"] == toy.Noise().config_hash


def test_several_networks_have_their_names_before_their_tensors(ended, tmp_path):
    folder, method, result = ended
    export_weights(folder, tmp_path / "x.safetensors", ("generator", "critic"), half=False)
    found = assets.load_weights(tmp_path / "x.safetensors")
    average = result.networks["generator"].state_dict()
    assert torch.equal(found["generator.last.weight"], average["last.weight"])
    assert torch.equal(found["critic.1.weight"], method.critic[1].weight)
    assert len(found) == len(average) + len(method.critic.state_dict())


def test_an_earlier_step_can_be_chosen(ended, tmp_path):
    export_weights(ended[0], tmp_path / "x.safetensors", step=2)
    assert networks.read_header(tmp_path / "x.safetensors", "toy", "")["step"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": ["encoder"]}, "has no network 'encoder'; choose from: generator, critic"),
        ({"step": 3}, r"step-00000003/state.json can't be read"),
    ],
)
def test_what_there_isnt_is_named(ended, tmp_path, options, message):
    with pytest.raises(CheckpointError, match=message):
        export_weights(ended[0], tmp_path / "x.safetensors", **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="has no checkpoint; give the folder of a run"):
        export_weights(tmp_path, tmp_path / "x.safetensors")
