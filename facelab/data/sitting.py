"""People who sit for a picture: anybody of AnnyFaces in poses, expressions and lights of choice.

Conditions come from a view seed in `AnnyFaces`; here they are set one by one, and all else (the
background, the distance, what is worn that day) is that of one view seed, the same for everybody.
So two pictures of a row differ in what was changed alone.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from facelab.data.anny_faces import AnnyFaces
from facelab.data.people import draw_people
from facelab.data.views import Views, draw_views
from facelab.errors import ParameterError
from facelab.geometry.lighting import Light
from facelab.geometry.morphable import MorphableModel
from facelab.types import Batch

LAMP_HEIGHT = 0.4  # of the direction to the lamp, before it is brought to length one


@dataclass(frozen=True)
class Condition:
    """How the head is turned, what the face does, and where the lamp is.

    Angles in radians: `yaw_rad` turns to the person's left, `lamp_rad` goes around the head: 0 is
    in front, above 0 on the viewer's right. `expression` has weights, 0 to 1, by the names of
    `MorphableModel.expression_names`.
    """

    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    lamp_rad: float = 0.6
    expression: Mapping[str, float] = field(default_factory=dict)


def across(
    yaw_rad: float, expression: Mapping[str, float], lamp_rad: float = 0.6
) -> list[Condition]:
    """Return the columns of the paper's Fig. 6, five: pose, then pose and expression.

    At rest turned one way, not at all and the other way; then with the expression, from the front
    and turned.
    """
    rest = [Condition(yaw, lamp_rad=lamp_rad) for yaw in (-yaw_rad, 0.0, yaw_rad)]
    acting = [Condition(yaw, 0.0, lamp_rad, expression) for yaw in (0.0, yaw_rad)]
    return rest + acting


def sitting(
    identity_seeds: Sequence[int],
    conditions: Sequence[Condition],
    *,
    size: int = 64,
    view_seed: int = 0,
    shadows: bool = False,
) -> Batch:
    """Draw everybody in every condition, person after person, with labels as in `AnnyFaces`.

    `identity` counts the seeds from 0. `shadows` lets the lamp cast them, whatever the view seed
    says. Raises `ParameterError` without people or conditions, and for an unknown expression.
    """
    if not identity_seeds or not conditions:
        raise ParameterError(
            f"{len(identity_seeds)} people in {len(conditions)} conditions make no picture; give "
            "one of each or more"
        )
    faces = AnnyFaces(size, list(dict.fromkeys(identity_seeds)), 1)
    seeds = [seed for seed in identity_seeds for _ in conditions]
    views = _views(faces.model, list(conditions) * len(identity_seeds), view_seed)
    views = dataclasses.replace(views, shadows=torch.full((len(seeds),), shadows))
    identity = torch.arange(len(identity_seeds)).repeat_interleave(len(conditions))
    return faces.draw(faces.shown(draw_people(faces.model, seeds), views), identity)


def _views(model: MorphableModel, conditions: Sequence[Condition], seed: int) -> Views:
    """Return the view of a seed under each condition, framed without a shift."""
    count = len(conditions)
    lamp = torch.tensor([c.lamp_rad for c in conditions])
    towards = torch.stack([lamp.sin(), torch.full((count,), LAMP_HEIGHT), lamp.cos()], dim=1)
    return dataclasses.replace(
        draw_views(model, [seed] * count),
        yaw_rad=torch.tensor([float(c.yaw_rad) for c in conditions]),
        pitch_rad=torch.tensor([float(c.pitch_rad) for c in conditions]),
        roll_rad=torch.zeros(count),
        expression=torch.cat([model.expression(**c.expression) for c in conditions]),
        light=Light.from_direction(towards, 0.6, 0.3, 0.15),
        shift=torch.zeros(count, 2),
        zoom=torch.ones(count),
    )
