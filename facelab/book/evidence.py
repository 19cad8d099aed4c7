"""Which record holds the evidence on which claims, and which function tells the verdicts from it.

A record is named by its file in records/, which has the name of the benchmark that makes it. A
sixth paper adds its entry here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from facelab.methods.d2ae import claims as d2ae
from facelab.methods.diat import claims as diat
from facelab.methods.ganfaces import claims as ganfaces
from facelab.methods.ganid import claims as ganid
from facelab.methods.idmap import claims as idmap
from facelab.verdicts import Verdict, at

Record = Mapping[str, Any]
# Text with a gap, and what stands there: below a path in the record, or computed from it.
Reading = tuple[str, str | Callable[[Record], Any]]


@dataclass(frozen=True)
class Scale:
    """How large something was, as a record has it: `what` it was, and what to read."""

    what: str
    record: str
    readings: tuple[Reading, ...]

    def told(self, record: Record | None) -> str:
        """Return it in words; what the record lacks is left out, and all of it without a record."""
        parts = []
        for text, reading in self.readings if record else ():
            value = at(record, *reading.split("/")) if isinstance(reading, str) else reading(record)
            if value is not None:
                value = len(value) if isinstance(value, list | dict) else value
                shown = f"{value:,}" if isinstance(value, int) else str(value)
                parts.append(text.format(shown))
        return f"{self.what}: {', '.join(parts)}" if parts else ""


@dataclass(frozen=True)
class Evidence:
    """On some claims of one paper: `tell` computes the verdicts from `records`, in their order.

    `weights` names, by the place in the first record where their SHA-256 stands, files below
    facelab/ that `ledger.checkpoints` does not find by itself.
    """

    claims: tuple[str, ...]
    records: tuple[str, ...]
    tell: Callable[..., Iterable[Verdict]]
    scales: tuple[Scale, ...]
    weights: Mapping[str, str] = field(default_factory=dict)

    @property
    def paper(self) -> str:
        """The paper's key."""
        return self.claims[0].partition(".")[0]


def people(record: Record) -> int | None:
    """Return how many people the data of a training have, None where it does not count them."""
    return _people(at(record, "data", "config")) or None


def _people(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_people, value))
    if not isinstance(value, Mapping):
        return 0
    own = at(value, "people", "count") or 0
    return own + sum(_people(inner) for name, inner in value.items() if name != "people")


def _of(paper: str, names: str) -> tuple[str, ...]:
    return tuple(f"{paper}.{name}" for name in names.split())


def _training(what: str, record: str) -> Scale:
    """The scale of a training, by the engine's record."""
    readings = (("preset {}", "preset"), ("{} steps", "steps"), ("{} faces", "data/faces"))
    return Scale(what, record, (*readings, ("{} people", people)))


def _searches(*readings: Reading) -> Scale:
    return Scale("no training", "ganid_search", readings)


GANID = (
    Evidence(
        _of("ganid", "table1"),
        ("faceres",),
        lambda record: [ganid.of_table1(record)],
        (Scale("no training, rendered people", "faceres", (("{}", "people/test"),)),),
    ),
    Evidence(
        _of("ganid", "property_noise property_sign property_amplitude"),
        ("ganid_properties", "ganid_search"),
        lambda record, searches: ganid.of_properties(record, searches["generator"]),
        (Scale("no training", "ganid_properties", (("{} faces", "faces"),)),),
    ),
    Evidence(
        _of("ganid", "search"),
        ("ganid_search",),
        ganid.of_searches,
        (_searches(("{} people", "people"), ("{} evaluations each", "budget")),),
    ),
    Evidence(
        _of("ganid", "universal"),
        ("ganid_search",),
        ganid.of_searches,
        (
            _searches(
                ("{} people", lambda record: record["universal"][0]["people"]),
                ("{} evaluations each", lambda record: record["universal"][0]["budget"]),
            ),
        ),
    ),
    Evidence(
        _of("ganid", "arithmetic averaging"),
        ("ganid_attributes",),
        ganid.of_edits,
        (Scale("no training", "ganid_attributes", (("{} labelled faces", "samples"),)),),
    ),
)

GANFACES_SHIPPED = _training("shipped training", "train_ganfaces")
GANFACES_VARIANTS = Scale(
    "each variant",
    "ganfaces",
    (
        ("preset {}", "preset"),
        ("width {}", "config/translator/width"),
        ("{} steps", "steps"),
        ("{} people", "config/people"),
        ("{} seeds", "seeds"),
    ),
)
GANFACES_RECOGNISER = Scale(
    "each recogniser",
    "ganfaces_recognition",
    (
        ("{} steps", "steps"),
        ("{} real faces at most", "base/faces"),
        ("{} people", "base/people"),
        ("{} seeds", "seeds"),
    ),
)
GANFACES = (
    Evidence(
        _of("ganfaces", "separation control"),
        ("ganfaces",),
        ganfaces.of_shipped,
        (GANFACES_SHIPPED,),
    ),
    Evidence(
        _of("ganfaces", "baselines forward_cycle"),
        ("ganfaces",),
        lambda record: ganfaces.of_variants(record["variants"]),
        (GANFACES_VARIANTS,),
    ),
    Evidence(
        _of("ganfaces", "set_loss"),
        ("ganfaces",),
        lambda record: [ganfaces.of_set_loss(record)],
        (GANFACES_SHIPPED, GANFACES_VARIANTS),
    ),
    Evidence(
        _of("ganfaces", "recognition less_real_data"),
        ("ganfaces_recognition",),
        ganfaces.of_recognition,
        (GANFACES_SHIPPED, GANFACES_RECOGNISER),
        weights={"generator": "methods/ganfaces/models/ganfaces.safetensors"},
    ),
    Evidence(
        _of("ganfaces", "dataset"),
        ("ganfaces_writer",),
        lambda record: [ganfaces.of_writer(record)],
        (Scale("written", "ganfaces_writer", (("{} faces", "faces"), ("{} pixels", "size"))),),
    ),
)


def _transfers(claim: str, *tasks: str) -> Evidence:
    """The evidence on shipped transfers; each had a training of T, whose scale is told."""
    told = (_training(f"T of {task.replace('_', ' ')}", f"train_diat_{task}") for task in tasks)
    return Evidence(
        _of("diat", claim), ("diat",), lambda record: diat.verdicts(record, None), tuple(told)
    )


DIAT = (
    _transfers("local", "mouth_open", "mouth_close"),
    _transfers("global", "male_to_female"),
    _transfers("generalises", "mouth_open", "mouth_close", "male_to_female"),
    Evidence(
        _of("diat", "identity_loss smoothness adaptive enhancement"),
        ("diat",),
        lambda record: diat.verdicts(record, None),
        (
            Scale(
                "each variant",
                "diat",
                (
                    ("preset {}", "preset"),
                    ("width {}", "config/transform/width"),
                    ("{} steps", "steps"),
                    ("{} faces", "data/inputs"),
                    ("{} seeds at most", "seeds"),
                ),
            ),
        ),
    ),
    Evidence(
        _of("diat", "speed"),
        ("diat_speed",),
        lambda record: diat.verdicts(None, record),
        (Scale("networks of the paper's size", "diat_speed", (("batches of {}", "batch"),)),),
    ),
)

IDMAP = (
    Evidence(
        _of("idmap", "table1 table2 interpolation sequences"),
        ("idmap",),
        idmap.verdicts,
        (_training("shipped training", "train_idmap"),),
    ),
    Evidence(
        _of("idmap", "landmark_loss latent_discriminator"),
        ("idmap",),
        idmap.verdicts,
        (
            Scale(
                "each variant",
                "idmap",
                (
                    ("{} steps", "variants' training/steps"),
                    ("{} of pre-training", "variants' training/pre-training's steps"),
                    ("{} faces", "variants' training/data/faces"),
                    ("{} seeds", "variants/full/seeds"),
                ),
            ),
        ),
    ),
)

D2AE_SHIPPED = _training("shipped training", "train_d2ae")
D2AE_VARIANTS = Scale(
    "each variant",
    "d2ae",
    (("{} steps", "ablations/full/0/training/steps"), ("{} seeds", "ablations/full")),
)
D2AE = (
    Evidence(
        _of("d2ae", "branches attributes which_branch clusters editing"),
        ("d2ae",),
        d2ae.verdicts,
        (D2AE_SHIPPED,),
    ),
    Evidence(
        _of("d2ae", "without_LH without_Ladv"),
        ("d2ae",),
        d2ae.verdicts,
        (D2AE_VARIANTS,),
    ),
    Evidence(
        _of("d2ae", "versus_baseline"),
        ("d2ae",),
        d2ae.verdicts,
        (
            Scale(
                "each training",
                "d2ae",
                (
                    ("{} steps", "table 2/800/full/0/training/steps"),
                    ("{} seeds", "table 2/800/full"),
                    ("{} sizes of the training set", "table 2"),
                ),
            ),
        ),
    ),
    Evidence(
        _of("d2ae", "gaussian"),
        ("d2ae",),
        d2ae.verdicts,
        (D2AE_SHIPPED, D2AE_VARIANTS),
    ),
    Evidence(
        _of("d2ae", "gan"),
        ("d2ae",),
        d2ae.verdicts,
        (Scale("each training", "d2ae", (("{} trainings", "gan"),)),),
    ),
)

EVIDENCE = (*GANID, *GANFACES, *DIAT, *IDMAP, *D2AE)
