"""From executed chapters to the book in HTML: Jupyter Book with its warnings fatal.

The page is built beside the previous one and takes its place only when it is complete, so that a
failed build loses nothing.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from facelab import assets
from facelab.book import website
from facelab.book.manifest import Manifest
from facelab.errors import AssetError, BookError

STAMP = ".inputs.sha256"
TOOLS = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "pydata-sphinx-theme")
JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"
STRICT = ("-W", "--keep-going", "-n", "-q")
# myst-nb's line numbers: ten thousand times the cell's number, and the line in the cell plus one.
CELL = 10_000
COLOUR = re.compile(r"\x1b\[[\d;]*m")
LOCATED = re.compile(r"^(?P<path>.*?\.ipynb|.*?\.md):(?P<line>\d+): (?P<text>.*)$")


def render(manifest: Manifest, executed: Path, output: Path, *, quiet: bool = True) -> Path:
    """Render executed/SLUG.ipynb of every chapter as HTML in `output`; return its index.html.

    Nothing is built when nothing has changed since `output` was made. `quiet` keeps Jupyter Book's
    progress off the terminal. Raises `BookError`, with every warning printed, when a page has one;
    `output` then stays as it was.
    """
    executed, output = executed.resolve(), output.resolve()
    _require_own(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(output.parent / f".{output.name}.lock"):
        start = time.monotonic()
        _recover(output)
        source = output.parent / f"{output.name}.source"
        website.write(manifest, executed, source, _mathjax())
        stamp = _fingerprint(source)
        if _stamp(output) == stamp:
            print(f"render: nothing has changed since {output} was made")
            return output / "index.html"
        with _workshop(output) as work:
            built = _build(source, work, output, quiet)
            _finish(built, source, stamp)
            _swap(built, output)
        pages = len(manifest.chapters)
        print(f"render: {pages} chapters in {time.monotonic() - start:.0f} s")
    return output / "index.html"


def _mathjax() -> Path | None:
    """Return MathJax's folder, or None, said aloud, when it can't be had."""
    try:
        return assets.path("mathjax")
    except AssetError as error:
        print(
            f"render: MathJax can't be had, so formulas need the network: pages take it from "
            f"{website.MATHJAX_ADDRESS} ({error})",
            file=sys.stderr,
        )
        return None


def _require_own(output: Path) -> None:
    if output.is_dir() and any(output.iterdir()) and not (output / STAMP).is_file():
        raise BookError(
            f"{output} holds files that are not a rendered book; "
            "give another folder, or empty this one"
        )


def _fingerprint(source: Path) -> str:
    """Return the SHA-256 of all that decides what the pages are."""
    digest = hashlib.sha256()
    for tool in TOOLS:
        digest.update(f"{tool} {version(tool)}\0".encode())
    digest.update(Path(__file__).read_bytes())
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(source).as_posix()} {len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _stamp(output: Path) -> str | None:
    path = output / STAMP
    return path.read_text(encoding="utf-8") if path.is_file() else None


@contextmanager
def _workshop(output: Path) -> Iterator[Path]:
    """Give a folder beside the output that is gone afterwards, whatever happens."""
    path = output.parent / f".{output.name}.new"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _build(source: Path, work: Path, output: Path, quiet: bool) -> Path:
    """Run Jupyter Book in a process of its own, and return the folder with its pages."""
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(source)]
    command += ["--path-output", str(work), *(STRICT if quiet else STRICT[:-1])]
    done = subprocess.run(
        command,
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        found = list(problems(done.stderr, source))
        print("\n".join(found), file=sys.stderr)
        kept = f"; {output} stays as it was" if output.exists() else ""
        raise BookError(f"the book can't be rendered, correct what is listed above{kept}")
    return work / "_build" / "html"


def problems(log: str, source: Path) -> Iterator[str]:
    """Yield Sphinx's warnings, with the chapter's cell and line in place of myst-nb's numbers.

    A log without any (Sphinx itself failed) is yielded by its last lines.
    """
    found = False
    log = COLOUR.sub("", log)
    for line in log.splitlines():
        if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line):
            found = True
            yield _located(line, source)
    if not found:
        yield from log.splitlines()[-12:]


def _located(line: str, source: Path) -> str:
    match = LOCATED.match(line)
    if not match:
        return line.replace(f"{source}{os.sep}", "")
    name = Path(match["path"]).stem
    cell, row = divmod(int(match["line"]), CELL)
    place = f"cell {cell}, line {max(row - 1, 1)}" if cell else f"line {row}"
    return f"{name}, {place}: {match['text']}"


def _finish(built: Path, source: Path, stamp: str) -> None:
    """Put the notebooks to download where the pages' links point, and stamp the folder."""
    for path in (source / website.DOWNLOADS).glob("*.ipynb"):
        shutil.copyfile(path, built / "_sources" / path.name)
        # On pages opened from files, custom.js saves the notebook through this.
        call = f"facelabSave({json.dumps(path.name)}, {json.dumps(path.read_text('utf-8'))});\n"
        (built / "_sources" / f"{path.name}.js").write_text(call, encoding="utf-8")
    (built / STAMP).write_text(stamp, encoding="utf-8")


def _swap(built: Path, output: Path) -> None:
    """Put `built` in the place of `output`; what was there goes only after that."""
    previous = _previous(output)
    if output.exists():
        os.replace(output, previous)
    os.replace(built, output)
    shutil.rmtree(previous, ignore_errors=True)


def _recover(output: Path) -> None:
    """Undo a swap that was interrupted between its two renames."""
    previous = _previous(output)
    if previous.exists() and not output.exists():
        os.replace(previous, output)
    shutil.rmtree(previous, ignore_errors=True)


def _previous(output: Path) -> Path:
    return output.parent / f".{output.name}.old"
