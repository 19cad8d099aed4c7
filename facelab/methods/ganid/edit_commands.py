"""`facelab edit` and `facelab attributes`: a face that was found, with another attribute."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from facelab.methods.ganid.attributes import Attribute


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array on standard output.")
def attributes(as_json: bool) -> None:
    """List the attributes that `facelab edit` knows, and who judges each edit."""
    from facelab.methods.ganid.attributes import ATTRIBUTES

    if as_json:
        click.echo(json.dumps([_row(attribute) for attribute in ATTRIBUTES], indent=1))
        return
    for a in ATTRIBUTES:
        click.echo(f"{a.name:<11}{a.meaning}; a strength below 0: {a.without}")
        click.echo(f"{'':<11}judged by {a.judge.by}")


def _row(attribute: "Attribute") -> dict[str, str]:
    return {
        "name": attribute.name,
        "meaning": attribute.meaning,
        "without": attribute.without,
        "label": attribute.label.by,
        "judge": attribute.judge.by,
    }


@click.command()
@click.option("--latent", "source", type=click.Path(path_type=Path), required=True, metavar="FILE",
              help="What `facelab search` or `facelab edit` wrote.")  # fmt: skip
@click.option("--attribute", "names", multiple=True, required=True, metavar="NAME",
              help="See `facelab attributes`; repeat it for several.")  # fmt: skip
@click.option("--strength", "strengths", type=float, multiple=True,
              help="One for each attribute; below 0 takes it away.  [1]")  # fmt: skip
@click.option("--orthogonal", is_flag=True, help="Leave the other attributes as they are.")
@click.option("--keep-identity", is_flag=True, help="Search near the edit to win identity back.")
@click.option("--embedder", default="dlib", show_default=True, metavar="NAME")
@click.option("--unseen", metavar="NAME",
              help="Judges what --keep-identity did.  [faceres; for faceres, dlib]")  # fmt: skip
@click.option("--generator", default="digiface-dcgan", show_default=True, metavar="NAME|FILE")
@click.option("--overwrite", is_flag=True, help="Replace files of an earlier edit.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR")
def edit(source: Path, names: tuple[str, ...], strengths: tuple[float, ...], **given: Any) -> None:
    """Change attributes of a generated face by vector arithmetic.

    Writes edited.png, sheet.png (before, on the way, after), latent.safetensors and edit.json to
    DIR. The vectors of a generator are made at the first call and kept in the cache.
    """
    from facelab.methods.ganid import edit_session

    facts = edit_session.run(source, names, strengths, **given)
    _tell(facts, given["output"] / "edit.json")


def _tell(facts: dict[str, Any], path: Path) -> None:
    """Say in a line what the judge sees and what became of the identity."""
    seen = ", ".join(
        f"{v['wanted']}: {'yes' if v['judge_after'] else 'no'} "
        f"(before: {'yes' if v['judge_before'] else 'no'})"
        for v in facts["attributes"]
    )
    click.echo(
        f"{seen}; identity moved {facts['distance']:.3f} by {facts['embedder']} (same person below "
        f"{facts['threshold_same_person']:.2f}); {path}"
    )
