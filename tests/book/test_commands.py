import dataclasses
import subprocess
import sys

import pytest
from click.testing import CliRunner

from facelab import cli
from facelab.book import commands, execution, overview, rendering, report
from facelab.errors import BookError, ParameterError

SCRIPT = '# %% tags=["parameters"]\nfaces = 64\n\n# %%\nprint(faces)\n'


@pytest.fixture
def book(make_book, monkeypatch):
    made = make_book({"index": "# %% [markdown]\n# # Start\n", "01_one": SCRIPT})
    made.sync()
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def invoke():
    """Return a function that calls `facelab book ...` and returns the result."""
    runner = CliRunner()
    return lambda *arguments: runner.invoke(commands.book, arguments)


@pytest.fixture
def runs(monkeypatch):
    """What `execution.run` is called with, in place of executing anything."""
    calls = []

    def run(manifest, slugs, profile, overrides, **options):
        calls.append((slugs, profile, dict(overrides), options))
        folder = options["output"] or manifest.root / "runs" / profile
        chapters = [
            report.ChapterReport(chapter.slug, profile, report.OK, notebook=f"{chapter.slug}.ipynb")
            for chapter in manifest.select(slugs)
        ]
        return report.RunReport(profile, tuple(chapters), folder)

    monkeypatch.setattr(execution, "run", run)
    return calls


def test_a_good_book_is_said_to_be_good(book, invoke):
    result = invoke("check")
    assert (result.exit_code, result.output) == (0, "2 chapters: good\n")


def test_problems_are_listed_and_make_the_command_fail(book, invoke):
    book.edit("01_one", "print(faces)", "print(1)")
    result = invoke("check")
    assert result.exit_code == 1
    assert result.output.startswith("chapters/01_one.py: cell 2 (line ")
    assert result.output.endswith("2 chapters: 1 problem\n")


def test_sync_names_what_it_wrote(book, invoke):
    assert invoke("sync").output == "all pairs and the README are in step\n"
    book.edit("01_one", "print(faces)", "print(1)")
    assert invoke("sync", "index").output == "all pairs and the README are in step\n"
    assert invoke("sync").output == f"wrote {book.notebook('01_one')}\n"


def test_sync_from_the_notebook(book, invoke):
    book.edit_notebook("01_one", "print(faces)", "print(1)")
    result = invoke("sync", "01_one")
    assert isinstance(result.exception, BookError)
    result = invoke("sync", "--from-notebook", "01_one")
    assert f"wrote {book.script('01_one')}\n" in result.output
    assert "print(1)" in book.script("01_one").read_text()
    book.edit_notebook("01_one", "print(1)", "print(2)")
    assert invoke("sync", "--overwrite").exit_code == 0
    assert "print(1)" in book.script("01_one").read_text()


def test_new_names_what_it_wrote(book, invoke):
    result = invoke("new", "02_new", "--title", "A new one", "--paper", "ganid")
    assert result.exit_code == 0
    assert str(book.script("02_new")) in result.output
    assert book.load().chapter("02_new").paper == "ganid"
    assert invoke("new", "03_other").exit_code == 2  # without a title


def test_run_hands_everything_on(book, invoke, runs, tmp_path):
    result = invoke(
        *("run", "01_one", "--profile", "smoke", "-p", "faces=8", "-p", "photo=a=b.jpg"),
        *("--jobs", "2", "--output", str(tmp_path), "--no-budget", "--fresh"),
    )
    assert result.exit_code == 0, result.output
    options = {"jobs": 2, "output": tmp_path, "budget": False, "fresh": True}
    assert runs == [(("01_one",), "smoke", {"faces": "8", "photo": "a=b.jpg"}, options)]


def test_run_takes_all_chapters_at_quick_by_default(book, invoke, runs):
    assert invoke("run").exit_code == 0
    options = {"jobs": 1, "output": None, "budget": True, "fresh": False}
    assert runs == [(None, "quick", {}, options)]


@pytest.mark.parametrize(
    ("outcome", "code"), [(report.FAILED, 1), (report.OVER_BUDGET, 1), (report.USER_ERROR, 2)]
)
def test_run_s_exit_code_is_the_report_s(book, invoke, monkeypatch, outcome, code):
    entry = report.ChapterReport("01_one", "quick", outcome)
    made = report.RunReport("quick", (entry,), book.root)
    monkeypatch.setattr(execution, "run", lambda *_, **__: made)
    assert invoke("run").exit_code == code


def test_store_puts_the_good_chapters_outputs_into_their_pairs(
    book, invoke, monkeypatch, runs, text_output
):
    import nbformat

    folder = book.root / "runs" / "quick"
    folder.mkdir(parents=True)
    for slug in ("index", "01_one"):
        executed = book.stored(slug)
        if slug == "01_one":
            executed.cells[1].outputs = [text_output("64\n")]
        nbformat.write(executed, folder / f"{slug}.ipynb")
    report.write(folder, "quick", [report.ChapterReport("01_one", "quick", report.OK, minutes=2.0)])
    assert invoke("run", "--store").exit_code == 0
    assert overview.record(overview.CHAPTER_RECORD, book.root)["chapters"]["01_one"]["minutes"] == 2
    assert book.stored("01_one").cells[1].outputs[0].text == "64\n"
    run = execution.run
    failed = lambda *a, **k: _with_outcome(run(*a, **k), report.FAILED)  # noqa: E731
    monkeypatch.setattr(execution, "run", failed)
    executed.cells[1].outputs = [text_output("65\n")]
    nbformat.write(executed, folder / "01_one.ipynb")
    assert invoke("run", "--store").exit_code == 1
    assert book.stored("01_one").cells[1].outputs[0].text == "64\n"


def _with_outcome(made, outcome):
    chapters = tuple(dataclasses.replace(chapter, outcome=outcome) for chapter in made.chapters)
    return dataclasses.replace(made, chapters=chapters)


@pytest.mark.parametrize("extra", [("--profile", "smoke"), ("-p", "faces=8")])
def test_only_what_readers_see_is_stored(book, invoke, runs, extra):
    result = invoke("run", "--store", *extra)
    assert isinstance(result.exception, BookError)
    assert "--store keeps what readers see" in str(result.exception)
    assert runs == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("faces",), "-p: expected NAME=VALUE, got 'faces'; write for example faces=64"),
        (("=8",), "-p: expected NAME=VALUE, got '=8'"),
        (("a b=8",), "-p: expected NAME=VALUE, got 'a b=8'"),
        (("faces=8", "faces=9"), "-p: faces is set twice"),
    ],
)
def test_a_malformed_parameter_is_refused(given, message):
    with pytest.raises(ParameterError, match=message):
        commands.parsed_overrides(given)


def test_render_takes_the_quick_run_and_names_the_page(book, invoke, monkeypatch, tmp_path):
    calls = []

    def render(manifest, executed, output):
        calls.append((manifest.root, executed, output))
        return output / "index.html"

    monkeypatch.setattr(rendering, "render", render)
    result = invoke("render")
    assert result.output.endswith(f"{book.root / '_build' / 'html' / 'index.html'}\n")
    invoke("render", "--executed", str(tmp_path / "a"), "--output", str(tmp_path / "b"))
    assert calls == [
        (book.root, book.root / "runs" / "quick", book.root / "_build" / "html"),
        (book.root, tmp_path / "a", tmp_path / "b"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sync", "01_on"], "BookError: no chapter '01_on' in book.toml; did you mean '01_one'?"),
        (["run", "--profile", "huge"], "BookError: no profile 'huge' in book.toml"),
        (["run", "01_one", "-p", "face=8"], "ParameterError: 01_one has no parameter 'face'"),
        (["run", "01_one", "-p", "faces=many"], "ParameterError: faces: expected a whole number"),
    ],
)
def test_a_user_s_mistake_is_one_line_and_exit_code_2(book, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        cli.main(["book", *arguments])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_a_malformed_manifest_is_one_line_and_exit_code_2(book, capsys):
    path = book.root / "book.toml"
    path.write_text(path.read_text().replace("minutes = 5", 'minutes = "five"'))
    with pytest.raises(SystemExit) as caught:
        cli.main(["book", "check"])
    assert caught.value.code == 2
    assert 'book.toml:20: chapter "index": minutes: expected' in capsys.readouterr().err


def test_checking_imports_neither_torch_nor_papermill(book):
    program = (
        "import sys; from facelab import cli\n"
        "try: cli.main(['book', 'check'])\n"
        "except SystemExit as end: code = end.code\n"
        "print(code, sorted({'torch', 'papermill', 'sphinx', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "2 chapters: good\n0 []\n"
