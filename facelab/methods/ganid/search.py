"""A search from beginning to end: budget, threshold, the best so far, the trace.

Algorithm 1 has no limit, and its authors' results (0.64 and 0.60) are above their threshold of 0.4:
they must have stopped somewhere. Here every search has a budget and says what ended it.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from facelab.errors import CheckpointError, ParameterError
from facelab.methods.ganid import cmaes, gradient, greedy
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.scoring import Scorer, Target, require_embedder
from facelab.methods.ganid.strategy import Pass, RandomSearch, Strategy
from facelab.recognition.embedder import Embedder
from facelab.types import Latent

STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy
    for strategy in (greedy.Greedy, RandomSearch, cmaes.CmaEs, gradient.Gradient)
}
# The paper's T as a share of where FaceNet tells two people apart (Schroff et al. 2015, figure 1);
# for any other embedder it is the same share of its own threshold.
PAPER_T, FACENET_THRESHOLD = 0.4, 1.1


@dataclass(frozen=True)
class Settings:
    """How long to look: at most `budget` latent vectors, or until one is at most `threshold` away.

    The threshold is a squared distance; None is the paper's T on the embedder's own scale, and at 0
    the budget alone ends a search. `seed` is for the random vectors and all other chance. Raises
    `ParameterError` on what can't be used.
    """

    budget: int = 20_000
    threshold: float | None = None
    seed: int = 0

    def __post_init__(self):
        if self.budget < 1:
            raise ParameterError(
                f"a budget of {self.budget} evaluations finds nothing; give at least 1"
            )
        if self.threshold is not None and not 0 <= self.threshold <= 4:
            raise ParameterError(
                f"a threshold of {self.threshold} is no squared distance; give 0 to 4"
            )


@dataclass(frozen=True)
class Point:
    """The best distance after so many evaluations, and the stage that reached it."""

    evaluations: int
    distance: float
    stage: str


@dataclass
class Trace:
    """What a search has done so far.

    `curve` has a point for every improvement, and `latents` the vector (1, latents) of each: the
    last is the closest of all that were tried, whether or not the strategy kept it. After
    `evaluations` it is over when `stopped_because` says why, "budget" or "threshold".
    """

    strategy: str
    evaluations: int = 0
    curve: list[Point] = field(default_factory=list)
    latents: list[Latent] = field(default_factory=list)
    stopped_because: str | None = None

    @property
    def best(self) -> Latent:
        """The closest latent vector, (1, latents)."""
        return self.latents[-1]

    @property
    def distance(self) -> float:
        """How far the best is from the target; infinite before the first pass."""
        return self.curve[-1].distance if self.curve else float("inf")

    def add(self, tried: Pass) -> None:
        """Count a pass and note every improvement where it happened.

        Raises `CheckpointError` when a distance is not finite: then a network is damaged.
        """
        for row, distance in enumerate(tried.distances.tolist()):
            if not math.isfinite(distance):
                raise CheckpointError(
                    f"a face is {distance} away from the target after {self.evaluations + row + 1} "
                    "evaluations; look at the weights of the generator and of the embedder"
                )
            if distance < self.distance:
                self.curve.append(Point(self.evaluations + row + 1, distance, tried.stage))
                self.latents.append(tried.latents[row : row + 1].clone())
        self.evaluations += len(tried.latents)

    def at(self, evaluations: int) -> float:
        """Return the best distance after so many evaluations, infinite after none: the curve."""
        reached = [p.distance for p in self.curve if p.evaluations <= evaluations]
        return min(reached, default=float("inf"))

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "strategy": self.strategy,
            "evaluations": self.evaluations,
            "best_distance": round(self.distance, 6),
            "stopped_because": self.stopped_because,
            "curve": [asdict(point) for point in self.curve],
        }


def threshold_of(settings: Settings, embedder: Embedder) -> float:
    """Return the squared distance at which a search ends."""
    if settings.threshold is not None:
        return settings.threshold
    return PAPER_T / FACENET_THRESHOLD * embedder.threshold_squared


def begin(
    strategy: str, scorer: Scorer, target: Target, bank: Bank | None = None, **options: Any
) -> Strategy:
    """Return a strategy by name, at its beginning; `options` are `seed` and `config`.

    Raises `ParameterError` for an unknown name, a target of another embedder, or a bank of other
    networks than the scorer's.
    """
    if strategy not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise ParameterError(f"there is no strategy {strategy!r}; choose one of: {known}")
    require_embedder(scorer, target)
    if bank is None:
        bank = Bank(scorer, options.get("seed", 0))
    if bank.scorer.id != scorer.id:
        raise ParameterError(
            f"the bank is of {bank.scorer.id}, the search of {scorer.id}; make a bank of its scorer"
        )
    return STRATEGIES[strategy](scorer, target, bank, **options)


def passes(looking: Strategy, settings: Settings, trace: Trace) -> Iterator[Trace]:
    """Search on from where `looking` and `trace` are, and yield the trace after every pass."""
    least = threshold_of(settings, looking.scorer.embedder)
    trace.stopped_because = _reason(trace, settings, least)
    while trace.stopped_because is None:
        trace.add(looking.next_pass(settings.budget - trace.evaluations))
        trace.stopped_because = _reason(trace, settings, least)
        yield trace


def _reason(trace: Trace, settings: Settings, least: float) -> str | None:
    """Return why a search is over, or None while it isn't."""
    # Rounding can take the distance of the target's own face below 0, which is no threshold.
    if least > 0 and trace.distance <= least:
        return "threshold"
    return "budget" if trace.evaluations >= settings.budget else None


def search(
    strategy: str,
    scorer: Scorer,
    target: Target,
    settings: Settings = Settings(),
    bank: Bank | None = None,
    **options: Any,
) -> Trace:
    """Look for a latent vector whose face is of the target's identity, and return the trace.

    `strategy` is a name of `STRATEGIES`; `options` may have its `config`. The budget counts the
    latent vectors that are compared with the target, those of a shared `bank` too. Raises
    `ParameterError` as `begin` does.
    """
    looking = begin(strategy, scorer, target, bank, seed=settings.seed, **options)
    trace = Trace(strategy)
    for _ in passes(looking, settings, trace):
        pass
    return trace
