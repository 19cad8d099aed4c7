"""`facelab embed`, `verify` and `align`, mostly with a recogniser of four numbers."""

import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from facelab import assets
from facelab.errors import FaceCountError, ImageError, ParameterError, UserError
from facelab.identity import align, embed, verify
from facelab.images import load_image
from facelab.recognition import embedder as recognisers
from facelab.recognition.embedder import Embedder


class Corners(Embedder):
    """A recogniser that sees the mean brightness of the four quarters of a face."""

    id, size, template, threshold, threshold_squared = "corners", 150, "dlib150", 0.1, 0.05

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return nn.functional.adaptive_avg_pool2d(images.mean(1), 2).flatten(1) * self.gain + 1


@pytest.fixture
def tiny(monkeypatch):
    """Put the recogniser of four numbers in place of dlib's."""
    monkeypatch.setattr(recognisers, "embedder", lambda name="dlib", device="cpu": Corners())


@pytest.fixture(scope="module")
def portraits() -> Path:
    return assets.path("portraits")


def run(command, *arguments: object) -> Result:
    """Run a verb that has to succeed."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    if result.exception:
        raise result.exception
    assert result.exit_code == 0
    return result


def refused(command, kind: type, *arguments: object) -> str:
    """Run a verb that has to fail for a user's mistake; return the one line."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    assert isinstance(result.exception, kind), result.exception
    assert result.output == ""
    message = str(result.exception)
    assert len(message.splitlines()) == 1
    return message


def crop(path: Path, quarters: tuple[int, int, int, int], noise: int = 0) -> Path:
    """Write an aligned crop whose quarters have these levels."""
    levels = np.array(quarters, np.float64).reshape(2, 2).repeat(75, 0).repeat(75, 1)
    levels += noise * np.random.default_rng(noise).standard_normal(levels.shape)
    picture = PIL.Image.fromarray(levels.clip(0, 255).astype(np.uint8)).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


@pytest.fixture
def people(tmp_path) -> Path:
    """Six people with four aligned crops each, and pairs.csv with all their pairs."""
    levels = [(200, 20, 20, 20), (20, 200, 20, 20), (20, 20, 200, 20), (20, 20, 20, 200)]
    levels += [(200, 200, 20, 20), (20, 20, 200, 200)]
    names = []
    for person, quarters in enumerate(levels):
        for index in range(4):
            name = f"p{person}/{index}.png"
            crop(tmp_path / name, tuple(v + 5 * index for v in quarters), noise=3 + index)
            names.append((name, person))
    rows = ["a,b,same"]
    for i, (a, of_a) in enumerate(names):
        rows += [f"{a},{b},{int(of_a == of_b)}" for b, of_b in names[i + 1 :]]
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    return tmp_path


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


# --- embed ---------------------------------------------------------------------------------------


def test_embed_writes_unit_vectors_that_need_no_unpickling(people, tiny):
    target = people / "new" / "faces.npz"
    paths = [people / "p0" / "0.png", people / "p1" / "2.png"]
    result = run(embed, *paths, "--aligned", "-o", target)
    assert f"wrote {target}: 2 faces of 2 pictures, 0 failed" in result.stdout
    loaded = arrays(target)
    assert loaded["paths"].tolist() == [str(path) for path in paths]
    np.testing.assert_allclose(np.linalg.norm(loaded["embeddings"], axis=1), 1, rtol=1e-6)
    direct = Corners().embed(torch.cat([load_image(path) for path in paths])).detach()
    np.testing.assert_allclose(loaded["embeddings"], direct, atol=1e-6)
    assert loaded["embedder"].item() == "corners"
    assert {"raw", "boxes", "landmarks", "probabilities", "seen"} <= set(loaded)
    assert [path.name for path in target.parent.iterdir()] == ["faces.npz"]


def test_embed_counts_and_lists_what_fails_in_a_folder(people, tiny):
    damaged = people / "p3" / "0.png"
    damaged.write_bytes(damaged.read_bytes()[:50])
    (people / "notes.txt").write_text("no picture")
    target = people / "faces.npz"
    arguments = ("--folder", people, "--aligned", "-o", target)
    result = run(embed, *arguments)
    assert "23 faces of 24 pictures, 1 failed" in result.stdout
    assert result.stderr.startswith(f"failed: {damaged}")
    found = json.loads(run(embed, *arguments, "--json").stdout)
    assert (found["images"], found["faces"], found["failures"]) == (24, 23, 1)
    assert found["failed_images"][0]["path"] == str(damaged)
    assert found["failed_images"][0]["error"] == "ImageError"
    assert found["images_per_second"] > 0
    assert arrays(target)["failed_paths"].tolist() == [str(damaged)]


def test_embed_refuses_pictures_that_fail_when_they_are_named(people, tiny):
    good = people / "p0" / "0.png"
    (people / "bad.png").write_text("notes")
    target = people / "faces.npz"
    arguments = (good, people / "bad.png", people / "none.png", "--aligned", "-o", target)
    message = refused(embed, ImageError, *arguments)
    assert "bad.png is not a picture" in message
    assert "(1 more failed)" in message
    assert not target.exists()


def test_embed_keeps_an_earlier_file_when_it_fails(people, tiny, monkeypatch):
    target = people / "faces.npz"
    target.write_text("earlier")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    message = refused(embed, UserError, people / "p0" / "0.png", "--aligned", "-o", target)
    assert "No space left" in message
    assert target.read_text() == "earlier"
    assert not list(people.glob(".*part"))


def test_embed_refuses_before_the_work(people, tiny):
    picture = people / "p0" / "0.png"
    before = picture.read_bytes()
    assert "is a folder" in refused(embed, UserError, picture, "-o", people)
    assert "one of the pictures" in refused(embed, UserError, picture, "-o", picture)
    assert picture.read_bytes() == before
    below = people / "pairs.csv" / "x.npz"
    assert "could not be made" in refused(embed, UserError, picture, "-o", below)
    target = people / "x.npz"
    for none_or_both in ((), (picture, "--folder", people)):
        message = refused(embed, ParameterError, *none_or_both, "-o", target)
        assert message == "give either pictures or --folder DIR"
    empty = people / "empty"
    empty.mkdir()
    assert "has no pictures" in refused(embed, UserError, "--folder", empty, "-o", target)


def test_an_unknown_recogniser_is_named(people):
    message = refused(
        embed,
        ParameterError,
        people / "p0" / "0.png",
        "--embedder",
        "arcface",
        "-o",
        people / "x.npz",
    )
    assert "no recogniser called 'arcface'; choose one of: dlib" in message


def test_a_gpu_that_is_not_there_is_named(people, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = (people / "p0" / "0.png", "--device", "cuda", "-o", people / "x.npz")
    assert "no NVIDIA GPU" in refused(embed, ParameterError, *arguments)


# --- verify --------------------------------------------------------------------------------------


def test_verify_two_pictures(people, tiny):
    first, second, other = (people / name for name in ("p0/0.png", "p0/3.png", "p2/0.png"))
    same = json.loads(run(verify, first, second, "--aligned", "--json").stdout)
    assert same["verdict"] == "same"
    assert same["same"] is True
    assert same["distance"] < same["threshold"] == 0.05
    assert same["images"][0]["path"] == str(first)
    assert same["images"][0]["probability"] is None
    different = json.loads(run(verify, first, other, "--aligned", "--json").stdout)
    assert different["verdict"] == "different"
    a, b = (Corners().embed(load_image(path)).detach() for path in (first, other))
    assert different["distance"] == pytest.approx(Corners.distance(a, b).item(), abs=1e-6)
    text = run(verify, first, other, "--aligned").stdout.splitlines()
    assert text[0].split()[:2] == ["distance", f"{different['distance']:.3f}"]
    assert text[1].split()[:2] == ["threshold", "0.050"]
    assert text[2].split() == ["verdict", "different"]


def test_verify_a_list_of_pairs(people, tiny):
    result = run(verify, "--pairs", people / "pairs.csv", "--images", people, "--aligned", "--json")
    found = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert (found["pairs"], found["same_pairs"], found["images"]) == (276, 36, 24)
    assert found["failures"] == found["failed_pairs"] == 0
    assert found["auc"] == found["accuracy"] == found["one_minus_eer"] == 1
    assert (found["folds"], found["fold_rule"]) == (6, "people")
    assert found["people"] == 6
    assert 0 < found["threshold"] < 1
    assert found["images_per_second"] > 0
    assert found["intervals"]["accuracy"]["confidence"] == 0.95
    assert (found["embedder"], found["policy"]) == ("corners", "aligned")


def test_each_picture_is_embedded_once(people, tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "facelab.recognition.gallery.load_image",
        lambda path: seen.append(str(path)) or load_image(path),
    )
    run(verify, "--pairs", people / "pairs.csv", "--aligned")
    assert len(seen) == 24
    assert len(set(seen)) == 24


def test_a_picture_that_fails_makes_its_pairs_wrong_and_is_listed(people, tiny):
    (people / "p4" / "1.png").write_bytes(b"not a picture any more")
    arguments = ("--pairs", people / "pairs.csv", "--images", people, "--aligned")
    found = json.loads(run(verify, *arguments, "--json").stdout)
    assert (found["images"], found["failures"], found["failed_pairs"]) == (24, 1, 23)
    assert found["accuracy"] == pytest.approx(1 - 23 / 276)
    assert found["failed_images"][0]["path"].endswith("p4/1.png")
    result = run(verify, *arguments)
    assert "23 without a face (wrong)" in result.stdout
    assert "24, 1 without a face" in result.stdout
    assert result.stderr.startswith("failed: ")


def test_verify_says_what_it_did(people, tiny):
    lines = run(verify, "--pairs", people / "pairs.csv", "--aligned").stdout.splitlines()
    text = {line[:16].strip(): line[16:] for line in lines}
    assert text["pairs"].startswith("276: 36 of one person, 240 of two; 0 without a face")
    assert text["accuracy"].startswith("1.0000  (95% interval over people: ")
    assert "6 folds: folds of people" in text["threshold"]
    assert text["TPR, FPR 0.01"] == "1.0000"
    assert text["TPR, FPR 0.001"] == "-  (too few pairs)"
    assert "recogniser corners" in text["images"]


def test_few_pairs_make_fewer_folds_and_one_pair_none(people, tiny):
    few = people / "few.csv"
    few.write_text("a,b,same\np0/0.png,p0/1.png,1\np0/0.png,p1/0.png,0\np1/0.png,p1/1.png,1\n")
    found = json.loads(run(verify, "--pairs", few, "--aligned", "--json").stdout)
    assert (found["folds"], found["fold_rule"]) == (0, "none")
    assert found["threshold"] == pytest.approx(0.05)
    assert found["auc"] == 1
    few.write_text(few.read_text() + "p1/0.png,p2/0.png,0\n")
    found = json.loads(run(verify, "--pairs", few, "--aligned", "--json").stdout)
    assert (found["folds"], found["fold_rule"]) == (2, "pairs")
    assert "2 folds: folds of pairs" in run(verify, "--pairs", few, "--aligned").stdout
    few.write_text("a,b,same\np0/0.png,p0/1.png,1\n")
    result = run(verify, "--pairs", few, "--aligned")
    assert "0 folds: no folds, the recogniser's own threshold" in result.stdout
    assert "AUC             -  (too few pairs)" in result.stdout


def test_contradictory_pairs_are_mentioned(people, tiny):
    listed = people / "odd.csv"
    listed.write_text(
        "a,b,same\np0/0.png,p0/1.png,1\np0/1.png,p0/2.png,1\np0/0.png,p0/2.png,0\n"
        "p1/0.png,p2/0.png,0\n"
    )
    result = run(verify, "--pairs", listed, "--aligned")
    assert "1 pairs are said to be of two people" in result.stderr
    assert (
        json.loads(run(verify, "--pairs", listed, "--aligned", "--json").stdout)["contradictions"]
        == 1
    )


def test_lfws_list_is_judged_by_its_own_folds(people, tiny):
    for person in range(6):
        folder = people / f"Person_{person}"
        folder.mkdir()
        for index in range(4):
            shutil.copy(
                people / f"p{person}/{index}.png", folder / f"{folder.name}_000{index + 1}.png"
            )
    lines = ["3\t2"]
    for a, b in ((0, 1), (2, 3), (4, 5)):
        lines += [f"Person_{a}\t1\t2", f"Person_{b}\t1\t2"]
        lines += [f"Person_{a}\t1\tPerson_{b}\t3", f"Person_{a}\t4\tPerson_{b}\t2"]
    (people / "pairs.txt").write_text("\n".join(lines))
    found = json.loads(run(verify, "--pairs", people / "pairs.txt", "--aligned", "--json").stdout)
    assert (found["folds"], found["fold_rule"], found["pairs"]) == (3, "given", 12)
    assert found["images"] == 18
    assert found["accuracy"] == 1
    assert found["accuracy_standard_error"] == 0


@pytest.mark.parametrize(
    "arguments",
    [(), ("a.png",), ("a.png", "b.png", "c.png"), ("a.png", "b.png", "--images", "x"),
     ("a.png", "b.png", "--pairs", "x"), ("--images", "x")],
)  # fmt: skip
def test_verify_needs_two_pictures_or_a_list(arguments):
    assert "give either two pictures, or --pairs" in refused(verify, ParameterError, *arguments)


def test_mistakes_in_a_list_are_one_line(people, tiny):
    listed = people / "bad.csv"
    listed.write_text("a,b,same\np0/0.png,p0/9.png,1\n")
    message = refused(verify, ImageError, "--pairs", listed, "--images", people)
    assert "bad.csv, line 2: " in message
    assert "9.png does not exist" in message
    listed.write_text("")
    assert "is empty" in refused(verify, UserError, "--pairs", listed)
    for index in range(2):
        (people / f"n{index}.png").write_text("notes")
    listed.write_text("a,b,same\nn0.png,n1.png,1\n")
    message = refused(verify, ImageError, "--pairs", listed, "--aligned")
    assert "n0.png is not a picture" in message


# --- align ---------------------------------------------------------------------------------------


@pytest.fixture
def astronaut(tmp_path) -> Path:
    return Path(shutil.copy(assets.path("astronaut"), tmp_path / "astronaut.png"))


def test_align_writes_faces_of_the_template_s_size(astronaut, tmp_path):
    target = tmp_path / "faces"
    result = run(align, astronaut, "-o", target)
    assert result.stdout == f"wrote {target / 'astronaut.png'}\n"
    large = load_image(target / "astronaut.png")
    assert large.shape == (1, 3, 150, 150)
    run(align, astronaut, "-o", target, "--size", 75, "--overwrite")
    small = load_image(target / "astronaut.png")
    # The same frame at half the size: the means of 2 x 2 pixels, but for the resampling.
    torch.testing.assert_close(nn.functional.avg_pool2d(large, 2), small, rtol=0, atol=0.25)
    assert (nn.functional.avg_pool2d(large, 2) - small).abs().mean() < 0.02


def test_align_tells_where_each_face_came_from(astronaut, tmp_path):
    arguments = (astronaut, "-o", tmp_path / "f", "--template", "arcface112", "--json")
    found = json.loads(run(align, *arguments).stdout)
    assert (found["template"], found["size"], found["policy"]) == ("arcface112", 112, "largest")
    (written,) = found["files"]
    assert written["source"] == str(astronaut)
    assert load_image(written["file"]).shape[2:] == (112, 112)
    assert written["box"] == pytest.approx([181, 62, 268, 173], abs=3)
    assert written["probability"] > 0.99


def test_align_never_overwrites_what_was_given_and_keeps_names_apart(astronaut, tmp_path):
    before = astronaut.read_bytes()
    (tmp_path / "other").mkdir()
    second = Path(shutil.copy(astronaut, tmp_path / "other" / "Astronaut-2.png"))
    run(align, astronaut, second, "-o", tmp_path, "--overwrite")
    assert astronaut.read_bytes() == second.read_bytes() == before
    names = sorted(path.name for path in tmp_path.iterdir())
    # Astronaut-2.png would be astronaut-2.png where upper and lower case are one.
    assert names == ["Astronaut-2-2.png", "astronaut-2.png", "astronaut.png", "other"]


def test_align_keeps_files_that_are_there(astronaut, tmp_path):
    target = tmp_path / "faces"
    target.mkdir()
    kept = target / "astronaut.png"
    kept.write_text("mine")
    message = refused(align, UserError, astronaut, "-o", target)
    assert "astronaut.png exists" in message
    assert "--overwrite" in message
    assert kept.read_text() == "mine"


def test_align_all_faces_of_a_picture(astronaut, tmp_path):
    picture = PIL.Image.open(astronaut).convert("RGB")
    sheet = PIL.Image.new("RGB", (900, 512))
    sheet.paste(picture, (0, 0))
    sheet.paste(picture.resize((360, 360)), (530, 100))
    sheet.save(tmp_path / "two.png")
    target = tmp_path / "faces"
    run(align, tmp_path / "two.png", "-o", target, "--policy", "all")
    assert sorted(path.name for path in target.iterdir()) == ["two-2.png", "two.png"]
    message = refused(
        align,
        FaceCountError,
        tmp_path / "two.png",
        "-o",
        target,
        "--policy",
        "error",
        "--overwrite",
    )
    assert "2 faces were found where one is expected" in message


def test_align_s_mistakes_are_one_line(astronaut, tmp_path):
    target = tmp_path / "faces"
    message = refused(align, ParameterError, astronaut, "-o", target, "--template", "ffhq")
    assert "no template called 'ffhq'" in message
    (tmp_path / "notes.txt").write_text("notes")
    assert "is not a folder" in refused(align, UserError, astronaut, "-o", tmp_path / "notes.txt")
    PIL.Image.new("RGB", (300, 200), "grey").save(tmp_path / "grey.png")
    assert "no face was found" in refused(
        align, FaceCountError, tmp_path / "grey.png", "-o", target
    )


# --- all of it, on photographs -------------------------------------------------------------------


@pytest.fixture
def variations(portraits, astronaut, tmp_path) -> Path:
    """Portraits of three people as cameras, scanners and editors hand them out, and their pairs.

    Grey, RGBA, 16 bits, rotated by EXIF, rotated for good, small, tight, dark.
    """
    people = {"obama": ("obama", "obama2"), "biden": ("biden",), "collins": (astronaut,)}
    names = []
    for person, sources in people.items():
        for number, source in enumerate(sources):
            path = source if isinstance(source, Path) else portraits / f"{source}.jpg"
            picture = PIL.Image.open(path).convert("RGB")
            picture.thumbnail((480, 480))
            exif = PIL.Image.Exif()
            exif[0x0112] = 6
            grey_16 = np.asarray(picture.convert("L")).astype(np.uint16) * 257
            made = {
                "plain.jpg": (picture, {}),
                "grey.png": (picture.convert("L"), {}),
                "rgba.png": (picture.convert("RGBA"), {}),
                "bits.png": (PIL.Image.fromarray(grey_16), {}),
                "exif.jpg": (picture.rotate(90, expand=True), {"exif": exif}),
                "turned.jpg": (picture.rotate(90, expand=True), {}),
                "small.png": (picture.resize([side // 2 for side in picture.size]), {}),
                "dark.jpg": (PIL.Image.eval(picture, lambda level: level // 3), {}),
                "mirrored.jpg": (picture.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT), {}),
            }
            for name, (variation, options) in made.items():
                name = f"{person}{number}-{name}"
                variation.save(tmp_path / name, **options)
                names.append((name, person))
    rows = ["a,b,same"]
    for i, (a, of_a) in enumerate(names):
        rows += [f"{a},{b},{str(of_a == of_b).lower()}" for b, of_b in names[i + 1 :]]
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    return tmp_path


@pytest.mark.slow
def test_verification_of_photographs_in_all_forms(variations):
    found = json.loads(run(verify, "--pairs", variations / "pairs.csv", "--json").stdout)
    assert found["failures"] == 0
    assert (found["images"], found["pairs"]) == (36, 630)
    assert found["auc"] >= 0.999
    assert found["accuracy"] >= 0.99


def test_the_portraits_from_end_to_end(portraits, tmp_path):
    """dlib's recogniser, MTCNN and no stand-in: three of one man, one of another."""
    listed = tmp_path / "pairs.csv"
    names = ["obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg"]
    rows = [
        f"{a},{b},{int('biden' not in a + b)}" for i, a in enumerate(names) for b in names[i + 1 :]
    ]
    listed.write_text("a,b,same\n" + "\n".join(rows))
    arguments = ("--pairs", listed, "--images", portraits, "--json")
    found = json.loads(run(verify, *arguments).stdout)
    assert (found["auc"], found["accuracy"], found["accuracy_default_threshold"]) == (1, 1, 1)
    assert (found["pairs"], found["images"], found["failures"]) == (6, 4, 0)
    assert (found["embedder"], found["fold_rule"], found["folds"]) == ("dlib", "pairs", 3)
    target = tmp_path / "faces.npz"
    run(embed, portraits / "obama.jpg", portraits / "obama3.jpg", "-o", target)
    unit = arrays(target)["embeddings"]
    assert unit.shape == (2, 128)
    assert np.square(unit[0] - unit[1]).sum() < 0.1


def test_the_second_recogniser_from_end_to_end(portraits, tmp_path):
    """The same verbs with --embedder faceres: one man twice, and another one."""
    obama, other, biden = (portraits / f"{name}.jpg" for name in ("obama", "obama3", "biden"))
    chosen = ("--embedder", "faceres", "--json")
    same = json.loads(run(verify, obama, other, *chosen).stdout)
    different = json.loads(run(verify, obama, biden, *chosen).stdout)
    assert (same["verdict"], different["verdict"]) == ("same", "different")
    assert same["embedder"] == "faceres"
    assert same["threshold"] == recognisers.embedder("faceres").threshold_squared
    target = tmp_path / "faces.npz"
    found = json.loads(run(embed, obama, biden, "-o", target, *chosen).stdout)
    assert (found["faces"], found["features"]) == (2, 1024)
    unit = arrays(target)["embeddings"]
    assert np.square(unit[0] - unit[1]).sum() == pytest.approx(different["distance"], abs=1e-4)
