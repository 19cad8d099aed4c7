"""A folder of one's own photographs: who is who by sub-folder, faces found and aligned.

    PATH/Anna/1.jpg, PATH/Anna/2019/2.jpg   one person, by the first folder, whatever lies below it
    PATH/3.jpg                              a person of its own, as any picture in the folder itself

Pictures may be of any size and turned as a camera turns them (EXIF). Faces are looked for by MTCNN;
a picture in which there is none, or more than one, is left out, for nobody says whose face is
meant: `left_out.txt` names it. Hidden files and other files are passed over. All pictures are of
the split "train". Nothing is fetched, and nothing leaves the computer.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from facelab.data.folder import ENDINGS
from facelab.data.public.pictures import Listing
from facelab.data.public.planning import say
from facelab.data.public.table import PublicSet
from facelab.errors import DatasetError

# What cameras write and facelab doesn't read.
UNREAD = {".heic", ".heif", ".avif", ".gif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw"}

OWN = PublicSet(
    name="own-pictures",
    title="Your own photographs",
    what="photographs of your own, people by sub-folder; nothing leaves the computer",
    licence="yours to know: a photograph is of whoever took it, and of whoever is on it",
    terms="everybody on these pictures was asked and agrees to what you are going to do with them, "
    "or their parents; who takes it back is taken out",
    citation="nobody: the pictures are yours",
    homepage="",
    framings=("book64", "arcface112", "facenet160", "ffhq256", "centre"),
    by_hand="give your folder with --from: a folder for each person, or single pictures",
    caution="These are real people whom you know. Faces by which people can be told apart are "
    "biometric data: in the European Union their use needs, as a rule, everybody's explicit "
    "consent to this very use (GDPR, Article 9), and other countries have rules of their own. Ask "
    "before, say what for, delete when you are asked to, and don't pass this folder on, nor what "
    "was trained on it: it may remember them.",
)


def listing(folder: Path) -> Listing:
    """List a folder's pictures by name. Raises `DatasetError` when there is none.

    What looks like a photograph and can't be read is told on standard error.
    """
    found = [path for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder)]
    pictures = [path for path in found if path.suffix.lower() in ENDINGS]
    names = sorted(path.relative_to(folder).as_posix() for path in pictures)
    unread = Counter(path.suffix.lower() for path in found if path.suffix.lower() in UNREAD)
    for ending, count in sorted(unread.items()):
        say(f"{count:,} files of {ending} can't be read; save them as JPEG to have them too")
    if not names:
        raise DatasetError(
            f"{folder} has no picture; it should have files like {', '.join(sorted(ENDINGS))}"
        )
    people = [name.partition("/")[0] for name in names]
    numbers = {person: number for number, person in enumerate(dict.fromkeys(people))}
    identity = np.array([numbers[person] for person in people], np.int64)
    split = np.zeros(len(names), np.uint8)
    return Listing(folder, tuple(names), identity, split, one_face=True)


def _hidden(path: Path, folder: Path) -> bool:
    """Tell whether a file or a folder above it begins with a dot, as systems name their own."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
