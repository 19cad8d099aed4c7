"""Numbers of records know the intervals beside them, and lose them when something is computed."""

import json

import pytest

from facelab.book import measured
from facelab.book.measured import Measured

BETWEEN = {"low": 0.25, "high": 0.75, "confidence": 0.95}
# A record, the names that lead to the number, its interval.
FORMS = {
    "of a value": ({"value": 0.5, "interval": BETWEEN}, ["value"], (0.25, 0.75)),
    "of a mean": ({"mean": 1, "interval": [0, 2]}, ["mean"], (0.0, 2.0)),
    "by its name": ({"auc": 0.5, "auc_interval": BETWEEN}, ["auc"], (0.25, 0.75)),
    "among others": (
        {"row": {"auc": 0.5, "intervals": {"auc": [0.4, 0.6]}}},
        ["row", "auc"],
        (0.4, 0.6),
    ),
    "after it": ({"crossing": 0.5, "interval of that": [0.4, 0.6]}, ["crossing"], (0.4, 0.6)),
}


def read(tmp_path, record):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    return measured.read(path)


@pytest.mark.parametrize(("record", "names", "bounds"), FORMS.values(), ids=FORMS)
def test_an_interval_comes_along(tmp_path, record, names, bounds):
    found, plain = read(tmp_path, record), record
    assert found == record
    for name in names:
        found, plain = found[name], plain[name]
    assert found == plain
    assert (found.low, found.high, found.seeds) == (*bounds, False)


# Numbers that have no interval, though there is one near.
NONE = {
    "null": ({"mean": 0.5, "interval": None}, "mean"),
    "of another": ({"faces": 500, "value": 0.5, "interval": BETWEEN}, "faces"),
    "one of many": ({"mean": 0.5, "interval": [[0, 1], [0, 1]]}, "mean"),
    "true": ({"value": True, "interval": BETWEEN}, "value"),
    "of one seed": ({"mean": 0.5, "interval": None, "least": 0.5, "most": 0.5}, "mean"),
    "alone": ({"value": 0.5}, "value"),
}


@pytest.mark.parametrize(("record", "name"), NONE.values(), ids=NONE)
def test_no_interval_is_invented(tmp_path, record, name):
    assert not isinstance(read(tmp_path, record)[name], Measured)


def test_few_seeds_have_extremes(tmp_path):
    found = read(tmp_path, {"mean": 0.5, "interval": None, "least": 0.4, "most": 0.7})["mean"]
    assert (found.low, found.high, found.seeds) == (0.4, 0.7, True)
    whole = {"mean": 0.5, "interval": [0.1, 0.9], "least": 0.4, "most": 0.7}
    assert not read(tmp_path, whole)["mean"].seeds


def test_what_is_computed_has_none(tmp_path):
    found = read(tmp_path, {"value": 0.5, "interval": BETWEEN})["value"]
    assert type(1 - found) is float
    assert max(found, 0.1) is found
