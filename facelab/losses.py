"""Loss terms that several methods share: pure, one value per sample; the caller takes the mean.

FaceNet: F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet: A Unified Embedding for Face
Recognition and Clustering", CVPR 2015. Its embeddings f(x) have length one.

| here | FaceNet |
|---|---|
| `triplet_loss` | equation 3: [ |f(a) - f(p)|^2 - |f(a) - f(n)|^2 + alpha ]_+ , alpha = 0.2 |
| `semi_hard_triplets` | section 3.2, equation 4: all anchor-positive pairs, semi-hard negatives |
| `softmax_loss` | section 2: the classifier that earlier recognisers were trained as |

Wing loss: Z.-H. Feng, J. Kittler, M. Awais, P. Huber, X.-J. Wu, "Wing Loss for Robust Facial
Landmark Localisation with Convolutional Neural Networks", CVPR 2018.

| here | Feng et al. |
|---|---|
| `wing_loss` | equation 5, with the w = 10 and epsilon = 2 that they chose |
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from facelab.types import Embedding, Landmarks

MARGIN = 0.2

PerSample = Float[Tensor, " batch"]
Identities = Int[Tensor, " batch"]


def triplet_loss(
    anchor: Embedding, positive: Embedding, negative: Embedding, *, margin: float = MARGIN
) -> PerSample:
    """Return how far each triplet is from right: 0 when the negative is farther by the margin.

    [ |a - p|^2 - |a - n|^2 + margin ]_+ with embeddings of length one, so distances are between 0
    and 4. Row i of the three is one triplet; `positive` is of the anchor's person, `negative` of
    another. Source: FaceNet, equation 3 (there the sum over the triplets).
    """
    near = (anchor - positive).square().sum(dim=1)
    far = (anchor - negative).square().sum(dim=1)
    return F.relu(near - far + margin)


@torch.no_grad()
def semi_hard_triplets(
    embeddings: Embedding,
    identities: Identities,
    *,
    margin: float = MARGIN,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "triplets 3"]:
    """Choose a negative within the batch for each of its anchor-positive pairs.

    Semi-hard negatives are farther from the anchor than the positive is (FaceNet, equation 4), but
    by less than the margin. The closest of those farther than the positive is taken or, with a
    `generator`, a random one of the semi-hard ones. Where none is farther, the paper says nothing;
    the one least in the way is taken: the farthest. (The very hardest would collapse the embedding
    to a point, says the paper.) A pair with no semi-hard negative but with farther ones keeps the
    closest of those; its loss is 0.

    Returns indices (anchor, positive, negative) into the batch, sorted; without any pair of one
    identity, or with one identity alone, shape (0, 3). No gradient flows through the choice.
    """
    distances = squared_distances(embeddings)
    same = identities[:, None] == identities[None, :]
    others = ~torch.eye(len(identities), dtype=torch.bool, device=same.device)
    anchor, positive = (same & others).nonzero().T
    usable = (~same[anchor]).any(dim=1)
    anchor, positive = anchor[usable], positive[usable]
    if not len(anchor):
        return torch.zeros((0, 3), dtype=torch.long, device=embeddings.device)
    gap = distances[anchor] - distances[anchor, positive][:, None]  # (pairs, batch)
    gap = gap.masked_fill(same[anchor], -torch.inf)
    negative = _closest_farther(gap)
    if generator is not None:
        semi_hard = (gap > 0) & (gap < margin)
        some = semi_hard.any(dim=1)
        drawn = torch.multinomial(semi_hard[some].float().cpu(), 1, generator=generator)[:, 0]
        negative[some] = drawn.to(negative.device)
    return torch.stack([anchor, positive, negative], dim=1)


def _closest_farther(gap: Float[Tensor, "pairs batch"]) -> Int[Tensor, " pairs"]:
    """Return the negative of the smallest gap above zero, else that of the largest gap."""
    farther = gap > 0
    closest = gap.masked_fill(~farther, torch.inf).argmin(dim=1)
    return torch.where(farther.any(dim=1), closest, gap.argmax(dim=1))


def squared_distances(embeddings: Embedding) -> Float[Tensor, "batch batch"]:
    """Return the squared Euclidean distance of every row to every row.

    Differences are squared, not expanded into products: |a|^2 + |b|^2 - 2 a b loses the digits that
    tell close faces apart. Differentiable, also where two rows are equal.
    """
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cdist(embeddings, embeddings, compute_mode=mode).square()


def softmax_loss(logits: Float[Tensor, "batch identities"], identities: Identities) -> PerSample:
    """Return -log softmax(logits) at the true identity: the classifier baseline.

    `logits` come from a linear layer on the embeddings, one column per identity of the training
    set; the layer is thrown away afterwards. An identity without a column is torch's `IndexError`.
    """
    return F.cross_entropy(logits, identities, reduction="none")


def wing_loss(
    points: Landmarks, target: Landmarks, *, width: float = 10.0, curvature: float = 2.0
) -> PerSample:
    """Return how far each face's points are off, small errors counting for more than in L1.

    With x the error of a coordinate, w the width and e the curvature, both in the points' unit:
    w ln(1 + |x| / e) where |x| < w, else |x| - C, with C = w - w ln(1 + w / e) that joins the two.
    The mean over points and coordinates (in the paper their sum). Source: Feng et al., equation 5.
    """
    error = (points - target).abs()
    constant = width - width * math.log1p(width / curvature)
    near = width * torch.log1p(error / curvature)
    return torch.where(error < width, near, error - constant).mean(dim=(1, 2))
