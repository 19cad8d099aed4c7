"""From an executed notebook to a download and to a page's source."""

import nbformat
import pytest
from nbformat import v4

from facelab.book import pages
from facelab.errors import BookError

WIDGET = "application/vnd.jupyter.widget-view+json"


def code(source, *outputs, tags=(), **metadata):
    cell = v4.new_code_cell(source, outputs=list(outputs))
    cell.metadata.update(metadata, tags=list(tags))
    return cell


def notebook(*cells, **metadata):
    return v4.new_notebook(cells=list(cells), metadata=metadata)


def shown(data, **metadata):
    return v4.new_output("display_data", data=data, metadata=metadata)


def said(text):
    return v4.new_output("stream", name="stderr", text=text)


def only(made):
    assert len(made.cells) == 1
    return made.cells[0]


# Reading


def test_a_chapter_that_was_not_run_is_named_with_the_remedy(tmp_path):
    with pytest.raises(BookError, match=r"01_x\.ipynb is missing; run `facelab book run 01_x`"):
        pages.read(tmp_path / "01_x.ipynb")


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}"])
def test_a_damaged_notebook_is_one_line(tmp_path, text):
    path = tmp_path / "01_x.ipynb"
    path.write_text(text)
    with pytest.raises(BookError, match="is not a notebook"):
        pages.read(path)


def test_a_run_that_stopped_half_way_is_refused(tmp_path):
    path = tmp_path / "01_x.ipynb"
    done, pending = (code("1", papermill={"status": state}) for state in ("completed", "pending"))
    nbformat.write(notebook(done, pending), path)
    with pytest.raises(BookError, match=r"cell 2 was not executed \(pending\)"):
        pages.read(path)


def test_an_error_is_refused_unless_the_chapter_means_it(tmp_path):
    path = tmp_path / "01_x.ipynb"
    error = v4.new_output("error", ename="KeyError", evalue="x", traceback=[])
    nbformat.write(notebook(code("1/0", error, tags=["raises-exception"])), path)
    assert len(pages.read(path).cells) == 1
    nbformat.write(notebook(code("1/0", error)), path)
    with pytest.raises(BookError, match="cell 1 raised KeyError"):
        pages.read(path)


# The download


def test_injected_values_stand_in_the_parameters_cell_and_comments_stay():
    declared = code("faces = 4  # how many\nrate = 1e-3\nphoto = ''", tags=["parameters"])
    injected = code("# Parameters\nfaces = 64\nrate = 0.001\n", tags=["injected-parameters"])
    made = pages.download(notebook(declared, injected))
    assert only(made).source == "faces = 64  # how many\nrate = 1e-3\nphoto = ''"
    assert pages.tags(only(made)) == ["parameters"]


@pytest.mark.parametrize(
    ("source", "assignments", "expected"),
    [
        ("a: float = 1  # é", "a = 2", "a: float = 2  # é"),
        ("b = 'é'; a = 1", "a = [1, 2]", "b = 'é'; a = [1, 2]"),
        ("a = [\n    1,\n    2,\n]\nb = 3", "a = []\nb = True", "a = []\nb = True"),
        ("a = 1", "a = -1.5", "a = -1.5"),
        ("a = 1", "c = 'x'", "a = 1\nc = 'x'"),
        ("# nothing", "", "# nothing"),
    ],
)
def test_set_values(source, assignments, expected):
    assert pages.set_values(source, assignments) == expected


def test_a_widget_goes_and_its_still_frame_stays():
    view = shown({WIDGET: {"model_id": "1"}, "text/plain": "IntSlider(value=0)"})
    frame = shown({"image/png": "aGk="}, **{"image/png": {"alt": "a still frame"}})
    made = pages.download(notebook(code("show()", view, frame), widgets={"state": {}}))
    assert only(made).outputs == [frame]
    assert "widgets" not in made.metadata


def test_a_bundle_with_a_picture_loses_its_view_alone():
    both = shown({WIDGET: {}, "image/png": "aGk="})
    assert only(pages.download(notebook(code("show()", both)))).outputs[0].data == {
        "image/png": "aGk="
    }


@pytest.mark.parametrize(
    "bar",
    [
        "\r  0%|          | 0/20 [00:00<?, ?it/s]\r100%|#########| 20/20 [00:00<00:00, 94.1it/s]\n",
        "train:  40%|████      | 4/10 [00:01<00:02,  3.9it/s]",
        "12it [00:00, 345.33it/s]",
    ],
)
def test_progress_bars_are_not_outputs(bar):
    assert only(pages.download(notebook(code("train()", said(bar))))).outputs == []
    kept = only(pages.download(notebook(code("train()", said(bar + "\nUserWarning: slow\n")))))
    assert [output.text for output in kept.outputs] == ["UserWarning: slow\n"]


def test_other_messages_stay_as_they_are():
    text = "loss is 40% lower | epoch 3\n"
    assert only(pages.download(notebook(code("x", said(text))))).outputs[0].text == text


def test_papermill_leaves_no_trace_and_the_run_is_not_touched():
    executed = notebook(code("1", papermill={"status": "completed"}), papermill={"duration": 1})
    before = nbformat.writes(executed)
    made = pages.download(executed)
    assert "papermill" not in nbformat.writes(made)
    assert nbformat.writes(executed) == before


# The page


def test_alt_text_goes_where_the_renderer_looks():
    figure = shown({"image/png": "aGk="}, **{"image/png": {"alt": "a bell curve"}})
    made = pages.page(notebook(code("show()", figure)), "01_x")
    assert only(made).metadata.mystnb["image"] == {"alt": "a bell curve"}


def test_a_figure_is_numbered_by_its_tag_with_the_alt_text_below():
    figure = shown({"image/png": "aGk="}, **{"image/png": {"alt": "f_T *moves*"}})
    named = code("show()", figure)
    named.metadata["tags"] = ["hide-input", "figure-moves"]
    made = pages.page(notebook(named), "01_x").cells[0].metadata.mystnb["figure"]
    assert made == {"caption": r"f\_T \*moves\*", "name": "figure-moves"}
    other = pages.page(notebook(code("show()", figure)), "01_x").cells[0].metadata.mystnb["figure"]
    assert other["name"] == "01_x-cell-1"


def test_of_two_pictures_none_is_numbered():
    figure = shown({"image/png": "aGk="}, **{"image/png": {"alt": "a curve"}})
    made = pages.page(notebook(code("show()", figure, figure)), "01_x")
    assert "figure" not in made.cells[0].metadata.mystnb


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/svg+xml"])
def test_a_figure_without_alt_names_chapter_and_cell(kind):
    silent = notebook(v4.new_markdown_cell("# A"), code("show()", shown({kind: "x"})))
    with pytest.raises(BookError, match=r"01_x, cell 2: a figure has no alt text"):
        pages.page(silent, "01_x")


def test_a_removed_output_needs_no_alt():
    figure = shown({"image/png": "x"})
    pages.page(notebook(code("show()", figure, tags=["remove-output"])), "01_x")


def test_two_descriptions_in_one_cell_are_refused():
    figures = [shown({"image/png": "x"}, **{"image/png": {"alt": alt}}) for alt in ("one", "two")]
    with pytest.raises(BookError, match="2 figures with different alt texts"):
        pages.page(notebook(code("show()", *figures)), "01_x")


@pytest.mark.parametrize(
    "text", ["![](x.png)", "![ ](x.png)", '<img src="x.png">', '<img alt="" src="x.png">']
)
def test_a_picture_in_the_text_needs_alt_too(text):
    with pytest.raises(BookError, match="cell 1: a picture has no alt text"):
        pages.page(notebook(v4.new_markdown_cell(f"See {text}.")), "01_x")


@pytest.mark.parametrize(
    "text", ["![a nose](x.png)", '<img src="x.png" alt="a nose">', "`![](x.png)`", "[](x.png)"]
)
def test_described_pictures_and_code_about_pictures_pass(text):
    pages.page(notebook(v4.new_markdown_cell(text)), "01_x")


def test_a_picture_in_an_html_output_needs_alt():
    with pytest.raises(BookError, match="cell 1: a picture has no alt text"):
        pages.page(notebook(code("x", shown({"text/html": "<img src='data:,'>"}))), "01_x")


def test_solutions_are_folded():
    made = only(pages.page(notebook(code("answer = 1", tags=["solution"])), "01_x"))
    assert pages.tags(made) == ["solution", "hide-input"]
    assert made.metadata.mystnb["code_prompt_show"] == "Show the solution"


def test_a_solution_with_its_own_folding_keeps_it():
    made = only(pages.page(notebook(code("a = 1", tags=["solution", "hide-cell"])), "01_x"))
    assert pages.tags(made) == ["solution", "hide-cell"]


def test_hints_are_read_as_markdown():
    hint = "<details><summary>Hint 1</summary>\nUse $x$.\n</details>\nMore."
    assert pages.open_details(hint).split("\n\n") == [
        "<details><summary>Hint 1</summary>",
        "Use $x$.",
        "</details>",
        "More.",
    ]


def test_opening_details_twice_changes_nothing():
    once = pages.open_details("<details><summary>H</summary>a</details><details>b</details>")
    assert pages.open_details(once) == once


def test_displayed_source_is_coloured_by_the_page():
    from facelab.book import exercises

    shown_source = exercises.source(exercises.unanswered)
    data = {"text/html": shown_source._repr_html_(), "text/plain": repr(shown_source)}
    made = only(pages.page(notebook(code("source(f)", shown(data))), "01_x"))
    text = made.outputs[0].data["text/markdown"]
    assert text.startswith("```python\ndef unanswered(answer")
    assert "text/html" not in made.outputs[0].data


def test_source_that_holds_a_fence_gets_a_longer_one():
    html = '<div class="highlight"><pre>x</pre></div>'
    data = {"text/html": html, "text/plain": 'x = """\n```\ncode\n```\n"""'}
    made = only(pages.page(notebook(code("source(f)", shown(data))), "01_x"))
    assert made.outputs[0].data["text/markdown"].startswith("````python\n")


def test_a_formula_in_the_title_is_refused_and_in_a_section_is_not():
    pages.page(notebook(v4.new_markdown_cell("# Losses\n\n## The latent $z$")), "01_x")
    with pytest.raises(BookError, match=r"01_x: the title '# Losses of \$z\$' has a formula"):
        pages.page(notebook(v4.new_markdown_cell("# Losses of $z$")), "01_x")
