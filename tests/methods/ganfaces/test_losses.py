"""The terms of GANFaces against what the equations say, and its two unclear signs."""

import math

import pytest
import torch

from facelab.methods.ganfaces import losses

SEEN = torch.ones(3, dtype=torch.bool)


def literal_set_loss(embeddings, identities, centroids, margin, minus):
    """Equation 7 written out, face by face."""
    own = [
        float((e - centroids[i]).square().sum())
        for e, i in zip(embeddings, identities, strict=True)
    ]
    variance = sum(own) / len(own)
    sign, values = (-1 if minus else 1), []
    for row, i in enumerate(identities):
        top = math.exp(sign * own[row] / (2 * variance) - margin)
        rest = sum(
            math.exp(sign * float((embeddings[row] - centroids[j]).square().sum()) / (2 * variance))
            for j in range(len(centroids))
            if j != i
        )
        values.append(-math.log(top / rest))
    return values


@pytest.mark.parametrize(("sign", "minus"), [("magnet", True), ("printed", False)])
def test_the_set_loss_is_equation_seven(sign, minus, random):
    embeddings, centroids = (torch.randn(n, 4, generator=random) for n in (5, 3))
    identities = torch.tensor([0, 1, 2, 0, 1])
    got = losses.set_loss(embeddings, identities, centroids, SEEN, margin=0.7, sign=sign)
    want = literal_set_loss(embeddings, identities.tolist(), centroids, 0.7, minus)
    assert got.tolist() == pytest.approx(want, rel=1e-4)


def fall(sign, steps=300):
    """Let two people of two faces each follow the loss on the circle; within and between them."""
    angles = torch.tensor([0.5, -0.5, 2.1, 3.1], requires_grad=True)
    people, told = torch.tensor([0, 0, 1, 1]), []
    for _ in range(steps):
        points = torch.stack([angles.cos(), angles.sin()], dim=1)
        centroids = torch.stack([points[:2].mean(0), points[2:].mean(0)]).detach()
        within = (points.detach()[:2] - centroids[0]).square().sum(1).mean()
        told.append((float(within), float((centroids[0] - centroids[1]).norm())))
        loss = losses.set_loss(points, people, centroids, SEEN[:2], sign=sign).sum()
        (slope,) = torch.autograd.grad(loss, angles)
        angles = (angles - 0.001 * slope).detach().requires_grad_()
    return told


def test_only_the_magnets_sign_tells_people_apart():
    magnet, printed = fall("magnet"), fall("printed")
    assert magnet[0] == printed[0]
    assert magnet[-1][0] < 0.2 * magnet[0][0], "faces of one person come together"
    assert magnet[-1][1] > magnet[0][1], "and two people come apart"
    assert printed[-1][0] > 0.5 * printed[0][0]
    assert printed[-1][1] < 0.6 * printed[0][1], "the printed sign draws strangers together"


def test_no_gradient_goes_through_the_variance(random):
    """With s^2 held fixed, the slope of one pair is known: (c_other - c_own) / s^2."""
    embeddings = torch.randn(1, 4, generator=random).requires_grad_()
    centroids = torch.randn(2, 4, generator=random)
    loss = losses.set_loss(embeddings, torch.tensor([0]), centroids, SEEN[:2])
    (slope,) = torch.autograd.grad(loss.sum(), embeddings)
    variance = (embeddings - centroids[0]).square().sum().detach()
    torch.testing.assert_close(slope[0], (centroids[1] - centroids[0]) / variance)


def test_people_who_have_not_been_seen_are_left_out(random):
    embeddings, centroids = (torch.randn(n, 4, generator=random) for n in (2, 3))
    people = torch.tensor([0, 1])
    some = torch.tensor([True, True, False])
    got = losses.set_loss(embeddings, people, centroids, some)
    want = losses.set_loss(embeddings, people, centroids[:2], some[:2])
    torch.testing.assert_close(got, want)
    own_unseen = torch.tensor([False, True, True])
    assert losses.set_loss(embeddings, people, centroids, own_unseen)[0] == 0
    alone = torch.tensor([True, False, False])
    assert losses.set_loss(embeddings, people, centroids, alone).tolist() == [0, 0]


def test_a_batch_of_unseen_people_has_a_gradient_of_zero(random):
    embeddings = torch.randn(2, 4, generator=random).requires_grad_()
    none = torch.zeros(3, dtype=torch.bool)
    loss = losses.set_loss(embeddings, torch.tensor([0, 1]), torch.zeros(3, 4), none)
    (slope,) = torch.autograd.grad(loss.sum(), embeddings)
    assert loss.tolist() == [0, 0]
    assert not slope.any()


def test_readings_of_beta():
    centroids, face = torch.zeros(2, 2), torch.tensor([[1.0, 0.0]])
    far = losses.move_centroids(centroids, face, torch.tensor([1]), reading="printed")
    near = losses.move_centroids(centroids, face, torch.tensor([1]), reading="momentum")
    torch.testing.assert_close(far, torch.tensor([[0.0, 0.0], [0.95, 0.0]]))
    torch.testing.assert_close(near, torch.tensor([[0.0, 0.0], [0.05, 0.0]]))
    assert not centroids.any(), "what was given is not changed"


def test_several_faces_of_one_person_count_by_their_mean():
    faces = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    moved = losses.move_centroids(
        torch.zeros(2, 2), faces, torch.tensor([1, 1, 0]), beta=0.5, reading="printed"
    )
    torch.testing.assert_close(moved, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))


def test_the_printed_reading_follows_noise(random):
    """A centroid of noisy faces of one person: the printed one is as noisy as the last face."""
    faces = torch.randn(2000, 1, 2, generator=random)
    wander = {}
    for reading in ("printed", "momentum"):
        centroid, seen = torch.zeros(1, 2), []
        for face in faces:
            centroid = losses.move_centroids(centroid, face, torch.tensor([0]), reading=reading)
            seen.append(centroid)
        wander[reading] = float(torch.cat(seen)[200:].var())
    assert wander["printed"] == pytest.approx(0.95 / 1.05, rel=0.15)  # rate / (2 - rate)
    assert wander["momentum"] == pytest.approx(0.05 / 1.95, rel=0.3)


def test_l1_with_and_without_a_mask(random):
    a, b = (torch.rand(2, 3, 4, 4, generator=random) for _ in range(2))
    torch.testing.assert_close(losses.l1(a, b), (a - b).abs().mean((1, 2, 3)))
    half = torch.zeros(2, 1, 4, 4)
    half[:, :, :2] = 1
    torch.testing.assert_close(losses.l1(a, b, half), (a - b)[:, :, :2].abs().mean((1, 2, 3)))
    assert losses.l1(a, b, torch.zeros(2, 1, 4, 4)).tolist() == [0, 0]
    assert losses.cycle_loss(a, a).tolist() == losses.identity_l1(a, a).tolist() == [0, 0]


def test_the_pair_loss_is_equation_six(random):
    render, fitted = (torch.rand(2, 3, 4, 4, generator=random) for _ in range(2))
    cycle = torch.tensor([0.5, 0.25])
    got = losses.pair_loss(render, fitted, cycle, torch.tensor(0.4))
    torch.testing.assert_close(got, (render - fitted).abs().mean((1, 2, 3)) - 0.4 * cycle)


def test_an_embedding_that_diverged_is_not_hidden():
    embeddings = torch.tensor([[float("nan"), 0.0], [1.0, 0.0]])
    loss = losses.set_loss(embeddings, torch.tensor([0, 1]), torch.eye(2), SEEN[:2])
    assert loss.isnan().any()
