"""Tables 1 and 2, and figure 9: the map, what is no map, and where its vectors lie."""

import argparse
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import recording
import torch
from recording import code, digest
from torch import Tensor

from facelab.assets import cache
from facelab.methods.idmap import lord, training
from facelab.methods.idmap.evaluation import Faces, copy_attributes, copy_identity
from facelab.methods.idmap.latent_space import MEASURED, SEED, LatentSpace, true_vectors
from facelab.methods.idmap.optimisation import optimise
from facelab.metrics.combination import Reader, paired, per_reconstruction, table1, table2
from facelab.metrics.paired import mean_interval
from facelab.types import Image
from idmap_parts.material import (
    KEPT,
    MEASURED_BY,
    ROOM,
    Judges,
    Pairs,
    Subject,
    as_json,
    drawn_pairs,
    kept,
    pairs_of,
    photo_like,
    stream,
    unstretched,
)

SEARCHED_BY = (f"{ROOM}/optimisation", f"{ROOM}/losses")
SEARCHED_AT_ONCE = 20
AS_GIVEN = "map, w as M gives it"
ANOTHER = "map, of another's I_id"
KINDS = ("generated", "photo-like")
SHOWN = 200  # vectors of figure 9


class Tables:
    """The rows of both tables on both kinds of faces."""

    def __init__(self, options: argparse.Namespace, subject: Subject, judges: Judges):
        self.options, self.subject, self.judges = options, subject, judges
        self.model = subject.model
        self.lord = None if options.lord is None else lord.load(options.lord)
        self.seen = (*self.model.embedders, *(self.lord.embedders if self.lord else ()))

    @functools.cached_property
    def generated(self) -> Pairs:
        """Pairs of faces of the generator."""
        return drawn_pairs(self.model.generator, self.options.pairs, self.options.references)

    @functools.cached_property
    def photo_like(self) -> Pairs:
        """Pairs of faces from outside the generator."""
        return pairs_of(photo_like(self.options), self.options.pairs, self.options.references)

    def pairs(self, kind: str) -> Pairs:
        """The pairs of a kind, drawn when they are asked for."""
        return self.generated if kind == KINDS[0] else self.photo_like

    def words(self, pairs: Pairs) -> tuple:
        """What a table depends on."""
        options = self.options
        file = None if self.lord is None else cache.sha256(options.lord)
        searched = options.optimised, options.optimised_steps, options.learning_rate, options.prior
        return (self.subject.sha256, file, *self.judges.words, *pairs.words, *searched,
                code(*SEARCHED_BY))  # fmt: skip

    # --- table 1 ---

    def table1(self, kind: str) -> dict:
        """All rows on one kind of pairs."""
        pairs = self.pairs(kind)

        def make() -> dict:
            combiners = {"map": self.model, "copy I_id": copy_identity,
                         "copy I_attr": copy_attributes}  # fmt: skip
            if self.model.length is not None:
                combiners[AS_GIVEN] = unstretched(self.model)
            if self.lord is not None:
                combiners["LORD"] = self.lord.combine
            rows = {name: pairs.combined(change) for name, change in combiners.items()}
            rows[ANOTHER] = self.of_another(pairs)
            told = self._table1(rows, pairs)
            if self.options.optimised:
                self._add_optimised(told, rows["map"], pairs)
            return told | {"faces": pairs.words}

        return kept(make, "table 1", *self.words(pairs), by=__file__)

    def of_another(self, pairs: Pairs) -> Faces:
        """What the map makes with the identity of the next pair, judged as if it were this one's.

        A recogniser takes pictures of one style for alike: where I_id has another style than what
        the generator draws, this row is what no identity at all comes to.
        """
        wrong = dataclasses.replace(pairs, identity=pairs.identity.roll(-1, 0))
        return pairs.with_made(wrong.combined(self.model).made)

    def _table1(self, rows: Mapping[str, Faces], pairs: Pairs) -> dict:
        judges = self.judges
        return table1(
            rows, judges.embedder, judges.extractor, stream(), references=pairs.references,
            seen=self.seen, against="map", replicates=judges.replicates, points=judges.points,
            five=judges.five,
        )  # fmt: skip

    def _add_optimised(self, told: dict, mapped: Faces, pairs: Pairs) -> None:
        """Add the row of fewer pairs, and its difference from the map's on those pairs."""
        few = pairs.first(min(self.options.optimised, len(pairs)))
        rows = {
            "map": few.with_made(mapped.made[: len(few)]),
            "optimisation": few.with_made(self.optimised(few, same=False)),
        }
        found = self._table1(rows, pairs)
        for part in ("rows", "differences"):
            told[part]["optimisation"] = found[part]["optimisation"]

    # --- table 2 ---

    def table2(self, kind: str) -> dict:
        """The faces that give identities, rebuilt from themselves."""
        pairs = self.pairs(kind)
        alone = dataclasses.replace(pairs, attributes=pairs.identity)

        def make() -> dict:
            rows = {"map": alone.combined(self.model)}
            few = alone.first(min(self.options.optimised, len(alone)))
            if len(few):
                rows["optimisation"] = few.with_made(self.optimised(few, same=True))
            judges = self.judges
            how = {"replicates": judges.replicates, "points": judges.points}
            told = table2(rows, judges.embedder, stream(), seen=self.seen, **how)
            if len(few):
                same = few.with_made(rows["map"].made[: len(few)])
                told["differences"] = {"optimisation": self._less(rows["optimisation"], same)}
            return told

        return kept(make, "table 2", *self.words(alone), by=__file__)

    def _less(self, first: Faces, second: Faces) -> dict:
        read = Reader(self.judges.embedder, self.judges.points)
        values = [per_reconstruction(faces, read) for faces in (first, second)]
        return paired(*values, first.who, random=stream())

    # --- the search of single vectors ---

    def optimised(self, pairs: Pairs, *, same: bool) -> Image:
        """What the search makes of pairs; its vectors are kept, some pairs at a time."""
        options, config = self.options, self.model.config
        config = dataclasses.replace(config, weights=training.BOOK.weights)
        how = {"steps": options.optimised_steps, "learning_rate": options.learning_rate,
               "prior": options.prior, "same": same}  # fmt: skip
        found = []
        for start in range(0, len(pairs), SEARCHED_AT_ONCE):
            rows = slice(start, start + SEARCHED_AT_ONCE)
            given = pairs.identity[rows], pairs.attributes[rows]

            def search(given: tuple = given) -> dict:
                w = optimise(*given, self.frozen, config, self.space, **how).w
                return {"w": w.tolist()}

            words = [how, start, len(given[0]), *pairs.words[:3], config, self.model.generator.id]
            place = f"vectors/{digest(*words, code(*SEARCHED_BY, *MEASURED_BY))}.json"
            found.append(torch.tensor(recording.kept(KEPT / place, search)["w"]))
            print(f"searched {start + len(given[0])} of {len(pairs)} pairs", flush=True)
        with torch.no_grad():
            return torch.cat([self.model.draw(w) for w in found])

    @functools.cached_property
    def frozen(self) -> training.Frozen:
        """What the losses look through."""
        return training.frozen_of(self.model.config)

    @functools.cached_property
    def space(self) -> LatentSpace:
        """The generator's latent space."""
        return space_of(self.model.generator, self.model.config.truncation)

    # --- figure 9 ---

    def latent_space(self) -> dict:
        """Where true vectors lie, and the map's of the generated pairs."""
        pairs = self.generated

        def make() -> dict:
            made = self.model.predict(pairs.identity, pairs.attributes)
            return {"true": position(self.space, pairs.w), "map": position(self.space, made)}

        found = kept(make, "figure 9", self.subject.sha256, *pairs.words, by=__file__)
        return {name: found[name] for name in ("true", "map")}


def space_of(generator: torch.nn.Module, truncation: float) -> LatentSpace:
    """Return the space of true vectors, measured on as many as the paper's figure 9 has."""
    return LatentSpace.of(true_vectors(generator, MEASURED, stream(SEED), truncation))


def position(space: LatentSpace, w: Tensor) -> dict:
    """The mean squared Mahalanobis distance over w's length, 1 for true vectors; some points."""
    squared = space.mahalanobis(w).double().square() / w.shape[1]
    return {
        "mahalanobis": float(squared.mean()),
        "interval": as_json(mean_interval(squared, stream())),
        "vectors": len(w),
        "points": [[round(x, 3) for x in row] for row in space.principal(w[:SHOWN]).tolist()],
    }


def lord_facts(path: Path | None) -> dict | None:
    """What LORD's file says of its training: it should not have seen the faces of the tables."""
    if path is None:
        return None
    from facelab.assets import networks

    header = networks.read_header(path, lord.SECOND, lord.WRITER)
    told = {name: header[name] for name in ("step", "images", "data") if name in header}
    return {"sha256": cache.sha256(path), **told, "first stage": header["config"].get("trained")}
