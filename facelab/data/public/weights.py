"""The one command that all scripts have for weights and models that a reader gets from others.

It shows what a file is, its licence and its terms, and has the terms accepted; fetches the file or
takes the reader's own; reads it without running anything of it; compares names and shapes with what
facelab has a place for; and keeps it as safetensors where facelab looks for it.
"""

import argparse
import importlib
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facelab import assets
from facelab.assets import cache, script
from facelab.data.public import fetching, home, planning
from facelab.data.public.table import PublicSet
from facelab.errors import AssetError, CheckpointError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Conversion:
    """What a file holds, as facelab keeps it: tensors, the text of the header, remarks."""

    tensors: "Mapping[str, Tensor]"
    header: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weights:
    """Weights that others publish: what they are, how their file is read, where they are kept.

    `described.files` has the one file that can be fetched, or nothing where a licence has to be
    asked for. `convert` takes a file and its SHA-256; `check` loads what was kept, as facelab does.
    Both raise `CheckpointError`s.
    """

    described: PublicSet
    place: Callable[[], Path]
    convert: Callable[[Path, str], Conversion]
    check: Callable[[Path], object]


@dataclass(frozen=True)
class Order:
    """What a reader asked for."""

    weights: Weights
    output: Path | None = None
    given: Path | None = None
    url: str | None = None
    accept: bool = False

    @property
    def target(self) -> Path:
        """The file that is made."""
        return self.output or self.weights.place()


def main(
    names: tuple[str, ...],
    module: str,
    arguments: list[str] | None = None,
    description: str = "",
    *,
    by_hand: bool = False,
) -> int:
    """Make or check one of these weights as the arguments say; return 0, or 2 after one line.

    With several names the first argument chooses. What is known of one is `weights(name)` of the
    module, which needs torch: --help does not wait for it. `by_hand` says that there is nothing to
    fetch, so that no mirror can be named. The file's path is printed on standard output, all else
    on standard error.
    """
    parser = _parser(names, description)
    if not by_hand:
        parser.add_argument("--url", help="a mirror: the file's own address")
    options = parser.parse_args(arguments)
    mirror = getattr(options, "url", None)

    def act() -> Path:
        given = options.given and options.given.expanduser()
        known = importlib.import_module(module).weights(options.name)
        order = Order(known, options.output, given, mirror, options.accept)
        if options.verify:
            return verify(order)
        return plan(order) if options.dry_run else make(order)

    return script.attempt(options.name, act)


def _parser(names: tuple[str, ...], description: str) -> argparse.ArgumentParser:
    parser = script.parser(description)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(name=names[0])
    if len(names) > 1:
        parser.add_argument("name", choices=names, nargs="?", default=names[0], help="which one")
    parser.add_argument(
        "--from", dest="given", type=Path, metavar="FILE", help="a file that you have; no download"
    )
    parser.add_argument("--accept", action="store_true", help="accept the terms that are shown")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; no more")
    return parser


def make(order: Order) -> Path:
    """Write the safetensors file, and return its path. What was there is kept until then.

    Raises `UserError`s with what to do.
    """
    weights, target = order.weights, order.target
    if order.output is None and order.given is None and assets.intact(target):
        return target
    print(planning.terms(weights.described), file=sys.stderr)
    planning.confirm(weights.described, order.accept)
    original = _given(order) or _fetched(order)
    found = _converted(order, original)
    if order.output is None:
        with cache.lock(target):
            assets.keep_weights(target, dict(found.tensors), found.header)
    else:
        assets.save_weights(target, dict(found.tensors), found.header)
    if order.given is None:  # it can be had again; the reader's own file stays
        shutil.rmtree(original.parent, ignore_errors=True)
    return target


def _given(order: Order) -> Path | None:
    if order.given is not None and not order.given.is_file():
        raise AssetError(f"{order.given} is not a file; give the path of the file itself")
    return order.given


def _fetched(order: Order) -> Path:
    described = order.weights.described
    folder = home.sources(described.name)
    if not described.files:
        raise AssetError(f"{described.name} can't be fetched: {described.by_hand}")
    return fetching.fetch(described.files[0], folder, url=order.url)


def _converted(order: Order, original: Path) -> Conversion:
    """Return what a file holds, and say what is to be said of it."""
    try:
        found = order.weights.convert(original, cache.sha256(original))
    except CheckpointError:
        if order.given is None:
            original.unlink()  # nobody should find it there a second time
        raise
    for remark in found.remarks:
        planning.say(remark)
    return found


def plan(order: Order) -> Path:
    """Say what `make` would do and write nothing; return the file that it would make."""
    described = order.weights.described
    print(planning.terms(described), file=sys.stderr)
    if order.given is not None:
        _converted(order, _given(order))
        planning.say(f"would read {order.given}: it fits")
    elif assets.intact(order.target):
        planning.say("it is there already")
    elif described.files:
        sources = dict.fromkeys(filter(None, (order.url, *described.files[0].urls)))
        planning.say(f"would fetch {described.files[0].name} from {', else '.join(sources)}")
    else:
        planning.say(f"can't be fetched: {described.by_hand}")
    planning.say(f"would write {order.target}")
    return order.target


def verify(order: Order) -> Path:
    """Check the safetensors file, with --from bit by bit, and return its path.

    In the cache its sum is computed anew. Raises `AssetError` when it is not there, and
    `CheckpointError` when it is damaged or not what the original holds.
    """
    path = order.target
    if not path.is_file():
        raise AssetError(f"{path} is not there; run this without --verify")
    if order.output is None and not assets.intact(path, fresh=True):
        raise CheckpointError(f"{path} is damaged; run this without --verify")
    order.weights.check(path)
    if order.given is not None:
        assets.verify_weights(path, dict(_converted(order, _given(order)).tensors))
    return path
