"""course: what isolation costs, and how long a large course takes: `facelab assign run`, timed.

Prints a record and writes it to runs/bench/course.json, or to the file that --output names; the
book's is records/course.json. Each student hands in the filled-in chapter at their own values.

First the same submissions take turns: papermill's own command; that command without the optional
check of internet addresses, whose grammar jsonschema builds at every start though notebooks have
none, as facelab leaves it out; then `run` with one job. Each has as many threads as a job of two
would have. The overhead is over the second, by the median submission. Then some of them with two
jobs and on a dask cluster of two workers; then all with two jobs; then all once more, which has
nothing left to do.
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import recording

from facelab.book import manifest, products
from facelab.book.exercises import VISIBLE_SHARE
from facelab.course import limits, making, sandbox, spreading
from facelab.course.record import Assignment
from facelab.course.roster import Student

COHORT = recording.ROOT / "tests" / "course"
LIGHT = recording.ROOT / "tests" / "light"  # a package in whose place jsonschema finds nothing


def handed_in(options: argparse.Namespace, folder: Path) -> Assignment:
    """Make the assignment, and everybody's submission to it."""
    book = manifest.load()
    chapter = book.chapter(options.chapter)
    students = [Student(f"s{number:03}", f"Student {number}") for number in range(options.students)]
    assignment, _ = making.make(
        book, chapter.slug, students, folder, course_key="a benchmark", profile="smoke"
    )
    solution = products.product(chapter, "solution")
    import nbformat

    for student in students:
        path = assignment.submitted(student.id)
        path.parent.mkdir(parents=True)
        nbformat.write(making.notebook_for(assignment, solution, chapter, student), path)
    return assignment


def papermill(assignment: Assignment, student: str, folder: Path, light: bool) -> float:
    """Seconds of papermill's own command; `light`: without that grammar."""
    command = [sys.executable, "-m", "papermill", str(assignment.submitted(student))]
    command += [str(folder / "out.ipynb"), "--no-progress-bar", "--log-level", "ERROR"]
    for name, value in assignment.parameters[student].items():
        command += ["-p", name, str(value)]
    variables = dict(os.environ) | ({"PYTHONPATH": str(LIGHT)} if light else {})
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=variables)
    return time.perf_counter() - start


def spread(assignment: Assignment, students: list[str], isolation: str, **how) -> float:
    """Seconds of running some submissions, none of which may fail."""
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        results = spreading.run_all(assignment, students, limits.Limits(), isolation, **how)
    seconds = time.perf_counter() - start
    failed = [each for each in results if each["outcome"] != "ok"]
    if failed:
        raise RuntimeError(f"{len(failed)} submissions did not run: {failed[0]}")
    return seconds


def measure(options: argparse.Namespace) -> dict:
    """All of it, in the docstring's order."""
    isolation = sandbox.choose(options.isolation)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        assignment = handed_in(options, folder / "course")
        ids = [each.id for each in assignment.students]
        few = ids[: options.compared]
        command, bare, ours = [], [], []
        for student in few:
            command.append(papermill(assignment, student, folder, light=False))
            bare.append(papermill(assignment, student, folder, light=True))
            ours.append(spread(assignment, [student], isolation, jobs=1))
        two = spread(assignment, ids[len(few) : 2 * len(few)], isolation, jobs=2)
        dask = on_dask(assignment, ids[2 * len(few) : 3 * len(few)], isolation)
        start = time.perf_counter()
        spread(assignment, ids[3 * len(few) :], isolation, jobs=2)
        rest = time.perf_counter() - start
        again = spread(assignment, ids, isolation, jobs=2)
    ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
    left = len(ids) - 3 * len(few)
    return {
        "chapter": options.chapter,
        "chapter number": int(options.chapter[:2]),
        "isolation": isolation,
        "compared": len(few),
        "seconds": {
            "papermill": statistics.median(command),
            "papermill without the grammar": statistics.median(bare),
            "one job": statistics.median(ours),
            "two jobs": two / len(few),
            "dask": dask / len(few),
        },
        "overhead percent": 100 * (statistics.median(ratios) - 1),
        "overhead percent, least and most": [100 * (min(ratios) - 1), 100 * (max(ratios) - 1)],
        "large submissions": len(ids),
        "large with two jobs at once": left,
        "large minutes": rest / left * len(ids) / 60,
        "seconds of a run that has nothing to do": again,
        "visible share percent": 100 * VISIBLE_SHARE,
        "cohort submissions": cohort_size(),
    }


def on_dask(assignment: Assignment, students: list[str], isolation: str) -> float:
    """Seconds on a local cluster of two workers, its start not counted."""
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        return spread(assignment, students, isolation, scheduler=cluster.scheduler_address)


def cohort_size() -> int:
    """How many submissions the course of the tests has."""
    sys.path.insert(0, str(COHORT))
    import cohort

    return len(cohort.CASES)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chapter", default="02_identity")
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--compared", type=int, default=10, help="submissions of each comparison")
    parser.add_argument("--isolation", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=recording.ROOT / "runs/bench/course.json")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(recording.main("isolation and a large course", parsed(), measure))
