"""The cost model: its terms against sums by hand, its simulation against closed forms."""

import dataclasses
import math

import numpy as np
import pytest

from facelab.engine import scaling
from facelab.engine.scaling import Cluster, Link, Losses, Work
from facelab.errors import ParameterError

HOUR = 3600.0
# A GPU of 100 operations a second in training; four to a node.
CLUSTER = Cluster(
    flops=1000.0,
    achieved=0.1,
    inside=Link(bytes_s=50.0, hop_s=0.001),
    between=Link(bytes_s=20.0, hop_s=0.01),
    base_s=0.002,
    gpus_a_node=4,
    cores=2,
    euros=3.0,
)
WORK = Work(batch=32, flops=10.0, fixed=2.0, messages=5, message_bytes=40.0, loads_s=1000.0)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- a step --------------------------------------------------------------------------------------


def test_one_gpu_works_and_exchanges_nothing():
    taken = scaling.step(WORK, CLUSTER, 1)
    assert taken.seconds == pytest.approx(10 * (32 + 2) / 100)
    assert (taken.latency_s, taken.transfer_s) == (0, 0)
    assert taken.pictures_s == pytest.approx(32 / 3.4)


def test_a_step_of_eight_gpus_by_hand():
    taken = scaling.step(WORK, CLUSTER, 8)
    work = 10 * (4 + 2) / 100
    # A chain of three hops and one level between two nodes, up and down, five times.
    latency = 5 * (0.002 + 2 * (3 * 0.001 + 1 * 0.01))
    transfer = 2 * 7 / 8 * 40 / 20  # the slower of the two links
    assert taken.device_s == pytest.approx(work)
    assert taken.latency_s == pytest.approx(latency)
    assert taken.transfer_s == pytest.approx(transfer)
    assert taken.seconds == pytest.approx(work + latency + transfer)


def ring(gpus: int, numbers: int) -> int:
    """Add up `numbers` on each of some GPUs by a ring; return how many one sends, and check sums.

    Chunk c of GPU g goes round: first the sums, then what was summed.
    """
    values = np.random.default_rng(0).normal(size=(gpus, gpus, numbers // gpus))
    wanted, sent = values.sum(0), 0
    for turn in range(2 * (gpus - 1)):
        chunks = [(g, (g - turn) % gpus) for g in range(gpus)]
        moving = [values[g, c].copy() for g, c in chunks]
        for (g, c), chunk in zip(chunks, moving, strict=True):
            here = values[(g + 1) % gpus]
            here[c] = here[c] + chunk if turn < gpus - 1 else chunk
        sent += numbers // gpus
    np.testing.assert_allclose(values, np.broadcast_to(wanted, values.shape))
    return sent


@pytest.mark.parametrize("gpus", [2, 3, 4])
def test_the_ring_sends_what_the_formula_says(gpus):
    numbers = 12 * gpus
    assert CLUSTER.transfer_s(gpus, numbers) == pytest.approx(ring(gpus, numbers) / 50)


def test_batch_of_the_method_is_divided_and_a_growing_one_is_not():
    fixed, grown = (scaling.step(WORK, CLUSTER, 4, grow=grow) for grow in (False, True))
    assert (fixed.pictures, grown.pictures) == (8, 32)
    assert grown.compute_s == scaling.step(WORK, CLUSTER, 1).compute_s
    with pytest.raises(ParameterError, match="a batch of 32 can't be divided among 5 GPUs"):
        scaling.step(WORK, CLUSTER, 5)
    assert scaling.step(WORK, CLUSTER, 5, grow=True).pictures == 32


def test_a_gpu_waits_for_python_and_all_wait_for_the_loader():
    slow = dataclasses.replace(WORK, alone_s=4.0, host_s=5.0)
    assert scaling.step(slow, CLUSTER, 1).seconds == 4
    assert scaling.step(slow, CLUSTER, 2).compute_s == 5
    starved = dataclasses.replace(WORK, loads_s=0.5)  # two threads: a picture a second
    assert scaling.step(starved, CLUSTER, 1).seconds == 32


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"achieved": 0.0}, "achieved is 0.0; give a number above 0"),
        ({"achieved": 1.5}, "achieved is 1.5; give a number of 1 at most"),
        ({"lost_h": 0}, "lost_h is 0; give a number above 0"),
        ({"spread": -1}, "spread is -1; give a number of 0 or more"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(changed, said):
    with pytest.raises(ParameterError, match=said):
        dataclasses.replace(CLUSTER, **changed)


def test_work_and_counts_that_cannot_be_are_refused():
    with pytest.raises(ParameterError, match="flops is 0"):
        Work(batch=1, flops=0)
    with pytest.raises(ParameterError, match="gpus is 0; give a number of 1 or more"):
        scaling.step(WORK, CLUSTER, 0)
    with pytest.raises(ParameterError, match="interval_s is 0"):
        Losses(0, 1.0)


# --- what breaks first ---------------------------------------------------------------------------


def test_limits_are_named_at_the_count_where_they_begin():
    # 4 GPUs: 1 s of work, 1.2 s of bytes. 32: 0.3 s of work, 0.34 s of messages.
    assert scaling.limits(WORK, CLUSTER) == {"bytes": 4, "messages": 32, "batch": 64}
    silent = dataclasses.replace(WORK, message_bytes=0.0)
    assert scaling.limits(dataclasses.replace(silent, batch=6), CLUSTER) == {"batch": 4}
    # 10 (32 / n + 2) / 100 is under 1.1 s from 4 GPUs on.
    slow = dataclasses.replace(silent, host_s=1.1)
    assert scaling.limits(slow, CLUSTER, (1, 2, 4)) == {"Python": 4}
    chatty = dataclasses.replace(silent, messages=1000)
    assert scaling.limits(chatty, CLUSTER, (1, 2, 4)) == {"messages": 2}
    starved = dataclasses.replace(silent, loads_s=2.0)
    assert scaling.limits(starved, CLUSTER, (1, 2)) == {"loader": 1}


def test_the_first_limit_is_that_of_the_fewest_gpus():
    assert scaling.first_limit({"batch": 16, "bytes": 8, "messages": 8}) == ("messages", 8)
    assert scaling.first_limit({}) is None


# --- the simulation and the closed forms ---------------------------------------------------------


def test_without_chance_the_simulation_is_the_closed_form():
    taken = scaling.step(WORK, CLUSTER, 8)
    assert scaling.simulate(taken, 50, random()) == pytest.approx(50 * taken.seconds)
    # Saved each time 1.5 steps are unsaved, that is after each second one.
    saved = Losses(1.5 * taken.seconds, 0.25)
    found = scaling.simulate(taken, 50, random(), losses=saved)
    assert found == pytest.approx(50 * taken.seconds + 25 * 0.25)
    uneven = scaling.simulate(taken, 51, random(), losses=saved)
    assert uneven == pytest.approx(51 * taken.seconds + 26 * 0.25)  # and at the end


@pytest.mark.parametrize("gpus", [1, 2, 8, 32])
def test_stragglers_cost_a_harmonic_number(gpus):
    taken = scaling.step(WORK, CLUSTER, gpus)
    found = scaling.simulate(taken, 20_000, random(gpus), spread=0.3) / 20_000
    assert found == pytest.approx(scaling.expected_s(taken, 0.3), rel=0.01)
    late = 0.3 * sum(1 / k for k in range(1, gpus + 1))
    assert scaling.expected_s(taken, 0.3) == pytest.approx(taken.seconds + late * taken.compute_s)


def test_stragglers_are_what_a_step_without_them_leaves_out():
    taken = scaling.step(WORK, CLUSTER, 32)
    plain = 20_000 * taken.seconds
    found = scaling.simulate(taken, 20_000, random(), spread=1.0)
    assert found > plain + 20_000 * 4 * taken.compute_s  # the latest of 32 is late by 4.06 means


def test_a_step_that_the_loader_bounds_hides_stragglers():
    starved = dataclasses.replace(WORK, loads_s=0.5, message_bytes=0.0)
    taken = scaling.step(starved, CLUSTER, 8)  # 4 s of loading, 0.67 s of all else
    found = scaling.simulate(taken, 100, random(), spread=0.1)
    assert found == pytest.approx(100 * taken.loading_s)


STEP = dataclasses.replace(scaling.step(WORK, CLUSTER, 1), device_s=1.0)  # of a second


def mean_of_runs(losses: Losses, steps: int, runs: int) -> float:
    found = [scaling.simulate(STEP, steps, random(seed), losses=losses) for seed in range(runs)]
    return sum(found) / runs


def test_losses_cost_what_daly_says():
    losses = Losses(interval_s=60.0, save_s=5.0, between_s=600.0, restart_s=30.0)
    found = mean_of_runs(losses, 6000, 40)
    assert found == pytest.approx(scaling.run_s(6000, losses), rel=0.02)


def test_the_first_order_holds_where_losses_are_rare_and_not_where_they_are_not():
    rare = Losses(interval_s=60.0, save_s=5.0, between_s=6000.0, restart_s=30.0)
    first = 6000 * (1 + scaling.waste(rare))
    assert first == pytest.approx(scaling.run_s(6000, rare), rel=0.002)
    often = Losses(interval_s=600.0, save_s=5.0, between_s=300.0, restart_s=30.0)
    found, first = mean_of_runs(often, 1200, 60), 1200 * (1 + scaling.waste(often))
    assert found == pytest.approx(scaling.run_s(1200, often), rel=0.1)
    assert found > 1.6 * first


def test_young_chooses_the_cheapest_interval_and_daly_agrees():
    between, save = 50_000.0, 20.0
    best = scaling.young_s(save, between)
    assert best == pytest.approx(math.sqrt(2 * 20 * 50_000))

    def total(interval: float) -> float:
        return scaling.run_s(1e6, Losses(interval, save, between))

    wastes = {k: scaling.waste(Losses(k * best, save, between)) for k in (0.8, 1.0, 1.25)}
    assert min(wastes, key=wastes.__getitem__) == 1.0
    assert total(best) < min(total(0.7 * best), total(1.4 * best))


def test_a_loss_in_a_restart_begins_it_anew():
    """Restarts as long as the time between losses: e of them on average, by Daly's factor."""
    losses = Losses(interval_s=10.0, save_s=0.0, between_s=20.0, restart_s=20.0)
    found = mean_of_runs(losses, 200, 60)
    assert found == pytest.approx(scaling.run_s(200, losses), rel=0.1)


# --- whole runs ----------------------------------------------------------------------------------


def test_a_run_without_chance_costs_what_its_steps_take():
    one, four = scaling.run(WORK, CLUSTER, (1, 4), pictures=3200)
    seconds = scaling.step(WORK, CLUSTER, 4).seconds
    assert four.hours == pytest.approx(100 * seconds / HOUR)
    assert four.euros == pytest.approx(four.hours * 4 * 3.0)
    assert four.pictures_s == pytest.approx(32 / seconds)
    assert one.kept == 1
    assert four.kept == pytest.approx(3.4 / (4 * seconds))
    assert four.closed_s == pytest.approx(100 * seconds)


def test_a_growing_batch_keeps_more_of_a_gpu_and_takes_fewer_steps():
    fixed = scaling.run(WORK, CLUSTER, (1, 32))[1]
    grown = scaling.run(WORK, CLUSTER, (1, 32), grow=True)[1]
    assert grown.kept > 3 * fixed.kept
    assert grown.euros < fixed.euros / 3


def test_a_run_is_the_same_for_the_same_seed_and_near_its_closed_form():
    cluster = dataclasses.replace(
        CLUSTER, spread=0.1, lost_h=20.0, restart_s=60.0, write_bytes_s=10.0
    )
    work = dataclasses.replace(WORK, state_bytes=100.0)
    first, again = (scaling.run(work, cluster, (8,), whole=True, seed=3)[0] for _ in range(2))
    assert first == again
    assert scaling.run(work, cluster, (8,), whole=True, seed=4)[0] != first
    part = scaling.run(work, cluster, (8,), seed=3)[0]
    assert part.hours < first.hours
    assert part.hours * HOUR == pytest.approx(part.closed_s, rel=0.01)
    assert first.hours * HOUR == pytest.approx(first.closed_s, rel=0.03)
    losses = scaling.losses_of(work, cluster, 8)
    assert losses.between_s == 20 * HOUR / 8
    assert losses.interval_s == pytest.approx(math.sqrt(2 * 10.0 * losses.between_s))
