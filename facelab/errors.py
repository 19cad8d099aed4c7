"""Every mistake that a user can make, by name: what was wrong, what was expected, what to do.

All of them are `ValueError`s. In a notebook they show as one line instead of a traceback, and the
command line turns them into that line and exit code 2. Anything else that is raised is our own bug
and keeps its traceback.
"""


class UserError(ValueError):
    """Something the user gave can't be used; the message names it and the remedy."""

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class ImageError(UserError):
    """A picture is missing, empty, corrupt, of an unknown format or of an impossible size."""


class FaceCountError(UserError):
    """A picture has no face, or more faces than the policy allows."""


class GeometryError(UserError):
    """A mesh can't be drawn: its vertices aren't finite or its triangles name none of them."""


class AssetError(UserError):
    """An asset is unknown, can't be fetched, or isn't the file that the table describes."""


class CheckpointError(UserError):
    """A file of weights is damaged, unsafe to read, or belongs to another network."""


class TrainingError(UserError):
    """A training can't start as it was asked for, or can't go on; the message has the last step."""


class DatasetError(UserError):
    """A dataset's file or folder is damaged, or isn't the one that was asked for."""


class ManifestError(UserError):
    """An entry of book.toml is malformed; the message has the line and the field."""


class ParameterError(UserError):
    """A chapter's parameter is unknown or has the wrong type."""


class BookError(UserError):
    """The book can't be checked, executed or rendered as it stands."""


def by_name(name: str) -> type[UserError] | None:
    """Return the `UserError` class called `name`, or None: so a runner reads a notebook's error."""
    found = globals().get(name)
    return found if isinstance(found, type) and issubclass(found, UserError) else None
