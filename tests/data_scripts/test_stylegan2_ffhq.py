"""StyleGAN2's weights from a server on this machine or a file: small networks in real layouts."""

import argparse
import dataclasses
import errno
import hashlib
import importlib.util
import io
import os
import pickle
import struct
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from facelab import assets
from facelab.assets import cache
from facelab.errors import AssetError
from facelab.generators import catalogue
from facelab.generators.stylegan2 import config as sizes
from facelab.generators.stylegan2 import nvidia_pickle, published
from facelab.generators.stylegan2.networks import StyleGAN2
from facelab.methods.idmap.latent_space import READERS_OWN, find_generator

ROOT = Path(__file__).parents[2]
NAME, LARGE = "stylegan2-ffhq-256", "stylegan2-ffhq-1024"
SIDE, LATENTS = 16, 8


def load(path: Path):
    spec = importlib.util.spec_from_file_location(f"loaded_for_stylegan2_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script():
    return load(ROOT / "data_scripts/stylegan2_ffhq.py")


@pytest.fixture(scope="module")
def writers():
    """What writes the two public layouts: their names are typed there."""
    return load(ROOT / "tests/generators/test_public.py").WRITERS


@pytest.fixture(scope="module")
def generator():
    """A generator for 16 x 16 pixels with biases and noise that can be seen."""
    torch.manual_seed(0)
    config = dataclasses.replace(sizes.TINY, channels=(6, 5, 4), latents=LATENTS, styles=LATENTS)
    network = StyleGAN2(config).eval().requires_grad_(False)
    for layer in network.synthesis_network.convolutions:
        torch.nn.init.normal_(layer.strength)
        torch.nn.init.normal_(layer.bias)
    return network.measure_mean_w(16)


@pytest.fixture
def checkpoint(generator, writers):
    """stylegan2-pytorch's layout, as `convert_weight.py` writes it."""
    return writers["rosinality"](generator)


def file_of(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


@pytest.fixture
def publish(file_server, monkeypatch, tmp_path):
    """Serve bytes as what is published; small networks have the names; the cache is empty."""
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(published, "SIZES", {NAME: SIDE, LARGE: SIDE})
    monkeypatch.setattr(published, "LATENTS", LATENTS)

    def serve(content: bytes, name: str = NAME):
        file_server.content = content
        described = published.DESCRIBED[name]
        known = name == LARGE
        file = dataclasses.replace(
            described.files[0],
            urls=(file_server.url,),
            size_bytes=len(content) if known else None,
            sha256=hashlib.sha256(content).hexdigest() if known else None,
        )
        changed = dataclasses.replace(described, files=(file,))
        monkeypatch.setitem(published.DESCRIBED, name, changed)
        return file_server

    return serve


@pytest.fixture
def run(script, capsys, publish):
    """Run the script; return status, output, and what was said or the one line of an error."""

    def call(*arguments, name=NAME, accept=True):
        words = [name, *map(str, arguments), *(["--accept"] if accept else [])]
        status = script.main(words)
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if line.startswith(f"{name}: ")]
        return status, captured.out.strip(), lines[-1] if status else captured.err

    return call


def faces_of(network) -> torch.Tensor:
    """Two faces of the same latents each time."""
    latents = torch.randn(2, LATENTS, generator=torch.Generator().manual_seed(1))
    return network.synthesis(network.mapping(latents))


@pytest.mark.parametrize("name", [NAME, LARGE])
def test_from_the_web_to_faces(run, publish, checkpoint, generator, name):
    """In two goes, with licence and terms; found by name; nothing is asked a second time."""
    server = publish(file_of(checkpoint), name)
    server.cut = 5000
    status, _, line = run(name=name)
    assert status == 2
    assert "broke off after 5,000" in line
    status, out, err = run(name=name)
    assert status == 0, err
    assert server.asked == [None, "bytes=5000-"]
    for word in ("licence", "terms", "70,000 photographs", "not asked", "Karras", "SHA-256"):
        assert word in err
    assert Path(out) == published.weights_path(name)
    assert not (cache.cache_dir() / "sources" / name).exists()
    assert run("--verify", name=name)[:2] == (0, out)
    found = find_generator(name, LATENTS, SIDE)
    torch.testing.assert_close(faces_of(found), faces_of(generator))
    torch.testing.assert_close(found.mean_w, generator.mean_w)
    assert (found.id, found.config.channels) == (name, (6, 5, 4))
    torch.testing.assert_close(faces_of(catalogue.generator(out)), faces_of(generator))
    assert run(name=name)[:2] == (0, out)
    assert len(server.asked) == 2


@pytest.mark.parametrize("layout", ["rosinality", "nvidia"])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_file_that_the_reader_has(run, writers, generator, tmp_path, layout, ending):
    """Of any name and sum; it stays; --verify compares bit by bit."""
    content, mine = writers[layout](generator), tmp_path / f"mine.{ending}"
    if ending == "pt":
        torch.save(content, mine)
    else:
        flat = content.get("g_ema", content)
        save_file({name: t.contiguous().clone() for name, t in flat.items()}, mine)
    before, output = mine.read_bytes(), tmp_path / "x.safetensors"
    status, out, err = run("--from", mine, "-o", output)
    assert (status, out) == (0, str(output)), err
    assert hashlib.sha256(before).hexdigest() in err
    assert mine.read_bytes() == before
    torch.testing.assert_close(faces_of(published.load(output, NAME)), faces_of(generator))
    assert run("-o", output, "--verify", "--from", mine)[0] == 0
    tensors, header = load_file(output), {"source": assets.read_source(output)}
    tensors["mapping_network.layers.0.bias"] += 1e-3
    save_file(tensors, output, header)
    assert run("-o", output, "--verify")[0] == 0  # every name and every shape is right
    line = run("-o", output, "--verify", "--from", mine)[2]
    assert "mapping_network.layers.0.bias differs" in line


def test_a_whole_training_without_mean_and_constant_noise(
    run, checkpoint, generator, tmp_path, publish
):
    """As 550000.pt may be: other networks, optimisers and arguments lie beside the generator."""
    state = {k: t for k, t in checkpoint["g_ema"].items() if not k.startswith("noises.")}
    mine = tmp_path / "550000.pt"
    optimiser = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": []}
    torch.save(
        {"g": state, "d": {"a": torch.ones(1)}, "g_ema": state, "g_optim": optimiser,
         "args": argparse.Namespace(size=256, path="/data")},
        mine,
    )  # fmt: skip
    status, _, err = run("--from", mine)
    assert status == 0, err
    assert "5 layers' constant noise is not in the file: drawn from N(0, 1)" in err
    found = find_generator(NAME, LATENTS, SIDE)
    torch.testing.assert_close(found.mean_w, generator.measure_mean_w().mean_w)
    noise = found.synthesis_network.convolutions[4].noise
    assert noise.shape == (1, 1, 16, 16)
    assert 0.8 < float(noise.std()) < 1.2
    ours, theirs = (n.synthesis_network.convolutions[4].weight for n in (found, generator))
    torch.testing.assert_close(ours, theirs)
    assert run("--verify", "--from", mine)[0] == 0  # the noise is the same each time


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_file_is_never_run(run, publish, tmp_path, monkeypatch, how):
    """Neither by torch's reading nor by the one of NVIDIA's files."""
    monkeypatch.chdir(tmp_path)
    content = {"G_ema": Payload()}
    mine = tmp_path / "ffhq.pkl"
    mine.write_bytes(file_of(content) if how == "torch" else pickle.dumps(content))
    status, out, line = run("--from", mine)
    assert (status, out) == (2, "")
    assert "holds code (" in line
    assert "never runs" in line
    assert not Path("pwned").exists()
    assert not published.weights_path(NAME).exists()


def _reconstruct_persistent_obj(meta):
    raise AssertionError("somebody calls what a pickle names")


class Persistent(torch.nn.Module):
    """A module that is pickled with its source, as torch_utils.persistence does it."""

    def __reduce__(self):
        meta = {
            "type": "class",
            "version": 6,
            "module_src": "import os; os.mkdir('pwned')",
            "class_name": "Generator",
            "state": dict(self.__dict__),
        }
        return _reconstruct_persistent_obj, (meta,), None


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


def nvidia_pkl(state: dict, protocol: int = 3, more: dict | None = None) -> bytes:
    """Return a file of stylegan2-ada-pytorch: nested modules of parameters and buffers."""
    root = Persistent()
    for name, tensor in state.items():
        *parts, last = name.split(".")
        module = root
        for part in parts:
            if part not in module._modules:
                setattr(module, part, Persistent())
            module = module._modules[part]
        if last in ("weight", "bias", "const", "noise_strength"):
            module.register_parameter(last, torch.nn.Parameter(tensor))
        else:
            module.register_buffer(last, tensor)
    module = types.ModuleType("torch_utils.persistence")
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    sys.modules |= {"torch_utils": types.ModuleType("torch_utils"), module.__name__: module}
    try:
        content = {"G": None, "D": None, "G_ema": root, "augment_pipe": None, **(more or {})}
        return pickle.dumps(content, protocol=protocol)
    finally:
        del sys.modules["torch_utils"], sys.modules["torch_utils.persistence"]


@pytest.mark.parametrize("protocol", [3, 4])
def test_nvidia_s_own_file_is_read_without_being_run(
    run, publish, writers, generator, tmp_path, monkeypatch, protocol
):
    """From the web by --url, or the reader's own; the source in it is no more than text."""
    monkeypatch.chdir(tmp_path)
    state = writers["nvidia"](generator)
    state["synthesis.b8.conv0.weight"] = state["synthesis.b8.conv0.weight"].to(
        memory_format=torch.channels_last
    )
    server = publish(b"nobody's")
    server.content = nvidia_pkl(state, protocol, {"training_set_kwargs": Payload()})
    status, _, err = run("--url", server.url)
    assert status == 0, err
    torch.testing.assert_close(faces_of(find_generator(NAME, LATENTS, SIDE)), faces_of(generator))
    (tmp_path / "ffhq.pkl").write_bytes(server.content)
    assert run("--verify", "--from", tmp_path / "ffhq.pkl")[0] == 0
    assert not Path("pwned").exists()


def test_nvidia_s_file_with_too_few_numbers(run, writers, generator, tmp_path):
    """Storages that were cut, and something else in place of one."""
    state, mine = writers["nvidia"](generator), tmp_path / "ffhq.pkl"
    whole = nvidia_pkl(state)
    numbers = state["mapping.fc0.weight"].numpy().tobytes()
    mine.write_bytes(whole.replace(numbers, numbers[:-4], 1))
    assert "damaged, cut short or no pickle" in run("--from", mine)[2]
    count = len(numbers) // 4
    head = struct.pack("<q", count) + numbers[:40]
    assert whole.count(head) == 1
    mine.write_bytes(whole.replace(head, struct.pack("<q", count - 1) + numbers[:40]))
    assert "has no numbers as mapping.fc0.weight, or not enough" in run("--from", mine)[2]
    mine.write_bytes(whole.replace(b"_load_from_bytes", b"_load_from_bites"))
    assert "has no numbers as mapping." in run("--from", mine)[2]


def test_a_tensor_has_to_lie_in_its_storage(run, writers, generator, tmp_path):
    """64 numbers: a square of 8, but no row further, and none that is repeated."""
    square = (8, 8)
    assert nvidia_pickle._within(64, 0, square, (8, 1))
    assert nvidia_pickle._within(64, 0, square, (1, 8))
    assert nvidia_pickle._within(65, 1, square, (8, 1))
    for count, offset, size, stride in (
        (63, 0, square, (8, 1)),
        (64, 1, square, (8, 1)),
        (64, 0, square, (9, 1)),
        (64, -1, square, (8, 1)),
        (64, 0, square, (8,)),
        (64, 0, (8, 0), (8, 1)),
    ):
        assert not nvidia_pickle._within(count, offset, size, stride)
    state, mine = writers["nvidia"](generator), tmp_path / "ffhq.pkl"
    state["mapping.fc0.weight"] = state["mapping.fc0.weight"][0].clone().expand(LATENTS, -1)
    mine.write_bytes(nvidia_pkl(state))
    assert "has no numbers as mapping.fc0.weight, or not enough" in run("--from", mine)[2]


def test_a_file_of_the_tensorflow_version(run, tmp_path):
    """Three networks of dnnlib.tflib, as a tuple: not read, not run."""
    mine = tmp_path / "stylegan2-ffhq-config-f.pkl"
    mine.write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81}b" + b"N\x86.")
    line = run("--from", mine)[2]
    assert "no generator of stylegan2-ada-pytorch: its G_ema is NoneType" in line


def other_sizes(checkpoint, writers, generator):
    config = dataclasses.replace(generator.config, latents=9)
    return writers["rosinality"](StyleGAN2(config)), "draws 16 pixels from 9 and 8 numbers"


def wrong_shape(checkpoint, writers, generator):
    checkpoint["g_ema"]["convs.1.conv.weight"] = torch.zeros(1, 5, 9, 3, 3)
    return checkpoint, "does not fit StyleGAN2's generator"


def lacking(checkpoint, writers, generator):
    del checkpoint["g_ema"]["to_rgbs.1.bias"]
    return checkpoint, r"lacks to_rgbs.1.bias"


def not_finite(checkpoint, writers, generator):
    checkpoint["g_ema"]["conv1.activate.bias"] = torch.full((6,), torch.nan)
    return checkpoint, "values in synthesis_network.convolutions.0.bias that are not finite"


def of_another_network(checkpoint, writers, generator):
    return {"conv2d_1a.conv.weight": torch.ones(3)}, "not a StyleGAN2 generator in a public layout"


@pytest.mark.parametrize(
    "spoil", [other_sizes, wrong_shape, lacking, not_finite, of_another_network]
)
def test_what_does_not_fit(run, publish, checkpoint, writers, generator, tmp_path, spoil):
    """What was there is kept."""
    content = {**checkpoint, "g_ema": dict(checkpoint["g_ema"])}
    content, message = spoil(content, writers, generator)
    mine, output = tmp_path / "mine.pt", tmp_path / "x.safetensors"
    mine.write_bytes(file_of(content))
    output.write_bytes(b"mine")
    status, out, line = run("--from", mine, "-o", output)
    assert (status, out) == (2, "")
    assert message in line
    assert output.read_bytes() == b"mine"


def test_a_wrong_file_from_the_web_is_not_found_there_again(run, publish, checkpoint):
    """Without a published sum the tensors decide; a truncated file is no file."""
    whole = file_of(checkpoint)
    server = publish(whole[: len(whole) // 2])
    status, _, line = run()
    assert status == 2
    assert "damaged, cut short or not a file of weights" in line
    assert not list(cache.cache_dir().rglob("550000.pt"))
    server.content = whole
    assert run()[0] == 0
    known = publish(whole, LARGE)
    known.content = whole[:-1] + bytes([whole[-1] ^ 1])
    status, _, line = run(name=LARGE)
    assert status == 2
    assert "it was deleted; run this again" in line
    assert not published.weights_path(LARGE).exists()


def test_a_page_that_wants_a_click_is_no_file(run, publish):
    """As Google Drive answers what too many asked for."""
    server = publish(b"<html>Virus scan warning</html>")
    server.content_type = "text/html"
    status, _, line = run()
    assert status == 2
    assert "offers a web page" in line
    server.status = 404
    assert "404 Not Found" in run()[2]


def test_terms_have_to_be_accepted(run, publish, checkpoint):
    server = publish(file_of(checkpoint))
    status, out, line = run(accept=False)
    assert (status, out) == (2, "")
    assert "have to be accepted; read them and give --accept" in line
    assert server.asked == []


def test_a_dry_run_writes_nothing(run, publish, checkpoint, tmp_path):
    server, mine = publish(file_of(checkpoint)), tmp_path / "mine.pt"
    status, out, err = run("--dry-run", accept=False)
    assert (status, out) == (0, str(published.weights_path(NAME)))
    assert f"would fetch 550000.pt from {server.url}" in err
    mine.write_bytes(server.content)
    status, _, err = run("--dry-run", "--from", mine, accept=False)
    assert status == 0
    assert f"would read {mine}: it fits" in err
    assert server.asked == []
    assert not published.weights_path(NAME).exists()


def test_no_space_is_left(run, publish, checkpoint, monkeypatch):
    publish(file_of(checkpoint))
    assert run()[0] == 0
    before = published.weights_path(NAME).read_bytes()

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    mine = cache.cache_dir() / "mine.pt"
    mine.write_bytes(file_of(checkpoint))
    with monkeypatch.context() as patch:
        patch.setattr(cache, "write_beside", full)
        status, _, line = run("--from", mine)
    assert status == 2
    assert "no space is left on the disk" in line
    assert published.weights_path(NAME).read_bytes() == before
    assert run("--verify")[0] == 0


def test_a_damaged_file_is_noticed(run, publish, checkpoint):
    publish(file_of(checkpoint))
    assert "is not there; run this without --verify" in run("--verify")[2]
    with pytest.raises(AssetError, match=r"don't come with .* get them with data_scripts/style"):
        published.generator(NAME)
    path = Path(run()[1])
    assert run("--verify")[0] == 0
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    time = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(time, time))  # as a disk damages it: the sum has to be computed anew
    assert "is damaged" in run("--verify")[2]
    with pytest.raises(AssetError, match=r"are damaged; make them again with data_scripts"):
        published.generator(NAME)
    assert run()[:2] == (0, str(path))
    assert run("--verify")[0] == 0


def test_what_is_known_of_the_published_files(script):
    """The size is that of the tensors and at most a thousandth; 30 million numbers are learned."""
    assert script.NAMES == READERS_OWN == tuple(published.SIZES) == tuple(published.DESCRIBED)
    file = published.DESCRIBED[LARGE].files[0]
    for name, side in published.SIZES.items():
        with torch.device("meta"):
            network = StyleGAN2(sizes.paper(side))
        learned = sum(p.numel() for p in network.parameters())
        assert round(learned / 1e6) == 30, name
    numbers = sum(t.numel() for t in network.state_dict().values())
    assert 1.0 < file.size_bytes / (4 * numbers) < 1.001
    assert file.sha256 in published.COPIES
