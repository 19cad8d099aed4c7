"""Running deviations, and noise of their size."""

import pytest
import torch

from facelab.engine.batch_norm import span_processes
from facelab.methods.d2ae.spread import Spread


def test_the_statistics_run_as_those_of_batch_normalisation(random):
    spread, mean, variance = Spread(3, momentum=0.1), torch.zeros(3), torch.zeros(3)
    for scale in (1.0, 4.0, 2.0):
        features = scale * torch.randn(6, 3, generator=random) + scale
        spread.observe(features)
        mean = 0.9 * mean + 0.1 * features.mean(0)
        variance = 0.9 * variance + 0.1 * features.var(0)  # divided by 5
    torch.testing.assert_close(spread.mean, mean)
    torch.testing.assert_close(spread.deviation, variance.sqrt())


def test_they_come_to_the_features_own(random):
    spread = Spread(2)
    wanted = torch.tensor([0.5, 3.0])
    for _ in range(100):
        spread.observe(wanted * torch.randn(400, 2, generator=random) + 7)
    torch.testing.assert_close(spread.deviation, wanted, rtol=0.05, atol=0)
    torch.testing.assert_close(spread.mean, torch.full((2,), 7.0), rtol=0.05, atol=0)


def test_the_noise_is_of_the_deviation_and_its_own_in_each_channel(random):
    spread = Spread(3)
    features, noise = torch.randn(2, 4, 3, generator=random)
    torch.testing.assert_close(spread.augment(features, noise), features)
    spread.statistics.running_var.copy_(torch.tensor([1.0, 4.0, 9.0]))
    wanted = features + noise * torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(spread.augment(features, noise), wanted)


def test_no_gradient_flows_to_the_statistics(random):
    spread, features = Spread(3), torch.randn(5, 3, generator=random).requires_grad_()
    spread.observe(features)
    made = spread.augment(features, torch.ones(5, 3))
    (slope,) = torch.autograd.grad(made.sum(), features)
    torch.testing.assert_close(slope, torch.ones(5, 3))


def test_one_face_and_evaluation_leave_them(random):
    spread = Spread(3)
    spread.observe(torch.randn(1, 3, generator=random))
    spread.eval().observe(torch.randn(9, 3, generator=random))
    assert spread.deviation.tolist() == spread.mean.tolist() == [0, 0, 0]


def test_several_processes_keep_those_of_the_whole_batch(random):
    """The engine puts its own normalisation in place; alone it gives the same numbers."""
    own, replaced, features = Spread(3), Spread(3), torch.randn(8, 3, generator=random)
    span_processes(replaced)
    assert type(replaced.statistics).__name__ == "WholeBatchNorm"
    for spread in (own, replaced):
        spread.observe(features)
    torch.testing.assert_close(replaced.deviation, own.deviation)
    assert float(own.deviation.min()) > 0
    assert own.state_dict().keys() == replaced.state_dict().keys()


def test_momentum_is_the_newest_batchs_share(random):
    spread, features = Spread(2, momentum=1.0), torch.randn(6, 2, generator=random)
    spread.observe(torch.randn(6, 2, generator=random) * 50)
    spread.observe(features)
    assert spread.deviation.tolist() == pytest.approx(features.std(0).tolist(), rel=1e-4)
