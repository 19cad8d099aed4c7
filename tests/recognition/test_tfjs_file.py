"""TensorFlow.js models: every tensor by its name and in its shape, and nothing that is not."""

import json

import numpy as np
import pytest
import torch

from facelab.errors import CheckpointError
from facelab.recognition.tfjs_file import TfjsFile

SHAPES = {"a/kernel": (2, 3), "limit": (), "axes": (2,), "none": (0, 4)}
HALF = {"dtype": "float16", "original_dtype": "float32"}


def manifest() -> list[dict]:
    return [
        {"name": "a/kernel", "shape": [2, 3], "dtype": "float32", "quantization": HALF},
        {"name": "limit", "shape": [], "dtype": "float32"},
        {"name": "axes", "shape": [2], "dtype": "int32"},
        {"name": "none", "shape": [0, 4], "dtype": "float32"},
    ]


VALUES = np.array([0.5, -1, 2, 3, 65504, 1 / 3], "<f2").tobytes()
VALUES += np.array([6.1], "<f4").tobytes() + np.array([1, -2], "<i4").tobytes()


@pytest.fixture
def written(tmp_path):
    """Write a model; returns its file."""

    def write(weights=None, data=VALUES, **changes) -> TfjsFile:
        group = {"paths": ["tiny.bin"], "weights": weights or manifest()} | changes
        path = tmp_path / "tiny.json"
        path.write_text(json.dumps({"format": "graph-model", "weightsManifest": [group]}))
        (tmp_path / "tiny.bin").write_bytes(data)
        return TfjsFile(path, holds="the tiny network", remedy="fetch it again")

    return write


def message(file: TfjsFile) -> str:
    with pytest.raises(CheckpointError) as caught:
        file.tensors(SHAPES)
    text = str(caught.value)
    assert "\n" not in text
    assert "tiny.json is not the tiny network: expected " in text
    assert text.endswith("; fetch it again")
    return text


def test_tensors_are_read_in_their_order_and_type(written):
    found = written().tensors(SHAPES)
    third = float(np.float16(1 / 3))
    expected = torch.tensor([[0.5, -1, 2], [3, 65504, third]])
    assert torch.equal(found["a/kernel"], expected)
    assert torch.equal(found["limit"], torch.tensor(6.1))
    assert torch.equal(found["axes"], torch.tensor([1, -2], dtype=torch.int32))
    assert found["none"].shape == (0, 4)
    assert set(found) == set(SHAPES)
    found["limit"] += 1  # its own memory, which may be written


@pytest.mark.parametrize("change", [-1, -8, -20, 1, 100])
def test_all_bytes_have_to_be_there_and_no_more(written, change):
    data = VALUES[:change] if change < 0 else VALUES + bytes(change)
    assert f"found {len(data)};" in message(written(data=data))


@pytest.mark.parametrize(
    ("index", "change", "expected"),
    [
        (0, {"shape": [3, 2]}, r"a/kernel of shape (2, 3), found shape (3, 2)"),
        (0, {"shape": [6]}, r"a/kernel of shape (2, 3), found shape (6,)"),
        (0, {"name": "b/kernel"}, "its 4 tensors, found an unknown 'b/kernel'"),
        (1, {"name": "axes"}, "its 4 tensors, found no limit"),
        (
            0,
            {"dtype": "uint8"},
            "a/kernel as float32, float16 or int32, found ('uint8', 'float16')",
        ),
        (0, {"quantization": {"dtype": "uint8", "min": 0, "scale": 1}}, "a/kernel as float32"),
        (2, {"quantization": HALF}, "axes as float32"),
        (0, {"shape": [-2, -3]}, "a name and a shape"),
        (0, {"shape": [2.0, 3.0]}, "a name and a shape"),
        (0, {"shape": [10**30, 10**30]}, "a/kernel of shape"),
        (0, {"name": 3}, "a name and a shape"),
        (0, {"shape": None}, "JSON with a manifest of weights"),
        (0, {"quantization": 7}, "JSON with a manifest of weights"),
    ],
)
def test_another_tensor_is_named(written, index, change, expected):
    weights = manifest()
    weights[index] |= change
    assert expected in message(written(weights))


def test_a_tensor_twice_is_named(written):
    assert "its 4 tensors, found 5, some of them twice" in message(
        written([*manifest(), manifest()[1]], VALUES + VALUES[12:16])
    )


def test_other_files_are_named(written, tmp_path):
    assert "the values in tiny.bin, found paths ['other.bin']" in message(
        written(paths=["other.bin"])
    )
    assert "found paths ['tiny.bin', 'b.bin']" in message(written(paths=["tiny.bin", "b.bin"]))
    file = written()
    (tmp_path / "tiny.bin").unlink()
    with pytest.raises(CheckpointError, match=r"tiny\.bin can't be read .*; fetch it again"):
        file.tensors(SHAPES)
    (tmp_path / "tiny.json").unlink()
    with pytest.raises(CheckpointError, match=r"tiny\.json can't be read .*; fetch it again"):
        file.tensors(SHAPES)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "null", "{}", '{"weightsManifest": []}', '{"weightsManifest": [{}, {}]}',
     '{"weightsManifest": [[]]}', '{"weightsManifest": [{"paths": ["tiny.bin"], "weights": [1]}]}',
     "\x00\xff", "[" * 100_000],
)  # fmt: skip
def test_text_that_is_no_manifest_is_named(written, text):
    file = written()
    file.path.write_text(text, encoding="latin-1")
    assert "JSON with a manifest of weights" in message(file)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_have_to_be_finite(written, value):
    data = np.array([value], "<f2").tobytes() + VALUES[2:]
    assert "finite values in a/kernel, found a NaN or an infinity" in message(written(data=data))
