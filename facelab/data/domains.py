"""Three datasets as one: renders, photographs, and pairs of both, side by side in every batch."""

import torch

from facelab.data.base import FaceDataset, Indices
from facelab.errors import DatasetError
from facelab.images import from_uint8
from facelab.types import Batch

PHOTO, PAIR_PHOTO, PAIR_RENDER = "photo", "pair_photo", "pair_render"
RENDER = "render"  # the label of a dataset of pairs: uint8 (faces, size, size, 3)


class Domains(FaceDataset):
    """A batch's images are renders with their people; its labels have as many other pictures.

    `photo` are faces of the domain to reach, `pair_photo` and `pair_render` true pairs, all (batch,
    3, size, size) in [-1, 1]. Which photograph comes beside a render follows from the place in the
    epoch alone. An epoch is as long as the longer of the two, so that each is met in full. Raises
    `DatasetError` when sizes differ, or when the pairs have no renders.
    """

    def __init__(self, renders: FaceDataset, photos: FaceDataset, pairs: FaceDataset):
        for other in (photos, pairs):
            if other.size != renders.size:
                raise DatasetError(
                    f"{other.id} has faces of {other.size} pixels, {renders.id} of {renders.size}; "
                    "give all three the same size"
                )
        if RENDER not in pairs.batch([0]).labels:
            raise DatasetError(
                f"{pairs.id} has no label {RENDER!r}, so it holds no pairs; make them with "
                "data_scripts/ganfaces_pairs.py or w300_lp_pairs.py"
            )
        self.renders, self.photos, self.pairs = renders, photos, pairs
        self.id = f"{renders.id}+{photos.id}+{pairs.id}"
        self.size, self.split = renders.size, renders.split
        faces = torch.arange(max(len(renders), len(photos)))
        self.people, self.identity = renders.people, renders.identity[faces % len(renders)]
        self.attribute_names = renders.attribute_names

    def config(self) -> dict:
        """Return everything that the faces follow from, as JSON values."""
        parts = {"renders": self.renders, "photos": self.photos, "pairs": self.pairs}
        return {"recipe": "domains-1", **{name: part.config() for name, part in parts.items()}}

    def batch(self, indices: Indices) -> Batch:
        """Return these renders with as many photographs and pairs."""
        found = torch.tensor(self.resolve(indices))
        batch = self.renders.batch(found % len(self.renders))
        # Steps that have no factor in common with the lengths: neighbours get no neighbours.
        photos = self.photos.batch((found * 7919 + 13) % len(self.photos))
        pairs = self.pairs.batch((found * 104_729 + 7) % len(self.pairs))
        labels = {
            **batch.labels,
            PHOTO: photos.images,
            PAIR_PHOTO: pairs.images,
            PAIR_RENDER: from_uint8(pairs.labels[RENDER]),
        }
        return Batch(batch.images, batch.identity, coverage=batch.coverage, labels=labels)
