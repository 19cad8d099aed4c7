"""Triplets: values by hand, mining against a slow twin, and where each point moves."""

import math

import pytest
import torch
import torch.nn.functional as F

from facelab import losses
from facelab.losses import semi_hard_triplets, softmax_loss, squared_distances, triplet_loss


def on_circle(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def chord(degrees: float) -> float:
    """The squared distance of two points on the unit circle, by their angle."""
    return 2 - 2 * math.cos(math.radians(degrees))


# --- the loss ------------------------------------------------------------------------------------


def test_triplet_loss_is_equation_3():
    loss = triplet_loss(on_circle(0, 0, 0), on_circle(60, 10, 60), on_circle(90, 90, 30))
    expected = torch.tensor([0.0, 0.0, chord(60) - chord(30) + 0.2])
    torch.testing.assert_close(loss, expected)  # 1 - 2 + 0.2 < 0


def test_the_margin_is_what_is_left_when_positive_and_negative_are_as_far():
    loss = triplet_loss(on_circle(0), on_circle(40), on_circle(-40), margin=0.35)
    torch.testing.assert_close(loss, torch.tensor([0.35]), rtol=0, atol=1e-6)


def test_triplet_loss_does_not_change_when_everything_is_turned(random):
    a, p, n = F.normalize(torch.randn(3, 16, 8, generator=random), dim=2)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=random)).Q
    torch.testing.assert_close(triplet_loss(a @ turn, p @ turn, n @ turn), triplet_loss(a, p, n))


def test_each_point_moves_the_right_way():
    """The positive comes to the anchor, the negative leaves it; a settled triplet rests."""
    points = [on_circle(0, 0), on_circle(50, 10), on_circle(-50, 170)]
    a, p, n = (x.clone().requires_grad_() for x in points)
    triplet_loss(a, p, n).sum().backward()
    # d/dp |a - p|^2 = 2 (p - a), d/dn -|a - n|^2 = 2 (a - n), d/da = 2 (n - p)
    for point, gradient in ((a, 2 * (n - p)), (p, 2 * (p - a)), (n, 2 * (a - n))):
        torch.testing.assert_close(point.grad[0], gradient[0])
        assert (point.grad[1] == 0).all()
    step = [x.detach() - 0.05 * x.grad for x in (a, p, n)]
    assert (step[1] - a.detach()).norm(dim=1)[0] < (p - a).norm(dim=1)[0]
    assert (step[2] - a.detach()).norm(dim=1)[0] > (n - a).norm(dim=1)[0]


def test_triplet_loss_has_the_gradient_that_differences_have(random):
    points = F.normalize(torch.randn(3, 5, 4, generator=random, dtype=torch.float64), dim=2)
    assert torch.autograd.gradcheck(
        lambda *x: triplet_loss(*x, margin=1.0), [x.requires_grad_() for x in points]
    )


# --- the mining ----------------------------------------------------------------------------------


def mined_slowly(embeddings: torch.Tensor, identities: torch.Tensor) -> list[tuple[int, int, int]]:
    """The same choice, triplet by triplet."""
    count, found = len(embeddings), []

    def distance(i: int, j: int) -> float:
        return float((embeddings[i] - embeddings[j]).square().sum())

    for a in range(count):
        for p in range(count):
            negatives = [n for n in range(count) if identities[n] != identities[a]]
            if a == p or identities[a] != identities[p] or not negatives:
                continue
            farther = [n for n in negatives if distance(a, n) > distance(a, p)]
            if farther:
                found.append((a, p, min(farther, key=lambda n, a=a: distance(a, n))))
            else:
                found.append((a, p, max(negatives, key=lambda n, a=a: distance(a, n))))
    return found


@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_mining_agrees_with_its_slow_twin(random, spread):
    identities = torch.randint(5, (30,), generator=random)
    centres = torch.randn(5, 6, generator=random)
    noise = torch.randn(30, 6, generator=random)
    embeddings = F.normalize(centres[identities] + spread * noise, dim=1)
    mined = semi_hard_triplets(embeddings, identities)
    assert [tuple(row) for row in mined.tolist()] == mined_slowly(embeddings, identities)


def test_the_closest_negative_beyond_the_positive_is_taken():
    #                     anchor, positive, too close, semi-hard, semi-hard, easy
    embeddings = on_circle(0, 40, 20, 44, -46, 180)
    identities = torch.tensor([0, 0, 1, 2, 3, 4])
    assert [0, 1, 3] in semi_hard_triplets(embeddings, identities).tolist()


def test_the_farthest_negative_serves_when_none_is_beyond_the_positive():
    embeddings = on_circle(0, 170, 20, 90)
    identities = torch.tensor([0, 0, 1, 2])
    assert [0, 1, 3] in semi_hard_triplets(embeddings, identities).tolist()


def test_a_random_negative_is_semi_hard_and_each_of_them_comes_up(random):
    embeddings = on_circle(0, 40, 20, 44, -45, 46, 180)
    identities = torch.tensor([0, 0, 1, 2, 3, 4, 5])
    drawn = {
        semi_hard_triplets(embeddings, identities, generator=random)[0, 2].item() for _ in range(60)
    }
    assert drawn == {3, 4, 5}  # chord(46) - chord(40) = 0.14 < 0.2; 2 is too close, 6 too far


def test_the_same_seed_gives_the_same_triplets(random):
    embeddings = F.normalize(torch.randn(40, 8, generator=random), dim=1)
    identities = torch.arange(40) // 4
    first, second = (
        semi_hard_triplets(embeddings, identities, generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, semi_hard_triplets(embeddings, identities))


@pytest.mark.parametrize("identities", [[0, 1, 2], [4, 4, 4], [0]])
def test_without_a_pair_or_without_a_negative_there_is_no_triplet(identities):
    embeddings = on_circle(*range(len(identities)))
    mined = semi_hard_triplets(embeddings, torch.tensor(identities))
    assert mined.shape == (0, 3)
    assert mined.dtype == torch.long


def test_semi_hard_losses_lie_within_the_margin_and_below_batch_all(random):
    """Semi-hard triplets with a farther negative cost at most the margin; all triplets, more."""
    identities = torch.arange(24) // 4
    centres = torch.randn(6, 5, generator=random)
    embeddings = F.normalize(
        centres[identities] + 0.4 * torch.randn(24, 5, generator=random), dim=1
    )
    a, p, n = semi_hard_triplets(embeddings, identities).T
    loss = triplet_loss(embeddings[a], embeddings[p], embeddings[n])
    distances = squared_distances(embeddings)
    farther = distances[a, n] > distances[a, p]
    assert farther.any()
    assert (loss[farther] <= 0.2).all()
    every = [
        float(F.relu(distances[i, j] - distances[i, k] + 0.2))
        for i in range(24)
        for j in range(24)
        for k in range(24)
        if i != j and identities[i] == identities[j] != identities[k]
    ]
    assert max(every) >= loss.max()


@pytest.fixture
def one_thread():
    """For a loop over tiny tensors, where threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_training_on_mined_triplets_separates_toy_identities(random):
    """Four identities whose points start mixed on a circle end apart: the loss does its work."""
    identities = torch.arange(20) % 4
    points = torch.randn(20, 3, generator=random).requires_grad_()
    optimiser = torch.optim.Adam([points], lr=0.05)
    for _ in range(150):
        embeddings = F.normalize(points, dim=1)
        a, p, n = semi_hard_triplets(embeddings, identities).T
        loss = triplet_loss(embeddings[a], embeddings[p], embeddings[n]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    distances = squared_distances(F.normalize(points.detach(), dim=1))
    same = identities[:, None] == identities
    assert distances[same].max() < distances[~same].min()


# --- the distances and the classifier ------------------------------------------------------------


def test_squared_distances_keep_the_digits_of_close_points():
    a = F.normalize(torch.ones(1, 128), dim=1)
    b = a.clone()
    b[0, 0] += 1e-4
    torch.testing.assert_close(
        squared_distances(torch.cat([a, b]))[0, 1], torch.tensor(1e-8), rtol=1e-3, atol=0
    )


def test_squared_distances_have_a_gradient_where_points_coincide():
    points = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    squared_distances(points)[0].sum().backward()
    torch.testing.assert_close(points.grad, torch.tensor([[2.0, 4.0], [0.0, 0.0], [-2.0, -4.0]]))


def test_softmax_loss_is_the_logarithm_of_the_count_for_equal_logits():
    loss = softmax_loss(torch.zeros(3, 10), torch.tensor([0, 4, 9]))
    torch.testing.assert_close(loss, torch.full((3,), math.log(10)))


def test_softmax_loss_by_hand_and_its_gradient():
    logits = torch.tensor([[2.0, 0.0, -1.0]], requires_grad=True)
    loss = softmax_loss(logits, torch.tensor([1]))
    total = math.exp(2) + 1 + math.exp(-1)
    torch.testing.assert_close(loss, torch.tensor([math.log(total)]))
    loss.sum().backward()
    probabilities = torch.tensor([[math.exp(2), 1.0, math.exp(-1)]]) / total
    torch.testing.assert_close(logits.grad, probabilities - torch.tensor([[0.0, 1.0, 0.0]]))


def test_the_terms_are_pure(random):
    """One value per sample, and no embedding is changed."""
    embeddings = torch.randn(6, 4, generator=random)
    before = embeddings.clone()
    assert triplet_loss(embeddings[:2], embeddings[2:4], embeddings[4:]).shape == (2,)
    semi_hard_triplets(embeddings, torch.tensor([0, 0, 1, 1, 2, 2]), generator=random)
    assert torch.equal(embeddings, before)
    assert losses.MARGIN == 0.2


# --- wing loss -----------------------------------------------------------------------------------


def wing_of(x: float, **shape: float) -> float:
    """The wing loss of one error."""
    return float(losses.wing_loss(torch.full((1, 1, 2), x), torch.zeros(1, 1, 2), **shape))


@pytest.mark.parametrize("x", [0.0, 0.5, -3.0, 9.9, 10.1, 40.0])
def test_wing_loss_is_equation_5(x):
    constant = 10 - 10 * math.log(1 + 10 / 2)
    near, far = 10 * math.log(1 + abs(x) / 2), abs(x) - constant
    assert wing_of(x) == pytest.approx(near if abs(x) < 10 else far, rel=1e-5)


def test_wing_loss_is_continuous_where_its_parts_meet():
    for width, curvature in ((10.0, 2.0), (3.0, 0.5)):
        ends = [wing_of(x, width=width, curvature=curvature) for x in (width - 1e-4, width + 1e-4)]
        assert ends[0] == pytest.approx(ends[1], abs=3e-3)
        assert ends[0] < ends[1]


def test_wing_loss_pulls_small_errors_harder():
    """Its slope is w / (e + |x|) near the target, 5 at it, and 1 far away."""
    points = torch.tensor([[[1e-6, 2.0]], [[50.0, -50.0]]], requires_grad=True)
    losses.wing_loss(points, torch.zeros(2, 1, 2)).sum().backward()
    expected = torch.tensor([[[5.0, 2.5]], [[1.0, -1.0]]]) / 2  # the mean over the coordinates
    torch.testing.assert_close(points.grad, expected)
