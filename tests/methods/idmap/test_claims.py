"""Verdicts follow the record, and could have been others."""

import copy
import json
import math
import tomllib
from pathlib import Path

import pytest

import facelab.book
from facelab.methods.idmap import claims

SEEDS = ("0", "1")  # as JSON has them
WHOLLY, PARTLY, NOT = "reproduced", "partly reproduced", "not reproduced"
KINDS = ("generated", "photo-like")


def column(mean, half_width=0.02):
    return {"mean": mean, "interval": {"low": mean - half_width, "high": mean + half_width}}


def estimate(value, half_width=0.02):
    return {"value": value, "interval": {"low": value - half_width, "high": value + half_width}}


def a_row(identity, expression, pose, distance):
    columns = {
        "identity": column(identity),
        "expression": column(expression, 0.001),
        "pose": column(pose, 0.5),
    }
    return columns | {"distance": {"value": distance}}


def a_table():
    return {
        "rows": {
            "map": a_row(0.7, 0.02, 6.0, 0.1),
            "copy I_id": a_row(1.0, 0.05, 15.0, 0.0),
            "copy I_attr": a_row(0.4, 0.0, 0.0, 0.0),
            "LORD": a_row(0.45, 0.03, 8.0, 2.0),
        }
    }


def a_reconstruction():
    def row(rmse, psnr, identity):
        return {"RMSE": column(rmse), "PSNR": column(psnr), "identity": column(identity)}

    return {"rows": {"map": row(0.2, 14.0, 0.6), "optimisation": row(0.1, 21.0, 0.8)}}


def a_way(held, goes):
    def drift(share):
        return {"largest share": estimate(share), "mean share": estimate(share - 0.1)}

    return {
        "held": {name: drift(0.3) for name in held},
        "moved": {name: {"order": estimate(0.95)} for name in goes},
    }


def a_variant(distance):
    return {"seeds": {seed: {"latent": {"mahalanobis": distance}} for seed in SEEDS}}


@pytest.fixture
def record():
    less_landmarks = {"identity": 0.03, "expression": 0.006, "pose": 4.0}
    looks = ("pose", "landmarks")
    ways = {
        "identity": a_way(looks, ("identity",)),
        "attributes": a_way(("identity",), looks),
    }
    rates = {
        "verified before": estimate(0.9),
        "verified after": estimate(0.03),
        "rank-1 after": estimate(0.1),
    }
    found = {
        **{kind: a_table() for kind in KINDS},
        "reconstruction": {kind: a_reconstruction() for kind in KINDS},
        "variants": {"full": a_variant(0.8), "no-critic": a_variant(0.2)},
        "differences": {
            "no-landmarks less full": {seed: dict(less_landmarks) for seed in SEEDS},
            "no-critic less full": {seed: {"kernel distance": 0.4} for seed in SEEDS},
        },
        "paths": dict.fromkeys(("z", "w"), ways),
        "sequences": {
            "all": {
                "against the driver": {"variance": estimate(0.4)},
                "motion": {"yaw": estimate(0.8), "mouth": estimate(0.3)},
            }
        },
        "de-identification": {"mean": {"rates": rates}},
    }
    return json.loads(json.dumps(found))


def judged(record):
    return {v.claim.partition(".")[2]: v.said for v in claims.verdicts(record)}


def figures(record, claim):
    (found,) = (v.figures for v in claims.verdicts(record) if v.claim == f"idmap.{claim}")
    return found


def test_all_claims_of_the_ledger_are_judged_in_its_order(record):
    ledger = (Path(facelab.book.__file__).parent / "claims.toml").read_text()
    assert list(judged(record)) == list(tomllib.loads(ledger)["idmap"])
    assert set(judged(record).values()) == {WHOLLY}


def test_figures_come_with_their_meaning(record):
    table = figures(record, "table1")
    assert table["generated, identity, map"] == 0.7
    assert table["generated, distance, LORD"] == 2.0
    assert table["photo-like, share of the way to I_id's identity"] == pytest.approx(0.5)
    assert figures(record, "table2")["photo-like, PSNR, optimisation"] == 21.0
    assert figures(record, "landmark_loss") == {
        "identity, no-landmarks less full": 0.03,
        "expression, no-landmarks less full": 0.006,
        "pose, no-landmarks less full": 4.0,
    }
    critic = figures(record, "latent_discriminator")
    assert critic["mahalanobis, no-critic"] == 0.2
    assert critic["|log mahalanobis|, no-critic less full"] == pytest.approx(math.log(4))
    assert critic["kernel distance, no-critic less full"] == 0.4
    ways = figures(record, "interpolation")
    assert len(ways) == 2 * (2 + 1 + 2), "drifts of three readings and two orders, in two spaces"
    assert ways["pose in w, largest drift while identity moves"] == 0.3
    assert ways["order of landmarks in z"] == 0.95
    told = figures(record, "sequences")
    assert told["identity variance, share of the driver's"] == 0.4
    assert told["rank-1 before"] is None


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


def mapped(kind, title, value, half_width=0.02):
    return put(column(value, half_width), kind, "rows", "map", title)


def lord(title, value):
    return put(value, "generated", "rows", "LORD", title)


def rebuilt(title, *values):
    """Give the map these values, and the same to both kinds of faces when it is one."""
    values = values * 2 if len(values) == 1 else values
    kinds = zip(KINDS, values, strict=True)
    return both(*(put(column(v), "reconstruction", k, "rows", "map", title) for k, v in kinds))


def less(variant, title, *values):
    names = ("differences", f"{variant} less full")
    return both(*(put(v, *names, seed, title) for seed, v in zip(SEEDS, values, strict=True)))


def far(variant, *values):
    names = ("latent", "mahalanobis")
    return both(
        *(put(v, "variants", variant, "seeds", seed, *names)
          for seed, v in zip(SEEDS, values, strict=True))
    )  # fmt: skip


def drift(space, factor, read, largest, mean=0.2):
    place = ("paths", space, factor, "held", read)
    return both(put(estimate(largest), *place, "largest share"),
                put(estimate(mean), *place, "mean share"))  # fmt: skip


def order(space, factor, read, value):
    return put(estimate(value), "paths", space, factor, "moved", read, "order")


def of_sequence(part, name, value):
    return put(estimate(value), "sequences", "all", part, name)


def rate(name, value):
    return put(estimate(value), "de-identification", "mean", "rates", name)


WAYS = [(space, factor) for space in ("z", "w") for factor in ("identity", "attributes")]
MOVED = {"identity": "identity", "attributes": "landmarks"}
LOST = both(*(order(space, factor, MOVED[factor], 0.5) for space, factor in WAYS))
BARELY_PIXELS = both(rebuilt("RMSE", 0.12), rebuilt("PSNR", 21.02))
CHANGES = [
    # claim, change, verdict
    ("table1", mapped("generated", "identity", 0.5), PARTLY),
    ("table1", mapped("photo-like", "identity", 0.41), PARTLY),
    ("table1", mapped("photo-like", "pose", 14.6, 0.5), PARTLY),
    ("table1", mapped("photo-like", "expression", 0.049, 0.001), PARTLY),
    ("table1", mapped("generated", "expression", 0.049, 0.001), PARTLY),
    ("table1", lord("identity", column(0.71)), PARTLY),
    ("table1", lord("pose", column(5.0)), PARTLY),
    ("table1", lord("distance", {"value": 0.05}), PARTLY),
    ("table1", mapped("generated", "identity", 0.43), NOT),
    ("table1", both(mapped("generated", "expression", 0.049, 0.001),
                    mapped("generated", "pose", 16.0)), NOT),
    ("table2", rebuilt("identity", 0.6, 0.79), PARTLY),
    ("table2", rebuilt("PSNR", 22.0), PARTLY),
    ("table2", both(rebuilt("RMSE", 0.12, 0.2), rebuilt("PSNR", 21.02)), PARTLY),
    ("table2", BARELY_PIXELS, NOT),
    ("landmark_loss", less("no-landmarks", "identity", 0.03, -0.01), PARTLY),
    ("landmark_loss", less("no-landmarks", "pose", 4.0, -1.0), PARTLY),
    ("landmark_loss", less("no-landmarks", "pose", 4.0, -5.0), NOT),
    ("landmark_loss", less("no-landmarks", "expression", 0.0, 0.0), NOT),
    ("landmark_loss", less("no-landmarks", "expression", 0.1, None), NOT),
    ("latent_discriminator", less("no-critic", "kernel distance", 0.4, -0.1), PARTLY),
    ("latent_discriminator", far("no-critic", 0.2, 0.9), PARTLY),
    ("latent_discriminator", both(far("no-critic", 0.2, 0.9),
                                  less("no-critic", "kernel distance", 0.4, -0.1)), PARTLY),
    ("latent_discriminator", both(far("no-critic", 0.2, 0.9),
                                  less("no-critic", "kernel distance", 0.4, -0.5)), NOT),
    ("latent_discriminator", both(far("no-critic", 0.9, 0.9),
                                  less("no-critic", "kernel distance", 0.4, -0.1)), NOT),
    ("interpolation", drift("z", "identity", "pose", 0.49), PARTLY),
    ("interpolation", order("w", "attributes", "landmarks", 0.8), PARTLY),
    ("interpolation", LOST, PARTLY),
    ("interpolation", both(LOST, order("w", "identity", "identity", -0.1)), NOT),
    ("interpolation", both(LOST, drift("w", "attributes", "identity", 0.9, 0.6)), NOT),
    ("sequences", of_sequence("against the driver", "variance", 0.99), PARTLY),
    ("sequences", of_sequence("motion", "yaw", 0.51), PARTLY),
    ("sequences", rate("verified after", 0.09), PARTLY),
    ("sequences", rate("verified before", 0.4), PARTLY),
    ("sequences", of_sequence("motion", "yaw", 0.4), NOT),
    ("sequences", both(of_sequence("against the driver", "variance", 1.2),
                       rate("verified after", 0.5)), NOT),
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
    assert len({(claim, expected) for claim, _, expected in CHANGES}) == 2 * 6


def test_vectors_too_far_out_are_as_wrong_as_vectors_too_near(record):
    """2 is farther from 1 than 0.8 is, by ratio; 1.2 is not."""
    far("no-critic", 2.0, 1.5)(record)
    assert judged(record)["latent_discriminator"] == WHOLLY
    far("no-critic", 1.2, 1.2)(record)
    assert judged(record)["latent_discriminator"] == PARTLY


def test_many_pictures_have_another_distance(record):
    rows = record["differences"]["no-critic less full"]
    for row in rows.values():
        row["frechet distance"] = row.pop("kernel distance")
    assert judged(record)["latent_discriminator"] == WHOLLY
    told = figures(record, "latent_discriminator")
    assert told["frechet distance, no-critic less full"] == 0.4


# --- what is missing -----------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_a_record_nothing_is_reproduced(nothing):
    found = claims.verdicts(nothing)
    assert {v.said for v in found} == {NOT}
    assert all(v.figures for v in found)
    assert {value for v in found for value in v.figures.values()} == {None}
    assert "generated, identity, map: never" in found[0].told()


@pytest.mark.parametrize(
    ("names", "claim", "expected"),
    [
        (("generated",), "table1", NOT),
        (("photo-like",), "table1", PARTLY),
        (("generated", "rows", "LORD"), "table1", PARTLY),
        (("generated", "rows", "copy I_attr"), "table1", NOT),
        (("reconstruction", "photo-like"), "table2", PARTLY),
        (("reconstruction",), "table2", NOT),
        (("differences", "no-landmarks less full"), "landmark_loss", NOT),
        (("differences", "no-critic less full"), "latent_discriminator", PARTLY),
        (("variants", "full"), "latent_discriminator", PARTLY),
        (("paths", "w"), "interpolation", PARTLY),
        (("paths",), "interpolation", NOT),
        (("sequences",), "sequences", NOT),
        (("de-identification",), "sequences", PARTLY),
    ],
)
def test_a_part_that_was_not_measured(record, names, claim, expected):
    others = judged(record)
    *above, last = names
    found = record
    for name in above:
        found = found[name]
    del found[last]
    after = judged(record)
    assert after.pop(claim) == expected
    others.pop(claim)
    assert after == others


def test_a_mean_without_an_interval_proves_nothing(record):
    for kind in KINDS:
        record[kind]["rows"]["map"]["identity"]["interval"] = None
    record["sequences"]["all"]["against the driver"]["variance"]["interval"] = None
    assert judged(record)["table1"] == NOT
    assert judged(record)["sequences"] == PARTLY
    assert figures(record, "table1")["generated, identity, map"] == 0.7


def test_one_seed_is_not_enough_to_hold_wholly(record):
    for rows in record["differences"].values():
        del rows["1"]
    for row in record["variants"].values():
        del row["seeds"]["1"]
    told = judged(record)
    assert told["landmark_loss"] == told["latent_discriminator"] == PARTLY
