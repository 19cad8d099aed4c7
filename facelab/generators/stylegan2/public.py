"""Reads StyleGAN2 generators that others published, in the two layouts that are in common use.

The book ships none of them: their licences and their training faces are for the reader to judge.

- "rosinality": stylegan2-pytorch by Kim Seonghyun. Its checkpoints hold the averaged generator as
  `g_ema`, with names like `convs.0.conv.weight`, and the mean w as `latent_avg`.
- "nvidia": stylegan2-ada-pytorch by NVIDIA. Its own files hold whole Python objects, which facelab
  never loads; what can be read is the state dictionary of `G_ema`, with names like
  `synthesis.b8.conv0.weight`, that a reader saved where the file is trusted.

Both keep the same numbers in the same order, so nothing is computed here: tensors are renamed, and
some lose a leading 1. Sizes are read off the shapes. NVIDIA's networks were trained with a clamp
at 256 behind each convolution, which state dictionaries don't mention and which is left out here.
"""

import os
import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from facelab import assets
from facelab.errors import CheckpointError, ParameterError
from facelab.generators.stylegan2.config import Config
from facelab.generators.stylegan2.layers import make_filter
from facelab.generators.stylegan2.networks import StyleGAN2

State = dict[str, Tensor]
FILTERS = re.compile(r"(.*\.)?(kernel|resample_filter)")
# What tells how deep the mapping network is, and how many convolutions there are.
PATTERNS = {
    "rosinality": (r"style\.\d+\.weight", r"(conv1|convs\.\d+)\.activate\.bias"),
    "nvidia": (r"mapping\.fc\d+\.weight", r"synthesis\.b\d+\.conv[01]\.bias"),
}
MEANS = {"rosinality": "latent_avg", "nvidia": "mapping.w_avg"}


def load_public(path: str | os.PathLike, id: str | None = None, device: str = "cpu") -> StyleGAN2:
    """Return a published StyleGAN2 generator, frozen, in evaluation mode, on `device`.

    The file is safetensors or PyTorch's own, read without running code of it. A mean w that it
    lacks is measured. Raises `CheckpointError` when the file is missing, damaged, holds code, or
    isn't an unconditional StyleGAN2 with skips in one of the two layouts.
    """
    id = id or os.path.basename(path)
    network = from_public(assets.load_weights(path), id)
    return network.to(device, memory_format=torch.channels_last)


def from_public(weights: Mapping, id: str) -> StyleGAN2:
    """Return the generator of a public checkpoint's content: tensors by name, perhaps nested.

    Raises `CheckpointError` when it isn't an unconditional StyleGAN2 in one of the two layouts.
    """
    layout, state = _generator_state(dict(_flatten(weights)), id)
    with torch.device("meta"):  # so that no file can ask for memory
        network = StyleGAN2(_config(layout, state, id), id)
    renamed = _renamed(layout, state, network, id)
    try:
        network.load_state_dict(renamed, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{id} does not fit StyleGAN2's generator: {reason}") from error
    network = network.eval().requires_grad_(False)
    return network if network.mean_w.any() else network.measure_mean_w()


def _flatten(weights: Mapping, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for name, value in weights.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, Tensor):
            yield f"{prefix}{name}", value


def _generator_state(tensors: State, id: str) -> tuple[str, State]:
    """Return the layout's name and the averaged generator's tensors, under their bare names."""
    for prefix in ("g_ema.", "G_ema.", ""):
        state = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        if "mapping.embed.weight" in state:
            raise CheckpointError(
                f"{id} is a conditional StyleGAN2, whose latents come with a label; give an "
                "unconditional one"
            )
        if "style.1.weight" in state and "conv1.conv.weight" in state:
            mean = {k: t for k, t in tensors.items() if k == MEANS["rosinality"]}
            return "rosinality", {**state, **mean}
        if "mapping.fc0.weight" in state and "synthesis.b4.const" in state:
            return "nvidia", state
    raise CheckpointError(
        f"{id} is not a StyleGAN2 generator in a public layout: it has neither style.1.weight and "
        "conv1.conv.weight (rosinality's) nor mapping.fc0.weight and synthesis.b4.const (NVIDIA's)"
    )


def _config(layout: str, state: State, id: str) -> Config:
    """Read the sizes off the shapes."""
    depth, count = (sum(bool(re.fullmatch(p, name)) for name in state) for p in PATTERNS[layout])
    first = state["style.1.weight" if layout == "rosinality" else "mapping.fc0.weight"]
    scales = (count + 1) // 2  # the first has one convolution, the others have two
    try:
        channels = [state[_last_bias(layout, scale)].shape[0] for scale in range(scales)]
        return Config(
            channels=tuple(channels),
            latents=first.shape[1],
            styles=first.shape[0],
            mapping_layers=depth,
        )
    except KeyError as error:
        raise _lacks(id, error.args[0]) from error
    except (IndexError, ParameterError) as error:
        raise CheckpointError(
            f"{id} has sizes that StyleGAN2 can't have ({error}); give another file"
        ) from error


def _last_bias(layout: str, scale: int) -> str:
    if layout == "nvidia":
        return f"synthesis.b{4 << scale}.conv1.bias"
    return f"convs.{2 * scale - 1}.activate.bias" if scale else "conv1.activate.bias"


def _lacks(id: str, name: str) -> CheckpointError:
    return CheckpointError(
        f"{id} lacks {name}; give an unconditional StyleGAN2 with skips, whole and unrenamed"
    )


def _renamed(layout: str, state: State, network: StyleGAN2, id: str) -> State:
    """Return the tensors under facelab's names. Every tensor of the file must have a place."""
    renamed, used = {}, set()
    for ours, like in network.state_dict().items():
        theirs = _public_name(layout, ours)
        if theirs in state:
            tensor = state[theirs].float()
            # A leading 1, or the sides of a bias, are how the layouts differ.
            renamed[ours] = tensor.reshape(like.shape) if _same(tensor, like) else tensor
            used.add(theirs)
        elif ours == "mean_w":
            renamed[ours] = torch.zeros(like.shape)
        elif ours == "synthesis_network.kernel":
            renamed[ours] = make_filter()
        else:
            raise _lacks(id, theirs)
    for name in sorted(state.keys() - used):
        if not FILTERS.fullmatch(name):
            raise CheckpointError(f"{id} has a tensor {name} that StyleGAN2's generator lacks")
        _require_filter(state[name], name, id)
    return renamed


def _same(tensor: Tensor, like: Tensor) -> bool:
    return [n for n in tensor.shape if n != 1] == [n for n in like.shape if n != 1]


def _require_filter(tensor: Tensor, name: str, id: str) -> None:
    """Raise unless a filter is [1, 3, 3, 1] in both directions, up to a factor."""
    ours = make_filter()
    scaled = tensor.float() / tensor.float().sum()
    if scaled.shape != ours.shape or not torch.allclose(scaled, ours, atol=1e-4):
        raise CheckpointError(
            f"{id} filters with {name}, another filter than [1, 3, 3, 1]; facelab has that one only"
        )


def _public_name(layout: str, ours: str) -> str:
    """Return what the layout calls one of facelab's tensors."""
    if ours == "mean_w":
        return MEANS[layout]
    if ours == "synthesis_network.constant":
        return "input.input" if layout == "rosinality" else "synthesis.b4.const"
    part, *rest = ours.split(".")[1:]
    if part == "layers":
        index, tensor = int(rest[0]), rest[1]
        return (
            f"style.{index + 1}.{tensor}"
            if layout == "rosinality"
            else (f"mapping.fc{index}.{tensor}")
        )
    if part == "kernel":
        return ""  # both layouts keep a filter beside each layer that uses it
    index, tensor = int(rest[0]), ".".join(rest[1:])
    if layout == "nvidia":
        return _nvidia_name(part, index, tensor)
    return _rosinality_name(part, index, tensor)


def _nvidia_name(part: str, index: int, tensor: str) -> str:
    tensor = {"noise": "noise_const", "strength": "noise_strength"}.get(tensor, tensor)
    if part == "colours":
        return f"synthesis.b{4 << index}.torgb.{tensor}"
    # Convolutions are 4, 8 up, 8, 16 up, 16, ...: conv1 ends a scale, conv0 doubles the side.
    side, layer = 4 << ((index + 1) // 2), "conv0" if index % 2 else "conv1"
    return f"synthesis.b{side}.{layer}.{tensor}"


def _rosinality_name(part: str, index: int, tensor: str) -> str:
    if part == "convolutions" and tensor == "noise":
        return f"noises.noise_{index}"
    tensor = tensor.replace("affine", "conv.modulation")
    if part == "colours":
        place = f"to_rgbs.{index - 1}" if index else "to_rgb1"
        return f"{place}.{'conv.weight' if tensor == 'weight' else tensor}"
    place = f"convs.{index - 1}" if index else "conv1"
    names = {"weight": "conv.weight", "strength": "noise.weight", "bias": "activate.bias"}
    return f"{place}.{names.get(tensor, tensor)}"
