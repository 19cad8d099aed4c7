"""Folders of pictures, and datasets by a word."""

import pytest
import torch

from facelab.data import folder, sources
from facelab.data.anny_faces import AnnyFaces
from facelab.data.by_attribute import GUIDED, ByAttribute
from facelab.data.domains import Domains
from facelab.data.export import export
from facelab.data.folder import Folder, square
from facelab.data.mixture import Mixture
from facelab.data.packed import Packed, pack
from facelab.data.samples import Samples
from facelab.errors import DatasetError, ImageError, ParameterError
from facelab.images import from_uint8, save_image


def picture(level: int, height: int = 6, width: int = 6) -> torch.Tensor:
    return from_uint8(torch.full((height, width, 3), level, dtype=torch.uint8))


@pytest.fixture
def pictures(tmp_path):
    """Two people in folders of their own, and two pictures beside them."""
    for name, level in {
        "b/2.png": 20,
        "b/1.png": 10,
        "a/9.png": 90,
        "y.png": 1,
        "x.png": 2,
    }.items():
        save_image(picture(level), tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_pictures_come_by_name_and_folders_are_people(pictures):
    found = Folder(pictures, size=6)
    assert [path.relative_to(pictures).as_posix() for path in found.files] == [
        "a/9.png", "b/1.png", "b/2.png", "x.png", "y.png",
    ]  # fmt: skip
    assert found.identity.tolist() == [0, 1, 1, 2, 3]
    assert (found.people, len(found), found.id) == (4, 5, f"folder-{pictures.name}-6")
    batch = found.batch([2, 0])
    assert torch.equal(batch.images, torch.cat([picture(20), picture(90)]))
    assert batch.identity.tolist() == [1, 0]


def test_a_table_of_labels_says_who_is_who(tmp_path):
    export(AnnyFaces(16, 2, 3), tmp_path)
    assert Folder(tmp_path, 16).identity.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_middle_square_is_scaled():
    wide = torch.cat([picture(0, 4, 4), picture(200, 4, 4), picture(0, 4, 4)], dim=3)
    torch.testing.assert_close(square(wide, 2), picture(200, 2, 2))
    assert torch.equal(square(wide, 4), picture(200, 4, 4))
    tall = wide.transpose(2, 3)
    torch.testing.assert_close(square(tall, 8), picture(200, 8, 8))


def test_the_config_follows_names_and_lengths(pictures):
    before = Folder(pictures).config_hash
    assert Folder(pictures).config_hash == before
    assert Folder(pictures, 32).config_hash != before
    (pictures / "x.png").rename(pictures / "z.png")
    assert Folder(pictures).config_hash != before


def test_what_is_no_folder_of_pictures_is_named(tmp_path, pictures):
    with pytest.raises(DatasetError, match="is no folder; give a folder of pictures"):
        Folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"has no picture; it should have files like .bmp"):
        Folder(tmp_path / "empty")
    (pictures / "x.png").write_bytes(b"broken")
    with pytest.raises(ImageError, match=r"x.png is not a picture"):
        Folder(pictures).batch([3])
    assert ".png" in folder.ENDINGS


def test_a_word_names_a_dataset(pictures, tmp_path):
    anny = sources.open_dataset("anny-faces:16x3x2", seed=4)
    assert isinstance(anny, AnnyFaces)
    assert (anny.size, anny.people, len(anny), anny.split, anny.seed) == (16, 3, 6, "train", 4)
    assert sources.open_dataset("anny-faces", size=32).size == 32
    samples = sources.open_dataset("samples:7", seed=4)
    assert isinstance(samples, Samples)
    assert (len(samples), samples.split, samples.seed) == (7, "train", 4)
    assert sources.open_dataset(str(pictures), size=6).size == 6
    assert sources.open_dataset(f"{pictures}@5", size=6).size == 5
    packed = pack(anny, tmp_path / "x.facepack")
    found = sources.open_dataset(str(packed.path))
    assert isinstance(found, Packed)
    assert found.config_hash == anny.config_hash


@pytest.mark.parametrize("word", ["anny-faces:64", "sample", "nowhere/at/all", "samples:many"])
def test_a_word_that_names_nothing_lists_the_forms(word):
    with pytest.raises(ParameterError, match=r"names no data that there is; give anny-faces:SIZEx"):
        sources.open_dataset(word)


def test_words_with_commas_are_one_dataset(pictures, tmp_path):
    anny = sources.open_dataset("anny-faces:16x3x2", seed=4)
    packed = pack(anny, tmp_path / "x.facepack").path
    mixed = sources.open_dataset(f"{packed},anny-faces:16x2x1,{pictures}@16", seed=4)
    assert isinstance(mixed, Mixture)
    assert [type(part) for part in mixed.parts] == [Packed, AnnyFaces, Folder]
    assert [len(part) for part in mixed.parts] == [6, 2, 5]
    assert mixed.parts[1].seed == 4
    assert {part.size for part in mixed.parts} == {16}
    small = sources.open_dataset(f"{pictures},anny-faces", size=32)
    assert [part.size for part in small.parts] == [32, 32], "the size reaches every part"
    with pytest.raises(ParameterError, match="'nowhere' names no data that there is"):
        sources.open_dataset(f"{pictures},nowhere")
    with pytest.raises(DatasetError, match="faces of 5 pixels"):
        sources.open_dataset(f"{pictures},{pictures}@5")
    for word in (f"{pictures},", ",", f", {pictures}"):
        with pytest.raises(ParameterError, match="has a part without a name; give anny-faces"):
            sources.open_dataset(word)


def test_a_folder_may_have_a_comma_in_its_name(tmp_path):
    save_image(picture(3), tmp_path / "one,two" / "x.png")
    found = sources.open_dataset(str(tmp_path / "one,two"), size=6)
    assert isinstance(found, Folder)
    assert len(found) == 1


def test_a_comma_binds_closer_than_a_plus(pictures, monkeypatch):
    class Three(Domains):
        def __init__(self, *parts):
            self.parts = parts

    monkeypatch.setattr("facelab.data.domains.Domains", Three)
    renders, photos, pairs = sources.open_dataset(
        f"anny-faces:16x2x1,anny-faces:16x3x1+{pictures}@16+samples:4"
    ).parts
    assert isinstance(renders, Mixture)
    assert (renders.people, len(photos), len(pairs)) == (5, 5, 4)


def test_a_word_with_to_names_what_shall_change(tmp_path):
    word = "anny-faces:16x40x1"
    plain = sources.open_dataset(word, seed=4)
    gained = sources.open_dataset(f"{word}:to:Male", seed=4)
    lost = sources.open_dataset(f"{word}:to:no-Male", seed=4)
    assert isinstance(gained, ByAttribute)
    assert isinstance(gained.source, AnnyFaces)
    assert gained.source.config_hash == plain.config_hash
    assert (gained.attribute, gained.to) == ("Male", True)
    assert (lost.attribute, lost.to) == ("Male", False)
    assert torch.equal(gained.rows, lost.guided_rows)
    assert torch.equal(gained.guided_rows, lost.rows)
    some = gained.batch([0, 1])
    assert not some.attributes[:, plain.attribute("Male")].any()
    beside = gained.guided_rows[torch.tensor([13, 7919 + 13]) % len(gained.guided_rows)]
    assert torch.equal(some.labels[GUIDED], plain.batch(beside).images)
    assert plain.batch(beside).attributes[:, plain.attribute("Male")].all()
    with pytest.raises(ParameterError, match="has no attribute 'Malle'; it has: "):
        sources.open_dataset(f"{word}:to:Malle")
    with pytest.raises(ParameterError, match="'nowhere' names no data that there is"):
        sources.open_dataset("nowhere:to:Male")


def test_to_holds_for_all_parts(tmp_path):
    packed = pack(sources.open_dataset("anny-faces:16x6x1", seed=1), tmp_path / "x.facepack").path
    data = sources.open_dataset(f"{packed},anny-faces:16x9x1:to:no-Young", seed=2)
    assert isinstance(data, ByAttribute)
    assert isinstance(data.source, Mixture)
    assert (len(data.source), data.attribute, data.to) == (15, "Young", False)
    column = data.source.attribute("Young")
    labels = data.source.batch(range(15)).attributes[:, column]
    assert torch.equal(labels.nonzero()[:, 0], data.rows)
