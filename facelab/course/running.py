"""Runs a submission in a sandbox, within limits, and keeps what came of it.

runs/ID/executed.ipynb    the notebook with its outputs, as far as it came
runs/ID/result.json       how it went; a run whose `key` still holds isn't repeated
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import facelab
from facelab.assets import cache
from facelab.book import pairing
from facelab.course import sandbox, submissions
from facelab.course.limits import Limits
from facelab.course.record import Assignment
from facelab.course.submissions import Refusal
from facelab.course.supervising import EXECUTED, Outcome, Work, run
from facelab.errors import BookError

if TYPE_CHECKING:
    from nbformat import NotebookNode

Json = dict[str, Any]

RESULT = "result.json"


def run_one(
    assignment: Assignment,
    student_id: str,
    limits: Limits | None = None,
    isolation: str = "auto",
    *,
    threads: int | None = None,
    stopped: threading.Event | None = None,
) -> Json:
    """Run a student's submission and return its result, which is in runs/ID/result.json then.

    A result that holds already is returned as it is. `threads` is for numerical libraries. Raises
    `BookError` where this machine is at fault, and `KeyboardInterrupt` when `stopped` is set.
    """
    assignment.student(student_id)
    limits = limits or Limits()
    path, folder = assignment.submitted(student_id), assignment.run_folder(student_id)
    parameters = dict(assignment.parameters[student_id])
    expressions = {each.name: f"reported_{each.name}" for each in assignment.questions}
    digest = cache.sha256(path) if path.is_file() else ""
    key = _key(digest, parameters, expressions, limits)
    known = _known(folder, key)
    if known is not None:
        return known
    found = submissions.read(path)
    chosen = sandbox.choose(isolation)
    if isinstance(found, Refusal):
        outcome = Outcome(found.outcome, found.message)
    else:
        hidden = (assignment.folder,)
        work = Work(found, parameters, expressions, hidden, limits, chosen, threads)
        outcome = run(work, stopped)
    about = {"student": student_id, "sha256": digest, "key": key}
    return _keep(folder, about, outcome, limits, chosen)


def run_key(
    assignment: Assignment,
    student_id: str,
    limits: Limits | None = None,
    isolation: str = "auto",
    *,
    notebook: NotebookNode,
    expressions: Mapping[str, str] | None = None,
    threads: int | None = None,
    stopped: threading.Event | None = None,
) -> Json:
    """Run the chapter's solution at a student's parameters; `reported` has the questions' values.

    `expressions`, by name, are read at the end; without them it is each question's `value`.
    Students with the same parameters share a run, in runs/keys/HASH. Raises `BookError` for a
    solution that doesn't run to its end, or doesn't have all values.
    """
    limits = limits or Limits()
    parameters = dict(assignment.parameters[student_id])
    if expressions is None:
        expressions = {each.name: each.value for each in assignment.questions}
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    digest = hashlib.sha256(json.dumps(sources).encode()).hexdigest()
    key = _key(digest, parameters, expressions)  # values that were reached hold in any limits
    folder = assignment.run_folder("keys") / key[:16]
    result = _known(folder, key)
    if result is None or result["outcome"] != "ok":
        chosen = sandbox.choose(isolation)
        hidden = (assignment.folder,)
        parsed = submissions.parse(json.dumps(notebook).encode())
        if isinstance(parsed, Refusal):
            raise BookError(f"the solution of {assignment.chapter}: {parsed.message}")
        work = Work(parsed, parameters, expressions, hidden, limits, chosen, threads)
        outcome = run(work, stopped)
        about = {"student": "", "sha256": digest, "key": key}
        result = _keep(folder, about, outcome, limits, chosen)
    missing = [name for name in expressions if name not in result["reported"]]
    if result["outcome"] != "ok" or missing:
        why = result["message"] if result["outcome"] != "ok" else f"no value of {missing[0]}"
        raise BookError(
            f"the solution of {assignment.chapter} at the values of {student_id}: {why}; see "
            f"{folder}, and mend the chapter or raise the limits"
        )
    return result


def _key(
    digest: str, parameters: Json, expressions: Mapping[str, str], limits: Limits | None = None
) -> str:
    """Return what a result depends on; another key makes it out of date."""
    within = dataclasses.asdict(limits) if limits else {}
    parts = [digest, parameters, dict(expressions), within, facelab.__version__]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _known(folder: Path, key: str) -> Json | None:
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(result, dict) and result.get("key") == key
    if whole and result["outcome"] in ("ok", "error") and not (folder / EXECUTED).is_file():
        return None
    return result if whole else None


def _keep(folder: Path, about: Json, outcome: Outcome, limits: Limits, isolation: str) -> Json:
    """Write the executed notebook, then the result that says so, and return the result."""
    folder.mkdir(parents=True, exist_ok=True)
    if outcome.executed is None:
        (folder / EXECUTED).unlink(missing_ok=True)
    else:
        pairing.replace_text(folder / EXECUTED, outcome.executed)
    result = about | dataclasses.asdict(outcome)
    del result["executed"]
    result |= {"isolation": str(isolation), "limits": dataclasses.asdict(limits)}
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    pairing.replace_text(folder / RESULT, text)
    return result
