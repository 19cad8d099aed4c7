"""g and f: equations 4 and 5 by hand, what they move, and what f learns in a short run."""

import dataclasses
import json

import pytest
import torch

from facelab.data.base import FaceDataset
from facelab.data.by_attribute import GUIDED
from facelab.engine import loop
from facelab.engine.settings import Settings
from facelab.engine.trainer import values_of
from facelab.errors import ParameterError
from facelab.methods.diat import regularisation, training
from facelab.methods.diat.features import face_layers
from facelab.methods.diat.networks import Shape, TransformNetwork
from facelab.methods.diat.regularisation import TINY, Config, Denoising, Reconstruction
from facelab.phases import Step
from facelab.types import Batch

STEP = Step(0, torch.Generator())


def reconstruction(config=TINY) -> Reconstruction:
    torch.manual_seed(0)
    return Reconstruction(config)


def denoising(config=TINY) -> Denoising:
    """One whose f does something already."""
    torch.manual_seed(1)
    found = Denoising(config, TransformNetwork(config.shape))
    torch.nn.init.normal_(found.denoiser.second.weight, std=0.1)
    return found


@pytest.fixture
def batch(random):
    images, guided = (torch.rand(3, 3, 16, 16, generator=random) * 2 - 1 for _ in range(2))
    return Batch(images, torch.arange(3), labels={GUIDED: guided})


def every(batch):
    return torch.cat([batch.images, batch.labels[GUIDED]])


def test_equation_4_by_hand(batch, tolerance):
    found = reconstruction(dataclasses.replace(TINY, weights=(0.25, 3.0)))
    faces, layers = every(batch), face_layers("dlib-layers")
    with torch.no_grad():
        terms = found.terms(batch, STEP)
        maps = zip((0.25, 3.0), layers(found.network(faces)), layers(faces), strict=True)
        wanted = sum(w * (a - b).square().flatten(1).mean(1) / 2 for w, a, b in maps)
    assert list(terms) == ["content"]
    torch.testing.assert_close(terms["content"], wanted, **tolerance[torch.float32])
    assert (wanted > 0.01).all()
    alone = found.terms(Batch(batch.images, batch.identity), STEP)["content"]
    torch.testing.assert_close(alone, wanted[:3], **tolerance[torch.float32])


def test_equation_4_moves_g_alone(batch):
    found = reconstruction()
    (phase,) = found.phases()
    assert phase.parameters == ("reconstruction",)
    phase.loss(batch, STEP)["content"].mean().backward()
    assert all(p.grad.any() for p in found.network.parameters())
    assert all(p.grad is None for p in found.layers.parameters())
    assert found.embedders == ("dlib",)


def test_equation_5_by_hand(batch, tolerance):
    found = denoising()
    faces = every(batch)
    with torch.no_grad():
        terms = found.terms(batch, STEP)
        f, g = found.denoiser, found.reconstruction
        wanted = {
            "denoised": ((f(g(faces)) - faces) ** 2).mean((1, 2, 3)),
            "clear": ((f(faces) - faces) ** 2).mean((1, 2, 3)),
        }
    assert list(terms) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(terms[name], value, **tolerance[torch.float32])
        assert (value > 1e-3).all()


def test_a_new_f_leaves_clear_faces_alone(batch):
    torch.manual_seed(1)
    terms = Denoising(TINY, TransformNetwork(TINY.shape)).terms(batch, STEP)
    assert not terms["clear"].any()
    assert (terms["denoised"] > 0.01).all()


def test_equation_5_moves_f_alone(batch):
    g = TransformNetwork(TINY.shape)
    torch.manual_seed(1)
    found = Denoising(TINY, g)
    torch.nn.init.normal_(found.denoiser.second.weight, std=0.1)
    (phase,) = found.phases()
    assert phase.parameters == ("denoiser",)
    sum(term.mean() for term in phase.loss(batch, STEP).values()).backward()
    assert all(p.grad.any() for p in found.denoiser.parameters())
    assert all(p.grad is None for p in found.reconstruction.parameters())
    assert all(p.requires_grad for p in g.parameters()), "it is a copy that is frozen"


class Faces(FaceDataset):
    """Smooth pictures of 16 pixels."""

    id, size, split, people = "faces", 16, "all", 16
    identity = torch.arange(16)

    def config(self):
        return {"id": self.id}

    def batch(self, indices):
        rows = self.resolve(indices)
        random = torch.Generator().manual_seed(0)
        small = torch.rand(16, 3, 3, 3, generator=random) * 2 - 1
        images = torch.nn.functional.interpolate(small, (16, 16), mode="bicubic").clamp(-1, 1)
        return Batch(images[rows], self.identity[rows])


def test_g_learns_to_copy_and_f_to_undo_what_g_does():
    """The chain that ends in the game: g's loss falls, and f(g(x)) is nearer to x than g(x)."""
    config = dataclasses.replace(TINY, learning_rate=0.01)
    settings = Settings(steps=12, batch=4, workers=0, log_every=4, device="cpu")
    first = reconstruction(config)
    history = loop.train(first, Faces(), settings, progress=False).history
    contents = [entry.losses["reconstruction/content"] for entry in history]
    assert contents[-1] < 0.9 * contents[0]
    second = Denoising(config, first.network)
    settings = dataclasses.replace(settings, steps=60)
    loop.train(second, Faces(), settings, progress=False)
    x = Faces().batch(range(16)).images
    with torch.no_grad():
        made = first.network(x)
        before, after = ((y - x).square().mean() for y in (made, second.denoiser(made)))
    assert after < 0.9 * before
    weights = dataclasses.replace(training.TINY.weights, smooth=1.0)
    game = training.Game(dataclasses.replace(training.TINY, weights=weights), second.denoiser)
    assert game.denoiser is second.denoiser


def test_previews(batch):
    first, second = reconstruction(), denoising()
    shown = first.preview(first.networks, batch)
    assert torch.equal(shown, torch.cat([batch.images, first.network(batch.images)]))
    shown = second.preview(second.networks, batch)
    made = second.reconstruction(batch.images)
    cleared = second.denoiser(made).clamp(-1, 1)
    assert torch.equal(shown, torch.cat([batch.images, made, cleared]))


def test_presets_and_json():
    assert Reconstruction.preset("tiny").config == TINY
    with pytest.raises(ParameterError, match="preset 'huge' is unknown"):
        Reconstruction.preset("huge")
    for config in (TINY, regularisation.BOOK, regularisation.PAPER):
        assert Config.from_json(json.loads(json.dumps(values_of(config)))) == config
    assert regularisation.PAPER.shape == training.PAPER.transform, "g has T's architecture"
    assert Config.from_json({}) == Config()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 18}, "size = 18 can't be used; give a multiple of 4"),
        ({"shape": Shape(4, 1, skip=True)}, r"g would begin as the identity.*with skip=False"),
        ({"layers": "adaptive"}, "layers = 'adaptive' can't be used; give one of: dlib-stages, dl"),
        ({"weights": (1.0,)}, r"weights = \(1.0,\) can't be used; give two, w_4 and w_5"),
        ({"weights": (1.0, -1.0)}, "w_5 = -1.0 can't be used; give a number from 0 on"),
        ({"denoiser_width": 0}, "denoiser_width = 0 can't be used"),
        ({"learning_rate": -1.0}, "learning_rate = -1.0 can't be used"),
    ],
)
def test_a_config_that_can_not_be(changes, message):
    with pytest.raises(ParameterError, match=message):
        dataclasses.replace(TINY, **changes)


def test_a_g_or_faces_of_other_sizes(batch):
    with pytest.raises(ParameterError, match=r"a g of Shape\(width=8.* one of the config's Shape"):
        Denoising(TINY, TransformNetwork(Shape(8, 1)))
    small = Batch(batch.images[..., :8, :8], batch.identity)
    for found in (reconstruction(), denoising()):
        with pytest.raises(ParameterError, match="faces of 8 x 8 pixels can't be used; give faces"):
            found.terms(small, STEP)
