"""Bring faces to one place, size and angle, and put them back.

MTCNN's five points are laid on those of a named template by a similarity transform (shift, turn,
scale), and the picture is sampled along it. A recogniser has to see faces as it saw them in
training; unaligned, the distance between two pictures of one person is mostly that of their poses.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facelab.errors import FaceCountError, ImageError, ParameterError
from facelab.recognition.mtcnn import Faces, detect
from facelab.recognition.sampling import (
    inverse,
    move_points,
    resize_transform,
    scale_of,
    warp,
)
from facelab.types import Boxes, Image, Landmarks, Similarity

Policy = Literal["error", "largest", "central", "all"]
# The framing of the book's own faces, of whatever size.
BOOK = "book64"


@dataclass(frozen=True)
class Template:
    """Where the five points of a face lie in an aligned picture of `size` x `size` pixels.

    `points` are left eye, right eye, nose, left and right corner of the mouth, (x, y) in pixels;
    `weights` say how much each counts when a face is laid on the template.
    """

    name: str
    size: int
    points: tuple[tuple[float, float], ...]
    weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)

    @property
    def points_xy(self) -> Float[Tensor, "5 2"]:
        """The points as a tensor, float32."""
        return torch.tensor(self.points)


# `python benchmarks/alignment_templates.py` measures dlib150, facenet160 and book64 again.
TEMPLATES = {
    template.name: template
    for template in (
        # dlib aligns by the corners of the eyes and the base of the nose (its own 5-point
        # predictor; 150 pixels, padding 0.25), which MTCNN does not give. These are the places
        # where MTCNN's points come to lie in dlib's chips: the mean of photographs and generated
        # faces, made symmetric. The weights are those with which the faces come closest to dlib's
        # chips (1.4 pixels on photographs, 3.2 with equal weights): mouths open and smile, and
        # dlib does not look at them.
        Template(
            "dlib150",
            150,
            ((47.0, 44.8), (100.9, 44.8), (73.9, 77.1), (49.3, 104.9), (98.6, 104.9)),
            weights=(1.0, 1.0, 0.2, 0.0, 0.0),
        ),
        # The reference points of ArcFace (Deng et al. 2019), for 112 x 112 pixels.
        Template(
            "arcface112",
            112,
            (
                (38.2946, 51.6963),
                (73.5318, 51.5014),
                (56.0252, 71.7366),
                (41.5493, 92.3655),
                (70.7299, 92.2041),
            ),
        ),
        # FaceNet in PyTorch scales MTCNN's box to 160 x 160 pixels and does not turn it. These are
        # the mean places of the points in an upright box that is scaled alike both ways.
        Template(
            "facenet160",
            160,
            ((48.4, 57.5), (110.6, 57.5), (79.5, 94.5), (51.1, 127.0), (107.9, 127.0)),
        ),
        # HSE-FaceRes saw crops of MTCNN's boxes with a little around them. Among such crops these
        # tell people apart best: records/faceres.json, by `python benchmarks/faceres.py`.
        Template(
            "faceres224",
            224,
            ((75.8, 78.2), (147.2, 78.2), (111.5, 120.7), (78.9, 158.0), (144.1, 158.0)),
        ),
        # The mean places of the points in the pre-trained generator's faces, made symmetric: a
        # photograph that is aligned so is framed like a generated face.
        Template(
            "book64",
            64,
            ((21.65, 29.0), (41.35, 29.0), (31.5, 41.5), (23.1, 52.3), (39.9, 52.3)),
        ),
        # FFHQ (Karras et al. 2019) was aligned by 68 points. These five are what facexlib publishes
        # for pictures of 512 pixels, brought to 256.
        Template(
            "ffhq256",
            256,
            (
                (96.24, 119.72),
                (159.2, 119.85),
                (128.07, 156.76),
                (100.38, 185.46),
                (156.29, 185.33),
            ),
        ),
    )
}


@dataclass(frozen=True)
class Aligned:
    """Faces cut out of one picture, and what is needed to put them back.

    `images` (faces, 3, size, size); `transforms` take pixels of the picture to pixels of the crop;
    `landmarks`, `boxes` and `probabilities` are the detector's, in pixels of the picture. For crops
    that were passed as aligned, nothing was detected: the landmarks are those of their framing, the
    box is the whole picture and the probability NaN.
    """

    images: Image
    landmarks: Landmarks
    boxes: Boxes
    transforms: Similarity
    probabilities: Float[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.images)


def find_template(template: str | Template) -> Template:
    """Return the template of that name. Raises `ParameterError` when there is none."""
    if isinstance(template, Template):
        return template
    if template not in TEMPLATES:
        raise ParameterError(
            f"there is no template called {template!r}; choose one of: {', '.join(TEMPLATES)}"
        )
    return TEMPLATES[template]


def similarity_transform(
    source: Float[Tensor, "#batch points 2"],
    target: Float[Tensor, "#batch points 2"],
    weights: Float[Tensor, " points"] | None = None,
) -> Similarity:
    """Return the shift, turn and scale that take points `source` closest to `target`.

    Both are (batch, points, 2); one of them may have a batch of one. Closest in the weighted mean
    of squared distances, weights being equal when not given. With z = x + iy about the weighted
    mean, the best factor is sum w conj(source) target / sum w |source|^2: the closed form of
    Umeyama (1991) in the plane, and never a reflection. Differentiable.

    Raises `ImageError` when the points of a face coincide or can't be laid on each other.
    """
    w = source.new_ones(source.shape[1]) if weights is None else weights.to(source)
    w = (w / w.sum())[None, :, None]
    source_mean, target_mean = ((w * p).sum(1, keepdim=True) for p in (source, target))
    s, t = source - source_mean, target - target_mean
    spread, target_spread = ((w * p.square()).sum((1, 2)) for p in (s, t))
    along = (w * s * t).sum((1, 2))
    across = (w[..., 0] * (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0])).sum(1)
    smallest = torch.minimum(spread, target_spread).detach()
    # 0 where no turn helps, 1 where the points fit exactly (Cauchy and Schwarz).
    fit = torch.hypot(along, across).detach() / (spread * target_spread).detach().sqrt()
    if not ((smallest > 1e-6) & (fit > 1e-3)).all():
        raise ImageError(
            "the landmarks of a face coincide or have no direction, so it can't be aligned; give "
            "five distinct points, in pixels"
        )
    a, b = along / spread, across / spread
    turn = torch.stack([torch.stack([a, -b], dim=1), torch.stack([b, a], dim=1)], dim=1)
    shift = target_mean[:, 0] - torch.einsum("bij,bj->bi", turn, source_mean.expand_as(s)[:, 0])
    return torch.cat([turn, shift[:, :, None]], dim=2)


def template_transform(landmarks: Landmarks, template: str | Template) -> Similarity:
    """Return the transforms that lay faces' five points, (batch, 5, 2), on a template."""
    template = find_template(template)
    weights = landmarks.new_tensor(template.weights)
    return similarity_transform(landmarks, template.points_xy.to(landmarks)[None], weights)


def align(
    images: Float[Tensor, "#batch 3 height width"],
    landmarks: Landmarks,
    template: str | Template = "dlib150",
) -> Float[Tensor, "batch 3 size size"]:
    """Cut faces out so that their five points, (faces, 5, 2) in pixels, lie on the template.

    Give one picture and the landmarks of any number of its faces, or one picture per face. Returns
    (faces, 3, size, size); what lies outside a picture is black. Shrinking does not alias (see
    `sampling.warp`), and gradients flow to the images.
    """
    template = find_template(template)
    transforms = template_transform(landmarks, template)
    return warp(images, transforms, (template.size, template.size))


def reframe(images: Image, framing: str, template: str) -> Float[Tensor, "batch 3 size size"]:
    """Bring faces that are aligned to one template to another one's place and size.

    Images are square, of any size; their eyes lie where `framing` has them, in proportion. What
    lies outside a picture is black. Differentiable. Raises `ImageError` when they are not square
    and `ParameterError` when there is no such template.
    """
    height, width = images.shape[2:]
    if height != width or not height:
        raise ImageError(
            f"faces framed like {framing!r} are square, these are {width} x {height} pixels"
        )
    source, target = find_template(framing), find_template(template)
    if source == target and width == target.size:
        return images
    transform = reframe_transform(width, source, target).to(images)
    return warp(images, transform.expand(len(images), -1, -1), (target.size, target.size))


def reframe_transform(side: int, source: Template, target: Template) -> Similarity:
    """Return the transform (1, 2, 3) that takes a picture of `side` pixels to another framing.

    The picture's face lies where `source` has it, in proportion.
    """
    enlarge = resize_transform((source.size, source.size), (side, side))
    if source == target:
        return inverse(enlarge)
    return template_transform(move_points(source.points_xy[None], enlarge), target)


def paste_back(
    crops: Float[Tensor, "batch 3 rows columns"],
    images: Image,
    transforms: Similarity,
    feather: float = 0.1,
) -> Image:
    """Put aligned crops back to where they were cut from; returns new images.

    `transforms` are those the crops were made with, one crop per image. The crop counts fully in
    its middle and fades out, over the share `feather` of its side, towards its own edges and the
    picture's. A crop that is put back unchanged gives the image again, but for what two
    interpolations blur: for smooth pictures less than 0.03.
    """
    size, picture = (crops.shape[2], crops.shape[3]), (images.shape[2], images.shape[3])
    left, top, right, bottom = _region(size, transforms, picture)
    if right <= left or bottom <= top:
        return images.clone()
    # Only the rectangle that the crops cover: the picture may be large.
    corner = transforms.new_tensor([[[left, top]]]).expand(len(transforms), -1, -1)
    moved = torch.cat([transforms[:, :, :2], move_points(corner, transforms).mT], dim=2)
    inside = _enlarged(crops, moved, (bottom - top, right - left))
    y, x = (
        torch.arange(*ends, dtype=transforms.dtype, device=transforms.device)
        for ends in ((top, bottom), (left, right))
    )
    pixels_xy = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    share = _share(pixels_xy, transforms, size, picture, feather)
    pasted = images.clone()
    part = images[:, :, top:bottom, left:right]
    pasted[:, :, top:bottom, left:right] = part + share * (inside - part)
    return pasted


def _enlarged(crops: Tensor, transforms: Similarity, size: tuple[int, int]) -> Tensor:
    """Sample crops back, with their border repeated, so that nothing black bleeds in."""
    margin = 1 + math.ceil(float(scale_of(transforms.detach()).max()))
    crops = F.pad(crops, (margin,) * 4, mode="replicate")
    wider = torch.cat([transforms[:, :, :2], transforms[:, :, 2:] + margin], dim=2)
    return warp(crops, inverse(wider), size)


def _region(
    size: tuple[int, int], transforms: Similarity, picture: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom), in whole pixels, of what the crops cover."""
    right, bottom = size[1] - 0.5, size[0] - 0.5
    corners = [[-0.5, -0.5], [right, -0.5], [-0.5, bottom], [right, bottom]]
    corners = transforms.new_tensor([corners]).expand(len(transforms), -1, -1)
    points = move_points(corners, inverse(transforms.detach())).flatten(0, 1)
    low, high = points.amin(0).floor().long().tolist(), points.amax(0).ceil().long().tolist()
    return (
        max(low[0], 0),
        max(low[1], 0),
        min(high[0] + 1, picture[1]),
        min(high[1] + 1, picture[0]),
    )


def _share(
    pixels_xy: Float[Tensor, "rows columns 2"],
    transforms: Similarity,
    size: tuple[int, int],
    picture: tuple[int, int],
    feather: float,
) -> Float[Tensor, "batch 1 rows columns"]:
    """Return how much of the crop shows at pixels of the picture: 0 outside it, 1 in its middle.

    It also fades out towards the picture's edges, less one and a half of the crop's pixels: where
    a crop reaches over them, it has black mixed in there.
    """
    points = pixels_xy.flatten(0, 1)[None].expand(len(transforms), -1, -1)
    to_edge = _to_edge(move_points(points, transforms), size)
    to_border = _to_edge(points, picture) * scale_of(transforms)[:, None] - 1.5
    width = max(feather * min(size), 1e-6)
    share = (torch.minimum(to_edge, to_border) / width).clamp(0, 1)
    return share.unflatten(1, pixels_xy.shape[:2])[:, None]


def _to_edge(points: Landmarks, size: tuple[int, int]) -> Float[Tensor, "batch points"]:
    """Return the distance of points to the nearest edge of a picture (rows, columns), in pixels."""
    extent = points.new_tensor([size[1], size[0]])
    return torch.minimum(points + 0.5, extent - 0.5 - points).amin(2)


def crop_faces(
    image: Image,
    template: str | Template = "dlib150",
    policy: Policy = "error",
    *,
    aligned: bool = False,
    source: str = "the picture",
    minimum_probability: float = 0.9,
) -> Aligned:
    """Find the faces of one picture (1, 3, height, width) and align them to a template.

    `policy` says what to do about several faces: "error" refuses them, "largest" takes the largest
    box, "central" the one whose centre is closest to the picture's, "all" takes all, the largest
    first. With `aligned` the image is a batch of square crops that are aligned already: those of
    the template's size to it, and any others like the book's faces (`book64`, in proportion), which
    are reframed. `source` is what messages call the picture, such as its file name.

    Raises `FaceCountError` when there is no face, or several under "error"; `ImageError` when an
    aligned crop isn't square. Gradients flow to the image.
    """
    template = find_template(template)
    if policy not in get_args(Policy):
        raise ParameterError(
            f"there is no policy {policy!r}; choose one of: {', '.join(get_args(Policy))}"
        )
    if aligned:
        return _as_aligned(image, template, source)
    faces = detect(image, minimum_probability=minimum_probability)
    faces = choose(faces, (image.shape[3], image.shape[2]), policy, source)
    transforms = template_transform(faces.landmarks, template)
    crops = warp(image, transforms, (template.size, template.size))
    return Aligned(crops, faces.landmarks, faces.boxes, transforms, faces.probabilities)


def choose(faces: Faces, extent: tuple[int, int], policy: Policy, source: str) -> Faces:
    """Return the faces that the policy takes of a picture of `extent` (width, height).

    They come with the largest first; `source` is what messages call the picture. Raises
    `FaceCountError` when there is none, or several under "error".
    """
    if not len(faces):
        raise FaceCountError(
            f"{source}: no face was found; give a picture with a face that is upright, at least "
            "20 pixels wide and turned to the camera, or a crop that is aligned already (--aligned)"
        )
    if policy == "error" and len(faces) > 1:
        raise FaceCountError(
            f"{source}: {len(faces)} faces were found where one is expected; crop the picture to "
            'one face, or choose the policy "largest", "central" or "all"'
        )
    if policy == "central":
        middle = (faces.boxes.new_tensor(extent) - 1) / 2
        centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
        return faces[[int((centres - middle).norm(dim=1).argmin())]]
    return faces if policy == "all" else faces[:1]


def _as_aligned(images: Image, template: Template, source: str) -> Aligned:
    """Take square crops that are aligned already: nothing is detected.

    The template's own size is its own framing; faces of another size are framed like the book's.
    """
    height, width = images.shape[2:]
    if height != width:
        raise ImageError(
            f"{source}: an aligned face is square, this is {width} x {height} pixels; crop it, or "
            "have the face found and aligned"
        )
    framing = template if width == template.size else TEMPLATES[BOOK]
    transforms = reframe_transform(width, framing, template)
    transforms = transforms.to(images).expand(len(images), -1, -1)
    size = (template.size, template.size)
    crops = images if (height, width) == size else warp(images, transforms, size)
    enlarge = resize_transform((framing.size, framing.size), (height, width))
    places = move_points(framing.points_xy[None], enlarge).to(images)
    box = images.new_tensor([[-0.5, -0.5, width - 0.5, height - 0.5]])
    return Aligned(
        images=crops,
        landmarks=places.expand(len(images), -1, -1),
        boxes=box.expand(len(images), -1),
        transforms=transforms,
        probabilities=images.new_full((len(images),), torch.nan),
    )
