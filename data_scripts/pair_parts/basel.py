"""The head that was fitted to the pictures of 300W-LP and AFLW2000-3D, from a reader's own files.

It is the Basel Face Model 2009 without some of its vertices, and with expressions of FaceWarehouse.
Two sets of files serve; a folder has all of one (or folders in it, two down). Either the three that
nobody needs MATLAB for,

    01_MorphableModel.mat  the Basel Face Model 2009 (University of Basel, who give it on request):
                           199 components of shape and of colour; see `geometry.model_files`. What
                           data_scripts/basel_face_model.py keeps of it serves too
    model_info.mat         trimIndex (V, 1), which of its vertices are kept; tri (3, T), triangles
                           of these; keypoints (1, 68); all count from 1
    Model_Exp.mat          mu_exp (3 V, 1) and w_exp (3 V, 29), micrometres (elsewhere it is called
                           Model_Expression.mat)

or Model_Exp.mat and what ModelGenerate.m makes of the other two in MATLAB:

    Model_Shape.mat        mu_shape (3 V, 1) and w (3 V, 199), micrometres, mu_tex and w_tex alike,
                           0 to 255, tri and keypoints as above

Model_Exp.mat and model_info.mat come with the sets, in Code/ModelGeneration of their archives.
V is 53,215 and T 105,840 as published. A vertex is at mu_shape + mu_exp + w Shape_Para + w_exp
Exp_Para: the coefficients are not in standard deviations.

Zhu et al. (2015), High-Fidelity Pose and Expression Normalization for Face Recognition in the Wild;
names and shapes as in the MATLAB code of 300W-LP and in generate.m of face3d.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.data.public import mat
from facelab.data.public.pictures import seek
from facelab.errors import DatasetError
from facelab.geometry import model_arrays
from facelab.geometry.model_files import load_bfm2009, load_colours
from facelab.types import Triangles, Vertices

SHAPES, EXPRESSIONS, LANDMARKS = 199, 29, 68
BASEL, INFO, SHAPE = "01_MorphableModel.mat", "model_info.mat", "Model_Shape.mat"
KEPT = "bfm2009"
EXPRESSION = ("Model_Exp.mat", "Model_Expression.mat")
MOST_BYTES = 2 << 30
TOPOLOGY = {"tri": (3, None), "keypoints": (LANDMARKS,)}


class _Shape(NamedTuple):
    """A mean (V, 3) and what a coefficient adds, (K, V, 3): shape in mm and colour, 0 to 255."""

    mean_mm: Tensor
    shape_mm: Tensor
    mean_colour: Tensor
    colour: Tensor


@dataclass(frozen=True)
class Head:
    """The fitted head: what each coefficient adds to its V vertices.

    `mean_mm` (V, 3), x to the head's left, y up, z to where it looks; `shape_mm` (199, V, 3) and
    `expression_mm` (29, V, 3) are millimetres for a coefficient of 1; `mean_colour` (V, 3) and
    `colour` (199, V, 3) RGB, 0 to 255. `triangles` run counter-clockwise from outside; `landmarks`
    are the vertices of 300-W's 68.
    """

    mean_mm: Float[Tensor, "vertices 3"]
    shape_mm: Float[Tensor, "199 vertices 3"]
    expression_mm: Float[Tensor, "29 vertices 3"]
    mean_colour: Float[Tensor, "vertices 3"]
    colour: Float[Tensor, "199 vertices 3"]
    triangles: Triangles
    landmarks: Int[Tensor, "68"]

    def vertices(
        self, shape: Float[Tensor, "batch 199"], expression: Float[Tensor, "batch 29"]
    ) -> Vertices:
        """Return the vertices, (batch, V, 3) in mm, of heads that look ahead."""
        moved = torch.einsum("be,evc->bvc", expression, self.expression_mm)
        return self.mean_mm + torch.einsum("bk,kvc->bvc", shape, self.shape_mm) + moved

    def colours(self, texture: Float[Tensor, "batch 199"]) -> Vertices:
        """Return the colours of vertices, (batch, V, 3), 0 to 255 and some beyond."""
        return self.mean_colour + torch.einsum("bk,kvc->bvc", texture, self.colour)


def files(folder: Path) -> tuple[Path, ...]:
    """Return the files of a reader's model: the shape's first, the expressions' last.

    Raises `DatasetError` with what is missing.
    """
    expression = _found(folder, *EXPRESSION)
    made = _found(folder, SHAPE)
    needed = (made,) if made else (_found(folder, BASEL) or _kept(), _found(folder, INFO))
    if expression is None or None in needed:
        names = [BASEL * (needed[0] is None), INFO * (needed[-1] is None)]
        names.append(EXPRESSION[0] * (expression is None))
        raise DatasetError(
            f"{folder} has no {' and no '.join(filter(None, names))}; the Basel Face Model is the "
            "University of Basel's to give, the others are in Code/ModelGeneration of the set"
        )
    return (*needed, expression)


def _found(folder: Path, *names: str) -> Path | None:
    """Return the first of some files that there is, in the folder or below."""
    for name in names:
        try:
            return seek(folder, name)
        except DatasetError as error:
            if "are both there" in str(error):
                raise
    return None


def _kept() -> Path | None:
    """Return the Basel Face Model that data_scripts/basel_face_model.py keeps, if it does."""
    there = model_arrays.kept_path(KEPT).is_file()
    return model_arrays.found(KEPT) if there else None


def load(folder: Path) -> Head:
    """Read the head from a reader's files.

    Raises `DatasetError` or `CheckpointError`, naming the file, for what is missing or doesn't fit.
    """
    *shape, expression = files(folder)
    part, topology, source = _generated(*shape) if len(shape) == 1 else _trimmed(*shape)
    count = len(part.mean_mm)
    wanted = {"mu_exp": (3 * count, 1), "w_exp": (3 * count, EXPRESSIONS)}
    moved = mat.read(expression, wanted, most_bytes=MOST_BYTES)
    mean = part.mean_mm + _components(moved["mu_exp"])[0] * 1e-3
    triangles = _indices(source, "tri", topology["tri"].T, count)
    return Head(
        mean_mm=mean,
        shape_mm=part.shape_mm,
        expression_mm=_components(moved["w_exp"]) * 1e-3,
        mean_colour=part.mean_colour,
        colour=part.colour,
        triangles=_outwards(mean, triangles),
        landmarks=_indices(source, "keypoints", topology["keypoints"], count),
    )


def _generated(path: Path) -> tuple[_Shape, dict[str, np.ndarray], Path]:
    """Read what ModelGenerate.m made."""
    columns = {"mu_shape": 1, "w": SHAPES, "mu_tex": 1, "w_tex": SHAPES}
    wanted = {name: (None, count) for name, count in columns.items()}
    found = mat.read(path, wanted | TOPOLOGY, most_bytes=MOST_BYTES)
    lengths = {len(found[name]) for name in columns}
    if len(lengths) > 1 or lengths.pop() % 3:
        spelled = ", ".join(f"{name} {found[name].shape}" for name in columns)
        _fail(path, spelled, "as many rows in each, three for a vertex")
    mean, shape, mean_colour, colour = (_components(found[name]) for name in columns)
    return _Shape(mean[0] * 1e-3, shape * 1e-3, mean_colour[0], colour), found, path


def _trimmed(path: Path, info: Path) -> tuple[_Shape, dict[str, np.ndarray], Path]:
    """Read the Basel Face Model and keep the vertices that the head has."""
    model, painted = load_bfm2009(path), load_colours(path)
    found = mat.read(info, {"trimIndex": (None,), **TOPOLOGY}, most_bytes=MOST_BYTES)
    kept = _indices(info, "trimIndex", found["trimIndex"], len(model.mean_mm))
    if not len(model.deviations_mm) == len(painted.components) == SHAPES:
        counts = f"{len(model.deviations_mm)} and {len(painted.components)} components"
        _fail(path, counts, f"{SHAPES} of shape and of colour")
    # Both come times their standard deviations; components themselves are of length 1.
    unit = model.identity_mm[:, kept] / model.deviations_mm[:, None, None]
    lengths = painted.components.flatten(1).norm(dim=1)
    colour = painted.components[:, kept] / lengths[:, None, None]
    mean_colour = painted.mean[kept] * 255
    return _Shape(model.mean_mm[kept], unit * 1e-3, mean_colour, colour), found, info


def _components(columns: np.ndarray) -> Tensor:
    """Return columns (3 V, K) as (K, V, 3)."""
    rows = np.ascontiguousarray(columns.T, dtype=np.float32)
    return torch.from_numpy(rows.reshape(len(rows), -1, 3))


def _indices(path: Path, name: str, values: np.ndarray, vertices: int) -> Tensor:
    """Return numbers of vertices counted from 0. Raises `DatasetError` for others."""
    if (values != np.round(values)).any() or values.min() < 1 or values.max() > vertices:
        ends = f"{name} from {values.min()} to {values.max()}"
        _fail(path, ends, f"whole numbers from 1 to {vertices:,}, as there are vertices")
    return torch.from_numpy(np.ascontiguousarray(values).astype(np.int64) - 1)


def _outwards(mean: Tensor, triangles: Tensor) -> Tensor:
    """Turn all triangles around when most of their area faces the head's middle."""
    a, b, c = (mean - mean.mean(0))[triangles].unbind(1)
    outside = ((a + b + c) * torch.linalg.cross(b - a, c - a, dim=1)).sum()
    return triangles if outside >= 0 else triangles[:, [0, 2, 1]]


def _fail(path: Path, found: str, expected: str) -> NoReturn:
    raise DatasetError(
        f"{path} has {found}, expected {expected}; give the file as its makers distribute it"
    )
