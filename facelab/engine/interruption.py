"""Ctrl-C and SIGTERM end a run after the step that it is in, with a checkpoint."""

import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Notes the first signal of each kind; the second does what it always did.

    A context. In a thread that isn't the main one, where Python takes no signals, it notes none.
    torchrun sends SIGTERM after the terminal's Ctrl-C: that is no second one.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, self._before.pop(number))
