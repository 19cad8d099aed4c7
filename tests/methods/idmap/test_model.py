"""The trained map: equation 1, tables of combinations, files."""

import dataclasses
import math

import pytest
import torch

from facelab.assets import networks
from facelab.errors import AssetError, CheckpointError, ParameterError
from facelab.generators.dcgan import DCGAN
from facelab.methods.idmap import checkpoint, latent_space
from facelab.methods.idmap.identity_encoder import IdentityEncoder
from facelab.methods.idmap.model import Encoders, IdentityMap, encoders_of


def test_one_formula(model, faces):
    images = faces.batch(range(4)).images
    a, b = images[:2], images[2:]
    z = (model.identity_code(a), model.attribute_code(b))
    made = model.generator.synthesis(model.encoders.mapping(*z)).clamp(-1, 1)
    torch.testing.assert_close(model(a, b), made)
    torch.testing.assert_close(model.predict(a, b), model.encoders.mapping(*z))


def test_vectors_of_a_normal_prior_are_stretched(config, seeded, recogniser, random):
    """To 0.85 of sqrt(n), their directions kept; those of W are left alone."""
    dcgan = seeded(lambda: DCGAN(latents=8, width=2)).eval()
    encoders = seeded(lambda: Encoders(config))
    model = IdentityMap(encoders, IdentityEncoder(recogniser()), dcgan)
    w = torch.randn(5, 8, generator=random) * torch.tensor([[0.1], [1], [3], [9], [1]])
    long = model.stretched(w)
    torch.testing.assert_close(long.norm(dim=1), torch.full((5,), 0.85 * math.sqrt(8)))
    torch.testing.assert_close(torch.cosine_similarity(long, w), torch.ones(5))
    torch.testing.assert_close(model.picture(w), model.draw(long))
    a, b = torch.rand(2, 2, 3, 64, 64, generator=random) * 2 - 1
    torch.testing.assert_close(model(a, b), model.picture(model.predict(a, b)))
    assert torch.isfinite(model.stretched(torch.zeros(1, 8))).all()


def test_vectors_of_w_are_left_alone(model, random):
    w = torch.randn(3, 8, generator=random)
    assert model.length is None
    torch.testing.assert_close(model.picture(w), model.draw(w))


def test_the_table_keeps_identity_along_columns(model, faces):
    images = faces.batch(range(5)).images
    identities, attributes = images[:3], images[3:]
    table = model.table(identities, attributes)
    assert table.shape == (6, 3, 64, 64)
    for row in range(2):
        for column in range(3):
            wanted = model(identities[column : column + 1], attributes[row : row + 1])
            torch.testing.assert_close(table[3 * row + column][None], wanted)


def test_it_stays_frozen(model):
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert model.embedders == ("random",)


def test_the_codes_have_the_size_of_one_a_number(model, faces):
    code = model.identity_code(faces.batch(range(3)).images)
    torch.testing.assert_close(code.square().mean(1), torch.ones(3))


def test_sizes(model, generator, random, seeded, tiny_config, recogniser):
    small = torch.zeros(1, 3, 32, 32)
    with pytest.raises(ParameterError, match="faces of 32 x 32 pixels"):
        model(small, small)
    encoders = seeded(lambda: Encoders(tiny_config(size=32)))
    with pytest.raises(ParameterError, match="draws 64 pixels, the map was made for 32"):
        IdentityMap(encoders, IdentityEncoder(recogniser()), generator)


def test_a_trainings_networks_are_taken_over(config, seeded):
    trained = seeded(lambda: Encoders(config), 3)
    parts = {"attributes": trained.attributes, "mapping": trained.mapping}
    taken = encoders_of(parts, config)
    for name, value in trained.state_dict().items():
        assert torch.equal(taken.state_dict()[name], value)


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture
def known(monkeypatch, generator, recogniser):
    """Lets checkpoints of the tiny configuration find their networks."""
    monkeypatch.setattr(latent_space, "read_generator", lambda name, device="cpu": generator)
    monkeypatch.setattr(
        checkpoint, "identity_encoder", lambda name, device: IdentityEncoder(recogniser())
    )


def test_a_file_gives_the_map_of_its_header(tmp_path, config, known, faces, seeded, save):
    path = save(tmp_path / "map.safetensors", config)
    model, images = checkpoint.load(path), faces.batch(range(2)).images
    assert model.config == config
    wanted = seeded(lambda: Encoders(config)).eval().half().float()
    for name, value in model.encoders.state_dict().items():
        assert torch.equal(value, wanted.state_dict()[name]), name
    assert model(images, images.flip(0)).shape == images.shape


def test_a_generator_of_another_latent_size(tmp_path, known, tiny_config, save):
    path = save(tmp_path / "map.safetensors", tiny_config())
    other = save(tmp_path / "other.safetensors", dataclasses.replace(tiny_config(), w=9))
    assert checkpoint.load(path).config.w == 8
    with pytest.raises(
        CheckpointError, match="latent vectors of 8 numbers and draws 64 pixels, the map was made "
    ):
        checkpoint.load(other)


def test_files_of_others(tmp_path, config, known, seeded, save):
    with pytest.raises(CheckpointError, match="can't be read"):
        checkpoint.load(tmp_path / "none.safetensors")
    path = save(tmp_path / "map.safetensors", config)
    other = tmp_path / "other.safetensors"
    networks.save(other, "dcgan", seeded(lambda: Encoders(config)), config={})
    with pytest.raises(CheckpointError, match="is of dcgan, idmap expected; give a file that"):
        checkpoint.load(other)
    wrong = dataclasses.asdict(config) | {"attribute_features": 5}
    networks.save(other, "idmap", seeded(lambda: Encoders(config)), config=wrong)
    with pytest.raises(CheckpointError, match="does not hold the network of its header"):
        checkpoint.load(other)
    networks.save(other, "idmap", seeded(lambda: Encoders(config)), config={"width": 5})
    with pytest.raises(CheckpointError, match="has a header that can't be used"):
        checkpoint.load(other)
    other.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        checkpoint.load(other)


def test_no_checkpoint_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path)
    with pytest.raises(AssetError, match="train one with `facelab train idmap"):
        checkpoint.book()
