"""What the public datasets are: files, sums, licence, terms; and which are not offered any more.

Each layout module describes its own sets; `SETS` finds them by name and imports a module only when
its set is asked for. A set that may not be had any more is in `WITHDRAWN`, with an alternative.
"""

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from facelab.errors import ParameterError

if TYPE_CHECKING:
    from pathlib import Path

    from facelab.data.public.pictures import Listing

SPLITS = ("train", "validation", "test")  # a face's label `split` is its place here
REAL_PEOPLE = (
    "These are real people, most of whom were never asked. Labels of looks were guessed from a "
    "picture: they don't say who somebody is. Don't identify, rank or watch anyone with what is "
    "trained here."
)


@dataclass(frozen=True)
class Published:
    """A file as its authors publish it, and the addresses of its copies, the best one first.

    `size_bytes`, `sha256` and `md5` are what was published, None where nothing was. Without any
    sum, that of the first whole download is noted in the prepared folder, and `--verify` compares
    a file that was kept with it: that shows a later change, not that the first copy was right.
    """

    name: str
    urls: tuple[str, ...]
    size_bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    kind: Literal["zip", "tar", "file"] = "file"


@dataclass(frozen=True)
class PublicSet:
    """A dataset that others publish, and what a reader has to know before having it.

    `terms` is what the reader confirms; `files` are those that are fetched, none where the set is
    given out by hand only, and `by_hand` says how to get what can't be fetched. `framings` are
    those that the set can be brought to, the default first; `splits` those of `SPLITS` that it has.
    `people` and `pictures` are the published numbers, None where there are none. `caution` is what
    the data card says about the people.
    """

    name: str
    title: str
    what: str
    licence: str
    terms: str
    citation: str
    homepage: str
    files: tuple[Published, ...] = ()
    framings: tuple[str, ...] = ("centre",)
    splits: tuple[str, ...] = ("train",)
    people: int | None = None
    pictures: int | None = None
    by_hand: str = ""
    caution: str = REAL_PEOPLE


# name -> (module of this package, name of the PublicSet in it, name of its function
# `listing(folder) -> Listing`); one line a set.
MODULES: dict[str, tuple[str, str, str]] = {
    "celeba": ("celeba", "CELEBA", "listing"),
    "celeba-wild": ("celeba", "WILD", "wild_listing"),
    "lfw": ("lfw", "LFW", "listing"),
    "lfw-funneled": ("lfw", "FUNNELED", "listing"),
    "lfw-deepfunneled": ("lfw", "DEEPFUNNELED", "listing"),
    "lfwa": ("lfw", "LFWA", "attributes_listing"),
    "own-pictures": ("own_pictures", "OWN", "listing"),
    "ffhq": ("ffhq", "FFHQ", "listing"),
    "ffhq-256": ("ffhq", "LARGE", "large_listing"),
    "casia-webface": ("casia_webface", "CASIA", "listing"),
    "digiface-1m": ("digiface", "DIGIFACE", "listing"),
    "digiface-1m-72": ("digiface", "DEEP_SET", "deep_listing"),
    "300w-lp": ("w300_lp", "W300_LP", "listing"),
    "aflw2000-3d": ("aflw2000", "AFLW2000", "listing"),
}

# name -> (why it is not offered, what to take instead)
WITHDRAWN = {
    "ms-celeb-1m": (
        "Microsoft took MS-Celeb-1M back in 2019: ten million pictures of 100,000 people, most of "
        "whom were never asked",
        "digiface-1m, whose people do not exist, or casia-webface if you have it",
    ),
    "vggface2": (
        "the University of Oxford does not give VGGFace2 out any more",
        "digiface-1m, whose people do not exist, or casia-webface if you have it",
    ),
}


class _Sets(Mapping[str, PublicSet]):
    """The sets by name, in the order of `MODULES`."""

    def __getitem__(self, name: str) -> PublicSet:
        module, attribute, _ = MODULES[name]
        return getattr(_module(module), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


SETS: Mapping[str, PublicSet] = _Sets()


def find(name: str) -> PublicSet:
    """Return a set. Raises `ParameterError` for a name that there isn't or that was withdrawn."""
    if name in WITHDRAWN:
        reason, alternative = WITHDRAWN[name]
        raise ParameterError(f"{name} can't be had: {reason}; take {alternative}")
    if name not in MODULES:
        close = difflib.get_close_matches(name, MODULES, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ParameterError(f"there is no set {name!r}; {hint}choose one of: {', '.join(MODULES)}")
    return SETS[name]


def listing_of(name: str) -> "Callable[[Path], Listing]":
    """Return the function that reads the layout of a set's folder."""
    module, _, function = MODULES[name]
    return getattr(_module(module), function)


def _module(name: str):
    return importlib.import_module(f"{__package__}.{name}")
