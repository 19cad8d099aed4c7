import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from facelab.data.masks import MASKS, attribute_mask
from facelab.errors import ParameterError


def slow_mask(points: np.ndarray, margin: float, size: int) -> np.ndarray:
    """One pixel at a time: inside the hull's edges, or near enough to one."""
    corners = points[ConvexHull(points).vertices]
    mask = np.zeros((size, size), bool)
    for y in range(size):
        for x in range(size):
            near, inside = np.inf, True
            for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                edge, to = b - a, np.array([x, y]) - a
                inside &= edge[0] * to[1] - edge[1] * to[0] >= 0
                share = np.clip(to @ edge / (edge @ edge), 0, 1)
                near = min(near, np.linalg.norm(to - share * edge))
            mask[y, x] = inside or near <= margin
    return mask


@pytest.mark.parametrize("name", ["mouth", "eyeglasses"])
def test_a_mask_is_the_widened_hull(drawn, name):
    points = drawn.landmarks[:2]
    fast = attribute_mask(points, 64, name)[:, 0].bool().numpy()
    for row in range(2):
        all_points = points[row].double().numpy()
        spread = np.sqrt(np.square(all_points - all_points.mean(0)).sum(1).mean())
        chosen = all_points[list(MASKS[name].landmarks)]
        slow = slow_mask(chosen, MASKS[name].margin * spread, 64)
        # Round corners are bounded by 32 lines.
        assert (fast[row] != slow).sum() <= 0.003 * slow.sum()
        assert not (slow & ~fast[row]).any()


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_covers_its_landmarks_and_moves_with_them(drawn, name):
    points = drawn.landmarks
    mask = attribute_mask(points, 64, name)
    x, y = points[:, list(MASKS[name].landmarks)].round().long().clamp(0, 63).unbind(2)
    assert mask[torch.arange(len(x))[:, None], 0, y, x].mean() > 0.99
    assert torch.equal(attribute_mask(points + 3.0, 64, name)[:, :, 3:, 3:], mask[:, :, :-3, :-3])
    twice = attribute_mask((points + 0.5) * 2 - 0.5, 128, name)
    torch.testing.assert_close(twice.sum() / 4, mask.sum(), rtol=0.02, atol=0)


def test_what_is_no_mask(drawn):
    with pytest.raises(ParameterError, match="no mask 'ear'; choose one of: mouth"):
        attribute_mask(drawn.landmarks, 64, "ear")
    with pytest.raises(ParameterError, match="68 landmarks of 300-W, got 5"):
        attribute_mask(drawn.landmarks[:, :5], 64, "mouth")
