"""The trained map as a user has it: two faces in, their combination out."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facelab.errors import ParameterError
from facelab.generators import presets
from facelab.generators.generator import Generator
from facelab.methods.idmap.config import Config
from facelab.methods.idmap.identity_encoder import IdentityEncoder
from facelab.methods.idmap.latent_space import shell
from facelab.methods.idmap.networks import Codes, Mapper, W, attribute_encoder
from facelab.types import Image

AT_ONCE = 64
# Of the shell that true vectors of N(0, 1) lie on, at which M's are drawn. Somewhat inside faces
# are cleaner, which is what truncation is for.
REACH = 0.85


class Encoders(nn.Module):
    """What a checkpoint holds: E_attr and M, under the names that the training gives them."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.attributes, self.mapping = attribute_encoder(config), Mapper(config)


class IdentityMap(nn.Module):
    """G(M([E_id(I_id), E_attr(I_attr)])), in evaluation mode: equation 1 and what follows from it.

    Faces are (batch, 3, size, size) in [-1, 1], aligned to the template `framing`. `embedders` are
    the ids of the recognisers that training looked through: none of them may judge what comes out.
    `length` is what M's vectors are stretched to before they are drawn, None where they are left as
    they are: see `stretched`.
    Raises `ParameterError` when the generator's pictures have another size than E_attr takes.
    """

    def __init__(self, encoders: Encoders, identity: IdentityEncoder, generator: Generator):
        super().__init__()
        config = encoders.config
        if generator.size != config.size:
            raise ParameterError(
                f"the generator draws {generator.size} pixels, the map was made for {config.size}; "
                "give the generator that it was trained with"
            )
        self.config, self.framing, self.size = config, config.framing, config.size
        self.encoders, self.identity, self.generator = encoders, identity, generator
        self.embedders = (identity.embedder.id,)
        around = shell(generator)
        self.length = around and REACH * around
        self.eval().requires_grad_(False)

    def identity_code(self, images: Image) -> Codes:
        """Return E_id of faces, (batch, identity_features)."""
        presets.require_size(images, self.size)
        return self.identity(images, self.framing)

    def attribute_code(self, images: Image) -> Codes:
        """Return E_attr of faces, (batch, attribute_features)."""
        presets.require_size(images, self.size)
        return self.encoders.attributes(images)

    def w(self, identity: Codes, attributes: Codes) -> W:
        """Return M([identity, attributes]), row by row: vectors that the generator draws from."""
        return self.encoders.mapping(identity, attributes)

    def draw(self, w: W) -> Image:
        """Return the generator's pictures of latent vectors, within [-1, 1]."""
        return self.generator.synthesis(w).clamp(-1, 1)

    def stretched(self, w: W) -> W:
        """Return M's vectors, or ways between them, at the length that the generator knows.

        Not in the paper, whose W has vectors of all lengths. Those of N(0, 1) in many dimensions
        all have about the same, while what M gives is nearer to a mean of all vectors that would
        do, and M's averaged weights shorten it again. Drawn as they are, such faces are dull.
        """
        if self.length is None:
            return w
        return w * (self.length / w.norm(dim=-1, keepdim=True).clamp(min=1e-6))

    def picture(self, w: W) -> Image:
        """Return the pictures of M's vectors: stretched, then drawn."""
        return self.draw(self.stretched(w))

    @torch.no_grad()
    def predict(self, identity: Image, attributes: Image) -> W:
        """Return M(z) of pairs of faces, row by row."""
        parts = zip(identity.split(AT_ONCE), attributes.split(AT_ONCE), strict=True)
        return torch.cat([self.w(self.identity_code(a), self.attribute_code(b)) for a, b in parts])

    @torch.no_grad()
    def forward(self, identity: Image, attributes: Image) -> Image:
        """Return pictures with the identity of one face and all else of the other, row by row."""
        w = self.predict(identity, attributes)
        return torch.cat([self.picture(part) for part in w.split(AT_ONCE)])

    @torch.no_grad()
    def table(
        self, identities: Image, attributes: Float[Tensor, "rows 3 height width"]
    ) -> Float[Tensor, "cells 3 height width"]:
        """Return all combinations, (attributes, identities) flattened row by row: figure 2.

        Identity is kept along a column, all else along a row.
        """
        presets.require_size(identities, self.size)
        columns, rows = len(identities), len(attributes)
        across = identities.repeat(rows, 1, 1, 1)
        return self(across, attributes.repeat_interleave(columns, 0))


def encoders_of(networks: Mapping[str, nn.Module], config: Config) -> Encoders:
    """Return E_attr and M of a training, or their averages, as `IdentityMap` takes them."""
    encoders = Encoders(config)
    encoders.attributes.load_state_dict(networks["attributes"].state_dict())
    encoders.mapping.load_state_dict(networks["mapping"].state_dict())
    return encoders
