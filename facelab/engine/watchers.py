"""What looks on while a run trains: a log file, TensorBoard, sample grids, a live curve.

A watcher is told of every logged entry and every preview, in the first process alone.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from facelab import images
from facelab.assets import cache
from facelab.errors import ParameterError
from facelab.types import Picture

LOG, PREVIEWS = "log.jsonl", "previews"


@dataclass(frozen=True)
class Entry:
    """One line of a run's log, after `step` steps.

    `seconds` are those spent training, over all parts of a resumed run; `faces_per_second` is the
    rate since the entry before. `losses` are means since then, by "phase/term"; `learning_rates`
    are by phase; `metrics` are those of an evaluation that fell on this step.
    """

    step: int
    faces: int
    seconds: float
    faces_per_second: float
    losses: Mapping[str, float] = field(default_factory=dict)
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


class Watcher(ABC):
    """Looks on at a run."""

    @abstractmethod
    def log(self, entry: Entry) -> None:
        """Take note of an entry."""

    @abstractmethod
    def show(self, step: int, picture: Picture) -> None:
        """Take note of a preview: the grid of faces of this step."""

    @abstractmethod
    def close(self) -> None:
        """End: the run is over, or was stopped."""


class Files(Watcher):
    """Writes log.jsonl, an entry a line, and previews/step-NNNNNNNN.png in a run's folder.

    `step` is where a resumed run goes on: what its log has beyond is dropped, for it comes again.
    Raises `AssetError` when the folder can't be written.
    """

    def __init__(self, run: Path, step: int):
        self.run, self.history = run, _read(run / LOG, step)
        text = "".join(_line(entry) for entry in self.history)
        with cache.writing(LOG, run / LOG):
            cache.write_beside(run / LOG, text.encode())

    def log(self, entry: Entry) -> None:
        """Append a line."""
        with cache.writing(LOG, self.run / LOG), (self.run / LOG).open("a") as file:
            file.write(_line(entry))

    def show(self, step: int, picture: Picture) -> None:
        """Write a picture."""
        images.save_image(picture, self.run / PREVIEWS / f"step-{step:08d}.png")

    def close(self) -> None:
        """Do nothing: every line is in the file already."""


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry)) + "\n"


def _read(path: Path, step: int) -> list[Entry]:
    """Return the entries of a log up to a step; a line that a kill cut short is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if entry.step <= step:
            found.append(entry)
    return found


class TensorBoard(Watcher):
    """Writes what is logged and shown as TensorBoard's events.

    Raises `ParameterError` when the package isn't installed.
    """

    def __init__(self, folder: str | Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ParameterError(
                "TensorBoard is not installed; run: pip install tensorboard, or leave it out: "
                f"{LOG} has the same numbers"
            ) from error
        self._writer = SummaryWriter(str(folder))

    def log(self, entry: Entry) -> None:
        """Write an entry's numbers, at its step."""
        groups = {"losses": entry.losses, "metrics": entry.metrics}
        groups["learning_rates"] = entry.learning_rates
        for group, values in groups.items():
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, entry.step)
        self._writer.add_scalar("faces_per_second", entry.faces_per_second, entry.step)

    def show(self, step: int, picture: Picture) -> None:
        """Write a preview."""
        self._writer.add_image("preview", images.to_unit(picture)[0], step)

    def close(self) -> None:
        """Write what is left and close the file."""
        self._writer.close()
