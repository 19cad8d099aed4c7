"""The interface of recognisers, and what the trained one says about people."""

import itertools
import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.recognition import embedder
from facelab.recognition.embedder import Embedder


def test_distances_of_known_vectors():
    a = torch.tensor([[3.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    b = torch.tensor([[2.0, 0.0], [5.0, 0.0], [-4.0, 0.0]])
    assert torch.allclose(Embedder.distance(a, b), torch.tensor([0.0, 2.0, 4.0]))
    expected = torch.tensor([1.0, math.sqrt(26), 5.0])
    assert torch.allclose(Embedder.native_distance(a, b), expected)


def test_one_row_is_compared_with_all(random):
    a, b = torch.randn(4, 128, generator=random), torch.randn(1, 128, generator=random)
    expected = torch.cat([Embedder.distance(row[None], b) for row in a])
    assert torch.allclose(Embedder.distance(a, b), expected)


def test_the_length_does_not_matter_to_the_unit_distance(random):
    a, b = torch.randn(2, 5, 128, generator=random)
    torch.testing.assert_close(Embedder.distance(a, b), Embedder.distance(7 * a, b / 3))


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(
        ParameterError, match=r"no recogniser called 'arcface'; choose one of: dlib, fac"
    ):
        embedder.embedder("arcface")


def test_the_recogniser_is_shared():
    assert embedder.embedder("dlib") is embedder.embedder("dlib")


def test_embeddings_have_length_one_and_raw_ones_have_not(chips, recogniser):
    assert torch.allclose(recogniser.embed(chips).norm(dim=1), torch.ones(5))
    lengths = recogniser(chips).norm(dim=1)
    assert ((lengths > 1.3) & (lengths < 1.55)).all()


def test_same_and_different_people(photographs, chips, recogniser):
    """Three photographs of one man, and two other people: every pair on its side, with room."""
    person = [name.rstrip("23") for name in photographs]
    raw, unit = recogniser(chips), recogniser.embed(chips)
    for i, j in itertools.combinations(range(5), 2):
        native = recogniser.native_distance(raw[[i]], raw[[j]])
        squared = recogniser.distance(unit[[i]], unit[[j]])
        if person[i] == person[j]:
            assert native < 0.5 < recogniser.threshold
            assert squared < 0.12 < recogniser.threshold_squared
        else:
            assert native > 0.7 > recogniser.threshold
            assert squared > 0.28 > recogniser.threshold_squared


def test_the_two_thresholds_belong_together(recogniser):
    """At the usual length of a raw embedding, 1.40, they are the same decision."""
    length = 1.40
    expected = recogniser.threshold**2 / length**2
    assert recogniser.threshold_squared == pytest.approx(expected, abs=1e-3)
