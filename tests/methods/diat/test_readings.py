"""The readings of equation 3, the tables and the share inside a mask, against closed forms."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from facelab.data.seeding import stream
from facelab.errors import ImageError, ParameterError
from facelab.methods.diat import readings
from facelab.methods.diat.features import FaceLayers
from facelab.methods.diat.networks import Denoiser, Discriminator, Shape, TransformNetwork

# --- equation 3 ----------------------------------------------------------------------------------


def test_losses_and_slopes_of_each_reading(tolerance):
    logits = torch.tensor([-4.0, -1.0, 0.0, 2.0])
    d = logits.sigmoid()
    log_no, log_yes = (1 - d).log(), d.log()
    wanted = {
        "corrected": (-log_no, d, log_no, -d),
        "non-saturating": (-log_no, d, -log_yes, d - 1),
        # D minimises -(1 - log D): all that a step can do is push the logit down.
        "printed": (-(1 - log_yes), 1 - d, 1 - log_yes, d - 1),
    }
    found = readings.attribute_curves(logits)
    assert found.keys() == wanted.keys()
    for name, (loss, slope, of_t, slope_of_t) in wanted.items():
        curve = found[name]
        torch.testing.assert_close(curve.discriminator, loss, **tolerance[torch.float32])
        torch.testing.assert_close(curve.discriminator_slope, slope, **tolerance[torch.float32])
        torch.testing.assert_close(curve.transform, of_t, **tolerance[torch.float32])
        torch.testing.assert_close(curve.transform_slope, slope_of_t, **tolerance[torch.float32])
    assert not logits.requires_grad


def test_where_each_reading_pays():
    found = readings.attribute_curves(torch.tensor([-30.0]))
    assert abs(found["corrected"].transform_slope) < 1e-9, "T learns nothing where D is sure"
    assert found["non-saturating"].transform_slope == pytest.approx(-1)
    assert found["corrected"].discriminator_slope < 1e-9, "D has done what it can"
    assert found["printed"].discriminator_slope == pytest.approx(1), "D never has"
    assert found["printed"].discriminator == pytest.approx(-31)


def test_the_corrected_d_ends_where_its_loss_is_least():
    found = readings.printed_discriminator(seeds=[3, 7], steps=400)["corrected"]
    for row, seed in enumerate((3, 7)):
        noise = torch.randn(2, readings.POINTS, generator=stream("diat-line", seed)).double()
        guided, made = (noise + torch.tensor([[1.0], [-1.0]])).numpy()

        def loss(p, guided=guided, made=made):
            terms = np.logaddexp(0, -(p[0] * guided + p[1])), np.logaddexp(0, p[0] * made + p[1])
            return sum(term.mean() for term in terms)

        best = minimize(loss, [0.0, 0.0])
        assert float(found.loss[row, -1]) == pytest.approx(best.fun, abs=1e-4)
        assert float(found.weight[row, -1]) == pytest.approx(best.x[0], abs=0.02)
        assert float(found.bias[row, -1]) == pytest.approx(best.x[1], abs=0.02)
    assert float(found.weight[:, -1].mean()) == pytest.approx(2, abs=0.6)


def test_the_printed_d_runs_away_at_a_steady_speed():
    paths = readings.printed_discriminator(seeds=range(3), steps=120)
    printed, corrected = paths["printed"], paths["corrected"]
    assert printed.loss.shape == printed.weight.shape == printed.bias.shape == (3, 121)
    assert printed.loss[:, 0].tolist() == pytest.approx([-1.0] * 3), "log 2 - (1 + log 2)"
    fall = printed.loss.diff(dim=1)
    assert fall.max() < 0
    torch.testing.assert_close(fall[:, 60:80], fall[:, 100:], rtol=0.05, atol=0)
    assert printed.loss[:, -1].max() < -30
    assert printed.weight[:, -1].min() > 10 * corrected.weight[:, -1].max()
    assert printed.bias[:, -1].max() < -5, "D ends by refusing all"
    assert corrected.loss.min() > 0


def test_the_first_step_is_that_of_both_readings():
    """At D = 1/2 they pay the same: the slope in w is half the faces' difference."""
    noise = torch.randn(2, readings.POINTS, generator=stream("diat-line", 6)) * 0.5
    apart = float((noise[0] + 1).mean() - (noise[1] - 1).mean())
    for path in readings.printed_discriminator([6], steps=1, rate=0.25, spread=0.5).values():
        assert path.weight[0].tolist() == pytest.approx([0, 0.25 * apart / 2])
        assert path.bias[0].tolist() == pytest.approx([0, 0], abs=1e-7)


def test_seeds_give_what_they_gave(tolerance):
    first, again = (readings.printed_discriminator(seeds=[4, 5], steps=5) for _ in range(2))
    alone = readings.printed_discriminator(seeds=[5], steps=5)
    assert torch.equal(first["printed"].loss, again["printed"].loss)
    torch.testing.assert_close(
        first["printed"].weight[1:], alone["printed"].weight, **tolerance[torch.float32]
    )
    assert not torch.allclose(first["printed"].weight[:1], alone["printed"].weight)


def test_a_toy_that_can_not_be_trained():
    for wrong, told in (
        ({"steps": 0}, "steps = 0"), ({"rate": 0.0}, "rate = 0.0"), ({"spread": -1.0}, "spread"),
        ({"seeds": ()}, "no seed"),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=told):
            readings.printed_discriminator(**wrong)


# --- the tables ----------------------------------------------------------------------------------


def test_table_1_as_printed():
    with torch.device("meta"):
        t = TransformNetwork(Shape())
    assert readings.activations(t, 128) == [
        ("input", (3, 128, 128)),
        ("9 x 9 x 32 conv, pad 4, stride 1", (32, 128, 128)),
        ("3 x 3 x 64 conv, pad 1, stride 2", (64, 64, 64)),
        ("3 x 3 x 128 conv, pad 1, stride 2", (128, 32, 32)),
        *[("residual block, 128 filters", (128, 32, 32))] * 5,
        ("3 x 3 x 64 deconv, pad 1, stride 2", (64, 64, 64)),
        ("3 x 3 x 32 deconv, pad 1, stride 2", (32, 127, 127)),
        ("10 x 10 x 3 deconv, pad 4, stride 1", (3, 128, 128)),
    ]


def test_table_2_as_printed():
    with torch.device("meta"):
        d = Discriminator(128)
    assert readings.activations(d, 128) == [
        ("input", (3, 128, 128)),
        ("8 x 8 x 32 conv, pad 3, stride 2", (32, 64, 64)),
        ("3 x 3 x 32 conv, pad 1, stride 1", (32, 64, 64)),
        ("4 x 4 x 64 conv, pad 1, stride 2", (64, 32, 32)),
        ("3 x 3 x 64 conv, pad 1, stride 1", (64, 32, 32)),
        ("4 x 4 x 128 conv, pad 1, stride 2", (128, 16, 16)),
        ("4 x 4 x 128 conv, pad 1, stride 2", (128, 8, 8)),
        ("fully connected, 1000 units", (1000,)),
        ("fully connected, 1 units", (1,)),
    ]


def test_the_network_is_left_without_hooks():
    network = Denoiser(4)
    rows = readings.activations(network, 8)
    assert [shape for _, shape in rows] == [(3, 8, 8), (4, 8, 8), (3, 8, 8)]
    assert readings.activations(network, 8) == rows
    small = Discriminator(16, width=4, hidden=8)
    for network, size in ((small, 32), (TransformNetwork(Shape(4, 1)), 4)):
        with pytest.raises(ImageError, match=f"a face of {size} x {size} pixels doesn't fit this"):
            readings.activations(network, size)
    assert not any(layer._forward_hooks for layer in small.modules())


# --- section 3.2 ---------------------------------------------------------------------------------


def test_the_share_of_a_change_inside_a_mask():
    images, masks = torch.zeros(4, 3, 4, 4), torch.zeros(4, 1, 4, 4)
    masks[:, :, :2] = 1
    masks[3] = 0.25
    made = images.clone()
    made[0, :, 0, 0] = 0.5  # inside alone
    made[1, 1, 3, 3] = -0.5  # outside alone
    made[2, 0, 0, 0], made[2, 2, 3, 0] = 0.1, 0.3  # 0.01 of 0.01 + 0.09
    made[3] = 1.0
    found = readings.inside_out(images, made, masks)
    assert found.tolist() == pytest.approx([1.0, 0.0, 0.1, 0.25])
    assert readings.inside_out(made, images, masks).tolist() == pytest.approx(found.tolist())
    assert readings.inside_out(images, images, masks).isnan().all(), "no change, no share"


def test_shapes_that_do_not_belong_together():
    images, masks = torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    with pytest.raises(ImageError, match="can't be compared"):
        readings.inside_out(images, images[:1], masks)
    with pytest.raises(ImageError, match="don't lie on 2 pictures"):
        readings.inside_out(images, images, masks[:, :, :2])


# --- equation 2 ----------------------------------------------------------------------------------


class HalfSeen(FaceLayers):
    """Two layers that look at the left half of a picture alone."""

    embedders = ("half",)

    def forward(self, images):
        """Return the left half, and twice that."""
        left = images[..., : images.shape[-1] // 2]
        return [left, 2 * left]


def test_what_layers_see_comes_back_and_what_they_do_not_stays_grey():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    found = readings.inverted(images, HalfSeen(), steps=120, rate=0.05)
    assert torch.allclose(found[..., :4], images[..., :4], atol=0.02)
    assert found[..., 4:].abs().max() == 0
    early = readings.inverted(images, HalfSeen(), steps=2, rate=0.05)
    assert early.abs().max() <= 0.11  # Adam moves a pixel by the rate at most
    assert not images.requires_grad


@pytest.mark.parametrize(("given", "said"), [({"steps": 0}, "steps = 0"), ({"rate": 0.0}, "rate")])
def test_an_inversion_that_can_not_be_is_refused(given, said):
    with pytest.raises(ParameterError, match=said):
        readings.inverted(torch.zeros(1, 3, 8, 8), HalfSeen(), **given)
