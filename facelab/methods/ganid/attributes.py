"""The attributes that can be edited: how samples are labelled, and who judges the edit.

Whoever makes a vector must not also say that it works. So each attribute has two measures of a face
that have nothing in common: the *label*, from which the vector is made, and the *judge*, which had
no part in it. Both are above 0 where a face has the attribute.

| what says so | label of | judge of |
|---|---|---|
| `face_readers.attribute_classifier` | glasses, mouth, smile, hair, grey, beard, bangs | |
| `face_readers.pose_regressor` | direction | |
| `faceres`, a recogniser that also guesses gender and age | gender, age | |
| mean luminance of the picture's centre | brightness | |
| `face_readers.attribute_judge` | | glasses, gender, age, hair, grey, beard, bangs |
| geometry of `face_points.landmark_regressor` | | mouth, smile, direction |
| lightness of the skin between the landmarks | | brightness |

How independent is that? The two attribute classifiers have other seeds and learnt of other people,
but both of AnnyFaces, rendered ones, by one recipe: on generated faces they may be wrong together.
The landmark regressor saw AnnyFaces too, but as points; `faceres` saw photographs. For brightness
judge and label measure one thing at two places: that is nearly a definition, and no finding.

All labels were looked at (`arithmetic.label_sheet`). Gender and age are
labelled by `faceres` because the classifier's labels were wrong by eye: on faces of the pre-trained
generator its "male" is a beard and its "not young" is grey hair, which is an attribute of its own
here. What a network calls gender or age is how a face looks, and no fact about anybody.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.images import linear_light
from facelab.methods.ganid.scoring import FRAMING
from facelab.recognition import face_points, face_readers
from facelab.recognition.align import align, reframe
from facelab.recognition.face_points import LEFT_EYE, RIGHT_EYE, SIZE, five_points
from facelab.types import Image, Landmarks

Values = Float[Tensor, " batch"]
BATCH = 100


class Reading:
    """What the readers say about faces; each looks once, and only when it is asked.

    Faces are framed as the book's generators draw them, of any size.
    """

    def __init__(self, faces: Image):
        self.faces = faces if faces.shape[-1] == SIZE else reframe(faces, FRAMING, FRAMING)
        self.device = str(faces.device)

    @cached_property
    def _labels(self) -> dict[str, Values]:
        reader = face_readers.attribute_classifier(self.device)
        return dict(zip(reader.names, reader(self.faces).unbind(1), strict=True))

    @cached_property
    def _judged(self) -> dict[str, Values]:
        reader = face_readers.attribute_judge(self.device)
        return dict(zip(reader.names, reader(self.faces).unbind(1), strict=True))

    @cached_property
    def yaw_rad(self) -> Values:
        """How far the head is turned, by the pose reader; above 0 to the viewer's right."""
        return face_readers.pose_regressor(self.device)(self.faces)[:, 0]

    @cached_property
    def points(self) -> Landmarks:
        """The 68 landmarks in pixels."""
        with torch.no_grad():
            return face_points.landmark_regressor(self.device)(self.faces)

    @cached_property
    def _people(self) -> tuple[Values, Values]:
        from facelab.recognition.faceres import faceres

        network = faceres(self.device)
        crops = align(self.faces, five_points(self.points), network.template)
        with torch.no_grad():
            return network.gender_and_age(crops)

    def label(self, name: str) -> Values:
        """Return the attribute classifier's logits of one of its attributes."""
        return self._labels[name]

    def judged(self, name: str) -> Values:
        """Return the second classifier's logits of one of its attributes."""
        return self._judged[name]

    @property
    def male(self) -> Values:
        """The probability of "man", by `faceres`."""
        return self._people[0]

    @property
    def age_years(self) -> Values:
        """The age that `faceres` expects."""
        return self._people[1]


# --- measures ------------------------------------------------------------------------------------


def _far(points: Landmarks, a: int, b: int) -> Values:
    return (points[:, a] - points[:, b]).norm(dim=1)


def lip_gap(points: Landmarks) -> Values:
    """Return how far the inner lips are apart, in heights of the face from eyes to nose.

    That height changes with a nod as the gap does; the distance of the eyes, which shrinks when a
    head turns to the side, would take a profile for an open mouth.
    """
    gap = (_far(points, 61, 67) + _far(points, 62, 66) + _far(points, 63, 65)) / 3
    return gap / (points[:, 36:48].mean(1) - points[:, 33]).norm(dim=1)


def smile(points: Landmarks) -> Values:
    """Return the mouth's width + half of its corners' lift, in distances of the eyes' corners.

    The lift is how far the corners are above the middle of the inner lips, at right angles to the
    line through the eyes.
    """
    along = points[:, RIGHT_EYE] - points[:, LEFT_EYE]
    between = along.norm(dim=1)
    down = torch.stack([-along[:, 1], along[:, 0]], dim=1) / between[:, None]
    corners = (points[:, 48] + points[:, 54]) / 2
    lift = ((points[:, 62] + points[:, 66]) / 2 - corners) * down
    return (_far(points, 48, 54) + 0.5 * lift.sum(1)) / between


def nose_offset(points: Landmarks) -> Values:
    """Return how far the nose's tip is right of the eyes' middle, in distances of their corners."""
    middle = (points[:, LEFT_EYE] + points[:, RIGHT_EYE]) / 2
    along = points[:, RIGHT_EYE] - points[:, LEFT_EYE]
    return ((points[:, 30] - middle) * along).sum(1) / along.square().sum(1)


def luminance(faces: Image) -> Values:
    """Return the mean luma of the middle quarter of the picture, -1 (black) to 1 (white)."""
    side = faces.shape[-1] // 4
    centre = faces[:, :, side:-side, side:-side].mean((2, 3))
    return centre @ centre.new_tensor([0.299, 0.587, 0.114])


def skin_lightness(faces: Image, points: Landmarks) -> Values:
    """Return the median L* (CIE 1976, 0 to 100) of the skin between eyes and mouth.

    It is looked at 11 x 11 places of the quadrilateral of the eyes' and the mouth's corners, its
    border left out.
    """
    across = torch.linspace(0.2, 0.8, 11, device=faces.device)[None, None, :, None]
    down = torch.linspace(0.25, 0.8, 11, device=faces.device)[None, :, None, None]
    a, b, c, d = (points[:, k, None, None, :] for k in (LEFT_EYE, RIGHT_EYE, 48, 54))
    upper, lower = torch.lerp(a, b, across), torch.lerp(c, d, across)
    places = torch.lerp(upper, lower, down)
    scaled = (places + 0.5) * 2 / faces.shape[-1] - 1
    pixels = F.grid_sample(faces, scaled, align_corners=False, padding_mode="border")
    return _lightness((pixels.flatten(2) + 1) / 2).median(1).values


def _lightness(srgb: Float[Tensor, "batch 3 places"]) -> Float[Tensor, "batch places"]:
    """Return L* of sRGB colours in [0, 1] (IEC 61966-2-1, CIE 15)."""
    linear = linear_light(srgb.clamp(0, 1))
    y = torch.einsum("bcp,c->bp", linear, linear.new_tensor([0.2126, 0.7152, 0.0722]))
    return torch.where(y > (6 / 29) ** 3, 116 * y.clamp_min(1e-6) ** (1 / 3) - 16, y * 903.3)


# --- the table -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measure:
    """A number for each face: what gives it, in words, and how; above 0 it says "has it"."""

    by: str
    of: Callable[[Reading], Values]
    zero: float = 0.0  # what `of` gives where the answer changes

    def __call__(self, reading: Reading) -> Values:
        """Return the measure less its zero."""
        return self.of(reading) - self.zero


@dataclass(frozen=True)
class Attribute:
    """One attribute: adding its vector makes a face `meaning`, taking it away makes it `without`.

    `label` chooses the samples that the vector is made of; `judge` decides what an edit did.
    `without_judge` decides the other way; None means: where `judge` is not above 0.
    """

    name: str
    meaning: str
    without: str
    label: Measure
    judge: Measure
    without_judge: Measure | None = None

    @torch.no_grad()
    def labels(self, faces: Image) -> Values:
        """Return the label of each face, on the CPU."""
        return _in_parts(self.label, faces)

    @torch.no_grad()
    def judged(self, faces: Image) -> Values:
        """Return the judge's measure of each face, on the CPU; above 0 has it."""
        return _in_parts(self.judge, faces)

    def reversed(self) -> "Attribute":
        """Return the attribute of the opposite: "not glasses"; its vector is minus this one's."""
        return replace(
            self,
            name=f"not {self.name}",
            meaning=self.without,
            without=self.meaning,
            label=_negative(self.label),
            judge=self.without_judge or _negative(self.judge),
            without_judge=self.judge,
        )


def _in_parts(measure: Measure, faces: Image) -> Values:
    return torch.cat([measure(Reading(part)).cpu() for part in faces.split(BATCH)])


def _negative(measure: Measure) -> Measure:
    return Measure(measure.by, lambda reading: -measure.of(reading), -measure.zero)


# `Reading.label` or `Reading.judged`.
Look = Callable[[Reading, str], Values]


def _logit(look: Look, name: str) -> Measure:
    """Return a classifier's logit of one of its attributes."""
    by = "attribute_judge" if look is Reading.judged else "attribute_classifier"
    return Measure(f"{by}: {name}", lambda reading: look(reading, name))


def _without(look: Look, name: str) -> Measure:
    """Return the logit of not having it."""
    logit = _logit(look, name)
    return Measure(logit.by.replace(": ", ": not "), lambda reading: -logit.of(reading))


def _turned(sign: int) -> Measure:
    """Return how far the nose is to the viewer's right (1) or left (-1)."""
    return Measure(
        "landmark_regressor: nose's tip off the middle of the eyes",
        lambda reading: sign * nose_offset(reading.points),
        NOSE_OFFSET,
    )


def _lit(sign: int, zero: float) -> Measure:
    return Measure(
        "landmark_regressor: median L* of the skin between eyes and mouth",
        lambda reading: sign * skin_lightness(reading.faces, reading.points),
        sign * zero,
    )


# Where the geometry decides: the best balanced accuracy on rendered faces whose truth is known, as
# `benchmarks/ganid_attributes.py --calibrate` finds it. The nose's offset is that of 20 degrees.
LIP_GAP, SMILE, NOSE_OFFSET = 0.065, 0.623, 0.2
BRIGHT, DARK = 55.0, 20.0  # L*: a fifth of the pre-trained generator's faces is beyond each

ATTRIBUTES = (
    Attribute("glasses", "wears glasses", "wears no glasses",
              _logit(Reading.label, "Eyeglasses"), _logit(Reading.judged, "Eyeglasses")),
    Attribute("mouth", "the mouth is open", "the mouth is closed",
              _logit(Reading.label, "Mouth_Slightly_Open"),
              Measure("landmark_regressor: gap of the lips", lambda r: lip_gap(r.points), LIP_GAP)),
    Attribute("direction", "turned to the viewer's right", "turned to the viewer's left",
              Measure("pose_regressor: yaw", lambda r: r.yaw_rad), _turned(1), _turned(-1)),
    Attribute("brightness", "bright", "dark",
              Measure("luminance of the picture's centre", lambda r: luminance(r.faces)),
              _lit(1, BRIGHT), _lit(-1, DARK)),
    Attribute("smile", "smiles", "does not smile", _logit(Reading.label, "Smiling"),
              Measure("landmark_regressor: width and lift of the mouth",
                      lambda r: smile(r.points), SMILE)),
    Attribute("gender", "looks like a man", "looks like a woman",
              Measure("faceres: man", lambda r: r.male, 0.5), _logit(Reading.judged, "Male")),
    Attribute("age", "looks young", "looks old",
              Measure("faceres: years below 35", lambda r: -r.age_years, -35.0),
              _logit(Reading.judged, "Young")),
    Attribute("hair", "the hair is light", "the hair is dark, or hidden",
              _logit(Reading.label, "Blond_Hair"), _logit(Reading.judged, "Blond_Hair")),
    Attribute("grey", "the hair is grey", "the hair is not grey",
              _logit(Reading.label, "Gray_Hair"), _logit(Reading.judged, "Gray_Hair")),
    Attribute("beard", "has a beard or moustache", "is shaved",
              _without(Reading.label, "No_Beard"), _without(Reading.judged, "No_Beard")),
    Attribute("bangs", "hair covers the forehead", "the forehead is free",
              _logit(Reading.label, "Bangs"), _logit(Reading.judged, "Bangs")),
)  # fmt: skip
NAMES = tuple(attribute.name for attribute in ATTRIBUTES)


def find(name: str) -> Attribute:
    """Return the attribute of this name. Raises `ParameterError` when there is none."""
    for attribute in ATTRIBUTES:
        if attribute.name == name:
            return attribute
    close = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ParameterError(f"there is no attribute {name!r}; {hint}choose one of: {', '.join(NAMES)}")
