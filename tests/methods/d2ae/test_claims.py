"""Verdicts follow the record, and could have been others."""

import copy
import json
import tomllib
from pathlib import Path

import pytest

import facelab.book
from facelab.methods.d2ae import claims

SEEDS = ("0", "1")  # as JSON has them
WHOLLY, PARTLY, NOT = "reproduced", "partly reproduced", "not reproduced"
PICTURE, PERSON = "Smiling", "Male"  # one of each kind is in the record


def interval(value, half_width=0.02):
    return {"low": value - half_width, "high": value + half_width}


def estimate(value, half_width=0.02):
    return {"value": value, "interval": interval(value, half_width)}


def column(mean, half_width=0.02):
    return {"mean": mean, "interval": interval(mean, half_width)}


def verified(equal, rate, area):
    return {
        "one_minus_eer": equal,
        "tpr_at_fpr": {"0.1": 0.9, "0.001": rate},
        "auc": area,
        "intervals": {"auc": interval(area)},
    }


def a_row(area, looks, named, equal=0.6, rate=0.01):
    """A branch's row of table 1; three attributes are around the mean."""
    each = {f"a{i}": {"balanced_accuracy": estimate(looks + i / 100)} for i in (-1, 0, 1)}
    return {
        "verification": verified(equal, rate, area),
        "attributes": {
            "accuracy": estimate(looks + 0.1),
            "balanced_accuracy": estimate(looks),
            "majority": 0.8,
            "attributes": each,
        },
        "leakage": {
            "chance": 0.005,
            "linear": {"accuracy": estimate(named / 2)},
            "perceptron": {"accuracy": estimate(named)},
        },
    }


def a_variant(equal, rate, looks, above=0.9):
    gaussian = {branch: {"gaussianity": {"above": above}} for branch in "TP"}
    rows = {"P": a_row(0.6, looks, 0.1, equal, rate)}
    return {seed: {"rows": rows, "shape": gaussian} for seed in SEEDS}


def a_size(full, baseline):
    pairs = {"full": full, "baseline": baseline}
    return {name: dict.fromkeys(SEEDS, verified(*found, 0.9)) for name, found in pairs.items()}


def a_shape(purity):
    return {
        "gaussianity": {"above": 0.9, "reference_above": 0.95},
        "neighbours": {
            "purity": purity,
            "purity_interval": interval(purity),
            "chance": 0.03,
            "silhouette": purity / 2,
        },
    }


def an_edit(before, after, same):
    full = {
        "has it": after,
        "same person": same,
        "identity distance": 0.3,
        "landmarks": 0.02,
    }
    return {"has it, unchanged": before, "strengths": {"1.0": full, "0.5": {}}}


def a_way(identity, landmarks):
    return {"identity": [0.0, identity], "pose": [0.0, 3.0], "landmarks": [0.0, landmarks]}


@pytest.fixture
def record():
    swaps = {
        "swap": {"identity": column(0.7), "pose": column(6.0)},
        "rebuilt I_attr": {"identity": column(0.4), "pose": column(2.0)},
        "copy I_id": {"identity": column(1.0), "pose": column(15.0)},
    }
    compared = {
        "better": 20,
        "worse": 12,
        "equal": 2,
        "attributes": {PICTURE: estimate(0.1), PERSON: estimate(-0.1)},
    }
    found = {
        "table 1": {
            "rows": {
                "T": a_row(0.99, 0.7, 0.9),
                "P": a_row(0.53, 0.8, 0.02),
                "both": a_row(0.98, 0.85, 0.9),
            },
            "P less T": compared,
        },
        "supervised": {"SVM": 0.85, "network": 0.86},
        "ablations": {
            "full": a_variant(0.6, 0.05, 0.8),
            "no-dispelling": a_variant(0.7, 0.08, 0.7),
            "no-classifier": a_variant(0.65, 0.06, 0.75),
            "no-augmentation": a_variant(0.6, 0.05, 0.8, 0.5),
        },
        "table 2": {
            "800": a_size((0.97, 0.9), (0.97, 0.91)),
            "1000": a_size((0.98, 0.9), (0.98, 0.91)),
            "90": a_size((0.9, 0.6), (0.8, 0.5)),
        },
        "shape": {"T": a_shape(0.9), "P": a_shape(0.05)} | {"seconds": 2.0},
        "picture": {"T": {"neighbours": {"purity": 0.95}}, "P": {"neighbours": {"purity": 0.1}}},
        "swaps": {"rows": swaps},
        "edits": {
            f"{PICTURE} by P": an_edit(0.2, 0.84, 0.9),
            f"{PERSON} by P": an_edit(0.5, 0.5, 0.2),
            f"{PICTURE} by T": an_edit(0.2, 0.2, 0.2),
            f"{PICTURE} by T, pattern": an_edit(0.2, 0.6, 0.2),
            "seconds": 3.0,
        },
        "ways": {"identity": a_way(1.2, 0.02), "attributes": a_way(0.3, 0.09)},
        "gan": {
            name: {"distance": estimate(value)}
            for name, value in {"full": 0.4, "gan": 0.3, "gan-alone": 0.2}.items()
        },
    }
    return json.loads(json.dumps(found))


def judged(record):
    return {v.claim.partition(".")[2]: v.said for v in claims.verdicts(record)}


def figures(record, claim):
    (found,) = (v.figures for v in claims.verdicts(record) if v.claim == f"d2ae.{claim}")
    return found


def test_all_claims_of_the_ledger_are_judged_in_its_order(record):
    ledger = (Path(facelab.book.__file__).parent / "claims.toml").read_text()
    assert list(judged(record)) == list(tomllib.loads(ledger)["d2ae"])
    assert set(judged(record).values()) == {WHOLLY}


def test_figures_of_tables_come_with_their_meaning(record):
    table = figures(record, "branches")
    assert table["T: AUC"] == 0.99
    assert table["P: TPR at 0.001 FPR"] == 0.01
    assert table["both: attributes, balanced"] == 0.85
    assert table["P: named by a probe, times chance"] == pytest.approx(4), "the better of both"
    assert figures(record, "without_LH") == {
        "P's 1 - EER, no-dispelling less full": pytest.approx(0.1),
        "P's TPR at 0.001 FPR, no-dispelling less full": pytest.approx(0.03),
        "P's attributes, balanced, no-dispelling less full": pytest.approx(-0.1),
        "share of attributes that are worse, no-dispelling": 1.0,
    }
    sizes = figures(record, "versus_baseline")
    assert len(sizes) == 3 * 2 * 2
    assert list(sizes)[:4] == [
        f"90 people, {title}, {name}"
        for title in ("1 - EER", "TPR at 0.001 FPR") for name in ("full", "baseline")
    ], "sizes are numbers, 90 before 1000"  # fmt: skip
    assert sizes["800 people, TPR at 0.001 FPR, baseline"] == 0.91
    assert figures(record, "attributes") == {
        "SVMs on both codes": 0.85,
        "supervised network": 0.86,
        "accuracy of both codes": pytest.approx(0.95),
        "majority": 0.8,
    }


def test_figures_of_figures_come_with_their_meaning(record):
    assert figures(record, "which_branch") == {
        "P better on": 20,
        "T better on": 12,
        "P less T, attributes of the picture": 0.1,
        "P less T, attributes of the person": -0.1,
    }
    shape = figures(record, "gaussian")
    assert shape["T: normal samples"] == 0.95
    assert shape["P: more with augmentation"] == pytest.approx(0.4)
    clusters = figures(record, "clusters")
    assert clusters["T: silhouette"] == 0.45
    assert clusters["P: purity in the picture"] == 0.1
    edits = figures(record, "editing")
    assert edits["Smiling: change rate"] == pytest.approx(0.8), "0.64 of the 0.8 without"
    assert edits["Smiling: change rate by T, pattern"] == pytest.approx(0.5)
    assert edits["Smiling: change rate by P, pattern"] is None
    assert edits["Smiling: landmarks"] == 0.02
    assert "Male: change rate" not in edits
    assert edits["identity, rebuilt I_attr"] == 0.4
    assert edits["pose, copy I_id"] == 15.0
    assert edits["identity moved by f_T"] == 1.2
    assert edits["landmarks moved by f_P"] == 0.09
    assert figures(record, "gan")["kernel distance, gan-alone"] == 0.2


# --- other numbers, other verdicts ---------------------------------------------------------------


def put(value, *names):
    """Put a value at this place."""

    def change(found):
        *above, last = names
        for name in above:
            found = found[name]
        found[last] = value

    return change


def both(*changes):
    return lambda found: [change(found) for change in changes]


def area(branch, value):
    place = ("table 1", "rows", branch, "verification")
    return both(put(value, *place, "auc"), put(interval(value), *place, "intervals", "auc"))


def looks(branch, value):
    return put(value, "table 1", "rows", branch, "attributes", "balanced_accuracy", "value")


def named(kind, value):
    return put(value, "table 1", "rows", "P", "leakage", kind, "accuracy", "value")


def variant(name, value, *way):
    """Give the second seed this value in P's row."""
    return put(value, "ablations", name, "1", "rows", "P", *way)


EQUAL = ("verification", "one_minus_eer")
RATE = ("verification", "tpr_at_fpr", "0.001")
LOOKS = ("attributes", "balanced_accuracy", "value")


def one_attribute(name, which, value):
    return variant(name, value, "attributes", "attributes", which, "balanced_accuracy", "value")


def few(value, *way):
    return put(value, "table 2", "90", "full", "1", *way)


def gap(name, value):
    return put(estimate(value), "table 1", "P less T", "attributes", name)


def counted(name, value):
    return put(value, "table 1", "P less T", name)


def normal(branch, value):
    return put(value, "shape", branch, "gaussianity", "above")


def unaugmented(branch, value):
    return put(value, "ablations", "no-augmentation", "1", "shape", branch, "gaussianity", "above")


def pure(branch, value):
    place = ("shape", branch, "neighbours")
    return both(put(value, *place, "purity"), put(interval(value), *place, "purity_interval"))


def smiling(*values):
    return put(an_edit(*values), "edits", f"{PICTURE} by P")


def swapped(title, value):
    return put(column(value), "swaps", "rows", "swap", title)


def moved(branch, title, value):
    return put([0.0, value], "ways", branch, title)


def distance(name, value):
    return put(estimate(value), "gan", name, "distance")


CHANGES = [
    # claim, change, verdict
    ("branches", area("P", 0.56), PARTLY),
    ("branches", named("perceptron", 0.03), PARTLY),
    ("branches", named("linear", 0.03), PARTLY),
    ("branches", looks("T", 0.81), PARTLY),
    ("branches", looks("both", 0.79), PARTLY),
    ("branches", area("T", 0.56), NOT),
    ("without_LH", variant("no-dispelling", 0.59, *EQUAL), PARTLY),
    ("without_LH", variant("no-dispelling", 0.04, *RATE), PARTLY),
    ("without_LH", variant("no-dispelling", 0.81, *LOOKS), PARTLY),
    ("without_LH", both(one_attribute("no-dispelling", "a0", 0.81),
                        one_attribute("no-dispelling", "a1", 0.82)), PARTLY),
    ("without_LH", both(variant("no-dispelling", 0.4, *EQUAL),
                        variant("no-dispelling", 0.95, *LOOKS)), NOT),
    ("without_Ladv", variant("no-classifier", 0.4, *EQUAL), PARTLY),
    ("without_Ladv", variant("no-classifier", 0.95, *LOOKS), PARTLY),
    ("without_Ladv", both(variant("no-classifier", 0.4, *EQUAL),
                          variant("no-classifier", 0.95, *LOOKS)), NOT),
    ("versus_baseline", few(0.79, "one_minus_eer"), PARTLY),
    ("versus_baseline", few(0.49, "tpr_at_fpr", "0.001"), PARTLY),
    ("versus_baseline", put(a_size((0.98, 0.9), (0.8, 0.5)), "table 2", "1000"), PARTLY),
    ("versus_baseline", few(0.69, "one_minus_eer"), NOT),
    ("attributes", put(0.839, "supervised", "SVM"), PARTLY),
    ("attributes", put(0.79, "supervised", "SVM"), NOT),
    ("which_branch", gap(PICTURE, -0.01), PARTLY),
    ("which_branch", gap(PERSON, 0.01), PARTLY),
    ("which_branch", gap("Eyeglasses", 0.0), PARTLY),
    ("which_branch", counted("equal", 8), PARTLY),
    ("which_branch", both(counted("worse", 21), gap(PERSON, 0.11)), NOT),
    ("gaussian", normal("T", 0.84), PARTLY),
    ("gaussian", unaugmented("P", 0.91), PARTLY),
    ("gaussian", both(normal("P", 0.84), unaugmented("T", 0.91)), PARTLY),
    ("gaussian", both(normal("P", 0.84), unaugmented("T", 1.4)), NOT),
    ("clusters", pure("T", 0.79), PARTLY),
    ("clusters", pure("P", 0.07), PARTLY),
    ("clusters", pure("T", 0.08), NOT),
    ("editing", smiling(0.2, 0.59, 0.9), PARTLY),
    ("editing", smiling(0.7, 0.8, 0.9), PARTLY),
    ("editing", smiling(1.0, 1.0, 0.9), PARTLY),
    ("editing", smiling(0.2, 0.84, 0.49), PARTLY),
    ("editing", put(an_edit(0.1, 0.1, 0.9), "edits", "Eyeglasses by P"), PARTLY),
    ("editing", swapped("identity", 0.43), PARTLY),
    ("editing", swapped("pose", 14.97), PARTLY),
    ("editing", moved("identity", "identity", 0.29), PARTLY),
    ("editing", moved("identity", "landmarks", 0.1), PARTLY),
    ("editing", both(smiling(0.2, 0.3, 0.9), swapped("identity", 0.43)), NOT),
    ("gan", distance("gan-alone", 0.37), PARTLY),
    ("gan", distance("gan-alone", 0.5), PARTLY),
    ("gan", both(distance("gan-alone", 0.5), distance("gan", 0.41)), NOT),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "change", "expected"), CHANGES)
def test_a_verdict_can_be_another(record, claim, change, expected):
    others = judged(record)
    found = copy.deepcopy(record)
    change(found)
    after = judged(found)
    assert after.pop(claim) == expected != others.pop(claim)
    assert after == others


def test_every_claim_can_come_out_three_ways():
    assert len({(claim, expected) for claim, _, expected in CHANGES}) == 2 * 10


# --- what is missing -----------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_a_record_nothing_is_reproduced(nothing):
    found = claims.verdicts(nothing)
    assert {v.said for v in found} == {NOT}
    assert all(v.figures for v in found)
    assert {value for v in found for value in v.figures.values()} == {None}
    assert "T: AUC: never" in found[0].told()


ALL_OF_VARIANTS = {"without_LH": NOT, "without_Ladv": NOT, "gaussian": PARTLY}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("table 1",), {"branches": NOT, "which_branch": NOT}),
        (("table 1", "P less T"), {"which_branch": NOT}),
        (("table 1", "P less T", "attributes"), {"which_branch": PARTLY}),
        (("table 1", "rows", "T"), {"branches": NOT}),
        (("table 1", "rows", "P", "leakage"), {"branches": PARTLY}),
        (("table 1", "rows", "P", "leakage", "linear"), {"branches": PARTLY}),
        (("table 1", "rows", "both"), {"branches": PARTLY}),
        (("ablations",), ALL_OF_VARIANTS),
        (("ablations", "full"), ALL_OF_VARIANTS),
        (("ablations", "no-dispelling"), {"without_LH": NOT}),
        (("ablations", "no-classifier", "1"), {"without_Ladv": PARTLY}),
        (("ablations", "no-classifier", "1", "rows", "P"), {"without_Ladv": NOT}),
        (("ablations", "no-augmentation"), {"gaussian": PARTLY}),
        (("table 2",), {"versus_baseline": NOT}),
        (("table 2", "90", "baseline"), {"versus_baseline": NOT}),
        (("table 2", "1000", "baseline"), {"versus_baseline": PARTLY}),
        (("supervised", "network"), {"attributes": NOT}),
        (("shape",), {"gaussian": PARTLY, "clusters": NOT}),
        (("picture",), {}),
        (("swaps",), {"editing": PARTLY}),
        (("edits",), {"editing": PARTLY}),
        (("ways",), {"editing": PARTLY}),
        (("gan", "gan-alone"), {"gan": PARTLY}),
        (("gan", "gan"), {}),
        (("gan", "full"), {"gan": NOT}),
    ],
)
def test_a_part_that_was_not_measured(record, names, expected):
    others = judged(record)
    *above, last = names
    found = record
    for name in above:
        found = found[name]
    del found[last]
    assert judged(record) == others | expected


def test_a_number_without_an_interval_proves_nothing(record):
    record["table 1"]["rows"]["P"]["verification"]["intervals"]["auc"] = None
    record["shape"]["P"]["neighbours"]["purity_interval"] = None
    record["swaps"]["rows"]["swap"]["identity"]["interval"] = None
    record["gan"]["full"]["distance"]["interval"] = None
    told = judged(record)
    assert told["branches"] == NOT
    assert told["clusters"] == WHOLLY, "by the marks, which need none"
    assert told["editing"] == told["gan"] == PARTLY
    assert figures(record, "branches")["P: AUC"] == 0.53


def test_one_seed_is_not_enough_to_hold_wholly(record):
    for seeds in record["ablations"].values():
        del seeds["1"]
    for rows in record["table 2"].values():
        for seeds in rows.values():
            del seeds["1"]
    told = judged(record)
    names = ("without_LH", "without_Ladv", "versus_baseline", "gaussian")
    assert {told[name] for name in names} == {PARTLY}


def test_one_training_set_tells_nothing_of_its_size(record):
    for size in ("800", "1000"):
        del record["table 2"][size]
    assert judged(record)["versus_baseline"] == PARTLY
