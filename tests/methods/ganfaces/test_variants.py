"""The baselines: what each weighs and nothing else, and what a step of each moves."""

import dataclasses

import pytest
import torch
from torch import nn

from facelab.data.domains import Domains
from facelab.engine.settings import Settings
from facelab.engine.trainer import Trainer
from facelab.errors import ParameterError
from facelab.methods.ganfaces import training
from facelab.methods.ganfaces.variants import VARIANTS, derive
from facelab.phases import Step
from facelab.recognition.embedder import Embedder

BASE = dataclasses.replace(
    training.BOOK,
    weights=training.Weights(cycle=0.4, pair=0.3, identity_set=0.02, identity_l1=0.1),
)
# What each weighs otherwise than the base: the paper's terms that it lacks, or has beside them.
CHANGED = {
    "full": {},
    "simgan": {
        "cycle": 0.0,
        "pair": 0.0,
        "identity_set": 0.0,
        "inverse_adversarial": 0.0,
        "identity_l1": 0.4,
    },
    "cyclegan": {"pair": 0.0, "identity_set": 0.0, "backward": 0.4},
    "reconstruction": {"reconstruction": 0.3},
    "no-set-loss": {"identity_set": 0.0},
    "backward-cycle": {"backward": 0.4},
}
PLAYERS = {"generator", "inverse", "photo_critic", "render_critic"}
# name -> networks that a step moves, terms of G, terms of G'
STEPS = {
    "full": (
        PLAYERS | {"balances", "people"},
        {"adversarial", "cycle", "identity_l1", "identity_set"},
        {"adversarial", "cycle", "pair"},
    ),
    "simgan": ({"generator", "photo_critic", "balances"}, {"adversarial", "identity_l1"}, None),
    "cyclegan": (
        PLAYERS | {"balances"},
        {"adversarial", "cycle", "identity_l1", "backward"},
        {"adversarial", "cycle", "backward"},
    ),
    "reconstruction": (
        PLAYERS | {"balances", "people"},
        {"adversarial", "cycle", "identity_l1", "identity_set", "reconstruction"},
        {"adversarial", "cycle", "pair"},
    ),
    "no-set-loss": (
        PLAYERS | {"balances"},
        {"adversarial", "cycle", "identity_l1"},
        {"adversarial", "cycle", "pair"},
    ),
    "backward-cycle": (
        PLAYERS | {"balances", "people"},
        {"adversarial", "cycle", "identity_l1", "identity_set", "backward"},
        {"adversarial", "cycle", "pair", "backward"},
    ),
}


class Judge(Embedder):
    """Twelve numbers: the means of a picture's quarters and colours."""

    id, size, template, threshold, threshold_squared = "judge", 150, "dlib150", 1.0, 1.0

    def forward(self, images):
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1) + 0.1


@pytest.fixture
def tiny(monkeypatch) -> training.Config:
    """A small full method that looks through a recogniser of no weights."""
    monkeypatch.setattr(training, "embedder", lambda name: Judge())
    weights = training.Weights(identity_set=0.02)
    return dataclasses.replace(training.TINY, embedder="judge", weights=weights)


def test_every_variant_is_here():
    assert list(VARIANTS) == list(CHANGED) == list(STEPS)
    assert all("Table 1" in v.paper or "ection" in v.paper or "Foot" in v.paper
               for v in VARIANTS.values())  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_its_weights_and_nothing_else(name):
    derived = derive(BASE, name)
    before, after = vars(BASE.weights), vars(derived.weights)
    assert {k: v for k, v in after.items() if v != before[k]} == CHANGED[name]
    assert dataclasses.replace(derived, weights=BASE.weights) == BASE


def test_a_variant_of_a_variant_keeps_what_it_was_given():
    masked = dataclasses.replace(BASE, masked=True, beta=0.5)
    assert derive(masked, "simgan").masked
    assert derive(derive(masked, "backward-cycle"), "no-set-loss").weights.backward == 0.4


def test_an_unknown_variant():
    with pytest.raises(ParameterError, match="variant 'stargan' is unknown; choose one of full"):
        derive(BASE, "stargan")


def values(network):
    return [v.clone() for v in network.state_dict().values()]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_moves_what_it_should(name, tiny, renders):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        game = training.Game(derive(tiny, name))
    data = Domains(*(renders(16, 8, 2, seed) for seed in (1, 2, 3)))
    trainer = Trainer(game, data, Settings(steps=2, batch=4, seed=0, workers=0))
    before = {key: values(network) for key, network in game.networks.items()}
    trainer.take(data.batch([0, 3, 6, 9]))
    trainer.take(data.batch([1, 2, 7, 9]))
    moved = {
        key
        for key, network in game.networks.items()
        if any(not torch.equal(a, b) for a, b in zip(before[key], values(network), strict=True))
    }
    networks, of_g, of_inverse = STEPS[name]
    assert moved == networks
    trainer.ledger.read()
    terms = {}
    for key in trainer.ledger.take():
        phase, _, term = key.partition("/")
        terms.setdefault(phase, set()).add(term)
    assert of_g <= terms["generator"]
    assert terms["generator"] - of_g <= {"k photo", "k pair", "M", "total"}
    assert terms.get("inverse", set()) - {"k render", "total"} == (of_inverse or set())
    assert ("identity_set" in terms["generator"]) == bool(game.embedders)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_term_counts_what_its_weight_says(name, tiny, renders):
    """A term that a phase gives no weight would count 1."""
    game = training.Game(derive(tiny, name))
    batch = Domains(*(renders(16, 8, 2, seed) for seed in (1, 2, 3))).batch([0, 3])
    for phase in game.phases()[1:]:
        terms = phase.loss(batch, Step(0, torch.Generator()))
        inverse = phase.name == "inverse"
        names = {t: f"inverse_{t}" if inverse and t == "adversarial" else t for t in terms}
        assert phase.weights == {t: getattr(game.config.weights, n) for t, n in names.items()}


def test_the_backward_cycle_teaches_both(tiny):
    """Its gradient reaches G in the phase of G, and G' in that of G'."""
    game = training.Game(derive(tiny, "cyclegan"))
    photo = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    game._backward_cycle(photo).mean().backward()
    for network in (game.generator, game.inverse):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        assert any(p.grad.any() for p in network.parameters())
