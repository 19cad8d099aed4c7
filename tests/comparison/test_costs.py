"""Parameters once each, and trainings as headers and records have them."""

import json

import pytest
from torch import nn

from facelab.comparison import costs
from facelab.comparison.cases import Task
from facelab.comparison.contestants import contestant
from facelab.comparison.costs import Cost, parameters, record_of, stages_of
from facelab.methods.diat.tasks import find_task

STAGE = {"data": {"sha256": "aa"}, "images": 10, "seed": 0}


def test_a_parameter_that_two_networks_share_counts_once():
    first, second = nn.Linear(3, 2), nn.Linear(4, 1)
    assert parameters(first, second) == 8 + 5
    assert parameters(first, nn.Sequential(first, second), None) == 13


def test_a_second_stage_brings_the_first_along():
    header = {"config": {"trained": STAGE}, **STAGE, "images": 4}
    assert [stage["images"] for stage in stages_of(header)] == [10, 4]
    assert [stage["images"] for stage in stages_of({"config": {}, **STAGE})] == [10]


@pytest.mark.parametrize("other", [{"images": 11}, {"seed": 1}, {"data": {"sha256": "bb"}}])
def test_a_record_is_of_the_same_data_images_and_seed(tmp_path, monkeypatch, other):
    monkeypatch.setattr(costs, "RECORDS", tmp_path)
    record = {**STAGE, "minutes": 3.0}
    (tmp_path / "train_one.json").write_text(json.dumps({**record, **other}))
    assert record_of(STAGE) is None
    (tmp_path / "train_two.json").write_text(json.dumps(record))
    assert record_of(STAGE) == record


def test_a_shipped_transfer_has_both_of_its_trainings():
    cost = contestant("diat").cost(Task(find_task("mouth_open")))
    names = [f"train_diat_mouth_open{stage}.json" for stage in ("", "_enhancement")]
    records = [json.loads((costs.RECORDS / name).read_text()) for name in names]
    assert cost.training_images == sum(record["images"] for record in records)
    assert cost.training_minutes == pytest.approx(sum(record["minutes"] for record in records))
    assert list(cost.weights) == ["mouth_open.safetensors"]


def test_without_records_nothing_is_said_of_minutes(monkeypatch, tmp_path):
    monkeypatch.setattr(costs, "RECORDS", tmp_path)
    cost = contestant("ganfaces").cost(Task())
    assert cost.training_minutes is cost.different_images is None
    assert cost.training_images > 0


def test_a_network_of_no_file_has_its_parameters_alone():
    layer = nn.Linear(3, 2)
    assert Cost.of_files(None, trained=layer, needed=(layer,)) == Cost(8, 8)
