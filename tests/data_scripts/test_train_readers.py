"""The trainer of the readers: a killed run goes on to the same weights, and the record is true."""

import json
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from data_scripts import train_readers
from data_scripts.reader_parts import pictures, tasks
from facelab.recognition import face_points, face_readers

FEW = {"train": (32, 2), "test": (4, 2)}
OPTIONS = ("--what", "pose", "--preset", "TINY", "--steps", "6", "--faces", "64", "--threads", "1")
KILLED = """
import os, signal, sys
from data_scripts import train_readers
from data_scripts.reader_parts import pictures
pictures.PARTS, train_readers.KEEP_S = {few}, -1
step = train_readers.Run._step
def struck(run, faces):
    if run.steps == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(run, faces)
train_readers.Run._step = struck
train_readers.main(sys.argv[1:])
"""


@pytest.fixture
def trained(tmp_path, monkeypatch, capsys):
    """Train in a cache of its own; return the tensors and the printed record."""
    monkeypatch.setattr(pictures, "PARTS", FEW)
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))

    def run(name: str, *more: str) -> tuple[dict, dict]:
        path = tmp_path / f"{name}.safetensors"
        assert train_readers.main([*OPTIONS, *more, "-o", str(path)]) == 0
        printed = capsys.readouterr().out
        face_readers.load_pose(path)
        return load_file(path), json.loads(printed[printed.index("{") :])

    return run


def test_a_killed_run_goes_on_to_the_same_weights(trained, tmp_path):
    whole, _ = trained("whole", "--seed", "3")
    again, _ = trained("again", "--seed", "4")
    command = [sys.executable, "-c", KILLED.format(few=FEW), *OPTIONS, "--seed", "3"]
    out = subprocess.run([*command, "-o", str(tmp_path / "x")], capture_output=True)
    assert out.returncode == -signal.SIGKILL
    assert not (tmp_path / "x").exists()
    assert len(list((tmp_path / "cache/readers").glob("*.state"))) == 1
    resumed, record = trained("resumed", "--seed", "3")
    assert record["steps"] == 6
    assert not list((tmp_path / "cache/readers").glob("*.state"))
    assert all(resumed[name].equal(tensor) for name, tensor in whole.items())
    assert not all(again[name].equal(tensor) for name, tensor in whole.items())


def test_the_record_is_written_and_names_its_people(trained, tmp_path):
    _, printed = trained("reader", "--record", str(tmp_path / "record.json"))
    written = json.loads((tmp_path / "record.json").read_text())
    assert written == printed
    assert written["faces"] == 64
    assert written["measured_faces"] == 8
    assert written["trained_on"] != written["measured_on"]
    assert set(written["metrics"]) == {"yaw_error_deg", "pitch_error_deg", "roll_error_deg"}


def test_options_that_make_no_training(capsys):
    with pytest.raises(SystemExit):
        train_readers.main(["--what", "pose", "--steps", "0", "-o", "x"])
    assert "at least 1 step, 64 faces and 1 thread" in capsys.readouterr().err


LEARNERS = {"landmarks": face_points.load, "landmarks_judge": face_readers.load_landmarks}


def test_landmarks_and_their_judge_learn_from_other_faces(tmp_path, monkeypatch, capsys):
    """Neither sees the generated faces of the other, nor those that both are measured with."""
    monkeypatch.setattr(pictures, "PARTS", FEW)
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    asked = []

    def generated(count, seed):
        asked.append((count, seed))
        drawn = torch.Generator().manual_seed(seed)
        points = torch.rand(8, 5, 2, generator=drawn) * 64
        return torch.randint(256, (8, 64, 64, 3), generator=drawn, dtype=torch.uint8), points

    monkeypatch.setattr(pictures, "generated", generated)
    sizes, said = {}, {}
    for what, load in LEARNERS.items():
        path = tmp_path / f"{what}.safetensors"
        options = ("--what", what, "--steps", "2", "-o", str(path))
        assert train_readers.main([*OPTIONS, *options]) == 0
        printed = capsys.readouterr().out
        said[what] = json.loads(printed[printed.index("{") :])
        sizes[what] = type(load(path))
    assert sizes == {
        "landmarks": face_points.LandmarkRegressor,
        "landmarks_judge": face_readers.LandmarkJudge,
    }
    learnt, judged = asked[0], asked[2]
    assert asked == [tasks.GENERATED, tasks.HELD_OUT, tasks.JUDGES, tasks.HELD_OUT]
    assert len({learnt[1], judged[1], tasks.HELD_OUT[1]}) == 3
    for record, (count, seed) in zip(said.values(), (learnt, judged), strict=True):
        assert record["weak_labels"].startswith(f"{count} faces of gan-face-generate, seed {seed},")
    assert said["landmarks"]["measured_on"] == said["landmarks_judge"]["measured_on"]
