"""One progress bar for all that takes long: on a terminal it moves often, in a log seldom."""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

# In a log each state is a line of its own, and what is quick needs none.
LOG_EVERY_S = 10.0


def progress_bar(what: str, total: int, unit: str, **options: Any) -> "tqdm":
    """Return a bar on standard error, which is gone once it is closed; `options` are tqdm's.

    `what` stands before it. Use it in a `with` statement.
    """
    from tqdm import tqdm

    on_terminal = sys.stderr.isatty()
    return tqdm(
        desc=what,
        total=total,
        unit=unit,
        leave=False,
        mininterval=0.1 if on_terminal else LOG_EVERY_S,
        delay=0 if on_terminal else LOG_EVERY_S,
        **options,
    )
