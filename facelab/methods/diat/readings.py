"""What the paper leaves open, and what its tables say, as small experiments that give numbers.

| here | what is unclear or to be seen | source |
|---|---|---|
| `attribute_curves` | what D and T are paid for by each reading of [1 - log D(T(x))] | equation 3 |
| `printed_discriminator` | D has nowhere to stop as printed | equation 3 |
| `activations` | the shape after each layer, beside the printed one | Tables 1 and 2 |
| `inverted` | what the layers of an identity loss hold of a face | equations 2 and 4 |
| `inside_out` | how much of a change is where the attribute is | section 3.2 |

What is random follows from seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facelab.data.seeding import stream
from facelab.errors import ImageError
from facelab.generators import presets
from facelab.methods.diat import losses
from facelab.methods.diat.features import FaceLayers
from facelab.methods.diat.masks import require_mask
from facelab.methods.diat.networks import Residual
from facelab.types import Image

SEEDS = tuple(range(5))
POINTS = 64  # faces on the line, with the attribute and transformed, as many of each
SURE = 1e4  # a logit that costs D nothing in float32

Logits = Float[Tensor, " points"]
Paths = Float[Tensor, "seeds steps"]
Lines = Float[Tensor, "seeds faces"]
PerFace = Float[Tensor, " batch"]
Activation = tuple[str, tuple[int, ...]]


# --- equation 3 ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class AttributeCurve:
    """What D and T minimise at a face that T made, and the slopes in D's logit of it."""

    discriminator: Logits
    discriminator_slope: Logits
    transform: Logits
    transform_slope: Logits


def attribute_curves(logits: Logits) -> Mapping[str, AttributeCurve]:
    """Return, by reading of equation 3, losses and slopes at D's logits of T(x), in that order.

    D's loss has no part of the guided set here: of its face D is sure. D's step goes against its
    slope: above 0 the logit is pushed down. `logits` are not changed.
    """
    told = {}
    for reading in get_args(losses.Reading):
        at = logits.detach().float().clone().requires_grad_()
        sure = torch.full_like(at, SURE)
        values = (
            losses.attribute_discriminator(sure, at, reading),
            losses.attribute_transform(at, reading),
        )
        slopes = [torch.autograd.grad(value.sum(), at)[0] for value in values]
        d, t = (value.detach() for value in values)
        told[reading] = AttributeCurve(d, slopes[0], t, slopes[1])
    return told


@dataclass(frozen=True)
class Training:
    """D's loss, and its weight and bias, before each step and after the last; a row a seed."""

    loss: Paths
    weight: Paths
    bias: Paths


def printed_discriminator(
    seeds: Sequence[int] = SEEDS, steps: int = 200, rate: float = 0.5, spread: float = 1.0
) -> Mapping[str, Training]:
    """Let D(x) = sigmoid(w x + b) learn on a line, corrected and printed: (seeds, steps + 1) each.

    Faces with the attribute lie about 1 and transformed ones about -1, both normally with
    deviation `spread`; T stays as it is. D begins at 0 and descends the gradient of all faces. The
    corrected loss has a lowest place, in the long run at w = 2 / spread^2 and b = 0. The printed
    one pays the more the farther the logits of transformed faces fall, and has none.
    Raises `ParameterError` for steps, a rate or a spread that can't be used, or no seed.
    """
    presets.require_whole({"steps": steps}, 1, 100_000)
    presets.require_positive({"rate": rate, "spread": spread})
    presets.require(len(seeds) > 0, "no seed", "at least one")
    drawn = [torch.randn(2, POINTS, generator=stream("diat-line", seed)) for seed in seeds]
    guided, made = (torch.stack(drawn, dim=1) * spread).unbind()
    return {
        reading: _training(guided + 1, made - 1, reading, steps, rate)
        for reading in ("corrected", "printed")
    }


def _training(
    guided: Lines, made: Float[Tensor, "_ _"], reading: losses.Reading, steps: int, rate: float
) -> Training:
    """Train a D for each row of faces; rows don't touch each other."""
    weight, bias = (torch.zeros(len(guided), 1, requires_grad=True) for _ in range(2))
    path = []
    for _ in range(steps + 1):
        logits = [(weight * faces + bias).flatten() for faces in (guided, made)]
        loss = losses.attribute_discriminator(*logits, reading).unflatten(0, guided.shape).mean(1)
        path.append((loss.detach(), weight.detach()[:, 0], bias.detach()[:, 0]))
        slopes = torch.autograd.grad(loss.sum(), (weight, bias))
        weight, bias = (
            (value.detach() - rate * slope).requires_grad_()
            for value, slope in zip((weight, bias), slopes, strict=True)
        )
    return Training(*(torch.stack(values, dim=1) for values in zip(*path, strict=True)))


# --- Tables 1 and 2 ------------------------------------------------------------------------------


def activations(network: nn.Module, size: int) -> list[Activation]:
    """Return what each layer of T or D gives for a face of `size` pixels, as the tables have it.

    Rows are the layer in the tables' words and its shape without the batch, (channels, height,
    width), or (units,); the input comes first, and a residual block is one row. The network is left
    as it was. Raises `ImageError` for a face that it can't take.
    """
    found: list[Activation] = [("input", (3, size, size))]

    def keep(layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        found.append((_named(layer), tuple(output.shape[1:])))

    hooks = [layer.register_forward_hook(keep) for layer in _layers(network)]
    like = next(network.parameters())
    try:
        with torch.no_grad():
            network(like.new_zeros(1, 3, size, size))
    except (RuntimeError, ValueError) as error:  # the latter of a norm with one pixel
        name = type(network).__name__
        raise ImageError(
            f"a face of {size} x {size} pixels doesn't fit this {name}; give the size that it was "
            "built for"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _layers(network: nn.Module) -> list[nn.Module]:
    """Return what is a row of the tables, in no order: what is within a block is not."""
    found: list[nn.Module] = []
    for child in network.children():
        row = isinstance(child, Residual | nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
        found += [child] if row else _layers(child)
    return found


def _named(layer: nn.Module) -> str:
    if isinstance(layer, Residual):
        return f"residual block, {layer.second.out_channels} filters"
    if isinstance(layer, nn.Linear):
        return f"fully connected, {layer.out_features} units"
    kind = "deconv" if isinstance(layer, nn.ConvTranspose2d) else "conv"
    filters = " x ".join(str(n) for n in (*layer.kernel_size, layer.out_channels))
    return f"{filters} {kind}, pad {layer.padding[0]}, stride {layer.stride[0]}"


# --- equation 2 ----------------------------------------------------------------------------------


def inverted(images: Image, layers: FaceLayers, *, steps: int = 60, rate: float = 0.05) -> Image:
    """Return pictures that layers can't tell from the given ones, found from grey by their loss.

    `steps` of Adam move the pixels down equation 2 with both weights 1; they stay within [-1, 1].
    What the layers hold comes back, what they let go stays grey or turns to noise. Raises
    `ParameterError` for steps or a rate that can't be used.
    """
    presets.require_whole({"steps": steps}, 1, 100_000)
    presets.require_positive({"rate": rate})
    with torch.no_grad():
        wanted = layers(images)
    pixels = torch.zeros_like(images).requires_grad_()
    adam = torch.optim.Adam([pixels], lr=rate)
    for _ in range(steps):
        loss = losses.identity_loss(layers(pixels), wanted, (1.0, 1.0)).sum()
        (pixels.grad,) = torch.autograd.grad(loss, [pixels])
        adam.step()
        with torch.no_grad():
            pixels.clamp_(-1, 1)
    return pixels.detach()


# --- section 3.2 ---------------------------------------------------------------------------------


def inside_out(
    images: Image, made: Float[Tensor, "_ 3 _ _"], masks: Float[Tensor, "_ 1 _ _"]
) -> PerFace:
    """Return the share of each picture's squared change that lies inside its mask, 0 to 1.

    The squares are summed over pixels and channels, a pixel counting inside as much as the mask
    says. NaN where a picture did not change. Raises `ImageError` when pictures or masks have
    another shape.
    """
    if images.shape != made.shape:
        raise ImageError(
            f"pictures of shapes {tuple(images.shape)} and {tuple(made.shape)} can't be compared; "
            "give each picture before and after"
        )
    require_mask(masks, images)
    changed = (made.float() - images.float()).square()
    return (masks * changed).sum(dim=(1, 2, 3)) / changed.sum(dim=(1, 2, 3))
