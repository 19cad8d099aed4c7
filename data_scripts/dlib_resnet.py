"""Make dlib's face recogniser a safetensors file.

The asset `dlib-resnet` is in dlib's own format. It is fetched and verified (SHA-256), read tensor
by tensor, its frozen normalisations are multiplied into the convolutions, and the result is
written in float32. It loads into `facelab.recognition.dlib_resnet.DlibResNet`. Licence: CC0.
"""

import argparse
import sys
from pathlib import Path

from facelab import assets
from facelab.errors import UserError

NAME = "dlib-resnet"


def convert(path: Path) -> dict:
    """Return `DlibResNet`'s state dictionary; `CheckpointError` if `path` is another network."""
    from facelab.recognition.dlib_resnet import fold, read_dat

    return fold(read_dat(path))


def make(output: Path | None) -> Path:
    """Write the file, or make it in the cache, and return its path."""
    if output is None:
        return assets.derived(NAME, "folded", convert)
    assets.save_weights(output, convert(assets.path(NAME)), f"{NAME} {assets.find(NAME).sha256}")
    return output


def verify(output: Path | None) -> Path:
    """Compare the file with a fresh conversion, bit by bit, and return its path."""
    path = output or assets.derived_path(NAME, "folded")
    assets.verify_weights(path, convert(assets.path(NAME)))
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__.strip())
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: facelab's cache"
    )
    parser.add_argument("--verify", action="store_true", help="make nothing; check what is there")
    options = parser.parse_args(arguments)
    try:
        print((verify if options.verify else make)(options.output))
    except UserError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
