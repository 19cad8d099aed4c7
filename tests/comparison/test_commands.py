"""`facelab compare`: an order, a table, files; and once the real thing at its smallest."""

import copy
import dataclasses
import json

import pytest
from click.testing import CliRunner

from facelab import cli
from facelab.comparison import commands, report, session
from facelab.comparison.baselines import baselines
from facelab.comparison.cases import Task, make_case
from facelab.comparison.contestants import METHODS
from facelab.comparison.measure import compare
from facelab.errors import ParameterError
from facelab.methods.diat.tasks import find_task
from facelab.methods.idmap import checkpoint


@pytest.fixture(scope="module")
def told(pool, judges, known):
    """What a comparison of three gives: one that can, one that can't, one with a single answer."""
    cases = [make_case(pool, Task(change), 6) for change in (find_task("mouth_open"), None)]
    methods = [known(), known("unable", refuses="no hands"), known("single", strengths=(1.0,))]
    first = copy.deepcopy(judges.embedders[0])
    first.id = "faceres"
    own = dataclasses.replace(judges, embedders=(first, judges.embedders[1]))
    return compare(cases, methods, baselines(methods), own, replicates=20)


@pytest.fixture
def ordered(told, monkeypatch):
    """The orders that were run."""
    orders = []

    def run(order, progress):
        orders.append(order)
        progress("one")
        return told

    monkeypatch.setattr(session, "run", run)
    return orders


def code_of(*arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compare", *map(str, arguments)])
    return stopped.value.code or 0


# --- the verb ------------------------------------------------------------------------------------


def test_the_verb_is_registered_and_names_what_there_is():
    assert cli.ELSEWHERE["compare"] == ("facelab.comparison.commands", "compare")
    shown = CliRunner().invoke(cli.facelab, ["compare", "--help"])
    assert shown.exit_code == 0
    assert commands.METHODS.split(",") == list(METHODS)
    assert commands.TASKS == session.TASKS


def test_options_become_an_order(ordered, capsys):
    given = ("--methods", "idmap, d2ae", "--task", "person", "--people", 7, "--seed", 3)
    assert code_of(*given, "--data", "faces", "--change", "mouth_close") == 0
    assert ordered == [
        session.Order(("idmap", "d2ae"), ("person",), "mouth_close", "faces", people=7, seed=3)
    ]
    assert capsys.readouterr().out.startswith("mouth_open: 6 faces of 6 people\n")


def test_numbers_and_figures_are_written(ordered, told, tmp_path):
    output, figures = tmp_path / "compare.json", tmp_path / "drawn"
    assert code_of("-o", output, "--figures", figures) == 0
    assert json.loads(output.read_text()) == told
    found = sorted(path.name for path in figures.iterdir())
    assert found == ["attribute.png", "person.png"]
    assert (figures / "person.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_there_is_kept(ordered, tmp_path, capsys):
    output = tmp_path / "compare.json"
    output.write_text("mine")
    assert code_of("-o", output) == 2
    assert ordered == []
    assert "exists; give another name, or --overwrite" in capsys.readouterr().err
    assert code_of("-o", output, "--overwrite", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(output.read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "stargan"], "methods stargan can't be compared; give each once, of: ganid"),
        (["--methods", "d2ae,d2ae"], "methods d2ae, d2ae can't be compared"),
        (["--change", "bald"], "there is no task 'bald'"),
        (["--people", "0"], "0 people can't be compared on; give at least 1"),
        (["--data", "nowhere/at-all"], "names no data that there is"),
    ],
)
def test_a_wrong_order_is_one_line(arguments, message, capsys):
    assert code_of(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_order_takes_as_many_people_as_the_data_have(patterns):
    found = session.Order(tasks=("person",)).cases(patterns(people=20))
    assert [len(case) for case in found] == [5]
    with pytest.raises(ParameterError, match="tasks swap can't be compared"):
        session.Order(tasks=("swap",))


# --- the report ----------------------------------------------------------------------------------


def test_a_table_marks_who_was_seen_and_leaves_cells_empty(told):
    lines = report.text(told).splitlines()
    head = next(line for line in lines if "same person, faceres" in line).split(" | ")
    row = next(line for line in lines if line.startswith("| known")).split(" | ")
    value = told["tasks"]["attribute"]["rows"]["known"]["identity faceres"]["value"]
    assert row[head.index("identity, faceres")].startswith(f"{value:.3g} (")
    assert "*" in row[head.index("diversity")]
    assert next(line for line in lines if line.startswith("| unable")).count(" |  |") >= 5
    assert "unable can't: no hands." in lines
    assert "| known | 2 | 3 | 40 | 2 | second |" in lines


def test_a_line_goes_through_a_methods_places(told):
    (axes,) = report.trade_off(told, "attribute").axes
    curve = told["tasks"]["attribute"]["curves"]["known"]
    drawn = {line.get_label(): line for line in axes.lines}
    for data, name in ((drawn["known"].get_xdata(), "attribute"),
                       (drawn["known"].get_ydata(), "identity faceres")):  # fmt: skip
        assert list(data) == [point["value"] for point in curve[name]]
    assert len(drawn["single"].get_xdata()) == 1
    assert "unable" not in drawn
    assert {"copy", "random"} <= set(drawn)


def test_a_method_has_its_colour_in_all_tasks(told):
    def colours(name):
        (axes,) = report.trade_off(told, name).axes
        return {line.get_label(): line.get_color() for line in axes.lines}

    first, second = colours("attribute"), colours("person")
    assert first["single"] == second["single"]
    assert len({first["single"], first["known"], "grey"}) == 3
    assert first["copy"] == second["copy of the other person"] == "grey"


# --- all of it -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_comparison_from_end_to_end(tmp_path, capsys):
    """The shipped networks, drawn people and no stand-in; ganid's search alone is left out."""
    output = tmp_path / "compare.json"
    methods = "ganfaces,diat,idmap,d2ae"
    assert code_of("--people", 5, "--methods", methods, "-o", output) == 0
    told = json.loads(output.read_text())
    rows = {name: task["rows"] for name, task in told["tasks"].items()}
    assert told["data"]["split"] == "test"
    for name, row in rows["attribute"].items():
        assert "cannot" in row or row["identity dlib"]["seen"] == (name in methods.split(",")[:3])
    assert "cannot" in rows["person"]["diat"]
    assert rows["person"]["copy"]["pose"]["value"] == 0
    drawn, copied = rows["person"]["drawn"], rows["person"]["copy"]
    assert drawn["identity faceres"]["value"] > copied["identity faceres"]["value"]
    header = checkpoint.read_header(checkpoint.book_path())
    assert told["methods"]["idmap"]["person"]["training_images"] == header["images"]
    assert "ganfaces" in capsys.readouterr().out
