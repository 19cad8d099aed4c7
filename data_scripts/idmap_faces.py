"""Make the training set of idmap from a generator: faces, their latent vectors and E_id's codes.

    python data_scripts/idmap_faces.py --count 20000 -o faces.facepack
    facelab train idmap --preset book --data faces.facepack -o RUN

Source: Nitzan et al. 2020, section 3.2 (there 70,000 faces). The file is built in pieces: a call
that was interrupted or killed goes on when it is made again. Files of other settings are left
alone.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from facelab.data.latents import DrawnFaces
from facelab.data.packed import pack
from facelab.data.seeding import SPLITS
from facelab.errors import UserError
from facelab.methods.idmap.latent_space import read_generator
from facelab.progress import progress_bar
from facelab.recognition.embedder import embedder


def arguments(given: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--generator", default="digiface-dcgan", help="a name or a file")
    parser.add_argument("--count", type=int, default=70_000, help="how many faces")
    parser.add_argument("--truncation", type=float, default=1.0, help="1: none; the authors: 0.7")
    parser.add_argument(
        "--embedder", default="dlib", help='whose codes to store; "none": nobody\'s'
    )
    parser.add_argument("--framing", default="book64", help="the template that the faces lie on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Make the file; return the exit code."""
    chosen = arguments(given)
    try:
        generator = read_generator(chosen.generator, chosen.device)
        known = None if chosen.embedder == "none" else embedder(chosen.embedder, chosen.device)
        faces = DrawnFaces(
            generator,
            chosen.count,
            embedder=known,
            framing=chosen.framing,
            truncation=chosen.truncation,
            seed=chosen.seed,
            split=chosen.split,
        )
        with progress_bar("faces", chosen.count, "face") as bar:
            packed = pack(faces, chosen.output, progress=lambda done: bar.update(done - bar.n))
    except UserError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(f"{chosen.output}: {len(packed):,} faces of {generator.id}, {packed.size} pixels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
