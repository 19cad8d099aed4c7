"""A few faces through all methods, to be looked at instead of measured."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from facelab import widgets
from facelab.comparison.cases import Case, in_common
from facelab.comparison.contestants import SHARES, Contestant
from facelab.errors import ParameterError
from facelab.types import Image

if TYPE_CHECKING:
    import ipywidgets

Answers = Mapping[str, Mapping[float, Image]]  # by method and strength, in the common framing


@torch.no_grad()
def answers(case: Case, methods: Sequence[Contestant], strengths: Sequence[float] = (1.0,)) -> dict:
    """Ask methods for a case at some strengths; who can't do it is left out.

    Returns `Answers`, each picture of shape (rows, 3, side, side) in [-1, 1]. What has one answer
    gives it once, at strength 1.
    """
    found = {}
    for method in methods:
        if method.refusal(case) is not None:
            continue
        known = method.knob(case.task).strengths
        asked = strengths if len(known) > 1 else (1.0,)
        change = method.begin(case.framed(method.template))
        found[method.name] = {
            strength: in_common(change(strength), method.template) for strength in asked
        }
    return found


def at(found: Answers, strength: float) -> dict[str, Image]:
    """Return each method's pictures at a strength; its one answer where it has no other.

    Raises `ParameterError` for a strength that was not asked for.
    """
    taken = {}
    for name, made in found.items():
        if strength not in made and list(made) != [1.0]:
            known = ", ".join(f"{one:g}" for one in made)
            raise ParameterError(
                f"{name} was not asked for strength {strength:g}; choose one of: {known}"
            )
        taken[name] = made.get(strength, made[1.0])
    return taken


def rows(
    case: Case, found: Answers, strength: float = 1.0
) -> Float[Tensor, "pictures 3 side side"]:
    """Return a sheet's pictures, row by row: the face, the other person's, each method's answer."""
    columns = [case.faces, case.others, *at(found, strength).values()]
    return torch.stack(columns, dim=1).flatten(0, 1)


def slider(case: Case, found: Answers, side_px: int = 96) -> "ipywidgets.VBox":
    """Offer a slider of strength above the sheet of `rows`.

    `found` has to have the strengths of `SHARES`; `side_px` is a face's side on the page.
    """
    import ipywidgets
    import torchvision

    control = ipywidgets.SelectionSlider(options=SHARES, value=1.0, description="strength")
    columns = 2 + len(found)
    view = ipywidgets.Image(format="png", width=side_px * columns)
    view.add_class("facelab-comparison")

    def draw(*_: object) -> None:
        sheet = torchvision.utils.make_grid(
            rows(case, found, control.value), nrow=columns, padding=1, pad_value=1.0
        )
        view.value = widgets.png(sheet[None])

    control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([control, view])
