"""Statistics over frames: known variances, a known bend, a known lag, intervals that cover."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facelab.errors import ParameterError
from facelab.metrics.temporal import (
    Draws,
    Estimate,
    blocks,
    identity_against,
    identity_over_time,
    jitter,
    jitter_against,
    lip_gap,
    motion,
    motion_followed,
)


def draws(seed=0, **words):
    return Draws(torch.Generator().manual_seed(seed), **{"replicates": 200, **words})


def wander(frames, seed=0, features=8, keep=0.6):
    """A stationary process: N(0, 1) in every frame, correlated with the frame before."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(frames, features, generator=random, dtype=torch.float64)
    rows = [noise[0]]
    for row in noise[1:]:
        rows.append(keep * rows[-1] + math.sqrt(1 - keep**2) * row)
    return torch.stack(rows)


# --- identity ------------------------------------------------------------------------------------


def test_one_embedding_in_all_frames_has_no_variance():
    told = identity_over_time(torch.ones(60, 4), draws())
    assert [told[name].value for name in told] == pytest.approx([0, 0, 1], abs=1e-12)
    assert told["variance"].interval.high == pytest.approx(0, abs=1e-12)
    assert told["cosine"].interval.low == pytest.approx(1)


def test_two_directions_in_turn():
    """Vectors at a right angle: each is 1/2 from the mean (squared), and 2 from the next one."""
    turns = 7 * torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(30, 1)
    told = identity_over_time(turns, draws())
    assert told["variance"].value == pytest.approx(0.5)
    assert told["step"].value == pytest.approx(2)
    # 30 x 29 ordered pairs of each kind have a cosine of 1, those of two kinds have 0.
    assert told["cosine"].value == pytest.approx(2 * 30 * 29 / (60 * 59))
    assert {estimate.drawn for estimate in told.values()} == {"blocks of frames"}


def test_the_cosine_is_that_of_all_pairs():
    rows = wander(12, seed=3) + 2
    unit = F.normalize(rows, dim=1)
    first, second = torch.triu_indices(12, 12, 1)
    expected = float((unit[first] * unit[second]).sum(1).mean())
    found = identity_over_time(rows.float(), draws(block=2))["cosine"]
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert found.interval.low < expected < found.interval.high < 1


def test_several_sequences_are_drawn_whole():
    still, turned = torch.ones(8, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(4, 1)
    told = identity_over_time([still, turned, turned, turned, turned], draws())
    variance = told["variance"]
    assert variance.value == pytest.approx(0.8 * 0.5)
    assert variance.drawn == "sequences"
    # Means of five draws of 0 or 1/2: tenths.
    assert (variance.interval.low * 10) == pytest.approx(round(variance.interval.low * 10))
    assert variance.interval.low < 0.4 < variance.interval.high <= 0.5


def test_a_change_within_one_sequence_counts_and_one_between_them_does_not():
    """The mean embedding is each sequence's own: other people aren't variance."""
    people = [torch.eye(6)[[n]].expand(10, -1) for n in range(6)]
    assert identity_over_time(people, draws())["variance"].value == pytest.approx(0, abs=1e-12)
    assert identity_over_time(torch.cat(people), draws())["variance"].value > 0.8


def drawn_variances(rows, how):
    """The variances of drawn frames, one by one: a slow twin."""
    unit, found = (rows / rows.norm(dim=1, keepdim=True)).numpy(), []
    for _ in range(how.replicates):
        chosen = unit[blocks(len(rows), how).numpy()]
        found.append(np.square(chosen - chosen.mean(0)).sum() / len(rows))
    return np.array(found)


def test_the_interval_of_a_variance_is_turned_about_it():
    """Drawn frames repeat, so that theirs is too small; the interval makes up for it."""
    rows = wander(60, keep=0.9) + 2
    drawn = drawn_variances(rows, draws())
    found = identity_over_time(rows, draws())["variance"]
    assert drawn.mean() < 0.95 * found.value
    low, high = found.value**2 / np.quantile(drawn, [0.975, 0.025])
    assert [found.interval.low, found.interval.high] == pytest.approx([low, high])


def test_both_sides_of_a_ratio_are_drawn_alike():
    made, driver = wander(60, 1) + 2, wander(60, 2) + 1
    drawn = drawn_variances(made, draws()) / drawn_variances(driver, draws())
    found = identity_against(made, driver, draws())["variance"]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert [found.interval.low, found.interval.high] == pytest.approx([low, high])
    assert low < found.value < high


def test_against_the_driver_the_scale_is_known():
    """Made frames that stray half as far have a quarter of the variance, and of the steps."""
    moves = wander(60)
    one = torch.full((60, 1), 1e3)
    driver, made = torch.cat([one, moves], dim=1), torch.cat([one, moves / 2], dim=1)
    told = identity_against(made, driver, draws())
    for name in ("variance", "step"):
        assert told[name].value == pytest.approx(0.25, rel=1e-3)
        assert told[name].interval.low == pytest.approx(0.25, rel=1e-3)
        assert told[name].interval.high == pytest.approx(0.25, rel=1e-3)


def test_ratios_are_those_of_means_over_sequences():
    still, turned = torch.ones(8, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(4, 1)
    made, driver = [turned, *[still] * 5], [turned, turned, *[still] * 4]
    told = identity_against(made, driver, draws())["variance"]
    assert told.value == pytest.approx(0.5)
    assert told.drawn == "sequences"
    nothing = identity_against(made, [still] * 6, draws())["step"]
    assert nothing == Estimate("1 where it is as the driver's", None, None, "sequences")


# --- blocks --------------------------------------------------------------------------------------


def test_blocks_are_successive_and_every_frame_comes_as_often():
    how = draws(block=10)
    times = torch.zeros(25)
    for _ in range(400):
        drawn = blocks(25, how)
        assert len(drawn) == 25
        for part in drawn.split(10):
            assert torch.equal(part, (part[0] + torch.arange(len(part))) % 25)
        times += drawn.bincount(minlength=25)
    assert float(times.mean()) == 400
    assert float((times - 400).abs().max()) < 120


def test_longer_blocks_give_wider_intervals_where_frames_resemble_each_other():
    rows = torch.cat([torch.full((200, 1), 1e3), wander(200, keep=0.9)], dim=1)
    width = {}
    for block in (1, 20):
        interval = identity_over_time(rows, draws(block=block))["variance"].interval
        width[block] = interval.high / interval.low
    assert width[20] > 1.15 * width[1]


def test_too_few_blocks_have_no_interval():
    assert identity_over_time(wander(40), draws())["variance"].interval is None
    assert identity_over_time(wander(41), draws())["variance"].interval is not None
    two = identity_over_time([wander(20), wander(21)], draws())["variance"]
    assert two.interval is not None
    assert two.drawn == "blocks of frames"


def test_a_seed_gives_one_interval():
    found = [identity_over_time(wander(60), draws(seed)) for seed in (4, 4, 5)]
    assert found[0] == found[1] != found[2]
    assert found[0]["step"].interval.replicates == 200


# --- landmarks -----------------------------------------------------------------------------------


def test_even_motion_has_no_jitter_and_a_parabola_has_its_bend():
    t = torch.arange(60.0)[:, None, None]
    ways = torch.randn(1, 68, 2, generator=torch.Generator().manual_seed(0))
    assert jitter(5 + t * ways, 64.0, draws()).value == pytest.approx(0, abs=1e-6)
    # x = 3 t^2 and y = 4 t^2 bend by (6, 8), of length 10; half of the points do.
    bent = t.square() * torch.tensor([3.0, 4.0]) * (torch.arange(68) % 2)[None, :, None]
    found = jitter(bent, 50.0, draws())
    assert found.value == pytest.approx(0.1)
    assert found.interval.low == found.interval.high == pytest.approx(0.1)


def test_trembling_is_the_second_difference_of_noise():
    """Of white noise of deviation s it has deviation s sqrt(6); the length of two: sqrt(pi / 2)."""
    noise = torch.randn(400, 68, 2, generator=torch.Generator().manual_seed(1))
    found = jitter(noise, 64.0, draws(replicates=50))
    assert found.value == pytest.approx(math.sqrt(6 * math.pi / 2) / 64, rel=0.02)
    told = jitter_against(3 * noise, noise, draws(replicates=50))
    assert [told.value, told.interval.low, told.interval.high] == pytest.approx([3] * 3)


def mouths(gap, frames=5):
    """Landmarks whose inner lips are `gap` apart under a nose of 20 pixels."""
    points = torch.zeros(frames, 68, 2)
    points[:, 33, 1] = 20.0
    points[:, 61:64, 1] = 30.0
    points[:, 61:64, 0] = torch.tensor([-5.0, 0.0, 5.0])
    points[:, 65:68, 0] = torch.tensor([5.0, 0.0, -5.0])
    points[:, 65:68, 1] = 30.0 + torch.as_tensor(gap)[..., None]
    return points


def test_the_gap_of_the_lips():
    torch.testing.assert_close(lip_gap(mouths(6.0)), torch.full((5,), 0.3))
    torch.testing.assert_close(lip_gap(4 * mouths(6.0)), torch.full((5,), 0.3))
    assert not lip_gap(mouths(0.0)).any()


# --- motion --------------------------------------------------------------------------------------


def moves(frames=60, seed=0):
    series = wander(frames, seed, features=4, keep=0.9)
    return motion(series[:, :3].float(), mouths(series[:, 3].float() + 9, frames))


def test_what_moves_has_names():
    told = moves()
    assert list(told) == ["yaw", "pitch", "roll", "mouth"]
    assert torch.equal(told["pitch"], wander(60, features=4, keep=0.9)[:, 1].float())


def test_the_same_motion_is_followed_whatever_its_size_and_its_reverse_is_not():
    driver = moves()
    told = motion_followed({name: 2 * v - 3 for name, v in driver.items()}, driver, draws())
    for found in told.values():
        assert [found.value, found.interval.low] == pytest.approx([1, 1], abs=1e-5)
    told = motion_followed({name: -v for name, v in driver.items()}, driver, draws())
    assert told["yaw"].value == pytest.approx(-1, abs=1e-5)


def test_a_stranger_motion_is_not_followed():
    driver = {"yaw": wander(300, 1, 1)[:, 0]}
    found = motion_followed({"yaw": wander(300, 2, 1)[:, 0]}, driver, draws())["yaw"]
    assert found.interval.low < 0 < found.interval.high
    both = torch.stack([wander(300, 1, 1)[:, 0], wander(300, 2, 1)[:, 0]])
    assert found.value == pytest.approx(float(torch.corrcoef(both)[0, 1]))


def test_several_drivers_have_the_mean_correlation():
    series = [wander(30, seed, 1)[:, 0] for seed in range(6)]
    made = [series[0], series[1], -series[2], *series[3:]]
    found = motion_followed({"yaw": made}, {"yaw": series}, draws())["yaw"]
    assert found.value == pytest.approx(4 / 6)
    assert found.drawn == "sequences"


def test_a_face_that_does_not_move_follows_nothing():
    driver = {"yaw": wander(60, 1, 1)[:, 0]}
    for level in (0.0, 0.1, 1 / 3, 1e4 / 3):
        still = torch.full((60,), level, dtype=torch.float64)
        found = motion_followed({"yaw": still}, driver, draws())["yaw"]
        assert (found.value, found.interval) == (None, None)


def test_gradients_and_single_precision_are_no_matter():
    rows = wander(60).float().requires_grad_()
    assert identity_over_time(rows, draws())["step"].value > 0


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: identity_over_time(torch.ones(1, 4), draws()), "has 1 frames, at least 2"),
        (lambda: identity_over_time([], draws()), "no sequence of embeddings"),
        (lambda: identity_over_time(torch.ones(4, 4) / 0, draws()), "not finite in 4 of 4 frames"),
        (lambda: jitter(torch.ones(2, 68, 2), 64.0, draws()), "has 2 frames, at least 3"),
        (lambda: jitter(torch.ones(9, 68, 2), 0.0, draws()), "a picture's side can't be 0.0"),
        (lambda: jitter(torch.full((9, 68, 2), math.nan), 64.0, draws()), "not finite in 9 of 9"),
        (lambda: identity_against(torch.ones(4, 4), torch.ones(5, 4), draws()), "the same frames"),
        (
            lambda: motion_followed({"yaw": torch.ones(5)}, {"roll": torch.ones(5)}, draws()),
            "the made faces have yaw and the driver roll",
        ),
        (lambda: motion_followed({"yaw": torch.ones(2)}, {"yaw": torch.ones(2)}, draws()),
         "a sequence of yaw has 2 frames"),
        (lambda: draws(block=0), "blocks of 0 frames"),
        (lambda: draws(replicates=0), "0 draws of blocks"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_named(measure, message):
    with pytest.raises(ParameterError, match=message):
        measure()
