"""Photo-like people: what a view is made of, who is left out, and what keeps a person the same."""

import pytest
import torch
from torch import nn

from facelab.data import variations
from facelab.data.packed import pack
from facelab.data.variations import NOISE, SHORTENED, Variations, embed_faces
from facelab.errors import DatasetError, ParameterError
from facelab.generators import dcgan
from facelab.generators.generator import Generator
from facelab.methods.ganid.scoring import Scorer
from facelab.recognition.embedder import Embedder, embedder

LATENTS = 4


class Colours(Generator):
    """The first three latents, times 0.05, are a picture's colour; the fourth is seen by nobody."""

    id, latents, size, prior = "colours", LATENTS, 8, "normal"

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.05), requires_grad=False)

    def sample_latent(self, count, random):
        return torch.randn(count, LATENTS, generator=random)

    def mapping(self, latent):
        return latent

    def synthesis(self, w):
        return (self.gain * w[:, :3])[:, :, None, None].expand(-1, -1, 8, 8)


class Eye(Embedder):
    """Sees the first three latents again; its threshold is a matter of the test."""

    id, size, template = "eye", 8, "book64"

    def __init__(self, threshold_squared: float):
        super().__init__()
        self.threshold_squared = threshold_squared

    def forward(self, images):
        return images.mean((2, 3)) / 0.05


@pytest.fixture(autouse=True)
def unaligned(monkeypatch):
    """Squares of one colour have no landmarks."""
    monkeypatch.setattr(variations, "embed_faces", lambda network, faces: network.embed(faces))


BLIND = torch.tensor([0.0, 0.0, 0.0, 3.0])
SEEN = torch.tensor([3.0, 0.0, 0.0, 0.0])


def crowd(people=5, views=4, threshold=0.3, vectors=None, **words) -> Variations:
    vectors = {"blind": BLIND} if vectors is None else vectors
    return Variations(people, views, Colours(), Eye(threshold), vectors, **words)


def unit(latents):
    return nn.functional.normalize(latents[:, :3], dim=1)


def test_a_view_is_a_mixture_with_noise_and_a_vector_that_is_there(tolerance):
    dataset = crowd(threshold=4.0 - 1e-6, people=1, views=60)
    latents, kept = dataset.latents(range(60))
    assert kept.tolist() == [0.0] + [1.0] * 59
    first, others = latents[0], latents[1:]
    assert torch.equal(dataset.batch([0]).labels["latent"][0], first)
    off = (others - (1 - NOISE**2) ** 0.5 * first)[:, :3] / NOISE
    # 177 numbers from N(0, 1).
    assert abs(float(off.mean())) < 0.25
    assert 0.85 < float(off.std()) < 1.15
    # Strengths uniform on [-1, 1] and a vector of length 3: a deviation of 3 / sqrt(3).
    strength = others[:, 3] - (1 - NOISE**2) ** 0.5 * first[3]
    assert 1.4 < float(strength.std()) < 2.05
    assert float(strength.abs().max()) < 3 + 4 * NOISE


def test_views_are_the_same_person_and_people_are_not():
    dataset = crowd(people=8, views=6, threshold=0.05, vectors={"seen": SEEN})
    latents, kept = dataset.latents(range(48))
    codes = unit(latents).reshape(8, 6, 3)
    to_first = (codes - codes[:, :1]).square().sum(2)
    assert float(to_first.max()) < 0.05
    assert float(torch.pdist(codes[:, 0]).square().min()) >= 0.05
    # Some changes went too far and were shortened, to one of the steps.
    assert {round(k, 2) for k in kept.tolist()} <= {*SHORTENED}
    moved = kept.reshape(8, 6)[:, 1:]
    assert 0.2 < float((moved < 1).double().mean()) < 1
    longest = [step for step in SHORTENED if step < 1]
    assert any(step in {round(k, 2) for k in moved.flatten().tolist()} for step in longest)


def test_those_who_look_alike_are_left_out_in_order():
    every, few = crowd(people=8, threshold=1e-9), crowd(people=8, threshold=0.3)
    assert every.numbers == tuple(range(8))
    assert few.numbers != every.numbers
    codes = unit(few._first(range(few.numbers[-1] + 1)))
    taken = []
    for number, code in enumerate(codes):  # the obvious twin
        if all(float((codes[t] - code).square().sum()) >= 0.3 for t in taken):
            taken.append(number)
    assert few.numbers == tuple(taken)
    with pytest.raises(DatasetError, match="look like different people to eye; ask for fewer"):
        _ = crowd(people=3, threshold=3.9).numbers


def test_a_face_is_the_same_alone_and_in_any_batch(tolerance):
    dataset = crowd()
    together, alone = dataset.batch([13, 2, 13]), dataset.batch([13])
    assert torch.equal(together.labels["latent"][0], together.labels["latent"][2])
    torch.testing.assert_close(together.images[:1], alone.images, **tolerance[torch.float32])
    assert together.identity.tolist() == [3, 0, 3]
    assert together.images.abs().max() <= 1


def test_splits_and_seeds_have_nothing_in_common():
    latents = [
        crowd(**words).latents(range(20))[0]
        for words in ({}, {"split": "test"}, {"seed": 1}, {"vectors": {}})
    ]
    for other in latents[1:3]:
        assert (torch.cdist(latents[0], other) > 1e-3).all()
    # Without vectors the people are the same, and the fourth number has noise alone.
    assert torch.equal(latents[0][::4], latents[3][::4])
    off = latents[3].reshape(5, 4, 4)[:, 1:, 3] - latents[3].reshape(5, 4, 4)[:, :1, 3]
    assert float(off.abs().max()) < 4 * NOISE + 0.1


def test_the_config_is_what_the_faces_follow_from(tmp_path):
    base = crowd()
    same = crowd()
    others = [
        crowd(seed=1), crowd(split="test"), crowd(threshold=0.31), crowd(people=6), crowd(views=3),
        crowd(vectors={"blind": 2 * BLIND}), crowd(vectors={"other": BLIND}),
    ]  # fmt: skip
    hashes = {other.config_hash for other in others}
    assert base.config_hash == same.config_hash
    assert len(hashes) == 7
    assert base.config_hash not in hashes
    packed = pack(base, tmp_path / "base.facepack")
    assert packed.people == 5
    torch.testing.assert_close(packed.batch([7]).labels["latent"], base.batch([7]).labels["latent"])


def test_what_can_not_be_is_named():
    with pytest.raises(ParameterError, match="0 people with 4 views"):
        crowd(people=0)
    with pytest.raises(ParameterError, match="no split 'some'"):
        crowd(split="some")
    uniform = Colours()
    uniform.prior = "uniform"
    with pytest.raises(ParameterError, match="from a uniform prior"):
        Variations(1, 1, uniform, Eye(0.3), {})


def test_faces_are_aligned_as_the_search_aligns_them(random, tolerance):
    generator, network = dcgan.pretrained(), embedder("faceres")
    scorer = Scorer(generator, network)
    latents = generator.sample_latent(3, random)
    with torch.no_grad():
        faces, wanted = generator(latents), scorer.embed(latents)
    torch.testing.assert_close(embed_faces(network, faces), wanted, **tolerance[torch.float32])
