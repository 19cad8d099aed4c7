"""Verdicts follow the records, and could have been others."""

import copy

import pytest

from facelab.methods.ganfaces import claims

REALISM, COHERENCE = claims.REALISM, claims.COHERENCE


def a_row(d_prime, half_width, ratio):
    span = {"low": d_prime - half_width, "high": d_prime + half_width}
    kept = {"ratio": ratio, "ratio_interval": {"low": ratio - 0.05, "high": ratio + 0.05}}
    return {
        "separation": {"d_prime": d_prime, "d_prime_interval": span, "one_minus_eer": 0.9},
        "control": dict.fromkeys(claims.KEPT, kept),
    }


def a_curve(*values):
    """Before everybody was seen, at step 4, the loss is low for another reason."""
    steps = [*range(2), *range(4, 4 + len(values))]
    points = [list(point) for point in zip(steps, (0, 0, *values), strict=True)]
    return {"curves": {"set loss": points}, claims.COUNTS: 4}


def less(mean, least):
    return {key: {"mean": mean, "least": least} for key in (REALISM, COHERENCE)}


def gain(mean, low):
    return {"generated": {"mean": mean, "interval": [low, 1.0]}}


@pytest.fixture
def records():
    rivals = (*claims.RIVALS, "no-set-loss", "backward-cycle")
    variants = {name: {"name": name, "less the full method": less(0.2, 0.1)} for name in rivals}
    full = {"over seeds": {key: {"mean": 0.3} for key in (REALISM, COHERENCE)}}
    faces = {
        "references": {"renders": a_row(2.0, 0.2, 0.0)},
        "checkpoints": {"shipped": a_row(2.5, 0.2, 0.3)},
        "variants": {"full": full, **variants},
        "shipped training": a_curve(8, 6, 7, 5),
    }
    fractions = {"0.2": gain(0.03, 0.02), "1.0": gain(0.01, 0.005)}
    accuracy = {"fractions": fractions, "less real data": gain(0.02, 0.01)}
    writer = {
        "written, --jobs 1": {"faces a second": 50.0},
        "written, --jobs 2": {"faces a second": 100.0},
        "SIGKILL": {"the same bytes as without a kill": True},
    }
    return faces, {"gains": {"accuracy": accuracy}}, writer


def told(records):
    return {v.claim.partition(".")[2]: v.said for v in claims.verdicts(*records)}


def test_all_claims_of_the_paper_are_judged(records):
    found = told(records)
    assert found.pop("dataset") == "partly reproduced"
    assert len(found) == 7
    assert set(found.values()) == {"reproduced"}


def test_figures_come_with_their_meaning(records):
    by_claim = {v.claim: v for v in claims.verdicts(*records)}
    assert by_claim["ganfaces.less_real_data"].figures == {
        "gain at 20%": 0.03,
        "gain at 100%": 0.01,
    }
    hours = by_claim["ganfaces.dataset"].figures["hours for 500,000"]
    assert hours == pytest.approx(500_000 / 100 / 3600)
    assert by_claim["ganfaces.baselines"].figures["simgan less that"] == 0.2


@pytest.mark.parametrize(
    ("number", "claim", "change", "expected"),
    [
        (0, "separation", lambda r: r["checkpoints"].update(shipped=a_row(2.3, 0.2, 0.3)),
         "partly reproduced"),
        (0, "separation", lambda r: r["checkpoints"].update(shipped=a_row(2.0, 0.2, 0.3)),
         "not reproduced"),
        (0, "control", lambda r: r["checkpoints"].update(shipped=a_row(2.5, 0.2, 0.46)),
         "partly reproduced"),
        (0, "control", lambda r: r["checkpoints"].update(shipped=a_row(2.5, 0.2, 0.96)),
         "not reproduced"),
        (0, "baselines",
         lambda r: r["variants"]["cyclegan"].update({"less the full method": less(0.2, 0.0)}),
         "partly reproduced"),
        (0, "set_loss",
         lambda r: r["variants"]["no-set-loss"].update({"less the full method": less(0, -1)}),
         "partly reproduced"),
        (0, "set_loss", lambda r: r.update({"shipped training": a_curve(5, 6, 7, 8)}),
         "partly reproduced"),
        (0, "set_loss",
         lambda r: (r["variants"]["no-set-loss"].update({"less the full method": less(0, -1)}),
                    r.update({"shipped training": a_curve(5, 6, 7, 8)})),
         "not reproduced"),
        (0, "forward_cycle",
         lambda r: r["variants"]["backward-cycle"].update({"less the full method": less(0.1, -1)}),
         "partly reproduced"),
        (1, "recognition",
         lambda r: r["gains"]["accuracy"]["fractions"].update({"1.0": gain(0.01, -0.01)}),
         "partly reproduced"),
        (1, "less_real_data",
         lambda r: r["gains"]["accuracy"].update({"less real data": gain(0.0, -0.01)}),
         "not reproduced"),
        (1, "less_real_data",
         lambda r: r["gains"]["accuracy"]["fractions"].update({"0.2": gain(-0.01, -0.02)}),
         "not reproduced"),
        (2, "dataset", lambda r: r["SIGKILL"].update({"the same bytes as without a kill": False}),
         "not reproduced"),
    ],
)  # fmt: skip
def test_a_verdict_can_be_another(records, number, claim, change, expected):
    others = told(records)
    found = copy.deepcopy(records)
    change(found[number])
    after = told(found)
    assert after.pop(claim) == expected != others.pop(claim)
    assert after == others
