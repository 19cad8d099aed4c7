import io

import numpy as np
import PIL.Image
import torch

from facelab import images, widgets
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
