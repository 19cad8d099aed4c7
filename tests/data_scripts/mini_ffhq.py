"""FFHQ in its real layout: six thumbnails with what is said of them, and five larger pictures."""

import hashlib
import io
import json
import sys

import numpy as np
import PIL.Image

mini = sys.modules["loaded_data_scripts_mini"]  # which loads this file

NUMBERS = (0, 1, 999, 59_999, 60_000, 69_999)
SPLITS = (0, 0, 0, 0, 1, 1)
LICENCES = (
    ("Attribution License", "https://creativecommons.org/licenses/by/2.0/"),
    ("Attribution-NonCommercial License", "https://creativecommons.org/licenses/by-nc/2.0/"),
    ("Public Domain Mark", "https://creativecommons.org/publicdomain/mark/1.0/"),
    ("Public Domain Dedication (CC0)", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("United States Government Work", "http://www.usa.gov/copyright.shtml"),
    ("Some other", "https://example.org/licence"),
)
# 68 points of an aligned picture of 1024 pixels, on a slanted grid.
POINTS = [[300.0 + 6 * (n % 17) + n, 400.0 + 40 * (n // 17) + 0.25 * n] for n in range(68)]


def png(side: int, seed: int) -> bytes:
    """Return a square picture of a smooth pattern, as a PNG."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    PIL.Image.fromarray(small).resize((side, side)).save(stream, "PNG")
    return stream.getvalue()


def name(number: int) -> str:
    """Return a picture's name in folders of a thousand."""
    return f"{number - number % 1000:05d}/{number:05d}.png"


def entry(place: int, number: int, thumbnail: bytes) -> dict:
    """Return what the authors' list says of a picture."""
    licence, address = LICENCES[place]
    points = [[x + place, y] for x, y in POINTS]
    return {
        "category": "training" if number < 60_000 else "validation",
        "metadata": {
            "photo_url": f"https://www.flickr.com/photos/{number}",
            "author": f"Zoë {number}",
            "license": licence,
            "license_url": address,
        },
        "image": {
            "file_path": f"images1024x1024/{name(number)}",
            "pixel_size": [1024, 1024],
            "face_landmarks": points,
        },
        "thumbnail": {
            "file_path": f"thumbnails128x128/{name(number)}",
            "file_size": len(thumbnail),
            "file_md5": hashlib.md5(thumbnail).hexdigest(),
            "pixel_size": [128, 128],
        },
        "in_the_wild": {"face_landmarks": points, "face_quad": [[0, 0], [0, 1], [1, 1], [1, 0]]},
    }


def ffhq() -> dict[str, bytes]:
    """Six thumbnails, and the list with their licences, sums and landmarks."""
    pictures = {number: png(128, number) for number in NUMBERS}
    members = {f"thumbnails128x128/{name(number)}": data for number, data in pictures.items()}
    entries = {
        str(number): entry(place, number, data)
        for place, (number, data) in enumerate(pictures.items())
    }
    return {
        "thumbnails128x128.zip": mini.zipped({"thumbnails128x128/LICENSE.txt": b"CC", **members}),
        "ffhq-dataset-v2.json": json.dumps(entries).encode(),
    }


def ffhq_256() -> dict[str, bytes]:
    """Five pictures of 256 pixels, all in one folder, and no list."""
    return {f"ffhq256/{n:05d}.jpg": mini.jpeg(256, 256, n) for n in NUMBERS[1:]}


MINIS = {
    "ffhq": mini.Mini("ffhq", "ffhq", ffhq, 6, 6, SPLITS),
    "ffhq-256": mini.Mini("ffhq-256", "ffhq", ffhq_256, 5, 5, SPLITS[1:], unpacked=True),
}
