"""StyleGAN2's networks: mapping, synthesis, the generator made of both, and the discriminator."""

import itertools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.errors import ParameterError
from facelab.generators import generator as interface
from facelab.generators.adversarial import Logits
from facelab.generators.stylegan2.config import BOOK, Config
from facelab.generators.stylegan2.layers import (
    GAIN,
    SLOPE,
    Features,
    Filter,
    ScaledConvolution,
    ScaledLinear,
    activate,
    blur,
    enlarge,
    make_filter,
    modulated_convolution,
)
from facelab.types import Image, Latent

W = Float[Tensor, "batch styles"]
WPlus = Float[Tensor, "batch layers styles"]
Noise = Float[Tensor, "#batch pixels"]


class MappingNetwork(nn.Module):
    """z (batch, latents) to w (batch, styles): z is brought to length sqrt(latents) first.

    Its layers learn at a hundredth of the others' rate. Source: Karras et al. 2019, figure 1 and
    appendix C.
    """

    def __init__(self, config: Config):
        super().__init__()
        widths = [config.latents, *[config.styles] * (config.mapping_layers - 1)]
        rate = config.mapping_rate
        layers = [ScaledLinear(above, config.styles, rate=rate) for above in widths]
        self.layers = nn.ModuleList(layers)

    def forward(self, latent: Latent) -> W:
        """Return w, float32 also where the images are drawn with fewer digits."""
        with torch.autocast(latent.device.type, enabled=False):
            x = pixel_norm(latent.float())
            for layer in self.layers:
                x = activate(layer(x))
        return x


def pixel_norm(latent: Latent) -> Latent:
    """Divide each vector by the root of its mean square: on a sphere of radius sqrt(latents)."""
    return latent * (latent.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class StyledConvolution(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, rectifier; with `up` at twice the side."""

    noise: Tensor

    def __init__(self, above: int, below: int, styles: int, side: int, *, up: bool):
        super().__init__()
        self.up, self.side = up, side
        self.affine = ScaledLinear(styles, above, bias=1.0)
        self.weight = nn.Parameter(torch.randn(below, above, 3, 3))
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(below))
        self.scale = 1 / math.sqrt(above * 9)
        self.register_buffer("noise", torch.randn(1, 1, side, side))

    def forward(
        self, x: Features, w: W, noise: Tensor | None, kernel: Filter, fused: bool
    ) -> Float[Tensor, "batch _ _ _"]:
        """Return the features (batch, below, side, side); without `noise` the stored one serves."""
        weight, style = self.weight * self.scale, self.affine(w)
        x = modulated_convolution(x, weight, style, up=self.up, fused=fused)
        if self.up:
            x = blur(x, 4 * kernel, padding=1)
        noise = self.noise if noise is None else noise
        # The rectifier lets positive factors through, so its gain goes to the smaller tensors.
        shift = (noise * self.strength * GAIN).to(x.dtype)
        bias = (self.bias * GAIN).to(x.dtype)[:, None, None]
        return F.leaky_relu(torch.add(shift + bias, x, alpha=GAIN), SLOPE)


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution to colours, without demodulation.

    At 1 x 1 weights for each image cost nothing: either form is a product of small matrices.
    """

    def __init__(self, above: int, styles: int):
        super().__init__()
        self.affine = ScaledLinear(styles, above, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, above, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.scale = 1 / math.sqrt(above)

    def forward(self, x: Features, w: W) -> Image:
        """Return this scale's share of the image, float32."""
        own = (self.weight[:, :, 0, 0] * self.scale) * self.affine(w)[:, None, :]
        y = torch.einsum("bri,bihw->brhw", own.to(x.dtype), x)
        return y.float() + self.bias[:, None, None]


class SynthesisNetwork(nn.Module):
    """w, one for each layer, to images: a learned 4 x 4 picture, doubled until it is full size.

    At each scale the features give colours, and the image is the sum of all scales' colours,
    enlarged. `fused` chooses between the two forms of `modulated_convolution`.
    """

    kernel: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.fused = False
        self.layers = config.layers
        first = config.channels[0]
        self.constant = nn.Parameter(torch.randn(1, first, 4, 4))
        self.register_buffer("kernel", make_filter())
        convolutions = [StyledConvolution(first, first, config.styles, 4, up=False)]
        colours = [ToRGB(first, config.styles)]
        above = first
        for scale, below in enumerate(config.channels[1:], start=1):
            side = 4 << scale
            convolutions.append(StyledConvolution(above, below, config.styles, side, up=True))
            convolutions.append(StyledConvolution(below, below, config.styles, side, up=False))
            colours.append(ToRGB(below, config.styles))
            above = below
        self.convolutions, self.colours = nn.ModuleList(convolutions), nn.ModuleList(colours)
        self.areas = [layer.side**2 for layer in convolutions]

    def forward(self, w: WPlus, noise: Noise | None = None) -> Image:
        """Return images (batch, 3, size, size); layer i is driven by w[:, i].

        `noise` has one number for each pixel of each convolution, in their order.
        """
        parts: list[Tensor | None] = [None] * len(self.areas)
        if noise is not None:
            parts = [
                part.view(-1, 1, layer.side, layer.side)
                for part, layer in zip(noise.split(self.areas, 1), self.convolutions, strict=True)
            ]
        x = self.constant.expand(len(w), -1, -1, -1)
        image = None
        for index, layer in enumerate(self.convolutions):
            x = layer(x, w[:, index], parts[index], self.kernel, self.fused)
            if index % 2 == 0:  # the last convolution of its scale
                colours = self.colours[index // 2](x, w[:, index + 1])
                image = colours if image is None else enlarge(image, self.kernel) + colours
        return image


class StyleGAN2(interface.Generator):
    """StyleGAN2's generator. Without a `noise` argument it draws the same image for the same w.

    Three latent spaces: z, N(0, 1); w, `mapping(z)`, shape (batch, styles); and W+, with a w for
    each layer, shape (batch, layers, styles). `synthesis` takes both of the latter.
    """

    prior = "normal"
    mean_w: Tensor

    def __init__(self, config: Config = BOOK, id: str = "stylegan2"):
        super().__init__()
        self.config, self.id = config, id
        self.latents, self.size, self.layers = config.latents, config.size, config.layers
        self.mapping_network = MappingNetwork(config)
        self.synthesis_network = SynthesisNetwork(config)
        self.register_buffer("mean_w", torch.zeros(config.styles))

    def sample_latent(self, count: int, random: torch.Generator) -> Latent:
        """Draw `count` vectors z from N(0, 1); shape (count, latents), on the CPU."""
        return interface.sample_prior(self.prior, count, self.latents, random)

    def sample_noise(self, count: int, random: torch.Generator) -> Noise:
        """Draw the noise of `count` images from N(0, 1), on the CPU, for `synthesis`."""
        return torch.randn(count, sum(self.synthesis_network.areas), generator=random)

    def mapping(self, latent: Latent) -> W:
        """Turn z (batch, latents) into w (batch, styles)."""
        return self.mapping_network(latent)

    def synthesis(self, w: W | WPlus, noise: Noise | None = None) -> Image:
        """Draw images (batch, 3, size, size) from w or W+; there is no tanh.

        `noise` is what `sample_noise` gave; without it, each layer adds the noise that is stored
        with its weights.
        """
        return self.synthesis_network(self.to_w_plus(w), noise)

    def to_w_plus(self, w: W | WPlus) -> WPlus:
        """Repeat w for each layer, shape (batch, layers, styles); W+ stays what it is.

        Raises `ParameterError` when W+ has another number of layers.
        """
        if w.ndim == 2:
            return w[:, None].expand(-1, self.layers, -1)
        if w.shape[1] != self.layers:
            raise ParameterError(
                f"W+ has {w.shape[1]} layers, this generator {self.layers}; give a w for each"
            )
        return w

    def mix(
        self, coarse: W | WPlus, fine: W | WPlus, crossover: int | Float[Tensor, " batch"]
    ) -> WPlus:
        """Take the layers before `crossover` from `coarse` and the others from `fine`.

        Source: Karras et al. 2019, section 3.1, style mixing.
        """
        layer = torch.arange(self.layers, device=coarse.device)
        if isinstance(crossover, Tensor):
            crossover = crossover[:, None]
        first = (layer < crossover).expand(len(coarse), -1)
        return torch.where(first[:, :, None], self.to_w_plus(coarse), self.to_w_plus(fine))

    @torch.no_grad()
    def measure_mean_w(self, count: int = 4096, seed: int = 0) -> "StyleGAN2":
        """Set `mean_w`, which truncation needs, to the mean w of `count` latents; return self."""
        z = self.sample_latent(count, torch.Generator().manual_seed(seed))
        self.mean_w.copy_(self.mapping(z.to(self.mean_w.device)).mean(dim=0))
        return self

    def truncate(self, w: W | WPlus, psi: float) -> W | WPlus:
        """Bring w closer to the mean: psi = 1 leaves it, psi = 0 gives the mean face.

        Raises `ParameterError` when the mean was not measured yet.
        """
        if not self.mean_w.any():
            raise ParameterError(
                f"the mean w of {self.id!r} was not measured yet; call measure_mean_w() first"
            )
        return interface.truncate(w, self.mean_w, psi)


# --- the discriminator ---------------------------------------------------------------------------


class ResidualBlock(nn.Module):
    """Two convolutions beside a 1 x 1 one, to half the side; their sum is divided by sqrt(2)."""

    def __init__(self, above: int, below: int):
        super().__init__()
        self.first = ScaledConvolution(above, above, 3)
        self.second = ScaledConvolution(above, below, 3)
        self.shortcut = ScaledConvolution(above, below, 1, activated=False)

    def forward(self, x: Features, kernel: Filter) -> Float[Tensor, "batch _ _ _"]:
        """Return features (batch, below, height / 2, width / 2)."""
        y = self.first(x, padding=1)
        y = self.second(blur(y, kernel, padding=2), stride=2)
        return (y + self.shortcut(blur(x, kernel, padding=1, stride=2))) / math.sqrt(2)


class Discriminator(nn.Module):
    """Images to logits of "real": residual blocks down to 4 x 4 pixels, then the batch's spread."""

    kernel: Tensor

    def __init__(self, config: Config = BOOK):
        super().__init__()
        self.group = config.group
        widths = config.channels[::-1]
        self.register_buffer("kernel", make_filter())
        self.first = ScaledConvolution(3, widths[0], 1)
        blocks = [ResidualBlock(above, below) for above, below in itertools.pairwise(widths)]
        self.blocks = nn.ModuleList(blocks)
        last = widths[-1]
        self.last = ScaledConvolution(last + 1, last, 3)
        self.hidden = ScaledLinear(last * 16, last)
        self.output = ScaledLinear(last, 1)

    def forward(self, images: Image) -> Logits:
        """Return one logit for each image (batch, 3, size, size)."""
        x = self.first(images)
        for block in self.blocks:
            x = block(x, self.kernel)
        x = self.last(append_spread(x, self.group), padding=1)
        return self.output(activate(self.hidden(x.flatten(1)))).flatten()


def append_spread(x: Features, group: int) -> Float[Tensor, "batch _ height width"]:
    """Append a channel with the standard deviation within groups of images, the same everywhere.

    The mean over channels and places of the deviation over a group's images, so that a generator
    that draws one face again and again is found out. Groups hold `group` images, or as many as
    divide the batch; image i is in group i modulo their number. Source: Karras et al. 2018,
    section 3.
    """
    batch, _, height, width = x.shape
    size = max(n for n in range(1, min(group, batch) + 1) if batch % n == 0)
    groups = x.float().unflatten(0, (size, batch // size))
    spread = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    channel = spread.repeat(size).view(-1, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, channel.to(x.dtype)], dim=1)
