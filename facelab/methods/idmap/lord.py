"""LORD, which the paper's Table 1 compares with: disentanglement that is taught who is who.

A. Gabbay, Y. Hoshen, "Demystifying Inter-Class Disentanglement", ICLR 2020. Facts beyond the paper
are from the authors' code, github.com/avivga/lord (Keras) and lord-pytorch.

    pack(Numbered(faces), "numbered.facepack")              # data.numbered
    facelab train lord --data numbered.facepack ...         # Latents, the first stage
    facelab train lord-encoders --after lord.safetensors ...  # Encoders, the second

| LORD | here |
|---|---|
| latent optimisation: codes of classes and of pictures, one generator with AdaIN | `Latents` |
| the content codes' noise of deviation sigma, and their activation decay lambda | `Latents.terms` |
| perceptual loss | `picture_terms` |
| amortisation: encoders for pictures that were not trained on | `Encoders.terms` |

Where this is not LORD, and why:

- *The perceptual loss looks through layers 4 and 5 of the book's recogniser*, and at the pixels, in
  place of VGG's layers: its weights don't come with facelab (`methods.diat.features`). So that
  recogniser may not judge identity. "pixels" in `features` looks at the pixels alone.
- *Rates fall to 0 by a cosine*, in the authors' code to 1e-5. The second stage's rate does too, as
  in lord-pytorch; the Keras code halves it when the loss stands still.
- *A modulated layer's deviations begin near 1*, not near 0, and all rectifiers leak by 0.2.
- *PAPER's lambda is the paper's 0.001*, which weighs against a loss of another scale there.
- *BOOK is small, for a CPU*: fewer channels, and codes that move faster, since each is met some ten
  times and not a thousand. Its lambda is 0.0001, as in lord-pytorch.
"""

import copy
import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facelab.assets import networks as network_files
from facelab.data.base import FaceDataset
from facelab.data.numbered import DATASET, INDEX, Numbered, number_of
from facelab.data.several import with_several
from facelab.errors import DatasetError
from facelab.generators import presets
from facelab.methods.diat.features import (
    DlibLayers,
    DlibStages,
    FaceLayers,
    VggLayers,
    face_layers,
)
from facelab.methods.idmap.lord_networks import MOST, Codes, Generator, Lord, Shape
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.types import Batch, Embedding, Image

METHOD, SECOND = "lord", "lord-encoders"
WRITER = "facelab.engine.export.export_weights"
TOLD = ("step", "images", "seed", "data")  # of the first stage, which the second's file repeats
BETAS = (0.5, 0.999)  # of Adam, as in the authors' code
SHOWN = 8  # faces of a preview
View = Literal["pixels", "dlib-stages", "dlib-layers", "vgg-face"]
Schedule = Literal["constant", "cosine"]
# The recognisers that a view is a part of.
SEEN = {
    "pixels": (),
    "dlib-stages": DlibStages.embedders,
    "dlib-layers": DlibLayers.embedders,
    "vgg-face": VggLayers.embedders,
}

PerSample = Float[Tensor, " batch"]


@dataclass(frozen=True)
class Config:
    """Sizes and weights of the first stage.

    The tables have a row for each of `people` and of `pictures`; data may have fewer. `sigma` is
    the deviation of the noise on content codes, `decay` is lambda. `features` is what the
    perceptual loss looks through beside the pixels, "pixels" for nothing more, and `perceptual` its
    weight. Codes learn `code_rate` times as fast as the generator. Raises `ParameterError` on what
    can't be used.
    """

    people: int = 2048
    pictures: int = 16_384
    shape: Shape = field(default_factory=Shape)
    sigma: float = 1.0
    decay: float = 0.001
    features: str = "dlib-layers"
    perceptual: float = 1.0
    learning_rate: float = 3e-4
    code_rate: float = 10.0
    schedule: str = "cosine"
    batch_size: int = 64

    def __post_init__(self):
        presets.require_whole({"people": self.people, "pictures": self.pictures}, most=MOST)
        presets.require_whole({"batch_size": self.batch_size})
        presets.require_positive({"sigma": self.sigma, "decay": self.decay}, zero=True)
        names = ("perceptual", "learning_rate", "code_rate")
        presets.require_positive({name: getattr(self, name) for name in names})
        _require_known("features", self.features, View)
        _require_known("schedule", self.schedule, Schedule)

    @property
    def size(self) -> int:
        """The faces' side in pixels."""
        return self.shape.size

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "Config":
        """Return the config of JSON values, as checkpoints and records have them.

        What is left out is as by default. Raises `TypeError` for a name that there isn't.
        """
        shape = Shape(**presets.from_json(settings.get("shape", {})))
        return cls(**presets.from_json(settings) | {"shape": shape})


def _require_known(name: str, value: str, kind: Any) -> None:
    known = get_args(kind)
    presets.require(value in known, f"{name} = {value!r}", f"one of: {', '.join(known)}")


@dataclass(frozen=True)
class EncodersConfig:
    """Weights of the second stage, behind the `first`.

    `identity` and `content` weigh the codes' mean squared errors against the pictures' loss.
    `tune_generator` lets the generator move too, as in the authors' code. `trained` says how long,
    on what and with which seed the first stage was trained. Raises `ParameterError` on what can't
    be used.
    """

    first: Config = field(default_factory=Config)
    identity: float = 10.0
    content: float = 10.0
    tune_generator: bool = True
    learning_rate: float = 1e-4
    schedule: str = "cosine"
    batch_size: int = 64
    trained: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        presets.require_whole({"batch_size": self.batch_size})
        names = ("identity", "content", "learning_rate")
        presets.require_positive({name: getattr(self, name) for name in names})
        _require_known("schedule", self.schedule, Schedule)

    @property
    def size(self) -> int:
        """The faces' side in pixels."""
        return self.first.size

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "EncodersConfig":
        """Return the config of JSON values, as `Config.from_json` does."""
        first = Config.from_json(settings.get("first", {}))
        return cls(**presets.from_json(settings) | {"first": first})


TINY = Config(
    people=48,
    pictures=96,
    shape=Shape(16, 8, 8, (8, 8), 4, (3, 3), (4, 8, 8), 16),
    features="pixels",
    schedule="constant",
    learning_rate=1e-3,
    batch_size=4,
)
BOOK = Config(
    shape=Shape(widths=(128, 64, 48, 24), last=16, kernels=(3, 3), encoder=(16, 32, 64, 128, 128)),
    decay=1e-4,
    learning_rate=1e-3,
    code_rate=100.0,
    batch_size=32,
)
PAPER = Config(people=10_177, pictures=202_599)  # those of CelebA
PRESETS = {"tiny": TINY, "book": BOOK, "paper": PAPER}
ENCODERS = {
    "tiny": EncodersConfig(TINY, schedule="constant", learning_rate=1e-3, batch_size=4),
    "book": EncodersConfig(BOOK, learning_rate=1e-3, batch_size=32),
    "paper": EncodersConfig(PAPER),
}


# --- losses --------------------------------------------------------------------------------------


def picture_terms(
    made: Image, images: Image, layers: FaceLayers | None = None
) -> dict[str, PerSample]:
    """Return how far pictures are from what they should be: LORD's perceptual loss.

    `pixels` is the mean absolute difference of the pictures, `features` the sum over `layers` of
    that of their maps.
    """
    terms = {"pixels": (made - images).abs().mean(dim=(1, 2, 3))}
    if layers is not None:
        with torch.no_grad():
            wanted = layers(images)
        pairs = zip(layers(made), wanted, strict=True)
        terms["features"] = sum((a - b).abs().float().mean(dim=(1, 2, 3)) for a, b in pairs)
    return terms


def activation_decay(codes: Embedding) -> PerSample:
    """Return |c|^2 of each content code c, before its noise."""
    return codes.square().sum(dim=1)


def code_error(found: Embedding, wanted: Embedding) -> PerSample:
    """Return the mean squared difference of codes."""
    return (found - wanted).square().mean(dim=1)


# --- the methods ---------------------------------------------------------------------------------


def picture_numbers(batch: Batch, config: Config) -> Tensor:
    """Return the pictures' rows in the table.

    Raises `DatasetError` when the batch does not have them or the tables are too short, and
    `ParameterError` when the faces have another size.
    """
    presets.require_size(batch.images, config.size)
    if INDEX not in batch.labels:
        raise DatasetError(
            "the faces don't have numbers, and each needs a code of its own; give data that "
            "pack(Numbered(data), path) of facelab.data made"
        )
    rows = {"people": batch.identity, "pictures": batch.labels[INDEX]}
    for name, numbers in rows.items():
        count, last = getattr(config, name), int(numbers.max())
        if last >= count:
            raise DatasetError(
                f"the data have {last + 1:,} {name} or more, the table has {count:,} rows; give "
                f"fewer, or a Config with more {name}"
            )
    return rows["pictures"]


class _Stage(Method):
    """What both stages share: the perceptual loss of a config."""

    def __init__(self, config: Config):
        self.layers: FaceLayers | None = None
        if config.features != "pixels":
            with torch.device("cpu"):  # trained weights are read wherever networks are being built
                self.layers = face_layers(config.features)
        self.embedders = SEEN[config.features]
        self.balance = {"features": config.perceptual} if self.layers else {}

    def material(self, dataset: FaceDataset) -> FaceDataset:
        """Return data whose faces know their numbers: these, or `Numbered` of them.

        People with a single picture are left out: what theirs have in common can't be told.
        """
        if INDEX in dataset.batch([0]).labels:
            return dataset
        return Numbered(with_several(dataset))

    def _pictures(self, made: Image, images: Image) -> dict[str, PerSample]:
        if self.layers is not None:
            self.layers.to(made.device)
        return picture_terms(made, images, self.layers)


class Latents(_Stage):
    """The first stage: the generator and all codes learn together to give the pictures back.

    Batches are those of `data.numbered.Numbered`.
    """

    id = METHOD

    def __init__(self, config: Config = BOOK):
        super().__init__(config)
        self.config = config
        self.generator = Generator(config.shape)
        self.codes = Codes(config.people, config.pictures, config.shape, config.code_rate)
        self.networks = {"generator": self.generator, "codes": self.codes}

    @classmethod
    def preset(cls, name: str) -> "Latents":
        """Return the training with the settings "tiny", "book" or "paper"."""
        return cls(presets.choose(PRESETS, name))

    def fitted(self, dataset: FaceDataset) -> "Latents":
        """Return a training with a code for each person and picture, these settings' or more.

        A code of nobody changes nothing: for fewer the tables are left as they are.
        """
        counts = {"people": dataset.people, "pictures": len(dataset)}
        if all(count <= getattr(self.config, name) for name, count in counts.items()):
            return self
        larger = {name: max(n, getattr(self.config, name)) for name, n in counts.items()}
        return type(self)(dataclasses.replace(self.config, **larger))

    def phases(self) -> list[Phase]:
        """Return the one phase."""
        c = self.config
        adam = Optimiser(c.learning_rate, betas=BETAS, schedule=c.schedule)
        weights = self.balance | {"decay": c.decay}
        return [Phase("latents", ("generator", "codes"), self.terms, adam, weights)]

    def terms(self, batch: Batch, step: Step) -> Terms:
        """Return the pictures' loss with noise on the content codes, and the codes' decay."""
        pictures = picture_numbers(batch, self.config)
        identity, content = self.codes.identity(batch.identity), self.codes.content(pictures)
        noisy = content + self.config.sigma * step.draw(
            lambda count, random: torch.randn(count, content.shape[1], generator=random),
            len(batch),
            content,
        )
        made = self.generator(identity, noisy)
        return {**self._pictures(made, batch.images), "decay": activation_decay(content)}

    @torch.no_grad()
    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return faces, spread over the batch, each from its codes, and as the person before."""
        some, codes, generator = _some(batch), networks["codes"], networks["generator"]
        content = codes.content(picture_numbers(some, self.config))
        identity = codes.identity(some.identity)
        made = [generator(code, content) for code in (identity, identity.roll(1, 0))]
        return torch.cat([some.images, *made])


class Encoders(_Stage):
    """The second stage: encoders learn to find the codes of a picture, so that anybody has some.

    The first stage's codes are frozen, and go into the checkpoint beside `lord`; its generator is
    where `lord`'s begins. The data are the first stage's.
    """

    id = SECOND
    follows = METHOD

    def __init__(self, config: EncodersConfig, generator: Generator, codes: Codes):
        super().__init__(config.first)
        self.config = config
        self.lord = Lord(config.first.shape, self.embedders)
        self.lord.generator = copy.deepcopy(generator).requires_grad_(True)
        self.codes = copy.deepcopy(codes).requires_grad_(False)
        self.networks = {"lord": self.lord, "codes": self.codes}

    @classmethod
    def after(cls, name: str, path: str | os.PathLike) -> "Encoders":
        """Return the training with a preset's settings behind the first stage of a file.

        `export_weights(run, path)` wrote it of a run of lord; sizes are that run's. Raises
        `ParameterError` for an unknown preset, and `CheckpointError` when the file is missing,
        damaged or of another method.
        """
        config = presets.choose(ENCODERS, name)
        found, header = network_files.load(path, METHOD, _first_stage, WRITER)
        trained = {name: header[name] for name in TOLD if name in header}
        first = Config.from_json(header["config"])
        config = dataclasses.replace(config, first=first, trained=trained)
        return cls(config, found["generator"], found["codes"])

    def phases(self) -> list[Phase]:
        """Return the one phase."""
        c = self.config
        moved = ("lord",) if c.tune_generator else ("lord.identity_encoder", "lord.content_encoder")
        adam = Optimiser(c.learning_rate, betas=BETAS, schedule=c.schedule)
        weights = self.balance | {"identity": c.identity, "content": c.content}
        return [Phase("encoders", moved, self.terms, adam, weights)]

    def terms(self, batch: Batch, step: Step) -> Terms:
        """Return the loss of the pictures from their encoded codes, and the codes' errors."""
        pictures = picture_numbers(batch, self.config.first)
        self._require_same_data(batch)
        identity = self.lord.identity_encoder(batch.images)
        content = self.lord.content_encoder(batch.images)
        made = self.lord.generator(identity, content)
        return {
            **self._pictures(made, batch.images),
            "identity": code_error(identity, self.codes.identity(batch.identity)),
            "content": code_error(content, self.codes.content(pictures)),
        }

    def _require_same_data(self, batch: Batch) -> None:
        """Raise `DatasetError` when the codes are those of other data's faces."""
        told = self.config.trained.get("data", {})
        if "sha256" not in told or DATASET not in batch.labels:
            return
        if int(batch.labels[DATASET][0]) != number_of(told["sha256"]):
            raise DatasetError(
                f"the codes are those of the faces of {told.get('id', 'another dataset')}, which "
                "the first stage saw, and these are others; give both stages the same data"
            )

    @torch.no_grad()
    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return faces, spread over the batch, each from itself, and as the person before."""
        some, lord = batch.some(SHOWN), networks["lord"]
        return torch.cat([some, *(lord(who, some) for who in (some, some.roll(1, 0)))])


def _first_stage(header: dict[str, Any]) -> nn.ModuleDict:
    config = Config.from_json(header["config"])
    codes = Codes(config.people, config.pictures, config.shape, config.code_rate)
    return nn.ModuleDict({"generator": Generator(config.shape), "codes": codes})


def _some(batch: Batch) -> Batch:
    """Return at most `SHOWN` of the faces, spread over the batch, with their labels."""
    apart = max(1, len(batch) // SHOWN)
    return batch.rows(torch.arange(len(batch), device=batch.identity.device)[::apart][:SHOWN])


# --- files ---------------------------------------------------------------------------------------


def load(path: str | os.PathLike, device: str = "cpu") -> Lord:
    """Return the encoders and the generator of a file, frozen, in evaluation mode, on `device`.

    `export_weights(run, path, ("lord",))` wrote it of a run of lord-encoders. Raises
    `CheckpointError` when the file is missing, damaged, or of another method or configuration than
    its header says. Runs no code of the file.
    """
    lord, _ = network_files.load(path, SECOND, _second_stage, WRITER)
    return lord.to(device)


def _second_stage(header: dict[str, Any]) -> Lord:
    first = EncodersConfig.from_json(header["config"]).first
    return Lord(first.shape, SEEN[first.features])
