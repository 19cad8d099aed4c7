import base64
import io
import itertools

import PIL.Image
import pytest
import torch

from facelab import figures
from facelab.errors import ParameterError


@pytest.fixture
def shown(monkeypatch):
    """What `show` displays: (data, metadata) pairs."""
    calls = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, raw, metadata: calls.append((data, metadata))
    )
    return calls


@pytest.mark.parametrize(
    ("photograph", "mime", "magic"),
    [(False, "image/png", b"\x89PNG"), (True, "image/jpeg", b"\xff\xd8\xff")],
)
def test_show_stores_the_picture_and_its_alt_text(shown, photograph, mime, magic):
    figure = figures.new_figure(1, 1)
    figures.show(figure, "an empty figure", photograph=photograph)
    ((data, metadata),) = shown
    assert base64.b64decode(data[mime]).startswith(magic)
    assert metadata == {mime: {"alt": "an empty figure"}}
    assert data["text/plain"] == "an empty figure"


def test_a_figure_without_a_description_is_refused():
    with pytest.raises(ValueError, match="alt text"):
        figures.show(figures.new_figure(1, 1), "figure 1")


def test_face_sheet_shows_every_pixel_once():
    faces = torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(6, 3, 8, 8)
    (axes,) = figures.face_sheet(faces, columns=3).axes
    assert axes.images[0].get_array().shape == (18, 28, 3)


def test_names_stand_at_the_middle_of_their_columns_and_rows():
    faces = torch.zeros(6, 3, 8, 8)
    sheet = figures.face_sheet(faces, columns=3, above=("a", "b", "c"), beside=("x", "y"))
    places = {text.get_text(): text.get_position() for text in sheet.axes[0].texts}
    width, height = (figures.pictures.grid(faces, 3).shape[axis] for axis in (3, 2))
    assert places["b"][0] == pytest.approx(width / 2)
    assert places["a"][0] < width / 3 < places["b"][0]
    assert places["x"][1] < height / 2 < places["y"][1]
    with pytest.raises(ValueError, match="shorter than argument 1"):
        figures.face_sheet(faces, columns=3, above=("a", "b"))


def test_image_row_takes_images_of_different_sizes_and_one_title_each():
    images = [torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 30, 15)]
    figure = figures.image_row(images, ["a", "b"])
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    with pytest.raises(ValueError, match=r"shorter|longer"):
        figures.image_row(images, ["a"])


def test_detections_draws_boxes_and_points_where_they_are():
    boxes = torch.tensor([[2.0, 3.0, 12.0, 18.0]])
    landmarks = torch.arange(10.0).view(1, 5, 2)
    figure = figures.detections(torch.zeros(1, 3, 20, 30), boxes, landmarks, ["p = 1"])
    for axes in figure.axes:
        (box,) = axes.patches
        assert (box.get_xy(), box.get_width(), box.get_height()) == ((2, 3), 10, 15)
        assert [line.get_xydata().tolist() for line in axes.lines] == [
            [[x, x + 1]] for x in (0.0, 2.0, 4.0, 6.0, 8.0)
        ]
    close = figure.axes[1]
    assert close.get_xlim() == (7 - 11.25, 7 + 11.25)


def test_detections_of_no_face_show_the_picture_alone():
    figure = figures.detections(torch.zeros(1, 3, 20, 30), torch.zeros(0, 4), torch.zeros(0, 5, 2))
    assert [axes.get_visible() for axes in figure.axes] == [True, False]


def test_distance_matrix_frames_the_pairs_below_the_threshold():
    distances = torch.tensor([[0.0, 0.2, 0.9], [0.2, 0.0, 0.8], [0.9, 0.8, 0.0]])
    axes = figures.distance_matrix(distances, ["a", "b", "c"], threshold=0.36).axes[0]
    framed = {(round(patch.get_x() + 0.48), round(patch.get_y() + 0.48)) for patch in axes.patches}
    assert framed == {(0, 1), (1, 0)}
    assert [text.get_text() for text in axes.texts][:3] == ["0.00", "0.20", "0.90"]


def test_histograms_have_area_one_and_a_threshold():
    samples = [torch.linspace(0, 1, 50), torch.linspace(1, 2, 30)]
    (axes,) = figures.histograms(samples, ["same", "other"], threshold=0.9).axes
    area = sum(bar.get_width() * bar.get_height() for bar in axes.patches)
    assert area == pytest.approx(2, rel=1e-3)
    assert axes.lines[0].get_xdata()[0] == 0.9


def test_a_moving_picture_has_every_frame_and_rests_on_the_last(shown):
    places = [torch.rand(5, 2) for _ in range(3)]
    frames = figures.moving_points(places, torch.tensor([0, 0, 1, 1, 1]))
    figures.show_moving(frames, "five points that move", seconds=3)
    ((data, metadata),) = shown
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(data["image/gif"])))
    durations = []
    for frame in range(picture.n_frames):
        picture.seek(frame)
        durations.append(picture.info["duration"])
    assert durations == [1000, 1000, 2000]
    assert metadata["image/gif"]["alt"] == "five points that move"
    assert len({axes.get_xlim() for frame in frames for axes in frame.axes}) == 1


def test_clouds_share_a_scale_and_the_first_is_their_ground():
    first, second = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[5.0, -1.0]])
    figure = figures.point_clouds({"true": first, "made": second})
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("true", "made")
    assert left.get_xlim() == right.get_xlim() == pytest.approx((-5.5, 5.5))
    clouds = [[c.get_offsets().tolist() for c in axes.collections] for axes in (left, right)]
    assert clouds == [[first.tolist()], [first.tolist(), second.tolist()]]


def test_labelled_points_are_where_they_are_and_a_label_looks_alike_in_each_panel():
    first = torch.tensor([[0.0, 1.0], [2.0, 0.0], [3.0, 3.0]])
    labels = torch.tensor([7, 4, 7])
    left, right = figures.labelled_points({"T": first, "P": 10 * first}, labels).axes
    assert (left.get_title(), right.get_title()) == ("T", "P")
    for axes, points in ((left, first), (right, 10 * first)):
        four, seven = axes.collections
        assert four.get_offsets().tolist() == points[1:2].tolist()
        assert seven.get_offsets().tolist() == points[::2].tolist()
        assert (*axes.get_xticks(), *axes.get_yticks()) == ()
    assert [look(c) for c in left.collections] == [look(c) for c in right.collections]


def look(drawn):
    """A cloud's colour and its outline."""
    return tuple(drawn.get_facecolor()[0]), drawn.get_paths()[0].vertices.tobytes()


@pytest.mark.parametrize("count", [20, 56])
def test_labels_have_looks_of_their_own(count):
    (axes,) = figures.labelled_points({"T": torch.rand(count, 2)}, torch.arange(count)).axes
    looks = [look(drawn) for drawn in axes.collections]
    assert len(set(looks)) == count
    for one, other in itertools.pairwise(looks):
        assert one[0] != other[0]
        assert one[1] != other[1]


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 1, dtype=torch.long), r"labels are \(3, 1\)"),
        (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), r"labels are \(0,\)"),
        (torch.zeros(3, 3), torch.arange(3), r"points of 'T' are \(3, 3\); give \(3, 2\)"),
        (torch.zeros(4, 2), torch.arange(3), r"points of 'T' are \(4, 2\); give \(3, 2\)"),
        (torch.zeros(57, 2), torch.arange(57), "57 labels .* 56 or fewer"),
    ],
)
def test_points_and_labels_that_do_not_fit_are_refused(points, labels, message):
    with pytest.raises(ParameterError, match=message):
        figures.labelled_points({"T": points}, labels)


def test_a_figure_without_a_group_is_refused():
    with pytest.raises(ParameterError, match="no group"):
        figures.labelled_points({}, torch.arange(3))


def test_curves_have_their_points_and_references():
    figure = figures.curves(
        [0, 1], {"line": [3, 4]}, x_axis="x", y_axis="y", references={"limit": 2.0}
    )
    (axes,) = figure.axes
    assert axes.lines[0].get_xydata().tolist() == [[0, 3], [1, 4]]
    assert axes.lines[1].get_ydata()[0] == 2
    assert [text.get_text() for text in axes.get_legend().texts] == ["line", "limit"]


def test_paths_go_through_places_of_their_own():
    lines = {"a": [(0.0, 1.0), (0.5, 0.8)], "none": [], "b": [(0.3, 0.2)]}
    (axes,) = figures.paths(lines, {"copy": (0.0, 1.0)}, x_axis="rate", y_axis="identity").axes
    drawn = {line.get_label(): line for line in axes.lines}
    assert list(drawn["a"].get_xdata()) == [0.0, 0.5]
    assert list(drawn["a"].get_ydata()) == [1.0, 0.8]
    assert "none" not in drawn
    assert drawn["b"].get_color() == figures.COLOURS[2]
    assert drawn["copy"].get_color() == "grey"
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in hollow] == [([0.0], [1.0])]


def test_bars_begin_at_zero_and_have_their_intervals():
    values = {"hair": -0.25, "smile": 0.5}
    intervals = {"hair": {"low": -0.5, "high": 0.125}, "smile": None}
    (axes,) = figures.bars(values, intervals, axis="gain").axes
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, -0.25), (0, 0.5)]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["hair", "smile"]
    drawn = [list(map(float, line.get_xdata())) for line in axes.lines]
    assert [-0.5, 0.125] in drawn
    assert len(drawn) == 2  # the interval, and the line at 0


def test_vector_fields_point_where_the_arrows_do_and_show_the_path():
    places = torch.tensor([[-1.0, 0.0], [1.0, 2.0]])
    arrows = {"one": torch.tensor([[3.0, 0.0], [0.0, -0.5]]), "other": torch.zeros(2, 2)}
    path = torch.tensor([[1.0, 1.0], [0.5, 0.0], [0.0, 0.0]])
    figure = figures.vector_fields(
        places, arrows, dict.fromkeys(arrows, path), axes_names=("theta", "psi")
    )
    one, other = figure.axes
    assert (one.get_title(), other.get_title()) == ("one", "other")
    (field,) = one.collections
    assert list(zip(field.U.tolist(), field.V.tolist(), strict=True)) == [(1, 0), (0, -1)]
    assert one.lines[0].get_xydata().tolist() == path.tolist()
    assert one.lines[1].get_xydata().tolist() == [[1.0, 1.0]]
    assert one.get_xlim() == (-2.0, 2.0)


def test_a_landscape_puts_columns_on_the_first_axis():
    ticks = [-1.0, 0.0, 1.0]
    heights = torch.tensor(ticks).expand(3, 3)  # rises along the first axis
    drawn = figures.landscape(ticks, heights, axes_names=("first", "second"))
    axes = drawn.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("first", "second")
    paths = [path.get_paths()[0] for path in axes.collections[:1]]
    assert paths
    edges = axes.collections[0].get_paths()
    spread = [p.vertices[:, 0].max() - p.vertices[:, 0].min() for p in edges if len(p.vertices)]
    assert max(spread) < 1.0  # every band is narrow along the first axis ...
    tall = [p.vertices[:, 1].max() - p.vertices[:, 1].min() for p in edges if len(p.vertices)]
    assert min(tall) == pytest.approx(2.0)  # ... and as high as the second


def test_histogram_panels_have_the_given_counts_as_areas():
    counts = {"a": {"same": [3, 1, 0], "other": [0, 4, 0]}, "b": {"same": [1, 1, 0]}}
    drawn = figures.histogram_panels([0.0, 0.5, 1.0, 1.5], counts, axis="x")
    first, second = drawn.axes
    heights = [[bar.get_height() for bar in kind] for kind in first.containers]
    assert heights == [[1.5, 0.5, 0.0], [0.0, 2.0, 0.0]]
    assert first.get_xlim() == (0.0, 1.0)
    assert (first.get_title(loc="left"), second.get_xlabel()) == ("a", "x")
