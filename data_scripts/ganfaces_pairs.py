"""Make pairs of photo-like faces and renders of the heads that were fitted to them.

The photo-like faces are the pre-trained generator's, of the train split and of a seed of their own.
Faces to which no head can be fitted are left out. The result is a .facepack file, built in pieces:
the same command goes on after an interruption, and every block of faces has its SHA-256, which
--verify computes anew. GANFaces' pair discriminator learns from it
(`facelab train ganfaces --data RENDERS+PHOTOS+FILE`).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from facelab.assets import script
from facelab.progress import progress_bar

OUTPUT, COUNT, SEED = Path("pairs.facepack"), 3000, 7


def make(path: Path, count: int, seed: int) -> str:
    """Build the file, or go on building it; return what it holds, in one line."""
    from data_scripts.pair_parts.pairs import Pairs
    from facelab.data.packed import pack

    with progress_bar("pairs", count, "pair") as bar:
        packed = pack(Pairs(count, seed), path, progress=lambda done: bar.update(done - bar.n))
    tried = int(packed.column("label.photo")[-1]) + 1
    errors = (packed.column(f"label.{name}_error").median() for name in ("landmark", "colour"))
    landmarks, colour = map(float, errors)
    return (
        f"{count} pairs, {tried - count} faces left out; median errors: landmarks {landmarks:.4f} "
        f"of their spread, colour {colour:.3f} of a range of 2"
    )


def verify(path: Path, count: int, seed: int) -> None:
    """Raise `DatasetError` unless the file is whole and of these settings."""
    from data_scripts.pair_parts.pairs import Pairs
    from facelab.data.packed import Packed

    Packed(path, config=Pairs(count, seed).config()).verify()


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    parser = script.parser(__doc__, default=OUTPUT)
    parser.add_argument("--count", type=int, default=COUNT, help="pairs; default: %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, help="of the faces; default: %(default)s")
    parser.add_argument("--threads", type=int, help="of the processor; default: all")
    options = parser.parse_args(arguments)

    def act() -> Path:
        if options.threads:
            import torch

            torch.set_num_threads(options.threads)
        if options.verify:
            verify(options.output, options.count, options.seed)
        else:
            print(make(options.output, options.count, options.seed), file=sys.stderr)
        return options.output

    return script.attempt("ganfaces-pairs", act)


if __name__ == "__main__":
    sys.exit(main())
