"""Public sets by name: the folder that was prepared, or one line that says how to have it."""

import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from facelab.data import sources
from facelab.data.base import FaceDataset
from facelab.data.by_attribute import ByAttribute
from facelab.data.domains import Domains
from facelab.data.folder import Folder
from facelab.data.mixture import Mixture
from facelab.data.public import home, table
from facelab.data.shards import OneSplit, Shards, write
from facelab.engine.commands import train
from facelab.errors import DatasetError, ParameterError, UserError
from facelab.images import save_image
from facelab.types import Batch


class Prepared(FaceDataset):
    """Twelve faces of six people: three for training, two to choose by, one to measure with."""

    split, people, attribute_names = "all", 6, ("Smiling",)
    identity = torch.arange(6).repeat_interleave(2)

    def __init__(self, name: str, size: int):
        self.id, self.size = name, size

    def config(self) -> dict:
        return {"set": self.id, "size": self.size}

    def batch(self, indices) -> Batch:
        found = torch.tensor(self.resolve(indices))
        images = (found.float() / 10 - 1)[:, None, None, None].expand(-1, 3, self.size, self.size)
        person = self.identity[found]
        return Batch(
            images.contiguous(),
            person,
            attributes=(found % 2 == 1)[:, None],
            labels={"split": torch.tensor([0, 0, 0, 1, 1, 2])[person].to(torch.uint8)},
        )


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A cache and a working directory with nothing in them."""
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def prepare(name: str, size: int = 8, framing: str = "centre") -> Path:
    return write(Prepared(name, size), home.place(name, size, framing), shard=5).folder


def refused(word: str, kind: type[UserError] = DatasetError, **options) -> str:
    with pytest.raises(kind) as caught:
        sources.open_dataset(word, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_name_is_the_training_split_at_the_size_that_is_asked_for():
    prepare("celeba", 8)
    prepare("celeba", 16)
    data = sources.open_dataset("celeba", size=8)
    assert isinstance(data, OneSplit)
    assert (data.split, data.size, len(data), data.people) == ("train", 8, 6, 3)
    assert data.identity.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.config() == {
        "recipe": "split-1", "of": {"set": "celeba", "size": 8}, "split": "train"
    }  # fmt: skip
    assert sources.open_dataset("celeba", size=16).size == 16
    assert sources.open_dataset("celeba@16", size=8).size == 16
    test = sources.open_dataset("celeba:test@16")
    assert (test.split, len(test), test.people, test.identity.tolist()) == ("test", 2, 1, [0, 0])
    assert test.batch([0]).images[0, 0, 0, 0] == pytest.approx(0, abs=0.01)
    assert len(sources.open_dataset("celeba:validation", size=8)) == 4
    whole = sources.open_dataset("celeba:all", size=8)
    assert isinstance(whole, Shards)
    assert (len(whole), whole.people) == (12, 6)


def test_a_framing_is_chosen_by_the_word_where_there_are_several():
    known = table.SETS["celeba"].framings
    assert {"centre", "book64"} <= {*known}
    prepare("celeba", 8, "book64")
    assert sources.open_dataset("celeba", size=8).size == 8
    assert len(sources.open_dataset("celeba/book64:all@8")) == 12
    prepare("celeba", 8, "centre")
    said = refused("celeba", size=8)
    assert said.startswith("celeba was prepared in several framings; say which one: celeba/")
    assert "celeba/centre@8" in said
    assert "celeba/book64@8" in said
    for framing in ("centre", "book64"):
        data = sources.open_dataset(f"celeba/{framing}:test@8")
        assert data.source.folder == home.place("celeba", 8, framing)


def test_what_is_not_prepared_names_the_script():
    assert refused("celeba", size=64) == (
        "celeba at 64 pixels isn't prepared here; run python data_scripts/celeba.py --size 64"
    )
    said = refused("celeba/book64:test@128")
    assert said.startswith("celeba/book64 at 128 pixels isn't prepared here; run python data_scr")
    assert said.endswith("--size 128 --framing book64")
    prepare("celeba", 16, "book64")
    prepare("lfw", 16)
    assert "isn't prepared here (it is as celeba/book64@16); run" in refused("celeba@8")
    prepare("celeba-wild", 8)
    said = refused("celeba-wild@64")
    assert "(it is as celeba-wild/centre@8)" in said
    assert said.endswith("run python data_scripts/celeba.py celeba-wild --size 64")
    assert "celeba-wild/" not in refused("celeba@8")


@pytest.mark.parametrize("name", list(table.SETS))
def test_every_set_has_a_word_and_the_script_that_it_names(name):
    said = refused(f"{name}@64")
    script = re.search(r"python (data_scripts/\w+\.py)", said)[1]
    assert (Path(__file__).parents[2] / script).is_file()
    prepare(name, 8, table.SETS[name].framings[0])
    assert len(sources.open_dataset(f"{name}:all@8")) == 12


def test_a_folder_that_is_not_finished_says_so():
    folder = home.place("celeba", 8, "centre")
    write(Prepared("celeba", 8), folder, shard=5, part=(2, 3))
    assert "is not finished: 1 of 3 files are there; call the command" in refused("celeba@8")


def test_sets_that_were_withdrawn_have_a_reason_and_an_alternative():
    for word, name in (("vggface2", "vggface2"), ("ms-celeb-1m:test@64", "ms-celeb-1m")):
        reason, alternative = table.WITHDRAWN[name]
        said = refused(word, ParameterError)
        assert said == f"{name} can't be had: {reason}; take {alternative}"


def test_a_folder_of_that_name_is_meant_when_it_is_written_as_a_path(elsewhere):
    for name in ("celeba", "vggface2", "celeba/img_align_celeba"):
        save_image(torch.zeros(1, 3, 8, 8), elsewhere / name / "x.png")
    assert refused("celeba", size=8).endswith(
        "; for the folder celeba that is here, write ./celeba"
    )
    assert refused("celeba:test@8").endswith("that is here, write ./celeba")
    assert refused("vggface2", ParameterError).endswith("here, write ./vggface2")
    prepare("celeba", 8)
    assert isinstance(sources.open_dataset("celeba", size=8), OneSplit)
    for word in ("./celeba", "./celeba@8", "celeba/", "./vggface2", str(elsewhere / "celeba")):
        assert isinstance(sources.open_dataset(word, size=8), Folder), word
    inner = sources.open_dataset("celeba/img_align_celeba")
    assert isinstance(inner, Folder)
    assert len(inner) == 1


def test_words_for_sets_stand_in_mixtures_and_before_to():
    prepare("celeba", 8)
    prepare("lfw", 8)
    mixed = sources.open_dataset("celeba,lfw:test", size=8)
    assert isinstance(mixed, Mixture)
    assert (len(mixed), mixed.people, mixed.attribute_names) == (8, 4, ("Smiling",))
    guided = sources.open_dataset("celeba:test@8:to:Smiling")
    assert isinstance(guided, ByAttribute)
    assert (guided.source.split, guided.attribute, guided.to) == ("test", "Smiling", True)
    assert [guided.rows.tolist(), guided.guided_rows.tolist()] == [[0], [1]]
    lost = sources.open_dataset("celeba:to:no-Smiling", size=8)
    assert (len(lost.rows), len(lost.guided_rows), lost.to) == (3, 3, False)


def test_three_words_are_domains(monkeypatch):
    class Three(Domains):
        def __init__(self, *parts):
            self.parts = parts

    monkeypatch.setattr("facelab.data.domains.Domains", Three)
    prepare("celeba", 8)
    three = sources.open_dataset("anny-faces:16x2x1+celeba:all+celeba:test@8", size=8).parts
    assert [len(part) for part in three[1:]] == [12, 2]


def test_a_packed_folder_is_opened_by_its_path_too(tmp_path):
    folder = write(Prepared("mine", 8), tmp_path / "mine-8", shard=5).folder
    assert isinstance(sources.open_dataset(str(folder)), Shards)
    test = sources.open_dataset(f"{folder}:test")
    assert (test.split, len(test), test.source.folder) == ("test", 2, folder)
    assert "names no data that there is; give anny-faces" in refused(
        f"{folder}:tests", ParameterError
    )


def test_pictures_beside_another_programs_index_are_pictures(tmp_path):
    save_image(torch.zeros(1, 3, 8, 8), tmp_path / "web" / "x.png")
    (tmp_path / "web" / "index.json").write_text("{}")
    assert isinstance(sources.open_dataset(str(tmp_path / "web")), Folder)


def test_help_says_how_a_set_is_named():
    text = " ".join(CliRunner().invoke(train, ["--help"]).output.split())
    assert "NAME[/FRAMING][:SPLIT][@SIZE]" in text
    assert "(a folder of that name is ./celeba)" in text
