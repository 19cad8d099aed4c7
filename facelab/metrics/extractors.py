"""What two pictures are compared by: networks with names, pictures in, features out.

A distance between sets of pictures is one between their features, so it means nothing without the
name of the network that made them.

| name | network | features |
|---|---|---|
| "dlib", "faceres", "facenet-..." | a recogniser: who it is, not light or pose | its embedding |
| "dlib-stage4", "dlib-stage5" | inside dlib's: what a face looks like | means over the picture |
| "inception" | Inception v3 as the FID's authors have it | 2,048 means, before the classes |
| "inception-torchvision" | the same layers, weights and pools of torchvision | 2,048 means |

Recognisers take aligned faces. Pictures of generators, and faces aligned like them, are framed
otherwise (`book64`), but all alike: one fixed transform lays the framing's eyes on those of the
recogniser's template, and no face has to be found. Finding faces would leave out the worst
pictures, and flatter the generator that draws them. (For the pre-trained generator the features so
made are 0.015 from those of faces that were found, in squared distance; of pictures that were only
stretched to the recogniser's size, 0.18.) The framing is part of the name where it is another one:
"dlib:dlib150".

Features have a mean square of about one: kernels count on it (`kernel`), and no distance minds.
"""

import os
from abc import ABC, abstractmethod
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facelab import assets
from facelab.errors import AssetError, CheckpointError, ImageError, ParameterError
from facelab.recognition import align, embedder
from facelab.recognition.align import reframe
from facelab.recognition.dlib_resnet import BLOCKS, STAGE_ENDS, DlibResNet
from facelab.recognition.embedder import Embedder
from facelab.types import Embedding, Image

FRAMING = "book64"
# Lengths of raw embeddings (root mean square); those of the other recognisers have length one.
LENGTHS = {"dlib": 1.40}
# Stage -> the root mean square of its features on generated faces.
STAGES = {4: 1.15, 5: 1.19}
NAMES = (*embedder.NAMES, *(f"dlib-stage{stage}" for stage in STAGES), "inception")

INCEPTION_SIZE = 299
# The network of the FID has 1,008 classes, of which 1,000 are used; torchvision's has 1,000.
FID_CLASSES, TORCHVISION_CLASSES = 1008, 1000
FID_FILE = "pt_inception-2015-12-05-6726825d.pth"
INCEPTION_ENVIRONMENT = "FACELAB_INCEPTION"


class Extractor(nn.Module, ABC):
    """A frozen network that describes pictures; `id` names it in records, `features` is its width.

    Its distances depend on the framing that it takes pictures to have.
    """

    id: str
    features: int

    @abstractmethod
    def forward(self, images: Image) -> Embedding:
        """Return the features (batch, features) of images in [-1, 1], differentiable."""

    @torch.no_grad()
    def extract(self, images: Image, batch: int = 64) -> Embedding:
        """Return the features (batch, features), float32, on the CPU, `batch` pictures at a time.

        Raises `ImageError` for images of a size or with values that can't be described.
        """
        if not images.isfinite().all():
            raise ImageError("a picture has values that are not finite; look at what computed it")
        where = next(self.parameters()).device
        parts = [self(part.to(where)).float().cpu() for part in images.split(batch)]
        return torch.cat(parts) if parts else torch.zeros(0, self.features)


# --- faces ---------------------------------------------------------------------------------------


class FaceFeatures(Extractor):
    """A recogniser's raw embedding of pictures that are all framed alike, scaled.

    `framing` is the template that pictures are aligned to. `embedder` is a name for
    `recognition.embedder`, or the recogniser itself.
    """

    def __init__(self, recogniser: Embedder, framing: str = FRAMING):
        super().__init__()
        self.recogniser, self.framing = recogniser, framing
        align.find_template(framing)
        self.id = _face_id(recogniser.id, framing)
        with torch.no_grad():
            probe = next(recogniser.parameters()).new_zeros(1, 3, recogniser.size, recogniser.size)
            self.features = recogniser(probe).shape[1]
        self.scale = self.features**0.5 / LENGTHS.get(recogniser.id, 1.0)

    def forward(self, images: Image) -> Embedding:
        """Return the embeddings of square images (batch, 3, size, size), mean square one."""
        faces = reframe(images, self.framing, self.recogniser.template)
        return self.recogniser(faces) * self.scale


class DlibStage(Extractor):
    """The mean over the picture of the features after one of dlib's stages, scaled.

    A stage is all blocks of one resolution; 5 is the last, from which the embedding is computed.
    """

    def __init__(self, network: DlibResNet, stage: int, framing: str = FRAMING):
        super().__init__()
        if stage not in STAGES:
            known = ", ".join(map(str, STAGES))
            raise ParameterError(f"there is no stage {stage} to read; choose one of: {known}")
        self.network, self.framing = network, framing
        align.find_template(framing)
        self.id = _face_id(f"dlib-stage{stage}", framing)
        self.stage, self.features = stage, BLOCKS[STAGE_ENDS[stage]][1]
        self.scale = 1 / STAGES[stage]

    def forward(self, images: Image) -> Embedding:
        """Return the features of square images (batch, 3, size, size), mean square about one."""
        faces = reframe(images, self.framing, "dlib150")
        (x,) = self.network.stages(faces, (self.stage,))
        return x.mean(dim=(2, 3)) * self.scale


def _face_id(name: str, framing: str) -> str:
    return name if framing == FRAMING else f"{name}:{framing}"


# --- Inception -----------------------------------------------------------------------------------


class Inception(Extractor):
    """Inception v3 (Szegedy et al. 2016) up to its last pool: 2,048 features.

    `network` comes from `load_inception`. Pictures are scaled to 299 x 299 pixels, whatever their
    shape, bilinearly; larger ones without aliasing.
    """

    features = 2048

    def __init__(self, network: nn.Module, id: str):
        super().__init__()
        self.network, self.id = network, id

    def forward(self, images: Image) -> Embedding:
        """Return the features of images in [-1, 1], the range that the network was trained on."""
        size = (INCEPTION_SIZE, INCEPTION_SIZE)
        shrinks = max(images.shape[2:]) > INCEPTION_SIZE
        x = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=shrinks)
        return self.network(x)


def inception(path: str | os.PathLike | None = None, device: str = "cpu") -> Inception:
    """Load Inception from a file of weights that the reader has; nothing is fetched.

    Without `path` the environment variable FACELAB_INCEPTION says where it is. Two files are known
    by the number of their classes: that of the FID's authors, as pytorch-fid publishes it
    (`FID_FILE`), whose numbers are called FID and KID; and torchvision's `inception_v3`, whose
    numbers are not. Raises `AssetError` when there is no file, and `CheckpointError` when it is
    damaged or holds another network.
    """
    path = path or os.environ.get(INCEPTION_ENVIRONMENT)
    if path is None or not Path(path).is_file():
        where = f"{path} is not a file" if path else "no file was given"
        raise AssetError(
            f"Inception's weights don't come with facelab, and {where}; download {FID_FILE} from "
            "the releases of github.com/mseitzer/pytorch-fid and give its path, or set "
            f'{INCEPTION_ENVIRONMENT} to it, or choose the extractor "dlib"'
        )
    extractor = load_inception(assets.load_weights(path), str(path))
    return extractor.to(device, memory_format=torch.channels_last)


def load_inception(weights: dict[str, Tensor], source: str) -> Inception:
    """Build the extractor from a state dictionary; `source` is what messages call it.

    Raises `CheckpointError` unless it is one of the two networks of `inception`.
    """
    from torchvision.models import Inception3

    head = weights.get("fc.weight")
    classes = len(head) if isinstance(head, Tensor) else 0
    if classes not in (FID_CLASSES, TORCHVISION_CLASSES):
        raise CheckpointError(
            f"{source} is not Inception v3: its fc.weight should have {FID_CLASSES} rows (the "
            f"FID's network) or {TORCHVISION_CLASSES} (torchvision's), it has {classes}"
        )
    network = Inception3(classes, aux_logits=False, transform_input=False, init_weights=False)
    used = {k: v for k, v in weights.items() if not k.startswith("AuxLogits.")}
    try:
        network.load_state_dict(used)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{source} does not fit Inception v3: {reason}") from error
    network.fc = nn.Identity()
    if classes == FID_CLASSES:
        _use_pools_of_fid(network)
    id = "inception" if classes == FID_CLASSES else "inception-torchvision"
    return Inception(network, id).eval().requires_grad_(False)


def _use_pools_of_fid(network: nn.Module) -> None:
    """Pool in the mixed blocks as the FID's network does: its weights were trained so."""
    averages = [f"Mixed_5{x}" for x in "bcd"] + [f"Mixed_6{x}" for x in "bcde"] + ["Mixed_7b"]
    for name in (*averages, "Mixed_7c"):
        setattr(network, name, _MixedLikeFid(getattr(network, name), name == "Mixed_7c"))


class _MixedLikeFid(nn.Module):
    """A mixed block of torchvision whose pool is another one.

    torchvision's average counts the zeros of the padding; the FID's network leaves them out, and
    takes the maximum in its last block (pytorch-fid, after Google's graph of 2015-12-05).
    """

    def __init__(self, block: nn.Module, maximum: bool):
        super().__init__()
        self.block, self.maximum = block, maximum

    def forward(self, x: Float[Tensor, "batch _ _ _"]) -> Float[Tensor, "batch _ _ _"]:
        """Return the branches of the block, the last one pooled anew."""
        *branches, _ = self.block._forward(x)
        if self.maximum:
            pooled = F.max_pool2d(x, 3, stride=1, padding=1)
        else:
            pooled = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        return torch.cat([*branches, self.block.branch_pool(pooled)], dim=1)


# --- by name -------------------------------------------------------------------------------------


def extractor(name: str = "dlib", device: str = "cpu", framing: str = FRAMING) -> Extractor:
    """Return the extractor called `name`, frozen, on `device`, for pictures with this framing.

    Recognisers come from `recognition.embedder`, "inception" from the file that FACELAB_INCEPTION
    names; it does not look at the framing. Raises `ParameterError` when there is no such extractor
    or template, and `AssetError` when its weights are not here.
    """
    if name == "inception":
        return inception(device=device)
    stages = {f"dlib-stage{stage}": stage for stage in STAGES}
    if name in stages:
        return DlibStage(embedder.embedder("dlib", device).network, stages[name], framing).eval()
    if name in embedder.NAMES:
        return FaceFeatures(embedder.embedder(name, device), framing).eval()
    raise ParameterError(
        f"there is no extractor called {name!r}; choose one of: {', '.join(NAMES)}"
    )
