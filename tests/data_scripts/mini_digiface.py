"""DigiFace-1M in its real layout: eight zips, nine people."""

import io
import sys

import numpy as np
import PIL.Image

mini = sys.modules["loaded_data_scripts_mini"]  # which loads this file

DEEP = (0, 2000, 4000, 6000, 8000)  # the first person of each part
BROAD = (100_000, 133_333, 166_666)


def png(seed: int) -> bytes:
    """Return a picture of 112 x 112 pixels, as a PNG."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    PIL.Image.fromarray(small).resize((112, 112)).save(stream, "PNG")
    return stream.getvalue()


def part(first: int) -> bytes:
    """Return a zip with two pictures of its first person; the very first has person 1 as well."""
    counts = {first: 2, 1: 3} if first == 0 else {first: 2}
    return mini.zipped(
        {f"{who}/{n}.png": png(10 * who + n) for who, count in counts.items() for n in range(count)}
    )


def deep() -> dict[str, bytes]:
    """Thirteen pictures of six people."""
    return {f"subjects_{first}-{first + 1999}_72_imgs.zip": part(first) for first in DEEP}


def whole() -> dict[str, bytes]:
    """Those, and six of three more."""
    more = {f"subjects_{first}-{first + 33_332}_5_imgs.zip": part(first) for first in BROAD}
    return deep() | more


MINIS = {
    "digiface-1m": mini.Mini("digiface-1m", "digiface", whole, 19, 9, (0,) * 19),
    "digiface-1m-72": mini.Mini("digiface-1m-72", "digiface", deep, 13, 6, (0,) * 13),
}
