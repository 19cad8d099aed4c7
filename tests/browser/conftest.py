"""A headless Chromium, and a tiny rendered book to look at."""

import base64
import io

import pytest
from nbformat import v4, write

from facelab.book import browser, manifest, rendering

BOOK = """
[book]
title = "A tiny book"
authors = ["Somebody"]
copyright = "2026"
licence = "Apache-2.0"
bibliography = "references.bib"

[profiles.quick]
purpose = "for readers"
budget_s = 90
"""
ENTRY = '\n[[chapter]]\nslug = "{0}"\ntitle = "The chapter {0}"\nmodule = "facelab"\nminutes = 5\n'
PAGE = '\n[[page]]\nslug = "words"\ntitle = "Words"\nsource = "chapters/pages/words.md"\n'
REFERENCES = """
@article{ada1843,
  author = {Ada Lovelace},
  title = {Notes by the translator},
  journal = {Scientific Memoirs},
  year = {1843},
}
"""
INDEX = """# Welcome

Begin with [the face](01_face.ipynb). Values lie in $[-1, 1]$.

| chapter | module | what it shows |
|---|---|---|
| the face | `facelab.recognition.embedder.a_name_that_is_longer_than_a_phone_is_wide` | landmarks |
"""
FACE = r"""# The face

After {cite:t}`ada1843`, with $\bar p = \frac{1}{n} \sum_i p_i$ and `code with $dollars$`:

$$
\min_{s, R, t} \sum_{i=1}^{n} \left\| q_i - (s R p_i + t) \right\|^2
+ \lambda_1 \left\| x - y \right\|_1 + \lambda_2 \left\| x - y \right\|_2^2 + \lambda_3 \log D(x)
$$ (eq-similarity)

Equation {eq}`eq-similarity` is set, and so is one that MathJax numbers:

$$ d(a, b) = \left\lVert \frac{a}{\lVert a \rVert} - \frac{b}{\lVert b \rVert} \right\rVert^2
= 2 - 2 \cos(a, b) \tag{9} $$

## The spread of $\sigma$

Zygomatic bones are [described below](#an-exercise).

### An exercise

<details><summary>Hint 1</summary>
Use $\sigma$, in **bold**.
</details>

A name in the text, `facelab.recognition.embedder.a_name_that_is_longer_than_a_phone_is_wide`.

{TABLE}
"""
WORDS = r"""# Words

{cite:t}`ada1843` has $\bar p$ in {eq}`eq-similarity`, in
[the exercise](../01_face.ipynb#an-exercise).

| a | b |
|---|---|
| <details><summary>more</summary>1<br>2</details> | $\sigma$ |
"""
TABLE = "\n".join("|" + " 0.123456 |" * 12 if row != 1 else "|" + "---|" * 12 for row in range(3))


def figure():
    """The output of a drawn figure."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (900, 300), "white").save(stream, format="png")
    data = {"image/png": base64.b64encode(stream.getvalue()).decode(), "text/plain": "<Figure>"}
    return v4.new_output("display_data", data, metadata={"image/png": {"alt": "A white field"}})


def chapters():
    """The executed notebooks by slug."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    long_line = v4.new_output("stream", name="stdout", text="1234567890 " * 30)
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}, "text/plain": "x"}
    face = [
        v4.new_markdown_cell(FACE.replace("{TABLE}", TABLE)),
        v4.new_code_cell("faces = 4  # how many", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("faces = 64", metadata={"tags": ["injected-parameters"]}),
        v4.new_code_cell("show()", outputs=[figure(), long_line], execution_count=1),
        v4.new_code_cell("slider()", outputs=[v4.new_output("display_data", widget)]),
        v4.new_code_cell("answer = 1", metadata={"tags": ["solution"]}),
    ]
    index = [v4.new_markdown_cell(INDEX)]
    named = {"index": index, "01_face": face}
    return {slug: v4.new_notebook(cells=cells, metadata=kernel) for slug, cells in named.items()}


@pytest.fixture(scope="session")
def tiny_book(tmp_path_factory):
    """The folder of the tiny book's pages."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "chapters" / "pages").mkdir(parents=True)
    (root / "chapters" / "pages" / "words.md").write_text(WORDS)
    (root / "runs").mkdir()
    (root / "references.bib").write_text(REFERENCES)
    (root / "book.toml").write_text(BOOK + "".join(map(ENTRY.format, ("index", "01_face"))) + PAGE)
    for slug, notebook in chapters().items():
        write(notebook, root / "runs" / f"{slug}.ipynb")
    book = manifest.load(root / "book.toml")
    return rendering.render(book, root / "runs", root / "_build" / "html").parent


@pytest.fixture(scope="session")
def running_chromium(tmp_path_factory):
    """A Chromium, where there is one; the only one, as Playwright starts once in a thread."""
    if browser.executable() is None:
        pytest.skip("Chromium is not installed: install Debian's chromium or set FACELAB_CHROMIUM")
    with browser.launch(tmp_path_factory.mktemp("nothing")) as running:
        yield running


@pytest.fixture(scope="session")
def chromium(running_chromium, tiny_book):
    """The Chromium, which may read the tiny book."""
    return running_chromium.reading(tiny_book)
