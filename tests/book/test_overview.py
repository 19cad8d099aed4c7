import json

import pytest

from facelab.book import manifest, overview, report
from facelab.errors import BookError
from facelab.verdicts import Verdict

BOOK = """
[book]
title = "A book"
subtitle = "short"
authors = ["Somebody"]
copyright = "2026"
licence = "Apache-2.0"
repository = ""
bibliography = "chapters/references.bib"

[profiles.quick]
purpose = "for readers"
budget_s = 90

[[chapter]]
slug = "01_faces"
title = "Faces"
module = "facelab.recognition"
minutes = 7
assets = []
claims = []
"""
BLOCKS = "".join(
    f"<!-- facelab:{name} -->\n<!-- /facelab:{name} -->\n"
    for name in ("fresh", "chapters", "assets")
)


@pytest.fixture
def book(tmp_path, monkeypatch):
    (tmp_path / "book.toml").write_text(BOOK)
    (tmp_path / "README.md").write_text(f"# Title\n{BLOCKS}the end\n")
    monkeypatch.chdir(tmp_path)
    return manifest.load(tmp_path / "book.toml")


def _run(folder, slug, minutes, outcome="ok"):
    folder.mkdir(exist_ok=True)
    entry = {"slug": slug, "minutes": minutes, "outcome": outcome}
    (folder / report.FILE).write_text(json.dumps({"chapters": {slug: entry}}))
    return folder


def test_a_chapter_without_a_record_says_so(book):
    cells = overview.chapter_table(book).splitlines()[-1].strip("| ").split(" | ")
    assert cells[:2] == ["[Faces](01_faces.ipynb)<br>`facelab.recognition`", "foundation"]
    assert cells[2:] == ["7", "not measured yet", "0"]


def test_what_comes_after_the_papers_is_no_foundation(book, tmp_path):
    more = [
        '[[chapter]]\nslug = "02_x"\ntitle = "X"\npaper = "ganid"',
        '[[chapter]]\nslug = "03_y"\ntitle = "Y"',
    ]
    rest = '\nmodule = "facelab"\nminutes = 1\n'
    (tmp_path / "book.toml").write_text("\n".join([BOOK, *(each + rest for each in more)]))
    told = overview.chapter_table(manifest.load(tmp_path / "book.toml")).splitlines()[2:]
    kinds = [line.split(" | ")[1] for line in told]
    assert kinds == ["foundation", "`ganid`", "all of them"]


def test_the_measured_seconds_come_from_the_last_good_run(book, tmp_path):
    overview.write_chapter_record(book, _run(tmp_path / "runs", "01_faces", 0.5))
    overview.write_chapter_record(book, _run(tmp_path / "runs", "01_faces", 9.0, "failed"))
    overview.write_chapter_record(book, _run(tmp_path / "runs", "99_gone", 1.0))
    assert "| 30 s |" in overview.chapter_table(book)
    assert list(overview.record(overview.CHAPTER_RECORD, tmp_path)["chapters"]) == ["01_faces"]


def test_fresh_minutes_come_from_the_record(book, tmp_path):
    assert "Not measured yet" in overview.fresh_table()
    step = {"command": "make book", "step": "in all", "seconds": 150}
    content = {"date": "2026-01-02", "machine": "a machine", "steps": [step]}
    (tmp_path / "records").mkdir()
    (tmp_path / overview.FRESH_RECORD).write_text(json.dumps(content))
    assert "| `make book` | in all | 2.5 |" in overview.fresh_table()


def test_the_readme_is_filled_once_and_keeps_its_other_text(book, tmp_path):
    assert overview.write_readme(book) == [tmp_path / "README.md"]
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# Title\n<!-- facelab:fresh -->\nNot measured yet")
    assert text.endswith("<!-- /facelab:assets -->\nthe end\n")
    assert "| [Faces](chapters/01_faces.ipynb)<br>" in text
    assert "`dlib-resnet`" in text
    assert overview.write_readme(book) == []


def test_verdicts_stand_beside_what_the_paper_says():
    found = Verdict("ganid.universal", {"gain": 0.25, "other": None}, "partly reproduced")
    line = overview.verdict_table([found]).splitlines()[-1]
    paper = manifest.claims()["ganid.universal"]["paper"]
    claim = "`ganid.universal`<br>**partly reproduced**"
    assert line == f"| {claim} | {paper} | gain: 0.25<br>other: never |"


def test_many_figures_of_a_verdict_are_folded():
    many = {f"figure {number}": float(number) for number in range(overview.FOLDED + 1)}
    line = overview.verdict_table([Verdict("ganid.universal", many, "reproduced")]).splitlines()[-1]
    told = "<br>".join(f"{name}: {value:.3g}" for name, value in many.items())
    assert f"| <details><summary>{len(many)} figures</summary>{told}</details> |" in line


def test_a_readme_without_a_block_is_named(book):
    with pytest.raises(BookError, match="facelab:assets"):
        overview.readme(BLOCKS.replace("/facelab:assets", "gone"), book)


def test_a_pipe_in_a_cell_does_not_begin_another():
    assert overview.table(("a", "b"), [("|log x|", 2)]).splitlines()[-1] == r"| \|log x\| | 2 |"
