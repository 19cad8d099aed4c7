"""How each method is asked to do a task: one class each, all of them a `Contestant`.

Nothing is measured here. A contestant gets a case in its own framing and returns a function of the
strength; `measure` brings what comes out back to the common framing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from facelab.comparison.cases import AT_ONCE, COMMON, Case, Task
from facelab.comparison.costs import Cost, parameters
from facelab.errors import AssetError, ParameterError
from facelab.generators import catalogue
from facelab.generators.generator import Generator
from facelab.methods.d2ae import checkpoint as d2ae_checkpoint
from facelab.methods.d2ae import directions as d2ae_directions
from facelab.methods.d2ae.editing import Directions, between, edited
from facelab.methods.d2ae.model import Disentangler
from facelab.methods.diat import checkpoint as diat_checkpoint
from facelab.methods.diat.evaluation import embedders_of as diat_embedders
from facelab.methods.diat.transfer import Transfer
from facelab.methods.ganfaces import checkpoint as ganfaces_checkpoint
from facelab.methods.ganfaces.evaluation import embedders_of as ganfaces_embedders
from facelab.methods.ganid import arithmetic, attributes, greedy, search
from facelab.methods.ganid.bank import Bank
from facelab.methods.ganid.scoring import Scorer, Target, half_is_quicker
from facelab.methods.idmap import checkpoint as idmap_checkpoint
from facelab.methods.idmap.model import IdentityMap
from facelab.recognition.align import BOOK, Template
from facelab.recognition.embedder import Embedder
from facelab.recognition.embedder import embedder as find_embedder
from facelab.recognition.pictures import template_of_size
from facelab.types import Image, Latent

Change = Callable[[float], Image]  # of a strength; one picture a row of the case
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Knob:
    """What a method's strength is, and at which ones the curve has points; 1 is among them."""

    meaning: str
    strengths: tuple[float, ...] = SHARES


NO_KNOB = Knob("none: the method has one answer", (1.0,))


@runtime_checkable
class Contestant(Protocol):
    """A method, or a row that stands for none.

    `template` is its framing. `refusal` says why a case can't be done, or None. `seen` are the
    embedders that the training or the search for this task looked through. `begin` does what all
    strengths share, and returns pictures framed like `template`. `cost` is None for what has none.
    """

    name: str

    @property
    def template(self) -> Template: ...  # noqa: D102

    def refusal(self, case: Case) -> str | None: ...  # noqa: D102

    def knob(self, task: Task) -> Knob: ...  # noqa: D102

    def seen(self, task: Task) -> tuple[str, ...]: ...  # noqa: D102

    def begin(self, case: Case) -> Change: ...  # noqa: D102

    def cost(self, task: Task) -> Cost | None: ...  # noqa: D102


def in_parts(function: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """Return what a function makes of rows, `AT_ONCE` at a time."""
    parts = zip(*(one.split(AT_ONCE) for one in rows), strict=True)
    return torch.cat([function(*part) for part in parts])


# --- ganid ---------------------------------------------------------------------------------------

# A search that ends in seconds: a bank that all people share, then noise around the closest.
BUDGET = 800
QUICK = greedy.Config(initial=600, per_pass=50, coarse_passes=0)
VECTORS = {  # a method's names for what tasks call otherwise
    "Mouth_Slightly_Open": "mouth",
    "Eyeglasses": "glasses",
    "Young": "age",
    "Male": "gender",
}


@dataclass
class Ganid:
    """Search the generator for the person on the face, then add an attribute's vector.

    The search is Algorithm 1's with few evaluations (`BUDGET`): the chapter's have 25 times as
    many. Its target is the one face that was given. Its time counts, and so does that of the bank,
    shared by all rows. The vector is made before.
    """

    generator: Generator
    embedder: Embedder
    config: greedy.Config = QUICK
    budget: int = BUDGET
    samples: int = arithmetic.SAMPLES
    seed: int = 0
    name: str = "ganid"

    @classmethod
    def book(cls) -> "Ganid":
        """Return it with the book's default generator and embedder."""
        return cls(catalogue.generator(), find_embedder())

    @cached_property
    def scorer(self) -> Scorer:
        """Generator, alignment by landmarks, embedder."""
        return Scorer(self.generator, self.embedder, half=half_is_quicker())

    @cached_property
    def bank(self) -> Bank:
        """The first candidates, which all searches share."""
        return Bank(self.scorer, self.seed)

    @property
    def template(self) -> Template:
        """As the generator frames faces."""
        return template_of_size(BOOK, self.generator.size)

    def refusal(self, case: Case) -> str | None:
        """Why not: identity alone is searched; or a generator has too few faces that differ."""
        if case.task.change is None:
            return "a search finds a person and nothing holds pose or expression of another face"
        return None if self.vector(case.task) is not None else "no vector of the attribute"

    def vector(self, task: Task) -> Tensor | None:
        """Return the way to a task's attribute, None where the generator has none."""
        attribute = attributes.find(VECTORS[task.change.attribute])
        found = arithmetic.vectors_for(self.generator, self.samples, attributes=[attribute])
        vector = found.get(attribute.name)
        return vector if vector is None or task.change.to else -vector

    def knob(self, task: Task) -> Knob:
        """The edit's strength, 1 being the paper's."""
        return Knob("strength of the vector that is added", (0.0, 0.5, 1.0, 1.5, 2.0, 3.0))

    def seen(self, task: Task) -> tuple[str, ...]:
        """Whom the search asks, and faceres where it labelled the vector's samples."""
        if task.change is None:
            return (self.embedder.id,)
        label = attributes.find(VECTORS[task.change.attribute]).label.by
        return (self.embedder.id, *(("faceres",) if label.startswith("faceres") else ()))

    def begin(self, case: Case) -> Change:
        """Search for each face; all strengths are edits of what was found."""
        vector = self.vector(case.task)
        found = torch.cat([self._found(face) for face in case.faces.split(1)])

        def change(strength: float) -> Image:
            edits = arithmetic.edit(found, vector, strength)
            return in_parts(lambda z: self.scorer.faces(z).clamp(-1, 1), edits)

        return change

    def _found(self, face: Tensor) -> Latent:
        target = Target("face", self.scorer.embed_faces(face), self.embedder.id)
        settings = search.Settings(self.budget, threshold=0.0, seed=self.seed)
        given = {"bank": self.bank, "config": self.config}
        return search.search("greedy", self.scorer, target, settings, **given).best

    def cost(self, task: Task) -> Cost:
        """Nothing is trained; a search needs the generator and the recogniser."""
        needed = parameters(self.generator, self.embedder, self.scorer.points)
        return Cost(trained=0, needed=needed, training_images=0, training_minutes=0.0)


# --- ganfaces ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ganfaces:
    """Draw the head that the answer has, then make it photo-like.

    G makes a photo-like face of a render. So the task is the renderer's, and G has to keep what
    was drawn; it is told more than the others, who have only pixels.
    """

    generator: nn.Module
    size: int
    embedders: tuple[str, ...]
    file: Path | None = None
    name: str = "ganfaces"

    @classmethod
    def book(cls) -> "Ganfaces":
        """Return it with the shipped G. Raises `AssetError` while there is none."""
        file = ganfaces_checkpoint.book_path()
        return cls(ganfaces_checkpoint.load(file), COMMON.size, ganfaces_embedders(file), file)

    @property
    def template(self) -> Template:
        """As renders of its training are framed."""
        return template_of_size(BOOK, self.size)

    def refusal(self, case: Case) -> str | None:
        """Why not: a photograph has no head to be drawn, and a head no such attribute."""
        if case.heads is None:
            return "it makes faces of heads, and nothing says of which heads these are"
        return None if case.heads.can(case.task) else "the head has no such attribute to be moved"

    def knob(self, task: Task) -> Knob:
        """How far the mouth is moved; another person has no half."""
        return NO_KNOB if task.change is None else Knob("how far the head's mouth is moved")

    def seen(self, task: Task) -> tuple[str, ...]:
        """Those of its loss."""
        return self.embedders

    def begin(self, case: Case) -> Change:
        """Heads are drawn anew at each strength."""

        def change(strength: float) -> Image:
            drawn = case.heads.answer(case.task, strength, self.template)
            return in_parts(self.generator, drawn).clamp(-1, 1)

        return change

    def cost(self, task: Task) -> Cost:
        """G; the head's model has no parameters that were trained."""
        return Cost.of_files(self.file, trained=self.generator, needed=(self.generator,))


# --- diat ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Diat:
    """The transfer of the task, both stages; a share of its change.

    x + s (made - x): the paper has one answer, s = 1. Its pixels are mixed, which for a change that
    moves edges is not what a weaker change would look like.
    """

    transfers: dict[str, Transfer] = field(default_factory=dict)
    embedders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    name: str = "diat"

    @classmethod
    def book(cls) -> "Diat":
        """Return it with all tasks that are shipped."""
        files = {task: diat_checkpoint.book_path(task) for task in diat_checkpoint.shipped()}
        transfers = {task: diat_checkpoint.load(file) for task, file in files.items()}
        return cls(transfers, {task: diat_embedders(file) for task, file in files.items()})

    @property
    def template(self) -> Template:
        """As its faces are framed, the same of all tasks."""
        sizes = [transfer.size for transfer in self.transfers.values()]
        return template_of_size(BOOK, sizes[0]) if sizes else COMMON

    def refusal(self, case: Case) -> str | None:
        """Why not: it keeps the person, or the task has no checkpoint."""
        if case.task.change is None:
            return "it changes an attribute and keeps the person"
        known = case.task.change.name in self.transfers
        return None if known else f"no checkpoint of {case.task.change.name} is shipped"

    def knob(self, task: Task) -> Knob:
        """The share of the change; beyond 1 it is drawn out."""
        return Knob("share of the change that is added to the face", (*SHARES, 1.5))

    def seen(self, task: Task) -> tuple[str, ...]:
        """Those of the losses of both stages."""
        return self.embedders.get(task.change.name, ()) if task.change else ()

    def begin(self, case: Case) -> Change:
        """One pass; all strengths mix its answer with the face."""
        made = in_parts(self.transfers[case.task.change.name], case.faces)
        return lambda strength: torch.lerp(case.faces, made, strength).clamp(-1, 1)

    def cost(self, task: Task) -> Cost | None:
        """T and E of the task."""
        if task.change is None or task.change.name not in self.transfers:
            return None
        transfer = self.transfers[task.change.name]
        file = diat_checkpoint.MODELS / f"{task.change.name}.safetensors"
        return Cost.of_files(file, trained=transfer, needed=(transfer,))


# --- idmap ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Idmap:
    """One face's identity and another's everything else, one of the two codes on its way.

    To change an attribute, E_attr's code goes from the face's own to that of a person who has it.
    To change the person, E_id's code goes from the face's own to the other's.
    """

    model: IdentityMap
    file: Path | None = None
    name: str = "idmap"

    @classmethod
    def book(cls) -> "Idmap":
        """Return it with the shipped map. Raises `AssetError` while there is none."""
        file = idmap_checkpoint.book_path()
        return cls(idmap_checkpoint.load(file), file)

    @property
    def template(self) -> Template:
        """As the map's faces are framed."""
        return template_of_size(self.model.framing, self.model.size)

    def refusal(self, case: Case) -> str | None:
        """It can do both."""
        return None

    def knob(self, task: Task) -> Knob:
        """How far the code that is exchanged has gone."""
        which = "E_id's" if task.change is None else "E_attr's"
        return Knob(f"share of the other face in {which} code")

    def seen(self, task: Task) -> tuple[str, ...]:
        """The recogniser that is E_id."""
        return self.model.embedders

    def begin(self, case: Case) -> Change:
        """Codes are computed once."""
        who, how = self.model.identity_code, self.model.attribute_code
        own = in_parts(who, case.faces), in_parts(how, case.faces)
        other = own[0], in_parts(how, case.others)
        if case.task.change is None:
            other = in_parts(who, case.others), own[1]

        def change(strength: float) -> Image:
            codes = [torch.lerp(a, b, strength) for a, b in zip(own, other, strict=True)]
            return in_parts(lambda *pair: self.model.picture(self.model.w(*pair)), *codes)

        return change

    def cost(self, task: Task) -> Cost:
        """E_attr and M were trained; E_id and the generator are needed too."""
        return Cost.of_files(self.file, trained=self.model.encoders, needed=(self.model,))


# --- d2ae ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class D2ae:
    """Both codes of a face, one of them moved, and back to a picture.

    To change an attribute, the code goes along its direction, as far as section 4.3 lets it. To
    change the person, f_T goes from the face's own to the other's.
    """

    model: Disentangler
    directions: Directions
    file: Path | None = None
    name: str = "d2ae"

    @classmethod
    def book(cls) -> "D2ae":
        """Return the shipped one, without directions while none are. Raises `AssetError`."""
        file = d2ae_checkpoint.book_path()
        try:
            found = d2ae_directions.book()
        except AssetError:
            found = {}
        return cls(d2ae_checkpoint.load(file), found, file)

    @property
    def template(self) -> Template:
        """As the autoencoder's faces are framed."""
        return template_of_size(self.model.framing, self.model.size)

    def refusal(self, case: Case) -> str | None:
        """Why not: there is no direction of the attribute."""
        change = case.task.change
        known = change is None or change.attribute in self.directions
        return None if known else f"there is no direction of {change.attribute}"

    def knob(self, task: Task) -> Knob:
        """Of an attribute the strength of section 4.3, of a person beta's complement."""
        if task.change is None:
            return Knob("share of the other face in f_T")
        return Knob("share of the way that the channels' intervals leave")

    def seen(self, task: Task) -> tuple[str, ...]:
        """None: it learns from names."""
        return ()

    def begin(self, case: Case) -> Change:
        """Codes are computed once."""
        own, task = self.model.features(case.faces), case.task
        if task.change is None:
            other = self.model.features(case.others)
            return lambda strength: self.model.decode(*between(own, other, strength))
        name, sign = task.change.attribute, 1 if task.change.to else -1
        return lambda strength: edited(self.model, own, {name: sign * strength}, self.directions)

    def cost(self, task: Task) -> Cost:
        """Encoder, branches and decoder."""
        return Cost.of_files(self.file, trained=self.model, needed=(self.model,))


# --- by name -------------------------------------------------------------------------------------

METHODS: dict[str, Callable[[], Contestant]] = {
    "ganid": Ganid.book,
    "ganfaces": Ganfaces.book,
    "diat": Diat.book,
    "idmap": Idmap.book,
    "d2ae": D2ae.book,
}


def contestant(name: str) -> Contestant:
    """Return the shipped method called `name`.

    Raises `ParameterError` when there is none, and `AssetError` while it is not shipped.
    """
    if name not in METHODS:
        raise ParameterError(f"there is no method {name!r}; choose one of: {', '.join(METHODS)}")
    return METHODS[name]()
