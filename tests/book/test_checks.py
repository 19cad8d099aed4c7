import sys
from types import SimpleNamespace

import nbformat
import pytest

from facelab.book import checks, closing, prose
from facelab.errors import BookError

INDEX = """\
# %% [markdown]
# # Start here
#
# (the-map)=
# ## A map of `the` chapters
#
# [one](01_one.ipynb), [its first idea](01_one.ipynb#the-first-idea-again), {doc}`01_one`,
# [this page](#start-here), [a label there](#first-label), {ref}`text <first-label>`
"""
# Everything that the rules allow, close to what they forbid.
ONE = r"""# %% [markdown]
# # One
#
# (first-label)=
# ## The first idea, again
#
# As {cite:t}`ada1843` says {cite:p}`ada1843,ada1843`, `pip install x` is code inline. $x = 1$,
#
# $$
#     y = x
# $$ (first-equation)
#
# see {eq}`first-equation`, {numref}`figure-printed`
# and [the map](index.ipynb#a-map-of-the-chapters), <https://example.org>.
#
# ```{note}
# With [a link](https://example.org).
# ```
#
# ![one pixel](pixel.png)
#
# <details><summary>Hint 1</summary>
#
# Look at [the idea](#the-first-idea-again).
#
# </details>

# %% tags=["parameters"]
faces = 64  # how many
rate = 0.5

# %% tags=["figure-printed"]
a = 1
b = a != 2
print(a)

# %%
assert (
    a
    != 2
)
"""
ENTRY = "[chapter.parameters.smoke]\nfaces = 8\nrate = 1\n"


@pytest.fixture
def book(make_book):
    made = make_book({"index": INDEX, "01_one": ONE}, {"01_one": ENTRY})
    (made.root / "chapters" / "pixel.png").write_bytes(b"")
    made.sync()
    return made


def problems(book):
    return [(each.cell, each.line, each.rule, each.message) for each in checks.check(book.load())]


def lines(book, wanted):
    text = book.script("01_one").read_text().splitlines()
    return [number for number, line in enumerate(text, 1) if wanted in line]


def test_a_good_book_has_no_problem(book):
    assert checks.check(book.load()) == []


def test_a_problem_reads_as_one_line(book):
    book.edit("01_one", "print(a)", "!ls")
    book.sync(overwrite=True)
    (problem,) = checks.check(book.load())
    line = lines(book, "!ls")[0]
    assert str(problem) == (
        f"chapters/01_one.py: cell 3 (line {line}): shell: '!ls' is for a shell; "
        "what a chapter needs is installed before it runs"
    )
    assert str(checks.Problem("a.py", None, None, "pair", "gone")) == "a.py: pair: gone"


IDEA = "# ## The first idea, again\n"
# What is put after a heading, the rule that it breaks, on which of its lines, the message.
PROSE = {
    "fenced code": ("# ```python\n# x = 1\n# ```\n", "code-in-markdown", 0, "'x = 1' is a block"),
    "tilde fence": ("# ~~~\n# x = 1\n# ~~~\n", "code-in-markdown", 0, "'x = 1' is a block"),
    "indented code": ("# text\n#\n#     x = 1\n", "code-in-markdown", 2, "'x = 1' is a block"),
    "code in a list": ("# - text\n#\n#   ```\n#   x\n#   ```\n", "code-in-markdown", 2, "'x'"),
    "a code directive": ("# ```{code-block} python\n# x\n# ```\n", "code-in-markdown", 0, "'x'"),
    "code in a directive": (
        "# ````{note}\n# text\n#\n# ```\n# x\n# ```\n# ````\n",
        "code-in-markdown",
        3,
        "'x' is a block of code",
    ),
    "code in a colon directive": (":::{tip}\n    x\n:::\n", "code-in-markdown", 1, "'x'"),
    "code in a hint": (
        "# <details><summary>Hint 2</summary>\n#\n#     x = 1\n# </details>\n",
        "code-in-markdown",
        2,
        "'x = 1' is a block",
    ),
    "link in a tight hint": (
        "# <details><summary>Hint 2</summary>\n# [x](no.ipynb)\n# </details>\n",
        "link",
        1,
        "'no.ipynb' is not there",
    ),
    "preformatted HTML": ("# <pre>x</pre>\n", "code-in-markdown", 0, "<pre>x</pre>"),
    "unknown citation": (
        "# text\n# {cite:p}`ada1483`\n",
        "citation",
        1,
        "'ada1483' is not in the bibliography; did you mean 'ada1843'?",
    ),
    "one of two citations": ("# {cite}`ada1843, babbage`\n", "citation", 0, "'babbage' is not in"),
    "citation in a directive": ("# ```{note}\n# {cite:t}`no`\n# ```\n", "citation", 1, "'no'"),
    "missing file": ("# [x](01_two.ipynb)\n", "link", 0, "did you mean '01_one.ipynb'?"),
    "missing picture": ("# ![x y](no.png)\n", "link", 0, "'no.png' is not there"),
    "missing figure": ("# ```{figure} no.png\n# :alt: x\n# ```\n", "link", 0, "'no.png' is not"),
    "missing HTML picture": ("# <img src='no.png' alt='x'>\n", "link", 0, "'no.png' is not there"),
    "HTML link": ("# see <a href='no.ipynb'>x</a>\n", "link", 0, "'no.ipynb' is not there"),
    "link by reference": ("# [x][y]\n#\n# [y]: no.ipynb\n", "link", 0, "'no.ipynb' is not there"),
    "script of a chapter": ("# [x](index.py)\n", "link", 0, "write index.ipynb"),
    "page of a chapter": ("# [x](index.html#a)\n", "link", 0, "write index.ipynb"),
    "Markdown of a chapter": ("# [x](index.md)\n", "link", 0, "write index.ipynb"),
    "file not carried": ("# [x](references.bib)\n", "link", 0, "is not carried into the rendered"),
    "file outside": ("# [x](../book.toml)\n", "link", 0, "is not carried into the rendered"),
    "unknown anchor": ("# [x](#the-frist-idea-again)\n", "link", 0, "mean 'the-first-idea-again'"),
    "unknown anchor elsewhere": (
        "# [x](index.ipynb#a-map-of-chapters)\n",
        "link",
        0,
        "no heading or label is '#a-map-of-chapters'; did you mean 'a-map-of-the-chapters'?",
    ),
    "anchor of a small heading": ("# #### Deep\n#\n# [x](#deep)\n", "link", 2, "'#deep'"),
    "unknown label": ("# {ref}`a <first-labell>`\n", "link", 0, "did you mean 'first-label'?"),
    "unknown equation": ("# {eq}`no`\n", "link", 0, "no page has the label 'no'"),
    "unknown figure": ("# {numref}`figure-print`\n", "link", 0, "did you mean 'figure-printed'?"),
    "unknown document": ("# {doc}`01_on`\n", "link", 0, "'01_on' is no page; did you mean"),
    "picture without text": ("# ![](pixel.png)\n", "alt-text", 0, "'pixel.png' has no alternative"),
    "figure without text": (
        "# ```{figure} pixel.png\n# ```\n",
        "alt-text",
        0,
        "has no alternative",
    ),
    "HTML picture without text": ("# <img src='pixel.png'>\n", "alt-text", 0, "has no alternative"),
}


@pytest.mark.parametrize(("text", "rule", "offset", "message"), PROSE.values(), ids=PROSE)
def test_what_prose_must_not_hold_is_found_on_its_line(book, text, rule, offset, message):
    text = "".join(f"{line if line[0] == '#' else '# ' + line}\n" for line in text.splitlines())
    book.edit("01_one", IDEA, f"{IDEA}#\n{text}#\n")
    book.sync()
    ((cell, line, found, said),) = problems(book)
    assert (cell, found) == (1, rule)
    assert line == lines(book, IDEA.strip())[0] + 2 + offset
    assert message in said


def test_line_numbers_hold_in_later_cells(book):
    script = book.script("01_one")
    script.write_text(script.read_text() + "\n# %% [markdown]\n# a\n#\n# {cite:p}`no`\n")
    book.sync()
    ((cell, line, rule, _),) = problems(book)
    assert (cell, rule) == (5, "citation")
    assert [line] == lines(book, "{cite:p}`no`")


def test_citations_without_a_bibliography_are_found(book):
    (book.root / "chapters" / "references.bib").unlink()
    found = problems(book)
    assert {rule for _, _, rule, _ in found} == {"citation"}
    assert "the bibliography is missing" in found[0][3]


CODE = {
    "21 lines": ("print(a)", "\n".join(["# x"] * 19), "long-cell", 0, "21 lines, expected at most"),
    "pip": ("print(a)", "# !pip install x", "shell", 2, "'!pip install x' is for a shell"),
    "pip magic": ("print(a)", "# %pip install x", "shell", 2, "'%pip install x' is for a shell"),
    "assigned": ("print(a)", "# files = !ls", "shell", 2, "'files = !ls' is for a shell"),
    "bare pip": ("print(a)", "pip install x", "shell", 2, "'pip install x'"),
}


@pytest.mark.parametrize(("old", "new", "rule", "offset", "message"), CODE.values(), ids=CODE)
def test_what_code_cells_must_not_hold_is_found(book, old, new, rule, offset, message):
    book.edit("01_one", old, new)
    book.sync()
    found = [each for each in problems(book) if message in each[3]]
    assert [(cell, line, rule) for cell, line, rule, _ in found] == [
        (3, lines(book, "a = 1")[0] + offset, rule)
    ]


def test_a_cell_of_20_lines_passes(book):
    book.edit("01_one", "print(a)", "\n".join(["# x"] * 18))
    book.sync()
    assert problems(book) == []


PARAMETERS = {
    "undeclared": ("faces = 64", "face = 64", 2, "book.toml sets faces for smoke and it is not"),
    "of another type": (
        "faces = 64",
        "faces = 'many'",
        2,
        "book.toml, smoke: faces: expected text",
    ),
    "no literal": ("faces = 64", "faces = 8 * 8", 2, "faces: expected true or false, a number"),
    "untagged": (
        '# %% tags=["parameters"]',
        "# %%",
        None,
        "book.toml sets faces and no cell has the tag `parameters`; add one",
    ),
    "tagged twice": (
        'tags=["figure-printed"]',
        'tags=["parameters", "figure-printed"]',
        3,
        "cell 2 has the tag",
    ),
}


@pytest.mark.parametrize(("old", "new", "cell", "message"), PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_must_be_declared(book, old, new, cell, message):
    book.edit("01_one", old, new)
    book.sync()
    ((where, _, rule, said),) = problems(book)
    assert (where, rule) == (cell, "parameter")
    assert message in said


def test_a_pair_out_of_step_is_found(book):
    book.edit("01_one", "print(a)", "print(b)")
    ((cell, line, rule, message),) = problems(book)
    assert (cell, line, rule) == (3, lines(book, "a = 1")[0], "pair")
    assert "run `facelab book sync 01_one`" in message


def test_a_damaged_notebook_is_a_problem_of_the_pair(book):
    book.notebook("01_one").write_text("<<<<<<< HEAD")
    ((cell, _, rule, message),) = problems(book)
    assert (cell, rule) == (None, "pair")
    assert "is not a notebook" in message


def test_scripts_and_entries_must_match(book):
    book.script("index").rename(book.root / "chapters" / "02_other.py")
    found = [
        (each.file, each.rule, each.message.partition(";")[0]) for each in checks.check(book.load())
    ]
    assert ("chapters/index.py", "listing", "book.toml lists it and it is missing") in found
    assert ("chapters/02_other.py", "listing", "book.toml does not list it") in found
    # The link to the missing chapter is broken too.
    assert {rule for _, rule, _ in found} == {"listing", "link"}


def test_described_figures_pass(book, picture_output):
    book.give_output("01_one", "a = 1\nb = a != 2\nprint(a)", picture_output("One grey pixel."))
    assert problems(book) == []


@pytest.mark.parametrize("alt", [None, "", "  "])
def test_a_stored_figure_without_text_is_found(book, picture_output, alt):
    book.give_output("01_one", "a = 1\nb = a != 2\nprint(a)", picture_output(alt))
    ((cell, _, rule, message),) = problems(book)
    assert (cell, rule) == (3, "alt-text")
    assert "figures.show(..., alt=" in message


def test_two_figures_of_one_cell_are_found(book, picture_output):
    source = "a = 1\nb = a != 2\nprint(a)"
    book.give_output("01_one", source, picture_output("One pixel."))
    book.give_output("01_one", source, picture_output("Another pixel."))
    ((cell, _, rule, message),) = problems(book)
    assert (cell, rule) == (3, "alt-text")
    assert "show one figure in a cell" in message


def test_a_stored_html_picture_without_text_is_found(book):
    html = nbformat.v4.new_output("display_data", data={"text/html": "<p><img src='data:x'></p>"})
    book.give_output("01_one", "a = 1\nb = a != 2\nprint(a)", html)
    ((cell, _, rule, message),) = problems(book)
    assert (cell, rule, "<img>" in message) == (3, "alt-text", True)


@pytest.mark.parametrize(("times", "found"), [(14, 0), (16, 1)])
def test_large_outputs_are_found(book, text_output, times, found):
    output = text_output("x" * 100_000)
    book.give_output("01_one", "a = 1\nb = a != 2\nprint(a)", output, times)
    assert [(cell, rule) for cell, _, rule, _ in problems(book)] == [(None, "outputs")] * found


def test_without_the_build_extra_the_remedy_is_said(book, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mdit_py_plugins.amsmath", None)
    with pytest.raises(BookError, match=r"needs mdit_py_plugins.amsmath; .*'facelab\[build\]'"):
        checks.check(book.load())


def test_anchors_are_those_of_the_rendered_book():
    """They are compared with MyST's own, which the page will have."""
    from myst_parser.mdit_to_docutils.base import default_slugify

    for title in ("Before you use: a face, two", "Größe `x_1` (2)", "A -- b", "面 1"):
        (mention,) = prose.mentions(prose.parser(), f"# {title}", {})
        assert mention == prose.Mention("heading", default_slugify(title.replace("`", "")))


# --- pages after the chapters --------------------------------------------------------------------

WORDS = """\
# Words

## What $x$ is

See {cite:t}`ada1843`, [one](../01_one.ipynb#the-first-idea-again), {doc}`../01_one`,
{eq}`first-equation`, [here](#words), ![one pixel](../pixel.png).
"""
SOURCE = 'source = "chapters/pages/words.md"'


def test_a_good_page_has_no_problem_and_chapters_can_link_to_it(book):
    book.add_page("words", SOURCE, WORDS)
    book.edit("01_one", IDEA, f"{IDEA}#\n# [words](pages/words.md#words), {{doc}}`pages/words`\n")
    book.sync()
    assert problems(book) == []


# What is added to a page, the rule, the message.
WRONG_WORDS = {
    "a citation": ("{cite:p}`no`", "citation", "'no' is not in the bibliography"),
    "a link as from a chapter": ("[x](01_one.ipynb)", "link", "did you mean '../01_one.ipynb'?"),
    "a script": ("[x](../01_one.py)", "link", "write ../01_one.ipynb"),
    "an anchor": ("[x](../01_one.ipynb#no)", "link", "no heading or label is '#no'"),
    "a document": ("{doc}`01_one`", "link", "'01_one' is no page"),
    "a picture": ("![](../pixel.png)", "alt-text", "has no alternative text"),
    "code": ("```python\nx\n```", "code-in-markdown", "'x' is a block of code"),
    "a file outside": ("[x](../../book.toml)", "link", "is not carried into the rendered book"),
}


@pytest.mark.parametrize(("text", "rule", "message"), WRONG_WORDS.values(), ids=WRONG_WORDS)
def test_pages_keep_the_rules_of_prose(book, text, rule, message):
    book.add_page("words", SOURCE, f"{WORDS}\n{text}\n")
    (problem,) = checks.check(book.load())
    assert str(problem).startswith(f"chapters/pages/words.md: line 8: {rule}: ")
    assert message in str(problem)


def test_a_page_without_its_source_is_named(book):
    book.add_page("words", SOURCE)
    (problem,) = checks.check(book.load())
    assert (problem.file, problem.rule) == ("chapters/pages/words.md", "page")
    assert "can't be read: No such file or directory; write it, or take the [[page]]" in str(
        problem
    )


def test_a_page_that_is_not_listed_or_has_another_title_is_named(book):
    book.add_page("words", SOURCE, WORDS.replace("# Words", "# Word", 1))
    (book.root / "chapters/pages/more.md").write_text("# More\n")
    found = sorted(map(str, checks.check(book.load())))
    assert found[0].startswith("chapters/pages/more.md: listing: book.toml does not list it; add a")
    assert "[[page]]" in found[0]
    title = "page: expected '# Words' as its first line, the title that book.toml gives it"
    assert f"chapters/pages/words.md: line 1: {title}" in found


def test_a_made_page_is_checked_by_its_maker_and_as_prose(book, monkeypatch):
    said = checks.Problem("records/a.json", None, None, "ledger", "missing")
    maker = SimpleNamespace(page=lambda root: "[x](no.md)\n", problems=lambda root: iter([said]))
    monkeypatch.setitem(closing.MAKERS, "told", "a_maker")
    monkeypatch.setitem(sys.modules, "a_maker", maker)
    book.add_page("made", 'made_by = "told"')
    assert [str(each) for each in checks.check(book.load())] == [
        "the page made that is made: link: 'no.md' is not there; correct it",
        "records/a.json: ledger: missing",
    ]
