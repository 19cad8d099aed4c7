"""Perceptual path length: generators whose paths have a known length, and the pre-trained one."""

import math

import numpy as np
import pytest
import torch

from facelab.errors import ParameterError
from facelab.generators.generator import Generator, sample_prior
from facelab.metrics import path_length as module
from facelab.metrics.extractors import Extractor
from facelab.metrics.path_length import path_length

LATENTS = 6


class Linear(Generator):
    """A picture of 2 x 2 pixels whose 12 values are a matrix times w; w is `stretch` times z."""

    id, latents, size = "linear", LATENTS, 2

    def __init__(self, prior="normal", stretch=1.0):
        super().__init__()
        self.prior, self.stretch = prior, stretch
        random = torch.Generator().manual_seed(1)
        matrix = torch.randn(12, LATENTS, generator=random, dtype=torch.float64)
        self.matrix = torch.nn.Parameter(matrix)

    def sample_latent(self, count, random):
        return sample_prior(self.prior, count, LATENTS, random)

    def mapping(self, latent):
        return self.stretch * latent

    def synthesis(self, w):
        return (w @ self.matrix.T).unflatten(1, (3, 2, 2)).float()


class Pixels(Extractor):
    """The pixels themselves, in float64."""

    id, features = "pixels", 12

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, images):
        return images.flatten(1).double() * self.one


def measure(generator, **settings):
    random = torch.Generator().manual_seed(0)
    settings = {"paths": 40, "epsilon": 1e-2, **settings}
    return path_length(generator, Pixels(), random=random, **settings)


def drawn_pairs(prior, paths, batch):
    """The latents and positions that `path_length` draws with this seed."""
    random = torch.Generator().manual_seed(0)
    for start in range(0, paths, batch):
        count = min(batch, paths - start)
        ends = sample_prior(prior, 2 * count, LATENTS, random).double().split(count)
        yield *ends, torch.rand(count, generator=random).double()


def test_straight_paths_of_a_linear_generator_have_a_known_length():
    """|A (b - a)|^2 for every path, whatever the position and the step."""
    generator = Linear("uniform")
    lengths = torch.cat(
        [
            ((b - a) @ generator.matrix.T).square().sum(1)
            for a, b, _ in drawn_pairs("uniform", 40, 32)
        ]
    )
    found = measure(generator)
    assert found.mean == pytest.approx(float(lengths.detach().mean()), rel=1e-4)
    assert (found.interpolation, found.space, found.name) == ("linear", "z", "pixels-path-length-z")
    assert measure(generator, sampling="end").mean == pytest.approx(found.mean, rel=1e-4)
    assert measure(generator, epsilon=0.5).mean == pytest.approx(found.mean, rel=1e-5)


def test_arcs_of_a_linear_generator_have_the_length_of_their_derivative():
    """d/dt [sin((1 - t) w) a + sin(t w) b] / sin w = w [cos(t w) b - cos((1 - t) w) a] / sin w."""
    generator = Linear("normal")
    lengths = []
    for a, b, t in drawn_pairs("normal", 40, 32):
        angle = torch.nn.functional.cosine_similarity(a, b, dim=1).acos()
        slope = (t * angle).cos()[:, None] * b - ((1 - t) * angle).cos()[:, None] * a
        slope = (angle / angle.sin())[:, None] * slope
        lengths.append((slope @ generator.matrix.T).square().sum(1).detach())
    found = measure(generator, epsilon=1e-3)
    assert found.mean == pytest.approx(float(torch.cat(lengths).mean()), rel=5e-3)
    assert found.interpolation == "spherical"


def test_the_space_w_is_that_of_the_mapping():
    """Three times as long a latent, nine times the squared length; straight whatever the prior."""
    plain = measure(Linear("normal"), space="w")
    stretched = measure(Linear("normal", stretch=3.0), space="w")
    assert stretched.mean == pytest.approx(9 * plain.mean, rel=1e-4)
    assert plain.interpolation == "linear"
    assert plain.name == "pixels-path-length-w"
    assert plain.mean != pytest.approx(measure(Linear("normal")).mean, rel=0.01)


def test_steps_start_at_the_end_or_anywhere():
    full, end = measure(Linear("normal")), measure(Linear("normal"), sampling="end")
    assert (full.sampling, end.sampling) == ("full", "end")
    assert full.mean != pytest.approx(end.mean, rel=0.01)


def test_the_value_leaves_out_both_ends_and_has_an_interval():
    values = torch.arange(200).double().square()
    kept = module.trimmed(values)
    assert torch.equal(kept, values[1:199])  # percentiles 1 and 99 lie beyond the first and last
    found = measure(Linear("normal"), paths=400)
    assert (found.paths, found.count) == (400, 394)
    assert found.value < found.mean  # lengths are skewed
    assert found.interval.low < found.value < found.interval.high
    few = measure(Linear("normal"), paths=100)
    widths = [f.interval.high - f.interval.low for f in (few, found)]
    assert widths[1] < 0.8 * widths[0]


def test_a_seed_fixes_it_and_progress_is_told():
    done = []
    one = measure(Linear(), batch=16, progress=done.append)
    assert done == [16, 32, 40]
    assert one == measure(Linear(), batch=16)


def test_the_batch_is_no_part_of_the_mean(random):
    """Other batches draw other latents; over many paths the means agree."""
    found = [measure(Linear(), paths=2000, batch=batch) for batch in (500, 1000)]
    width = found[0].interval.high - found[0].interval.low
    assert found[0].mean == pytest.approx(found[1].mean, abs=width)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": "x"}, "'x' is unknown; choose one of: z, w"),
        ({"sampling": "middle"}, "'middle' is unknown; choose one of: full, end"),
        ({"epsilon": 0.0}, "a step of 0.0 on 40 paths"),
        ({"epsilon": 1.0}, "a step of 1.0 on 40 paths"),
        ({"epsilon": math.nan}, "a step of nan"),
        ({"paths": 0}, "on 0 paths"),
    ],
)
def test_unusable_settings_are_named(settings, message):
    # The annotation says so as well, to those who have it checked.
    with pytest.raises(Exception, match=message) as caught:
        module._require(
            **{"space": "z", "sampling": "full", "epsilon": 0.1, "paths": 40, **settings}
        )
    assert caught.type is ParameterError


def test_pictures_that_are_not_finite_are_named():
    generator = Linear()
    generator.matrix.data[0, 0] = math.nan
    with pytest.raises(ParameterError, match="length is not finite"):
        measure(generator)


def test_of_one_path_there_is_a_length():
    found = measure(Linear(), paths=1)
    assert found.value == found.mean > 0
    assert found.interval is None


def test_on_the_pretrained_generator_the_step_is_small_enough():
    """Ten times as large, it gives nearly the same; the kinks of the networks make the rest."""
    from facelab.generators import dcgan
    from facelab.metrics.extractors import extractor

    generator, dlib = dcgan.pretrained(), extractor("dlib")
    random = torch.Generator().manual_seed(0)
    found = path_length(generator, dlib, random=random, paths=12, batch=12)
    assert found.name == "dlib-path-length-z"
    assert found.interpolation == "spherical"
    random = torch.Generator().manual_seed(0)
    coarse = path_length(generator, dlib, random=random, paths=12, batch=12, epsilon=1e-3)
    assert found.mean == pytest.approx(coarse.mean, rel=0.05)
    assert np.isfinite(found.value)
    assert found.value > 10
