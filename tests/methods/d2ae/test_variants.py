"""The ablations: what each changes, and that all else is the base's."""

import dataclasses

import pytest

from facelab.errors import ParameterError
from facelab.methods.d2ae.config import BOOK, PAPER, Config
from facelab.methods.d2ae.variants import FULL, VARIANTS, derive

ALONE = {"classify": False, "dispel": False, "decode": False}


def changes(base: Config, name: str) -> dict:
    """Return what a variant sets otherwise, weights by their names."""
    given, found = (dataclasses.asdict(config) for config in (base, derive(base, name)))
    weights = given.pop("weights"), found.pop("weights")
    pairs = [(given, found), weights]
    return {name: new[name] for old, new in pairs for name in old if old[name] != new[name]}


CHANGED = {
    FULL: {},
    "no-dispelling": {"dispel": False},
    "no-classifier": {"classify": False},
    "no-augmentation": {"augment": False},
    "baseline": {**ALONE, "augment": False},
    "baseline-augmented": ALONE,
    "as-printed": {"dispelling": "as-printed"},
    "gan": {"adversarial": 0.1},
    "gan-alone": {"adversarial": 0.1, "reconstruction": 0.0},
}


def test_there_are_no_others():
    assert CHANGED.keys() == VARIANTS.keys()


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.parametrize("base", [BOOK, PAPER], ids=["book", "paper"])
def test_a_variant_changes_what_it_names_and_nothing_else(base, name):
    assert changes(base, name) == CHANGED[name]


def test_a_weight_that_the_base_has_is_kept():
    base = dataclasses.replace(BOOK, weights=dataclasses.replace(BOOK.weights, adversarial=0.7))
    assert derive(base, "gan") == base
    assert changes(base, "gan-alone") == {"reconstruction": 0.0}


def test_each_says_what_the_paper_says():
    assert all(variant.name and variant.paper for variant in VARIANTS.values())


def test_an_unknown_variant():
    with pytest.raises(ParameterError, match="variant 'no-faces' is unknown; choose one of full"):
        derive(BOOK, "no-faces")
