"""Ways through a latent space."""

import math

import pytest
import torch

from facelab.errors import ParameterError
from facelab.generators import generator
from facelab.generators.generator import interpolate_linear, interpolate_spherical

X, Y = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])


def test_both_ways_begin_and_end_where_they_should(random):
    start, end = torch.randn(2, 5, 7, generator=random)
    for between in (interpolate_linear, interpolate_spherical):
        torch.testing.assert_close(between(start, end, torch.zeros(5)), start)
        torch.testing.assert_close(between(start, end, torch.ones(5)), end)


def test_the_arc_keeps_the_length_and_the_line_does_not():
    third = torch.tensor([1 / 3])
    on_arc = interpolate_spherical(X, Y, third)
    angle = math.pi / 6
    torch.testing.assert_close(on_arc, 3 * torch.tensor([[math.cos(angle), math.sin(angle)]]))
    torch.testing.assert_close(interpolate_linear(X, Y, third), torch.tensor([[2.0, 1.0]]))


def test_parallel_vectors_are_joined_by_a_line():
    middle = interpolate_spherical(X, 2 * X, torch.tensor([0.5]))
    torch.testing.assert_close(middle, 1.5 * X)


def test_opposite_vectors_have_no_arc():
    with pytest.raises(ParameterError, match="opposite directions"):
        interpolate_spherical(X, -X, torch.tensor([0.5]))


def test_rows_have_fractions_of_their_own(random):
    start, end = torch.randn(2, 3, 4, 5, generator=random)
    moved = interpolate_linear(start, end, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(moved[0], start[0])
    torch.testing.assert_close(moved[1], (start[1] + end[1]) / 2)
    torch.testing.assert_close(moved[2], end[2])


def test_a_path_has_both_ends_and_even_steps():
    path = generator.path(X[0], Y[0], 7)
    assert path.shape == (7, 2)
    torch.testing.assert_close(path[[0, -1]], torch.cat([X, Y]))
    steps = path.diff(dim=0).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(6))


def test_truncation_at_its_ends(random):
    w, mean = torch.randn(3, 2, 4, generator=random), torch.randn(4, generator=random)
    torch.testing.assert_close(generator.truncate(w, mean, 1.0), w)
    torch.testing.assert_close(generator.truncate(w, mean, 0.0), mean.expand(3, 2, 4))
    torch.testing.assert_close(generator.truncate(w, mean, 0.5), (w + mean) / 2)


def test_a_scaled_way_keeps_the_direction_and_blends_the_lengths():
    start, end = torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    ways = {
        share: generator.interpolate_scaled(start, end, torch.tensor([share]))[0]
        for share in (0.0, 0.5, 1.0)
    }
    torch.testing.assert_close(ways[0.0], start[0])
    torch.testing.assert_close(ways[1.0], end[0])
    # Half way the straight line is at (2, 1); the length is the mean of 4 and 2.
    torch.testing.assert_close(ways[0.5], torch.tensor([2.0, 1.0]) * 3 / 5**0.5)
