"""Figures 6, 9, 10 and 11: swaps, edits and ways, and how real pictures look."""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from d2ae_parts.material import Material, Subject, kept, stream, whole
from facelab.methods.d2ae import directions
from facelab.methods.d2ae.claims import OF_THE_PERSON, OF_THE_PICTURE
from facelab.methods.d2ae.editing import Direction, interpolated, moved, pattern
from facelab.metrics.combination import Faces, table1
from facelab.metrics.extractors import extractor
from facelab.metrics.kernel import kernel_distance
from facelab.metrics.paired import mean_interval
from facelab.metrics.pixels import psnr
from facelab.metrics.probes import LEAST, AttributeProbe, attribute_probe
from facelab.recognition.embedder import embedder
from facelab.recognition.face_readers import attribute_judge, landmark_judge
from facelab.recognition.face_reading import pose_error_deg, read_faces

CODE = ("metrics/combination", "metrics/kernel", "metrics/probes", "recognition/face_reading",
        "methods/d2ae/editing")  # fmt: skip
KINDS = ("", PATTERN := ", pattern")
STRENGTHS = (-1.0, -0.5, 0.5, 1.0)
EDITED = 160  # faces, each with every direction at every strength
ENDS, STEPS = 40, 9
Probed = tuple[AttributeProbe, Tensor]


class Editing:
    """What is measured of pictures, for any training that has a decoder."""

    def __init__(self, options: argparse.Namespace, material: Material):
        self.options, self.material = options, material
        self.judge, self.points = embedder("faceres"), landmark_judge()
        self.attributes = attribute_judge()

    def pairs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pictures of pairs of two people, pictures that are in none, and who gives identities."""
        images, _ = whole(self.material.test)
        people, random = self.material.test.identity, stream(1)
        order = torch.randperm(len(images), generator=random)
        count = min(self.options.pairs, len(images) // 3)
        first, second, others = order[:count], order[count : 2 * count], order[2 * count :]
        apart = people[first] != people[second]
        first, second = first[apart], second[apart]
        return images[first], images[second], images[others], people[first]

    # --- swaps ---

    def swaps(self, subject: Subject) -> dict:
        """Table 1 of chapter 8 for f_T of one face and f_P of another."""
        words = ("swaps", subject.words, self.material.words, self.options.pairs)

        def make() -> dict:
            identity, attributes, others, who = self.pairs()
            made = {
                "swap": subject.model.swap(identity, attributes),
                "rebuilt I_attr": subject.model(attributes),
                "copy I_id": identity,
                "copy I_attr": attributes,
            }
            rows = {n: Faces(identity, attributes, images, who) for n, images in made.items()}
            return table1(
                rows, self.judge, extractor("faceres"), stream(), references=others, seen=(),
                against="swap", points=self.points, replicates=self.options.replicates,
            )  # fmt: skip

        return kept(make, *words, by=__file__, code_of=CODE)

    def rebuilding(self, subject: Subject) -> dict:
        """PSNR and kernel distance of rebuilt faces: figure 11 compares the latter."""
        words = ("rebuilding", subject.words, self.material.words, self.options.pairs)

        def make() -> dict:
            images, _, others, _ = self.pairs()
            made, read = subject.model(images), extractor("faceres")
            values = psnr(made, images, data_range=(-1, 1)).double()
            sets = (read.extract(others), read.extract(made))
            found = kernel_distance(*sets, extractor=read.id, random=stream())
            interval = mean_interval(values, stream())
            told = {"mean": float(values.mean()), "interval": interval and asdict(interval)}
            return {"PSNR": told, "distance": asdict(found)}

        return kept(make, *words, by=__file__, code_of=CODE)

    # --- edits ---

    def probed(self, subject: Subject, names: Sequence[str], branch: str, half: bool) -> Probed:
        """SVMs of one branch, of all of their faces; or of half of the people, judged by the rest.

        Also the codes that they learned from.
        """
        images, labels = whole(self.material.probe)
        codes, people = getattr(subject.codes(images), branch), self.material.probe.identity
        labels = labels[:, [self.material.names.index(name) for name in names]]
        second = people >= people.unique().median() if half else torch.ones_like(people).bool()
        first = ~second if half else second
        probe = attribute_probe(
            codes[first], labels[first], codes[second], labels[second], names=names,
            people=people[second], random=stream(), replicates=10,
        )  # fmt: skip
        return probe, codes[first]

    def directions(
        self, subject: Subject, names: Sequence[str], branch: str, kind: str
    ) -> list[Direction]:
        """Ways to attributes in one branch, found on the SVMs' faces: their normal or pattern.

        The normal is that of standardised channels, in the channels' own units.
        """
        probe, codes = self.probed(subject, names, branch, half=False)
        planes = {name: one.boundary for name, one in probe.attributes.items()}
        return [
            Direction(
                name,
                branch,
                pattern(torch.tensor(plane.normal), codes)
                if kind == PATTERN
                else torch.tensor(plane.direction).float(),
            )
            for name, plane in planes.items()
        ]

    def store(self, subject: Subject, checkpoint: Path, path: Path) -> str:
        """Write a way to each attribute, for those who edit; return the file's SHA-256.

        It is the pattern in the branch whose SVM, of half of the people, reads the others better.
        """
        _, labels = whole(self.material.probe)
        counts, rows = labels.sum(0).tolist(), len(labels)
        pairs = zip(self.material.names, counts, strict=True)
        names = [name for name, count in pairs if LEAST <= count <= rows - LEAST]
        scores = {branch: self.scores(subject, names, branch) for branch in "tp"}
        best = {name: max("tp", key=lambda b, n=name: scores[b].get(n, 0.0)) for name in names}
        ways = {b: self.directions(subject, names, b, PATTERN) for b in "tp"}
        found = [way for b in "tp" for way in ways[b] if best[way.name] == b]
        facts = {"data": self.material.probe.id, "found_by": "pattern of a linear SVM"}
        told = {b: {n: round(x, 4) for n, x in scores[b].items()} for b in "tp"}
        return directions.save(path, found, checkpoint, **facts, balanced_accuracy=told)

    def scores(self, subject: Subject, names: Sequence[str], branch: str) -> dict[str, float]:
        """Balanced accuracy by attribute, of SVMs of half of the people on the others."""
        probe, _ = self.probed(subject, names, branch, half=True)
        return {name: one.balanced_accuracy.value for name, one in probe.attributes.items()}

    def edits(self, subject: Subject) -> dict:
        """Each direction at each strength, in either branch: what the judges see of it.

        "Smiling by P" is along the normal, as in section 4.3; "Smiling by P, pattern" the other.
        """
        marked = OF_THE_PICTURE, OF_THE_PERSON
        words = ("edits", subject.words, self.material.words, EDITED, STRENGTHS, KINDS, marked)

        def make() -> dict:
            images, told = self.pairs()[1][:EDITED], {}
            names = [n for n in (*OF_THE_PICTURE, *OF_THE_PERSON) if n in self.attributes.names]
            for branch, kind in itertools.product("pt", KINDS):
                told |= {
                    f"{way.name} by {branch.upper()}{kind}": self.edit(subject, images, way)
                    for way in self.directions(subject, names, branch, kind)
                }
            return told

        return kept(make, *words, by=__file__, code_of=CODE)

    def edit(self, subject: Subject, images: Tensor, way: Direction) -> dict:
        """One direction: the judge's answer, whose face it is, and where points and pose are."""
        codes, column = subject.codes(images), self.attributes.names.index(way.name)
        plain = subject.model.decode(*codes)
        before = read_faces(plain, self.judge, self.points)
        with torch.no_grad():
            score = self.attributes(plain)[:, column]
        told: dict = {"has it, unchanged": float((score > 0).double().mean()), "strengths": {}}
        for strength in STRENGTHS:
            changed = moved(subject.model, codes, {way.name: strength}, {way.name: way})
            made = subject.model.decode(*changed)
            after = read_faces(made, self.judge, self.points)
            with torch.no_grad():
                now = self.attributes(made)[:, column]
            gap = (before.embeddings - after.embeddings).square().sum(1)
            told["strengths"][str(strength)] = {
                "has it": float((now > 0).double().mean()),
                "score moved": float((now - score).mean()),
                "identity distance": float(gap.mean()),
                "same person": float((gap < self.judge.threshold_squared).double().mean()),
                "pose": float(pose_error_deg(before.angles_rad, after.angles_rad).mean()),
                "landmarks": float((before.landmarks - after.landmarks).norm(dim=2).mean() / 64),
            }
        return told

    # --- ways ---

    def ways(self, subject: Subject) -> dict:
        """Interpolation of one code with the other held: what drifts, and what moves in order."""
        words = ("ways", subject.words, self.material.words, ENDS, STEPS)

        def make() -> dict:
            first, second, _, _ = self.pairs()
            told: dict = {}
            for branch in ("identity", "attributes"):
                rows = [
                    interpolated(subject.model, a[None], b[None], STEPS, branch)
                    for a, b in zip(first[:ENDS], second[:ENDS], strict=True)
                ]
                told[branch] = self.way(torch.cat(rows), len(rows))
            return told

        return kept(make, *words, by=__file__, code_of=CODE)

    def way(self, pictures: Tensor, count: int) -> dict:
        """How far identity, pose and landmarks are from the start at every step, on average."""
        seen = read_faces(pictures, self.judge, self.points)
        who = seen.embeddings.unflatten(0, (count, STEPS))
        angles = seen.angles_rad.unflatten(0, (count, STEPS)).rad2deg()
        points = seen.landmarks.unflatten(0, (count, STEPS))
        return {
            "identity": (who - who[:, :1]).square().sum(2).mean(0).tolist(),
            "pose": (angles - angles[:, :1]).norm(dim=2).mean(0).tolist(),
            "landmarks": ((points - points[:, :1]).norm(dim=3).mean(2).mean(0) / 64).tolist(),
        }
