"""Names for the tensors that cross a module's border, with their shapes.

`Image` is (batch, 3, height, width), float32, RGB, [-1, 1]: the only image layout inside facelab.
`images.py` alone converts from and to anything else. Coordinates are (x, y) in pixels; the centre
of the top left pixel is (0, 0).

A name in a shape stands for one number within a call: two `Image` arguments must have the same
batch, height and width. Where they may differ, a function spells its own shape out.

`Batch` is what every dataset gives.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Image = Float[Tensor, "batch 3 height width"]
Picture = Float[Tensor, "1 3 _ _"]  # one image; its size has nothing to do with any other
Embedding = Float[Tensor, "batch features"]
Latent = Float[Tensor, "batch latents"]
Landmarks = Float[Tensor, "batch points 2"]
Boxes = Float[Tensor, "batch 4"]
Similarity = Float[Tensor, "batch 2 3"]
Vertices = Float[Tensor, "batch vertices 3"]  # of a mesh; one topology serves the whole batch
Triangles = Int[Tensor, "triangles 3"]  # indices of vertices, counter-clockwise from outside


@dataclass(frozen=True)
class Batch:
    """Faces with their labels; what a dataset doesn't know is None, or missing from the mappings.

    `identity` numbers the people of one dataset from 0. `attributes` are in the order of the
    dataset's `attribute_names`. `landmarks` are the 68 of 300-W in pixels; `euler_rad` is yaw,
    pitch and roll. `coverage` is the share of each pixel that shows the person. `masks` are 1 where
    an attribute may change the face, by name; `labels` are further values, one row a face.
    """

    images: Image
    identity: Int[Tensor, " batch"]
    attributes: Bool[Tensor, "batch attributes"] | None = None
    landmarks: Landmarks | None = None
    euler_rad: Float[Tensor, "batch 3"] | None = None
    coverage: Float[Tensor, "batch 1 height width"] | None = None
    masks: Mapping[str, Float[Tensor, "batch 1 height width"]] = field(default_factory=dict)
    labels: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.identity)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return a batch whose every tensor went through `change`."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Batch(
            **{
                name: change(value)
                if isinstance(value, Tensor)
                else value and {key: change(part) for key, part in value.items()}
                for name, value in values.items()
            }
        )

    def rows(self, index: Int[Tensor, " chosen"]) -> "Batch":
        """Return these faces, in this order."""
        return self.map(lambda tensor: tensor[index])

    def some(self, count: int) -> Image:
        """Return at most `count` of the pictures, spread over the batch: what a preview shows."""
        return self.images[:: max(1, len(self) // count)][:count]

    def to(self, device: str | torch.device) -> "Batch":
        """Return the batch on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))
