"""What a run tells those who look on: entries of losses and rates, and grids of faces."""

from collections.abc import Sequence

import torch

from facelab import images
from facelab.engine.run_folder import RunFolder
from facelab.engine.scores import evaluating
from facelab.engine.watchers import Entry, Files, Watcher
from facelab.types import Batch


class Journal:
    """The entries of a run, in `history`, and its watchers, all in the first process.

    A run with a folder has its log there, of which a resumed run keeps what was before it.
    """

    def __init__(self, home: RunFolder, watchers: Sequence[Watcher] = ()):
        self.home, self.trainer = home, home.trainer
        self.history: list[Entry] = []
        self.watchers: list[Watcher] = []
        if self.trainer.processes.rank == 0:
            if home.path:
                files = Files(home.path, self.trainer.step)
                self.watchers, self.history = [files], list(files.history)
            self.watchers += watchers
        self._faces: Batch | None = None

    @property
    def step(self) -> int:
        """The step of the last entry, -1 before the first."""
        return self.history[-1].step if self.history else -1

    def log(self) -> Entry:
        """Enter the losses since the last entry, as all processes must, and tell the watchers."""
        trainer, scores, clock = self.trainer, self.home.scores, self.home.clock
        losses, batch = trainer.ledger.take(), trainer.settings.batch
        steps, elapsed_s = clock.lap(trainer.step)
        entry = Entry(
            trainer.step,
            faces=trainer.step * batch,
            seconds=clock.seconds,
            faces_per_second=steps * batch / max(elapsed_s, 1e-9),
            losses=losses,
            learning_rates={p.phase.name: trainer.learning_rate(p) for p in trainer.players},
            metrics=dict(scores.metrics) if scores.step == trainer.step else {},
        )
        self.history.append(entry)
        for watcher in self.watchers:
            watcher.log(entry)
        return entry

    def preview(self) -> None:
        """Have the method draw faces with the networks as they are, for the watchers."""
        trainer = self.trainer
        trainer.ledger.read()
        if not self.watchers:
            return
        if self._faces is None:
            count = min(trainer.settings.preview_faces, len(trainer.dataset))
            faces = trainer.lay_out(trainer.dataset.batch(range(count)))
            self._faces = faces.to(trainer.processes.device)
        networks = trainer.best_networks
        with torch.no_grad(), evaluating(networks), trainer.processes.autocast():
            drawn = trainer.method.preview(networks, self._faces).float()
        picture = images.grid(drawn, columns=max(1, round(len(drawn) ** 0.5)))
        for watcher in self.watchers:
            watcher.show(trainer.step, picture)
