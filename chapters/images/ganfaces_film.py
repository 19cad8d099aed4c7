"""Draws the film of a GANFaces training from a run's previews: ganfaces_film.gif and, still, .jpg.

facelab train ganfaces --preview-every 250 --preview-faces 72 ... -o RUN leaves them.
"""

import argparse
from pathlib import Path

import torch

from facelab import figures
from facelab.engine import film
from facelab.methods.ganfaces.training import SHOWN

OUTPUT = Path(__file__).with_suffix("")
SIDE, MOMENTS, STILLS = 64, 24, 8


def main() -> None:
    """Write both beside the outputs and rename them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the training")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    both = film.read(options.run, SIDE, range(2 * SHOWN), MOMENTS)
    moving = options.output.with_suffix(".gif")
    print(film.save(both, moving, SHOWN, seconds=8.0, scale=1))
    stills = film.read(options.run, SIDE, range(2 * SHOWN), STILLS)
    before, after = stills.faces.split(SHOWN, dim=1)
    rows = torch.cat([before[:1], after]).transpose(0, 1).flatten(0, 1)
    figure = figures.face_sheet(rows, columns=1 + len(stills.steps))
    still = options.output.with_suffix(".jpg")
    beside = still.with_name(f".{still.name}")
    figure.savefig(beside, format="jpeg", dpi=120, pil_kwargs={"quality": 90})
    beside.replace(still)
    print(still, "after steps", *stills.steps)


if __name__ == "__main__":
    main()
