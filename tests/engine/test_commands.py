"""`facelab train`, with the toy in the table of methods."""

import os
import signal
import time

import click
import pytest
from click.testing import CliRunner

from facelab.data.anny_faces import AnnyFaces
from facelab.data.packed import pack
from facelab.engine import checkpoints, loop, methods
from facelab.engine.commands import train
from facelab.engine.trainer import Trainer
from facelab.errors import ParameterError

QUICK = ("--steps", "4", "--batch", "8", "--device", "cpu", "--log-every", "2")


@pytest.fixture(autouse=True)
def table(toy, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "toy", f"{toy.__name__}:Toy")
    monkeypatch.setattr("facelab.data.sources.open_dataset", lambda word, **options: toy.Noise())


def run(*arguments: object):
    result = CliRunner().invoke(train, list(map(str, arguments)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_run_and_its_line(tmp_path):
    result = run("toy", *QUICK, "-o", tmp_path / "run")
    assert result.exit_code == 0
    assert result.stdout.startswith("finished after 4 steps, 0.0 minutes; critic/real ")
    assert checkpoints.steps(tmp_path / "run") == ["step-00000004"]


def test_the_options_reach_the_loop(toy, tmp_path, monkeypatch):
    got = {}

    def told(method, dataset, settings, folder, **options):
        got.update(width=method.config.width, settings=settings, folder=folder, **options)
        return loop.Result("finished", 0, 0.0, {}, (), {}, folder)

    monkeypatch.setattr(loop, "train", told)
    run(
        "toy", "--preset", "book", "--minutes", "2", "--seed", "7", "--resume", "--precision",
        "bf16", "--channels-last", "--accumulate", "4", "-o", tmp_path,
    )  # fmt: skip
    settings = got["settings"]
    assert (got["width"], got["preset"], got["resume"], got["folder"]) == (
        16, "book", True, tmp_path,
    )  # fmt: skip
    assert (settings.steps, settings.minutes, settings.seed, settings.batch) == (None, 2.0, 7, 64)
    assert (settings.precision, settings.channels_last, settings.accumulate) == ("bf16", True, 4)


def test_the_first_weights_follow_from_the_seed(toy):
    first, again, other = (methods.build("toy", "tiny", seed) for seed in (1, 1, 2))
    weight = [m.critic[1].weight for m in (first, again, other)]
    assert (weight[0] == weight[1]).all()
    assert not (weight[0] == weight[2]).any()


@pytest.mark.parametrize(
    ("name", "preset", "message"),
    [
        ("dcgann", "tiny", "no method 'dcgann'; did you mean dcgan"),
        ("toy", "huge", "no preset 'huge'; choose from: tiny, book, paper"),
    ],
)
def test_an_unknown_name_is_refused(name, preset, message):
    with pytest.raises(ParameterError, match=message):
        methods.build(name, preset)


def test_the_file_to_go_on_from_reaches_the_method(toy, tmp_path, monkeypatch):
    class Later(toy.Toy):
        follows = "toy"

        @classmethod
        def after(cls, name, path):
            got.append((name, path))
            return cls.preset(name)

    got = []
    monkeypatch.setattr(toy, "Later", Later, raising=False)
    monkeypatch.setitem(methods.METHODS, "later", f"{toy.__name__}:Later")
    result = run("later", *QUICK, "--after", tmp_path / "first", "-o", tmp_path / "run")
    assert result.stdout.startswith("finished after 4 steps")
    assert got == [("tiny", tmp_path / "first")]
    with pytest.raises(ParameterError, match="later goes on from a network of toy; train that"):
        run("later", *QUICK, "-o", tmp_path / "other")
    with pytest.raises(ParameterError, match=r"toy begins with random weights .* out --after"):
        run("toy", *QUICK, "--after", tmp_path / "first", "-o", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_classifier_has_as_many_columns_as_the_data_have_people(toy, tmp_path, monkeypatch):
    got = {}

    def told(method, dataset, *others, **options):
        got["people"] = (method.config.people, method.networks["identity"].out_features)
        return loop.Result("finished", 0, 0.0, {}, (), {}, tmp_path)

    monkeypatch.setattr(loop, "train", told)
    faces = AnnyFaces(64, 3, 2)
    monkeypatch.setattr("facelab.data.sources.open_dataset", lambda word, **options: faces)
    run("d2ae", "--preset", "tiny", *QUICK, "-o", tmp_path)
    assert got["people"] == (3, 3)


def test_an_end_must_be_given(tmp_path):
    with pytest.raises(ParameterError, match="give steps, minutes or both"):
        run("toy", "-o", tmp_path)


def test_without_an_output_nothing_is_trained():
    result = CliRunner().invoke(train, ["toy", "--steps", "1"])
    assert result.exit_code == click.UsageError.exit_code
    assert "-o" in result.output


def test_ctrl_c_says_how_to_go_on(toy, tmp_path, monkeypatch):
    take = Trainer.take

    def interrupted(trainer, batch):
        take(trainer, batch)
        if trainer.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Trainer, "take", interrupted)
    result = run("toy", *QUICK, "-o", tmp_path / "run")
    assert result.exit_code == 130
    assert result.stderr == "interrupted after 2 steps; the same command with --resume goes on\n"
    monkeypatch.undo()
    monkeypatch.setitem(methods.METHODS, "toy", f"{toy.__name__}:Toy")
    monkeypatch.setattr("facelab.data.sources.open_dataset", lambda word, **options: toy.Noise())
    result = run("toy", *QUICK, "-o", tmp_path / "run", "--resume")
    assert result.stdout.startswith("finished after 4 steps")


def test_ctrl_c_on_the_command_line(nursery, toy, tmp_path):
    """The real command in a process of its own, on a packed file."""
    packed = pack(toy.Noise(), tmp_path / "noise.facepack").path
    command = ["train", "toy", "--data", str(packed), "--minutes", "5", "--batch", "4"]
    command += ["--device", "cpu", "--log-every", "1", "-o", str(tmp_path / "run")]
    pid = nursery.start(tmp_path / "said.txt", command=command)
    log, deadline = tmp_path / "run" / "log.jsonl", time.monotonic() + 20
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(pid, signal.SIGINT)
    assert nursery.wait(pid) == 130, (tmp_path / "said.txt").read_text()
    assert "the same command with --resume goes on" in (tmp_path / "said.txt").read_text()
    assert checkpoints.newest(tmp_path / "run").state["step"] > 0
