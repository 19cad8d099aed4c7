"""A folder of one's own photographs: who is who, what is left out, several sets side by side."""

import dataclasses

import PIL.Image
import pytest
import torch

from facelab.data.public import cards, detecting, own_pictures, table
from facelab.data.shards import Shards
from facelab.data.sources import open_dataset
from facelab.errors import DatasetError, ParameterError
from facelab.recognition.align import TEMPLATES
from facelab.recognition.mtcnn import Faces

SETS = pytest.mark.parametrize("set_name", ["own-pictures"])
POINTS = 1.5 * TEMPLATES["book64"].points_xy[None] + 20


def picture(path, colour, size=(140, 120), **options):
    """Write a picture of one colour whose left half is darker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = PIL.Image.new("RGB", size, colour)
    made.paste(tuple(level // 2 for level in colour), (0, 0, size[0] // 2, size[1]))
    made.save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Two people with three pictures, and two pictures of a person each."""
    place = tmp_path / "pictures"
    picture(place / "Bea/1.jpg", (200, 100, 50))
    picture(place / "Bea/2019/summer/2.JPG", (100, 200, 50))
    picture(place / "Ada/x.png", (50, 100, 200))
    picture(place / "c.jpg", (50, 50, 50))
    picture(place / "d.webp", (90, 90, 90))
    return place


@pytest.fixture
def detected(monkeypatch):
    """Faces that are found without looking: how many in the next pictures, one where none is said.

    They lie where the framing book64 of 96 pixels, 20 pixels from the corner, has them.
    """
    counts = []

    def detect(image):
        count = counts.pop(0) if counts else 1
        boxes = torch.tensor([[20.0, 20, 100, 110]]).expand(count, -1)
        return Faces(boxes, POINTS.expand(count, -1, -1), torch.ones(count))

    monkeypatch.setattr("facelab.recognition.mtcnn.detect", detect)
    return counts


@pytest.fixture
def bench(mini, file_server, monkeypatch, capsys, tmp_path):
    """The script with a cache of its own."""
    return mini.Bench(
        mini.all_minis()["own-pictures"], file_server, monkeypatch, capsys, tmp_path / "bench"
    )


def test_who_is_who_by_the_first_folder(folder):
    """In the order of names; a picture in the folder itself is a person of its own."""
    found = own_pictures.listing(folder)
    assert found.files == ("Ada/x.png", "Bea/1.jpg", "Bea/2019/summer/2.JPG", "c.jpg", "d.webp")
    assert found.identity.tolist() == [0, 1, 1, 2, 3]
    assert found.split.tolist() == [0] * 5
    assert found.one_face
    assert found.landmarks is None


def test_faces_are_found_for_real(bench):
    """Of rendered heads: four have one face, one picture has two and one none."""
    status, _, err = bench.run()
    assert status == 0, err
    left_out = (bench.target / "left_out.txt").read_text()
    assert left_out == "Bo/both.jpg\tseveral faces\nnobody.jpg\n"
    faces = Shards(bench.target)
    assert faces.identity.tolist() == [0, 0, 1, 2]
    points = faces.column("label.landmarks5")
    expected = (TEMPLATES["book64"].points_xy + 0.5) / 4 - 0.5  # at 16 pixels
    assert (points - expected).norm(dim=2).max() < 1.5


def test_what_is_no_picture_is_passed_over(folder, capsys):
    """And what a camera wrote that can't be read is told."""
    for name in (".thumbnails/1.jpg", "Bea/._1.jpg", "Bea/note.txt", "Bea/3.HEIC", "e.heic"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"?")
    assert len(own_pictures.listing(folder)) == 5
    err = capsys.readouterr().err
    assert err == "  2 files of .heic can't be read; save them as JPEG to have them too\n"


def test_no_picture_at_all(tmp_path, bench):
    (tmp_path / "note.txt").write_text("nothing")
    with pytest.raises(DatasetError, match=r"has no picture; it should have files like \.bmp"):
        own_pictures.listing(tmp_path)
    line = bench.run("--from", tmp_path / "nowhere")[2]
    assert "is no folder" in line


def test_pictures_without_a_face_or_with_two_are_left_out_and_told(bench, folder, detected):
    detected += [1, 2, 1, 0, 1]
    output = bench.folder / "mine"
    status, out, err = bench.run("--from", folder, "-o", output)
    assert (status, out) == (0, str(output)), err
    assert "2 pictures are left out; left_out.txt names them" in err
    assert (output / "left_out.txt").read_text() == "Bea/1.jpg\tseveral faces\nc.jpg\n"
    assert (output / "files.txt").read_text() == "Ada/x.png\nBea/2019/summer/2.JPG\nd.webp\n"
    faces = Shards(output)
    assert (len(faces), faces.people, faces.size) == (3, 3, 16)
    card = (output / "CARD.md").read_text()
    assert "2 pictures in which no face or, 1 times, more than one was found are left out" in card
    assert "biometric data" in card
    assert "GDPR, Article 9" in card
    assert "nothing leaves the computer" in card
    assert bench.server.paths == []
    assert bench.run("--from", folder, "-o", output)[:2] == (0, str(output))
    assert bench.run("-o", output, "--verify", "--from", folder)[:2] == (0, str(output))


def test_what_was_found_for_others_is_not_taken(folder, detected, tmp_path):
    """Where any face does, that of a crowd is kept: not so where one is wanted."""
    listing = own_pictures.listing(folder)
    detected += [1, 2, 1, 1, 1]
    any_face = dataclasses.replace(listing, one_face=False)
    found, left_out = detecting.with_landmarks(any_face, tmp_path / "found")
    assert (len(found), left_out) == (5, ())
    detected += [1, 2, 1, 1, 1]
    found, left_out = detecting.with_landmarks(listing, tmp_path / "found")
    assert (len(found), left_out) == (4, ("Bea/1.jpg\tseveral faces",))


def test_nothing_but_crowds(bench, folder, detected):
    detected += [2, 0, 3, 2, 2]
    assert "no picture has just one face; frame by centre" in bench.run("--from", folder)[2]
    output = bench.folder / "centre"
    assert bench.run("--from", folder, "--framing", "centre", "-o", output)[0] == 0
    assert len(Shards(output)) == 5


def test_several_sets_side_by_side(bench, folder, detected, tmp_path):
    """Each by its path, which is a word for data; the files of one are not those of the other."""
    other, outputs = tmp_path / "other", [tmp_path / "faces/one", tmp_path / "faces/two"]
    picture(other / "Eve/1.jpg", (10, 200, 10))
    for given, output in zip((folder, other), outputs, strict=True):
        status, out, err = bench.run("--from", given, "-o", output)
        assert (status, out) == (0, str(output)), err
    first, second = (open_dataset(str(output)) for output in outputs)
    assert (len(first), first.people, len(second), second.people) == (5, 4, 1, 1)
    assert first.config()["content"] != second.config()["content"]
    assert len(open_dataset(f"{outputs[0]}:train")) == 5
    both = open_dataset(f"{outputs[0]},{outputs[1]}")
    assert (len(both), both.people) == (6, 5)


def test_the_default_place_is_of_one_set(bench, folder, detected, tmp_path):
    """Another folder's pictures are not taken for it."""
    other = tmp_path / "other"
    picture(other / "Eve/1.jpg", (10, 200, 10))
    assert bench.run("--from", folder)[:2] == (0, str(bench.target))
    before = bench.content()
    status, out, line = bench.run("--from", other)
    assert (status, out) == (2, "")
    assert "holds 5 other pictures than" in line
    assert "which has 1; give another folder with -o" in line
    assert bench.content() == before
    faces = open_dataset("own-pictures@16")
    assert (len(faces), faces.people) == (5, 4)


def test_the_framing_is_where_the_face_was_found(bench, folder, detected):
    """The five points come to lie on the template, and the picture with them."""
    output = bench.folder / "mine"
    assert bench.run("--from", folder, "-o", output, "--size", "64")[0] == 0
    points = Shards(output).column("label.landmarks5")
    expected = TEMPLATES["book64"].points_xy.expand(5, -1, -1)
    torch.testing.assert_close(points, expected, rtol=0, atol=1e-3)
    picture = Shards(output).batch([4]).images[0]  # grey, its left half darker: the edge is at 70
    levels = ((picture.mean((0, 1)) + 1) * 255 / 2).round()
    edge = (70 - 20) / 1.5
    assert levels[: int(edge) - 1].mean() == pytest.approx(45, abs=2)
    assert levels[int(edge) + 2 :].mean() == pytest.approx(90, abs=2)


def test_pictures_are_turned_as_the_camera_says(bench, detected, tmp_path):
    """The same photograph, lying and with the note that it has to be turned."""
    upright, lying = tmp_path / "upright", tmp_path / "lying"
    made = PIL.Image.effect_noise((120, 140), 90).convert("RGB")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn it clockwise by a quarter
    for place, photograph, note in (
        (upright, made, None),
        (lying, made.transpose(PIL.Image.Transpose.ROTATE_90), exif),
    ):
        place.mkdir()
        photograph.save(place / "1.png", **({"exif": note} if note else {}))
    found = []
    for given in (upright, lying):
        output = tmp_path / f"{given.name}-faces"
        assert bench.run("--from", given, "-o", output)[0] == 0
        found.append(Shards(output).batch([0]).images)
    assert torch.equal(*found)
    assert found[0].std() > 0.05


def test_a_damaged_picture_is_named(bench, folder, detected):
    (folder / "Ada/x.png").write_bytes((folder / "Ada/x.png").read_bytes()[:100])
    status, _, line = bench.run("--from", folder)
    assert status == 2
    assert "Ada/x.png is damaged or cut short" in line
    bench.nothing_is_taken_for_complete()


@pytest.mark.parametrize("framing", table.find("own-pictures").framings)
def test_each_framing(bench, folder, detected, framing):
    output = bench.folder / framing
    assert bench.run("--from", folder, "-o", output, "--framing", framing)[0] == 0
    assert Shards(output).config()["framing"] == framing


def test_consent_is_asked_for(bench, folder, detected):
    line = bench.run("--from", folder, accept=False)[2]
    assert "the terms of Your own photographs have to be accepted" in line
    assert not bench.target.exists()
    with pytest.raises(ParameterError, match="there is no set 'own'"):
        table.find("own")


def test_a_card_of_others_is_as_it_was():
    """Where one face is not asked for, nothing is said of several."""
    assert cards._left_out(("a.jpg",)).startswith("- 1 pictures in which no face was found are")
