"""The page of error rates by the axes of the synthetic heads, made from records/demographics.json.

It says how two recognisers do on renders. It can't say how they do on people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelab.book.measured import Records, number
from facelab.book.overview import table
from facelab.errors import BookError
from facelab.verdicts import at

if TYPE_CHECKING:
    from facelab.book.checks import Problem

RECORD = "demographics"
RATES = ("false match rate", "false non-match rate")
MEANING = {
    "gender": "The slider between two body shapes that MakeHuman calls male and female; people of "
    "AnnyFaces lie near one end or the other.",
    "age": "The slider of age, in years; people are adults of 19 to 75.",
    "ancestry": "The largest of three sliders, which MakeHuman calls african, asian and caucasian "
    "and which are an artist's caricatures. Colours of skin, hair and eyes are drawn with them.",
    "muscle": "The slider of muscle, below and above its middle.",
    "weight": "The slider of weight, below and above its middle.",
}
HEAD = """\
A recogniser has one threshold for everybody. Where groups of people lie differently far apart, the
same threshold lets strangers of one group in more often than those of another. Audits of real
systems found that, with differences of a factor of ten and more {{cite:p}}`grother2019`; here is
how such an audit is made, on faces of which everything is known.

```{{warning}}
These are rates on **renders**: {test} people who do not exist, {views} pictures each. They measure
what a recogniser does with pictures that a program drew. They do not say how it does with people of
any group, and that two groups of heads come out alike here is no evidence of fairness anywhere. The
axes are sliders of a head model: they describe no person.
```

Synthetic faces have been used to look for such differences because one thing can be changed while
all else stays {{cite:p}}`kortylewski2019,balakrishnan2020`. That helps to find out *why* rates
differ; *whether* they do for people has to be measured with people.

The threshold of each recogniser is that at which {rule}; it is then held to everybody. A
false match is a pair of two people *of the same group* that is taken for one person, a false
non-match a pair of pictures of one person that is taken for two. In brackets is the interval over
people, 95 %. Where two intervals overlap widely, this many people can't tell the groups apart.
"""


def page(root: Path) -> str:
    """Return the page of the book at `root`, as MyST Markdown without its title.

    Raises `BookError` without the record.
    """
    record = Records(root).get(RECORD)
    if record is None:
        raise BookError(f"{_missing()[0]} is missing; {_missing()[1]}")
    rule = record["rule"].replace("false match rate", "the false match rate is")
    head = HEAD.format(test=record["people"]["test"], views=record["views"], rule=rule)
    parts = [head, _table("Everybody", record, "all")]
    for axis, meaning in MEANING.items():
        parts += [f"## By {axis}\n\n{meaning}\n", _table("Group", record, axis)]
    parts.append(f"Made by `{record['command']}` on {record['date']}: {record['machine']}.\n")
    return "\n".join(parts)


def _table(first: str, record: Mapping[str, Any], axis: str) -> str:
    recognisers = record["recognisers"]
    head = [first, "People", *(f"{name}: {rate}" for name in recognisers for rate in RATES)]
    missed = record["faces not found"].get(axis, {})
    rows = []
    for group in next(iter(recognisers.values()))["axes"][axis]:
        told = [each["axes"][axis][group] for each in recognisers.values()]
        row = [group, told[0]["people"]]
        row += [number(each[rate]["value"]) for each in told for rate in RATES]
        rows.append([*row, *([number(missed[group])] if missed else [])])
    return table([*head, *(["Faces not found"] if missed else [])], rows) + "\n"


def _missing() -> tuple[str, str]:
    return f"records/{RECORD}.json", f"make it with benchmarks/{RECORD}.py"


def problems(root: Path) -> Iterator[Problem]:
    """Yield a problem when the record is missing, or lacks an axis that the page explains."""
    from facelab.book.checks import Problem

    record = Records(root).get(RECORD)
    if record is None:
        yield Problem(_missing()[0], None, None, RECORD, f"missing; {_missing()[1]}")
        return
    for name, told in record["recognisers"].items():
        for axis in MEANING:
            if at(told, "axes", axis) is None:
                message = f"{name} was not measured by {axis}; {_missing()[1]}"
                yield Problem(_missing()[0], None, None, RECORD, message)
