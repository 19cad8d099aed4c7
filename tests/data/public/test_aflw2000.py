"""AFLW2000-3D's layout: photographs for testing, with the 68 landmarks of the fitted head."""

import io
import zipfile

import numpy as np
import pytest
import scipy.io

from facelab.data.public import aflw2000
from facelab.errors import DatasetError


@pytest.fixture
def folder(mini, tmp_path):
    """The set, unpacked."""
    small = mini.load(mini.HERE / "mini_w300_lp.py")
    with zipfile.ZipFile(io.BytesIO(small.aflw2000()["AFLW2000-3D.zip"])) as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.mark.parametrize("inner", ["", "AFLW2000"])
def test_each_photograph_is_a_person_of_its_own_and_for_testing(folder, inner):
    found = aflw2000.listing(folder / inner)
    assert found.files == ("image00002.jpg", "image00004.jpg", "image00006.jpg")
    assert found.identity.tolist() == [0, 1, 2]
    assert found.split.tolist() == [2, 2, 2]
    assert found.keep_frame


def test_landmarks_are_those_of_the_head_not_the_21(folder):
    found = aflw2000.listing(folder)
    for row, name in enumerate(found.files):
        arrays = scipy.io.loadmat((found.folder / name).with_suffix(".mat"))
        np.testing.assert_allclose(found.landmarks[row], arrays["pt3d_68"][:2].T - 1, rtol=1e-6)
        np.testing.assert_allclose(found.labels["pose_para"][row], arrays["Pose_Para"][0])


def test_a_missing_fit_is_named(folder):
    (folder / "AFLW2000/image00004.mat").unlink()
    with pytest.raises(DatasetError, match=r"image00004.mat is missing, one of 1 of 3 fits"):
        aflw2000.listing(folder)


def test_another_picture(folder):
    (folder / "AFLW2000/me.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"me.jpg is no picture of AFLW2000: expected image"):
        aflw2000.listing(folder)


def test_another_folder(tmp_path):
    with pytest.raises(DatasetError, match="has no AFLW2000"):
        aflw2000.listing(tmp_path)
    (tmp_path / "AFLW2000").mkdir()
    with pytest.raises(DatasetError, match=r"AFLW2000 has no image00002.jpg"):
        aflw2000.listing(tmp_path)
