"""Pictures in and out: the only place that converts range, data type, layout and file format.

Inside facelab an image is (batch, 3, height, width), float32, RGB, [-1, 1]. Files and arrays are
(height, width, 3), uint8, [0, 255]. Level v of a file is 2 v / 255 - 1 here, so that 0 is -1 and
255 is 1, and a round trip through uint8 is exact.
"""

import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from facelab.errors import ImageError
from facelab.types import Image, Picture

if TYPE_CHECKING:
    import PIL.Image

# 12,000 x 12,000: above it a file is either a mistake or a decompression bomb.
MAXIMUM_PIXELS = 144_000_000


def load_image(path: str | os.PathLike) -> Picture:
    """Read a picture file the way a viewer shows it.

    EXIF rotation is applied, transparency is laid on white, grey becomes three equal channels, and
    16 bits a channel are scaled to 8. Returns shape (1, 3, height, width) in [-1, 1].

    Raises `ImageError` when the file is missing, empty, no picture, damaged or above
    `MAXIMUM_PIXELS`.
    """
    import PIL.Image
    import PIL.ImageOps

    path = Path(path).expanduser()
    _require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning; we have a limit of our own
            with PIL.Image.open(path) as opened:
                _require_size(path, *opened.size)
                picture = _to_rgb(PIL.ImageOps.exif_transpose(opened))
    except PIL.UnidentifiedImageError as error:
        raise ImageError(
            f"{path} is not a picture that can be read; give a JPEG, PNG, WebP or TIFF file"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise ImageError(
            f"{path} has too many pixels to open safely; scale it down first"
        ) from error
    except (OSError, SyntaxError, EOFError, ValueError, MemoryError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            f"{path} is damaged or cut short ({error}); export or download the picture again"
        ) from error
    return from_uint8(torch.from_numpy(np.asarray(picture).copy()))


def _require_file(path: Path) -> None:
    if not path.exists():
        raise ImageError(f"{path} does not exist; check the path (now in {Path.cwd()})")
    if not path.is_file():
        raise ImageError(f"{path} is not a file; give the path of one picture")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes); export or download the picture again")


def _require_size(path: Path, width: int, height: int) -> None:
    if width * height > MAXIMUM_PIXELS:
        raise ImageError(
            f"{path} is {width} x {height} pixels, more than the {MAXIMUM_PIXELS:,} that facelab "
            "opens; scale it down first"
        )


def _to_rgb(picture: "PIL.Image.Image") -> "PIL.Image.Image":
    import PIL.Image

    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits a channel: keep the top 8
        levels = np.asarray(picture).astype(np.float64)
        full = 65535.0 if picture.mode.startswith("I") else max(float(levels.max()), 1e-12)
        return PIL.Image.fromarray(np.round(levels / full * 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def from_uint8(
    levels: UInt8[Tensor, "height width 3"] | UInt8[Tensor, "batch height width 3"],
) -> Image:
    """Turn uint8 levels, channels last, into an image in [-1, 1]; one picture becomes a batch."""
    if levels.ndim == 3:
        levels = levels[None]
    return levels.permute(0, 3, 1, 2).contiguous().float().mul_(2 / 255).sub_(1)


def to_uint8(images: Image) -> UInt8[Tensor, "batch height width 3"]:
    """Round images in [-1, 1] to uint8 levels, channels last; values outside are clipped.

    Raises `ImageError` on a NaN or an infinity: a picture must not hide a failed computation.
    """
    if not torch.isfinite(images).all():
        raise ImageError("the image has values that are not finite; look at what computed it")
    levels = (images.detach().float() + 1) * (255 / 2)
    return levels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()


def to_unit(images: Image) -> Float[Tensor, "batch 3 height width"]:
    """Map [-1, 1] to [0, 1], for the plotting and metric libraries that expect it."""
    return ((images.detach().float().cpu() + 1) / 2).clamp(0, 1)


def linear_light(level: Tensor) -> Tensor:
    """Return the linear light of sRGB levels in [0, 1], of any shape. Source: IEC 61966-2-1."""
    return torch.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def save_image(image: Image, path: str | os.PathLike) -> Path:
    """Write one image, shape (1, 3, height, width), beside `path` and rename it into place.

    The ending chooses the format (.png, .jpg, .webp ...). Raises `ImageError` when it can't be
    written; what was at `path` is kept then.
    """
    import PIL.Image

    path = Path(path)
    if image.shape[0] != 1:
        raise ImageError(f"save_image takes one image, got a batch of {image.shape[0]}")
    picture = PIL.Image.fromarray(to_uint8(image)[0].numpy())
    descriptor, beside = tempfile.mkstemp(suffix=path.suffix, dir=_parent(path))
    os.close(descriptor)
    try:
        picture.save(beside)
        os.replace(beside, path)
    except (OSError, ValueError) as error:
        Path(beside).unlink(missing_ok=True)
        raise ImageError(f"{path} could not be written: {error}") from error
    return path


def _parent(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"the folder of {path} could not be made: {error}") from error
    return path.parent


def grid(images: Image, columns: int, gap: int = 2) -> Picture:
    """Lay a batch out as one picture, row by row, on white with `gap` pixels between.

    Returns shape (1, 3, rows (height + gap) - gap, columns (width + gap) - gap).
    """
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    sheet = images.new_ones(
        (1, channels, rows * (height + gap) - gap, columns * (width + gap) - gap)
    )
    for index in range(count):
        top = index // columns * (height + gap)
        left = index % columns * (width + gap)
        sheet[0, :, top : top + height, left : left + width] = images[index]
    return sheet
