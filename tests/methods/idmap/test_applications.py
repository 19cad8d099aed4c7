"""Ways between faces and sequences: what moves and what is held."""

import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.idmap import applications
from facelab.methods.idmap.applications import between, drive, new_identity


@pytest.fixture
def three(faces):
    images = faces.batch(range(3)).images
    return images[:1], images[1:2], images[2:]


@pytest.mark.parametrize("space", ["z", "w"])
def test_a_way_has_the_two_combinations_at_its_ends(model, three, space):
    start, end, held = three
    way = between(model, start, end, held, factor="identity", space=space, steps=5)
    assert way.shape == (5, 3, 64, 64)
    torch.testing.assert_close(way[:1], model(start, held), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(way[-1:], model(end, held), rtol=1e-3, atol=1e-4)
    other = between(model, start, end, held, factor="attributes", space=space, steps=5)
    torch.testing.assert_close(other[:1], model(held, start), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(other[-1:], model(held, end), rtol=1e-3, atol=1e-4)


def test_the_middle_is_the_mean_of_codes_or_of_vectors(model, three):
    start, end, held = three
    fixed = model.attribute_code(held)
    codes = (model.identity_code(start) + model.identity_code(end)) / 2
    middle = between(model, start, end, held, factor="identity", space="z", steps=3)[1:2]
    torch.testing.assert_close(middle, model.draw(model.w(codes, fixed)), rtol=1e-3, atol=1e-4)
    w = (model.predict(start, held) + model.predict(end, held)) / 2
    middle = between(model, start, end, held, factor="identity", space="w", steps=3)[1:2]
    torch.testing.assert_close(middle, model.draw(w), rtol=1e-3, atol=1e-4)


def test_unknown_ways(model, three):
    with pytest.raises(ParameterError, match="factor 'pose' is unknown; choose one of: identity"):
        between(model, *three, factor="pose")
    with pytest.raises(ParameterError, match="space 'x' is unknown; choose one of: z, w"):
        between(model, *three, factor="identity", space="x")
    with pytest.raises(ParameterError, match="a way of 1 steps has no two ends"):
        between(model, *three, factor="identity", steps=1)


def test_every_frame_is_made_by_itself(model, faces):
    images = faces.batch(range(6)).images
    identity, frames = images[:1], images[1:]
    made = torch.cat(list(drive(model, identity, frames.split(2))))
    wanted = model(identity.expand(5, -1, -1, -1), frames)
    torch.testing.assert_close(made, wanted, rtol=1e-3, atol=1e-4)


def test_several_pictures_of_a_person_give_a_mean_code(model, faces):
    images = faces.batch(range(4)).images
    made = next(iter(drive(model, images[:3], [images[3:]])))
    code = model.identity_code(images[:3]).mean(0, keepdim=True)
    wanted = model.draw(model.w(code, model.attribute_code(images[3:])))
    torch.testing.assert_close(made, wanted)


def test_a_new_identity_is_of_its_seed_and_nobodys(model, faces):
    one, again, other = (new_identity(model, seed) for seed in (1, 1, 2))
    assert one.shape == (1, 3, 64, 64)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    theirs = faces.batch([0, 1]).images  # of one person: their mean counts
    hidden = new_identity(model, 1, away_from=theirs)
    random = torch.Generator().manual_seed(1)
    latents = model.generator.sample_latent(applications.CANDIDATES, random)
    all_of_them = model.draw(model.generator.mapping(latents))
    likeness = torch.nn.functional.cosine_similarity(
        model.identity_code(all_of_them), model.identity_code(theirs).mean(0, keepdim=True)
    )
    chosen = torch.nn.functional.cosine_similarity(
        model.identity_code(hidden), model.identity_code(theirs).mean(0, keepdim=True)
    )
    torch.testing.assert_close(chosen[0], likeness.min(), rtol=1e-3, atol=1e-4)
