"""From picture files to a folder of results: `session` and, with one donor, `deidentification`."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facelab import assets
from facelab.assets import networks
from facelab.errors import (
    AssetError,
    CheckpointError,
    DatasetError,
    FaceCountError,
    ImageError,
    ParameterError,
    UserError,
)
from facelab.generators.stylegan2.config import TINY as TINY_STYLE
from facelab.generators.stylegan2.networks import StyleGAN2
from facelab.images import load_image, save_image
from facelab.methods.idmap import checkpoint, deidentification, evaluation, latent_space, session
from facelab.methods.idmap.applications import drive, new_identity
from facelab.methods.idmap.identity_encoder import IdentityEncoder
from facelab.recognition.align import (
    BOOK,
    TEMPLATES,
    align,
    paste_back,
    template_transform,
)
from facelab.recognition.face_readers import TINY, LandmarkJudge

LEVEL = 2 / 255


@pytest.fixture(autouse=True)
def judge(monkeypatch, generator, recogniser, seeded):
    """Lets checkpoints of the tiny configuration find their networks; returns who judges."""
    monkeypatch.setattr(latent_space, "read_generator", lambda name, device="cpu": generator)
    monkeypatch.setattr(
        checkpoint, "identity_encoder", lambda name, device: IdentityEncoder(recogniser())
    )
    found = recogniser(3, id="judge").eval().requires_grad_(False)
    points = seeded(lambda: LandmarkJudge(TINY), 1).eval()
    nn.init.normal_(points.head.weight, 0, 20, generator=torch.Generator().manual_seed(2))
    monkeypatch.setattr(session, "find_embedder", lambda name: found)
    monkeypatch.setattr(session, "landmark_judge", lambda: points)
    return found


@pytest.fixture
def file(tmp_path, config, save) -> Path:
    """A file of a map with random weights."""
    return save(tmp_path / "weights/map.safetensors", config)


@pytest.fixture
def swap(tmp_path, file):
    """Runs a swap to tmp_path/out."""

    def go(identity, *attributes, **options):
        given = (identity,) if isinstance(identity, Path) else tuple(identity)
        options = {"output": tmp_path / "out", "checkpoint": file} | options
        return session.run(session.Order(given, attributes, **options))

    return go


@pytest.fixture
def hide(tmp_path, file):
    """Runs a de-identification to tmp_path/out."""

    def go(*frames, **options):
        options = {"output": tmp_path / "out", "checkpoint": file} | options
        return deidentification.run(deidentification.Order(frames, **options))

    return go


@pytest.fixture
def face(tmp_path, faces):
    """Writes an aligned face that the tiny generator drew."""

    def write(name: str, number: int = 0) -> Path:
        return save_image(faces.batch([number]).images, tmp_path / "faces" / name)

    return write


@pytest.fixture
def frames(tmp_path, face):
    """Writes aligned frames 0.png, 1.png, ... and returns their folder."""

    def write(count: int = 3, first: int = 0) -> Path:
        for number in range(count):
            face(f"frames/{number}.png", first + number)
        return tmp_path / "faces/frames"

    return write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def close(a, b, levels=1):
    torch.testing.assert_close(a, b, rtol=0, atol=levels * LEVEL)


def crop(path):
    """The face of a photograph, as the faked detector finds it."""
    return align(load_image(path), points(), BOOK)


def points():
    return (TEMPLATES[BOOK].points_xy * 1.2 + torch.tensor([20.0, 6.0]))[None]


# --- swap: what is written -----------------------------------------------------------------------


def test_a_swap_is_what_the_map_makes_of_both(swap, face, tmp_path, file):
    who, how = face("who.png"), [face(f"{n}.jpg.png", n) for n in (1, 2)]
    report = swap(who, *how, aligned=True)
    out = tmp_path / "out"
    assert names(out) == ["1.jpg.png", "2.jpg.png", "sheet.png", "swap.json"]
    model, identity = checkpoint.load(file), load_image(who)
    for path in how:
        image = load_image(path)
        made = load_image(out / path.name)
        close(made, model(identity, image))
        assert (made - model(image, identity)).abs().mean() > LEVEL, "whose is whose"
    assert json.loads((out / "swap.json").read_text()) == report.facts()
    assert not report.failures


def test_the_sheet_has_identity_attributes_and_result(swap, face, tmp_path, file):
    who, how = face("who.png"), [face(f"{n}.png", n) for n in (1, 2)]
    swap(who, *how, aligned=True)
    sheet, model = load_image(tmp_path / "out/sheet.png"), checkpoint.load(file)
    side, gap = 3 * 64, 6
    assert sheet.shape == (1, 3, 2 * side + gap, 3 * side + 2 * gap)
    for row, path in enumerate(how):
        cells = [load_image(who), load_image(path), model(load_image(who), load_image(path))]
        for column, wanted in enumerate(cells):
            top, left = row * (side + gap), column * (side + gap)
            cell = sheet[:, :, top : top + side, left : left + side]
            close(F.interpolate(cell, (64, 64), mode="area"), wanted)


def test_a_row_says_what_the_judges_see(swap, face, file, judge):
    who, how = face("who.png"), face("how.png", 1)
    (row,) = swap(who, how, aligned=True).rows
    identity, image = load_image(who), load_image(how)
    made = checkpoint.load(file)(identity, image)
    seen = [evaluation.read(x, judge, points=session.landmark_judge())
            for x in (identity, image, made)]  # fmt: skip
    cosines = [float(seen[k].embeddings[0] @ seen[2].embeddings[0]) for k in (0, 1)]
    pose = (seen[1].angles_rad - seen[2].angles_rad).rad2deg().norm()
    marks = (seen[1].landmarks - seen[2].landmarks)[:, 17:].norm(dim=2).mean() / 64
    assert row == {
        "source": str(how),
        "file": row["file"],
        "box": [-0.5, -0.5, 63.5, 63.5],
        "identity_cosine_to_identity": pytest.approx(cosines[0], abs=1e-4),
        "identity_cosine_to_attributes": pytest.approx(cosines[1], abs=1e-4),
        "verified_as_identity": 2 - 2 * cosines[0] < 1,
        "verified_as_attributes": 2 - 2 * cosines[1] < 1,
        "pose_error_deg": pytest.approx(float(pose), abs=0.01),
        "landmark_error": pytest.approx(float(marks), abs=1e-5),
    }
    assert abs(cosines[0] - cosines[1]) > 0.001
    assert row["pose_error_deg"] > 0.05
    assert row["landmark_error"] > 1e-4


@pytest.mark.parametrize(("threshold", "known"), [(0.0, False), (4.1, True)])
def test_verified_is_below_the_judges_threshold(swap, face, judge, threshold, known):
    judge.threshold_squared = threshold
    (row,) = swap(face("who.png"), face("how.png", 1), aligned=True).rows
    assert (row["verified_as_identity"], row["verified_as_attributes"]) == (known, known)


def test_the_record_says_by_whom(swap, face, file):
    who = face("who.png")
    about = swap(who, face("how.png", 1), aligned=True).about
    assert about == {
        "identity": {"pictures": [str(who)]},
        "checkpoint": "idmap",
        "checkpoint_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "generator": "tiny",
        "judge": "judge",
        "threshold_same_person": 1.0,
        "pose": "pose_regressor",
        "landmarks": "landmark_judge",
        "pasted": False,
        "warnings": [],
    }


def test_a_step_is_named(file):
    tensors = assets.load_weights(file)
    header = json.loads(assets.read_source(file))
    networks.save_tensors(file, header.pop("method"), tensors, step=12345, **header)
    assert session.load_model(file).id == "idmap, step 12,345"


# --- swap: one person on several pictures --------------------------------------------------------


def test_several_pictures_give_their_mean_code(swap, face, tmp_path, file, judge):
    who, how = [face(f"{n}.png", n) for n in range(3)], face("how.png", 3)
    judge.threshold_squared = 4.1
    report = swap(who, how, aligned=True)
    identity = torch.cat([load_image(path) for path in who])
    (made,) = drive(checkpoint.load(file), identity, [load_image(how)])
    close(load_image(tmp_path / "out/how.png"), made)
    rows = judge.embed(identity)
    mean = F.normalize(rows.mean(0), dim=0)
    cosine = float(mean @ judge.embed(made)[0])
    assert report.rows[0]["identity_cosine_to_identity"] == pytest.approx(cosine, abs=1e-4)
    distances = torch.cdist(rows, rows).square()
    assert report.about["identity"]["farthest_distance"] == pytest.approx(
        float(distances.max()), abs=1e-4
    )
    assert report.about["warnings"] == []


def test_two_people_are_a_doubt(swap, face, judge):
    who = [face("a.png"), face("b.png"), face("c.png", 5)]
    rows = judge.embed(torch.cat([load_image(path) for path in who]))
    judge.threshold_squared = float((rows[0] - rows[2]).square().sum()) - 1e-4
    (doubt,) = swap(who, face("how.png", 3), aligned=True).about["warnings"]
    assert doubt.startswith(f"{who[0]} and {who[2]} are ")
    assert f"two people by judge's threshold of {judge.threshold_squared:.3f}" in doubt


# --- swap: photographs ---------------------------------------------------------------------------


def test_a_photographs_face_is_found_and_aligned(swap, photograph, tmp_path, file):
    who, how = photograph("who.png"), photograph("how.png", seed=1)
    (row,) = swap(who, how).rows
    made = checkpoint.load(file)(crop(who), crop(how))
    close(load_image(tmp_path / "out/how.png"), made)
    assert row["box"] == [30.0, 20.0, 85.0, 80.0]


def test_a_face_is_pasted_into_its_photograph(swap, photograph, tmp_path, file):
    who, how = photograph("who.png"), photograph("how.png", seed=1)
    report = swap(who, how, paste=True)
    made, image = checkpoint.load(file)(crop(who), crop(how)), load_image(how)
    written = load_image(tmp_path / "out/how.png")
    close(written, paste_back(made, image, template_transform(points(), BOOK)))
    moved = (written - image).abs().amax((0, 1)) > 2 * LEVEL
    assert moved[30:60, 40:75].float().mean() > 0.8
    assert not moved[84:].any(), "below the face"
    assert report.about["pasted"]
    assert load_image(tmp_path / "out/sheet.png").shape[2:] == (192, 3 * 192 + 12)


def test_a_picture_that_is_gone_before_it_is_pasted_is_left_out(swap, photograph, monkeypatch):
    who, how = photograph("who.png"), photograph("how.png", seed=1)
    found = session.faces_of_files

    def vanishing(*arguments, **options):
        for outcome in found(*arguments, **options):
            how.unlink(missing_ok=True)
            yield outcome

    monkeypatch.setattr(session, "faces_of_files", vanishing)
    assert "does not exist" in swap(who, how, paste=True).failures[0].reason


def test_the_detector_agrees_on_a_real_photograph(swap, tmp_path):
    """With MTCNN: another face, in its place; what is below it stays."""
    image = F.interpolate(load_image(assets.path("astronaut")), (256, 256), mode="area")
    source = save_image(image, tmp_path / "astronaut.png")
    (row,) = swap(source, source, paste=True).rows
    left, top, right, bottom = (round(v) for v in row["box"])
    moved = (load_image(tmp_path / "out/astronaut.png") - load_image(source)).abs()
    assert moved[:, :, top:bottom, left:right].mean() > 10 * LEVEL
    assert moved[:, :, bottom + 60 :].max() == 0


def test_what_can_not_be_used_is_listed_and_the_rest_is_done(swap, photograph, tmp_path):
    broken, who = tmp_path / "photographs/broken.png", photograph("who.png")
    how = [photograph("none.png", 0), photograph("a.png", seed=1), broken,
           photograph("two.png", 2), tmp_path / "nowhere.png"]  # fmt: skip
    broken.write_bytes(b"broken")
    report = swap(who, *how)
    assert names(tmp_path / "out") == ["a.png", "sheet.png", "swap.json"]
    assert [(os.path.basename(f.path), f.error) for f in report.failures] == [
        ("none.png", "FaceCountError"), ("broken.png", "ImageError"),
        ("two.png", "FaceCountError"), ("nowhere.png", "ImageError"),
    ]  # fmt: skip
    assert len(report.facts()["skipped"]) == 4
    again = swap(who, how[3], policy="central", output=tmp_path / "central")
    assert again.rows[0]["box"] == [32.0, 18.0, 87.0, 78.0]


def test_where_all_are_left_out_the_record_alone_is_written(swap, photograph, tmp_path):
    report = swap(photograph("who.png"), photograph("none.png", 0))
    assert names(tmp_path / "out") == ["swap.json"]
    assert report.facts()["pictures"] == []


def test_pictures_stream(swap, photograph, tmp_path, monkeypatch):
    """Each is written before the next but one is taken; on Ctrl-C those that are there stay."""
    images = [photograph(f"{n}.png", seed=n) for n in range(4)]
    found = session.faces_of_files

    def watched(paths, *arguments, **options):
        for number, outcome in enumerate(found(paths, *arguments, **options)):
            assert names(tmp_path / "out") == [f"{n}.png" for n in range(number)]
            if number == 3:
                raise KeyboardInterrupt
            yield outcome

    monkeypatch.setattr(session, "faces_of_files", watched)
    with pytest.raises(KeyboardInterrupt):
        swap(images[0], *images)
    assert names(tmp_path / "out") == ["0.png", "1.png", "2.png"]
    for number in range(3):
        assert load_image(tmp_path / f"out/{number}.png").shape == (1, 3, 64, 64)


# --- swap: what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize("which", ["identity", "attributes"])
def test_no_picture_that_was_given_is_overwritten(swap, face, which):
    who, how = face("who/a.png"), face("how/a.png", 1)
    output = (who if which == "identity" else how).parent
    before = [path.read_bytes() for path in (who, how)]
    with pytest.raises(ParameterError, match=r"a\.png is one of the pictures to be swapped; give"):
        swap(who, how, aligned=True, output=output, overwrite=True)
    assert [path.read_bytes() for path in (who, how)] == before


@pytest.mark.parametrize("name", ["how.png", "sheet.png", "swap.json"])
def test_a_file_that_is_there_is_kept(swap, face, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(b"precious")
    pictures = face("who.png"), face("how.png", 1)
    with pytest.raises(ParameterError, match=f"{name} exists; give another folder, or --overwrite"):
        swap(*pictures, aligned=True)
    assert (tmp_path / "out" / name).read_bytes() == b"precious"
    assert swap(*pictures, aligned=True, overwrite=True).rows
    assert (tmp_path / "out" / name).read_bytes() != b"precious"


@pytest.mark.parametrize(
    ("faces_there", "error", "message"),
    [
        (0, FaceCountError, r"who\.png: no face was found; give"),
        (2, FaceCountError, r"who\.png: 2 faces were found where one is expected; crop"),
        (None, ImageError, r"who\.png is not a picture that can be read; give"),
    ],
)
def test_an_identity_that_can_not_be_used(swap, photograph, tmp_path, faces_there, error, message):
    who = photograph("who.png", faces_there or 0)
    if faces_there is None:
        who.write_bytes(b"broken")
    with pytest.raises(error, match=message):
        swap(who, photograph("how.png"))
    assert not (tmp_path / "out").exists()


def test_what_is_refused_leaves_no_folder(swap, face, tmp_path, file, save, tiny_config):
    who, how = face("who.png"), face("how.png", 1)
    other, damaged = tmp_path / "other.safetensors", tmp_path / "damaged.safetensors"
    networks.save(other, "ganfaces", nn.Linear(1, 1), config={})
    damaged.write_bytes(b"nothing")
    (tmp_path / "empty").mkdir()
    for error, message, pictures, options in (
        (ParameterError, "no policy 'all' here; choose one of: error", (how,), {"policy": "all"}),
        (ParameterError, "no photograph around it to be pasted into; leave out", (how,),
         {"paste": True}),
        (CheckpointError, "is of ganfaces, idmap expected", (how,), {"checkpoint": other}),
        (CheckpointError, "damaged.safetensors is damaged", (how,), {"checkpoint": damaged}),
        (CheckpointError, "none.safetensors", (how,),
         {"checkpoint": tmp_path / "none.safetensors"}),
        (UserError, "empty has no pictures", (tmp_path / "empty",), {}),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            swap(who, *pictures, aligned=True, **options)
        assert not (tmp_path / "out").exists()
    with pytest.raises(ParameterError, match="no picture says whose identity it shall be; give"):
        swap((), how, aligned=True)
    assert not (tmp_path / "out").exists()


def test_a_generator_that_the_map_was_not_made_for(swap, face, seeded, monkeypatch, tmp_path):
    """`generator` stands for the one of the header, and has to fit."""
    asked = []
    small = seeded(lambda: StyleGAN2(dataclasses.replace(TINY_STYLE, styles=9), id="nine")).eval()
    small.measure_mean_w(64)
    known = latent_space.read_generator

    def read(name, device="cpu"):
        asked.append(os.fspath(name))
        return small if os.fspath(name) == "nine.pt" else known(name, device)

    monkeypatch.setattr(latent_space, "read_generator", read)
    pictures = face("who.png"), face("how.png", 1)
    with pytest.raises(CheckpointError, match=r"nine\.pt takes latent vectors of 9 numbers .* gi"):
        swap(*pictures, aligned=True, generator=Path("nine.pt"))
    assert not (tmp_path / "out").exists()
    assert swap(*pictures, aligned=True, generator=Path("eight.pt")).rows
    assert asked == ["nine.pt", "eight.pt"]


def test_without_a_shipped_checkpoint_it_says_how_to_train_one(swap, face, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path / "models")
    pictures = face("who.png"), face("how.png", 1)
    with pytest.raises(AssetError, match="no checkpoint of idmap is shipped yet; train one with"):
        swap(*pictures, aligned=True, checkpoint=None)


def test_a_shipped_checkpoint_is_found(swap, face, file, monkeypatch):
    monkeypatch.setattr(
        checkpoint, "MODELS", file.rename(file.with_name("idmap.safetensors")).parent
    )
    assert swap(face("who.png"), face("how.png", 1), aligned=True, checkpoint=None).rows


def test_a_folder_that_can_not_be_made(swap, face, tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(AssetError, match=r"out can't be written .*; make it writable"):
        swap(face("who.png"), face("how.png", 1), aligned=True, output=tmp_path / "file/out")
    assert (tmp_path / "file").read_bytes() == b"precious"


# --- who judges ----------------------------------------------------------------------------------


def test_nobody_judges_what_was_trained_through_him(swap, face, tmp_path, judge):
    judge.id = "random"
    with pytest.raises(ParameterError, match="random can't judge a network whose loss"):
        swap(face("who.png"), face("how.png", 1), aligned=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("seen", "other"), [("random", "faceres"), ("faceres", "dlib")])
def test_the_judge_is_another_than_the_loss_had(monkeypatch, recogniser, file, seen, other):
    asked = []
    monkeypatch.setattr(
        checkpoint, "identity_encoder", lambda name, device: IdentityEncoder(recogniser(id=seen))
    )
    monkeypatch.setattr(
        session, "find_embedder", lambda name: asked.append(name) or recogniser(3, id=name)
    )
    assert session.load_judged(file).embedder.id == other
    assert asked == [other]


def test_faces_of_another_framing_are_read_like_the_books():
    """A bright spot where one template has its left eye comes to lie where the other has it."""
    spots = []
    for name in ("dlib150", BOOK):
        template = TEMPLATES[name]
        eye = (template.points_xy[0] + 0.5) * (128 / template.size) - 0.5
        y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
        spots.append(torch.exp(-((x - eye[0]) ** 2 + (y - eye[1]) ** 2) / 50).expand(1, 3, -1, -1))
    elsewhere, wanted = spots
    moved = session.like_book(elsewhere, "dlib150")
    assert moved.shape == wanted.shape
    peaks = [divmod(int(spot[0, 0].argmax()), 128) for spot in (elsewhere, moved, wanted)]
    assert peaks[1] == pytest.approx(peaks[2], abs=3)
    assert peaks[0] != pytest.approx(peaks[2], abs=10)
    assert session.like_book(elsewhere, BOOK) is elsewhere


# --- de-identification: what is written ----------------------------------------------------------


def test_all_frames_get_one_donor_that_the_seed_draws(hide, frames, tmp_path, file):
    folder = frames(3)
    report = hide(folder, aligned=True, seed=7)
    out, model = tmp_path / "out", checkpoint.load(file)
    assert names(out) == ["0.png", "1.png", "2.png", "deidentify.json"]
    originals = torch.cat([load_image(folder / f"{n}.png") for n in range(3)])
    donor = new_identity(model, 7, away_from=originals)
    for number in range(3):
        made = model(donor, originals[[number]])
        close(load_image(out / f"{number}.png"), made)
    assert json.loads((out / "deidentify.json").read_text()) == report.facts()
    assert report.about["donor"]["seed"] == 7


def test_a_seed_always_draws_the_same(hide, frames, tmp_path):
    folder = frames(2)
    for name, seed in (("first", None), ("again", 0), ("other", 1)):
        hide(folder, aligned=True, seed=seed, output=tmp_path / name)
    first, again, other = ((tmp_path / name / "1.png").read_bytes()
                           for name in ("first", "again", "other"))  # fmt: skip
    assert first == again != other


def test_a_donor_may_be_given(hide, frames, face, tmp_path, file):
    donors = [face("donor.png", 9), face("donor2.png", 10)]
    folder = frames(2)
    report = hide(folder, aligned=True, identity=tuple(donors))
    identity = torch.cat([load_image(path) for path in donors])
    (made,) = drive(checkpoint.load(file), identity, [load_image(folder / "1.png")])
    close(load_image(tmp_path / "out/1.png"), made)
    assert report.about["donor"]["pictures"] == [str(path) for path in donors]


def test_frames_come_in_the_order_of_their_numbers(hide, face, tmp_path):
    for place, number in enumerate((10, 9, 1)):
        face(f"frames/f{number}.png", place)
    report = hide(tmp_path / "faces/frames", aligned=True)
    assert [os.path.basename(row["source"]) for row in report.rows] == [
        "f1.png",
        "f9.png",
        "f10.png",
    ]
    given = [tmp_path / f"faces/frames/f{number}.png" for number in (10, 1)]
    report = hide(*given, aligned=True, output=tmp_path / "files")
    assert [os.path.basename(row["source"]) for row in report.rows] == ["f1.png", "f10.png"]


def test_no_original_is_in_the_folder(hide, photograph, tmp_path, file):
    """Every pixel is the generator's, of photographs too; there is no sheet and nothing else."""
    paths = [photograph(f"{n}.png", seed=n) for n in range(2)]
    hide(*paths)
    out, model = tmp_path / "out", checkpoint.load(file)
    assert names(out) == ["0.png", "1.png", "deidentify.json"]
    crops = torch.cat([crop(path) for path in paths])
    donor = new_identity(model, 0, away_from=crops)
    for path, original in zip(paths, crops.split(1), strict=True):
        written = load_image(out / path.name)
        close(written, model(donor, original))
        assert ((written - original).abs().amax(1) <= LEVEL).float().mean() < 0.02
        assert (out / path.name).read_bytes() != path.read_bytes()


def test_originals_are_shown_where_that_is_wanted(hide, frames, tmp_path, file):
    folder = frames(2)
    hide(folder, aligned=True, show_originals=True)
    sheet, model = load_image(tmp_path / "out/sheet.png"), checkpoint.load(file)
    originals = torch.cat([load_image(folder / f"{n}.png") for n in range(2)])
    donor = new_identity(model, 0, away_from=originals)
    for row in range(2):
        original = originals[[row]]
        for column, wanted in enumerate((original, donor, model(donor, original))):
            top, left = row * 198, column * 198
            cell = sheet[:, :, top : top + 192, left : left + 192]
            close(F.interpolate(cell, (64, 64), mode="area"), wanted)


# --- de-identification: what is measured ---------------------------------------------------------


def test_the_record_says_who_is_still_known(hide, frames, tmp_path, judge, file):
    folder = frames(4)
    embed = lambda paths: judge.embed(torch.cat([load_image(path) for path in paths]))  # noqa: E731
    paths = [folder / f"{n}.png" for n in range(4)]
    before = embed(paths)
    others = torch.stack([F.normalize(before[[m for m in range(4) if m != n]].mean(0), dim=0)
                          for n in range(4)])  # fmt: skip
    distances = (before - others).square().sum(1)
    judge.threshold_squared = float(distances.sort().values[1:3].mean())  # two of four are below
    report = hide(folder, aligned=True)
    model = checkpoint.load(file)
    originals = torch.cat([load_image(path) for path in paths])
    donor = new_identity(model, 0, away_from=originals)
    after = judge.embed(model(donor.expand(4, -1, -1, -1), originals))
    person = F.normalize(before.mean(0), dim=0)
    known = (2 - 2 * after @ person) < judge.threshold_squared
    assert [row["verified_before"] for row in report.rows] == (
        distances < judge.threshold_squared
    ).tolist()
    assert report.about["verified_before"] == 0.5
    assert [row["verified_after"] for row in report.rows] == known.tolist()
    assert report.about["verified_after"] == float(known.float().mean())
    for row, vector in zip(report.rows, after, strict=True):
        cosine = float(vector @ person)
        assert row["identity_cosine_to_person"] == pytest.approx(cosine, abs=1e-4)
        to_donor = float(vector @ judge.embed(donor)[0])
        assert row["identity_cosine_to_donor"] == pytest.approx(to_donor, abs=1e-4)
    for when, rows in (("before", before), ("after", after)):
        pairs = torch.cdist(rows, rows).square()
        variance = float(pairs.sum() / (2 * 4 * 4))  # the slow way: half the mean over pairs
        assert report.about[f"identity_variance_{when}"] == pytest.approx(variance, abs=1e-4)
        assert variance > 1e-3
    assert report.about["donor"]["identity_cosine_to_person"] == pytest.approx(
        float(judge.embed(donor)[0] @ person), abs=1e-4
    )


@pytest.mark.parametrize(("threshold", "rate"), [(0.0, 0.0), (4.1, 1.0)])
def test_rates_follow_the_judges_threshold(hide, frames, judge, threshold, rate):
    judge.threshold_squared = threshold
    about = hide(frames(2), aligned=True).about
    assert (about["verified_before"], about["verified_after"]) == (rate, rate)
    assert len(about["warnings"]) == int(rate), "the donor and the person are one then"


def test_a_single_picture_has_no_other_to_be_compared_with(hide, frames):
    report = hide(frames(1), aligned=True)
    assert report.rows[0]["verified_before"] is None
    for name in ("verified_before", "identity_variance_before", "identity_variance_after"):
        assert report.about[name] is None
    assert report.about["verified_after"] in (0.0, 1.0)


def test_a_donor_who_is_the_person_is_a_doubt(hide, frames, judge):
    judge.threshold_squared = 0.01
    folder = frames(1)
    report = hide(folder, aligned=True, identity=(folder / "0.png",))
    (doubt,) = report.about["warnings"]
    assert doubt.startswith("judge takes the donor and the person for one; give another --seed")
    assert report.about["donor"]["identity_cosine_to_person"] == pytest.approx(1, abs=1e-4)


# --- de-identification: what is left out, and refused --------------------------------------------


def test_frames_without_a_face_or_with_two_are_left_out(hide, photograph, tmp_path, file):
    paths = [photograph("0.png", 0), photograph("1.png"), photograph("2.png", 2),
             photograph("3.png", seed=1)]  # fmt: skip
    report = hide(paths[0].parent)
    assert names(tmp_path / "out") == ["1.png", "3.png", "deidentify.json"]
    assert [os.path.basename(f.path) for f in report.failures] == ["0.png", "2.png"]
    model = checkpoint.load(file)
    faces = [crop(paths[n]) for n in (1, 3)]
    donor = new_identity(model, 0, away_from=torch.cat(faces))
    close(load_image(tmp_path / "out/3.png"), model(donor, faces[1]))


def test_where_no_frame_has_a_face_the_record_alone_is_written(hide, photograph, tmp_path):
    report = hide(photograph("none.png", 0))
    assert names(tmp_path / "out") == ["deidentify.json"]
    assert report.about["donor"] == {"seed": 0}
    assert report.about["warnings"] == []
    assert len(report.failures) == 1


@pytest.mark.parametrize("missing", [(), (0, 4, 8)])
def test_the_donor_is_away_from_faces_of_the_whole_sequence(
    hide, frames, monkeypatch, tmp_path, missing
):
    """Evenly spread ones; where they show no face, others in their place."""
    monkeypatch.setattr(deidentification, "LOOKED_AT", 3)
    folder, looked = frames(9), []
    for number in missing:
        (folder / f"{number}.png").write_bytes(b"broken")
    made = deidentification.new_identity

    def watched(model, seed, *, away_from):
        looked.append(away_from)
        return made(model, seed, away_from=away_from)

    monkeypatch.setattr(deidentification, "new_identity", watched)
    hide(folder, aligned=True)
    chosen = (3, 6, 1) if missing else (0, 3, 6)
    wanted = torch.cat([load_image(folder / f"{n}.png") for n in chosen])
    close(looked[0], wanted)


def test_frames_stream(hide, frames, tmp_path, monkeypatch):
    folder, found = frames(4), deidentification.faces_of_files
    counts = []

    def watched(paths, *arguments, **options):
        for number, outcome in enumerate(found(paths, *arguments, **options)):
            if (tmp_path / "out").exists():
                counts.append((number, len(names(tmp_path / "out"))))
            yield outcome

    monkeypatch.setattr(deidentification, "faces_of_files", watched)
    hide(folder, aligned=True)
    assert counts == [(number, number) for number in range(4)]


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_no_result_lies_beside_an_original(hide, face, tmp_path, ending):
    source = face(f"frames/a{ending}")
    link = tmp_path / "link"
    link.symlink_to(source.parent)
    for output in (source.parent, link):
        with pytest.raises(ParameterError, match="holds pictures to be de-identified; give anoth"):
            hide(source, aligned=True, output=output, overwrite=True)
    assert names(source.parent) == [f"a{ending}"]


def test_files_that_are_there_are_kept(hide, frames, tmp_path):
    folder = frames(1)
    hide(folder, aligned=True)
    for name in ("0.png", "deidentify.json"):
        with pytest.raises(ParameterError, match="exists; give another folder, or --overwrite"):
            hide(folder, aligned=True)
        (tmp_path / "out" / name).unlink()
    assert hide(folder, aligned=True).rows
    (tmp_path / "out/sheet.png").write_bytes(b"precious")
    with pytest.raises(ParameterError, match=r"sheet\.png may show the person as he or she is"):
        hide(folder, aligned=True, overwrite=True)
    assert (tmp_path / "out/sheet.png").read_bytes() == b"precious"
    with pytest.raises(ParameterError, match=r"sheet\.png|0\.png"):
        hide(folder, aligned=True, show_originals=True)


def test_a_donors_picture_is_kept(hide, frames, face):
    donor = face("donors/0.png", 5)
    before = donor.read_bytes()
    with pytest.raises(ParameterError, match=r"0\.png is one of the pictures to be de-identified"):
        hide(frames(1), aligned=True, identity=(donor,), output=donor.parent, overwrite=True)
    assert donor.read_bytes() == before


def test_what_can_not_be_de_identified(hide, frames, face, tmp_path, monkeypatch):
    folder, donor = frames(2), face("donor.png", 3)
    video = tmp_path / "me.mp4"
    video.write_bytes(b"film")
    for error, message, given, options in (
        (ParameterError, "give --identity or --seed, not both", folder,
         {"seed": 0, "identity": (donor,)}),
        (ParameterError, "a seed of -1 can't be used; give one from 0", folder, {"seed": -1}),
        (ParameterError, "a seed of 9223372036854775808 can't", folder, {"seed": 2**63}),
        (ParameterError, "no policy 'most' here", folder, {"policy": "most"}),
        (DatasetError, "there is no file .*nowhere; give a folder", tmp_path / "nowhere", {}),
        (DatasetError, "is a video, not its frames; make a folder", video, {}),
        (ImageError, "gone.png does not exist", folder, {"identity": (tmp_path / "gone.png",)}),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            hide(given, aligned=True, **options)
        assert not (tmp_path / "out").exists()

    def closed(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(DatasetError, match=r"frames can't be read \(Permission denied\); make"):
        hide(folder, aligned=True)


def test_a_home_folder_may_be_short(hide, frames, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    frames(2)
    assert len(hide(Path("~/faces/frames"), aligned=True).rows) == 2
