"""Vector arithmetic: closed forms on a linear generator, and vectors that are made once."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from facelab.errors import ParameterError
from facelab.methods.ganid import arithmetic
from facelab.methods.ganid.arithmetic import (
    FEWEST,
    Labelled,
    attribute_vector,
    balanced_vector,
    confident,
    edit,
    label_sheet,
    orthogonalised,
    sample_labels,
    vectors_for,
)
from facelab.methods.ganid.attributes import Attribute, Measure


@pytest.fixture
def labelled(stripes, first):
    return sample_labels(stripes, 4000, attributes=[first])


def test_labels_are_those_of_the_faces(stripes, labelled, tolerance):
    assert labelled.latents.shape == (4000, 6)
    torch.testing.assert_close(labelled.scores["first"], labelled.latents[:, 0],
                               **tolerance[torch.float32])  # fmt: skip
    with_it, without = labelled.counts("first")
    assert with_it + without == 4000
    assert with_it == int((labelled.latents[:, 0] > 0).sum())


def test_samples_follow_from_the_seed(stripes, first):
    drawn = [sample_labels(stripes, 40, seed, [first]).latents for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_progress_is_told(stripes, first):
    told = []
    sample_labels(stripes, 250, attributes=[first], progress=told.append)
    assert told == [100, 200, 250]


def test_a_known_direction_is_found(labelled):
    """A tenth of a normal distribution at each end lies on average phi(q) / 0.1 from the middle."""
    vector = attribute_vector(labelled.latents, labelled.scores["first"])
    quantile = torch.distributions.Normal(0, 1).icdf(torch.tensor(0.9))
    density = math.exp(-(float(quantile) ** 2) / 2) / math.sqrt(2 * math.pi)
    assert float(vector[0]) == pytest.approx(2 * density / 0.1, rel=0.03)
    # The others are noise: the mean of 400 less that of 400 has a standard deviation of 0.07.
    assert float(vector[1:].abs().max()) < 4 * math.sqrt(2 / 400)


def test_the_surest_are_taken_and_only_from_their_side():
    scores = torch.arange(-900.0, 100.0)
    with_it, without = confident(scores)
    assert with_it.tolist() == list(range(999, 900, -1))  # 99 faces above 0, not 100
    assert without.tolist() == list(range(100))
    for sign, words in ((1, "with"), (-1, "without")):
        few = -torch.ones(1000)
        few[:3] = 1
        with pytest.raises(ParameterError, match=f"only 3 of 1,000 faces are labelled {words} "):
            confident(sign * few)


def test_balanced_sides_come_from_every_fifth_alike():
    """Faces with the attribute are the brighter ones; in each fifth both sides are found."""
    brightness = torch.arange(1000.0)
    scores = torch.where(torch.arange(1000) % 2 == 0, 1.0, -1.0) * (1 + brightness)
    with_it, without = confident(scores, balance=brightness)
    assert (with_it % 2 == 0).all()
    assert (without % 2 == 1).all()
    for side in (with_it, without):
        assert (side // 200).bincount().tolist() == [20] * 5
        assert (scores[side].abs().diff() <= 0).all()  # the surest first
    plain, _ = confident(scores)
    assert int(plain.min()) >= 800


def test_a_balanced_vector_leaves_the_brightness(random):
    """The label follows number 0 and, as much, the brightness, which is number 1."""
    latents = torch.randn(20_000, 4, generator=random)
    scores = latents[:, 0] + latents[:, 1]
    labelled = Labelled(latents, {"mixed": scores, "brightness": latents[:, 1]}, latents[:, 1])
    plain, balanced = attribute_vector(latents, scores), balanced_vector(labelled, "mixed")
    assert float(plain[1] / plain[0]) == pytest.approx(1, abs=0.05)
    assert abs(float(balanced[1] / balanced[0])) < 0.2
    own = balanced_vector(labelled, "brightness")
    assert torch.equal(own, attribute_vector(latents, labelled.scores["brightness"]))


def test_means_of_few_are_drawn_at_random_from_the_surest(labelled, random):
    scores = labelled.scores["first"]
    with_it, without = (labelled.latents[rows] for rows in confident(scores))
    one = attribute_vector(labelled.latents, scores, 1, random)
    differences = with_it[:, None] - without[None]
    assert (differences - one).abs().sum(2).min() < 1e-5
    other = attribute_vector(labelled.latents, scores, 1, random)
    assert not torch.equal(one, other)
    whole = attribute_vector(labelled.latents, scores, len(with_it), random)
    torch.testing.assert_close(whole, attribute_vector(labelled.latents, scores))


@pytest.mark.parametrize("count", [0, 401])
def test_more_than_there_are_can_not_be_drawn(labelled, random, count):
    with pytest.raises(ParameterError, match=rf"{count} of 400 samples a side can't be drawn"):
        attribute_vector(labelled.latents, labelled.scores["first"], count, random)


def test_a_count_needs_a_random_stream(labelled):
    with pytest.raises(ParameterError, match="a random stream"):
        attribute_vector(labelled.latents, labelled.scores["first"], 3)


def test_too_few_samples_are_refused(stripes, first):
    with pytest.raises(ParameterError, match=f"draw at least {2 * FEWEST}"):
        sample_labels(stripes, 2 * FEWEST - 1, attributes=[first])


def test_orthogonal_vectors_against_least_squares(random):
    vectors = {name: torch.randn(12, generator=random) for name in "abcd"}
    vectors["b"] = vectors["b"] + 0.8 * vectors["a"]
    found = orthogonalised(vectors)
    for name, vector in vectors.items():
        others = np.stack([v.double().numpy() for k, v in vectors.items() if k != name], axis=1)
        fit, *_ = np.linalg.lstsq(others, vector.double().numpy(), rcond=None)
        expected = vector.double().numpy() - others @ fit
        np.testing.assert_allclose(found[name].numpy(), expected, atol=1e-5)
        assert np.abs(others.T @ found[name].double().numpy()).max() < 1e-5
        assert found[name].norm() < vector.norm()


def test_one_vector_and_orthogonal_ones_stay(random):
    one = torch.randn(5, generator=random)
    assert torch.equal(orthogonalised({"a": one})["a"], one)
    axes = dict(zip("abc", torch.eye(3), strict=True))
    for name, vector in orthogonalised(axes).items():
        torch.testing.assert_close(vector, axes[name])


def test_nothing_is_left_of_a_vector_in_the_span_of_others(random):
    a, b = torch.randn(2, 5, generator=random)
    with pytest.raises(ParameterError, match="nothing of 'a' is left"):
        orthogonalised({"a": a, "b": b, "c": a - 2 * b})


def test_an_edit_and_its_inverse(random):
    latent, vector = torch.randn(3, 6, generator=random), torch.randn(6, generator=random)
    edited = edit(latent, vector, 1.5)
    torch.testing.assert_close(edited - latent, (1.5 * vector).expand(3, -1))
    torch.testing.assert_close(edit(edited, vector, -1.5), latent)
    assert torch.equal(edit(latent, vector, 0.0), latent)


def test_the_sheet_has_the_surest_first(stripes, labelled):
    sheet = label_sheet(stripes, labelled, ["first"], count=5)
    assert sheet.shape == (1, 3, 2 * 64 + 2, 5 * 64 + 4 * 2)
    tops = [float(sheet[0, 0, 5, 66 * i + 32]) for i in range(5)]
    bottoms = [float(sheet[0, 0, 66 + 5, 66 * i + 32]) for i in range(5)]
    assert tops == sorted(tops, reverse=True)
    assert bottoms == sorted(bottoms)
    assert tops[0] == pytest.approx(0.1 * float(labelled.latents[:, 0].max()))


# --- kept vectors --------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """A cache of its own, and for what samples were drawn, each time."""
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path))
    times, real = [], arithmetic.sample_labels

    def counted(*arguments):
        times.append([attribute.name for attribute in arguments[3]])
        return real(*arguments)

    monkeypatch.setattr(arithmetic, "sample_labels", counted)
    return times


def test_vectors_are_made_once(stripes, first, drawn):
    made = vectors_for(stripes, 200, attributes=[first])
    again = vectors_for(stripes, 200, attributes=[first])
    assert drawn == [["first"]]
    assert torch.equal(made["first"], again["first"])
    labelled = sample_labels(stripes, 200, attributes=[first])
    assert torch.equal(made["first"], balanced_vector(labelled, "first"))


def test_only_what_is_missing_is_made(stripes, first, drawn):
    alone = vectors_for(stripes, 200, attributes=[first])
    second = replace(first.reversed(), name="second", label=Measure("other", first.label.of))
    both = vectors_for(stripes, 200, attributes=[first, second])
    assert drawn == [["first"], ["second"]]
    assert torch.equal(both["first"], alone["first"])
    assert torch.equal(both["second"], both["first"])  # the same label of the same samples


def test_what_they_follow_from_finds_them_again(stripes, first, drawn, monkeypatch, tmp_path):
    vectors_for(stripes, 200, attributes=[first])
    vectors_for(stripes, 220, attributes=[first])
    vectors_for(stripes, 200, seed=1, attributes=[first])
    other = replace(first, label=replace(first.label, by="another"))
    vectors_for(stripes, 200, attributes=[other])
    stripes.gain.mul_(2)
    vectors_for(stripes, 200, attributes=[first])
    readers = tmp_path / "models"
    readers.mkdir()
    for name in arithmetic.LABELLERS:
        (readers / name).write_bytes(b"another reader")
    monkeypatch.setattr(arithmetic, "MODELS", readers)
    vectors_for(stripes, 200, attributes=[first])
    assert len(drawn) == 6


def test_a_damaged_file_is_made_again(stripes, first, drawn, tmp_path):
    made = vectors_for(stripes, 200, attributes=[first])
    (path,) = (tmp_path / "ganid").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-4])
    again = vectors_for(stripes, 200, attributes=[first])
    assert len(drawn) == 2
    assert torch.equal(made["first"], again["first"])


def test_an_attribute_that_all_faces_have_is_left_out(stripes, first, drawn):
    yes = Measure("yes to all", lambda reading: 1 + 0 * reading.faces[:, 0, 0, 0])
    always = Attribute("always", "it is", "it is not", yes, first.judge)
    for _ in range(2):
        assert list(vectors_for(stripes, 100, attributes=[first, always])) == ["first"]
    assert len(drawn) == 1
