"""Tables 1 and 2, and figures 4, 5, 7 and 8: what each branch knows, and how its channels lie."""

import argparse
import functools
import statistics
from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor

from d2ae_parts.material import KEPT, Material, Subject, Trainings, kept, stream, whole
from facelab.metrics import verification
from facelab.metrics.gaussianity import gaussianity
from facelab.metrics.neighbours import neighbourhood, tsne
from facelab.metrics.probes import (
    AttributeProbe,
    attribute_probe,
    compare_attributes,
    leakage_probe,
    split_faces,
)
from facelab.recognition.face_readers import attribute_judge, balanced_accuracy

__all__ = ["KEPT", "Tables"]

CODE = ("metrics/verification", "metrics/probes", "metrics/gaussianity", "metrics/neighbours")
BRANCHES = ("T", "P", "both")
NEGATIVES = 200_000  # of all pairs of two people: a rate of 0.001 is then 200 of them
WIDE = 1.0  # a default threshold of squared distance; all thresholds are chosen by folds
PICTURED = 20  # people of figure 4


class Tables:
    """What is measured of codes, for any training."""

    def __init__(self, options: argparse.Namespace, material: Material, trainings: Trainings):
        self.options, self.material, self.trainings = options, material, trainings

    @functools.cached_property
    def faces(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Pictures and attributes of the SVMs' part and of the test part."""
        return whole(self.material.probe), whole(self.material.test)

    def branches(self, subject: Subject) -> dict[str, tuple[Tensor, Tensor]]:
        """Codes of both parts by the branch's name; of the baseline, T alone."""
        probe, test = (subject.codes(images) for images, _ in self.faces)
        if not probe.p.shape[1]:
            return {"T": (probe.t, test.t)}
        both = tuple(torch.cat(codes, dim=1) for codes in (probe, test))
        return {"T": (probe.t, test.t), "P": (probe.p, test.p), "both": both}

    # --- table 1 ---

    def table1(self, subject: Subject, branches: tuple[str, ...] = BRANCHES) -> dict:
        """Verification, attributes and leakage of each branch."""
        words = ("table 1", branches, subject.words, self.material.words, self.options.replicates)

        def make() -> dict:
            codes = self.branches(subject)
            wanted = {name: codes[name] for name in branches if name in codes}
            probes = {name: self.probe(*parts) for name, parts in wanted.items()}
            rows = {name: self.row(parts, probes[name]) for name, parts in wanted.items()}
            told: dict = {"rows": rows}
            if {"P", "T"} <= {*wanted}:
                told["P less T"] = self.compared(probes, wanted)
            return told

        return kept(make, *words, by=__file__, code_of=CODE)

    def probe(self, train: Tensor, test: Tensor) -> AttributeProbe:
        """Linear SVMs of all attributes."""
        (_, seen), (_, truth) = self.faces
        return attribute_probe(
            train, seen, test, truth, names=self.material.names,
            people=self.material.test.identity, random=stream(), replicates=self.options.replicates,
        )  # fmt: skip

    def row(self, parts: tuple[Tensor, Tensor], probe: AttributeProbe) -> dict:
        """What one branch does."""
        codes, people = parts[1], self.material.test.identity
        first, second = split_faces(people, random=stream())
        leak = leakage_probe(
            codes[first], people[first], codes[second], people[second], random=stream(),
            replicates=self.options.replicates,
        )  # fmt: skip
        return {
            "verification": self.verified(codes),
            "attributes": attributes_of(probe),
            "leakage": asdict(leak),
        }

    def verified(self, codes: Tensor) -> dict:
        """By the cosine of codes, as section 4.3 has it: all pairs of one person, many of two."""
        pairs = some_pairs(codes, self.material.test.identity)
        found = verification.measure(
            pairs, default_threshold=WIDE, replicates=self.options.pair_replicates
        ).as_dict()
        found.pop("histogram")
        return found

    def compared(self, probes: Mapping[str, AttributeProbe], codes: Mapping) -> dict:
        """Attribute by attribute: how much better P is than T (figure 5)."""
        found = compare_attributes(
            (probes["P"], codes["P"][1]), (probes["T"], codes["T"][1]), self.faces[1][1],
            people=self.material.test.identity, random=stream(), figure="balanced_accuracy",
            replicates=self.options.replicates,
        )  # fmt: skip
        return asdict(found)

    # --- table 3 ---

    def supervised(self, subject: Subject) -> dict:
        """Linear SVMs on both codes against a network that was trained on attributes."""
        words = ("supervised", subject.words, self.material.words, self.options.replicates)

        def make() -> dict:
            judge, names = attribute_judge(), self.material.names
            probe = self.probe(*self.branches(subject)["both"])
            common = [name for name in probe.attributes if name in judge.names]
            images, truth = self.faces[1]
            with torch.no_grad():
                decided = judge.decide(images)[:, [judge.names.index(name) for name in common]]
            truth = truth[:, [names.index(name) for name in common]]
            found = balanced_accuracy(decided, truth).tolist()
            own = [probe.attributes[name].balanced_accuracy.value for name in common]
            return {
                "SVM": statistics.fmean(own),
                "network": statistics.fmean(found),
                "attributes": {n: list(both) for n, *both in zip(common, own, found, strict=True)},
            }

        return kept(make, *words, by=__file__, code_of=(*CODE, "recognition/face_readers"))

    # --- figures 4, 7 and 8 ---

    def shape(self, subject: Subject) -> dict:
        """How channels are distributed, and whether people are together."""
        words = ("shape", subject.words, self.material.words)

        def make() -> dict:
            codes = self.branches(subject)
            people = self.material.test.identity
            told: dict = {}
            for name in ("T", "P"):
                if name not in codes:
                    continue
                rows = codes[name][1]
                told[name] = {
                    "gaussianity": asdict(gaussianity(rows, random=stream())),
                    "neighbours": asdict(neighbourhood(rows, people, random=stream())),
                }
            return told

        return kept(make, *words, by=__file__, code_of=CODE)

    def picture(self, subject: Subject) -> dict:
        """Figure 4: t-SNE of some people's faces, and what is measured in the picture itself."""
        words = ("picture", subject.words, self.material.words)

        def make() -> dict:
            codes, people = self.branches(subject), self.material.test.identity
            some = people < PICTURED
            told: dict = {"people": people[some].tolist()}
            for name in ("T", "P"):
                placed = tsne(codes[name][1][some], seed=0)
                near = neighbourhood(placed, people[some], random=stream(), distance="euclidean")
                points = [[round(x, 2) for x in row] for row in placed.tolist()]
                told[name] = {"points": points, "neighbours": asdict(near)}
            return told

        return kept(make, *words, by=__file__, code_of=CODE)

    # --- table 2 ---

    def table2(self) -> dict:
        """Verification by T and by the baseline, on fewer and on more people, seed by seed."""
        told: dict = {}
        for people in (self.options.few_people, self.options.train_people):
            told[str(people)] = {
                name: {
                    str(seed): self.verified_only(self.trainings.trained(name, seed, people))
                    for seed in self.options.seeds
                }
                for name in ("full", "baseline")
            }
        return told

    def verified_only(self, subject: Subject) -> dict:
        """Table 2's columns of a training."""
        words = ("table 2", subject.words, self.material.words, self.options.pair_replicates)

        def make() -> dict:
            images, _ = self.faces[1]
            return self.verified(subject.codes(images).t) | {"training": dict(subject.facts)}

        return kept(make, *words, by=__file__, code_of=CODE)


def some_pairs(codes: Tensor, people: Tensor) -> verification.Pairs:
    """All pairs of one person's pictures, and as many of two people as `NEGATIVES`."""
    count, random = len(people), stream()
    pictures = torch.combinations(torch.arange(count))
    same = people[pictures[:, 0]] == people[pictures[:, 1]]
    others = (~same).nonzero()[:, 0]
    others = others[torch.randperm(len(others), generator=random)[:NEGATIVES]]
    rows = torch.cat([same.nonzero()[:, 0], others])
    unit = torch.nn.functional.normalize(codes.double(), dim=1)
    first, second = pictures[rows].T
    return verification.Pairs(
        distances=(unit[first] - unit[second]).square().sum(dim=1),
        same=same[rows],
        pictures=pictures[rows],
        people=people,
        failed=torch.zeros(len(rows), dtype=torch.bool),
    )


def attributes_of(probe: AttributeProbe) -> dict:
    """A probe as JSON values, without its planes."""
    told = asdict(probe)
    for one in told["attributes"].values():
        one.pop("boundary")
    return told
