"""`facelab render`, at 16 pixels."""

import csv
import errno
import json

import PIL.Image
import pytest
from click.testing import CliRunner, Result

from facelab.data import export
from facelab.data.anny_faces import AnnyFaces
from facelab.data.commands import render
from facelab.errors import DatasetError, ParameterError
from facelab.images import load_image

OPTIONS = ("--identities", "3", "--views", "2", "--size", "16", "--seed", "5")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(render, list(map(str, arguments)))
    if result.exception:
        raise result.exception
    return result


def refused(kind: type, *arguments: object) -> str:
    result = CliRunner().invoke(render, list(map(str, arguments)))
    assert isinstance(result.exception, kind), result.exception
    message = str(result.exception)
    assert len(message.splitlines()) == 1
    return message


def rows(folder) -> list[dict]:
    with (folder / "labels.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder of six pictures."""
    folder = tmp_path_factory.mktemp("finished") / "new"
    run(*OPTIONS, "-o", folder)
    return folder


def test_pictures_and_a_table(finished):
    table = rows(finished)
    assert list(table[0])[:2] == ["file", "identity"]
    assert [row["file"] for row in table] == [
        f"{person:05d}_{view:03d}.png" for person in range(3) for view in range(2)
    ]
    assert [int(row["identity"]) for row in table] == [0, 0, 1, 1, 2, 2]
    for row in table:
        with PIL.Image.open(finished / row["file"]) as picture:
            assert (picture.size, picture.mode) == ((16, 16), "RGB")
    assert len(list(finished.glob("*.png"))) == 6
    assert not [p for p in finished.iterdir() if p.name.startswith(".")]


def test_each_file_is_the_face_of_its_row(finished):
    dataset = AnnyFaces(16, 1, 1)
    for row in rows(finished)[::2]:
        face = dataset.render(int(row["identity_seed"]), int(row["view_seed"])).images
        difference = load_image(finished / row["file"]) - face
        assert difference.abs().max() < 2.1 / 255


def test_the_table_has_the_labels(finished):
    dataset = AnnyFaces(16, 3, 2, seed=5)
    labels = dataset.labels(range(6))
    for index, row in enumerate(rows(finished)):
        assert (int(row["identity_seed"]), int(row["view_seed"])) == dataset.seeds(index)
        assert float(row["yaw_rad"]) == pytest.approx(float(labels.euler_rad[index, 0]), abs=1e-6)
        assert float(row["landmark_30_y"]) == pytest.approx(
            float(labels.landmarks[index, 30, 1]), abs=1e-5
        )
        for column, name in enumerate(dataset.attribute_names):
            assert row[name] == str(int(labels.attributes[index, column])), name
        jaw = dataset.model.expression_names.index("jawOpen")
        weight = float(labels.labels["expression_weights"][index, jaw])
        assert float(row["expression_jawOpen"]) == pytest.approx(weight, abs=1e-6)
        assert float(row["phenotype_age"]) > 0.6


def test_what_is_there_is_kept_and_what_is_damaged_is_not(finished, tmp_path):
    before = {path.name: path.read_bytes() for path in finished.glob("*.png")}
    table = (finished / "labels.csv").read_bytes()
    for path in finished.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "00000_001.png").unlink()
    (tmp_path / "00001_000.png").write_bytes(b"half")
    (tmp_path / "labels.csv").unlink()
    stamps = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.png")}
    found = json.loads(run(*OPTIONS, "-o", tmp_path, "--json").stdout)
    assert (found["pictures"], found["drawn"], found["kept"]) == (6, 2, 4)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.png")} == before
    assert (tmp_path / "labels.csv").read_bytes() == table
    kept = [n for n, t in stamps.items() if (tmp_path / n).stat().st_mtime_ns == t]
    assert len(kept) == 4


def test_an_interrupted_run_has_no_table_and_goes_on(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "AT_ONCE", 2)
    count = 0

    def interrupted(dataset, folder, group, draw=export._draw_missing):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return draw(dataset, folder, group)

    with monkeypatch.context() as patch:
        patch.setattr(export, "_draw_missing", interrupted)
        with pytest.raises(KeyboardInterrupt):
            export.export(AnnyFaces(16, 3, 2, seed=5), tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == 4
    assert not (tmp_path / "labels.csv").exists()
    # What a kill in the middle of writing a picture leaves.
    (tmp_path / export.UNFINISHED / "tmp12345678.png").write_bytes(b"half")
    drawn, kept = export.export(AnnyFaces(16, 3, 2, seed=5), tmp_path)
    assert (drawn, kept) == (2, 4)
    assert rows(tmp_path) == rows(finished)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in finished.iterdir()}


def test_a_summary_for_people(finished):
    line = run(*OPTIONS, "-o", finished).stdout
    assert line == (
        f"wrote {finished / 'labels.csv'}: 3 people, 6 pictures of 16 x 16 pixels, 0 drawn, "
        "6 kept from before\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "4"), "faces of 4 pixels can't be drawn; give a size from 16"),
        (("--identities", "0"), "0 identities make no dataset; give at least 1"),
        (("--views", "-2"), "-2 views make no dataset"),
        (("--identities", "90000000"), "are more than 50,000,000 faces; give fewer"),
    ],
)
def test_impossible_sizes_and_counts(options, message, tmp_path):
    assert message in refused(ParameterError, *options, "-o", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_other_settings_do_not_mix(finished):
    message = refused(DatasetError, *OPTIONS, "--framing", "portrait", "-o", finished)
    assert "drawn with other settings; give another folder, or the settings in" in message


def test_a_folder_with_other_pictures_is_left_alone(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"cat")
    assert "holds other pictures already" in refused(DatasetError, *OPTIONS, "-o", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["cat.png"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "notes").write_text("x")
    assert "is not a folder" in refused(DatasetError, *OPTIONS, "-o", tmp_path / "notes")
    assert "is not a folder" in refused(DatasetError, *OPTIONS, "-o", tmp_path / "notes" / "x")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "no space is left on the disk; free some and call again"),
        (errno.EACCES, r"can't be written \(Permission denied\); make it writable"),
    ],
)
def test_a_disk_that_refuses(code, message, tmp_path, monkeypatch):
    def refuse(self, *arguments, **keywords):
        raise OSError(code, "Permission denied")

    monkeypatch.setattr(PIL.Image.Image, "save", refuse)
    with pytest.raises(DatasetError, match=message):
        export.export(AnnyFaces(16, 1, 1), tmp_path / "new")
    assert not (tmp_path / "new" / "labels.csv").exists()
