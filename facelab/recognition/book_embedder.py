"""The book's own recogniser: 64 x 64 pixels in, 128 numbers of length one out.

A small residual network (He et al. 2016) that is to be trained from nothing on synthetic people, so
that nobody's photograph is in it. It sees faces as the book's generators draw them (the template
`book64`). Two ways of training it are here, FaceNet's and the one that FaceNet replaced:

| here | source |
|---|---|
| `triplet_terms` | FaceNet, equation 3, on the semi-hard triplets of the batch (section 3.2) |
| `softmax_terms` | FaceNet, section 2: a classifier over the training people, thrown away later |

There is no checkpoint yet: `book()` says so.
"""

import math
import os
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.assets import networks
from facelab.errors import AssetError, ParameterError
from facelab.losses import (
    MARGIN,
    Identities,
    PerSample,
    semi_hard_triplets,
    softmax_loss,
    triplet_loss,
)
from facelab.recognition.embedder import Embedder
from facelab.types import Embedding, Image

METHOD = "book_embedder"
SIZE = 64
LARGEST = 4096

Features = Float[Tensor, "batch channels height width"]


@dataclass(frozen=True)
class Config:
    """How large the network is: `channels` and `blocks` have one entry per stage.

    The first stage works at 32 x 32 pixels and each further one at half the side. `features` is
    the length of an embedding. Raises `ParameterError` when the stages don't fit.
    """

    channels: tuple[int, ...] = (32, 64, 128, 256)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    features: int = 128

    def __post_init__(self):
        numbers = (*self.channels, *self.blocks, self.features)
        whole = all(type(n) is int and 0 < n <= LARGEST for n in numbers)
        stages = len(self.channels)
        if not whole or stages != len(self.blocks) or not 1 <= stages <= 6:
            raise ParameterError(
                f"a network of channels {self.channels}, blocks {self.blocks} and {self.features} "
                f"features can't be built; give one to six stages, of numbers from 1 to {LARGEST:,}"
            )


TINY = Config(channels=(8, 16, 32, 32), blocks=(1, 1, 1, 1))
BOOK = Config()  # 3.3 million parameters


class Block(nn.Module):
    """Two normalised 3 x 3 convolutions beside a shortcut; with stride 2 at half the side."""

    def __init__(self, above: int, below: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(above, below, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(below)
        self.second = nn.Conv2d(below, below, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(below)
        self.shortcut = nn.Identity()
        if stride > 1 or above != below:
            # The mean of 2 x 2 keeps what a stride would skip.
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(above, below, 1, bias=False))

    def forward(self, x: Float[Tensor, "batch _ _ _"]) -> Float[Tensor, "batch _ _ _"]:
        """Return relu(shortcut(x) + second(relu(first(x))))."""
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.shortcut(x) + self.second_norm(self.second(y)))


class Network(nn.Module):
    """Images (batch, 3, 64, 64) in [-1, 1] to embeddings (batch, features) before they are unit.

    The last features are not averaged over the picture: faces are aligned, so where something is
    says who it is (as in ArcFace, Deng et al. 2019).
    """

    def __init__(self, config: Config = BOOK):
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.channels[0], 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(config.channels[0])
        blocks, above = [], config.channels[0]
        for below, count in zip(config.channels, config.blocks, strict=True):
            blocks.append(Block(above, below, stride=2))
            blocks += [Block(below, below, stride=1) for _ in range(count - 1)]
            above = below
        self.blocks = nn.Sequential(*blocks)
        side = SIZE >> len(config.channels)
        self.head = nn.Linear(above * side * side, config.features, bias=False)
        self.head_norm = nn.BatchNorm1d(config.features)

    def forward(self, images: Image) -> Embedding:
        """Return the embeddings, of any length."""
        x = F.relu(self.stem_norm(self.stem(images.to(self.stem.weight.dtype))))
        return self.head_norm(self.head(self.blocks(x).flatten(1)))


# --- training ------------------------------------------------------------------------------------


def triplet_terms(
    network: nn.Module,
    images: Image,
    identities: Identities,
    *,
    margin: float = MARGIN,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " triplets"]:
    """Return the loss of each semi-hard triplet that the batch holds; none gives length 0.

    The negatives are the closest beyond the positive or, with a `generator`, random semi-hard
    ones. Source: FaceNet, equation 3 and section 3.2.
    """
    embeddings = F.normalize(network(images).float(), dim=1)
    chosen = semi_hard_triplets(embeddings, identities, margin=margin, generator=generator)
    anchor, positive, negative = embeddings[chosen].unbind(1)
    return triplet_loss(anchor, positive, negative, margin=margin)


def softmax_terms(
    network: nn.Module, classifier: nn.Linear, images: Image, identities: Identities
) -> PerSample:
    """Return -log of the probability that `classifier` gives each image's person.

    `classifier` is `nn.Linear(features, people)`, trained along and thrown away; what remains is
    the layer below it. Source: FaceNet, section 2, of the recognisers before it.
    """
    return softmax_loss(classifier(network(images).float()), identities)


# --- use -----------------------------------------------------------------------------------------


class BookEmbedder(Embedder):
    """The book's recogniser behind the interface that all embedders share.

    `threshold_squared` is measured after training and kept with the weights. Raw embeddings have
    length one here, so `threshold` is its root.
    """

    id = "book"
    size = SIZE
    template = "book64"

    def __init__(self, network: Network, threshold_squared: float):
        super().__init__()
        if not 0 < threshold_squared < 4:
            raise ParameterError(
                f"the threshold {threshold_squared} parts no squared distances of unit vectors; "
                "give a number between 0 and 4"
            )
        self.network = network
        self.threshold_squared = threshold_squared
        self.threshold = math.sqrt(threshold_squared)

    def forward(self, images: Image) -> Embedding:
        """Return the embeddings, shape (batch, features), of faces (batch, 3, 64, 64)."""
        self.require_size(images)
        return F.normalize(self.network(images).float(), dim=1)


def save(path: str | os.PathLike, recogniser: BookEmbedder, trained_on: str) -> str:
    """Write a recogniser as safetensors, beside and renamed, and return the file's SHA-256.

    The header has the method, the configuration, the threshold and what it was trained on. Raises
    `AssetError` when the file can't be written.
    """
    return networks.save(
        path,
        METHOD,
        recogniser.network,
        config=asdict(recogniser.network.config),
        threshold_squared=recogniser.threshold_squared,
        trained_on=trained_on,
    )


def load(path: str | os.PathLike, device: str = "cpu") -> BookEmbedder:
    """Return a recogniser that `save` wrote, frozen, in evaluation mode, on `device`.

    Runs no code of the file. Raises `CheckpointError` when it is missing, damaged, or of another
    method or configuration than its header says.
    """
    writer = "facelab.recognition.book_embedder.save"
    network, header = networks.load(path, METHOD, _build, writer)
    recogniser = BookEmbedder(network, float(header["threshold_squared"])).eval()
    return recogniser.to(device, memory_format=torch.channels_last)


def _build(header: dict[str, Any]) -> Network:
    stages = {k: tuple(header["config"][k]) for k in ("channels", "blocks")}
    network = Network(Config(**{**header["config"], **stages}))
    BookEmbedder(network, float(header["threshold_squared"]))  # refuses what can't be
    return network


def book(device: str = "cpu") -> BookEmbedder:
    """Return the book's shipped recogniser. Raises `AssetError`: none has been trained yet."""
    raise AssetError(
        "the book's own recogniser has no checkpoint yet; use --embedder dlib, or load one that "
        "you trained with facelab.recognition.book_embedder.load(FILE)"
    )
