"""CelebA's layout: every label where it belongs, and each mistake in its lists by name and line."""

import numpy as np
import pytest
import torch

from facelab.data.public import celeba
from facelab.data.public.pictures import Pictures
from facelab.data.shards import Shards
from facelab.errors import DatasetError
from facelab.recognition.align import TEMPLATES

CELEBA = pytest.mark.parametrize("set_name", ["celeba"])
WILD = pytest.mark.parametrize("set_name", ["celeba-wild"])


@CELEBA
def test_the_labels_are_those_of_the_lists(bench):
    assert bench.run()[0] == 0
    faces = Shards(bench.target)
    assert faces.people == 5
    # The people 2880, 7, 901, 15 and 33 by the order of their numbers.
    assert faces.identity.tolist() == [4, 0, 4, 0, 3, 3, 1, 1, 2]
    assert faces.attribute_names[0] == "5_o_Clock_Shadow"
    assert faces.attribute_names[-1] == "Young"
    looks = faces.column("attributes")
    expected = [[(row + column) % 3 == 0 for column in range(40)] for row in range(9)]
    assert looks.tolist() == expected
    # The square of 178 pixels begins at row 20: (113 - 20 + 0.5) 16 / 178 - 0.5 for the right eye.
    points = faces.column("label.landmarks5")
    scale = 16 / 178
    right_eye = torch.tensor([(106 + 3 + 0.5) * scale - 0.5, (113 - 20 + 0.5) * scale - 0.5])
    torch.testing.assert_close(points[3, 1], right_eye)
    validation = faces.only("validation")
    assert (len(validation), validation.people) == (2, 1)


@CELEBA
def test_the_pictures_are_the_files(bench, mini):
    """The middle square of the JPEG, to within what 8 bits round."""
    assert bench.run()[0] == 0
    listing = celeba.listing(bench.unpack(bench.folder / "mine"))
    direct = Pictures("celeba", listing, 16).batch([4]).images
    packed = Shards(bench.target).batch([4]).images
    torch.testing.assert_close(packed, direct, rtol=0, atol=1 / 255 + 1e-6)
    assert (bench.target / "files.txt").read_text().split() == list(mini.CELEBA_NAMES)


@WILD
def test_faces_in_the_wild_are_aligned_by_their_landmarks(bench, mini):
    """Pictures of several sizes: shift, turn and scale are the least squares' to the template."""
    assert bench.run()[0] == 0
    faces = Shards(bench.target)
    assert faces.config()["framing"] == "book64"
    target = (TEMPLATES["book64"].points_xy.numpy() + 0.5) / 4 - 0.5
    source = np.array(mini.CELEBA_POINTS) + 50
    rows = [row for x, y in source for row in ([x, -y, 1, 0], [y, x, 0, 1])]
    solved = np.linalg.lstsq(np.array(rows, float), target.reshape(-1), rcond=None)[0]
    expected = torch.from_numpy((np.array(rows) @ solved).reshape(5, 2)).float()
    found = faces.column("label.landmarks5")
    for moved in found:  # each picture's points are the same, moved to the right
        torch.testing.assert_close(moved, expected, rtol=0, atol=1e-3)


@WILD
def test_the_wild_pictures_can_t_be_fetched(bench, mini):
    script = mini.load(mini.SCRIPTS / "celeba.py")
    assert script.main(["celeba-wild", "--accept"]) == 2
    line = bench._capsys.readouterr().err.splitlines()[-1]
    for word in ("parts of a 7z archive", "7z x img_celeba.7z.001", "list_landmarks_celeba.txt"):
        assert word in line


@CELEBA
def test_a_copy_with_one_folder_more_is_read_too(bench, tmp_path):
    """As some copies have it: img_align_celeba/img_align_celeba/000001.jpg."""
    place = bench.unpack(tmp_path / "mine/inner")
    (place / "img_align_celeba").rename(place / "x")
    (place / "img_align_celeba").mkdir()
    (place / "x").rename(place / "img_align_celeba/img_align_celeba")
    assert len(celeba.listing(tmp_path / "mine")) == 9


@CELEBA
@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("list_attr_celeba.txt", "9\n", "10\n", r"9 rows, its first line says '10'"),
        ("list_attr_celeba.txt", " Young", "", "line 2: 39 names, expected 40"),
        ("list_attr_celeba.txt", "000003.jpg -1", "000003.jpg", "line 5: .*40 whole numbers"),
        ("identity_CelebA.txt", "000002.jpg 7\n", "", "8 rows and list_eval_partition.txt 9"),
        ("identity_CelebA.txt", "000002.jpg", "000020.jpg", "or other names"),
        ("list_landmarks_align_celeba.txt", "69 109", "69 1o9", "line 3: .*10 whole numbers"),
        ("list_eval_partition.txt", "000009.jpg 0", "000009.jpg 3", "a split is above 2"),
        ("list_eval_partition.txt", "000009.jpg", "000099.jpg", "identity_CelebA.txt has 9 rows"),
    ],
)
def test_lists_that_don_t_fit(bench, tmp_path, name, old, new, message):
    place = bench.unpack(tmp_path / "mine")
    text = (place / name).read_text()
    assert old in text
    (place / name).write_text(text.replace(old, new, 1))
    with pytest.raises(DatasetError, match=message):
        celeba.listing(place)


@CELEBA
@pytest.mark.parametrize(
    "name", ["img_align_celeba", "identity_CelebA.txt", "list_landmarks_align_celeba.txt"]
)
def test_what_is_missing_is_named(bench, tmp_path, name):
    place = bench.unpack(tmp_path / "mine")
    (place / name).rename(place / "elsewhere")
    with pytest.raises(DatasetError, match=f"has no {name}"):
        celeba.listing(place)


@CELEBA
def test_a_missing_picture_is_named(bench, tmp_path):
    place = bench.unpack(tmp_path / "mine")
    (place / "img_align_celeba/000005.jpg").unlink()
    with pytest.raises(DatasetError, match=r"000005.jpg is missing, one of 1 of 9 pictures"):
        celeba.listing(place)


def test_the_sizes_add_up():
    """The partition has a row of 14 bytes for each of the pictures, as published."""
    sizes = {file.name: file.size_bytes for file in celeba.CELEBA.files}
    assert sizes["list_eval_partition.txt"] == 14 * celeba.CELEBA.pictures
    assert np.isclose(sum(sizes.values()) / 1e9, 1.489, atol=1e-3)
