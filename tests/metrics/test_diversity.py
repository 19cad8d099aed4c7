"""Mean pairwise identity distance: known vectors, a slow twin, an interval over faces."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facelab.errors import ParameterError
from facelab.metrics import diversity
from facelab.metrics.diversity import identity_diversity, mean_distances
from facelab.recognition.embedder import Embedder


def measure(embeddings, threshold=0.2, seed=0, **settings):
    random = torch.Generator().manual_seed(seed)
    settings = {"replicates": 200, "embedder": "dlib", **settings}
    return identity_diversity(embeddings, threshold=threshold, random=random, **settings)


def test_of_known_directions():
    right_angles = measure(3 * torch.eye(8))
    assert right_angles.mean_distance == pytest.approx(2)
    assert right_angles.same_person == 0
    opposite = measure(torch.tensor([[1.0, 0.0], [-5.0, 0.0]]))
    assert opposite.mean_distance == pytest.approx(4)
    one_person = measure(torch.ones(9, 4) * torch.arange(1, 10)[:, None])
    assert one_person.mean_distance == pytest.approx(0, abs=1e-12)
    assert one_person.same_person == 1


def test_it_is_the_embedders_distance_over_all_pairs(random, monkeypatch):
    monkeypatch.setattr(diversity, "CHUNK", 7)
    rows = torch.randn(23, 6, generator=random) + 0.5
    pairs = [
        float(Embedder.distance(rows[[i]].double(), rows[[j]].double()))
        for i, j in itertools.combinations(range(23), 2)
    ]
    found = measure(rows, threshold=1.0)
    assert found.mean_distance == pytest.approx(np.mean(pairs), rel=1e-9)
    assert found.same_person == pytest.approx(np.mean(np.array(pairs) < 1.0))
    assert 0 < found.same_person < 1
    assert (found.count, found.embedder, found.threshold) == (23, "dlib", 1.0)


def test_faces_that_were_drawn_twice_count_twice_and_are_no_pair(random):
    """By the slow sum over pairs of different faces, each weighted by m_i m_j."""
    unit = F.normalize(torch.randn(9, 4, generator=random, dtype=torch.float64), dim=1)
    times = torch.randint(3, (5, 9), generator=random).double()
    times[:, :2] = 1  # no draw without a pair
    for row, value in zip(times, mean_distances(unit, times), strict=True):
        above = weights = 0.0
        for i, j in itertools.combinations(range(9), 2):
            weight = float(row[i] * row[j])
            above += weight * float((unit[i] - unit[j]).square().sum())
            weights += weight
        assert float(value) == pytest.approx(above / weights, rel=1e-9)


def test_the_interval_is_over_faces():
    """Of 60 sets of 30 faces, 95 % intervals hold the mean of them all."""
    random = torch.Generator().manual_seed(6)
    found = [
        measure(torch.randn(30, 5, generator=random) + 0.7, seed=seed, replicates=100)
        for seed in range(60)
    ]
    mean = np.mean([f.mean_distance for f in found])
    covered = np.mean([f.interval.low <= mean <= f.interval.high for f in found])
    assert 0.85 <= covered <= 1
    width = np.mean([f.interval.high - f.interval.low for f in found])
    assert 3 < width / np.std([f.mean_distance for f in found]) < 5


def test_a_seed_fixes_the_interval_and_few_faces_have_none(random):
    rows = torch.randn(20, 4, generator=random)
    assert measure(rows, replicates=250) == measure(rows, replicates=250)
    assert measure(rows, replicates=250).interval.replicates == 250
    assert measure(rows).interval != measure(rows, seed=1).interval
    assert measure(rows[:4]).interval is None
    assert measure(rows[:5]).interval is not None


def test_turning_does_not_matter(random):
    rows = torch.randn(20, 6, generator=random, dtype=torch.float64) + 1
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=random, dtype=torch.float64))
    assert measure(rows @ turn).mean_distance == pytest.approx(measure(rows).mean_distance)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.ones(1, 4), "the given set has 1 pictures, at least 2"),
        (torch.full((3, 4), math.nan), "not finite in 3 of 3"),
        (torch.zeros(3, 4), "an embedding is zero"),
    ],
)
def test_what_cannot_be_measured_is_named(rows, message):
    with pytest.raises(ParameterError, match=message):
        measure(rows)
