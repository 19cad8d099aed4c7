"""Every method that can be trained by name keeps to the loop's words: a few steps of each."""

import dataclasses

import pytest
import torch

from facelab.assets.networks import save
from facelab.data.base import FaceDataset
from facelab.data.by_attribute import ByAttribute
from facelab.data.domains import RENDER, Domains
from facelab.data.mixture import Repeated
from facelab.data.numbered import Numbered
from facelab.engine import checkpoints, methods
from facelab.engine.export import export_weights
from facelab.engine.loop import train
from facelab.engine.players import gather
from facelab.engine.settings import Settings
from facelab.engine.trainer import values_of
from facelab.errors import CheckpointError, ParameterError
from facelab.generators import dcgan
from facelab.images import to_uint8
from facelab.methods.diat.tasks import TASKS

STEPS = 9  # beyond the second turn of the tiny presets' lazy regularisers


@pytest.fixture(autouse=True, scope="module")
def teacher():
    """Have the teacher of the distillation ready: loading it draws from the global stream."""
    dcgan.pretrained()


class Pairs(FaceDataset):
    """Noise with a second picture for each: what a method between two domains learns from."""

    def __init__(self, noise):
        self.noise, self.id, self.size, self.split = noise, "pairs", noise.size, noise.split
        self.identity, self.people = noise.identity, noise.people

    def config(self):
        return self.noise.config()

    def batch(self, indices):
        batch = self.noise.batch(indices)
        return dataclasses.replace(batch, labels={RENDER: to_uint8(batch.images)})


class Labelled(Pairs):
    """Noise of which every other picture has an attribute."""

    attribute_names = ("Odd",)

    def batch(self, indices):
        batch = self.noise.batch(indices)
        return dataclasses.replace(batch, attributes=(batch.identity % 2 == 1)[:, None])


class Drawn(Pairs):
    """Noise with latent vectors of the pre-trained generator beside it."""

    def batch(self, indices):
        batch = self.noise.batch(indices)
        latents = batch.identity[:, None].float().expand(-1, 100) / len(self.noise)
        return dataclasses.replace(batch, labels={"latent": latents.contiguous()})


def data(toy, method):
    noise = toy.Noise(size=getattr(method.config, "size", 64))
    if method.id.startswith("lord"):
        return Numbered(Repeated(noise, 2))
    if method.id == "idmap":
        return Drawn(noise)
    if method.id == "ganfaces":
        return Domains(noise, noise, Pairs(noise))
    return ByAttribute(Labelled(noise), "Odd") if method.id == "diat" else noise


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """By name of a method: the file of the network that it goes on from, or None."""
    folder = tmp_path_factory.mktemp("start")
    files = {name: folder / f"{name}.safetensors" for name in ("diat-enhancement", "lord-encoders")}
    game = methods.build("diat", "tiny", seed=5)
    config = values_of(game.config)
    save(files["diat-enhancement"], "diat", game.transform, config=config, step=7, seed=5)
    first = methods.build("lord", "tiny", seed=5)
    both = torch.nn.ModuleDict(first.networks)
    save(files["lord-encoders"], "lord", both, config=values_of(first.config))
    return files.get


def run(toy, name, after, folder, steps, seed=0, **changes):
    method = methods.build(name, "tiny", seed, after)
    dataset = data(toy, method)
    settings = Settings(steps, batch=4, device="cpu", log_every=1, preview_every=5, **changes)
    return train(method, dataset, settings, folder, resume=True, progress=False)


@pytest.mark.parametrize("name", list(methods.METHODS))
def test_it_trains_goes_on_and_is_exported(toy, tmp_path, start, name):
    what = (toy, name, start(name))
    whole = run(*what, tmp_path / "whole", STEPS)
    run(*what, tmp_path / "parts", 5)
    rest = run(*what, tmp_path / "parts", STEPS, seed=1)
    assert [dict(e.losses) for e in rest.history] == [dict(e.losses) for e in whole.history]
    first, second = (checkpoints.newest(tmp_path / n).tensors for n in ("whole", "parts"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert len(list((tmp_path / "whole" / "previews").iterdir())) == 2
    assert len(export_weights(tmp_path / "whole", tmp_path / "x.safetensors")) == 64


@pytest.mark.parametrize("name", list(methods.METHODS))
@pytest.mark.parametrize("preset", methods.PRESETS)
def test_every_preset_has_phases_that_move_something(start, name, preset):
    with torch.device("meta"):
        method = methods.build(name, preset, after=start(name))
    assert gather(method.phases(), method.networks)


# --- METHOD:TASK ---------------------------------------------------------------------------------


@pytest.mark.parametrize("task", list(TASKS))
def test_a_method_of_several_tasks_is_asked_for_one(task):
    method = methods.build(f"diat:{task}", "tiny", seed=3)
    assert method.id == "diat"
    assert method.config.task == method.task.name == task
    plain = methods.build("diat", "tiny", seed=3)
    assert dataclasses.replace(method.config, task=plain.config.task) == plain.config
    weights = (m.transform.last.weight for m in (method, plain))
    assert torch.equal(*weights), "the first weights follow from the seed, whatever the task"


@pytest.mark.parametrize(
    ("name", "preset", "message"),
    [
        ("diat:smile", "tiny", "there is no task 'smile'; choose one of: mouth_open, mouth_close"),
        ("diat:mouth_open", "huge", "there is no preset 'huge'; choose from: tiny, book, paper"),
        ("dcgan:smile", "tiny", "dcgan does one thing, there is no dcgan:smile; leave out :smile"),
        ("dait:mouth_open", "tiny", "there is no method 'dait'; did you mean diat"),
    ],
)
def test_a_task_that_there_is_not_is_refused(name, preset, message):
    with pytest.raises(ParameterError, match=message):
        methods.build(name, preset)


# --- --after -------------------------------------------------------------------------------------


def test_a_method_goes_on_from_the_network_of_a_file(start):
    method = methods.build("diat-enhancement", "tiny", 3, start("diat-enhancement"))
    trained = methods.build("diat", "tiny", seed=5)
    assert torch.equal(method.transform.last.weight, trained.transform.last.weight)
    assert method.config.game == trained.config
    assert method.config.trained == {"step": 7, "seed": 5}
    other, again = (
        methods.build("diat-enhancement", "tiny", seed, start("diat-enhancement"))
        for seed in (4, 3)
    )
    first = [m.enhancer.layers[0].weight for m in (method, again, other)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_a_file_too_many_or_one_too_few(start, tmp_path):
    path = start("diat-enhancement")
    for name in ("dcgan", "diat", "diat:mouth_open"):
        with pytest.raises(ParameterError, match=r"begins with random weights .* leave out --af"):
            methods.build(name, "tiny", after=path)
    with pytest.raises(ParameterError, match=r"goes on from a network of diat; .* --after FILE"):
        methods.build("diat-enhancement", "tiny")
    with pytest.raises(CheckpointError, match="can't be read"):
        methods.build("diat-enhancement", "tiny", after=tmp_path / "none.safetensors")
    with pytest.raises(ParameterError, match="diat-enhancement does one thing"):
        methods.build("diat-enhancement:mouth_open", "tiny", after=path)
