"""Every method's PAPER network: two steps in two processes, on small data in the public layout.

One method takes from 20 seconds to some minutes of two cores, and at most 6 GB: all are slow tests.
Weights that a reader has to get are random here, in the files that the readers' scripts write.
"""

import dataclasses
import functools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from facelab import assets
from facelab.assets.networks import save
from facelab.data.base import FaceDataset
from facelab.data.domains import RENDER
from facelab.data.latents import DrawnFaces
from facelab.data.packed import pack
from facelab.data.seeding import stream
from facelab.engine import methods
from facelab.engine.trainer import values_of
from facelab.generators.stylegan2 import config as sizes
from facelab.generators.stylegan2 import public
from facelab.generators.stylegan2.networks import StyleGAN2
from facelab.images import to_uint8
from facelab.methods.d2ae import training as d2ae
from facelab.methods.diat import training as diat
from facelab.methods.diat.networks import TransformNetwork
from facelab.methods.idmap import lord
from facelab.methods.idmap.training import PAPER as IDMAP
from facelab.recognition import facenet
from facelab.types import Batch

ROOT = Path(__file__).parents[2]
NAMES = ("Eyeglasses", "Male", "Mouth_Slightly_Open", "Smiling", "Young")
FACES, PEOPLE = 8, 4


class Mini(FaceDataset):
    """Eight faces as a public set has them: four people, attributes, five landmarks."""

    split, attribute_names = "train", NAMES

    def __init__(self, size: int, pairs: bool = False):
        self.size, self.pairs, self.id = size, pairs, f"mini-{size}"
        self.people, self.identity = PEOPLE, torch.arange(FACES) % PEOPLE

    def config(self) -> dict:
        return {"recipe": "mini", "size": self.size, "pairs": self.pairs}

    def batch(self, indices) -> Batch:
        found = self.resolve(indices)
        shape = (3, self.size, self.size)
        images = torch.stack([torch.rand(shape, generator=stream(i)) * 2 - 1 for i in found])
        points = [torch.rand(5, 2, generator=stream("points", i)) * self.size for i in found]
        has = torch.tensor([[(i >> (k % 3)) % 2 == 1 for k in range(len(NAMES))] for i in found])
        labels = {"landmarks5": torch.stack(points), "split": torch.zeros(len(found))}
        labels |= {RENDER: to_uint8(images)} if self.pairs else {}
        return Batch(images, self.identity[found], attributes=has, labels=labels)


def train(folder: Path, name: str, data: str, *more: str, **environment: str) -> dict:
    """Run the command in two processes and return the record."""
    command = [
        sys.executable, "-m", "facelab", "train", name, "--preset", "paper", "--data", data,
        "--processes", "2", "--batch", "2", "--steps", "2", "--device", "cpu", "--log-every", "1",
        "-o", str(folder / "run"), *more,
    ]  # fmt: skip
    done = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "run" / "record.json").read_text())


def require_trained(record: dict, wanted: object) -> None:
    """Check that it is the paper's network, that both processes have one, and that losses are."""
    assert (record["preset"], record["steps"], record["processes"]) == ("paper", 2, 2)
    assert record["processes_alike"] is True
    assert record["losses"]
    assert all(math.isfinite(value) for value in record["losses"].values())
    assert record["config"] == values_of(wanted)


@pytest.fixture
def mini(tmp_path):
    """Write a small dataset of a side in pixels and return its file."""

    def write(size: int, pairs: bool = False) -> str:
        path = tmp_path / f"mini-{size}-{pairs}.facepack"
        pack(Mini(size, pairs), path)
        return str(path)

    return write


def paper(name: str, **changes: object) -> object:
    """Return the config of a method's PAPER preset, with what its data change."""
    with torch.device("meta"):
        return dataclasses.replace(methods.build(name, "paper").config, **changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "changes"),
    [
        ("dcgan", 64, {}),
        ("book-embedder", 64, {"people": PEOPLE}),
        ("stylegan2-distillation", 64, {}),
        ("lord", 64, {}),
        ("began", 128, {}),
        ("d2ae", 235, {"people": PEOPLE, "milestones": (10, 20, 30)}),
        ("stylegan2", 256, {}),
    ],
)
def test_two_processes_train_from_faces(tmp_path, mini, name, size, changes):
    require_trained(train(tmp_path, name, mini(size)), paper(name, **changes))


@pytest.mark.slow
def test_two_processes_train_diat(tmp_path, mini):
    data = f"{mini(128)}:to:Mouth_Slightly_Open"
    require_trained(train(tmp_path, "diat", data), paper("diat"))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["mouth_open", "male_to_female"])
def test_two_processes_train_the_enhancement(tmp_path, mini, task):
    config = dataclasses.replace(diat.PAPER, task=task)
    save(tmp_path / "t.safetensors", "diat", TransformNetwork(config.transform),
         config=values_of(config), step=7)  # fmt: skip
    record = train(tmp_path, "diat-enhancement", mini(128), "--after",
                   str(tmp_path / "t.safetensors"))  # fmt: skip
    from facelab.methods.diat.enhancement import PAPER

    require_trained(record, dataclasses.replace(PAPER, game=config, trained={"step": 7}))


@pytest.mark.slow
def test_two_processes_train_ganfaces(tmp_path, mini):
    data = f"{mini(108)}+{mini(108)}+{mini(108, True)}"
    require_trained(train(tmp_path, "ganfaces", data), paper("ganfaces"))


@pytest.mark.slow
def test_two_processes_train_lords_encoders(tmp_path, mini):
    config = dataclasses.replace(lord.PAPER, people=PEOPLE, pictures=FACES)
    first = lord.Latents(config)
    file = tmp_path / "lord.safetensors"
    save(file, "lord", torch.nn.ModuleDict(first.networks), config=values_of(config))
    record = train(tmp_path, "lord-encoders", mini(64), "--after", str(file))
    require_trained(record, dataclasses.replace(lord.ENCODERS["paper"], first=config))


# --- weights that a reader has to get ------------------------------------------------------------


@functools.cache
def faces_generator() -> StyleGAN2:
    """StyleGAN2-FFHQ's architecture at 256 pixels, with random weights."""
    torch.manual_seed(0)
    return StyleGAN2(sizes.paper(256)).eval().requires_grad_(False).measure_mean_w(16)


def published(generator: StyleGAN2) -> dict[str, torch.Tensor]:
    """Return a generator as NVIDIA's exports have it."""
    state = {}
    for name, tensor in generator.state_dict().items():
        theirs = public._public_name("nvidia", name)
        if theirs:
            state[theirs] = tensor[0, 0] if theirs.endswith("noise_const") else tensor
    return state


@pytest.mark.slow
def test_two_processes_train_idmap(tmp_path, monkeypatch):
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    weights = facenet.weights_path(IDMAP.embedder)
    weights.parent.mkdir(parents=True)
    state = facenet.build_network().state_dict()  # without its counters, as the script writes it
    tensors = {k: t for k, t in state.items() if not k.endswith("num_batches_tracked")}
    assets.keep_weights(weights, tensors, IDMAP.embedder)
    file = tmp_path / "ffhq256.pt"
    torch.save(published(faces_generator()), file)
    pack(DrawnFaces(public.load_public(file), 2, framing="ffhq256"), tmp_path / "faces.facepack")
    record = train(tmp_path, f"idmap:{file}", str(tmp_path / "faces.facepack"))
    require_trained(record, dataclasses.replace(IDMAP, generator=str(file)))


def test_what_a_reader_has_to_get_is_named_with_its_script(tmp_path, monkeypatch):
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    from facelab.errors import AssetError
    from facelab.methods.idmap.training import frozen_of

    with pytest.raises(AssetError, match="stylegan2-ffhq-256"):
        frozen_of(IDMAP)
    facenet.facenet.cache_clear()
    with pytest.raises(AssetError, match=r"run: python data_scripts/facenet.py facenet-vggface2"):
        facenet.facenet(IDMAP.embedder)


# --- presets follow their data -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "table"),
    [("book-embedder", "people"), ("ganfaces", "people"), ("lord", "people"), ("lord", "pictures")],
)
def test_tables_are_as_long_as_the_data_need(monkeypatch, name, table):
    method = methods.build(name, "tiny")
    data = Mini(getattr(method.config, "size", 64))
    monkeypatch.setattr(data, "people", 5000)
    monkeypatch.setattr(data, "identity", torch.arange(10_000) % 5000)
    found = methods.fitted(method, data).config
    wanted = {"people": 5000, "pictures": 10_000}
    own = {key: value for key, value in wanted.items() if hasattr(found, key)}
    assert getattr(found, table) == wanted[table]
    assert found == dataclasses.replace(method.config, **own)


@pytest.mark.parametrize("name", ["ganfaces", "lord"])
def test_longer_tables_than_the_data_need_stay(name):
    method = methods.build(name, "tiny")
    assert methods.fitted(method, Mini(16)) is method


def test_pictures_are_numbered_and_single_ones_left_out():
    data = Mini(16)
    data.identity, data.people = torch.tensor([2, 0, 2, 1, 0, 2, 3, 3]), 4
    method = methods.build("lord", "tiny")
    found = methods.supplied(method, data)
    assert (found.people, len(found)) == (3, 7)
    assert found.identity.tolist() == [1, 0, 1, 0, 1, 2, 2]
    batch = found.batch([0, 3, 6])
    assert batch.identity.tolist() == [1, 0, 2]
    assert batch.labels["index"].tolist() == [0, 3, 6]
    assert torch.equal(batch.images[1], data.batch([4]).images[0])
    assert methods.supplied(method, found) is found
    assert methods.supplied(methods.build("dcgan", "tiny"), data) is data


def test_the_rates_of_d2ae_fall_with_the_epochs_of_the_data():
    few = dataclasses.replace(d2ae.PAPER, people=PEOPLE)
    assert d2ae.paced(few, 1925) == dataclasses.replace(few, milestones=(100, 200, 300))
    assert d2ae.paced(d2ae.PAPER, 3_600_000) == d2ae.PAPER
    assert d2ae.paced(d2ae.BOOK, 1925) == d2ae.BOOK
