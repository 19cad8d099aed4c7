"""Meshes that the geometry tests share."""

import math

import pytest
import torch


def sphere(rings: int, radius: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A closed sphere of `rings` x 2 `rings` quads, float64, counter-clockwise from outside."""
    polar = torch.linspace(0, math.pi, rings + 1, dtype=torch.float64)[1:-1]
    round_ = torch.arange(2 * rings, dtype=torch.float64) * (math.pi / rings)
    theta, phi = torch.meshgrid(polar, round_, indexing="ij")
    x, y, z = theta.sin() * phi.sin(), theta.cos(), theta.sin() * phi.cos()
    poles = torch.tensor([[0.0, 1, 0], [0, -1, 0]], dtype=torch.float64)
    vertices = torch.cat([torch.stack([x, y, z], -1).flatten(0, 1), poles])
    around, north = 2 * rings, len(vertices) - 2
    triangles = []
    for j in range(around):
        k = (j + 1) % around
        triangles.append((north, j, k))
        triangles.append((north + 1, north - around + k, north - around + j))
        for i in range(rings - 2):
            a, b = i * around + j, i * around + k
            c, d = a + around, b + around
            triangles += [(a, c, b), (b, c, d)]
    return vertices * radius, torch.tensor(triangles)


@pytest.fixture
def ball():
    """A sphere of 100 mm radius with 760 triangles: vertices (382, 3) and triangles."""
    return sphere(20, 100.0)
