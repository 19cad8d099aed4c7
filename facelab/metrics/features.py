"""What all distances between two sets of pictures share: checks, and distances of feature vectors.

A set is given as features, one row a picture (`extractors` makes them). All is computed in float64,
on the device that the features are on.
"""

from jaxtyping import Float
from torch import Tensor

from facelab.errors import ParameterError

# Any sizes: the functions check them, with a message that says more than a type checker's.
Features = Float[Tensor, "_ _"]


def require_features(features: Features, name: str, least: int = 2) -> Features:
    """Return the features in float64, without gradients.

    Raises `ParameterError` when there are fewer than `least` rows, no columns, or a value that is
    not finite; `name` is what the message calls the set.
    """
    rows, columns = features.shape
    if rows < least:
        raise ParameterError(
            f"the {name} set has {rows} pictures, at least {least} are needed; give more"
        )
    if not columns:
        raise ParameterError(f"the {name} set has no features; give at least one number a picture")
    if not features.isfinite().all():
        bad = int((~features.isfinite().all(dim=1)).sum())
        raise ParameterError(
            f"the {name} set has values that are not finite in {bad} of {rows} pictures; "
            "look at what made them"
        )
    return features.detach().double()


def require_sets(
    reference: Features, generated: Features, least: int = 2
) -> tuple[Features, Features]:
    """Return both sets in float64, checked like `require_features`, of the same width.

    Raises `ParameterError` when one of them is unusable or they have other numbers of features.
    """
    sets = (
        require_features(reference, "reference", least),
        require_features(generated, "generated", least),
    )
    require_same_width(reference.shape[1], generated.shape[1])
    return sets


def require_same_width(reference: int, generated: int) -> None:
    """Raise `ParameterError` unless both sets have the same number of features."""
    if reference != generated:
        raise ParameterError(
            f"the reference set has {reference} features and the generated one {generated}; "
            "make both with the same extractor"
        )


def squared_distances(rows: Features, columns: Features) -> Features:
    """Return the squared distance of each row of one set to each row of the other.

    Through products, |a|^2 + |b|^2 - 2 a b: fast, and in float64 exact to about 1e-15 |a|^2, which
    is far below the distances that are compared here.
    """
    lengths = rows.square().sum(1)[:, None] + columns.square().sum(1)[None, :]
    return (lengths - 2 * rows @ columns.T).clamp_(min=0)
