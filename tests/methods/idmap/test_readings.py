"""A critic of numbers: on logits it finds the closed form, on cut outputs it learns little."""

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.idmap import readings


def test_the_best_logit_is_the_ratio_of_densities():
    w = torch.linspace(-2, 3, 11)
    normal = torch.distributions.Normal
    wanted = normal(0.0, 1.0).log_prob(w) - normal(1.5, 1.0).log_prob(w)
    torch.testing.assert_close(readings.best_logit(w, 1.5), wanted)


def test_on_logits_the_critic_learns_the_ratio():
    found = readings.learn("logits")
    middle = (found.w > -1.5) & (found.w < 3.5)  # where there are numbers to learn from
    assert (found.logit - found.best)[middle].abs().mean() < 0.5
    assert found.losses[-50:].mean() < 0.75 < 1.3 < found.losses[0]


def test_cut_outputs_leave_no_slope():
    outputs = torch.tensor([-2.0, 0.25, 3.0])
    assert readings.sure(outputs, "clipped").tolist() == pytest.approx([0, 1 / 0.75, 0])
    wanted = torch.sigmoid(outputs)
    torch.testing.assert_close(readings.sure(outputs, "logits"), wanted)


def test_on_cut_outputs_the_critic_is_far_from_the_ratio():
    right, wrong = (readings.learn(name) for name in ("logits", "clipped"))
    far = [(found.logit - found.best).abs().mean() for found in (right, wrong)]
    assert far[1] > 3 * far[0]


def test_unknown_readings():
    with pytest.raises(ParameterError, match="reading 'hinge' is unknown; choose one of: logits"):
        readings.learn("hinge", steps=1)
