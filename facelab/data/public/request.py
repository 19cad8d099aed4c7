"""What a reader asked for, and what of it is there: no more than questions, nothing is written."""

from dataclasses import dataclass
from pathlib import Path

from facelab.data.public import home
from facelab.data.public.table import PublicSet, Published
from facelab.errors import DatasetError

SIZE = 64


@dataclass(frozen=True)
class Request:
    """What a reader asked for: the set, how its faces shall be, and where from and where to."""

    described: PublicSet
    size: int = SIZE
    framing: str = "centre"
    output: Path | None = None
    given: Path | None = None
    url: str | None = None
    accept: bool = False
    part: tuple[int, int] = (1, 1)
    keep: bool = False

    @property
    def target(self) -> Path:
        """The folder of the prepared set."""
        return self.output or home.place(self.described.name, self.size, self.framing)

    @property
    def sources(self) -> Path:
        """The folder where what it is made of is collected."""
        return home.sources(self.described.name)

    def given_folder(self) -> Path | None:
        """Return the reader's unpacked folder, or None when the set comes from archives.

        Raises `DatasetError` for what is no folder, and for a set that can only be had by hand.
        """
        given, described = self.given, self.described
        if given is None:
            if not described.files:
                raise DatasetError(f"{described.name} can't be fetched: {described.by_hand}")
            return None
        if not given.is_dir():
            raise DatasetError(
                f"{given} is no folder; give the one with the archives or the pictures"
            )
        archives = [file for file in described.files if file.kind != "file"]
        return None if any((given / file.name).is_file() for file in archives) else given

    def own(self, file: Published) -> Path | None:
        """Return the reader's copy of a file, or None."""
        path = self.given and self.given / file.name
        return path if path and path.is_file() else None

    def unpacked(self, file: Published) -> Path:
        """Return the folder that an archive is unpacked to."""
        return self.sources / f"{file.name}.d"

    def has(self, file: Published) -> bool:
        """Tell whether a file needs nothing more."""
        if file.kind == "file":
            return (self.sources / file.name).is_file()
        return self.unpacked(file).is_dir()
