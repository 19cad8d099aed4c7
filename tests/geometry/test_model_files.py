"""Basel's and FLAME's files, against small ones in their formats that are written here."""

import json
import math
import pickle
import sys

import numpy as np
import pytest
import scipy.io
import torch
from safetensors.numpy import save_file

from facelab.errors import CheckpointError
from facelab.geometry.model_files import (
    BASEL_LANDMARKS,
    load_bfm2009,
    load_bfm2017,
    load_colours,
    load_flame,
    load_model,
)
from facelab.geometry.morphable import HEAD, anny_head

RINGS = 6
VERTICES = 2 * RINGS * (RINGS - 1) + 2


def mesh() -> tuple[np.ndarray, np.ndarray]:
    """A ball of 100 mm: vertices (V, 3) and triangles from 0, counter-clockwise from outside."""
    around = 2 * RINGS
    north, south = VERTICES - 2, VERTICES - 1
    places, triangles = [], []
    for i in range(1, RINGS):
        for j in range(around):
            polar, turn = math.pi * i / RINGS, math.pi * j / RINGS
            places.append((math.sin(polar) * math.sin(turn), math.cos(polar),
                           math.sin(polar) * math.cos(turn)))  # fmt: skip
            a, b = (i - 1) * around + j, (i - 1) * around + (j + 1) % around
            if i == 1:
                triangles.append((north, a, b))
            if i == RINGS - 1:
                triangles.append((south, b, a))
            else:
                triangles += [(a, a + around, b), (b, a + around, b + around)]
    return 100 * np.array([*places, (0, 1, 0), (0, -1, 0)]), np.array(triangles)


def components(count: int, seed: int = 0) -> np.ndarray:
    """Orthonormal columns (3 V, count)."""
    drawn = np.random.default_rng(seed).standard_normal((3 * VERTICES, count))
    return np.linalg.qr(drawn)[0].astype(np.float32)


PLACES, TRIANGLES = mesh()
DEVIATIONS = np.array([40.0, 20.0, 5.0], dtype=np.float32)
RANDOM = np.random.default_rng(1)


def basel_2009() -> dict:
    """The arrays as MATLAB has them: columns, micrometres, from 1, clockwise."""
    column = PLACES.reshape(-1, 1).astype(np.float32)
    return {
        "shapeMU": column * 1e3,
        "shapePC": components(3),
        "shapeEV": DEVIATIONS[:, None] * 1e3,
        "texMU": np.full_like(column, 51.0),
        "texPC": components(3, seed=2),
        "texEV": np.array([[255.0], [51.0], [5.1]], dtype=np.float32),
        "tl": (TRIANGLES[:, [0, 2, 1]] + 1).astype(np.float64),
        "segbin": np.zeros((VERTICES, 4)),
    }


def flame() -> dict:
    """As converted: metres, from 0; 300 shapes and 100 expressions."""
    shapes = RANDOM.standard_normal((VERTICES, 3, 400)) * 1e-3
    return {
        "v_template": PLACES * 1e-3,
        "shapedirs": shapes,
        "f": TRIANGLES.astype(np.uint32),
    }


def basel_2017() -> dict:
    landmarks = [
        {"id": name, "coordinates": (PLACES[3 * i] + 0.1).tolist()}
        for i, name in enumerate(BASEL_LANDMARKS.values())
    ]
    landmarks.insert(2, {"id": "left.ear.lobule.tip", "coordinates": [0.0, 0, 0]})
    text = json.dumps(landmarks)
    found = {"shape/representer/cells": TRIANGLES.T.astype(np.int32)}
    for i, (group, count) in enumerate((("shape", 3), ("expression", 2), ("color", 3))):
        mean = {"shape": PLACES.ravel(), "expression": np.full(3 * VERTICES, 0.5)}.get(group)
        found[f"{group}/model/mean"] = np.full(3 * VERTICES, 0.2) if mean is None else mean
        found[f"{group}/model/pcaBasis"] = components(count, seed=i)
        found[f"{group}/model/pcaVariance"] = DEVIATIONS[:count] ** 2
        found[f"{group}/model/noiseVariance"] = np.zeros(())
    return found | {"metadata/landmarks/json": text}


@pytest.fixture
def mat(tmp_path):
    """Write a file of Basel 2009 with changes; return its path."""

    def mat(compressed: bool = False, **changes):
        path = tmp_path / "01_MorphableModel.mat"
        arrays = {k: v for k, v in (basel_2009() | changes).items() if v is not None}
        scipy.io.savemat(path, arrays, do_compression=compressed)
        return path

    return mat


@pytest.fixture
def npz(tmp_path):
    """Write a file of FLAME with changes; return its path."""

    def npz(**changes):
        path = tmp_path / "flame.npz"
        np.savez(path, **{k: v for k, v in (flame() | changes).items() if v is not None})
        return path

    return npz


@pytest.fixture
def hdf5(tmp_path):
    """Write a file of Basel 2017 with changes; return its path."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed; only Basel 2017 needs it")

    def hdf5(changes: dict | None = None):
        path = tmp_path / "model2017-1_face12_nomouth.h5"
        with h5py.File(path, "w") as opened:
            for name, value in (basel_2017() | (changes or {})).items():
                if value is not None:
                    opened[name] = value
        return path

    return hdf5


def refusal(load, path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


class TestBasel2009:
    @pytest.mark.parametrize("compressed", [False, True])
    def test_micrometres_become_millimetres(self, mat, compressed):
        model = load_model(mat(compressed))
        assert model.id == "bfm2009"
        np.testing.assert_allclose(model.mean_mm, PLACES, atol=1e-4)
        np.testing.assert_allclose(model.deviations_mm, DEVIATIONS, rtol=1e-6)
        np.testing.assert_array_equal(model.triangles, TRIANGLES)

    def test_a_head_is_the_sum_that_the_paper_has(self, mat):
        model, file = load_bfm2009(mat()), basel_2009()
        weights = np.array([[1.5], [-1.0], [0.3]])
        expected = file["shapeMU"] + file["shapePC"] @ (weights * file["shapeEV"])
        found = model.shape(torch.tensor(weights.T, dtype=torch.float32))[0]
        np.testing.assert_allclose(found.reshape(-1, 1), expected / 1e3, atol=1e-3)

    def test_its_components_are_orthonormal(self, mat):
        basis = load_bfm2009(mat()).identity_basis.flatten(1)
        torch.testing.assert_close(basis @ basis.T, torch.eye(3), rtol=0, atol=1e-5)

    def test_what_it_does_not_have_is_of_length_0(self, mat):
        model = load_bfm2009(mat())
        assert len(model.expression_mm) == len(model.landmarks) == len(model.uv) == 0
        assert model.phenotype(torch.zeros(1, 3)) == {}
        assert "facelab does not ship" in model.notice

    def test_colours(self, mat):
        colours = load_colours(mat())
        assert torch.allclose(colours.mean, torch.tensor(0.2))
        file = basel_2009()
        expected = 51 + file["texPC"] @ (np.array([[0.5], [1.0], [0.0]]) * file["texEV"])
        found = colours.colours(torch.tensor([[0.5, 1.0, 0.0]]))[0]
        np.testing.assert_allclose(found.reshape(-1, 1), expected / 255, atol=1e-5)

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("shapeMU", None, "no shapeMU: it is cut short or of another kind"),
            ("shapeMU", basel_2009()["shapeMU"][:-3], r"shapePC \(186, 3\).*expected \(3 V, 1\)"),
            ("shapePC", components(3)[:-1], r"expected \(3 V, 1\), \(3 V, K\) and \(K, 1\)"),
            ("shapePC", components(3) * 7, "a component of length 7 in shapePC"),
            ("shapeEV", np.ones((4, 1)), r"shapeEV \(4, 1\)"),
            ("shapeEV", np.array([[1.0], [0.0], [1.0]]), "without any spread in shapeEV"),
            ("shapeEV", np.array([[1.0], [np.nan], [1.0]]), "shapeEV that are not finite"),
            ("shapeMU", np.full((186, 1), np.inf), "shapeMU that are not finite"),
            ("tl", basel_2009()["tl"] - 1, "tl from 0 to 61, expected 1 to 62"),
            ("tl", basel_2009()["tl"] + 1, "tl from 2 to 63, expected 1 to 62"),
            ("tl", basel_2009()["tl"][:, :2], r"tl \(120, 2\)"),
            ("tl", basel_2009()["tl"] + 0.5, "tl with fractions"),
            ("tl", "a text", "expected numbers in 2 dimensions"),
        ],
    )
    def test_what_does_not_fit(self, mat, name, value, message):
        path = mat(**{name: value})
        with pytest.raises(CheckpointError, match=message):
            load_model(path)
        refusal(load_bfm2009, path)


class TestFlame:
    def test_metres_become_millimetres(self, npz):
        model = load_model(npz())
        assert model.id == "flame"
        np.testing.assert_allclose(model.mean_mm, PLACES, atol=1e-4)
        np.testing.assert_array_equal(model.triangles, TRIANGLES)
        assert (model.components, len(model.expression_names)) == (300, 100)
        basis = model.identity_basis.flatten(1)
        torch.testing.assert_close(basis.norm(dim=1), torch.ones(300))

    def test_a_head_is_the_sum_that_the_paper_has(self, npz):
        path = npz()
        with np.load(path) as file:
            directions, mean = file["shapedirs"], file["v_template"]
        identity, expression = (RANDOM.standard_normal(n).astype(np.float32) for n in (300, 100))
        expected = mean + directions @ np.concatenate([identity, expression])
        found = load_flame(path).shape(torch.tensor(identity[None]), torch.tensor(expression[None]))
        np.testing.assert_allclose(found[0], expected * 1e3, rtol=1e-4, atol=1e-2)

    def test_safetensors_and_landmarks(self, tmp_path):
        path = tmp_path / "flame.safetensors"
        arrays = {k: np.ascontiguousarray(v) for k, v in flame().items()}
        save_file(arrays | {"landmarks": np.array([3, 1, 4])}, path)
        model = load_model(path)
        assert model.landmarks.tolist() == [3, 1, 4]
        assert model.id == "flame"

    def test_triangles_are_turned_outwards(self, npz):
        model = load_flame(npz(f=TRIANGLES[:, [0, 2, 1]]))
        np.testing.assert_array_equal(model.triangles, TRIANGLES)

    def test_the_official_pickle_is_not_run(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (exec, ("raise SystemExit('unpickled')",))

        for protocol, name in ((2, "generic_model.pkl"), (4, "flame.npz"), (0, "x.pkl")):
            path = tmp_path / name
            path.write_bytes(pickle.dumps(Trap(), protocol=protocol))
            text = refusal(load_model, path)
            assert "is a pickle, which runs code" in text
            assert "run: python data_scripts/flame.py --from FILE" in text
        path = tmp_path / "objects.npz"
        np.savez(path, **(flame() | {"f": np.array([Trap()], dtype=object)}))
        assert "pickle inside" in refusal(load_model, path)

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("v_template", None, "no v_template"),
            ("shapedirs", flame()["shapedirs"][:-1], r"shapedirs \(61, 3, 400\)"),
            ("shapedirs", flame()["shapedirs"][..., :300], "300 shapedirs, expected more than"),
            ("shapedirs", np.zeros((VERTICES, 3, 400)), "without any spread in shapedirs"),
            ("v_template", np.full((VERTICES, 3), np.nan), "not finite"),
            ("f", TRIANGLES + 1, "f from 1 to 62, expected 0 to 61"),
            ("f", TRIANGLES[:0], r"f \(0, 3\)"),
            ("f", TRIANGLES.astype(str), "expected numbers in 2 dimensions"),
            ("landmarks", np.array([62]), "landmarks from 62 to 62, expected 0 to 61"),
        ],
    )
    def test_what_does_not_fit(self, npz, name, value, message):
        path = npz(**{name: value})
        with pytest.raises(CheckpointError, match=message):
            load_model(path)


class TestBasel2017:
    def test_shape_and_expression(self, hdf5):
        model, file = load_model(hdf5()), basel_2017()
        assert model.id == "bfm2017"
        np.testing.assert_allclose(model.mean_mm, PLACES + 0.5, atol=1e-4)
        np.testing.assert_array_equal(model.triangles, TRIANGLES)
        assert model.expression_names == ("expression_1", "expression_2")
        moved = model.shape(torch.tensor([[2.0]]), model.expression(expression_2=-1.5))
        expected = file["shape/model/mean"] + 0.5 + 2 * 40 * file["shape/model/pcaBasis"][:, 0]
        expected = expected - 1.5 * 20 * file["expression/model/pcaBasis"][:, 1]
        np.testing.assert_allclose(moved[0].ravel(), expected, atol=1e-3)

    def test_landmarks_are_the_vertices_nearest_to_the_catalogues_places(self, hdf5):
        assert load_bfm2017(hdf5()).landmarks.tolist() == [3 * i for i in range(15)]
        raw = np.frombuffer(basel_2017()["metadata/landmarks/json"].encode(), dtype=np.int8)
        again = load_bfm2017(hdf5({"metadata/landmarks/json": raw}))
        assert again.landmarks.tolist() == [3 * i for i in range(15)]

    @pytest.mark.parametrize("text", [None, "[]"])
    def test_without_a_whole_catalogue_there_are_no_landmarks(self, hdf5, text):
        assert len(load_bfm2017(hdf5({"metadata/landmarks/json": text})).landmarks) == 0

    def test_colours(self, hdf5):
        colours = load_colours(hdf5())
        assert torch.allclose(colours.mean, torch.tensor(0.2))
        assert colours.components.flatten(1).norm(dim=1).tolist() == pytest.approx([40, 20, 5])

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("shape/model/mean", None, "no shape/model/mean"),
            ("shape/model/pcaBasis", components(3)[:-3], r"\(183, 3\)"),
            ("shape/model/pcaVariance", -(DEVIATIONS**2), "without any spread"),
            ("expression/model/mean", np.full(3 * VERTICES, np.nan), "not finite"),
            ("shape/representer/cells", TRIANGLES, r"\(3, 120\), expected \(T, 3\)"),
            ("shape/representer/cells", TRIANGLES.T + 1, "from 1 to 62, expected 0 to 61"),
            ("metadata/landmarks/json", "{", "catalogue of landmarks that can't be read"),
            ("metadata/landmarks/json", "[1]", "catalogue of landmarks that can't be read"),
        ],
    )
    def test_what_does_not_fit(self, hdf5, name, value, message):
        path = hdf5({name: value})
        with pytest.raises(CheckpointError, match=message):
            load_model(path)

    def test_truncated(self, hdf5):
        path = hdf5()
        path.write_bytes(path.read_bytes()[:3000])
        assert "damaged or cut short" in refusal(load_model, path)

    def test_without_h5py_one_line_says_what_to_install(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "h5py", None)
        path = tmp_path / "model2017-1_bfm_nomouth.h5"
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
        assert refusal(load_model, path).endswith("run: pip install h5py")


class TestWrongFiles:
    def test_facelabs_own_head_is_known(self):
        assert load_model(HEAD).id == anny_head().id

    def test_missing_or_a_folder(self, tmp_path):
        for path in (tmp_path, tmp_path / "no.mat"):
            assert "can't be read" in refusal(load_model, path)

    @pytest.mark.parametrize("data", [b"", b"solid ball", bytes(4000), b"{}"])
    def test_something_else(self, tmp_path, data):
        path = tmp_path / "model.mat"
        path.write_bytes(data)
        text = refusal(load_model, path)
        assert "no morphable model that facelab knows; give 01_MorphableModel.mat" in text

    @pytest.mark.parametrize("share", [0.1, 0.3, 0.8])
    def test_truncated(self, mat, npz, share):
        for path in (mat(), mat(True), npz()):
            data = path.read_bytes()
            path.write_bytes(data[: int(len(data) * share)])
            assert "cut short" in refusal(load_model, path)

    def test_truncated_safetensors(self, tmp_path):
        path = tmp_path / "flame.safetensors"
        path.write_bytes(HEAD.read_bytes()[:5000])
        assert "damaged or cut short" in refusal(load_model, path)

    def test_matlab_7_3(self, tmp_path):
        path = tmp_path / "model.mat"
        path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(600))
        assert "save(..., '-v7')" in refusal(load_model, path)

    def test_another_kind_than_the_reader_said(self, mat, npz):
        assert "damaged" in refusal(load_bfm2009, npz())
        assert "the format mat, expected FLAME" in refusal(load_flame, mat())
        assert "no colours, expected a file of Basel" in refusal(load_colours, npz())
