"""The second stage: equations 10 and 11 by hand, what they move, and a run of the real loop."""

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F

from facelab.assets import networks
from facelab.data.base import FaceDataset
from facelab.data.by_attribute import GUIDED
from facelab.engine import loop
from facelab.engine.settings import Settings
from facelab.engine.trainer import values_of
from facelab.errors import CheckpointError, ParameterError
from facelab.methods.diat import enhancement, losses, training
from facelab.methods.diat.enhancement import Config, Enhancement, FirstLayers, masked_content
from facelab.methods.diat.features import VggLayers, face_layers
from facelab.methods.diat.masks import face_masks
from facelab.methods.diat.networks import LocalEnhancer, Shape, TransformNetwork
from facelab.methods.diat.transfer import blur
from facelab.phases import Step
from facelab.recognition.align import reframe
from facelab.types import Batch

SKIP = Shape(4, 1, skip=True)
GAME = dataclasses.replace(training.TINY, transform=SKIP)
LOCAL = dataclasses.replace(enhancement.TINY, game=GAME)
GLOBAL = dataclasses.replace(LOCAL, game=dataclasses.replace(GAME, task="older_to_younger"))
STEP = Step(0, torch.Generator())


def changed() -> TransformNetwork:
    """A T that changes faces, and goes beyond [-1, 1]."""
    torch.manual_seed(0)
    network = TransformNetwork(SKIP)
    torch.nn.init.normal_(network.last.weight, std=0.2)
    return network


def method(config: Config = LOCAL) -> Enhancement:
    t = changed()
    torch.manual_seed(1)
    return Enhancement(config, t)


def scattered(config: Config = LOCAL) -> Enhancement:
    """Its E does more than to repeat T(x)."""
    found = method(config)
    torch.nn.init.normal_(found.enhancer.last.weight, std=0.1)
    return found


@pytest.fixture
def batch(random):
    """Three faces of noise, whose masks are their right halves, and three of the guided set."""
    images, guided = (torch.rand(3, 3, 16, 16, generator=random) * 2 - 1 for _ in range(2))
    mask = torch.zeros(3, 1, 16, 16)
    mask[..., 8:] = 1
    return Batch(images, torch.arange(3), masks={"mouth": mask}, labels={GUIDED: guided})


# --- equation 10 ---------------------------------------------------------------------------------


def first_maps(name, images):
    """The first two maps, from the network's own forward pass."""
    seen, layers = [], face_layers(name)
    parts = (layers.network.stem, layers.network.blocks[0].first)
    handles = [part.register_forward_hook(lambda *a: seen.append(a[-1].clone())) for part in parts]
    layers.network(reframe(images, "book64", "dlib150"))
    for handle in handles:
        handle.remove()
    return [F.relu(maps) for maps in seen]


def test_levels_1_and_2_are_the_first_two_convolutions(batch, tolerance):
    found = FirstLayers(face_layers("dlib-layers"))(batch.images)
    assert [tuple(maps.shape[1:]) for maps in found] == [(32, 72, 72), (32, 35, 35)]
    for a, b in zip(found, first_maps("dlib-layers", batch.images), strict=True):
        torch.testing.assert_close(a, b, **tolerance[torch.float32])
        assert a.std() > 0.01


def test_levels_1_and_2_of_vgg_face(batch, tolerance):
    torch.manual_seed(0)
    layers, seen = VggLayers(), []
    for part in layers.convolutions[:2]:
        part.register_forward_hook(lambda *a: seen.append(a[-1]))
    with torch.no_grad():
        layers(batch.images[:1])
        found = FirstLayers(layers)(batch.images[:1])
    assert [tuple(maps.shape[1:]) for maps in found] == 2 * [(64, 224, 224)]
    for a, b in zip(found, seen[:2], strict=True):
        torch.testing.assert_close(a, F.relu(b), **tolerance[torch.float32])


def test_equation_10_by_hand(batch, tolerance):
    found = scattered()
    x, m = batch.images, batch.masks["mouth"]
    with torch.no_grad():
        terms = found.local_terms(batch, STEP)
        t = found.transform(x).clamp(-1, 1)
        e = found.enhancer(x, t)
        maps = [
            [m * t, *first_maps("dlib-layers", m * t)],
            [m * e, *first_maps("dlib-layers", m * e)],
        ]
    wanted = {"outside": ((1 - m) * (e - x) ** 2).sum((1, 2, 3)) / (3 * 16 * 16)}
    for level, (a, b) in enumerate(zip(*maps, strict=True)):
        wanted[f"level {level}"] = ((a - b) ** 2).sum((1, 2, 3)) / (2 * a[0].numel())
    assert list(terms) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(terms[name], value, **tolerance[torch.float32])
        assert (value > 1e-3).all(), name
    (phase,) = found.phases()
    assert phase.weights == {"outside": 1.0, "level 0": 0.1, "level 1": 0.5, "level 2": 1.0}


def test_a_new_e_repeats_t_and_fails_outside_alone(batch):
    terms = method().local_terms(batch, STEP)
    assert all(not terms[f"level {n}"].any() for n in range(3))
    assert (terms["outside"] > 0.01).all()


def test_the_face_outside_and_t_inside_is_what_equation_10_wants(batch, random):
    x, m, layers = batch.images, batch.masks["mouth"], FirstLayers(face_layers("dlib-layers"))
    t = torch.rand(3, 3, 16, 16, generator=random) * 2 - 1

    def errors(e):
        a, b = ([m * faces, *layers(m * faces)] for faces in (t, e))
        inside = masked_content(a, b, LOCAL.betas)
        return [losses.outside_loss(m, e, x), *inside.values()]

    assert all(not error.any() for error in errors(m * t + (1 - m) * x))
    outside, *inside = errors(x)
    assert not outside.any()
    assert all((error > 0.01).all() for error in inside)
    outside, *inside = errors(t)
    assert (outside > 0.1).all()
    assert all(not error.any() for error in inside)


def test_weights_of_0_leave_terms_out(batch):
    found = method(dataclasses.replace(LOCAL, betas=(0.1, 0, 0), outside=0))
    assert found.layers is None, "no face network is read"
    assert found.embedders == ()
    assert list(found.local_terms(batch, STEP)) == list(found.phases()[0].weights) == ["level 0"]
    found = method(dataclasses.replace(LOCAL, betas=(0, 0, 2.0)))
    assert list(found.local_terms(batch, STEP)) == ["outside", "level 2"]
    assert found.phases()[0].weights == {"outside": 1.0, "level 2": 2.0}


def test_faces_without_masks_get_them(batch):
    plain = Batch(batch.images, batch.identity)
    own = dataclasses.replace(plain, masks={"mouth": face_masks(plain.images, "mouth")})
    found = method()
    with torch.no_grad():
        first, second, other = (found.local_terms(b, STEP)["outside"] for b in (plain, own, batch))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


# --- equation 11 ---------------------------------------------------------------------------------


def test_equation_11_by_hand(batch, tolerance):
    found = scattered(dataclasses.replace(GLOBAL, sigma_px=8.0))
    faces = torch.cat([batch.images, batch.labels[GUIDED]])
    with torch.no_grad():
        terms = found.global_terms(batch, STEP)
        wanted = ((found.enhancer(blur(faces, 1.0)) - faces) ** 2).mean((1, 2, 3))
    assert list(terms) == ["sharp"]
    torch.testing.assert_close(terms["sharp"], wanted, **tolerance[torch.float32])
    alone = found.global_terms(Batch(batch.images, batch.identity), STEP)["sharp"]
    torch.testing.assert_close(alone, wanted[:3], **tolerance[torch.float32])


def test_a_global_e_has_ts_shape_or_another():
    assert method(dataclasses.replace(GLOBAL, shape=None)).enhancer.shape == SKIP
    found = method(dataclasses.replace(GLOBAL, shape=Shape(8, 2))).enhancer
    assert isinstance(found, TransformNetwork)
    assert found.shape == Shape(8, 2)
    assert isinstance(method(LOCAL).enhancer, LocalEnhancer)


# --- the method ----------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [LOCAL, GLOBAL])
def test_each_equation_moves_e_alone(batch, config):
    found = scattered(config)
    (phase,) = found.phases()
    assert phase.parameters == ("enhancer",)
    sum(term.mean() for term in phase.loss(batch, STEP).values()).backward()
    assert all(p.grad is not None and p.grad.any() for p in found.enhancer.parameters())
    assert all(p.grad is None for p in found.transform.parameters())
    assert not found.layers or all(p.grad is None for p in found.layers.parameters())


def test_t_is_a_copy():
    t = changed()
    found = Enhancement(LOCAL, t)
    assert all(p.requires_grad for p in t.parameters())
    assert not any(p.requires_grad for p in found.transform.parameters())
    assert torch.equal(found.transform.last.weight, t.last.weight)
    assert found.transform.last.weight is not t.last.weight


@pytest.mark.parametrize(
    ("config", "identity", "weight", "seen"),
    [
        (LOCAL, "adaptive", 0.1, ("dlib",)),
        (GLOBAL, "adaptive", 0.1, ()),
        (GLOBAL, "dlib-stages", 0.1, ("dlib",)),
        (GLOBAL, "dlib-layers", 0.0, ()),
        (LOCAL, "vgg-face", 0.1, ("dlib", "vgg-face")),
    ],
)
def test_the_embedders_of_both_stages_are_told(config, identity, weight, seen):
    weights = dataclasses.replace(config.game.weights, identity=weight)
    game = dataclasses.replace(config.game, identity=identity, weights=weights)
    assert method(dataclasses.replace(config, game=game)).embedders == seen


def test_the_preview_has_the_face_what_t_made_and_e_of_it(batch):
    found = scattered()
    shown = found.preview(found.networks, batch)
    x = batch.images
    t = found.transform(x).clamp(-1, 1)
    assert torch.equal(shown[:3], x)
    assert torch.equal(shown[3:6], t)
    assert torch.equal(shown[6:], found.enhancer(x, t).clamp(-1, 1))


class Faces(FaceDataset):
    """Noise of 16 pixels with a mask."""

    id, size, split, people = "faces", 16, "all", 8
    identity = torch.arange(8)

    def config(self):
        return {"id": self.id}

    def batch(self, indices):
        rows = self.resolve(indices)
        random = torch.Generator().manual_seed(0)
        images = (torch.rand(8, 3, 16, 16, generator=random) * 2 - 1)[rows]
        mask = torch.zeros(len(rows), 1, 16, 16)
        mask[:, :, 4:12] = 1
        return Batch(images, self.identity[rows], masks={"mouth": mask})


@pytest.mark.parametrize(("config", "term"), [(LOCAL, "outside"), (GLOBAL, "sharp")])
def test_the_loop_trains_it(config, term):
    """Without the face network, which takes its time."""
    quick = {"betas": (0.1, 0.0, 0.0), "shape": None, "sigma_px": 8.0, "learning_rate": 0.01}
    found = method(dataclasses.replace(config, **quick))
    before = {name: value.clone() for name, value in found.transform.state_dict().items()}
    settings = Settings(steps=30, batch=4, workers=0, log_every=10, device="cpu")
    result = loop.train(found, Faces(), settings, progress=False)
    first, *_, last = (entry.losses[f"enhancer/{term}"] for entry in result.history)
    assert last < 0.8 * first
    assert all(torch.equal(before[k], v) for k, v in found.transform.state_dict().items())


# --- files and configs ---------------------------------------------------------------------------


def test_it_goes_on_from_the_file_of_a_t(tmp_path):
    t, path = changed(), tmp_path / "t.safetensors"
    game = dataclasses.replace(GAME, task="glasses_removal", learning_rate=0.5)
    told = {"step": 40, "images": 160, "seed": 3, "data": {"id": "x", "sha256": "y"}}
    networks.save(path, "diat", t, config=values_of(game), networks=["transform"], **told)
    found = Enhancement.after("tiny", path)
    assert found.config == dataclasses.replace(enhancement.TINY, game=game, trained=told)
    assert found.task.name == "glasses_removal"
    assert torch.equal(found.transform.last.weight, t.last.weight)
    assert found.config.size == 16
    with pytest.raises(ParameterError, match="preset 'huge' is unknown; choose one of tiny, book"):
        Enhancement.after("huge", path)
    networks.save(path, "diat-enhancement", t, config={})
    with pytest.raises(CheckpointError, match="is of diat-enhancement, diat expected"):
        Enhancement.after("tiny", path)


@pytest.mark.parametrize(("task", "rate", "warmup"), [("mouth_open", 1e-3, 0),
                                                      ("male_to_female", 3e-4, 100)])  # fmt: skip
def test_a_large_e_takes_smaller_steps_and_begins_softly(tmp_path, task, rate, warmup):
    t, path = changed(), tmp_path / "t.safetensors"
    game = dataclasses.replace(GAME, task=task)
    networks.save(path, "diat", t, config=values_of(game), networks=["transform"])
    found = Enhancement.after("book", path)
    (phase,) = found.phases()
    assert phase.optimiser.learning_rate == found.config.learning_rate == rate
    assert phase.optimiser.warmup_steps == warmup
    assert Enhancement.after("tiny", path).config.learning_rate == 1e-3


def test_a_config_survives_json():
    told = {"step": 4, "data": {"id": "x"}}
    for config in (LOCAL, GLOBAL, enhancement.BOOK, enhancement.PAPER):
        config = dataclasses.replace(config, trained=told)
        assert Config.from_json(json.loads(json.dumps(values_of(config)))) == config
    with pytest.raises(TypeError):
        Config.from_json({"depth": 3})


def test_the_papers_square_outside_is_a_sum():
    assert enhancement.PAPER.outside == 3 * 128 * 128
    assert enhancement.BOOK.outside == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width = 0 can't be used; give a whole number from 1"),
        ({"betas": (1.0, 1.0)}, r"betas = \(1.0, 1.0\) can't be used; give three"),
        ({"betas": (1.0, -1.0, 1.0)}, "beta 1 = -1.0 can't be used; give a number from 0 on"),
        ({"outside": -1.0}, "outside = -1.0 can't be used"),
        ({"layers": "dlib-stages"}, "'dlib-stages' can't be used; give one of: dlib-layers, vgg-f"),
        ({"sigma_px": 0.0}, "sigma_px = 0.0 can't be used; give a number above 0"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0 can't be used"),
        ({"ema_decay": 1.5}, "ema_decay = 1.5 can't be used"),
    ],
)
def test_a_config_that_can_not_be(changes, message):
    with pytest.raises(ParameterError, match=message):
        dataclasses.replace(enhancement.TINY, **changes)


def test_a_t_or_faces_of_other_sizes(batch):
    with pytest.raises(ParameterError, match=r"a T of Shape\(width=8.* give one of the config's"):
        Enhancement(LOCAL, TransformNetwork(Shape(8, 1)))
    small = Batch(batch.images[..., :8, :8], batch.identity)
    for config in (LOCAL, GLOBAL):
        found = method(config)
        with pytest.raises(ParameterError, match="faces of 8 x 8 pixels can't be used; give faces"):
            found.phases()[0].loss(small, STEP)
