"""LFW's layout: people, the two splits, lists of pairs that can be read, and the attributes."""

import pytest

from facelab.data.public import lfw
from facelab.data.shards import Shards
from facelab.errors import DatasetError
from facelab.recognition.pair_lists import read_pairs

LFW = pytest.mark.parametrize("set_name", ["lfw"])
EACH = pytest.mark.parametrize("set_name", ["lfw", "lfw-funneled", "lfw-deepfunneled"])
LFWA = pytest.mark.parametrize("set_name", ["lfwa"])


@EACH
def test_nobody_is_in_both_splits(bench):
    """Whoever is in a pair of pairsDevTest.txt is in the test split."""
    assert bench.run()[0] == 0
    faces = Shards(bench.target)
    assert faces.identity.tolist() == [0, 0, 0, 1, 2, 2, 3, 3]
    train, test = faces.only("train"), faces.only("test")
    assert (train.people, train.rows.tolist()) == (2, [0, 1, 2, 3])
    assert (test.people, test.rows.tolist()) == (2, [4, 5, 6, 7])
    with pytest.raises(DatasetError, match="it has: train, test"):
        faces.only("validation")


@LFW
def test_the_pairs_are_read_with_the_pictures_that_were_kept(bench):
    """What lies beside the packed faces is what the verification reads, and so are its pictures."""
    assert bench.run("--keep")[0] == 0
    pictures = bench.sources / "lfw.tgz.d/lfw"
    pairs = read_pairs(bench.target / "pairs.txt", pictures)
    assert pairs.same == (True, False, True, False)
    assert pairs.folds == (0, 0, 1, 1)
    assert pairs.paths[0] == pictures / "Ada_Lovelace/Ada_Lovelace_0001.jpg"
    for name, count in (("pairsDevTrain.txt", 2), ("pairsDevTest.txt", 2)):
        assert len(read_pairs(bench.target / name, pictures).same) == count
    rows = (bench.target / "files.txt").read_text().split()
    assert rows.index("Cary_Grant/Cary_Grant_0002.jpg") == 5


@LFWA
def test_attributes_are_the_signs_of_the_scores(bench, mini):
    """Seven pictures have them; the eighth, of the one person without any, is left out."""
    assert bench.run()[0] == 0
    faces = Shards(bench.target)
    assert faces.attribute_names == mini.LFW_LOOKS
    assert faces.identity.tolist() == [0, 0, 0, 1, 1, 2, 2]
    numbers = [1, 2, 3, 1, 2, 1, 2]
    expected = [[(number + column) % 2 == 0 for column in range(73)] for number in numbers]
    assert faces.column("attributes").tolist() == expected
    card = (bench.target / "CARD.md").read_text()
    assert "| `lfw_attributes.txt` | " in card
    assert "of the first whole copy |" in card


@LFWA
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\timagenum", "\tnumber", "line 2: 73 attributes, expected person, imagenum"),
        ("\tLook 74"[:-1] + "3", "", "line 2: 72 attributes"),
        ("Ada Lovelace\t2\t", "Ada Lovelace\ttwo\t", "line 4: .*73 scores"),
        ("Ada Lovelace\t2\t", "Ada Lovelace\t2\tnan\t", "line 4: .*73 scores"),
        ("Ada Lovelace\t2\t", "Ada Byron\t2\t", "lacks 1 of the 7 pictures"),
    ],
)
def test_scores_that_don_t_fit(bench, tmp_path, old, new, message):
    place = bench.unpack(tmp_path / "mine")
    path = place / "lfw_attributes.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DatasetError, match=message):
        lfw.attributes_listing(place)


@LFW
def test_folders_that_don_t_fit(bench, tmp_path):
    place = bench.unpack(tmp_path / "mine")
    (place / "lfw_funneled").mkdir()
    with pytest.raises(DatasetError, match="has 2 of the folders lfw, lfw_funneled"):
        lfw.listing(place)
    (place / "lfw_funneled").rmdir()
    (place / "lfw/Cary_Grant").rename(place / "elsewhere")
    with pytest.raises(DatasetError, match=r"has no Cary_Grant, one of 1 people of pairsDevTest"):
        lfw.listing(place)
    (place / "elsewhere").rename(place / "lfw/Someone_Else")
    with pytest.raises(DatasetError, match=r"is no picture of LFW: expected NAME/NAME_0001.jpg"):
        lfw.listing(place)


@LFW
def test_a_list_that_is_no_list(bench, tmp_path):
    place = bench.unpack(tmp_path / "mine")
    (place / "pairsDevTest.txt").write_text("1\nCary_Grant 1 2\n")
    with pytest.raises(DatasetError, match=r"pairsDevTest.txt, line 2: 'Cary_Grant 1 2'"):
        lfw.listing(place)


@LFW
def test_aligned_by_points_that_are_found(bench, monkeypatch):
    """Nobody published landmarks: they are looked for; pictures without a face are left out."""
    import torch

    from facelab.recognition.align import TEMPLATES
    from facelab.recognition.mtcnn import Faces

    seen = []

    def detect(image):
        seen.append(image)
        count = 0 if len(seen) == 4 else 1  # Bo Diddley's only picture
        points = 2 * TEMPLATES["arcface112"].points_xy[None] + 10
        return Faces(torch.zeros(count, 4), points[:count], torch.ones(count))

    monkeypatch.setattr("facelab.recognition.mtcnn.detect", detect)
    output = bench.folder / "aligned"
    status, _, err = bench.run("--framing", "arcface112", "-o", output)
    assert status == 0, err
    faces = Shards(output)
    assert (len(faces), faces.people) == (7, 3)
    assert (output / "left_out.txt").read_text() == "Bo_Diddley/Bo_Diddley_0001.jpg\n"
    expected = (TEMPLATES["arcface112"].points_xy + 0.5) / 7 - 0.5
    torch.testing.assert_close(faces.column("label.landmarks5")[0], expected, rtol=0, atol=1e-4)
    assert "1 pictures in which no face was found are left out" in (output / "CARD.md").read_text()
