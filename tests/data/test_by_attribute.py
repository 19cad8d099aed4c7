"""Faces without an attribute beside faces with it: who is where, who is met, and bad data."""

import dataclasses

import pytest
import torch
from torch.utils.data import DataLoader

from facelab.data.base import collate
from facelab.data.by_attribute import GUIDED, ByAttribute, has_attribute
from facelab.data.mixture import ChosenPeople, Mixture
from facelab.errors import DatasetError, ParameterError


def levels(images):
    return ((images[:, 0, 0, 0] + 1) * 255 / 2).round().int().tolist()


@pytest.fixture
def uneven(numbers):
    """Makes faces of which the first `few` have the attribute."""

    class Uneven(numbers):
        def __init__(self, count, few):
            super().__init__(count)
            self.few = few

        def batch(self, indices):
            batch = super().batch(indices)
            has = (batch.labels["number"] < self.few)[:, None]
            return dataclasses.replace(batch, attributes=has)

    return Uneven


def test_inputs_lack_the_attribute_and_the_guided_set_has_it(numbers):
    source = numbers(10)  # face i is of person i % 5 and of level i; odd ones have "Odd"
    data = ByAttribute(source, "Odd")
    assert data.rows.tolist() == [0, 2, 4, 6, 8]
    assert data.guided_rows.tolist() == [1, 3, 5, 7, 9]
    batch = data.batch([0, 3, -1, 3])
    assert levels(batch.images) == [0, 6, 8, 6]
    # The twin: place i has the guided face number (7919 i + 13) mod 5.
    assert levels(batch.labels[GUIDED]) == [7, 1, 9, 1]
    assert batch.identity.tolist() == [0, 1, 3, 1] == data.identity[[0, 3, 4, 3]].tolist()
    assert batch.attributes.tolist() == [[False]] * 4
    assert batch.labels["number"].tolist() == [0, 6, 8, 6], "what the inputs had they keep"


def test_the_other_way_about(numbers):
    data = ByAttribute(numbers(10), "Odd", to=False)
    assert levels(data.batch(range(5)).images) == [1, 3, 5, 7, 9]
    assert sorted(levels(data.batch(range(5)).labels[GUIDED])) == [0, 2, 4, 6, 8]
    assert data.batch([2]).attributes.tolist() == [[True]]


@pytest.mark.parametrize(("count", "few"), [(20, 3), (20, 17), (20, 10), (7, 1), (7, 6)])
@pytest.mark.parametrize("to", [True, False])
def test_an_epoch_meets_both_sets_in_full(uneven, count, few, to):
    data = ByAttribute(uneven(count, few), "Odd", to)
    assert len(data) == len(data.identity) == max(few, count - few)
    batch = data.batch(range(len(data)))
    having, lacking = set(range(few)), set(range(few, count))
    guided, inputs = (having, lacking) if to else (lacking, having)
    assert set(levels(batch.images)) == inputs
    assert set(levels(batch.labels[GUIDED])) == guided
    assert batch.identity.tolist() == data.identity.tolist()


@pytest.mark.parametrize("guided", [7919, 2 * 7919])
def test_no_length_of_the_guided_set_leaves_faces_out(uneven, guided):
    source = uneven(guided + 1, guided)
    data = ByAttribute(source, "Odd")
    data.batch(range(guided))
    assert sorted(source.calls[-1]) == list(range(guided))


def test_who_stands_beside_whom_follows_from_the_place_alone(numbers):
    whole = ByAttribute(numbers(40), "Odd").batch(range(20))
    some = ByAttribute(numbers(40), "Odd").batch([17, 4, 4])
    assert torch.equal(some.labels[GUIDED], whole.labels[GUIDED][[17, 4, 4]])
    assert levels(whole.labels[GUIDED]) == [2 * ((7919 * i + 13) % 20) + 1 for i in range(20)]


def test_it_says_what_it_is_made_of(numbers):
    source = numbers(10)
    data, back = ByAttribute(source, "Odd"), ByAttribute(source, "Odd", to=False)
    assert (data.id, back.id) == ("numbers:to:Odd", "numbers:to:no-Odd")
    assert (data.size, data.split, data.people) == (4, "train", 5)
    assert data.attribute_names == ("Odd",)
    assert data.config() == {
        "recipe": "by-attribute-1", "of": source.config(), "attribute": "Odd", "to": True,
    }  # fmt: skip
    hashes = {d.config_hash for d in (data, back, source, ByAttribute(numbers(12), "Odd"))}
    assert len(hashes) == 4


def test_a_loader_keeps_the_sets_side_by_side(numbers):
    data = ByAttribute(numbers(12), "Odd")
    loaded = collate(list(DataLoader(data, batch_size=4, collate_fn=collate)))
    assert levels(loaded.images) == [0, 2, 4, 6, 8, 10]
    assert torch.equal(loaded.labels[GUIDED], data.batch(range(6)).labels[GUIDED])


def test_datasets_of_datasets_can_be_parted_too(numbers):
    mixed = Mixture(ChosenPeople(numbers(20), [0, 1]), numbers(6))
    data = ByAttribute(mixed, "Odd")
    assert (data.people, data.id) == (7, "numbers+numbers:to:Odd")
    assert levels(data.batch(range(len(data))).images) == [0, 6, 10, 16, 0, 2, 4]
    assert set(levels(data.batch(range(len(data))).labels[GUIDED])) == {1, 5, 11, 15, 3}


# --- has_attribute -------------------------------------------------------------------------------


def test_labels_are_read_without_drawing_where_that_can_be(faces, drawn, monkeypatch):
    column = faces.attribute("Male")
    monkeypatch.setattr(type(faces), "batch", lambda *a: pytest.fail("a face was drawn"))
    found = has_attribute(faces, "Male")
    assert torch.equal(found, drawn.attributes[:, column])
    assert found.any()
    assert not found.all()


def test_many_faces_are_read_in_parts(numbers):
    source = numbers(600)
    found = has_attribute(source, "Odd")
    assert torch.equal(found, torch.arange(600) % 2 == 1)
    assert [len(call) for call in source.calls] == [256, 256, 88]


# --- bad data ------------------------------------------------------------------------------------


def test_an_attribute_that_there_is_not_is_named(numbers):
    with pytest.raises(ParameterError, match="numbers has no attribute 'Young'; it has: Odd"):
        ByAttribute(numbers(4), "Young")


@pytest.mark.parametrize(
    ("few", "message"),
    [
        (0, "none of the 2,000 faces of numbers have Odd, so there is no guided set"),
        (2000, "all of the 2,000 faces of numbers have Odd, so there is no guided set"),
    ],
)
@pytest.mark.parametrize("to", [True, False])
def test_labels_of_one_class_are_refused(uneven, few, message, to):
    with pytest.raises(DatasetError, match=message):
        ByAttribute(uneven(2000, few), "Odd", to)


def test_labels_that_are_missing_are_refused(numbers):
    class Bare(numbers):
        def batch(self, indices):
            return dataclasses.replace(super().batch(indices), attributes=None)

    with pytest.raises(DatasetError, match="numbers names attributes, but its faces come without"):
        ByAttribute(Bare(4), "Odd")


def test_a_face_that_there_is_not_is_refused(numbers):
    with pytest.raises(ParameterError, match="numbers:to:Odd has 5 faces, there is no number 5"):
        ByAttribute(numbers(10), "Odd").batch([5])
