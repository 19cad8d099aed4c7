"""A dataset from one word, as the command line takes it."""

import re
from pathlib import Path

from facelab.data import prepared, shards
from facelab.data.base import FaceDataset
from facelab.data.packed import ENDING
from facelab.errors import ParameterError

ANNY = re.compile(r"anny-faces(?::(?P<size>\d+)x(?P<people>\d+)x(?P<views>\d+))?")
SAMPLES = re.compile(r"samples(?::(?P<count>\d+))?")
GUIDED = re.compile(r"(?P<data>.+):to:(?P<no>no-)?(?P<attribute>\w+)")
SPLIT = re.compile(r"(?P<path>.+):(?P<split>train|validation|test|all)")
FORMS = (
    "anny-faces:SIZExPEOPLExVIEWS, samples:COUNT, a public set that was prepared (celeba, "
    "celeba:test, celeba/book64@128), a .facepack file, a packed folder (PATH, or PATH:SPLIT), or "
    "a folder of pictures (PATH, or PATH@SIZE); several as ONE,ANOTHER; three as "
    "RENDERS+PHOTOS+PAIRS; or DATA:to:NAME or DATA:to:no-NAME for faces without an attribute and "
    "with it, or the other way about"
)


def open_dataset(source: str, *, size: int = 64, seed: int = 0, device: str = "cpu") -> FaceDataset:
    """Return the dataset that a word names.

    "anny-faces:64x1000x8" draws 1,000 people of the train split with 8 views each at 64 pixels,
    "samples:50000" faces of the pre-trained generator; both may leave out what stands after the
    colon. "celeba", "celeba:test", "celeba@128" and "celeba/book64:all@128" are public sets that a
    script in data_scripts/ prepared: NAME[/FRAMING][:SPLIT][@SIZE], the split being train where
    there is none, and the framing the one in which the set was prepared. Such a word is always the
    set; write ./celeba for a folder of that name. Else it is a packed file, a folder that
    `facelab generate ganfaces` or `facelab.data.shards.write` wrote ("PATH:test" for a split of
    it), or a folder of pictures; "PATH@128" scales those to 128 pixels. Words joined by "," are one
    dataset (`mixture`), three joined by "+" renders, photographs and pairs (`domains`).
    "DATA:to:Young" has faces that are not young and beside them a guided set that is,
    "DATA:to:no-Male" males and a guided set of others (`by_attribute`). `size` holds where the word
    has none. Raises `ParameterError` for a word that is none of these, and what the dataset raises.
    """
    if found := GUIDED.fullmatch(source):
        from facelab.data.by_attribute import ByAttribute

        faces = open_dataset(found["data"], size=size, seed=seed, device=device)
        return ByAttribute(faces, found["attribute"], not found["no"])
    drawn = _drawn(source, size, seed, device)
    if drawn is not None:
        return drawn
    if prepared.names(source):
        return prepared.open_prepared(source, size)
    if source.count("+") == 2:
        from facelab.data.domains import Domains

        parts = [open_dataset(p, size=size, seed=seed, device=device) for p in source.split("+")]
        return Domains(*parts)
    if "," in source and not Path(source).exists():
        from facelab.data.mixture import Mixture

        words = [word.strip() for word in source.split(",")]
        if not all(words):
            raise ParameterError(f"{source!r} has a part without a name; give {FORMS}")
        parts = [open_dataset(word, size=size, seed=seed, device=device) for word in words]
        return Mixture(*parts)
    path, _, side = source.partition("@") if re.search(r"@\d+$", source) else (source, "", "")
    return _stored(Path(path), int(side or size), source)


def _drawn(source: str, size: int, seed: int, device: str) -> FaceDataset | None:
    """Return faces that are made when they are asked for, if the word says so."""
    if found := ANNY.fullmatch(source):
        from facelab.data.anny_faces import AnnyFaces

        numbers = [found[name] for name in ("size", "people", "views")]
        side, people, views = map(int, numbers) if numbers[0] else (size, 1000, 8)
        return AnnyFaces(side, people, views, seed=seed, split="train", device=device)
    if found := SAMPLES.fullmatch(source):
        from facelab.data.samples import Samples

        return Samples(int(found["count"] or 50_000), seed=seed, split="train", device=device)
    return None


def _stored(path: Path, size: int, source: str) -> FaceDataset:
    found = SPLIT.fullmatch(source)
    if found and _is_packed(Path(found["path"])):
        return shards.Shards(found["path"]).only(found["split"])
    if path.is_dir():
        from facelab.data import ganfaces

        if (path / ganfaces.INDEX).is_file():
            return ganfaces.GanFaces(path)
        if _is_packed(path):
            return shards.Shards(path)
        from facelab.data.folder import Folder

        return Folder(path, size)
    if path.is_file():
        from facelab.data.packed import Packed

        return Packed(path)
    raise ParameterError(f"{source!r} names no data that there is; give {FORMS}")


def _is_packed(path: Path) -> bool:
    """Tell a packed folder, finished or not, from one that has another program's index.json."""
    return (path / shards.INDEX).is_file() and any(path.glob(f"*{ENDING}*"))
