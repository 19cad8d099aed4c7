"""`facelab align`: faces cut out, upright and at one size."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facelab.errors import UserError
from facelab.identity.console import (
    FILE,
    JSON,
    is_same_file,
    policy_option,
    print_json,
    raise_first,
)

if TYPE_CHECKING:
    from facelab.recognition.align import Template


@click.command()
@click.argument("images", nargs=-1, required=True, type=FILE, metavar="IMAGE...")
@click.option("-o", "--output", type=FILE, required=True, metavar="DIR")
@click.option("--template", default="dlib150", show_default=True, help="Where the points go.")
@click.option("--size", type=click.IntRange(16, 2048), help="Side in pixels [the template's].")
@click.option("--overwrite", is_flag=True, help="Replace files of an earlier run.")
@policy_option("all")
@JSON
def align(
    images: tuple[Path, ...],
    output: Path,
    template: str,
    size: int | None,
    overwrite: bool,
    policy: str,
    as_json: bool,
) -> None:
    """Cut faces out, upright and at one size, as PNG files in a folder.

    photo.jpg becomes photo.png; further faces, and further pictures of that name, photo-2.png and
    so on. No picture that was given is ever overwritten.
    """
    from facelab.images import save_image
    from facelab.recognition.gallery import Failure, faces_of_files

    place = _scaled(template, size)
    names = _Names(output, images, overwrite)
    first_names = [names.take(path) for path in images]
    written = []
    for (path, found), first in zip(
        faces_of_files(images, place, policy), first_names, strict=True
    ):
        if isinstance(found, Failure):
            raise_first((found,))
        faces, _ = found
        for index, crop in enumerate(faces.images.split(1)):
            target = save_image(crop, first if index == 0 else names.take(Path(path)))
            written.append({"source": path, "file": str(target),
                            "box": faces.boxes[index].tolist(),
                            "probability": float(faces.probabilities[index])})  # fmt: skip
            if not as_json:
                click.echo(f"wrote {target}")
    if as_json:
        print_json(files=written, template=place.name, size=place.size, policy=policy)


def _scaled(name: str, size: int | None) -> "Template":
    """Return the template, its points moved to a picture of another size."""
    import dataclasses

    from facelab.recognition.align import find_template

    template = find_template(name)
    if size is None:
        return template
    scale = size / template.size
    points = tuple(tuple((v + 0.5) * scale - 0.5 for v in point) for point in template.points)
    return dataclasses.replace(template, size=size, points=points)


class _Names:
    """Hands out names of files to write: none twice, and never that of a picture that was given."""

    def __init__(self, folder: Path, inputs: tuple[Path, ...], overwrite: bool):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is not a folder; give the folder for the faces with -o")
        self.folder, self.inputs, self.overwrite = folder, inputs, overwrite
        self.taken: set[str] = set()

    def take(self, source: Path) -> Path:
        """Return a name for a face of `source`. Raises `UserError` when such a file exists."""
        number = 1
        while True:
            stem = source.stem if number == 1 else f"{source.stem}-{number}"
            path = self.folder / f"{stem}.png"
            # Some file systems don't tell upper from lower case.
            key = path.name.casefold()
            if key not in self.taken and not any(is_same_file(path, i) for i in self.inputs):
                break
            number += 1
        if path.exists() and not self.overwrite:
            raise UserError(f"{path} exists; give another folder, or --overwrite to replace it")
        self.taken.add(key)
        return path
