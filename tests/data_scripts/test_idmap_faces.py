"""The training set of idmap: made, gone on with, verified, and what can't be used."""

import pytest
import torch

from data_scripts import idmap_faces
from facelab.assets import networks
from facelab.data import packed
from facelab.data.latents import W_LABEL
from facelab.data.packed import Packed
from facelab.generators import dcgan


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """A random DCGAN of 5 latents, as a file."""
    path = tmp_path_factory.mktemp("generator") / "tiny.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = dcgan.DCGAN(latents=5, width=2)
    config = {"latents": 5, "width": 2, "prior": "normal"}
    networks.save(path, dcgan.METHOD, network, config=config)
    return path


@pytest.fixture
def call(generator, tmp_path):
    """Calls the script for a few faces without codes."""
    output = tmp_path / "faces.facepack"

    def run(*more: str) -> tuple[int, Packed | None]:
        given = ["--generator", str(generator), "--count", "6", "--embedder", "none"]
        code = idmap_faces.main([*given, "-o", str(output), *more])
        return code, Packed(output) if output.exists() else None

    return run


def test_faces_with_their_vectors(call, capsys):
    code, faces = call()
    assert code == 0
    assert len(faces) == 6
    batch = faces.batch([1, 4])
    assert batch.images.shape == (2, 3, 64, 64)
    assert set(batch.labels) == {W_LABEL}
    assert batch.labels[W_LABEL].shape == (2, 5)
    said = capsys.readouterr()
    assert said.out.strip() == str(faces.path)
    assert "6 faces of dcgan, 64 pixels" in said.err


def test_an_interrupted_call_goes_on(call, monkeypatch):
    whole, done = packed._write_block, []

    def cut(file, layout, number, rows):
        if number == 2 and len(done) < 3:
            done.append("cut")
            raise KeyboardInterrupt
        done.append(number)
        whole(file, layout, number, rows)

    monkeypatch.setattr(packed, "_write_block", cut)
    many = ("--count", str(2 * packed.BLOCK + 1))
    assert call(*many) == (130, None)
    code, faces = call(*many)
    assert code == 0
    assert done == [0, 1, "cut", 2], "what was there is not drawn again"
    faces.verify()


def test_verification(call, capsys):
    _, faces = call()
    assert call("--verify")[0] == 0
    assert call("--verify", "--truncation", "0.7")[0] == 2
    assert "made with other settings (truncation is 1.0, expected 0.7)" in capsys.readouterr().err
    content = bytearray(faces.path.read_bytes())
    content[5000] ^= 1
    faces.path.write_bytes(content)
    assert call("--verify")[0] == 2
    assert "are not what was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--count", "0"), "0 faces make no dataset"),
        (("--truncation", "2"), "truncation 2.0 can't be used"),
        (("--generator", "digiface"), "there is no generator 'digiface'"),
        (("--embedder", "dlip"), "there is no recogniser called 'dlip'"),
        (("--split", "some"), "some"),
    ],
)
def test_what_cant_be_used(call, capsys, given, message):
    code, faces = call(*given)
    assert (code, faces) == (2, None)
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
