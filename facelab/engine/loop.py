"""The training loop: steps until the run is over, and what is written on the way.

    result = train(method, dataset, Settings(steps=1000), Path("runs/first"))

A run that was killed goes on from its last checkpoint with `resume=True`, on a CPU to the same
losses and weights, to the last bit, as one that never was.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from facelab.data.base import FaceDataset
from facelab.engine import run_record, state
from facelab.engine.batches import Batches
from facelab.engine.distribution import is_lost
from facelab.engine.interruption import Interruption
from facelab.engine.journal import Journal
from facelab.engine.ledger import NotFinite
from facelab.engine.run_folder import RunFolder
from facelab.engine.scores import Scores
from facelab.engine.settings import Evaluation, Settings
from facelab.engine.trainer import Trainer
from facelab.engine.watchers import Entry, Watcher
from facelab.errors import AssetError, ImageError, TrainingError
from facelab.phases import Method
from facelab.progress import progress_bar

Outcome = Literal["finished", "out of time", "stopped early", "interrupted"]


@dataclass(frozen=True)
class Result:
    """What a run gives: how it ended, and the networks, averages where the method keeps them.

    `networks` are in evaluation mode. `history` are the logged entries, `metrics` the last
    evaluation's; `folder` has the checkpoints, the log and, unless it was interrupted, the record.
    `rank` is the number of the process that got this result; the first alone writes and measures.
    """

    outcome: Outcome
    step: int
    minutes: float
    networks: Mapping[str, nn.Module]
    history: Sequence[Entry]
    metrics: Mapping[str, float]
    folder: Path | None = None
    rank: int = 0


def train(
    method: Method,
    dataset: FaceDataset,
    settings: Settings,
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    evaluation: Evaluation | None = None,
    watchers: Sequence[Watcher] = (),
    preset: str | None = None,
    progress: bool = True,
) -> Result:
    """Train a method on a dataset and return the result.

    `folder` gets checkpoints, log, previews and record; without one nothing is written. `resume`
    goes on from its newest checkpoint, if it has one. `preset` is the config's name, for the
    record. Ctrl-C ends the run after the present step, with a checkpoint.

    Raises `TrainingError` when a loss is not finite, or the folder has a run that isn't resumed;
    `CheckpointError` when the checkpoints are another run's, are damaged, or can't be written;
    `ParameterError` when method and settings don't fit, or an embedder that the loss saw scores.
    """
    run_record.require_unseen(method.embedders, evaluation.embedders if evaluation else ())
    trainer, scores = Trainer(method, dataset, settings), Scores(evaluation)
    home = RunFolder(None if folder is None else Path(folder), trainer, scores)
    with home.claimed(resume):
        return Run(home, watchers, preset).go(progress)


class Run:
    """A training under way, from its folder: steps, and what is due after each."""

    def __init__(
        self, home: RunFolder, watchers: Sequence[Watcher] = (), preset: str | None = None
    ):
        self.home, self.trainer, self.scores = home, home.trainer, home.scores
        self.settings, self.processes = self.trainer.settings, self.trainer.processes
        self.journal, self.preset = Journal(home, watchers), preset
        self.first = self.processes.rank == 0

    def go(self, progress: bool = True) -> Result:
        """Take steps until the run is over, and return what it gives."""
        trainer, settings = self.trainer, self.settings
        with ExitStack() as stack:
            stack.enter_context(_random_streams_kept(self.processes.device))
            stack.callback(trainer.turns.end)
            for watcher in self.journal.watchers:
                stack.callback(watcher.close)
            batches = Batches(
                trainer.dataset,
                settings.batch,
                settings.seed,
                rank=self.processes.rank,
                world=self.processes.world,
                workers=settings.workers,
                prefetch=settings.prefetch,
                finish=trainer.lay_out,
            )
            stack.enter_context(batches)
            interruption = stack.enter_context(Interruption())
            stack.enter_context(self._explained())
            shown = {"initial": trainer.step, "disable": not (progress and self.first)}
            bar = progress_bar(trainer.method.id, settings.steps or 0, "step", **shown)
            stack.enter_context(bar)
            outcome = self._steps(batches, interruption, bar)
            self._end(outcome)
        return self._result(outcome)

    def _steps(self, batches: Batches, interruption: Interruption, bar: Any) -> Outcome:
        while not (outcome := self._over(interruption)):
            self.trainer.take(batches.at(self.trainer.step))
            bar.update(1)
            self._attend(bar)
        return outcome

    def _attend(self, bar: Any) -> None:
        """Do what is due after a step: measure, log, draw, keep, in this order."""
        step, settings = self.trainer.step, self.settings
        evaluated = self.scores.due(step)
        if evaluated:
            self._measure()
        if evaluated or step % settings.log_every == 0:
            bar.set_postfix_str(_postfix(self.journal.log()), refresh=False)
        if settings.preview_every and step % settings.preview_every == 0:
            self.journal.preview()
        if self._to_be_saved():
            self.home.save()

    def _over(self, interruption: Interruption) -> Outcome | None:
        """Return how the run ended, if it has; all processes must agree."""
        step, settings, processes = self.trainer.step, self.settings, self.processes
        if settings.steps is not None and step >= settings.steps:
            return "finished"
        if processes.world > 1 and step % settings.log_every:
            return None  # asking the others costs a message
        if processes.agree(self.scores.exhausted):
            return "stopped early"
        late = settings.minutes is not None and self.home.clock.minutes >= settings.minutes
        if processes.agree(self.first and late):
            return "out of time"
        return "interrupted" if processes.agree(interruption.asked) else None

    def _to_be_saved(self) -> bool:
        step, settings = self.trainer.step, self.settings
        if settings.checkpoint_every and step % settings.checkpoint_every == 0:
            return True
        if self.scores.best and self.scores.best[0] == step:
            return True
        # The clock is the first process's own: it saves alone, where no loss waits to be read.
        if self.processes.world > 1 and (step % settings.log_every or not self.first):
            return False
        return self.home.clock.minutes_unsaved >= settings.checkpoint_minutes

    def _end(self, outcome: Outcome) -> None:
        """Measure, log and draw what the last steps have not yet, and keep it all."""
        step, settings = self.trainer.step, self.settings
        if outcome != "interrupted":
            if self.scores.evaluation and self.scores.step != step:
                self._measure()
            if self.journal.step != step:
                self.journal.log()
            if settings.preview_every and step % settings.preview_every:
                self.journal.preview()
        if self.home.clock.saved_step != step or not step:
            self.home.save()
        if self.home.path and outcome != "interrupted":
            alike = self.processes.same(self.trainer.kept_tensors)
            if self.first:
                self._tell_apart(alike)
                run_record.write(self.home.path, self._record(outcome, alike))

    def _tell_apart(self, alike: bool) -> None:
        if not alike:
            print(
                f"the networks of the processes differ after step {self.trainer.step}: a loss "
                "changes something that isn't averaged; what was kept is the first process's",
                file=sys.stderr,
            )

    def _record(self, outcome: Outcome, alike: bool) -> dict[str, Any]:
        best = self.scores.best and dict(zip(("step", "value"), self.scores.best, strict=True))
        return run_record.describe(
            self.trainer,
            self.scores.embedders,
            preset=self.preset,
            outcome=outcome,
            minutes=round(self.home.clock.minutes, 5),
            losses=dict(self.journal.history[-1].losses),
            metrics=self.scores.state["metrics"],
            best=best,
            **({"processes_alike": alike} if self.processes.world > 1 else {}),
        )

    def _result(self, outcome: Outcome) -> Result:
        return Result(
            outcome,
            self.trainer.step,
            self.home.clock.minutes,
            {name: network.eval() for name, network in self.trainer.best_networks.items()},
            tuple(self.journal.history),
            dict(self.scores.metrics),
            self.home.path,
            self.processes.rank,
        )

    def _measure(self) -> None:
        """Measure in the first process, while the others wait."""
        self.trainer.ledger.read()
        if self.first:
            self.scores.measure(self.trainer.best_networks, self.trainer.step)
        self.processes.wait()
        self.scores.step = self.trainer.step

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say of a failure on the way where the run can be taken up."""
        try:
            yield
        except NotFinite as error:
            raise TrainingError(
                f"{error}; {self.home.last_good}; a smaller learning rate, or clip_norm, may keep "
                "it finite"
            ) from error
        except (AssetError, ImageError) as error:
            raise TrainingError(f"{error}; {self.home.last_good}") from error
        except RuntimeError as error:
            if not is_lost(error):
                raise
            raise TrainingError(
                f"process {self.processes.rank} of {self.processes.world} has lost another one "
                f"after step {self.trainer.step}; {self.home.last_good}; start all of them again "
                "with --resume"
            ) from error


@contextmanager
def _random_streams_kept(device: torch.device) -> Iterator[None]:
    """Give the global random streams back as they were: a run seeds them at every step."""
    before = state.random_state(device)
    try:
        yield
    finally:
        state.set_random_state(before, device)


def _postfix(entry: Entry) -> str:
    losses = " ".join(f"{name} {value:.3g}" for name, value in entry.losses.items())
    return f"{entry.faces_per_second:.0f} faces/s {losses}"
