"""Ways between faces, sequences, and who is still known: figures 11 to 13, 16 and 17."""

import argparse
import functools
from collections.abc import Callable, Iterable
from dataclasses import asdict

import torch
from torch import Tensor

from facelab.data.driving import Driving
from facelab.methods.idmap.applications import Factor, Space, between, drive, new_identity
from facelab.methods.idmap.evaluation import Seen
from facelab.methods.idmap.losses import JAW
from facelab.metrics import paths, temporal
from facelab.metrics.deidentification import Case, deidentification
from facelab.metrics.paired import mean_interval
from facelab.metrics.temporal import Draws, Estimate
from facelab.recognition.face_points import SIZE
from facelab.types import Image
from idmap_parts.material import (
    ROOM,
    TEST_SEED,
    Judges,
    Subject,
    drawn_pairs,
    images_of,
    kept,
    renders,
    spread,
    stream,
)

CODE = (
    f"{ROOM}/applications", f"{ROOM}/losses", "metrics/paths", "metrics/temporal",
    "metrics/deidentification", "data/driving",
)  # fmt: skip
SPACES: tuple[Space, ...] = ("z", "w")
FACTORS: tuple[Factor, ...] = ("identity", "attributes")
DRIVING_SEED = TEST_SEED + 1  # nobody of the renders drives
ENROLLED = 4  # pictures of a driver that a verification compares with
DONOR_SEED = 100
RULES = ("closest", "mean", "pairs")


class Applications:
    """What a map is used for, measured by the judges."""

    def __init__(self, options: argparse.Namespace, subject: Subject, judges: Judges):
        self.options, self.subject, self.judges = options, subject, judges
        self.model = subject.model

    def kept(self, make: Callable[[], dict], *words: object) -> dict:
        known = self.subject.sha256, *self.judges.words
        return kept(make, *words, *known, by=__file__, code_of=CODE)

    # --- ways ---

    def paths(self) -> dict:
        """What each way holds and what it moves."""
        count, steps = self.options.triples, self.options.path_steps
        faces = drawn_pairs(self.model.generator, 2 * count, 2)

        def make() -> dict:
            given = torch.cat([faces.identity, faces.attributes])
            triples, strangers = given[: 3 * count].split(count), self.judges.read(given)
            return {
                space: {factor: self.way(triples, strangers, factor, space) for factor in FACTORS}
                for space in SPACES
            } | {"triples": count, "steps": steps}

        return self.kept(make, "paths", count, steps, *faces.words)

    def way(self, triples: tuple[Image, ...], strangers: Seen, factor: str, space: str) -> dict:
        """One factor's ways in one space: readings of every picture, (triples, steps, ...)."""
        steps = self.options.path_steps
        rows = [
            between(self.model, *(face[None] for face in faces), factor=factor, space=space,
                    steps=steps)
            for faces in zip(*triples, strict=True)
        ]  # fmt: skip
        seen = self.judges.read(torch.cat(rows))
        shape = (len(rows), steps)
        who = seen.embeddings.unflatten(0, shape)
        looks = {name: value.unflatten(0, shape) for name, value in looks_of(seen).items()}
        others, random = looks_of(strangers), stream()
        if factor == "identity":
            held = {
                name: paths.drift(looks[name], others[name], random=random,
                                  distance=DISTANCES[name], unit=LOOK_UNITS[name])
                for name in looks
            }  # fmt: skip
            moved = {"identity": paths.progress(who, random=random, distance=paths.squared)}
            return told({"held": held, "moved": moved})
        distance = {"distance": paths.squared, "unit": "squared distance of unit embeddings"}
        held = paths.drift(who, strangers.embeddings, random=random, **distance)
        held |= self.known(who)
        moved = {
            name: paths.progress(looks[name], random=random, distance=DISTANCES[name])
            for name in looks
        }
        return told({"held": {"identity": held}, "moved": moved})

    def known(self, who: Tensor) -> dict[str, Estimate]:
        """The share of steps at which the judge still sees the start's person, and the cosine."""
        cosines = (who[:, 1:] * who[:, :1]).sum(2).double()
        same = (2 - 2 * cosines < self.judges.embedder.threshold_squared).double()
        return {
            "verified as the start": mean_of("share of steps", same.mean(1), "paths"),
            "cosine to the start": mean_of("cosine", cosines.mean(1), "paths"),
        }

    # --- sequences ---

    @functools.cached_property
    def drivers(self) -> list[Driving]:
        """Sequences of several people that no training has."""
        return [
            Driving(self.options.frames, person, DRIVING_SEED, self.model.size)
            for person in range(self.options.drivers)
        ]

    @functools.cached_property
    def frames(self) -> list[Image]:
        """The frames of each driver."""
        return [images_of(one, torch.arange(len(one))) for one in self.drivers]

    @functools.cached_property
    def own(self) -> list[Seen]:
        """What is seen on the drivers' own frames."""
        return [self.judges.read(frames) for frames in self.frames]

    @property
    def words(self) -> list[str]:
        """Which frames these are."""
        return [driver.config_hash for driver in self.drivers]

    def driven(self, donor: Image, frames: Image) -> Seen:
        return self.judges.read(torch.cat(list(drive(self.model, donor, [frames]))))

    def sequences(self) -> dict:
        """Each driver with every donor; together, each driver with one, so that they are apart."""
        count = self.options.donors

        def make() -> dict:
            donors = drawn_pairs(self.model.generator, count, 2).identity
            made = [[self.driven(one, frames) for frames in self.frames]
                    for one in donors.split(1)]  # fmt: skip
            together = [made[row % count][row] for row in range(len(self.drivers))]
            return {
                "drivers": len(self.drivers),
                "frames": self.options.frames,
                "donors": count,
                "all": self.followed(together),
                "by donor": [self.followed(row) for row in made],
                "driver": told(steadiness(self.own)),
            }

        return self.kept(make, "sequences", count, *self.words)

    def followed(self, made: list[Seen]) -> dict:
        """How steady made sequences are, and whether they move as their drivers do."""
        own, draws = self.own, Draws(stream(), self.judges.replicates)
        points = [[seen.landmarks for seen in side] for side in (made, own)]
        return told({
            **steadiness(made),
            "against the driver": temporal.identity_against(
                *([seen.embeddings for seen in side] for side in (made, own)), draws
            ),
            "jitter against the driver": temporal.jitter_against(*points, draws),
            "motion": temporal.motion_followed(motions(made), motions(own), draws),
        })  # fmt: skip

    # --- de-identification ---

    def deidentification(self) -> dict:
        """Who is known before and after, by each rule of a verification."""
        options = self.options
        others = renders(options.people, options.views)

        def make() -> dict:
            rows = spread(others.identity, torch.ones(len(others), dtype=torch.bool), stream())
            crowd = self.judges.read(images_of(others, rows[: others.people])).embeddings
            cases = [self.case(number) for number in range(len(self.drivers))]
            threshold = self.judges.embedder.threshold_squared
            how = {"replicates": self.judges.replicates, "distractors": crowd}
            return {
                rule: asdict(deidentification(cases, threshold, random=stream(), rule=rule, **how))
                for rule in RULES
            }

        return self.kept(make, "de-identification", others.config_hash, *self.words)

    def case(self, number: int) -> Case:
        """A driver with a donor of his own, drawn away from the pictures of him."""
        still = self.drivers[number].still(ENROLLED).images
        donor = new_identity(self.model, DONOR_SEED + number, away_from=still)
        known, given = (self.judges.read(faces).embeddings for faces in (still, donor))
        after = self.driven(donor, self.frames[number]).embeddings
        return Case(known, self.own[number].embeddings, after, given)


def landmark_distance(a: Tensor, b: Tensor) -> Tensor:
    """The mean distance of landmarks in sides of the picture, as table 1's expression."""
    return (a - b).norm(dim=2).mean(dim=1) / SIZE


DISTANCES = {"pose": paths.euclidean, "landmarks": landmark_distance}
LOOK_UNITS = {"pose": "degrees", "landmarks": "sides of the picture"}


def looks_of(seen: Seen) -> dict[str, Tensor]:
    """Pose in degrees and the landmarks without the jaw."""
    return {"pose": seen.angles_rad.rad2deg(), "landmarks": seen.landmarks[:, JAW:]}


def motions(sequences: Iterable[Seen]) -> dict[str, list[Tensor]]:
    """What moves in sequences, by name."""
    found = [temporal.motion(seen.angles_rad, seen.landmarks) for seen in sequences]
    return {name: [one[name] for one in found] for name in found[0]}


def steadiness(sequences: list[Seen]) -> dict:
    """How much identity and landmarks of sequences change from frame to frame."""
    embeddings, points = [s.embeddings for s in sequences], [s.landmarks for s in sequences]
    draws = Draws(stream())
    return {
        "identity": temporal.identity_over_time(embeddings, draws),
        "jitter": temporal.jitter(points, SIZE, draws),
    }


def mean_of(unit: str, values: Tensor, drawn: str) -> Estimate:
    return Estimate(unit, float(values.mean()), mean_interval(values, stream()), drawn)


def told(value: object) -> dict:
    """Estimates as JSON values, wherever they are."""
    if isinstance(value, Estimate):
        return asdict(value)
    return {name: told(part) if isinstance(part, dict | Estimate) else part
            for name, part in value.items()}  # fmt: skip
