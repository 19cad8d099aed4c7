"""The verbs of `facelab assign`: make, run, grade, report. Thin."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from facelab.course.limits import Limits
from facelab.errors import BookError

FOLDER = click.Path(file_okay=False, path_type=Path)
KEY_VARIABLE = "FACELAB_COURSE_KEY"
DEFAULT = Limits()


@click.group()
def assign() -> None:
    """Make an assignment for each student of a course, run and grade what comes back."""


@assign.command("make")
@click.option("--roster", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--chapter", required=True, help="The chapter it is made from: 05_ganid.")
@click.option("--profile", default="quick", show_default=True)
@click.option("--course-key", envvar=KEY_VARIABLE, help=f"[${KEY_VARIABLE}] Keep it secret.")
@click.option("--title", help="[the chapter's title]")
@click.option("--due", help="A date, 2027-01-31, or a date with a time, 2027-01-31T18:00.")
@click.option("--renew", is_flag=True, help="Hand out anew what changed since.")
@click.option("-o", "--output", "folder", type=FOLDER, required=True)
def make_command(
    roster: Path,
    chapter: str,
    profile: str,
    course_key: str | None,
    title: str | None,
    due: str | None,
    renew: bool,
    folder: Path,
) -> None:
    """Write a notebook for each student of the roster, with values of their own."""
    from facelab.book import manifest
    from facelab.course import making
    from facelab.course import roster as rosters

    if course_key is None:
        raise BookError(f"no course key; give --course-key, or set {KEY_VARIABLE}")
    assignment, written = making.make(
        manifest.load(),
        chapter,
        rosters.read(roster),
        folder,
        course_key=course_key,
        profile=profile,
        title=title,
        due=due,
        renew=renew,
    )
    for path in written:
        click.echo(path)
    kept = len(assignment.students) - len(written)
    click.echo(f"{len(written)} notebooks written, {kept} as they were")


def _spread(command: click.Command) -> click.Command:
    """Add the options that say where work is done, and within which limits."""
    for option in (
        click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True),
        click.option("--scheduler", help="A dask scheduler that sees the folder: tcp://HOST:8786."),
        click.option(
            "--isolation",
            type=click.Choice(["auto", "bubblewrap", "landlock", "guard"]),
            default="auto",
            show_default=True,
        ),
        *(
            click.option(f"--{name}", type=click.FloatRange(min=0, min_open=True), default=default)
            for name, default in (
                ("cell-seconds", DEFAULT.cell_seconds),
                ("notebook-seconds", DEFAULT.notebook_seconds),
                ("memory-mb", DEFAULT.memory_mb),
                ("disk-mb", DEFAULT.disk_mb),
                ("output-mb", DEFAULT.output_mb),
            )
        ),
        click.argument("students", nargs=-1, metavar="[STUDENT]..."),
        click.argument("folder", type=FOLDER),
    ):
        command = option(command)
    return command


def _asked(folder: Path, students: Sequence[str]):
    """Return the assignment, and the ids of those who were named: all without any."""
    from facelab.course import record

    assignment = record.read(folder)
    for each in students:
        assignment.student(each)
    return assignment, list(students) or [each.id for each in assignment.students]


@assign.command("run")
@_spread
def run_command(
    folder: Path,
    students: tuple[str, ...],
    jobs: int,
    scheduler: str | None,
    isolation: str,
    **limits: float,
) -> None:
    """Run submissions in isolation, FOLDER's or those of the named students."""
    from facelab.course import spreading

    assignment, ids = _asked(folder, students)
    results = spreading.run_all(
        assignment, ids, Limits(**limits), isolation, jobs=jobs, scheduler=scheduler
    )
    counts: dict[str, int] = {}
    for each in results:
        counts[each["outcome"]] = counts.get(each["outcome"], 0) + 1
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    click.echo(f"{len(results)} submissions: {told}")


@assign.command("grade")
@_spread
def grade_command(
    folder: Path,
    students: tuple[str, ...],
    jobs: int,
    scheduler: str | None,
    isolation: str,
    **limits: float,
) -> None:
    """Grade the submissions that were run, in isolation as well."""
    from facelab.book import manifest
    from facelab.course import marking

    assignment, ids = _asked(folder, students)
    grades = marking.grade_all(
        manifest.load(),
        assignment,
        ids,
        Limits(**limits),
        isolation,
        jobs=jobs,
        scheduler=scheduler,
    )
    mean = sum(each["total"] for each in grades) / len(grades) if grades else 0.0
    click.echo(f"{len(grades)} grades, {mean:.1f} points in the mean")


@assign.command("report")
@click.argument("folder", type=FOLDER)
def report_command(folder: Path) -> None:
    """Write the gradebooks, everybody's feedback, and hints of copying, from the grades."""
    from facelab.book import manifest
    from facelab.course import feedback, gradebook, likeness, marking

    assignment, _ = _asked(folder, ())
    found = marking.hints(manifest.load(), assignment, DEFAULT, "auto")
    paths = [*gradebook.write(assignment), *feedback.write_all(assignment)]
    for path in [*paths, likeness.write(assignment, found)]:
        click.echo(path)
    without = [
        each.id for each in assignment.students if not assignment.grade_file(each.id).exists()
    ]
    if without:
        click.echo(f"no grade yet: {', '.join(without)}", err=True)
        sys.exit(1)
