"""Paint the texture of a head from its appearance: colours, pigments, layers.

Skin is lit pigment: reflectance falls exponentially with melanin and haemoglobin, per colour
channel (the two axes of Tsumura et al. 2003, Independent-component analysis of skin color image).
Hair is the same with eumelanin and pheomelanin. All colours are linear RGB reflectances in [0, 1].
Everything is differentiable in the parameters, but for the whole numbers that choose a style.
"""

import dataclasses
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from facelab.geometry.appearance import Appearance, Colour, Value
from facelab.geometry.atlas import (
    CLOTH,
    FRAMES,
    HAIR,
    SIZE,
    Atlas,
    Box,
    box_of,
    head_atlas,
    smooth_step,
)

# Linear RGB: reflectance without pigment, and how much each pigment takes away at strength 1.
BARE_SKIN, SKIN_MELANIN, HAEMOGLOBIN = (0.87, 0.71, 0.57), (1.9, 2.5, 3.0), (0.08, 0.48, 0.45)
BARE_HAIR, EUMELANIN, PHEOMELANIN = (0.86, 0.69, 0.45), (2.9, 3.9, 4.7), (0.25, 1.1, 1.9)
GREY_HAIR = (0.485, 0.475, 0.467)
IRISES = ((0.085, 0.04, 0.02), (0.17, 0.12, 0.05), (0.13, 0.17, 0.10), (0.13, 0.22, 0.36))
SCLERA, PUPIL = (0.74, 0.71, 0.70), (0.012, 0.012, 0.014)
TONGUE, CAVITY, TEETH = (0.42, 0.16, 0.15), (0.10, 0.028, 0.028), (0.76, 0.72, 0.64)
IRIS_RAD, PUPIL_RAD = 0.40, 0.15


def pigmented(
    bare: tuple[float, float, float], *pigments: tuple[Tensor, tuple[float, float, float]]
) -> Tensor:
    """Return bare * exp(-sum of strength * absorption), colours in the last dimension."""
    total = sum(strength[..., None] * strength.new_tensor(take) for strength, take in pigments)
    return total.new_tensor(bare) * torch.exp(-total)


def skin_colour(melanin: Tensor, haemoglobin: Tensor) -> Tensor:
    """Return the linear RGB reflectance (..., 3) of skin with pigments (...)."""
    return pigmented(BARE_SKIN, (melanin, SKIN_MELANIN), (haemoglobin, HAEMOGLOBIN))


def hair_colour(appearance: Appearance) -> Colour:
    """Return the linear RGB reflectance of the hair, (batch, 3)."""
    pigment = pigmented(
        BARE_HAIR,
        (appearance.hair_eumelanin, EUMELANIN),
        (appearance.hair_pheomelanin, PHEOMELANIN),
    )
    return torch.lerp(pigment, pigment.new_tensor(GREY_HAIR), appearance.hair_grey[:, None])


def smooth_noise(
    seeds: Int[Tensor, " batch"], rows: int, columns: int, channels: int = 1
) -> Float[Tensor, "batch channels height width"]:
    """Return noise (batch, channels, SIZE, SIZE), about N(0, 1), that changes within a cell.

    It follows from each seed alone. `rows` and `columns` are how many cells a side has.
    """
    coarse = torch.stack(
        [
            torch.randn(channels, rows, columns, generator=torch.Generator().manual_seed(seed))
            for seed in seeds.tolist()
        ]
    ).to(seeds.device)
    # Cells of few texels hide what a cubic would smooth, at a third of its time.
    mode = "bicubic" if rows < 32 and columns < 32 else "bilinear"
    return 1.25 * F.interpolate(coarse, (SIZE, SIZE), mode=mode, align_corners=False)


class Layer(NamedTuple):
    """Paint laid over part of a texture: colour, how much of it covers, gloss, and where."""

    colour: Float[Tensor, "#batch 3 #rows #columns"]
    amount: Float[Tensor, "*batch rows columns"]
    gloss: float
    box: Box


def textures(appearance: Appearance) -> Float[Tensor, "batch 4 rows columns"]:
    """Paint the textures (batch, 4, 256, 256) of heads: linear RGB reflectance and gloss.

    The texture coordinates are those of `morphable.anny_head()`, hair and eyeglasses included.
    """
    atlas = _atlas_on(appearance.melanin.device)
    gloss = (0.35 * atlas.zones["any_skin"]).expand(len(appearance), 1, SIZE, SIZE)
    painted = torch.cat([_skin(appearance, atlas), gloss], dim=1)
    grain = smooth_noise(appearance.noise + 2, 128, 128)[:, 0]
    layers = [
        _scalp(appearance, atlas),
        *_make_up(appearance, atlas),
        *_hairs(appearance, atlas, grain),
        *_eyes(appearance, atlas),
        *_mouth(atlas),
        *_worn(appearance, atlas),
    ]
    for colour, amount, shine, box in layers:
        amount = amount.unsqueeze(-3) if amount.ndim == 3 else amount[None, None]
        below = painted[:, :, *box].clone()  # what autograd keeps must not change
        over = F.pad(colour.expand_as(below[:, :3]), (0, 0, 0, 0, 0, 1), value=shine)
        painted[:, :, *box] = torch.lerp(below, over, amount)
    return torch.cat([painted[:, :3].clamp(0, 1), painted[:, 3:]], dim=1)


_ATLASES: dict[str, Atlas] = {}


def _atlas_on(device: torch.device) -> Atlas:
    if device.type == "cpu":
        return head_atlas()
    key = str(device)
    if key not in _ATLASES:
        _ATLASES[key] = head_atlas().to(device)
    return _ATLASES[key]


def _per_head(value: Value) -> Float[Tensor, "batch 1 1"]:
    return value[:, None, None]


def _flat(colour: Colour | tuple[float, float, float], like: Tensor) -> Tensor:
    """Return one colour a head, ready to be laid over a texture."""
    colour = colour if isinstance(colour, Tensor) else like.new_tensor([colour])
    return colour[:, :, None, None]


def _skin(appearance: Appearance, atlas: Atlas) -> Float[Tensor, "batch 3 rows columns"]:
    """Skin with its irregular pigments, redder lips and cheeks, freckles and shaded hollows."""
    zones = atlas.zones
    broad = smooth_noise(appearance.noise, 12, 12, 2)
    fine = smooth_noise(appearance.noise + 1, 110, 110)[:, 0]
    strength = 0.15 + 0.7 * _per_head(appearance.blotches)
    freckle = smooth_step(fine, 0.8, 1.6) * zones["freckles"] * _per_head(appearance.freckles)
    lips = zones["lips"]
    melanin = _per_head(appearance.melanin) * (1 + 0.16 * strength * broad[:, 0])
    melanin = melanin + 0.30 * freckle + 0.02 * strength * fine
    melanin = melanin + lips * 0.22 * _per_head(appearance.lip_darkness)
    melanin = melanin + zones["bags"] * 0.14 * _per_head(appearance.bags)
    blood = _per_head(appearance.haemoglobin) * (1 + 0.3 * strength * broad[:, 1])
    blood = blood + lips * (0.35 + 0.9 * _per_head(appearance.lip_redness))
    blood = blood + zones["bags"] * 0.35 * _per_head(appearance.bags) + 0.12 * zones["cheeks"]
    blood = blood + zones["cheeks"] * 0.8 * _per_head(appearance.blush)
    colour = skin_colour(melanin.clamp_min(0), blood.clamp_min(0)).permute(0, 3, 1, 2)
    return colour * (0.42 + 0.58 * atlas.occlusion)


def _scalp(appearance: Appearance, atlas: Atlas) -> Layer:
    """Cropped hair, and the roots of longer hair, thinning out towards the hairline."""
    part, box = atlas.cut("hairy"), atlas.boxes["hairy"]
    roots = smooth_noise(appearance.noise + 6, 40, 200)[:, 0, *box]
    line = part.hairline_mm - 28 * _per_head(appearance.receding) * smooth_step(
        part.around.abs(), 110, 60
    )
    cropped = (appearance.hair_style == 1)[:, None, None]
    bare = (appearance.hair_style == 0)[:, None, None]
    # Under longer hair the roots fade where the shell begins; a crop has an edge of its own.
    edge = smooth_step(line + 2.5 * roots + torch.where(cropped, 4, 0), -2, 12)
    where = edge * (part.zones["scalp"] + part.zones["any_skin"]).clamp(max=1)
    cover = torch.where(bare, 0.08, torch.where(cropped, 0.62, 0.85))
    return Layer(_flat(hair_colour(appearance), where), cover * where, 0.2, box)


def _make_up(appearance: Appearance, atlas: Atlas) -> list[Layer]:
    """Eye shadow and lipstick."""
    shade, rouge = (0.16, 0.11, 0.13), (0.42, 0.03, 0.05)
    about = atlas.cut("eye_shadow").zones["eye_shadow"]
    lips = atlas.cut("lips").zones["lips"]
    return [
        Layer(
            _flat(shade, about), about * 0.55 * _per_head(appearance.eye_shadow), 0.3,
            atlas.boxes["eye_shadow"],
        ),
        Layer(
            _flat(rouge, lips), lips * 0.75 * _per_head(appearance.lipstick), 0.8,
            atlas.boxes["lips"],
        ),
    ]  # fmt: skip


def _hairs(
    appearance: Appearance, atlas: Atlas, grain: Float[Tensor, "batch rows columns"]
) -> list[Layer]:
    """Stubble, beard, brows and lashes. Brows keep their colour longer than hair does."""
    hair = _flat(hair_colour(appearance), atlas.brow_mm)
    brows = dataclasses.replace(appearance, hair_grey=0.45 * appearance.hair_grey)
    return [
        *_beard(appearance, atlas, hair, grain),
        _brow(appearance, atlas, 0.7 * _flat(hair_colour(brows), hair), grain),
        _lashes(appearance, atlas),
    ]


def _beard(appearance: Appearance, atlas: Atlas, hair: Tensor, grain: Tensor) -> list[Layer]:
    box = atlas.boxes["bearded"]
    zones, grain = atlas.cut("bearded").zones, grain[:, *box]
    cut = _per_head(appearance.stubble) * (0.30 + 0.10 * grain).clamp(0, 1)
    shadow = (zones["beard"] + zones["moustache"]).clamp(max=1) * cut
    whole = torch.maximum(
        torch.maximum(
            zones["beard"] * _per_head(appearance.beard),
            zones["moustache"] * _per_head(appearance.moustache),
        ),
        zones["goatee"] * _per_head(appearance.goatee),
    ) * (0.82 + 0.15 * grain).clamp(0, 1)
    return [Layer(hair, shadow, 0.2, box), Layer(0.85 * hair, whole, 0.15, box)]


def _brow(appearance: Appearance, atlas: Atlas, hair: Tensor, grain: Tensor) -> Layer:
    part, box = atlas.cut("browed"), atlas.boxes["browed"]
    width = (1.6 + 3.6 * _per_head(appearance.brow_thickness)) * (1 - 0.5 * part.brow_along)
    edge = part.brow_mm - width - 0.5 * grain[:, *box]
    brow = smooth_step(edge, 1.4, -1.0) * (1 - part.zones["eyes"])
    return Layer(hair, brow * (0.2 + 0.8 * _per_head(appearance.brow_density)), 0.15, box)


def _lashes(appearance: Appearance, atlas: Atlas) -> Layer:
    lids = atlas.cut("lids").zones["lids"]
    amount = lids * (0.62 + 0.3 * _per_head(appearance.eye_shadow))
    return Layer(_flat((0.03, 0.022, 0.02), lids), amount, 0.1, atlas.boxes["lids"])


def _eyes(appearance: Appearance, atlas: Atlas) -> list[Layer]:
    """Whites that redden towards the corners, irises with a dark rim, pupils."""
    part, box = atlas.cut("eyeball"), atlas.boxes["eyeball"]
    eyes, angle = part.zones["eyeball"], part.eye_angle
    ripple = 0.75 + 0.25 * torch.cos(part.eye_turn * 23) * smooth_step(angle, 0.1, 0.3)
    rim = 1 - 0.55 * smooth_step(angle, IRIS_RAD - 0.10, IRIS_RAD)
    iris = _flat(_iris_colour(appearance.iris), eyes) * (ripple * rim)
    red = 1 - 0.25 * (angle - 0.4).clamp(0, 1)
    white = _flat(SCLERA, eyes) * torch.stack([torch.ones_like(red), red, red])
    within = [smooth_step(angle, edge + 0.03, edge - 0.03) for edge in (IRIS_RAD, PUPIL_RAD)]
    return [
        Layer(white, eyes, 0.9, box),
        Layer(iris, eyes * within[0], 1.0, box),
        Layer(_flat(PUPIL, eyes), eyes * within[1], 1.0, box),
    ]


def _mouth(atlas: Atlas) -> list[Layer]:
    """What an open mouth shows. Teeth darken towards the corners, where cheeks shade them."""
    teeth = atlas.cut("teeth")
    deep = smooth_step(teeth.positions[..., 0].abs(), 12, 21)
    pale = torch.lerp(_flat(TEETH, deep), _flat(CAVITY, deep), deep)
    cavity, tongue = (atlas.cut(name).zones[name] for name in ("mouth_cavity", "tongue"))
    return [
        Layer(_flat(CAVITY, cavity), cavity, 0.1, atlas.boxes["mouth_cavity"]),
        Layer(_flat(TONGUE, tongue), tongue, 0.5, atlas.boxes["tongue"]),
        Layer(pale, teeth.zones["teeth"], 0.6, atlas.boxes["teeth"]),
    ]


def _worn(appearance: Appearance, atlas: Atlas) -> list[Layer]:
    """Clothes, the shell of hair and the frames of eyeglasses."""
    part = atlas.cut("clothes")
    cloth = _flat(_hue(appearance.clothing_hue, appearance.clothing_lightness), part.around)
    boxes = [box_of(HAIR)] + [box_of((u, u, v, v), 0.02) for u, v in (FRAMES, CLOTH)]
    ones = [atlas.around.new_ones(SIZE, SIZE)[box] for box in boxes]
    strands = _hair_strands(appearance)[..., *boxes[0]]
    frame = _flat(_frame_colour(appearance.frame_lightness), part.around)
    return [
        Layer(cloth, part.zones["clothes"], 0.02, atlas.boxes["clothes"]),
        Layer(_flat(hair_colour(appearance), strands) * strands, ones[0], 0.4, boxes[0]),
        Layer(frame, ones[1], 0.35, boxes[1]),
        Layer(cloth, ones[2], 0.02, boxes[2]),
    ]


def _iris_colour(place: Value) -> Colour:
    """Return the colour at `place` on the line from brown to blue, (batch, 3)."""
    stops = place.new_tensor(IRISES)
    scaled = place.clamp(0, 1) * (len(IRISES) - 1)
    low = scaled.detach().floor().long().clamp(max=len(IRISES) - 2)
    return torch.lerp(stops[low], stops[low + 1], (scaled - low)[:, None])


def _frame_colour(lightness: Value) -> Colour:
    dark, light = lightness.new_tensor([[0.02, 0.018, 0.016], [0.45, 0.36, 0.24]])
    return torch.lerp(dark, light, lightness[:, None])


def _hue(hue: Value, lightness: Value) -> Colour:
    """Return a muted colour of a hue in turns, (batch, 3)."""
    third = hue.new_tensor([0.0, 1 / 3, 2 / 3])
    wave = 0.5 + 0.5 * torch.cos(2 * torch.pi * (hue[:, None] - third))
    return (0.03 + 0.6 * lightness[:, None].square()) * (0.35 + 0.65 * wave)


def _hair_strands(appearance: Appearance) -> Float[Tensor, "batch 1 rows columns"]:
    """Return how bright each strand is: streaks along the hair, a wave when it is curly."""
    streaks = torch.stack(
        [
            torch.randn(SIZE, generator=torch.Generator().manual_seed(seed + 3))
            for seed in appearance.noise.tolist()
        ]
    ).to(appearance.melanin)
    along = smooth_noise(appearance.noise + 4, 64, 64)[:, 0]
    mixed = 0.20 * streaks[:, None, :] + 0.16 * along * (0.4 + _per_head(appearance.curl))
    return (1 + mixed).clamp(0.45, 1.7)[:, None]
