"""Changing a code within the range that its channels have: section 4.3, figures 5b and 9.

made = edited(model, faces, {"Smiling": 0.7, "Male": -0.3}, directions)
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError
from facelab.generators import presets
from facelab.methods.d2ae.model import Disentangler, Features
from facelab.types import Image, Picture

CONFIDENCE = 1.96  # deviations to either side of a normal channel's mean: 95% lie between
MOST_STEPS = 48
LENGTH = 1e-3  # a vector of length one may be off by so much, in rounding

Branch = Literal["t", "p"]
Way = Literal["identity", "attributes", "both"]
Channels = Float[Tensor, " features"]
Frames = Float[Tensor, "frames 3 side side"]


@dataclass(frozen=True, eq=False)
class Direction:
    """The way to an attribute in the code of a branch: w_n of section 4.3.

    `branch` is "t" (f_T) or "p" (f_P). `vector`, of length one, is in the features' own units, not
    in standardised ones. Where it is the normal of a linear SVM's plane, a face has the attribute
    if vector . f + `intercept` is above 0. Raises `ParameterError` on what can't be used.
    """

    name: str
    branch: str
    vector: Channels
    intercept: float = 0.0

    def __post_init__(self):
        known = get_args(Branch)
        where = f"the branch {self.branch!r} of direction {self.name!r}"
        presets.require(self.branch in known, where, f"one of: {', '.join(known)}")
        length = float(self.vector.double().norm())
        what = f"direction {self.name!r} of length {length:.4g}"
        presets.require(abs(length - 1) < LENGTH, what, "a vector of length one")
        finite = abs(self.intercept) < float("inf")
        what = f"the intercept {self.intercept} of direction {self.name!r}"
        presets.require(finite, what, "a finite number")


Directions = Mapping[str, Direction]


def reach(direction: Direction, deviation: Channels) -> float:
    """Return how far a code may be moved along a direction: 1.96 min_i sigma_i / |w_i|.

    Section 4.3 keeps alpha_n w_n, a vector, within the confidence interval of the features: the
    channel that comes to the end of its interval first ends the way. `deviation` has each channel's
    sigma. Raises `ParameterError` when the numbers of channels differ.
    """
    if len(deviation) != len(direction.vector):
        raise ParameterError(
            f"direction {direction.name!r} has {len(direction.vector)} numbers and the code of "
            f"branch {direction.branch!r} {len(deviation)}; give directions of this checkpoint"
        )
    vector = direction.vector.double().abs()
    moved_ones = vector > 0
    return CONFIDENCE * float((deviation.cpu().double() / vector)[moved_ones].min())


def along(model: Disentangler, direction: Direction) -> float:
    """Return how far a model's codes may be moved along a direction: `reach`.

    Raises `ParameterError` when the direction does not fit the model, or has no branch there.
    """
    return reach(direction, model.deviation_t if direction.branch == "t" else model.deviation_p)


def pattern(normal: Channels, codes: Float[Tensor, "faces channels"]) -> Channels:
    """Return the way that codes go with what a linear classifier reads, of length one: cov(f) w.

    `normal` is that of its plane in the codes' own units, `codes` those that it learned from. The
    normal says how a code is read: it also cancels what other channels know of the rest. Faces
    that the classifier sees more of an attribute in differ by the pattern. Raises `ParameterError`
    when the numbers of channels differ or the codes do not vary along the normal. Source: Haufe et
    al. 2014, equation 6, for one classifier. Section 4.3 moves along the normal.
    """
    if codes.ndim != 2 or codes.shape[1:] != normal.shape:
        raise ParameterError(
            f"a normal of {tuple(normal.shape)} does not fit codes of {tuple(codes.shape)}; give "
            "(features,) and (faces, features)"
        )
    centred = codes.double() - codes.double().mean(0)
    found = centred.T @ (centred @ normal.to(centred))
    length = float(found.norm())
    presets.require(0 < length < float("inf"), "codes that do not vary along w", "several faces")
    return (found / length).float()


# --- attributes ----------------------------------------------------------------------------------


def find_direction(name: str, directions: Directions) -> Direction:
    """Return the direction of an attribute; `ParameterError` with names near it if there is none.

    Names are told apart as they are written.
    """
    if name in directions:
        return directions[name]
    lower = {known.casefold(): known for known in directions}
    close = difflib.get_close_matches(name.casefold(), lower, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(lower[one] for one in close)}? " if close else ""
    raise ParameterError(
        f"there is no direction of an attribute {name!r}; {hint}choose one of: "
        f"{', '.join(sorted(directions))}"
    )


def require_strengths(strengths: Mapping[str, float], directions: Directions) -> None:
    """Raise `ParameterError` unless every attribute is known and its strength lies in [-1, 1]."""
    for name, strength in strengths.items():
        find_direction(name, directions)
        if not -1 <= strength <= 1:
            raise ParameterError(
                f"a strength of {strength:g} for {name} leaves the confidence interval of the "
                "features' learned deviation, beyond which few faces lie; give a number from -1 "
                "to 1"
            )


def moved(
    model: Disentangler,
    features: Features,
    strengths: Mapping[str, float],
    directions: Directions,
) -> Features:
    """Return codes with sum_n alpha_n w_n added, alpha_n being strength times `reach`.

    So a strength of 1 goes to the end of the confidence interval, on the attribute's side, and one
    of -1 to the other end. Directions of branch "t" move f_T, others f_P. Raises
    `ParameterError` for an unknown attribute, a strength out of [-1, 1], and directions that don't
    fit. Source: section 4.3.
    """
    require_strengths(strengths, directions)
    codes = features._asdict()
    for name, strength in strengths.items():
        direction = directions[name]
        code = codes[direction.branch]
        alpha = strength * along(model, direction)
        codes[direction.branch] = code + alpha * direction.vector.to(code)
    return Features(**codes)


@torch.no_grad()
def edited(
    model: Disentangler,
    faces: Image | Features,
    strengths: Mapping[str, float],
    directions: Directions,
) -> Frames:
    """Return faces, or the pictures of codes, with attributes changed, several at once.

    Raises as `moved` and `Disentangler.decode` do. Source: section 4.3.
    """
    codes = faces if isinstance(faces, Features) else model.features(faces)
    return model.decode(*moved(model, codes, strengths, directions))


@torch.no_grad()
def residual(model: Disentangler, direction: Direction, mean: Features) -> Picture:
    """Return the picture of a mean code with the unit vector added, less that of the mean.

    `mean` has one row of each code. Both pictures are within [-1, 1], so the result is within
    [-2, 2]. It shows where an attribute is in the picture. Raises `ParameterError` when the vector
    does not fit. Source: figure 5b, section 5.2.
    """
    along(model, direction)  # a direction that does not fit is told here
    codes = mean._asdict()
    code = codes[direction.branch]
    codes[direction.branch] = code + direction.vector.to(code)
    return model.decode(**codes) - model.decode(*mean)


# --- between two faces ---------------------------------------------------------------------------


def shares(steps: int) -> list[float]:
    """Return `steps` numbers from 0 to 1, evenly; `ParameterError` for fewer than 2 or too many."""
    presets.require_whole({"steps": steps}, 2, MOST_STEPS)
    return [k / (steps - 1) for k in range(steps)]


def require_way(way: str) -> None:
    """Raise `ParameterError` unless there is such a way between faces."""
    known = get_args(Way)
    presets.require(way in known, f"branch {way!r}", f"one of: {', '.join(known)}")


def between(a: Features, b: Features, share: float, way: str = "identity") -> Features:
    """Return the codes of a face, with `share` of another's in those that `way` names.

    f* = (1 - share) f^A + share f^B for f_T ("identity"), f_P ("attributes") or "both"; the rest is
    A's. Raises `ParameterError` for another way. Source: section 4.3, whose beta is 1 - share.
    """
    require_way(way)
    t = a.t if way == "attributes" else torch.lerp(a.t, b.t, share)
    p = a.p if way == "identity" else torch.lerp(a.p, b.p, share)
    return Features(t, p)


def _pictures(model: Disentangler, codes: Iterable[Features]) -> Frames:
    with torch.no_grad():
        return model.decode(*(torch.cat(rows) for rows in zip(*codes, strict=True)))


def interpolated(
    model: Disentangler, a: Picture, b: Picture, steps: int = 7, branch: str = "identity"
) -> Frames:
    """Return pictures from one face to another, the first that of A's own codes: `between`.

    `branch` is "identity", "attributes" or "both". Raises `ParameterError` for another, or steps
    that can't be. Source: section 4.3, figure 1a.
    """
    require_way(branch)
    first, last = model.features(a), model.features(b)
    return _pictures(model, [between(first, last, share, branch) for share in shares(steps)])


def grid(model: Disentangler, a: Picture, b: Picture, steps: int = 7) -> Frames:
    """Return steps x steps pictures, row by row: identity changes along a row, all else down.

    The corners are A, then B's identity on A's rest, A's identity on B's rest, and B.
    `figures.face_sheet(pictures, columns=steps)` draws it. Source: figure 9.
    """
    first, last = model.features(a), model.features(b)
    rows = [between(first, last, down, "attributes") for down in shares(steps)]
    codes = [between(row, last, across) for row in rows for across in shares(steps)]
    return _pictures(model, codes)


@torch.no_grad()
def table(
    model: Disentangler, a: Picture, b: Picture, directions: Directions, steps: int = 5
) -> Frames:
    """Return rows of `steps` pictures of A: with B's identity, then with each attribute.

    Shares of identity go from 0 to 1, strengths of an attribute from -1 to 1. It is the still frame
    of `widgets.disentangled`; `figures.face_sheet(pictures, columns=steps)` draws it. Raises as
    `interpolated` and `edited` do.
    """
    face = model.features(a)
    strengths = [2 * share - 1 for share in shares(steps)]
    codes = [moved(model, face, {name: x}, directions) for name in directions for x in strengths]
    first = interpolated(model, a, b, steps)
    return torch.cat([first, _pictures(model, codes)]) if codes else first
