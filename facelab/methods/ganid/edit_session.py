"""An edit from the latent vector in a file to the pictures and the record in a folder."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facelab.assets import cache
from facelab.errors import ParameterError
from facelab.generators import catalogue
from facelab.images import grid, save_image
from facelab.methods.ganid import arithmetic, winning_back
from facelab.methods.ganid.attributes import ATTRIBUTES, Attribute, find
from facelab.methods.ganid.latent_file import load_latent, save_latent
from facelab.methods.ganid.scoring import Scorer
from facelab.progress import progress_bar
from facelab.recognition.embedder import Embedder
from facelab.recognition.embedder import embedder as find_embedder
from facelab.types import Embedding, Image, Latent

FILES = ("edited.png", "sheet.png", "latent.safetensors", "edit.json")
SHOWN, ENLARGED = 4, 3  # steps of the edit on the sheet; how much larger than the generator draws


def run(
    source: Path, names: tuple[str, ...], strengths: tuple[float, ...], **given: Any
) -> dict[str, Any]:
    """Edit the face of a latent vector's file, write `FILES`, and return what edit.json says.

    `given` are the options of `facelab edit`. Raises `ParameterError` for an attribute that there
    isn't or strengths that can't be used, and `CheckpointError` for a file of another generator;
    nothing is written then.
    """
    changes = _changes(names, strengths)
    _require_output(given["output"], source, given["overwrite"])
    chosen = catalogue.generator(given["generator"])
    start = load_latent(source, chosen)
    scorer = Scorer(chosen, find_embedder(given["embedder"]))
    unseen = _unseen(given) if given["keep_identity"] else None
    asked = _Edit(scorer, start, changes, _vectors(scorer, changes, given["orthogonal"]))
    latent, faces, facts = _perform(asked, unseen)
    facts = {
        **facts,
        "orthogonal": given["orthogonal"],
        "keep_identity": given["keep_identity"],
        "generator": chosen.id,
        "embedder": scorer.embedder.id,
        "alignment": scorer.alignment,
        "threshold_same_person": scorer.embedder.threshold_squared,
    }
    _write(given["output"], scorer, latent, faces, facts)
    return facts


def _changes(names: tuple[str, ...], strengths: tuple[float, ...]) -> list[tuple[Attribute, float]]:
    """Return each attribute with its strength."""
    strengths = strengths or (1.0,) * len(names)
    if len(strengths) != len(names):
        raise ParameterError(
            f"attributes: {len(names)}, strengths: {len(strengths)}; give one strength for each "
            "attribute, in the same order, or none"
        )
    if len(set(names)) < len(names):
        raise ParameterError("an attribute is given twice; give each once")
    for strength in strengths:
        if not math.isfinite(strength):
            raise ParameterError(
                f"a strength of {strength} can't be used; give a finite number, such as 1, or "
                "below 0 to take the attribute away"
            )
    return [(find(name), strength) for name, strength in zip(names, strengths, strict=True)]


def _require_output(output: Path, latent: Path, overwrite: bool) -> None:
    """Refuse before the work what would lose a file after it."""
    if output.exists() and not output.is_dir():
        raise ParameterError(f"{output} is a file; give a folder for the results")
    for name in FILES:
        path = output / name
        if path.exists() and latent.exists() and path.samefile(latent):
            raise ParameterError(f"{path} is the latent vector to be edited; give another folder")
        if path.exists() and not overwrite:
            raise ParameterError(
                f"{path} exists; give another folder, or --overwrite to replace it"
            )


def _unseen(given: dict[str, Any]) -> Embedder:
    name = given["unseen"] or ("dlib" if given["embedder"] == "faceres" else "faceres")
    if name == given["embedder"]:
        raise ParameterError(
            f"{name} can't judge a correction that it led; choose another embedder with --unseen"
        )
    return find_embedder(name)


def _vectors(scorer: Scorer, changes: list, orthogonal: bool) -> dict[str, Tensor]:
    """Return the vectors that are asked for; orthogonal ones need all the others too."""
    wanted = ATTRIBUTES if orthogonal else [attribute for attribute, _ in changes]
    with progress_bar("labels", arithmetic.SAMPLES, "face") as bar:
        vectors = arithmetic.vectors_for(
            scorer.generator,
            arithmetic.SAMPLES,
            attributes=wanted,
            progress=lambda done: bar.update(done - bar.n),
        )
    return arithmetic.orthogonalised(vectors) if orthogonal else vectors


@dataclass(frozen=True)
class _Edit:
    """An edit that is asked for. Raises `ParameterError` where a vector could not be made."""

    scorer: Scorer
    start: Latent
    changes: list[tuple[Attribute, float]]
    vectors: dict[str, Tensor]

    def __post_init__(self):
        for attribute, _ in self.changes:
            if attribute.name not in self.vectors:
                raise ParameterError(
                    f"too few faces of {self.scorer.generator.id} differ in {attribute.name!r} for "
                    "a vector; choose another attribute or generator"
                )

    def at(self, share: float) -> Latent:
        """Return the vector after this share of the edit."""
        found = self.start
        for attribute, strength in self.changes:
            found = arithmetic.edit(found, self.vectors[attribute.name], share * strength)
        return found

    def corrected(self, edited: Image, identity: Embedding) -> winning_back.WonBack:
        """Win the identity back with what was asked for held fixed."""
        along = torch.stack([self.vectors[a.name] for a, _ in self.changes])
        wanted = [a if strength >= 0 else a.reversed() for a, strength in self.changes]
        holds = winning_back.holding(wanted, edited)
        return winning_back.win_back(self.scorer, self.at(1.0), identity, along, holds=holds)


@torch.no_grad()
def _perform(asked: _Edit, unseen: Embedder | None) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Return the final vector, the faces from before to after, and what is to be said of it."""
    scorer, latent = asked.scorer, asked.at(1.0)
    shares = torch.linspace(0, 1, SHOWN + 1).tolist()
    faces = torch.cat([scorer.faces(asked.at(share)) for share in shares])
    identity = scorer.embed_faces(faces[:1])
    facts: dict[str, Any] = {"distance": _distance(scorer, faces)}
    if unseen is not None:
        won = asked.corrected(faces[-1:], identity)
        latent = won.latents
        faces = torch.cat([faces, scorer.faces(latent)])
        other = Scorer(scorer.generator, unseen, scorer.alignment)
        facts = {
            "distance": float(won.distance),
            "distance_before_correction": float(won.start),
            "evaluations": won.evaluations,
            "distance_unseen_embedder": _distance(other, faces),
            "distance_unseen_embedder_before_correction": _distance(other, faces[:-1]),
            "unseen_embedder": unseen.id,
            "unseen_threshold_same_person": unseen.threshold_squared,
        }
    verdicts = [_verdict(a, strength, faces[[0, -1]]) for a, strength in asked.changes]
    return latent, faces.cpu(), {"attributes": verdicts, **facts}


def _distance(scorer: Scorer, faces: Image) -> float:
    """Return how far the last face is from the first one in identity, 0 to 4."""
    first, last = scorer.embed_faces(faces[[0, -1]]).split(1)
    return float(Embedder.distance(last, first))


def _verdict(attribute: Attribute, strength: float, faces: Image) -> dict[str, Any]:
    """Return what the judge sees before and after."""
    wanted = attribute if strength >= 0 else attribute.reversed()
    before, after = wanted.judged(faces).tolist()
    return {
        "attribute": attribute.name,
        "strength": strength,
        "wanted": wanted.meaning,
        "judge": wanted.judge.by,
        "judge_before": before > 0,
        "judge_after": after > 0,
        "judge_value_before": round(before, 4),
        "judge_value_after": round(after, 4),
    }


def _write(output: Path, scorer: Scorer, latent: Tensor, faces: Tensor, facts: dict) -> None:
    """Write all four files; everything has been computed before the first one."""
    edited, sheet, vector, record = (output / name for name in FILES)
    with cache.writing(output.name, output):
        output.mkdir(parents=True, exist_ok=True)
    large = faces.repeat_interleave(ENLARGED, 2).repeat_interleave(ENLARGED, 3)
    save_image(faces[-1:], edited)
    save_image(grid(large, len(large), gap=2 * ENLARGED), sheet)
    save_latent(vector, latent, scorer.generator, distance_from_unedited=facts["distance"])
    with cache.writing(record.name, record):
        cache.write_beside(record, (json.dumps(facts, indent=1) + "\n").encode())
