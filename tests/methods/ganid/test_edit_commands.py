"""`facelab edit` and `facelab attributes`: what is written, and what is refused."""

import json

import pytest
import torch
from click.testing import CliRunner

from facelab import cli
from facelab.errors import CheckpointError, ParameterError
from facelab.generators import catalogue
from facelab.images import load_image
from facelab.methods.ganid import arithmetic, edit_commands, edit_session
from facelab.methods.ganid.attributes import NAMES
from facelab.methods.ganid.latent_file import load_latent, save_latent

FILES = {"edited.png", "sheet.png", "latent.safetensors", "edit.json"}


@pytest.fixture
def tiny(monkeypatch, stripes, patches):
    """The linear generator, the recogniser of patches, and vectors along the axes."""
    vectors = dict(zip(("mouth", "direction", "smile"), torch.eye(6), strict=False))

    def named(name: str):
        found = type(patches)(name)
        return found.eval()

    monkeypatch.setattr(catalogue, "generator", lambda name: stripes)
    monkeypatch.setattr(edit_session, "find_embedder", named)
    monkeypatch.setattr(arithmetic, "vectors_for", lambda *a, **k: vectors)
    return vectors


@pytest.fixture
def latent(tmp_path, stripes, random):
    path = tmp_path / "found" / "latent.safetensors"
    save_latent(path, torch.randn(1, 6, generator=random), stripes)
    return path


def run(*arguments: object):
    result = CliRunner().invoke(edit_commands.edit, list(map(str, arguments)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_an_edit_leaves_four_files(tiny, latent, stripes, tmp_path):
    out = tmp_path / "out"
    said = run("--latent", latent, "--attribute", "mouth", "-o", out)
    assert {path.name for path in out.iterdir()} == FILES
    edited = load_latent(out / "latent.safetensors", stripes)
    torch.testing.assert_close(edited - load_latent(latent, stripes), tiny["mouth"][None])
    face = load_image(out / "edited.png")
    torch.testing.assert_close(face, stripes(edited), rtol=0, atol=1 / 127)
    assert load_image(out / "sheet.png").shape == (1, 3, 3 * 64, 5 * 3 * 64 + 4 * 6)
    facts = json.loads((out / "edit.json").read_text())
    assert (facts["generator"], facts["embedder"]) == ("stripes", "dlib")
    (verdict,) = facts["attributes"]
    assert (verdict["attribute"], verdict["strength"]) == ("mouth", 1.0)
    assert verdict["judge"].startswith("landmark_regressor")
    assert verdict["judge_after"] == (verdict["judge_value_after"] > 0)
    assert facts["distance"] > 0
    assert facts["keep_identity"] is facts["orthogonal"] is False
    assert "the mouth is open: " in said.output


def test_several_attributes_with_their_strengths(tiny, latent, stripes, tmp_path):
    run("--latent", latent, "--attribute", "mouth", "--attribute", "direction",
        "--strength", 2, "--strength", -0.5, "-o", tmp_path / "out")  # fmt: skip
    moved = load_latent(tmp_path / "out/latent.safetensors", stripes) - load_latent(latent, stripes)
    torch.testing.assert_close(moved, torch.tensor([[2.0, -0.5, 0, 0, 0, 0]]))
    facts = json.loads((tmp_path / "out/edit.json").read_text())
    assert [v["wanted"] for v in facts["attributes"]] == [
        "the mouth is open", "turned to the viewer's left",
    ]  # fmt: skip


def test_orthogonal_vectors_are_used_when_asked_for(tiny, latent, stripes, tmp_path, random):
    tiny["smile"] = torch.randn(6, generator=random)
    run("--latent", latent, "--attribute", "smile", "--orthogonal", "-o", tmp_path / "out")
    moved = load_latent(tmp_path / "out/latent.safetensors", stripes) - load_latent(latent, stripes)
    torch.testing.assert_close(moved[0], arithmetic.orthogonalised(tiny)["smile"])
    assert float(moved[0, :2].abs().max()) < 1e-6


def test_keeping_the_identity(tiny, latent, stripes, tmp_path):
    run("--latent", latent, "--attribute", "mouth", "--strength", 3, "--keep-identity",
        "-o", tmp_path / "out")  # fmt: skip
    facts = json.loads((tmp_path / "out/edit.json").read_text())
    assert facts["distance"] <= facts["distance_before_correction"]
    assert (facts["unseen_embedder"], facts["embedder"]) == ("faceres", "dlib")
    assert facts["evaluations"] == 26
    # Both recognisers are the same network here.
    assert facts["distance_unseen_embedder"] == pytest.approx(facts["distance"], abs=1e-5)
    moved = load_latent(tmp_path / "out/latent.safetensors", stripes) - load_latent(latent, stripes)
    assert float(moved[0, 0]) == pytest.approx(3, abs=1e-4)
    assert load_image(tmp_path / "out/sheet.png").shape[3] == 6 * 3 * 64 + 5 * 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--attribute", "mouht"), "no attribute 'mouht'; did you mean mouth"),
        (("--attribute", "glasses"), "too few faces of stripes differ in 'glasses' for a vector"),
        (("--attribute", "mouth", "--strength", "nan"), "a strength of nan can't be used"),
        (("--attribute", "mouth", "--strength", "inf"), "a strength of inf can't be used"),
        (
            ("--attribute", "mouth", "--strength", "1", "--strength", "2"),
            "attributes: 1, strengths: 2",
        ),
        (
            ("--attribute", "mouth", "--attribute", "smile", "--strength", "1"),
            "attributes: 2, strengths: 1",
        ),
        (("--attribute", "mouth", "--attribute", "mouth"), "an attribute is given twice"),
        (("--attribute", "mouth", "--keep-identity", "--unseen", "dlib"), "dlib can't judge a"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tiny, latent, tmp_path, arguments, message):
    with pytest.raises(ParameterError, match=message):
        run("--latent", latent, *arguments, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_latent_of_another_generator_is_refused(tiny, latent, stripes, tmp_path):
    stripes.id = "began"
    with pytest.raises(CheckpointError, match="of the generator stripes, not of began"):
        run("--latent", latent, "--attribute", "mouth", "-o", tmp_path / "out")
    with pytest.raises(CheckpointError, match="can't be read"):
        run("--latent", tmp_path / "none", "--attribute", "mouth", "-o", tmp_path / "out")


def test_no_file_is_lost(tiny, latent, tmp_path):
    kept = latent.read_bytes()
    for more in ((), ("--overwrite",)):
        with pytest.raises(ParameterError, match="is the latent vector to be edited"):
            run("--latent", latent, "--attribute", "mouth", *more, "-o", latent.parent)
    assert latent.read_bytes() == kept
    with pytest.raises(ParameterError, match="is a file; give a folder"):
        run("--latent", latent, "--attribute", "mouth", "-o", latent)
    out = tmp_path / "out"
    out.mkdir()
    (out / "sheet.png").write_bytes(b"of a search")
    with pytest.raises(ParameterError, match=r"sheet.png exists; give another folder, or --over"):
        run("--latent", latent, "--attribute", "mouth", "-o", out)
    assert (out / "sheet.png").read_bytes() == b"of a search"
    run("--latent", latent, "--attribute", "mouth", "--overwrite", "-o", out)
    assert {path.name for path in out.iterdir()} == FILES


def test_the_listing_has_every_attribute():
    plain = CliRunner().invoke(edit_commands.attributes)
    rows = json.loads(CliRunner().invoke(edit_commands.attributes, ["--json"]).stdout)
    assert [row["name"] for row in rows] == list(NAMES)
    for row in rows:
        assert all(row.values())
        assert row["name"] in plain.stdout
        assert row["judge"] in plain.stdout


def test_main_ends_with_2_for_a_users_mistake(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["edit", "--latent", "z", "--attribute", "glasess", "-o", str(tmp_path / "out")])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ParameterError: there is no attribute 'glasess'; did you mean glasses")


def test_a_real_face_opens_its_mouth(tmp_path, monkeypatch, capsys):
    """With the pre-trained generator, dlib, and vectors of 600 samples."""
    monkeypatch.setattr(arithmetic, "SAMPLES", 600)
    network = catalogue.generator()
    random = torch.Generator().manual_seed(3)
    latents = network.sample_latent(20, random)
    mouth = edit_session.find("mouth")
    closed = latents[int(mouth.judged(network(latents)).argmin())][None]
    save_latent(tmp_path / "z.safetensors", closed, network)
    with pytest.raises(SystemExit) as ended:
        cli.main(["edit", "--latent", str(tmp_path / "z.safetensors"), "--attribute", "mouth",
                  "--strength", "2", "-o", str(tmp_path / "out")])  # fmt: skip
    assert not ended.value.code
    facts = json.loads((tmp_path / "out/edit.json").read_text())
    (verdict,) = facts["attributes"]
    assert not verdict["judge_before"]
    assert verdict["judge_after"]
    assert 0 < facts["distance"] < 1
    assert facts["embedder"] == "dlib"
