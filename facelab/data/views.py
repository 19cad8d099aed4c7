"""Under which conditions: pose, expression, light, background and the day, from one seed.

A view knows nothing of the person, so that two people can be shown in exactly the same view, and a
person in any number of them: what a swap of identities should give is known pixel by pixel.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from facelab.data.people import People
from facelab.data.seeding import stream
from facelab.errors import ParameterError
from facelab.geometry.appearance import Appearance
from facelab.geometry.lighting import Light
from facelab.geometry.morphable import MorphableModel

# Share of the views, and which actions move between which weights. A name without Left or Right
# stands for both sides, which then differ a little.
MOUTHS = {
    "rest": (0.26, {}),
    "smile": (0.20, {"mouthSmile": (0.45, 1.0), "cheekSquint": (0.2, 0.8), "eyeSquint": (0, 0.4)}),
    "laugh": (0.12, {"mouthSmile": (0.5, 0.9), "cheekSquint": (0.3, 0.9), "jawOpen": (0.12, 0.32),
                     "mouthUpperUp": (0.2, 0.6)}),
    "talk": (0.17, {"jawOpen": (0.06, 0.30), "mouthFunnel": (0, 0.5), "mouthLowerDown": (0, 0.5)}),
    "wide": (0.07, {"jawOpen": (0.30, 0.60)}),
    "pucker": (0.05, {"mouthPucker": (0.4, 0.9), "mouthFunnel": (0, 0.4)}),
    "sad": (0.06, {"mouthFrown": (0.4, 1.0), "mouthShrugLower": (0.1, 0.6)}),
    "pressed": (0.04, {"mouthPress": (0.3, 0.9), "mouthDimple": (0.1, 0.6)}),
    "sneer": (0.03, {"noseSneer": (0.4, 0.9), "mouthUpperUp": (0.2, 0.6)}),
}  # fmt: skip
EYES = {
    "rest": (0.60, {}),
    "blink": (0.10, {"eyeBlink": (0.92, 1.0)}),
    "raised": (0.13, {"browInnerUp": (0.3, 0.9), "browOuterUp": (0.4, 1.0), "eyeWide": (0, 0.5)}),
    "lowered": (0.09, {"browDown": (0.4, 1.0), "eyeSquint": (0.1, 0.6)}),
    "worried": (0.08, {"browInnerUp": (0.5, 1.0)}),
}
# Small actions of a face at rest. Left out: those that only make sense with another (mouthClose
# undoes jawOpen), the tongue, and the gaze, which is drawn for both eyes at once.
QUIET = ("browDown", "browOuterUp", "browInnerUp", "cheekSquint", "eyeSquint", "mouthDimple",
         "mouthFrown", "mouthPress", "mouthSmile", "mouthStretch", "mouthShrugLower", "noseSneer",
         "mouthLeft", "mouthRight", "jawLeft", "jawRight")  # fmt: skip
OPPOSITE = (("mouthLeft", "mouthRight"), ("jawLeft", "jawRight"))
COARSE, MIDDLE = 4, 14  # cells of a background along a side


@dataclass(frozen=True)
class Views:
    """Conditions, one a row: everything that may change between two pictures of a person.

    Angles as in `camera.rotation_from_euler`; `expression` (batch, E) in weights; `shadows` says
    whether the directional light casts them; `backdrop` are the colours from which `backgrounds`
    paints. `distance_mm` is the camera's; `shift` (a share of the picture) and `zoom` move the
    frame. `eyeglasses`, `make_up` and `stubble` between 0 and 1 meet the person's habits.
    """

    seeds: tuple[int, ...]
    yaw_rad: Float[Tensor, " batch"]
    pitch_rad: Float[Tensor, " batch"]
    roll_rad: Float[Tensor, " batch"]
    expression: Float[Tensor, "batch expressions"]
    light: Light
    shadows: Bool[Tensor, " batch"]
    backdrop: tuple[Float[Tensor, "batch 3 _ _"], Float[Tensor, "batch 3 _ _"]]
    distance_mm: Float[Tensor, " batch"]
    shift: Float[Tensor, "batch 2"]
    zoom: Float[Tensor, " batch"]
    eyeglasses: Float[Tensor, " batch"]
    make_up: Float[Tensor, " batch"]
    stubble: Float[Tensor, " batch"]
    clothing: Float[Tensor, "batch 2"]

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def euler_rad(self) -> Float[Tensor, "batch 3"]:
        """Yaw, pitch and roll."""
        return torch.stack([self.yaw_rad, self.pitch_rad, self.roll_rad], dim=1)


def draw_views(model: MorphableModel, seeds: Sequence[int]) -> Views:
    """Return the views of these seeds. A view is the same whichever others are drawn."""
    rows = [_draw(model.expression_names, int(seed)) for seed in seeds]
    column = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    light = Light(*(column.pop(name) for name in ("harmonics", "direction", "intensity")))
    backdrop = (column.pop("coarse"), column.pop("middle"))
    return Views(seeds=tuple(int(seed) for seed in seeds), light=light, backdrop=backdrop, **column)


def _draw(expressions: tuple[str, ...], seed: int) -> dict[str, Tensor]:
    yaw, pitch, roll = draw_pose(stream("pose", seed))
    random = stream("frame", seed)
    distance, _ = torch.rand(2, generator=random).unbind()
    normal = torch.randn(3, generator=random)
    day = torch.rand(5, generator=stream("day", seed))
    return {
        "yaw_rad": yaw,
        "pitch_rad": pitch,
        "roll_rad": roll,
        "expression": draw_expression(expressions, stream("expression", seed)),
        **_draw_light(stream("light", seed)),
        **_draw_backdrop(stream("background", seed)),
        "distance_mm": 700 + 900 * distance,
        "shift": 0.012 * normal[:2].clamp(-2.5, 2.5),
        "zoom": (0.03 * normal[2].clamp(-2.5, 2.5)).exp(),
        "eyeglasses": day[0],
        "make_up": day[1],
        "stubble": day[2],
        "clothing": day[3:],
    }


def draw_pose(random: torch.Generator) -> Float[Tensor, "3"]:
    """Draw yaw, pitch and roll in radians: deviations of 20, 7 and 4 degrees, at most 60, 22, 12.

    Two of five heads face the camera (a yaw of about 7 degrees); the others turn by about 26.
    """
    frontal = float(torch.rand(1, generator=random)) < 0.4
    limits = ((7.0 if frontal else 26.0, 60.0), (7.0, 22.0), (4.0, 12.0))
    return torch.stack([_truncated(*limit, random) for limit in limits]) * (math.pi / 180)


def _truncated(deviation: float, most: float, random: torch.Generator) -> Tensor:
    """Draw a normal variable that is at most `most` either way."""
    while True:
        value = deviation * torch.randn((), generator=random)
        if value.abs() <= most:
            return value


def draw_expression(
    names: tuple[str, ...], random: torch.Generator
) -> Float[Tensor, " expressions"]:
    """Draw the weights of named actions: one for the mouth, one for the eyes, a gaze, small ones.

    What a face can't do at once is kept apart: a closed eye neither squints nor widens, a jaw
    moves to one side.
    """
    weights: dict[str, float] = {}
    for stem in QUIET:
        strength, chance = torch.rand(2, generator=random).tolist()
        _act(weights, names, stem, 0.22 * strength**2 * (chance < 0.5), random)
    for table in (MOUTHS, EYES):
        place = float(torch.rand(1, generator=random))
        for share, actions in table.values():
            if place < share:
                for stem, (low, high) in actions.items():
                    strength = low + (high - low) * float(torch.rand(1, generator=random))
                    _act(weights, names, stem, strength, random)
                break
            place -= share
    _gaze(weights, random)
    _settle(weights)
    return torch.tensor([min(max(weights.get(name, 0.0), 0.0), 1.0) for name in names])


def _act(
    weights: dict[str, float],
    names: tuple[str, ...],
    stem: str,
    strength: float,
    random: torch.Generator,
) -> None:
    """Set an action, or its two sides with up to a tenth between them."""
    sides = [stem] if stem in names else [f"{stem}Left", f"{stem}Right"]
    for side in sides:
        uneven = 0.95 + 0.1 * float(torch.rand(1, generator=random))
        weights[side] = max(weights.get(side, 0.0), strength * uneven)


def _gaze(weights: dict[str, float], random: torch.Generator) -> None:
    """Turn both eyes the same way; half of the people look about straight ahead."""
    wide = 1.0 if float(torch.rand(1, generator=random)) < 0.5 else 0.25
    across, up = (torch.randn(2, generator=random) * wide).tolist()
    across, up = (max(-1.0, min(1.0, 0.45 * v)) for v in (across, up))
    to_left, to_right = max(across, 0), max(-across, 0)
    weights |= {"eyeLookOutLeft": to_left, "eyeLookInRight": to_left}
    weights |= {"eyeLookInLeft": to_right, "eyeLookOutRight": to_right}
    for side in ("Left", "Right"):
        weights[f"eyeLookUp{side}"] = 0.7 * max(up, 0)
        weights[f"eyeLookDown{side}"] = 0.7 * max(-up, 0)


def _settle(weights: dict[str, float]) -> None:
    for side in ("Left", "Right"):
        open_share = 1 - weights.get(f"eyeBlink{side}", 0.0)
        for action in ("eyeSquint", "eyeWide"):
            weights[action + side] = weights.get(action + side, 0.0) * open_share
    for one, other in OPPOSITE:
        common = min(weights.get(one, 0.0), weights.get(other, 0.0))
        weights[one], weights[other] = (weights.get(name, 0.0) - common for name in (one, other))


def _draw_light(random: torch.Generator) -> dict[str, Tensor]:
    """A lamp from anywhere in front, above or beside, light from around, and how bright it all is.

    The sum on a surface that faces the camera is between 0.5 and 1.05: somebody set the exposure.
    """
    turn, rise, warm, cool = torch.randn(4, generator=random).unbind()
    strength, around, glow, exposure, cast = torch.rand(5, generator=random).unbind()
    azimuth = (0.9 * turn).clamp(-1.9, 1.9)
    elevation = (0.35 + 0.4 * rise).clamp(-0.35, 1.25)
    direction = torch.stack(
        [azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()]
    )
    tint = torch.tensor([1.0, 0.0, -1.0])
    lamp = (0.15 + 0.75 * strength) * (0.10 * warm * tint).exp()
    ambient = (0.18 + 0.32 * around) * (0.07 * cool * tint).exp()
    light = Light.from_direction(
        direction[None], lamp[None], ambient[None], 0.3 * glow * lamp[None]
    )
    uneven = 0.07 * torch.randn(8, generator=random)
    harmonics = light.harmonics[0] + F.pad(uneven, (1, 0))[:, None]
    level = ambient.mean() + lamp.mean() * (0.3 * glow + direction[2].clamp_min(0.25))
    scale = (0.50 + 0.55 * exposure) / level
    return {
        "harmonics": harmonics * scale,
        "direction": light.direction[0],
        "intensity": lamp * scale,
        "shadows": cast < 0.4,
    }


def _draw_backdrop(random: torch.Generator) -> dict[str, Tensor]:
    """Two colours that run into each other, large blobs and small ones; linear, muted."""
    hue = torch.rand(2, generator=random)[:, None] - torch.tensor([0.0, 1 / 3, 2 / 3])
    level, colourful, rough = torch.rand(3, generator=random).unbind()
    colours = (1 + 0.4 * colourful * torch.cos(2 * math.pi * hue)) * (0.03 + 0.6 * level**2)
    turn = 2 * math.pi * torch.rand((), generator=random)
    line = torch.linspace(-0.7, 0.7, COARSE)
    along = 0.5 + 0.5 * (turn.cos() * line[:, None] + turn.sin() * line[None])
    gradient = torch.lerp(colours[0][:, None, None], colours[1][:, None, None], along)
    blobs = (0.45 * torch.randn(3, COARSE, COARSE, generator=random).mean(0, keepdim=True)).exp()
    tints = (0.07 * torch.randn(3, COARSE, COARSE, generator=random)).exp()
    small = 0.20 * rough * torch.randn(1, MIDDLE, MIDDLE, generator=random).expand(3, -1, -1)
    return {"coarse": gradient * blobs * tints, "middle": small}


def backgrounds(
    backdrop: tuple[Float[Tensor, "batch 3 _ _"], Float[Tensor, "batch 3 _ _"]], size: int
) -> Float[Tensor, "batch 3 size size"]:
    """Paint backgrounds from a `backdrop`: linear colours between 0 and 1, alike at every size."""
    coarse, middle = (
        F.interpolate(cells, (size, size), mode="bicubic", align_corners=False)
        for cells in backdrop
    )
    return (coarse.clamp_min(0.005) * middle.exp()).clamp(0, 1)


def dress_for_the_day(people: People, views: Views) -> Appearance:
    """Return how these people look in these views: eyeglasses, make-up, stubble and clothes.

    Everything else about a person's looks stays. Raises `ParameterError` when there aren't as many
    people as views.
    """
    if len(people) != len(views):
        raise ParameterError(
            f"there are {len(people)} people for {len(views)} views; give one person a view"
        )
    worn = views.eyeglasses < people.eyeglasses_habit
    made_up = torch.where(views.make_up > 0.25, 0.55 + 0.6 * views.make_up, 0.0)
    looks = people.appearance
    return dataclasses.replace(
        looks,
        eyeglasses=torch.where(worn, people.eyeglasses, 0),
        stubble=(looks.stubble * (0.6 + 0.8 * views.stubble)).clamp(0, 1),
        **{
            name: (getattr(looks, name) * made_up).clamp(0, 1)
            for name in ("lipstick", "eye_shadow", "blush")
        },
        clothing_hue=views.clothing[:, 0],
        clothing_lightness=views.clothing[:, 1],
    )
