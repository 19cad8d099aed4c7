"""Fit a morphable head to pictures, stage 1: pose, identity and expression from landmarks.

A landmark i of a head with coefficients c = (a, w) is seen at

    u_i = project(T R (m_i + sum_k c_k B_ki) + t)

with m and B the mean and the components at that vertex, R the head's rotation and T the camera's.
What is minimised is the posterior's logarithm (Blanz and Vetter 1999, section 4), per face

    sum_i w_i |u_i - u_i'|^2 / s^2  +  sum_k (c_k / sigma_k)^2

by Levenberg and Marquardt's method over all unknowns at once, six of the pose and one for each
coefficient, with derivatives in closed form. It starts from the mean head under the scaled
orthographic camera that fits best, also in closed form. Expressions have bounds: a weight that
would leave them is held there while it wants to (an active set). The focal length is known or
assumed: from one picture, it and the distance can hardly be told apart.

Stage 2, from the pixels, is `geometry/pixel_fit.py`.
"""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from facelab.errors import GeometryError, ParameterError
from facelab.geometry.camera import Rotation, euler_from_rotation
from facelab.geometry.fit_result import FitResult, Stage, joined, portrait_camera
from facelab.geometry.morphable import MorphableModel
from facelab.types import Landmarks

# The focal length that is assumed, in heights of the picture: that of `Camera.portrait`.
FOCAL_HEIGHTS = 8 / 3
FEWEST_LANDMARKS = 6
# A head's landmarks seen from the side are still this wide, as a share of their length.
NARROWEST = 0.05
TRUST, MORE_TRUST, LESS_TRUST = 1e-3, 0.2, 5.0  # of the method's damping: at first, and its steps
LEAST_DAMPING, MOST_DAMPING = 1e-9, 1e9
AT_ONCE = 256  # faces in memory
PASSES = 6  # over the bounds, for one step


@dataclass(frozen=True)
class FitSettings:
    """How landmarks are weighed against what heads are like.

    `noise` is the landmarks' standard deviation s as a share of their own spread (the root mean
    square of their distance from their middle): what they say is believed to that precision.
    `identity_deviation` and `expression_deviation` are sigma, the spread of coefficients a priori;
    expression weights stay inside `expression_range`, which is right for named actions (0 rest, 1
    as far as it goes); for principal components give (-3, 3) and a deviation of 1. A face has
    converged when a step lowers its loss by less than `tolerance` of it; `steps` is the most that
    are tried.
    """

    noise: float = 0.02
    identity_deviation: float = 1.0
    expression_deviation: float = 0.3
    expression_range: tuple[float, float] = (0.0, 1.0)
    tolerance: float = 1e-5
    steps: int = 60

    def __post_init__(self) -> None:
        for name in ("noise", "identity_deviation", "expression_deviation", "tolerance", "steps"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ParameterError(f"{name} is {getattr(self, name)}; give a number above 0")
        low, high = self.expression_range
        if not low <= 0 <= high:
            raise ParameterError(
                f"expression_range is {low} to {high}; give one that has 0, an expression at rest"
            )


def fit_landmarks(
    model: MorphableModel,
    landmarks: Landmarks,
    *,
    size: int | tuple[int, int],
    weights: Float[Tensor, "#batch points"] | None = None,
    focal_px: float | Float[Tensor, " batch"] | None = None,
    settings: FitSettings | None = None,
) -> FitResult:
    """Fit heads to landmarks (batch, L, 2), (x, y) in pixels of pictures of `size`.

    `size` is the side of the pictures, or (height, width); the camera looks at their middle.
    `weights` (batch or 1, L) say how much each landmark counts; 0 leaves it out. `focal_px` is the
    focal length in pixels, as a rule 8/3 of the height. Faces do not depend on each other.

    A face whose landmarks coincide or lie on a line is left at the mean head and told in the
    report. Raises `GeometryError` when landmarks or weights are not finite, not as many as the
    model's, or fewer than 6 count; `ParameterError` for an impossible size or focal length.
    """
    settings = settings or FitSettings()
    height, width = (size, size) if isinstance(size, int) else size
    if weights is None:
        weights = landmarks.new_ones(1, landmarks.shape[1])
    _require_landmarks(model, landmarks, weights)
    focal = _focal(focal_px, height, width, landmarks)
    centre = landmarks.new_tensor([(width - 1) / 2, (height - 1) / 2]).double()
    weights = weights.expand(len(landmarks), -1).double()
    parts = [
        _fit(_Problem.of(model, xy.double(), w, (f, centre), settings), settings)
        for xy, w, f in zip(
            landmarks.split(AT_ONCE), weights.split(AT_ONCE), focal.split(AT_ONCE), strict=True
        )
    ]
    turn, shift, coefficients = (
        torch.cat(values) for values in zip(*(s for s, _ in parts), strict=True)
    )
    stage = joined([stage for _, stage in parts])
    yaw, pitch, roll = (angle.to(landmarks) for angle in euler_from_rotation(turn))
    camera = portrait_camera(focal.to(landmarks), centre.to(landmarks), shift.to(landmarks))
    identity, expression = coefficients.to(landmarks).split(
        [model.components, len(model.expression_mm)], dim=1
    )
    unknown = torch.zeros_like(landmarks[..., 0])
    result = FitResult(yaw, pitch, roll, camera, identity, expression, unknown, (stage,))
    residual_px = (result.landmarks(model) - landmarks).norm(dim=2)
    return dataclasses.replace(result, residual_px=residual_px)


def _require_landmarks(model: MorphableModel, landmarks: Tensor, weights: Tensor) -> None:
    count = len(model.landmarks)
    if landmarks.shape[1] != count:
        raise GeometryError(
            f"there are {landmarks.shape[1]} landmarks a face, but {model.id} has {count}; give "
            "them in the model's order"
        )
    if not torch.isfinite(landmarks).all():
        bad = torch.nonzero(~torch.isfinite(landmarks).all(2))[0].tolist()
        raise GeometryError(
            f"landmark {bad[1]} of face {bad[0]} is not finite; give a number, and the weight 0 to "
            "leave it out"
        )
    if not (torch.isfinite(weights).all() and (weights >= 0).all()):
        raise GeometryError("a weight is negative or not finite; give 0 to leave a landmark out")
    if ((weights > 0).sum(1) < FEWEST_LANDMARKS).any():
        raise GeometryError(
            f"fewer than {FEWEST_LANDMARKS} landmarks of a face count, which do not tell its pose; "
            "give more of them a weight above 0"
        )


def _focal(
    focal_px: float | Tensor | None, height: int, width: int, like: Tensor
) -> Float[Tensor, " batch"]:
    if min(height, width) < 1:
        raise ParameterError(
            f"a picture of {width} x {height} pixels is impossible; give a size of at least 1"
        )
    focal = torch.as_tensor(FOCAL_HEIGHTS * height if focal_px is None else focal_px).to(like)
    if not (torch.isfinite(focal).all() and (focal > 0).all()):
        raise ParameterError("a focal length must be positive; give focal_px in pixels")
    return focal.expand(len(like)).double()


@dataclass(frozen=True)
class _Problem:
    """What is known of some faces, in float64. N coefficients: identity, then expression."""

    mean: Float[Tensor, "points 3"]
    basis: Float[Tensor, "coefficients points 3"]
    target: Float[Tensor, "batch points 2"]
    trust: Float[Tensor, "batch points"]  # sqrt(w) / s, in 1 / pixels
    focal: Float[Tensor, " batch"]
    centre: Float[Tensor, " 2"]
    precision: Float[Tensor, " coefficients"]  # 1 / sigma^2
    low: Float[Tensor, " coefficients"]
    high: Float[Tensor, " coefficients"]

    @classmethod
    def of(
        cls,
        model: MorphableModel,
        target: Tensor,
        weights: Tensor,
        lens: tuple[Tensor, Tensor],
        settings: FitSettings,
    ) -> "_Problem":
        """Gather it; the weights' scale is of no account."""
        basis = torch.cat([model.identity_mm, model.expression_mm])[:, model.landmarks]
        kinds = torch.tensor([0] * model.components + [1] * len(model.expression_mm))
        deviation = torch.tensor([settings.identity_deviation, settings.expression_deviation])
        low, high = torch.tensor([(-torch.inf, torch.inf), settings.expression_range]).T
        share = weights / weights.mean(1, keepdim=True)
        middle = (share[..., None] * target).mean(1, keepdim=True)
        spread = (share * (target - middle).square().sum(2)).mean(1).sqrt()
        noise_px = (settings.noise * spread).clamp_min(1e-6)
        return cls(
            mean=model.mean_mm[model.landmarks].double(),
            basis=basis.double(),
            target=target,
            trust=share.sqrt() / noise_px[:, None],
            focal=lens[0],
            centre=lens[1],
            precision=deviation[kinds].to(target).pow(-2),
            low=low[kinds].to(target),
            high=high[kinds].to(target),
        )

    def rows(self, index: Int[Tensor, " some"]) -> "_Problem":
        """Return the problem of some of the faces."""
        chosen = {name: getattr(self, name)[index] for name in ("target", "trust", "focal")}
        return dataclasses.replace(self, **chosen)


def _orthographic_start(problem: _Problem) -> tuple[Rotation, Tensor, Bool[Tensor, " batch"]]:
    """Return rotation, translation and which faces have landmarks that tell them.

    The affine camera that takes the mean head to the landmarks is linear least squares; its 2 x 3
    part is a scale and two rows of the rotation.
    """
    weights = problem.trust.square()
    points = torch.nn.functional.pad(problem.mean, (0, 1), value=1.0)
    normal = torch.einsum("bl,li,lj->bij", weights, points, points)
    right = torch.einsum("bl,li,blc->bic", weights, points, problem.target - problem.centre)
    affine = torch.linalg.solve(normal, right).mT  # (batch, 2, 4)
    rows = affine[:, :, :3] * affine.new_tensor([[1.0], [-1.0]])
    lengths = torch.linalg.svdvals(rows)
    sound = (lengths[:, 0] > 1e-9) & (lengths[:, 1] > NARROWEST * lengths[:, 0])
    rows = torch.where(sound[:, None, None], rows, torch.eye(2, 3).to(rows))
    u, s, v = torch.linalg.svd(rows, full_matrices=False)
    two = u @ v
    rotation = torch.cat([two, torch.linalg.cross(two[:, 0], two[:, 1], dim=1)[:, None]], dim=1)
    depth = problem.focal / s.mean(1)
    middle = torch.where(sound[:, None], affine[:, :, 3], 0.0)
    shift = torch.cat([middle * (depth / problem.focal)[:, None], depth[:, None]], dim=1)
    return rotation, shift, sound


State = tuple[Rotation, Float[Tensor, "batch 3"], Float[Tensor, "batch coefficients"]]


def _residuals(problem: _Problem, state: State) -> tuple[Tensor, Tensor, Tensor]:
    """Return weighted residuals (batch, L, 2), and the turned points in head and camera axes."""
    rotation, shift, coefficients = state
    turned = (problem.mean + torch.einsum("bn,nlc->blc", coefficients, problem.basis)) @ rotation.mT
    seen = turned * turned.new_tensor([1.0, -1.0, -1.0]) + shift[:, None]
    depth = seen[..., 2:].clamp_min(1.0)
    pixels_xy = problem.focal[:, None, None] * seen[..., :2] / depth + problem.centre
    return problem.trust[..., None] * (pixels_xy - problem.target), turned, seen


def _jacobian(problem: _Problem, state: State, turned: Tensor, seen: Tensor) -> Tensor:
    """Return the residuals' derivatives (batch, L, 2, 6 + N): a small turn, a shift, coefficients.

    The turn is a rotation vector in the world's axes: R <- exp([w]) R.
    """
    x, y, z = turned.unbind(-1)
    zero = torch.zeros_like(x)
    # d(w x p) / dw, one row for each coordinate, then the camera's axes.
    twist = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=-1).unflatten(-1, (3, 3))
    axes = torch.diag(turned.new_tensor([1.0, -1.0, -1.0]))
    moved = torch.einsum("ij,bjk,nlk->blin", axes, state[0], problem.basis)
    ahead = torch.eye(3).to(turned).expand(*turned.shape[:2], 3, 3)
    points = torch.cat([axes @ twist, ahead, moved], dim=3)  # (batch, L, 3, 6 + N)
    depth = seen[..., 2:].clamp_min(1.0)
    scale = (problem.trust * problem.focal[:, None])[..., None, None] / depth[..., None]
    slope = (seen[..., :2] / depth)[..., None]
    return scale * (points[:, :, :2] - slope * points[:, :, 2:])


def _loss(problem: _Problem, state: State) -> Float[Tensor, " batch"]:
    residuals = _residuals(problem, state)[0].square().sum((1, 2))
    loss = residuals + (problem.precision * state[2].square()).sum(1)
    behind = _residuals(problem, state)[2][..., 2].amin(1) < 1.0
    return torch.where(behind, torch.inf, loss)


def _step(problem: _Problem, state: State, damping: Tensor) -> State:
    """Return where one damped Gauss-Newton step leads."""
    residuals, turned, seen = _residuals(problem, state)
    jacobian = _jacobian(problem, state, turned, seen).flatten(1, 2)
    gradient = torch.einsum("brn,br->bn", jacobian, residuals.flatten(1))
    curvature = jacobian.mT @ jacobian
    coefficients = state[2]
    gradient[:, 6:] += problem.precision * coefficients
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    diagonal[:, 6:] += problem.precision
    diagonal *= 1 + damping[:, None]
    low, high = (
        torch.nn.functional.pad(end - coefficients, (6, 0), value=sign * torch.inf)
        for end, sign in ((problem.low, -1), (problem.high, 1))
    )
    step = _least_in_box(curvature, gradient, low, high)
    rotation = rotation_from_vector(step[:, :3]) @ state[0]
    return rotation, state[1] + step[:, 3:6], coefficients + step[:, 6:]


def _least_in_box(curvature: Tensor, gradient: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the step d, low <= d <= high, that makes g d + d C d / 2 least, or nearly.

    What starts at an end and would leave is held there; what leaves on the way is held where it
    does, and the others are solved for again.
    """
    held = (low >= 0) & (gradient > 0) | (high <= 0) & (gradient < 0)
    step = torch.zeros_like(gradient)
    for _ in range(PASSES):
        free = (~held).to(gradient)
        system = curvature * free[:, :, None] * free[:, None] + torch.diag_embed(1 - free)
        right = gradient + torch.einsum("bij,bj->bi", curvature, step * (1 - free))
        root = torch.linalg.cholesky_ex(system)[0]
        solved = -torch.cholesky_solve((right * free)[..., None], root)[..., 0]
        step = torch.where(held, step, solved)
        out = (step < low) | (step > high)
        step = step.clamp(low, high)
        if not out.any():
            break
        held = held | out
    return step


def rotation_from_vector(turn: Float[Tensor, "batch 3"]) -> Rotation:
    """Return the rotations about vectors by their lengths, in radians (Rodrigues)."""
    x, y, z = turn.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).unflatten(1, (3, 3))
    return torch.linalg.matrix_exp(cross)


def _fit(problem: _Problem, settings: FitSettings) -> tuple[State, Stage]:
    """Minimise; return the state and how it went.

    Only faces that have not settled take part in a step.
    """
    rotation, shift, sound = _orthographic_start(problem)
    state: State = (rotation, shift, shift.new_zeros(len(shift), len(problem.basis)))
    before = _loss(problem, state)
    loss, damping = before.clone(), torch.full_like(before, TRUST)
    iterations = torch.zeros(len(loss), dtype=torch.long, device=loss.device)
    running = torch.nonzero(sound)[:, 0]
    for _ in range(settings.steps):
        if not len(running):
            break
        some = problem.rows(running)
        tried = _step(some, tuple(values[running] for values in state), damping[running])
        tried_loss, known = _loss(some, tried), loss[running]
        better = tried_loss < known
        for values, new in zip(state, tried, strict=True):
            values[running[better]] = new[better]
        loss[running] = torch.where(better, tried_loss, known)
        iterations[running] += 1
        factor = torch.where(better, MORE_TRUST, LESS_TRUST)
        damping[running] = (damping[running] * factor).clamp(LEAST_DAMPING, MOST_DAMPING)
        settled = torch.where(
            better, known - tried_loss <= settings.tolerance * known,
            damping[running] >= MOST_DAMPING,
        )  # fmt: skip
        running = running[~settled]
    reasons = _reasons(sound, running, settings.steps)
    return state, Stage("landmarks", iterations.cpu(), before.cpu(), loss.cpu(), reasons)


def _reasons(sound: Tensor, running: Tensor, steps: int) -> tuple[str, ...]:
    """Return why faces have not converged, an empty text for those that have."""
    reasons = ["" if told else "its landmarks coincide or lie on a line" for told in sound.tolist()]
    for i in running.tolist():
        reasons[i] = f"it did not settle in {steps} iterations"
    return tuple(reasons)
