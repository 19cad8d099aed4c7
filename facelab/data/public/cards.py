"""The data card of a prepared set: whose it is, what was done to it, and what its numbers are.

After Gebru et al. (2021), Datasheets for Datasets. A card has no time and no machine in it: the
same files, size and framing give the same card.
"""

import re
from collections.abc import Mapping

import numpy as np

from facelab.data.public.detecting import SEVERAL_FACES
from facelab.data.public.fetching import Noted
from facelab.data.public.pictures import CENTRE, Listing
from facelab.data.public.table import SPLITS, PublicSet

CARD = "CARD.md"
_SUM = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<size>[\d,]+) \| `(?P<sum>[0-9a-f]{64})`", re.M)
TEXT = """\
# {title}, {size} x {size} pixels

{what}

Published by others: {homepage}
Cite: {citation}

## Composition

- {pictures:,} pictures of {people:,} people{published}.
- {splits}.
- Labels: {labels}.
{left_out}
## How it was made

- {framing} The pictures are 8 bits a channel, sRGB, without loss.
- The order is that of `files.txt`, which has the published name of each picture.
{files}
## Use

{terms}

{caution}

## Licence

{licence}
"""


def card(
    described: PublicSet,
    listing: Listing,
    size: int,
    framing: str,
    *,
    files: Mapping[str, Noted] | None = None,
    left_out: tuple[str, ...] = (),
) -> str:
    """Return a prepared set's card as Markdown, with the sums of the files that it was made of."""
    return TEXT.format(
        title=described.title,
        size=size,
        what=described.what,
        homepage=described.homepage or "nowhere",
        citation=described.citation or "nothing",
        pictures=len(listing),
        people=listing.people,
        published=_published(described, listing),
        splits=_splits(listing),
        labels=_labels(listing),
        left_out=_left_out(left_out),
        framing=_framing(framing, size),
        files=_files(described, files or {}),
        terms=described.terms or "Yours to know.",
        caution=described.caution,
        licence=described.licence,
    )


def sums(text: str) -> dict[str, Noted]:
    """Return the sums of files that a card notes."""
    return {
        found["name"]: Noted(int(found["size"].replace(",", "")), found["sum"])
        for found in _SUM.finditer(text)
    }


def _published(described: PublicSet, listing: Listing) -> str:
    if described.pictures in (None, len(listing)):
        return ""
    return f"; {described.pictures:,} pictures were published"


def _splits(listing: Listing) -> str:
    counts = np.bincount(listing.split, minlength=len(SPLITS))
    parts = [f"{name} {count:,}" for name, count in zip(SPLITS, counts, strict=True) if count]
    return "Splits: " + ", ".join(parts)


def _labels(listing: Listing) -> str:
    names = ["identity", "split"]
    if listing.attributes is not None:
        names.append(f"{len(listing.attribute_names)} attributes")
    if listing.landmarks is not None:
        names.append(f"{listing.landmarks.shape[1]} landmarks")
    return ", ".join([*names, *listing.labels])


def _left_out(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    several = sum(name.endswith(SEVERAL_FACES) for name in names)
    reason = f" or, {several:,} times, more than one" if several else ""
    count = f"{len(names):,} pictures in which no face{reason} was found"
    return f"- {count} are left out: `left_out.txt`.\n"


def _framing(framing: str, size: int) -> str:
    if framing == CENTRE:
        return f"The middle square of each picture, scaled to {size} pixels."
    return f"Each face was laid on the template `{framing}` by its points, at {size} pixels."


def _files(described: PublicSet, files: Mapping[str, Noted]) -> str:
    if not files:
        return "- Made of a folder that was there; no sum of its archive is known.\n"
    published = {f.name: f.sha256 or f.md5 for f in described.files}
    rows = [
        f"| `{name}` | {file.size_bytes:,} | `{file.sha256}` | "
        f"{'published' if published.get(name) else 'of the first whole copy'} |"
        for name, file in sorted(files.items())
    ]
    head = ["", "| file | bytes | SHA-256 | its sum was |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])
