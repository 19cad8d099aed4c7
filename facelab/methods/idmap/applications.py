"""What a trained map is used for: ways between faces, sequences, and faces that are nobody's.

A way changes one factor and holds the other: in Z the codes of E_id or E_attr are mixed before M,
in W the vectors that M gives (figures 11, 12, 16 and 17 of the paper). A sequence is a frame at a
time, each by itself, so what is steady about it is the map's doing (appendix A).
"""

from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.generators.generator import interpolate_linear
from facelab.methods.idmap.model import AT_ONCE, IdentityMap
from facelab.types import Image

Space = Literal["z", "w"]
Factor = Literal["identity", "attributes"]
CANDIDATES = 16  # from which the least alike is taken

Frames = Float[Tensor, "steps 3 size size"]


@torch.no_grad()
def between(
    model: IdentityMap,
    start: Image,
    end: Image,
    held: Image,
    *,
    factor: str,
    space: str = "z",
    steps: int = 9,
) -> Frames:
    """Return pictures on the way from one face's `factor` to another's, both ends included.

    `start`, `end` and `held` are one face each, (1, 3, size, size). With factor "identity" whose
    face it is changes and all else is that of `held`; with "attributes" all else changes and the
    identity is that of `held`. `space` is where the straight way runs: "z", the codes, or "w".
    Raises `ParameterError` for another factor or space, or fewer than 2 steps.
    """
    _require(factor, space, steps)
    where = torch.linspace(0, 1, steps, device=start.device)
    moving = factor == "identity"
    encode = model.identity_code if moving else model.attribute_code
    fixed = (model.attribute_code if moving else model.identity_code)(held)
    first, last = encode(start), encode(end)
    codes = torch.cat([first, last])
    if space == "z":
        codes = interpolate_linear(first.expand(steps, -1), last.expand(steps, -1), where)
    fixed = fixed.expand(len(codes), -1)
    w = model.w(codes, fixed) if moving else model.w(fixed, codes)
    if space == "w":
        ends = (w[:1].expand(steps, *w.shape[1:]), w[1:].expand(steps, *w.shape[1:]))
        w = interpolate_linear(*ends, where)
    return model.picture(w)


def _require(factor: str, space: str, steps: int) -> None:
    for name, value, known in (("factor", factor, Factor), ("space", space, Space)):
        if value not in get_args(known):
            raise ParameterError(
                f"{name} {value!r} is unknown; choose one of: {', '.join(get_args(known))}"
            )
    if steps < 2:
        raise ParameterError(f"a way of {steps} steps has no two ends; give at least 2")


@torch.no_grad()
def drive(
    model: IdentityMap,
    identity: Float[Tensor, "pictures 3 height width"],
    frames: Iterable[Tensor],
) -> Iterator[Image]:
    """Yield the frames of a driver with the identity of another face, batch by batch.

    `identity` is one face, or several of one person: their mean code is taken. `frames` are batches
    of the driver's faces, aligned. Every frame is made by itself.
    """
    code = model.identity_code(identity).mean(0, keepdim=True)
    for batch in frames:
        for part in batch.split(AT_ONCE):
            yield model.picture(model.w(code.expand(len(part), -1), model.attribute_code(part)))


@torch.no_grad()
def new_identity(
    model: IdentityMap,
    seed: int,
    *,
    away_from: Float[Tensor, "faces 3 height width"] | None = None,
) -> Image:
    """Return a face that the generator draws from a seed: somebody who does not exist.

    With `away_from`, faces of somebody, the least like them of `CANDIDATES` such faces is taken, as
    the map's own recogniser has it: who hides behind a neighbour is easily found.
    """
    random = torch.Generator().manual_seed(seed)
    count = 1 if away_from is None else CANDIDATES
    where = next(model.parameters()).device
    latents = model.generator.sample_latent(count, random).to(where)
    faces = model.draw(model.generator.mapping(latents))
    if away_from is None:
        return faces
    theirs = model.identity_code(away_from.to(where)).mean(0, keepdim=True)
    likeness = torch.nn.functional.cosine_similarity(model.identity_code(faces), theirs)
    return faces[likeness.argmin()][None]
