"""A driving sequence: one person of AnnyFaces who turns the head, makes faces and talks.

Everything about a frame follows from its time, so that a frame is the same whichever others are
asked for, and a longer sequence begins like a shorter one. What stays: the person, what is worn,
light, background, and the camera's distance. What moves:

- Pose: each angle is a sum of three sinusoids within `LIMITS_DEG`.
- Expression: a smile, brows, eyelids and gaze, each a sum of three sinusoids too. No blinks.
- Mouth: syllables of `SYLLABLE_S` seconds, about four a second, in phrases with pauses between.
  People open their mouths at 2 to 7 Hz when they talk (Chandrasekaran et al. 2009, The natural
  statistics of audiovisual speech).

`frames_of` finds the frames of a reader's own video.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facelab.data.anny_faces import RECIPE, AnnyFaces, Faces, label_values
from facelab.data.attributes import ATTRIBUTE_NAMES
from facelab.data.base import FaceDataset, Indices
from facelab.data.folder import ENDINGS
from facelab.data.people import People, draw_people
from facelab.data.seeding import identity_seeds, seed_of, stream
from facelab.data.views import Views, draw_views
from facelab.errors import DatasetError, ParameterError
from facelab.types import Batch

DRIVING = "driving-1"  # changes whenever the same seed gives other frames
LIMITS_DEG = (30.0, 10.0, 6.0)  # of yaw, pitch and roll, either way
# The share of each sinusoid of a wave, and between which frequencies it lies.
SHARES = (0.5, 0.3, 0.2)
BANDS_HZ = ((0.15, 0.3), (0.3, 0.5), (0.5, 0.8))
# By how much a wave changes in a second at most, where it lies within -1 and 1.
STEEPEST = 2 * math.pi * sum(s * high for s, (_, high) in zip(SHARES, BANDS_HZ, strict=True))
SYLLABLE_S, PHRASE, PAUSE_S = (0.2, 0.3), (5, 9), (0.25, 0.6)
JAW, FUNNEL, LOWER_LIP = 0.4, 0.4, 0.3  # weights of a mouth that is wide open
# Below the slowest, two frames a syllable would not be left.
SLOWEST, FASTEST, MOST_FRAMES = 10, 240, 100_000
VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif"}


@dataclass(frozen=True)
class Wave:
    """A sum of sinusoids that starts anywhere and stays within -1 and 1."""

    frequencies_hz: tuple[float, ...]
    phases_rad: tuple[float, ...]

    @classmethod
    def draw(cls, random: torch.Generator) -> "Wave":
        """Draw a wave: a frequency of each band, any phases."""
        place, turn = torch.rand(2, len(SHARES), generator=random, dtype=torch.float64).tolist()
        frequencies = (
            low + (high - low) * p for p, (low, high) in zip(place, BANDS_HZ, strict=True)
        )
        return cls(tuple(frequencies), tuple(2 * math.pi * t for t in turn))

    def at(self, time_s: float) -> float:
        """Return the wave at a time."""
        # One number at a time: a vector's sine may round differently at another place.
        parts = zip(SHARES, self.frequencies_hz, self.phases_rad, strict=True)
        return sum(s * math.sin(2 * math.pi * f * time_s + p) for s, f, p in parts)


@dataclass(frozen=True)
class Syllable:
    """The mouth opens by `opening`, 0 to 1, and closes again; `rounding` is how round the lips."""

    start_s: float
    length_s: float
    opening: float
    rounding: float

    def at(self, time_s: float) -> float:
        """Return how open the mouth is: a squared sine, flat where it begins and ends."""
        share = (time_s - self.start_s) / self.length_s
        return self.opening * math.sin(math.pi * share) ** 2 if 0 < share < 1 else 0.0


def speech(random: torch.Generator, until_s: float) -> list[Syllable]:
    """Draw syllables up to a time; a later time only adds to them."""
    found: list[Syllable] = []
    time_s = 0.0
    while time_s < until_s:
        count = int(torch.randint(PHRASE[0], PHRASE[1] + 1, (), generator=random))
        rows = torch.rand(count, 3, generator=random, dtype=torch.float64).tolist()
        for length, opening, rounding in rows:
            length_s = _between(SYLLABLE_S, length)
            found.append(Syllable(time_s, length_s, 0.5 + 0.5 * opening, rounding))
            time_s += length_s
        time_s += _between(PAUSE_S, float(torch.rand((), generator=random)))
    return found


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + share * (ends[1] - ends[0])


class Driving(FaceDataset):
    """The `frames` frames of one person who moves and talks, `size` x `size` pixels.

    `person` numbers the people of a `split` and `seed` as `AnnyFaces` does. Each frame is framed by
    itself like the template `book64`, as frames of a video are after their alignment. A batch's
    `labels` are those of `AnnyFaces`, and `mouth_opening` (0 closed, 1 wide open) and `time_s`; its
    `identity` is 0, since nobody else is here. Raises `ParameterError` for counts, sizes, rates or
    splits that can't be.
    """

    attribute_names = ATTRIBUTE_NAMES
    people = 1

    def __init__(
        self,
        frames: int = 60,
        person: int = 0,
        seed: int = 0,
        size: int = 64,
        split: str = "test",
        *,
        frames_per_second: float = 25,
        device: str | torch.device = "cpu",
    ):
        _require(frames, person, frames_per_second)
        self.person, self.seed, self.size, self.split = person, seed, size, split
        self.frames_per_second = frames_per_second
        self.identity_seed = identity_seeds(person + 1, seed, split)[person]
        self.id = f"driving-{size}"
        self.identity = torch.zeros(frames, dtype=torch.long)
        self._faces = AnnyFaces(
            size, [self.identity_seed], 1, seed=seed, split=split, device=device
        )
        self.waves = _waves(self._words)
        self.syllables = speech(stream(*self._words, "speech"), frames / frames_per_second)

    @property
    def _words(self) -> tuple[str | int, ...]:
        """What the draws of this sequence are named by."""
        return ("driving", self.seed, self.identity_seed)

    def config(self) -> dict:
        """Return everything that the frames follow from, as JSON values."""
        return {
            "recipe": DRIVING,
            "faces": RECIPE,
            "head": self._faces.config()["head"],
            "frames": len(self),
            "person": self.identity_seed,
            "seed": self.seed,
            "size": self.size,
            "split": self.split,
            "frames_per_second": self.frames_per_second,
        }

    def batch(self, indices: Indices) -> Batch:
        """Return these frames with their labels."""
        found = self.resolve(indices)
        faces = self.faces(found)
        drawn = self._faces.draw(faces, self.identity[found])
        return dataclasses.replace(drawn, labels=self._named(found, faces))

    def labels(self, indices: Indices) -> Batch:
        """Return the labels of these frames without drawing: pictures without pixels."""
        found = self.resolve(indices)
        faces = self.faces(found)
        return Batch(
            images=torch.zeros(len(found), 3, 0, 0),
            identity=self.identity[found],
            attributes=faces.attributes,
            landmarks=faces.landmarks,
            euler_rad=faces.views.euler_rad,
            labels=self._named(found, faces),
        )

    def still(self, count: int) -> Batch:
        """Return the person in `count` views of `AnnyFaces`: what a verification compares with.

        They are the first views of this person there, of the same seed; none of them is a frame,
        and light, background and what is worn are others. Raises `ParameterError` below one.
        """
        views = AnnyFaces(
            self.size, [self.identity_seed], count,
            seed=self.seed, split=self.split, device=self._faces.device,
        )  # fmt: skip
        return views.batch(range(count))

    def faces(self, frames: Sequence[int]) -> Faces:
        """Return these frames, ready to be drawn."""
        person, view = self._one
        views = self._moved(_repeated(view, len(frames)), [self._time_s(f) for f in frames])
        return self._faces.shown(_repeated(person, len(frames)), views)

    @functools.cached_property
    def _one(self) -> tuple[People, Views]:
        """The person and the conditions that stay, drawn once: they cost as much as a frame."""
        model, seed = self._faces.model, seed_of(*self._words, "view")
        return draw_people(model, [self.identity_seed]), draw_views(model, [seed])

    def _time_s(self, frame: int) -> float:
        return frame / self.frames_per_second

    def mouth_opening(self, time_s: float) -> float:
        """Return how far the mouth is opened at a time, 0 to 1."""
        return sum(syllable.at(time_s) for syllable in self.syllables)

    def _named(self, frames: list[int], faces: Faces) -> dict[str, Tensor]:
        times = [self._time_s(frame) for frame in frames]
        opening = torch.tensor([self.mouth_opening(time_s) for time_s in times])
        return {**label_values(faces), "mouth_opening": opening, "time_s": torch.tensor(times)}

    def _moved(self, views: Views, times: list[float]) -> Views:
        """Return these views with the pose and the expression of each time."""
        names = self._faces.model.expression_names
        angles = torch.tensor(
            [[self.waves[name].at(t) for name in ("yaw", "pitch", "roll")] for t in times],
            dtype=torch.float64,
        )
        angles = (angles * torch.tensor(LIMITS_DEG, dtype=torch.float64).deg2rad()).float()
        weights = [self._expression(t) for t in times]
        expression = torch.tensor([[row.get(name, 0.0) for name in names] for row in weights])
        yaw, pitch, roll = angles.unbind(1)
        return dataclasses.replace(
            views, yaw_rad=yaw, pitch_rad=pitch, roll_rad=roll, expression=expression
        )

    def _expression(self, time_s: float) -> dict[str, float]:
        """Return the weights that aren't 0 at a time, by the names of the model."""
        wave = {name: wave.at(time_s) for name, wave in self.waves.items()}
        smile, brows, across = (wave[name] for name in ("smile", "brows", "gaze"))
        smile, up, down = 0.35 + 0.35 * smile, max(brows, 0.0), max(-brows, 0.0)
        weights = _both(mouthSmile=smile, cheekSquint=0.6 * smile, browOuterUp=0.7 * up)
        weights |= _both(browDown=0.5 * down, eyeSquint=0.3 + 0.3 * wave["lids"])
        weights["browInnerUp"] = 0.5 * up
        for action, share in (("OutLeft", across), ("InRight", across),
                              ("InLeft", -across), ("OutRight", -across)):  # fmt: skip
            weights[f"eyeLook{action}"] = 0.3 * max(share, 0.0)
        for syllable in self.syllables:
            if opening := syllable.at(time_s):
                weights["jawOpen"] = JAW * opening
                weights["mouthFunnel"] = FUNNEL * syllable.rounding * opening
                weights |= _both(mouthLowerDown=LOWER_LIP * opening)
        return weights


def _repeated(value: Any, count: int) -> Any:
    """Return `count` rows of what has one: tensors, and what holds them; seeds are a tuple."""
    if isinstance(value, Tensor):
        return value.expand(count, *value.shape[1:])
    if isinstance(value, dict):
        return {name: _repeated(part, count) for name, part in value.items()}
    if dataclasses.is_dataclass(value):
        return type(value)(**_repeated(vars(value), count))
    if isinstance(value[0], int):
        return value * count
    return tuple(_repeated(part, count) for part in value)


def _both(**strengths: float) -> dict[str, float]:
    """Return the weights of actions on both sides of the face."""
    return {f"{name}{side}": w for name, w in strengths.items() for side in ("Left", "Right")}


def _waves(words: tuple[str | int, ...]) -> dict[str, Wave]:
    names = ("yaw", "pitch", "roll", "smile", "brows", "lids", "gaze")
    return {name: Wave.draw(stream(*words, name)) for name in names}


def _require(frames: int, person: int, frames_per_second: float) -> None:
    if not 1 <= frames <= MOST_FRAMES:
        raise ParameterError(
            f"{frames} frames make no sequence; give a number from 1 to {MOST_FRAMES:,}"
        )
    if person < 0:
        raise ParameterError(f"there is no person {person}; give a number from 0 on")
    if not SLOWEST <= frames_per_second <= FASTEST:
        raise ParameterError(
            f"{frames_per_second} frames a second can't show syllables; give a rate from {SLOWEST} "
            f"to {FASTEST}"
        )


# --- a reader's own frames -----------------------------------------------------------------------


def frames_of(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the frames of a video, one picture a frame, in the order of their numbers.

    `source` is a folder (the pictures in it; other files and hidden ones are left out) or the
    files. Numbers in names count as numbers: frame2 is before frame10. Raises `DatasetError` when
    there is no picture, when one is missing, when their endings differ (two sequences may be
    mixed), and for a video instead of its frames.
    """
    given = [Path(source)] if isinstance(source, str | Path) else [Path(p) for p in source]
    if len(given) == 1 and given[0].is_dir():
        found = _in_folder(given[0])
    else:
        found = given
        for path in found:
            _require_picture(path)
    if not found:
        raise DatasetError("no frame was given; give a folder of pictures, or the files")
    endings = sorted({path.suffix.lower() for path in found})
    if len(endings) > 1:
        raise DatasetError(
            f"the frames have several endings ({', '.join(endings)}), which may be several "
            "sequences; give the files of one kind"
        )
    return sorted(found, key=_by_number)


def _in_folder(folder: Path) -> list[Path]:
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    found = [p for p in files if p.suffix.lower() in ENDINGS]
    videos = [p for p in files if p.suffix.lower() in VIDEOS]
    if not found and videos:
        raise DatasetError(_is_video(videos[0]))
    if not found:
        known = ", ".join(sorted(ENDINGS))
        raise DatasetError(f"{folder} has no picture; it should have files like {known}")
    return found


def _require_picture(path: Path) -> None:
    if path.is_dir():
        raise DatasetError(f"{path} is a folder; give one folder alone, or files")
    if not path.is_file():
        raise DatasetError(f"there is no file {path}; give a folder of pictures, or the files")
    if path.suffix.lower() in VIDEOS:
        raise DatasetError(_is_video(path))
    if path.suffix.lower() not in ENDINGS:
        known = ", ".join(sorted(ENDINGS))
        raise DatasetError(f"{path} is no picture by its ending; give files like {known}")


def _is_video(path: Path) -> str:
    return (
        f"{path} is a video, not its frames; make a folder and extract them: "
        f'ffmpeg -i "{path}" FOLDER/%05d.png'
    )


def _by_number(path: Path) -> tuple[list[int | str], str]:
    """Return what sorts paths by names in which numbers are numbers."""
    parts = re.split("([0-9]+)", path.as_posix())
    return [int(p) if n % 2 else p.casefold() for n, p in enumerate(parts)], path.as_posix()
