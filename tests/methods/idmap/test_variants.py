"""The ablations: what each leaves out, and that all else is the base's."""

import dataclasses

import pytest

from facelab.errors import ParameterError
from facelab.methods.idmap.config import BOOK, PAPER, Config
from facelab.methods.idmap.variants import FULL, VARIANTS, derive


def changes(base: Config, name: str) -> dict:
    """Return what a variant sets otherwise, weights by their names."""
    given, found = (dataclasses.asdict(config) for config in (base, derive(base, name)))
    weights = given.pop("weights"), found.pop("weights")
    pairs = [(given, found), weights]
    return {name: new[name] for old, new in pairs for name in old if old[name] != new[name]}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        (FULL, {}),
        ("no-critic", {"adversarial": 0.0}),
        ("no-landmarks", {"landmarks": 0.0}),
        ("as-printed", {"pretrain_steps": 0}),
    ],
)
def test_a_variant_changes_what_it_names_and_nothing_else(name, changed):
    assert changes(BOOK, name) == changed


def test_the_paper_is_as_printed():
    assert derive(PAPER, "as-printed") == PAPER
    helped = dataclasses.replace(PAPER, weights=dataclasses.replace(PAPER.weights, latent=0.1))
    assert derive(helped, "as-printed") == PAPER


def test_each_says_what_the_paper_says():
    assert all(variant.name and variant.paper for variant in VARIANTS.values())


def test_an_unknown_variant():
    with pytest.raises(ParameterError, match="variant 'no-faces' is unknown; choose one of full"):
        derive(BOOK, "no-faces")
