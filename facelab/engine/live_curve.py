"""A curve of the losses that a notebook draws anew while a run trains."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from facelab import figures
from facelab.engine.watchers import Entry, Watcher
from facelab.types import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(history: Sequence[Entry], names: Sequence[str] | None = None) -> "Figure":
    """Draw the logged losses over the steps, one panel a phase; `names` chooses "phase/term"s."""
    known = dict.fromkeys(name for entry in history for name in entry.losses)
    chosen = [name for name in known if names is None or name in names]
    phases = list(dict.fromkeys(name.split("/")[0] for name in chosen)) or [""]
    figure = figures.new_figure(3.6 * len(phases), 2.4)
    for axes, phase in zip(figure.subplots(1, len(phases), squeeze=False)[0], phases, strict=True):
        for number, name in enumerate(n for n in chosen if n.split("/")[0] == phase):
            points = [(e.step, e.losses[name]) for e in history if name in e.losses]
            colour = figures.COLOURS[number % len(figures.COLOURS)]
            axes.plot(*zip(*points, strict=True), color=colour, label=name.split("/", 1)[1])
        axes.set(title=phase, xlabel="step")
        if axes.get_lines():
            axes.legend(fontsize=8)
    return figure


class LiveCurve(Watcher):
    """Draws the losses in a notebook, one picture that changes with every `every`-th entry.

    Outside a notebook it only keeps the entries, in `history`.
    """

    def __init__(self, names: Sequence[str] | None = None, every: int = 1):
        self.names, self.every = names, every
        self.history: list[Entry] = []
        self._shown = None

    def log(self, entry: Entry) -> None:
        """Add an entry to the curve."""
        self.history.append(entry)
        if len(self.history) % self.every == 0:
            self._draw()

    def show(self, step: int, picture: Picture) -> None:
        """Leave pictures to others."""

    def close(self) -> None:
        """Draw the whole curve."""
        if self.history:
            self._draw()

    def _draw(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython() is None:
            return
        stream = io.BytesIO()
        draw(self.history, self.names).savefig(stream, format="png", dpi=figures.DOTS_PER_INCH)
        last = self.history[-1]
        values = ", ".join(f"{name} {value:.3g}" for name, value in last.losses.items())
        alt = f"Losses over the steps, at step {last.step}: {values}"
        content = {"image/png": stream.getvalue(), "text/plain": alt}
        metadata = {"image/png": {"alt": alt}}
        if self._shown is None:
            self._shown = display(content, raw=True, metadata=metadata, display_id=True)
        else:
            self._shown.update(content, raw=True, metadata=metadata)
