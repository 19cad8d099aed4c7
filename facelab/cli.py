"""The command `facelab`: thin verbs over the library.

A mistake of the user's is one line on standard error and exit code 2. A verb imports what it needs
when it runs, so that `facelab --help` stays quick.
"""

import importlib
import json
import sys

import click

from facelab import __version__
from facelab.errors import UserError

INTERRUPTED = 130  # what a shell gives for Ctrl-C


# Verbs that live beside what they serve: verb -> (module, attribute).
ELSEWHERE = {
    "book": ("facelab.book.commands", "book"),
    "assign": ("facelab.course.commands", "assign"),
    "search": ("facelab.methods.ganid.commands", "search_command"),
    "edit": ("facelab.methods.ganid.edit_commands", "edit"),
    "attributes": ("facelab.methods.ganid.edit_commands", "attributes"),
    "render": ("facelab.data.commands", "render"),
    "generate": ("facelab.methods.ganfaces.commands", "generate"),
    "train": ("facelab.engine.commands", "train"),
    "swap": ("facelab.methods.idmap.commands", "swap"),
    "deidentify": ("facelab.methods.idmap.commands", "deidentify"),
    "disentangle": ("facelab.methods.d2ae.commands", "disentangle"),
    "transfer": ("facelab.methods.diat.commands", "transfer"),
    "compare": ("facelab.comparison.commands", "compare"),
    "align": ("facelab.identity", "align"),
    "embed": ("facelab.identity", "embed"),
    "verify": ("facelab.identity", "verify"),
}


class _Verbs(click.Group):
    """A group whose verbs from elsewhere are loaded when they are asked for."""

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in ELSEWHERE:
            module, attribute = ELSEWHERE[name]
            return getattr(importlib.import_module(module), attribute)
        return super().get_command(context, name)

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), *ELSEWHERE])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="facelab")
def facelab() -> None:
    """Identity-preserving face generation: a textbook that runs."""


@facelab.group()
def assets() -> None:
    """Fetch, list and verify what the book needs: weights, photographs, scripts."""


@assets.command("fetch")
@click.argument("names", nargs=-1)
def assets_fetch(names: tuple[str, ...]) -> None:
    """Fetch the named assets, or all of them; what is there already is only verified."""
    from facelab import assets as table

    for path in table.fetch(names or None):
        click.echo(path)


@assets.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on standard output.")
def assets_list(as_json: bool) -> None:
    """Show every asset: size, licence, source, and whether it is here."""
    from facelab import assets as table

    rows = table.listing()
    click.echo(json.dumps(rows, indent=1) if as_json else table.render_listing(rows))


@assets.command("verify")
@click.argument("names", nargs=-1)
def assets_verify(names: tuple[str, ...]) -> None:
    """Compute every SHA-256 anew and compare it with the table."""
    from facelab import assets as table

    for name in names or table.ASSETS:
        click.echo(f"{name}: {table.verify(name)}")


@assets.command("path")
@click.argument("name")
def assets_path(name: str) -> None:
    """Print where an asset lies; fetch it first when it is not here."""
    from facelab import assets as table

    click.echo(table.path(name))


@facelab.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array on standard output.")
def doctor(as_json: bool) -> None:
    """Check the environment: versions, device, assets, disk, kernels, and what to do."""
    from facelab import doctor as clinic

    findings = clinic.examine()
    click.echo(clinic.render(findings, as_json=as_json))
    sys.exit(clinic.exit_code(findings))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with 0, 1 (a check or a chapter failed), 2 (user error) or 130."""
    try:
        sys.exit(facelab.main(args=arguments, prog_name="facelab", standalone_mode=False))
    except UserError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
