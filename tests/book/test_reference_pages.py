"""The pages of notation and of words: their links, their order, what they promise."""

import re
from pathlib import Path

import pytest

from facelab.book import manifest, pairing, prose

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "chapters" / "pages"
TERM = re.compile(r"^(\S.*)\n  (.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def anchors():
    """The headings' anchors of each chapter, by slug."""
    markdown, found = prose.parser(), {}
    for chapter in manifest.load(ROOT / manifest.FILE).chapters:
        mentions = prose.of_cells(markdown, pairing.read_script(chapter).cells)
        found[chapter.slug] = {each.value for _, each in mentions if each.kind == "heading"}
    return found


def links(name):
    """The links of a page as pairs of slug and anchor."""
    targets = re.findall(r"\]\(([^)]+)\)", (PAGES / name).read_text())
    others = [target for target in targets if target[0] != "#"]
    assert all(target.startswith("../") for target in others)
    return [target.removeprefix("../").partition(".ipynb")[::2] for target in others]


@pytest.mark.parametrize("name", ["notation.md", "glossary.md"])
def test_every_link_leads_to_a_chapter_and_a_heading(name, anchors):
    found = links(name)
    assert len(found) > 50
    for slug, anchor in found:
        assert slug in anchors, f"{slug} is no chapter"
        assert not anchor or anchor[1:] in anchors[slug], f"{slug} has no heading {anchor}"


def glossary():
    """The terms and what they mean, in the page's order."""
    return TERM.findall((PAGES / "glossary.md").read_text().partition("```{glossary}\n")[2])


def test_words_are_in_order_and_none_is_there_twice():
    terms = [term for term, _ in glossary()]
    assert len(terms) >= 50
    keys = [term.lower() for term in terms]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_a_word_is_explained_in_a_sentence_or_two_and_names_its_chapter():
    for term, meaning in glossary():
        assert len(re.findall(r"\]\(\.\./\d\d_\w+\.ipynb#", meaning)) == 1, term
        number, slug = re.search(r"\[Chapter (\d+)\]\(\.\./(\d\d)_", meaning).groups()
        assert int(number) == int(slug), term
        assert len(meaning.split()) < 60, term


def test_words_that_words_lead_to_are_explained():
    known = {term for term, _ in glossary()}
    for term, meaning in glossary():
        for other in re.findall(r"\{term\}`([^`]+)`", meaning):
            assert other in known, f"{term} leads to {other}, which is not explained"
            assert other != term


def test_the_page_has_no_term_that_was_overlooked():
    """All that is indented belongs to a term."""
    text = (PAGES / "glossary.md").read_text()
    assert len(re.findall(r"^  \S", text, re.MULTILINE)) == len(glossary())


def test_symbols_name_the_chapter_that_their_number_says():
    text = (PAGES / "notation.md").read_text()
    numbered = re.findall(r"\[(\d)\]\(\.\./(\d\d)_", text)
    assert len(numbered) > 100
    assert all(int(number) == int(slug) for number, slug in numbered)


def test_symbols_tables_have_no_ragged_row():
    """A bar inside a formula would begin a column."""
    for block in (PAGES / "notation.md").read_text().split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1, rows[:1]
