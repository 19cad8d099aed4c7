"""What an edit does: how often the judge sees it, and how far the identity moves.

Li & Luo show pictures (figure 7) and say that averaging makes the arithmetic stable (section 2.2).
Here both are numbers, by a judge that had no part in making the vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.methods.ganid.arithmetic import Labelled, Vector, attribute_vector, edit
from facelab.methods.ganid.attributes import Attribute
from facelab.methods.ganid.scoring import Scorer
from facelab.recognition.embedder import Embedder
from facelab.types import Embedding, Image, Latent

Table = Float[Tensor, "strengths faces"]
STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)
COUNTS = (1, 3, 10, 30)  # the averages of claim "ganid.averaging"


@dataclass(frozen=True)
class Sweep:
    """Edits of the same faces at several strengths, in rising order.

    `before` and `has` say whether the judge sees the attribute, in the unedited faces (faces) and
    after (strengths, faces). `distance` is the squared distance of an edited face to the unedited
    one under `embedder`, `distance_unseen` under `unseen`, if there is one.
    """

    attribute: str
    judge: str
    embedder: str
    strengths: Float[Tensor, " strengths"]
    before: Bool[Tensor, " faces"]
    has: Bool[Tensor, "strengths faces"]
    distance: Table
    unseen: str | None = None
    distance_unseen: Table | None = None

    @property
    def accepted(self) -> Float[Tensor, " strengths"]:
        """The share of all faces in which the judge sees the attribute."""
        return self.has.float().mean(1)

    @property
    def changed(self) -> Float[Tensor, " strengths"]:
        """The change rate: the same among the faces that did not have it; NaN if all had it."""
        return self.has[:, ~self.before].float().mean(1)

    def strength_at(self, share: float = 0.8) -> float | None:
        """Return the smallest strength whose change rate is `share`; None if it is never reached.

        Between two strengths the rate is taken for a line, from 0 at no edit on.
        """
        strength, rate = 0.0, 0.0
        for more, higher in zip(self.strengths.tolist(), self.changed.tolist(), strict=True):
            if higher >= share:
                return strength + (more - strength) * (share - rate) / (higher - rate)
            strength, rate = more, higher
        return None

    def distance_at(self, strength: float, unseen: bool = False) -> Float[Tensor, " faces"]:
        """Return every face's identity distance at a strength, on the line between two measured.

        It is 0 without an edit. Raises `ParameterError` beyond what was measured.
        """
        table = self.distance_unseen if unseen else self.distance
        if table is None or not 0 <= strength <= float(self.strengths[-1]):
            raise ParameterError(
                f"no distance was measured at strength {strength}; take 0 to "
                f"{float(self.strengths[-1])}, and a sweep with that embedder"
            )
        known = torch.cat([torch.zeros(1), self.strengths])
        rows = torch.cat([torch.zeros(1, table.shape[1]), table])
        above = int(torch.searchsorted(known, torch.tensor(strength)).clamp(1, len(known) - 1))
        share = (strength - known[above - 1]) / (known[above] - known[above - 1])
        return torch.lerp(rows[above - 1], rows[above], share)

    def record(self) -> dict[str, Any]:
        """Return shares and mean distances as JSON values."""
        found = {
            "attribute": self.attribute,
            "judge": self.judge,
            "faces": len(self.before),
            "had it before": int(self.before.sum()),
            "strengths": self.strengths.tolist(),
            "accepted": _rounded(self.accepted),
            "changed": _rounded(self.changed),
            f"distance, {self.embedder}": _rounded(self.distance.mean(1)),
        }
        if self.distance_unseen is not None:
            found[f"distance, {self.unseen}"] = _rounded(self.distance_unseen.mean(1))
        return found


def _rounded(values: Tensor) -> list[float | None]:
    """JSON has no NaN."""
    return [None if value != value else round(value, 4) for value in values.tolist()]


@torch.no_grad()
def sweep(
    scorer: Scorer,
    latents: Latent,
    vector: Vector,
    attribute: Attribute,
    strengths: Sequence[float] = STRENGTHS,
    *,
    unseen: Scorer | None = None,
) -> Sweep:
    """Edit faces at every strength; see what the judge says, and how far the identity moves.

    For the other way give minus the vector and `attribute.reversed()`. `unseen` measures identity
    once more, with an embedder that nothing was tuned on. Raises `ParameterError` unless the
    strengths rise from above 0.
    """
    steps = torch.tensor(list(strengths))
    if not len(steps) or not (torch.diff(steps, prepend=torch.zeros(1)) > 0).all():
        raise ParameterError(
            f"strengths {list(strengths)} can't be swept; give numbers above 0 in rising order"
        )
    start = Before.of(scorer, latents, unseen)
    has, distance, other = [], [], []
    for strength in steps.tolist():
        faces = _draw(scorer, edit(latents, vector, strength))
        has.append(attribute.judged(faces) > 0)
        distance.append(start.distance(scorer, faces))
        if unseen is not None:
            other.append(start.distance(unseen, faces))
    return Sweep(
        attribute.name,
        attribute.judge.by,
        scorer.embedder.id,
        steps,
        attribute.judged(start.faces) > 0,
        torch.stack(has),
        torch.stack(distance),
        unseen.embedder.id if unseen else None,
        torch.stack(other) if unseen else None,
    )


@dataclass(frozen=True)
class Before:
    """Unedited faces and their embeddings by the id of the embedder."""

    faces: Image
    embeddings: dict[str, Embedding]

    @classmethod
    def of(cls, scorer: Scorer, latents: Latent, unseen: Scorer | None = None) -> "Before":
        """Draw and embed the faces of latent vectors."""
        faces = _draw(scorer, latents)
        scorers = [scorer, unseen] if unseen else [scorer]
        return cls(faces, {s.embedder.id: s.embed_faces(faces).cpu() for s in scorers})

    def distance(self, scorer: Scorer, faces: Image) -> Float[Tensor, " faces"]:
        """Return how far each face is from the unedited one, 0 to 4."""
        found = scorer.embed_faces(faces).cpu()
        return Embedder.distance(found, self.embeddings[scorer.embedder.id])


def _draw(scorer: Scorer, latents: Latent) -> Image:
    return torch.cat([scorer.faces(part) for part in latents.split(scorer.batch)])


# --- how many to average -------------------------------------------------------------------------


@dataclass(frozen=True)
class Averaging:
    """Edits with vectors that are means of few or of many samples, each drawn anew several times.

    `changed` is the change rate and `distance` the mean identity distance, (counts, repeats);
    `cosine` is that of the vector to the one of all confident samples, and `length` its length in
    lengths of that one.
    """

    attribute: str
    strength: float
    counts: tuple[int, ...]
    changed: Float[Tensor, "counts repeats"]
    distance: Float[Tensor, "counts repeats"]
    cosine: Float[Tensor, "counts repeats"]
    length: Float[Tensor, "counts repeats"]

    def record(self) -> list[dict[str, Any]]:
        """Return a row for each count: means over the repeats, and their spread."""
        return [
            {
                "averaged": count,
                "changed": _rounded(self.changed[row].mean()[None])[0],
                "changed, standard deviation": _rounded(self.changed[row].std()[None])[0],
                "distance": _rounded(self.distance[row].mean()[None])[0],
                "distance, standard deviation": _rounded(self.distance[row].std()[None])[0],
                "cosine": _rounded(self.cosine[row].mean()[None])[0],
                "length": _rounded(self.length[row].mean()[None])[0],
            }
            for row, count in enumerate(self.counts)
        ]


def averaging(
    scorer: Scorer,
    latents: Latent,
    labelled: Labelled,
    attribute: Attribute,
    counts: Sequence[int] = COUNTS,
    *,
    repeats: int = 10,
    strength: float = 1.0,
    random: torch.Generator,
) -> Averaging:
    """Edit faces with vectors of `counts` samples a side, drawn `repeats` times each.

    Source: Li & Luo, section 2.2: "we use the average of several images".
    """
    scores = labelled.scores[attribute.name]
    whole = attribute_vector(labelled.latents, scores)
    start = Before.of(scorer, latents)
    before = attribute.judged(start.faces) > 0
    found = torch.zeros(len(counts), repeats, 4)
    for row, count in enumerate(counts):
        for turn in range(repeats):
            vector = attribute_vector(labelled.latents, scores, count, random)
            with torch.no_grad():
                faces = _draw(scorer, edit(latents, vector, strength))
            has = attribute.judged(faces) > 0
            found[row, turn] = torch.stack(
                [
                    has[~before].float().mean(),
                    start.distance(scorer, faces).mean(),
                    torch.cosine_similarity(vector, whole, dim=0),
                    vector.norm() / whole.norm(),
                ]
            )
    return Averaging(attribute.name, strength, tuple(counts), *found.unbind(2))
