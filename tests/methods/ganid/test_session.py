"""A search in a folder: what is kept on the way, what is left at the end, what is never lost."""

import dataclasses
import errno
import json

import pytest
import torch
import torch.nn.functional as F

from facelab.assets import cache
from facelab.errors import AssetError, CheckpointError, ImageError, ParameterError
from facelab.generators import catalogue
from facelab.images import load_image, save_image
from facelab.methods.ganid import greedy, resumption, session, verdict
from facelab.methods.ganid.latent_file import load_latent
from facelab.methods.ganid.search import STRATEGIES, Settings
from facelab.methods.ganid.session import RESULTS, STATE, Order
from facelab.recognition import embedder as recognisers
from facelab.recognition.mtcnn import Faces

SETTINGS = Settings(1500, threshold=0.0, seed=2)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, stripes, patches):
    """The linear generator, recognisers of patches, no detector, a state after every pass."""
    none = Faces(torch.zeros(0, 4), torch.zeros(0, 5, 2), torch.zeros(0))

    def embedder(name, device):
        if name not in ("dlib", "faceres"):
            raise ParameterError(f"there is no recogniser called {name!r}")
        return type(patches)(name).eval()

    monkeypatch.setattr(catalogue, "generator", lambda name, device: stripes)
    monkeypatch.setattr(recognisers, "embedder", embedder)
    monkeypatch.setattr(verdict, "find_faces", lambda picture: none)
    monkeypatch.setattr(session, "KEEP_S", 0.0)


@pytest.fixture
def pictures(tmp_path, stripes, random):
    """Two aligned crops of one person: a generated face, and it with a little noise."""
    z = torch.randn(1, 6, generator=random)
    paths = tuple(tmp_path / name for name in ("one.png", "two.png"))
    for path, latent in zip(paths, (z, z + 0.05), strict=True):
        save_image(stripes(latent), path)
    return paths


@pytest.fixture
def order(tmp_path, pictures) -> Order:
    return Order(pictures, tmp_path / "out", SETTINGS, alignment="fixed", aligned=True)


def silent(doubt: str):
    raise AssertionError(f"nothing to warn of: {doubt}")


def finish(order: Order) -> dict:
    trace, facts = session.run(order, silent)
    assert trace.stopped_because is not None
    assert json.loads((order.output / "trace.json").read_text()) == facts
    return facts


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_leaves_four_files(strategy, order, stripes, scorer, pictures):
    order = dataclasses.replace(order, strategy=strategy, settings=Settings(300, 0.0, 2))
    facts = finish(order)
    assert names(order.output) == set(RESULTS)
    assert facts["strategy"] == strategy
    assert facts["evaluations"] == facts["budget"] == 300
    assert facts["stopped_because"] == "budget"
    assert facts["curve"][-1]["distance"] == pytest.approx(facts["best_distance"], abs=1e-6)
    assert (facts["target"], facts["pictures"], facts["seed"]) == ("one", 2, 2)
    assert (facts["generator"], facts["embedder"], facts["unseen_embedder"]) == (
        "stripes", "dlib", "faceres",
    )  # fmt: skip
    assert facts["distance_unseen_embedder"] is facts["distance_confirmed"] is None
    assert facts["same_person"] is facts["same_person_by_unseen"] is False
    best = load_latent(order.output / "latent.safetensors", stripes)
    face = stripes(best)
    faces = torch.cat([load_image(path) for path in pictures])
    distance = 2 - 2 * scorer.embed(best) @ scorer.embedder.embed(faces).mean(0)
    assert float(distance) == pytest.approx(facts["best_distance"], abs=2e-3)
    torch.testing.assert_close(load_image(order.output / "best.png"), face, rtol=0, atol=1 / 127)


def test_the_threshold_ends_a_search(order):
    low = finish(order)["curve"][1]
    settings = Settings(1500, low["distance"], 2)
    again = dataclasses.replace(order, settings=settings, output=order.output / "b")
    facts = finish(again)
    assert facts["stopped_because"] == "threshold"
    assert facts["threshold"] == low["distance"]
    assert facts["evaluations"] < 1500


def test_the_readings_are_told_apart(order):
    printed = dataclasses.replace(order, reading="printed", output=order.output / "p")
    assert finish(order)["config"] == dataclasses.asdict(greedy.CORRECTED)
    assert finish(printed)["config"] == dataclasses.asdict(greedy.PRINTED)


def test_a_reading_is_of_the_greedy_strategy(order):
    with pytest.raises(ParameterError, match="--reading is of Algorithm 1, and random is another"):
        dataclasses.replace(order, reading="printed", strategy="random")


def test_the_sheet_shows_the_target_above_the_improvements(random):
    pictures, steps = (torch.rand(n, 3, 64, 64, generator=random) for n in (2, 5))
    found = session.sheet(pictures, steps)
    assert found.shape == (1, 3, 2 * 64 + 2, 5 * 66 - 2)
    assert torch.equal(found[..., :64, :64], pictures[:1])
    assert torch.equal(found[..., 66:, 4 * 66 :], steps[4:])
    assert found[..., :64, 2 * 66 :].min() == 1
    large = F.interpolate(steps, scale_factor=2.0)
    assert session.sheet(pictures, large).shape == found.shape


def test_improvements_are_spaced_and_the_best_is_among_them():
    latents = [torch.tensor([[float(i)]]) for i in range(20)]
    chosen = [int(z) for z in session.spaced(latents)]
    assert len(chosen) == 7
    assert chosen == sorted(set(chosen))
    assert (chosen[0], chosen[-1]) == (0, 19)
    assert session.spaced(latents[:3]) == latents[:3]
    assert session.spaced(latents[:1]) == latents[:1]


# --- who judges ----------------------------------------------------------------------------------


def test_the_judge_is_another_embedder(order):
    other = dataclasses.replace(order, embedder="faceres")
    assert finish(other)["unseen_embedder"] == "dlib"
    with pytest.raises(ParameterError, match="dlib can't judge a search that it led"):
        session.run(dataclasses.replace(order, judge="dlib", output=order.output / "b"), silent)


def test_two_people_are_a_warning_with_the_distance(order, stripes, tmp_path):
    stranger = tmp_path / "stranger.png"
    save_image(stripes(torch.tensor([[8.0, -8, 8, -8, 8, -8]])), stranger)
    told = []
    order = dataclasses.replace(order, pictures=(*order.pictures, stranger))
    trace, _ = session.run(order, told.append)
    assert trace.stopped_because == "budget"
    (said,) = told
    target = torch.cat([load_image(path) for path in order.pictures])
    codes = recognisers.embedder("dlib", "cpu").embed(target)
    distances = (codes[:, None] - codes[None]).square().sum(2)
    far = float(distances.max())
    assert "stranger.png" in said
    assert f"are {far:.3f} apart, two people by dlib's threshold of 0.040" in said


def test_a_gpu_that_is_not_there_is_named(order, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="no NVIDIA GPU can be used here"):
        session.run(dataclasses.replace(order, device="cuda"), silent)


# --- folders -------------------------------------------------------------------------------------


def refused(kind: type, order: Order) -> str:
    before = {p: p.read_bytes() for p in order.output.parent.rglob("*") if p.is_file()}
    with pytest.raises(kind) as caught:
        session.run(order, silent)
    after = {p: p.read_bytes() for p in order.output.parent.rglob("*") if p.is_file()}
    assert after == before
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_folder_with_a_search_is_refused(order):
    finish(order)
    assert "best.png is of a finished search; give another folder" in refused(ParameterError, order)
    again = dataclasses.replace(order, resume=True)
    assert "is of a finished search; give another folder" in refused(ParameterError, again)


@pytest.mark.parametrize("name", RESULTS)
def test_no_file_that_was_there_is_replaced(name, order):
    order.output.mkdir()
    (order.output / name).write_text("mine")
    assert f"{name} is of a finished search" in refused(ParameterError, order)


def test_a_folder_without_a_search_cannot_be_resumed(order):
    again = dataclasses.replace(order, resume=True)
    assert "has no search to go on with; leave --resume out" in refused(ParameterError, again)


def test_a_file_is_no_folder(order, pictures):
    on_file = dataclasses.replace(order, output=pictures[0])
    assert "one.png is a file; give a folder" in refused(ParameterError, on_file)
    below = dataclasses.replace(order, output=pictures[0] / "out")
    assert "can't be written" in refused(AssetError, below)


def test_a_missing_picture_is_named(order, tmp_path):
    bad = dataclasses.replace(order, pictures=(tmp_path / "none.png",))
    assert "none.png does not exist" in refused(ImageError, bad)
    assert not order.output.exists()


# --- interruptions -------------------------------------------------------------------------------


def interrupt(monkeypatch, stripes, after: int, kind: type = KeyboardInterrupt) -> None:
    """Raise in the middle of a pass: when so many faces have been drawn."""
    drawn, original = [], type(stripes).synthesis

    def draw(w):
        drawn.append(len(w))
        if sum(drawn) > after:
            monkeypatch.setattr(stripes, "synthesis", lambda w: original(stripes, w))
            raise kind
        return original(stripes, w)

    monkeypatch.setattr(stripes, "synthesis", draw)


class Killed(BaseException):
    """Nothing catches it: what is on disk by then is all there is."""


@pytest.mark.parametrize("after", [1010, 1310])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, Killed])
def test_an_interrupted_search_ends_as_if_it_had_not_been(after, kind, order, monkeypatch, stripes):
    whole = finish(dataclasses.replace(order, output=order.output / "whole"))
    interrupt(monkeypatch, stripes, after, kind)
    if kind is Killed:
        with pytest.raises(Killed):
            session.run(order, silent)
    else:
        trace, facts = session.run(order, silent)
        assert facts is None
        assert trace.evaluations == after // 100 * 100
    assert names(order.output) == {STATE, "whole"}
    assert "has a search that was interrupted; go on with --resume" in refused(
        ParameterError, order
    )
    assert finish(dataclasses.replace(order, resume=True)) == whole
    assert names(order.output) == {*RESULTS, "whole"}


def test_ctrl_c_writes_what_was_not_written_yet(order, monkeypatch, stripes):
    whole = finish(dataclasses.replace(order, output=order.output / "whole"))
    monkeypatch.setattr(session, "KEEP_S", 3600.0)
    interrupt(monkeypatch, stripes, 1310)
    trace, _ = session.run(order, silent)
    assert trace.evaluations == 1300
    assert finish(dataclasses.replace(order, resume=True)) == whole


def test_an_interruption_before_the_first_pass_leaves_no_state(order, monkeypatch, stripes):
    interrupt(monkeypatch, stripes, 100)
    trace, facts = session.run(order, silent)
    assert (trace.evaluations, facts) == (0, None)
    assert names(order.output) == set()
    assert finish(order)["evaluations"] == 1500


def test_other_settings_are_refused_on_resuming(order, monkeypatch, stripes):
    interrupt(monkeypatch, stripes, 1200)
    session.run(order, silent)
    again = dataclasses.replace(order, resume=True)
    for change, said in (
        ({"settings": Settings(1500, 0.0, 3)}, "with seed 2, not 3"),
        ({"settings": Settings(1600, 0.0, 2)}, "with budget 1500, not 1600"),
        ({"strategy": "gradient"}, "with strategy greedy, not gradient"),
        ({"reading": "printed"}, "with per_pass 100, not 1000"),
        ({"embedder": "faceres"}, "with embedder dlib, not faceres"),
        ({"pictures": order.pictures[:1]}, "other pictures than those of one"),
    ):
        assert said in refused(CheckpointError, dataclasses.replace(again, **change))


def test_a_foreign_state_is_refused(order):
    order.output.mkdir()
    (order.output / STATE).write_text("notes")
    message = refused(CheckpointError, dataclasses.replace(order, resume=True))
    assert "is damaged, cut short or not a file of weights" in message


def full_for(monkeypatch, name: str) -> None:
    """Let there be no room for one file."""
    original = cache.write_beside

    def write(path, data):
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, data)

    monkeypatch.setattr(cache, "write_beside", write)


def test_a_full_disk_at_the_end_loses_nothing(order, monkeypatch):
    whole = finish(dataclasses.replace(order, output=order.output / "whole"))
    with monkeypatch.context() as patched:
        full_for(patched, "trace.json")
        with pytest.raises(AssetError, match=r"trace\.json: no space is left on the disk") as said:
            session.run(order, silent)
    assert len(str(said.value).splitlines()) == 1
    assert STATE in names(order.output)
    assert "trace.json" not in names(order.output)
    assert finish(dataclasses.replace(order, resume=True)) == whole


def test_a_full_disk_on_the_way_is_said(order, monkeypatch):
    full_for(monkeypatch, STATE)
    with pytest.raises(AssetError, match="no space is left on the disk"):
        session.run(order, silent)
    assert names(order.output) == set()


def test_what_a_killed_writer_left_is_swept(order):
    order.output.mkdir()
    (order.output / f".{STATE}.123-4").write_text("half a state")
    finish(order)
    assert names(order.output) == set(RESULTS)


def test_the_state_is_written_now_and_then(order, monkeypatch):
    """Every pass here, where five seconds have become none; else at the end alone."""
    written = []
    original = resumption.Keeper.write
    monkeypatch.setattr(
        resumption.Keeper, "write", lambda keeper: (written.append(1), original(keeper))[1]
    )
    finish(order)
    assert len(written) == 6 + 1
    monkeypatch.setattr(session, "KEEP_S", 3600.0)
    finish(dataclasses.replace(order, output=order.output / "b"))
    assert len(written) == 7 + 1
