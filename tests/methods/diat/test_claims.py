"""Verdicts follow the records, and could have been others."""

import copy
import json
import tomllib
from pathlib import Path

import pytest

import facelab.book
from facelab.methods.diat import claims
from facelab.methods.diat.tasks import TASKS
from facelab.methods.diat.variants import VARIANTS

SEEDS = ("0", "1", "2")  # as JSON has them
WHOLLY, PARTLY, NOT = "reproduced", "partly reproduced", "not reproduced"


def estimate(value, half_width=0.05):
    span = {"low": value - half_width, "high": value + half_width}
    return {"unit": "one", "value": value, "interval": span}


def a_transfer(accepted=0.8, before=0.1, share=0.3, **more):
    """A row of a shipped transfer, or of generated faces."""
    return {
        claims.ACCEPTED: estimate(accepted),
        claims.BEFORE: estimate(before),
        claims.STRANGERS: estimate(share),
        claims.OUTSIDE: estimate(0.02),
        claims.IDENTITY: estimate(0.35),
        "re-rendering": {claims.IDENTITY: estimate(0.04)},
        **more,
    }


NUMBERS = {
    # accepted, identity distance, share, change outside, artefacts, colour error, kernel distance
    "diat-1": (0.80, 0.9, 0.8, 0.20, 0.010, 4.0, 0.30),
    "diat-2": (0.78, 0.5, 0.4, 0.15, 0.012, 3.0, 0.25),
    "diat-3": (0.78, 0.5, 0.4, 0.12, 0.004, 3.0, 0.20),
    "diat": (0.77, 0.5, 0.4, 0.03, 0.002, 0.5, 0.15),
    "diat-a0": (0.79, 0.4, 0.3, 0.10, 0.005, 2.0, 0.20),
    "diat-a": (0.78, 0.4, 0.3, 0.02, 0.002, 0.4, 0.15),
}
TITLES = (
    claims.ACCEPTED, claims.IDENTITY, claims.STRANGERS, claims.OUTSIDE, claims.ARTEFACTS,
    claims.COLOUR, claims.REALISM,
)  # fmt: skip


def a_variant(numbers):
    """Seeds differ by a hundredth of each number, in step."""
    by_title = dict(zip(TITLES, numbers, strict=True))
    seeds = {
        seed: {title: {"value": v * (1 + int(seed) / 100)} for title, v in by_title.items()}
        for seed in SEEDS
    }
    means = {title: {"mean": v * 1.01} for title, v in by_title.items()}
    return {"seeds": seeds, "over seeds": means | {"PSNR outside": None}}


def a_device(ratio):
    def baseline(factor):
        stages = {"T": 9, "T and E, local": 1.2, "T and E, global": 1}
        return {
            "times one pass in float32": {name: ratio * factor * n for name, n in stages.items()}
        }

    return {"PAPER": {"optimisation": {"adaptive": baseline(1e-3), "dlib-stages": baseline(1)}}}


@pytest.fixture
def records():
    shipped = {name: {**a_transfer(), "generated faces": a_transfer(0.6)} for name in TASKS}
    ratios = {seed: {"both": {"ratio of steps": 0.4}, "0.5": {"level": 0.5}} for seed in SEEDS}
    ablation = {
        "variants": {name: a_variant(NUMBERS[name]) for name in VARIANTS},
        claims.STEPS: {"seeds": ratios},
        claims.SAME_SHARE: {
            f"{keeper} less diat-1": {seed: {"accepted": 0.7, "less": -0.1} for seed in SEEDS}
            for keeper in ("diat-2", "diat-a0")
        },
        "shipped": shipped,
    }
    speed = {
        "machine": {"cpu": "some"},
        "paper": {"ratio": 30 / 0.0045},
        "steps of a picture": {"steps": 700, "whence": "counted"},
        "1 thread": a_device(3000.0),
        "a GPU": a_device(9000.0),
    }
    return json.loads(json.dumps([ablation, speed]))


def judged(records):
    return {v.claim.partition(".")[2]: v.said for v in claims.verdicts(*records)}


def figures(records, claim):
    (found,) = (v.figures for v in claims.verdicts(*records) if v.claim == f"diat.{claim}")
    return found


def test_all_claims_of_the_ledger_are_judged_in_its_order(records):
    ledger = (Path(facelab.book.__file__).parent / "claims.toml").read_text()
    assert list(judged(records)) == list(tomllib.loads(ledger)["diat"])
    assert set(judged(records).values()) == {WHOLLY}


def test_figures_come_with_their_meaning(records):
    local = figures(records, "local")
    assert len(local) == 12
    assert local["open the mouth, accepted"] == 0.8
    assert local["take the glasses off, of the inputs"] == 0.1
    assert local["close the mouth, share of a stranger's distance"] == 0.3
    assert len(figures(records, "global")) == 10, "no outside, but a re-rendering"
    assert figures(records, "generalises")["make female, accepted"] == 0.6
    assert figures(records, "speed") == {
        "steps of a picture, counted": 700,
        "optimisation / one pass, 1 thread": 3000.0,
        "optimisation / one pass, a GPU": 9000.0,
    }
    assert figures(records, "adaptive")["steps of diat-a0 / of diat-3"] == pytest.approx(0.4)
    assert figures(records, "adaptive")["colour error, diat-a0"] == pytest.approx(2.02)
    assert figures(records, "identity_loss")["identity distance, diat-1"] == pytest.approx(0.909)
    assert figures(records, "enhancement")["PSNR outside, diat-a"] is None


def shipped(**rows):
    return lambda found: [found[0]["shipped"][name].update(row) for name, row in rows.items()]


def numbers(name, title, *values):
    """Give a variant's seeds these numbers."""

    def change(found):
        seeds = found[0]["variants"][name]["seeds"]
        for seed, value in zip(SEEDS, values, strict=True):
            seeds[seed][title] = {"value": value}

    return change


def ratios(*values):
    def change(found):
        for seed, value in zip(SEEDS, values, strict=True):
            found[0][claims.STEPS]["seeds"][seed]["both"] = {"ratio of steps": value}

    return change


def same(keeper, *values, accepted=0.2):
    """Give a variant these differences from DIAT1, at that share."""

    def change(found):
        runs = found[0][claims.SAME_SHARE][f"{keeper} less diat-1"]
        for seed, value in zip(SEEDS, values, strict=True):
            runs[seed] = {"accepted": accepted, "less": value}

    return change


def both(*changes):
    return lambda found: [change(found) for change in changes]


HELD, LATE = a_transfer(share=0.5), a_transfer(0.19, 0.1)
NONE_LOCAL = shipped(mouth_open=HELD, mouth_close=LATE, glasses_removal=HELD)
WORSE_COLOURS = numbers("diat-a0", claims.COLOUR, 3.5, 3.5, 2.0)
CHANGES = [
    # claim, change, verdict
    ("local", shipped(mouth_open=HELD), PARTLY),
    ("local", shipped(mouth_open=LATE), PARTLY),
    ("local", shipped(mouth_open={"accepted": {"value": 0.8, "interval": None}}), PARTLY),
    ("local", NONE_LOCAL, NOT),
    ("global", shipped(male_to_female=HELD), PARTLY),
    ("global", shipped(male_to_female=HELD, older_to_younger=LATE), NOT),
    ("generalises", shipped(mouth_open={"generated faces": HELD}), PARTLY),
    ("generalises", shipped(mouth_open={"generated faces": None}), PARTLY),
    ("generalises", shipped(**{n: {"generated faces": None} for n in TASKS}), NOT),
    ("speed", lambda r: r[1].update({"1 thread": a_device(2200.0)}), PARTLY),
    ("speed", lambda r: r[1].update({"a GPU": a_device(20_100.0)}), PARTLY),
    ("speed", lambda r: r[1]["steps of a picture"].update(whence="assumed: so"), PARTLY),
    ("speed", lambda r: r[1].update({"1 thread": a_device(99.0)}), NOT),
    ("identity_loss", same("diat-2", -0.2, -0.2, 0.01), PARTLY),
    ("identity_loss", same("diat-2", 0.1, 0.1, 0.1), PARTLY),
    ("identity_loss", same("diat-a0", -0.1, -0.1, -0.1, accepted=0.19), PARTLY),
    ("identity_loss",
     both(same("diat-a0", -0.1, -0.1, None), same("diat-2", -0.1, 0.1, 0.1)), NOT),
    ("identity_loss", both(same("diat-a0", 0.0, 0.0, 0.0), same("diat-2", 0.0, 0.0, 0.0)), NOT),
    ("smoothness", numbers("diat-2", claims.ARTEFACTS, 0.001, 0.02, 0.02), PARTLY),
    ("smoothness", numbers("diat-2", claims.ARTEFACTS, -0.001, -0.001, -0.001), PARTLY),
    ("smoothness",
     both(numbers("diat-2", claims.ARTEFACTS, 0.001, 0.02, 0.02),
          numbers("diat-2", claims.REALISM, 0.1, 0.3, 0.3)), PARTLY),
    ("smoothness",
     both(numbers("diat-2", claims.ARTEFACTS, 0.001, 0.02, 0.02),
          numbers("diat-2", claims.REALISM, 0.1, 0.2, 0.2)), NOT),
    ("smoothness",
     both(numbers("diat-2", claims.ARTEFACTS, 0.0, 0.0, 0.0),
          numbers("diat-3", claims.ARTEFACTS, -0.1, -0.1, -0.1),
          numbers("diat-2", claims.REALISM, 0.1, 0.1, 0.1)), NOT),
    ("adaptive", ratios(0.4, 0.4, 0.51), PARTLY),
    ("adaptive", ratios(0.4, 0.4, None), PARTLY),
    ("adaptive", WORSE_COLOURS, PARTLY),
    ("adaptive", both(WORSE_COLOURS, ratios(0.4, 0.9, 0.9)), PARTLY),
    ("adaptive", both(WORSE_COLOURS, ratios(0.4, 0.9, 1.0)), NOT),
    ("adaptive", both(WORSE_COLOURS, ratios(0.4, None, 0.4)), NOT),
    ("enhancement", numbers("diat-a", claims.ACCEPTED, 0.76, 0.79, 0.79), PARTLY),
    ("enhancement", numbers("diat-a", claims.OUTSIDE, 0.02, 0.02, 0.11), PARTLY),
    ("enhancement", numbers("diat-a", claims.REALISM, 0.1, 0.1, 0.21), PARTLY),
    ("enhancement", numbers("diat-a", claims.ACCEPTED, 0.7, 0.7, 0.7), NOT),
    ("enhancement", numbers("diat-a", claims.OUTSIDE, 0.2, 0.2, 0.2), NOT),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "change", "expected"), CHANGES)
def test_a_verdict_can_be_another(records, claim, change, expected):
    others = judged(records)
    found = copy.deepcopy(records)
    change(found)
    after = judged(found)
    assert after.pop(claim) == expected != others.pop(claim)
    assert after == others


def test_every_claim_can_come_out_three_ways():
    reached = {(claim, expected) for claim, _, expected in CHANGES}
    assert len(reached) == 2 * 8


def test_a_loss_of_two_in_a_hundred_is_allowed(records):
    """0.48 is 0.5 less 0.02, but for the rounding."""
    numbers("diat-a0", claims.ACCEPTED, 0.5, 0.5, 0.5)(records)
    numbers("diat-a", claims.ACCEPTED, 0.48, 0.48, 0.48)(records)
    assert judged(records)["enhancement"] == WHOLLY
    assert 0.48 - 0.5 < -0.02


def test_differences_go_by_the_seed(records):
    variants = records[0]["variants"]
    numbers("diat-2", claims.REALISM, 0.5, 0.6, 0.7)(records)
    numbers("diat-3", claims.REALISM, 0.1, 0.3, -0.5)(records)
    found = claims.differences(variants, "diat-2", "diat-3", claims.REALISM)
    assert found == pytest.approx([0.4, 0.3, 1.2])
    found = claims.differences(variants, "diat-2", "diat-3", claims.REALISM, least=0.0)
    assert found == pytest.approx([0.4, 0.3, 0.7])
    del variants["diat-2"]["seeds"]["1"]
    found = claims.differences(variants, "diat-2", "diat-3", claims.REALISM)
    assert found == pytest.approx([0.4, 1.2])
    numbers("diat-3", claims.REALISM, 0.1, 0.3, None)(records)
    assert claims.differences(variants, "diat-2", "diat-3", claims.REALISM) == []
    assert claims.differences(variants, "diat-2", "diat-9", claims.REALISM) == []


# --- what is missing -----------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_records_nothing_is_reproduced(nothing):
    found = claims.verdicts(nothing, nothing)
    assert {v.said for v in found} == {NOT}
    assert all(v.figures for v in found)
    assert {value for v in found for value in v.figures.values()} == {None}
    assert "open the mouth, accepted: never" in found[0].told()


def test_a_task_that_is_not_shipped(records):
    ablation, speed = records
    del ablation["shipped"]["glasses_removal"]
    assert judged(records)["local"] == PARTLY
    assert judged(records)["generalises"] == WHOLLY
    assert figures(records, "local")["take the glasses off, accepted"] is None
    for name in ("male_to_female", "older_to_younger"):
        del ablation["shipped"][name]
    assert judged(records)["global"] == NOT
    assert judged(records)["generalises"] == PARTLY, "no global task is among them"
    del speed["1 thread"], speed["a GPU"]
    assert figures(records, "speed")["optimisation / one pass"] is None


@pytest.mark.parametrize(
    ("gone", "claim"),
    [("diat-2", "smoothness"), ("diat-a", "enhancement"), ("diat-a0", "enhancement")],
)
def test_a_variant_that_was_not_trained(records, gone, claim):
    del records[0]["variants"][gone]
    assert judged(records)[claim] == NOT


def test_a_global_task_stands_beside_a_re_rendering(records):
    told = figures(records, "global")
    assert told["make younger, identity distance"] == 0.35
    assert told["make younger, identity distance of a re-rendering"] == 0.04
    del records[0]["shipped"]["older_to_younger"]["re-rendering"]
    assert figures(records, "global")["make younger, identity distance of a re-rendering"] is None
    assert not any("re-rendering" in title for title in figures(records, "local"))


def test_curves_that_were_not_compared(records):
    records[0][claims.STEPS] = None
    assert judged(records)["adaptive"] == PARTLY
    assert figures(records, "adaptive")["steps of diat-a0 / of diat-3"] is None


def test_people_that_were_not_compared(records):
    records[0][claims.SAME_SHARE] = {"diat-2 less diat-1": {}}
    assert judged(records)["identity_loss"] == NOT
    told = figures(records, "identity_loss")
    assert told["identity distance at the same share, diat-a0 less diat-1"] is None


def test_one_seed_is_not_enough_to_hold_wholly(records):
    """Of all that is wholly reproduced with three seeds, nothing is with one; with two it is."""
    about = ("identity_loss", "smoothness", "adaptive", "enhancement")
    for count, expected in ((1, PARTLY), (2, WHOLLY)):
        found = copy.deepcopy(records)
        ablation = found[0]
        runs = [row["seeds"] for row in ablation["variants"].values()]
        for seeds in (
            *runs,
            ablation[claims.STEPS]["seeds"],
            *ablation[claims.SAME_SHARE].values(),
        ):
            for seed in SEEDS[count:]:
                del seeds[seed]
        assert [judged(found)[claim] for claim in about] == [expected] * 4
