"""Are generated faces worth adding? The sets of the paper's section 5.3, at the book's scale.

A recogniser is trained on a base set alone, on the base set with renders of new people, and on the
base set with the same renders as G made them photo-like: the third against the second tells whether
being photo-like matters, the second against the first what the morphable model brings. A share of
the base set's people (20, 50, 100 %) stands for how much real data there is.

What is the base set? The paper's is VGG Face, photographs with names. Without photographs it is
`data.variations`: latent vectors of the pre-trained generator with edits that a recogniser takes
for the same person. So "real" means here: from the domain that G was trained to reach. It is no
photograph, and its labels are as good as the recogniser that made them. A dataset of one's own
(folders of people) takes its place: `own` of `build`.

Held-out people are of the same domain, from seeds of their own, and on no picture of training.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from facelab.data import mixture
from facelab.data.base import FaceDataset
from facelab.data.packed import pack
from facelab.data.variations import Variations
from facelab.errors import DatasetError, ParameterError
from facelab.generators.catalogue import generator
from facelab.methods.ganfaces.writer import Order, write
from facelab.methods.ganid import attributes
from facelab.methods.ganid.arithmetic import vectors_for
from facelab.recognition.book_embedder import SIZE
from facelab.recognition.embedder import embedder

ADDED = ("none", "renders", "generated")
FRACTIONS = (0.2, 0.5, 1.0)
EDITED = ("direction", "mouth", "smile", "brightness")
JUDGE = "faceres"  # of the labels; dlib hardly tells these faces apart
Progress = Callable[[str, int], None]  # the set, and faces done so far


@dataclass(frozen=True)
class Sizes:
    """How many people and views each set has, and the seed that they follow from."""

    base_people: int = 300
    base_views: int = 10
    held_out_people: int = 80
    held_out_views: int = 8
    added_people: int = 300
    added_views: int = 10
    seed: int = 0

    def __post_init__(self):
        small = [name for name, value in asdict(self).items() if name != "seed" and value < 2]
        if small:
            raise ParameterError(f"{small[0]} is {getattr(self, small[0])}; give 2 or more")


@dataclass(frozen=True)
class Sets:
    """What is trained on and tested with: faces of 64 x 64 pixels with their people.

    `added` has "renders" and "generated", the same people in the same views. Raises `DatasetError`
    when a face of training is among those held out.
    """

    base: FaceDataset
    held_out: FaceDataset
    added: Mapping[str, FaceDataset] = field(default_factory=dict)

    def __post_init__(self):
        for name, trained in {"base": self.base, **self.added}.items():
            if trained.size != SIZE or self.held_out.size != SIZE:
                raise DatasetError(
                    f"the recogniser takes faces of {SIZE} pixels, {trained.id} has them of "
                    f"{trained.size} and {self.held_out.id} of {self.held_out.size}"
                )
            common = mixture.common_faces(trained, self.held_out)
            if common:
                raise DatasetError(
                    f"{len(common)} held-out faces are in the {name} set too, the first is number "
                    f"{common[0][1]}; hold out people who are in no other set"
                )

    def training(
        self, fraction: float, added: str, seed: int, *, balanced: bool = True
    ) -> mixture.Mixture:
        """Return a share of the base people and, numbered after them, those who are added.

        The seed chooses who is left of the base, alike for whatever is added. `balanced` has the
        base faces as often as makes them about half of what is met: else the smaller the base, the
        less of it is seen in the same number of steps, and that is no gain of real data. Raises
        `ParameterError` for a share or a kind that can't be.
        """
        if added not in ADDED or (added != "none" and added not in self.added):
            known = ", ".join(("none", *self.added))
            raise ParameterError(f"{added!r} can't be added; choose one of: {known}")
        base = mixture.share_of_people(self.base, fraction, seed)
        if added == "none":
            return mixture.Mixture(base)
        more = self.added[added]
        times = max(1, round(len(more) / len(base))) if balanced else 1
        return mixture.Mixture(mixture.Repeated(base, times), more)


def photo_people(sizes: Sizes, split: str) -> Variations:
    """Return the base set ("train") or the people who are held out ("test"), not yet drawn."""
    drawn, chosen = generator(), [attributes.find(name) for name in EDITED]
    vectors = vectors_for(drawn, attributes=chosen)
    people, views = (
        (sizes.base_people, sizes.base_views)
        if split == "train"
        else (sizes.held_out_people, sizes.held_out_views)
    )
    words = {"seed": sizes.seed, "split": split}
    return Variations(people, views, drawn, embedder(JUDGE), vectors, **words)


def build(
    sizes: Sizes,
    folder: str | Path,
    checkpoint: Path | None = None,
    own: FaceDataset | None = None,
    progress: Progress | None = None,
) -> Sets:
    """Make all sets, each in a file or folder of its own; what is there already is kept.

    `checkpoint` is G's (None: the shipped one); `own` takes the place of the generator's people.
    `progress` is called with a set's name and how many of its faces are done. Raises what `pack`
    and `write` raise.
    """
    folder = Path(folder)

    def tell(name: str) -> Callable[[int], None]:
        return lambda done: progress(name, done) if progress else None

    if own is not None:
        base, held_out = mixture.hold_out(own, sizes.held_out_people, sizes.seed)
    else:
        base, held_out = (
            pack(photo_people(sizes, split), folder / f"{name}.facepack", progress=tell(name))
            for name, split in (("base", "train"), ("held out", "test"))
        )
    order = Order(sizes.added_people, sizes.added_views, SIZE, sizes.seed, checkpoint)
    generated = write(order, folder / "generated", progress=tell("generated"))
    path = folder / "renders.facepack"
    renders = pack(generated.renders(), path, progress=tell("renders"))
    return Sets(base, held_out, {"renders": renders, "generated": generated})
