"""One search of the command line, from pictures to a folder: networks, state, results."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from facelab import devices
from facelab.assets import cache
from facelab.errors import ParameterError
from facelab.generators import catalogue
from facelab.images import grid, save_image
from facelab.methods.ganid import greedy, resumption, search, targets, verdict
from facelab.methods.ganid.latent_file import save_latent
from facelab.methods.ganid.scoring import FRAMING, Scorer, Target, half_is_quicker
from facelab.methods.ganid.search import Settings, Trace
from facelab.methods.ganid.strategy import Strategy
from facelab.methods.ganid.targets import Person
from facelab.methods.ganid.verdict import Verdict
from facelab.progress import progress_bar
from facelab.recognition import embedder as recognisers
from facelab.recognition.align import Policy, reframe
from facelab.recognition.embedder import Embedder
from facelab.types import Image, Latent, Picture

RESULTS = ("best.png", "sheet.png", "latent.safetensors", "trace.json")
STATE = "state.safetensors"
KEEP_S = 5.0  # how often the state is written
SHOWN = 7  # improvements on the sheet


@dataclass(frozen=True)
class Order:
    """What a search is asked for; None leaves the choice to us."""

    pictures: tuple[Path, ...]
    output: Path
    settings: Settings
    strategy: str = "greedy"
    reading: str | None = None
    generator: str = "digiface-dcgan"
    embedder: str = "dlib"
    judge: str | None = None
    alignment: str = "landmarks"
    policy: Policy = "error"
    aligned: bool = False
    device: str = "auto"
    resume: bool = False

    def __post_init__(self):
        if self.reading and self.strategy != "greedy":
            raise ParameterError(
                f"--reading is of Algorithm 1, and {self.strategy} is another strategy; leave it "
                "out, or choose --strategy greedy"
            )


def run(order: Order, warn: Callable[[str], None]) -> tuple[Trace, dict[str, Any] | None]:
    """Search as ordered; return the trace and what trace.json says, None when Ctrl-C came.

    `warn` is told, before the search, when the pictures look like two people. Raises a `UserError`
    for what can't be used; no file that was there is lost then.
    """
    _require_folder(order)
    scorer, judge = _networks(order)
    person = targets.read_person(order.pictures, order.policy, aligned=order.aligned)
    target = person.target(scorer.embedder)
    doubt = two_people(target, order.pictures, scorer.embedder.threshold_squared)
    if doubt:
        warn(doubt)
    reading = {"config": greedy.READINGS[order.reading or "corrected"]}
    options = reading if order.strategy == "greedy" else {}
    looking = search.begin(order.strategy, scorer, target, seed=order.settings.seed, **options)
    trace = Trace(looking.name)
    if order.resume:
        trace = resumption.load(order.output / STATE, looking, order.settings)
    if not _search(order, looking, trace):
        return trace, None
    return trace, _write(order, looking, person, judge, trace)


def _require_folder(order: Order) -> None:
    """Refuse a folder that has another search, or none to go on with."""
    output, state = order.output, (order.output / STATE).exists()
    if output.exists() and not output.is_dir():
        raise ParameterError(f"{output} is a file; give a folder for the results")
    finished = [output / name for name in RESULTS if (output / name).exists()]
    if finished and not state:
        raise ParameterError(f"{finished[0]} is of a finished search; give another folder")
    if state and not order.resume:
        raise ParameterError(
            f"{output} has a search that was interrupted; go on with --resume, or give another "
            "folder"
        )
    if order.resume and not state:
        raise ParameterError(f"{output} has no search to go on with; leave --resume out")


def _networks(order: Order) -> tuple[Scorer, Embedder]:
    """Return the scorer, and the embedder that judges what it finds."""
    device = devices.choose(order.device)
    embedder = recognisers.embedder(order.embedder, device)
    other = order.judge or ("dlib" if order.embedder == "faceres" else "faceres")
    judge = recognisers.embedder(other, device)
    verdict.require_unseen(embedder, judge)
    generator = catalogue.generator(order.generator, device)
    half = half_is_quicker(device)
    return Scorer(generator, embedder, order.alignment, half=half), judge


def two_people(target: Target, pictures: Sequence[Path], threshold: float) -> str | None:
    """Return a warning when two of a target's pictures are farther apart than one person's are."""
    first, second, distance = targets.farthest(target)
    if distance <= threshold:
        return None
    return (
        f"{pictures[first]} and {pictures[second]} are {distance:.3f} apart, two people by "
        f"{target.embedder}'s threshold of {threshold:.3f}; the search will find somebody between "
        "them"
    )


def _search(order: Order, looking: Strategy, trace: Trace) -> bool:
    """Search to the end and keep the state on the way; False when Ctrl-C came."""
    keeper = resumption.Keeper(order.output / STATE, looking, order.settings)
    with cache.writing(order.output.name, order.output):
        order.output.mkdir(parents=True, exist_ok=True)
    kept = time.monotonic()
    budget = order.settings.budget
    with progress_bar("search", budget, "face", initial=trace.evaluations) as bar:
        try:
            for _ in search.passes(looking, order.settings, trace):
                keeper.note(trace)
                bar.set_postfix(distance=f"{trace.distance:.3f}", refresh=False)
                bar.update(trace.evaluations - bar.n)
                if time.monotonic() - kept >= KEEP_S:
                    keeper.write()
                    kept = time.monotonic()
        except KeyboardInterrupt:
            keeper.write()
            return False
    keeper.write()  # whatever goes wrong from here on, the search is not lost
    return True


def _write(
    order: Order, looking: Strategy, person: Person, judge: Embedder, trace: Trace
) -> dict[str, Any]:
    """Write the pictures, the latent vector and, last, the trace; then the state can go."""
    scorer, output = looking.scorer, order.output
    with torch.no_grad():
        best = scorer.faces(trace.best).cpu()
        steps = torch.cat([scorer.faces(z).cpu() for z in spaced(trace.latents)])
    found = verdict.judge(scorer, trace.best, person, judge)
    facts = {**trace.record(), **_circumstances(order, looking, person), **_verdict(found, judge)}
    save_image(best, output / "best.png")
    save_image(sheet(person.crops(FRAMING), steps), output / "sheet.png")
    save_latent(
        output / "latent.safetensors", trace.best, scorer.generator, distance=trace.distance
    )
    with cache.writing("trace.json", output):
        cache.write_beside(output / "trace.json", (json.dumps(facts, indent=1) + "\n").encode())
        for left in [output / STATE, *output.glob(f".{STATE}.*")]:  # of a process that was killed
            left.unlink(missing_ok=True)
    return facts


def _circumstances(order: Order, looking: Strategy, person: Person) -> dict[str, Any]:
    """Return what the search was of, and by what, as JSON values."""
    scorer = looking.scorer
    return {
        "target": person.name,
        "pictures": len(person.pictures),
        "generator": scorer.generator.id,
        "embedder": scorer.embedder.id,
        "alignment": scorer.alignment,
        "threshold_same_person": scorer.embedder.threshold_squared,
        "seed": order.settings.seed,
        "budget": order.settings.budget,
        "threshold": search.threshold_of(order.settings, scorer.embedder),
        "config": asdict(looking.config) if looking.config else {},
    }


def _verdict(found: Verdict, judge: Embedder) -> dict[str, Any]:
    """Return what the detector and the unseen embedder say, as JSON values."""
    return {
        "distance_confirmed": found.searched,
        "same_person": found.searched_same,
        "distance_unseen_embedder": found.unseen,
        "same_person_by_unseen": found.unseen_same,
        "unseen_embedder": judge.id,
        "unseen_threshold_same_person": judge.threshold_squared,
    }


def spaced(latents: Sequence[Latent]) -> list[Latent]:
    """Return at most `SHOWN` of the improvements, spread evenly, the last one with them."""
    rows = torch.linspace(0, len(latents) - 1, min(SHOWN, len(latents))).round().long()
    chosen = [latents[row] for row in rows.tolist()]
    return [*chosen[:-1], latents[-1]]


def sheet(pictures: Image, steps: Float[Tensor, "steps 3 side side"]) -> Picture:
    """Return one picture: the target's faces above, the search's improvements below.

    `pictures` are framed like the book's faces, at 64 pixels; `steps` are generated, of any size.
    """
    below = reframe(steps, FRAMING, FRAMING)
    columns, size = max(len(pictures), len(below)), pictures.shape[-1]
    rows = [torch.cat([r, r.new_ones(columns - len(r), 3, size, size)]) for r in (pictures, below)]
    return grid(torch.cat(rows), columns)
