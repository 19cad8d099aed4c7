# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The five together
#
# | | |
# |---|---|
# | **Question** | On the same faces, before the same judges: which of the five methods does what, and what does it cost? |
# | **You will be able to** | set up a comparison that a method can't win by accident, say what a number is worth by what chance and the right answer get, tell a judge who was bribed from one who was not, and choose a method for a task |
# | **You need** | Chapters 2 and 4, and one at least of 5 to 9 |
# | **Papers** | all five: `ganid` {cite:p}`li2017ganid`, `ganfaces` {cite:p}`gecer2018ganfaces`, `diat` {cite:p}`li2016diat`, `idmap` {cite:p}`nitzan2020idmap`, `d2ae` {cite:p}`liu2018d2ae` |
# | **Time and memory** | an hour with the exercises; 2 GB |
#
# Five papers measured five things, each on faces of its own, and each looks good where it looked. No paper has any of the other four in a table. So here is one row of faces, of people whom no training of this book has, and one set of judges.

# %% tags=["parameters"]
people = 6  # whose faces are changed in this chapter
shown = 4  # of them on a sheet
seed = 0  # where the random numbers start

# %%
import itertools
import math

import torch
from IPython.display import Markdown

# %%
from facelab import figures
from facelab.book import ledger, manifest, overview
from facelab.book.exercises import Exercise, read_number, source
from facelab.comparison import cases, contestants, judging, live, report
from facelab.errors import UserError
from facelab.methods.diat.tasks import find_task
from facelab.recognition import embedder, face_readers, face_reading

# %%
pool = cases.Pool.of(cases.held_out(people, seed), people)
opened = cases.make_case(
    pool, cases.Task(find_task("mouth_open")), people, seed
)
swapped = cases.make_case(pool, cases.Task(), people, seed)
methods = [contestants.contestant(name) for name in contestants.METHODS]

# %% [markdown]
# ## One question, one picture
#
# A face with a closed mouth; the same person, mouth open, please. To the left the face, beside it an open mouth that may be borrowed, then what each of the five gives.

# %% tags=["figure-five-opened"]
answers = live.answers(opened, methods, contestants.SHARES)
columns = ["face", "lent", *answers]
picture = live.rows(opened, answers)[: shown * len(columns)]
figures.show(
    figures.face_sheet(picture, len(columns), 6.4, above=columns),
    alt=f"Rows of faces; columns: {', '.join(columns)}.",
    photograph=True,
)

# %% [markdown]
# And the second task: the pose, light and expression of the first face with the person of the second. Two of the five don't do it, and say why.

# %%
others = live.answers(swapped, methods, contestants.SHARES)
columns = ["face", "person", *others]
picture = live.rows(swapped, others)[: shown * len(columns)]
figures.show(
    figures.face_sheet(picture, len(columns), 4.6, above=columns),
    alt=f"Rows of faces; columns: {', '.join(columns)}.",
    photograph=True,
)
for method in methods:
    if method.refusal(swapped):
        print(f"{method.name} can't: {method.refusal(swapped)}")

# %% [markdown]
# **Predict before you run on.** Look at {numref}`figure-five-opened` again. Order the five by how well the person is kept in the first task. Then order them by how often the mouth is open. Which order will a recogniser give that was the loss of four of them?
#
# ## What they are told
#
# They aren't asked the same way, because they can't be. What each does with a strength between 0 and 1 is its *knob*:

# %%
rows = [
    (case.task.name, method.name, method.knob(case.task).meaning)
    for case in (opened, swapped)
    for method in methods
    if not method.refusal(case)
]
Markdown(overview.table(("task", "method", "knob"), rows))

# %% [markdown]
# `ganfaces` draws its picture over a render of the head, so it is told the head: no photograph has one. `ganid` is given few evaluations (its own chapter gives it 25 times as many), `idmap` knows no single attribute and takes everything from the lent face, `d2ae` moves along what a linear classifier reads.
#
# ## Whose face is it?
#
# A method that hands back the pixels that it was given should get nothing for that. So a result is compared with *other* pictures of the person, which nobody was given. With $G_i$ those pictures, and $e$ an embedding of length one,
#
# $$ s_i = \frac{1}{|G_i|} \sum_{g \in G_i} e(\hat x_i)^\top e(g). \tag{10.1} $$

# %%
source(judging.per_row)

# %%
print(f"{len(opened)} faces, {len(opened.gallery)} other pictures of them")
print(f"none of these was given to a method: {opened.unseen}")

# %% [markdown]
# Two recognisers say whose it is: `dlib`'s, which was the loss of some, and `faceres`, which no training and no search looked through. The attribute is judged by a network with which nothing was trained either; landmarks and pose too.
#
# ## What is a number worth?
#
# An identity of 0.45 may be much or nothing. Three rows that are no method tell:
#
# | row | what it is | what it says |
# |---|---|---|
# | copy | the face as it was given | what identity is worth when nothing was done |
# | random | somebody else's picture | what chance gets |
# | drawn | the answer, drawn of the same head | what the judges say when all is right |
#
# From the record, with the share of results whose attribute is right (brackets: 95 % of what people drawn anew would give; a star: a judge whom the method's training saw):

# %% tags=["hide-input"]
kept = overview.record("records/compare.json")


def cell(row, column, digits=2):
    """A number of the record with its interval, and a star where the judge was seen."""
    found = row.get(column)
    if found is None or "cannot" in row:
        return ""
    low, high = (found["interval"][end] for end in ("low", "high"))
    star = "\\*" if found.get("seen") else ""
    return f"{found['value']:.{digits}f}{star} ({low:.{digits}f}–{high:.{digits}f})"


# %% tags=["hide-input"]
who = {
    "identity dlib": "identity, dlib",
    "same person dlib": "same person, dlib",
    "identity faceres": "identity, faceres",
    "same person faceres": "same person, faceres",
    "attribute": "attribute",
}


def people_table(task):
    """Whose face it is by both recognisers, and what it shows."""
    rows = [
        (name, *(cell(row, column) for column in who))
        for name, row in kept["tasks"][task]["rows"].items()
        if "cannot" not in row
    ]
    return Markdown(overview.table(("", *who.values()), rows))


people_table("attribute")

# %% [markdown]
# ### A judge who was bribed
#
# Read the two recognisers' columns against each other. Where `dlib` was the loss, or what a search climbed, it takes more than half of the results for the person. `faceres` does not: by it, only `diat` and the drawn answer keep the person, `ganfaces` a third of the time. Somebody at random passes about every second time by `dlib`, which makes it the weaker judge of renders, too. Either way, a table with its column alone would have told another story, and it is the column that most papers print.

# %% tags=["nbval-check-output"]
found = kept["tasks"]["attribute"]["rows"]
for name in contestants.METHODS:
    by = [
        found[name][f"same person {judge}"]["value"]
        for judge in judging.EMBEDDERS
    ]
    seen = found[name]["same person dlib"]["seen"]
    print(
        f"{name}: dlib {by[0]:.2f}{', seen' if seen else ''}; faceres {by[1]:.2f}"
    )

# %% [markdown]
# ### Exercise 10.1: whom to believe
#
# `row` has for each recogniser `{"value": number, "seen": bool}`. Return the mean value over those that the method did *not* see; `None` where it saw all. *(easy, 5 minutes, 2 points)*
#
# <details><summary>Hint 1</summary>
#
# Make a list of the values first, with a condition.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `[one["value"] for one in row.values() if not one["seen"]]`
#
# </details>
# <details><summary>Hint 3</summary>
#
# An empty list has no mean: return `None` for it.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _row(**judges):
    """A row of a table: for each judge a value, and whether it was seen."""
    return {
        judge: {"value": value, "seen": seen}
        for judge, (value, seen) in judges.items()
    }


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _believed(answer):
    for row, expected in (
        (_row(dlib=(0.9, True), faceres=(0.4, False)), 0.4),
        (_row(dlib=(0.5, False), faceres=(0.3, False)), 0.4),
        (_row(a=(0.2, False), b=(1.0, True), c=(0.6, False)), 0.4),
    ):
        got = answer(row)
        assert got is not None, f"of {row} expected {expected}, got None"
        got, values = read_number(got), [one["value"] for one in row.values()]
        said = f"of {row} expected {expected}, got {got:.4f}"
        right = math.isclose(got, expected, abs_tol=1e-6)
        for mistake, wrong in {
            "judges that were seen don't count": sum(values) / len(values),
            "judges that were seen don't count in how many they are": (
                expected * sum(not one["seen"] for one in row.values())
            )
            / len(row),
        }.items():
            assert right or abs(got - wrong) > 1e-6, f"{said}: {mistake}"
        assert right, said


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _believed_or_none(answer):
    _believed(answer)
    row = _row(dlib=(1.0, True))
    try:
        got = answer(row)
    except ZeroDivisionError:
        raise AssertionError(
            f"of {row} expected None, got a division by zero"
        ) from None
    assert got is None, f"where all judges were seen expected None, got {got!r}"


believed = Exercise("10.1 Whom to believe", _believed_or_none, 5, 2, "easy")


# %% tags=["exercise"]
def unbribed(row):
    """The mean over recognisers that the method did not see."""
    return ...  # your lines


believed.check(unbribed)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@believed.hide("many judges, and values that are 0 or below")
def _believed_of_many(answer):
    random = torch.Generator().manual_seed(101)
    for _ in range(8):
        values = (2 * torch.rand(7, generator=random) - 1).tolist()
        seen = (torch.rand(7, generator=random) < 0.5).tolist()
        told = zip(values, [*seen[:6], False], strict=True)
        row = _row(**{f"j{n}": one for n, one in enumerate(told)})
        fair = [one["value"] for one in row.values() if not one["seen"]]
        assert abs(read_number(answer(row)) - sum(fair) / len(fair)) < 1e-6
    zero = _row(a=(0.0, False), b=(0.7, True))
    assert read_number(answer(zero)) == 0, "a value of 0 is one"


@believed.hide("rows without a fair judge")
def _believed_nobody(answer):
    for row in (_row(a=(0.3, True), b=(0.4, True)), {}):
        assert answer(row) is None, f"{row}"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
def _mean_of(values):
    values = list(values)
    return sum(values) / len(values)


believed.refuse(
    lambda row: _mean_of(one["value"] for one in row.values()),
    "judges that were seen don't count",
)
believed.refuse(
    lambda row: _mean_of(
        one["value"] * (not one["seen"]) for one in row.values()
    ),
    "in how many they are",
)


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
believed.refuse(
    lambda row: _mean_of(
        one["value"] for one in row.values() if not one["seen"]
    ),
    "expected None, got a division by zero",
)
believed.refuse(
    lambda row: max(one["value"] for one in row.values() if not one["seen"]),
    "expected 0.4, got 0.5",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def unbribed_solution(row):
    """Only what was not seen counts."""
    values = [one["value"] for one in row.values() if not one["seen"]]
    return sum(values) / len(values) if values else None


believed.prove(unbribed_solution)

# %% [markdown]
# ## The trade-off
#
# At strength 0 a method should give back the person, at 1 it should have done what was asked. What happens in between is a curve ({numref}`figure-trade-off`): right is what was asked for, up is the person. A hollow mark is strength 0.

# %% tags=["figure-trade-off"]
figures.show(
    report.trade_off(kept, "attribute"),
    alt="Identity against attribute, a line a method; diat goes along with the drawn answer, far above the others.",
)

# %% [markdown]
# `diat` goes nearly where the drawn answer goes: it changes a mouth and leaves all else alone. It was trained to do this one thing, and was trained on drawn faces; the others do more, and pay for it before they begin. Their curves start low: a face that was found in a generator's latent space (`ganid`, `idmap`),
# or rebuilt from two codes (`d2ae`), is somebody else already at strength 0. *What costs identity is not the edit, but the way into the model.*
#
# ### Exercise 10.2: nobody is better in both
#
# Return the names that no other place beats in both numbers at once (at least as good in both, better in one). `places` maps names to (attribute, identity). *(hard, 8 minutes, 3 points)*
#
# <details><summary>Hint 1</summary>
#
# Write a helper that says whether a place beats another one.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `p[0] >= q[0] and p[1] >= q[1] and p != q`
#
# </details>
# <details><summary>Hint 3</summary>
#
# Keep a name if `any` of all places beats it: no; so `if not any(...)`.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _unbeaten_by_the_letter(places):
    """Who is, for everybody else, no worse in one number or the same."""
    return {
        name
        for name, p in places.items()
        if all(q == p or q[0] < p[0] or q[1] < p[1] for q in places.values())
    }


def _names(got):
    """An answer as a set of names; says what came where it is none."""
    assert isinstance(got, list | tuple | set | frozenset | dict), (
        f"expected a list of names, got {got!r}"
    )
    return set(got)


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _front(answer):
    for places, about in (
        ({"a": (0.5, 0.5), "b": (0.6, 0.4), "c": (0.4, 0.3)}, "c is worse in both"),
        ({"a": (0.5, 0.5), "b": (0.5, 0.4)}, "b is as good in one, and worse"),
        ({"a": (0.5, 0.5), "b": (0.5, 0.5)}, "the same place beats nobody"),
        ({"a": (0.9, 0.1), "b": (0.6, 0.6), "c": (0.5, 0.55), "d": (0.1, 0.8)},
         "b beats c, and nobody is best in both"),
    ):  # fmt: skip
        got = _names(answer(dict(places)))
        expected = _unbeaten_by_the_letter(places)
        assert got == expected, (
            f"of {places} expected {', '.join(sorted(expected))}, got "
            f"{', '.join(sorted(map(str, got))) or 'nobody'}: {about}"
        )


front = Exercise("10.2 Nobody is better in both", _front, 8, 3, "hard")


# %% tags=["exercise"]
def unbeaten(places):
    """The names that no place beats in both numbers."""
    return ...  # your lines


front.check(unbeaten)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@front.hide("crowds, with ties in one number")
def _front_of_crowds(answer):
    random = torch.Generator().manual_seed(102)
    for count, levels in ((12, 1000), (30, 5), (40, 8)):
        drawn = torch.randint(levels, (count, 2), generator=random) / levels
        places = {f"m{n}": tuple(one) for n, one in enumerate(drawn.tolist())}
        got = _names(answer(dict(places)))
        assert got == _unbeaten_by_the_letter(places), f"{count} of {levels}"


@front.hide("one place alone, and numbers below 0")
def _front_of_few(answer):
    assert _names(answer({"only": (-1.0, -2.0)})) == {"only"}
    places = {"a": (-0.5, -0.1), "b": (-0.2, -0.3), "c": (-0.6, -0.2)}
    assert _names(answer(places)) == {"a", "b"}


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
def _not_beaten(places, beats):
    return [
        name
        for name, p in places.items()
        if not any(beats(q, p) for q in places.values())
    ]


front.refuse(
    lambda places: _not_beaten(
        places, lambda q, p: q[0] >= p[0] and q[1] >= p[1]
    ),
    "got nobody",
)
front.refuse(
    lambda places: _not_beaten(
        places, lambda q, p: q[0] > p[0] and q[1] > p[1]
    ),
    "b is as good in one, and worse",
)


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
front.refuse(
    lambda places: [max(places, key=lambda name: sum(places[name]))],
    "expected a, b, got a",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def unbeaten_solution(places):
    """Pareto's front."""

    def beats(p, q):
        return p[0] >= q[0] and p[1] >= q[1] and p != q

    return [
        name
        for name, place in places.items()
        if not any(beats(other, place) for other in places.values())
    ]


front.prove(unbeaten_solution)

# %% [markdown]
# ### Exercise 10.3: at the same rate
#
# Methods can be compared fairly where they do as much. Given a curve's `rates` (rising) and `identities`, return the identity at a wanted rate on the straight line between its two neighbours; `None` where the curve does not come that far. *(medium, 8 minutes, 3 points)*
#
# <details><summary>Hint 1</summary>
#
# `torch.searchsorted`, or a loop over neighbouring points.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Between $(a, u)$ and $(b, v)$ the value at $r$ is $u + (v - u)\,\frac{r - a}{b - a}$.
#
# </details>
# <details><summary>Hint 3</summary>
#
# `for (a, u), (b, v) in itertools.pairwise(points)`: if `a <= rate <= b`, return.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _same_rate(answer):
    rates, identities = [0.1, 0.4, 0.9], [0.7, 0.6, 0.2]
    for rate, expected, near in (
        (0.1, 0.7, (0.7,)),
        (0.25, 0.65, (0.7, 0.6)),
        (0.5, 0.52, (0.6, 0.2)),
        (0.9, 0.2, (0.2,)),
    ):
        got = answer(rates, identities, rate)
        said = f"rates {rates}, identities {identities}, at {rate}: expected "
        assert got is not None, f"{said}{expected}, got None: it comes there"
        got = read_number(got)
        said += f"{expected}, got {got:.3f}"
        if not math.isclose(got, expected, abs_tol=1e-6):
            assert got not in near, f"{said}: that is a neighbour's"
            mean = math.isclose(got, sum(near) / len(near))
            assert not mean, f"{said}: the neighbours' mean, wherever between"
            raise AssertionError(said)


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _same_rate_or_none(answer):
    _same_rate(answer)
    rates, identities = [0.1, 0.4, 0.9], [0.7, 0.6, 0.2]
    for rate in (0.05, 0.95):
        got = answer(rates, identities, rate)
        assert got is None, (
            f"of {rates} at {rate}: expected None, got {got!r}: the curve does "
            "not come there"
        )


same_rate = Exercise(
    "10.3 At the same rate", _same_rate_or_none, 8, 3, "medium"
)


# %% tags=["exercise"]
def identity_at(rates, identities, rate):
    """A curve's identity where its attribute rate is `rate`."""
    return ...  # your lines


same_rate.check(identity_at)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@same_rate.hide("long curves that rise and fall")
def _same_rate_of_curves(answer):
    random = torch.Generator().manual_seed(103)
    for count in (2, 5, 11):
        steps = 0.05 + torch.rand(count, generator=random)
        rates = (steps.cumsum(0) / steps.sum()).tolist()
        values = torch.rand(count, generator=random).tolist()
        for n in range(count - 1):
            for share in (0.0, 0.3, 0.9):
                rate = rates[n] + share * (rates[n + 1] - rates[n])
                wanted = values[n] + share * (values[n + 1] - values[n])
                got = read_number(answer(list(rates), list(values), rate))
                assert abs(got - wanted) < 1e-5, f"{count}: {wanted}, got {got}"
        assert answer(rates, values, rates[0] - 0.01) is None
        assert answer(rates, values, 1.01) is None


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
def _nearest(rates, identities, rate):
    places = range(len(rates))
    return identities[min(places, key=lambda n: abs(rates[n] - rate))]


def _middle(rates, identities, rate):
    for n, (a, b) in enumerate(itertools.pairwise(rates)):
        if rate in (a, b):
            return identities[n + (rate == b)]
        if a < rate < b:
            return (identities[n] + identities[n + 1]) / 2
    return None


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
def _held(rates, identities, rate):
    """A curve that goes on beyond its ends, as it was there."""
    rate = min(max(rate, rates[0]), rates[-1])
    n = next(n for n, after in enumerate(rates[1:]) if rate <= after)
    share = (rate - rates[n]) / (rates[n + 1] - rates[n])
    return identities[n] + share * (identities[n + 1] - identities[n])


same_rate.refuse(_nearest, "that is a neighbour's")
same_rate.refuse(_middle, "the neighbours' mean")
same_rate.refuse(_held, "the curve does not come there")


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def identity_at_solution(rates, identities, rate):
    """A straight line between neighbours."""
    points = list(zip(rates, identities, strict=True))
    for (a, u), (b, v) in itertools.pairwise(points):
        if a <= rate <= b:
            return u + (v - u) * (rate - a) / (b - a)
    return None


same_rate.prove(identity_at_solution)

# %% [markdown]
# ## Another person
#
# Here the wanted person is the other picture's, and what should stay is how the first picture looks: glasses, a smile, open eyes or mouth. Copying the first face keeps all of it and nobody's identity; copying the other one does the reverse. {numref}`figure-trade-off-person` has both ends.

# %% tags=["hide-input"]
people_table("person")

# %% tags=["figure-trade-off-person"]
figures.show(
    report.trade_off(kept, "person"),
    alt="Identity against what is kept of the picture; no method comes near the drawn answer.",
)

# %% [markdown]
# No method of the three is near the drawn answer. `ganfaces` is nearest, and it was told both heads. For `idmap` and `d2ae`, more of the other person's code does bring more of the person, so the knob works; but by the judge that nobody saw, what arrives is less than what a picture of somebody at random gets. The reasons stand in their chapters: a
# generator that draws photographs while the inputs are renders, and a decoder that blurs.
#
# ### Exercise 10.4: between chance and right
#
# Put a number on a scale where `random` is 0 and `drawn` is 1. What if the two are the same? Then the judge can't tell, and there is no scale: return `None`. *(easy, 5 minutes, 2 points)*
#
# <details><summary>Hint 1</summary>
#
# How far from chance, in units of how far the right answer is.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `(value - random) / (drawn - random)`
#
# </details>
# <details><summary>Hint 3</summary>
#
# Ask `drawn == random` first.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _scaled(answer):
    for value, low, right, expected in (
        (0.6, 0.5, 0.7, 0.5),
        (0.55, 0.5, 0.7, 0.25),
        (0.4, 0.5, 0.7, -0.5),
        (3, 1, 0, -2),
    ):
        got = answer(value, low, right)
        said = f"{value} between random {low} and drawn {right}: expected "
        assert got is not None, f"{said}{expected}, got None"
        got = read_number(got)
        known = {
            ": chance should get 0": value / right if right else math.inf,
            ": 0 is chance, 1 is right": 1 - expected,
            ": worse than chance is below 0": 0,
        }
        why = "".join(w for w, x in known.items() if abs(got - x) < 1e-6)
        assert abs(got - expected) < 1e-6, (
            f"{said}{expected}, got {got:.3f}{why}"
        )


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _scaled_or_none(answer):
    _scaled(answer)
    try:
        got = answer(0.5, 0.4, 0.4)
    except ZeroDivisionError:
        got = "a division by zero"
    assert got is None, f"without two ends expected None, got {got}"


scaled = Exercise(
    "10.4 Between chance and right", _scaled_or_none, 5, 2, "easy"
)


# %% tags=["exercise"]
def on_scale(value, random, drawn):
    """0 as good as chance, 1 as good as the right answer."""
    return ...  # your lines


scaled.check(on_scale)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@scaled.hide("scales of other sizes, either way round")
def _scaled_elsewhere(answer):
    random = torch.Generator().manual_seed(104)
    for a, b, c in (20 * torch.rand(9, 3, generator=random) - 10).tolist():
        got, expected = read_number(answer(a, b, c)), (a - b) / (c - b)
        assert math.isclose(got, expected, rel_tol=1e-5), f"{expected}: {got}"


@scaled.hide("values at an end, and ends at 0")
def _scaled_at_the_ends(answer):
    assert read_number(answer(0.2, 0.2, 0.7)) == 0
    assert abs(read_number(answer(0.7, 0.2, 0.7)) - 1) < 1e-9
    assert abs(read_number(answer(0.3, 0.0, 0.6)) - 0.5) < 1e-9
    assert answer(0.0, 0.0, 0.0) is None


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
scaled.refuse(
    lambda value, random, drawn: value / drawn if drawn else 0.0,
    "chance should get 0",
)
scaled.refuse(
    lambda value, random, drawn: (drawn - value) / (drawn - random),
    "expected 0.25, got 0.750: 0 is chance",
)
scaled.refuse(
    lambda value, random, drawn: max(0, (value - random) / (drawn - random)),
    "worse than chance is below 0",
)
scaled.refuse(
    lambda value, random, drawn: (value - random) / (drawn - random),
    "expected None, got a division by zero",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def on_scale_solution(value, random, drawn):
    """How far from chance, by how far right is."""
    return None if drawn == random else (value - random) / (drawn - random)


scaled.prove(on_scale_solution)

# %% tags=["hide-input"]
rows = []
for task, told in kept["tasks"].items():
    ends = told["rows"]["random"], told["rows"]["drawn"]
    for name in contestants.METHODS:
        row = told["rows"][name]
        if "cannot" not in row:
            columns = ("identity faceres", "attribute", "landmarks", "pose")
            told_of = [[x[c]["value"] for x in (row, *ends)] for c in columns]
            parts = [
                (value - low) / (high - low) for value, low, high in told_of
            ]
            rows.append((task, name, *(f"{part:.2f}" for part in parts)))
head = ("task", "method", "identity", "attribute", "landmarks", "pose")
Markdown(overview.table(head, rows))

# %% [markdown]
# Below 0 is worse than a picture of somebody at random. That happens to identity, and it is no error: a recogniser for photographs finds two renders alike for being renders, and a blurred or a photo-like face misses even that.
#
# ## Where it stays, how real it looks
#
# Landmarks (mean distance from the input's, in sides of the picture; the mouth is left out where it should move) and pose say whether all else stayed. Realism is a kernel distance of `faceres`' features, once to pictures like the inputs, once to photo-like faces of the book's generator, with which `ganid` and `idmap` draw. Diversity is the mean squared distance between two results' identities.

# %% tags=["hide-input"]
look = {
    "landmarks": 3,
    "pose": 1,
    "distance to the inputs' kind": 2,
    "distance to photo-like faces": 2,
    "diversity": 2,
}  # and how many digits

# %% tags=["hide-input"]
rows = [
    (f"{task}: {name}", *(cell(row, column, n) for column, n in look.items()))
    for task, told in kept["tasks"].items()
    for name, row in told["rows"].items()
    if "cannot" not in row
]
head = (
    "",
    "landmarks",
    "pose, °",
    "to the inputs' kind",
    "to photo-like",
    "diversity",
)
Markdown(overview.table(head, rows))

# %% [markdown]
# ### Exercise 10.5: who is drawn anew?
#
# Somebody has several results in a table, and these are alike. An interval that draws *results* anew takes them for news. Given each result's value and whose it is, draw *people* with replacement, so many times, take the mean over all results of whom was drawn, and return the 2.5 % and 97.5 % quantiles. *(hard, 10 minutes, 4 points)*
#
# <details><summary>Hint 1</summary>
#
# Draw as many people as there are; who is drawn twice counts twice.
#
# </details>
# <details><summary>Hint 2</summary>
#
# With sums and counts a person (`torch.bincount(who, values)`), a mean is `sums[drawn].sum() / counts[drawn].sum()`.
#
# </details>
# <details><summary>Hint 3</summary>
#
# `drawn = torch.randint(n, (times, n), generator=random)`, then `torch.quantile(means, torch.tensor([0.025, 0.975]))`
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _two_ends(got):
    """An answer as two floats; says what came where it is none."""
    if isinstance(got, torch.Tensor):
        got = got.flatten().tolist()
    assert isinstance(got, list | tuple), f"expected two numbers, got {got!r}"
    assert len(got) == 2, f"expected two numbers, got {len(got)}"
    low, high = (read_number(end) for end in got)
    assert low <= high, (
        f"expected the lower end first, got {low:.3f}, {high:.3f}"
    )
    return low, high


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _by_people(answer):
    random = torch.Generator().manual_seed(10)
    own = torch.randn(30, generator=random)
    who = torch.arange(30).repeat_interleave(8)
    values = own[who] + 0.01 * torch.randn(240, generator=random)
    low, high = _two_ends(answer(values, who, 2000, random))
    mean, one = float(values.mean()), 2 * 1.96 * float(own.std())
    wide, got = one / math.sqrt(30), high - low
    said = f"expected a width near {wide:.2f}, got {got:.2f}"
    assert low < mean < high, (
        f"the mean, {mean:.3f}, should lie between {low:.3f} and {high:.3f}"
    )
    assert not 0.7 < got / (one / math.sqrt(240)) < 1.3, (
        f"{said}: results are drawn here, not people"
    )
    assert got < 0.7 * one, f"{said}: so far apart are people, not their means"
    assert 0.8 < got / wide < 1.2, said


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
by_people = Exercise("10.5 Who is drawn anew?", _by_people, 10, 4, "hard")


# %% tags=["exercise"]
def interval(values, who, times, random):
    """95 % of the means over people drawn anew."""
    return ...  # your lines


by_people.check(interval)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
def _drawn_one_by_one(values, who, times, random):
    """The interval by its definition: results are collected, then averaged."""
    of = [values[who == person] for person in range(int(who.max()) + 1)]
    means = torch.stack(
        [
            torch.cat([of[person] for person in drawn]).mean()
            for drawn in torch.randint(
                len(of), (times, len(of)), generator=random
            ).tolist()
        ]
    )
    return torch.quantile(means, torch.tensor([0.025, 0.975])).tolist()


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@by_people.hide("people with different numbers of results, in no order")
def _by_people_of_any_size(answer):
    random = torch.Generator().manual_seed(105)
    counts = torch.tensor([40, 1, 2, 3, 1, 2, 20, 1, 1, 5, 2, 2])
    who = torch.arange(12).repeat_interleave(counts)
    own = torch.tensor([2.0, 0, 1, 0, 1, 0, -1, 0, 1, 0, 0, 1])
    mixed = torch.randperm(len(who), generator=random)
    who, values = who[mixed], own[who[mixed]]
    ends = _two_ends(answer(values, who, 4000, random))
    wanted = _drawn_one_by_one(values, who, 4000, random)
    for got, expected in zip(ends, wanted, strict=True):
        assert abs(got - expected) < 0.12, f"expected {wanted}, got {ends}"


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@by_people.hide("people who are all alike")
def _by_people_alike(answer):
    random, who = torch.Generator().manual_seed(106), torch.arange(5).repeat(3)
    low, high = _two_ends(answer(torch.full((15,), 0.25), who, 50, random))
    assert abs(low - 0.25) < 1e-5, f"expected 0.25, got {low}"
    assert abs(high - 0.25) < 1e-5, f"expected 0.25, got {high}"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
def _ends(means):
    return torch.quantile(means, torch.tensor([0.025, 0.975]))


def _of_results(values, who, times, random):
    rows = torch.randint(len(values), (times, len(values)), generator=random)
    return _ends(values[rows].mean(1))


def _of_single_people(values, who, times, random):
    means = torch.bincount(who, values) / torch.bincount(who)
    return _ends(means[torch.randint(len(means), (times,), generator=random)])


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
by_people.refuse(_of_results, "results are drawn here, not people")
by_people.refuse(_of_single_people, "not their means")
by_people.refuse(
    lambda values, who, times, random: values.mean(), "expected two numbers"
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def interval_solution(values, who, times, random):
    """Sums and counts a person; people are drawn, with what they bring."""
    sums, counts = torch.bincount(who, values), torch.bincount(who)
    n = len(counts)
    drawn = torch.randint(n, (times, n), generator=random)
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return torch.quantile(
        means, torch.tensor([0.025, 0.975], dtype=means.dtype)
    )


by_people.prove(interval_solution)

# %% [markdown]
# ## What it costs

# %% tags=["hide-input"]
rows = []
for name, tasks in kept["methods"].items():
    facts = next(iter(tasks.values()))
    took = kept["tasks"]["attribute"]["rows"][name]["milliseconds"]
    minutes, saw = facts["training_minutes"], ", ".join(facts["embedders seen"])
    rows.append(
        (name, f"{facts['trained']:,}", f"{facts['needed']:,}",
         f"{facts['training_images']:,}", "" if minutes is None else f"{minutes:.0f}",
         f"{took:,.0f}", saw or "nobody")
    )  # fmt: skip
head = (
    "",
    "trained",
    "needed",
    "training images",
    "minutes",
    "ms an image",
    "saw",
)
Markdown(overview.table(head, rows))

# %% [markdown]
# Parameters trained, those needed to use it (a generator counts), pictures that a training saw, with repeats, its minutes on this book's machines, and a face's time in the attribute task on one thread of a CPU. `ganid` trains nothing and pays for each face anew; the others paid once.
#
# ## How to choose
#
# | you want | take | because |
# |---|---|---|
# | one local change, and the rest as it was | `diat`, a network a change | it leaves alone what it need not touch |
# | faces of a known head, pose and light, with many pictures a person | `ganfaces` | the labels come with the head |
# | a look-alike who doesn't exist, from one photograph, without a training | `ganid` | it needs a generator and a recogniser, no data |
# | photo-like pictures that take two sources apart | `idmap` | the generator is somebody else's, and draws well |
# | codes, one to verify by and one to keep | `d2ae` | its product is the code, not the picture |
#
# Today you would not start from any of the five; [what came after](pages/after.md) says from what. But the questions of this chapter stay the same: whose face is it by a judge that nobody saw, and what does chance get?
#
# ## What held, of what the papers say
#
# The [ledger](pages/ledger.md) has a line for each claim. Its sum:

# %% tags=["hide-input"]
book = manifest.load(manifest.find_root() / manifest.FILE)
lines = ledger.rows(book)
Markdown(ledger.summary(lines))

# %% [markdown]
# Most of "partly" is one of two things: the direction is the paper's and the size is not, or one figure of several says no. The scale is the first suspect each time: networks of some million parameters, trained for an hour or two, on drawn people. A claim about photographs at 256 pixels isn't refuted by that, and it isn't confirmed either.
#
# ## Where it fails
#
# Chosen by rule: for each method, the face of this chapter whose person it keeps worst by `faceres`, above, and what came of it, below.

# %% tags=["figure-five-worst"]
judge, points = embedder.embedder("faceres"), face_readers.landmark_judge()
given = face_reading.read_faces(opened.faces, judge, points).embeddings
worst = []
for made in live.at(answers, 1.0).values():
    codes = face_reading.read_faces(made, judge, points).embeddings
    near = (codes * given).sum(1)
    row = int(near.argmin())
    worst += [(opened.faces[row], made[row])]
figures.show(
    figures.face_sheet(
        torch.stack([x for pair in zip(*worst, strict=True) for x in pair]),
        columns=len(worst),
        width_in=4.6,
        above=list(answers),
    ),
    alt=f"For {', '.join(answers)}: the face whose person is kept worst, and the result.",
)

# %% [markdown]
# And an order that can't be filled gets one clear line:

# %%
for attempt in (
    lambda: contestants.contestant("stargan"),
    lambda: live.at(answers, 0.3),
    lambda: cases.Pool.of(cases.held_out(2, seed), 5),
    lambda: opened.heads.answer(cases.Task(find_task("male_to_female"))),
):
    try:
        attempt()
    except UserError as error:
        print(f"{type(error).__name__}: {str(error)[:200]}\n")

# %% [markdown]
# ## Play
#
# One slider for all: how strong the change is. It needs a running kernel; the sheets above are its still frames at full strength.

# %%
live.slider(opened, answers)

# %% [markdown]
# From a shell, `facelab compare` makes the tables of this chapter, on drawn faces or on those of a folder: `facelab compare --methods diat,d2ae --tasks attribute`.
#
# ## Before you rank
#
# A ranking is an instrument: who is measured by it is built to please it. All judges of this chapter are networks that learned from pictures of real people, some of whom were never asked, and they err more often for some people than for others
# ([measured here](pages/demographics.md)). A method that scores well on "same person" is also a better tool for passing as somebody. What that asks of you is in [responsible use](pages/responsible.md).
#
# ## Summary
#
# - Compare on the same faces, before judges that no loss saw, beside chance and the right answer.
# - A recogniser that was the loss praises what was trained for it.
# - The way into a model costs more identity than the edit.
# - A narrow method does its one thing best; a wide one pays before it begins.
# - Draw people anew, not pictures.
#
# ## Graded exercises
#
# 1. *(4 points)* `facelab compare --change glasses_removal`: does the order stay? Which method can't, and why?
# 2. *(4 points)* Give `ganid` four times the evaluations (`contestants.Ganid.book()` and its `budget`). Which column moves, and is it one of a judge who was seen?
# 3. *(6 points)* Write a contestant of your own: the mean of the face and the lent one. Where on the curve does it lie, and what does that say about the axes?
#
# ## Further reading
#
# A measure that becomes a target stops being a good measure, which is called Goodhart's law: {cite:p}`manheim2018goodhart` tells its kinds apart. What records should say of a model: model cards {cite:p}`mitchell2019modelcards`.
