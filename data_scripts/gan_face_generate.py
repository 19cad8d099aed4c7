"""Make the pre-trained face generator a safetensors file.

The asset `gan-face-generate` is a PyTorch checkpoint. It is fetched and verified (SHA-256), read
without running code, and its generator's tensors are written as they are, in float32. They load
into `facelab.generators.dcgan.DCGAN`. Research and teaching only, as the pictures it learned from.
"""

import sys
from pathlib import Path

from facelab import assets
from facelab.assets import script

NAME = "gan-face-generate"


def convert(path: Path) -> dict:
    """Return the generator's state dictionary; `CheckpointError` if `path` is another network."""
    from facelab.generators.dcgan import load_generator

    return load_generator(assets.load_weights(path), id=NAME).state_dict()


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    return script.convert(NAME, "generator", convert, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
