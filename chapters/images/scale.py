"""Draw scale.svg: pictures a second from one GPU to 64, of records/scale.json.

    python chapters/images/scale.py

The picture says in its description which numbers it was drawn from.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from facelab import figures

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "records" / "scale.json"
SHOWN = ("dcgan", "stylegan2", "ganfaces", "diat", "idmap", "d2ae")


def points(
    record: dict[str, Any], kind: str
) -> dict[str, list[tuple[float, float]]]:
    """Return (GPUs, pictures a second) of each method that is shown; `kind` is strong or weak."""
    model = record["model"]
    return {
        name: [
            (each["gpus"], each["pictures_s"])
            for each in model[name][kind].values()
        ]
        for name in SHOWN
    }


def digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of what is drawn of a record."""
    drawn = [points(record, kind) for kind in ("strong", "weak")]
    return hashlib.sha256(json.dumps(drawn).encode()).hexdigest()


def main() -> None:
    """Read the record and write the picture beside this script."""
    import matplotlib

    record = json.loads(RECORD.read_text())
    figure = figures.paths(
        points(record, "strong"), {}, x_axis="GPUs", y_axis="pictures a second"
    )
    axes = figure.axes[0]
    grown = points(record, "weak").values()
    for places, line in zip(grown, list(axes.lines)[::2], strict=False):
        x, y = zip(*places, strict=True)
        axes.plot(x, y, color=line.get_color(), linestyle=":", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    counts = [1, 2, 4, 8, 16, 32, 64]
    axes.set_xticks(counts, [str(count) for count in counts])
    target = Path(__file__).with_suffix(".svg")
    beside = target.with_name(f".{target.name}.part")
    about = {
        "Description": f"records/scale.json, SHA-256 {digest(record)}",
        "Date": None,
    }
    with matplotlib.rc_context({"svg.hashsalt": "scale"}):
        figure.savefig(beside, format="svg", facecolor="white", metadata=about)
    beside.replace(target)


if __name__ == "__main__":
    main()
