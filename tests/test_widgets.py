import datetime
import io
import types

import numpy as np
import PIL.Image
import pytest
import torch

from facelab import images, widgets
from facelab.data.sitting import across, sitting
from facelab.errors import ImageError, ParameterError
from facelab.generators.dcgan import DCGAN
from facelab.methods.d2ae import editing
from facelab.methods.d2ae.config import TINY
from facelab.methods.d2ae.editing import Direction
from facelab.methods.d2ae.model import Disentangler
from facelab.methods.diat.networks import LocalEnhancer, Shape, TransformNetwork
from facelab.methods.diat.tasks import find_task
from facelab.methods.diat.transfer import Transfer
from facelab.methods.idmap.model import IdentityMap


def _straight(a, b, t):
    return (1 - t) * a + t * b


def _levels(view):
    return np.asarray(PIL.Image.open(io.BytesIO(view.value)))


def test_the_slider_changes_the_picture_and_its_ends_are_the_two_faces(random):
    generator = DCGAN(latents=8, width=4).eval().requires_grad_(False)
    latent = generator.sample_latent(3, random)
    box = widgets.walk(generator, latent, _straight)
    (start, end), share, view = box.children[0].children, box.children[1], box.children[2]
    halfway = _levels(view)
    end.value = 2
    for place, face in [(0.0, 0), (1.0, 2)]:
        share.value = place
        expected = images.to_uint8(generator(latent[face][None]))[0].numpy()
        assert (_levels(view) == expected).all()
    assert start.max == end.max == 2
    assert halfway.shape == (64, 64, 3)
    assert (halfway != _levels(view)).any()


def test_the_threshold_tells_both_errors():
    box = widgets.threshold(torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.4, 0.5, 0.6]), 0.25)
    limit, told = box.children
    assert "same: 50.0%" in told.value
    assert "another: 25.0%" in told.value
    limit.value = 0.6
    assert "same: 0.0%" in told.value
    assert "another: 75.0%" in told.value


def test_png_keeps_the_levels(random):
    levels = torch.randint(0, 256, (6, 4, 3), generator=random, dtype=torch.uint8)
    data = widgets.png(images.from_uint8(levels))
    assert (np.asarray(PIL.Image.open(io.BytesIO(data))) == levels.numpy()).all()


def test_a_head_follows_its_sliders():
    box = widgets.head(components=2)
    one, _, row, yaw, lamp, view = box.children
    pictures = [view.value]
    for control, value in ((one, 2.0), (row.children[1], 0.7), (yaw, 0.5), (lamp, -1.0)):
        control.value = value
        pictures.append(view.value)
    assert len(set(pictures)) == 5
    row.children[0].value = "none"
    one.value, yaw.value, lamp.value = 0.0, 0.0, 0.6
    assert view.value == pictures[0]


def test_a_look_alike_searches_once_a_person_and_adds_the_vectors(random):
    generator = DCGAN(latents=8, width=4).eval().requires_grad_(False)
    ways = {name: generator.sample_latent(3, random) for name in ("ann", "bob")}
    asked = []

    def find(name):
        asked.append(name)
        return ways[name]

    faces = {name: generator(way[:1]) for name, way in ways.items()}
    glasses = generator.sample_latent(1, random)[0]
    box = widgets.look_alike(faces, find, generator, {"glasses": glasses})
    who, views, row, strength = box.children
    moment = row.children[1]

    def expected(name, place, amount):
        latent = ways[name][place : place + 1] + amount * glasses
        return images.to_uint8(generator(latent))[0].numpy()

    assert (_levels(views.children[1]) == expected("ann", 2, 0)).all()  # the best comes first
    moment.value, strength.value = 0, 1.5
    assert (_levels(views.children[1]) == expected("ann", 0, 1.5)).all()
    who.value = "bob"
    assert (_levels(views.children[1]) == expected("bob", 2, 1.5)).all()
    assert (_levels(views.children[0]) == images.to_uint8(faces["bob"])[0].numpy()).all()
    who.value = "ann"
    assert asked == ["ann", "bob"]


def _negative(images):
    return -images


def test_a_grid_of_people_has_renders_and_below_what_is_made_of_them():
    conditions = across(0.5, {"jawOpen": 0.6})
    faces = widgets.people_faces([3, 4], conditions, _negative, size=16)
    assert faces.shape == (20, 3, 16, 16)
    rows = faces.reshape(2, 2, 5, 3, 16, 16)
    assert torch.equal(rows[:, 1], -rows[:, 0])
    drawn = sitting([3, 4], conditions, size=16).images
    assert torch.equal(rows[:, 0].flatten(0, 1), drawn)


def test_a_grid_of_people_follows_its_sliders():
    box = widgets.people_grid([3], _negative, size=16)
    yaw, row, lamp, view = box.children
    action, weight = row.children
    still = widgets.people_faces([3], across(0.6, {"jawOpen": 0.7}, 0.6), _negative, size=16)
    assert (_levels(view) == images.to_uint8(images.grid(still, 5))[0].numpy()).all()
    shown = [view.value]
    for control, value in ((yaw, 0.2), (weight, 0.1), (action, "mouthPucker"), (lamp, -1.0)):
        control.value = value
        shown.append(view.value)
    assert len(set(shown)) == 5


def _transfer(both=True):
    """A transfer of random networks, whose stages differ."""
    torch.manual_seed(0)
    enhancer = LocalEnhancer(4) if both else None
    if both:
        torch.nn.init.normal_(enhancer.last.weight, std=0.3)
    return Transfer(find_task("mouth_open"), 16, TransformNetwork(Shape(4, 1)), enhancer).eval()


def _faces(random, count=3):
    return torch.rand(count, 3, 16, 16, generator=random) * 2 - 1


def test_frames_between_the_stages_of_a_transfer(random, tolerance):
    faces, transfer = _faces(random), _transfer()
    made, better = transfer.transformed(faces), transfer(faces)
    frames = widgets.stage_faces(faces, transfer)
    assert frames.shape == (15, 3, 16, 16)
    assert not frames.requires_grad
    rows = frames.unflatten(0, (3, 5))
    for column, wanted in ((0, faces), (2, made), (4, better)):
        assert torch.equal(rows[:, column], wanted)
    torch.testing.assert_close(rows[:, 1], (faces + made) / 2, **tolerance[torch.float32])
    torch.testing.assert_close(rows[:, 3], (made + better) / 2, **tolerance[torch.float32])
    quarter = widgets.stage_faces(faces, transfer, places=[1.25])
    torch.testing.assert_close(quarter, 0.75 * made + 0.25 * better, **tolerance[torch.float32])
    assert (made - better).abs().max() > 0.1, "or the stages would be one"


def test_the_stages_of_a_transfer_follow_the_slider(random):
    faces, transfer = _faces(random), _transfer()
    box = widgets.attribute_stages(faces, transfer)
    who, place, told, view = box.children
    assert (who.max, place.min, place.max) == (2, 0, 2)
    at = (0, 0.3, 1, 1.5, 2)
    frames = widgets.stage_faces(faces, transfer, at).unflatten(0, (3, 5))
    names = ["input", "input to T(x): 30%", "T(x)", "T(x) to enhanced: 50%", "enhanced"]
    for face in (0, 2):
        who.value = face
        for column, (t, name) in enumerate(zip(at, names, strict=True)):
            place.value = t
            assert told.value == name
            frame = images.to_uint8(frames[face, column][None])[0].numpy()
            assert (_levels(view) == frame).all()
    place.value = 0.1 + 0.2 + 0.7 - 1e-12
    assert told.value == "T(x)"


def test_a_transfer_of_one_stage(random):
    faces, transfer = _faces(random), _transfer(both=False)
    _, place, told, view = widgets.attribute_stages(faces, transfer).children
    place.value = 1.0
    assert (place.max, told.value) == (1, "T(x)")
    assert (_levels(view) == images.to_uint8(transfer(faces)[:1])[0].numpy()).all()
    assert torch.equal(widgets.stage_faces(faces, transfer, [1]), transfer(faces))
    for outside in (1.5, -0.1):
        with pytest.raises(ParameterError, match=f"t = {outside} is no place .* number 0 to 1"):
            widgets.stage_faces(faces, transfer, [outside])
    with pytest.raises(ImageError, match="faces of 16 x 16 pixels are needed"):
        widgets.stage_faces(faces[:, :, :8], transfer)


# --- two faces in one ----------------------------------------------------------------------------


class _Pairs(IdentityMap):
    """In place of a trained map: a quarter of the one face, three quarters of the other."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.framing, self.size = "book64", 64

    def table(self, identities, attributes):
        across = identities.repeat(len(attributes), 1, 1, 1)
        return (across + 3 * attributes.repeat_interleave(len(identities), 0)) / 4


def _flat(*levels):
    return torch.cat([torch.full((1, 3, 64, 64), level) for level in levels])


def test_identities_are_columns_and_the_rest_rows():
    cells = widgets.combined_faces(_flat(-1.0, 0.0, 1.0), _flat(0.5, -0.5), _Pairs())
    shown = cells[:, 0, 0, 0].tolist()
    assert shown[:4] == [1, -1, 0, 1]
    assert shown[4:8] == pytest.approx([0.5, 0.125, 0.375, 0.625])
    assert shown[8:] == pytest.approx([-0.5, -0.625, -0.375, -0.125])


def test_the_table_follows_its_choosers():
    faces = _flat(-1.0, -0.5, 0.0, 0.5)
    box = widgets.combinations(faces, _Pairs())
    columns, rows, view = box.children[0].children, box.children[1].children, box.children[3]
    columns[2].value, rows[0].value = 3, 1
    sheet = widgets.combined_faces(faces[[0, 1, 3]], faces[[1, 1, 2]], _Pairs())
    expected = images.to_uint8(images.grid(sheet, 4))[0].numpy()
    assert (_levels(view) == expected).all()
    with pytest.raises(ParameterError, match="2 faces make no table; give at least 3"):
        widgets.combinations(faces[:2], _Pairs())


def _sent(name, content):
    """What a browser sends."""
    now = datetime.datetime.now(datetime.UTC)
    facts = {"type": "image/png", "size": len(content), "last_modified": now}
    return {"name": name, "content": memoryview(content), **facts}


def test_an_uploaded_face_joins(tmp_path, monkeypatch):
    faces, picture = _flat(-1.0, -0.5, 0.0), _flat(0.75)
    path = images.save_image(picture, tmp_path / "me.png")
    cropped = types.SimpleNamespace(images=_flat(0.25))
    asked = []

    def crop(image, template, policy, source):
        asked.append((image.shape[2], template, policy, source))
        return cropped

    monkeypatch.setattr(widgets, "crop_faces", crop)
    box = widgets.combinations(faces, _Pairs())
    columns, (upload, told), view = (
        box.children[0].children,
        box.children[2].children,
        box.children[3],
    )
    before = _levels(view)
    upload.value = (_sent("me.png", path.read_bytes()),)
    assert asked == [(64, "book64", "largest", "me.png")]
    assert told.value == "me.png is face 3"
    assert (columns[0].value, columns[0].max) == (3, 3)
    assert (_levels(view) != before).any()
    upload.value = (_sent("<b>.png", b"no picture"),)
    assert "&lt;b&gt;.png is not a picture that can be read" in told.value
    assert columns[0].max == 3


# --- identity and all else -----------------------------------------------------------------------


def test_identity_and_attributes_follow_their_sliders(random):
    torch.manual_seed(0)
    model = Disentangler(TINY)
    for part in model.modules():
        if isinstance(part, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
    for part in model.parts["spread"].values():
        part.statistics.running_var.fill_(4)
    ways = {
        name: Direction(name, branch, torch.eye(16)[k])
        for k, (name, branch) in enumerate([("Smiling", "p"), ("Male", "t")])
    }
    faces = torch.rand(3, 3, 64, 64, generator=random) * 2 - 1
    box = widgets.disentangled(faces, model, ways)
    (first, second), share, smiling, male, view = box.children[0].children, *box.children[1:]
    assert (first.max, first.value, second.value, smiling.description) == (2, 0, 1, "Smiling")
    assert (smiling.min, smiling.max, male.min, male.max) == (-1, 1, -1, 1)

    def shows(picture):
        wanted = images.to_uint8(picture)[0].numpy().astype(int)
        return np.abs(_levels(view) - wanted).max() <= 1  # rounding, where a batch is another

    assert shows(model(faces[:1]))
    share.value = 1
    assert shows(model.swap(faces[1:2], faces[:1]))
    second.value, share.value = 2, 0.5
    assert shows(editing.interpolated(model, faces[:1], faces[2:], 3)[1:2])
    first.value, share.value, smiling.value, male.value = 1, 0, -1, 0.5
    strengths = {"Smiling": -1, "Male": 0.5}
    assert shows(editing.edited(model, faces[1:2], strengths, ways))
    assert not shows(model(faces[1:2]))
    assert len(widgets.disentangled(faces[:1], model, {}).children) == 3
