"""300W-LP's layout: who is one person, what the labels are, and each thing that may be missing."""

import io
import zipfile

import numpy as np
import pytest
import scipy.io
import torch

from facelab.data.public import fitted, w300_lp
from facelab.data.public.pictures import Pictures
from facelab.errors import DatasetError
from facelab.geometry.camera import rotation_from_euler
from facelab.recognition.sampling import move_points


@pytest.fixture(scope="module")
def small(mini):
    """The module of the small set."""
    return mini.load(mini.HERE / "mini_w300_lp.py")


@pytest.fixture
def folder(small, tmp_path):
    """The set, unpacked."""
    data = small.w300_lp()["300W-LP.zip"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_the_turns_of_a_face_and_their_mirror_images_are_one_person(folder):
    found = w300_lp.listing(folder)
    assert found.folder == folder / "300W_LP"
    assert found.files[:4] == tuple(
        f"AFW{part}/AFW_134212_1_{turn}.jpg" for part in ("", "_Flip") for turn in (0, 1)
    )
    assert found.identity.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert found.split.tolist() == [0] * 10


def test_two_faces_of_one_photograph_are_two_people(folder):
    for part in ("AFW", "AFW_Flip"):
        for ending in ("jpg", "mat"):
            place = folder / "300W_LP" / part
            (place / f"AFW_134212_1_1.{ending}").rename(place / f"AFW_134212_2_0.{ending}")
    assert w300_lp.listing(folder).identity.tolist() == [0, 1, 0, 1, 2, 2, 3, 3, 4, 4]


def test_the_labels_are_those_of_the_files(folder):
    """As published, in float32; landmarks are one less, as the first pixel is 0 here."""
    found = w300_lp.listing(folder)
    assert {name: value.shape for name, value in found.labels.items()} == {
        "pose_para": (10, 7), "shape_para": (10, 199), "expression_para": (10, 29),
        "euler_rad": (10, 3),
    }  # fmt: skip
    for row, name in enumerate(found.files):
        arrays = scipy.io.loadmat((found.folder / name).with_suffix(".mat"))
        for label, array in (("pose", "Pose"), ("shape", "Shape"), ("expression", "Exp")):
            value = found.labels[f"{label}_para"][row]
            assert value.dtype == np.float32
            np.testing.assert_allclose(value, arrays[f"{array}_Para"].ravel(), rtol=1e-6)
        np.testing.assert_allclose(found.landmarks[row], arrays["pt2d"].T - 1, rtol=1e-6)


def test_a_batch_has_68_landmarks_and_the_frame(folder):
    listing = w300_lp.listing(folder)
    batch = Pictures("300w-lp", listing, 32, "book64").batch([0, 5])
    assert batch.landmarks.shape == (2, 68, 2)
    moved = move_points(torch.from_numpy(listing.landmarks[[0, 5]]), batch.labels["frame"])
    torch.testing.assert_close(batch.landmarks, moved)
    # The eyes of a face that looks ahead, almost, lie where book64 has them: 29 of 64 down.
    eyes = batch.landmarks[:, 36:48].mean(1)
    torch.testing.assert_close(eyes[:, 1], torch.full((2,), 29.5 / 2 - 0.5), rtol=0, atol=0.5)


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        ((0.3, 0.0, 0.0), (0.0, 0.3, 0.0)),
        ((0.0, 0.3, 0.0), (-0.3, 0.0, 0.0)),
        ((0.0, 0.0, 0.3), (0.0, 0.0, -0.3)),
    ],
)
def test_single_angles(angles, expected):
    """Pitch is the same; yaw and roll are the other way about than facelab's."""
    pose = torch.tensor([[*angles, 0.0, 0.0, 0.0, 1.0]])
    torch.testing.assert_close(fitted.euler_rad(pose), torch.tensor([expected]))


def test_the_angles_make_the_same_turn():
    random = torch.Generator().manual_seed(0)
    pose = torch.rand(50, 7, generator=random) * 2 - 1
    turns = fitted.rotation(pose)
    again = rotation_from_euler(*fitted.euler_rad(pose).unbind(1))
    torch.testing.assert_close(again, turns, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(50))


def test_a_turn_by_hand():
    """A quarter turn of yaw, then one of pitch: the nose, z, goes to the left and stays there."""
    pose = torch.tensor([[torch.pi / 2, torch.pi / 2, 0.0, 0.0, 0.0, 0.0, 1.0]])
    nose, crown = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0])
    turned = fitted.rotation(pose)[0]
    torch.testing.assert_close(turned @ nose, torch.tensor([-1.0, 0, 0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(turned @ crown, torch.tensor([0.0, 0, -1]), rtol=0, atol=1e-6)


def test_points_come_to_lie_where_the_published_code_draws_them():
    """f R S + t with y upwards, then 451 - y, and one less: by hand in float64."""
    random = torch.Generator().manual_seed(1)
    pose = torch.tensor([[0.2, -0.4, 0.1, 230.0, 215.0, -40.0, 0.0012]])
    points_um = torch.randn(1, 20, 3, generator=random) * 5e4
    frame = torch.tensor([[[0.3, -0.1, 4.0], [0.1, 0.3, -7.0]]])
    turned = points_um / 1000 @ fitted.rotation(pose).mT
    found, depth = fitted.camera(pose, frame).project(turned)
    numbers = pose[0].double()
    x, y = (
        (0.0012 * points_um[0].double() @ fitted.rotation(pose.double())[0, i] + numbers[3 + i])
        for i in (0, 1)
    )
    in_file = torch.stack([x - 1, (451 - y) - 1], dim=1).float()
    torch.testing.assert_close(found, move_points(in_file[None], frame), rtol=0, atol=1e-3)
    # What is nearer to the viewer, along z, is less deep.
    torch.testing.assert_close(depth, 1000 - turned[..., 2])


@pytest.mark.parametrize("part", ["HELEN", "LFPW_Flip"])
def test_a_missing_part_is_named(folder, part):
    (folder / "300W_LP" / part).rename(folder / "elsewhere")
    with pytest.raises(DatasetError, match=f"300W_LP has no {part}; unpack"):
        w300_lp.listing(folder)


def test_missing_fits_are_counted(folder):
    for name in ("AFW_134212_1_0", "AFW_134212_1_1"):
        (folder / f"300W_LP/AFW_Flip/{name}.mat").unlink()
    with pytest.raises(DatasetError, match=r"1_0.mat is missing, one of 2 of 10 fits"):
        w300_lp.listing(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pt2d": np.zeros((2, 21))}, "IBUG_image_003_1_4.mat has pt2d of shape 2 x 21"),
        ({"Shape_Para": np.zeros((80, 1))}, "Shape_Para of shape 80 x 1, expected 199"),
        ({"Pose_Para": np.zeros((1, 7))}, r"has the scale 0.0, expected one above 0; delete it"),
        ({"Exp_Para": np.full((29, 1), np.inf)}, "a value in Exp_Para that isn't finite"),
    ],
)
def test_a_fit_that_isn_t_one(folder, small, changes, message):
    path = folder / "300W_LP/IBUG/IBUG_image_003_1_4.mat"
    arrays = small.fit(1) | {"pt2d": small.landmarks(1).T} | changes
    path.write_bytes(small.matlab(arrays))
    with pytest.raises(DatasetError, match=message):
        w300_lp.listing(folder)


def test_another_picture_is_no_picture_of_the_set(folder):
    (folder / "300W_LP/AFW/holiday.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"holiday.jpg is no picture of 300W-LP"):
        w300_lp.listing(folder)


def test_another_folder(tmp_path):
    with pytest.raises(DatasetError, match="has no AFW"):
        w300_lp.listing(tmp_path)
