"""compare: the five methods on the same held-out faces, both tasks, and the curves' numbers.

Prints a record and writes it to runs/bench/compare.json, or to the file that --output names; the
book's is records/compare.json. Nobody on these faces is in a training. The search of ganid has few
evaluations, which the record says; milliseconds are those of one face in a row of all, on so many
threads.

`facelab compare` measures the same and prints a table. `--figures DIR` also draws identity against
attribute, a picture a task.
"""

import argparse
import sys
import time
from pathlib import Path

import recording

from facelab.assets import cache
from facelab.comparison import report, session
from facelab.comparison.cases import PEOPLE
from facelab.comparison.contestants import METHODS


def measure(options: argparse.Namespace) -> dict:
    """All tasks and methods that were asked for."""
    start = time.perf_counter()
    order = session.Order(
        tuple(options.methods), tuple(options.tasks), options.change, options.data,
        options.people, options.seed, options.replicates,
    )  # fmt: skip
    told = session.run(order, lambda name: print(f"{name} ...", file=sys.stderr, flush=True))
    for name in order.tasks if options.figures else ():
        picture = report.as_png(report.trade_off(told, name))
        cache.write_beside(options.figures / f"{name}.png", picture)
    return {**told, "minutes": round((time.perf_counter() - start) / 60, 2)}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--tasks", nargs="+", choices=session.TASKS, default=list(session.TASKS))
    parser.add_argument("--change", default=session.CHANGE, help="a task of diat")
    parser.add_argument("--data", help="word that names faces  [drawn, of the test split]")
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--figures", type=Path, help="folder to draw the curves to")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=recording.ROOT / "runs/bench/compare.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(recording.main("the five methods on the same faces", parsed(), measure))
