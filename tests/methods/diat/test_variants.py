"""The paper's variants: what each changes and nothing else, and what a step of each counts."""

import dataclasses

import pytest
import torch
from torch import nn

from facelab.data.by_attribute import GUIDED
from facelab.errors import ParameterError
from facelab.methods.diat import training
from facelab.methods.diat.features import FaceLayers
from facelab.methods.diat.networks import Denoiser
from facelab.methods.diat.variants import FACE_NETWORK, SMOOTH, VARIANTS, derive
from facelab.phases import Step
from facelab.types import Batch

BASE = dataclasses.replace(
    training.TINY,
    task="male_to_female",
    weights=training.Weights(identity=0.3, layers=(0.5, 2.0)),
    learning_rate=3e-4,
    discriminator_rate=2e-4,
)
# (identity, weight of it, weight of smoothness) of each, and the terms of its T.
CHANGED = {
    "diat-1": ("adaptive", 0.0, 0.0),
    "diat-2": (FACE_NETWORK, 0.3, 0.0),
    "diat-3": (FACE_NETWORK, 0.3, SMOOTH),
    "diat": (FACE_NETWORK, 0.3, SMOOTH),
    "diat-a0": ("adaptive", 0.3, 0.0),
    "diat-a": ("adaptive", 0.3, 0.0),
}
TERMS = {
    "diat-1": {"attribute"},
    "diat-2": {"attribute", "identity"},
    "diat-3": {"attribute", "identity", "smooth"},
    "diat": {"attribute", "identity", "smooth"},
    "diat-a0": {"attribute", "identity"},
    "diat-a": {"attribute", "identity"},
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_variant_is_here():
    assert list(VARIANTS) == list(CHANGED) == list(TERMS)
    assert [name for name, v in VARIANTS.items() if v.enhanced] == ["diat", "diat-a"]
    assert all("ection" in v.paper for v in VARIANTS.values())


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_its_losses_and_nothing_else(name):
    derived = derive(BASE, name)
    weights = derived.weights
    assert (derived.identity, weights.identity, weights.smooth) == CHANGED[name]
    assert weights.layers == (0.5, 2.0)
    kept = dataclasses.replace(derived, weights=BASE.weights, identity=BASE.identity)
    assert kept == BASE, "rates, steps and sizes are the base's"


def test_the_enhancement_changes_no_game():
    assert derive(BASE, "diat") == derive(BASE, "diat-3")
    assert derive(BASE, "diat-a") == derive(BASE, "diat-a0") == BASE


def test_where_the_base_has_no_weight_the_paper_says_it():
    bare = derive(BASE, "diat-1")
    assert derive(bare, "diat-a0").weights.identity == 0.1
    assert derive(bare, "diat-2").weights.identity == 0.1
    # 0.001 times a sum over the 49,152 values of a picture of 128 is 49.152 times their mean.
    assert derive(bare, "diat-3").weights.smooth == pytest.approx(49.152)


def test_a_variant_of_a_variant_keeps_what_it_was_given():
    other = dataclasses.replace(BASE, identity="vgg-face", weights=training.Weights(0.2, 7.0))
    assert derive(other, "diat-2").identity == derive(other, "diat-3").identity == "vgg-face"
    assert derive(other, "diat-3").weights.smooth == 7.0
    assert derive(other, "diat-2").weights.smooth == 0.0
    assert derive(derive(other, "diat-3"), "diat-a0").identity == "adaptive"


def test_an_unknown_variant():
    with pytest.raises(ParameterError, match="variant 'diat-4' is unknown; choose one of diat-1"):
        derive(BASE, "diat-4")


# --- what a step counts --------------------------------------------------------------------------


class Cells(FaceLayers):
    """Means over cells of 4 and of 8 pixels."""

    embedders = ("cells",)

    def forward(self, images):
        return [nn.functional.avg_pool2d(images, side) for side in (4, 8)]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_term_counts_what_its_weight_says(name, monkeypatch):
    """A term that the phase gives no weight would count 1, and one without need costs time."""
    monkeypatch.setattr(training, "face_layers", lambda name: Cells())
    config = derive(BASE, name)
    game = training.Game(config, Denoiser(4))
    images, guided = (torch.rand(2, 3, 16, 16, generator=seeded(n)) * 2 - 1 for n in (0, 1))
    batch = Batch(images, torch.arange(2), labels={GUIDED: guided})
    phase = next(phase for phase in game.phases() if phase.name == "transform")
    assert set(phase.loss(batch, Step(0, seeded()))) == TERMS[name]
    weights = {"identity": config.weights.identity, "smooth": config.weights.smooth}
    assert phase.weights == {term: weights[term] for term in TERMS[name] - {"attribute"}}
    assert game.embedders == (("cells",) if config.identity == FACE_NETWORK else ())
