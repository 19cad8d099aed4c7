"""Things to move in a chapter: ipywidgets on top of generators and methods.

A widget needs a running kernel. The rendered book leaves widgets out, so a chapter draws still
frames of what a widget would show beside it.
"""

import html
import io
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from facelab import images as pictures
from facelab.data.sitting import Condition, across, sitting
from facelab.errors import ImageError, ParameterError, UserError
from facelab.generators.generator import Generator
from facelab.methods.d2ae import editing
from facelab.methods.d2ae.model import Disentangler
from facelab.methods.diat.transfer import Transfer
from facelab.methods.idmap.model import IdentityMap
from facelab.recognition.align import crop_faces
from facelab.types import Image, Latent

if TYPE_CHECKING:
    import ipywidgets

COMBINED = 3  # faces a side of the table of combinations
STAGES = ("input", "T(x)", "enhanced")  # of an attribute transfer, at t = 0, 1 and 2


def walk(
    generator: Generator,
    latent: Latent,
    path: Callable[[Tensor, Tensor, float], Tensor],
    side_px: int = 256,
) -> "ipywidgets.VBox":
    """Offer a slider that walks between two rows of `latent` along `path(a, b, t)`, 0 <= t <= 1.

    The picture is the generator's face at that place, enlarged to `side_px`.
    """
    import ipywidgets

    last = len(latent) - 1
    start = ipywidgets.BoundedIntText(0, min=0, max=last, description="from face")
    end = ipywidgets.BoundedIntText(min(1, last), min=0, max=last, description="to face")
    share = ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.02, description="t")
    view = ipywidgets.Image(format="png", width=side_px, height=side_px)
    view.add_class("facelab-walk")

    def draw(*_: object) -> None:
        point = path(latent[start.value], latent[end.value], share.value)
        with torch.no_grad():
            view.value = png(generator(point[None]))

    for control in (start, end, share):
        control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([ipywidgets.HBox([start, end]), share, view])


def threshold(
    same: Float[Tensor, " same"], different: Float[Tensor, " different"], start: float
) -> "ipywidgets.VBox":
    """Offer a slider for the threshold, and say what share of pairs it judges wrongly.

    `same` and `different` are distances of pairs of one person and of two.
    """
    import ipywidgets

    highest = float(torch.cat([same, different]).max())
    limit = ipywidgets.FloatSlider(
        min(start, highest), min=0, max=highest, step=highest / 200, description="threshold"
    )
    limit.readout_format = ".3f"
    told = ipywidgets.HTML()

    def tell(*_: object) -> None:
        refused = (same >= limit.value).double().mean()
        admitted = (different < limit.value).double().mean()
        told.value = (
            f"refused, though the same: {refused:.1%}; let in, though another: {admitted:.1%}"
        )

    limit.observe(tell, names="value")
    tell()
    return ipywidgets.VBox([limit, told])


def head(components: int = 4, side_px: int = 256) -> "ipywidgets.VBox":
    """Offer sliders for a head's shape, expression, pose and light, and draw it.

    The first `components` of the book's head, -3 to 3 standard deviations; one named expression at
    a time; the head turns and the lamp goes around it.
    """
    import ipywidgets

    from facelab.geometry.lighting import Light
    from facelab.geometry.morphable import anny_head
    from facelab.geometry.render import heads

    model = anny_head()

    def slider(label: str, low: float, high: float, value: float = 0.0) -> "ipywidgets.FloatSlider":
        step = (high - low) / 60
        return ipywidgets.FloatSlider(value, min=low, max=high, step=step, description=label)

    shape = [slider(f"component {k + 1}", -3, 3) for k in range(components)]
    names = ["none", *model.expression_names]
    action = ipywidgets.Dropdown(options=names, value="jawOpen", description="expression")
    weight, yaw, lamp = (
        slider("weight", 0, 1),
        slider("turn", -1, 1),
        slider("lamp", -1.5, 1.5, 0.6),
    )
    view = ipywidgets.Image(format="png", width=side_px, height=side_px)
    view.add_class("facelab-head")

    def draw(*_: object) -> None:
        identity = torch.tensor([[control.value for control in shape]])
        named = {} if action.value == "none" else {action.value: weight.value}
        towards = torch.tensor([[math.sin(lamp.value), 0.4, math.cos(lamp.value)]])
        light = Light.from_direction(towards, 0.6, 0.3, 0.15)
        turned = {"yaw_rad": yaw.value, "light": light, "size": 160}
        with torch.no_grad():
            view.value = png(heads(identity, model.expression(**named), **turned))

    for control in (*shape, action, weight, yaw, lamp):
        control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([*shape, ipywidgets.HBox([action, weight]), yaw, lamp, view])


def look_alike(
    faces: dict[str, Image],
    find: Callable[[str], Latent],
    draw: Callable[[Latent], Image],
    vectors: dict[str, Float[Tensor, " latents"]],
    side_px: int = 192,
) -> "ipywidgets.VBox":
    """Offer people to look for, a slider over the moments of the search, and attribute sliders.

    `faces` are one picture a person, (1, 3, height, width); `find(name)` returns the latent vectors
    that a search went through, (moments, latents), the last the best; `draw` turns one into a face.
    A search runs when its person is chosen for the first time. `vectors` are added to the input
    with the sliders' strengths, -2 to 2.
    """
    import ipywidgets

    who = ipywidgets.Dropdown(options=list(faces), description="person")
    moment = ipywidgets.IntSlider(0, min=0, max=1, description="moment")
    play = ipywidgets.Play(interval=150, min=0, max=1)
    ipywidgets.jslink((play, "value"), (moment, "value"))
    strengths = {
        name: ipywidgets.FloatSlider(0, min=-2, max=2, step=0.1, description=name)
        for name in vectors
    }
    shown = [ipywidgets.Image(format="png", width=side_px, height=side_px) for _ in range(2)]
    shown[1].add_class("facelab-look-alike")
    ways: dict[str, Latent] = {}

    def paint(*_: object) -> None:
        latent = ways[who.value][moment.value : moment.value + 1]
        for name, control in strengths.items():
            latent = latent + control.value * vectors[name]
        with torch.no_grad():
            shown[1].value = png(draw(latent))

    def choose(*_: object) -> None:
        if who.value not in ways:
            ways[who.value] = find(who.value)
        last = len(ways[who.value]) - 1
        shown[0].value = png(faces[who.value])
        play.max = moment.max = last
        moment.value = last
        paint()

    who.observe(choose, names="value")
    for control in (moment, *strengths.values()):
        control.observe(paint, names="value")
    choose()
    views = ipywidgets.HBox(shown)
    return ipywidgets.VBox([who, views, ipywidgets.HBox([play, moment]), *strengths.values()])


def people_grid(
    seeds: Sequence[int],
    generate: Callable[[Image], Image],
    side_px: int = 72,
    size: int = 64,
) -> "ipywidgets.VBox":
    """Offer sliders for pose, expression and light over a grid: people down, conditions across.

    Of each identity seed two rows: the renders, and below what `generate` makes of them. The
    columns are those of `data.sitting.across`: turned one way, from the front, turned the other
    way; with the expression from the front, and turned.
    """
    import ipywidgets

    from facelab.geometry.morphable import anny_head

    def slider(label: str, low: float, high: float, value: float) -> "ipywidgets.FloatSlider":
        words = {"step": (high - low) / 30, "description": label, "continuous_update": False}
        return ipywidgets.FloatSlider(value, min=low, max=high, **words)

    yaw, weight, lamp = (
        slider("turn", 0, 1, 0.6),
        slider("weight", 0, 1, 0.7),
        slider("lamp", -1.5, 1.5, 0.6),
    )
    action = ipywidgets.Dropdown(
        options=anny_head().expression_names, value="jawOpen", description="expression"
    )
    view = ipywidgets.Image(format="png", width=5 * side_px)
    view.add_class("facelab-people-grid")

    def draw(*_: object) -> None:
        conditions = across(yaw.value, {action.value: weight.value}, lamp.value)
        faces = people_faces(seeds, conditions, generate, size)
        view.value = png(pictures.grid(faces, len(conditions)))

    for control in (yaw, action, weight, lamp):
        control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([yaw, ipywidgets.HBox([action, weight]), lamp, view])


def people_faces(
    seeds: Sequence[int],
    conditions: Sequence[Condition],
    generate: Callable[[Image], Image],
    size: int = 64,
) -> Image:
    """Return what `people_grid` shows, for a still: of each person the renders, then the faces.

    `figures.face_sheet(faces, columns=len(conditions))` draws it.
    """
    renders = sitting(seeds, conditions, size=size).images
    with torch.no_grad():
        made = generate(renders)
    columns = len(conditions)
    rows = zip(renders.split(columns), made.split(columns), strict=True)
    return torch.cat([torch.cat(pair) for pair in rows])


def attribute_stages(faces: Image, transfer: Transfer, side_px: int = 256) -> "ipywidgets.VBox":
    """Offer a choice among faces and a slider from the input over T(x) to the enhanced face.

    The slider's t is 0, 1 and 2 there; between two stages one fades into the other, and a line
    tells where one is. Without a second stage the slider ends at 1. All faces are transferred at
    once, before the slider shows. Raises `ImageError` when they have another size.
    """
    import ipywidgets

    stages = _stages(faces, transfer)
    last = len(stages) - 1
    who = ipywidgets.BoundedIntText(0, min=0, max=len(faces) - 1, description="face")
    place = ipywidgets.FloatSlider(0, min=0, max=last, step=0.02, description="t")
    told = ipywidgets.HTML()
    view = ipywidgets.Image(format="png", width=side_px, height=side_px)
    view.add_class("facelab-attribute-stages")

    def draw(*_: object) -> None:
        t = round(place.value, 2)  # a browser adds up the slider's steps
        told.value = _stage_name(t)
        view.value = png(_fade(stages, t)[who.value][None])

    for control in (who, place):
        control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([who, place, told, view])


def stage_faces(
    faces: Image, transfer: Transfer, places: Sequence[float] = (0, 0.5, 1, 1.5, 2)
) -> Float[Tensor, "frames 3 _ _"]:
    """Return what `attribute_stages` shows, for a still: of each face a frame at each place.

    `figures.face_sheet(frames, columns=len(places))` draws it, a row a face. Raises
    `ParameterError` when a place lies outside the slider, and `ImageError` when the faces have
    another size.
    """
    stages = _stages(faces, transfer)
    frames = torch.stack([_fade(stages, place) for place in places], dim=1)
    return frames.flatten(0, 1)


def _stages(faces: Image, transfer: Transfer) -> list[Image]:
    """Return the inputs, T(x), and, where there is a second stage, the enhanced faces."""
    with torch.no_grad():
        made = transfer.transformed(faces)
        better = [] if transfer.enhancer is None else [transfer.enhance(faces, made)]
    return [faces, made, *better]


def _fade(stages: Sequence[Image], place: float) -> Image:
    """Return all faces at a place of the slider: a share of one stage and of the next."""
    last = len(stages) - 1
    if not 0 <= place <= last:
        raise ParameterError(f"t = {place} is no place between stages; give a number 0 to {last}")
    first = min(int(place), last - 1)
    return torch.lerp(stages[first], stages[first + 1], place - first)


def _stage_name(place: float) -> str:
    """Return a stage by its name, or both between which a place lies and the second's share."""
    first = int(place)
    share = place - first
    if share == 0:
        return STAGES[first]
    return f"{STAGES[first]} to {STAGES[first + 1]}: {share:.0%}"


def combinations(faces: Image, model: IdentityMap, side_px: int = 96) -> "ipywidgets.VBox":
    """Offer the paper's figure 2: three faces give identities, three the rest, nine come out.

    `faces` (at least 3, of the map's size) are what can be chosen from; an uploaded picture's
    largest face joins them and takes the first column's place, or a line says what is wrong with
    it. Identity is kept along a column, all else along a row. Raises `ParameterError` for fewer
    than 3 faces.
    """
    import ipywidgets

    if len(faces) < COMBINED:
        raise ParameterError(f"{len(faces)} faces make no table; give at least {COMBINED}")
    pool = list(faces.split(1))
    last = len(pool) - 1

    def chooser(name: str, number: int) -> "ipywidgets.BoundedIntText":
        word = f"{name} {number + 1}"
        return ipywidgets.BoundedIntText(number, min=0, max=last, description=word)

    columns = [chooser("identity", number) for number in range(COMBINED)]
    rows = [chooser("rest", number) for number in range(COMBINED)]
    upload = ipywidgets.FileUpload(accept="image/*", description="a photograph")
    told = ipywidgets.HTML()
    view = ipywidgets.Image(format="png", width=(COMBINED + 1) * side_px)
    view.add_class("facelab-combinations")

    def draw(*_: object) -> None:
        chosen = [torch.cat([pool[box.value] for box in boxes]) for boxes in (columns, rows)]
        view.value = png(pictures.grid(combined_faces(*chosen, model), COMBINED + 1))

    def add(change: dict) -> None:
        for file in change["new"]:
            try:
                pool.append(_uploaded(file, model))
            except UserError as error:
                told.value = html.escape(str(error))
                continue
            told.value = f"{html.escape(file['name'])} is face {len(pool) - 1}"
            for box in (*columns, *rows):
                box.max = len(pool) - 1
            columns[0].value = len(pool) - 1

    for control in (*columns, *rows):
        control.observe(draw, names="value")
    upload.observe(add, names="value")
    draw()
    boxes = [ipywidgets.HBox(columns), ipywidgets.HBox(rows), ipywidgets.HBox([upload, told])]
    return ipywidgets.VBox([*boxes, view])


def _uploaded(file: Mapping[str, Any], model: IdentityMap) -> Image:
    """Return the largest face of an uploaded picture, framed as the map's faces are."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(bytes(file["content"]))
        try:
            picture = pictures.load_image(path)
        except ImageError as error:
            raise ImageError(str(error).replace(str(path), file["name"])) from error
    found = crop_faces(picture, model.framing, "largest", source=file["name"]).images
    return torch.nn.functional.interpolate(
        found, (model.size, model.size), mode="bilinear", antialias=True
    ).clamp(-1, 1)


def combined_faces(
    identities: Image, attributes: Float[Tensor, "rows 3 height width"], model: IdentityMap
) -> Float[Tensor, "cells 3 height width"]:
    """Return what `combinations` shows, for a still: a white corner, identities, and the rows.

    Each row begins with the face that gives all but the identity.
    `figures.face_sheet(faces, columns=len(identities) + 1)` draws it.
    """
    table = model.table(identities, attributes).split(len(identities))
    corner = torch.ones_like(identities[:1])
    lines = zip(attributes.split(1), table, strict=True)
    return torch.cat([corner, identities, *(torch.cat(line) for line in lines)])


def disentangled(
    images: Image, model: Disentangler, directions: editing.Directions, side_px: int = 192
) -> "ipywidgets.VBox":
    """Offer two faces, a slider from the one's identity to the other's, and attribute sliders.

    `images` (of the model's size) are what can be chosen from: the first face gives all but the
    identity. An attribute's strength, -1 to 1, is that of `editing.edited`.
    """
    import ipywidgets

    codes, last = model.features(images), len(images) - 1
    ends = [
        ipywidgets.BoundedIntText(min(k, last), min=0, max=last, description=f"face {k + 1}")
        for k in range(2)
    ]
    share = ipywidgets.FloatSlider(0, min=0, max=1, step=0.02, description="identity")
    strengths = {
        name: ipywidgets.FloatSlider(0, min=-1, max=1, step=0.05, description=name)
        for name in directions
    }
    view = ipywidgets.Image(format="png", width=side_px, height=side_px)
    view.add_class("facelab-disentangled")

    def draw(*_: object) -> None:
        a, b = (editing.Features(*(code[[box.value]] for code in codes)) for box in ends)
        wanted = {name: control.value for name, control in strengths.items()}
        who = editing.between(a, b, share.value)
        view.value = png(editing.edited(model, who, wanted, directions))

    for control in (*ends, share, *strengths.values()):
        control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([ipywidgets.HBox(ends), share, *strengths.values(), view])


def png(image: Image) -> bytes:
    """Return one image, shape (1, 3, height, width), as the bytes of a PNG file."""
    import PIL.Image

    stream = io.BytesIO()
    PIL.Image.fromarray(pictures.to_uint8(image)[0].numpy()).save(stream, format="png")
    return stream.getvalue()
