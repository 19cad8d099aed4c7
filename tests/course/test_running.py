"""Submissions that are run: what each comes to, and that none does harm. Without torch."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from facelab.book.ranges import Question
from facelab.course import record, running, sandbox, supervising
from facelab.course.limits import Limits
from facelab.course.roster import Student
from facelab.course.sandbox import Isolation
from facelab.course.supervising import Outcome, Work
from facelab.errors import BookError

PARAMETERS = new_code_cell("start = 1\nname = 'nobody'", metadata={"tags": ["parameters"]})
VALUES = {"start": 7, "name": "ada"}
LIMITS = Limits(cell_seconds=60, notebook_seconds=100)


# The best of this machine is tried every time, the others with the slow tests.
OTHERS = [each for each in Isolation if each != sandbox.choose("auto")]


@pytest.fixture(
    params=[
        sandbox.choose("auto"),
        *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS),
    ],
    ids=str,
)
def isolation(request):
    """Each isolation that works on this machine."""
    if why := sandbox.trouble(request.param):
        pytest.skip(f"{request.param}: {why}")
    return request.param


@pytest.fixture
def assignment(tmp_path):
    """An assignment with one student and one question, made without a chapter."""
    question = Question("total", "What is the total?", "total", 0.5, 4)
    made = record.Assignment(
        folder=tmp_path / "course",
        chapter="01_sums",
        title="Sums",
        profile="smoke",
        due=None,
        students=(Student("ada", "Ada"),),
        parameters={"ada": VALUES},
        questions=(question,),
        sha256="",
        key_fingerprint="",
    )
    made.submitted("ada").parent.mkdir(parents=True)
    return made


@pytest.fixture
def hand_in(assignment):
    """Return a function that hands in cells, as text or as they are."""

    def hand_in(*cells):
        made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        nbformat.write(new_notebook(cells=made), assignment.submitted("ada"))

    return hand_in


@pytest.fixture
def run(assignment, hand_in):
    """Return a function that hands in cells below the parameters and runs them."""

    def run(*cells, isolation="auto", limits=LIMITS, parameters=PARAMETERS):
        hand_in(*([parameters] if parameters else []), *cells)
        result = running.run_one(assignment, "ada", limits, isolation)
        assert not list(Path(tempfile.gettempdir()).glob(f"{supervising.PREFIX}{os.getpid()}-*"))
        return result

    return run


def executed(assignment):
    return nbformat.read(assignment.run_folder("ada") / "executed.ipynb", as_version=4)


def printed(assignment) -> str:
    """All that a run's cells printed."""
    cells = [cell for cell in executed(assignment).cells if cell.cell_type == "code"]
    return "".join(out.get("text", "") for cell in cells for out in cell.outputs)


def test_a_run_keeps_outputs_and_reported_numbers(run, assignment, isolation):
    result = run("print(name, start)", "reported_total = start * 2", isolation=isolation)
    assert result["outcome"] == "ok"
    assert result["message"] == "every cell ran"
    assert result["reported"] == {"total": 14}
    assert result["isolation"] == isolation
    assert printed(assignment) == "ada 7\n"
    kept = json.loads((assignment.run_folder("ada") / "result.json").read_text())
    assert kept == result
    assert kept["limits"]["cell_seconds"] == 60
    assert 20 < kept["peak_memory_mb"] < 1000
    assert 0 < kept["seconds"] < 60


def test_the_cells_after_an_error_run(run, assignment, isolation):
    prose = new_markdown_cell("# Words")
    cells = ("print('before')", "1 / 0", "open('none')", "print('after'); reported_total = 3")
    result = run(prose, *cells, isolation=isolation)
    assert (result["outcome"], result["cell"]) == ("error", 4)
    assert result["message"] == (
        "cell 4 raised ZeroDivisionError: division by zero; the cells after it ran all the same"
    )
    assert result["reported"] == {"total": 3}
    assert printed(assignment) == "before\nafter\n"


def test_an_error_that_a_tag_announces_is_none(run):
    expected = new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]})
    assert run(expected)["outcome"] == "ok"


def test_a_cell_that_is_no_python(run):
    result = run("def f(:", "reported_total = 1")
    assert (result["outcome"], result["cell"]) == ("error", 2)
    assert result["message"].startswith("cell 2 raised SyntaxError: invalid syntax")


def test_halves_of_characters_are_survived(run, assignment):
    result = run("print(chr(0xD83D))", "raise ValueError(chr(0xD83D))")
    assert result["outcome"] == "error"
    assert result["message"].startswith("cell 3 raised UnicodeEncodeError")
    assert executed(assignment).cells[2].outputs


def test_an_endless_loop_is_stopped(run, assignment, isolation):
    limits = Limits(cell_seconds=2)
    result = run("print('before')", "while True: pass", "print(3)", isolation=isolation,
                 limits=limits)  # fmt: skip
    assert (result["outcome"], result["cell"]) == ("time", 3)
    assert result["message"] == (
        "cell 3 was stopped: it took longer than 2 s; see whether a loop in it ever ends"
    )
    assert result["reported"] == {}
    assert printed(assignment) == "before\n"


def test_a_notebook_has_a_limit_too(run, assignment):
    limits = Limits(notebook_seconds=2)
    sleep = "import time; print('slept'); time.sleep(1.2)"
    result = run(sleep, sleep, sleep, limits=limits)
    assert result["outcome"] == "time"
    assert result["message"].startswith("the notebook took longer than 2 s and was stopped in cell")
    assert printed(assignment).startswith("slept\n")


def test_a_memory_bomb_is_stopped(run, assignment, isolation):
    bomb = "held = []\nwhile True:\n    held.append(bytearray(50_000_000))"
    result = run("print('before')", bomb, isolation=isolation, limits=Limits(memory_mb=300))
    assert (result["outcome"], result["cell"]) == ("memory", 3)
    assert "cell 3 was stopped: more than 300 MB of memory were used" in result["message"]
    assert result["peak_memory_mb"] > 300
    assert printed(assignment) == "before\n"


def test_a_full_disk_is_prevented(run, isolation):
    fill = "with open('large', 'wb') as file:\n    for _ in range(2000):\n        "
    fill += "file.write(bytes(1_000_000))"
    result = run(fill, isolation=isolation, limits=Limits(disk_mb=50))
    assert (result["outcome"], result["cell"]) == ("disk", 2)
    assert "more than 50 MB were written to the disk; write less" in result["message"]


@pytest.mark.parametrize(
    "program",
    ["for _ in range(200):\n    print('x' * 1_000_000)", "print('x' * 200_000_000)"],
    ids=["lines", "one line"],
)
def test_200_mb_of_output(run, assignment, isolation, program):
    result = run("print('before')", program, isolation=isolation)
    assert (result["outcome"], result["cell"]) == ("output", 3)
    assert result["message"] == (
        "cell 3 was stopped: its output is larger than 1000 kB; print less"
    )
    assert (assignment.run_folder("ada") / "executed.ipynb").stat().st_size < 10_000
    assert "before\n(The output was too large" in printed(assignment)


def test_the_outputs_of_all_cells_count_together(run):
    limits = Limits(output_cell_kb=100, output_mb=0.25)
    result = run(*["print('x' * 90_000)"] * 4, limits=limits)
    assert (result["outcome"], result["cell"]) == ("output", 4)
    assert "there is more than 0.25 MB of output in all" in result["message"]


def test_what_a_live_display_replaced_does_not_count(run):
    live = "import time\nfrom IPython.display import clear_output\nfor _ in range(30):\n    "
    live += "clear_output(wait=True); print('x' * 10_000); time.sleep(0.01)"
    assert run(live, limits=Limits(output_cell_kb=50))["outcome"] == "ok"


def test_a_fork_bomb_is_ended(run, isolation):
    forks = "import os, time\nfor _ in range(7):\n    os.fork()\ntime.sleep(60)"
    result = run(forks, isolation=isolation, limits=Limits(processes=40))
    assert (result["outcome"], result["cell"]) == ("killed", 2)
    assert "more than 40 processes were started" in result["message"]


def test_children_end_with_the_run(run, isolation):
    mark = f"child-{os.getpid()}-{isolation}"
    start = f"""
import subprocess, sys
for _ in range(3):
    command = [sys.executable, "-c", "import time; time.sleep(300) # {mark}"]
    subprocess.Popen(command, start_new_session=True)
"""
    assert run(start, isolation=isolation)["outcome"] == "ok"
    time.sleep(0.2)
    left = [each for each in psutil.process_iter(["cmdline"]) if mark in str(each.info["cmdline"])]
    assert left == []


def test_a_kernel_that_ends_itself(run, isolation):
    result = run("import os; os._exit(0)", "print(1)", isolation=isolation)
    assert (result["outcome"], result["cell"]) == ("killed", 2)
    assert result["message"].startswith("cell 2 ended the process that ran it (exit code 0)")


def test_files_outside_and_the_network_are_out_of_reach(
    run, assignment, isolation, file_server, tmp_path
):
    hidden = assignment.folder / "hidden.py"
    hidden.write_text("SECRET")
    chapter = sandbox.PACKAGE.parent / "chapters" / "01_faces.py"
    submitted = assignment.submitted("ada")
    attempts = f"""
import socket
for attempt in (
    lambda: print(open({str(hidden)!r}).read()),
    lambda: print(open({str(chapter)!r}).read()),
    lambda: print(open({str(submitted)!r}).read()),
    lambda: open({str(assignment.folder / "gradebook.csv")!r}, "w").write("mine"),
    lambda: open({str(submitted)!r}, "w").write("mine"),
    lambda: socket.create_connection(("127.0.0.1", {file_server.server_port}), 3),
):
    try:
        attempt()
        print("done")
    except OSError as error:
        print("refused")
"""
    result = run(attempts, "open('own.txt', 'w').write('mine')", isolation=isolation)
    assert result["outcome"] == "ok", result["message"]
    assert printed(assignment) == "refused\n" * 6
    assert sorted(os.listdir(assignment.folder)) == ["hidden.py", "runs", "submitted"]
    assert file_server.asked == []


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        new_code_cell("start = 100", metadata={"tags": ["parameters"]}),
        new_code_cell("start: int = 100  # where to start\nother = [1, 2]"),
    ],
    ids=["deleted", "edited", "tag lost"],
)
def test_parameters_are_the_students_own(run, parameters):
    before = new_code_cell("start = 55", metadata={"tags": ["injected-parameters"]})
    assert run(before, "reported_total = start", parameters=parameters)["reported"] == {"total": 7}


def test_only_numbers_and_short_texts_are_reported():
    expected = {
        "0.25": 0.25,
        "True": True,
        "'words'": "words",
        "__import__('numpy').float32(0.5)": 0.5,
        "__import__('numpy').array([3])": 3,
    }
    refused = (
        "float('nan')",
        "10 ** 400",
        "10 ** 30",
        "'x' * 1000",
        "[1, 2]",
        "print",
        "nothing",
        "chr(0xD83D)",
    )
    asked = {f"v{place}": text for place, text in enumerate((*expected, *refused))}
    notebook = new_notebook(cells=[PARAMETERS])
    outcome = supervising.run(Work(notebook, VALUES, asked, (), LIMITS, sandbox.choose()))
    assert {asked[name]: value for name, value in outcome.reported.items()} == expected
    kinds = [type(value) for value in outcome.reported.values()]
    assert kinds == [float, bool, str, float, int]


def test_a_value_that_never_comes(run):
    evil = "class Evil:\n    def item(self):\n        while True: pass\nreported_total = Evil()"
    result = run(evil, limits=Limits(notebook_seconds=3))
    assert result["outcome"] == "time"
    assert result["reported"] == {}


@pytest.mark.parametrize(
    ("content", "outcome"),
    [(None, "missing"), (b"", "empty"), (b"Dear teacher", "unreadable")],
)
def test_what_is_no_notebook_has_a_result_too(assignment, content, outcome):
    if content is not None:
        assignment.submitted("ada").write_bytes(content)
    result = running.run_one(assignment, "ada", LIMITS, "auto")
    assert result["outcome"] == outcome
    assert result["message"]
    assert (result["seconds"], result["reported"], result["cell"]) == (0, {}, None)
    assert not (assignment.run_folder("ada") / "executed.ipynb").exists()


def test_a_result_that_holds_is_not_made_again(run, assignment, monkeypatch):
    first = run("reported_total = 1")
    monkeypatch.setattr(running, "run", None)
    assert running.run_one(assignment, "ada", LIMITS, "auto") == first
    assignment.submitted("ada").write_bytes(b"")
    assert running.run_one(assignment, "ada", LIMITS, "auto")["outcome"] == "empty"
    assert not (assignment.run_folder("ada") / "executed.ipynb").exists()


@pytest.mark.parametrize("change", ["limits", "parameters", "lost", "damaged"])
def test_a_result_that_does_not_hold_is_made_again(assignment, hand_in, monkeypatch, change):
    monkeypatch.setattr(running, "run", lambda work, stopped: Outcome("ok", executed="{}"))
    hand_in("1")
    running.run_one(assignment, "ada", LIMITS, "auto")
    folder, limits = assignment.run_folder("ada"), LIMITS
    if change == "limits":
        limits = Limits(cell_seconds=61)
    elif change == "parameters":
        assignment.parameters["ada"] = {"start": 8}
    elif change == "lost":
        (folder / "executed.ipynb").unlink()
    else:
        (folder / "result.json").write_text('{"key"')
    monkeypatch.setattr(running, "run", lambda work, stopped: Outcome("error", executed="{}"))
    assert running.run_one(assignment, "ada", limits, "auto")["outcome"] == "error"
    assert (folder / "executed.ipynb").is_file()


LEAVE = {
    "link": lambda there, secret: there.symlink_to(secret),
    "pipe": lambda there, secret: os.mkfifo(there),
    "folder": lambda there, secret: there.mkdir(),
    "nothing": lambda there, secret: None,
    "no JSON": lambda there, secret: there.write_text("[" * 5000),
    "no notebook": lambda there, secret: there.write_text("{}"),
    "large": lambda there, secret: there.write_bytes(bytes(12_000_000)),
}


@pytest.mark.parametrize("left", LEAVE)
def test_what_a_sandbox_leaves_is_not_believed(tmp_path, left):
    secret, there = tmp_path / "secret.ipynb", tmp_path / "executed.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("SECRET")]), secret)
    work = Work(new_notebook(cells=[PARAMETERS]), {}, {}, (), LIMITS, "guard")
    assert "SECRET" in supervising.checked(secret, work)
    LEAVE[left](there, secret)
    assert supervising.checked(there, work) is None


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the worker's pipes in /proc")
def test_a_forged_end_is_no_more_than_a_students_word(run, assignment, tmp_path):
    """A submission claims that all went well, leaves a link and ends its worker."""
    secret = tmp_path / "secret.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("SECRET")]), secret)
    reported = {"total": 42, "more": 1, "list": [1]}
    event = {"event": "end", "outcome": "ok", "cell": 99, "reported": reported}
    claim = json.dumps(event).encode() + b"\n"
    attack = f"""
import os, signal
worker = os.getppid()
os.kill(worker, signal.SIGSTOP)
os.symlink({str(secret)!r}, "executed.ipynb")
for number in set(os.listdir(f"/proc/{{worker}}/fd")) - set("012"):
    target = f"/proc/{{worker}}/fd/{{number}}"
    if os.readlink(target).startswith("pipe:"):
        try:
            os.write(os.open(target, os.O_WRONLY | os.O_NONBLOCK), {claim!r})
        except OSError:
            pass
os.kill(worker, signal.SIGKILL)
"""
    result = run(attack)
    assert result["outcome"] == "killed"
    assert result["message"] == (
        "the notebook with your outputs was lost or damaged by your own code"
    )
    assert result["reported"] == {}
    assert not (assignment.run_folder("ada") / "executed.ipynb").exists()


def test_events_of_any_kind_are_survived(assignment, monkeypatch):
    """What isn't an event is passed over; the result says that the process ended."""
    lines = [
        *("[1]", "{", "[" * 5000, '{"event": "kernel"}', '{"event": "cell", "number": "x"}'),
        *('{"event": "cell", "number": 99}', '{"event": "end", "outcome": "perfect"}'),
    ]
    program = f"print({chr(10).join(lines)!r})"
    monkeypatch.setattr(supervising, "COMMAND", [sys.executable, "-c", program])
    nbformat.write(new_notebook(cells=[PARAMETERS]), assignment.submitted("ada"))
    result = running.run_one(assignment, "ada", LIMITS, "auto")
    assert (result["outcome"], result["cell"]) == ("killed", None)


def test_a_kernel_that_does_not_start_is_the_machines_fault(assignment, hand_in, monkeypatch):
    program = "import sys; sys.exit('no room')"
    monkeypatch.setattr(supervising, "COMMAND", [sys.executable, "-c", program])
    hand_in("1")
    with pytest.raises(BookError, match=r"no kernel was started under .* \(no room\); see that"):
        running.run_one(assignment, "ada", LIMITS, "auto")
    assert not (assignment.run_folder("ada") / "result.json").exists()


def test_a_run_can_be_stopped(assignment, hand_in):
    hand_in("import time; time.sleep(300)")
    stopped = threading.Event()
    threading.Timer(2, stopped.set).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        running.run_one(assignment, "ada", LIMITS, "auto", stopped=stopped)
    assert time.monotonic() - begun < 30
    assert not (assignment.run_folder("ada") / "result.json").exists()


def test_a_student_who_is_not_on_the_roster(assignment):
    with pytest.raises(BookError, match="no student 'eve'"):
        running.run_one(assignment, "eve", LIMITS, "auto")


def test_the_solution_gives_the_questions_values(assignment, monkeypatch):
    cells = [PARAMETERS, new_code_cell("total = sum(range(start))")]
    notebook = new_notebook(cells=cells)
    result = running.run_key(assignment, "ada", LIMITS, "auto", notebook=notebook)
    assert result["reported"] == {"total": 21}
    asked = {"double": "2 * start", "who": "name"}
    other = running.run_key(assignment, "ada", LIMITS, "auto", notebook=notebook, expressions=asked)
    assert other["reported"] == {"double": 14, "who": "ada"}
    kept = [path.read_text() for path in assignment.run_folder("keys").glob("*/result.json")]
    assert result in map(json.loads, kept)
    assert len(kept) == 2
    monkeypatch.setattr(running, "run", None)
    wider = Limits(cell_seconds=600, notebook_seconds=1000)
    again = running.run_key(assignment, "ada", wider, "auto", notebook=notebook)
    assert again == result


@pytest.mark.parametrize(
    ("source", "why"),
    [("1 / 0", "cell 2 raised ZeroDivisionError"), ("pass", "no value of total")],
)
def test_a_solution_that_fails_is_said_so(assignment, source, why):
    notebook = new_notebook(cells=[PARAMETERS, new_code_cell(source)])
    with pytest.raises(BookError, match=f"the solution of 01_sums at the values of ada: {why}"):
        running.run_key(assignment, "ada", LIMITS, "auto", notebook=notebook)


def test_the_trusted_side_starts_quickly():
    """It imports neither torch nor what executes notebooks."""
    program = "import sys, facelab.course.spreading\n"
    program += "print({'torch', 'papermill', 'nbclient', 'distributed'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"
