"""How large a StyleGAN2 is, and how it is trained: the settings, and the presets."""

from dataclasses import dataclass

from facelab.generators import presets


@dataclass(frozen=True)
class Config:
    """Sizes of the networks, weights of the regularisers, and how the networks are trained.

    `channels` has one entry for each side from 4 pixels up, so three make 16 x 16 images. A latent
    vector has `latents` numbers, w has `styles`, and the mapping network `mapping_layers`.

    `r1` is gamma; R1 runs every `r1_every` steps and path length, weighted `path_weight`, every
    `path_every` on a `path_shrink`-th of the batch. A share of `mixing` of the images is drawn from
    two w. Standard deviations are taken over groups of `group` images. `batch_size` is what a run
    takes unless it is told otherwise; the paper's average forgets half within 10,000 images.
    Raises `ParameterError` on what can't be used.
    """

    channels: tuple[int, ...] = (512, 512, 512, 512, 512)
    latents: int = 512
    styles: int = 512
    mapping_layers: int = 8
    mapping_rate: float = 0.01
    learning_rate: float = 0.002
    r1: float = 10.0
    r1_every: int = 16
    path_weight: float = 2.0
    path_every: int = 4
    path_shrink: int = 2
    mixing: float = 0.9
    group: int = 4
    batch_size: int = 32
    ema_decay: float = 0.5 ** (32 / 10_000)

    def __post_init__(self):
        some = 2 <= len(self.channels) <= 9
        presets.require(some, f"{len(self.channels)} scales", "channels for 2 to 9: 8 to 1024 px")
        presets.require_whole({f"channels[{i}]": n for i, n in enumerate(self.channels)})
        presets.require_whole({n: getattr(self, n) for n in ("latents", "styles", "batch_size")})
        presets.require_whole({"mapping_layers": self.mapping_layers}, most=16)
        counts = ("r1_every", "path_every", "path_shrink", "group")
        presets.require_whole({n: getattr(self, n) for n in counts}, most=10_000_000)
        presets.require_share({"mixing": self.mixing, "ema_decay": self.ema_decay})
        rates = {"mapping_rate": self.mapping_rate, "learning_rate": self.learning_rate}
        presets.require_positive(rates)
        presets.require_positive({"r1": self.r1, "path_weight": self.path_weight}, zero=True)

    @property
    def size(self) -> int:
        """The image's side in pixels."""
        return 2 << len(self.channels)

    @property
    def layers(self) -> int:
        """How many w a W+ vector has: one a convolution, and one for the last toRGB."""
        return 2 * len(self.channels)


def paper(size: int) -> Config:
    """Return the paper's configuration F, for images of `size` pixels.

    A side has 32768 / side channels, 512 at most; R1's gamma is the paper's for faces, 10. Raises
    `ParameterError` when the size is no power of two from 8 to 1024.
    """
    sides = [side for side in (4, 8, 16, 32, 64, 128, 256, 512, 1024) if side <= size]
    presets.require(sides[-1:] == [size], f"size = {size!r}", "a power of two from 8 to 1024")
    return Config(channels=tuple(min(512, 32_768 // side) for side in sides))


TINY = Config(
    channels=(8, 8, 8, 8, 8),
    latents=8,
    styles=8,
    mapping_layers=2,
    r1=1.0,
    r1_every=4,
    path_every=2,
    batch_size=8,
    ema_decay=0.9,
)
BOOK = Config(
    channels=(128, 128, 64, 32, 16),
    latents=128,
    styles=128,
    mapping_layers=4,
    r1=0.1,
    batch_size=16,
    ema_decay=0.998,
)
PRESETS = {
    "tiny": TINY,
    "book": BOOK,
    "paper": paper(256),
    "paper-64": paper(64),
    "paper-128": paper(128),
}
