"""The second stage: E, which makes what T gives look like the picture that it was given (3.2).

    enhancement = Enhancement.after("book", "mouth_open_T.safetensors")
    loop.train(enhancement, dataset, settings, run)

E of a local task keeps the input outside the attribute's mask and T(x) inside (equation 10); E of a
global one is a deblurring network, trained on faces alone and put behind T after a blur (equation
11). T is frozen, and goes into the checkpoint beside E.

phi of equation 10 is VGG-Face in the paper, of which only its first two convolutions are needed;
where no reader has it, they are those of the book's default recogniser. The squares of equations 10
and 11 are means over pixels and channels, as all pictures' are in `losses`. The printed square
outside the mask is a sum, beside content losses that are means: PAPER weighs it by the number of
values in a picture, the default counts both as means. The paper doesn't say which it is.
"""

import copy
import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import nn

from facelab.data.by_attribute import GUIDED
from facelab.generators import presets
from facelab.methods.diat import losses, training
from facelab.methods.diat.features import (
    DlibLayers,
    DlibStages,
    VggLayers,
    face_layers,
)
from facelab.methods.diat.losses import Maps, Mask, PerSample
from facelab.methods.diat.masks import masked
from facelab.methods.diat.networks import LocalEnhancer, Shape, TransformNetwork
from facelab.methods.diat.tasks import Task, find_task
from facelab.methods.diat.training import SHOWN
from facelab.methods.diat.transfer import SIGMA_PX, Enhancer, enhanced
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.types import Batch, Image

METHOD = "diat-enhancement"
TOLD = ("step", "images", "seed", "data")  # of T's training, which E's file repeats
Layers = Literal["dlib-layers", "vgg-face"]
# The recognisers that T's identity loss saw, by its name.
SEEN = {
    "dlib-stages": DlibStages.embedders,
    "dlib-layers": DlibLayers.embedders,
    "vgg-face": VggLayers.embedders,
}


@dataclass(frozen=True)
class Config:
    """Sizes and weights of the second stage.

    `game` is the config of T; `trained` says how long, on what and with which seed T was trained.
    `width` is the channels of a local task's E, `shape` the sizes of a global one's, T's own where
    it is None. `betas` weigh levels 0 to 2 of equation 10, and `outside` its first term; a weight
    of 0 leaves a term out. `layers` names the network of levels 1 and 2. `sigma_px` is the blur of
    equation 11 in pixels of a face of 128. Raises `ParameterError` on what can't be used.
    """

    game: training.Config = field(default_factory=lambda: training.BOOK)
    width: int = 32
    shape: Shape | None = None
    betas: tuple[float, ...] = (0.1, 0.5, 1.0)
    outside: float = 1.0
    layers: str = "dlib-layers"
    sigma_px: float = SIGMA_PX
    learning_rate: float = 1e-4
    batch_size: int = 16
    ema_decay: float = 0.999
    trained: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        presets.require_whole({"width": self.width, "batch_size": self.batch_size})
        presets.require(len(self.betas) == 3, f"betas = {self.betas}", "three, of levels 0 to 2")
        weights = {f"beta {level}": beta for level, beta in enumerate(self.betas)}
        presets.require_positive(weights | {"outside": self.outside}, zero=True)
        known = ", ".join(get_args(Layers))
        wanted = f"layers = {self.layers!r}"
        presets.require(self.layers in get_args(Layers), wanted, f"one of: {known}")
        rates = {"sigma_px": self.sigma_px, "learning_rate": self.learning_rate}
        presets.require_positive(rates)
        presets.require_share({"ema_decay": self.ema_decay})

    @property
    def size(self) -> int:
        """The faces' side in pixels."""
        return self.game.size

    @property
    def task(self) -> Task:
        """What T was trained for."""
        return find_task(self.game.task)

    @property
    def weights(self) -> dict[str, float]:
        """Equation 10's weights by the names of its terms, but for those that are 0."""
        levels = {f"level {level}": beta for level, beta in enumerate(self.betas)}
        return {name: w for name, w in {"outside": self.outside, **levels}.items() if w}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "Config":
        """Return the config of JSON values, as checkpoints and records have them.

        What is left out is as by default. Raises `TypeError` for a name that there isn't.
        """
        shape = settings.get("shape")
        built = {
            "game": training.Config.from_json(settings.get("game", {})),
            "shape": None if shape is None else Shape(**shape),
        }
        return cls(**presets.from_json(settings) | built)


TINY = Config(
    training.TINY, width=4, shape=Shape(4, 1), learning_rate=1e-3, batch_size=4, ema_decay=0.9
)
# Ten times the paper's rate: a run on a CPU has some thousand steps.
BOOK = Config(learning_rate=1e-3, ema_decay=0.99)
# E of a global task has T's size. Its last layer adds up thousands of values: it needs small steps,
# and smaller ones at first.
BOOK_GLOBAL = dataclasses.replace(BOOK, learning_rate=3e-4)
WARMUP = 100
PAPER = Config(training.PAPER, outside=3.0 * training.PAPER.size**2)
PRESETS = {"tiny": TINY, "book": BOOK, "paper": PAPER}


def new_enhancer(config: Config) -> Enhancer:
    """Return an E with random weights, of the kind that the config's task needs."""
    if config.task.local:
        return LocalEnhancer(config.width)
    return TransformNetwork(config.shape or config.game.transform)


class FirstLayers(nn.Module):
    """Levels 1 and 2 of equation 10: the first two convolutions of a frozen face network."""

    def __init__(self, layers: DlibLayers | VggLayers):
        super().__init__()
        self.layers, self.embedders = layers, layers.embedders

    def forward(self, images: Image) -> list[Maps]:
        """Return the two maps, after their activations, of faces framed like `book64`."""
        return self.layers.first(images)


def masked_content(
    transformed: Sequence[Maps], enhanced: Sequence[Maps], betas: Sequence[float]
) -> dict[str, PerSample]:
    """Return the content losses of m T(x) and m E(T(x)) by level, each not yet weighted.

    Level 0 are the pictures, the others phi's maps of them; those with a beta of 0 are left out.
    Source: equation 10, second term.
    """
    levels = enumerate(zip(betas, transformed, enhanced, strict=True))
    return {f"level {n}": losses.content_loss(a, b) for n, (beta, a, b) in levels if beta}


def faces_of(batch: Batch, size: int) -> Image:
    """Return a batch's faces and, where it has them, those of the guided set, of `size` pixels.

    Raises `ParameterError` when they have another size.
    """
    presets.require_size(batch.images, size)
    guided = batch.labels.get(GUIDED)
    return batch.images if guided is None else torch.cat([batch.images, guided])


class Enhancement(Method):
    """One phase: equation 10 for a local task, 11 for a global one; T is frozen.

    Local tasks take the masks of their batches where these have them, and else find them
    (`masks.masked`). Raises `ParameterError` when T has other sizes than the config says.
    """

    id = METHOD
    follows = training.METHOD
    averaged = ("enhancer",)

    def __init__(self, config: Config, transform: TransformNetwork):
        found, wanted = transform.shape, config.game.transform
        presets.require(found == wanted, f"a T of {found}", f"one of the config's {wanted}")
        self.config, self.ema_decay, self.task = config, config.ema_decay, config.task
        # A copy: T may be somebody else's, who goes on training it.
        self.transform = copy.deepcopy(transform).eval().requires_grad_(False)
        self.enhancer = new_enhancer(config)
        self.networks = {"transform": self.transform, "enhancer": self.enhancer}
        self.layers: FirstLayers | None = None
        if self.task.local and any(config.betas[1:]):
            with torch.device("cpu"):  # trained weights are read wherever networks are being built
                self.layers = FirstLayers(face_layers(config.layers))
        own = self.layers.embedders if self.layers else ()
        before = SEEN.get(config.game.identity, ()) if config.game.weights.identity else ()
        self.embedders = tuple(sorted({*own, *before}))

    @classmethod
    def after(cls, name: str, path: str | os.PathLike) -> "Enhancement":
        """Return the training with a preset's settings behind the T of a file.

        `export_weights(run, path, ("transform",))` wrote it of a run of diat; task and size are
        that run's. Raises `ParameterError` for an unknown preset, and `CheckpointError` when the
        file is missing, damaged or of another method.
        """
        from facelab.methods.diat.checkpoint import load_transform  # which imports this module

        config = presets.choose(PRESETS, name)
        transform, header = load_transform(path)
        game = training.Config.from_json(header["config"])
        if config == BOOK and not find_task(game.task).local:
            config = BOOK_GLOBAL
        trained = {name: header[name] for name in TOLD if name in header}
        return cls(dataclasses.replace(config, game=game, trained=trained), transform)

    def phases(self) -> list[Phase]:
        """Return E's phase."""
        adam = Optimiser(self.config.learning_rate)
        if self.task.local:
            weights = self.config.weights
            return [Phase("enhancer", ("enhancer",), self.local_terms, adam, weights)]
        adam = dataclasses.replace(adam, warmup_steps=WARMUP)
        return [Phase("enhancer", ("enhancer",), self.global_terms, adam)]

    def local_terms(self, batch: Batch, step: Step) -> Terms:
        """Return what E of a local task minimises, each term by itself. Source: equation 10."""
        presets.require_size(batch.images, self.config.size)
        images, mask = batch.images, masked(batch, self.task.mask)
        made = self._transformed(images)
        better = self.enhancer(images, made)
        levels = self._levels(mask, made), self._levels(mask, better)
        terms = masked_content(*levels, self.config.betas[: len(levels[0])])
        if self.config.outside:
            terms = {"outside": losses.outside_loss(mask, better, images), **terms}
        return terms

    def _levels(self, mask: Mask, faces: Image) -> list[Maps]:
        inside = mask * faces
        if self.layers is None:
            return [inside]
        return [inside, *self.layers.to(faces.device)(inside)]

    def global_terms(self, batch: Batch, step: Step) -> Terms:
        """Return |E(B(x)) - x|^2 of faces with and without the attribute. Source: equation 11."""
        faces = faces_of(batch, self.config.size)
        sharp = enhanced(self.enhancer, faces, faces, self.config.sigma_px)
        return {"sharp": losses.squared_error(sharp, faces)}

    def _transformed(self, images: Image) -> Image:
        """Return T(x) as it will be enhanced, within [-1, 1]."""
        return self.transform(images).clamp(-1, 1)

    @torch.no_grad()
    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return faces, spread over the batch, what T makes of each, and E of that."""
        some = batch.some(SHOWN)
        made = networks["transform"](some).clamp(-1, 1)
        better = enhanced(networks["enhancer"], some, made, self.config.sigma_px)
        return torch.cat([some, made, better.clamp(-1, 1)])
