"""E_id: a frozen recogniser, and its code on a scale that any recogniser's has."""

import copy
import math

from jaxtyping import Float
from torch import Tensor, nn

from facelab.recognition.align import reframe
from facelab.recognition.embedder import Embedder, embedder
from facelab.types import Image

Codes = Float[Tensor, "batch features"]


class IdentityEncoder(nn.Module):
    """Faces to unit embeddings times the root of their length: numbers of about 1.

    Gradients flow to the pixels, never to the recogniser.
    """

    def __init__(self, embedder: Embedder):
        super().__init__()
        # A copy: the recogniser is everybody's, and a training moves its own to its device.
        self.embedder = copy.deepcopy(embedder).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "IdentityEncoder":
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, images: Image, framing: str) -> Codes:
        """Return the codes of faces that lie as the template `framing` says."""
        embeddings = self.embedder.embed(reframe(images, framing, self.embedder.template))
        return math.sqrt(embeddings.shape[1]) * embeddings


def identity_encoder(name: str, device: str = "cpu") -> IdentityEncoder:
    """Return E_id of the recogniser called `name`. Raises as `recognition.embedder` does."""
    return IdentityEncoder(embedder(name, device)).to(device)
