"""What crosses between the judge and a student's process, and what must not."""

import math
import os
import struct
import time

import numpy as np
import pytest
import torch

from facelab.book.exercises import Verdict
from facelab.course import wire
from facelab.course.wire import Closed, Late, WireError, decode, encode

HOSTILE = [
    b"",
    b"Q",
    b"l\xff\xff\xff\xff",  # four thousand million items
    b"u\x00\x00\x00\x01\xff",  # no UTF-8
    b"NN",  # goes on after its end
    b"B",
    b"i\x00\x00\x10\x00" + b"\x01" * 4096,  # a number that takes long to print
    b"d\x00\x00\x00\x01N",  # half a pair
    b"s\x00\x00\x00\x01l\x00\x00\x00\x00",  # a list in a set
    b"l\x00\x00\x00\x01" * 40 + b"N",  # too deep
    b"x\x00\x00\x00\x06object",
    b"a\x00\x00\x00\x01O",
]


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, ..., 0, -1, 255, -(2**70), 1.5, -math.inf, 2 - 3j, "é\n", b"\0\xff"),
        *([], [1, [2, (3,)]], {"a": {1: 2.0}}, {1, 2}, frozenset({"x"}), range(3, 9, 2)),
        *(torch.Size([2, 3]), torch.float16, torch.device("cpu"), np.float32(0.5), np.int64(-3)),
    ],
)
def test_data_crosses_as_it_is(value):
    got = decode(encode(value))
    assert type(got) is type(value)
    assert got == value


def test_subclasses_cross_as_their_base():
    class Loud(str):
        pass

    got = decode(encode([Loud("a"), dict.fromkeys("b")]))
    assert got == ["a", {"b": None}]
    assert type(got[0]) is str
    assert math.isnan(decode(encode(float("nan"))))


@pytest.mark.parametrize("name", wire.TORCH_TYPES)
def test_tensors_of_every_type_cross(name):
    value = torch.tensor([[0, 1, 1], [1, 0, 0]]).to(getattr(torch, name)).T
    for one in (value, value[0, 0], value[:0], value.conj() if value.is_complex() else value):
        got = decode(encode(one))
        assert (got.dtype, got.shape) == (one.dtype, one.shape)
        assert torch.equal(got, one)
        assert not got.requires_grad


def test_the_wish_for_a_gradient_crosses_and_the_graph_does_not():
    x = torch.ones(2, requires_grad=True)
    got = decode(encode((x * 2).view(1, 2)))
    assert got.requires_grad
    assert got.is_leaf
    assert got.tolist() == [[2, 2]]


@pytest.mark.parametrize("name", wire.NUMPY_TYPES)
def test_arrays_of_every_type_cross(name):
    value = np.array([[0, 1, 1], [1, 0, 0]]).astype(name).T
    for one in (
        value,
        value[:0],
        value.astype(value.dtype.newbyteorder(">")),
        np.array(value[0, 1]),
    ):
        got = decode(encode(one))
        assert got.dtype == value.dtype
        assert got.shape == one.shape
        assert np.array_equal(got, one)


def test_odd_truth_values_are_made_proper_ones():
    changed = encode(torch.tensor([True, False]))[:-2] + b"\x07\x00"
    assert decode(changed).view(torch.uint8).tolist() == [1, 0]


def test_generators_cross_to_and_fro_and_draws_advance():
    here, twin = (torch.Generator().manual_seed(5) for _ in "ab")
    torch.randn(7, generator=here), torch.randn(7, generator=twin)
    sent, made = [], []
    first, second = decode(encode([here, here], generators=sent), trusted=True, generators=made)
    assert first is second
    assert (len(sent), len(made)) == (1, 1)
    assert torch.equal(torch.randn(700, generator=first), torch.randn(700, generator=twin))
    wire.advance(here, first.get_state().numpy().tobytes())
    assert torch.equal(torch.rand(9, generator=here), torch.rand(9, generator=twin))


@pytest.mark.parametrize(("left", "drawn"), [(624, 624), (0, 625), (-5, 630), (1, 2**60), (625, 0)])
def test_a_state_that_would_read_beyond_the_generator_is_refused(left, drawn):
    generator = torch.Generator().manual_seed(1)
    state = bytearray(generator.get_state().numpy().tobytes())
    struct.pack_into("=i", state, 8, left)
    struct.pack_into("=Q", state, 16, drawn)
    with pytest.raises(WireError, match="not the state of a generator"):
        wire.advance(generator, bytes(state))
    with pytest.raises(WireError, match="not the state of a generator"):
        wire.advance(generator, b"short")


def test_a_generator_from_a_student_is_refused():
    with pytest.raises(WireError, match="unknown type"):
        decode(encode(torch.Generator()))


def test_functions_cross_with_what_they_refer_to():
    weight = torch.tensor([1.0, 2.0])

    def factorial(n, one=1):
        return one if n < 2 else n * factorial(n - 1)

    def judge(x, *, power=2):
        return (torch.exp(x) @ weight) ** power + math.sqrt(4) + factorial(3)

    got = decode(encode(judge, functions=True), trusted=True)
    assert got is not judge
    assert got(torch.zeros(2)) == judge(torch.zeros(2)) == 17
    assert got.__name__ == "judge"
    sent = decode(encode([math.sqrt, torch.exp, wire.encode, math], functions=True), trusted=True)
    assert sent == [math.sqrt, torch.exp, wire.encode, math]


def test_a_dataclass_of_facelab_crosses_to_the_student():
    verdict = Verdict("right", "passed")
    got = decode(encode(verdict, functions=True), trusted=True)
    assert got == verdict
    with pytest.raises(WireError, match="an object of the class Verdict is no data"):
        encode(verdict)


def test_code_never_crosses_from_the_student():
    with pytest.raises(WireError, match="a function is no data"):
        encode(lambda: 1)
    with pytest.raises(WireError, match="of the class object"):
        encode(object())
    for value in (lambda: 1, math.sqrt, math, np.dtype):
        with pytest.raises(WireError, match="unknown type"):
            decode(encode(value, functions=True))


@pytest.mark.parametrize("data", HOSTILE)
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(WireError):
        decode(data)


def test_a_shape_that_does_not_fit_is_refused():
    data = encode(torch.zeros(2, 3))
    three = encode(3)
    for wrong in (4, -1, 2**31, 2**40):
        with pytest.raises(WireError, match=r"shape|number"):
            decode(data.replace(three, encode(wrong)))
    empty = encode(torch.zeros(0, 3, 5, 7))
    for side in (3, 5, 7):
        empty = empty.replace(encode(side), encode(2**31 - 1))
    with pytest.raises(WireError, match="impossible shape"):
        decode(empty)


def test_what_is_too_large_or_holds_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(WireError, match="holds itself"):
        encode(loop)
    with pytest.raises(WireError, match="larger than 32 MB"):
        encode(torch.zeros(1).expand(2**40))
    with pytest.raises(WireError, match="larger than 32 MB"):
        encode([torch.zeros(2_000_000)] * 5)
    with pytest.raises(WireError, match="more than 1000000 items"):
        encode([0] * 1_000_001)
    with pytest.raises(WireError, match="1024 bytes"):
        encode(10**5000)


def test_messages_cross_a_pipe_and_lateness_and_the_end_are_told():
    source, out = os.pipe()
    os.set_blocking(out, False)
    wire.send(out, b"abc", time.monotonic() + 5)
    assert wire.receive(source, time.monotonic() + 5) == b"abc"
    with pytest.raises(Late):
        wire.receive(source, time.monotonic() + 0.05)
    with pytest.raises(Late):  # nobody reads
        wire.send(out, bytes(10_000_000), time.monotonic() + 0.1)
    os.close(out)
    with pytest.raises(Closed):  # midway in the message
        wire.receive(source, time.monotonic() + 1)
    os.close(source)


def test_an_announced_size_over_the_limit_is_refused():
    source, out = os.pipe()
    os.write(out, struct.pack(">I", 2**31))
    with pytest.raises(WireError, match="too large"):
        wire.receive(source, time.monotonic() + 1)
    os.close(source), os.close(out)
