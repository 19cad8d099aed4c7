"""A generator's row of a table: what is in it, that it streams, and that it tells good from bad."""

import json

import pytest
import torch

from facelab.errors import ParameterError
from facelab.generators.generator import Generator, sample_prior
from facelab.metrics import generator_report as module
from facelab.metrics.coverage import coverage
from facelab.metrics.diversity import identity_diversity
from facelab.metrics.extractors import Extractor, FaceFeatures
from facelab.metrics.frechet import frechet_distance
from facelab.metrics.generator_report import Described, describe, generator_report
from facelab.metrics.kernel import squared_discrepancy
from facelab.recognition.embedder import Embedder

SIZE = 8


class Stub(Generator):
    """Pictures of 8 x 8 pixels: a matrix times the latent, in its first `rank` directions."""

    latents, size, prior = 6, SIZE, "normal"

    def __init__(self, id="stub", scale=0.3, rank=6):
        super().__init__()
        self.id = id
        matrix = torch.randn(3 * SIZE**2, 6, generator=torch.Generator().manual_seed(1))
        self.matrix = torch.nn.Parameter(scale * matrix * (torch.arange(6) < rank))

    def sample_latent(self, count, random):
        return sample_prior(self.prior, count, self.latents, random)

    def mapping(self, latent):
        return 2 * latent

    def synthesis(self, w):
        return (w / 2 @ self.matrix.T).unflatten(1, (3, SIZE, SIZE))


class Means(Extractor):
    """Means over quarters of the picture: 12 features."""

    id, features = "means", 12

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()), requires_grad=False)
        self.largest_batch, self.largest_value = 0, 0.0

    def forward(self, images):
        self.largest_batch = max(self.largest_batch, len(images))
        self.largest_value = max(self.largest_value, float(images.abs().max()))
        return self.one * torch.nn.functional.avg_pool2d(images, SIZE // 2).flatten(1)


class Recogniser(Embedder):
    """Tells pictures of 64 pixels apart by their means over sixteenths."""

    id, size, template = "sixteenths", 64, "book64"
    threshold, threshold_squared = 0.3, 0.09

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        return self.one * torch.nn.functional.avg_pool2d(images, 16).flatten(1)


@pytest.fixture
def networks():
    return Means(), FaceFeatures(Recogniser())


@pytest.fixture
def reference(networks):
    """120 pictures of a generator that stands for the real world."""
    return describe(Stub().sample(120, torch.Generator().manual_seed(9)), *networks)


def report(source, reference, networks, **settings):
    settings = {"count": 100, "paths": 20, "batch": 32, **settings}
    random = torch.Generator().manual_seed(0)
    extractor, identity = networks
    return generator_report(
        source, reference, extractor, identity=identity, random=random, **settings
    )


def test_it_is_what_the_measures_say_one_by_one(networks, reference):
    found = report(Stub(), reference, networks)
    generated = describe(Stub().sample(100, torch.Generator().manual_seed(0)), *networks)
    sets = reference.features, generated.features
    frechet = frechet_distance(*sets, extractor="means")
    assert found["frechet"]["value"] == pytest.approx(frechet.value, rel=1e-6)
    assert found["frechet"]["name"] == "means-fd"
    assert found["kernel"]["value"] == pytest.approx(squared_discrepancy(*sets), rel=1e-5, abs=1e-9)
    random = torch.Generator().manual_seed(0)
    covered = coverage(*sets, extractor="means", random=random, replicates=10)
    for name in ("precision", "recall", "density", "coverage"):
        assert found["coverage"][name] == pytest.approx(getattr(covered, name))
    for key, faces in (("diversity", generated), ("reference_diversity", reference)):
        alone = identity_diversity(
            faces.embeddings, embedder="x", threshold=0.09, random=random, replicates=10
        )
        assert found[key]["mean_distance"] == pytest.approx(alone.mean_distance, rel=1e-6)
        assert found[key]["same_person"] == alone.same_person
    assert found["pictures"] == {"reference": 120, "generated": 100}
    names = (found["generator"], found["extractor"], found["embedder"])
    assert names == ("stub", "means", "sixteenths")
    assert found["path_length"]["z"]["paths"] == 20


def test_a_record_can_hold_it_and_all_have_intervals(networks, reference):
    told = []
    found = report(
        Stub(), reference, networks, spaces=("z", "w"), progress=lambda *done: told.append(done)
    )
    assert json.loads(json.dumps(found, allow_nan=False)).keys() == found.keys()
    assert found["seconds"] > 0
    lengths = found["path_length"]
    assert lengths.keys() == {"z", "w"}
    assert [lengths[space]["name"][-1] for space in "zw"] == ["z", "w"]
    assert lengths["z"]["interpolation"] != lengths["w"]["interpolation"]
    assert told[-3:] == [(100, 140), (120, 140), (140, 140)]
    for result in (found["frechet"], found["kernel"], found["diversity"], *lengths.values()):
        assert result["interval"]["low"] < result["interval"]["high"]
    assert all(found["coverage"]["intervals"].values())


def test_it_tells_good_generators_from_bad(networks, reference):
    """The same distribution; one that lacks half of it; one that draws something else."""
    good = report(Stub(), reference, networks)
    narrow = report(Stub(rank=2), reference, networks)
    wrong = report(Stub(scale=2.0), reference, networks)
    assert good["frechet"]["value"] < 0.3 * narrow["frechet"]["value"]
    assert good["frechet"]["value"] < 0.3 * wrong["frechet"]["value"]
    assert good["kernel"]["value"] < narrow["kernel"]["value"]
    assert good["coverage"]["precision"] > 0.8 > 0.5 > wrong["coverage"]["precision"]
    assert good["coverage"]["recall"] > 0.8 > 0.2 > narrow["coverage"]["recall"]
    assert narrow["diversity"]["same_person"] > good["diversity"]["same_person"]
    assert narrow["path_length"]["z"]["value"] < good["path_length"]["z"]["value"]


def test_batches_of_pictures_give_what_the_generator_gives(networks, reference):
    drawn = Stub().sample(100, torch.Generator().manual_seed(0))
    from_generator = report(Stub(), reference, networks)
    for source in (drawn, iter(drawn.split(7))):
        found = report(source, reference, networks)
        assert found["frechet"]["value"] == pytest.approx(from_generator["frechet"]["value"])
        assert (found["generator"], found["path_length"]) == (None, {})


def test_it_streams_clips_and_tells_how_far_it_is(networks, reference):
    told = []
    extractor, _ = networks
    extractor.largest_batch = 0
    report(Stub(scale=2.0), reference, networks, progress=lambda *done: told.append(done))
    assert told == [(32, 120), (64, 120), (96, 120), (100, 120), (120, 120)]
    assert extractor.largest_batch == 40  # both ends of 20 steps; 32 pictures at a time
    pictures = list(module.draw(Stub(scale=2.0), 70, torch.Generator().manual_seed(0), 32))
    assert [len(batch) for batch in pictures] == [32, 32, 6]
    assert max(float(batch.abs().max()) for batch in pictures) > 1
    extractor.largest_value = 0.0
    described = describe(pictures, *networks)
    assert extractor.largest_value == 1
    assert len(described) == 70
    told.clear()
    report(pictures, reference, networks, progress=lambda *done: told.append(done))
    assert told == [(32, 32), (64, 64), (70, 70)]


def test_a_recogniser_describes_identity_as_well(networks):
    _, identity = networks
    described = describe(Stub().sample(8, torch.Generator().manual_seed(0)), identity)
    assert described.embeddings is not described.features
    assert torch.equal(described.embeddings, described.features)
    assert (described.extractor, described.embedder) == ("sixteenths", "sixteenths")
    assert described.threshold == 0.09


def test_without_a_recogniser_it_is_dlibs(monkeypatch):
    asked = []
    monkeypatch.setattr(
        module.extractors,
        "extractor",
        lambda *name: asked.append(name) or FaceFeatures(Recogniser()),
    )
    describe(torch.zeros(2, 3, 64, 64), Means())
    assert asked == [("dlib", "cpu")]


def test_networks_that_are_not_the_references_are_refused(networks, reference):
    extractor, identity = networks
    other = Described(reference.features, reference.embeddings, "dlib", identity.id, 0.09)
    with pytest.raises(
        ParameterError, match=r"by 'dlib' and, for identity, 'sixteenths'; these are"
    ):
        report(Stub(), other, networks)
    other = Described(reference.features, reference.embeddings, extractor.id, "facenet", 0.09)
    with pytest.raises(ParameterError, match="for identity, 'facenet'; these are 'means' and"):
        report(Stub(), other, networks)


def test_nothing_to_measure_is_named(networks, reference):
    with pytest.raises(ParameterError, match="no picture to describe"):
        describe([], *networks)
    with pytest.raises(ParameterError, match="the generated set has 5 pictures, at least 6"):
        report(Stub(), reference, networks, count=5)
