"""Faces of a generator with what they were drawn from."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelab.data.latents import W_LABEL, DrawnFaces, code_label
from facelab.data.packed import Packed, pack
from facelab.errors import DatasetError, ParameterError
from facelab.generators.dcgan import DCGAN
from facelab.images import from_uint8, to_uint8
from facelab.recognition.embedder import Embedder


class Recogniser(Embedder):
    """Mean colours of a picture as an embedding."""

    id, size, template, threshold, threshold_squared = "mean-colours", 64, "book64", 0.5, 1.0

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return F.adaptive_avg_pool2d(images, 2).flatten(1)


@pytest.fixture(scope="module")
def generator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DCGAN(latents=5, width=2, id="tiny").eval()


@pytest.fixture
def faces(generator):
    return DrawnFaces(generator, 7, embedder=Recogniser())


def test_a_face_is_drawn_from_its_vector(faces, generator):
    batch = faces.batch([2, 5])
    w = batch.labels[W_LABEL]
    assert w.shape == (2, 5)
    with torch.no_grad():
        drawn = generator.synthesis(w)
    assert (batch.images - drawn).abs().max() <= 1 / 255 + 1e-6, "8 bits"
    torch.testing.assert_close(batch.images, from_uint8(to_uint8(batch.images)))
    torch.testing.assert_close(faces.batch([5]).labels[W_LABEL], w[1:])


def test_codes_are_those_of_the_rounded_pictures(faces):
    batch = faces.batch(range(3))
    wanted = Recogniser().embed(batch.images) * 12**0.5
    torch.testing.assert_close(batch.labels[code_label("mean-colours")], wanted.detach())
    assert code_label("mean-colours") == "code_mean_colours"


def test_truncation_brings_vectors_nearer(generator):
    whole, half = (DrawnFaces(generator, 3, truncation=t).latents(range(3)) for t in (1.0, 0.5))
    torch.testing.assert_close(half, 0.5 * whole)


def test_splits_and_seeds_are_other_faces(generator):
    def first(**options):
        return DrawnFaces(generator, 2, **options).latents([0])

    base = first()
    assert torch.equal(base, first(split="train", seed=0))
    for options in ({"seed": 1}, {"split": "test"}):
        assert not torch.equal(base, first(**options))


def test_a_packed_file_is_the_same_faces(tmp_path, faces, generator):
    packed, found = pack(faces, tmp_path / "faces.facepack", block=3), faces.batch(range(7))
    stored = packed.batch(range(7))
    assert torch.equal(stored.images, found.images)
    for name, value in found.labels.items():
        assert torch.equal(stored.labels[name], value), name
    other = DrawnFaces(generator, 7, embedder=Recogniser(), truncation=0.7)
    with pytest.raises(DatasetError, match="made with other settings"):
        Packed(tmp_path / "faces.facepack", config=other.config())


def test_what_cant_be_drawn(generator):
    with pytest.raises(ParameterError, match="0 faces make no dataset"):
        DrawnFaces(generator, 0)
    for truncation in (0.0, 1.5):
        with pytest.raises(ParameterError, match="truncation"):
            DrawnFaces(generator, 3, truncation=truncation)
