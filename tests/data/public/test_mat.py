"""MATLAB files of others: numbers of the expected shapes come out, everything else is refused."""

import io
import zlib

import numpy as np
import pytest
import scipy.io

from facelab.data.public import mat
from facelab.errors import DatasetError

POSE = np.array([[0.1, -0.2, 0.3, 226.0, 220.0, -60.0, 0.001]])
SHAPES = {"Pose_Para": (7,), "pt2d": (2, 68)}


@pytest.fixture
def write(tmp_path):
    """Write arrays into a file; return its path."""

    def write(arrays=None, **changes):
        content = {"Pose_Para": POSE, "pt2d": np.arange(136.0).reshape(2, 68)}
        content = {**content, **(arrays or {}), **changes}
        path = tmp_path / "image.mat"
        scipy.io.savemat(path, {k: v for k, v in content.items() if v is not None})
        return path

    return write


@pytest.mark.parametrize("compressed", [False, True])
def test_the_numbers_come_out(tmp_path, compressed):
    """Rows and columns as vectors, whole numbers as they are; other arrays aren't read."""
    path = tmp_path / "a.mat"
    arrays = {"Pose_Para": POSE, "Exp_Para": POSE.T, "roi": np.array([[1, 2, 3, 4]], np.int16)}
    arrays |= {"name": "AFW", "cell": np.array([[1, "a"]], object)}
    scipy.io.savemat(path, arrays, do_compression=compressed)
    found = mat.read(path, {"Pose_Para": (7,), "Exp_Para": (7,), "roi": (1, None)})
    assert list(found) == ["Pose_Para", "Exp_Para", "roi"]
    np.testing.assert_array_equal(found["Pose_Para"], POSE[0])
    np.testing.assert_array_equal(found["Exp_Para"], POSE[0])
    assert found["roi"].tolist() == [[1, 2, 3, 4]]
    assert found["roi"].dtype == np.int16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Pose_Para": None}, "no Pose_Para, expected one of shape 7"),
        ({"Pose_Para": POSE[:, :6]}, "Pose_Para of shape 1 x 6, expected 7"),
        ({"Pose_Para": np.ones((7, 7))}, "Pose_Para of shape 7 x 7, expected 7"),
        ({"pt2d": np.zeros((68, 2))}, "pt2d of shape 68 x 2, expected 2 x 68"),
        ({"pt2d": "text"}, "pt2d of the kind char, expected numbers"),
        ({"pt2d": np.array([[1, "a"]], object)}, "pt2d of the kind cell, expected numbers"),
        ({"pt2d": {"x": 1.0}}, "pt2d of the kind struct, expected numbers"),
        ({"pt2d": np.ones((2, 68), bool)}, "pt2d of the kind logical, expected numbers"),
        ({"pt2d": np.full((2, 68), np.nan)}, "a value in pt2d that isn't finite"),
        ({"pt2d": np.ones((2, 68), complex)}, "pt2d of type complex128, expected numbers"),
    ],
)
def test_what_doesn_t_fit_is_named(write, changes, message):
    path = write(**changes)
    with pytest.raises(DatasetError, match=message) as caught:
        mat.read(path, SHAPES)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a header that begins with b''"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n", "MATLAB 7.3"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "MATLAB 7.3"),
        (b"\x80\x04\x95 a pickle", "a header that begins with"),
        (b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x02IM", "a header that begins with"),
    ],
)
def test_other_formats_are_refused(tmp_path, content, message):
    path = tmp_path / "other.mat"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        mat.read(path, SHAPES)


def test_level_4_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "4.mat", {"Pose_Para": POSE}, format="4")
    with pytest.raises(DatasetError, match="a header that begins with"):
        mat.read(tmp_path / "4.mat", {"Pose_Para": (7,)})


def element(kind: int, data: bytes) -> bytes:
    """A data element: type, length, and the data up to a multiple of eight."""
    size = len(data)
    return kind.to_bytes(4, "little") + size.to_bytes(4, "little") + data + bytes(-size % 8)


def test_objects_are_refused_even_unasked_for(write):
    """An object of a MATLAB class beside the numbers: flags 3, a name, the class's name."""
    path = write()
    name, kind = element(1, b"thing"), element(1, b"inline")
    flags, shape = element(6, b"\x03" + bytes(7)), element(5, b"\x01\0\0\0\x01\0\0\0")
    fields = element(5, b"\x08\0\0\0") + element(1, b"")
    thing = element(14, flags + shape + name + kind + fields)
    path.write_bytes(path.read_bytes() + thing)
    with pytest.raises(DatasetError, match="thing of the kind object, expected nothing but arrays"):
        mat.read(path, SHAPES)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_short(write, share):
    path = write()
    data = path.read_bytes()
    path.write_bytes(data[: round(share * len(data))])
    with pytest.raises(DatasetError, match=r"is damaged|has no"):
        mat.read(path, SHAPES)


def test_one_byte_of_a_compressed_file(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"Pose_Para": POSE}, do_compression=True)
    data = bytearray(path.read_bytes())
    data[-3] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DatasetError, match="is damaged"):
        mat.read(path, {"Pose_Para": (7,)})


def test_a_large_file_isn_t_read(write):
    path = write()
    with pytest.raises(DatasetError, match="bytes, expected at most 1,000"):
        mat.read(path, SHAPES, most_bytes=1000)


def test_a_bomb_isn_t_unpacked(tmp_path):
    """Ten kilobytes that become ten megabytes: the shape that they say refuses them."""
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"Pose_Para": np.zeros((1000, 1250))})
    header, body = stream.getvalue()[:128], stream.getvalue()[128:]
    path = tmp_path / "bomb.mat"
    path.write_bytes(header + element(15, zlib.compress(body, 9)).rstrip(b"\0"))
    assert path.stat().st_size < 12_000
    with pytest.raises(DatasetError, match="Pose_Para of shape 1,000 x 1,250, expected 7"):
        mat.read(path, {"Pose_Para": (7,)})


def test_a_missing_file(tmp_path):
    with pytest.raises(DatasetError, match=r"none.mat can't be read \(No such file"):
        mat.read(tmp_path / "none.mat", SHAPES)
