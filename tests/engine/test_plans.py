"""Plans of the PAPER presets: their arithmetic, and that what they call counted is."""

import importlib

import pytest
import torch
from click.testing import CliRunner

from facelab.cli import facelab
from facelab.engine import costs, methods, plans
from facelab.engine.rehearsal import Rehearsal
from facelab.errors import ParameterError


def test_every_method_has_a_plan_with_its_batch():
    assert list(plans.PLANS) == sorted(plans.PLANS, key=list(methods.METHODS).index)
    assert plans.PLANS.keys() == methods.METHODS.keys()
    for name, plan in plans.PLANS.items():
        assert plan.method.partition(":")[0] == name
        module = importlib.import_module(methods.METHODS[name].partition(":")[0])
        found = module.ENCODERS if name == "lord-encoders" else module.PRESETS
        assert found["paper"].batch_size == plan.batch


def test_hours_and_memory_by_hand():
    plan = plans.Plan("x", "d", 1000, 10, "", 100.0, 1.0, 0.5, 20.0, "")
    # 1000 x 10 x 1e11 operations at a hundredth of 312e12 a second.
    assert plan.hours("A100", 0.01) == pytest.approx(1e15 / 3.12e12 / 3600)
    # A step takes at least 20 ms.
    assert plan.hours("A100", 0.5) == pytest.approx(1000 * 0.02 / 3600)
    assert plan.memory_gb == pytest.approx(0.7)


def test_the_command_tells_and_trains_nothing(tmp_path):
    said = CliRunner().invoke(
        facelab, ["train", "diat:mouth_open", "--preset", "paper", "--explain"]
    )
    assert said.exit_code == 0
    assert "--data celeba:to:Mouth_Slightly_Open --steps 120000" in said.output
    assert "an estimate, 120,000 x 16 x 19.82 GFLOP (counted) at 20% of the peak (assumed)" in (
        said.output
    )
    assert "at least 1.0 GB in float32: 0.25 GB + 16 x 49.3 MB (counted)" in said.output
    missing = CliRunner().invoke(facelab, ["train", "dcgan"])
    assert (missing.exit_code, "Missing option '-o' / '--output'" in missing.output) == (2, True)
    with pytest.raises(ParameterError, match=r"preset 'tiny' has no plan; give --preset paper"):
        CliRunner().invoke(facelab, ["train", "dcgan", "--explain"], catch_exceptions=False)
    with pytest.raises(ParameterError, match="there is no plan for 'x'; choose one of: book-emb"):
        plans.find("x")


def recount(name: str, device: str) -> None:
    plan = plans.find(name)
    with torch.device(device):
        method = methods.build(name, "paper")
    found = costs.step_costs(method, Rehearsal(method, 2), plan.batch)
    assert found.flops_per_image / 1e9 == pytest.approx(plan.gflop, abs=0.006)
    assert found.parameters / 1e6 == pytest.approx(plan.parameters, abs=0.006)
    assert found.fixed_bytes / 1e9 == pytest.approx(plan.fixed_gb, abs=0.006)
    assert found.saved_bytes_per_image / 1e6 == pytest.approx(plan.saved_mb, abs=0.06)


@pytest.mark.parametrize("name", ["dcgan", "began", "diat"])
def test_what_is_called_counted_is(name):
    recount(name, "meta")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["book-embedder", "lord", "d2ae", "ganfaces", "stylegan2-distillation", "stylegan2"]
)
def test_what_is_called_counted_is_on_the_processor(name):
    """The last takes three minutes of one core."""
    recount(name, "cpu")
