"""Make the training set of idmap from a generator: faces, their latent vectors, E_id's codes.

Nitzan et al. 2020, section 3.2, draw 70,000. The generator is one of the book's by its name, or a
file. The result is a .facepack file, built in pieces: the same command goes on after an
interruption, and every block of faces has its SHA-256, which --verify computes anew. `facelab train
idmap --data FILE` learns from it.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from facelab.assets import script
from facelab.progress import progress_bar

OUTPUT, COUNT = Path("idmap.facepack"), 20_000


def drawn(options: argparse.Namespace):
    """Return the dataset that the options describe."""
    from facelab.data.latents import DrawnFaces
    from facelab.methods.idmap.latent_space import read_generator
    from facelab.recognition.embedder import embedder

    named = options.embedder != "none"
    return DrawnFaces(
        read_generator(options.generator, options.device),
        options.count,
        embedder=embedder(options.embedder, options.device) if named else None,
        framing=options.framing,
        truncation=options.truncation,
        seed=options.seed,
        split=options.split,
    )


def make(options: argparse.Namespace) -> str:
    """Build the file, or go on building it; return what it holds, in one line."""
    from facelab.data.packed import pack

    faces = drawn(options)
    with progress_bar("faces", options.count, "face") as bar:
        pack(faces, options.output, progress=lambda done: bar.update(done - bar.n))
    return f"{options.count:,} faces of {faces.generator.id}, {faces.size} pixels"


def verify(options: argparse.Namespace) -> None:
    """Raise `DatasetError` unless the file is whole and of these settings."""
    from facelab.data.packed import Packed

    Packed(options.output, config=drawn(options).config()).verify()


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    parser = script.parser(__doc__, default=OUTPUT)
    add = parser.add_argument
    add("--generator", default="digiface-dcgan", help="a name or a file; default: %(default)s")
    add("--count", type=int, default=COUNT, help="faces; default: %(default)s")
    add("--truncation", type=float, default=1.0, help="1 is none; default: %(default)s")
    add("--embedder", default="dlib", help='whose codes to store, or "none"; default: %(default)s')
    add("--framing", default="book64", help="the faces' template; default: %(default)s")
    add("--seed", type=int, default=0, help="of the faces; default: %(default)s")
    add("--split", default="train", help="of the seeds; default: %(default)s")
    add("--device", default="cpu", help="default: %(default)s")
    options = parser.parse_args(arguments)

    def act() -> Path:
        if options.verify:
            verify(options)
        else:
            print(make(options), file=sys.stderr)
        return options.output

    return script.attempt("idmap-faces", act)


if __name__ == "__main__":
    sys.exit(main())
