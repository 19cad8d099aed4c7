import io

import numpy as np
import PIL.Image
import torch

from facelab import images, widgets
from facelab.data.sitting import across, sitting
from facelab.generators.dcgan import DCGAN


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
