"""What a translation of faces from one domain to another gains, keeps and loses; with intervals.

| here | question | claim of GANFaces (Gecer et al. 2018) |
|---|---|---|
| `separation.separation` | are people told apart on the made faces? | figure 7 |
| `separation.coherence` | are one person's faces near each other? | section 3.3, figure 3 |
| `realism` | do made faces look like photographs, to an extractor? | section 5.2 |
| `control` | are pose, landmarks and light still the render's? | section 5.1, figure 6 |

People are drawn anew for every interval (`bootstrap`), but for the kernel distance's, which leaves
groups of pictures out. Whoever judges must not have been seen by a loss: `translation_report`
refuses that.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.errors import ParameterError
from facelab.methods.ganfaces import evaluation
from facelab.methods.ganfaces.evaluation import (
    Faces,
    Light,
    Seen,
    landmark_error,
    light_error,
    pose_error_deg,
)
from facelab.metrics.bootstrap import (
    Interval,
    Statistic,
    Weights,
    bootstrap_interval,
    weighted_mean,
)
from facelab.metrics.extractors import Extractor
from facelab.metrics.kernel import KernelDistance, kernel_distance
from facelab.metrics.separation import coherence, ratio_of, separation
from facelab.recognition.embedder import Embedder
from facelab.recognition.judges import require_unseen

STRANGERS = 4  # shuffled pairs a face

People = Int[Tensor, " faces"]
Error = Callable[[Tensor, Tensor], Float[Tensor, " pairs"]]


# --- control -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Control:
    """How far a quantity of the made face is from the render's, and from a stranger's render.

    `error` is the mean over faces, `shuffled` that over pairs of a made face and another person's
    render, `ratio` the first over the second: 0 where the quantity is kept, about 1 where it is
    lost. `of_truth` is the error of the made face's reading against the render's label, and
    `of_render` that of the render's own reading: what the reader adds. None without labels.
    """

    unit: str
    error: float
    error_interval: Interval | None
    shuffled: float
    shuffled_interval: Interval | None
    ratio: float
    ratio_interval: Interval | None
    of_truth: float | None = None
    of_truth_interval: Interval | None = None
    of_render: float | None = None


def control(
    before: Seen,
    after: Seen,
    faces: Faces,
    *,
    random: torch.Generator,
    replicates: int = 1000,
) -> dict[str, Control]:
    """Compare what is read off made faces with what is read off their renders, by quantity.

    "pose" in degrees (all angles, and "yaw", "pitch", "roll" alone), "landmarks" in sides of the
    box about the render's, "light" in stops. What all faces of a domain have in common is taken off
    the light: a translation may brighten every face's forehead. `random` chooses the strangers and
    the intervals' people.
    """
    drawn = _Drawn(faces.people, random, replicates)
    dark, bright = (seen.light - seen.light.mean(0) for seen in (before, after))
    angles = (before.angles_rad, after.angles_rad, faces.angles_rad)
    told = {"pose": drawn.compare("degrees", pose_error_deg, *angles)}
    for column, name in enumerate(("yaw", "pitch", "roll")):
        one = [None if a is None else a[:, [column]] for a in angles]
        told[name] = drawn.compare("degrees", _angle_error_deg, *one)
    told["landmarks"] = drawn.compare(
        "sides of the box", _points_error, before.landmarks, after.landmarks, faces.landmarks
    )
    told["light"] = drawn.compare("stops", light_error, dark, bright)
    return told


def light_correlation(before: Light, after: Light) -> float:
    """Return the correlation of two readings of light over all faces and cells.

    Both less the mean over faces. Raises `ParameterError` when one of them does not vary.
    """
    a, b = (light.double() - light.double().mean(0) for light in (before, after))
    lengths = float(a.norm() * b.norm())
    if not lengths > 1e-12:
        raise ParameterError("the light is the same on all faces, so nothing can go along with it")
    return float((a * b).sum()) / lengths


def _angle_error_deg(a: Float[Tensor, "faces 1"], b: Float[Tensor, "faces 1"]) -> Tensor:
    return (a - b).rad2deg().abs()[:, 0]


def _points_error(render: Tensor, made: Tensor) -> Tensor:
    return landmark_error(made, render)


class _Drawn:
    """Faces with their strangers, the same for every quantity."""

    def __init__(self, people: People, random: torch.Generator, replicates: int):
        self.people, self.random, self.replicates = people, random, replicates
        first = torch.arange(len(people)).repeat(STRANGERS)
        second = torch.randint(len(people), (len(first),), generator=random)
        others = people[first] != people[second]
        self.first, self.second = first[others], second[others]
        if not len(self.first):
            raise ParameterError(
                f"all {len(people)} faces are one person's, so none is a stranger's; give more "
                "people"
            )
        own = torch.stack([people, people], dim=1)
        self.pairs = torch.cat([own, people[torch.stack([self.first, self.second], dim=1)]])

    def compare(
        self,
        unit: str,
        error: Error,
        before: Float[Tensor, "faces *_"],
        after: Float[Tensor, "faces *_"],
        truth: Float[Tensor, "faces *_"] | None = None,
    ) -> Control:
        """Measure one quantity, all of it by `error(render's, made face's)`."""
        own, other = error(before, after), error(before[self.first], after[self.second])
        values = torch.cat([own, other]).double()
        kept = torch.arange(len(values)) < len(own)
        means = [self._mean(values, kind) for kind in (kept, ~kept)]
        found, everybody = {}, np.ones(len(values))
        statistics = {"error": means[0], "shuffled": means[1], "ratio": ratio_of(*means)}
        for name, statistic in statistics.items():
            found[name] = statistic(everybody)
            found[f"{name}_interval"] = self._interval(statistic, self.pairs)
        if truth is not None:
            told = error(truth, after).double()
            found["of_truth"] = float(told.mean())
            found["of_truth_interval"] = self._interval(weighted_mean(told), self.pairs[: len(own)])
            found["of_render"] = float(error(truth, before).double().mean())
        return Control(unit=unit, **found)

    @staticmethod
    def _mean(values: Float[Tensor, " pairs"], kind: Bool[Tensor, " pairs"]) -> Statistic:
        whole, chosen = values.numpy(), kind.numpy()

        def statistic(weights: Weights) -> float:
            own = weights * chosen
            total = own.sum()
            return float(own @ whole / total) if total else float("nan")

        return statistic

    def _interval(self, statistic: Statistic, pairs: Int[Tensor, "pairs 2"]) -> Interval | None:
        return bootstrap_interval(
            statistic, pairs, generator=self.random, replicates=self.replicates
        )


# --- all of it -----------------------------------------------------------------------------------


def realism(
    photos: Float[Tensor, "photos features"],
    made: Float[Tensor, "faces features"],
    *,
    extractor: str,
    random: torch.Generator,
) -> KernelDistance:
    """Return the kernel distance of made faces to photographs, both as features of an extractor."""
    return kernel_distance(photos, made, extractor=extractor, random=random)


def translation_report(
    faces: Faces,
    photos: Float[Tensor, "photos features"],
    judge: Embedder,
    extractor: Extractor,
    *,
    seen: Iterable[str],
    random: torch.Generator,
    replicates: int = 1000,
    before: Seen | None = None,
) -> dict:
    """Measure a translator by its faces, against photographs that `extractor` described.

    `judge` says who is who; `seen` are the embedders that the translator's loss looked through;
    `before` is what the judge saw on the renders, where that is known already.
    Returns what JSON can hold: the results of `separation`, `coherence`, `realism`, `control` and
    `light_correlation`, and who judged. Where nobody has two faces, `separation` and `coherence`
    are None. Raises `ParameterError` when judge or extractor is one of `seen`, or a part of it.
    """
    seen = tuple(seen)
    for scoring in (judge.id, extractor.id):
        require_unseen(seen, scoring)
    before, after = (
        before or evaluation.read(faces.renders, judge),
        evaluation.read(faces.made, judge),
    )
    several = len(faces.people.unique()) < len(faces)
    how = {"embedder": judge.id, "random": random, "replicates": replicates}
    told = {"embedders seen in training": list(seen), "judge": judge.id, "extractor": extractor.id}
    told["faces"], told["people"] = len(faces), len(faces.people.unique())
    for name, measure in (("separation", separation), ("coherence", coherence)):
        found = measure(after.embeddings, faces.people, **how) if several else None
        told[name] = found and asdict(found)
    features = extractor.extract(faces.made)
    told["realism"] = asdict(realism(photos, features, extractor=extractor.id, random=random))
    kept = control(before, after, faces, random=random, replicates=replicates)
    told["control"] = {name: asdict(found) for name, found in kept.items()}
    told["light correlation"] = light_correlation(before.light, after.light)
    return told
