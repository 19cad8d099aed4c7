"""Files of directions: what is saved is read again, for its own checkpoint alone."""

import pickle

import pytest
import torch

from facelab.assets import cache, networks
from facelab.errors import AssetError, CheckpointError, ParameterError
from facelab.methods.d2ae import checkpoint, directions
from facelab.methods.d2ae.editing import Direction


@pytest.fixture
def ways():
    return [
        Direction("Smiling", "p", torch.tensor([0.6, 0.8, 0, 0, 0]), -0.25),
        Direction("Male", "t", torch.eye(5)[3], 2.0),
    ]


@pytest.fixture
def file(tmp_path, model, save):
    return save(tmp_path / "d2ae.safetensors", model)


def test_what_is_saved_is_read_again(tmp_path, ways, file):
    path = directions.beside(file)
    assert path == tmp_path / "d2ae.directions.safetensors"
    digest = directions.save(path, ways, file, cost=0.5)
    assert digest == cache.sha256(path)
    stored = directions.read_directions(path)
    assert stored.facts == {"cost": 0.5}
    assert stored.checkpoint_sha256 == cache.sha256(file)
    most = {way.name: float(way.vector.abs().max()) for way in ways}
    reaches = {"Smiling": 1.96 * 2 / most["Smiling"], "Male": 1.96 / most["Male"]}
    assert stored.reaches == pytest.approx(reaches)
    found = directions.load(path, file)
    assert list(found) == ["Smiling", "Male"]
    for way in ways:
        again = found[way.name]
        assert torch.equal(again.vector, way.vector)
        assert (again.name, again.branch, again.intercept) == (way.name, way.branch, way.intercept)


def test_directions_of_another_checkpoint(tmp_path, ways, file, model_of, save):
    path, other = directions.beside(file), save(tmp_path / "other.safetensors", model_of())
    directions.save(path, ways, file)
    with pytest.raises(CheckpointError, match=r"has directions of another checkpoint .* give that"):
        directions.load(path, other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "directions are of nothing; give one or more"),
        ([Direction("a", "p", torch.eye(5)[k]) for k in range(2)], "of a, a; give one or more"),
        ([Direction("a", "p", torch.eye(6)[0])], "'a' has 6 numbers and the code of branch 'p' 5"),
    ],
)
def test_what_is_not_saved(file, given, message):
    path = directions.beside(file)
    path.write_bytes(b"precious")
    with pytest.raises(ParameterError, match=message):
        directions.save(path, given, file)
    assert path.read_bytes() == b"precious"


def test_a_training_without_a_branch(tmp_path, model_of, save):
    alone = {"decode": False, "classify": False, "dispel": False}
    file = save(tmp_path / "x.safetensors", model_of(**alone))
    with pytest.raises(ParameterError, match="no branch P"):
        directions.save(directions.beside(file), [Direction("a", "p", torch.eye(5)[0])], file)
    directions.save(directions.beside(file), [Direction("a", "t", torch.eye(5)[0])], file)
    assert directions.read_directions(directions.beside(file)).reaches == {"a": 0}


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ["a"]},
        {"names": None},
        {"names": ["a", "a"]},
        {"branches": ["p", "x"]},
        {"checkpoint_sha256": ...},
        {"vectors": torch.ones(2, 5)},
        {"vectors": torch.ones(2)},
        {"vectors": ...},
        {"intercepts": torch.tensor([0, torch.inf])},
        {"reaches": torch.ones(3)},
        {"facts": [1]},
    ],
)
def test_files_that_do_not_hold_what_they_say(file, ways, changes):
    path = directions.beside(file)
    tensors = {"vectors": torch.eye(5)[:2], "intercepts": torch.zeros(2),
               "reaches": torch.ones(2)}  # fmt: skip
    header = {"names": ["a", "b"], "branches": ["p", "t"], "checkpoint_sha256": "0", "facts": {}}

    def write(changes):
        both = {k: v for k, v in (tensors | header | changes).items() if v is not ...}
        parts = [{k: v for k, v in both.items() if (k in tensors) == kind} for kind in (1, 0)]
        networks.save_tensors(path, directions.METHOD, parts[0], **parts[1])

    write({})
    assert list(directions.read_directions(path).directions) == ["a", "b"]
    write(changes)
    with pytest.raises(CheckpointError, match="does not hold the directions of its header"):
        directions.read_directions(path)


def test_files_of_others(tmp_path, file):
    path = tmp_path / "x.safetensors"
    with pytest.raises(CheckpointError, match="can't be read"):
        directions.read_directions(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="is damaged"):
        directions.read_directions(path)
    with pytest.raises(CheckpointError, match="is of d2ae, d2ae-directions expected; give a file"):
        directions.read_directions(file)
    pickled = tmp_path / "x.pt"
    pickled.write_bytes(pickle.dumps(print))
    with pytest.raises(CheckpointError, match=r"holds code .*, which facelab never runs"):
        directions.read_directions(pickled)


def test_those_of_the_shipped_file(tmp_path, monkeypatch, ways, file):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path)
    with pytest.raises(AssetError, match=r"so d2ae\.safetensors has no directions of attributes; "):
        directions.book()
    directions.save(directions.beside(file), ways, file)
    assert list(directions.book()) == ["Smiling", "Male"]
    file.unlink()
    with pytest.raises(AssetError, match="no checkpoint of d2ae is shipped yet; train one with"):
        directions.book()
