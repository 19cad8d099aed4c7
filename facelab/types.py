"""Names for the tensors that cross a module's border, with their shapes.

`Image` is (batch, 3, height, width), float32, RGB, [-1, 1]: the only image layout inside facelab.
`images.py` alone converts from and to anything else. Coordinates are (x, y) in pixels; the centre
of the top left pixel is (0, 0).

A name in a shape stands for one number within a call: two `Image` arguments must have the same
batch, height and width. Where they may differ, a function spells its own shape out.
"""

from jaxtyping import Float, Int
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
