"""Verdicts follow the records, and could have been others."""

import copy

import pytest

from facelab.methods.ganid import claims
from facelab.methods.ganid.attributes import find
from facelab.verdicts import Verdict, said

LIMIT = 0.78


def a_property(embedder, crossing, sign, amplitude):
    return {
        "generator": "g",
        "embedder": embedder,
        "noise reaches the threshold at": crossing,
        "sign": {"share same person": [sign]},
        "amplitude": {"share same person": amplitude},
    }


def an_edit(rate, distance, spread):
    sweep = {
        "strengths": [0.5, 1.0, 2.0],
        "changed": [{"mean": 0.1}, {"mean": rate}, {"mean": 1.0}],
        "distance, faceres": [0.1, distance, 2.0],
    }
    key = "changed, standard deviation"
    return lambda name: {
        find(name).meaning: {"raw": sweep},
        "averaging": [{key: 0.2}, {key: 9.0}, {key: spread}],
    }


@pytest.fixture
def records():
    properties = {
        "rows": [
            a_property("dlib", None, 0.95, [0.92, 1.0]),
            a_property("faceres", 0.7, 0.91, [0.95, 1.0]),
            {**a_property("dlib", 0.0, 0.0, [0.0]), "generator": "another"},
        ]
    }
    real = {"dlib": {"same": {"largest": 0.2}}}
    searches = {
        "generator": "g",
        "embedder": "dlib",
        "unseen": "faceres",
        "people": ["a"] * 20,
        "references": {"rendered": {"dlib": {"same": {"largest": 0.1}}}, "photograph": real},
        "searches": {
            "rows": {
                "greedy, corrected": {
                    "all": {"searched": {"mean": 0.15}, "same person by the unseen embedder": 18}
                }
            }
        },
        "universal": [
            {
                "generator": "g",
                "embedder": who,
                "random": {"distance": {"mean": 0.2}},
                "greedy": {"distance": {"mean": 0.1}},
            }
            for who in ("dlib", "faceres")
        ],
    }
    edits = {
        "identity": {"faceres": {"same person below": LIMIT}},
        "attributes": {name: an_edit(0.8, 0.7, 0.1)(name) for name in claims.SHOWN},
    }
    return properties, searches, edits


def told(records) -> dict[str, str]:
    return {v.claim: v.said for v in claims.verdicts(*records)}


def test_all_claims_of_the_chapter_are_judged(records):
    assert set(told(records).values()) == {"reproduced"}
    assert len(told(records)) == 7


def test_figures_come_with_their_meaning(records):
    search = next(v for v in claims.verdicts(*records) if v.claim == "ganid.search")
    assert search.figures == {
        "mean distance, dlib": 0.15,
        "largest of real pairs": 0.2,
        "people whom faceres accepts": 0.9,
    }
    assert search.told() == (
        "mean distance, dlib: 0.15; largest of real pairs: 0.2; people whom faceres accepts: 0.9"
    )
    assert Verdict("x", {"a": None}, said(False)).told() == "a: never"


def changed(records, number, change):
    found = copy.deepcopy(records)
    change(found[number])
    return told(found)


@pytest.mark.parametrize(
    ("number", "claim", "change", "expected"),
    [
        (0, "property_noise",
         lambda r: r["rows"][1].update({"noise reaches the threshold at": 0.5}),
         "partly reproduced"),
        (0, "property_noise",
         lambda r: [row.update({"noise reaches the threshold at": 0.1}) for row in r["rows"]],
         "not reproduced"),
        (0, "property_sign", lambda r: r["rows"][1]["sign"].update({"share same person": [0.6]}),
         "partly reproduced"),
        (0, "property_amplitude",
         lambda r: r["rows"][0]["amplitude"].update({"share same person": [1.0, 0.3]}),
         "not reproduced"),
        (1, "search",
         lambda r: r["searches"]["rows"]["greedy, corrected"]["all"].update(
             {"same person by the unseen embedder": 17}), "partly reproduced"),
        (1, "search",
         lambda r: r["searches"]["rows"]["greedy, corrected"]["all"].update(
             {"searched": {"mean": 0.2}}), "not reproduced"),
        (1, "universal", lambda r: r["universal"][0]["greedy"]["distance"].update({"mean": 0.2}),
         "partly reproduced"),
        (2, "arithmetic", lambda r: r["attributes"].update(mouth=an_edit(0.7, 0.1, 0.1)("mouth")),
         "partly reproduced"),
        (2, "arithmetic",
         lambda r: r["attributes"].update(mouth=an_edit(0.9, LIMIT, 0.1)("mouth")),
         "partly reproduced"),
        (2, "averaging", lambda r: r["attributes"].update(mouth=an_edit(0.9, 0.1, 0.2)("mouth")),
         "partly reproduced"),
    ],
)  # fmt: skip
def test_a_verdict_can_be_another(records, number, claim, change, expected):
    found = changed(records, number, change)
    assert found.pop(f"ganid.{claim}") == expected
    assert set(found.values()) == {"reproduced"}


def pairs(near, far, same=0.1, different=0.2):
    return {
        "test": {"dlib": {"AUC": 0.9, "mean of the same": same, "mean of different": different}},
        "photographs": {"dlib": {"a, a2": 0.05, "a, a3": near, "a, b": far, "a3, b": 0.5}},
    }


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (pairs(0.1, 0.3), "reproduced"),
        (pairs(0.3, 0.1), "partly reproduced"),
        (pairs(0.3, 0.1, same=0.2, different=0.1), "not reproduced"),
    ],
)
def test_table_1_compares_the_worst_pairs_of_photographs(record, expected):
    verdict = claims.of_table1(record)
    assert (verdict.claim, verdict.said) == ("ganid.table1", expected)
    photographs = record["photographs"]["dlib"]
    assert verdict.figures["photographs, farthest of one person"] == photographs["a, a3"]
    assert verdict.figures["photographs, closest of two"] == photographs["a, b"]
