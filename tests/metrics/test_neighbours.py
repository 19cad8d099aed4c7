"""Clusters by person: against the recogniser's purity, slow twins, and known answers."""

import dataclasses
import json

import pytest
import torch

from facelab.errors import ParameterError
from facelab.metrics.identification import knn_purity
from facelab.metrics.neighbours import neighbourhood, purities, tsne


def crowd(random, people=12, views=6, spread=0.1, width=16):
    """A place a person, and faces about it."""
    places = torch.randn(people, 1, width, generator=random)
    rows = places + spread * torch.randn(people, views, width, generator=random)
    return rows.flatten(0, 1), torch.arange(people).repeat_interleave(views) * 3 + 1


def silhouette_by_hand(rows, people):
    """Rousseeuw 1987, face by face."""
    distances = torch.cdist(rows, rows)
    found = []
    for face, person in enumerate(people.tolist()):
        own = people == person
        own[face] = False
        inside = distances[face, own].mean()
        outside = min(
            distances[face, people == other].mean() for other in people.unique() if other != person
        )
        found.append(float((outside - inside) / max(inside, outside)))
    return sum(found) / len(found)


def test_clusters_are_pure_and_mixed_faces_are_at_chance(random):
    clear = neighbourhood(*crowd(random), random=random, replicates=200)
    assert clear.purity == 1.0
    assert clear.silhouette > 0.7
    rows, people = torch.randn(240, 16, generator=random), torch.arange(240) // 6
    mixed = neighbourhood(rows, people, random=random, replicates=200)
    assert mixed.chance == pytest.approx(5 / 239)
    assert mixed.purity_interval.low < mixed.chance < mixed.purity_interval.high
    assert mixed.silhouette < 0
    assert json.loads(json.dumps(dataclasses.asdict(mixed)))["people"] == 40


@pytest.mark.parametrize("neighbours", [1, 3, 9])
def test_purity_is_the_recognisers(random, neighbours):
    """People with one, two and more faces, and more neighbours than some have faces."""
    people = torch.tensor([5] * 7 + [2] * 4 + [9] * 2 + [1])
    rows = torch.randn(14, 5, generator=random)
    found = neighbourhood(rows, people, random=random, neighbours=neighbours)
    assert found.purity == pytest.approx(
        knn_purity(embeddings=rows, people=people, neighbours=neighbours), abs=1e-12
    )
    assert found.purity_interval is None, "four people are too few"


def test_purity_by_hand():
    """On a line: 0 0 1 0 . . 1 1, each face's two nearest."""
    rows = torch.tensor([[0.0], [1.0], [2.1], [3.3], [9.0], [10.1]]).double()
    people = torch.tensor([0, 0, 1, 0, 1, 1])
    assert purities(rows, people, 2).tolist() == [0.5, 0.5, 0.0, 0.5, 0.5, 0.5]
    assert purities(rows, torch.tensor([0, 0, 0, 0, 0, 7]), 1)[:5].tolist() == [1, 1, 1, 1, 0]
    assert purities(rows, torch.tensor([0, 0, 0, 0, 0, 7]), 1)[5].isnan()


def test_silhouette_is_rousseeuws(random):
    rows, people = crowd(random, people=5, views=3, spread=1.0)
    found = neighbourhood(rows, people, random=random, distance="euclidean", replicates=100)
    assert found.silhouette == pytest.approx(silhouette_by_hand(rows.double(), people), abs=1e-7)
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    found = neighbourhood(rows, people, random=random, replicates=100)
    assert found.silhouette == pytest.approx(silhouette_by_hand(unit, people), abs=1e-7)
    assert found.silhouette_interval.low < found.silhouette < found.silhouette_interval.high


def test_cosine_takes_no_heed_of_length_and_euclidean_does(random):
    directions = torch.nn.functional.normalize(torch.randn(6, 8, generator=random), dim=1)
    people = torch.arange(6).repeat(4)
    rows = directions[people] * torch.arange(1, 5).repeat_interleave(6)[:, None] * 100
    assert neighbourhood(rows, people, random=random, replicates=50).purity == 1.0
    other = neighbourhood(rows, people, random=random, distance="euclidean", replicates=50)
    assert other.purity < 0.9


def test_the_picture_keeps_clusters_and_follows_from_the_seed(random):
    rows, people = crowd(random, people=5, views=6)
    drawn = tsne(rows, seed=0, perplexity=5)
    assert drawn.shape == (30, 2)
    assert torch.equal(drawn, tsne(rows, seed=0, perplexity=5))
    assert not torch.allclose(drawn, tsne(rows, seed=1, perplexity=5), atol=0.1)
    how = {"random": random, "distance": "euclidean", "replicates": 50}
    assert neighbourhood(drawn, people, **how).purity > 0.9
    mixed = people[torch.randperm(30, generator=random)]
    assert neighbourhood(drawn, mixed, **how).purity < 0.4


def test_bad_input(random):
    rows, people = crowd(random, people=3, views=2)
    with pytest.raises(ParameterError, match="3 faces of 3 people have no clusters"):
        neighbourhood(rows[::2], people[::2], random=random)
    with pytest.raises(ParameterError, match="6 faces of 1 people"):
        neighbourhood(rows, torch.zeros(6, dtype=torch.long), random=random)
    with pytest.raises(ParameterError, match="6 faces and 5 numbers"):
        neighbourhood(rows, people[:5], random=random)
    with pytest.raises(ParameterError, match="has no direction"):
        neighbourhood(torch.zeros(6, 2), people, random=random)
    with pytest.raises(ParameterError, match="0 neighbours are too few"):
        neighbourhood(rows, people, random=random, neighbours=0)
    with pytest.raises(ParameterError, match="perplexity of 30 does not go with 6 faces"):
        tsne(rows, seed=0)
    with pytest.raises(ParameterError, match="no distance 'angle'"):
        tsne(rows, seed=0, distance="angle")
