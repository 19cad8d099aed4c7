"""The Basel Face Model and FLAME as a reader keeps them: licence, what has to be in a file, where.

Their makers give them out on registration, and nobody may pass them on: there is nothing to fetch.
`data_scripts/basel_face_model.py` and `data_scripts/flame.py` take the file that a reader has,
compare its arrays by name and shape with what is known, and keep them as safetensors.

Basel's numbers of vertices: 53,490 and 199 components of 2009 (faces.dmi.unibas.ch/bfm, Details of
the Basel Face Model); those of 2017 and 2019 by file as Bemfool/BFM-tools lists them
(src/bfm_manager.cpp), with 199 components and 100 expressions. FLAME: 5,023 vertices and 400 shapes
in every version that its users describe. We have not had the files in our hands.

FLAME is published as a pickle alone (generic_model.pkl, flame2023.pkl ...), in which older versions
have some arrays as chumpy's `Ch`. There is no release of it that is only numbers, so refusing it
would leave a reader with `pickle.load`. It is read by `assets/inert_pickle.py`, which looks up no
name and calls nothing: what is neither a plain value nor an array stays unread.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facelab import assets
from facelab.assets import inert_pickle
from facelab.data.public.table import PublicSet
from facelab.data.public.weights import Conversion, Weights
from facelab.errors import CheckpointError
from facelab.geometry import model_arrays, model_files
from facelab.geometry.morphable import MorphableModel

SIGNED = (
    "you have the file from its makers, on the licence that you accepted there, which holds: "
    "research, teaching and art that are not commercial, and no copy to anybody"
)
SCANNED = "learned from scans of people; what is fitted to somebody's picture is about them"
BASEL_PAGE = "https://faces.dmi.unibas.ch/bfm/"
DESCRIBED = {
    "bfm2009": PublicSet(
        name="bfm2009",
        title="Basel Face Model 2009",
        what=f"faces of 53,490 vertices with 199 components of shape and of colour; {SCANNED}",
        licence="an agreement with the University of Basel, on registration",
        terms=SIGNED,
        citation="Paysan, Knothe, Amberg, Romdhani and Vetter (2009), A 3D Face Model for Pose and "
        "Illumination Invariant Face Recognition, AVSS",
        homepage=BASEL_PAGE,
        by_hand=f"ask for it at {BASEL_PAGE} and give 01_MorphableModel.mat with --from",
    ),
    "bfm2017": PublicSet(
        name="bfm2017",
        title="Basel Face Model 2017",
        what="faces of 53,149 vertices, or 28,588 cropped, with 199 components of shape, 199 of "
        f"colour and 100 of expression; {SCANNED}",
        licence="an agreement with the University of Basel, on registration",
        terms=SIGNED,
        citation="Gerig, Morel-Forster, Blumer, Egger, Luethi, Schoenborn and Vetter (2018), "
        "Morphable Face Models - An Open Framework, FG",
        homepage=BASEL_PAGE,
        by_hand=f"ask for it at {BASEL_PAGE} and give model2017-1_bfm_nomouth.h5 or "
        "model2017-1_face12_nomouth.h5 with --from",
    ),
    "flame": PublicSet(
        name="flame",
        title="FLAME, faces learned with an articulated model and expressions",
        what="heads of 5,023 vertices with 300 components of shape and 100 of expression; "
        + SCANNED,
        licence="Max Planck Society's model licence, on registration: not commercial; the version "
        "2023 Open is CC BY 4.0",
        terms=f"{SIGNED}; for 2023 Open: name its makers",
        citation="Li, Bolkart, Black, Li and Romero (2017), Learning a Model of Facial Shape and "
        "Expression from 4D Scans, SIGGRAPH Asia",
        homepage="https://flame.is.tue.mpg.de/",
        by_hand="register at https://flame.is.tue.mpg.de/, download a version of the model, unpack "
        "it, and give generic_model.pkl or flame2023.pkl with --from",
    ),
}
# vertices -> the file that has so many
VERTICES = {
    "bfm2009": {53_490: "01_MorphableModel.mat"},
    "bfm2017": {
        53_149: "model2017-1_bfm_nomouth.h5",
        28_588: "model2017-1_face12_nomouth.h5",
        47_439: "model2019_bfm.h5",
    },
    "flame": {5023: "generic_model.pkl"},
}
# components of shape and of expression
COUNTS = {"bfm2009": (199, 0), "bfm2017": (199, 100), "flame": (300, 100)}
PICKLES = (".pkl", ".p", ".pickle")


def weights(name: str) -> Weights:
    """Return how a script makes and checks a model of `DESCRIBED`."""
    return Weights(
        described=DESCRIBED[name],
        place=lambda: model_arrays.kept_path(name),
        convert=lambda path, sha256: convert(path, sha256, name),
        check=lambda path: _require_kept(path, name),
    )


def convert(path: Path, sha256: str, name: str) -> Conversion:
    """Return the arrays of a file as its makers distribute it, once they fit the model.

    Raises `CheckpointError` for another file, another model, or arrays that don't fit each other.
    """
    if name == "flame":
        arrays = _flame_arrays(path)
        model, colours = model_files.flame_of(path, arrays), None
    else:
        arrays = _basel_arrays(path, name)
        model, colours = model_files.load_model(path), model_files.load_colours(path)
    remarks = [_origin(path, model, name), f"SHA-256 {sha256}"]
    if colours is not None and len(colours.mean) != len(model.mean_mm):
        raise CheckpointError(
            f"{path} has colours of {len(colours.mean):,} vertices and a shape of "
            f"{len(model.mean_mm):,}; give the file as its makers distribute it"
        )
    header = json.dumps({"model": name, "made_of": sha256}, sort_keys=True)
    return Conversion({key: _tensor(a) for key, a in arrays.items()}, header, tuple(remarks))


def _basel_arrays(path: Path, name: str) -> Mapping[str, np.ndarray]:
    found = model_arrays.model_of(path)
    if found != name:
        raise CheckpointError(f"{path} is of {found}, not {name}; {DESCRIBED[name].by_hand}")
    return model_arrays.read_arrays(path)


def _flame_arrays(path: Path) -> Mapping[str, np.ndarray]:
    """Return FLAME's arrays from a pickle, which is not run, or from numbers by name."""
    if path.suffix.lower() not in PICKLES and not _starts_as_pickle(path):
        if model_arrays.model_of(path) != "flame":
            raise CheckpointError(f"{path} is not flame; {DESCRIBED['flame'].by_hand}")
        return model_arrays.read_arrays(path)
    content, arrays = inert_pickle.read(path), {}
    for name in model_arrays.FLAME_NAMES[:3]:
        value = inert_pickle.named(content, name)
        found = inert_pickle.array(value)
        if found is None:
            kind = getattr(value, "kind", "") or type(value).__name__
            what = "no such array" if value is None else f"{kind}, which can't be read unrun,"
            raise CheckpointError(
                f"{path} has {what} as {name}; give generic_model.pkl or flame2023.pkl as FLAME's "
                "makers distribute it, or an .npz with v_template, shapedirs and f"
            )
        arrays[name] = found
    return arrays


def _starts_as_pickle(path: Path) -> bool:
    """Tell whether a file begins as pickles of protocol 2 and later do; those before are text."""
    with path.open("rb") as stream:
        head = stream.read(2)
    return head[:1] == b"\x80" and head[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")


def _origin(path: Path, model: MorphableModel, name: str) -> str:
    """Return which of the known files it is. Raises `CheckpointError` when it can be none."""
    vertices = len(model.mean_mm)
    found = (model.components, len(model.expression_mm))
    known = VERTICES[name].get(vertices)
    if known and found != COUNTS[name]:
        raise CheckpointError(
            f"{path} has {found[0]} components and {found[1]} expressions, {known} has "
            f"{COUNTS[name][0]} and {COUNTS[name][1]}; give the file as its makers distribute it"
        )
    if known:
        return f"{vertices:,} vertices, as {known} has"
    numbers = " or ".join(f"{number:,}" for number in VERTICES[name])
    if name != "bfm2017":
        raise CheckpointError(
            f"{path} has {vertices:,} vertices, {name} has {numbers}; {DESCRIBED[name].by_hand}"
        )
    return f"{vertices:,} vertices: a file that is not known here, in the layout of {name}"


def _tensor(values: np.ndarray) -> Tensor:
    """Return an array as safetensors keep it: numbers as they are, text as bytes."""
    if values.dtype.kind in "OSU":
        text = values.item()
        values = np.frombuffer(text.encode() if isinstance(text, str) else bytes(text), np.uint8)
    if values.dtype.kind in "iu" and values.dtype.itemsize > 1:
        values = values.astype(np.int32)  # vertices; torch lacks some unsigned types
    return torch.from_numpy(np.array(values, values.dtype.newbyteorder("="), order="C"))


def _require_kept(path: Path, name: str) -> None:
    """Raise `CheckpointError` unless a file is what `convert` made of this model."""
    source = assets.read_source(path)
    try:
        kept = json.loads(source).get("model")
    except (ValueError, AttributeError):
        kept = None
    if kept != name:
        raise CheckpointError(f"{path} was not made of {name}; make it again")
    model_files.load_model(path)
