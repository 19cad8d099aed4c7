"""Pack the faces of CASIA-WebFace, if you have it.

Yi et al. (2014): 494,414 pictures of 10,575 people, for non-commercial research. Its makers no
longer give it out, so nothing is fetched, and that you may have your copy is yours to know: the
terms are shown and have to be accepted. Give the folder with a folder a person (0000045/001.jpg)
with --from.

The copy that is aligned to 112 x 112 pixels often comes as train.rec and train.idx. Unpack it
first, all of it or nothing; it is read without MXNet:

  python data_scripts/casia_webface.py --unpack ~/faces_webface_112x112 -o ~/casia

What comes out is a folder of packed faces with an index that has the SHA-256 of each file, and a
data card. The labels: identity, split (all are to train with).

Examples:
  python data_scripts/casia_webface.py --from ~/casia --dry-run
  python data_scripts/casia_webface.py --from ~/casia --accept --size 112
  python data_scripts/casia_webface.py --from ~/CASIA-WebFace --accept --framing book64
  python data_scripts/casia_webface.py --size 112 --verify
"""

import argparse
import sys
from pathlib import Path

from facelab.assets import script
from facelab.data.public import preparation
from facelab.progress import progress_bar

NAME = "casia-webface"


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    words = sys.argv[1:] if arguments is None else arguments
    if any(word.split("=")[0] == "--unpack" for word in words):
        return unpack(words)
    return preparation.main(NAME, words, __doc__)


def unpack(words: list[str]) -> int:
    """Unpack train.rec; return 0 with the new folder on standard output, or 2."""
    parser = argparse.ArgumentParser(description="Unpack train.rec to a folder a person.")
    parser.add_argument("--unpack", type=Path, required=True, metavar="DIR")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PICTURES")
    options = parser.parse_args(words)

    def act() -> Path:
        from facelab.data.public import recordio

        source, target = (path.expanduser().absolute() for path in (options.unpack, options.output))
        with recordio.Reader(source) as reader:
            total = len(reader.keys)
        with progress_bar(f"unpacking {recordio.RECORDS}", total, "pictures") as bar:
            return recordio.unpack(source, target, lambda done: bar.update(done - bar.n))

    return script.attempt(NAME, act)


if __name__ == "__main__":
    sys.exit(main())
