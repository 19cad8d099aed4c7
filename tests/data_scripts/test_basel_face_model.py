"""The Basel Face Model's script on small files in the real layouts, MATLAB's and HDF5."""

import errno
import json
import os
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from safetensors.numpy import load_file, save_file

from facelab import assets
from facelab.assets import cache
from facelab.errors import AssetError
from facelab.geometry import licensed, model_arrays
from facelab.geometry.model_files import BASEL_LANDMARKS, load_colours, load_model

SCRIPT = Path(__file__).parents[2] / "data_scripts/basel_face_model.py"
# A closed body of 6 vertices and 8 triangles, counter-clockwise from outside.
PLACES = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]) * 100
TRIANGLES = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
)
DEVIATIONS = np.array([40.0, 20.0, 5.0], dtype=np.float32)
VERTICES = len(PLACES)


def components(count: int, seed: int) -> np.ndarray:
    """Orthonormal columns, (3 V, count)."""
    drawn = np.random.default_rng(seed).standard_normal((3 * VERTICES, count))
    return np.linalg.qr(drawn)[0].astype(np.float32)


def basel_2009(**changes) -> dict:
    """The arrays of 01_MorphableModel.mat: micrometres, from 1, clockwise."""
    column = PLACES.reshape(-1, 1).astype(np.float32)
    arrays = {
        "shapeMU": column * 1e3,
        "shapePC": components(3, 0),
        "shapeEV": DEVIATIONS[:, None] * 1e3,
        "texMU": np.full_like(column, 51.0),
        "texPC": components(3, 2),
        "texEV": np.array([[255.0], [51.0], [5.1]], dtype=np.float32),
        "tl": (TRIANGLES[:, [0, 2, 1]] + 1).astype(np.float64),
        "segbin": np.zeros((VERTICES, 4)),
    }
    return {k: v for k, v in (arrays | changes).items() if v is not None}


def basel_2017(changes: dict | None = None) -> dict:
    """The groups of model2017-1_*.h5: millimetres, variances, landmarks as text."""
    landmarks = [
        {"id": name, "coordinates": (PLACES[i % VERTICES] + 0.1).tolist()}
        for i, name in enumerate(BASEL_LANDMARKS.values())
    ]
    found = {"shape/representer/cells": TRIANGLES.T.astype(np.uint32)}
    for i, (group, count) in enumerate((("shape", 3), ("expression", 2), ("color", 3))):
        mean = {"shape": PLACES.ravel(), "expression": np.full(3 * VERTICES, 0.5)}.get(group)
        found[f"{group}/model/mean"] = np.full(3 * VERTICES, 0.2) if mean is None else mean
        found[f"{group}/model/pcaBasis"] = components(count, i)
        found[f"{group}/model/pcaVariance"] = (DEVIATIONS[:count] ** 2).astype(">f4")
    found |= {"metadata/landmarks/json": json.dumps(landmarks), **(changes or {})}
    return {k: v for k, v in found.items() if v is not None}


@pytest.fixture
def mat(tmp_path):
    """Write a file of Basel 2009; return its path."""

    def mat(**changes):
        path = tmp_path / "01_MorphableModel.mat"
        scipy.io.savemat(path, basel_2009(**changes))
        return path

    return mat


@pytest.fixture
def hdf5(tmp_path):
    """Write a file of Basel 2017; return its path."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed; only Basel 2017 needs it")

    def hdf5(changes: dict | None = None):
        path = tmp_path / "model2017-1_face12_nomouth.h5"
        with h5py.File(path, "w") as opened:
            for name, value in basel_2017(changes).items():
                opened[name] = value
        return path

    return hdf5


@pytest.fixture(scope="module")
def script(data_script):
    return data_script("basel_face_model")


@pytest.fixture
def run(script, capsys, monkeypatch, tmp_path):
    """Run the script; return status, output, and what was said or the one line of an error."""
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(licensed.VERTICES, "bfm2009", {VERTICES: "01_MorphableModel.mat"})
    monkeypatch.setitem(licensed.VERTICES, "bfm2017", {VERTICES: "model2017-1_face12_nomouth.h5"})
    monkeypatch.setitem(licensed.COUNTS, "bfm2009", (3, 0))
    monkeypatch.setitem(licensed.COUNTS, "bfm2017", (3, 2))

    def call(name, *arguments, accept=True):
        status = script.main([name, *map(str, arguments), *(["--accept"] if accept else [])])
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if line.startswith(f"{name}: ")]
        return status, captured.out.strip(), lines[-1] if status else captured.err

    return call


def require_same(kept: Path | str, original: Path) -> None:
    """Fail unless a kept model and its colours are those of the original, number by number."""
    ours, theirs = load_model(kept), load_model(original)
    for name in ("mean_mm", "identity_mm", "deviations_mm", "expression_mm", "triangles"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    assert (ours.id, ours.landmarks.tolist()) == (theirs.id, theirs.landmarks.tolist())
    assert torch.equal(load_colours(kept).mean, load_colours(original).mean)
    assert torch.equal(load_colours(kept).components, load_colours(original).components)


@pytest.mark.parametrize("name", ["bfm2009", "bfm2017"])
def test_from_the_reader_s_file_to_the_library(run, request, name, monkeypatch):
    """To the cache, where the library finds it by name, without h5py; the file stays."""
    path = request.getfixturevalue({"bfm2009": "mat", "bfm2017": "hdf5"}[name])()
    before = path.read_bytes()
    status, out, err = run(name, "--from", path)
    assert status == 0, err
    for word in ("licence", "University of Basel", "no copy to anybody", "SHA-256"):
        assert word in err
    assert f"6 vertices, as {path.name} has" in err
    assert Path(out) == model_arrays.kept_path(name)
    assert path.read_bytes() == before
    require_same(name, path)
    require_same(out, path)
    assert run(name, "--verify")[:2] == (0, out)
    assert run(name, "--verify", "--from", path)[0] == 0
    monkeypatch.setitem(sys.modules, "h5py", None)
    model = load_model(name)
    np.testing.assert_allclose(
        model.mean_mm, PLACES + (0.5 if name == "bfm2017" else 0), rtol=1e-6, atol=1e-4
    )
    assert model.triangles.tolist() == TRIANGLES.tolist()
    assert len(model.landmarks) == (15 if name == "bfm2017" else 0)


def test_another_place_and_bit_by_bit(run, mat, tmp_path):
    path, output = mat(), tmp_path / "mine.safetensors"
    assert run("bfm2009", "--from", path, "-o", output)[:2] == (0, str(output))
    require_same(output, path)
    found, header = load_file(output), {"source": assets.read_source(output)}
    assert set(found) == set(basel_2009()) - {"segbin"}
    save_file(found | {"texMU": found["texMU"] + 1}, output, header)
    assert run("bfm2009", "-o", output, "--verify")[0] == 0
    line = run("bfm2009", "-o", output, "--verify", "--from", path)[2]
    assert "texMU differs" in line
    assert "was not made of bfm2017" in run("bfm2017", "-o", output, "--verify")[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shapeMU": None}, "no shapeMU"),
        ({"texEV": None}, "no texEV"),
        ({"shapeMU": basel_2009()["shapeMU"][:-3]}, r"shapePC \(18, 3\)"),
        ({"shapePC": components(3, 0) * 2}, "component of length 2"),
        ({"shapePC": components(2, 0), "shapeEV": DEVIATIONS[:2, None]}, "has 2 components and 0"),
        ({"texMU": np.full((18, 1), np.nan)}, "not finite"),
        ({"tl": TRIANGLES.astype(float)}, "tl from 0 to 5, expected 1 to 6"),
    ],
)
def test_what_does_not_fit(run, mat, tmp_path, changes, message):
    """What was there is kept."""
    output = tmp_path / "x.safetensors"
    output.write_bytes(b"mine")
    status, out, line = run("bfm2009", "--from", mat(**changes), "-o", output)
    assert (status, out) == (2, "")
    assert re.search(message, line), line
    assert output.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"color/model/mean": None}, "no color/model/mean"),
        ({"expression/model/pcaBasis": components(2, 1)[:-3]}, r"\(15, 2\)"),
        ({"shape/representer/cells": TRIANGLES.T + 1}, "from 1 to 6, expected 0 to 5"),
        ({"metadata/landmarks/json": "{"}, "catalogue of landmarks that can't be read"),
    ],
)
def test_what_does_not_fit_in_2017(run, hdf5, changes, message):
    status, _, line = run("bfm2017", "--from", hdf5(changes))
    assert status == 2
    assert re.search(message, line), line
    assert not model_arrays.kept_path("bfm2017").exists()


def test_the_number_of_vertices_tells_the_file(run, mat, hdf5, monkeypatch):
    """Basel 2009 is one file; in the layout of 2017 there are others, and it is said."""
    monkeypatch.setitem(licensed.VERTICES, "bfm2009", {53_490: "01_MorphableModel.mat"})
    monkeypatch.setitem(licensed.VERTICES, "bfm2017", {28_588: "face12"})
    assert "has 6 vertices, bfm2009 has 53,490; ask for it" in run("bfm2009", "--from", mat())[2]
    status, _, err = run("bfm2017", "--from", hdf5())
    assert status == 0
    assert "6 vertices: a file that is not known here, in the layout of bfm2017" in err


def test_one_for_the_other(run, mat, hdf5):
    assert "is of bfm2009, not bfm2017; ask for it at" in run("bfm2017", "--from", mat())[2]
    assert "is of bfm2017, not bfm2009; ask for it at" in run("bfm2009", "--from", hdf5())[2]


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


def test_other_files(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "01_MorphableModel.mat"
    other.write_bytes(pickle.dumps(Payload(), protocol=2))
    assert "is a pickle, which runs code" in run("bfm2009", "--from", other)[2]
    assert not Path("pwned").exists()
    other.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(600))
    assert "save(..., '-v7')" in run("bfm2009", "--from", other)[2]
    other.write_bytes(b"solid ball")
    assert "no morphable model that facelab knows" in run("bfm2009", "--from", other)[2]
    assert "is not a file" in run("bfm2009", "--from", tmp_path / "nowhere.mat")[2]
    assert "can't be fetched: ask for it at https://faces.dmi" in run("bfm2009")[2]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_truncated(run, mat, hdf5, share):
    for name, path in (("bfm2009", mat()), ("bfm2017", hdf5())):
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        status, _, line = run(name, "--from", path)
        assert status == 2
        assert "damaged or cut short" in line or "has no " in line
        assert not model_arrays.kept_path(name).exists()


def test_terms_and_a_dry_run(run, mat):
    path = mat()
    status, out, line = run("bfm2009", "--from", path, accept=False)
    assert (status, out) == (2, "")
    assert "have to be accepted; read them and give --accept" in line
    status, out, err = run("bfm2009", "--from", path, "--dry-run", accept=False)
    assert (status, out) == (0, str(model_arrays.kept_path("bfm2009")))
    assert f"would read {path}: it fits" in err
    assert not Path(out).exists()
    with pytest.raises(AssetError, match=r"python data_scripts/basel_face_model.py bfm2009 --from"):
        load_model("bfm2009")


def test_no_space_is_left(run, mat, monkeypatch):
    path = mat()
    assert run("bfm2009", "--from", path)[0] == 0
    before = model_arrays.kept_path("bfm2009").read_bytes()

    def full(place, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache, "write_beside", full)
        assert "no space is left on the disk" in run("bfm2009", "--from", path)[2]
    assert model_arrays.kept_path("bfm2009").read_bytes() == before
    assert run("bfm2009", "--verify")[0] == 0


def test_a_damaged_file_is_noticed(run, mat):
    assert "is not there; run this without --verify" in run("bfm2009", "--verify")[2]
    path = Path(run("bfm2009", "--from", mat())[1])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "is damaged" in run("bfm2009", "--verify")[2]
    with pytest.raises(AssetError, match="bfm2009 is damaged"):
        load_model("bfm2009")
    assert run("bfm2009", "--from", mat())[0] == 0
    assert run("bfm2009", "--verify")[0] == 0
