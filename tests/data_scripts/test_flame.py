"""FLAME's script on small pickles in the real layout: read without being run, and kept by name."""

import collections
import errno
import io
import json
import os
import pickle
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from safetensors.numpy import load_file, save_file

from facelab import assets
from facelab.assets import cache, inert_pickle
from facelab.errors import AssetError, CheckpointError
from facelab.geometry import licensed, model_arrays
from facelab.geometry.model_files import load_flame, load_model

SCRIPT = Path(__file__).parents[2] / "data_scripts/flame.py"
RANDOM = np.random.default_rng(0)
# A closed body of 6 vertices and 8 triangles, counter-clockwise from outside.
PLACES = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]) * 0.1
TRIANGLES = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]],
    dtype=np.uint32,
)
SHAPES = RANDOM.standard_normal((6, 3, 400)) * 1e-3


class Ch:
    """As chumpy's, which keeps the numbers that it wraps as its attribute x."""

    def __init__(self, x):
        self.x, self._dirty_vars, self._itr = np.asarray(x, np.float64), {"x"}, None
        self._depends_on_deps, self._make_dense = {}, False


class Select(Ch):
    """As chumpy.reordering's: it has to be computed."""


Ch.__module__, Select.__module__ = "chumpy.ch", "chumpy.reordering"


@pytest.fixture
def chumpy(monkeypatch):
    """The modules that pickling asks for; nobody has them when the file is read."""
    for name, what in (("chumpy", None), ("chumpy.ch", Ch), ("chumpy.reordering", Select)):
        module = types.ModuleType(name)
        if what:
            setattr(module, what.__name__, what)
        monkeypatch.setitem(sys.modules, name, module)
    yield
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        sys.modules.pop(name, None)


def content(**changes) -> dict:
    """What generic_model.pkl holds; only the sizes are smaller."""
    model = {
        "v_template": PLACES,
        "shapedirs": SHAPES,
        "f": TRIANGLES,
        "posedirs": np.zeros((6, 3, 36)),
        "J_regressor": scipy.sparse.csc_matrix(np.eye(5, 6)),
        "weights": np.ones((6, 5)),
        "kintree_table": np.arange(10).reshape(2, 5),
        "J": np.zeros((5, 3)),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
    }
    return {k: v for k, v in (model | changes).items() if v is not None}


@pytest.fixture(scope="module")
def script(data_script):
    return data_script("flame")


@pytest.fixture
def run(script, capsys, monkeypatch, tmp_path):
    """Run the script; return status, output, and what was said or the one line of an error."""
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(licensed.VERTICES, "flame", {6: "generic_model.pkl"})

    def call(*arguments, accept=True):
        status = script.main([*map(str, arguments), *(["--accept"] if accept else [])])
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if line.startswith("flame: ")]
        return status, captured.out.strip(), lines[-1] if status else captured.err

    return call


@pytest.fixture
def pkl(tmp_path):
    """Write a pickle; return its path."""

    def pkl(value: object, protocol: int = 2, name: str = "generic_model.pkl") -> Path:
        path = tmp_path / name
        path.write_bytes(pickle.dumps(value, protocol=protocol))
        return path

    return pkl


def require_flame(path: Path | str) -> None:
    """Fail unless a model is the one above, in millimetres."""
    model = load_model(path)
    np.testing.assert_allclose(model.mean_mm, PLACES * 1e3, rtol=1e-6)
    expected = SHAPES.transpose(2, 0, 1) * 1e3
    np.testing.assert_allclose(model.identity_mm, expected[:300], rtol=1e-5)
    np.testing.assert_allclose(model.expression_mm, expected[300:], rtol=1e-5)
    assert model.triangles.tolist() == TRIANGLES.tolist()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_of_any_protocol(run, pkl, protocol):
    """To the cache, where the library finds it by name; verified; the file stays."""
    path = pkl(content(), protocol)
    before = path.read_bytes()
    status, out, err = run("--from", path)
    assert status == 0, err
    for word in ("licence", "on registration", "no copy to anybody", "Li, Bolkart", "SHA-256"):
        assert word in err
    assert "6 vertices, as generic_model.pkl has" in err
    assert Path(out) == model_arrays.kept_path("flame")
    require_flame("flame")
    require_flame(out)
    assert set(load_file(out)) == {"v_template", "shapedirs", "f"}
    assert run("--verify")[:2] == (0, out)
    assert run("--verify", "--from", path)[0] == 0
    assert path.read_bytes() == before


def test_chumpy_s_arrays_are_numbers(run, pkl, chumpy):
    """Without chumpy, as older versions have v_template and shapedirs."""
    path = pkl(content(v_template=Ch(PLACES), shapedirs=Ch(SHAPES)))
    assert b"chumpy.ch\nCh" in path.read_bytes()
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        del sys.modules[name]
    assert run("--from", path)[0] == 0
    require_flame("flame")
    assert "chumpy.ch" not in sys.modules


def test_what_chumpy_has_to_compute_is_refused(run, pkl, chumpy):
    path = pkl(content(shapedirs=Select(SHAPES)))
    status, _, line = run("--from", path)
    assert status == 2
    assert "has chumpy.reordering.Select, which can't be read unrun, as shapedirs" in line


def test_as_python_2_wrote_it(run, tmp_path):
    """Strings of bytes, and names of modules that are no more; written here by hand."""
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(python_2(content()))
    assert run("--from", path)[0] == 0
    require_flame("flame")


def test_an_array_without_all_of_its_numbers(run, tmp_path):
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(python_2(content(), cut=8))
    line = run("--from", path)[2]
    assert "has numpy.core.multiarray._reconstruct, which can't be read unrun, as v_temp" in line


def python_2(model: dict, cut: int = 0) -> bytes:
    """Return a pickle of protocol 2 as Python 2 and its numpy make it, of three arrays.

    Each has its data, but for the last `cut` bytes.
    """
    out = io.BytesIO(b"\x80\x02}(")
    out.seek(0, io.SEEK_END)
    text = lambda value: b"U" + bytes([len(value)]) + value.encode()  # noqa: E731
    for name in ("v_template", "shapedirs", "f"):
        array = np.asfortranarray(model[name])
        out.write(text(name) + b"cnumpy.core.multiarray\n_reconstruct\n")
        out.write(b"cnumpy\nndarray\nK\x00\x85" + text("b") + b"\x87R(K\x01(")
        out.write(b"".join(b"M" + n.to_bytes(2, "little") for n in array.shape) + b"t")
        out.write(b"cnumpy\ndtype\n" + text(array.dtype.str[1:]) + b"K\x00K\x01\x87R")
        out.write(b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x88")
        data = array.tobytes(order="F")
        data = data[: len(data) - cut]
        out.write(b"T" + len(data).to_bytes(4, "little") + data + b"tb")
    out.write(b"u.")
    return out.getvalue()


def test_without_code_it_is_python_s_own_reading(tmp_path):
    """The same file, by Python: what is written by hand above is what it says."""
    found = pickle.loads(python_2(content()), encoding="latin1")
    for name in ("v_template", "shapedirs", "f"):
        np.testing.assert_array_equal(found[name], content()[name])


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("where", ["whole", "v_template", "unread"])
def test_a_payload_is_never_run(run, pkl, tmp_path, monkeypatch, where, protocol):
    """Beside the arrays it may lie: it stays unread. In place of one it is refused by its name."""
    monkeypatch.chdir(tmp_path)
    value = Payload() if where == "whole" else content(**{where: Payload()})
    status, _, line = run("--from", pkl(value, protocol))
    assert not (tmp_path / "pwned").exists()
    if where == "unread":
        assert status == 0
        require_flame("flame")
        return
    assert status == 2
    assert ("has no such array as v_template" if where == "whole" else "mkdir, which can't") in line
    assert not model_arrays.kept_path("flame").exists()


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_arrays_by_name(run, tmp_path, ending):
    path = tmp_path / f"flame.{ending}"
    arrays = {name: content()[name] for name in ("v_template", "shapedirs", "f")}
    np.savez(path, **arrays) if ending == "npz" else save_file(arrays, path)
    output = tmp_path / "mine.safetensors"
    assert run("--from", path, "-o", output)[:2] == (0, str(output))
    require_flame(output)
    assert json.loads(assets.read_source(output))["model"] == "flame"
    found = load_file(output)
    save_file(
        found | {"shapedirs": found["shapedirs"] + 1e-3},
        output,
        {"source": assets.read_source(output)},
    )
    assert run("-o", output, "--verify")[0] == 0
    assert "shapedirs differs" in run("-o", output, "--verify", "--from", path)[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"v_template": None}, "has no such array as v_template"),
        ({"f": "text"}, "has str, which can't be read unrun, as f"),
        ({"f": np.array(["a"], object)}, "_reconstruct, which can't be read unrun, as f"),
        ({"shapedirs": SHAPES[..., :300]}, "300 shapedirs, expected more than the 300"),
        ({"shapedirs": SHAPES[..., :350]}, "has 300 components and 50 expressions, generic_model"),
        ({"shapedirs": SHAPES[:5]}, r"shapedirs \(5, 3, 400\)"),
        ({"v_template": PLACES * np.nan}, "not finite"),
        ({"f": TRIANGLES + 1}, "f from 1 to 6, expected 0 to 5"),
        ({"v_template": PLACES.astype("c16")}, "as v_template"),
    ],
)
def test_what_does_not_fit(run, pkl, tmp_path, changes, message):
    """What was there is kept."""
    output = tmp_path / "x.safetensors"
    output.write_bytes(b"mine")
    status, out, line = run("--from", pkl(content(**changes)), "-o", output)
    assert (status, out) == (2, "")
    assert re.search(message, line), line
    assert output.read_bytes() == b"mine"


def test_another_number_of_vertices_is_another_model(run, pkl, monkeypatch):
    monkeypatch.setitem(licensed.VERTICES, "flame", {5023: "generic_model.pkl"})
    line = run("--from", pkl(content()))[2]
    assert "has 6 vertices, flame has 5,023; register at https://flame.is.tue.mpg.de/" in line


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_truncated_pickle(run, pkl, share):
    path = pkl(content())
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    line = run("--from", path)[2]
    assert "is damaged, cut short or no pickle" in line
    assert line.count("\n") == 0


def test_other_files(run, tmp_path):
    """Another kind, nothing at all, or a model of Basel's."""
    other = tmp_path / "other"
    other.write_bytes(b"solid ball")
    assert "no morphable model that facelab knows" in run("--from", other)[2]
    assert "is not a file" in run("--from", tmp_path / "nowhere.pkl")[2]
    assert "can't be fetched: register at" in run()[2]
    with pytest.raises(SystemExit):
        run("--url", "https://example.org/generic_model.pkl")
    save_file({"shapeMU": np.zeros((3, 1))}, other)
    assert "is not flame" in run("--from", other)[2]


def test_terms_and_a_dry_run(run, pkl):
    path = pkl(content())
    status, out, line = run("--from", path, accept=False)
    assert (status, out) == (2, "")
    assert "have to be accepted; read them and give --accept" in line
    status, out, err = run("--from", path, "--dry-run", accept=False)
    assert (status, out) == (0, str(model_arrays.kept_path("flame")))
    assert f"would read {path}: it fits" in err
    assert not Path(out).exists()
    with pytest.raises(AssetError, match=r"then run: python data_scripts/flame.py --from FILE"):
        load_model("flame")


def test_no_space_is_left(run, pkl, monkeypatch):
    path = pkl(content())
    assert run("--from", path)[0] == 0
    before = model_arrays.kept_path("flame").read_bytes()

    def full(place, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache, "write_beside", full)
        assert "no space is left on the disk" in run("--from", path)[2]
    assert model_arrays.kept_path("flame").read_bytes() == before
    assert run("--verify")[0] == 0


def test_a_damaged_file_is_noticed(run, pkl):
    path = Path(run("--from", pkl(content()))[1])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "is damaged" in run("--verify")[2]
    with pytest.raises(AssetError, match="flame is damaged"):
        load_model("flame")


# --- the reader of pickles -----------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_values_are_what_python_reads(pkl, protocol):
    shared = [1, -2, 2**40, 10**30, 0.5]
    value = {
        "list": shared, "again": shared, "text": "äß", "bytes": b"\x00\xff" * 300, "none": None,
        "truth": (True, False), "nested": {"t": (1, 2, 3, 4), "e": ()}, 7: "x" * 300,
    }  # fmt: skip
    if protocol < 3:
        del value["bytes"]  # Python 2 has no such type
    found = inert_pickle.read(pkl(value, protocol))
    assert found == value
    assert found["list"] is found["again"]


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["f4", ">f8", "i2", "u1", "?", "<u8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_what_numpy_reads(pkl, protocol, kind, order):
    value = np.asarray((RANDOM.standard_normal((3, 4, 2)) * 9).astype(kind), order=order)
    found = inert_pickle.array(inert_pickle.read(pkl(value, protocol)))
    np.testing.assert_array_equal(found, value)
    assert found.dtype == value.dtype.newbyteorder("=")
    assert found.flags.c_contiguous


def test_objects_are_told_by_name_and_not_made(pkl):
    value = [collections.OrderedDict(a=1), collections.deque([1, 2]), frozenset({1})]
    made, deque, frozen = inert_pickle.read(pkl(value, 4))
    assert (made.kind, deque.kind) == ("collections.OrderedDict", "collections.deque")
    assert frozen == frozenset({1})
    assert inert_pickle.array(made) is None


@pytest.mark.parametrize(
    "program",
    [
        b"", b".", b"N", b"(.", b"\x80\x02u.", b"h\x05.", b"]K\x01s.", b"Na.", b"NNb.",
        b"\x82\x01.", b"J\x01.", b"\xff", b"}(]K\x01u.", b"0.", b"2.", b"1.", b"\x94.", b"K\x01R.",
        b"X\xff\xff\xff\x7fabc.",
    ],
)  # fmt: skip
def test_programs_that_make_no_sense(tmp_path, program):
    path = tmp_path / "x.pkl"
    path.write_bytes(program)
    with pytest.raises(CheckpointError, match="damaged, cut short or no pickle"):
        inert_pickle.read(path)


def test_the_wrapped_array_may_not_wrap_itself(pkl, chumpy):
    one = Ch(PLACES)
    one.x = one
    assert inert_pickle.array(inert_pickle.read(pkl(one))) is None


def test_load_flame_is_unchanged_for_numbers(tmp_path):
    path = tmp_path / "flame.npz"
    np.savez(path, **{name: content()[name] for name in ("v_template", "shapedirs", "f")})
    assert load_flame(path, identity=100).components == 100
