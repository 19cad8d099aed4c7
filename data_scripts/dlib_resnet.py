"""Make dlib's face recogniser a safetensors file.

The asset `dlib-resnet` is in dlib's own format. It is fetched and verified (SHA-256), read tensor
by tensor, its frozen normalisations are multiplied into the convolutions, and the result is
written in float32. It loads into `facelab.recognition.dlib_resnet.DlibResNet`. Licence: CC0.
"""

import sys
from pathlib import Path

from facelab.assets import script

NAME = "dlib-resnet"


def convert(path: Path) -> dict:
    """Return `DlibResNet`'s state dictionary; `CheckpointError` if `path` is another network."""
    from facelab.recognition.dlib_resnet import fold, read_dat

    return fold(read_dat(path))


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return script.convert(NAME, "folded", convert, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
