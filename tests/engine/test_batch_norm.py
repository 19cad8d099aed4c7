"""Batch normalisation over processes against torch's own, within one process.

That two processes have one process's statistics is in test_distribution.py.
"""

import copy

import pytest
import torch
from torch import nn

from facelab.engine.batch_norm import WholeBatchNorm, span_processes


def pair(kind: type, **options) -> tuple[nn.Module, WholeBatchNorm]:
    torch.manual_seed(0)
    theirs = kind(3, **options).double()
    if theirs.affine:
        nn.init.normal_(theirs.weight)
        nn.init.normal_(theirs.bias)
    return theirs, WholeBatchNorm(copy.deepcopy(theirs))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm2d, (4, 3, 5, 2)), (nn.BatchNorm1d, (7, 3))]
)
@pytest.mark.parametrize(
    "options",
    [{}, {"affine": False}, {"momentum": None}, {"track_running_stats": False}, {"eps": 0.1}],
)
def test_as_torchs_own(tolerance, kind, shape, options, training):
    theirs, ours = (module.train(training) for module in pair(kind, **options))
    for _ in range(3):
        values = torch.randn(shape, dtype=torch.float64) * 3 + 2
        results = []
        for module in (theirs, ours):
            own = values.clone().requires_grad_()
            out = module(own)
            out.pow(3).sum().backward()
            results.append((out, own.grad))
        torch.testing.assert_close(results[1], results[0], **tolerance[torch.float64])
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), **tolerance[torch.float64])
    if theirs.affine:
        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)


def test_it_can_be_differentiated_twice():
    _, ours = pair(nn.BatchNorm1d, track_running_stats=False)
    values = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(ours, (values,))


def test_bfloat16_is_computed_in_float32():
    theirs, ours = (module.float() for module in pair(nn.BatchNorm1d))
    values = (torch.randn(400, 3) + 100).bfloat16()
    out = ours(values)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, theirs(values.float()).bfloat16())


def test_every_normalisation_of_a_network_is_replaced_and_nothing_else():
    network = nn.Sequential(
        nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm1d(3), nn.LayerNorm(3))
    )
    before = {name: value.data_ptr() for name, value in network.state_dict().items()}
    span_processes(network)
    assert {name: value.data_ptr() for name, value in network.state_dict().items()} == before
    assert [type(m) for m in network.modules() if not isinstance(m, nn.Sequential)] == [
        nn.Linear, WholeBatchNorm, WholeBatchNorm, nn.LayerNorm,
    ]  # fmt: skip
