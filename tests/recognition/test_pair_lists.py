"""Lists of pairs: both formats, and what each mistake in them is told."""

from pathlib import Path

import pytest

from facelab.errors import ImageError, UserError
from facelab.recognition.pair_lists import read_pairs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures a.jpg to f.jpg; nothing here opens them."""
    for name in "abcdef":
        (tmp_path / f"{name}.jpg").touch()
    return tmp_path


@pytest.fixture
def written(folder):
    def write(text: str | bytes, name: str = "pairs.csv") -> Path:
        path = folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def lfw(folder: Path, people: dict[str, int], ending: str = ".jpg") -> None:
    for name, count in people.items():
        (folder / name).mkdir()
        for index in range(1, count + 1):
            (folder / name / f"{name}_{index:04d}{ending}").touch()


# --- CSV -----------------------------------------------------------------------------------------


def test_a_csv_is_read_as_it_stands(folder, written):
    listed = read_pairs(written("a,b,same\na.jpg,b.jpg,1\na.jpg,c.jpg,0\nb.jpg,c.jpg,0\n"))
    assert listed.paths == tuple(folder / f"{name}.jpg" for name in "abc")
    assert listed.pictures == ((0, 1), (0, 2), (1, 2))
    assert listed.same == (True, False, False)
    assert listed.people == (0, 0, 1)
    assert listed.folds is None
    assert listed.contradictions == 0


@pytest.mark.parametrize(
    "text",
    [
        "same,who,b,a\n1,x,b.jpg,a.jpg\n0,y,c.jpg,a.jpg\n",
        "a;b;same\na.jpg;b.jpg;1\na.jpg;c.jpg;0\n",
        "\ufeffa,b,same\r\na.jpg,b.jpg,true\r\n\r\na.jpg,c.jpg,FALSE\r\n",
        ' A , B , Same \n "a.jpg", b.jpg , True \n a.jpg,c.jpg, False\n',
        '\n\na,b,same\n"a.jpg","b.jpg",1\n./a.jpg,sub/../c.jpg,0\n,,\n',
    ],
)
def test_spellings_of_one_csv(folder, written, text):
    if ' "a.jpg"' in text:  # a quote after a space is part of the field
        text = text.replace(' "a.jpg"', "a.jpg")
    listed = read_pairs(written(text))
    assert [path.name for path in listed.paths] == ["a.jpg", "b.jpg", "c.jpg"]
    assert listed.same == (True, False)


def test_pictures_may_lie_in_another_folder(folder, written, tmp_path_factory):
    other = tmp_path_factory.mktemp("list") / "pairs.csv"
    other.write_text(f"a,b,same\na.jpg,{folder / 'b.jpg'},1\n")
    assert read_pairs(other, folder).paths == (folder / "a.jpg", folder / "b.jpg")
    with pytest.raises(ImageError, match=r"a\.jpg does not exist"):
        read_pairs(other)


def test_people_are_those_whom_same_pairs_link(written):
    rows = ["f,a,0", "b,f,0", "c,a,1", "c,b,1", "d,e,1", "a,d,0"]
    rows = [",".join(f"{n}.jpg" for n in row[:3].split(",")) + row[3:] for row in rows]
    listed = read_pairs(written("a,b,same\n" + "\n".join(rows)))
    people = {path.stem: person for path, person in zip(listed.paths, listed.people, strict=True)}
    assert people["a"] == people["b"] == people["c"]
    assert people["d"] == people["e"]
    assert len({people["a"], people["d"], people["f"]}) == 3
    assert listed.contradictions == 0


def test_pairs_that_contradict_others_are_counted(written):
    text = "a,b,same\na.jpg,b.jpg,1\nb.jpg,c.jpg,1\na.jpg,c.jpg,0\nd.jpg,e.jpg,0\n"
    assert read_pairs(written(text)).contradictions == 1


def test_a_repeated_pair_is_kept(written):
    listed = read_pairs(written("a,b,same\na.jpg,b.jpg,1\nb.jpg,a.jpg,1\n"))
    assert listed.pictures == ((0, 1), (1, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "pairs.csv is empty"),
        (" \n\n", "pairs.csv is empty"),
        ("a,b,same\n", "has no pairs"),
        ("a.jpg,b.jpg,1\n", "line 1: no column 'a' and 'b' and 'same' among 'a.jpg, b.jpg, 1'"),
        ("a,b,label\na.jpg,b.jpg,1\n", "line 1: no column 'same' among 'a, b, label'"),
        ("a,b,same\na.jpg,b.jpg,1\na.jpg,c.jpg,maybe\n", "line 3: same is 'maybe'; expected 1 or"),
        ("a,b,same\na.jpg,b.jpg,\n", "line 2: same is ''"),
        ("a,b,same\na.jpg,b.jpg,2\n", "line 2: same is '2'"),
        ("a,b,same\na.jpg,b.jpg\n", "line 2: 2 fields where the first line has 3"),
        ("a,b,same\n,b.jpg,1\n", "line 2: a path is empty"),
        ("a,b,same\na.jpg,b.jpg,1\na.jpg,./a.jpg,1\n", "line 3: a.jpg is paired with itself"),
        ("a,b,same\na.jpg,b.jpg,1\nb.jpg,a.jpg,0\n", "of two people here but of one person in"),
        (b"a,b,same\n\xff\xfe,b.jpg,1\n", "not text in UTF-8"),
        ("a,b,same\n" + "x" * 200_000 + ",b.jpg,1\n", "line 2: not a line of a CSV"),
    ],
)
def test_mistakes_in_a_csv_name_the_line(written, text, message):
    with pytest.raises(UserError) as caught:
        read_pairs(written(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_pictures_name_line_and_file(folder, written):
    path = written("a,b,same\na.jpg,b.jpg,1\na.jpg,x.jpg,0\ny.jpg,x.jpg,0\nz.jpg,a.jpg,0\n")
    with pytest.raises(ImageError, match=r"line 3: .*x\.jpg does not exist, and neither do 2 more"):
        read_pairs(path)
    path = written(f"a,b,same\na.jpg,{'x' * 5000},1\n")
    with pytest.raises(ImageError, match=r"line 2: .* does not exist; paths are relative to"):
        read_pairs(path)


def test_a_list_or_a_folder_that_is_none(folder, written):
    with pytest.raises(UserError, match="can't be read"):
        read_pairs(folder / "nothing.csv")
    with pytest.raises(UserError, match="can't be read"):
        read_pairs(folder)
    with pytest.raises(UserError, match="is not a folder"):
        read_pairs(written("a,b,same\na.jpg,b.jpg,1\n"), folder / "a.jpg")


# --- LFW -----------------------------------------------------------------------------------------

TWO_FOLDS = (
    "2\t2\n"
    "Ann_Lee\t1\t2\nBo\t1\t2\nAnn_Lee\t1\tBo\t2\nAnn_Lee\t2\tBo\t1\n"
    "Cy\t1\t3\nDi\t1\t2\nCy\t1\tDi\t2\nCy\t2\tDi\t1\n"
)


@pytest.fixture
def faces(folder):
    lfw(folder, {"Ann_Lee": 2, "Bo": 2, "Cy": 3, "Di": 2})
    return folder


def test_lfw_pairs_have_folds_and_people(faces, written):
    listed = read_pairs(written(TWO_FOLDS, "pairs.txt"))
    assert listed.paths[:2] == tuple(faces / "Ann_Lee" / f"Ann_Lee_000{i}.jpg" for i in (1, 2))
    assert listed.same == (True, True, False, False) * 2
    assert listed.folds == (0, 0, 0, 0, 1, 1, 1, 1)
    names = {path.parent.name: listed.people[i] for i, path in enumerate(listed.paths)}
    assert names == {"Ann_Lee": 0, "Bo": 1, "Cy": 2, "Di": 3}
    for (a, b), same in zip(listed.pictures, listed.same, strict=True):
        assert (listed.people[a] == listed.people[b]) == same


def test_lfw_with_one_number_has_one_fold(faces, written):
    listed = read_pairs(written("1\nCy 2 3\nBo 1 Di 1\n", "pairsDevTest.txt"))
    assert listed.folds is None
    assert listed.same == (True, False)


def test_lfw_names_may_have_spaces_and_pictures_other_endings(folder, written):
    lfw(folder, {"Eve van Dam": 2, "Flo": 1}, ending=".png")
    listed = read_pairs(written("1\t1\nEve van Dam\t1\t2\nEve van Dam\t1\tFlo\t1\n", "pairs.txt"))
    assert [path.name for path in listed.paths] == [
        "Eve van Dam_0001.png",
        "Eve van Dam_0002.png",
        "Flo_0001.png",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 2\nBo 1 2\nBo 1 Cy 1\n", "has 2 pairs, but its first line says 2 x 2 x 2 = 8"),
        ("1 1 1\nBo 1 2\nBo 1 Cy 1\n", "line 1: '1 1 1'; expected the number of folds"),
        ("0\n", "line 1: '0'; expected"),
        ("1\nBo 1 Cy 1\nBo 1 2\n", "line 2: 'Bo 1 Cy 1'; expected 'NAME 1 2' here"),
        ("1\nBo 1 2\nBo one Cy 1\n", "line 3: 'Bo one Cy 1'; expected 'NAME 1 OTHER 2' here"),
        ("1\nBo 1 2\nCy 1 Cy 2\n", "line 3: 'Cy' stands on both sides"),
        ("1\nBo 1 1\nBo 1 Cy 1\n", "line 2: Bo_0001.jpg is paired with itself"),
    ],
)
def test_mistakes_in_lfws_list_name_the_line(faces, written, text, message):
    with pytest.raises(UserError) as caught:
        read_pairs(written(text, "pairs.txt"))
    assert message in str(caught.value)


def test_a_missing_picture_of_lfw(faces, written):
    with pytest.raises(ImageError, match=r"line 3: .*Bo_0009\.jpg does not exist"):
        read_pairs(written("1\nCy 1 2\nBo 9 Cy 1\n", "pairs.txt"))
