"""The reader of dlib's four forms, against bytes written out by hand."""

import math
import struct

import pytest
import torch

from facelab.errors import CheckpointError
from facelab.recognition.dlib_file import DlibFile


@pytest.fixture
def opened(tmp_path):
    """Return a function that writes bytes to a file and opens it."""

    def opened(data: bytes) -> DlibFile:
        path = tmp_path / "some.dat"
        path.write_bytes(data)
        return DlibFile(path, holds="a network", remedy="fetch it again")

    return opened


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x01\x00", 0),
        (b"\x01\x96", 150),
        (b"\x02\x80\x12", 4736),
        (b"\x81\x1c", -28),
        (b"\x08" + b"\xff" * 8, 2**64 - 1),
    ],
)
def test_integers(opened, data, value):
    assert opened(data).integer("a number") == value


@pytest.mark.parametrize("control", [0x00, 0x09, 0x0F, 0x11, 0x41, 0xF1])
def test_a_byte_that_starts_no_integer_is_refused(opened, control):
    with pytest.raises(CheckpointError, match=f"at byte 0 of 9 expected a number.*{control:#04x}"):
        opened(bytes([control]) + bytes(8)).integer("a number")


@pytest.mark.parametrize("value", [0.6, 0.04, -1.0, 122.782, 2.0**-140])
def test_reals(opened, value):
    """Written as dlib does it: a mantissa of 24 bits and an exponent."""
    fraction, exponent = math.frexp(value)
    data = b"".join(_integer(n) for n in (int(fraction * 2**24), exponent - 24))
    assert opened(data).real("a real") == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("exponent", [32000, 32001, 32002, 16384, -32000])
def test_a_real_that_is_not_finite_is_refused(opened, exponent):
    with pytest.raises(CheckpointError, match="a real"):
        opened(_integer(3) + _integer(exponent)).real("a real")


def test_flags_and_text(opened):
    file = opened(b"10\x01\x05con_4")
    assert [file.flag("a flag"), file.flag("a flag")] == [True, False]
    file.text("con_4")
    file.end()


def test_another_text_is_named(opened):
    with pytest.raises(CheckpointError, match=r"expected the text 'con_4', found 'con_5'"):
        opened(b"\x01\x05con_5").text("con_4")


def test_a_text_of_impossible_length_is_not_read(opened):
    with pytest.raises(CheckpointError, match="a text of 18,446,744,073,709,551,615 bytes"):
        opened(b"\x08" + b"\xff" * 8).text("con_4")


def test_a_tensor_is_row_by_row_and_little_endian(opened):
    data = b"".join(map(_integer, (2, 1, 2, 1, 3))) + struct.pack("<6f", *range(6))
    tensor = opened(data).tensor((1, 2, 1, 3), "weights")
    assert torch.equal(tensor, torch.arange(6.0).reshape(1, 2, 1, 3))


def test_a_tensor_of_another_shape_is_refused(opened):
    data = b"".join(map(_integer, (2, 2, 1, 1, 1))) + bytes(8)
    with pytest.raises(CheckpointError, match=r"shape \(1, 2, 1, 1\), found shape \(2, 1, 1, 1\)"):
        opened(data).tensor((1, 2, 1, 1), "weights")


def test_a_tensor_that_is_cut_short_allocates_nothing(opened):
    shape = (2**20, 2**20, 1, 1)
    data = b"".join(map(_integer, (2, *shape)))
    with pytest.raises(CheckpointError, match=r"4,398,046,511,104 bytes.*the end after 0 bytes"):
        opened(data).tensor(shape, "weights")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_tensor_with_values_that_are_not_finite_is_refused(opened, value):
    data = b"".join(map(_integer, (2, 1, 1, 1, 1))) + struct.pack("<f", value)
    with pytest.raises(CheckpointError, match="finite values"):
        opened(data).tensor((1, 1, 1, 1), "weights")


def test_bytes_after_the_end_are_refused(opened):
    with pytest.raises(CheckpointError, match="expected the end of the file, found 3 bytes more"):
        opened(b"abc").end()


def test_a_file_that_can_not_be_read(tmp_path):
    for path in (tmp_path / "missing.dat", tmp_path):
        with pytest.raises(CheckpointError, match=r"can't be read \(.*\); fetch it again"):
            DlibFile(path, holds="a network", remedy="fetch it again")


def _integer(value: int) -> bytes:
    """Write an integer as dlib does."""
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")
