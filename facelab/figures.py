"""Pictures for the chapters: they draw what was computed elsewhere, and compute nothing.

Every function returns a `matplotlib.figure.Figure` that belongs to nobody (no pyplot, no global
state), and `show` displays it together with the sentence that describes it.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Float, Int
from torch import Tensor

from facelab import images as pictures
from facelab.errors import ParameterError
from facelab.types import Boxes, Image, Landmarks, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette: told apart by colour-blind readers, and readable on light and dark pages.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
# Eight shapes and seven colours: counted on together, they repeat after 56 pairs.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LANDMARK_NAMES = ("left eye", "right eye", "nose", "left of mouth", "right of mouth")
DOTS_PER_INCH = 144
Names = Sequence[str]


def show(figure: "Figure", alt: str, *, photograph: bool = False) -> None:
    """Display a figure in the notebook with `alt`, the sentence for readers who can't see it.

    `photograph` stores it as JPEG, for pictures of many colours. Raises `ValueError` when `alt` is
    empty: a figure without a description is unfinished.
    """
    kind, options = "png", {}
    if photograph:
        kind, options = "jpeg", {"pil_kwargs": {"quality": 90}}
    stream = io.BytesIO()
    figure.savefig(
        stream, format=kind, dpi=DOTS_PER_INCH, bbox_inches="tight", facecolor="white", **options
    )
    _display(stream.getvalue(), f"image/{kind}", alt)


def show_moving(frames: Sequence["Figure"], alt: str, *, seconds: float = 4.0) -> None:
    """Display figures of one size as a picture that moves (GIF), with `alt` as in `show`.

    It runs for `seconds`, rests on the last frame for two, and starts again.
    """
    import PIL.Image

    pictures_of = []
    for figure in frames:
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=80, facecolor="white")
        pictures_of.append(PIL.Image.open(stream).convert("RGB").quantize(64))
    duration = [round(1000 * seconds / len(frames))] * (len(frames) - 1) + [2000]
    stream = io.BytesIO()
    first, *others = pictures_of
    first.save(stream, format="gif", save_all=True, append_images=others, duration=duration, loop=0)
    _display(stream.getvalue(), "image/gif", alt)


def _display(content: bytes, mime: str, alt: str) -> None:
    from IPython.display import display

    if len(alt.split()) < 3:
        raise ValueError("describe the figure in at least three words of alt text")
    data = base64.b64encode(content).decode()
    display({mime: data, "text/plain": alt}, raw=True, metadata={mime: {"alt": alt}})


def new_figure(width_in: float, height_in: float) -> "Figure":
    """Return an empty figure of the book's style; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def face_sheet(
    images: Image, columns: int, width_in: float = 7.2, *, above: Names = (), beside: Names = ()
) -> "Figure":
    """Draw a batch of equal images as one sheet, row by row, with names above columns or rows.

    Raises `ValueError` when there are names, but not one for each.
    """
    sheet = pictures.grid(images, columns)
    (height, width), rows = sheet.shape[2:], -(-len(images) // columns)
    figure = new_figure(width_in, width_in * height / width)
    axes = figure.add_subplot()
    _draw_image(axes, sheet)
    for n, name in zip(range(columns), above, strict=True) if above else ():
        axes.text((n + 0.5) * width / columns, -2, name, ha="center", va="bottom", fontsize=8)
    for n, name in zip(range(rows), beside, strict=True) if beside else ():
        axes.text(-2, (n + 0.5) * height / rows, name, ha="right", va="center", fontsize=8)
    return figure


def image_row(images: Sequence[Picture], titles: Sequence[str], height_in: float = 2.2) -> "Figure":
    """Draw images of any sizes, each of shape (1, 3, height, width), side by side with titles."""
    ratios = [image.shape[3] / image.shape[2] for image in images]
    figure = new_figure(height_in * sum(ratios) + 0.1 * len(images), height_in + 0.3)
    row = figure.subplots(1, len(images), width_ratios=ratios, squeeze=False)[0]
    for axes, image, title in zip(row, images, titles, strict=True):
        _draw_image(axes, image)
        axes.set_title(title, fontsize=9)
    return figure


def detections(
    image: Picture,
    boxes: Boxes,
    landmarks: Landmarks,
    labels: Sequence[str] = (),
    height_in: float = 3.6,
) -> "Figure":
    """Draw boxes (faces, 4) as x1 y1 x2 y2 and landmarks (faces, 5, 2) in pixels over an image.

    The whole picture is on the left; the first face, if there is one, is enlarged on the right.
    """
    height, width = image.shape[2:]
    figure = new_figure(height_in * width / height + height_in + 1.2, height_in)
    whole, close = figure.subplots(1, 2, width_ratios=[width / height, 1])
    for axes in (whole, close):
        _draw_image(axes, image)
        _draw_faces(axes, boxes, landmarks)
    for label, (x1, y1, *_) in zip(labels, boxes.tolist(), strict=False):
        whole.text(x1, y1 - height / 80, label, color=COLOURS[1], fontsize=9, weight="bold")
    close.set_visible(len(boxes) > 0)
    if len(boxes):
        x1, y1, x2, y2 = boxes[0].tolist()
        reach = 0.75 * max(x2 - x1, y2 - y1)
        close.set_xlim((x1 + x2) / 2 - reach, (x1 + x2) / 2 + reach)
        close.set_ylim((y1 + y2) / 2 + reach, (y1 + y2) / 2 - reach)
        close.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _draw_faces(axes: "Axes", boxes: Boxes, landmarks: Landmarks) -> None:
    from matplotlib.patches import Rectangle

    for x1, y1, x2, y2 in boxes.tolist():
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=COLOURS[1], linewidth=2)
        axes.add_patch(box)
    for name, points, colour in zip(
        LANDMARK_NAMES, landmarks.detach().cpu().unbind(dim=1), COLOURS, strict=False
    ):
        x, y = points.T.tolist()
        look = {"color": colour, "markersize": 4, "markeredgecolor": "white", "linestyle": ""}
        axes.plot(x, y, "o", label=name, **look)


def landmarks(images: Image, points: Landmarks, columns: int, width_in: float = 7.2) -> "Figure":
    """Draw points (batch, points, 2), in pixels, over images of one size, row by row."""
    rows = -(-len(images) // columns)
    height, width = images.shape[2:]
    figure = new_figure(width_in, width_in * rows * height / (columns * width))
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, image, marks in zip(grid, images.split(1), points.detach().cpu(), strict=False):
        _draw_image(axes, image)
        x, y = marks.T.tolist()
        axes.plot(x, y, "o", color=COLOURS[1], markersize=2, markeredgewidth=0)
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    for axes in grid[len(images) :]:
        axes.set_visible(False)
    return figure


def distance_matrix(
    distances: Float[Tensor, "rows columns"],
    names: Sequence[str],
    threshold: float,
    width_in: float = 4.6,
) -> "Figure":
    """Draw a table of distances; those below the same-person threshold are framed."""
    from matplotlib.patches import Rectangle

    figure = new_figure(width_in, width_in * 0.86)
    axes = figure.add_subplot()
    drawn = axes.imshow(distances.detach().cpu().numpy(), cmap="viridis_r", vmin=0)
    middle = float(distances.max()) / 2
    for row, values in enumerate(distances.tolist()):
        for column, value in enumerate(values):
            colour = "white" if value > middle else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
            if row != column and value < threshold:
                frame = Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, fill=False)
                frame.set(edgecolor=COLOURS[5], linewidth=2.5)
                axes.add_patch(frame)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="squared distance of unit embeddings")
    return figure


def histograms(
    values: Sequence[Float[Tensor, " _"]],
    labels: Sequence[str],
    *,
    threshold: float | None = None,
    axis: str = "squared distance of unit embeddings",
) -> "Figure":
    """Draw distributions over one axis, each normalised to area one, with a threshold line."""
    figure = new_figure(6.4, 3.0)
    axes = figure.add_subplot()
    low = min(float(sample.min()) for sample in values)
    high = max(float(sample.max()) for sample in values)
    edges = [low + (high - low) * step / 40 for step in range(41)]
    for sample, label, colour in zip(values, labels, COLOURS, strict=False):
        look = {"bins": edges, "density": True, "alpha": 0.6, "color": colour, "label": label}
        axes.hist(sample.detach().cpu().numpy(), **look)
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.2f}")
    axes.set_xlabel(axis)
    axes.set_ylabel("density")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def histogram_panels(
    edges: Sequence[float], panels: dict[str, dict[str, Sequence[int]]], *, axis: str
) -> "Figure":
    """Draw counted distributions, a panel a name, each of area one, over one axis.

    A panel has so many counts under each label, one less than there are `edges`. The axis is as
    long as something was counted.
    """
    figure = new_figure(6.4, 1.25 * len(panels) + 0.6)
    rows = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (name, counts) in zip(rows, panels.items(), strict=True):
        for (label, numbers), colour in zip(counts.items(), COLOURS, strict=False):
            look = {"density": True, "alpha": 0.6, "color": colour, "label": label}
            axes.hist(edges[:-1], bins=edges, weights=numbers, **look)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    filled = [
        bin_ for counts in panels.values() for numbers in counts.values()
        for bin_, number in enumerate(numbers) if number
    ]  # fmt: skip
    rows[-1].set(xlabel=axis, xlim=(edges[min(filled)], edges[max(filled) + 1]))
    rows[0].legend(fontsize=8, frameon=False)
    return figure


def curves(
    x: Sequence[float],
    lines: dict[str, Sequence[float]],
    *,
    x_axis: str,
    y_axis: str,
    references: dict[str, float] | None = None,
    markers: bool = True,
) -> "Figure":
    """Draw named lines over x, with horizontal reference lines; `markers` show the points."""
    figure = new_figure(6.4, 3.2)
    axes = figure.add_subplot()
    for (name, values), colour in zip(lines.items(), COLOURS, strict=False):
        marker = "o" if markers else ""
        axes.plot(x, values, marker=marker, markersize=3.5, color=colour, label=name)
    for (name, value), style in zip((references or {}).items(), ("--", ":", "-."), strict=False):
        axes.axhline(value, color="grey", linestyle=style, label=name)
    axes.set_xlabel(x_axis)
    axes.set_ylabel(y_axis)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def paths(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    points: Mapping[str, tuple[float, float]],
    *,
    x_axis: str,
    y_axis: str,
) -> "Figure":
    """Draw named lines through places (x, y) of their own, hollow where they begin, and points.

    A line has a colour and a shape by its number, so that an empty one keeps those of the others;
    points are grey, with a shape each.
    """
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    for (name, places), colour, marker in zip(lines.items(), COLOURS, MARKERS, strict=False):
        if not places:
            continue
        x, y = zip(*places, strict=True)
        axes.plot(x, y, marker=marker, markersize=4, color=colour, label=name)
        if len(places) > 1:
            axes.plot(x[:1], y[:1], marker=marker, markersize=4, color=colour, mfc="white")
    for (name, (x, y)), marker in zip(points.items(), MARKERS[::-1], strict=False):
        axes.plot([x], [y], marker=marker, color="grey", linestyle="", label=name)
    axes.set(xlabel=x_axis, ylabel=y_axis)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def bars(
    values: Mapping[str, float],
    intervals: Mapping[str, Mapping[str, float] | None],
    *,
    axis: str,
) -> "Figure":
    """Draw a horizontal bar a name, from 0, with the line from its interval's `low` to `high`.

    The first name is the lowest. A bar has one colour to the right of 0 and another to the left.
    """
    figure = new_figure(6.4, 0.17 * len(values) + 0.7)
    axes = figure.add_subplot()
    for row, (name, value) in enumerate(values.items()):
        axes.barh(row, value, color=COLOURS[0 if value > 0 else 1], alpha=0.8)
        if interval := intervals.get(name):
            axes.plot([interval["low"], interval["high"]], [row, row], color="grey", linewidth=1)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(values)), list(values), fontsize=7)
    axes.set_ylim(-0.7, len(values) - 0.3)
    axes.set_xlabel(axis)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def landscape(
    ticks: Sequence[float],
    heights: Float[Tensor, "rows columns"],
    *,
    axes_names: tuple[str, str],
    width_in: float = 4.2,
) -> "Figure":
    """Draw heights over a plane as a map with contour lines; a cross marks the middle.

    Column i lies at `ticks[i]` of the first axis, row i at `ticks[i]` of the second.
    """
    figure = new_figure(width_in, width_in * 0.82)
    axes = figure.add_subplot()
    values = heights.detach().cpu().numpy()
    drawn = axes.contourf(ticks, ticks, values, levels=12, cmap="viridis")
    axes.contour(ticks, ticks, values, levels=12, colors="white", linewidths=0.4)
    axes.plot([0], [0], "x", color="white", markersize=8)
    axes.set(xlabel=axes_names[0], ylabel=axes_names[1], aspect="equal")
    figure.colorbar(drawn, ax=axes)
    return figure


def moving_points(
    places: Sequence[Float[Tensor, "points 2"]], groups: Int[Tensor, " points"]
) -> list["Figure"]:
    """Draw the same points at several times, one figure each, coloured by group, on one scale."""
    reach = 1.1 * max(float(points.abs().max()) for points in places)
    figures = []
    for number, points in enumerate(places):
        figure = new_figure(3.6, 3.8)
        axes = figure.add_subplot()
        x, y = points.detach().cpu().T.numpy()
        axes.scatter(x, y, c=groups.cpu().numpy(), cmap="tab10", s=14)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.set(xticks=[], yticks=[], title=f"{number + 1} of {len(places)}")
        figures.append(figure)
    return figures


def point_clouds(groups: Mapping[str, Float[Tensor, "_ 2"]]) -> "Figure":
    """Draw clouds of points side by side on one scale, each over the first one in grey."""
    reach = 1.1 * max(float(points.abs().max()) for points in groups.values())
    figure = new_figure(2.4 * len(groups), 2.7)
    ground = next(iter(groups.values()))
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, (name, points), colour in zip(panels, groups.items(), COLOURS, strict=False):
        axes.scatter(*ground.T.tolist(), color="lightgrey", s=6)
        if points is not ground:
            axes.scatter(*points.T.tolist(), color=colour, s=6)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.set(xticks=[], yticks=[])
        axes.set_title(name, fontsize=9)
    return figure


def labelled_points(
    groups: Mapping[str, Float[Tensor, "..."]], labels: Int[Tensor, "..."], height_in: float = 3.4
) -> "Figure":
    """Draw the same faces as points (faces, 2), a panel a group, by their labels (faces,).

    A label has a colour and a shape, the same in each panel and of no other label. Panels have
    scales of their own. Raises `ParameterError` for other shapes, no group, no face, or more labels
    than there are looks.
    """
    looks = _looks(groups, labels)
    figure = new_figure(height_in * len(groups), height_in + 0.2)
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, (name, points) in zip(panels, groups.items(), strict=True):
        for label, (colour, marker) in looks.items():
            x, y = points.detach()[labels == label].cpu().T.tolist()
            look = {"color": colour, "marker": marker, "s": 26, "linewidths": 0.4}
            axes.scatter(x, y, edgecolors="black", **look)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set(xticks=[], yticks=[])
        axes.set_title(name, fontsize=9)
    return figure


def _looks(groups: Mapping[str, Tensor], labels: Tensor) -> dict[int, tuple[str, str]]:
    """Return each label's colour and marker; neighbours in order differ in both."""
    if labels.ndim != 1 or not len(labels):
        raise ParameterError(f"labels are {tuple(labels.shape)}; give one a face, (faces,)")
    if not groups:
        raise ParameterError("there is no group to draw; give one or more, by their titles")
    for name, points in groups.items():
        if points.shape != (len(labels), 2):
            raise ParameterError(
                f"points of {name!r} are {tuple(points.shape)}; give ({len(labels)}, 2), a row a "
                "label"
            )
    found, most = labels.unique().tolist(), len(COLOURS) * len(MARKERS)
    if len(found) > most:
        raise ParameterError(
            f"{len(found)} labels can't be told apart; give {most} or fewer, of some of the faces"
        )
    pairs = ((COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i in range(len(found)))
    return dict(zip(found, pairs, strict=True))


def vector_fields(
    places: Float[Tensor, "points 2"],
    arrows: dict[str, Float[Tensor, "points 2"]],
    paths: dict[str, Float[Tensor, "moments 2"]],
    *,
    axes_names: tuple[str, str],
) -> "Figure":
    """Draw a panel per name: arrows of one length at the places, and the path, from a dot on."""
    reach = float(places.abs().max())
    figure = new_figure(2.5 * len(arrows), 2.8)
    panels = figure.subplots(1, len(arrows), squeeze=False)[0]
    for axes, (name, field) in zip(panels, arrows.items(), strict=True):
        ways = field / field.norm(dim=1, keepdim=True).clamp_min(1e-9)
        axes.quiver(*places.T.tolist(), *ways.T.tolist(), color="grey", angles="xy", width=0.006)
        x, y = paths[name].detach().cpu().T.tolist()
        axes.plot(x, y, color=COLOURS[0], linewidth=1.2)
        axes.plot(x[:1], y[:1], "o", color=COLOURS[5], markersize=5)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=name)
        axes.set(xlabel=axes_names[0], ylabel=axes_names[1])
    return figure


def _draw_image(axes: "Axes", image: Picture) -> None:
    axes.imshow(pictures.to_uint8(image)[0].numpy(), interpolation="nearest")
    axes.set_axis_off()
