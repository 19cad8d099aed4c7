"""The readings of what the paper leaves open, against closed forms."""

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.ganfaces import readings
from facelab.metrics.paired import mean_interval


def interval(values):
    return mean_interval(values, torch.Generator().manual_seed(0))


def test_the_magnets_sign_gathers_people_and_the_printed_one_scatters_them():
    paths = readings.sign_paths(seeds=range(5), steps=60)
    start = paths["magnet"][:, 0]
    assert torch.equal(start, paths["printed"][:, 0]), "both begin with the same faces"
    assert start.min() > 0.6, "mixed"
    assert paths["magnet"].shape == (5, 61)
    assert interval(paths["magnet"][:, -1]).high < 0.2
    assert interval(paths["printed"][:, -1]).low > 1, "farther from themselves than from others"


def test_within_over_between_by_hand():
    faces = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    people = torch.tensor([0, 0, 1, 1])
    assert float(readings.within_between(faces, people)) == pytest.approx(2 / 3)  # 2 / (4+2+4+2)/4
    assert float(readings.within_between(faces[[0, 0, 1, 1]], people)) == 0


def test_seeds_give_what_they_gave():
    first, again = (readings.sign_paths(seeds=[3], steps=3)["magnet"] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, readings.sign_paths(seeds=[4], steps=3)["magnet"])


@pytest.mark.parametrize(("reading", "rate"), [("momentum", 0.05), ("printed", 0.95)])
def test_wander_and_lag_are_what_the_rate_says(reading, rate):
    wander = readings.wander(visits=2000)[reading]
    assert float(wander.mean()) == pytest.approx(rate / (2 - rate), rel=0.08)
    found = interval(wander)
    assert found.low < rate / (2 - rate) * 1.05
    assert found.high > rate / (2 - rate) * 0.95
    lag = readings.lag(visits=2000)[reading]
    assert float(lag.mean()) == pytest.approx((1 - rate) / rate, abs=0.1)


def test_without_noise_a_centroid_of_beta_zero_stays_behind(monkeypatch):
    monkeypatch.setattr(torch, "randn", lambda n, generator: torch.zeros(n))
    assert readings.wander(seeds=[0])["momentum"].tolist() == [0.0]
    assert readings.lag(seeds=[0], beta=0.5)["printed"].tolist() == pytest.approx([1.0], abs=1e-4)
    assert readings.lag(seeds=[0], beta=0.75)["momentum"].tolist() == pytest.approx([3.0], abs=1e-4)


def test_too_few_visits():
    with pytest.raises(ParameterError, match="7 visits are too few"):
        readings.wander(visits=7)


def test_the_two_balances_settle_elsewhere():
    paths = readings.k_paths(*readings.noisy_errors(seeds=range(5), steps=12_000))
    assert paths["began"].shape == (5, 12_001)
    assert paths["began"][:, 0].tolist() == [0.0] * 5
    assert paths["began"][:, -1].min() > 0.98
    assert float(paths["printed"][:, -1].mean()) == pytest.approx(0.5, abs=0.03)
    assert interval(paths["printed"][:, -1]).high < 0.6


def test_k_step_by_step():
    real, fake = torch.tensor([[0.2, 0.4]]), torch.tensor([[0.05, 0.1]])
    paths = readings.k_paths(real, fake, rate=1.0)
    assert paths["began"][0].tolist() == pytest.approx([0.0, 0.05, 0.15])
    first = 0.5 * 0.2 - 0.05
    second = first + 0.5 * (0.4 - first * 0.1) - 0.1
    assert paths["printed"][0].tolist() == pytest.approx([0.0, first, second])
    with pytest.raises(ParameterError, match="don't belong together"):
        readings.k_paths(real, fake[:, :1])


def test_noise_is_as_large_as_it_says():
    real, fake = readings.noisy_errors(seeds=[1, 2], steps=5000)
    assert real.shape == fake.shape == (2, 5000)
    assert float(real.mean()) == pytest.approx(0.2, rel=0.01)
    assert float(fake.std() / fake.mean()) == pytest.approx(0.1, rel=0.05)
    assert not torch.allclose(real / 0.2, fake / 0.08)
