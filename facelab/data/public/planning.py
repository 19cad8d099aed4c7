"""What is said before anything is done: what a set is, its terms, and what would happen."""

import sys
from pathlib import Path

from facelab.data.public import fetching, table
from facelab.data.public.request import Request
from facelab.data.public.table import PublicSet, Published
from facelab.errors import ParameterError


def terms(described: PublicSet) -> str:
    """Return what a reader should know before having a set."""
    size = sum(file.size_bytes or 0 for file in described.files)
    unknown = sum(file.size_bytes is None for file in described.files)
    more = f" and {unknown} of unknown size" if unknown else ""
    lines = [
        ("what", described.what),
        ("licence", described.licence),
        ("terms", described.terms),
        (
            "size",
            f"{len(described.files)} files, {size / 1e6:,.0f} MB{more}" * bool(described.files),
        ),
        ("from", described.homepage),
        ("cite", described.citation),
        ("by hand", described.by_hand),
    ]
    rows = [f"  {name:<8} {text}" for name, text in lines if text]
    return "\n".join([f"{described.name}: {described.title}", *rows])


def confirm(described: PublicSet, accept: bool) -> None:
    """Raise `ParameterError` unless the reader accepts the terms, here or with --accept."""
    if accept or not described.terms:
        return
    if not sys.stdin.isatty():
        raise ParameterError(
            f"the terms of {described.title} have to be accepted; read them and give --accept"
        )
    question = f"Do you accept the terms of {described.title}? Answer yes or no:"
    print(question, file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise ParameterError("the terms were not accepted, so nothing was done")


def plan(request: Request) -> Path:
    """Say what `prepare` would do and write nothing; return the folder that it would make."""
    described = request.described
    print(terms(described), file=sys.stderr)
    given = request.given_folder()
    if given is not None:
        listing = table.listing_of(described.name)(given)
        say(f"would read {len(listing):,} pictures of {listing.people:,} people in {given}")
    else:
        for file in described.files:
            say(_plan_of(request, file))
    faces = described.pictures if given is None else len(listing)
    if faces:
        packed = faces * 3 * request.size**2
        say(
            f"would pack {faces:,} pictures of {request.size} x {request.size} pixels, "
            f"{packed / 1e6:,.0f} MB and labels, in framing {request.framing}"
        )
    return request.target


def _plan_of(request: Request, file: Published) -> str:
    own = request.own(file)
    if own is not None:
        return f"would take {own}"
    if request.has(file):
        return f"has {file.name} already"
    size = "unknown size" if file.size_bytes is None else f"{file.size_bytes / 1e6:,.1f} MB"
    mirror = fetching.address(request.url, file, len(request.described.files))
    sources = dict.fromkeys(filter(None, (mirror, *file.urls)))
    return f"would fetch {file.name}, {size}, from {', else '.join(sources) or 'nowhere'}"


def say(text: str) -> None:
    """Print a remark on standard error."""
    print(f"  {text}", file=sys.stderr)
