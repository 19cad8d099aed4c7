"""What looks on: the log file, TensorBoard, the live curve."""

import builtins
import sys
import types

import pytest
import torch

from facelab.engine import live_curve
from facelab.engine.live_curve import LiveCurve
from facelab.engine.loop import train
from facelab.engine.settings import Settings
from facelab.engine.watchers import Entry, Files, TensorBoard
from facelab.errors import AssetError, ParameterError

PICTURE = torch.zeros(1, 3, 4, 4)


def entry(step: int, **losses: float) -> Entry:
    found = {name.replace("_", "/"): value for name, value in losses.items()}
    return Entry(step, 8 * step, 1.5, 100.0, found, {"d": 0.1}, {"fd": 2.0})


def test_entries_come_back_from_the_file(tmp_path):
    files = Files(tmp_path, 0)
    entries = [entry(step, d_real=0.1 + step) for step in (1, 2, 3)]
    for one in entries:
        files.log(one)
    assert Files(tmp_path, 2).history == entries[:2]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_a_log_that_can_not_be_written_is_named(tmp_path):
    files = Files(tmp_path, 0)
    (tmp_path / "log.jsonl").unlink()
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(AssetError, match=r"log.jsonl can't be written"):
        files.log(entry(1))


def test_tensorboard_that_is_missing_is_named(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith(("tensorboard", "torch.utils.tensorboard")):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ParameterError, match="not installed; run: pip install tensorboard, or lea"):
        TensorBoard(tmp_path)


def test_tensorboard_gets_every_number_at_its_step(monkeypatch, tmp_path):
    told = {}

    class SummaryWriter:
        def __init__(self, folder):
            told["folder"] = folder

        def add_scalar(self, name, value, step):
            told[name, step] = value

        def add_image(self, name, picture, step):
            told[name, step] = picture

        def close(self):
            told["closed"] = True

    stand_in = types.ModuleType("torch.utils.tensorboard")
    stand_in.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    board = TensorBoard(tmp_path)
    board.log(entry(7, d_real=0.5))
    board.show(7, PICTURE)
    board.close()
    picture = told.pop(("preview", 7))
    assert torch.equal(picture, torch.full((3, 4, 4), 0.5))
    assert told == {
        "folder": str(tmp_path),
        ("losses/d/real", 7): 0.5,
        ("learning_rates/d", 7): 0.1,
        ("metrics/fd", 7): 2.0,
        ("faces_per_second", 7): 100.0,
        "closed": True,
    }


def test_the_curve_has_a_panel_a_phase_and_a_line_a_term():
    history = [entry(1, d_real=1.0, d_fake=2.0), entry(2, d_real=0.5, g_fake=3.0)]
    figure = live_curve.draw(history)
    first, second = figure.axes
    assert [axes.get_title() for axes in (first, second)] == ["d", "g"]
    lines = {line.get_label(): line.get_xydata().tolist() for line in first.get_lines()}
    assert lines == {"real": [[1, 1.0], [2, 0.5]], "fake": [[1, 2.0]]}
    (chosen,) = live_curve.draw(history, ["g/fake"]).axes
    assert [line.get_label() for line in chosen.get_lines()] == ["fake"]


def test_the_curve_is_one_picture_that_changes(monkeypatch, toy):
    shown = []

    class Handle:
        def update(self, content, **options):
            shown.append(content["text/plain"])

    def display(content, **options):
        assert content["image/png"].startswith(b"\x89PNG")
        shown.append(content["text/plain"])
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    curve = LiveCurve(every=2)
    settings = Settings(steps=5, batch=8, log_every=1, device="cpu", workers=0)
    train(toy.toy(), toy.Noise(), settings, watchers=[curve], progress=False)
    assert [text.split(":")[0] for text in shown] == [
        f"Losses over the steps, at step {step}" for step in (2, 4, 5)
    ]


def test_outside_a_notebook_the_curve_only_remembers(capsys):
    curve = LiveCurve()
    curve.log(entry(1, d_real=1.0))
    curve.show(1, PICTURE)
    curve.close()
    assert len(curve.history) == 1
    assert capsys.readouterr().out == ""
