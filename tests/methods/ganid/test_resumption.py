"""A search that was interrupted ends bit by bit as if it had not been; other files are refused."""

import dataclasses
import json

import pytest
import safetensors.torch
import torch

from facelab.assets import cache, networks, read_source
from facelab.errors import AssetError, CheckpointError
from facelab.methods.ganid import cmaes, gradient, greedy, resumption
from facelab.methods.ganid.scoring import Scorer, Target
from facelab.methods.ganid.search import STRATEGIES, Settings, Trace, begin, passes

CONFIGS = {
    "greedy": greedy.Config(initial=60, per_pass=17, coarse_passes=5, beta_factor=0.8),
    "cmaes": cmaes.Config(initial=60, population=12),
    "gradient": gradient.Config(initial=12, starts=4, steps=5),
}
SETTINGS = Settings(400, threshold=0.0, seed=3)


@pytest.fixture
def target(scorer, random) -> Target:
    return Target("somebody", scorer.embed(torch.randn(3, 6, generator=random)), "patches")


def start(strategy, scorer, target, settings=SETTINGS):
    options = {"config": CONFIGS[strategy]} if strategy in CONFIGS else {}
    return begin(strategy, scorer, target, seed=settings.seed, **options)


def run(looking, trace, count=10_000, settings=SETTINGS) -> Trace:
    """Make at most so many passes."""
    for number, _ in enumerate(passes(looking, settings, trace), start=1):
        if number == count:
            break
    return trace


def fresh(scorer) -> Scorer:
    """A scorer that has drawn nothing, as in a new process."""
    return Scorer(scorer.generator, scorer.embedder, scorer.alignment)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


@pytest.fixture
def kept(path, scorer, target):
    """The state of a greedy search after three passes."""
    looking = start("greedy", scorer, target)
    trace = run(looking, Trace("greedy"), 3)
    resumption.save(path, looking, trace, SETTINGS)
    return path


@pytest.mark.parametrize("stops", [(1,), (2,), (7,), (3, 1, 4)])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_ends_as_if_it_had_not_been_interrupted(strategy, stops, scorer, target, path):
    whole = run(start(strategy, scorer, target), Trace(strategy))
    looking, trace = start(strategy, fresh(scorer), target), Trace(strategy)
    for count in stops:
        run(looking, trace, count)
        resumption.save(path, looking, trace, SETTINGS)
        looking = start(strategy, fresh(scorer), target)
        trace = resumption.load(path, looking, SETTINGS)
        assert trace.stopped_because is None
    run(looking, trace)
    assert trace.record() == whole.record()
    assert trace.curve == whole.curve
    assert all(torch.equal(a, b) for a, b in zip(trace.latents, whole.latents, strict=True))


def test_random_search_does_not_draw_again_what_is_behind_it(scorer, target, path):
    settings = Settings(1000, threshold=0.0, seed=3)
    looking = start("random", scorer, target, settings)
    trace = run(looking, Trace("random"), 3, settings)
    resumption.save(path, looking, trace, settings)
    again = fresh(scorer)
    second = start("random", again, target, settings)
    run(second, resumption.load(path, second, settings), settings=settings)
    assert again.evaluations == 250


def test_a_search_that_was_over_is_over(scorer, target, path):
    """Killed between its last pass and its results."""
    looking = start("greedy", scorer, target)
    resumption.save(path, looking, run(looking, Trace("greedy")), SETTINGS)
    second = start("greedy", fresh(scorer), target)
    trace = resumption.load(path, second, SETTINGS)
    assert list(passes(second, SETTINGS, trace)) == []
    assert (trace.evaluations, trace.stopped_because) == (400, "budget")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_was_noted_does_not_move_on(strategy, scorer, target, path):
    """Adam changes its tensors in place; an interrupted pass must not be in the file."""
    looking, trace = start(strategy, scorer, target), Trace(strategy)
    run(looking, trace, 4)
    keeper = resumption.Keeper(path, looking, SETTINGS)
    keeper.note(trace)
    expected = looking.next_pass(100)
    keeper.write()
    second = start(strategy, fresh(scorer), target)
    resumption.load(path, second, SETTINGS)
    again = second.next_pass(100)
    assert torch.equal(again.latents, expected.latents)
    assert torch.equal(again.distances, expected.distances)


def test_nothing_is_written_before_the_first_pass(scorer, target, path):
    resumption.Keeper(path, start("greedy", scorer, target), SETTINGS).write()
    assert not path.exists()


# --- other searches ------------------------------------------------------------------------------


def refused(path, looking, settings=SETTINGS) -> str:
    with pytest.raises(CheckpointError) as caught:
        resumption.load(path, looking, settings)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 500}, "of a search with budget 400, not 500; repeat the command as it was"),
        ({"threshold": 0.1}, "with threshold 0.0, not 0.1"),
        ({"threshold": None}, "with threshold 0.0, not None"),
        ({"seed": 4}, "with seed 3, not 4"),
    ],
)
def test_other_settings_are_named(change, message, kept, scorer, target):
    settings = dataclasses.replace(SETTINGS, **change)
    looking = start("greedy", scorer, target, settings)
    assert message in refused(kept, looking, settings)


def test_another_strategy_or_reading_is_named(kept, scorer, target):
    for name in ("random", "cmaes"):
        message = refused(kept, start(name, scorer, target))
        assert f"of a search with strategy greedy, not {name}" in message
    printed = dataclasses.replace(CONFIGS["greedy"], keep_best=False)
    looking = begin("greedy", scorer, target, seed=3, config=printed)
    assert "with keep_best True, not False" in refused(kept, looking)


def test_other_networks_are_named(kept, scorer, unseen, target, stripes, patches):
    strangers = dataclasses.replace(target, embedder="others")
    assert "embedder patches, not others" in refused(kept, start("greedy", unseen, strangers))
    landmarks = Scorer(stripes, patches, "landmarks")
    assert "alignment fixed, not landmarks" in refused(kept, start("greedy", landmarks, target))
    half = Scorer(stripes, patches, "fixed", half=True)
    assert "half precision False, not True" in refused(kept, start("greedy", half, target))
    stripes.gain.mul_(2)  # the same network, trained on
    assert "weights of the generator" in refused(kept, start("greedy", fresh(scorer), target))


def test_another_person_is_refused(kept, scorer, target, random):
    other = Target("another", scorer.embed(torch.randn(3, 6, generator=random)), "patches")
    message = refused(kept, start("greedy", scorer, other))
    assert "is of a search for other pictures than those of another" in message
    fewer = dataclasses.replace(target, embeddings=target.embeddings[:2])
    assert "other pictures" in refused(kept, start("greedy", scorer, fewer))
    near = dataclasses.replace(target, embeddings=target.embeddings + 1e-5)  # another machine
    assert resumption.load(kept, start("greedy", scorer, near), SETTINGS).evaluations == 94


# --- other files ---------------------------------------------------------------------------------


@pytest.fixture
def looking(scorer, target):
    return start("greedy", scorer, target)


def test_a_missing_file_is_refused(path, looking):
    assert "can't be read (No such file or directory)" in refused(path, looking)


@pytest.mark.parametrize("cut", [0, 5, 200, -1])
def test_a_damaged_file_is_refused(cut, kept, looking):
    kept.write_bytes(kept.read_bytes()[:cut])
    assert "is damaged, cut short or not a file of weights" in refused(kept, looking)


def test_a_pickle_is_never_run(path, looking, tmp_path):
    torch.save({"latents": [torch.nn.Linear(1, 1)]}, path)
    assert "is damaged, cut short or not a file of weights" in refused(path, looking)
    other = tmp_path / "state.pt"
    other.write_bytes(path.read_bytes())
    assert "holds code" in refused(other, looking)


def test_a_file_of_something_else_is_refused(path, looking, kept):
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    message = refused(path, looking)
    assert "of an unknown method, ganid-search expected; give a file that facelab search" in message
    networks.save_tensors(path, "ganid-latent", {"latent": torch.zeros(1, 6)}, generator="stripes")
    assert "of ganid-latent, ganid-search expected" in refused(path, looking)


@pytest.mark.parametrize("missing", ["latents", "state.numbers", "state.random", "target"])
def test_a_file_without_part_of_the_state_is_refused(missing, kept, looking):
    header = json.loads(read_source(kept))
    tensors = safetensors.torch.load_file(kept)
    del tensors[missing]
    networks.save_tensors(kept, header.pop("method"), tensors, **header)
    expected = "other pictures" if missing == "target" else "lacks part of the search's state"
    assert expected in refused(kept, looking)


def test_a_file_whose_header_is_no_search_is_refused(kept, looking):
    tensors = safetensors.torch.load_file(kept)
    networks.save_tensors(kept, resumption.METHOD, tensors, search=["greedy"])
    assert "with strategy None, not greedy" in refused(kept, looking)


def test_a_full_disk_keeps_the_state_before(kept, looking, monkeypatch):
    before = kept.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    trace = run(looking, Trace("greedy"), 5)
    monkeypatch.setattr(cache.os, "replace", full)
    with pytest.raises(AssetError, match="no space is left on the disk") as caught:
        resumption.save(kept, looking, trace, SETTINGS)
    assert len(str(caught.value).splitlines()) == 1
    assert kept.read_bytes() == before
    assert [p.name for p in kept.parent.iterdir()] == [kept.name]
