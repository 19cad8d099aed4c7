"""A small folder of one's own pictures: rendered heads, whose faces MTCNN finds as it does others.

Four pictures of three people have one face; one has two and one has none.
"""

import functools
import io
import sys

import numpy as np
import PIL.Image

mini = sys.modules["loaded_data_scripts_mini"]  # which loads this file


@functools.cache
def heads() -> tuple[np.ndarray, ...]:
    """Return four pictures, (128, 128, 3) uint8: two people, two views of each."""
    from facelab.data.anny_faces import AnnyFaces
    from facelab.images import to_uint8

    faces = AnnyFaces(128, 2, 2, seed=0, split="train")
    return tuple(to_uint8(faces.batch(range(4)).images).numpy())


def jpeg(levels: np.ndarray) -> bytes:
    """Return a picture as a JPEG."""
    stream = io.BytesIO()
    PIL.Image.fromarray(levels).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def own_pictures() -> dict[str, bytes]:
    """Six pictures, as a folder."""
    first, again, other, last = heads()
    return {
        "Ada/1.jpg": jpeg(first),
        "Ada/2019/2.jpg": jpeg(again),
        "Bo/1.jpg": jpeg(other),
        "Bo/both.jpg": jpeg(np.concatenate([first, other], axis=1)),
        "c.jpg": jpeg(last),
        "nobody.jpg": mini.jpeg(140, 130, 0),
    }


MINIS = {
    "own-pictures": mini.Mini(
        "own-pictures", "own_pictures", own_pictures, 4, 3, (0,) * 4, unpacked=True
    )
}
