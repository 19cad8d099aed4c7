"""Learning rates at steps that can be worked out; updates against their formulas."""

import math

import pytest
import torch
from torch import nn

from facelab.engine import optimisers
from facelab.errors import ParameterError
from facelab.phases import Optimiser


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {0: 2.0, 7: 2.0, 100: 2.0}),
        ({"warmup_steps": 4}, {0: 0.5, 1: 1.0, 3: 2.0, 4: 2.0, 9: 2.0}),
        ({"schedule": "linear"}, {0: 2.0, 5: 1.0, 10: 0.0, 11: 0.0}),
        ({"schedule": "linear", "warmup_steps": 2}, {0: 1.0, 2: 2.0, 6: 1.0, 10: 0.0}),
        ({"schedule": "cosine"}, {0: 2.0, 5: 1.0, 10: 0.0, 2: 1 + math.cos(math.pi * 0.2)}),
        (
            {"schedule": "milestones", "milestones": (3, 6), "factor": 0.5},
            {2: 2.0, 3: 1.0, 5: 1.0, 6: 0.5},
        ),
    ],
)
def test_learning_rates(settings, expected):
    optimiser = Optimiser(2.0, **settings)
    found = {step: optimisers.learning_rate(optimiser, step, 10) for step in expected}
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("schedule", optimisers.ENDING)
def test_a_schedule_that_falls_to_the_end_needs_one(schedule):
    with pytest.raises(ParameterError, match=f"{schedule} schedule falls to the run's end; give"):
        optimisers.learning_rate(Optimiser(1.0, schedule=schedule), 3, None)


def step_of(**settings) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a parameter before and after one update whose gradient is 3 and -4."""
    parameter = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimiser = optimisers.build(Optimiser(**settings), [parameter])
    before = parameter.detach().clone()
    parameter.grad = torch.tensor([3.0, -4.0])
    optimiser.step()
    return before, parameter.detach()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # The first step of Adam is the sign of the gradient times the rate.
        ({"learning_rate": 0.1}, [0.9, 2.1]),
        # AdamW shrinks the parameter by rate times decay, and does not touch the gradient.
        ({"learning_rate": 0.1, "name": "adamw", "weight_decay": 0.5}, [0.85, 2.0]),
        ({"learning_rate": 0.1, "name": "sgd"}, [0.7, 2.4]),
        # RMSprop divides by the root of (1 - alpha) g^2, alpha being the second of betas.
        ({"learning_rate": 0.1, "name": "rmsprop", "betas": (0.0, 0.75)}, [0.8, 2.2]),
    ],
)
def test_first_updates(settings, expected):
    _, after = step_of(**settings)
    torch.testing.assert_close(after, torch.tensor(expected), rtol=1e-5, atol=1e-6)
