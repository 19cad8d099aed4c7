"""FaceNet as the public has it: 160 x 160 pixels in, 512 numbers of length one out.

FaceNet itself (Schroff, Kalenichenko, Philbin, CVPR 2015) was never released. David Sandberg
trained a network for the same purpose, an Inception-ResNet v1 (Szegedy et al. 2017), twice: on
VGGFace2 and on CASIA-WebFace; Timothy Esler brought both to PyTorch (facenet-pytorch). They were
trained as classifiers (`losses.softmax_loss`), not with the triplet loss.

The network is facenet-pytorch's; its downloader is not used. `python data_scripts/facenet.py`
fetches and checks the weights. They are not needed for any chapter.
"""

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from facelab import assets
from facelab.assets import File, cache
from facelab.errors import AssetError, CheckpointError
from facelab.recognition.embedder import Embedder
from facelab.types import Embedding, Image

SIZE = 160
FEATURES = 512
# The networks were trained on (level - 127.5) / 128; our images are (level - 127.5) / 127.5.
RANGE = 127.5 / 128
# "A threshold of 1.1 would classify every pair correctly": FaceNet, figure 1, squared distances.
# DeepFace's own for these 512 numbers is 1.04 as a Euclidean distance, 1.08 squared.
THRESHOLD_SQUARED = 1.1

RELEASE = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9"


@dataclass(frozen=True)
class Checkpoint:
    """A published file of weights: `identities` people were told apart, `trained_on` pictures.

    `lfw_accuracy` is what its author reports; nothing in this book has measured it.
    """

    name: str
    file: File
    identities: int
    trained_on: str
    lfw_accuracy: float
    licence: str = "MIT (Copyright 2016 David Sandberg, 2019 Timothy Esler), as its code"
    use: str = "research and teaching, as the pictures; a face recogniser sorts people, so ask them"

    @property
    def url(self) -> str:
        """Where facenet-pytorch publishes the file."""
        return f"{RELEASE}/{self.file.name}"


# The sizes and sums are those that several public projects, which pin these files, agree on. The
# release itself states none, and we have not had the files in our hands.
CHECKPOINTS = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            name="facenet-vggface2",
            file=File(
                "20180402-114759-vggface2.pt",
                "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
                111898327,
            ),
            identities=8631,
            trained_on="VGGFace2 (Cao et al. 2018): 3.3 million pictures from an image search, of "
            "people who were not asked",
            lfw_accuracy=0.9965,
        ),
        Checkpoint(
            name="facenet-casia",
            file=File(
                "20180408-102900-casia-webface.pt",
                "7a67afdbbc995fce5e10128675e318799a70698c2f433ba75dd7eb9a2f096e7d",
                115887415,
            ),
            identities=10575,
            trained_on="CASIA-WebFace (Yi et al. 2014): half a million pictures from a film "
            "database, of people who were not asked",
            lfw_accuracy=0.9905,
        ),
    )
}


class FaceNet(Embedder):
    """FaceNet behind the interface that all embedders share; its raw embeddings have length one."""

    size = SIZE
    template = "facenet160"
    threshold = THRESHOLD_SQUARED**0.5
    threshold_squared = THRESHOLD_SQUARED

    def __init__(self, network: nn.Module, id: str):
        super().__init__()
        self.network, self.id = network, id

    def forward(self, images: Image) -> Embedding:
        """Return the embeddings, shape (batch, 512), of faces (batch, 3, 160, 160)."""
        self.require_size(images)
        return self.network(images.to(self.network.last_linear.weight.dtype) * RANGE)


def build_network(identities: int | None = None) -> nn.Module:
    """Return facenet-pytorch's network with random weights; with `identities`, its classifier."""
    from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1

    return InceptionResnetV1(classify=identities is not None, num_classes=identities)


def read_checkpoint(path: str | os.PathLike, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Read a published file and return what an embedding needs: no classifier, no counters.

    Runs no code of the file. Raises `CheckpointError` that names the first tensor that is missing,
    unknown or of another shape.
    """
    found = {k: t for k, t in assets.load_weights(path).items() if not _is_counter(k)}
    with torch.device("meta"):
        expected = build_network(checkpoint.identities).state_dict()
    shapes = {k: tuple(t.shape) for k, t in expected.items() if not _is_counter(k)}
    _require_shapes(path, found, shapes, checkpoint.name)
    return {k: t.float() for k, t in found.items() if not k.startswith("logits.")}


def _is_counter(key: str) -> bool:
    """Whether it counts the batches that a normalisation saw: used in training alone."""
    return key.endswith(".num_batches_tracked")


def _require_shapes(
    path: str | os.PathLike, found: dict, shapes: dict[str, tuple[int, ...]], name: str
) -> None:
    for key in [*shapes, *found]:
        wrong = None
        if key not in found:
            wrong = f"lacks {key}"
        elif key not in shapes:
            wrong = f"has an unknown {key}"
        elif not isinstance(found[key], Tensor) or not found[key].is_floating_point():
            wrong = f"has no numbers at {key}"
        elif tuple(found[key].shape) != shapes[key]:
            wrong = f"has {key} of shape {tuple(found[key].shape)}, {shapes[key]} expected"
        elif not torch.isfinite(found[key]).all():
            wrong = f"has values in {key} that are not finite"
        if wrong:
            raise CheckpointError(
                f"{path} is not {name}: it {wrong}; give the file that {RELEASE} has"
            )


def weights_path(name: str) -> Path:
    """Return where `data_scripts/facenet.py` keeps the weights, whether or not they are there."""
    stem = f"{name}-{CHECKPOINTS[name].file.sha256[:16]}-embedding"
    return cache.cache_dir() / "derived" / f"{stem}.safetensors"


def load_network(path: str | os.PathLike, name: str) -> nn.Module:
    """Return the network with the weights of a converted file, in evaluation mode, frozen.

    Raises `CheckpointError` when the file is damaged or of another network.
    """
    network = build_network()
    tensors = assets.load_weights(path)
    shapes = {k: tuple(t.shape) for k, t in network.state_dict().items() if not _is_counter(k)}
    _require_shapes(path, tensors, shapes, name)
    network.load_state_dict(tensors, strict=False)  # but for the counters, all have been checked
    return network.eval().requires_grad_(False)


@functools.cache
def facenet(name: str, device: str = "cpu") -> FaceNet:
    """Return a FaceNet, frozen, float32, channels last, on `device`; `name` is in `CHECKPOINTS`.

    One object per name and device is shared by all callers. Raises `AssetError` that says how to
    get the weights when the cache does not have them, or has them damaged.
    """
    path = weights_path(name)
    if not assets.intact(path):
        state = "are damaged" if path.is_file() else "are not here"
        raise AssetError(
            f"the weights of {name} {state}: they come from the open web and not with "
            f"`facelab assets fetch`; run: python data_scripts/facenet.py {name} (or add "
            "--from FILE, if you have the file), or choose --embedder dlib"
        )
    recogniser = FaceNet(load_network(path, name), name).eval().requires_grad_(False)
    return recogniser.to(device, memory_format=torch.channels_last)
