"""From picture files to a folder of results: the four changes, with judges of random weights."""

import dataclasses
import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelab.assets import cache, networks
from facelab.errors import (
    AssetError,
    CheckpointError,
    FaceCountError,
    ImageError,
    ParameterError,
    UserError,
)
from facelab.images import load_image, save_image
from facelab.methods.d2ae import checkpoint, directions, editing, session
from facelab.methods.d2ae.editing import Direction
from facelab.methods.d2ae.session import Order
from facelab.methods.idmap import evaluation
from facelab.recognition.align import align, reframe
from facelab.recognition.embedder import Embedder
from facelab.recognition.face_readers import TINY, AttributeClassifier, LandmarkJudge
from facelab.recognition.pictures import template_of_size

LEVEL = 2 / 255
VERBS = ("swap", "edit", "interpolate", "reconstruct")


class Recogniser(Embedder):
    """A random recogniser of 64 pixels, whose faces lie as the book's do."""

    id, size, template, threshold, threshold_squared = "judge", 64, "book64", 0.5, 1.0

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 8 * 8, 6)

    def forward(self, images):
        self.require_size(images)
        return self.layer(F.adaptive_avg_pool2d(images, 8).flatten(1))


@pytest.fixture(autouse=True)
def judge(monkeypatch, seeded):
    """Puts random networks in place of those who judge; returns who judges identity."""
    found = seeded(Recogniser, 3).eval().requires_grad_(False)
    points = seeded(lambda: LandmarkJudge(TINY), 1).eval()
    nn.init.normal_(points.head.weight, 0, 20, generator=torch.Generator().manual_seed(2))
    names = ("Bangs", "Smiling")
    attributes = seeded(lambda: AttributeClassifier(names, TINY), 4).eval().requires_grad_(False)
    for part in attributes.modules():  # weights that keep variances, or it would see nothing
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, generator=torch.Generator().manual_seed(6))
    asked = []
    monkeypatch.setattr(session, "find_embedder", lambda name: asked.append(name) or found)
    monkeypatch.setattr(session, "landmark_judge", lambda: points)
    monkeypatch.setattr(session, "attribute_judge", lambda: attributes)
    yield found
    assert set(asked) <= {"faceres"}


@pytest.fixture
def model(vivid):
    return vivid


@pytest.fixture
def file(tmp_path, model, save) -> Path:
    """A checkpoint of random weights, with directions beside it."""
    path = save(tmp_path / "weights/d2ae.safetensors", model)
    branches = {"Smiling": "p", "Halo": "p", "Male": "t"}
    ways = [Direction(name, branches[name], torch.eye(5)[k]) for k, name in enumerate(branches)]
    directions.save(directions.beside(path), ways, path)
    return path


@pytest.fixture
def order(tmp_path, file):
    """Makes an order for aligned faces."""
    return lambda **options: Order(
        **{"output": tmp_path / "out", "checkpoint": file, "aligned": True} | options
    )


@pytest.fixture
def face(tmp_path, batch):
    """Writes an aligned face of noise."""
    return lambda name, number=0: save_image(batch.images[[number]], tmp_path / "faces" / name)


@pytest.fixture
def call(order):
    """Runs a verb on two pictures."""

    def go(verb, first, second, **options):
        chosen = order(**options)
        return {
            "swap": lambda: session.swap(chosen, [first], [second]),
            "edit": lambda: session.edit(chosen, [first, second], {"Smiling": 0.5}),
            "interpolate": lambda: session.interpolate(chosen, first, second, steps=3),
            "reconstruct": lambda: session.reconstruct(chosen, [first, second]),
        }[verb]()

    return go


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def close(a, b, levels=1):
    torch.testing.assert_close(a, b, rtol=0, atol=levels * LEVEL)


def look(images, judge):
    return evaluation.read(images, judge, points=session.landmark_judge())


def kept(before, after):
    pose = (before.angles_rad - after.angles_rad).rad2deg().norm()
    marks = (before.landmarks - after.landmarks)[:, 17:].norm(dim=2).mean() / 64
    return {
        "pose_error_deg": pytest.approx(float(pose), abs=0.01),
        "landmark_error": pytest.approx(float(marks), abs=1e-5),
    }


def likeness(name, a, b, threshold=1.0):
    cosine = float((a.embeddings * b.embeddings).sum())
    return {
        f"identity_cosine_to_{name}": pytest.approx(cosine, abs=1e-4),
        f"verified_as_{name}": 2 - 2 * cosine < threshold,
    }


# --- what is written -----------------------------------------------------------------------------


def test_a_swap_has_identity_of_one_and_all_else_of_the_other(order, face, tmp_path, file, judge):
    who, how = face("who.png"), [face(f"{n}.png", n) for n in (1, 2)]
    report = session.swap(order(), [who], how)
    out, model, identity = tmp_path / "out", checkpoint.load(file), load_image(who)
    assert names(out) == ["1.png", "2.png", "disentangle.json", "sheet.png"]
    for path, row in zip(how, report.rows, strict=True):
        image = load_image(path)
        made = model.swap(identity, image)
        close(load_image(out / path.name), made)
        assert (made - model.swap(image, identity)).abs().max() > 2 * LEVEL, "whose is whose"
        seen = [look(x, judge) for x in (identity, image, made)]
        assert row == {
            "source": str(path),
            "file": str(out / path.name),
            "box": [-0.5, -0.5, 15.5, 15.5],
            **likeness("identity", seen[0], seen[2]),
            **likeness("attributes", seen[1], seen[2]),
            **kept(seen[1], seen[2]),
        }
    assert load_image(out / "sheet.png").shape == (1, 3, 2 * 192 + 24, 3 * 192 + 48)


def test_several_pictures_of_a_person_give_their_mean(order, face, tmp_path, file, judge):
    who, how = [face(f"{n}.png", n) for n in range(3)], face("how.png", 3)
    judge.threshold_squared = 4.1
    report = session.swap(order(), who, [how])
    model, faces = checkpoint.load(file), torch.cat([load_image(path) for path in who])
    t = model.features(faces).t.mean(0, keepdim=True)
    close(load_image(tmp_path / "out/how.png"), model.decode(t, model.features(load_image(how)).p))
    assert report.about["warnings"] == []
    judge.threshold_squared = 0.0
    report = session.swap(order(overwrite=True), who, [how])
    (doubt,) = report.about["warnings"]
    assert "two people by judge's threshold of 0.000; the faces will be of somebody" in doubt
    rows = look(faces, judge).embeddings
    farthest = max(float((a - b).square().sum()) for a in rows for b in rows)
    assert report.about["identity"] == {
        "pictures": [str(path) for path in who],
        "farthest_distance": pytest.approx(farthest, abs=1e-4),
    }


def test_an_edit_and_what_the_attribute_judge_sees(order, face, tmp_path, file, judge):
    path, strengths = face("a.png"), {"Smiling": 0.5, "Halo": -1.0, "Male": 1.0}
    (row,) = session.edit(order(), [path], strengths).rows
    model, image = checkpoint.load(file), load_image(path)
    ways = directions.load(directions.beside(file), file)
    made = editing.edited(model, image, strengths, ways)
    assert (made - model(image)).abs().max() > 2 * LEVEL
    close(load_image(tmp_path / "out/a.png"), made)
    large = [reframe(x, "book64", "book64") for x in (image, made)]
    before, after = (float(session.attribute_judge()(x)[0, 1]) for x in large)
    assert row["judged"]["Halo"] is None
    assert row["judged"]["Smiling"]["before"] == pytest.approx(before, abs=1e-3)
    assert row["judged"]["Smiling"]["after"] == pytest.approx(after, abs=1e-3)
    assert before != pytest.approx(after, abs=2e-3)
    seen = [look(x, judge) for x in (image, made)]
    expected = likeness("input", *seen) | kept(*seen)
    assert {key: row[key] for key in expected} == expected
    about = json.loads((tmp_path / "out/disentangle.json").read_text())
    assert (about["verb"], about["strengths"]) == ("edit", strengths)
    assert about["directions_sha256"] == cache.sha256(directions.beside(file))
    assert about["attributes"] == "attribute_judge"


def test_a_way_from_one_face_to_the_other(order, face, tmp_path, file, judge):
    start, end = face("a.png"), face("b.png", 1)
    report = session.interpolate(order(), start, end, "attributes", 3)
    out, pair = tmp_path / "out", [load_image(path) for path in (start, end)]
    assert names(out) == [
        "disentangle.json", "frame-00.png", "frame-01.png", "frame-02.png", "sheet.png",
    ]  # fmt: skip
    frames = editing.interpolated(checkpoint.load(file), *pair, 3, "attributes").split(1)
    ends = [look(x, judge) for x in pair]
    for k, (row, frame) in enumerate(zip(report.rows, frames, strict=True)):
        close(load_image(out / f"frame-{k:02}.png"), frame)
        seen = look(frame, judge)
        assert row["share"] == k / 2
        expected = {
            **likeness("start", ends[0], seen),
            **likeness("end", ends[1], seen),
            **kept(ends[0], seen),
        }
        assert {key: row[key] for key in expected} == expected
    sheet = load_image(out / "sheet.png")
    assert sheet.shape == (1, 3, 192, 5 * 192 + 4 * 24)
    for column, wanted in enumerate((pair[0], *frames, pair[1])):
        cell = sheet[..., column * 216 : column * 216 + 192]
        close(F.interpolate(cell, (16, 16), mode="area"), wanted)
    assert {report.about[key] for key in ("start", "end")} == {str(start), str(end)}
    assert report.about["branch"] == "attributes"


def test_what_both_codes_hold(order, face, tmp_path, file, judge):
    path = face("a.png", 2)
    (row,) = session.reconstruct(order(), [path]).rows
    image = load_image(path)
    made = checkpoint.load(file)(image)
    close(load_image(tmp_path / "out/a.png"), made)
    error = float((made - image).square().mean())
    seen = [look(x, judge) for x in (image, made)]
    assert row == {
        "source": str(path),
        "file": str(tmp_path / "out/a.png"),
        "box": [-0.5, -0.5, 15.5, 15.5],
        "psnr_db": pytest.approx(10 * torch.tensor(4 / error).log10().item(), abs=1e-3),
        **likeness("input", *seen),
        **kept(*seen),
    }


def test_the_noise_of_pictures_that_are_one():
    a = torch.zeros(1, 3, 2, 2)
    assert session.psnr_db(a, a) is None
    assert session.psnr_db(a + 0.2, a) == pytest.approx(20)


@pytest.mark.parametrize("verb", VERBS)
def test_the_record_says_by_whom(call, face, file, tmp_path, verb):
    report = call(verb, face("a.png"), face("b.png", 1))
    assert json.loads((tmp_path / "out/disentangle.json").read_text()) == report.facts()
    expected = {
        "verb": verb,
        "checkpoint": "d2ae",
        "checkpoint_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "judge": "judge",
        "threshold_same_person": 1.0,
        "pose": "pose_regressor",
        "landmarks": "landmark_judge",
        "warnings": [],
    }
    assert {key: report.about[key] for key in expected} == expected


@pytest.mark.parametrize(("threshold", "known"), [(0.0, False), (4.1, True)])
def test_verified_is_below_the_judges_threshold(call, face, judge, threshold, known):
    judge.threshold_squared = threshold
    (row,) = call("swap", face("who.png"), face("how.png", 1)).rows
    assert (row["verified_as_identity"], row["verified_as_attributes"]) == (known, known)


def test_a_step_is_named(model, tmp_path):
    path = tmp_path / "x.safetensors"
    networks.save(path, "d2ae", model, step=12345, config=dataclasses.asdict(model.config))
    assert session.load_judged(path).facts()["checkpoint"] == "d2ae, step 12,345"


# --- photographs ---------------------------------------------------------------------------------


def test_a_photographs_face_is_found_and_aligned(call, photograph, tmp_path, file):
    who, how = photograph("who.png"), photograph("how.png", seed=1)
    (row,) = call("swap", who, how, aligned=False).rows
    template = template_of_size("book64", 16)
    crops = [crop(path, template) for path in (who, how)]
    close(load_image(tmp_path / "out/how.png"), checkpoint.load(file).swap(*crops))
    assert row["box"] == [30.0, 20.0, 85.0, 80.0]


def crop(path, template):
    """The face of a photograph, as the faked detector finds it."""
    full = template_of_size("book64", 64)
    points = (full.points_xy * 1.2 + torch.tensor([20.0, 6.0]))[None]
    return align(load_image(path), points, template)


@pytest.mark.parametrize("verb", ["swap", "edit", "reconstruct"])
def test_what_can_not_be_used_is_listed_and_the_rest_is_done(order, photograph, tmp_path, verb):
    broken, who = tmp_path / "photographs/broken.png", photograph("who.png")
    given = [photograph("none.png", 0), photograph("a.png", seed=1), broken,
             photograph("two.png", 2), tmp_path / "nowhere.png"]  # fmt: skip
    broken.write_bytes(b"broken")
    chosen = order(aligned=False)
    report = {
        "swap": lambda: session.swap(chosen, [who], given),
        "edit": lambda: session.edit(chosen, given, {"Smiling": 1}),
        "reconstruct": lambda: session.reconstruct(chosen, given),
    }[verb]()
    assert names(tmp_path / "out") == ["a.png", "disentangle.json", "sheet.png"]
    assert [(os.path.basename(f.path), f.error) for f in report.failures] == [
        ("none.png", "FaceCountError"), ("broken.png", "ImageError"),
        ("two.png", "FaceCountError"), ("nowhere.png", "ImageError"),
    ]  # fmt: skip
    assert len(report.facts()["skipped"]) == 4


def test_an_aligned_face_is_square(order, tmp_path):
    wide = save_image(torch.zeros(1, 3, 16, 20), tmp_path / "wide.png")
    report = session.reconstruct(order(), [wide])
    assert "square" in report.failures[0].reason
    assert names(tmp_path / "out") == ["disentangle.json"]
    large = save_image(torch.rand(1, 3, 40, 40), tmp_path / "large.png")
    assert session.reconstruct(order(output=tmp_path / "other"), [large]).rows


@pytest.mark.parametrize(
    ("there", "error", "message"),
    [
        (0, FaceCountError, r"no face was found; give"),
        (2, FaceCountError, r"2 faces were found where one is expected; crop"),
        (None, ImageError, r"is not a picture that can be read; give"),
    ],
)
@pytest.mark.parametrize(("verb", "place"), [("swap", 0), ("interpolate", 0), ("interpolate", 1)])
def test_a_picture_that_is_needed(call, photograph, tmp_path, there, error, message, verb, place):
    pair = [photograph("a.png"), photograph("b.png", seed=1)]
    pair[place] = photograph("bad.png", there or 0)
    if there is None:
        pair[place].write_bytes(b"broken")
    with pytest.raises(error, match=rf"bad\.png:? {message}"):
        call(verb, *pair, aligned=False)
    assert not (tmp_path / "out").exists()


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_checkpoints_that_can_not_be_used(call, face, tmp_path, model_of, save, verb, monkeypatch):
    pair, other, damaged = (face("a.png"), face("b.png", 1)), tmp_path / "o.st", tmp_path / "d.st"
    networks.save(other, "idmap", nn.Linear(1, 1), config={})
    damaged.write_bytes(b"\x80\x04nothing.")
    alone = save(tmp_path / "alone.safetensors", model_of(decode=False))
    for message, path in (
        ("is of idmap, d2ae expected", other),
        (r"d\.st (is damaged|holds code)", damaged),
        (r"none\.st", tmp_path / "none.st"),
        ("is of a training without a decoder, so it makes no pictures; give a ", alone),
    ):
        with pytest.raises(CheckpointError, match=message):
            call(verb, *pair, checkpoint=path)
        assert not (tmp_path / "out").exists()
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path / "models")
    with pytest.raises(AssetError, match="no checkpoint of d2ae is shipped yet; train one with `f"):
        call(verb, *pair, checkpoint=None)


def test_a_shipped_checkpoint_is_found(call, face, file, monkeypatch):
    monkeypatch.setattr(checkpoint, "MODELS", file.parent)
    assert call("edit", face("a.png"), face("b.png", 1), checkpoint=None).rows


def test_edits_that_can_not_be(order, face, tmp_path, file, model_of, save):
    path = face("a.png")
    other = save(tmp_path / "other/d2ae.safetensors", model_of())
    for error, message, strengths, options, ways in (
        (ParameterError, r"attribute 'smilin'; did you mean Smiling\?", {"smilin": 1}, {}, None),
        (ParameterError, "a strength of 1.5 for Smiling leaves the", {"Smiling": 1.5}, {}, None),
        (ParameterError, "no attribute is to be changed; give --attribute", {}, {}, None),
        (AssetError, r"d2ae\.directions\.safetensors does not exist, so .* give a file of them",
         {"Smiling": 1}, {"checkpoint": other}, None),
        (CheckpointError, "has directions of another checkpoint", {"Smiling": 1},
         {"checkpoint": other}, directions.beside(file)),
        (CheckpointError, "is of d2ae, d2ae-directions expected", {"Smiling": 1}, {}, file),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            session.edit(order(**options), [path], strengths, ways)
        assert not (tmp_path / "out").exists()


def test_ways_that_can_not_be(order, face, tmp_path):
    pair = face("a.png"), face("b.png", 1)
    for branch, steps, message in (("x", 3, "branch 'x' can't"), ("both", 1, "steps = 1 can't")):
        with pytest.raises(ParameterError, match=message):
            session.interpolate(order(), *pair, branch, steps)
    with pytest.raises(ParameterError, match="no picture says whose identity it shall be; give"):
        session.swap(order(), [], [pair[0]])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_there_is_kept(call, face, tmp_path, verb):
    pair = face("a.png"), face("b.png", 1)
    (tmp_path / "out").mkdir()
    name = "frame-01.png" if verb == "interpolate" else "b.png"
    for taken in (name, "sheet.png", "disentangle.json"):
        (tmp_path / "out" / taken).write_bytes(b"precious")
        with pytest.raises(ParameterError, match=f"{taken} exists; give another folder, or --over"):
            call(verb, *pair)
        assert (tmp_path / "out" / taken).read_bytes() == b"precious"
        (tmp_path / "out" / taken).unlink()
    (tmp_path / "out" / name).write_bytes(b"precious")
    assert call(verb, *pair, overwrite=True).rows
    with pytest.raises(ParameterError, match="no policy 'all' here; choose one of: error"):
        call(verb, *pair, policy="all")
    (tmp_path / "empty").mkdir()
    if verb in ("edit", "reconstruct"):
        with pytest.raises(UserError, match="empty has no pictures"):
            call(verb, tmp_path / "empty", pair[1])


@pytest.mark.parametrize("verb", VERBS)
def test_no_picture_that_was_given_is_overwritten(call, face, verb):
    pair = face("frame-00.png"), face("b.png", 1)
    before = [path.read_bytes() for path in pair]
    with pytest.raises(ParameterError, match=r"\.png is one of the pictures to be \w+; give"):
        call(verb, *pair, output=pair[0].parent, overwrite=True)
    assert [path.read_bytes() for path in pair] == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_one_line(call, face, monkeypatch, tmp_path, verb):
    import PIL.Image

    def full(self, *arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    pair = face("a.png"), face("b.png", 1)
    monkeypatch.setattr(PIL.Image.Image, "save", full)
    with pytest.raises(ImageError, match=r"\.png could not be written: .*No space left"):
        call(verb, *pair)
    assert names(tmp_path / "out") == []
