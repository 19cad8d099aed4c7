"""What the scripts in data_scripts/ share: their options, and one clear line on an error.

A script makes something at `--output`, by default in facelab's cache, or checks with `--verify`
what is there. It prints the path. Nothing here imports torch, so that `--help` answers at once.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from facelab import assets
from facelab.errors import UserError

INTERRUPTED = 130


def parser(
    description: str, metavar: str = "FILE", default: Path | None = None
) -> argparse.ArgumentParser:
    """Return a parser with --output (without a default, None: facelab's cache) and --verify."""
    options = argparse.ArgumentParser(description=description.strip())
    help_text = f"default: {default or 'the cache of facelab'}"
    options.add_argument(
        "-o", "--output", type=Path, metavar=metavar, default=default, help=help_text
    )
    options.add_argument("--verify", action="store_true", help="make nothing; check what is there")
    return options


def attempt(name: str, action: Callable[[], Path]) -> int:
    """Print the path that `action` returns; return 0, or 2 after one line on standard error."""
    try:
        print(action())
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing that was there is lost", file=sys.stderr)
        return INTERRUPTED
    return 0


def convert(
    name: str,
    suffix: str,
    conversion: Callable[[Path], dict],
    description: str,
    arguments: list[str] | None = None,
) -> int:
    """Run a script that makes the asset `name` a safetensors file; return its exit status.

    `conversion` takes the asset's path and returns the tensors; `suffix` names the result in the
    cache, as in `assets.derived`. `--verify` compares the file with a fresh conversion, bit by bit.
    """
    options = parser(description).parse_args(arguments)

    def make() -> Path:
        if options.output is None:
            return assets.derived(name, suffix, conversion)
        source = f"{name} {assets.find(name).sha256}"
        assets.save_weights(options.output, conversion(assets.path(name)), source)
        return options.output

    def verify() -> Path:
        path = options.output or assets.derived_path(name, suffix)
        assets.verify_weights(path, conversion(assets.path(name)))
        return path

    return attempt(name, verify if options.verify else make)
