"""LORD: its losses by hand, what each stage moves, and both stages through the real loop."""

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F

from facelab.assets import networks as files
from facelab.data.base import FaceDataset
from facelab.data.numbered import DATASET, INDEX, Numbered, number_of
from facelab.data.packed import pack
from facelab.engine import loop, methods
from facelab.engine.export import export_weights
from facelab.engine.settings import Settings
from facelab.engine.trainer import values_of
from facelab.errors import CheckpointError, DatasetError, ParameterError
from facelab.methods.diat.features import FaceLayers
from facelab.methods.idmap import lord
from facelab.methods.idmap.lord import Config, Encoders, EncodersConfig, Latents
from facelab.methods.idmap.lord_networks import Codes, Generator, Lord, Shape, adaptive_norm
from facelab.phases import Step
from facelab.types import Batch

TINY = lord.TINY
SMALL = dataclasses.replace(lord.ENCODERS["tiny"], identity=2.0, content=3.0)


class Faces(FaceDataset):
    """Noise of 16 pixels: `views` pictures of each of four people; with `single` one has one."""

    id, size, split, people = "faces", 16, "train", 4

    def __init__(self, views: int = 3, single: bool = False, seed: int = 0):
        counts = [1 if single and person == 2 else views for person in range(4)]
        self.identity = torch.arange(4).repeat_interleave(torch.tensor(counts))
        random, self.seed = torch.Generator().manual_seed(seed), seed
        self.images = torch.rand(len(self), 3, 16, 16, generator=random) * 2 - 1

    def config(self):
        return {"id": self.id, "seed": self.seed, "identity": self.identity.tolist()}

    def batch(self, indices):
        rows = torch.tensor(self.resolve(indices))
        return Batch(self.images[rows], self.identity[rows], labels={"light": rows * 0.5})


def step(seed: int = 0) -> Step:
    return Step(0, torch.Generator().manual_seed(seed))


@pytest.fixture
def batch():
    """Pictures 7, 2, 8 and 10; their people are 2, 0, 2 and 3."""
    return Numbered(Faces()).batch([7, 2, 8, 10])


def latents(config: Config = TINY) -> Latents:
    """A first stage whose codes are as large as their noise."""
    torch.manual_seed(0)
    found = Latents(config)
    for table in found.codes.parameters():
        torch.nn.init.normal_(table, std=1 / config.code_rate)
    return found


def encoders(config: EncodersConfig = SMALL) -> Encoders:
    first = latents(config.first)
    torch.manual_seed(1)
    return Encoders(config, first.generator, first.codes)


# --- the data ------------------------------------------------------------------------------------


def test_numbered_faces_know_their_number_and_whose_it_is(batch):
    source = Faces()
    assert batch.labels[INDEX].tolist() == [7, 2, 8, 10]
    assert batch.labels["light"].tolist() == [3.5, 1.0, 4.0, 5.0]
    assert torch.equal(batch.images, source.images[[7, 2, 8, 10]])
    assert batch.identity.tolist() == [2, 0, 2, 3]
    found = Numbered(source)
    assert batch.labels[DATASET].unique().tolist() == [number_of(found.config_hash)]
    assert found.number != Numbered(Faces(seed=1)).number
    assert number_of("0" * 14 + "2" + "f" * 49) == 2


def test_numbers_are_packed(tmp_path, batch):
    packed = pack(Numbered(Faces()), tmp_path / "x.facepack")
    found = packed.batch([7, 2, 8, 10])
    assert all(torch.equal(found.labels[name], batch.labels[name]) for name in (INDEX, DATASET))
    assert number_of(packed.config_hash) == int(found.labels[DATASET][0])


def test_people_of_one_picture_are_refused():
    with pytest.raises(DatasetError, match="1 of the 4 people of faces have one picture; give"):
        Numbered(Faces(single=True))
    with pytest.raises(DatasetError, match="4 of the 4 people"):
        Numbered(Faces(views=1))


# --- the networks --------------------------------------------------------------------------------


def test_codes_are_read_times_their_rate():
    codes = Codes(3, 5, Shape(16, 8, 6, (8,), 4, (3, 3), (4,), 4), 10.0)
    assert codes.people.shape == (3, 6)
    assert codes.pictures.shape == (5, 8)
    for table in codes.parameters():
        assert 0.003 < table.abs().max() <= 0.005, "codes begin between -0.05 and 0.05"
    numbers = torch.tensor([2, 0, 2])
    assert torch.equal(codes.identity(numbers), 10 * codes.people[[2, 0, 2]])
    assert torch.equal(codes.content(numbers), 10 * codes.pictures[[2, 0, 2]])


def test_adam_moves_codes_rate_times_as_fast(tolerance):
    codes = Codes(3, 5, TINY.shape, 10.0)
    before = codes.content(torch.arange(5)).detach()
    optimiser = torch.optim.Adam(codes.parameters(), lr=0.01)
    codes.content(torch.tensor([1, 3])).sum().backward()
    optimiser.step()
    moved = codes.content(torch.arange(5)).detach() - before
    wanted = torch.zeros(5, 8)
    wanted[[1, 3]] = -0.1
    torch.testing.assert_close(moved, wanted, **tolerance[torch.float32])


def test_the_norm_gives_each_channel_the_mean_and_deviation_asked_for(random):
    x = torch.randn(2, 3, 8, 8, generator=random) * 5 + 2
    style = torch.randn(2, 6, generator=random)
    found = adaptive_norm(x, style)
    torch.testing.assert_close(found.mean((2, 3)), style[:, :3], rtol=1e-4, atol=1e-5)
    deviation = found.std((2, 3), correction=0)
    torch.testing.assert_close(deviation, style[:, 3:].abs(), rtol=1e-4, atol=1e-5)


def test_the_generator_by_hand(random, tolerance):
    torch.manual_seed(0)
    shape = Shape(16, 8, 6, (8, 4), 4, (3, 5), (4, 4, 4), 4)
    network = Generator(shape)
    who, what = torch.randn(2, 6, generator=random), torch.randn(2, 8, generator=random)
    with torch.no_grad():
        x = what
        for layer in network.begin:
            x = F.leaky_relu(x @ layer.weight.T + layer.bias, 0.2)
        x = x.reshape(2, 8, 4, 4)
        for layer, style in zip(network.layers, network.styles, strict=True):
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = F.leaky_relu(F.conv2d(x, layer.weight, layer.bias, padding=1), 0.2)
            shift, factor = style(who)[:, :, None, None].chunk(2, 1)
            mean, variance = x.mean((2, 3), True), x.var((2, 3), correction=0, keepdim=True)
            x = (x - mean) / (variance + 1e-5).sqrt() * factor + shift
        x = F.leaky_relu(F.conv2d(x, network.late.weight, network.late.bias, padding=1), 0.2)
        x = torch.tanh(F.conv2d(x, network.last.weight, network.last.bias, padding=2))
        found = network(who, what)
    torch.testing.assert_close(found, x, **tolerance[torch.float32])
    assert found.shape == (2, 3, 16, 16)
    assert found.std() > 0.01


def test_identity_acts_through_the_styles_alone(random):
    torch.manual_seed(0)
    network = Generator(TINY.shape)
    who, other, what = (torch.randn(2, 8, generator=random) for _ in range(3))
    with torch.no_grad():
        assert (network(who, what) - network(other, what)).abs().max() > 1e-3
        for style in network.styles:
            assert torch.equal(style.bias, torch.tensor([0.0] * 8 + [1.0] * 8))
            style.weight.zero_()
        assert torch.equal(network(who, what), network(other, what))
        assert (network(who, what) - network(who, other)).abs().max() > 1e-3


@pytest.mark.parametrize("preset", ["tiny", "book", "paper"])
def test_encoders_give_codes_of_the_tables_lengths(preset):
    shape = lord.PRESETS[preset].shape
    with torch.device("meta"):
        found, images = Lord(shape), torch.empty(2, 3, shape.size, shape.size)
        assert found.identity_encoder(images).shape == (2, shape.identity)
        assert found.content_encoder(images).shape == (2, shape.content)
        assert found(images, images).shape == images.shape


# --- the losses ----------------------------------------------------------------------------------


class Quarters(FaceLayers):
    """Two linear maps of a picture: its quarters' means, doubled, and the whole's."""

    embedders = ("dlib",)

    def forward(self, images):
        pooled = F.adaptive_avg_pool2d(2 * images, 2)
        return [pooled, pooled.mean((2, 3), keepdim=True)]


def test_the_pictures_loss_by_hand(monkeypatch, random, tolerance):
    monkeypatch.setattr(lord, "face_layers", lambda name: Quarters())
    found = Latents(dataclasses.replace(TINY, features="dlib-layers", perceptual=0.5))
    a, b = (torch.rand(3, 3, 16, 16, generator=random) * 2 - 1 for _ in range(2))
    terms = found._pictures(a, b)
    quarters = (a - b).unflatten(2, (2, 8)).unflatten(4, (2, 8)).mean((3, 5))
    wanted = 2 * quarters.abs().mean((1, 2, 3)) + 2 * quarters.mean((2, 3)).abs().mean(1)
    torch.testing.assert_close(terms["pixels"], (a - b).abs().mean((1, 2, 3)))
    torch.testing.assert_close(terms["features"], wanted, **tolerance[torch.float32])
    assert not any(term.any() for term in found._pictures(a, a).values())
    assert found.phases()[0].weights == {"features": 0.5, "decay": TINY.decay}
    assert found.embedders == ("dlib",)


def test_without_features_no_recogniser_is_seen(random):
    found, images = latents(), torch.rand(2, 3, 16, 16, generator=random)
    assert list(found._pictures(images, images)) == ["pixels"]
    assert found.embedders == ()
    assert encoders().embedders == ()


def test_noise_of_sigma_goes_in_and_decay_sees_none_of_it(batch, tolerance):
    found = latents(dataclasses.replace(TINY, sigma=0.5))
    seen = {}

    def generator(identity, content):
        seen.update(identity=identity, content=content)
        return batch.images + 0.25

    found.generator = generator
    terms = found.terms(batch, step(3))
    rows = TINY.code_rate * found.codes.pictures[[7, 2, 8, 10]]
    noise = 0.5 * torch.randn(4, 8, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(seen["content"], rows + noise, **tolerance[torch.float32])
    assert torch.equal(seen["identity"], TINY.code_rate * found.codes.people[[2, 0, 2, 3]])
    torch.testing.assert_close(terms["decay"], (rows**2).sum(1))
    torch.testing.assert_close(terms["pixels"], torch.full((4,), 0.25))
    assert (terms["decay"] > 0.5).all()


def test_the_second_stages_terms_by_hand(batch, tolerance):
    found = encoders()
    with torch.no_grad():
        terms = found.terms(batch, step())
        who = found.lord.identity_encoder(batch.images)
        what = found.lord.content_encoder(batch.images)
        made = found.lord.generator(who, what)
    rate = TINY.code_rate
    wanted = {
        "pixels": (made - batch.images).abs().mean((1, 2, 3)),
        "identity": ((who - rate * found.codes.people[[2, 0, 2, 3]]) ** 2).mean(1),
        "content": ((what - rate * found.codes.pictures[[7, 2, 8, 10]]) ** 2).mean(1),
    }
    assert list(terms) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(terms[name], value, **tolerance[torch.float32])
        assert (value > 0.05).all(), name
    assert found.phases()[0].weights == {"identity": 2.0, "content": 3.0}


# --- what moves ----------------------------------------------------------------------------------


def backward(method, batch):
    sum(term.mean() for term in method.terms(batch, step()).values()).backward()


def moved(module):
    return [p.grad is not None and bool(p.grad.any()) for p in module.parameters()]


def test_the_first_stage_moves_the_generator_and_the_batchs_codes(batch):
    found = latents()
    assert found.phases()[0].parameters == ("generator", "codes")
    backward(found, batch)
    assert all(moved(found.generator))
    people, pictures = (table.grad.any(dim=1).nonzero()[:, 0] for table in found.codes.parameters())
    assert people.tolist() == [0, 2, 3]
    assert pictures.tolist() == [2, 7, 8, 10]


def test_the_second_stage_moves_the_encoders_and_a_copy_of_the_generator(batch):
    first = latents()
    found = Encoders(SMALL, first.generator, first.codes)
    assert found.phases()[0].parameters == ("lord",)
    pairs = zip(first.generator.parameters(), found.lord.generator.parameters(), strict=True)
    assert all(torch.equal(a, b) and a is not b for a, b in pairs)
    backward(found, batch)
    assert all(moved(found.lord))
    assert not any(moved(found.codes))
    assert not any(moved(first.generator))
    assert all(p.requires_grad for p in first.codes.parameters())


def trained(method, steps=3, data=None, folder=None, batch=4):
    settings = Settings(steps=steps, batch=batch, workers=0, log_every=1, device="cpu")
    data = data or Numbered(Faces())
    return loop.train(method, data, settings, folder, progress=False)


@pytest.mark.parametrize("tune", [True, False])
def test_a_run_of_the_second_stage_tunes_the_generator_where_it_is_told_to(tune):
    found = encoders(dataclasses.replace(SMALL, tune_generator=tune))
    before = {name: value.clone() for name, value in found.lord.state_dict().items()}
    codes = {name: value.clone() for name, value in found.codes.state_dict().items()}
    trained(found)
    after = found.lord.state_dict()
    changed = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    both = {"identity_encoder", "content_encoder"}
    assert changed == both | ({"generator"} if tune else set())
    assert all(torch.equal(codes[name], value) for name, value in found.codes.state_dict().items())


def test_the_first_stage_learns_its_pictures():
    quick = dataclasses.replace(TINY, sigma=0.1, learning_rate=0.01)
    result = trained(latents(quick), 40, batch=12)
    first, last = (result.history[n].losses["latents/pixels"] for n in (0, -1))
    assert last < 0.8 * first


# --- both stages, and what comes out -------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of both stages by their names, as the command line would make them, and their files."""
    folder = tmp_path_factory.mktemp("lord")
    first, second = folder / "first.safetensors", folder / "second.safetensors"
    trained(methods.build("lord", "tiny", 0), folder=folder / "first")
    export_weights(folder / "first", first)
    method = methods.build("lord-encoders", "tiny", 0, after=first)
    trained(method, folder=folder / "second")
    export_weights(folder / "second", second, ("lord",), half=False)
    return method, first, second


def test_the_second_stage_goes_on_from_the_firsts_file(runs):
    method, first, _ = runs
    tensors, told = files.load(first, "lord", lord._first_stage, "")
    assert told["step"] == 3
    assert torch.equal(method.codes.people, tensors["codes"].people)
    assert method.config.first == TINY
    assert method.config.trained["data"]["sha256"] == Numbered(Faces()).config_hash
    assert method.config.trained["images"] == 12


def test_sizes_are_those_of_the_firsts_file(tmp_path):
    other = dataclasses.replace(TINY, people=7, pictures=9, code_rate=4.0, features="pixels")
    stage, path = lord._first_stage({"config": values_of(other)}), tmp_path / "x.safetensors"
    files.save(path, "lord", stage, config=values_of(other))
    found = Encoders.after("tiny", path)
    assert found.config == dataclasses.replace(lord.ENCODERS["tiny"], first=other)
    assert (len(found.codes.people), len(found.codes.pictures), found.codes.rate) == (7, 9, 4.0)


def test_a_loaded_lord_combines_as_it_was_trained(runs, tolerance, random):
    method, _, second = runs
    found = lord.load(second)
    assert isinstance(found, Lord)
    assert not found.training
    assert not any(p.requires_grad for p in found.parameters())
    assert (found.size, found.framing, found.embedders) == (16, "book64", ())
    who, what = (torch.rand(2, 3, 16, 16, generator=random) * 2 - 1 for _ in range(2))
    made = found.combine(who, what)
    trained_one = method.lord
    with torch.no_grad():
        codes = trained_one.identity_encoder(who), trained_one.content_encoder(what)
        wanted = trained_one.generator(*codes)
    torch.testing.assert_close(made, wanted, **tolerance[torch.float32])
    assert (made - found.combine(what, who)).abs().max() > 1e-4
    assert made.abs().max() <= 1


def test_a_loaded_lord_tells_what_its_losses_saw(tmp_path):
    config = dataclasses.replace(SMALL, first=dataclasses.replace(TINY, features="dlib-stages"))
    path = tmp_path / "x.safetensors"
    files.save(path, "lord-encoders", Lord(TINY.shape), config=values_of(config))
    assert lord.load(path).embedders == ("dlib",)


def test_files_that_are_another_methods_or_not_whole(runs, tmp_path):
    _, first, second = runs
    with pytest.raises(CheckpointError, match="is of lord, lord-encoders expected"):
        lord.load(first)
    with pytest.raises(CheckpointError, match="is of lord-encoders, lord expected"):
        Encoders.after("tiny", second)
    with pytest.raises(ParameterError, match="preset 'huge' is unknown"):
        Encoders.after("huge", first)
    path = tmp_path / "x.safetensors"
    files.save(path, "lord-encoders", Lord(TINY.shape).generator, config=values_of(SMALL))
    with pytest.raises(CheckpointError, match="does not hold the network of its header"):
        lord.load(path)


def test_previews_show_faces_themselves_and_as_the_person_before(batch):
    first, second = latents(), encoders()
    shown = first.preview(first.networks, batch)
    who, what = first.codes.identity(batch.identity), first.codes.content(batch.labels[INDEX])
    assert torch.equal(shown[:4], batch.images)
    assert torch.equal(shown[4:8], first.generator(who, what))
    assert torch.equal(shown[8:], first.generator(who[[3, 0, 1, 2]], what))
    shown, images = second.preview(second.networks, batch), batch.images
    assert torch.equal(shown[:4], images)
    assert torch.equal(shown[4:8], second.lord.combine(images, images))
    assert torch.equal(shown[8:], second.lord.combine(images[[3, 0, 1, 2]], images))


# --- what can not be -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [latents, encoders])
def test_data_that_do_not_fit(make, batch):
    method = make()
    plain = dataclasses.replace(batch, labels={})
    with pytest.raises(DatasetError, match=r"the faces don't have numbers.* pack\(Numbered"):
        method.terms(plain, step())
    many = dataclasses.replace(batch, labels=batch.labels | {INDEX: torch.tensor([0, 96, 1, 2])})
    with pytest.raises(DatasetError, match="97 pictures or more, the table has 96 rows; give"):
        method.terms(many, step())
    crowd = dataclasses.replace(batch, identity=torch.tensor([0, 1, 48, 2]))
    with pytest.raises(DatasetError, match="49 people or more, the table has 48 rows"):
        method.terms(crowd, step())
    small = dataclasses.replace(batch, images=batch.images[..., :8, :8])
    with pytest.raises(ParameterError, match="faces of 8 x 8 pixels can't be used; give faces"):
        method.terms(small, step())


def test_the_second_stage_refuses_other_faces(runs):
    method, _, _ = runs
    method.terms(Numbered(Faces()).batch([0, 1]), step())
    with pytest.raises(DatasetError, match="those of the faces of faces:numbered, which the first"):
        method.terms(Numbered(Faces(seed=1)).batch([0, 1]), step())


def test_faces_of_another_size_are_not_combined():
    found = Lord(TINY.shape)
    right, wrong = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 32, 32)
    with pytest.raises(ParameterError, match="faces of 32 x 32 pixels can't be used"):
        found.combine(wrong, wrong)
    made = found.combine(right, right)
    assert made.shape == right.shape
    assert not made.requires_grad


def test_configs_survive_json():
    for config in lord.PRESETS.values():
        assert Config.from_json(json.loads(json.dumps(values_of(config)))) == config
    for config in lord.ENCODERS.values():
        config = dataclasses.replace(config, trained={"data": {"id": "x"}, "step": 4})
        assert EncodersConfig.from_json(json.loads(json.dumps(values_of(config)))) == config
    with pytest.raises(TypeError):
        Config.from_json({"depth": 3})


def test_the_papers_sizes():
    paper = lord.PAPER
    assert (paper.shape.size, paper.shape.content, paper.shape.identity) == (64, 128, 256)
    assert (paper.sigma, paper.decay, paper.batch_size) == (1.0, 0.001, 64)
    (phase,) = lord.Latents(dataclasses.replace(TINY, schedule="cosine")).phases()
    assert (phase.optimiser.betas, phase.optimiser.schedule) == ((0.5, 0.999), "cosine")


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (TINY, {"people": 0}, "people = 0 can't be used; give a whole number from 1"),
        (TINY, {"sigma": -1.0}, "sigma = -1.0 can't be used; give a number from 0 on"),
        (TINY, {"code_rate": 0.0}, "code_rate = 0.0 can't be used; give a number above 0"),
        (TINY, {"features": "vgg"}, "'vgg' can't be used; give one of: pixels, dlib-stages"),
        (TINY, {"schedule": "linear"}, "'linear' can't be used; give one of: constant, cosine"),
        (SMALL, {"identity": 0.0}, "identity = 0.0 can't be used"),
        (SMALL, {"schedule": "linear"}, "'linear' can't be used"),
        (TINY.shape, {"size": 18}, "size = 18 can't be used; give a multiple of 4"),
        (TINY.shape, {"widths": ()}, r"widths = \(\) can't be used; give one width a layer"),
        (TINY.shape, {"widths": (4, 4)}, "give a multiple of 8 first"),
        (TINY.shape, {"kernels": (3, 4)}, r"kernels = \(3, 4\) can't be used; give two odd sides"),
        (TINY.shape, {"encoder": (4, 0)}, "encoder 1 = 0 can't be used"),
    ],
)
def test_a_config_that_can_not_be(config, changes, message):
    with pytest.raises(ParameterError, match=message):
        dataclasses.replace(config, **changes)
