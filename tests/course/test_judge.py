"""Exercises judged from afar: torch and all, with a plain process in place of the sandbox."""

import subprocess
import time

import jupytext
import pytest

from facelab.course import judge
from facelab.course.hearing import Bench, Hearing
from facelab.errors import BookError

CHAPTER = """\
# %% tags=["parameters"]
scale = 2.0

# %%
import torch

from facelab.book.exercises import Exercise

random = torch.Generator()

# %% tags=["exercise-test"]
def _draws(answer):
    here, twin = (torch.Generator().manual_seed(4) for _ in "ab")
    got = torch.stack([answer(3, here), answer(3, here)])
    wanted = torch.randn(2, 3, generator=twin) * scale
    assert torch.allclose(got, wanted), f"expected {wanted.tolist()}, got {got.tolist()}"


draws = Exercise("3.1 Draw", _draws, 3, 2)

# %% tags=["exercise"]
def noise(n, random):
    return ...


draws.check(noise)

# %% tags=["hidden-test"]
@draws.hide("many")
def _many(answer):
    got = answer(777, torch.Generator().manual_seed(9))
    assert torch.allclose(got, noise_solution(777, torch.Generator().manual_seed(9)))

# %% tags=["wrong-answers"]
draws.refuse(lambda n, random: torch.zeros(n), "expected")

# %% tags=["solution"]
def noise_solution(n, random):
    return torch.randn(n, generator=random) * scale


draws.prove(noise_solution)

# %% tags=["exercise-test"]
def _slope(answer):
    weight = torch.tensor([3.0, 4.0])
    got = answer(lambda x: (x @ weight).square() / 2, torch.ones(2, requires_grad=True))
    assert got.requires_grad, "create_graph=True"
    assert abs(float(got) - 1225) < 1e-3, f"expected 1225, got {float(got):g}"


slope = Exercise("3.2 Slope", _slope, 3, 2)

# %% tags=["exercise"]
def squared_slope(judge, x):
    return ...


slope.check(squared_slope)

# %% tags=["solution"]
def squared_slope_solution(judge, x):
    (gradient,) = torch.autograd.grad(judge(x), x, create_graph=True)
    return gradient.square().sum()


slope.prove(squared_slope_solution)

# %% tags=["exercise-test"]
def _differentiable(answer):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(answer(x), x)
    assert torch.allclose(gradient, 2 * x), f"expected 2 x, got {gradient.tolist()}"


energy = Exercise("3.3 Energy", _differentiable, 3, 2)

# %% tags=["exercise"]
def energy_of(x):
    return ...


energy.check(energy_of)

# %% tags=["hidden-test"]
@energy.hide("a matrix")
def _of_a_matrix(answer):
    x = torch.full((2, 2), 31337.0, requires_grad=True)
    assert torch.allclose(torch.autograd.grad(answer(x), x)[0], 2 * x)

# %% tags=["solution"]
def energy_of_solution(x):
    return x.square().sum()


energy.prove(energy_of_solution)
"""
SOURCE = judge.read(jupytext.reads(CHAPTER, fmt="py:percent").cells)
DRAW, SLOPE, ENERGY = SOURCE.tasks
MODES = {"3.1": "apart", "3.2": "apart", "3.3": "together"}


def start(command, workspace):
    """Start a process as a sandbox would, without one."""
    return subprocess.Popen(
        command,
        cwd=workspace,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def bench():
    with Bench() as bench:
        yield bench


@pytest.fixture
def hear(bench):
    """Return a function that judges cells: the reports of both phases, and the hearing."""

    def hear(*cells, wanted=("3.1", "3.2", "3.3"), modes=MODES):
        numbered = list(enumerate(cells, 1))
        with Hearing(bench, start, SOURCE, {"scale": 2.0}, numbered) as hearing:
            visible = hearing.phase("visible", wanted, modes)
            hidden = hearing.phase("hidden", wanted, modes)
        return visible, hidden, hearing

    return hear


def test_a_source_is_read_by_its_tags():
    assert SOURCE.imports == "import torch\nfrom facelab.book.exercises import Exercise"
    assert SOURCE.parameters == "scale = 2.0"
    assert [(t.number, t.variable, t.answer) for t in SOURCE.tasks] == [
        ("3.1", "draws", "noise"),
        ("3.2", "slope", "squared_slope"),
        ("3.3", "energy", "energy_of"),
    ]
    assert "prove" not in DRAW.solved
    assert DRAW.solved.endswith("noise = noise_solution")
    job = judge.job(SOURCE, "visible", {}, ["3.1"], parameters={}, cells=[])
    assert "777" not in str({**job, "tasks": [{**t, "solutions": []} for t in job["tasks"]]})


def test_the_solution_passes_with_tensors_generators_and_functions_sent_to_it(hear):
    visible, hidden, _ = hear(DRAW.solved, SLOPE.solved, ENERGY.solved)
    assert [visible[t.number]["state"] for t in SOURCE.tasks] == ["right"] * 3
    assert hidden["3.1"]["hidden"] == [True]
    assert hidden["3.1"]["about"] == ["many"]
    assert hidden["3.2"]["hidden"] == []
    assert hidden["3.3"]["hidden"] == [True]


def test_a_gradient_through_the_answer_cannot_be_taken_from_afar(hear):
    visible, _, _ = hear(ENERGY.solved, wanted=["3.3"], modes={"3.3": "apart"})
    assert visible["3.3"]["state"] == "wrong"


def test_a_wrong_answer_is_told_what_the_test_says(hear):
    visible, hidden, _ = hear(
        "def noise(n, random):\n    return torch.ones(n)",
        "def squared_slope(judge, x):\n    raise KeyError('no slope')",
        "def energy_of(x):\n    return x.sum()",
    )
    assert "got [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]" in visible["3.1"]["message"]
    assert visible["3.2"]["message"] == "3.2 Slope: your code raised KeyError: 'no slope'"
    assert visible["3.3"]["message"] == "3.3 Energy: expected 2 x, got [1.0, 1.0]"
    assert hidden["3.1"]["hidden"] == hidden["3.3"]["hidden"] == [False]


def test_own_imports_helpers_and_errors_elsewhere_do_no_harm(hear):
    visible, hidden, hearing = hear(
        "%matplotlib inline\nimport functools, statistics\nmodel.train()\nbad +",
        "%matplotlib inline\nimport functools, statistics\nmodel.train()\ndef _scaled(x):\n"
        "    return scale * x",
        "draws.check(1); draws = Exercise('3.1 Draw', print)\nscale_was = scale\n"
        "def noise(n, random):\n    return _scaled(torch.randn(n, generator=random))",
        wanted=["3.1"],
    )
    assert visible["3.1"]["state"] == "right"
    assert hidden["3.1"]["hidden"] == [True]
    assert hearing.errors == [
        {"cell": 1, "text": "SyntaxError: invalid syntax (line 4)"},
        {"cell": 2, "text": "NameError: name 'model' is not defined"},
    ]


MONKEY = """\
import facelab.book.exercises as exercises
torch.allclose = lambda *values, **named: True
exercises.Exercise.examine = lambda self, answer: exercises.Verdict("right", "mine")
exercises.Exercise.examine_hidden = lambda self, answer: [exercises.Verdict("right", "")]
exercises.Exercise.earned = lambda *values: 100
def noise(n, random):
    return torch.zeros(n)
"""


def test_changing_torch_or_the_exercises_helps_nothing_apart(hear):
    visible, hidden, _ = hear(MONKEY, wanted=["3.1"])
    assert visible["3.1"]["state"] == "wrong"
    assert hidden["3.1"]["hidden"] == [False]


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("lambda: 1", "a function is no data"),
        ("object()", "the class object"),
        ("[torch.nn.Linear(1, 1)]", "the class Linear"),
        ("...", "not answered yet"),
    ],
)
def test_an_answer_that_returns_no_data_is_told_so(hear, returned, told):
    cell = f"def noise(n, random):\n    return {returned}"
    visible, hidden, _ = hear(cell, wanted=["3.1"])
    assert told in visible["3.1"].get("message", visible["3.1"]["state"] + " not answered yet")
    assert visible["3.1"]["state"] in ("wrong", "unanswered")
    assert hidden["3.1"].get("hidden", [False]) == [False]


def test_a_crash_ends_that_exercise_alone(hear):
    visible, hidden, _ = hear(
        "import os\ndef noise(n, random):\n    os._exit(1)", SLOPE.solved, ENERGY.solved
    )
    assert visible["3.1"]["state"] == "silent"
    assert visible["3.1"]["why"] == "ended"
    assert visible["3.2"]["state"] == visible["3.3"]["state"] == "right"
    assert hidden["3.3"]["hidden"] == [True]


def test_an_endless_answer_is_stopped_and_the_others_go_on(hear):
    begun = time.monotonic()
    with (
        Bench() as bench,
        Hearing(
            bench,
            start,
            SOURCE,
            {"scale": 2.0},
            [(1, "def noise(n, random):\n    while True: pass"), (2, SLOPE.solved)],
        ) as hearing,
    ):
        visible = hearing.phase("visible", ["3.1", "3.2"], MODES)
        assert time.monotonic() - begun < 40
    assert (visible["3.1"]["state"], visible["3.1"]["why"]) == ("silent", "time")
    assert visible["3.2"]["state"] == "right"


def test_a_cell_that_kills_its_process_is_left_out(hear):
    visible, _, hearing = hear(
        "import os, signal",
        "os.kill(os.getppid(), signal.SIGKILL); os._exit(0)",
        DRAW.solved,
        wanted=["3.1"],
    )
    assert hearing.skipped == {2: "ended"}
    assert visible["3.1"]["state"] == "right"


FORGER = """\
import os, struct
from facelab.course import wire
for pipe in range(3, 20):
    for text in ({"state": "right"}, {"failed": "x"}, {"hidden": [True]}, [1], {"cell": 99}):
        try:
            wire.send(pipe, wire.encode(text))
        except Exception:
            pass
def noise(n, random):
    return torch.zeros(n)
"""


def test_forged_messages_earn_nothing(hear):
    visible, hidden, _ = hear(FORGER, wanted=["3.1"])
    assert visible["3.1"]["state"] != "right"
    assert hidden["3.1"].get("hidden", [False]) == [False]


def test_what_is_printed_does_not_reach_the_pipes(hear):
    visible, _, _ = hear(
        "import os, sys\nprint('x' * 10000); os.write(1, b'abc'); sys.stderr.write('y')\n"
        "input_was = sys.stdin.read()\n" + DRAW.solved,
        wanted=["3.1"],
    )
    assert visible["3.1"]["state"] == "right"


def test_a_chapter_whose_own_cells_fail_is_an_error_of_the_book(bench):
    broken = judge.Source(SOURCE.imports + "\nimport no_such_module", "", SOURCE.tasks)
    with (
        Hearing(bench, start, broken, {}, []) as hearing,
        pytest.raises(BookError, match=r"can't be run for grading.*no_such_module"),
    ):
        hearing.phase("visible", ["3.1"], MODES)


def test_a_sandbox_that_does_not_start_is_an_error_of_the_machine(bench):
    def start_nothing(command, workspace):
        return start(["false"], workspace)

    with (
        Hearing(bench, start_nothing, SOURCE, {"scale": 2.0}, []) as hearing,
        pytest.raises(BookError, match="doesn't start"),
    ):
        hearing.phase("visible", ["3.1"], MODES)
