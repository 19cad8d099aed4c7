"""Pictures optimised one by one: the losses by hand, the first step, and what is left alone."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from facelab.errors import ParameterError
from facelab.methods.diat import losses, training
from facelab.methods.diat.features import face_layers
from facelab.methods.diat.networks import Denoiser, Discriminator
from facelab.methods.diat.optimisation import Objective, optimise

CONFIG = training.TINY  # adaptive


def weighted(config=CONFIG, **changes):
    weights = dataclasses.replace(config.weights, **changes)
    return dataclasses.replace(config, weights=weights)


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return Discriminator(16, 4, 16)


@pytest.fixture
def images(random):
    return torch.rand(3, 3, 16, 16, generator=random) - 0.5


@pytest.fixture
def others(random, images):
    return torch.rand(3, 3, 16, 16, generator=random.manual_seed(9)) - 0.5


# --- what is minimised ---------------------------------------------------------------------------


def test_the_adaptive_objective_by_hand(discriminator, images, others, tolerance):
    config = weighted(identity=0.7, layers=(0.5, 2.0))
    x, maps = torch.cat([others, images]), []
    for layer in discriminator.convolutions[:5]:
        x = F.leaky_relu(layer(x), 0.2)
        maps.append(x)
    identity = sum(
        w * (a[:3] - a[3:]).square().flatten(1).mean(1) / 2
        for w, a in zip((0.5, 2.0), maps[3:], strict=True)
    )
    wanted = F.softplus(-discriminator(others)) + 0.7 * identity
    found = Objective(images, discriminator, config)(others)
    torch.testing.assert_close(found, wanted, **tolerance[torch.float32])
    assert (identity > 1e-5).all()


def test_equation_2_looks_through_a_face_network(discriminator, images, others, tolerance):
    config = dataclasses.replace(weighted(identity=0.7), identity="dlib-layers")
    layers = face_layers("dlib-layers")
    identity = losses.identity_loss(layers(others), layers(images), (1.0, 1.0))
    wanted = F.softplus(-discriminator(others)) + 0.7 * identity
    for given in (layers, None):
        found = Objective(images, discriminator, config, layers=given)(others)
        torch.testing.assert_close(found, wanted, **tolerance[torch.float32])
    assert (identity > 0.01).all()


@pytest.mark.parametrize("reading", ["corrected", "non-saturating", "printed"])
def test_the_attribute_loss_is_read_as_the_game_reads_it(discriminator, images, reading):
    config = dataclasses.replace(weighted(identity=0.0), reading=reading)
    found = Objective(images, discriminator, config)(images)
    assert torch.equal(found, losses.attribute_transform(discriminator(images), reading))


def test_the_input_itself_has_the_attribute_loss_alone(discriminator, images):
    alone, both = (Objective(images, discriminator, weighted(identity=w))(images) for w in (0, 5.0))
    assert torch.equal(alone, both)


def test_smoothness_is_equation_6(discriminator, images, others, tolerance):
    f = Denoiser(4)
    torch.nn.init.normal_(f.second.weight, std=0.1)
    config = weighted(identity=0.0, smooth=3.0)
    wanted = F.softplus(-discriminator(others)) + 3 * (f(others) - others).square().mean((1, 2, 3))
    found = Objective(images, discriminator, config, denoiser=f)(others)
    torch.testing.assert_close(found, wanted, **tolerance[torch.float32])
    with pytest.raises(ParameterError, match=r"smooth = 3\.0 needs the denoising network f"):
        optimise(images, discriminator, config, steps=1, learning_rate=0.1)


# --- how -----------------------------------------------------------------------------------------


def test_no_step_changes_nothing(discriminator, images):
    found = optimise(images, discriminator, CONFIG, steps=0, learning_rate=0.1)
    assert torch.equal(found.images, images)
    assert found.losses.shape == (1, 3)


def test_the_first_step_of_adam_is_the_sign_of_the_gradient(discriminator, images):
    x = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(Objective(images, discriminator, CONFIG)(x).sum(), x)
    found = optimise(images, discriminator, CONFIG, steps=1, learning_rate=0.01)
    clear = slope.abs() > 1e-5  # Adam adds 1e-8
    assert clear.float().mean() > 0.3
    step = (found.images - images)[clear]
    assert torch.allclose(step, -0.01 * slope[clear].sign(), atol=2e-5)


def test_the_loss_falls_and_is_told_from_the_input_to_the_result(discriminator, images):
    found = optimise(images, discriminator, CONFIG, steps=20, learning_rate=0.02)
    objective = Objective(images, discriminator, CONFIG)
    assert found.losses.shape == (21, 3)
    with torch.no_grad():
        assert torch.equal(found.losses[0], objective(images))
        assert torch.equal(found.losses[-1], objective(found.images))
    assert (found.losses[-1] < found.losses[0] - 0.02).all()
    assert not found.images.requires_grad


def test_identity_keeps_a_picture_near_its_input(discriminator, images):
    objective = Objective(images, discriminator, weighted(identity=1.0))

    def distance(weight):
        config = weighted(identity=weight)
        made = optimise(images, discriminator, config, steps=20, learning_rate=0.02).images
        with torch.no_grad():
            return objective(made) - F.softplus(-discriminator(made))

    assert (distance(200.0) < 0.5 * distance(0.0)).all()


def test_pictures_are_optimised_each_by_itself(discriminator, images, tolerance):
    together = optimise(images, discriminator, CONFIG, steps=3, learning_rate=0.02)
    alone = optimise(images[1:2], discriminator, CONFIG, steps=3, learning_rate=0.02)
    torch.testing.assert_close(together.losses[:, 1:2], alone.losses, **tolerance[torch.float32])
    # A gradient near 0 may change its sign by rounding, and Adam with it.
    assert (together.images[1:2] - alone.images).abs().median() < 1e-6


def test_pixels_stay_in_range_and_arguments_as_they_are(discriminator, images):
    kept, weights = images.clone(), [p.clone() for p in discriminator.parameters()]
    found = optimise(images, discriminator, CONFIG, steps=2, learning_rate=5.0)
    assert found.images.abs().max() == 1
    assert torch.equal(images, kept)
    for before, after in zip(weights, discriminator.parameters(), strict=True):
        assert torch.equal(before, after)
        assert after.grad is None
        assert after.requires_grad


def test_progress_counts_the_steps(discriminator, images):
    told = []
    settings = {"steps": 3, "learning_rate": 0.1, "progress": told.append}
    optimise(images, discriminator, CONFIG, **settings)
    assert told == [1, 2, 3]


def test_what_can_not_be(discriminator, images):
    for steps, rate, message in (
        (-1, 0.1, "steps = -1 can't be used; give a whole number from 0"),
        (1, 0.0, "learning_rate = 0.0 can't be used; give a number above 0"),
    ):
        with pytest.raises(ParameterError, match=message):
            optimise(images, discriminator, CONFIG, steps=steps, learning_rate=rate)
    with pytest.raises(
        ParameterError, match="faces of 8 x 8 pixels can't be used; give faces of 16"
    ):
        optimise(images[..., :8, :8], discriminator, CONFIG, steps=1, learning_rate=0.1)
