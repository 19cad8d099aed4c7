"""Latent vectors in files: they come back, and those that can't be used are named."""

import json
import pickle

import pytest
import safetensors.torch
import torch

from facelab.assets import networks
from facelab.errors import AssetError, CheckpointError
from facelab.generators.dcgan import DCGAN
from facelab.methods.ganid.latent_file import (
    METHOD,
    load_latent,
    save_latent,
    saved_generator,
    weights_sum,
)


@pytest.fixture
def network() -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(latents=5, width=4).eval()


@pytest.fixture
def latent(random) -> torch.Tensor:
    return torch.randn(1, 5, generator=random)


def written(path, tensors: dict, **facts) -> None:
    networks.save_tensors(path, METHOD, tensors, **facts)


def test_a_vector_comes_back_bit_by_bit(tmp_path, network, latent):
    path = tmp_path / "z.safetensors"
    save_latent(path, latent, network, distance=0.25)
    assert torch.equal(load_latent(path, network), latent)
    assert saved_generator(path) == "dcgan"
    header = networks.read_header(path, METHOD, "a test")
    assert header["distance"] == 0.25
    assert header["weights"] == weights_sum(network)


def test_the_sum_is_of_the_weights_and_not_of_how_they_lie(network):
    before = weights_sum(network)
    assert len(before) == 64
    network.to(memory_format=torch.channels_last)
    assert weights_sum(network) == before
    network.main[0].weight.data[0, 0, 0, 0] += 1
    assert weights_sum(network) != before


def test_a_latent_of_another_generator_names_it(tmp_path, network, stripes, latent):
    path = tmp_path / "z.safetensors"
    save_latent(path, latent, network)
    with pytest.raises(CheckpointError, match=r"of the generator dcgan, not of stripes; .*dcgan\)"):
        load_latent(path, stripes)
    network.id = "gan-face-generate"
    save_latent(path, latent, network)
    with pytest.raises(CheckpointError, match=r"--generator digiface-dcgan\)"):
        load_latent(path, stripes)


def test_a_latent_of_other_weights_is_refused(tmp_path, network, latent):
    path = tmp_path / "z.safetensors"
    save_latent(path, latent, network)
    network.main[0].weight.data.mul_(2)
    with pytest.raises(CheckpointError, match="other weights of the generator dcgan; give the"):
        load_latent(path, network)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(1, 4), "is 1 x 5 numbers, this is 1 x 4"),
        (torch.zeros(2, 5), "this is 2 x 5"),
        (torch.zeros(()), "this is a single one"),
        (torch.tensor([[0.0, 1.0, float("nan"), 0.0, 0.0]]), "not finite"),
        (torch.tensor([[0.0, 1.0, float("inf"), 0.0, 0.0]]), "not finite"),
        (torch.zeros(1, 5, dtype=torch.int64), "not finite numbers"),
    ],
)
def test_what_is_no_vector_of_the_generator_is_refused(tmp_path, network, values, message):
    path = tmp_path / "z.safetensors"
    facts = {"generator": "dcgan", "weights": weights_sum(network)}
    written(path, {"latent": values}, **facts)
    with pytest.raises(CheckpointError, match=message):
        load_latent(path, network)


def test_nothing_is_written_that_could_not_be_read(tmp_path, network, latent):
    path = tmp_path / "z.safetensors"
    save_latent(path, latent, network)
    kept = path.read_bytes()
    with pytest.raises(CheckpointError, match="not finite"):
        save_latent(path, latent / 0, network)
    assert path.read_bytes() == kept
    with pytest.raises(AssetError, match="can't be written"):
        save_latent(path / "below.safetensors", latent, network)


def test_files_of_another_kind_are_refused(tmp_path, network, latent):
    path = tmp_path / "z.safetensors"
    facts = {"weights": weights_sum(network)}
    written(path, {"other": latent}, generator="dcgan", **facts)
    with pytest.raises(CheckpointError, match="has no latent vector; give a file that facelab"):
        load_latent(path, network)
    written(path, {"latent": latent}, **facts)
    with pytest.raises(CheckpointError, match="does not say whose"):
        saved_generator(path)
    networks.save_tensors(path, "dcgan", {"latent": latent})
    with pytest.raises(CheckpointError, match="is of dcgan, ganid-latent expected"):
        load_latent(path, network)
    safetensors.torch.save_file({"latent": latent}, path)
    with pytest.raises(CheckpointError, match="is of an unknown method"):
        load_latent(path, network)


class Trap:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, place: str):
        self.place = place

    def __reduce__(self):
        return open, (self.place, "w")


@pytest.mark.parametrize("read", [saved_generator, lambda path: load_latent(path, DCGAN(5, 4))])
def test_code_and_damage_are_refused(tmp_path, network, latent, read):
    path, trap = tmp_path / "z.safetensors", tmp_path / "ran"
    save_latent(path, latent, network)
    whole = path.read_bytes()
    for data in (whole[:-3], whole[:20], b"", json.dumps({"latent": [0] * 5}).encode()):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="damaged, cut short or not a file"):
            read(path)
    other = tmp_path / "z.pt"
    other.write_bytes(pickle.dumps({"latent": Trap(str(trap))}))
    with pytest.raises(CheckpointError, match="code"):
        read(other)
    assert not trap.exists()
    with pytest.raises(CheckpointError, match="can't be read"):
        read(tmp_path / "none.safetensors")
