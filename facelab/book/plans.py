"""What a run is going to do: for each chosen chapter its parameters, key and budget."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facelab.book import fingerprint, pairing, parameters
from facelab.book.manifest import Chapter, Manifest
from facelab.errors import BookError, ParameterError

BUDGET_SCALE = "FACELAB_BUDGET_SCALE"


@dataclass(frozen=True)
class Plan:
    """One chapter as it is to be run; `cells` are the sources of all its cells.

    `budget_s` is in seconds, infinite without a budget.
    """

    chapter: Chapter
    profile: str
    parameters: Mapping[str, Any]
    cells: tuple[str, ...]
    key: str
    budget_s: float


def make(
    manifest: Manifest,
    slugs: Sequence[str] | None,
    profile: str,
    overrides: Mapping[str, str],
    *,
    budget: bool = True,
) -> list[Plan]:
    """Return the plans of the chosen chapters (None: all), in the book's order.

    Raises `BookError` for an unknown chapter or profile and for a pair out of step, and
    `ParameterError` for an override that no chosen chapter declares or of the wrong type.
    """
    manifest.profile(profile)
    chapters = manifest.select(slugs)
    for difference in pairing.out_of_step(manifest, slugs):
        raise BookError(f"{difference.chapter.source.name}: {difference.message}")
    scale = budget_scale() if budget else math.inf
    plans = []
    for chapter, own in _shared(overrides, chapters):
        values = parameters.resolve(chapter, profile, own)
        notebook = pairing.read_notebook(chapter)
        key = fingerprint.run_key(notebook, values, profile, manifest.root)
        cells = tuple(cell.source for cell in notebook.cells)
        limit = chapter.budget_s(profile) * scale
        plans.append(Plan(chapter, profile, values, cells, key, limit))
    return plans


def _shared(
    overrides: Mapping[str, str], chapters: Sequence[Chapter]
) -> Iterator[tuple[Chapter, dict[str, str]]]:
    """Yield each chapter with the overrides that it declares; each must be some chapter's.

    A single chapter gets them all, because the message about its own names says more.
    """
    declared = {
        chapter.slug: set(parameters.declared(pairing.parameters_source(chapter)))
        for chapter in chapters
    }
    if len(chapters) == 1:
        declared = {chapters[0].slug: set(overrides)}
    known = set().union(*declared.values())
    for name in overrides:
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise ParameterError(f"no chosen chapter has a parameter {name!r}; they have: {names}")
    for chapter in chapters:
        names = declared[chapter.slug]
        yield chapter, {name: text for name, text in overrides.items() if name in names}


def budget_scale() -> float:
    """Return the factor for all budgets, from $FACELAB_BUDGET_SCALE; raises `BookError`."""
    text = os.environ.get(BUDGET_SCALE, "1")
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not (math.isfinite(scale) and scale > 0):
        raise BookError(f"{BUDGET_SCALE}: expected a number above 0 such as 2, got {text!r}")
    return scale
