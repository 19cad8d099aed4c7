"""`facelab book new`: a chapter's skeleton with its ten parts, its pair, its entry in book.toml.

The skeleton runs and passes `facelab book check` as it is; its sentences say what to write where.
"""

import json

from facelab.book import pairing
from facelab.book.manifest import SLUG, Manifest, claims, papers, parse
from facelab.errors import BookError

TEMPLATE = r'''
# %% [markdown]
# # TITLE
#
# | | |
# |---|---|
# | **Paper** | PAPER |
# | **Question** | the one question that this chapter answers |
# | **You will be able to** | three or four verbs |
# | **You need** | the chapters before this one that it builds on |
# | **Time and memory** | minutes with the exercises, and what it takes at `quick` |

# %% [markdown]
# The cell below holds everything that may be changed from outside: here, or with `-p samples=16`.

# %% tags=["parameters"]
samples = 64  # how many samples to draw
seed = 0  # where the random numbers start

# %%
import torch

from facelab import figures
from facelab.book.exercises import Exercise, source

random = torch.Generator().manual_seed(seed)

# %% [markdown]
# ## One question, one picture
#
# The picture that makes a reader want the answer.

# %%
values = torch.randn(samples, generator=random)
figure = figures.new_figure(5, 2.5)
figure.add_subplot().plot(values.sort().values)
figures.show(figure, alt="A placeholder: random numbers in ascending order.")

# %% [markdown]
# **Predict before you run on.** Ask for a number or a sketch, and say when it will be measured.

# %% [markdown]
# ## The first idea
#
# The idea on a toy first. Then the equation,
#
# $$ f(x) = x^2, $$
#
# the function of the library that it became, shown from its source, and a check in three lines. To
# number the equation, write `\tag{NUMBER.1}` at its end, and say in `facelab/book/equations.toml`
# which function and which test it has.


# %%
def square(x):
    """The equation; move such functions to facelab."""
    return x**2


source(square)

# %% tags=["nbval-check-output"]
print("f(-3) =", square(-3))

# %% [markdown]
# ### Exercise NUMBER.1: the inverse
#
# What to do, and what makes it worth doing. *(easy, 5 minutes, 1 point)*
#
# <details><summary>Hint 1</summary>
#
# Where to look.
#
# </details>
# <details><summary>Hint 2</summary>
#
# What to use.
#
# </details>
# <details><summary>Hint 3</summary>
#
# How it fits together.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _inverts(answer):
    for x in (0.0, 1.0, 3.0):
        got = answer(x**2)
        assert abs(got - x) < 1e-6, f"for f(x) = {x**2} expected x = {x}, got {got}"


inverse = Exercise("NUMBER.1 The inverse", _inverts, difficulty="easy")


# %% tags=["exercise"]
def root(y):
    """The x from 0 up for which f(x) is y."""
    return ...  # your line


inverse.check(root)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@inverse.hide("other values")
def _inverts_others(answer):
    for x in (0.5, 12.0):
        assert abs(answer(x**2) - x) < 1e-6, f"for {x**2} expected {x}"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
inverse.refuse(lambda y: y / 2, "for f(x) = 1.0 expected x = 1.0, got 0.5")
inverse.refuse(lambda y: -(y**0.5), "got -1.0")


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def root_solution(y):
    """Half a power undoes a square."""
    return y**0.5


inverse.prove(root_solution)

# %% [markdown]
# ## The second idea
#
# Equation, function, check and exercise again for each idea; then the parts composed.

# %% [markdown]
# ## Training
#
# A short run with a progress bar and a live curve, labelled as short. Then the result of the long
# run that ships with the book, labelled with its record.

# %% [markdown]
# ## The claims
#
# For each claim: the paper's figure, ours, the interval, and the verdict that code computes. Then a
# gallery of failures that a rule has chosen.

CLAIMS
# %% [markdown]
# ## What the paper doesn't say
#
# Its errata, how we read it, and the experiment that shows the difference.

# %% [markdown]
# ## Play
#
# Widgets, each with a still frame for readers without a kernel.

# %% [markdown]
# ## Consent and misuse
#
# What this method must not be used for, and what may be done with its data.

# %% [markdown]
# ## Summary
#
# - One line for each idea, with its equation.
#
# **Graded exercises.** Two or three that need more than a cell.
#
# **Further reading.** With citations.
'''

CLAIMS = """\
# %%
from facelab.book import manifest

for name, claim in manifest.claims().items():
    if name.startswith("PAPER."):
        print(f"{name}: {claim['paper']}")

"""


def new(manifest: Manifest, slug: str, title: str, paper: str | None = None) -> Manifest:
    """Write chapters/SLUG.py and its pair, append its entry to book.toml; return the new manifest.

    The rest of book.toml stays byte for byte. Raises `BookError`, and leaves everything as it was,
    when the slug is malformed or taken.
    """
    _require_free(manifest, slug, title, paper)
    before = manifest.path.read_bytes().decode()
    extended = before + _entry(manifest, slug, title, paper, before)
    grown = parse(extended, manifest.path)
    chapter = grown.chapter(slug)
    try:
        script = pairing.with_header(_script(slug, title, paper))
        pairing.replace_text(chapter.source, script)
        pairing.sync(grown, [slug])
        pairing.replace_text(manifest.path, extended)
    except BaseException:
        chapter.source.unlink(missing_ok=True)
        chapter.notebook.unlink(missing_ok=True)
        raise
    return grown


def _require_free(manifest: Manifest, slug: str, title: str, paper: str | None) -> None:
    if not SLUG.fullmatch(slug):
        expected = "expected two digits, an underscore and a name in small letters"
        raise BookError(f"slug: {expected}, got {slug!r}; write for example 07_lighting")
    if slug in [chapter.slug for chapter in manifest.chapters]:
        raise BookError(f"book.toml has a chapter {slug!r} already; choose another slug")
    for suffix in (".py", ".ipynb"):
        path = manifest.root / "chapters" / f"{slug}{suffix}"
        if path.exists():
            raise BookError(f"{path} exists already; choose another slug, or move it away")
    if not title.strip() or not title.isprintable():
        raise BookError(f"title: expected one line of text, got {title!r}; give --title TEXT")
    if paper is not None and paper not in papers():
        raise BookError(f"paper: expected one of {', '.join(papers())}, got {paper!r}")


def _entry(manifest: Manifest, slug: str, title: str, paper: str | None, before: str) -> str:
    """Return the text to append to book.toml; a paper's claims that no chapter has come with it."""
    taken = {claim for chapter in manifest.chapters for claim in chapter.claims}
    free = [name for name in claims() if name.startswith(f"{paper}.") and name not in taken]
    lines = ["", "[[chapter]]", f'slug = "{slug}"']
    lines += [f"title = {json.dumps(title, ensure_ascii=False)}"]
    lines += [f'paper = "{paper}"'] if paper else []
    lines += [f'module = "{f"facelab.methods.{paper}" if paper else "facelab"}"']
    lines += ["minutes = 60", "assets = []"]
    lines += ["claims = [", *(f'    "{name}",' for name in free), "]"] if free else ["claims = []"]
    for profile in manifest.profiles:
        lines += ["", f"[chapter.parameters.{profile}]", "samples = 64"]
    newline = "\r\n" if "\r\n" in before else "\n"
    start = "" if before.endswith("\n") else newline
    return start + newline.join([*lines, ""])


def _script(slug: str, title: str, paper: str | None) -> str:
    number = slug.partition("_")[0].lstrip("0") or "0"
    told = CLAIMS.replace("PAPER", paper) if paper else ""
    name = f"`{paper}`, with its citation" if paper else "a foundation, or the papers behind it"
    filled = TEMPLATE.replace("CLAIMS\n", told).replace("PAPER", name)
    return filled.replace("NUMBER", number).replace("TITLE", title)
