"""What a claim of a paper comes to when it is measured: figures, and a verdict that follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Said = Literal["reproduced", "partly reproduced", "not reproduced"]


@dataclass(frozen=True)
class Verdict:
    """A claim by its id (`ganid.search`), the measured figures by their meaning, and the verdict.

    A figure of None was never reached.
    """

    claim: str
    figures: Mapping[str, float | None]
    said: Said

    def told(self) -> str:
        """Return the figures in one line of text."""
        return "; ".join(
            f"{meaning}: {'never' if value is None else f'{value:.3g}'}"
            for meaning, value in self.figures.items()
        )


def said(wholly: bool, partly: bool = False) -> Said:
    """Return the verdict on a claim that holds wholly, partly or not."""
    return "reproduced" if wholly else "partly reproduced" if partly else "not reproduced"


def at(record: Any, *names: object) -> Any:
    """Return what stands below these names in a record, None where one of them is missing."""
    for name in names:
        if not isinstance(record, Mapping):
            return None
        record = record.get(name)
    return record
