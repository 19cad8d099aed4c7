"""Whole runs of the toy: how they end, what they write, and how they go on."""

import dataclasses
import errno
import itertools
import json
import math
import os
import signal

import pytest
import torch

from facelab import images
from facelab.assets import cache
from facelab.engine import checkpoints, clock, run_record
from facelab.engine.loop import train
from facelab.engine.settings import Evaluation, Settings
from facelab.engine.watchers import Watcher
from facelab.errors import CheckpointError, ParameterError, TrainingError

BATCH = 8


def settings(steps: int | None = 12, **changes) -> Settings:
    given = {"batch": BATCH, "device": "cpu", "log_every": 1, "workers": 0, **changes}
    return Settings(steps=steps, **given)


def run(toy, folder=None, steps: int | None = 12, method=None, resume=False, **changes):
    """Train a toy; what isn't a setting goes to `train`."""
    own = {k: changes.pop(k) for k in ("evaluation", "watchers", "preset") if k in changes}
    return train(
        method or toy.toy(),
        toy.Noise(),
        settings(steps, **changes),
        folder,
        resume=resume,
        progress=False,
        **own,
    )


def losses(result) -> list[dict]:
    return [dict(entry.losses) for entry in result.history]


def weights(folder) -> dict[str, torch.Tensor]:
    return checkpoints.newest(folder).tensors


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


# --- going on ------------------------------------------------------------------------------------


def interrupted(method, step: int, *signals: int):
    """Have signals sent to this process while a method's first phase is at a step."""
    first, *others = method.phases()

    def loss(batch, at):
        if at.number == step:
            for number in signals or [signal.SIGINT]:
                os.kill(os.getpid(), number)
        return first.loss(batch, at)

    phases = [dataclasses.replace(first, loss=loss), *others]
    method.phases = lambda: phases
    return method


@pytest.mark.parametrize("kind", ["single", "game", "lazy"])
@pytest.mark.parametrize("log_every", [1, 5])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(toy, tmp_path, kind, log_every):
    common = {"log_every": log_every, "checkpoint_every": 7}
    method = {"kind": kind, "dropout": 0.3}
    whole = run(toy, tmp_path / "whole", 20, toy.toy(**method), **common)
    # Step 13 is between two entries of the log: the losses since the first must be kept.
    part = run(toy, tmp_path / "parts", 20, interrupted(toy.toy(**method), 12), **common)
    assert (part.outcome, part.step) == ("interrupted", 13)
    rest = run(toy, tmp_path / "parts", 20, toy.toy(5, **method), resume=True, **common)
    assert (rest.outcome, rest.step) == ("finished", 20)
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    assert losses(rest) == losses(whole)
    assert len(whole.history) == 20 // log_every


def test_a_finished_run_can_be_made_longer(toy, tmp_path):
    run(toy, tmp_path / "a", 8)
    longer = run(toy, tmp_path / "a", 12, toy.toy(9), resume=True)
    whole = run(toy, tmp_path / "b", 12)
    assert losses(longer) == losses(whole)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_a_finished_run_has_nothing_left_to_do(toy, tmp_path):
    first = run(toy, tmp_path)
    again = run(toy, tmp_path, method=toy.toy(9), resume=True)
    assert (again.outcome, again.step) == ("finished", 12)
    assert losses(again) == losses(first)


def test_resume_starts_where_there_is_nothing_yet(toy, tmp_path):
    assert run(toy, tmp_path / "new", resume=True).step == 12


def test_minutes_of_earlier_parts_count(toy, tmp_path):
    first = run(toy, tmp_path)
    second = run(toy, tmp_path, 14, resume=True)
    seconds = [entry.seconds for entry in second.history]
    assert seconds[:12] == [entry.seconds for entry in first.history]
    assert seconds == sorted(seconds)
    assert 60 * second.minutes >= seconds[13] > 0


def test_the_log_has_each_step_once_after_a_resume(toy, tmp_path):
    run(toy, tmp_path, 6, checkpoint_every=3)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": 7, "faces": 1, "seconds": 1, "faces_per_second": 1}) + "\n")
        file.write('{"step": 8, "fa')  # what a kill leaves
    run(toy, tmp_path, 9, resume=True)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 10))
    assert lines[0]["faces"] == BATCH
    assert set(lines[8]["learning_rates"]) == {"critic", "r1", "generator"}


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(toy, tmp_path, capsys):
    whole = run(toy, tmp_path / "a", 12)
    run(toy, tmp_path / "b", 10, checkpoint_every=5)
    last = tmp_path / "b" / "checkpoints" / "step-00000010" / "weights.safetensors"
    last.write_bytes(last.read_bytes()[:100])
    resumed = run(toy, tmp_path / "b", 12, resume=True)
    assert "passed over: " in capsys.readouterr().err
    assert losses(resumed) == losses(whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": {"width": 16}}, "config.width is 8, here it is 16; use the same config.width"),
        ({"seed": 1}, "its seed is 0, here it is 1"),
        ({"batch": 4}, "its batch is 8, here it is 4"),
        ({"precision": "bf16"}, "its precision is 'fp32', here it is 'bf16'"),
    ],
)
def test_another_run_is_not_resumed(toy, tmp_path, change, message):
    run(toy, tmp_path, 2)
    method = toy.toy(**change.pop("method", {}))
    with pytest.raises(CheckpointError, match=message):
        run(toy, tmp_path, 4, method, resume=True, **change)


def test_other_data_are_not_gone_on_with(toy, tmp_path):
    run(toy, tmp_path, 2)
    with pytest.raises(CheckpointError, match=r"its data.sha256 is"):
        train(toy.toy(), toy.Noise(41), settings(4), tmp_path, resume=True, progress=False)


def test_a_folder_that_holds_a_run_is_not_begun_again(toy, tmp_path):
    run(toy, tmp_path, 2)
    with pytest.raises(TrainingError, match="holds a run up to step-00000002; go on with it"):
        run(toy, tmp_path, 2)


def test_two_processes_can_not_train_in_one_folder(toy, tmp_path):
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"), pytest.raises(TrainingError, match="another process trains"):
        run(toy, tmp_path, 2)


# --- ending --------------------------------------------------------------------------------------


def test_a_run_without_a_folder_writes_nothing(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(toy, None, 3)
    assert (result.step, result.folder, len(result.history)) == (3, None, 3)
    assert not os.listdir(tmp_path)


def test_the_result_has_averages_where_they_are_kept(toy):
    method = toy.toy()
    result = run(toy, None, 3, method)
    assert result.networks["critic"] is method.critic
    assert result.networks["generator"] is not method.generator
    assert not any(network.training for network in result.networks.values())


def test_minutes_end_a_run(toy, tmp_path, monkeypatch):
    ticks = itertools.count()  # a second passes whenever the clock is looked at
    monkeypatch.setattr(clock.time, "perf_counter", lambda: float(next(ticks)))
    result = run(toy, tmp_path, None, minutes=0.5)
    monkeypatch.undo()
    assert result.outcome == "out of time"
    assert 0 < result.step < 30
    assert weights(tmp_path)
    assert run_record.read(tmp_path)["outcome"] == "out of time"


def test_ctrl_c_ends_a_run_after_its_step_and_gives_the_handler_back(toy, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    result = run(toy, tmp_path, 12, interrupted(toy.toy(), 4))
    assert (result.outcome, result.step) == ("interrupted", 5)
    assert checkpoints.steps(tmp_path) == ["step-00000005"]
    assert not (tmp_path / "record.json").exists()
    assert signal.getsignal(signal.SIGINT) == before


@pytest.fixture
def raising_ctrl_c():
    """Python's own handler of Ctrl-C, which a program in the background doesn't have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_ends_it_at_once(toy, tmp_path, raising_ctrl_c):
    with pytest.raises(KeyboardInterrupt):
        run(toy, tmp_path, 12, interrupted(toy.toy(), 4, signal.SIGINT, signal.SIGINT))


def test_ctrl_c_and_then_sigterm_as_torchrun_sends_them_is_one_request(toy, tmp_path):
    method = interrupted(toy.toy(), 4, signal.SIGINT, signal.SIGTERM)
    result = run(toy, tmp_path, 12, method)
    assert (result.outcome, result.step) == ("interrupted", 5)
    assert checkpoints.steps(tmp_path) == ["step-00000005"]


@pytest.mark.parametrize("checkpoint_every", [0, 3])
def test_a_loss_that_is_not_finite_stops_it(toy, tmp_path, checkpoint_every):
    method = toy.toy(poison=7)
    last = "the last good checkpoint is .*step-00000006" if checkpoint_every else "no checkpoint"
    with pytest.raises(TrainingError, match=f"phase 'critic': real is inf at step 7; .*{last}"):
        run(toy, tmp_path, 12, method, checkpoint_every=checkpoint_every)
    # Nothing was moved by it.
    state = [t for n in method.networks.values() for t in n.state_dict().values()]
    assert all(torch.isfinite(tensor).all() for tensor in state)
    assert all(p.requires_grad for n in method.networks.values() for p in n.parameters())


def test_weights_that_are_not_finite_are_never_kept(toy, tmp_path):
    method = toy.toy(kind="single")

    def after(means):
        with torch.no_grad():
            method.critic[1].bias[0] = math.nan  # nothing that the loss sees
        return {}

    phases = [dataclasses.replace(phase, after=after) for phase in method.phases()]
    method.phases = lambda: phases
    with pytest.raises(TrainingError, match=r"critic.1.bias is not finite after step 2; there is"):
        run(toy, tmp_path, 3, method)
    assert checkpoints.steps(tmp_path) == []


def test_a_full_disk_stops_it_and_loses_nothing(toy, tmp_path, monkeypatch):
    write = checkpoints._write

    def full(part, tensors, state):
        if state["step"] > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(part, tensors, state)

    monkeypatch.setattr(checkpoints, "_write", full)
    with pytest.raises(CheckpointError, match=r"no space is left on the disk .*step-00000006"):
        run(toy, tmp_path, 12, checkpoint_every=3)
    monkeypatch.undo()
    whole, rest = run(toy, None, 12), run(toy, tmp_path, 12, resume=True)
    assert losses(rest) == losses(whole)


def test_a_log_that_finds_no_room_says_where_to_go_on(toy, tmp_path):
    class Full(Watcher):
        def log(self, entry):
            if entry.step == 5:
                raise cache.disk_full("log.jsonl", tmp_path)

        def show(self, step, picture):
            pass

        def close(self):
            pass

    with pytest.raises(TrainingError, match=r"no space is left .*good checkpoint is .*step-000000"):
        run(toy, tmp_path, 12, checkpoint_every=2, watchers=[Full()])
    assert losses(run(toy, tmp_path, 12, resume=True)) == losses(run(toy, None, 12))


def test_global_random_streams_are_given_back(toy):
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    run(toy, None, 2)
    assert torch.equal(torch.rand(3), expected)


# --- evaluation ----------------------------------------------------------------------------------


def test_evaluations_come_when_they_are_due_and_at_the_end(toy, tmp_path):
    measured = []

    def measure(networks):
        assert not any(m.training for n in networks.values() for m in n.modules())
        measured.append(len(measured))
        return {"score": 1.0 / (1 + len(measured))}

    method = toy.toy()
    result = run(toy, tmp_path, 10, method, evaluation=Evaluation(measure, 4), log_every=100)
    assert measured == [0, 1, 2]
    assert result.metrics == {"score": 0.25}
    assert [(e.step, dict(e.metrics)) for e in result.history] == [
        (4, {"score": 0.5}), (8, {"score": pytest.approx(1 / 3)}), (10, {"score": 0.25}),
    ]  # fmt: skip
    assert run_record.read(tmp_path)["metrics"] == {"score": 0.25}


def test_a_run_that_gets_no_better_stops_and_keeps_its_best(toy, tmp_path):
    scores = iter([5.0, 6.0, 3.0, 4.0, math.nan, 3.0, 1.0])
    evaluation = Evaluation(lambda networks: {"fd": next(scores)}, 2, watch="fd", patience=3)
    result = run(toy, tmp_path, 20, evaluation=evaluation, keep=1)
    assert (result.outcome, result.step) == ("stopped early", 12)
    assert checkpoints.steps(tmp_path) == ["step-00000006", "step-00000012"]
    record = run_record.read(tmp_path)
    assert record["best"] == {"step": 6, "value": 3.0}
    again = run(toy, tmp_path, 20, evaluation=evaluation, resume=True, keep=1)
    assert (again.outcome, again.step) == ("stopped early", 12)


def test_the_best_and_the_patience_survive_a_resume(toy, tmp_path):
    scores = iter([3.0, 4.0, 5.0, 6.0])
    evaluation = Evaluation(lambda networks: {"fd": next(scores)}, 2, watch="fd", patience=3)
    run(toy, tmp_path, 4, evaluation=evaluation)
    result = run(toy, tmp_path, 20, evaluation=evaluation, resume=True)
    assert (result.outcome, result.step) == ("stopped early", 8)


def test_a_watched_number_that_is_not_measured_is_named(toy):
    evaluation = Evaluation(lambda networks: {"a": 1.0}, 2, watch="b")
    with pytest.raises(ParameterError, match="the evaluation measures a; 'b', which is watched"):
        run(toy, None, 4, evaluation=evaluation)


def test_an_embedder_that_the_loss_saw_may_not_score(toy):
    method = toy.toy()
    method.embedders = ("dlib", "book")
    evaluation = Evaluation(lambda networks: {}, 1, embedders=("facenet-casia", "book"))
    with pytest.raises(ParameterError, match="with the embedder 'book', so it can't score"):
        run(toy, None, 1, method, evaluation=evaluation)


def test_an_evaluation_changes_nothing_in_training(toy):
    def measure(networks):
        torch.manual_seed(0)
        networks["generator"](torch.rand(5, 3))
        return {}

    results = []
    for options in ({}, {"evaluation": Evaluation(measure, 2)}):
        method = toy.toy(normalised=True, dropout=0.2)
        method.averaged = ()  # so that what is measured is what is trained
        results.append(losses(run(toy, None, 6, method, **options)))
    assert results[0] == results[1]


# --- previews ------------------------------------------------------------------------------------


@pytest.mark.parametrize("averaged", [("generator",), ()])
def test_previews_are_grids_of_the_best_networks_faces(toy, tmp_path, averaged):
    method = toy.toy(dropout=0.5)
    method.averaged = averaged
    result = run(toy, tmp_path, 5, method, preview_every=2, preview_faces=9)
    names = ["step-00000002.png", "step-00000004.png", "step-00000005.png"]
    assert sorted(os.listdir(tmp_path / "previews")) == names
    found = images.load_image(tmp_path / "previews" / names[-1])
    with torch.no_grad():
        faces = method.preview(result.networks, toy.Noise().batch(range(9)))
    expected = images.to_uint8(images.grid(faces, columns=3))
    assert torch.equal(images.to_uint8(found), expected)


def test_without_a_folder_or_a_watcher_nothing_is_drawn(toy):
    method = toy.toy()
    method.preview = None
    assert run(toy, None, 4, method, preview_every=1).step == 4
