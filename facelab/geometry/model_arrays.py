"""The arrays in files of morphable models, by name: nothing is computed, and nothing is run.

The first bytes of a file, or the names in it, say which model it is. Basel 2009 is MATLAB's format,
Basel 2017 HDF5, FLAME numpy's; what a reader keeps of any of them is safetensors with the same
names, in the cache under the names of `KEPT`. What the arrays mean is told in `model_files.py`.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from facelab import assets
from facelab.assets import cache
from facelab.errors import AssetError, CheckpointError

FLAME_NAMES = ("v_template", "shapedirs", "f", "landmarks")
BASEL_2009_NAMES = ("shapeMU", "shapePC", "shapeEV", "tl", "texMU", "texPC", "texEV")
BASEL_2017_GROUPS = ("shape", "expression", "color")
CATALOGUE = "metadata/landmarks/json"  # of Basel 2017: landmarks by name
CONVERT = (
    "run: python data_scripts/flame.py --from FILE, which reads its numbers and runs nothing of it"
)
KINDS = (
    "01_MorphableModel.mat of Basel 2009, model2017-1_*.h5 of Basel 2017, FLAME as .npz or "
    ".safetensors, or facelab's own head"
)
# What a reader keeps in the cache: name -> the command that does so.
KEPT = {
    "bfm2009": "data_scripts/basel_face_model.py bfm2009",
    "bfm2017": "data_scripts/basel_face_model.py bfm2017",
    "flame": "data_scripts/flame.py",
}


def kept_path(name: str) -> Path:
    """Return where a script keeps a model of `KEPT`, whether or not it is there."""
    return cache.cache_dir() / "derived" / f"{name}.safetensors"


def found(path: str | Path) -> Path:
    """Return the file that a path or a name of `KEPT` stands for."""
    if str(path) not in KEPT or Path(path).exists():
        return Path(path)
    kept = kept_path(str(path))
    if not assets.intact(kept):
        state = "is damaged" if kept.is_file() else "does not come with facelab"
        raise AssetError(
            f"{path} {state}: ask its makers for a licence and their file, then run: python "
            f"{KEPT[str(path)]} --from FILE"
        )
    return kept


def kind_of(path: Path) -> str:
    """Return mat, hdf5, npz or safetensors, as the first bytes say."""
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"{path} can't be read ({reason}); give {KINDS}") from error
    if head.startswith(b"MATLAB 7.3"):
        raise CheckpointError(
            f"{path} is a MATLAB 7.3 file, which is not Basel's own; save it in MATLAB with "
            "save(..., '-v7'), or give the file as it was distributed"
        )
    starts = {b"MATLAB 5.0": "mat", b"\x89HDF\r\n\x1a\n": "hdf5", b"PK\x03\x04": "npz"}
    for start, kind in starts.items():
        if head.startswith(start):
            return kind
    if head[8:9] == b"{":
        return "safetensors"
    # A pickle of protocol 2 or later, or one of Python 2's in text.
    if (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05") or path.suffix in (".pkl", ".p"):
        raise CheckpointError(
            f"{path} is a pickle, which runs code when it is opened, so it never is; {CONVERT}"
        )
    raise CheckpointError(f"{path} is no morphable model that facelab knows; give {KINDS}")


def model_of(path: Path) -> str:
    """Return which of `KEPT` a file is, as its first bytes or its names say: "flame" if neither."""
    kind = kind_of(path)
    if kind == "safetensors":
        telling = {"shapeMU": "mat", "shape/model/mean": "hdf5"}
        kind = telling.get(next(iter(_read_safetensors(path, telling)), ""), kind)
    return {"mat": "bfm2009", "hdf5": "bfm2017"}.get(kind, "flame")


def is_facelabs(path: Path) -> bool:
    """Tell whether a safetensors file is in facelab's own format, by its header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            return "facelab" in (opened.metadata() or {})
    except SafetensorError as error:
        raise _damaged(path, error) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of a file of Basel or FLAME that facelab uses, by their names in it.

    Raises `CheckpointError` when the file can't be read.
    """
    model = model_of(path)
    if model == "flame":
        return read_named(path)
    if model == "bfm2009":
        return read_mat(path, BASEL_2009_NAMES)
    return read_hdf5(path, BASEL_2017_GROUPS)


def _read_safetensors(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as opened:
            there = set(opened.keys())
            return {name: opened.get_tensor(name) for name in names if name in there}
    except (SafetensorError, OSError, TypeError) as error:  # numpy lacks some types of numbers
        raise _damaged(path, error) from error


def read_mat(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of Basel 2009 that have these names and are there."""
    import scipy.io

    if kind_of(path) == "safetensors":
        return _read_safetensors(path, names)
    try:
        with path.open("rb") as stream:
            read = scipy.io.loadmat(stream, variable_names=list(names))
    # The reader meets whatever bytes a damaged file has, so it may raise anything.
    except Exception as error:
        raise _damaged(path, error) from error
    return {name: np.asarray(read[name]) for name in names if name in read}


def read_hdf5(path: Path, groups: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the numbers of some groups, and the landmarks' text, by their paths in the file."""
    leaves = ("model/mean", "model/pcaBasis", "model/pcaVariance", "representer/cells")
    wanted = [f"{group}/{leaf}" for group in groups for leaf in leaves] + [CATALOGUE]
    if kind_of(path) == "safetensors":
        return _read_safetensors(path, wanted)
    try:
        import h5py
    except ImportError as error:
        raise CheckpointError(
            f"reading {path} needs h5py, which is not installed; run: pip install h5py"
        ) from error
    try:
        with h5py.File(path, "r") as opened:
            return {name: np.asarray(opened[name][()]) for name in wanted if name in opened}
    except Exception as error:  # as above
        raise _damaged(path, error) from error


def read_named(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of FLAME that are there."""
    kind = kind_of(path)
    if kind == "safetensors":
        return _read_safetensors(path, FLAME_NAMES)
    if kind != "npz":
        raise CheckpointError(
            f"{path} has the format {kind}, expected FLAME as .npz or .safetensors; {CONVERT}"
        )
    try:
        # A stream of our own: numpy leaves its file open when the zip is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as opened:
            return {name: opened[name] for name in FLAME_NAMES if name in opened}
    except Exception as error:  # as above
        if "allow_pickle" in str(error):
            names = ", ".join(FLAME_NAMES[:3])
            raise CheckpointError(
                f"{path} has a pickle inside, never opened; save {names} alone, as numbers"
            ) from error
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
    return CheckpointError(f"{path} is damaged or cut short ({reason}); fetch it again")
