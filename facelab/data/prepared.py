"""Public datasets by name: the folders that the scripts in data_scripts/ prepared.

    celeba            the training split, at the size that is asked for
    celeba:test       another split: train, validation, test, or all
    celeba@128        faces of 128 pixels
    celeba/book64     in one of the set's framings, where it was prepared in several
    celeba/book64:test@128

Such a word is always the set. A folder that has the same name is meant when it is written as a
path, such as ./celeba, so that what a command reads doesn't depend on where it is called.
"""

import re
from pathlib import Path

from facelab.data.base import FaceDataset
from facelab.data.public import home, table
from facelab.data.shards import INDEX, Shards
from facelab.errors import DatasetError, ParameterError

WORD = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9-]*)(?:/(?P<framing>[\w-]+))?"
    r"(?::(?P<split>train|validation|test|all))?(?:@(?P<side>\d+))?"
)


def names(word: str) -> bool:
    """Tell whether a word names a public set, be it prepared or not, or one that was withdrawn.

    What stands after a "/" has to be a framing of the set: else the word is a path.
    """
    found = WORD.fullmatch(word)
    if not found or found["name"] not in {*table.SETS, *table.WITHDRAWN}:
        return False
    if found["framing"] is None:
        return True
    return found["name"] in table.SETS and found["framing"] in table.SETS[found["name"]].framings


def open_prepared(word: str, size: int) -> FaceDataset:
    """Return the faces that a word names, of `size` pixels where it says none.

    Raises `ParameterError` when the set was withdrawn, and `DatasetError` when it isn't prepared,
    was prepared in several framings and the word has none, or has no such split.
    """
    found = WORD.fullmatch(word)
    name, framing, side = found["name"], found["framing"], int(found["side"] or size)
    try:
        described = table.find(name)
    except ParameterError as error:
        raise ParameterError(f"{error}{_folder_of_that_name(word)}") from error
    framings = [framing] if framing else described.framings
    there = [f for f in framings if (home.place(name, side, f) / INDEX).is_file()]
    if len(there) > 1:
        words = " or ".join(f"{name}/{one}@{side}" for one in there)
        raise DatasetError(f"{name} was prepared in several framings; say which one: {words}")
    if not there:
        raise DatasetError(_missing(name, framing, side) + _folder_of_that_name(word))
    return Shards(home.place(name, side, there[0])).only(found["split"] or "train")


def _missing(name: str, framing: str | None, side: int) -> str:
    """Say that a set isn't prepared, how it is, and as what it was."""
    module = table.MODULES[name][0]
    first = next(other for other in table.MODULES if table.MODULES[other][0] == module)
    command = f"python data_scripts/{module}.py{'' if name == first else f' {name}'} --size {side}"
    if framing:
        command += f" --framing {framing}"
    wanted = f"{name}/{framing}" if framing else name
    others = _prepared(name)
    known = f" (it is as {', '.join(others)})" if others else ""
    return f"{wanted} at {side} pixels isn't prepared here{known}; run {command}"


def _prepared(name: str) -> list[str]:
    """Return the words of the folders in which a set was prepared, whatever size and framing."""
    found = []
    for path in sorted(home.place(name, 1, "x").parent.glob(f"{name}-*")):
        match = re.fullmatch(rf"{re.escape(name)}-(\d+)-([\w-]+)", path.name)
        if match and (path / INDEX).is_file():
            found.append(f"{name}/{match[2]}@{match[1]}")
    return found


def _folder_of_that_name(word: str) -> str:
    """Say how a folder of the working directory is written that is called like a set."""
    path = re.sub(r"(:\w+)?(@\d+)?$", "", word)
    return f"; for the folder {path} that is here, write ./{path}" if Path(path).is_dir() else ""
