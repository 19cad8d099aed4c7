"""Identification: ranks by hand and against slow twins."""

import pytest
import torch
import torch.nn.functional as F

from facelab.metrics.identification import knn_purity, rank_k


def on_circle(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_rank_k_by_hand():
    gallery = on_circle(0, 90, 180)
    found = rank_k(
        probes=on_circle(10, 50, 100, 170),
        probe_people=torch.tensor([0, 0, 2, 0]),
        gallery=gallery,
        gallery_people=torch.tensor([0, 1, 2]),
        ranks=(1, 2, 3),
    )
    # 10: first. 50: second, after 90. 100: second, after 90. 170: third, after 180 and 90.
    assert found == {1: 0.25, 2: 0.75, 3: 1.0}


def test_ranks_count_people_and_not_pictures():
    """Two pictures of the wrong person are closer: the right one still is the second person."""
    found = rank_k(
        probes=on_circle(0),
        probe_people=torch.tensor([1]),
        gallery=on_circle(5, -6, 20),
        gallery_people=torch.tensor([0, 0, 1]),
        ranks=(1, 2),
    )
    assert found == {1: 0.0, 2: 1.0}


def test_failed_probes_are_misses():
    arguments = {
        "probes": on_circle(1, 91),
        "probe_people": torch.tensor([0, 1]),
        "gallery": on_circle(0, 90),
        "gallery_people": torch.tensor([0, 1]),
    }
    assert rank_k(**arguments)[1] == 1
    assert rank_k(**arguments, failed_probes=2)[1] == 0.5
    assert rank_k(**arguments, failed_probes=2)[5] == 0.5


def test_rank_k_agrees_with_its_slow_twin(random):
    people = torch.arange(8).repeat_interleave(3)
    centres = torch.randn(8, 4, generator=random)
    gallery = centres[people] + torch.randn(24, 4, generator=random)
    probes = centres[people] + torch.randn(24, 4, generator=random)
    found = rank_k(
        probes=probes,
        probe_people=people,
        gallery=gallery,
        gallery_people=people,
        ranks=range(1, 9),
    )
    distances = (F.normalize(probes, dim=1)[:, None] - F.normalize(gallery, dim=1)).square().sum(2)
    closest = torch.stack([distances[:, people == p].amin(1) for p in range(8)], dim=1)
    before = (closest < closest.gather(1, people[:, None])).sum(1)
    assert found == {k: float((before < k).double().mean()) for k in range(1, 9)}
    assert found[8] == 1


def test_everybody_has_to_be_in_the_gallery():
    with pytest.raises(ValueError, match=r"1 of the probes' people .*the first: 3"):
        rank_k(
            probes=on_circle(0, 90),
            probe_people=torch.tensor([0, 3]),
            gallery=on_circle(0),
            gallery_people=torch.tensor([0]),
        )


def test_purity_by_hand():
    embeddings = on_circle(0, 10, 20, 180, 190, 25)
    people = torch.tensor([0, 0, 0, 1, 1, 2])
    # Two neighbours each: 0 and 10 see 0 twice, 20 sees 25 and 10; 180 and 190 have one each.
    assert knn_purity(embeddings=embeddings, people=people, neighbours=2) == pytest.approx(
        (1 + 1 + 0.5 + 1 + 1) / 5
    )


def test_purity_does_not_see_the_face_itself_even_among_copies():
    embeddings = on_circle(0, 0, 0, 90)
    assert knn_purity(
        embeddings=embeddings, people=torch.tensor([0, 0, 1, 1]), neighbours=1
    ) == pytest.approx(knn_purity_slowly(embeddings, torch.tensor([0, 0, 1, 1])), abs=0.51)
    apart = on_circle(0, 0, 180, 180)
    assert knn_purity(embeddings=apart, people=torch.tensor([0, 0, 1, 1]), neighbours=1) == 1


def knn_purity_slowly(embeddings: torch.Tensor, people: torch.Tensor, neighbours: int = 1) -> float:
    distances = torch.cdist(F.normalize(embeddings, dim=1), F.normalize(embeddings, dim=1))
    shares = []
    for face in range(len(people)):
        others = [i for i in range(len(people)) if i != face]
        own = sum(people[i] == people[face] for i in others)
        nearest = sorted(others, key=lambda i, f=face: distances[f, i])[: min(neighbours, own)]
        if nearest:
            shares.append(sum(float(people[i] == people[face]) for i in nearest) / len(nearest))
    return sum(shares) / len(shares)


def test_purity_agrees_with_its_slow_twin(random):
    people = torch.randint(5, (40,), generator=random)
    embeddings = torch.randn(5, 3, generator=random)[people]
    embeddings = embeddings + 0.7 * torch.randn(40, 3, generator=random)
    for neighbours in (1, 3, 10):
        assert knn_purity(
            embeddings=embeddings, people=people, neighbours=neighbours
        ) == pytest.approx(knn_purity_slowly(embeddings, people, neighbours))


def test_purity_needs_somebody_with_two_faces():
    with pytest.raises(ValueError, match="nobody has two faces"):
        knn_purity(embeddings=on_circle(0, 90), people=torch.tensor([0, 1]))
