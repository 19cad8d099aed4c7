"""The one command that all scripts of public datasets have: fetch, unpack, list, frame and pack.

Each step keeps what it has done and goes on from there when the command is given again: a download
at its last byte, an archive at its beginning, a search for faces at its last few hundred pictures,
the packing at its last block. The prepared folder can be opened when the last face is in it, and
has everything else by then.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from facelab.assets import cache, script
from facelab.data.public import cards, extraction, fetching, planning, table
from facelab.data.public.detecting import SEVERAL_FACES
from facelab.data.public.request import SIZE, Request
from facelab.data.public.table import Published
from facelab.errors import DatasetError, ParameterError
from facelab.progress import progress_bar

if TYPE_CHECKING:
    from facelab.data.public.pictures import Listing, Pictures

SHARD: int | None = None  # faces of a packed file; None is that of facelab.data.shards
FILES, LEFT_OUT = "files.txt", "left_out.txt"
# Pictures are compressed already: an archive that grows to more than this is no archive of them.
GROWTH, LEAST_BYTES = 8, 1 << 30
KEPT = "kept"  # a file in the folder of sources: the reader asked to keep them


def main(
    names: str | tuple[str, ...], arguments: list[str] | None = None, description: str = ""
) -> int:
    """Prepare one of these sets as the arguments say; return 0, or 2 after one line on stderr.

    With several names the first argument chooses one of them. The folder is printed on standard
    output; terms and progress go to standard error.
    """
    names = (names,) if isinstance(names, str) else names
    options = _parser(names, description).parse_args(arguments)

    def act() -> Path:
        request = _request(options)
        if options.verify:
            return verify(request)
        return planning.plan(request) if options.dry_run else prepare(request)

    return script.attempt(options.name, act)


def _parser(names: tuple[str, ...], description: str) -> argparse.ArgumentParser:
    parser = script.parser(description, metavar="DIR")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(name=names[0])
    if len(names) > 1:
        parser.add_argument("name", choices=names, nargs="?", default=names[0], help="which set")
    parser.add_argument("--size", type=int, default=SIZE, metavar="N", help=f"default: {SIZE}")
    parser.add_argument("--framing", metavar="F", help="how faces lie in it; default: the set's")
    parser.add_argument(
        "--from", dest="given", type=Path, metavar="PATH",
        help="a folder with the archives, or one that was unpacked; no download",
    )  # fmt: skip
    parser.add_argument("--url", help="a mirror: the address of a folder, ending in /, or a file's")
    parser.add_argument("--accept", action="store_true", help="accept the terms that are shown")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; no more")
    parser.add_argument(
        "--part", type=_part, default=(1, 1), metavar="I/N", help="pack one of N parts, 1/N to N/N"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the archives and the pictures, for verification by pairs or another size",
    )
    return parser


def _part(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no part; give I/N, such as 1/4")
    return int(found[1]), int(found[2])


def _request(options: argparse.Namespace) -> Request:
    described = table.find(options.name)
    framing = options.framing or described.framings[0]
    if framing not in described.framings:
        raise ParameterError(
            f"{described.name} has no framing {framing!r}; choose one of: "
            f"{', '.join(described.framings)}"
        )
    if options.size < 1:
        raise ParameterError(f"--size {options.size} can't be; give at least 1")
    given = options.given and options.given.expanduser().absolute()
    output = options.output and options.output.expanduser().absolute()
    return Request(
        described, options.size, framing, output, given, options.url, options.accept, options.part,
        options.keep,
    )  # fmt: skip


# --- the steps -----------------------------------------------------------------------------------


def prepare(request: Request) -> Path:
    """Make the prepared folder, or go on making it, and return it.

    Raises `UserError`s with what to do; what was done until then is kept.
    """
    if _finished(request):
        return request.target
    print(planning.terms(request.described), file=sys.stderr)
    planning.confirm(request.described, request.accept)
    if request.part != (1, 1):  # parts work side by side
        return _made(request)
    with cache.lock(request.sources):  # two sizes would take each other's sources away
        return request.target if _finished(request) else _made(request)


def _made(request: Request) -> Path:
    """Do the steps, and return the folder."""
    described, target = request.described, request.target
    root = request.given_folder() or _gathered(request)
    listing = table.listing_of(described.name)(root)
    if described.pictures not in (None, len(listing)):
        planning.say(f"{len(listing):,} pictures are there; {described.pictures:,} were published")
    listing, left_out = _framed(request, listing)
    from facelab.data.public.pictures import Pictures

    pictures = Pictures(described.name, listing, request.size, request.framing)
    _write_beside(request, pictures, left_out)
    if not _packed(request, pictures):
        planning.say("other parts aren't finished; the folder can be opened when the last one is")
    elif not (request.keep or (request.sources / KEPT).exists()):
        shutil.rmtree(request.sources, ignore_errors=True)
    return target


def _finished(request: Request) -> bool:
    """Tell whether the folder is there, whole, and what was asked for.

    Raises `DatasetError` for a folder of other faces, or one that was damaged.
    """
    from facelab.data.shards import INDEX, Contents, Shards

    if not (request.target / INDEX).is_file():
        return False
    index = Contents.read(request.target)
    wanted = {
        "set": request.described.name, "size": request.size, "framing": request.framing
    }  # fmt: skip
    for name, value in wanted.items():
        if index.config.get(name) != value:
            raise DatasetError(
                f"{request.target} holds faces whose {name} is {index.config.get(name)}, not "
                f"{value}; give another folder with -o"
            )
    if request.given is not None and not request.described.files:
        _require_same(request)
    return index.finished and bool(Shards(request.target))


def _require_same(request: Request) -> None:
    """Raise `DatasetError` when a folder was made of other pictures than the reader's are now.

    Nobody published these: another folder of one's own may be meant to lie at the same place.
    """
    names = [
        line.removesuffix(SEVERAL_FACES)
        for file in (FILES, LEFT_OUT)
        if (request.target / file).is_file()
        for line in (request.target / file).read_text(encoding="utf-8").split("\n")[:-1]
    ]
    listing = table.listing_of(request.described.name)(request.given_folder())
    if sorted(names) != sorted(listing.files):
        raise DatasetError(
            f"{request.target} holds {len(names):,} other pictures than {request.given}, which has "
            f"{len(listing):,}; give another folder with -o, or delete it"
        )


def _gathered(request: Request) -> Path:
    """Fetch and unpack what is missing, and return the folder where all of it is."""
    described, sources = request.described, request.sources
    for file in described.files:
        if request.has(file):
            continue
        own = request.own(file)
        if own is None:
            mirror = fetching.address(request.url, file, len(described.files))
            if not (mirror or file.urls):
                raise DatasetError(f"{file.name} can't be fetched: {described.by_hand}")
            path = fetching.fetch(file, sources, url=mirror)
        else:
            path = fetching.take(own, file, sources)
        if file.kind != "file":
            _unpack(request, file, path)
            if own is None and not request.keep:
                path.unlink()
    if request.keep:
        with cache.writing(KEPT, sources):
            cache.write_beside(sources / KEPT, b"")
    return sources


def _unpack(request: Request, file: Published, archive: Path) -> None:
    pictures = request.described.pictures or 500_000
    with progress_bar(f"unpacking {file.name}", pictures, "files") as bar:
        try:
            extraction.extract(
                archive,
                request.unpacked(file),
                most_bytes=max(LEAST_BYTES, GROWTH * archive.stat().st_size),
                most_files=2 * pictures + 10_000,
                progress=lambda done: bar.update(done - bar.n),
            )
        except DatasetError:
            if archive.parent == request.sources:
                archive.unlink()  # what was fetched is of no use; the reader's own file stays
            raise


def _framed(request: Request, listing: "Listing") -> "tuple[Listing, tuple[str, ...]]":
    """Return the listing with the points that its framing needs, and what was left out."""
    if request.framing == "centre" or listing.landmarks is not None:
        return listing, ()
    from facelab.data.public.detecting import with_landmarks

    with progress_bar("finding faces", len(listing), "pictures") as bar:
        found, left_out = with_landmarks(
            listing, request.sources, request.part, lambda done: bar.update(done - bar.n)
        )
    if left_out:
        planning.say(f"{len(left_out):,} pictures are left out; {LEFT_OUT} names them")
    return found, left_out


def _write_beside(request: Request, pictures: "Pictures", left_out: tuple[str, ...]) -> None:
    """Write what lies beside the packed faces: the card, names, and the set's own files.

    Raises `DatasetError` for a folder that holds anything else.
    """
    target, listing = request.target, pictures.listing
    known = fetching.noted(request.sources) if request.given_folder() is None else {}
    text = cards.card(
        request.described, listing, request.size, request.framing, files=known, left_out=left_out
    )
    contents = {cards.CARD: text.encode(), FILES: "".join(f"{n}\n" for n in listing.files).encode()}
    if left_out:
        contents[LEFT_OUT] = "".join(f"{name}\n" for name in left_out).encode()
    contents |= {name: path.read_bytes() for name, path in listing.beside}
    _require_ours(target, contents, pictures.config())
    with cache.writing("the data card", target):
        for name, data in contents.items():
            if not (target / name).is_file() or (target / name).read_bytes() != data:
                cache.write_beside(target / name, data)


def _require_ours(target: Path, contents: dict[str, bytes], config: dict) -> None:
    """Raise `DatasetError` unless a folder is new, or holds these faces or their beginning."""
    from facelab.data.shards import INDEX, Contents

    if (target / INDEX).is_file():
        if Contents.read(target).config != config:
            raise DatasetError(
                f"{target} was begun with other pictures or labels; give another folder with -o, "
                "or delete it"
            )
        return
    for path in target.iterdir() if target.is_dir() else ():
        known = contents.get(path.name)
        if path.name.startswith(".") or path.suffix == ".lock":
            continue
        if known is None or path.read_bytes() != known:
            raise DatasetError(
                f"{target} holds {path.name}, which is not of this set; give a new folder with -o"
            )


def _packed(request: Request, pictures: "Pictures") -> bool:
    """Pack this part, and tell whether the folder is finished."""
    from facelab.data import shards

    size = SHARD or shards.SHARD
    total = shards.faces_of_part(len(pictures), request.part, size)
    with progress_bar(f"packing {request.described.name}", total, "faces") as bar:
        made = shards.write(
            pictures,
            request.target,
            shard=size,
            part=request.part,
            progress=lambda done: bar.update(done - bar.n),
        )
    return made is not None


def verify(request: Request) -> Path:
    """Compute the sums of all packed files, and of archives that were kept; return the folder.

    Raises `DatasetError` for the first file that isn't what was written or fetched.
    """
    from facelab.data.shards import Shards

    target = request.target
    if not target.is_dir():
        raise DatasetError(f"{target} is not there; run this without --verify")
    folder = Shards(target)
    with progress_bar("reading", len(folder), "faces") as bar:
        folder.verify(lambda done: bar.update(done - bar.n))
    card = target / cards.CARD
    if not card.is_file():
        raise DatasetError(f"{card} is missing; delete the folder and make it again")
    for name, found in cards.sums(card.read_text(encoding="utf-8")).items():
        for place in filter(None, (request.given, request.sources)):
            path = place / name
            if path.is_file() and cache.sha256(path) != found.sha256:
                raise DatasetError(
                    f"{path} is not the file that {target} was made of: SHA-256 "
                    f"{cache.sha256(path)}, {found.sha256} then"
                )
    return target
