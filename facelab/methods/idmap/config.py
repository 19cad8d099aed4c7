"""Sizes, weights and readings of the map, and its presets."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from facelab.generators import presets

Moves = Literal["mapping", "both"]
Landmarks = Literal["mean-square", "norm"]
Mask = Literal["none", "gaussian"]
Encoder = Literal["small", "inception"]


@dataclass(frozen=True)
class Weights:
    """What balances the terms: section 3.3. A weight of 0 leaves a term out.

    Without `adversarial` there is no D_W at all: the paper's ablation. `latent` is no term of the
    paper: where a face is rebuilt, M's vector is compared with the one that the face was drawn
    from, which a training set from the generator has anyway.
    """

    adversarial: float = 1.0
    identity: float = 1.0
    landmarks: float = 0.001
    reconstruction: float = 0.02
    latent: float = 0.0


@dataclass(frozen=True)
class Config:
    """Sizes, weights and readings.

    `generator` is a name of `generators.catalogue` or a file, `w` the length of its latent vectors
    and `layers` how many of them it takes: 1 for W, more for W+. `size` is the side of its pictures
    and `framing` the template that its faces lie on. `embedder` names E_id; `identity_features` is
    the length of its code, `attribute_features` that of E_attr's. `mapping` are the widths between
    M's layers, `critic` those of D_W. `channels` are those of the small E_attr.

    For `pretrain_steps` E_attr and M only learn which vector a face was drawn from, which the paper
    does not have; then `cross` of every `period` steps combine two faces, the others rebuild one.
    `adversarial_every` is how often M plays against D_W, and `adversarial_moves` whether E_attr
    moves with it.
    `landmarks` is the reading of equation 5 and `mask` that of equation 6. `truncation` is that of
    the vectors that D_W takes for real. Raises `ParameterError` on what can't be used.
    """

    generator: str = "digiface-dcgan"
    size: int = 64
    w: int = 100
    layers: int = 1
    framing: str = "book64"
    truncation: float = 1.0
    embedder: str = "dlib"
    identity_features: int = 128
    encoder: str = "small"
    channels: tuple[int, ...] = (48, 96, 192, 384)
    attribute_features: int = 192
    mapping: tuple[int, ...] = (512, 512, 512)
    critic: tuple[int, ...] = (256, 128, 64)
    weights: Weights = field(default_factory=Weights)
    alpha: float = 0.84
    gamma: float = 10.0
    cross: int = 1
    period: int = 3
    landmarks: str = "mean-square"
    mask: str = "none"
    pretrain_steps: int = 0
    pretrain_rate: float = 3e-4
    adversarial_every: int = 1
    adversarial_moves: str = "mapping"
    learning_rate: float = 5e-5
    adversarial_rate: float = 5e-6
    critic_rate: float = 2e-5
    halve_at: tuple[int, ...] = ()
    batch_size: int = 6
    ema_decay: float = 0.999

    def __post_init__(self):
        widths = (*self.mapping, *self.critic, *self.channels)
        presets.require_whole({f"width {n} of {widths}": width for n, width in enumerate(widths)})
        presets.require(bool(self.mapping), "M without a layer between", "at least one width")
        names = ("size", "w", "layers", "identity_features", "attribute_features", "batch_size")
        presets.require_whole({name: getattr(self, name) for name in names})
        presets.require_whole({"period": self.period, "adversarial_every": self.adversarial_every})
        presets.require_whole({"cross": self.cross}, 0, self.period)
        presets.require_whole({"pretrain_steps": self.pretrain_steps}, 0, 10_000_000)
        presets.require_positive(vars(self.weights) | {"gamma": self.gamma}, zero=True)
        presets.require_share({"alpha": self.alpha, "ema_decay": self.ema_decay})
        rates = ("learning_rate", "adversarial_rate", "critic_rate", "pretrain_rate")
        presets.require_positive({name: getattr(self, name) for name in (*rates, "truncation")})
        readings = {"landmarks": Landmarks, "mask": Mask, "encoder": Encoder}
        for name, known in (readings | {"adversarial_moves": Moves}).items():
            value, choice = getattr(self, name), get_args(known)
            presets.require(value in choice, f"{name} = {value!r}", f"one of: {', '.join(choice)}")

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "Config":
        """Return the config of JSON values, as checkpoints and records have them.

        What is left out is as by default. Raises `TypeError` for a name that there isn't.
        """
        weights = Weights(**settings.get("weights", {}))
        return cls(**presets.from_json(settings) | {"weights": weights})


TINY = Config(
    channels=(8, 8),
    attribute_features=16,
    mapping=(32,),
    critic=(16,),
    learning_rate=1e-3,
    adversarial_rate=1e-4,
    critic_rate=4e-4,
    batch_size=4,
    ema_decay=0.9,
)
# R1's slope is per unit of w, and a unit of N(0, 1) is a deviation: with the paper's gamma of 10
# the critic is too flat to tell a vector of half the length. At higher rates than these M's vectors
# swing about as fast as their average forgets, and the average is short.
BOOK = Config(
    weights=Weights(identity=7.0, landmarks=0.003, reconstruction=0.5),
    gamma=1.0,
    cross=2,
    pretrain_steps=5000,
    learning_rate=1e-4,
    adversarial_rate=2e-5,
    critic_rate=1e-4,
    halve_at=(8000, 11_000, 14_000),
    batch_size=16,
    ema_decay=0.995,
)
# StyleGAN2 for StyleGAN, for it is what is published in formats that can be read safely; a reader
# gets it with data_scripts/stylegan2_ffhq.py, or gives a file in place of the name.
PAPER = Config(
    generator="stylegan2-ffhq-256",
    size=256,
    w=512,
    framing="ffhq256",
    embedder="facenet-vggface2",
    identity_features=512,
    encoder="inception",
    channels=(),
    attribute_features=2048,
    mapping=(2048, 1024, 512),
    critic=(256, 128, 64),
)
AUTHORS = dataclasses.replace(
    PAPER, truncation=0.7, attribute_features=512, mask="gaussian", adversarial_every=2
)
# Appendix C: pictures of 1024 pixels two at a time, all rates divided by 10.
PAPER_1024 = dataclasses.replace(
    PAPER,
    generator="stylegan2-ffhq-1024",
    size=1024,
    batch_size=2,
    learning_rate=5e-6,
    adversarial_rate=5e-7,
    critic_rate=2e-6,
)
PRESETS = {
    "tiny": TINY,
    "book": BOOK,
    "paper": PAPER,
    "authors": AUTHORS,
    "paper-1024": PAPER_1024,
}
