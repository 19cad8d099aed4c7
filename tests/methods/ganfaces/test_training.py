"""GANFaces' game: what each loss moves, its balances, and a run of the real loop."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from facelab.data.base import FaceDataset
from facelab.data.domains import PAIR_PHOTO, PAIR_RENDER, PHOTO, Domains
from facelab.engine import loop
from facelab.engine.settings import Settings
from facelab.engine.trainer import values_of
from facelab.errors import DatasetError, ParameterError
from facelab.methods.ganfaces import training
from facelab.methods.ganfaces.networks import Shape, Translator
from facelab.phases import Step
from facelab.recognition.embedder import Embedder
from facelab.types import Batch


class Pictures(FaceDataset):
    """Random pictures; `pairs` adds a render to each."""

    size, split = 16, "all"

    def __init__(self, count, people, seed, pairs=False, size=16):
        random = torch.Generator().manual_seed(seed)
        self.id, self.people, self.size = f"pictures-{seed}", people, size
        self.identity = torch.arange(count) % people
        self.images = torch.rand(count, 3, size, size, generator=random) * 2 - 1
        self.renders = torch.randint(0, 256, (count, size, size, 3), generator=random).byte()
        self.pairs = pairs

    def config(self):
        return {"id": self.id}

    def batch(self, indices):
        rows = self.resolve(indices)
        labels = {"render": self.renders[rows]} if self.pairs else {}
        return Batch(self.images[rows], self.identity[rows], labels=labels)


def domains(people=8):
    return Domains(Pictures(24, people, 1), Pictures(17, 17, 2), Pictures(9, 9, 3, pairs=True))


class Judge(Embedder):
    """Sixteen numbers: the means of a picture's quarters and colours, twelve, and four zeros."""

    id, size, template, threshold, threshold_squared = "judge", 150, "dlib150", 1.0, 1.0

    def forward(self, images):
        pooled = nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
        return nn.functional.pad(pooled + 0.1, (0, 4))


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(training, "embedder", lambda name: Judge())
    return dataclasses.replace(training.TINY, embedder="judge")


def test_the_trainings_recogniser_is_its_own(monkeypatch):
    """It goes to the training's device, and whoever else asked for it keeps theirs."""
    cached = Judge()
    monkeypatch.setattr(training, "embedder", lambda name: cached)
    game = training.Game(dataclasses.replace(training.TINY, embedder="judge"))
    assert game.judge is not cached
    assert game.judge.id == cached.id


def step(random):
    return Step(0, random)


def moved(game, phase):
    """The networks that a phase's weighted loss gives a gradient to, all being free."""
    batch = domains().batch(range(8))
    terms = phase.loss(batch, step(torch.Generator().manual_seed(0)))
    loss = sum(phase.weights.get(name, 1.0) * term.mean() for name, term in terms.items())
    for network in game.networks.values():
        network.zero_grad()
    loss.backward()
    return {
        name
        for name, network in game.networks.items()
        if any(p.grad is not None and p.grad.any() for p in network.parameters())
    }


def test_what_each_phase_reaches_and_what_it_moves(known):
    """A gradient may reach a network that a phase doesn't move: the loop freezes it there."""
    game = training.Game(known)
    game.balances["photo"].k.fill_(0.5)
    game.balances["render"].k.fill_(0.5)
    critics, inverse, generator = game.phases()
    assert moved(game, critics) == {"photo_critic", "render_critic"}
    assert moved(game, inverse) == {"inverse", "render_critic"}
    assert moved(game, generator) == {"generator", "inverse", "photo_critic"}
    assert [phase.parameters for phase in (critics, inverse, generator)] == [
        ("photo_critic", "render_critic"), ("inverse",), ("generator",)
    ]  # fmt: skip


@pytest.mark.parametrize("term", ["adversarial", "cycle", "identity_l1", "identity_set",
                                  "reconstruction", "backward"])  # fmt: skip
def test_every_term_of_the_generator_moves_it(term, known):
    weights = dataclasses.replace(known.weights, reconstruction=1.0, backward=1.0)
    game = training.Game(dataclasses.replace(known, weights=weights))
    batch = domains().batch(range(8))
    game.people.seen.fill_(True)
    game.people.centroids.normal_(generator=torch.Generator().manual_seed(0))
    terms = game.generator_terms(batch, step(torch.Generator()))
    assert terms[term].shape == (8,)
    terms[term].mean().backward()
    assert any(p.grad.any() for p in game.generator.parameters() if p.grad is not None)


def test_terms_of_weight_zero_are_not_computed():
    weights = training.Weights(cycle=0, pair=0, identity_set=0, identity_l1=0)
    game = training.Game(dataclasses.replace(training.TINY, weights=weights))
    batch = domains().batch(range(8))
    assert set(game.generator_terms(batch, step(torch.Generator()))) == {"adversarial"}
    assert set(game.inverse_terms(batch, step(torch.Generator()))) == {"adversarial"}


def test_the_three_balances_move_by_their_own_errors():
    game = training.Game(training.TINY)
    game.remember({"photo real": 0.4, "photo fake": 0.0, "render real": 0.3, "render fake": 0.0})
    told = game.match({"adversarial": 0.05, "cycle": 0.2, "pair": 0.6})
    assert told == {"k render": pytest.approx(0.01 * (0.5 * 0.3 - 0.05))}
    told = game.rebalance({"adversarial": 0.1, "cycle": 0.2})
    assert told["k photo"] == pytest.approx(0.01 * (0.5 * 0.4 - 0.1))
    assert told["k pair"] == pytest.approx(0.01 * (0.5 * 0.6 - 0.2))
    assert told["M"] == pytest.approx(0.4 + 0.1)


def test_the_printed_balance_takes_the_whole_loss():
    config = dataclasses.replace(training.TINY, k_reading="printed")
    game = training.Game(config)
    game.balances["photo"].k.fill_(0.5)
    game.remember({"photo real": 0.4, "photo fake": -0.1, "render real": 1, "render fake": 0})
    told = game.rebalance({"adversarial": 0.1})
    assert told["k photo"] == pytest.approx(0.5 + 0.01 * (0.5 * 0.3 - 0.1))


def test_an_identitys_first_face_is_its_centroid(known):
    game = training.Game(known)
    batch = domains().batch(range(8))
    first = game.generator_terms(batch, step(torch.Generator()))["identity_set"]
    assert first.tolist() == [0.0] * 8, "nobody had been seen"
    assert game.people.seen.all()
    assert (game.people.centroids.norm(dim=1) - 1).abs().max() < 1e-5
    again = game.generator_terms(batch, step(torch.Generator()))["identity_set"]
    assert again.abs().min() > 0


def seeded(config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return training.Game(config)


def test_the_loop_trains_it_and_goes_on_to_the_same_end(tmp_path, known):
    settings = Settings(steps=6, batch=8, seed=3, workers=0, log_every=2)
    whole, parts = seeded(known), seeded(known)
    before = [p.clone() for p in whole.generator.parameters()]
    loop.train(whole, domains(), settings, tmp_path / "whole", progress=False)
    assert any((a != b).any() for a, b in zip(before, whole.generator.parameters(), strict=True))
    half = dataclasses.replace(settings, steps=3)
    loop.train(seeded(known), domains(), half, tmp_path / "parts", progress=False)
    loop.train(parts, domains(), settings, tmp_path / "parts", resume=True, progress=False)
    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, parts.networks[name].state_dict()[key]), (name, key)


def test_a_translator_keeps_size_and_range(random):
    images = torch.rand(2, 3, 20, 20, generator=random) * 2 - 1
    for skips in (True, False):
        made = Translator(Shape(width=4, blocks=1, skips=skips))(images)
        assert made.shape == images.shape
        assert made.abs().max() <= 1


def test_dropout_is_noise_in_training_alone(random):
    images = torch.rand(2, 3, 16, 16, generator=random)
    network = Translator(Shape(width=8, blocks=2, keep=0.5))
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_a_critic_takes_pictures_that_are_no_power_of_two(random):
    critic = training.Critic(20, 4, 8)
    assert critic.side == 32
    assert critic.error(torch.rand(2, 3, 20, 20, generator=random)).shape == (2,)


def test_domains_lie_side_by_side():
    data = domains()
    batch = data.batch([0, 5])
    assert torch.equal(batch.images, data.renders.images[[0, 5]])
    assert batch.labels[PHOTO].shape == batch.labels[PAIR_RENDER].shape == (2, 3, 16, 16)
    row = (5 * 104_729 + 7) % 9
    assert torch.equal(batch.labels[PAIR_PHOTO][1], data.pairs.images[row])
    level = data.pairs.renders[row].permute(2, 0, 1).float() / 127.5 - 1
    torch.testing.assert_close(batch.labels[PAIR_RENDER][1], level)
    photos = {int(i) for i in (torch.arange(24) * 7919 + 13) % 17}
    assert photos == set(range(17)), "every photograph is met"


def test_bad_input(known):
    plain = Pictures(8, 8, 5)
    with pytest.raises(DatasetError, match="has no label 'render', so it holds no pairs"):
        Domains(plain, plain, plain)
    large = Pictures(8, 8, 6, size=32)
    with pytest.raises(DatasetError, match="has faces of 32 pixels, pictures-5 of 16"):
        Domains(plain, large, Pictures(8, 8, 3, pairs=True))
    game = training.Game(known)
    with pytest.raises(DatasetError, match="no photographs beside the renders"):
        game.critic_terms(plain.batch(range(8)), step(torch.Generator()))
    with pytest.raises(DatasetError, match="person number 15, the centroids are of 8 people"):
        game.generator_terms(domains(people=16).batch(range(16)), step(torch.Generator()))
    with pytest.raises(ParameterError, match="size = 18"):
        dataclasses.replace(training.TINY, size=18)


def test_more_photographs_than_renders_are_all_met():
    data = Domains(Pictures(5, 5, 1), Pictures(17, 17, 2), Pictures(9, 9, 3, pairs=True))
    assert len(data) == len(data.identity) == 17
    batch = data.batch(range(17))
    assert torch.equal(batch.identity, torch.arange(17) % 5)
    assert torch.equal(batch.images[7], data.renders.images[2])
    first = batch.labels[PHOTO][:, 0, 0, 0]
    assert sorted(first.tolist()) == sorted(data.photos.images[:, 0, 0, 0].tolist())


# --- configs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["tiny", "book", "paper"])
def test_a_config_is_read_from_json_as_it_was_written(preset):
    config = training.PRESETS[preset]
    read = training.Config.from_json(json.loads(json.dumps(values_of(config))))
    assert read == config
    assert isinstance(read.translator, Shape)
    assert isinstance(read.weights, training.Weights)
    assert type(read.halve_at) is tuple


def test_what_json_leaves_out_is_as_by_default():
    assert training.Config.from_json({}) == training.Config()
    read = training.Config.from_json({"weights": {"pair": 0.25}, "size": 32})
    assert read == training.Config(size=32, weights=training.Weights(pair=0.25))
    with pytest.raises(TypeError, match="widht"):
        training.Config.from_json({"translator": {"widht": 3}})
    with pytest.raises(ParameterError, match="keep = 2"):
        training.Config.from_json({"translator": {"keep": 2}})


def test_pairs_need_the_cycle():
    with pytest.raises(ParameterError, match=r"pair = 0\.5 without a cycle"):
        dataclasses.replace(training.TINY, weights=training.Weights(cycle=0.0))


def test_an_adversarial_weight_of_zero_is_zero():
    """k needs the term, so it is computed; it must not move G."""
    weights = dataclasses.replace(training.TINY.weights, adversarial=0.0)
    game = training.Game(dataclasses.replace(training.TINY, weights=weights))
    phases = {phase.name: phase for phase in game.phases()}
    assert phases["generator"].weights["adversarial"] == 0
    terms = phases["generator"].loss(domains().batch(range(8)), step(torch.Generator()))
    assert "adversarial" in terms


def test_where_the_inverse_has_nothing_to_learn_it_does_not_play():
    weights = training.Weights(cycle=0, pair=0, inverse_adversarial=0, identity_l1=0.5)
    game = training.Game(dataclasses.replace(training.TINY, weights=weights))
    phases = {phase.name: phase for phase in game.phases()}
    assert list(phases) == ["critics", "generator"]
    assert phases["critics"].parameters == ("photo_critic",)
    terms = game.critic_terms(domains().batch(range(8)), step(torch.Generator()))
    assert set(terms) == {"photo real", "photo fake"}
    assert game.remember({"photo real": 0.3, "photo fake": -0.1}) == {}
    assert float(game.balances["photo"].discriminator) == pytest.approx(0.2)
    assert float(game.balances["render"].real) == 0


def test_a_preview_shows_nine_faces_from_all_over_a_batch(random):
    game = training.Game(training.TINY)
    images = torch.rand(30, 3, 16, 16, generator=random) * 2 - 1
    game.generator.eval()
    drawn = game.preview(game.networks, Batch(images, torch.arange(30)))
    assert torch.equal(drawn[:9], images[0:27:3])
    with torch.no_grad():
        assert torch.equal(drawn[9:], game.generator(images[0:27:3]))
    few = game.preview(game.networks, Batch(images[:4], torch.arange(4)))
    assert torch.equal(few[:4], images[:4])
    assert len(few) == 8
