"""The sets of the recognition experiment: what each training is made of, and what is refused."""

import pytest
import torch

from facelab.data.base import FaceDataset
from facelab.data.ganfaces import GanFaces
from facelab.data.packed import Packed
from facelab.errors import DatasetError, ParameterError
from facelab.methods.ganfaces import recognition_gain, writer
from facelab.methods.ganfaces.recognition_gain import Sets, Sizes, build
from facelab.types import Batch


class Noise(FaceDataset):
    """Pictures of noise, which follow from the seed and their number."""

    split, attribute_names = "train", ()

    def __init__(self, people: int, views: int, seed: int, size: int = 64):
        self.id, self.people, self.size, self.seed = f"noise-{seed}", people, size, seed
        self.identity = torch.arange(people).repeat_interleave(views)

    def config(self):
        return {"id": self.id, "people": self.people, "faces": len(self)}

    def batch(self, indices):
        rows = self.resolve(indices)
        return Batch(torch.stack([self._drawn(row) for row in rows]), self.identity[rows])

    def _drawn(self, row):
        random = torch.Generator().manual_seed(1000 * self.seed + row)
        return torch.rand(3, self.size, self.size, generator=random) * 2 - 1


@pytest.fixture
def sets() -> Sets:
    return Sets(
        Noise(10, 3, 1), Noise(4, 2, 2), {"renders": Noise(6, 2, 3), "generated": Noise(6, 2, 4)}
    )


def test_a_training_has_its_share_of_the_base_and_then_those_added(sets):
    alone = sets.training(0.5, "none", seed=1)
    assert (alone.people, len(alone)) == (5, 15)
    for added in ("renders", "generated"):
        more = sets.training(0.5, added, seed=1)
        assert (more.people, more.first, len(more)) == (11, (0, 5), 27)
        # The same base people first, under the same numbers.
        assert torch.equal(more.batch(range(15)).images, alone.batch(range(15)).images)
        assert torch.equal(more.identity[:15], alone.identity)
        theirs = more.batch(range(15, 27))
        assert torch.equal(theirs.images, sets.added[added].batch(range(12)).images)
        assert torch.equal(theirs.identity, sets.added[added].identity + 5)
    assert sets.training(0.5, "none", seed=2).config_hash != alone.config_hash
    assert sets.training(1.0, "none", seed=2).people == 10


def test_a_small_base_is_met_as_often_as_those_added(sets):
    balanced = sets.training(0.2, "renders", 0)  # 6 faces of the base, 12 others
    assert (balanced.people, len(balanced)) == (8, 24)
    assert int((balanced.identity < 2).sum()) == 12
    plain = sets.training(0.2, "renders", 0, balanced=False)
    assert (plain.people, len(plain), int((plain.identity < 2).sum())) == (8, 18, 6)
    # A base that is larger than what is added is not repeated.
    assert len(sets.training(1.0, "renders", 0)) == 30 + 12
    assert len(sets.training(0.2, "none", 0)) == 6


@pytest.mark.parametrize("name", ["base", "renders", "generated"])
def test_a_held_out_face_in_a_training_set_is_refused(sets, name):
    held_out, same = Noise(4, 2, 2), Noise(5, 1, 2)  # of one seed: faces 0 to 4 are the same
    parts = {"base": sets.base, **sets.added, name: same}
    base = parts.pop("base")
    with pytest.raises(DatasetError, match=f"5 held-out faces are in the {name} set too"):
        Sets(base, held_out, parts)


def test_what_can_not_be_is_named(sets):
    with pytest.raises(ParameterError, match="'photos' can't be added; choose one of: none, rend"):
        sets.training(1.0, "photos", 0)
    with pytest.raises(ParameterError, match=r"'renders' can't be added; choose one of: none$"):
        Sets(sets.base, sets.held_out).training(1.0, "renders", 0)
    with pytest.raises(DatasetError, match="faces of 64 pixels, noise-1 has them of 32"):
        Sets(Noise(3, 2, 1, size=32), sets.held_out)
    with pytest.raises(ParameterError, match="held_out_views is 1; give 2 or more"):
        Sizes(held_out_views=1)


class Renders(Noise):
    """Noise with all that the writer keeps of a render."""

    def __init__(self, size, identities, views, seed, *, device="cpu"):
        super().__init__(identities, views, 50 + seed, size)

    def batch(self, indices):
        plain = super().batch(indices)
        rows = torch.tensor(self.resolve(indices)).float()
        labels = dict.fromkeys(writer.LABELS, rows)
        return Batch(plain.images, plain.identity, labels=labels)


@pytest.fixture
def quick(monkeypatch):
    """Noise in place of renders and of the generator's people; `drawn` says what was made."""
    drawn = []

    def people(sizes, split):
        drawn.append(split)
        base = split == "train"
        count = sizes.base_people if base else sizes.held_out_people
        return Noise(count, 2, 1 if base else 2)

    monkeypatch.setattr(writer, "renders", Renders)
    monkeypatch.setattr(GanFaces, "renders", lambda self: Renders(64, 3, 2, 0))
    monkeypatch.setattr(recognition_gain, "photo_people", people)
    return drawn


SMALL = Sizes(base_people=4, held_out_people=3, added_people=3, added_views=2)


def test_all_sets_are_made_once_and_kept(tmp_path, weights, quick):
    told = []
    made = build(SMALL, tmp_path, weights, progress=lambda name, done: told.append((name, done)))
    assert quick == ["train", "test"]
    assert {"base": 8, "held out": 6, "generated": 6, "renders": 6}.items() <= dict(told).items()
    assert (made.base.people, made.held_out.people) == (4, 3)
    assert isinstance(made.base, Packed)
    renders, generated = made.added["renders"], made.added["generated"]
    assert torch.equal(renders.identity, generated.identity)
    assert not torch.equal(renders.batch([0]).images, generated.batch([0]).images)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.facepack")}
    assert len(before) == 4
    again = build(SMALL, tmp_path, weights)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.facepack")} == before
    for added in ("none", "renders", "generated"):
        a, b = (sets.training(0.5, added, 0).config_hash for sets in (made, again))
        assert a == b


def test_ones_own_people_take_the_place_of_the_generators(tmp_path, weights, quick):
    own = Noise(9, 3, 7)
    made = build(SMALL, tmp_path, weights, own)
    assert quick == []
    assert (made.base.people, made.held_out.people) == (6, 3)
    assert not set(made.base.chosen) & set(made.held_out.chosen)
    assert made.training(1.0, "generated", 0).people == 9
