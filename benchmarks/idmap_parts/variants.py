"""The paper's ablations at an equal budget: trained, measured on the same pairs, subtracted."""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from recording import code, digest

from facelab.data.base import FaceDataset
from facelab.data.latents import DrawnFaces
from facelab.data.packed import pack
from facelab.data.sources import open_dataset
from facelab.engine import loop
from facelab.engine.settings import Settings
from facelab.engine.trainer import values_of
from facelab.methods.idmap import training
from facelab.methods.idmap.model import IdentityMap, encoders_of
from facelab.methods.idmap.variants import FULL, VARIANTS, derive
from facelab.metrics.combination import UNITS, table1
from facelab.recognition.embedder import embedder
from idmap_parts.material import (
    KEPT,
    ROOM,
    Judges,
    Pairs,
    drawn_pairs,
    kept,
    stream,
    unstretched,
)
from idmap_parts.tables import position, space_of

TRAINED_BY = tuple(
    f"{ROOM}/{name}" for name in ("training", "losses", "networks", "identity_encoder")
)
AS_PRINTED = "as-printed"  # the one without a pre-training
TRAINING_FACES, TRAIN_SEED = 12_000, 0
TRAINED_WITH = ("steps", "pretrain_steps", "precision", "channels_last", "device")
LOGGED = 60  # points of a training's log
LESS = ("no-critic", "no-landmarks", AS_PRINTED)


def training_data(word: str | None) -> FaceDataset:
    """The faces that were named, or such as the generator draws, drawn once."""
    if word is not None:
        return open_dataset(word)
    config = training.BOOK
    generator = training.latent_space.find_generator(config.generator, config.w, config.size)
    faces = DrawnFaces(
        generator, TRAINING_FACES, embedder=embedder(config.embedder), seed=TRAIN_SEED
    )
    path = KEPT / f"train-{faces.config_hash[:16]}.facepack"
    path.parent.mkdir(parents=True, exist_ok=True)
    return pack(faces, path)


@dataclass(frozen=True)
class Trained:
    """A training's networks, averages where there are some, and what it took."""

    networks: Mapping[str, torch.nn.Module]
    spent: dict


class Ablation:
    """The variants' trainings, on the same faces from the same first weights."""

    def __init__(self, options: argparse.Namespace, judges: Judges):
        self.options, self.judges = options, judges
        self.data = training_data(options.data)

    @functools.cached_property
    def frozen(self) -> training.Frozen:
        """What all variants look through."""
        return training.frozen_of(training.BOOK)

    @functools.cached_property
    def pairs(self) -> Pairs:
        """The pairs that all are measured on."""
        options = self.options
        return drawn_pairs(self.frozen.generator, options.variant_pairs, options.references)

    # --- training ---

    def trained(self, game: training.Game, seed: int, steps: int, *words: object) -> Trained:
        """Train a game, or go on with it; `words` are what else its folder is named after."""
        settings = self.settings(game.config, seed, steps)
        own = values_of(game.config), dataclasses.asdict(settings), self.data.config_hash
        folder = KEPT / f"runs/{digest(*own, *words, code(*TRAINED_BY))}"
        result = loop.train(game, self.data, settings, folder, resume=True)
        if result.outcome == "interrupted":
            sys.exit(130)
        networks = {name: network.cpu() for name, network in result.networks.items()}
        last = dict(result.history[-1].losses) if result.history else {}
        spent = {"steps": result.step, "minutes": round(result.minutes, 2), "losses": last}
        return Trained(networks, spent)

    def settings(self, config: training.Config, seed: int, steps: int) -> Settings:
        """How all are trained."""
        options = self.options
        return Settings(
            steps=steps,
            batch=config.batch_size,
            seed=seed,
            precision=options.precision,
            channels_last=options.channels_last,
            device=options.device,
            log_every=max(1, steps // LOGGED),
            checkpoint_minutes=4.0,
        )

    def pretrained(self, seed: int) -> Trained:
        """The pre-training that a seed's variants begin with: E_attr and M alone."""
        steps = self.options.pretrain_steps
        config = dataclasses.replace(training.BOOK, pretrain_steps=steps)
        return self.trained(self.new(config, seed), seed, steps, "pre-training")

    def new(self, config: training.Config, seed: int) -> training.Game:
        """A game whose first weights follow from the seed."""
        return seeded(lambda: training.Game(config, self.frozen), seed)

    def variant(self, name: str, seed: int) -> Trained:
        """Train a variant with a seed, or find it trained."""
        game = self.new(variant_config(name), seed)
        before, begin = self.options.pretrain_steps, None
        if name != AS_PRINTED and before:
            begin = self.pretrained(seed)
            for part in training.BOTH:
                game.networks[part].load_state_dict(begin.networks[part].state_dict())
        words = ("variant", before if begin else 0)
        found = self.trained(game, seed, self.options.steps, *words)
        told = {"pre-training": begin.spent if begin else None}
        return dataclasses.replace(found, spent=found.spent | told)

    # --- measuring ---

    def row(self, name: str, seed: int) -> dict:
        """Train a variant with a seed and measure it."""
        config, data = values_of(variant_config(name)), self.data.config_hash
        options = [getattr(self.options, word) for word in TRAINED_WITH]
        words = (name, seed, data, config, *options, *self.judges.words)

        def make() -> dict:
            found, config = self.variant(name, seed), variant_config(name)
            encoders = encoders_of(found.networks, config)
            model = IdentityMap(encoders, self.frozen.identity, self.frozen.generator)
            return self.measured(model) | found.spent

        return kept(make, "variant", *words, *self.pairs.words, by=__file__, code_of=TRAINED_BY)

    def measured(self, model: IdentityMap) -> dict:
        """Table 1's columns of a map, and where its vectors lie: drawn as M gives them.

        Stretched to one length, vectors would no longer show what D_W does to their lengths.
        """
        judges, pairs = self.judges, self.pairs
        made = {"map": pairs.combined(unstretched(model))}
        told = table1(
            made, judges.embedder, judges.extractor, stream(), references=pairs.references,
            seen=model.embedders, replicates=judges.replicates, points=judges.points,
        )["rows"]["map"]  # fmt: skip
        space = space_of(model.generator, model.config.truncation)
        vectors = model.predict(pairs.identity, pairs.attributes)
        return told | {"latent": position(space, vectors)}

    def report(self) -> dict:
        """Every variant with every seed, and what one has more than another."""
        names = self.options.variants
        rows = {
            name: {
                "name": VARIANTS[name].name,
                "paper": VARIANTS[name].paper,
                "weights": values_of(variant_config(name).weights),
                "seeds": {str(seed): self.row(name, seed) for seed in self.options.seeds},
            }
            for name in names
        }
        data = {"id": self.data.id, "sha256": self.data.config_hash, "faces": len(self.data)}
        trained = {
            "data": data,
            "pairs": len(self.pairs),
            "steps": self.options.steps,
            "pre-training's steps": self.options.pretrain_steps,
        }
        return {
            "variants' training": trained,
            "variants": rows,
            "differences": differences(rows),
        }


def variant_config(name: str) -> training.Config:
    """A variant of BOOK, whose pre-training was another run: its steps count from there."""
    config = derive(training.BOOK, name)
    first = config.pretrain_steps
    halve_at = tuple(step - first for step in config.halve_at if step > first)
    return dataclasses.replace(config, pretrain_steps=0, halve_at=halve_at)


def seeded(make: Callable[[], training.Game], seed: int) -> training.Game:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


# --- comparisons ---------------------------------------------------------------------------------


def main_numbers(row: Mapping) -> dict[str, float | None]:
    """The numbers of a row that are compared."""
    told = {name: row[name]["mean"] for name in UNITS if name in row}
    return told | {
        f"{row['distance']['kind']} distance": row["distance"]["value"],
        "mahalanobis": row["latent"]["mahalanobis"],
    }


def differences(rows: Mapping[str, Mapping]) -> dict:
    """What each variant has more than the full one, seed by seed."""
    told: dict = {}
    for name in LESS:
        if name not in rows or FULL not in rows:
            continue
        both = [rows[which]["seeds"] for which in (name, FULL)]
        told[f"{name} less {FULL}"] = {
            seed: _less(*(main_numbers(seeds[seed]) for seeds in both)) for seed in both[0]
        }
    return told


def _less(one: Mapping[str, float | None], other: Mapping[str, float | None]) -> dict:
    return {
        name: None if None in (one[name], other[name]) else one[name] - other[name]
        for name in one
        if name in other
    }


def latent_spaces(rows: Mapping[str, Mapping]) -> dict:
    """Where each variant's vectors lie, with the first seed."""
    told = {}
    for name, row in rows.items():
        seed, first = next(iter(row["seeds"].items()))
        told[name] = {"seed": int(seed), **first["latent"]}
    return told
