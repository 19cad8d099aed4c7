"""What is written where, what is refused, and what is left out; `facelab transfer` tests it too."""

import json
import os
from pathlib import Path

import pytest
import torch

from facelab.errors import ImageError, ParameterError, UserError
from facelab.images import load_image
from facelab.recognition import pictures
from facelab.recognition.align import TEMPLATES, crop_faces
from facelab.recognition.gallery import Failure
from facelab.recognition.pictures import Folder, Report, Result


@pytest.fixture
def folder(tmp_path):
    """Makes the folder of results."""
    return lambda **options: Folder(tmp_path / "out", "record.json", "used", **options)


def result(level, columns=2, side=4):
    return Result(torch.full((1, 3, 5, 6), level), torch.full((columns, 3, side, side), level),
                  {"level": level})  # fmt: skip


def test_results_never_meet(folder):
    names = ["a/x.jpg", "X.png", "sheet.png", "x-2.png", "b/y.webp"]
    targets = folder().targets([Path(name) for name in names])
    assert [target.name for target in targets] == [
        "x.png", "X-2.png", "sheet-2.png", "x-2-2.png", "y.png",
    ]  # fmt: skip


def test_results_may_have_names_of_their_own(folder, tmp_path):
    """A picture elsewhere that has a result's name is no hindrance, one in its place is."""
    out = tmp_path / "out"
    given = [tmp_path / "frame-0.png"]
    given[0].write_bytes(b"precious")
    wanted = [out / "frame-0.png", out / "sheet-2.png"]
    assert folder().named(["frame-0", "sheet"], given) == wanted
    out.mkdir()
    os.link(given[0], wanted[0])
    with pytest.raises(ParameterError, match=r"frame-0\.png is one of the pictures to be used"):
        folder(overwrite=True).named(["frame-0"], given)


def test_numbers_of_a_record():
    assert pictures.rounded(torch.tensor(0.123456789)) == 0.123457
    assert pictures.rounded(1 / 3) == 0.333333


def test_what_is_there_is_kept(folder, tmp_path):
    out, picture = tmp_path / "out", tmp_path / "a.png"
    out.mkdir()
    for name in ("a.png", "sheet.png", "record.json"):
        (out / name).write_bytes(b"precious")
        with pytest.raises(ParameterError, match=f"{name} exists; give another folder, or --over"):
            folder().targets([picture])
        assert folder(overwrite=True).targets([picture]) == [out / "a.png"]
        if name == "sheet.png":
            assert folder(sheet=False).targets([picture]) == [out / "a.png"]
        (out / name).unlink()
    out.rmdir()
    out.write_bytes(b"precious")
    with pytest.raises(ParameterError, match="out is a file; give a folder"):
        folder(overwrite=True).targets([picture])


@pytest.mark.parametrize("place", ["pictures", "others"])
def test_what_was_given_is_kept(folder, tmp_path, place):
    (tmp_path / "out").mkdir()
    source = tmp_path / "b.png"
    source.write_bytes(b"precious")
    os.link(source, tmp_path / "out/a.png")
    given = {"pictures": [tmp_path / "a.png", source], "others": []}
    if place == "others":
        given = {"pictures": [tmp_path / "a.png"], "others": [source]}
    with pytest.raises(ParameterError, match=r"a\.png is one of the pictures to be used; give"):
        folder(overwrite=True).targets(**given)


def test_pictures_sheet_and_record(folder, tmp_path):
    failure, out = Failure("b", "ImageError", "b is damaged"), folder()
    outcomes = [("a", result(0.0)), ("b", failure), ("c", result(1.0)), ("d", result(-1.0))]
    targets = out.targets([Path(name) for name, _ in outcomes])
    report = out.write(targets, outcomes, shown=2)
    report.about = {"why": "a test"}
    out.finish(report)
    assert sorted(p.name for p in out.path.iterdir()) == [
        "a.png", "c.png", "d.png", "record.json", "sheet.png",
    ]  # fmt: skip
    assert torch.equal(load_image(out.path / "d.png"), torch.full((1, 3, 5, 6), -1.0))
    sheet = load_image(out.path / "sheet.png")
    assert sheet.shape == (1, 3, 2 * 192 + 96, 2 * 192 + 96), "two rows of two, 48 times as large"
    assert sheet[..., :192, :192].abs().max() < 0.01 < sheet[..., -192:, :].min()
    assert json.loads((out.path / "record.json").read_text()) == {
        "why": "a test",
        "pictures": [
            {"source": name, "file": str(out.path / f"{name}.png"), "level": level}
            for name, level in (("a", 0.0), ("c", 1.0), ("d", -1.0))
        ],
        "skipped": [{"path": "b", "error": "ImageError", "reason": "b is damaged"}],
    }


def test_no_sheet_without_faces_or_where_none_is_wanted(folder):
    for options, found in (({}, []), ({"sheet": False}, [("a", result(0.0))])):
        out = folder(**options)
        out.finish(out.write([out.path / "a.png"][: len(found)], found))
        assert not (out.path / "sheet.png").exists()
        assert (out.path / "record.json").exists()


def test_a_record_has_numbers_alone(folder):
    out = folder()
    out.path.mkdir()
    with pytest.raises(ValueError, match="not JSON compliant"):
        out.finish(Report(rows=[{"value": float("nan")}]))
    assert list(out.path.iterdir()) == []


def test_folders_are_searched(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("f/b.png", "f/a/c.jpg", "f/notes.txt", "empty/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = pictures.pictures_of([Path("~/f"), Path("~/missing.png")])
    assert found == [tmp_path / name for name in ("f/b.png", "f/a/c.jpg", "missing.png")]
    with pytest.raises(UserError, match="empty has no pictures"):
        pictures.pictures_of([tmp_path / "empty"])


def test_policies_that_take_one_face():
    for policy in ("error", "largest", "central"):
        pictures.require_policy(policy)
    with pytest.raises(ParameterError, match="no policy 'all' here; choose one of: error, la"):
        pictures.require_policy("all")


def test_what_can_not_be_changed_is_left_out():
    face = crop_faces(torch.zeros(1, 3, 64, 64), "book64", aligned=True)
    failure = Failure("b", "FaceCountError", "b has none")

    def change(path, faces):
        if path == "c":
            raise ImageError("c is gone")
        return result(float(faces.images.max()))

    found = [("a", (face, 1)), ("b", failure), ("c", (face, 1)), ("d", (face, 1))]
    made = dict(pictures.outcomes(found, change))
    assert list(made) == ["a", "b", "c", "d"]
    assert made["b"] is failure
    assert made["c"] == Failure("c", "ImageError", "c is gone")
    assert made["a"].facts == made["d"].facts == {"level": 0.0}


def test_a_template_at_another_size():
    book = TEMPLATES["book64"]
    assert pictures.template_of_size("book64", 64) is book
    large = pictures.template_of_size("book64", 128)
    assert large.size == 128
    torch.testing.assert_close(large.points_xy, (book.points_xy + 0.5) * 2 - 0.5)


def test_a_damaged_result_ends_the_run(folder):
    out = folder()
    with pytest.raises(ImageError, match="not finite"):
        out.write([out.path / "a.png"], [("a", result(float("nan")))])
    assert list(out.path.iterdir()) == []
