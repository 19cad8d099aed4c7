"""From picture files to a folder of results: what is written, measured, left out and refused."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from facelab import assets
from facelab.assets import networks
from facelab.errors import AssetError, CheckpointError, ImageError, ParameterError, UserError
from facelab.images import load_image, save_image
from facelab.methods.diat import checkpoint, session
from facelab.methods.diat.networks import Shape
from facelab.recognition import pictures
from facelab.recognition.align import (
    BOOK,
    TEMPLATES,
    align,
    paste_back,
    reframe,
    template_transform,
)
from facelab.recognition.face_readers import attribute_judge
from facelab.recognition.gallery import find_faces

LEVEL = 2 / 255


@pytest.fixture
def run(tmp_path, weights, means):
    """Runs a session to tmp_path/out with a tiny local transfer."""

    def go(*images, task="mouth_open", file=None, **options):
        options.setdefault("output", tmp_path / "out")
        order = session.Order(
            task, tuple(images), checkpoint=file or weights(task), **options
        )  # fmt: skip
        return session.run(order)

    return go


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def close(a, b, levels=1):
    torch.testing.assert_close(a, b, rtol=0, atol=levels * LEVEL)


# --- aligned faces -------------------------------------------------------------------------------


def test_an_aligned_face_gives_three_files(run, face, tmp_path, weights):
    source = face("anna.jpg.png")
    report = run(source, aligned=True)
    out = tmp_path / "out"
    assert names(out) == ["anna.jpg.png", "sheet.png", "transfer.json"]
    transfer, image = checkpoint.load(weights()), load_image(source)
    with torch.no_grad():
        made = transfer.transformed(image)
        enhanced = transfer.enhance(image, made)
    close(load_image(out / "anna.jpg.png"), enhanced)
    assert (enhanced - made).abs().mean() > 10 * LEVEL < (made - image).abs().mean()
    assert json.loads((out / "transfer.json").read_text()) == report.facts()
    assert not report.failures


def test_the_sheet_has_input_transformed_and_enhanced(run, face, tmp_path, weights):
    sources = [face(f"{n}.png", seed=n) for n in range(3)]
    run(*sources, aligned=True)
    sheet = load_image(tmp_path / "out/sheet.png")
    times = pictures.SHEET_SIDE_PX // 16
    side, gap = 16 * times, 2 * times
    assert sheet.shape == (1, 3, 3 * side + 2 * gap, 3 * side + 2 * gap)
    transfer = checkpoint.load(weights())
    for row, source in enumerate(sources):
        image = load_image(source)
        with torch.no_grad():
            stages = [image, transfer.transformed(image), transfer(image)]
        for column, stage in enumerate(stages):
            top, left = row * (side + gap), column * (side + gap)
            cell = sheet[:, :, top : top + side, left : left + side]
            close(F.interpolate(cell, (16, 16), mode="area"), stage)


def test_without_a_second_stage_there_are_two_columns(run, face, tmp_path, weights):
    file = weights(both=False)
    report = run(face("a.png"), aligned=True, file=file)
    sheet = load_image(tmp_path / "out/sheet.png")
    assert sheet.shape[3] == 2 * 192 + 2 * 12
    with torch.no_grad():
        made = checkpoint.load(file)(load_image(face("a.png")))
    close(load_image(tmp_path / "out/a.png"), made)
    assert report.rows[0]["enhanced"] is False
    assert report.rows[0]["checkpoint"] == "diat mouth_open, step 1,234"


def test_the_sheet_has_the_first_faces_alone(run, face, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "SHOWN", 2)
    report = run(*(face(f"{n}.png", seed=n) for n in range(4)), aligned=True)
    assert load_image(tmp_path / "out/sheet.png").shape[2] == 2 * 192 + 24
    assert len(report.rows) == 4


def test_faces_of_another_size_are_brought_to_the_networks(run, face, tmp_path):
    run(face("large.png", side=64), aligned=True)
    assert load_image(tmp_path / "out/large.png").shape == (1, 3, 16, 16)


# --- photographs ---------------------------------------------------------------------------------


def test_a_face_is_pasted_back_into_its_photograph(run, photograph, tmp_path, weights):
    source = photograph("anna.png")
    run(source)
    image, written = load_image(source), load_image(tmp_path / "out/anna.png")
    template = session.load_model("mouth_open", weights()).template
    points = find_faces_twin()
    crop = align(image, points, template)
    with torch.no_grad():
        change = checkpoint.load(weights())(crop) - crop
    onto = template_transform(points, template)
    expected = image + paste_back(change, torch.zeros_like(image), onto)
    close(written, expected.clamp(-1, 1))
    moved = (written - image).abs().amax((0, 1))
    # The crop covers 64 x 1.2 pixels from (20, 6) less the half pixel of its corner.
    rows, columns = (moved > LEVEL).any(1).nonzero()[:, 0], (moved > LEVEL).any(0).nonzero()[:, 0]
    assert 6 <= rows.min() < 12
    assert 75 < rows.max() <= 82
    assert 20 <= columns.min() < 26
    assert 90 < columns.max() <= 96
    assert moved[30:60, 40:75].mean() > 10 * LEVEL


def test_where_nothing_changes_a_photograph_keeps_all_that_it_shows(
    run, photograph, tmp_path, weights
):
    source = photograph("anna.png")
    same = weights(name="same", both=False, transform=Shape(width=4, blocks=1, skip=True))
    run(source, file=same)
    assert torch.equal(load_image(tmp_path / "out/anna.png"), load_image(source))


def find_faces_twin():
    """The five points that the faked detector gives for one face."""
    return (TEMPLATES[BOOK].points_xy * 1.2 + torch.tensor([20.0, 6.0]))[None]


def test_the_box_is_the_detectors_and_of_an_aligned_face_its_frame(run, photograph, face, tmp_path):
    (row,) = run(photograph("a.png")).rows
    assert row["box"] == [30.0, 20.0, 85.0, 80.0]
    (row,) = run(face("b.png"), aligned=True, output=tmp_path / "aligned").rows
    assert row["box"] == [-0.5, -0.5, 15.5, 15.5]


def test_the_detector_and_the_networks_agree_on_a_real_photograph(run, tmp_path, weights):
    """With MTCNN: what was not the face stays, the face is another."""
    image = F.interpolate(load_image(assets.path("astronaut")), (256, 256), mode="area")
    source = save_image(image, tmp_path / "astronaut.png")
    (row,) = run(source).rows
    box = find_faces(load_image(source)).boxes[0]
    assert row["box"] == pytest.approx(box.tolist(), abs=2)
    left, top, right, bottom = (round(v) for v in row["box"])
    moved = (load_image(tmp_path / "out/astronaut.png") - load_image(source)).abs()
    assert moved[:, :, top:bottom, left:right].mean() > 10 * LEVEL
    assert moved[:, :, bottom + 60 :].max() == 0


@pytest.mark.parametrize("size", [16, 64, 128])
def test_the_template_is_the_books_at_the_networks_size(weights, size):
    file = weights(size=size, transform=Shape(4, 1))
    template = session.load_model("mouth_open", file).template
    book = TEMPLATES[BOOK]
    assert template.size == size
    scale = size / 64
    for (x, y), (u, v) in zip(template.points, book.points, strict=True):
        assert (x, y) == pytest.approx(((u + 0.5) * scale - 0.5, (v + 0.5) * scale - 0.5), abs=1e-4)
    assert (template is book) == (size == 64)


# --- the record ----------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["mouth_open", "mouth_close", "older_to_younger"])
def test_a_row_says_what_the_judges_see(run, face, weights, means, task):
    source, file = face("a.png"), weights(task)
    (row,) = run(source, aligned=True, task=task, file=file).rows
    with torch.no_grad():
        before = load_image(source)
        after = checkpoint.load(file)(before)
        judge = attribute_judge()
        enlarged = [align_twin(x) for x in (before, after)]
        column = judge.names.index(checkpoint.find_task(task).attribute)
        logits = [float(judge(x)[0, column]) for x in enlarged]
        a, b = (means.embed(x) for x in enlarged)
    sign = -1 if task == "mouth_close" else 1
    attribute = {"mouth_open": "Mouth_Slightly_Open", "mouth_close": "not Mouth_Slightly_Open",
                 "older_to_younger": "Young"}[task]  # fmt: skip
    assert row == {
        "source": str(source),
        "file": row["file"],
        "box": row["box"],
        "task": task,
        "checkpoint": f"diat-enhancement {task}, step 1,234",
        "checkpoint_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "enhanced": True,
        "judge": f"attribute_judge: {attribute}",
        "judge_before": pytest.approx(sign * logits[0], abs=1e-3),
        "judge_after": pytest.approx(sign * logits[1], abs=1e-3),
        "identity_distance": pytest.approx(float((a - b).square().sum()), abs=1e-4),
        "embedder": "means",
        "threshold_same_person": 0.25,
    }
    assert row["identity_distance"] > 0.01


def align_twin(image):
    """A face of 16 pixels at 64: the template's framing stays, corner to corner."""
    return reframe(image, BOOK, BOOK)


def test_a_transfer_that_changes_nothing_keeps_the_identity(run, face, weights, tmp_path):
    file = weights(both=False, transform=Shape(4, 1, skip=True))
    (row,) = run(face("a.png"), aligned=True, file=file).rows
    assert row["identity_distance"] == 0
    assert row["judge_before"] == row["judge_after"]
    assert torch.equal(load_image(tmp_path / "out/a.png"), load_image(face("a.png")))


# --- folders, names and what is left out ---------------------------------------------------------


def test_a_folder_is_searched_and_names_never_meet(run, face, tmp_path):
    sources = ["b/x.png", "a/x.png", "X.png", "sheet.png", "a/deep/y.webp"]
    for seed, name in enumerate(sources):
        face(name, seed=seed)
    (tmp_path / "faces/notes.txt").write_text("no picture")
    report = run(tmp_path / "faces", face("x.png"), aligned=True)
    rows = [
        (os.path.relpath(r["source"], tmp_path / "faces"), os.path.basename(r["file"]))
        for r in report.rows
    ]
    assert rows == [
        ("X.png", "X.png"), ("sheet.png", "sheet-2.png"), ("x.png", "x-2.png"),
        ("a/x.png", "x-3.png"), ("a/deep/y.webp", "y.png"), ("b/x.png", "x-4.png"),
        ("x.png", "x-5.png"),
    ]  # fmt: skip
    written = {os.path.basename(r["file"]) for r in report.rows} | {"sheet.png", "transfer.json"}
    assert set(names(tmp_path / "out")) == written


def test_names_differ_in_more_than_capitals(run, face):
    """Some file systems take x.png and X.png for one file."""
    report = run(face("a/x.png"), face("b/X.png", seed=1), aligned=True)
    assert [os.path.basename(row["file"]) for row in report.rows] == ["x.png", "X-2.png"]


def test_what_can_not_be_used_is_listed_and_the_rest_is_done(run, photograph, tmp_path):
    broken = tmp_path / "photographs/broken.png"
    images = [photograph("none.png", 0), photograph("a.png"), broken, photograph("two.png", 2),
              tmp_path / "nowhere.png", photograph("b.png", seed=1)]  # fmt: skip
    broken.write_bytes(b"broken")
    report = run(*images)
    assert [os.path.basename(row["file"]) for row in report.rows] == ["a.png", "b.png"]
    assert names(tmp_path / "out") == ["a.png", "b.png", "sheet.png", "transfer.json"]
    failures = [(os.path.basename(f.path), f.error) for f in report.failures]
    assert failures == [
        ("none.png", "FaceCountError"), ("broken.png", "ImageError"),
        ("two.png", "FaceCountError"), ("nowhere.png", "ImageError"),
    ]  # fmt: skip
    for failure, words in zip(
        report.failures, ["no face", "not a picture", "2 faces", "does not exist"], strict=True
    ):
        assert words in failure.reason
        assert failure.path in failure.reason
    skipped = json.loads((tmp_path / "out/transfer.json").read_text())["skipped"]
    assert skipped == [vars(failure) for failure in report.failures]


def test_where_all_are_left_out_the_record_alone_is_written(run, photograph, tmp_path):
    report = run(photograph("none.png", 0))
    assert names(tmp_path / "out") == ["transfer.json"]
    assert report.facts()["pictures"] == []
    assert len(report.failures) == 1


@pytest.mark.parametrize("policy", ["largest", "central"])
def test_a_policy_takes_one_of_several_faces(run, photograph, policy):
    report = run(photograph("two.png", 2), policy=policy)
    assert not report.failures
    boxes = {"largest": [30.0, 20.0, 85.0, 80.0], "central": [32.0, 18.0, 87.0, 78.0]}
    assert report.rows[0]["box"] == boxes[policy]


def test_an_aligned_picture_that_is_not_square_is_left_out(run, photograph, face):
    report = run(photograph("wide.png"), face("a.png"), aligned=True)
    assert len(report.rows) == 1
    assert "an aligned face is square, this is 120 x 96 pixels" in report.failures[0].reason


def test_a_picture_that_is_gone_before_it_is_pasted_is_left_out(run, photograph, monkeypatch):
    source = photograph("a.png")
    found = session.faces_of_files

    def vanishing(*arguments, **options):
        for outcome in found(*arguments, **options):
            source.unlink(missing_ok=True)
            yield outcome

    monkeypatch.setattr(session, "faces_of_files", vanishing)
    report = run(source)
    assert "does not exist" in report.failures[0].reason


def test_pictures_stream(run, photograph, tmp_path, monkeypatch):
    """Each is written before the next but one is taken."""
    images = [photograph(f"{n}.png", seed=n) for n in range(4)]
    found = session.faces_of_files

    def watched(paths, *arguments, **options):
        for number, outcome in enumerate(found(paths, *arguments, **options)):
            assert names(tmp_path / "out") == [f"{n}.png" for n in range(number)]
            yield outcome

    monkeypatch.setattr(session, "faces_of_files", watched)
    assert len(run(*images).rows) == 4


# --- nothing is lost -----------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("how", ["itself", "symbolic link", "hard link", "as sheet"])
def test_a_picture_that_was_given_is_never_overwritten(run, face, tmp_path, overwrite, how):
    source, out = face("a.png"), tmp_path / "faces"
    if how == "as sheet":
        source = source.rename(out / "sheet.png")
    elif how != "itself":
        out = tmp_path / "out"
        out.mkdir()
        (os.symlink if how == "symbolic link" else os.link)(source, out / "a.png")
    before = source.read_bytes()
    with pytest.raises(ParameterError, match=r"png is one of the pictures to be transferred; give"):
        run(source, aligned=True, output=out, overwrite=overwrite)
    assert source.read_bytes() == before
    assert names(out) == ["sheet.png" if how == "as sheet" else "a.png"]


def test_a_home_folder_may_be_short(run, face, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    source, short = face("a.png"), Path("~/faces/a.png")
    before = source.read_bytes()
    with pytest.raises(ParameterError, match=r"a\.png is one of the pictures to be transferred"):
        run(short, aligned=True, output=tmp_path / "faces", overwrite=True)
    assert source.read_bytes() == before
    assert len(run(short, Path("~/faces"), aligned=True).rows) == 2


@pytest.mark.parametrize("name", ["b.png", "sheet.png", "transfer.json"])
def test_a_file_that_is_there_is_kept(run, face, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"precious")
    with pytest.raises(ParameterError, match=f"{name} exists; give another folder, or --overwrite"):
        run(face("a.png"), face("b.png"), aligned=True)
    assert names(out) == [name]
    assert (out / name).read_bytes() == b"precious"


def test_overwrite_replaces_results_and_nothing_else(run, face, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "diary.txt").write_text("mine")
    (out / "c.png").write_bytes(b"another picture")
    run(face("a.png"), aligned=True)
    first = (out / "a.png").read_bytes()
    run(face("a.png", seed=1), face("b.png"), aligned=True, overwrite=True)
    assert (out / "a.png").read_bytes() != first
    assert names(out) == ["a.png", "b.png", "c.png", "diary.txt", "sheet.png", "transfer.json"]
    assert (out / "diary.txt").read_text() == "mine"
    assert (out / "c.png").read_bytes() == b"another picture"


def test_what_can_not_be_written_ends_the_run(run, face, tmp_path):
    (tmp_path / "out/a.png").mkdir(parents=True)
    with pytest.raises(ImageError, match=r"a\.png could not be written"):
        run(face("a.png"), aligned=True, overwrite=True)
    assert names(tmp_path / "out") == ["a.png"], "nothing half written stays"


def test_a_network_that_gives_no_numbers_ends_the_run(run, face, tmp_path, weights):
    file = weights(both=False)
    tensors = assets.load_weights(file)
    tensors["last.bias"][:] = float("nan")
    header = json.loads(assets.read_source(file))
    networks.save_tensors(file, header.pop("method"), tensors, **header)
    with pytest.raises(ImageError, match="not finite; look at what computed it"):
        run(face("a.png"), aligned=True, file=file)
    assert names(tmp_path / "out") == []


def test_an_output_that_is_a_file_is_kept(run, face, tmp_path):
    (tmp_path / "out").write_bytes(b"precious")
    with pytest.raises(ParameterError, match="out is a file; give a folder for the results"):
        run(face("a.png"), aligned=True)
    assert (tmp_path / "out").read_bytes() == b"precious"


# --- what can't be -------------------------------------------------------------------------------


def test_what_is_refused_leaves_no_folder(run, face, tmp_path, weights):
    source = face("a.png")
    other = tmp_path / "other.safetensors"
    networks.save(other, "ganfaces", torch.nn.Linear(1, 1), config={})
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    (tmp_path / "empty").mkdir()
    mouth = weights()
    for error, message, images, options in (
        (ParameterError, "no task 'smile'; choose one of", [source], {"task": "smile",
                                                                      "file": mouth}),
        (ParameterError, "no policy 'all' here; choose one of: error, l", [source],
         {"policy": "all"}),
        (ParameterError, "tiny.safetensors does mouth_open, not mouth_close; give --task mouth_op",
         [source], {"task": "mouth_close", "file": mouth}),
        (CheckpointError, "is of ganfaces, diat-enhancement expected", [source], {"file": other}),
        (CheckpointError, "damaged.safetensors is damaged", [source], {"file": damaged}),
        (CheckpointError, "nowhere", [source], {"file": tmp_path / "nowhere.safetensors"}),
        (UserError, "empty has no pictures", [tmp_path / "empty"], {}),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            run(*images, aligned=True, **options)
        assert not (tmp_path / "out").exists()


def test_a_task_without_a_checkpoint_says_how_to_train_one(face, tmp_path, means, monkeypatch):
    monkeypatch.setattr(checkpoint, "MODELS", tmp_path / "models")
    order = session.Order("male_to_female", (face("a.png"),), tmp_path / "out", aligned=True)
    with pytest.raises(AssetError, match="no checkpoint of male_to_female is shipped yet; train"):
        session.run(order)
    assert not (tmp_path / "out").exists()


def test_a_shipped_checkpoint_is_found(face, tmp_path, means, monkeypatch, weights):
    monkeypatch.setattr(checkpoint, "MODELS", weights("male_to_female", "male_to_female").parent)
    order = session.Order("male_to_female", (face("a.png"),), tmp_path / "out", aligned=True)
    (row,) = session.run(order).rows
    assert row["checkpoint"] == "diat-enhancement male_to_female, step 1,234"


def test_nobody_judges_what_was_trained_through_him(run, face, tmp_path, weights, monkeypatch):
    monkeypatch.setattr(session, "embedders_of", lambda path: ("means",))
    with pytest.raises(ParameterError, match="means can't judge a network whose loss"):
        run(face("a.png"), aligned=True)
    assert not (tmp_path / "out").exists()
