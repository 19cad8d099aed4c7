"""Pairs for GANFaces: what is guessed from a drawn head is what it was drawn with."""

import dataclasses
import math

import pytest
import torch

from data_scripts import ganfaces_pairs
from data_scripts.pair_parts import hair, light, pairs
from facelab.data.anny_faces import AnnyFaces
from facelab.data.domains import Domains
from facelab.data.packed import Packed
from facelab.data.samples import Samples
from facelab.errors import ParameterError
from facelab.geometry.appearance import HAIR_STYLES, plain
from facelab.geometry.camera import Camera, rotation_from_euler
from facelab.geometry.fit_result import FitResult
from facelab.geometry.lighting import Light, irradiance, shade
from facelab.geometry.morphable import anny_head
from facelab.geometry.painting import hair_colour, skin_colour, textures
from facelab.geometry.render import compress, portrait, to_srgb
from facelab.geometry.scene import dress
from facelab.images import from_uint8
from facelab.recognition.face_points import landmark_regressor

GREY = torch.full((1, 3, 1, 1), 0.25)
MELANIN = torch.tensor([0.1, 0.3, 0.6])


@pytest.fixture(autouse=True, scope="module")
def few():
    """Look at few faces at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "LOOKED_AT", 8)
        yield


@pytest.fixture(scope="module")
def model():
    return anny_head()


@pytest.fixture(scope="module")
def fitted(model) -> FitResult:
    """Three heads, to the left, ahead and to the right, as a fit would find them."""
    random = torch.Generator().manual_seed(4)
    camera = Camera.portrait(64, 900.0, 200.0, batch=3)
    yaw, zero = torch.tensor([-0.5, 0.0, 0.4]), torch.zeros(3)
    unknown = torch.zeros(3, 68)
    rest = torch.zeros(3, len(model.expression_mm))
    return FitResult(
        yaw, zero, zero, camera, 0.5 * model.sample_identity(3, random), rest, unknown, ()
    )


@pytest.fixture(scope="module")
def lamps() -> Light:
    """A broad light from the left, from above, from the right, each with light from around."""
    towards = torch.tensor([[-1.0, 0.2, 0.6], [0.0, 0.7, 0.7], [0.8, 0.0, 0.6]])
    level = torch.tensor([[0.3], [0.25], [0.35]]).expand(3, 3)
    return Light.from_direction(towards, 0.0, level, level)


def drawn(model, fitted, looks, lamps, size=64):
    """Draw the heads, dressed, before grey."""
    turn = rotation_from_euler(fitted.yaw_rad, fitted.pitch_rad, fitted.roll_rad)
    scene = dress(model, model.shape(fitted.identity, fitted.expression), looks)
    scene = dataclasses.replace(scene, vertices=scene.vertices @ turn.mT)
    camera = fitted.camera.scaled(size / 64)
    return scene, portrait(scene, textures(looks), camera, lamps, GREY, size=size)


@pytest.fixture(scope="module")
def seen(model, fitted, lamps):
    looks = dataclasses.replace(plain(3), melanin=MELANIN, haemoglobin=torch.full((3,), 0.42))
    images = drawn(model, fitted, looks, lamps)[1].images
    return looks, light.canvas(model, fitted, fitted.vertices(model), images)


def test_colours_become_linear_again():
    linear = torch.linspace(0, 1.2, 50)[None, None, None].expand(1, 3, 1, -1)
    coded = 2 * to_srgb(compress(linear)) - 1
    torch.testing.assert_close(light.to_linear(coded), linear, rtol=2e-3, atol=2e-4)


def test_a_posterior_lies_between_what_is_seen_and_what_is_usual(random):
    directions, x = torch.randn(3, 2, generator=random), torch.randn(4, 2, generator=random)
    fixed, mean = torch.randn(4, 3, generator=random), torch.randn(4, 2, generator=random)
    seen = fixed + x @ directions.T

    def found(noise, deviation=1.0):
        prior = mean, torch.full((2,), deviation)
        return light.posterior(seen, fixed, directions, prior, torch.full((3,), noise))

    torch.testing.assert_close(found(1e-3), x, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found(1e3), mean, rtol=1e-3, atol=1e-3)
    at = found(0.7, 0.5).requires_grad_()
    off = ((seen - fixed - at @ directions.T) / 0.7).square().sum()
    (slope,) = torch.autograd.grad(off + ((at - mean) / 0.5).square().sum(), at)
    assert slope.abs().max() < 1e-4, "it is where the posterior is greatest"


def test_a_mean_without_the_odd_fifths():
    values = torch.tensor([0.9, 0.9, *[0.2] * 6, 0.001, 0.001, 0.5, 0.5])
    linear = values.view(1, 1, 3, 4).expand(1, 3, 3, 4)
    where = torch.ones(1, 3, 4, dtype=torch.bool)
    where[0, 2, 2:] = False
    torch.testing.assert_close(light.mean_log(linear, where), torch.full((1, 3), math.log(0.2)))
    assert light.mean_log(linear, ~torch.ones_like(where)).isnan().all()


def test_skin_and_light_of_a_drawn_head_are_found(model, seen, lamps):
    truth, canvas = seen
    looks, level = light.skin(model, canvas)
    assert (looks.melanin - truth.melanin).abs().max() < 0.12
    assert looks.melanin.argsort().tolist() == [0, 1, 2]
    assert (looks.haemoglobin - truth.haemoglobin).abs().max() < 0.12
    known = light.light(model, canvas, truth, level)
    normals = canvas.normals.permute(0, 2, 3, 1)
    where = canvas.shows(model, "skin")
    here, there = (irradiance(normals, each.harmonics)[where] for each in (known, lamps))
    assert ((here - there).abs().mean() / there.mean()) < 0.08, "with the skin known"
    found = light.light(model, canvas, looks, level)
    shown = (
        irradiance(normals, found.harmonics)
        * skin_colour(looks.melanin, looks.haemoglobin)[:, None, None]
    )
    right = (
        irradiance(normals, lamps.harmonics)
        * skin_colour(truth.melanin, truth.haemoglobin)[:, None, None]
    )
    off = (shown - right)[where].abs().mean() / right[where].mean()
    assert off < 0.1, "what the skin throws back is right even where light and skin are confused"


def test_what_covers_a_face_counts_little(model, seen, monkeypatch):
    looks, canvas = seen
    level = torch.full((3,), 0.5)
    spoilt = canvas.linear.clone()
    spoilt[:, :, 28:36, 20:44] = 0.01  # dark glasses

    def moved() -> float:
        clean, other = (
            light.light(model, dataclasses.replace(canvas, linear=linear), looks, level).harmonics
            for linear in (canvas.linear, spoilt)
        )
        return float((other - clean).norm() / clean.norm())

    robust = moved()
    monkeypatch.setattr(light, "REWEIGHED", 1)  # least squares
    plainly = moved()
    assert robust < 0.5 * plainly


def test_a_lamp_takes_its_share_of_the_harmonics(lamps, random):
    split = light.with_lamp(lamps)
    assert split.intensity.min() > 0.05
    normals = torch.nn.functional.normalize(torch.randn(3, 400, 3, generator=random), dim=2)
    white = torch.ones(1, 400, 3)
    before, after = (shade(white, normals, each) for each in (lamps, split))
    assert (after - before).abs().mean() < 0.03 * before.mean() + 0.01
    assert torch.equal(light.with_lamp(Light.ambient(0.5)).intensity, torch.zeros(1, 3))


@pytest.mark.parametrize("cut", [0, 2, 6, 10, 15], ids=lambda n: hair.CUTS[n].style)
def test_the_cut_of_a_drawn_head_is_found(model, fitted, lamps, cut):
    looks = hair.wearing(plain(3, hair_eumelanin=0.9, melanin=0.2), hair.CUTS[cut])
    photos = drawn(model, fitted, looks, lamps)[1].images
    turn = rotation_from_euler(fitted.yaw_rad, fitted.pitch_rad, fitted.roll_rad)
    rest = model.shape(fitted.identity, fitted.expression)
    pose = turn, fitted.camera.scaled(hair.SIDE / 64)
    head = hair.Head.of(model, rest, pose, plain(3, melanin=0.2), lamps)
    found = hair.cut(model, head, photos)
    assert found.hair_style.tolist() == [HAIR_STYLES.index(hair.CUTS[cut].style)] * 3
    assert (found.bangs > 0).tolist() == [hair.CUTS[cut].bangs > 0] * 3


def test_the_colour_of_hair_is_found(model, fitted, lamps):
    cut = hair.CUTS[hair.CUTS.index(hair.Cut("full", 0.6))]
    usual = hair.wearing(plain(3), cut)
    dyed = dataclasses.replace(
        usual,
        hair_eumelanin=torch.tensor([0.15, 0.9, 0.5]),
        hair_pheomelanin=torch.tensor([0.25, 0.25, 0.25]),
        hair_grey=torch.tensor([0.0, 0.0, 1.0]),
    )
    scene, first = drawn(model, fitted, usual, lamps)
    photos = drawn(model, fitted, dyed, lamps)[1].images
    where = pairs.hair_shown(scene, first, usual)
    found = hair.coloured(usual, photos, first.images, where)
    off = (hair_colour(found) / hair_colour(dyed)).log().abs()
    assert off.max() < 0.25
    assert found.hair_grey.tolist() == [0, 0, 1]
    nowhere = hair.coloured(usual, photos, first.images, torch.zeros_like(where))
    assert torch.equal(hair_colour(nowhere), hair_colour(usual)), "unseen hair stays as it was"


def test_clothes_and_background(random):
    linear = torch.tensor([0.2, 0.3, 0.1])[None, :, None, None].expand(1, 3, 64, 64)
    where = torch.zeros(1, 64, 64, dtype=torch.bool)
    where[:, 60:] = True
    looks = pairs.clothed(plain(1), linear, where, torch.tensor([0.5]))
    assert 0 < float(looks.clothing_hue) < 1 / 3, "between red and green"
    assert float(looks.clothing_lightness) == pytest.approx(math.sqrt((0.6 - 0.03) / 0.6), abs=1e-4)
    few = pairs.clothed(plain(1), linear, torch.zeros_like(where), torch.tensor([0.5]))
    assert torch.equal(few.clothing_hue, plain(1).clothing_hue)
    left = torch.full((1, 3, 64, 64), -1.0)
    left[:, :, :, 32:] = 0.5
    coverage = torch.zeros(1, 1, 64, 64)
    behind = pairs.backdrop(left, coverage)
    assert behind[:, :, :, :8].max() < 0.1
    assert behind[:, :, :, -8:].min() > 0.4
    coverage[:, :, 16:48, 16:48] = 1
    left[:, :, 16:48, 16:48] = 1  # the head's own colour must not leak out
    assert pairs.backdrop(left, coverage).max() < 0.6


@pytest.fixture(scope="module")
def some():
    """Six pairs, and their batch."""
    dataset = pairs.Pairs(6, 3)
    return dataset, dataset.batch(range(6))


def test_pairs_are_faces_and_their_renders(some):
    batch = some[1]
    numbers = batch.labels["photo"]
    photos = Samples(20, seed=3, split="train").batch(numbers).images
    assert torch.equal(batch.images, photos)
    renders = from_uint8(batch.labels["render"])
    assert batch.labels["landmark_error"].max() <= pairs.LARGEST_ERROR
    mine, others = (
        (renders - each).square().mean((1, 2, 3)).mean() for each in (photos, photos.roll(1, 0))
    )
    assert mine < 0.6 * others
    read = landmark_regressor()(renders)
    off = (read - batch.landmarks).norm(dim=2).mean(1) / pairs.spread_of(batch.landmarks)
    assert off.mean() < 0.1, "the landmarks of the renders are where the photographs have theirs"
    assert (batch.labels["colour_error"] < 0.5).all()


def test_a_pair_is_the_same_in_any_batch(some):
    dataset, batch = some
    alone = dataset.batch([4])
    off = (alone.labels["render"].int() - batch.labels["render"][4:5].int()).abs()
    assert off.max() <= 1
    more = pairs.Pairs(7, 3)
    assert torch.equal(more.fits[0][:6], dataset.fits[0])


def test_the_config_says_what_read_the_faces(some, tmp_path, monkeypatch):
    before = some[0].config()
    assert set(before["models"]) == {pairs.HEAD.stem, "landmarks", "attributes"}
    other = tmp_path / "attributes.safetensors"
    other.write_bytes(b"another network")
    monkeypatch.setattr(pairs, "READ_WITH", (*pairs.READ_WITH[:2], other))
    assert some[0].config() != before


def test_faces_that_can_not_be_fitted_are_left_out(some, monkeypatch):
    dataset, batch = some
    bound, before = float(batch.labels["landmark_error"].median()), dataset.config_hash
    monkeypatch.setattr(pairs, "LARGEST_ERROR", bound)
    fewer = pairs.Pairs(6, 3)
    numbers, fits = fewer.fits
    assert pairs.landmark_error(dataset.model, fits).max() <= bound
    assert len(set(numbers.tolist())) == 6
    assert numbers[-1] > dataset.fits[0][-1], "others take their place"
    assert fewer.config_hash != before
    monkeypatch.setattr(pairs, "LARGEST_ERROR", 0.0)
    with pytest.raises(ParameterError, match="only 0 of 12 faces could be fitted; ask for fewer"):
        pairs.Pairs(2, 3).batch([0])
    with pytest.raises(ParameterError, match="0 pairs make no dataset"):
        pairs.Pairs(0, 3)


def test_the_script_makes_verifies_and_keeps(tmp_path, capsys):
    path = tmp_path / "new" / "pairs.facepack"
    options = ["-o", str(path), "--count", "3", "--seed", "3"]
    assert ganfaces_pairs.main(options) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{path}\n"
    assert "3 pairs, " in printed.err
    before = path.read_bytes()
    assert ganfaces_pairs.main(options) == ganfaces_pairs.main([*options, "--verify"]) == 0
    assert path.read_bytes() == before
    packed = Packed(path)
    domains = Domains(AnnyFaces(64, 1, 2), Samples(2, seed=0, split="train"), packed)
    assert domains.batch([0]).labels["pair_render"].shape == (1, 3, 64, 64)
    assert ganfaces_pairs.main([*options, "--verify", "--seed", "4"]) == 2
    assert "was made with other settings" in capsys.readouterr().err
    data = bytearray(before)
    data[5000] ^= 1
    path.write_bytes(data)
    assert ganfaces_pairs.main([*options, "--verify"]) == 2
    assert "are not what was written" in capsys.readouterr().err
    assert ganfaces_pairs.main(["-o", str(tmp_path / "x"), "--count", "0"]) == 2
    assert capsys.readouterr().err.startswith("ganfaces-pairs: 0 pairs make no dataset")
