"""A run's folder: one process's at a time, with checkpoints that a later one can go on from."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from facelab.engine import checkpoints, state
from facelab.engine.clock import Clock
from facelab.engine.scores import Scores
from facelab.engine.trainer import Trainer
from facelab.errors import CheckpointError, TrainingError

LOCK = ".lock"


class RunFolder:
    """Where a trainer's run is kept; with `path` None nowhere.

    `clock` tells how long it took, over all its parts; `scores` are those of its evaluations.
    """

    def __init__(self, path: Path | None, trainer: Trainer, scores: Scores):
        self.path, self.trainer, self.scores = path, trainer, scores
        self.clock = Clock()

    @contextmanager
    def claimed(self, resume: bool) -> Iterator[None]:
        """Have the folder to oneself, and with `resume` the run taken up that it holds.

        Raises `TrainingError` when another process has it, or it holds a run and that isn't to be
        resumed, and `CheckpointError` when the run is another one or can't be read.
        """
        if self.path is None:
            yield
            return
        with _locked(self.path) if self.trainer.processes.rank == 0 else ExitStack():
            known = checkpoints.steps(self.path)
            if resume:
                self._take_up()
            elif known:
                raise TrainingError(
                    f"{self.path} holds a run up to {known[-1]}; go on with it (--resume, or "
                    "resume=True), or give another folder"
                )
            yield

    def _take_up(self) -> None:
        processes = self.trainer.processes
        found = checkpoints.newest(self.path, self.trainer.owner)
        step = torch.tensor([float(found.state["step"] if found else 0)], device=processes.device)
        if not torch.equal(processes.mean(step), step):
            raise CheckpointError(
                f"the processes see different checkpoints in {self.path}; put it on a disk that "
                "all machines share"
            )
        if found:
            self._restore(found)

    def _restore(self, found: checkpoints.Checkpoint) -> None:
        trainer, known = self.trainer, found.state
        state.restore(found.tensors, trainer.networks, trainer.averages, trainer.players)
        state.set_random_state(known["random"], trainer.processes.device)
        trainer.step = known["step"]
        trainer.ledger.state = known["window"]
        self.scores.state = known["scores"]
        self.clock = Clock(known["seconds"], known["step"])

    def save(self) -> None:
        """Write a checkpoint, in the first process. Raises `CheckpointError` when it can't be.

        `TrainingError` when a weight is not finite: that is no state to go on from.
        """
        trainer, scores = self.trainer, self.scores
        trainer.ledger.read()
        self.clock.mark_saved(trainer.step)
        if self.path is None or trainer.processes.rank:
            return
        self._require_finite()
        checkpoints.save(
            self.path,
            state.tensors_of(trainer.networks, trainer.averages, trainer.players),
            {
                "run": trainer.owner,
                "step": trainer.step,
                "seconds": self.clock.seconds,
                "window": trainer.ledger.state,
                "scores": scores.state,
                "random": state.random_state(trainer.processes.device),
            },
            keep=trainer.settings.keep,
            best=scores.best[0] if scores.best else None,
        )

    def _require_finite(self) -> None:
        for name, network in self.trainer.networks.items():
            for key, tensor in network.state_dict().items():
                if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                    raise TrainingError(
                        f"{name}.{key} is not finite after step {self.trainer.step - 1}; "
                        f"{self.last_good}"
                    )

    @property
    def last_good(self) -> str:
        """Where the run can be taken up, as the end of a message."""
        known = checkpoints.steps(self.path) if self.path else []
        if not known:
            return "there is no checkpoint to go back to"
        return f"the last good checkpoint is {self.path / checkpoints.FOLDER / known[-1]}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Be the only process that writes to a folder. The lock ends with the process."""
    from filelock import FileLock, Timeout

    from facelab.assets import cache

    with cache.writing(folder.name, folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise TrainingError(
                f"another process trains in {folder}; wait for it, or give another folder"
            ) from error
    try:
        yield
    finally:
        lock.release()
