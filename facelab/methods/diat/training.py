"""The game of DIAT: Algorithm 1, with equation 7 or, as DIAT-A, equation 14."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from facelab.data.by_attribute import GUIDED
from facelab.errors import DatasetError, ParameterError
from facelab.generators import adversarial, presets
from facelab.methods.diat import losses
from facelab.methods.diat.features import FaceLayers, face_layers
from facelab.methods.diat.networks import Denoiser, Discriminator, Shape, TransformNetwork
from facelab.methods.diat.tasks import find_task
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.types import Batch, Image

METHOD = "diat"
LAYERS = (4, 5)  # of D, whose maps the adaptive loss compares
SHOWN = 8  # faces of a preview
BETAS = (0.5, 0.999)  # of Adam in the game, as in Radford et al. 2016
Identity = Literal["adaptive", "dlib-stages", "dlib-layers", "vgg-face"]


@dataclass(frozen=True)
class Weights:
    """What balances equations 7 and 14. A weight of 0 leaves a term out.

    `identity` is lambda and `layers` are w_4 and w_5, which the paper does not give; `smooth` is
    gamma, 0 in DIAT-A.
    """

    identity: float = 0.1
    smooth: float = 0.0
    layers: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Config:
    """Sizes, weights and readings of DIAT.

    `task` is one of `tasks.TASKS`. `identity` names what the identity loss looks through, D's own
    maps ("adaptive": DIAT-A) or one of `features.face_layers`. Both networks are pre-trained for
    `pretrain_steps`; then D takes `d_steps` steps for each `t_steps` of T, one of which must be 1.
    `r1` weights a penalty on D's slope at faces of the guided set, which the paper does not have;
    0 leaves it out. It is paid every `r1_every` steps of D, that many times over. `noise` is the
    standard deviation of what is added to all that D sees, another thing that the paper does not
    have (Sonderby et al. 2017). The game's learning rates halve at the `halve_at` steps.
    Raises `ParameterError` on what can't be used.
    """

    task: str = "mouth_open"
    size: int = 64
    transform: Shape = field(default_factory=Shape)
    discriminator_width: int = 32
    hidden: int = 1000
    identity: str = "adaptive"
    weights: Weights = field(default_factory=Weights)
    reading: losses.Reading = "non-saturating"
    pretrain_steps: int = 1000
    pretrain_rate: float = 1e-4
    d_steps: int = 1
    t_steps: int = 1
    r1: float = 0.0
    r1_every: int = 4
    noise: float = 0.0
    learning_rate: float = 1e-5
    discriminator_rate: float = 1e-5
    halve_at: tuple[int, ...] = ()
    batch_size: int = 16
    ema_decay: float = 0.999

    def __post_init__(self):
        find_task(self.task)
        losses.require_reading(self.reading)
        presets.require(self.size % 16 == 0, f"size = {self.size}", "a multiple of 16")
        whole = {name: getattr(self, name) for name in ("size", "discriminator_width", "hidden")}
        steps = {
            name: getattr(self, name) for name in ("d_steps", "t_steps", "r1_every", "batch_size")
        }
        presets.require_whole(whole | steps)
        presets.require_whole({"pretrain_steps": self.pretrain_steps}, 0, 10_000_000)
        turns = f"d_steps = {self.d_steps} with t_steps = {self.t_steps}"
        presets.require(1 in (self.d_steps, self.t_steps), turns, "1 for one of the two")
        known = ", ".join(get_args(Identity))
        wanted = f"identity = {self.identity!r}"
        presets.require(self.identity in get_args(Identity), wanted, f"one of: {known}")
        balance = {"identity": self.weights.identity, "smooth": self.weights.smooth, "r1": self.r1,
                   "noise": self.noise}  # fmt: skip
        presets.require_positive(balance, zero=True)
        layers = dict(zip(("w_4", "w_5"), self.weights.layers, strict=False))
        wanted = f"layers = {self.weights.layers}"
        presets.require(len(self.weights.layers) == len(LAYERS), wanted, "two weights")
        presets.require_positive(layers, zero=True)
        wanted = f"halve_at = {self.halve_at}"
        rising = [0, *self.halve_at] == sorted({0, *self.halve_at})
        presets.require(rising, wanted, "steps above 0, each later than the one before")
        rates = ("learning_rate", "discriminator_rate", "pretrain_rate")
        presets.require_positive({name: getattr(self, name) for name in rates})
        presets.require_share({"ema_decay": self.ema_decay})

    @property
    def adaptive(self) -> bool:
        """Whether the identity loss looks through D: DIAT-A."""
        return self.identity == "adaptive"

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "Config":
        """Return the config of JSON values, as checkpoints and records have them.

        What is left out is as by default. Raises `TypeError` for a name that there isn't.
        """
        weights = presets.from_json(settings.get("weights", {}))
        built = {
            "transform": Shape(**settings.get("transform", {})),
            "weights": Weights(**weights),
        }
        return cls(**presets.from_json(settings) | built)


TINY = Config(
    size=16,
    transform=Shape(width=4, blocks=1),
    discriminator_width=4,
    hidden=16,
    pretrain_steps=4,
    learning_rate=1e-3,
    discriminator_rate=1e-3,
    pretrain_rate=1e-3,
    batch_size=4,
    ema_decay=0.9,
)
BOOK = Config(
    transform=Shape(width=32, blocks=3, skip=True),
    weights=Weights(identity=2000.0),
    pretrain_steps=600,
    pretrain_rate=2e-4,
    d_steps=2,
    learning_rate=2e-4,
    discriminator_rate=2e-4,
    halve_at=(2500, 3000),
    ema_decay=0.995,
)
# What a global attribute changes is everywhere; so are patterns that please a D which sees every
# pixel. Through this much noise the D of a local one may see nothing, and answer 1/2 for ever.
BOOK_GLOBAL = dataclasses.replace(
    BOOK,
    weights=Weights(identity=100.0),
    noise=0.2,
    d_steps=1,
    learning_rate=4e-4,
    discriminator_rate=4e-4,
    halve_at=(6000, 7000),
    ema_decay=0.998,
)
PAPER = Config(size=128, pretrain_steps=20_000)
PRESETS = {"tiny": TINY, "book": BOOK, "paper": PAPER}


class Game(Method):
    """Algorithm 1: T and D are pre-trained, then take turns.

    Batches are those of `data.by_attribute.ByAttribute`: faces without the reference attribute,
    and beside them as many of the guided set. `denoiser` is f of equation 6, frozen; it is needed
    where `weights.smooth` is not 0 (`regularisation` trains it).
    """

    id = METHOD
    averaged = ("transform",)

    def __init__(self, config: Config = BOOK, denoiser: Denoiser | None = None):
        self.config, self.ema_decay = config, config.ema_decay
        self.task = find_task(config.task)
        self.transform = TransformNetwork(config.transform)
        self.discriminator = Discriminator(config.size, config.discriminator_width, config.hidden)
        self.networks = {"transform": self.transform, "discriminator": self.discriminator}
        if config.weights.smooth and denoiser is None:
            raise ParameterError(
                f"smooth = {config.weights.smooth} needs the denoising network f of equation 6; "
                "train one with facelab.methods.diat.regularisation, or set smooth to 0"
            )
        self.denoiser = denoiser if config.weights.smooth else None
        if self.denoiser is not None:
            self.denoiser.requires_grad_(False)
            self.networks["denoiser"] = self.denoiser  # a run's checkpoints keep it
        self.layers: FaceLayers | None = None
        if config.weights.identity and not config.adaptive:
            with torch.device("cpu"):  # trained weights are read wherever networks are being built
                self.layers = face_layers(config.identity)
            self.embedders = self.layers.embedders

    @classmethod
    def preset(cls, name: str) -> "Game":
        """Return the training with the settings "tiny", "book" or "paper"."""
        return cls(presets.choose(PRESETS, name))

    @classmethod
    def for_task(cls, name: str, task: str) -> "Game":
        """Return the training of a task with the settings of a preset; "book" has two."""
        config, found = presets.choose(PRESETS, name), find_task(task)
        if config == BOOK and not found.local:
            config = BOOK_GLOBAL
        return cls(dataclasses.replace(config, task=found.name))

    def phases(self) -> list[Phase]:
        """Return both pre-trainings (equations 8 and 9), D's phase and T's (equations 7 and 14)."""
        c, first = self.config, self.config.pretrain_steps
        before = Optimiser(c.pretrain_rate)
        terms = {"identity": c.weights.identity, "smooth": c.weights.smooth}
        pretraining = [
            Phase("copy", ("transform",), self.copy_terms, before, until=first),
            Phase("tell", ("discriminator",), self.tell_terms, before, until=first),
        ][1 if c.transform.skip else 0 :]  # a T that begins as the identity has nothing to copy
        slope = Phase(
            "slope", ("discriminator",), self.slope_terms, self._adam(c.discriminator_rate),
            {"slope": c.r1 / 2 * c.r1_every}, offset=first, every=c.t_steps * c.r1_every,
            shares="discriminator",
        )  # fmt: skip
        balance = {name: weight for name, weight in terms.items() if weight}
        game = [
            Phase("discriminator", ("discriminator",), self.discriminator_terms,
                  self._adam(c.discriminator_rate), offset=first, every=c.t_steps),
            *([slope] if c.r1 else []),
            Phase("transform", ("transform",), self.transform_terms, self._adam(c.learning_rate),
                  balance, offset=first, every=c.d_steps),
        ]  # fmt: skip
        return [*(pretraining if first else []), *game]

    def _adam(self, rate: float) -> Optimiser:
        halved = self.config.halve_at
        schedule = "milestones" if halved else "constant"
        return Optimiser(rate, betas=BETAS, schedule=schedule, milestones=halved, factor=0.5)

    # --- equations 8 and 9 ---

    def copy_terms(self, batch: Batch, step: Step) -> Terms:
        """Return |x - T(x)|^2 of faces with and without the attribute. Source: equation 8."""
        faces = torch.cat([batch.images, self._guided(batch)])
        return {"copy": losses.squared_error(faces, self.transform(faces))}

    def tell_terms(self, batch: Batch, step: Step) -> Terms:
        """Return (y - D(x))^2 of faces with and without the attribute. Source: equation 9."""
        faces = torch.cat([batch.images, self._guided(batch)])
        labels = (torch.arange(len(faces), device=faces.device) >= len(batch)).float()
        logits = self.discriminator(faces + self._noise(faces, step))
        return {"tell": losses.classifier_loss(logits, labels)}

    # --- equations 3, 7 and 14 ---

    def discriminator_terms(self, batch: Batch, step: Step) -> Terms:
        """Return what D minimises: equation 3, negated."""
        with torch.no_grad():
            made = self.transform(batch.images)
        both = torch.cat([self._guided(batch), made])
        both = both + self._noise(both, step)
        real, fake = self.discriminator(both).split(len(batch))
        return {"attribute": losses.attribute_discriminator(real, fake, self.config.reading)}

    def slope_terms(self, batch: Batch, step: Step) -> Terms:
        """Return the squared gradient of D's logit at faces of the guided set."""
        # Detached: the batch, which other phases see too, stays as it is.
        guided = self._guided(batch).detach().requires_grad_(True)
        logits = self.discriminator(guided + self._noise(guided, step))
        return {"slope": adversarial.r1_penalty(logits, guided)}

    def transform_terms(self, batch: Batch, step: Step) -> Terms:
        """Return what T minimises: the attribute loss, identity, and smoothness."""
        self._guided(batch)
        made = self.transform(batch.images)
        weights, last = self.config.weights, len(self.discriminator.convolutions)
        noise = self._noise(made, step)
        maps = self.discriminator.features(made + noise, (*LAYERS, last))
        logits = self.discriminator.decide(maps.pop())
        terms = {"attribute": losses.attribute_transform(logits, self.config.reading)}
        if weights.identity:
            terms["identity"] = self._identity(batch.images, made, maps, noise)
        if self.denoiser is not None:
            terms["smooth"] = losses.squared_error(self.denoiser(made), made)
        return terms

    def _identity(
        self, images: Image, made: Image, maps: list[Tensor], noise: Image | float
    ) -> Tensor:
        """Return equation 13, through D, whose maps of T(x) are given, or equation 2.

        To D both pictures have the same noise.
        """
        if self.layers is not None:
            self.layers.to(made.device)
            maps = self.layers(made)
        with torch.no_grad():
            if self.layers is not None:
                source = self.layers(images)
            else:
                source = self.discriminator.features(images + noise, LAYERS)
        return losses.identity_loss(maps, source, self.config.weights.layers)

    def _noise(self, like: Image, step: Step) -> Image | float:
        """Return what is added to pictures before D sees them."""
        if not self.config.noise:
            return 0.0
        return self.config.noise * step.draw(
            lambda count, random: torch.randn(count, *like.shape[1:], generator=random),
            len(like),
            like,
        )

    def _guided(self, batch: Batch) -> Image:
        if GUIDED not in batch.labels:
            task = self.task
            raise DatasetError(
                "the data have no faces of the guided set beside the inputs; give "
                f"--data DATA:to:{'' if task.to else 'no-'}{task.attribute}"
            )
        presets.require_size(batch.images, self.config.size)
        return batch.labels[GUIDED]

    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return faces, spread over the batch, and after them what T makes of each."""
        some = batch.some(SHOWN)
        with torch.no_grad():
            return torch.cat([some, networks["transform"](some).clamp(-1, 1)])
