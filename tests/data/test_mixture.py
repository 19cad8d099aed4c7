"""Some people of a dataset, datasets as one, people held out, and faces that are in two sets."""

import dataclasses

import pytest

from facelab.data.mixture import (
    ChosenPeople,
    Mixture,
    Repeated,
    common_faces,
    hold_out,
    share_of_people,
)
from facelab.errors import DatasetError, ParameterError


def levels(batch):
    return ((batch.images[:, 0, 0, 0] + 1) * 255 / 2).round().int().tolist()


def test_chosen_people_keep_their_faces_under_new_numbers(numbers):
    source = numbers(23)  # face i is of person i % 5 and of level i
    chosen = ChosenPeople(source, [3, 1])
    assert (chosen.people, len(chosen)) == (2, 9)
    assert levels(chosen.batch(chosen.of_person(0))) == [3, 8, 13, 18]
    assert levels(chosen.batch(chosen.of_person(1))) == [1, 6, 11, 16, 21]
    batch = chosen.batch([8, 0, -1])
    assert levels(batch) == [21, 1, 21]
    assert batch.identity.tolist() == chosen.identity[[8, 0, 8]].tolist()
    assert ChosenPeople(source, [1, 3]).config_hash != chosen.config_hash


def test_nobody_of_one_part_is_anybody_of_another(numbers):
    whole, part = numbers(12), ChosenPeople(numbers(200, seed=1), [4])
    mixed = Mixture(whole, part, whole)
    assert (mixed.people, mixed.first, len(mixed)) == (11, (0, 5, 6), 12 + 40 + 12)
    owners = {int(person): set() for person in range(11)}
    for face in range(len(mixed)):
        owner = 0 if face < 12 else 1 if face < 52 else 2
        owners[int(mixed.identity[face])].add(owner)
    assert [len(found) for found in owners.values()] == [1] * 11
    batch = mixed.batch([63, 0, 12, 51, 52])
    assert levels(batch) == [11, 0, 4, 199, 0]
    assert batch.identity.tolist() == [6 + 1, 0, 5, 5, 6]
    assert not batch.labels


def test_attributes_are_kept_where_all_parts_have_the_same(numbers):
    whole, part = numbers(12), ChosenPeople(numbers(200, seed=1), [4])
    mixed = Mixture(whole, Repeated(part, 2), whole)
    assert mixed.attribute_names == ("Odd",)
    batch = mixed.batch([103, 0, 12, 51, 52, 92])
    assert levels(batch) == [11, 0, 4, 199, 4, 0]
    assert batch.attributes.tolist() == [[True], [False], [False], [True], [False], [False]]


@pytest.mark.parametrize("names", [(), ("Even",), ("Odd", "Even"), ("Even", "Odd")])
def test_attributes_are_dropped_where_a_part_has_others(numbers, names):
    first, other = numbers(6), numbers(6, seed=1)
    other.attribute_names = names
    for mixed in (Mixture(first, other), Mixture(other, first)):
        assert mixed.attribute_names == ()
        batch = mixed.batch([11, 0, 7])
        assert batch.attributes is None
        assert levels(batch) == [5, 0, 1]
    with pytest.raises(ParameterError, match=r"numbers\+numbers has no attribute 'Odd'; it has: n"):
        Mixture(first, other).attribute("Odd")
    assert Mixture(other, other).attribute_names == names


def test_a_part_without_the_attributes_that_it_names_is_told(numbers):
    first, other = numbers(6), numbers(6, seed=1)
    whole = other.batch
    other.batch = lambda indices: dataclasses.replace(whole(indices), attributes=None)
    mixed = Mixture(first, other)
    assert mixed.batch([0, 3]).attributes is not None
    with pytest.raises(DatasetError, match=r"a part of .* names attributes, but its faces"):
        mixed.batch([0, 7])


def test_chosen_people_keep_their_attributes(numbers):
    chosen = ChosenPeople(numbers(23), [3, 1])
    assert chosen.attribute_names == ("Odd",)
    batch = chosen.batch([8, 1, 0, 3])
    assert levels(batch) == [21, 3, 1, 8]
    assert batch.attributes.tolist() == [[True], [True], [True], [False]]
    assert not batch.labels


def test_what_is_repeated_is_the_same_people_more_often(numbers):
    source = numbers(7)
    often = Repeated(source, 3)
    assert (often.people, len(often)) == (5, 21)
    assert levels(often.batch([0, 7, 20, -1])) == [0, 0, 6, 6]
    assert often.identity.tolist() == source.identity.tolist() * 3
    assert often.batch([8]).identity.tolist() == [1]
    assert often.config_hash != Repeated(source, 2).config_hash
    with pytest.raises(ParameterError, match="numbers can't be had 0 times"):
        Repeated(source, 0)


def test_shares_of_one_seed_are_nested_and_seeds_differ(numbers):
    source = numbers(50)
    few, most, everybody = (share_of_people(source, share, 3) for share in (0.4, 0.8, 1.0))
    assert (few.people, most.people, everybody.people) == (2, 4, 5)
    assert set(few.chosen) < set(most.chosen) < set(everybody.chosen)
    assert few.chosen == share_of_people(source, 0.4, 3).chosen
    assert len({share_of_people(source, 0.4, seed).chosen for seed in range(8)}) > 2
    assert share_of_people(source, 0.01, 3).people == 1


def test_who_is_held_out_has_two_faces_and_is_nowhere_else(numbers):
    source = numbers(8)  # persons 0, 1, 2 have two faces, 3 and 4 one
    rest, out = hold_out(source, 2, seed=1)
    assert set(out.chosen) < {0, 1, 2}
    assert sorted((*rest.chosen, *out.chosen)) == [0, 1, 2, 3, 4]
    assert common_faces(rest, out) == []
    assert len({hold_out(source, 1, seed)[1].chosen for seed in range(12)}) == 3
    with pytest.raises(ParameterError, match="4 people can't be held out of numbers, which has 5"):
        hold_out(source, 4)
    with pytest.raises(ParameterError, match="0 people can't be held out"):
        hold_out(source, 0)


def test_a_face_in_two_sets_is_found(numbers):
    source = numbers(300)  # levels repeat after 256
    first, second = ChosenPeople(source, [0]), ChosenPeople(source, [1])
    # Person 0 has levels 0, 5 ... 255, then 4, 9 ...; person 1 has 1, 6 ... 251, then 0, 5 ...
    found = common_faces(first, second)
    assert found
    assert all(levels(first.batch([a])) == levels(second.batch([b])) for a, b in found)
    twins = [b for b in range(len(second)) if levels(second.batch([b]))[0] % 5 == 0]
    assert [b for _, b in found] == twins
    small = numbers(10)
    assert common_faces(ChosenPeople(small, [0]), ChosenPeople(small, [1])) == []


def test_what_does_not_fit_is_named(numbers):
    source = numbers(10)
    for people in ([], [1, 1], [5], [-1]):
        with pytest.raises(ParameterError, match="give numbers from 0 to 4, each once"):
            ChosenPeople(source, people)
    for share in (0.0, 1.1, float("nan")):
        with pytest.raises(ParameterError, match="give one above 0"):
            share_of_people(source, share, 0)
    other = numbers(10)
    other.size = 8
    with pytest.raises(DatasetError, match="faces of 8 pixels, numbers of 4"):
        Mixture(source, other)
    with pytest.raises(ParameterError, match="a mixture of nothing"):
        Mixture()
    with pytest.raises(ParameterError, match="there is no number 10"):
        Mixture(source).batch([10])
