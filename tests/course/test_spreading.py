import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from io import StringIO

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from facelab.book.ranges import Question
from facelab.course import record, spreading, supervising
from facelab.course.limits import Limits
from facelab.course.roster import Student
from facelab.errors import BookError

LIMITS = Limits(cell_seconds=60)
IDS = ("ada", "bob", "eve")


@pytest.fixture
def assignment(tmp_path):
    """An assignment that three students handed in; bob's has an error."""
    made = record.Assignment(
        folder=tmp_path / "course",
        chapter="01_sums",
        title="Sums",
        profile="smoke",
        due=None,
        students=tuple(Student(each, each.title()) for each in IDS),
        parameters={each: {"start": place} for place, each in enumerate(IDS)},
        questions=(Question("total", "What is the total?", "start + 1", 0.5, 4),),
        sha256="",
        key_fingerprint="",
    )
    made.folder.mkdir()
    record.write(made)
    for each in IDS:
        source = "1 / 0" if each == "bob" else "reported_total = start"
        hand_in(made, each, source)
    return made


def hand_in(assignment, student, source):
    path = assignment.submitted(student)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), path)


def stamps(assignment):
    """When each result was written."""
    files = {each: assignment.run_folder(each) / "result.json" for each in IDS}
    return {each: file.stat().st_mtime_ns for each, file in files.items() if file.exists()}


@pytest.mark.parametrize("jobs", [1, 3])
def test_all_are_run_and_told(assignment, jobs):
    stream = StringIO()
    results = spreading.run_all(assignment, IDS, LIMITS, "auto", jobs=jobs, stream=stream)
    assert [each["student"] for each in results] == list(IDS)
    assert [each["outcome"] for each in results] == ["ok", "error", "ok"]
    assert [each["reported"] for each in results] == [{"total": 0}, {}, {"total": 2}]
    told = stream.getvalue()
    assert "run  0 of 3\n" in told
    assert "bob  error  " in told
    assert "cell 1 raised ZeroDivisionError" in told


def test_what_is_finished_is_not_repeated(assignment):
    spreading.run_all(assignment, IDS[:2], LIMITS, "auto", stream=StringIO())
    before = stamps(assignment)
    assert set(before) == {"ada", "bob"}
    results = spreading.run_all(assignment, IDS, LIMITS, "auto", stream=StringIO())
    assert len(results) == 3
    after = stamps(assignment)
    assert {each: after[each] for each in before} == before


def test_solutions_are_spread_too(assignment):
    notebook = new_notebook(cells=[new_code_cell("start = 5", metadata={"tags": ["parameters"]})])
    results = spreading.run_keys(
        assignment, IDS, LIMITS, "auto", notebook=lambda each: notebook, jobs=2, stream=StringIO()
    )
    assert [each["reported"] for each in results] == [{"total": 1}, {"total": 2}, {"total": 3}]
    assert len(list(assignment.run_folder("keys").iterdir())) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
def test_a_stop_keeps_what_is_finished(assignment, number):
    hand_in(assignment, "eve", "import time; time.sleep(300)")
    program = f"""
import signal
from pathlib import Path
from facelab.course import record, spreading
from facelab.course.limits import Limits
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
assignment = record.read(Path({str(assignment.folder)!r}))
spreading.run_all(assignment, {IDS!r}, Limits(cell_seconds=60), "auto", jobs=1)
"""
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(stamps(assignment)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    before = stamps(assignment)
    time.sleep(1)
    process.send_signal(number)
    assert process.wait(timeout=30) != 0
    assert set(before) == {"ada", "bob"}
    hand_in(assignment, "eve", "reported_total = start")
    results = spreading.run_all(assignment, IDS, LIMITS, "auto", stream=StringIO())
    assert [each["outcome"] for each in results] == ["ok", "error", "ok"]
    after = stamps(assignment)
    assert {each: after[each] for each in before} == before
    left = supervising.PREFIX + str(process.pid)
    assert not [name for name in os.listdir(tempfile.gettempdir()) if name.startswith(left)]


def test_workspaces_of_killed_runs_are_removed(monkeypatch, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(spreading.tempfile, "gettempdir", lambda: str(tmp_path))
    names = [f"facelab-run-{ended.pid}-a", f"facelab-run-{os.getpid()}-b", "facelab-run-x", "other"]
    for name in names:
        (tmp_path / name / "below").mkdir(parents=True)
    spreading.remove_leftovers()
    assert sorted(os.listdir(tmp_path)) == sorted(names[1:])


def test_a_fault_of_the_machine_ends_the_run(assignment, monkeypatch):
    program = "import sys; sys.exit('no room')"
    monkeypatch.setattr(supervising, "COMMAND", [sys.executable, "-c", program])
    with pytest.raises(BookError, match="no kernel was started"):
        spreading.run_all(assignment, IDS, LIMITS, "auto", jobs=2, stream=StringIO())
    assert stamps(assignment) == {}


def test_jobs_and_students_are_checked_first(assignment):
    with pytest.raises(BookError, match="jobs: expected 1 or more, got 0"):
        spreading.run_all(assignment, IDS, LIMITS, "auto", jobs=0, stream=StringIO())
    with pytest.raises(BookError, match="no student 'zoe'"):
        spreading.run_all(assignment, ["zoe"], LIMITS, "auto", stream=StringIO())


def test_without_dask_it_is_said_how_to_get_it(assignment, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BookError, match="`pip install distributed`"):
        spreading.run_all(assignment, IDS, LIMITS, "auto", scheduler="tcp://here:1")


@pytest.mark.filterwarnings("default")  # dask's own
def test_a_scheduler_that_does_not_answer(assignment, monkeypatch):
    pytest.importorskip("distributed", reason="the extra `course` isn't installed")
    monkeypatch.setattr(spreading, "CONNECT_S", 0.5)
    with pytest.raises(BookError, match=r"no dask scheduler answers at tcp://127.0.0.1:9"):
        spreading.run_all(assignment, IDS, LIMITS, "auto", scheduler="tcp://127.0.0.1:9")


@pytest.mark.filterwarnings("default")  # dask's own
def test_a_local_cluster_gives_the_same(assignment):
    distributed = pytest.importorskip("distributed", reason="the extra `course` isn't installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        there = spreading.run_all(assignment, IDS, LIMITS, "auto", scheduler=address)
    before = stamps(assignment)
    here = spreading.run_all(assignment, IDS, LIMITS, "auto", stream=StringIO())
    assert json.dumps(there) == json.dumps(here)
    assert stamps(assignment) == before
    assert [each["outcome"] for each in there] == ["ok", "error", "ok"]
