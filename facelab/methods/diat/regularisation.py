"""Perceptual regularisation (section 3.1.1): f of equation 6, which tells faces from artefacts.

    loop.train(reconstruction := Reconstruction(config), dataset, settings)
    loop.train(denoising := Denoising(config, reconstruction.network), dataset, settings)
    game = training.Game(game_config, denoiser=denoising.denoiser)

g copies a face as far as the identity loss can see (equation 4), so that g(x) - x is what T and
that loss leave of artefacts; f learns to take it away, and to leave a clear face alone (equation
5). What T makes is then asked to be what f makes of it.

g has T's architecture without the sum at its end (`Shape.skip`): with it g(x) = x before the first
step, and there is no artefact to learn from.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from torch import nn

from facelab.generators import presets
from facelab.methods.diat import features, losses
from facelab.methods.diat.enhancement import faces_of
from facelab.methods.diat.networks import Denoiser, Shape, TransformNetwork
from facelab.methods.diat.training import SHOWN
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.types import Batch, Image


@dataclass(frozen=True)
class Config:
    """Sizes and weights of g and f.

    `shape` are g's sizes, T's without `skip`; `layers` names what equation 4 looks through, one of
    `features.face_layers`, and `weights` are its w_4 and w_5, which the paper does not give.
    `denoiser_width` is f's channels in between. Raises `ParameterError` on what can't be used.
    """

    size: int = 64
    shape: Shape = field(default_factory=lambda: Shape(blocks=3))
    layers: str = "dlib-layers"
    weights: tuple[float, ...] = (1.0, 1.0)
    denoiser_width: int = 32
    learning_rate: float = 1e-4
    batch_size: int = 16
    ema_decay: float = 0.999

    def __post_init__(self):
        whole = ("size", "denoiser_width", "batch_size")
        presets.require_whole({name: getattr(self, name) for name in whole})
        presets.require(self.size % 4 == 0, f"size = {self.size}", "a multiple of 4")
        presets.require(
            not self.shape.skip,
            "shape.skip = True (g would begin as the identity, without an artefact)",
            "a shape with skip=False",
        )
        names = get_args(features.Name)
        known = ", ".join(names)
        presets.require(self.layers in names, f"layers = {self.layers!r}", f"one of: {known}")
        presets.require(len(self.weights) == 2, f"weights = {self.weights}", "two, w_4 and w_5")
        presets.require_positive({"w_4": self.weights[0], "w_5": self.weights[1]}, zero=True)
        presets.require_positive({"learning_rate": self.learning_rate})
        presets.require_share({"ema_decay": self.ema_decay})

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "Config":
        """Return the config of JSON values, as checkpoints and records have them.

        What is left out is as by default. Raises `TypeError` for a name that there isn't.
        """
        found = presets.from_json(settings)
        return cls(**found | ({"shape": Shape(**found["shape"])} if "shape" in found else {}))


TINY = Config(
    size=16, shape=Shape(4, 1), denoiser_width=4, learning_rate=1e-3, batch_size=4, ema_decay=0.9
)
# Ten times the paper's rate: a run on a CPU has some thousand steps.
BOOK = Config(learning_rate=1e-3, ema_decay=0.99)
PAPER = Config(size=128, shape=Shape())
PRESETS = {"tiny": TINY, "book": BOOK, "paper": PAPER}


class Reconstruction(Method):
    """One phase: g copies faces as two layers of a frozen face network see them. Equation 4."""

    id = "diat-reconstruction"
    averaged = ("reconstruction",)

    def __init__(self, config: Config = BOOK):
        self.config, self.ema_decay = config, config.ema_decay
        self.network = TransformNetwork(config.shape)
        self.networks = {"reconstruction": self.network}
        with torch.device("cpu"):  # trained weights are read wherever networks are being built
            self.layers = features.face_layers(config.layers)
        self.embedders = self.layers.embedders

    @classmethod
    def preset(cls, name: str) -> "Reconstruction":
        """Return the training with the settings "tiny", "book" or "paper"."""
        return cls(presets.choose(PRESETS, name))

    def phases(self) -> list[Phase]:
        """Return g's phase."""
        adam = Optimiser(self.config.learning_rate)
        return [Phase("reconstruction", ("reconstruction",), self.terms, adam)]

    def terms(self, batch: Batch, step: Step) -> Terms:
        """Return the content losses of g(x) and x, weighted and added. Source: equation 4."""
        faces = faces_of(batch, self.config.size)
        self.layers.to(faces.device)
        made = self.layers(self.network(faces))
        with torch.no_grad():
            wanted = self.layers(faces)
        return {"content": losses.identity_loss(made, wanted, self.config.weights)}

    @torch.no_grad()
    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return faces, spread over the batch, and after them what g makes of each."""
        some = batch.some(SHOWN)
        return torch.cat([some, networks["reconstruction"](some)])


class Denoising(Method):
    """One phase: f takes what g added off g(x), and nothing off x. Equation 5; g is frozen.

    Raises `ParameterError` when g has other sizes than the config says.
    """

    id = "diat-denoising"
    averaged = ("denoiser",)

    def __init__(self, config: Config, reconstruction: TransformNetwork):
        found, wanted = reconstruction.shape, config.shape
        presets.require(found == wanted, f"a g of {found}", f"one of the config's {wanted}")
        self.config, self.ema_decay = config, config.ema_decay
        # A copy: g may be somebody else's, who goes on training it.
        self.reconstruction = copy.deepcopy(reconstruction).eval().requires_grad_(False)
        self.denoiser = Denoiser(config.denoiser_width)
        self.networks = {"denoiser": self.denoiser, "reconstruction": self.reconstruction}

    def phases(self) -> list[Phase]:
        """Return f's phase."""
        return [Phase("denoiser", ("denoiser",), self.terms, Optimiser(self.config.learning_rate))]

    def terms(self, batch: Batch, step: Step) -> Terms:
        """Return |f(g(x)) - x|^2 and |f(x) - x|^2. Source: equation 5."""
        faces = faces_of(batch, self.config.size)
        with torch.no_grad():
            made = self.reconstruction(faces)
        return {
            "denoised": losses.squared_error(self.denoiser(made), faces),
            "clear": losses.squared_error(self.denoiser(faces), faces),
        }

    @torch.no_grad()
    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return faces, spread over the batch, what g makes of each, and f of that."""
        some = batch.some(SHOWN)
        made = networks["reconstruction"](some)
        return torch.cat([some, made, networks["denoiser"](made).clamp(-1, 1)])
