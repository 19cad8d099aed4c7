"""Error rates of both recognisers on renders, by the axes of the head model.

Prints a record and writes it to runs/bench/demographics.json. Everybody is a person of AnnyFaces,
found by MTCNN; a face that it misses is counted as missed and takes part in nothing else. Each
recogniser has one threshold: that at which a given share of pairs of two people is accepted, chosen
on people of the validation split and held to people of the test split. The groups are ranges of the
head model's phenotypes: names of sliders, which describe no person.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import recording
import torch

from facelab.assets import ASSETS
from facelab.data.anny_faces import AnnyFaces
from facelab.data.people import age_of_years
from facelab.metrics import demographics, verification
from facelab.recognition import align, mtcnn
from facelab.recognition.embedder import Embedder, embedder

ROOT = Path(__file__).parents[1]
PIXELS, SEED, AT_ONCE = 128, 77, 32
RECOGNISERS = ("dlib", "faceres")
ORIGINS = ("african", "asian", "caucasian")
YOUNG, OLD = 30, 50


def group(axis: str, phenotype: dict[str, float]) -> str:
    """The group of a person on an axis, by the values of their phenotypes."""
    value = phenotype.get(axis, 0.0)
    if axis == "ancestry":
        return max(ORIGINS, key=phenotype.__getitem__)
    if axis == "gender":
        return "male end" if value < 0.5 else "female end"
    if axis == "age":
        young, old = age_of_years(YOUNG), age_of_years(OLD)
        return "19 to 30" if value < young else "30 to 50" if value < old else "50 to 75"
    middle = {"muscle": 0.5, "weight": 0.45}[axis]
    return "less" if value < middle else "more"


AXES = ("gender", "age", "ancestry", "muscle", "weight")


class Crowd:
    """People of one split: who was found, what both recognisers make of them, their groups."""

    def __init__(self, split: str, people: int, views: int):
        dataset = AnnyFaces(PIXELS, people, views, seed=SEED, split=split)
        self.config, names = dataset.config(), dataset.model.phenotype_names
        self.phenotypes, self.found, who, crops = {}, [], [], {n: [] for n in RECOGNISERS}
        self.networks: dict[str, Embedder] = {name: embedder(name) for name in RECOGNISERS}
        for start in range(0, len(dataset), AT_ONCE):
            batch = dataset.batch(range(start, min(start + AT_ONCE, len(dataset))))
            for row, person in enumerate(batch.identity.tolist()):
                values = batch.labels["phenotype"][row].tolist()
                self.phenotypes[person] = dict(zip(names, values, strict=True))
                face = mtcnn.detect(batch.images[row : row + 1])
                self.found.append((person, len(face) > 0))
                if len(face):
                    who.append(person)
                    self._cut(batch.images[row : row + 1], face.landmarks[:1], crops)
        self.pairs = {
            name: verification.all_pairs(embeddings=torch.cat(rows), people=torch.tensor(who))
            for name, rows in crops.items()
        }

    @torch.inference_mode()
    def _cut(self, image, points, crops) -> None:
        for name, network in self.networks.items():
            crops[name].append(network.embed(align.align(image, points, network.template)))

    def groups(self, axis: str) -> list[str]:
        return [group(axis, self.phenotypes[person]) for person in sorted(self.phenotypes)]

    def missed(self, axis: str) -> dict[str, float]:
        """Share of the faces of each group that were not found."""
        groups, told = self.groups(axis), {}
        for person, found in self.found:
            told.setdefault(groups[person], []).append(not found)
        return {name: sum(each) / len(each) for name, each in sorted(told.items())}


def rates(crowd: Crowd, name: str, threshold: float, replicates: int) -> dict:
    """The rates of everybody, and of each group of each axis."""
    everybody = ["everybody"] * len(crowd.phenotypes)
    told = {}
    for axis, groups in {"all": everybody, **{a: crowd.groups(a) for a in AXES}}.items():
        found = demographics.rates_by_group(
            crowd.pairs[name],
            groups,
            threshold,
            random=torch.Generator().manual_seed(0),
            replicates=replicates,
        )
        told[axis] = {key: named(asdict(found[key])) for key in sorted(found)}
    return told


def named(rates: dict) -> dict:
    """Names of a record: words."""
    return {key.replace("_", " ").replace("non match", "non-match"): v for key, v in rates.items()}


def measure(options: argparse.Namespace) -> dict:
    validation = Crowd("validation", options.validation, options.views)
    test = Crowd("test", options.people, options.views)
    told = {}
    for name in RECOGNISERS:
        threshold = demographics.threshold_at(validation.pairs[name], options.rate)
        told[name] = {
            "squared distance": threshold,
            "axes": rates(test, name, threshold, options.replicates),
        }
    return {
        "people": {"validation": options.validation, "test": options.people},
        "measured on": test.config,
        "assets": {name: ASSETS[name].sha256 for name in ("dlib-resnet", "faceres", "mtcnn")},
        "rule": f"false match rate {options.rate} on people of the validation split",
        "faces not found": {axis: test.missed(axis) for axis in AXES},
        "recognisers": told,
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=180, help="who are measured")
    parser.add_argument("--validation", type=int, default=60, help="people, for the threshold")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0.01, help="of false matches")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/bench/demographics.json")
    return parser.parse_args()


if __name__ == "__main__":
    options = parsed()
    kind = "error rates on renders by the axes of the head model"
    sys.exit(recording.main(kind, options, measure, pixels=PIXELS, views=options.views, seed=SEED))
