"""Morphable models that a reader has a licence for: Basel Face Model 2009 and 2017, and FLAME.

facelab ships none of them. What the files hold, and what becomes of it:

Basel 2009   `01_MorphableModel.mat` (MATLAB 5 or 7): shapeMU (3 V, 1) in micrometres, shapePC
             (3 V, K) of unit length, shapeEV (K, 1), which are standard deviations in spite of
             their name, tl (T, 3) from 1 and clockwise; texMU, texPC, texEV likewise, 0 to 255
Basel 2017   `model2017-1_*.h5` (HDF5): for shape, expression and color each model/mean (3 V),
             model/pcaBasis (3 V, K) of unit length and model/pcaVariance (K), in millimetres;
             shape/representer/cells (3, T); metadata/landmarks/json, places with names
FLAME        converted once to .npz or .safetensors: v_template (V, 3) in metres, shapedirs
             (V, 3, 400), 300 of identity and 100 of expression, both times their standard
             deviation, f (T, 3). The official file is a pickle and is never opened here

All three have y up and look along +z, with their origin inside the head; it stays where it is.
Triangles are turned to run counter-clockwise from outside, whichever way a file has them.

`data_scripts/basel_face_model.py` and `data_scripts/flame.py` keep the same arrays as safetensors;
`load_model` finds those by name: "bfm2009", "bfm2017" and "flame".

Paysan et al., A 3D Face Model for Pose and Illumination Invariant Face Recognition (2009); Gerig et
al., Morphable Face Models - An Open Framework (2018); Li et al., Learning a Model of Facial Shape
and Expression from 4D Scans (2017).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import CheckpointError
from facelab.geometry import model_arrays, morphable
from facelab.geometry.morphable import MorphableModel

# Landmarks of 300-W that Basel's catalogue has by name, in their order.
BASEL_LANDMARKS = {
    8: "center.chin.tip",
    30: "center.nose.tip",
    31: "right.nose.wing.tip",
    33: "center.nose.attachement_to_philtrum",
    35: "left.nose.wing.tip",
    36: "right.eye.corner_outer",
    39: "right.eye.corner_inner",
    42: "left.eye.corner_inner",
    45: "left.eye.corner_outer",
    48: "right.lips.corner",
    51: "center.lips.upper.outer",
    54: "left.lips.corner",
    57: "center.lips.lower.outer",
    62: "center.lips.upper.inner",
    66: "center.lips.lower.inner",
}
FLAME_IDENTITY = 300


@dataclass(frozen=True)
class ColourModel:
    """Colours of a morphable model's vertices: a mean and K components, as a picture shows them.

    `mean` (V, 3) is RGB, 0 to 1; `components` (K, V, 3) are times their standard deviations.
    """

    mean: Float[Tensor, "vertices 3"]
    components: Float[Tensor, "components vertices 3"]

    def colours(
        self, coefficients: Float[Tensor, "batch components"]
    ) -> Float[Tensor, "batch vertices 3"]:
        """Return colours (batch, V, 3) for coefficients (batch, K) in standard deviations.

        They may leave [0, 1]; nothing is cut off, so that gradients stay.
        """
        return self.mean + torch.einsum("bk,kvc->bvc", coefficients, self.components)


class _Part(NamedTuple):
    """A mean and components times their standard deviations, and these."""

    mean: Tensor  # (V, 3)
    scaled: Tensor  # (K, V, 3)
    deviations: Tensor  # (K,)


def load_model(path: str | Path) -> MorphableModel:
    """Read a morphable model of any of the four kinds; the content says which it is.

    "bfm2009", "bfm2017" and "flame" are what their scripts keep. Raises `CheckpointError` when a
    file is none of them, damaged, or would have to run code, and `AssetError` when a name's file is
    not there.
    """
    path = model_arrays.found(path)
    if model_arrays.kind_of(path) == "safetensors" and model_arrays.is_facelabs(path):
        return morphable.load(path)
    readers = {"bfm2009": load_bfm2009, "bfm2017": load_bfm2017, "flame": load_flame}
    return readers[model_arrays.model_of(path)](path)


def load_bfm2009(path: str | Path) -> MorphableModel:
    """Read the Basel Face Model 2009: identity alone, without expressions and landmarks.

    Raises `CheckpointError` when the file can't be used.
    """
    path = Path(path)
    arrays = model_arrays.read_mat(path, ("shapeMU", "shapePC", "shapeEV", "tl"))
    shape = _principal(path, arrays, ("shapeMU", "shapePC", "shapeEV"), scale=1e-3)
    triangles = _indices(path, arrays, "tl", len(shape.mean), first=1)
    return _model("bfm2009", "Basel Face Model 2009, University of Basel", shape, triangles)


def load_bfm2017(path: str | Path) -> MorphableModel:
    """Read the Basel Face Model 2017: identity, expressions, and 15 landmarks of `BASEL_LANDMARKS`.

    Its mean is that of the shape and that of the expressions. There are no landmarks when the
    catalogue lacks one of them. Needs h5py. Raises `CheckpointError` when the file can't be used.
    """
    path = Path(path)
    arrays = model_arrays.read_hdf5(path, ("shape", "expression"))
    shape, moved = (_statismo(path, arrays, group) for group in ("shape", "expression"))
    if moved.mean.shape != shape.mean.shape:
        _fail(path, f"expression of {len(moved.mean)} vertices", f"{len(shape.mean)} as in shape")
    cells = "shape/representer/cells"
    turned = {cells: _numbers(path, arrays, cells, 2).T}
    mean = shape.mean + moved.mean
    triangles = _indices(path, turned, cells, len(mean), first=0)
    landmarks = _catalogue(path, arrays.get(model_arrays.CATALOGUE), shape.mean)
    notice = "Basel Face Model 2017, University of Basel"
    return _model("bfm2017", notice, shape._replace(mean=mean), triangles, moved.scaled, landmarks)


def load_flame(path: str | Path, *, identity: int = FLAME_IDENTITY) -> MorphableModel:
    """Read FLAME from an .npz or .safetensors file with v_template, shapedirs and f.

    The first `identity` of shapedirs are of identity, the others of expression. Jaw, neck and eyes
    stay at rest: their joints are not read. An array `landmarks` of vertices is taken if there is
    one. Raises `CheckpointError` when the file can't be used; a pickle is never opened.
    """
    path = Path(path)
    return flame_of(path, model_arrays.read_named(path), identity)


def flame_of(path: Path, arrays: Mapping, identity: int = FLAME_IDENTITY) -> MorphableModel:
    """Return FLAME made of its arrays, as `load_flame` does; `path` is what messages name."""
    mean = _tensor(_numbers(path, arrays, "v_template", 2)) * 1e3
    shapes = _numbers(path, arrays, "shapedirs", 3)
    if mean.shape[1] != 3 or shapes.shape[:2] != tuple(mean.shape):
        _fail(path, f"v_template {tuple(mean.shape)} and shapedirs {shapes.shape}", "(V, 3, ...)")
    if shapes.shape[2] <= identity:
        _fail(path, f"{shapes.shape[2]} shapedirs", f"more than the {identity} of identity")
    scaled = _tensor(shapes.transpose(2, 0, 1)) * 1e3
    deviations = scaled[:identity].flatten(1).norm(dim=1)
    _require_positive(path, "shapedirs", deviations)
    triangles = _indices(path, arrays, "f", len(mean), first=0)
    landmarks = torch.zeros(0, dtype=torch.long)
    if "landmarks" in arrays:
        landmarks = _indices(path, arrays, "landmarks", len(mean), first=0, columns=0)
    part = _Part(mean, scaled[:identity], deviations)
    notice = "FLAME, Max Planck Institute for Intelligent Systems"
    return _model("flame", notice, part, triangles, scaled[identity:], landmarks)


def load_colours(path: str | Path) -> ColourModel:
    """Read the colours that Basel's files have for each vertex.

    Raises `CheckpointError` when the file can't be used or is of another kind.
    """
    path = model_arrays.found(path)
    model = model_arrays.model_of(path)
    if model == "bfm2009":
        names = ("texMU", "texPC", "texEV")
        part = _principal(path, model_arrays.read_mat(path, names), names, scale=1 / 255)
    elif model == "bfm2017":
        part = _statismo(path, model_arrays.read_hdf5(path, ("color",)), "color")
    else:
        _fail(path, "no colours", "a file of Basel 2009 or 2017")
    return ColourModel(part.mean, part.scaled)


def _model(
    name: str,
    notice: str,
    part: _Part,
    triangles: Tensor,
    expression: Tensor | None = None,
    landmarks: Tensor | None = None,
) -> MorphableModel:
    """Put a model together; what these files don't have is of length 0."""
    none = torch.zeros(0, dtype=torch.long)
    moved = part.scaled[:0] if expression is None else expression
    return MorphableModel(
        id=name,
        mean_mm=part.mean,
        identity_mm=part.scaled,
        deviations_mm=part.deviations,
        expression_mm=moved,
        expression_names=tuple(f"expression_{i + 1}" for i in range(len(moved))),
        triangles=_outwards(part.mean, triangles),
        triangle_regions=none,
        region_names=(),
        uv=torch.zeros(0, 2),
        uv_triangles=none.reshape(0, 3),
        landmarks=none if landmarks is None else landmarks,
        phenotype_weights=torch.zeros(0, len(part.deviations) + 1),
        phenotype_names=(),
        variance_kept=float("nan"),
        notice=f"{notice}; the licence is that of the file, which facelab does not ship",
    )


def _outwards(mean: Tensor, triangles: Tensor) -> Tensor:
    """Turn all triangles around when most of their area faces the head's middle."""
    a, b, c = (mean - mean.mean(0))[triangles].unbind(1)
    outside = ((a + b + c) * torch.linalg.cross(b - a, c - a, dim=1)).sum()
    return triangles if outside >= 0 else triangles[:, [0, 2, 1]]


def _fail(path: Path, found: str, expected: str, error: Exception | None = None) -> NoReturn:
    raise CheckpointError(
        f"{path} has {found}, expected {expected}; give the file as its makers distribute it"
    ) from error


def _numbers(path: Path, arrays: Mapping, name: str, dimensions: int) -> np.ndarray:
    """Return an array by its name, if it has numbers, all finite, in so many dimensions."""
    if name not in arrays:
        raise CheckpointError(
            f"{path} has no {name}: it is cut short or of another kind; give the file as its "
            "makers distribute it"
        )
    values = np.asarray(arrays[name])
    if values.dtype.kind not in "fiu" or values.ndim != dimensions:
        _fail(path, f"{name} {values.shape} {values.dtype}", f"numbers in {dimensions} dimensions")
    if not np.isfinite(values).all():
        _fail(path, f"values in {name} that are not finite", "numbers")
    return values


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))


def _statismo(path: Path, arrays: Mapping, group: str) -> _Part:
    """Return one of the models in a file of Basel 2017, whose variances are squares."""
    mean, basis, variance = (f"{group}/model/{n}" for n in ("mean", "pcaBasis", "pcaVariance"))
    spread = _numbers(path, arrays, variance, 1)
    columns = {
        mean: _numbers(path, arrays, mean, 1)[:, None],
        basis: _numbers(path, arrays, basis, 2),
        variance: np.sqrt(spread.clip(min=0))[:, None],
    }
    return _principal(path, columns, (mean, basis, variance), scale=1.0)


def _principal(path: Path, arrays: Mapping, names: tuple[str, str, str], *, scale: float) -> _Part:
    """Return a mean (3 V, 1), components (3 V, K) of unit length and deviations (K, 1), scaled."""
    mean, basis, spread = (_numbers(path, arrays, name, 2) for name in names)
    rows, count = basis.shape
    if rows % 3 or mean.shape != (rows, 1) or spread.shape != (count, 1) or not rows:
        shapes = ", ".join(f"{n} {arrays[n].shape}" for n in names)
        _fail(path, shapes, "(3 V, 1), (3 V, K) and (K, 1)")
    lengths = np.linalg.norm(basis.astype(np.float32), axis=0)
    if np.abs(lengths - 1).max(initial=0) > 0.01:
        _fail(path, f"a component of length {lengths.max():.3g} in {names[1]}", "unit length")
    deviations = _tensor(spread[:, 0]) * scale
    _require_positive(path, names[2], deviations)
    components = _tensor(basis.T).reshape(count, -1, 3)
    middle = _tensor(mean.reshape(-1, 3)) * scale
    return _Part(middle, components * deviations[:, None, None], deviations)


def _require_positive(path: Path, name: str, deviations: Tensor) -> None:
    if not (deviations > 0).all():
        _fail(path, f"a component without any spread in {name}", "positive ones")


def _indices(
    path: Path, arrays: Mapping, name: str, vertices: int, *, first: int, columns: int = 3
) -> Tensor:
    """Return whole numbers that name vertices, (N, 3) or (N,), counted from 0."""
    values = _numbers(path, arrays, name, 2 if columns else 1)
    if (columns and values.shape[1] != columns) or not len(values):
        _fail(path, f"{name} {values.shape}", f"(T, {columns})" if columns else "some")
    if (values != np.round(values)).any():
        _fail(path, f"{name} with fractions", "numbers of vertices")
    low, high = int(values.min()), int(values.max())
    if low < first or high >= vertices + first:
        last = vertices + first - 1
        _fail(path, f"{name} from {low} to {high}", f"{first} to {last}, as there are vertices")
    return torch.from_numpy(values.astype(np.int64) - first)


def _catalogue(path: Path, text: np.ndarray | None, mean: Tensor) -> Tensor:
    """Return the vertices nearest to the places of `BASEL_LANDMARKS`; none unless all are there."""
    none = torch.zeros(0, dtype=torch.long)
    if text is None:
        return none
    raw = text.item() if text.ndim == 0 else text.tobytes()
    try:
        entries = json.loads(raw.rstrip(b"\x00") if isinstance(raw, bytes) else raw)
        places = {entry["id"]: [float(x) for x in entry["coordinates"]] for entry in entries}
    except (ValueError, TypeError, KeyError) as error:
        _fail(path, "a catalogue of landmarks that can't be read", "JSON", error)
    if not set(BASEL_LANDMARKS.values()) <= set(places):
        return none
    wanted = torch.tensor([places[name] for name in BASEL_LANDMARKS.values()])
    return torch.cdist(wanted, mean).argmin(1)
