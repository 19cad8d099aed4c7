"""CASIA-WebFace as it was published, seven pictures; and records as MXNet writes them."""

import struct
import sys

mini = sys.modules["loaded_data_scripts_mini"]  # which loads this file

PEOPLE = {"0000045": 3, "0000099": 1, "0000102": 3}
MAGIC = 0xCED7230A


def casia() -> dict[str, bytes]:
    """A folder a person, pictures of 250 x 250 pixels."""
    return {
        f"CASIA-WebFace/{person}/{n:03d}.jpg": mini.jpeg(250, 250, int(person) + n)
        for person, count in PEOPLE.items()
        for n in range(1, count + 1)
    }


def framed(data: bytes) -> bytes:
    """Return a record as it lies in the file: cut where the magic number is at a multiple of 4."""
    magic, pieces, start = struct.pack("<I", MAGIC), [], 0
    for place in range(0, len(data) - 3, 4):
        if data[place : place + 4] == magic:
            pieces.append(data[start:place])
            start = place + 4
    pieces.append(data[start:])
    kinds = [0] if len(pieces) == 1 else [1, *[2] * (len(pieces) - 2), 3]
    return b"".join(
        magic + struct.pack("<I", kind << 29 | len(piece)) + piece + bytes(-len(piece) % 4)
        for kind, piece in zip(kinds, pieces, strict=True)
    )


def record(labels: float | tuple[float, ...], content: bytes, key: int = 0) -> bytes:
    """Return a record: one label in its head, or several behind it."""
    if isinstance(labels, tuple):
        head = struct.pack("<IfQQ", len(labels), 0, key, 0)
        return head + struct.pack(f"<{len(labels)}f", *labels) + content
    return struct.pack("<IfQQ", 0, labels, key, 0) + content


def records(pictures: list[tuple[float, bytes]], people: int, height: int = 112) -> dict:
    """Return the files of a copy like InsightFace's: a first record that tells where pictures end,
    pictures, a record a person, and the index."""
    rows = [record((float(len(pictures) + 1), float(len(pictures) + 1 + people)), b"")]
    rows += [record(label, content, key) for key, (label, content) in enumerate(pictures, 1)]
    rows += [record((1.0, 2.0), b"") for _ in range(people)]
    return as_files([framed(row) for row in rows], people, height)


def as_files(rows: list[bytes], people: int, height: int = 112) -> dict[str, bytes]:
    """Return the three files of framed records."""
    places = [sum(map(len, rows[:key])) for key in range(len(rows))]
    index = "".join(f"{key}\t{place}\n" for key, place in enumerate(places))
    return {
        "train.rec": b"".join(rows),
        "train.idx": index.encode(),
        "property": f"{people},{height},{height}".encode(),
    }


MINIS = {
    "casia-webface": mini.Mini(
        "casia-webface", "casia_webface", casia, 7, 3, (0,) * 7, unpacked=True
    )
}
