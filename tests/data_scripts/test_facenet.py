"""The script that fetches FaceNet's weights, against a server on this machine and tiny files.

A checkpoint whose tensors are one number each, spread over the published shapes, is a few hundred
kilobytes. Its own size and sum stand in for those of the published file.
"""

import dataclasses
import hashlib
import io
import os
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from facelab import assets
from facelab.assets import File, web
from facelab.recognition import embedder, facenet

SCRIPT = Path(__file__).parents[2] / "data_scripts/facenet.py"
NAME = "facenet-casia"


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


@pytest.fixture(scope="module")
def script(data_script):
    return data_script("facenet")


def file_of(tensors: object) -> bytes:
    stream = io.BytesIO()
    torch.save(tensors, stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def tensors():
    with torch.device("meta"):
        shapes = facenet.build_network(facenet.CHECKPOINTS[NAME].identities).state_dict()
    return {k: torch.full((1,) * t.ndim, 0.5).expand(t.shape) for k, t in shapes.items()}


@pytest.fixture
def publish(file_server, monkeypatch, tmp_path):
    """Serve bytes, and let them be what the release has; the cache is empty."""
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))

    def serve(content: bytes):
        file_server.content = content
        file = File("casia.pt", hashlib.sha256(content).hexdigest(), len(content))
        published = dataclasses.replace(facenet.CHECKPOINTS[NAME], file=file)
        monkeypatch.setitem(facenet.CHECKPOINTS, NAME, published)
        return file_server

    yield serve
    facenet.facenet.cache_clear()


@pytest.fixture
def run(script, capsys, publish):
    """Run the script on its mirror; return status, output and the one line of an error."""

    def call(*arguments, url=None):
        address = ["--url", url] if url else []
        status = script.main([NAME, *map(str, arguments), *address])
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if line.startswith(f"{NAME}: ")]
        return status, captured.out.strip(), lines[-1] if status else captured.err

    return call


def test_from_the_web_to_embeddings(run, publish, tensors):
    """In two goes, with the licence; verified; used; and nothing is asked for a second time."""
    server = publish(file_of(tensors))
    server.cut = 100_000
    status, _, line = run(url=server.url)
    assert status == 2
    assert "broke off after 100,000" in line
    status, out, err = run(url=server.url)
    assert status == 0
    assert server.asked == [None, "bytes=100000-"]
    for word in ("licence  MIT", "CASIA-WebFace", "not asked", facenet.RELEASE, "0 MB"):
        assert word in err
    assert Path(out) == facenet.weights_path(NAME)
    assert not web.part_path(facenet.CHECKPOINTS[NAME].file).exists()
    assert run("--verify")[:2] == (0, out)
    assert embedder.embedder(NAME).network.last_linear.weight.unique().tolist() == [0.5]
    assert run(url=server.url)[:2] == (0, out)
    assert len(server.asked) == 2


def test_a_file_that_the_reader_has(run, publish, tensors, tmp_path):
    """Nothing is asked, the reader's file stays, and --verify compares bit by bit."""
    server, mine, output = (
        publish(file_of(tensors)),
        tmp_path / "mine.pt",
        tmp_path / "x.safetensors",
    )
    mine.write_bytes(server.content)
    assert run("--from", mine, "-o", output)[:2] == (0, str(output))
    assert server.asked == []
    assert mine.read_bytes() == server.content
    assert run("-o", output, "--verify", "--from", mine)[0] == 0
    found = load_file(output)
    source = {"source": assets.read_source(output)}
    save_file(found | {"last_bn.bias": found["last_bn.bias"] + 1e-6}, output, source)
    assert run("-o", output, "--verify")[0] == 0  # no name and no shape is wrong
    status, _, line = run("-o", output, "--verify", "--from", mine)
    assert status == 2
    assert "last_bn.bias differs" in line


def test_a_tampered_file_is_refused_and_what_was_there_is_kept(run, publish, tensors, tmp_path):
    server, output = publish(file_of(tensors)), tmp_path / "x.safetensors"
    output.write_bytes(b"mine")
    right = server.content
    server.content = right[:5000] + b"\x00" + right[5001:]
    status, _, line = run("-o", output, url=server.url)
    assert status == 2
    assert hashlib.sha256(right).hexdigest() in line
    (tmp_path / "mine.pt").write_bytes(server.content)
    status, _, line = run("-o", output, "--from", tmp_path / "mine.pt")
    assert status == 2
    assert f"mine.pt has SHA-256 {hashlib.sha256(server.content).hexdigest()}" in line
    assert "give the file casia.pt as it was published" in line
    assert output.read_bytes() == b"mine"


def test_code_in_a_file_is_never_run(run, publish, tmp_path, monkeypatch):
    """Even if someone else's file had the sum that we expect."""
    monkeypatch.chdir(tmp_path)
    server = publish(file_of({"last_bn.bias": Payload()}))
    status, _, line = run(url=server.url)
    assert status == 2
    assert "holds code (" in line
    assert not Path("pwned").exists()
    assert not facenet.weights_path(NAME).exists()


def test_a_checkpoint_of_another_network_is_named(run, publish):
    status, _, line = run(url=publish(file_of({"conv1.weight": torch.ones(3)})).url)
    assert status == 2
    assert "is not facenet-casia: it lacks conv2d_1a.conv.weight" in line


def test_a_server_that_is_not_there(run, publish, tensors):
    publish(file_of(tensors))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    status, out, line = run(url=f"http://127.0.0.1:{port}/x.pt")
    assert (status, out) == (2, "")
    assert "Connection refused" in line
    assert "give a mirror with --url, or a file that you have with --from" in line


def test_verify_makes_nothing_and_names_what_is_wrong(run, publish, tensors, tmp_path):
    server = publish(file_of(tensors))
    assert "is not there; run this without --verify" in run("--verify")[2]
    assert "is not a file; give the path of casia.pt" in run("--from", tmp_path / "nowhere")[2]
    assert not facenet.weights_path(NAME).exists()
    path = Path(run(url=server.url)[1])
    assert run("--verify")[0] == 0
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    time = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(time, time))  # as a disk damages it: the sum has to be computed anew
    assert "is damaged; run this without --verify" in run("--verify")[2]
    assert run(url=server.url)[:2] == (0, str(path))  # and that mends it
    assert run("--verify")[0] == 0
    other = tmp_path / "other.safetensors"
    assets.save_weights(other, {"a": torch.ones(1)}, "dlib-resnet 55")
    assert "was not made from the file of facenet-casia" in run("--verify", "-o", other)[2]


def test_the_release_s_own_addresses_and_sizes(script):
    """What is known of the two files: the size is that of the tensors and 1.0 to 1.3 per mille."""
    assert tuple(facenet.CHECKPOINTS) == script.NAMES
    for checkpoint in facenet.CHECKPOINTS.values():
        assert checkpoint.url.endswith(
            f"/facenet-pytorch/releases/download/v2.2.9/{checkpoint.file.name}"
        )
        with torch.device("meta"):
            state = facenet.build_network(checkpoint.identities).state_dict()
        size = sum(t.numel() * t.element_size() for t in state.values())
        assert 1.0010 < checkpoint.file.size_bytes / size < 1.0013
