"""Sizes, weights and readings of the autoencoder, and its presets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from facelab.generators import presets

Encoder = Literal["small", "inception-resnet"]
Dispelling = Literal["uniform", "as-printed"]
MOST_PEOPLE = 10_000_000
INCEPTION_LEAST = 75  # pixels a side, of which its last maps are 1 x 1


@dataclass(frozen=True)
class Weights:
    """What balances the terms of equation 6. A weight of 0 leaves a term out.

    `identity` is lambda_T, `dispelling` lambda_P, of L_I^adv and of L_H, and `reconstruction`
    lambda_X times height and width. `adversarial` is that of figure 11's extension.
    """

    identity: float = 1.0
    dispelling: float = 0.1
    reconstruction: float = 1.0
    adversarial: float = 0.0


@dataclass(frozen=True)
class Config:
    """Sizes, weights and readings.

    `size` is the side of the faces in pixels. `channels` and `blocks` are those of the small
    encoder: a stage for each width, of so many residual blocks. `branch` is the width of the three
    convolutions of B_T and B_P, `features` the length of their codes, N_T = N_P. The decoder's maps
    begin with `start` x `start` pixels and double between its levels; `decoder` has each level's
    width and `convolutions` how many it has. `people` is how many the classifiers tell apart.

    What the last convolution gives, times `picture_scale`, is the picture. Behind that layer is no
    normalisation, so it bears the least rate of SGD; at a scale s it bears 1 / s^2 as much.

    `dispelling` is the reading of equation 3. Without `classify` there is no L_I^adv, and L_H moves
    the classifier of P (section 5.2); without `dispel` there is no L_H; without `decode` no
    decoder; without `augment` no equation 5. The branch P is left out where none of these needs it.

    `spread_momentum` is the share that a batch has in the running deviations. Rates fall to a tenth
    at each of the `milestones`, which are steps. `critic` are the widths of figure 11's critic and
    `critic_rate` its own rate. Raises `ParameterError` on what can't be used.
    """

    size: int = 64
    encoder: str = "small"
    channels: tuple[int, ...] = (32, 64, 128)
    blocks: int = 2
    features: int = 256
    branch: int = 128
    start: int = 4
    decoder: tuple[int, ...] = (192, 128, 64, 32, 16)
    convolutions: tuple[int, ...] = (1, 1, 1, 1, 2)
    picture_scale: float = 1.0
    critic: tuple[int, ...] = (32, 64, 128)
    people: int = 800
    weights: Weights = field(default_factory=Weights)
    dispelling: str = "uniform"
    classify: bool = True
    dispel: bool = True
    decode: bool = True
    augment: bool = True
    spread_momentum: float = 0.1
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    milestones: tuple[int, ...] = ()
    critic_rate: float = 2e-4
    batch_size: int = 32
    ema_decay: float = 0.999

    def __post_init__(self):
        widths = (*self.channels, *self.decoder, *self.convolutions, *self.critic)
        presets.require_whole({f"width {n} of {widths}": width for n, width in enumerate(widths)})
        names = ("size", "blocks", "features", "branch", "start")
        presets.require_whole({name: getattr(self, name) for name in names})
        # Neither one person nor one face has a spread.
        presets.require_whole({"people": self.people}, 2, MOST_PEOPLE)
        presets.require_whole({"batch_size": self.batch_size}, 2)
        presets.require_positive(vars(self.weights), zero=True)
        presets.require_positive({"weight_decay": self.weight_decay}, zero=True)
        rates = ("learning_rate", "critic_rate", "picture_scale")
        presets.require_positive({name: getattr(self, name) for name in rates})
        shares = ("spread_momentum", "momentum", "ema_decay")
        presets.require_share({name: getattr(self, name) for name in shares})
        for name, known in {"encoder": Encoder, "dispelling": Dispelling}.items():
            value, choice = getattr(self, name), get_args(known)
            presets.require(value in choice, f"{name} = {value!r}", f"one of: {', '.join(choice)}")
        self._require_sizes()
        self._require_terms()

    def _require_sizes(self) -> None:
        """Raise `ParameterError` unless encoder and decoder can have faces of this size."""
        if self.encoder == "inception-resnet":
            least = INCEPTION_LEAST
        else:
            presets.require(bool(self.channels), "an encoder without a stage", "one width or more")
            least = 2 ** len(self.channels)
        what = f"size = {self.size} with this encoder"
        presets.require(self.size >= least, what, f"{least} pixels or more, or fewer stages")
        levels, counts = len(self.decoder), len(self.convolutions)
        what = f"a decoder of {levels} widths and {counts} numbers of convolutions"
        presets.require(levels == counts > 0, what, "as many of the one as of the other")
        made = self.start << (levels - 1)
        what = f"a decoder that ends at {made} pixels"
        presets.require(made >= self.size, what, f"{self.size} or more, which are cut to that")
        halved = self.size >> len(self.critic)
        what = f"a critic of widths {self.critic} for {self.size} pixels"
        presets.require(bool(self.critic and halved), what, "one to log2(size) widths")

    def _require_terms(self) -> None:
        presets.require(self.weights.identity > 0, "identity = 0", "a number above 0: L_I is all")
        paid = self.weights.reconstruction or self.weights.adversarial
        what = "a decoder that no loss moves"
        presets.require(bool(paid) or not self.decode, what, "a weight above 0, or decode=False")
        passed = tuple(sorted({*self.milestones}))
        what = f"milestones = {self.milestones}"
        presets.require(passed == self.milestones, what, "steps that rise")
        presets.require_whole({f"milestone {step}": step for step in passed}, most=10_000_000)

    @property
    def confuses(self) -> bool:
        """Whether there is a classifier of P: L_I^adv or L_H is asked for."""
        return bool(self.weights.dispelling) and (self.classify or self.dispel)

    @property
    def two(self) -> bool:
        """Whether there is a branch P."""
        return self.decode or self.confuses

    @property
    def plays(self) -> bool:
        """Whether there is a critic: figure 11."""
        return self.decode and self.weights.adversarial > 0

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "Config":
        """Return the config of JSON values, as checkpoints and records have them.

        What is left out is as by default. Raises `TypeError` for a name that there isn't.
        """
        weights = Weights(**settings.get("weights", {}))
        return cls(**presets.from_json(settings) | {"weights": weights})


TINY = Config(
    channels=(8, 8, 8),
    blocks=1,
    features=16,
    branch=8,
    decoder=(8, 8, 8, 8, 8),
    convolutions=(1, 1, 1, 1, 1),
    critic=(8, 8),
    people=64,
    batch_size=8,
    ema_decay=0.9,
)
# 19,200 faces are 600 steps of 32: the paper's 10, 20 and 31 epochs are few steps here, and the
# rate falls after 15 and 20 epochs of 23. It begins at five times the paper's, which the
# decoder bears by its picture_scale; with 1 it learned nothing but the mean face. One residual
# block a stage makes a step twice as quick as two. Pictures count twice as much as in the paper.
BOOK = Config(
    blocks=1,
    people=2400,
    weights=Weights(reconstruction=2.0),
    picture_scale=0.2,
    learning_rate=0.05,
    weight_decay=5e-4,
    milestones=(9_000, 12_000),
    ema_decay=0.998,
)
# 90% of 4 million pictures in batches of 192: an epoch is 18,750 steps, and the 31 of the paper are
# 581,250. The rate falls every 10 epochs. 20 convolutions, 6 upsamplings; widths are ours.
EPOCH = 18_750
PAPER = Config(
    size=235,
    encoder="inception-resnet",
    channels=(),
    branch=512,
    decoder=(512, 512, 256, 256, 128, 64, 32),
    convolutions=(3, 3, 3, 3, 3, 3, 2),
    critic=(64, 128, 256, 512),
    people=80_000,
    milestones=(10 * EPOCH, 20 * EPOCH, 30 * EPOCH),
    batch_size=192,
)
PRESETS = {"tiny": TINY, "book": BOOK, "paper": PAPER}
