"""Make pairs of photographs and renders of the heads that others fitted to them.

The photographs are those of 300W-LP or AFLW2000-3D, which publish a fitted head for each; the head
is drawn where the photograph has it, by facelab's own rasteriser. This is the paired set that
GANFaces' pair discriminator learns from (`facelab train ganfaces --data RENDERS+PHOTOS+FILE`).

Needed are the set's pictures (data_scripts/w300_lp.py or aflw2000.py with --keep, or a folder that
you unpacked), and in the folder --model the files of the head, which facelab may not ship:

  01_MorphableModel.mat  the Basel Face Model 2009, given by the University of Basel on request
                         (or have it kept by data_scripts/basel_face_model.py)
  model_info.mat         from Code/ModelGeneration of the set's archive
  Model_Exp.mat          likewise; 29 expressions

or Model_Exp.mat and the Model_Shape.mat that ModelGenerate.m of that folder makes.

The result is a .facepack file, built in pieces: the same command goes on after an interruption, and
every block of faces has its SHA-256, which --verify computes anew. Not tried with the real files.

Examples:
  python data_scripts/w300_lp_pairs.py --model ~/basel -o pairs.facepack
  python data_scripts/w300_lp_pairs.py aflw2000-3d --from ~/AFLW2000 --model ~/basel --size 128
  python data_scripts/w300_lp_pairs.py --model ~/basel --count 3000
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from facelab.assets import cache, script
from facelab.errors import DatasetError, ParameterError
from facelab.progress import progress_bar

if TYPE_CHECKING:
    from facelab.data.packed import Packed

NAMES = ("300w-lp", "aflw2000-3d")
OUTPUT, SIZE, FRAMING = Path("w300_lp_pairs.facepack"), 64, "book64"


def make(options: argparse.Namespace) -> str:
    """Build the file, or go on building it; return what it holds, in one line."""
    from data_scripts.pair_parts import basel
    from data_scripts.pair_parts.fitted_pairs import FittedPairs, chosen
    from facelab.data.packed import pack
    from facelab.data.public import table
    from facelab.data.public.pictures import Pictures

    if options.model is None:
        raise ParameterError("the head's files are needed; give their folder with --model")
    model = _folder(options.model)
    sums = {path.name: cache.sha256(path) for path in basel.files(model)}
    head = basel.load(model)
    listing = chosen(table.listing_of(options.name)(_pictures(options)), options.count)
    photos = Pictures(options.name, listing, options.size, options.framing)
    pairs = FittedPairs(photos, head, sums)
    with progress_bar("pairs", len(pairs), "pair") as bar:
        packed = pack(pairs, options.output, progress=lambda done: bar.update(done - bar.n))
    return _summary(packed)


def _pictures(options: argparse.Namespace) -> Path:
    """Return the folder where the set was unpacked."""
    from facelab.data.public import home

    if options.given is not None:
        return _folder(options.given)
    kept = home.sources(options.name)
    if not kept.is_dir():
        raise DatasetError(
            f"the pictures of {options.name} aren't in {kept}; make the set with --keep, or give "
            "the folder where you unpacked it with --from"
        )
    return kept


def _folder(path: Path) -> Path:
    found = path.expanduser().absolute()
    if not found.is_dir():
        raise DatasetError(f"{found} is no folder; give one that there is")
    return found


def _summary(packed: "Packed") -> str:
    error = float(packed.column("label.landmark_error").median())
    return f"{len(packed):,} pairs; median error of landmarks {error:.4f} of their spread"


def verify(path: Path) -> None:
    """Raise `DatasetError` unless the file is whole and holds pairs."""
    from facelab.data.packed import Packed

    packed = Packed(path)
    if "label.render" not in packed.arrays:
        raise DatasetError(f"{path} has no label 'render', so it holds no pairs; make it again")
    packed.verify()


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    parser = script.parser(__doc__, default=OUTPUT)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", choices=NAMES, nargs="?", default=NAMES[0], help="which set")
    parser.add_argument("--from", dest="given", type=Path, metavar="DIR", help="its pictures")
    parser.add_argument("--model", type=Path, metavar="DIR", help="the files of the head")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels; default: %(default)s")
    parser.add_argument("--framing", default=FRAMING, help="default: %(default)s")
    parser.add_argument("--count", type=int, help="pairs, spread over the set; default: all")
    options = parser.parse_args(arguments)

    def act() -> Path:
        if options.verify:
            verify(options.output)
        else:
            print(make(options), file=sys.stderr)
        return options.output

    return script.attempt("w300-lp-pairs", act)


if __name__ == "__main__":
    sys.exit(main())
