import itertools

import pytest
import torch

from facelab.errors import ParameterError
from facelab.metrics import paired
from facelab.metrics.paired import compare, mean_interval


def exact_p_less(differences: list[float]) -> float:
    """Wilcoxon's test as he wrote it: all signs of the ranks are equally likely."""
    order = sorted(range(len(differences)), key=lambda i: abs(differences[i]))
    rank = {row: place + 1 for place, row in enumerate(order)}
    found = sum(rank[i] for i, d in enumerate(differences) if d > 0)
    sums = [
        sum(place + 1 for place, positive in enumerate(signs) if positive)
        for signs in itertools.product((False, True), repeat=len(differences))
    ]
    return sum(total <= found for total in sums) / len(sums)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_p_value_equals_the_count_over_all_signs():
    first = torch.tensor([1.0, 2.0, 5.0, 1.5, 0.2, 3.0, 2.2, 9.0])
    second = torch.tensor([2.1, 2.4, 4.1, 3.9, 1.9, 4.3, 2.9, 8.5])
    found = compare(first, second, seeded())
    assert found.p_less == pytest.approx(exact_p_less((first - second).tolist()), abs=1e-9)
    assert found.difference == pytest.approx(float((first - second).mean()))
    assert found.things == 8


def test_sides_are_not_confused():
    low, high = torch.arange(10.0), torch.arange(10.0) + 1 + torch.arange(10.0) / 10
    assert compare(low, high, seeded()).p_less == pytest.approx(1 / 1024)
    assert compare(high, low, seeded()).p_less == pytest.approx(1.0)


def test_no_difference_is_no_evidence():
    same = torch.ones(6)
    found = compare(same, same.clone(), seeded())
    assert (found.difference, found.p_less) == (0.0, 1.0)


def test_the_interval_covers_the_mean_and_narrows_as_the_root_of_the_number():
    random = seeded()
    few, many = torch.randn(50, generator=random), torch.randn(5000, generator=random)
    wide, narrow = mean_interval(few, random), mean_interval(many, random)
    assert wide.low < float(few.mean()) < wide.high
    assert 6 < (wide.high - wide.low) / (narrow.high - narrow.low) < 16


def test_too_few_things():
    assert mean_interval(torch.ones(4), seeded()) is None
    with pytest.raises(ParameterError, match="can't be paired"):
        compare(torch.ones(1), torch.ones(1), seeded())
    with pytest.raises(ParameterError, match="3 and 2 values"):
        compare(torch.ones(3), torch.ones(2), seeded())


def test_a_persons_rows_are_averaged_before_people_are_compared():
    people = torch.tensor([7, 7, 2, 2, 2])
    first = {"a": torch.tensor([1.0, 3.0, 6.0, 6.0, 9.0]), "only": torch.zeros(5)}
    second = {"a": torch.zeros(5), "b": torch.zeros(5)}
    assert paired.per_person(first["a"], people).tolist() == [7, 2]
    told = paired.compare_people(
        first, second, people, torch.Generator().manual_seed(0), {"a": "px"}
    )
    assert set(told) == {"a"}
    assert (told["a"]["unit"], told["a"]["things"]) == ("px", 2)
    assert told["a"]["difference"] == pytest.approx(4.5)
    first["a"][0] = torch.inf
    told = paired.compare_people(first, second, people, torch.Generator(), {"a": "px"})
    assert told == {"a": None}
