"""What every face recogniser of the book can do: turn an aligned face into numbers and compare.

Two scales of distance are in use, and mixing them up is a silent mistake, so each has its name:

- **raw**: what the network gives (`forward`), compared as its authors do (`native_distance`,
  `threshold`).
- **unit**: the same vectors brought to length one (`embed`), compared by the squared Euclidean
  distance (`distance`, `threshold_squared`): 0 for the same direction, 2 for orthogonal vectors, 4
  for opposite ones. This is the measure of FaceNet and of the papers in this book.
"""

from abc import ABC, abstractmethod

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab.errors import ImageError, ParameterError
from facelab.types import Embedding, Image

NAMES = ("dlib", "faceres", "facenet-vggface2", "facenet-casia", "book")

Rows = Float[Tensor, "#batch features"]
Distances = Float[Tensor, " batch"]


class Embedder(nn.Module, ABC):
    """A trained face recogniser.

    `id` names it in records; `size` is the side in pixels of the faces it takes and `template` the
    alignment that it was trained with (a name in `align.TEMPLATES`). Two faces are of one person
    when `native_distance` of raw embeddings is below `threshold`, as its authors say, or when
    `distance` of unit embeddings is below `threshold_squared`.
    """

    id: str
    size: int
    template: str
    threshold: float
    threshold_squared: float

    @abstractmethod
    def forward(self, images: Image) -> Embedding:
        """Return the raw embeddings of faces (batch, 3, size, size) in [-1, 1], differentiable."""

    def embed(self, images: Image) -> Embedding:
        """Return the unit embeddings, float32, of faces (batch, 3, size, size) in [-1, 1].

        Gradients flow to the pixels. Raises `ImageError` when the faces have another size.
        """
        return F.normalize(self(images).float(), dim=1)

    def require_size(self, images: Tensor) -> None:
        """Raise `ImageError` unless the images have this recogniser's size."""
        if tuple(images.shape[2:]) != (self.size, self.size):
            raise ImageError(
                f"the recogniser {self.id!r} takes faces of {self.size} x {self.size} pixels, got "
                f"{images.shape[3]} x {images.shape[2]}; align them to the template "
                f"{self.template!r} with facelab.recognition.align.crop_faces"
            )

    @staticmethod
    def distance(a: Rows, b: Rows) -> Distances:
        """Return the squared Euclidean distance of row i of `a` and row i of `b` at length one.

        Between 0 and 4. Raw embeddings are brought to length one first; unit ones stay as they
        are. One row is compared with all rows of the other argument.
        """
        return (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(dim=1)

    @staticmethod
    def native_distance(a: Rows, b: Rows) -> Distances:
        """Return the Euclidean distance of row i of `a` and row i of `b`, raw embeddings.

        It is the measure of `threshold`. Don't pass unit embeddings: nothing can notice.
        """
        return (a - b).square().sum(dim=1).sqrt()


def embedder(name: str = "dlib", device: str = "cpu") -> Embedder:
    """Return the recogniser called `name`, frozen, in evaluation mode, on `device`.

    The weights of "dlib" and "faceres" are fetched when they are not in the cache: two that share
    neither author, network nor data set. Those of the FaceNets come from the open web, by `python
    data_scripts/facenet.py NAME`: without them this raises `AssetError`. So does "book", which has
    no checkpoint yet. Raises `ParameterError` when there is no such recogniser.
    """
    if name == "dlib":
        from facelab.recognition.dlib_resnet import dlib

        return dlib(device)
    if name == "faceres":
        from facelab.recognition.faceres import faceres

        return faceres(device)
    if name in ("facenet-vggface2", "facenet-casia"):
        from facelab.recognition.facenet import facenet

        return facenet(name, device)
    if name == "book":
        from facelab.recognition.book_embedder import book

        return book(device)
    raise ParameterError(
        f"there is no recogniser called {name!r}; choose one of: {', '.join(NAMES)}"
    )
