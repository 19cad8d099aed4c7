"""The time that a run has taken, over all the parts that it was done in."""

import time


class Clock:
    """Counts from `spent_s`, the seconds of the earlier parts. Starts when it is made."""

    def __init__(self, spent_s: float = 0.0, step: int = 0):
        self._started = time.perf_counter() - spent_s
        self._lap = self._saved = (step, spent_s)

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._started

    @property
    def minutes(self) -> float:
        """Minutes so far."""
        return self.seconds / 60

    def lap(self, step: int) -> tuple[int, float]:
        """Return the steps and seconds since this was called before."""
        (before, then), now = self._lap, self.seconds
        self._lap = (step, now)
        return step - before, now - then

    def mark_saved(self, step: int) -> None:
        """Note that all up to this step is kept."""
        self._saved = (step, self.seconds)

    @property
    def saved_step(self) -> int:
        """The last step that is kept."""
        return self._saved[0]

    @property
    def minutes_unsaved(self) -> float:
        """Minutes since anything was kept."""
        return (self.seconds - self._saved[1]) / 60
