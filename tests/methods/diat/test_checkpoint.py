"""Transfers as files: what a run exports is what is loaded, of both stages and of the first."""

import dataclasses

import pytest
import torch

from facelab.assets import networks
from facelab.data.base import FaceDataset
from facelab.data.by_attribute import ByAttribute
from facelab.engine import checkpoints, export, loop
from facelab.engine.settings import Settings
from facelab.engine.state import AVERAGE, NETWORK
from facelab.engine.trainer import values_of
from facelab.errors import AssetError, CheckpointError, ParameterError
from facelab.methods.diat import checkpoint, enhancement, training
from facelab.methods.diat.networks import LocalEnhancer, TransformNetwork
from facelab.methods.diat.transfer import Transfer
from facelab.types import Batch

STEPS = Settings(steps=6, batch=4, workers=0, device="cpu")


class Faces(FaceDataset):
    """Noise of 16 pixels, of which every other picture has the attribute."""

    id, size, split, people, attribute_names = "faces", 16, "all", 8, ("Young",)
    identity = torch.arange(8)

    def config(self):
        return {"id": self.id}

    def batch(self, indices):
        rows = torch.tensor(self.resolve(indices))
        random = torch.Generator().manual_seed(0)
        images = (torch.rand(8, 3, 16, 16, generator=random) * 2 - 1)[rows]
        return Batch(images, rows, (rows % 2 == 1)[:, None])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of T alone and of both, for a global and for a local task, by their names."""
    folder, data = tmp_path_factory.mktemp("files"), ByAttribute(Faces(), "Young")
    for task in ("older_to_younger", "mouth_open"):
        first, second = folder / f"{task}_T.safetensors", folder / f"{task}.safetensors"
        torch.manual_seed(0)
        game = training.Game(dataclasses.replace(training.TINY, task=task))
        loop.train(game, data, STEPS, folder / f"{task}-T", progress=False)
        export.export_weights(folder / f"{task}-T", first, ("transform",), half=False)
        second_stage = enhancement.Enhancement.after("tiny", first)
        loop.train(second_stage, data, STEPS, folder / f"{task}-E", progress=False)
        both = ("transform", "enhancer")
        export.export_weights(folder / f"{task}-E", second, both, half=False)
    return folder


@pytest.fixture
def images(random):
    return torch.rand(2, 3, 16, 16, generator=random) * 2 - 1


@pytest.mark.parametrize(
    ("task", "kind"), [("older_to_younger", TransformNetwork), ("mouth_open", LocalEnhancer)]
)
def test_what_both_runs_export_is_loaded(files, images, task, kind):
    transfer = checkpoint.load(files / f"{task}.safetensors")
    assert (transfer.task.name, transfer.size, transfer.sigma_px) == (task, 16, 1.8)
    assert isinstance(transfer.enhancer, kind)
    t = checkpoints.newest(files / f"{task}-T").tensors
    e = checkpoints.newest(files / f"{task}-E").tensors
    for name, value in transfer.transform.state_dict().items():
        assert torch.equal(value, t[f"{AVERAGE}/transform/{name}"]), name
    for name, value in transfer.enhancer.state_dict().items():
        assert torch.equal(value, e[f"{AVERAGE}/enhancer/{name}"]), name
        assert not torch.equal(value, e[f"{NETWORK}/enhancer/{name}"]), "the average is another"
    assert not transfer.training
    assert not any(p.requires_grad for p in transfer.parameters())
    assert transfer(images).shape == images.shape
    assert not torch.equal(transfer(images), transfer.transformed(images))


def test_a_file_of_both_says_how_t_was_trained(files):
    path = files / "mouth_open.safetensors"
    header = networks.read_header(path, enhancement.METHOD, checkpoint.WRITER)
    config = enhancement.Config.from_json(header["config"])
    assert config.game == dataclasses.replace(training.TINY, task="mouth_open")
    data = ByAttribute(Faces(), "Young")
    assert config.trained == {
        "step": 6, "images": 24, "seed": 0, "data": {"id": data.id, "sha256": data.config_hash},
    }  # fmt: skip


def test_a_t_alone_is_a_transfer_without_enhancer(files, images):
    path = files / "mouth_open_T.safetensors"
    transfer, (network, header) = checkpoint.load(path), checkpoint.load_transform(path)
    assert transfer.enhancer is None
    assert (transfer.task.name, transfer.size) == ("mouth_open", 16)
    assert torch.equal(transfer(images), network(images).clamp(-1, 1))
    assert header["config"]["task"] == "mouth_open"
    assert (header["step"], header["seed"]) == (6, 0)
    assert not network.training
    both = checkpoint.load(files / "mouth_open.safetensors")
    assert torch.equal(transfer(images), both.transformed(images)), "the same T"


def test_half_the_bits_are_nearly_the_same(files, tmp_path, images):
    path = tmp_path / "half.safetensors"
    export.export_weights(files / "mouth_open-E", path, ("transform", "enhancer"))
    a, b = (checkpoint.load(p)(images) for p in (path, files / "mouth_open.safetensors"))
    assert 0 < (a - b).abs().max() < 0.01


def test_files_of_others(files, tmp_path):
    with pytest.raises(CheckpointError, match="can't be read"):
        checkpoint.load(tmp_path / "none.safetensors")
    other, whole = tmp_path / "other.safetensors", files / "mouth_open.safetensors"
    transfer = checkpoint.load(whole)
    networks.save(other, "dcgan", transfer, config={})
    for read, wanted in (
        (checkpoint.load, "diat-enhancement"),
        (checkpoint.load_transform, "diat"),
    ):
        with pytest.raises(CheckpointError, match=f"is of dcgan, {wanted} expected; give a file t"):
            read(other)
    with pytest.raises(CheckpointError, match="is of diat-enhancement, diat expected"):
        checkpoint.load_transform(whole)
    config = values_of(enhancement.TINY)
    for changes, message in (
        ({"width": 5}, "does not hold the network of its header"),
        ({"width": -1}, "has a header that can't be used"),
        ({"depth": 5}, "has a header that can't be used"),
        ({"game": config["game"] | {"task": "smile"}}, "can't be used .there is no task 'smile'"),
    ):
        networks.save(other, enhancement.METHOD, transfer, config=config | changes)
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load(other)
    other.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(other)


def test_the_book_says_how_to_train_what_is_not_shipped(files, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path)
    assert checkpoint.shipped() == ()
    with pytest.raises(
        AssetError,
        match=r"of glasses_removal is shipped yet; train one with `facel"
        r"ab train diat:glasses_removal --data DATA:to:no-Eyeglasses -o RUN`.*none",
    ):
        checkpoint.book("glasses_removal")  # fmt: skip
    for task in ("older_to_younger", "mouth_open"):
        whole = files / f"{task}.safetensors"
        (tmp_path / whole.name).write_bytes(whole.read_bytes())
    assert checkpoint.shipped() == ("mouth_open", "older_to_younger"), "in the order of the tasks"
    assert checkpoint.book_path("mouth_open") == tmp_path / "mouth_open.safetensors"
    assert isinstance(checkpoint.book("older_to_younger"), Transfer)
    with pytest.raises(AssetError, match="there are: mouth_open, older_to_younger"):
        checkpoint.book_path("male_to_female")
    with pytest.raises(ParameterError, match=r"there is no task '\.\./x'; choose one of: mouth_"):
        checkpoint.book_path("../x")
