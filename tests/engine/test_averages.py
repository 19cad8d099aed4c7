"""Averages against their definition."""

import torch
from torch import nn

from facelab.engine.averages import Averages


def test_against_the_definition():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    averages = Averages({"net": network}, decay=0.7)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.Generator().manual_seed(0)
    for _ in range(5):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += torch.randn(parameter.shape, generator=random)
        network(torch.randn(6, 3, dtype=torch.float64, generator=random))
        averages.update()
        for name, value in network.named_parameters():
            expected[name] = 0.7 * expected[name] + (1 - 0.7) * value.detach()
        for name, value in network.named_buffers():
            expected[name] = value.clone()
    found = averages.networks["net"].state_dict()
    assert found["1.num_batches_tracked"] == 5
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_an_average_is_frozen_in_evaluation_mode_and_starts_as_a_copy():
    network = nn.Sequential(nn.Linear(3, 4), nn.Dropout())
    average = Averages({"net": network}, decay=0.9).networks["net"]
    torch.testing.assert_close(average.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert not average.training
    assert network.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert average[0].weight is not network[0].weight
