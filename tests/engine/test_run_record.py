"""The record says all that a result depends on, and no embedder judges its own work."""

import hashlib
import json

import pytest
import torch

from facelab.assets import ASSETS
from facelab.engine import run_record
from facelab.engine.loop import train
from facelab.engine.settings import Evaluation, Settings
from facelab.engine.trainer import Trainer, values_of
from facelab.errors import ParameterError, TrainingError


@pytest.fixture
def settings() -> Settings:
    return Settings(steps=3, batch=8, seed=5, device="cpu", workers=0)


def test_a_record_says_what_was_trained_on_what_and_where(with_git, toy, tmp_path, settings):
    method = toy.toy()
    method.assets, method.embedders = ("gan-face-generate",), ("dlib",)
    evaluation = Evaluation(lambda networks: {"fd": 2.5}, 3, embedders=("facenet-casia",))
    train(
        method, toy.Noise(), settings, tmp_path, evaluation=evaluation, preset="tiny",
        progress=False,
    )  # fmt: skip
    record = run_record.read(tmp_path)
    expected = {
        "kind": "training of toy",
        "method": "toy",
        "preset": "tiny",
        "seed": 5,
        "steps": 3,
        "images": 24,
        "outcome": "finished",
        "device": "cpu",
        "processes": 1,
        "threads": torch.get_num_threads(),
        "metrics": {"fd": 2.5},
        "embedders": {"training": ["dlib"], "scoring": ["facenet-casia"]},
        "assets": {"gan-face-generate": ASSETS["gan-face-generate"].sha256},
    }
    assert {name: record[name] for name in expected} == expected
    assert record["config"]["rates"] == [0.01, 0.02]
    assert record["data"]["sha256"] == toy.Noise().config_hash
    assert record["settings"]["batch"] == 8
    assert len(record["commit"]["sha"]) == 40
    assert torch.__version__.startswith(record["versions"]["torch"])
    assert "cores" in record["machine"]
    assert record["minutes"] > 0
    assert set(record["losses"]) == {"critic/real", "critic/fake", "r1/r1", "generator/fake"}
    weights = "checkpoints/step-00000003/weights.safetensors"
    assert {"log.jsonl", weights} <= set(record["files"])
    content = (tmp_path / weights).read_bytes()
    assert record["files"][weights] == hashlib.sha256(content).hexdigest()


def test_scoring_with_an_embedder_that_the_loss_saw_raises(toy, settings):
    method = toy.toy()
    method.embedders = ("dlib",)
    trainer = Trainer(method, toy.Noise(), settings)
    with pytest.raises(ParameterError, match="with the embedder 'dlib', so it can't score the res"):
        run_record.describe(trainer, ["facenet-casia", "dlib"])
    assert run_record.describe(trainer, ["facenet-casia"])["embedders"] == {
        "training": ["dlib"],
        "scoring": ["facenet-casia"],
    }


def test_a_number_that_is_not_finite_is_null(toy, tmp_path, settings):
    evaluation = Evaluation(lambda networks: {"fd": float("nan")}, 3)
    train(toy.toy(), toy.Noise(), settings, tmp_path, evaluation=evaluation, progress=False)
    text = (tmp_path / "record.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["metrics"] == {"fd": None}


@pytest.mark.parametrize("text", [None, "{"])
def test_a_folder_without_a_record_is_named(tmp_path, text):
    if text:
        (tmp_path / "record.json").write_text(text)
    with pytest.raises(TrainingError, match=r"record.json is no record of a run"):
        run_record.read(tmp_path)


def test_configs_become_json(toy):
    assert values_of(toy.Config(rates=(1.0, 2.0)))["rates"] == [1.0, 2.0]
    assert values_of({"a": ({"b": (1,)},)}) == {"a": [{"b": [1]}]}
