"""What a head looks like: few named parameters, and the texture that they paint.

Skin is lit pigment: reflectance falls exponentially with melanin and haemoglobin, per colour
channel (the two axes of Tsumura et al. 2003, Independent-component analysis of skin color image).
Hair is the same with eumelanin and pheomelanin. All colours are linear RGB reflectances in [0, 1].
Everything is differentiable in the parameters, but for the whole numbers that choose a style.
"""

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from facelab.geometry.atlas import FRAMES, HAIR, SIZE, Atlas, head_atlas, smooth_step

Value = Float[Tensor, " batch"]
Colour = Float[Tensor, "batch 3"]

HAIR_STYLES = ("bald", "buzz", "short", "full", "bob", "long")
EYEGLASSES = ("none", "round", "rectangular", "oval")

# Linear RGB: reflectance without pigment, and how much each pigment takes away at strength 1.
BARE_SKIN, SKIN_MELANIN, HAEMOGLOBIN = (0.87, 0.71, 0.57), (1.9, 2.5, 3.0), (0.08, 0.48, 0.45)
BARE_HAIR, EUMELANIN, PHEOMELANIN = (0.86, 0.69, 0.45), (2.9, 3.9, 4.7), (0.25, 1.1, 1.9)
GREY_HAIR = (0.52, 0.52, 0.53)
IRISES = ((0.085, 0.04, 0.02), (0.17, 0.12, 0.05), (0.13, 0.17, 0.10), (0.13, 0.22, 0.36))
SCLERA, PUPIL = (0.74, 0.71, 0.70), (0.012, 0.012, 0.014)
TONGUE, CAVITY, TEETH = (0.42, 0.16, 0.15), (0.10, 0.028, 0.028), (0.76, 0.72, 0.64)
IRIS_RAD, PUPIL_RAD = 0.40, 0.15


@dataclass(frozen=True)
class Appearance:
    """How heads look, one value a head; between 0 and 1 unless a unit is named.

    Of the person: `melanin` and `haemoglobin` of the skin, `lip_redness`, `lip_darkness`,
    `brow_density`, `brow_thickness`, `iris` (0 brown, 1/3 hazel, 2/3 green, 1 blue), `freckles`,
    `blotches`, `bags`, `hair_eumelanin`, `hair_pheomelanin`, `hair_grey`, `hair_style` (a number of
    `HAIR_STYLES`), `hair_volume`, `hair_length`, `curl`, `bangs`, `receding`, and `noise`, the seed
    of all that is irregular. Of the day: `stubble`, `beard`, `moustache`, `goatee`, `lipstick`,
    `eye_shadow`, `blush`, `eyeglasses` (a number of `EYEGLASSES`, 0 for none), `frame_lightness`,
    `clothing_hue` and `clothing_lightness`.
    """

    melanin: Value
    haemoglobin: Value
    lip_redness: Value
    lip_darkness: Value
    brow_density: Value
    brow_thickness: Value
    iris: Value
    freckles: Value
    blotches: Value
    bags: Value
    hair_eumelanin: Value
    hair_pheomelanin: Value
    hair_grey: Value
    hair_style: Int[Tensor, " batch"]
    hair_volume: Value
    hair_length: Value
    curl: Value
    bangs: Value
    receding: Value
    noise: Int[Tensor, " batch"]
    stubble: Value
    beard: Value
    moustache: Value
    goatee: Value
    lipstick: Value
    eye_shadow: Value
    blush: Value
    eyeglasses: Int[Tensor, " batch"]
    frame_lightness: Value
    clothing_hue: Value
    clothing_lightness: Value

    def __len__(self) -> int:
        return len(self.melanin)

    def rows(self, index: Int[Tensor, " chosen"]) -> "Appearance":
        """Return the appearances of these rows, in this order; a row may be taken repeatedly."""
        return Appearance(**{name: value[index] for name, value in self.values().items()})

    def values(self) -> dict[str, Tensor]:
        """Return the parameters by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to(self, device: str | torch.device) -> "Appearance":
        """Return the same on another device."""
        return Appearance(**{name: value.to(device) for name, value in self.values().items()})


WHOLE = ("hair_style", "noise", "eyeglasses")
PARAMETERS = tuple(field.name for field in dataclasses.fields(Appearance))


def plain(batch: int = 1, **changed: float) -> Appearance:
    """Return bald, beardless, middling heads, the same `batch` times, with some values changed."""
    values = dict.fromkeys(PARAMETERS, 0.0) | {
        "melanin": 0.3,
        "haemoglobin": 0.4,
        "lip_redness": 0.4,
        "lip_darkness": 0.3,
        "brow_density": 0.7,
        "brow_thickness": 0.5,
        "hair_eumelanin": 0.7,
        "hair_volume": 0.5,
        "hair_length": 0.5,
        "clothing_hue": 0.6,
        "clothing_lightness": 0.4,
    }
    unknown = set(changed) - set(values)
    if unknown:
        raise TypeError(f"an appearance has no {sorted(unknown)}; it has {', '.join(PARAMETERS)}")
    values |= changed
    return Appearance(
        **{
            name: torch.full((batch,), int(value) if name in WHOLE else float(value))
            for name, value in values.items()
        }
    )


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


def smooth_noise(seeds: Int[Tensor, " batch"], cells: int, channels: int = 1) -> Tensor:
    """Return noise (batch, channels, SIZE, SIZE), about N(0, 1), that changes within a cell.

    It follows from each seed alone. `cells` is how many of them there are along a side.
    """
    coarse = torch.stack(
        [
            torch.randn(channels, cells, cells, generator=torch.Generator().manual_seed(seed))
            for seed in seeds.tolist()
        ]
    ).to(seeds.device)
    fine = F.interpolate(coarse, (SIZE, SIZE), mode="bicubic", align_corners=False)
    return fine * 1.25


def textures(appearance: Appearance) -> Float[Tensor, "batch 4 rows columns"]:
    """Paint the textures (batch, 4, 256, 256) of heads: linear RGB reflectance and gloss.

    The texture coordinates are those of `morphable.anny_head()`, hair and eyeglasses included.
    """
    atlas = _atlas_on(appearance.melanin.device)
    skin = _skin(appearance, atlas)
    layers = _skin_layers(appearance, atlas) + _part_layers(appearance, atlas)
    gloss = _everywhere(0.35 * atlas.zones["any_skin"], len(appearance))
    colour = skin
    for painted, amount, shine in layers:
        amount = amount[:, None] if amount.ndim == 3 else amount[None, None]
        colour = colour + amount * (painted - colour)
        gloss = gloss + amount * (shine - gloss)
    return torch.cat([colour.clamp(0, 1), gloss], dim=1)


_ATLASES: dict[str, Atlas] = {}


def _atlas_on(device: torch.device) -> Atlas:
    if device.type == "cpu":
        return head_atlas()
    key = str(device)
    if key not in _ATLASES:
        _ATLASES[key] = head_atlas().to(device)
    return _ATLASES[key]


def _everywhere(values: Tensor, batch: int) -> Float[Tensor, "batch 1 rows columns"]:
    return values[None, None].expand(batch, 1, SIZE, SIZE)


def _per_head(value: Value) -> Float[Tensor, "batch 1 1"]:
    return value[:, None, None]


def _flat(colour: Colour | tuple[float, float, float], like: Tensor) -> Tensor:
    """Return one colour a head, ready to be laid over a texture."""
    colour = colour if isinstance(colour, Tensor) else like.new_tensor([colour])
    return colour[:, :, None, None]


def _skin(appearance: Appearance, atlas: Atlas) -> Float[Tensor, "batch 3 rows columns"]:
    """Skin with its irregular pigments, redder lips and cheeks, freckles and shaded hollows."""
    zones = atlas.zones
    broad = smooth_noise(appearance.noise, 12, 2)
    fine = smooth_noise(appearance.noise + 1, 90)[:, 0]
    strength = 0.15 + 0.7 * _per_head(appearance.blotches)
    freckle = smooth_step(fine, 0.7, 1.5) * zones["freckles"] * _per_head(appearance.freckles)
    lips = zones["lips"]
    melanin = _per_head(appearance.melanin) * (1 + 0.16 * strength * broad[:, 0])
    melanin = melanin + 0.35 * freckle + 0.02 * strength * fine
    melanin = melanin + lips * 0.22 * _per_head(appearance.lip_darkness)
    melanin = melanin + zones["bags"] * 0.14 * _per_head(appearance.bags)
    blood = _per_head(appearance.haemoglobin) * (1 + 0.3 * strength * broad[:, 1])
    blood = blood + lips * (0.35 + 0.9 * _per_head(appearance.lip_redness))
    blood = blood + zones["bags"] * 0.35 * _per_head(appearance.bags) + 0.12 * zones["cheeks"]
    blood = blood + zones["cheeks"] * 0.8 * _per_head(appearance.blush)
    colour = skin_colour(melanin.clamp_min(0), blood.clamp_min(0)).permute(0, 3, 1, 2)
    return colour * (0.42 + 0.58 * atlas.occlusion)


def _skin_layers(appearance: Appearance, atlas: Atlas) -> list[tuple[Tensor, Tensor, float]]:
    """Return (colour, amount, gloss) of what lies on the skin, from below to above."""
    zones, hair = atlas.zones, _flat(hair_colour(appearance), atlas.brow_mm)
    grain = smooth_noise(appearance.noise + 2, 128)[:, 0]
    width = (2.0 + 3.0 * _per_head(appearance.brow_thickness)) * (1 - 0.5 * atlas.brow_along)
    brow = smooth_step(atlas.brow_mm - width - 0.5 * grain, 1.4, -1.0) * (1 - zones["eyes"])
    brow = brow * (0.25 + 0.75 * _per_head(appearance.brow_density))
    cut = _per_head(appearance.stubble) * (0.30 + 0.10 * grain).clamp(0, 1)
    shadow = (zones["beard"] + zones["moustache"]).clamp(max=1) * cut
    whole = torch.maximum(
        torch.maximum(
            zones["beard"] * _per_head(appearance.beard),
            zones["moustache"] * _per_head(appearance.moustache),
        ),
        zones["goatee"] * _per_head(appearance.goatee),
    ) * (0.82 + 0.15 * grain).clamp(0, 1)
    bare = (appearance.hair_style == 0)[:, None, None]
    line = atlas.hairline_mm - 28 * _per_head(appearance.receding) * smooth_step(
        atlas.around.abs(), 110, 60
    )
    scalp = smooth_step(line + 3 * grain, -3, 6) * (zones["scalp"] + zones["any_skin"]).clamp(max=1)
    cover = torch.where(appearance.hair_style == 1, 0.62, 0.88)[:, None, None]
    scalp = torch.where(bare, 0.10 * scalp, cover * scalp)
    rouge = _flat((0.42, 0.03, 0.05), atlas.brow_mm)
    shade = _flat((0.16, 0.11, 0.13), atlas.brow_mm)
    lash = _flat((0.03, 0.022, 0.02), atlas.brow_mm)
    lids = zones["lids"] * (0.62 + 0.3 * _per_head(appearance.eye_shadow))
    return [
        (hair, scalp, 0.25),
        (shade, zones["eye_shadow"] * 0.55 * _per_head(appearance.eye_shadow), 0.3),
        (rouge, zones["lips"] * 0.75 * _per_head(appearance.lipstick), 0.8),
        (hair, shadow, 0.2),
        (hair * 0.85, whole, 0.15),
        (hair * 0.8, brow, 0.15),
        (lash, lids, 0.1),
    ]


def _part_layers(appearance: Appearance, atlas: Atlas) -> list[tuple[Tensor, Tensor, float]]:
    """Return (colour, amount, gloss) of eyes, mouth, clothes, hair and eyeglasses."""
    zones, like = atlas.zones, atlas.brow_mm
    eyes = (zones["eyes"] + zones["iris"]).clamp(max=1)
    ripple = 0.75 + 0.25 * torch.cos(atlas.eye_turn * 23) * smooth_step(atlas.eye_angle, 0.1, 0.3)
    rim = 1 - 0.55 * smooth_step(atlas.eye_angle, IRIS_RAD - 0.10, IRIS_RAD)
    iris = _flat(_iris_colour(appearance.iris), like) * (ripple * rim)
    red = torch.stack(
        [torch.ones_like(like), *(1 - 0.25 * (atlas.eye_angle - 0.4).clamp(0, 1),) * 2]
    )
    strands = _hair_strands(appearance)
    inside = (zones["mouth_cavity"], zones["tongue"], zones["teeth"])
    cloth = _flat(_hue(appearance.clothing_hue, appearance.clothing_lightness), like)
    frame = _flat(_frame_colour(appearance.frame_lightness), like)
    return [
        (_flat(SCLERA, like) * red, eyes, 0.9),
        (iris, eyes * smooth_step(atlas.eye_angle, IRIS_RAD + 0.03, IRIS_RAD - 0.03), 1.0),
        (
            _flat(PUPIL, like),
            eyes * smooth_step(atlas.eye_angle, PUPIL_RAD + 0.03, PUPIL_RAD - 0.03),
            1.0,
        ),
        (_flat(CAVITY, like), inside[0], 0.1),
        (_flat(TONGUE, like), inside[1], 0.5),
        (_flat(TEETH, like), inside[2], 0.6),
        (cloth * (0.6 + 0.4 * atlas.occlusion), zones["clothes"], 0.02),
        (_flat(hair_colour(appearance), like) * strands, _box(HAIR, like), 0.4),
        (
            frame,
            _box((FRAMES[0] - 0.03, FRAMES[0] + 0.03, FRAMES[1] - 0.03, FRAMES[1] + 0.03), like),
            0.9,
        ),
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
    along = smooth_noise(appearance.noise + 4, 64)[:, 0]
    mixed = 0.20 * streaks[:, None, :] + 0.16 * along * (0.4 + _per_head(appearance.curl))
    return (1 + mixed).clamp(0.45, 1.7)[:, None]


def _box(limits: tuple[float, float, float, float], like: Tensor) -> Tensor:
    """Return 1 on a rectangle of the texture (u and v, low and high), a texel more on each side."""
    centre = (torch.arange(SIZE, device=like.device) + 0.5) / SIZE
    margin = 1.5 / SIZE
    u = (centre > limits[0] - margin) & (centre < limits[1] + margin)
    v = (centre > limits[2] - margin) & (centre < limits[3] + margin)
    return (v[:, None] & u[None]).to(like)


def sample(phenotype: dict[str, Value], random: torch.Generator) -> Appearance:
    """Draw the appearance of people whose heads have these phenotypes (see `morphable`).

    `phenotype` has `gender`, `age`, `african`, `asian` and `caucasian`, each (batch,). Skin and
    hair follow ancestry, grey hair and bald heads age, beards and make-up gender: loosely, as
    tendencies with a wide spread. The values of the day are the person's habits, so that a beard
    stays a beard from picture to picture; eyeglasses are 0.
    """
    count = len(phenotype["gender"])
    draw = _Draw(count, random)
    female = phenotype["gender"].clamp(0, 1).round()
    years = (25 + (phenotype["age"] - 2 / 3) * 195).clamp(18, 90)
    african, asian, caucasian = _shares(phenotype)
    dark = 0.62 * african + 0.27 * asian + 0.13 * caucasian
    black = (african + asian).clamp(max=1)
    grey = smooth_step(years + draw.normal(9), 42, 78)
    style = _hair_style(draw, female, years)
    bearded = (1 - female) * draw.chance(0.45)
    made_up = female * draw.chance(0.55)
    kind = draw.uniform()
    return Appearance(
        melanin=(dark + draw.normal(0.06)).clamp(0.03, 0.9),
        haemoglobin=(0.42 + draw.normal(0.12)).clamp(0.1, 0.9),
        lip_redness=draw.uniform(0.1, 0.9),
        lip_darkness=(0.25 + 0.5 * african + draw.normal(0.12)).clamp(0, 1),
        brow_density=draw.uniform(0.35, 1.0),
        brow_thickness=(draw.uniform() * 0.8 + 0.3 * (1 - female) - 0.05).clamp(0, 1),
        iris=torch.where(
            draw.uniform() < caucasian * 0.75, draw.uniform(0.2, 1.0), draw.uniform(0, 0.2)
        ),
        freckles=draw.uniform().pow(4) * (1 - black) * 1.4,
        blotches=draw.uniform(0.1, 1.0),
        bags=(draw.uniform(0, 0.6) + smooth_step(years, 45, 80) * 0.4).clamp(0, 1),
        hair_eumelanin=torch.where(
            draw.uniform() < black, draw.uniform(0.85, 1.1), draw.uniform(0.08, 1.0)
        ),
        hair_pheomelanin=0.1 + draw.uniform().pow(3) * 0.7 * caucasian,
        hair_grey=torch.where(style == 0, 0.5 * grey, grey),
        hair_style=style,
        hair_volume=draw.uniform(),
        hair_length=draw.uniform(),
        curl=(draw.uniform().square() + 0.5 * african).clamp(max=1),
        bangs=draw.chance(0.3) * draw.uniform(0.4, 1.0),
        receding=(1 - female) * smooth_step(years + draw.normal(12), 35, 75),
        noise=draw.seeds(),
        stubble=(1 - female) * draw.uniform(0, 0.9) * (kind > 0.3),
        beard=bearded * (kind > 0.62) * draw.uniform(0.6, 1.0),
        moustache=bearded * (kind > 0.35) * draw.uniform(0.6, 1.0),
        goatee=bearded * (kind < 0.75) * draw.uniform(0.6, 1.0),
        lipstick=made_up * draw.uniform(0.3, 1.0),
        eye_shadow=made_up * draw.uniform(0.2, 1.0),
        blush=made_up * draw.uniform(0, 0.7),
        eyeglasses=torch.zeros(count, dtype=torch.long),
        frame_lightness=draw.uniform().square(),
        clothing_hue=draw.uniform(),
        clothing_lightness=draw.uniform(),
    )


class _Draw:
    """Random values for a batch, all from one stream."""

    def __init__(self, count: int, random: torch.Generator):
        self.count, self.random = count, random

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Value:
        return low + (high - low) * torch.rand(self.count, generator=self.random)

    def normal(self, spread: float) -> Value:
        return spread * torch.randn(self.count, generator=self.random)

    def chance(self, share: float) -> Value:
        return (self.uniform() < share).float()

    def seeds(self) -> Int[Tensor, " batch"]:
        return torch.randint(0, 2**40, (self.count,), generator=self.random)


def _shares(phenotype: dict[str, Value]) -> Tensor:
    """Return the ethnic axes sharpened, (3, batch): a mixture of all three is the exception."""
    axes = torch.stack([phenotype[name] for name in ("african", "asian", "caucasian")])
    sharp = axes.clamp(min=0.02).square()
    return sharp / sharp.sum(0)


def _hair_style(draw: _Draw, female: Value, years: Value) -> Int[Tensor, " batch"]:
    """Return a number of `HAIR_STYLES`: long hair and bobs mostly for women, bald heads for men."""
    # bald, buzz, short, full, bob, long
    of_men = torch.tensor([0.10, 0.20, 0.45, 0.16, 0.05, 0.04])
    of_women = torch.tensor([0.01, 0.04, 0.20, 0.18, 0.25, 0.32])
    chances = torch.where(female[:, None] > 0.5, of_women, of_men)
    old = smooth_step(years, 45, 80)[:, None] * (1 - female[:, None])
    chances = chances + old * torch.tensor([0.35, 0.1, 0.0, -0.1, -0.04, -0.03])
    return torch.multinomial(chances.clamp_min(1e-3), 1, generator=draw.random)[:, 0]
