import pytest
import torch

from facelab import devices
from facelab.errors import ParameterError


@pytest.mark.parametrize(
    ("wanted", "there", "chosen"),
    [
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_what_is_asked_for(monkeypatch, wanted, there, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert devices.choose(wanted) == chosen


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="--device cuda: no NVIDIA GPU can be used here"):
        devices.choose("cuda")
