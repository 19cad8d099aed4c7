"""Train what reads faces: 68 landmarks, the pose of the head, or the attributes.

Pictures are AnnyFaces' of the train split, drawn once into the cache, augmented anew at every look
(`facelab/recognition/augmentation.py`). The landmarks also learn from faces of the pre-trained
generator, on which MTCNN's five points are the (weak) labels of the five landmarks that they stand
for. What is reported is measured on people of the test split, whom no training saw.

The state is kept every half minute in the cache, so that the same command goes on after a kill and
ends, on one machine with one number of threads, with the same weights. The checkpoint has its
record in its header, and -o NAME.safetensors with --record FILE.json also writes it there.
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from data_scripts.reader_parts import pictures
from data_scripts.reader_parts.tasks import TASKS
from facelab.assets import cache
from facelab.errors import UserError

BATCH, RATE, DECAY, KEEP_S = 64, 2e-3, 0.02, 30


def arguments(given: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--what", choices=sorted(TASKS), required=True)
    parser.add_argument("--preset", choices=("TINY", "BOOK"), default="BOOK")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--people-seed", type=int, default=0, help="other people to learn from")
    parser.add_argument("--faces", type=int, default=15_000, help="pictures to learn from")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--record", type=Path, help="also write the record to this JSON file")
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args(given)
    if chosen.steps < 1 or chosen.faces < BATCH or chosen.threads < 1:
        parser.error(f"give at least 1 step, {BATCH} faces and 1 thread")
    return chosen


class Run:
    """A training that can be killed at any time: network, optimiser, clock and random stream."""

    def __init__(self, task, seed: int, length: int, state: Path):
        self.task, self.length, self.state = task, length, state
        self.optimiser = torch.optim.AdamW(task.network.parameters(), lr=RATE, weight_decay=DECAY)
        self.random = torch.Generator().manual_seed(seed)
        self.steps, self.spent_s = 0, 0.0

    def keep(self) -> None:
        """Write the state beside and rename it."""
        state = {
            "network": self.task.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": self.random.get_state(),
            "steps": self.steps,
            "spent_s": self.spent_s,
        }
        beside = self.state.with_suffix(f".{os.getpid()}")
        torch.save(state, beside)
        os.replace(beside, self.state)

    def go_on(self) -> None:
        """Take up the state of a run that was killed, if there is one."""
        if self.state.exists():
            state = torch.load(self.state, weights_only=True)
            self.task.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.random.set_state(state["random"])
            self.steps, self.spent_s = state["steps"], state["spent_s"]

    def train(self, faces: pictures.Pictures) -> None:
        """Train to the last step, the learning rate falling as a cosine."""
        self.task.network.train()
        kept = last = time.monotonic()
        while self.steps < self.length:
            warm = min(1.0, (self.steps + 1) / 100)
            fallen = 0.5 * (1 + math.cos(math.pi * self.steps / self.length))
            self.optimiser.param_groups[0]["lr"] = RATE * warm * fallen
            loss = self._step(faces)
            now = time.monotonic()
            self.spent_s, last, self.steps = self.spent_s + now - last, now, self.steps + 1
            if self.steps % 50 == 0:
                print(f"{self.steps} steps, {self.spent_s:.0f} s, loss {loss:.6f}", flush=True)
            if now - kept > KEEP_S:
                self.keep()
                kept = now
        self.keep()
        self.task.network.eval()

    def _step(self, faces: pictures.Pictures) -> float:
        rows = torch.randint(len(faces), (BATCH,), generator=self.random)
        loss = self.task.loss(faces, rows, self.random)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.task.network.parameters(), 5.0)
        self.optimiser.step()
        return float(loss.detach())


def record(chosen: argparse.Namespace, run: Run, training: pictures.Pictures) -> dict:
    """Measure the network on people that it never saw and return everything about the run."""
    people, tests = pictures.dataset("train", chosen.people_seed), pictures.dataset("test")
    held_out = pictures.load(tests)
    return {
        "kind": f"training of the reader of {chosen.what}",
        "date": datetime.now(UTC).date().isoformat(),
        "preset": chosen.preset,
        "seed": chosen.seed,
        "minutes": round(run.spent_s / 60, 2),
        "steps": run.steps,
        "batch": BATCH,
        "trained_on": f"AnnyFaces train {people.config_hash}",
        "faces": len(training),
        "weak_labels": run.task.weak_labels,
        "measured_on": f"AnnyFaces test {tests.config_hash}",
        "measured_faces": len(held_out),
        "metrics": run.task.measure(held_out),
        "machine": f"{platform.machine()}, {chosen.threads} threads, torch {torch.__version__}",
    }


def state_path(chosen: argparse.Namespace) -> Path:
    """Return where the state of a run is kept: the same command finds it again."""
    words = (chosen.what, chosen.preset, chosen.seed, chosen.people_seed, chosen.faces)
    words = (*words, f"{chosen.steps}steps")
    return cache.cache_dir() / "readers" / ("-".join(map(str, words)) + ".state")


def train(chosen: argparse.Namespace) -> dict:
    """Train one reader, write its checkpoint and return its record."""
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)  # the networks' first weights
    people = pictures.dataset("train", chosen.people_seed)
    training = pictures.load(people, chosen.faces)
    task = TASKS[chosen.what](chosen.preset, training)
    task.network.to(memory_format=torch.channels_last)
    state = state_path(chosen)
    state.parent.mkdir(parents=True, exist_ok=True)
    run = Run(task, chosen.seed, chosen.steps, state)
    run.go_on()
    run.train(training)
    facts = record(chosen, run, training)
    task.module.save(chosen.output, task.network, record=facts)
    if chosen.record:
        with cache.writing(chosen.record.name, chosen.record):
            cache.write_beside(chosen.record, (json.dumps(facts, indent=1) + "\n").encode())
    state.unlink()
    return facts


def main(given: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    try:
        print(json.dumps(train(arguments(given)), indent=1))
    except UserError as error:
        print(f"train_readers: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
