"""A student's feedback: one page of HTML that needs nothing else, with that student's data alone.

It has no script and no address of anything outside. What a student wrote or printed is cut and
escaped. Of hidden tests it says what they are about, and no more.
"""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from facelab.book.pairing import replace_text
from facelab.course.grading import clean, read_json
from facelab.course.record import Assignment
from facelab.errors import BookError

LONGEST_OUTPUT = 1500
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
MARKS = {"right": "✓", "half": "◐", "wrong": "✗", "silent": "✗", "missing": "○", "open": "○"}
STATES = {
    "right": "passed",
    "wrong": "not passed",
    "silent": "stopped",
    "unanswered": "not answered",
    "gone": "cell is gone",
    "half": "half",
    "missing": "not answered",
    "open": "not graded yet",
}
STYLE = """\
:root { color-scheme: light dark; --ink: #1d1d1f; --paper: #fff; --line: #c8c8cc; --soft: #f3f3f5;
  --good: #116329; --bad: #a40e26; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf0; --paper: #18181b; --line: #48484f;
  --soft: #232327; --good: #6fdd8b; --bad: #ff9492; } }
body { color: var(--ink); background: var(--paper); font: 1rem/1.5 system-ui, sans-serif;
  max-width: 48rem; margin: 0 auto; padding: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding: 0.3rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.35rem 0.6rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { overflow-wrap: normal; }
td.points { text-align: right; white-space: nowrap; }
pre { background: var(--soft); padding: 0.6rem; overflow-x: auto; white-space: pre-wrap; }
.right { color: var(--good); } .wrong, .silent, .gone { color: var(--bad); }
.message { white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def write_all(assignment: Assignment) -> list[Path]:
    """Write the feedback of every student who has a grade, and return the files."""
    graded = [each.id for each in assignment.students if assignment.grade_file(each.id).is_file()]
    return [write(assignment, student_id) for student_id in graded]


def write(assignment: Assignment, student_id: str) -> Path:
    """Write DIR/feedback/ID.html and return it; raises `BookError` for who has no grade."""
    grade = read_json(assignment.grade_file(student_id))
    if grade is None:
        raise BookError(
            f"{student_id} has no grade; run `facelab assign grade {assignment.folder}` first"
        )
    path = assignment.feedback_file(student_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, page(assignment, student_id, grade))
    return path


def page(assignment: Assignment, student_id: str, grade: dict[str, Any]) -> str:
    """Return the page's HTML."""
    student = assignment.student(student_id)
    outputs = _outputs(assignment.run_folder(student_id) / "executed.ipynb")
    title = escape(f"{assignment.title}: {student.name}")
    body = [
        f"<h1>{title}</h1>",
        _cover(assignment, student_id, grade),
        *_notes(grade["notes"]),
        _points(grade),
        *(_exercise(each, outputs.get(each["number"], "")) for each in grade["exercises"]),
        *_questions(grade["questions"]),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of cells that are HTML already; the first of a row is its heading."""
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td>{cell}</td>" for cell in others)
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    top = f"<thead><tr>{titles}</tr></thead>\n" if titles else ""
    body = "\n".join(lines)
    return f"<table>\n<caption>{caption}</caption>\n{top}<tbody>\n{body}\n</tbody>\n</table>"


def _cover(assignment: Assignment, student_id: str, grade: dict[str, Any]) -> str:
    student = assignment.student(student_id)
    values = assignment.parameters[student_id].items()
    rows = [
        ("Student", f"{student.name} ({student.id})"),
        ("Section", student.section),
        ("Due", (assignment.due or "").replace("T", " ")),
        ("Your values", ", ".join(f"{name} = {value!r}" for name, value in values)),
        ("Run", {"ok": "ran to its end"}.get(grade["outcome"], f"ended with: {grade['outcome']}")),
        ("Total", f"{grade['total']:g} of {grade['possible']:g} points"),
    ]
    return _table("About this work", [], [(name, escape(text)) for name, text in rows if text])


def _notes(notes: list[str]) -> list[str]:
    if not notes:
        return []
    items = "\n".join(f'<li class="message">{escape(note)}</li>' for note in notes)
    return [f"<h2>Please note</h2>\n<ul>\n{items}\n</ul>"]


def _state(state: str) -> str:
    mark = MARKS.get(state, "○")
    return f'<span class="{escape(state)}">{mark} {STATES.get(state, escape(state))}</span>'


def _points(grade: dict[str, Any]) -> str:
    rows = [
        (escape(each["title"]), _state(each["visible"]), _worth(each))
        for each in grade["exercises"]
    ]
    rows += [
        (f"Measurement: {escape(each['name'])}", _state(each["state"]), _worth(each))
        for each in grade["questions"]
    ]
    rows.append(("Total", "", _worth({"earned": grade["total"], "points": grade["possible"]})))
    return "<h2>Points</h2>\n" + _table("Points of each part", ["Part", "Test", "Points"], rows)


def _worth(each: dict[str, Any]) -> str:
    return f"{each['earned']:g} of {each['points']:g}"


def _exercise(each: dict[str, Any], output: str) -> str:
    lines = [
        f"<h2>Exercise {escape(each['title'])}</h2>",
        f'<p class="message">{escape(each["message"])}</p>',
    ]
    if each["hidden"]:
        items = "\n".join(
            f"<li>{_state('right' if one['passed'] else 'wrong')}: "
            f"{'holds' if one['passed'] else 'does not hold'} for {escape(one['about'])}</li>"
            for one in each["hidden"]
        )
        lines.append(
            f"<p>Further tests, which the notebook doesn't show:</p>\n<ul>\n{items}\n</ul>"
        )
    if output:
        lines.append(f"<p>What your cell printed:</p>\n<pre>{escape(output)}</pre>")
    return "\n".join(lines)


def _questions(questions: list[dict[str, Any]]) -> list[str]:
    if not questions:
        return []
    rows = [
        (
            escape(each["text"]),
            "" if each["reported"] is None else escape(str(each["reported"])[:40]),
            f"{_state(each['state'])}: {escape(each['message'])}",
            _worth(each),
        )
        for each in questions
    ]
    head = ["Question", "You reported", "Result", "Points"]
    return ["<h2>Your measurements</h2>\n" + _table("Numbers of your own run", head, rows)]


def _outputs(executed: Path) -> dict[str, str]:
    """Return what the cell of each exercise printed when the submission ran, cut."""
    notebook = read_json(executed) or {}
    found: dict[str, str] = {}
    for cell in notebook.get("cells", []):
        mark = cell.get("metadata", {}).get("facelab")
        if isinstance(mark, dict) and mark.get("part") == "answer" and "exercise" in mark:
            text = "".join(_printed(output) for output in cell.get("outputs", []))
            text = clean(ANSI.sub("", text)).strip()
            cut = "" if len(text) <= LONGEST_OUTPUT else "\n… (cut)"
            found[str(mark["exercise"])] = text[:LONGEST_OUTPUT] + cut
    return found


def _printed(output: dict[str, Any]) -> str:
    if output.get("output_type") == "error":
        return f"{output.get('ename', '')}: {output.get('evalue', '')}\n"
    text = output.get("text", "")
    text = "".join(text) if isinstance(text, list) else str(text)
    return text[: 10 * LONGEST_OUTPUT]
