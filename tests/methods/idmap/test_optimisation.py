"""The search of each pair's vector: what it descends, and that pairs don't know of each other."""

import dataclasses

import pytest
import torch

from facelab.errors import ParameterError
from facelab.generators.dcgan import DCGAN
from facelab.methods.idmap import losses, optimisation
from facelab.methods.idmap.latent_space import LatentSpace, true_vectors
from facelab.methods.idmap.optimisation import Objective, optimise


@pytest.fixture
def space(generator, random):
    return LatentSpace.of(true_vectors(generator, 64, random))


@pytest.fixture
def pairs(faces):
    images = faces.batch(range(4)).images
    return images[:2], images[2:]


def test_the_objective_is_equation_8(config, frozen, faces, pairs, space):
    identity, attributes = pairs
    w = faces.latents([4, 5])
    made = frozen.generator.synthesis(w)
    weights = config.weights
    wanted = weights.identity * losses.identity_loss(
        frozen.identity(made, "book64"), frozen.identity(identity, "book64")
    )
    points = losses.landmark_loss(frozen.landmarks(made), frozen.landmarks(attributes), side_px=64)
    wanted = wanted + weights.landmarks * points
    value = Objective(identity, attributes, frozen, config, space, same=False)(w)
    torch.testing.assert_close(value, wanted)
    rebuilt = Objective(identity, attributes, frozen, config, space, same=True)(w)
    mix = weights.reconstruction * losses.mix_loss(made, attributes)
    torch.testing.assert_close(rebuilt, wanted + mix)


def test_the_prior_is_the_squared_mahalanobis_distance(config, frozen, faces, pairs, space):
    w = faces.latents([4, 5])
    plain, held = (
        Objective(*pairs, frozen, config, space, same=False, prior=prior)(w) for prior in (0.0, 0.5)
    )
    squared = space.mahalanobis(w).square() / 8
    torch.testing.assert_close(held - plain, 0.5 * squared, rtol=1e-2, atol=1e-3)


def test_the_search_begins_at_the_mean_and_goes_down(config, frozen, pairs, space):
    told: list[int] = []
    found = optimise(*pairs, frozen, config, space, steps=12, progress=told.append)
    assert told == list(range(1, 13))
    assert found.losses.shape == (13, 2)
    start = Objective(*pairs, frozen, config, space, same=False)(space.mean.float().repeat(2, 1))
    torch.testing.assert_close(found.losses[0], start)
    assert (found.losses[-1] < found.losses[0]).all()
    torch.testing.assert_close(found.images, frozen.generator.synthesis(found.w).clamp(-1, 1))


def test_where_there_is_a_shell_the_search_begins_at_the_best_of_some(
    config, frozen, pairs, random, seeded
):
    """Nothing is at the mean of N(0, 1): a generator's rectifiers may all be shut there."""
    dcgan = seeded(lambda: DCGAN(latents=8, width=2)).eval().requires_grad_(False)
    frozen = dataclasses.replace(frozen, generator=dcgan)
    space = LatentSpace.of(true_vectors(dcgan, 2000, random))
    objective = Objective(*pairs, frozen, config, space, same=False)
    start = optimisation.start_of(objective, space, seed=3)
    drawn = space.draw(32, torch.Generator().manual_seed(3))
    values = torch.stack([objective(one.expand(2, -1)) for one in drawn])
    torch.testing.assert_close(objective(start), values.min(0).values)
    assert not torch.equal(values.argmin(0), values.argmax(0))
    found = optimise(*pairs, frozen, config, space, steps=2, seed=3)
    torch.testing.assert_close(found.losses[0], values.min(0).values)
    other = optimisation.start_of(objective, space, seed=4)
    assert not torch.equal(start, other)


def test_a_pair_does_not_know_of_others(config, frozen, pairs, space):
    together = optimise(*pairs, frozen, config, space, steps=3)
    alone = optimise(pairs[0][:1], pairs[1][:1], frozen, config, space, steps=3)
    torch.testing.assert_close(together.w[:1], alone.w, rtol=1e-3, atol=1e-4)


def test_no_steps_give_the_mean(config, frozen, pairs, space):
    found = optimise(*pairs, frozen, config, space, steps=0)
    torch.testing.assert_close(found.w, space.mean.float().repeat(2, 1))


def test_what_cant_be_used(config, frozen, pairs, space, tiny_config):
    with pytest.raises(ParameterError, match="steps = -1"):
        optimise(*pairs, frozen, config, space, steps=-1)
    with pytest.raises(ParameterError, match="prior = -1"):
        optimise(*pairs, frozen, config, space, prior=-1.0)
    with pytest.raises(ParameterError, match="this configuration is of W"):
        optimise(*pairs, frozen, tiny_config(layers=2), space)
    assert optimisation.MODELS_FRAMING == "book64"
