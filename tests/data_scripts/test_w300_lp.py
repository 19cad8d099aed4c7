"""300W-LP and AFLW2000-3D from their archives to faces by name, with the labels of their fits."""

import pytest
import torch

from facelab.data.public import aflw2000, table, w300_lp
from facelab.data.shards import Shards
from facelab.data.sources import open_dataset
from facelab.errors import DatasetError
from facelab.recognition.sampling import move_points

BOTH = pytest.mark.parametrize("set_name", ["300w-lp", "aflw2000-3d"])
SHAPES = {
    "landmarks": (68, 2), "label.pose_para": (7,), "label.shape_para": (199,),
    "label.expression_para": (29,), "label.euler_rad": (3,), "label.frame": (2, 3),
}  # fmt: skip


@BOTH
def test_the_packed_labels_are_those_of_the_listing(bench):
    assert bench.run()[0] == 0
    faces = Shards(bench.target)
    listing = table.listing_of(bench.mini.name)(bench.unpack(bench.folder / "mine"))
    for name, shape in SHAPES.items():
        column = faces.column(name)
        assert (column.dtype, column.shape[1:]) == (torch.float32, shape)
        if name.removeprefix("label.") in listing.labels:
            expected = torch.from_numpy(listing.labels[name.removeprefix("label.")])
            torch.testing.assert_close(column, expected, rtol=0, atol=0)
    moved = move_points(torch.from_numpy(listing.landmarks), faces.column("label.frame"))
    torch.testing.assert_close(faces.column("landmarks"), moved)
    assert faces.config()["framing"] == "book64"


@BOTH
def test_the_set_is_found_by_its_name(bench):
    """All of 300W-LP is for training, all of AFLW2000-3D for testing."""
    split = {"300w-lp": "train", "aflw2000-3d": "test"}[bench.mini.name]
    assert bench.run()[0] == 0
    faces = open_dataset(f"{bench.mini.name}:{split}@16")
    assert (len(faces), faces.people) == (bench.mini.pictures, bench.mini.people)
    assert faces.batch([0]).landmarks.shape == (1, 68, 2)
    other = {"train": "test", "test": "train"}[split]
    with pytest.raises(DatasetError, match=f"is in the split {other}; it has: {split}"):
        open_dataset(f"{bench.mini.name}:{other}@16")


def test_the_published_counts_add_up():
    """61,225 pictures of four parts, and as many mirrored."""
    assert 2 * (5207 + 37_676 + 1786 + 16_556) == 122_450
    for described, size_bytes in (
        (w300_lp.W300_LP, 2_828_125_606),
        (aflw2000.AFLW2000, 87_413_900),
    ):
        assert described.files[0].size_bytes == size_bytes
    # 2.63 GiB and 83.36 MiB, as TensorFlow Datasets says.
    assert round(w300_lp.W300_LP.files[0].size_bytes / 2**30, 2) == 2.63
    assert round(aflw2000.AFLW2000.files[0].size_bytes / 2**20, 2) == 83.36
