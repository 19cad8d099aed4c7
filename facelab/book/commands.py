"""The verbs of `facelab book`: thin, and loaded only as far as the verb needs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facelab.errors import BookError, ParameterError

if TYPE_CHECKING:
    from facelab.book.manifest import Manifest
    from facelab.book.report import RunReport

STORED_PROFILE = "quick"


@click.group()
def book() -> None:
    """Run, check and render the chapters that book.toml lists."""


@book.command("run")
@click.argument("chapters", nargs=-1, metavar="[CHAPTER]...")
@click.option("--profile", default="quick", show_default=True, help="A profile of book.toml.")
@click.option(
    "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Set a chapter's parameter."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="[runs/PROFILE]")
@click.option("--no-budget", is_flag=True, help="Let a chapter take its time.")
@click.option("--fresh", is_flag=True, help="Run chapters again whose last run still holds.")
@click.option("--store", is_flag=True, help="Keep the outputs in chapters/*.ipynb (quick only).")
def run(
    chapters: tuple[str, ...],
    profile: str,
    parameters: tuple[str, ...],
    jobs: int,
    output: Path | None,
    no_budget: bool,
    fresh: bool,
    store: bool,
) -> None:
    """Execute chapters (all, or those named) into runs/."""
    from facelab.book import execution, manifest

    overrides = parsed_overrides(parameters)
    if store and (profile != STORED_PROFILE or overrides):
        raise BookError(
            f"--store keeps what readers see, the profile {STORED_PROFILE} without -p; "
            "leave --store, or --profile and -p, out"
        )
    book = manifest.load()
    report = execution.run(
        book,
        chapters or None,
        profile,
        overrides,
        jobs=jobs,
        output=output,
        budget=not no_budget,
        fresh=fresh,
    )
    if store:
        _store(book, report)
    sys.exit(report.exit_code)


def parsed_overrides(parameters: tuple[str, ...]) -> dict[str, str]:
    """Return the values of `-p NAME=VALUE` by name; raises `ParameterError`."""
    overrides: dict[str, str] = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ParameterError(
                f"-p: expected NAME=VALUE, got {text!r}; write for example faces=64"
            )
        if name in overrides:
            raise ParameterError(f"-p: {name} is set twice; keep one of the two")
        overrides[name] = value
    return overrides


def _store(book: "Manifest", report: "RunReport") -> None:
    from facelab.book import overview, pairing
    from facelab.book.report import OK

    for entry in report.chapters:
        if entry.outcome == OK:
            executed = report.folder / entry.notebook
            click.echo(pairing.store_outputs(book.chapter(entry.slug), executed))
    click.echo(overview.write_chapter_record(book, report.folder))
    overview.write_readme(book)


@book.command("check")
def check() -> None:
    """Find what is wrong with the chapters: pairs, links, citations ..."""
    from facelab.book import checks, manifest

    book = manifest.load()
    problems = checks.check(book)
    for problem in problems:
        click.echo(problem)
    found = _counted(len(problems), "problem") if problems else "good"
    click.echo(f"{_counted(len(book.chapters), 'chapter')}: {found}")
    sys.exit(1 if problems else 0)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


@book.command("render")
@click.option("--executed", type=click.Path(path_type=Path), help="[runs/quick]")
@click.option("--output", type=click.Path(path_type=Path), help="[_build/html]")
def render(executed: Path | None, output: Path | None) -> None:
    """Render the executed chapters as HTML."""
    from facelab.book import manifest, rendering

    book = manifest.load()
    executed = executed or book.root / "runs" / STORED_PROFILE
    click.echo(rendering.render(book, executed, output or book.root / "_build" / "html"))


@book.command("pdf")
@click.option("--html", type=click.Path(path_type=Path), help="[_build/html]")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="[_build/book.pdf]")
def pdf(html: Path | None, output: Path | None) -> None:
    """Print the rendered book as one PDF (needs Chromium)."""
    from facelab.book import manifest, printing

    book = manifest.load()
    build = book.root / "_build"
    click.echo(printing.print_book(book, html or build / "html", output or build / "book.pdf"))


@book.command("sync")
@click.argument("chapters", nargs=-1, metavar="[CHAPTER]...")
@click.option("--from-notebook", is_flag=True, help="The .ipynb is the source: write the .py.")
@click.option("--overwrite", is_flag=True, help="Drop cells that were edited in the .ipynb alone.")
def sync(chapters: tuple[str, ...], from_notebook: bool, overwrite: bool) -> None:
    """Bring chapters/*.py and their .ipynb in step, and the README's tables up to date."""
    from facelab.book import manifest, overview, pairing, products

    book = manifest.load()
    changed = pairing.sync(book, chapters or None, from_notebook=from_notebook, overwrite=overwrite)
    changed += products.write_digests(book)
    changed += overview.write_readme(book)
    for path in changed:
        click.echo(f"wrote {path}")
    if not changed:
        click.echo("all pairs and the README are in step")


@book.command("product")
@click.argument("chapter")
@click.option("--kind", default="student", show_default=True, help="reader, student, solution ...")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
def product(chapter: str, kind: str, output: Path) -> None:
    """Make a chapter's notebook for readers, students, solutions, grading or slides."""
    from facelab.book import manifest, pairing, products

    pairing.replace_text(output, products.text(manifest.load().chapter(chapter), kind))
    click.echo(output)


@book.command("new")
@click.argument("slug")
@click.option("--title", required=True, help="The chapter's title.")
@click.option("--paper", help="The key of its paper, for a chapter on one.")
def new(slug: str, title: str, paper: str | None) -> None:
    """Start a chapter: skeleton, pair, entry in book.toml."""
    from facelab.book import manifest, scaffold

    chapter = scaffold.new(manifest.load(), slug, title, paper).chapter(slug)
    for path in (chapter.source, chapter.notebook):
        click.echo(f"wrote {path}")
    click.echo("appended its entry to book.toml")
