"""The film of a training: faces cut out of previews, in order, and written as what moves."""

import io

import numpy as np
import PIL.Image
import pytest
import torch

from facelab import figures, images
from facelab.engine import film, loop
from facelab.engine.settings import Settings
from facelab.engine.watchers import PREVIEWS
from facelab.errors import ParameterError, TrainingError


def level(step: int, face: int) -> torch.Tensor:
    """A face of one level, which says its step and its place."""
    return images.from_uint8(torch.full((6, 6, 3), 10 * face + step, dtype=torch.uint8))


@pytest.fixture
def run(tmp_path):
    """Previews of seven faces of 6 pixels in three columns, at five steps."""
    for step in (0, 1, 2, 3, 8):
        faces = torch.cat([level(step, face) for face in range(7)])
        path = tmp_path / PREVIEWS / f"step-{step:08d}.png"
        images.save_image(images.grid(faces, columns=3), path)
    (tmp_path / PREVIEWS / "notes.txt").write_text("not a preview")
    return tmp_path


def levels(faces):
    whole = ((faces[..., :, :, :] + 1) * 255 / 2).round().int()
    assert (whole == whole[..., :1, :1, :1]).all()  # nothing of a neighbour, nothing of the gap
    return whole[..., 0, 0, 0].tolist()


def test_faces_come_out_as_they_went_in(run):
    found = film.read(run, 6, [4, 0, 6])
    assert found.steps == (0, 1, 2, 3, 8)
    assert levels(found.faces) == [[40 + s, s, 60 + s] for s in (0, 1, 2, 3, 8)]
    assert levels(found.strip) == [10 * f + s for f in (4, 0, 6) for s in (0, 1, 2, 3, 8)]


def test_of_many_moments_the_ends_and_some_between_are_taken(run):
    assert film.read(run, 6, [0], most=3).steps == (0, 2, 8)
    assert film.read(run, 6, [0], most=2).steps == (0, 8)
    assert film.read(run, 6, [0], most=9).steps == (0, 1, 2, 3, 8)
    with pytest.raises(ParameterError, match="1 moments are no film"):
        film.read(run, 6, [0], most=1)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_what_moves_has_every_moment(run, tmp_path, ending):
    found = film.read(run, 6, [0, 1, 2, 3])
    path = film.save(found, tmp_path / "films" / f"one.{ending}", columns=2, scale=3)
    moving = PIL.Image.open(io.BytesIO(path.read_bytes()))
    assert moving.n_frames == 5
    assert moving.size == (42, 42)
    for number in range(5):
        moving.seek(number)
        frame = np.asarray(moving.convert("RGB")).astype(int)
        expected = images.to_uint8(found.frames(2)[number : number + 1])[0].numpy()
        expected = expected.repeat(3, 0).repeat(3, 1).astype(int)
        assert np.abs(frame - expected).max() <= (0 if ending == "webp" else 2)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with pytest.raises(ParameterError, match=r"as one.mp4; give a .gif or .webp"):
        film.save(found, tmp_path / "one.mp4", columns=2)


def test_a_strip_is_drawn_as_a_figure(run):
    found = film.read(run, 6, [0, 1], most=3)
    figure = figures.face_sheet(found.strip, columns=len(found.steps))
    (axes,) = figure.axes
    assert axes.images[0].get_array().shape == (14, 22, 3)


def test_the_loops_previews_are_a_film(toy, tmp_path):
    settings = Settings(steps=3, batch=4, workers=0, preview_every=1, preview_faces=4)
    dataset, method = toy.Noise(), toy.Toy()
    loop.train(method, dataset, settings, tmp_path, progress=False)
    found = film.read(tmp_path, dataset.size, [0])
    assert found.steps == (1, 2, 3)


def test_what_is_no_film_is_named(run, tmp_path):
    with pytest.raises(TrainingError, match="has no previews; train with --preview-every"):
        film.read(tmp_path / "elsewhere", 6, [0])
    with pytest.raises(ParameterError, match="22 x 22 pixels, which is no grid of faces of 8"):
        film.read(run, 8, [0])
    for faces in ([9], [-1], []):
        with pytest.raises(ParameterError, match="has the places 0 to 8"):
            film.read(run, 6, faces)
