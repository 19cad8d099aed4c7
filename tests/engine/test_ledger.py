"""Losses that are read late, as on a GPU, are the same losses, and name the same step."""

import pytest
import torch

from facelab.engine import checkpoints
from facelab.engine.distribution import Processes
from facelab.engine.ledger import Ledger, NotFinite
from facelab.engine.loop import train
from facelab.engine.settings import Settings
from facelab.errors import TrainingError


@pytest.fixture
def late(monkeypatch):
    """Every ledger reads late."""
    begin = Ledger.__init__

    def waiting(ledger, processes):
        begin(ledger, processes)
        ledger.waits = True

    monkeypatch.setattr(Ledger, "__init__", waiting)


def run(toy, folder=None, poison=None):
    settings = Settings(12, batch=8, device="cpu", log_every=5, checkpoint_every=4, workers=0)
    return train(toy.toy(poison=poison), toy.Noise(), settings, folder, progress=False)


def test_means_since_they_were_last_taken():
    ledger = Ledger(Processes("cpu"))
    ledger.add(0, "d", ["real", "fake"], torch.tensor([1.0, 2.0]))
    ledger.add(1, "d", ["real", "fake"], torch.tensor([3.0, 5.0]))
    ledger.note("d/k", 0.5)
    assert ledger.latest == {"real": 3.0, "fake": 5.0}
    state = ledger.state
    assert ledger.take() == {"d/real": 2.0, "d/fake": 3.5, "d/k": 0.5}
    assert ledger.take() == {}
    ledger.state = state
    ledger.add(2, "d", ["real"], torch.tensor([5.0]))
    assert ledger.take()["d/real"] == 3.0


def test_nothing_is_read_before_it_is_asked_for(late):
    ledger = Ledger(Processes("cpu"))
    ledger.add(3, "d", ["real"], torch.tensor([torch.nan]))
    ledger.add(4, "g", ["fake"], torch.tensor([1.0]))
    assert ledger.latest == {}
    with pytest.raises(NotFinite, match="phase 'd': real is nan at step 3"):
        ledger.read()


def test_reading_late_changes_no_number(toy, late, monkeypatch):
    waited = run(toy)
    monkeypatch.undo()
    assert [e.losses for e in run(toy).history] == [e.losses for e in waited.history]


def test_a_loss_that_is_not_finite_is_found_before_anything_is_kept(toy, late, tmp_path):
    with pytest.raises(TrainingError, match=r"real is inf at step 6; .* is .*step-00000004"):
        run(toy, tmp_path, poison=6)
    assert checkpoints.steps(tmp_path) == ["step-00000004"]
