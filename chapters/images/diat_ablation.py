"""Draw diat_ablation.jpg: the same faces through the T, or T and E, of each variant.

    python chapters/images/diat_ablation.py FILE... --faces TEST.facepack

The files are what `export_weights` writes of the runs that `benchmarks/diat.py` keeps in
runs/bench/diat/runs, T, or T and E; rows come in the order of the arguments, the inputs first. Faces are people of AnnyFaces' test split, chosen by
`evaluation.choose_inputs` as in the record.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

from facelab.data.packed import Packed
from facelab.images import grid, to_uint8
from facelab.methods.diat import checkpoint, evaluation

SIDE_PX = 96


def main() -> None:
    """Read the files and write the sheet beside this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--faces", type=Path, required=True, help="a .facepack of test people"
    )
    parser.add_argument("--columns", type=int, default=10)
    options = parser.parse_args()
    transfers = [checkpoint.load(path) for path in options.files]
    faces = Packed(options.faces)
    chosen = evaluation.choose_inputs(faces, transfers[0].task, options.columns)
    images = faces.batch(chosen).images
    with torch.no_grad():
        rows = [images, *(transfer(images) for transfer in transfers)]
    large = torch.nn.functional.interpolate(
        torch.cat(rows), (SIDE_PX, SIDE_PX), mode="bicubic"
    )
    sheet = to_uint8(grid(large.clamp(-1, 1), options.columns))[0]
    target = Path(__file__).with_suffix(".jpg")
    beside = target.with_name(f".{target.name}.part")
    Image.fromarray(sheet.numpy()).save(beside, format="jpeg", quality=88)
    beside.replace(target)


if __name__ == "__main__":
    main()
