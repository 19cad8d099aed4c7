import io
import json
import signal
import subprocess
import sys
import time
from contextlib import chdir
from functools import partial
from pathlib import Path

import nbformat
import psutil
import pytest

from facelab.book import execution, job, manifest, pairing, report
from facelab.book.report import ChapterReport, RunReport
from facelab.engine import provenance
from facelab.errors import BookError

HEAD = """\
[book]
title = "A tiny book"
authors = ["Somebody"]
copyright = "2026"
licence = "Apache-2.0"
bibliography = "chapters/references.bib"

[profiles.smoke]
purpose = "for tests"
budget_s = 120
"""
ENTRY = """
[[chapter]]
slug = "{slug}"
title = "The chapter {slug}"
module = "facelab.book"
minutes = 5
"""
GOOD = """\
# %% [markdown]
# # A good chapter

# %% tags=["parameters"]
count = 2  # how many

# %%
# write a record
import json, os, pathlib
here = pathlib.Path(os.environ["FACELAB_RUNS"])
_ = (here / "sums.json").write_text(json.dumps({"count": count}))
print(os.getcwd(), os.environ["MPLBACKEND"], os.environ["PYTHONHASHSEED"])

# %%
print(f"{count} makes {sum(range(count))}")
"""
RAISES = "# %% [markdown]\n# # Text\n\n# %%\nx = 0\n\n# %%\n# divide\n1 / x\n"
USER = """\
# %%
from facelab.errors import ImageError
raise ImageError("notes.txt is not a picture;\\nexpected PNG or JPEG")
"""
DIES = "# %%\nimport os\nos._exit(7)\n"
ENDLESS = "# %%\nx = 1\n\n# %%\n# spin\nwhile True:\n    pass\n"
BIG = '# %%\nfor line in range(100_000):\n    print("y" * 99)\n'
SCRIPTS = {
    "01_good": GOOD,
    "02_raises": RAISES,
    "03_user": USER,
    "04_dies": DIES,
    "05_endless": ENDLESS,
    "06_big": BIG,
}
ENTRIES = {
    "01_good": "[chapter.parameters]\nsmoke = {count = 5}\n",
    "05_endless": "budget_s = {smoke = 2}\n",
}


def make_book(
    folder: Path, scripts: dict[str, str], entries: dict[str, str] | None = None
) -> manifest.Manifest:
    """Write a book and its pairs; `entries` is what book.toml says of a chapter besides."""
    (folder / "chapters").mkdir(parents=True, exist_ok=True)
    text = HEAD
    for slug, script in scripts.items():
        (folder / "chapters" / f"{slug}.py").write_text(script)
        text += ENTRY.format(slug=slug) + (entries or {}).get(slug, "")
    (folder / "book.toml").write_text(text)
    book = manifest.load(folder / "book.toml")
    pairing.sync(book)
    return book


def edit(book: manifest.Manifest, slug: str, old: str, new: str) -> None:
    script = book.chapter(slug).source
    assert old in script.read_text()
    script.write_text(script.read_text().replace(old, new))
    pairing.sync(book, [slug])


def run(book: manifest.Manifest, slugs=None, overrides=None, **options) -> tuple[RunReport, str]:
    stream = io.StringIO()
    done = execution.run(book, slugs, "smoke", overrides or {}, stream=stream, **options)
    return done, stream.getvalue()


def text_of(notebook: Path) -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """All the chapters above, run once, two at a time, where a stray kernel lies in the way."""
    folder = tmp_path_factory.mktemp("book")
    stray = folder / "stray" / "kernels" / "python3"
    stray.mkdir(parents=True)
    spec = {"argv": ["false", "{connection_file}"], "display_name": "x", "language": "python"}
    (stray / "kernel.json").write_text(json.dumps(spec))
    book = make_book(folder / "clone", SCRIPTS, ENTRIES)
    with pytest.MonkeyPatch.context() as patch, chdir(folder):
        patch.setenv("JUPYTER_PATH", str(folder / "stray"))
        patch.setenv("MPLBACKEND", "agg")
        done, shown = run(book, jobs=2)
    return book, done, shown


def outcome(ran, slug: str) -> ChapterReport:
    return next(chapter for chapter in ran[1].chapters if chapter.slug == slug)


def told(ran, slug: str) -> str:
    """What was said about one chapter that stopped."""
    return report.explain(outcome(ran, slug), ran[1].folder, colours=False)


def test_outcomes_and_exit_code(ran):
    outcomes = {chapter.slug: chapter.outcome for chapter in ran[1].chapters}
    assert outcomes == {
        "01_good": "ok",
        "02_raises": "failed",
        "03_user": "user error",
        "04_dies": "failed",
        "05_endless": "over budget",
        "06_big": "ok",
    }
    assert ran[1].exit_code == 1


def test_a_good_chapter_runs_with_the_profile_where_the_caller_stands(ran):
    book, done, _ = ran
    text = text_of(done.folder / "01_good.ipynb")
    assert "5 makes 10\n" in text
    here, backend, seed = text.split()[:3]
    assert Path(here) == book.root.parent
    assert (backend, seed) == (job.INLINE, "0")


def test_the_report_of_a_good_chapter(ran):
    entry = outcome(ran, "01_good")
    assert entry.parameters == {"count": 5}
    assert [(cell.number, cell.title) for cell in entry.cells] == [
        (2, "A good chapter"),
        (0, ""),  # the parameters that papermill injects
        (3, "write a record"),
        (4, "A good chapter"),
    ]
    assert 20 < entry.peak_memory_mb < 1000
    assert 0 < entry.minutes < 1
    assert set(entry.versions) == {"python", *provenance.DISTRIBUTIONS}
    assert entry.device.startswith("cpu (")
    assert entry.records == ("01_good/sums.json",)
    assert entry.commit == {}  # the tiny book is no clone
    assert report.read(ran[1].folder)["01_good"] == entry


def test_the_executed_notebook_tells_nothing_of_the_runner(ran):
    text = (ran[1].folder / "01_good.ipynb").read_text()
    notebook = nbformat.reads(text, as_version=4)
    assert "probe" not in text
    assert notebook.metadata.papermill.input_path == "01_good.ipynb"
    assert [cell.metadata.papermill.status for cell in notebook.cells] == ["completed"] * 5


def test_a_failure_shows_the_cell_its_source_and_the_error(ran):
    assert outcome(ran, "02_raises").failure.cell == 3
    text = told(ran, "02_raises")
    assert text.startswith("02_raises failed in cell 3:\n\n    # divide\n    1 / x\n")
    assert "ZeroDivisionError: division by zero" in text
    assert "\x1b" not in text
    assert text in ran[2]
    assert text.endswith("02_raises.failed.ipynb")
    assert (ran[1].folder / "02_raises.failed.ipynb").is_file()
    assert not (ran[1].folder / "02_raises.ipynb").exists()


def test_a_user_error_is_one_line(ran):
    expected = "03_user: ImageError: notes.txt is not a picture; expected PNG or JPEG"
    assert told(ran, "03_user") == expected
    assert f"\n{expected}\n" in ran[2]


def test_a_dead_kernel_is_told_with_its_exit_code(ran):
    failure = outcome(ran, "04_dies").failure
    assert (failure.cell, failure.name) == (1, "DeadKernelError")
    assert "exit code 7" in failure.message


def test_a_cell_that_never_ends_is_stopped_at_the_budget(ran):
    entry = outcome(ran, "05_endless")
    assert entry.failure.cell == 2
    assert entry.failure.source == "# spin\nwhile True:\n    pass"
    assert "over the budget of 2 s; stopped in cell 2, " in entry.failure.message
    assert 2 <= entry.minutes * 60 < 12


def test_ten_megabytes_of_output_arrive(ran):
    assert text_of(ran[1].folder / "06_big.ipynb") == ("y" * 99 + "\n") * 100_000


def test_nothing_is_left_over_and_nothing_else_is_said(ran):
    _, done, shown = ran
    assert "Warning" not in shown
    assert "IPKernelApp" not in shown
    assert not list(done.folder.glob(".*.part"))
    last = shown.splitlines()[-len(SCRIPTS) :]
    assert [line.split()[0] for line in last] == list(SCRIPTS)


@pytest.fixture
def no_jobs(monkeypatch):
    """Make it an error to run anything."""

    def refuse(*arguments):
        raise AssertionError(f"{arguments[0].chapter.slug} must not run")

    monkeypatch.setattr(execution, "Job", refuse)


def test_a_run_that_holds_is_not_repeated(ran, no_jobs):
    done, shown = run(ran[0], ["01_good"])
    assert [(each.outcome, each.reused) for each in done.chapters] == [("ok", True)]
    assert done.exit_code == 0
    assert "unchanged" in shown


def test_failures_changes_and_force_are_repeated(ran, no_jobs):
    with pytest.raises(AssertionError, match="02_raises must not run"):
        run(ran[0], ["02_raises"])
    with pytest.raises(AssertionError, match="01_good must not run"):
        run(ran[0], ["01_good"], fresh=True)
    with pytest.raises(AssertionError, match="01_good must not run"):
        run(ran[0], ["01_good"], {"count": "6"})


def test_new_prose_reaches_the_notebook_without_a_run(ran, no_jobs):
    book, done, _ = ran
    path = done.folder / "01_good.ipynb"
    edit(book, "01_good", "# # A good chapter", "# # A better chapter")
    run(book, ["01_good"])
    assert nbformat.read(path, as_version=4).cells[0].source == "# A better chapter"
    assert "5 makes 10\n" in text_of(path)
    edit(book, "01_good", "# # A better chapter", "# # A good chapter")
    run(book, ["01_good"])


def test_a_notebook_that_was_tampered_with_is_made_again(ran, no_jobs):
    path = ran[1].folder / "01_good.ipynb"
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    with pytest.raises(AssertionError, match="must not run"):
        run(ran[0], ["01_good"])
    path.write_bytes(before)


def test_a_failed_run_leaves_the_last_good_one(tmp_path):
    book = make_book(tmp_path, {"01_a": "# %%\nprint('first')\n"})
    good, failed = (tmp_path / "runs" / name for name in ("01_a.ipynb", "01_a.failed.ipynb"))
    good.parent.mkdir()
    failed.touch()
    run(book, output=good.parent)
    assert not failed.exists()
    before = good.read_bytes()
    edit(book, "01_a", "print('first')", "1 / 0")
    assert run(book, output=good.parent)[0].exit_code == 1
    assert good.read_bytes() == before
    assert failed.is_file()


LONG = """\
# %%
import pathlib, subprocess, sys, time
if not pathlib.Path("go").exists():
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    subprocess.Popen(sleep, start_new_session=True)
    pathlib.Path("started").touch()
    time.sleep(600)
"""
PROGRAM = """\
import pathlib, sys
from facelab.book import execution, manifest
book = manifest.load(pathlib.Path("book.toml"))
sys.exit(execution.run(book, None, "smoke", {}, jobs=2).exit_code)
"""


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(process: psutil.Process) -> bool:
    """Tell whether a process has ended; a dead one that nobody collected has."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def start():
    """Return a function that runs a book in another process until its chapter LONG has begun."""
    runners = []

    def begin(book: manifest.Manifest) -> subprocess.Popen:
        command = [sys.executable, "-c", PROGRAM]
        runner = subprocess.Popen(command, cwd=book.root, stderr=subprocess.PIPE, text=True)
        runners.append(runner)
        wait_for(lambda: (book.root / "started").exists() or runner.poll() is not None)
        assert runner.poll() is None
        return runner

    yield begin
    for runner in runners:
        if runner.poll() is None:
            runner.kill()
            runner.communicate()


def test_ctrl_c_stops_all_and_the_next_run_continues(tmp_path, start):
    book = make_book(tmp_path, {"01_a": "# %%\n1 + 1\n", "02_b": LONG})
    runner = start(book)
    wait_for((tmp_path / "runs" / "smoke" / "01_a.ipynb").exists)
    # The first chapter's processes may be about to end. Then there are three: the worker, the
    # kernel, and what the chapter started.
    children = partial(psutil.Process(runner.pid).children, recursive=True)
    wait_for(lambda: len(children()) == 3)
    below = children()
    runner.send_signal(signal.SIGINT)
    shown = runner.communicate(timeout=30)[1]
    assert runner.returncode == 130
    assert "the same command continues" in shown
    assert "Traceback" not in shown
    wait_for(lambda: all(map(gone, below)))
    (tmp_path / "go").touch()
    with chdir(tmp_path):
        done, _ = run(book)
    assert [(each.outcome, each.reused) for each in done.chapters] == [("ok", True), ("ok", False)]
    assert done.exit_code == 0


@pytest.mark.slow
def test_a_killed_runner_leaves_no_process_and_no_lock(tmp_path, start):
    book = make_book(tmp_path, {"02_b": LONG})
    runner = start(book)
    below = psutil.Process(runner.pid).children(recursive=True)
    with pytest.raises(BookError, match="another run is writing to"):
        run(book)
    runner.kill()
    runner.communicate()
    wait_for(lambda: all(map(gone, below)))
    (tmp_path / "go").touch()
    with chdir(tmp_path):
        assert run(book)[0].exit_code == 0
    assert not list((tmp_path / "runs" / "smoke").glob(".*.part"))


@pytest.mark.slow
def test_a_killed_worker_is_a_failure_and_leaves_no_process(tmp_path, start):
    book = make_book(tmp_path, {"02_b": LONG})
    runner = start(book)
    below = psutil.Process(runner.pid).children(recursive=True)
    below[0].kill()
    shown = runner.communicate(timeout=30)[1]
    assert runner.returncode == 1
    assert "the process that ran the chapter ended with exit code -9" in shown
    wait_for(lambda: all(map(gone, below)))


def test_each_job_has_its_own_caches_and_its_share_of_the_processors(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "processors", lambda: 8)
    outer = {"PATH": "/bin", "COLUMNS": "40", "FACELAB_CACHE": "/shared"}
    first, second = (
        job.environment(outer, tmp_path / slug, tmp_path, slug, 2) for slug in ("01_a", "02_b")
    )
    own = {"JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "TMPDIR", "MPLCONFIGDIR", "FACELAB_RUNS"}
    assert {name for name in first if first[name] != second[name]} == own
    assert all(Path(first[name]).is_dir() for name in own)
    assert first["OMP_NUM_THREADS"] == "4"
    assert first["FACELAB_CACHE"] == "/shared"
    assert "COLUMNS" not in first
    alone = job.environment(outer | {"OMP_NUM_THREADS": "3"}, tmp_path, tmp_path, "01_a", 1)
    assert alone["OMP_NUM_THREADS"] == "3"


def test_a_folder_that_can_not_be_written_is_a_book_error(tmp_path):
    book = make_book(tmp_path, {"01_a": "# %%\n1\n"})
    (tmp_path / "file").touch()
    with pytest.raises(BookError, match="choose another folder"):
        run(book, output=tmp_path / "file" / "below")
    with pytest.raises(BookError, match="jobs: expected 1 or more, got 0"):
        run(book, jobs=0)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["ok", "ok"], 0),
        (["ok", "user error"], 2),
        (["user error", "failed"], 1),
        (["over budget"], 1),
        (["failed", "interrupted"], 130),
    ],
)
def test_exit_codes(outcomes, code, tmp_path):
    chapters = tuple(ChapterReport("01_a", "smoke", each) for each in outcomes)
    assert RunReport("smoke", chapters, tmp_path).exit_code == code
