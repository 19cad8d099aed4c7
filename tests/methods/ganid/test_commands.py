"""`facelab search` from the command line: what it says, its exit codes, and kill -9."""

import json
import os
import random as chances
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from facelab import assets, cli
from facelab.generators import catalogue
from facelab.images import load_image, save_image
from facelab.methods.ganid import commands, greedy, search, session, verdict
from facelab.methods.ganid.scoring import Scorer
from facelab.recognition import embedder as recognisers
from facelab.recognition.mtcnn import Faces

NOBODY = Faces(torch.zeros(0, 4), torch.zeros(0, 5, 2), torch.zeros(0))


@pytest.fixture
def tiny(monkeypatch, stripes, patches):
    """The linear generator, recognisers of patches, no detector at the end."""
    monkeypatch.setattr(catalogue, "generator", lambda name, device: stripes)
    named = type(patches)
    monkeypatch.setattr(recognisers, "embedder", lambda name, device: named(name).eval())
    monkeypatch.setattr(verdict, "find_faces", lambda picture: NOBODY)


@pytest.fixture
def picture(tmp_path, stripes, random) -> Path:
    path = tmp_path / "one.png"
    save_image(stripes(torch.randn(1, 6, generator=random)), path)
    return path


def run(*arguments: object) -> int:
    """Call `facelab search` and return the exit code."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(["search", *map(str, arguments)])
    return stopped.value.code or 0


def refused(capsys, *arguments: object) -> str:
    """Call it with something wrong; return the one line of standard error."""
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_the_choices_are_what_there_is():
    assert list(commands.STRATEGIES) == list(search.STRATEGIES)
    assert list(commands.READINGS) == list(greedy.READINGS)


def test_what_is_said_and_written(tiny, picture, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--aligned", "--alignment", "fixed", "--budget", 1200, "--threshold", 0)
    assert run("--target", picture, *options, "-o", out) == 0
    said = capsys.readouterr()
    assert said.err == ""
    facts = json.loads((out / "trace.json").read_text())
    assert said.out == (
        f"greedy: {facts['best_distance']:.3f} by dlib after 1,200 evaluations (budget); faceres, "
        "which the search never asked: MTCNN finds no face (same person below 0.040); "
        f"{out / 'trace.json'}\n"
    )
    wanted = {"strategy", "evaluations", "best_distance", "distance_unseen_embedder",
              "stopped_because", "curve"}  # fmt: skip
    assert wanted <= set(facts)
    assert set(facts["curve"][0]) == {"evaluations", "distance", "stage"}
    assert {path.name for path in out.iterdir()} == set(session.RESULTS)
    again = refused(capsys, "--target", picture, *options, "-o", out)
    assert "is of a finished search; give another folder" in again


def test_every_option_arrives(tiny, picture, monkeypatch, tmp_path):
    seen = []

    def record(order, warn):
        seen.append(order)
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "run", record)
    assert (
        run("--target", picture, "--target", picture, "--generator", "began", "--embedder", "book",
            "--judge", "dlib", "--strategy", "greedy", "--reading", "printed", "--budget", 7,
            "--threshold", 0.5, "--seed", 9, "--alignment", "fixed", "--policy", "central",
            "--aligned", "--device", "cpu", "--resume", "-o", tmp_path / "out") == 130
    )  # fmt: skip
    settings = search.Settings(7, 0.5, 9)
    assert seen == [
        session.Order(
            (picture, picture), tmp_path / "out", settings, "greedy", "printed", "began", "book",
            "dlib", "fixed", "central", True, "cpu", True,
        )
    ]  # fmt: skip
    assert run("--target", picture, "-o", tmp_path / "out") == 130
    assert seen[1] == session.Order((picture,), tmp_path / "out", search.Settings())


def test_ctrl_c_says_how_to_go_on(tiny, picture, tmp_path, monkeypatch, capsys):
    """And so does the same command with --resume, whatever happened before."""
    options = ("--target", picture, "--aligned", "--alignment", "fixed", "--budget", 1200,
               "--threshold", 0)  # fmt: skip
    assert run(*options, "-o", tmp_path / "whole") == 0
    capsys.readouterr()
    original, drawn = Scorer.faces, []

    def draw(scorer, latent):
        drawn.append(len(latent))
        if sum(drawn) == 1100 + 50:
            raise KeyboardInterrupt
        return original(scorer, latent)

    monkeypatch.setattr(Scorer, "faces", draw)
    assert run(*options, "-o", tmp_path / "out") == 130
    assert capsys.readouterr().err == (
        "interrupted after 1,100 evaluations; the same command with --resume goes on\n"
    )
    assert run(*options, "-o", tmp_path / "out", "--resume") == 0
    for name in ("trace.json", "latent.safetensors"):
        first, second = (tmp_path / folder / name for folder in ("whole", "out"))
        assert first.read_bytes() == second.read_bytes(), name


# --- what is refused, before anything is loaded or after -----------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--budget", 0), "ParameterError: a budget of 0 evaluations finds nothing; give at least"),
        (("--threshold", 5), "ParameterError: a threshold of 5.0 is no squared distance; give 0"),
        (("--strategy", "random", "--reading", "printed"), "leave it out, or choose --strategy gr"),
        (("--generator", "stylgan"), "ParameterError: there is no generator 'stylgan'; did you m"),
        (("--embedder", "arcface"), "ParameterError: there is no recogniser called 'arcface'; ch"),
        (("--judge", "dlib"), "ParameterError: dlib can't judge a search that it led"),
    ],
)
def test_a_wrong_option_is_one_line(options, said, picture, tmp_path, capsys):
    out = tmp_path / "out"
    assert said in refused(capsys, "--target", picture, *options, "-o", out)
    assert not out.exists()


def test_a_target_without_a_face_or_with_two_is_one_line(tiny, tmp_path, capsys):
    wall, pair, out = tmp_path / "wall.png", tmp_path / "pair.png", tmp_path / "out"
    save_image(torch.zeros(1, 3, 64, 64), wall)
    half = load_image(assets.path("astronaut"))[..., :320, 100:400]
    save_image(torch.cat([half, half], dim=3), pair)
    assert f"FaceCountError: {wall}: no face was" in refused(capsys, "--target", wall, "-o", out)
    assert f"FaceCountError: {pair}: 2 faces were" in refused(capsys, "--target", pair, "-o", out)
    assert not out.exists()


def test_two_people_are_warned_of_and_searched_all_the_same(tiny, picture, tmp_path, capsys):
    other = tmp_path / "other.png"
    save_image((10 * (load_image(picture) + 0.3)).clamp(-1, 1), other)
    options = ("--aligned", "--alignment", "fixed", "--budget", 50)
    assert run("--target", picture, "--target", other, *options, "-o", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {picture} and {other} are ")
    assert said.count("\n") == 1


def test_a_missing_option_says_how_to_call(capsys):
    assert run("-o", "somewhere") == 2
    assert "Missing option '--target'" in capsys.readouterr().err


# --- kill -9 -------------------------------------------------------------------------------------

CHILD = """
import importlib.util, sys, time
import torch
spec = importlib.util.spec_from_file_location("toys", sys.argv[1])
toys = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toys)
from facelab import cli
from facelab.generators import catalogue
from facelab.methods.ganid import session, verdict
from facelab.recognition import embedder as recognisers
from facelab.recognition.mtcnn import Faces
session.KEEP_S = 0.0
catalogue.generator = lambda name, device: toys.Stripes()
recognisers.embedder = lambda name, device: toys.Patches(name).eval()
nobody = Faces(torch.zeros(0, 4), torch.zeros(0, 5, 2), torch.zeros(0))
verdict.find_faces = lambda picture: (time.sleep(30 * float(sys.argv[2])), nobody)[1]
ask = session.search.passes
def slowly(*given):
    for trace in ask(*given):
        yield trace
        time.sleep(float(sys.argv[2]))
session.search.passes = slowly
cli.main(["search", *sys.argv[3:]])
"""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", commands.STRATEGIES)
def test_a_killed_search_ends_as_if_it_had_not_been(strategy, tiny, picture, tmp_path, stripes):
    """Two kills, each at a moment of its own: in the middle of a pass, or of writing."""
    other = tmp_path / "other.png"
    save_image(-stripes(torch.ones(1, 6)), other)  # nothing is close to both
    options = ("--target", picture, "--target", other, "--aligned", "--alignment", "fixed",
               "--budget", 3000, "--strategy", strategy)  # fmt: skip
    assert run(*options, "-o", tmp_path / "whole") == 0
    out, chance = tmp_path / "out", chances.Random(strategy)
    toys = Path(__file__).parent / "conftest.py"

    def start(pause: float, *more: str) -> subprocess.Popen:
        given = (toys, pause, *options, "-o", out, *more)
        return subprocess.Popen([sys.executable, "-c", CHILD, *map(str, given)])

    def written() -> int:
        state = out / session.STATE
        return state.stat().st_mtime_ns if state.exists() else 0

    for resume in ([], ["--resume"]):
        before, child = written(), start(0.05, *resume)
        while written() == before:
            assert child.poll() is None
            time.sleep(0.005)
        time.sleep(0.1 * chance.random())
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert not (out / "trace.json").exists()
    assert start(0.0, "--resume").wait() == 0
    for name in ("trace.json", "latent.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert {path.name for path in out.iterdir()} == set(session.RESULTS)
