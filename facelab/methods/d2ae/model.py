"""The trained autoencoder as a user has it: faces in, codes out, and back."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facelab.errors import ParameterError
from facelab.generators import presets
from facelab.methods.d2ae.config import Config
from facelab.methods.d2ae.networks import Codes, Features, encode, parts_of
from facelab.recognition.align import BOOK
from facelab.types import Image

__all__ = ["Disentangler", "Features", "disentangler_of"]

AT_ONCE = 64


class Disentangler(nn.Module):
    """Encoder, branches, decoder and spreads, frozen, in evaluation mode; no classifier.

    Faces are (batch, 3, size, size) in [-1, 1], aligned to the template `framing`. A new one has
    random weights; `checkpoint.load` and `disentangler_of` give it trained ones.
    """

    framing = BOOK

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.size = config, config.size
        for name, part in parts_of(config).items():
            self.add_module(name, part)
        self.eval().requires_grad_(False)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The networks by their names in a training."""
        return dict(self.named_children())

    @torch.no_grad()
    def features(self, images: Image) -> Features:
        """Return f_T and f_P of faces, (batch, features) each, float32.

        Where the training had no branch P, f_P has no columns. Raises `ParameterError` for faces of
        another size.
        """
        presets.require_size(images, self.size)
        found = [encode(self.parts, some) for some in images.split(AT_ONCE)]
        return Features(*(torch.cat(codes) for codes in zip(*found, strict=True)))

    def joint(self, images: Image) -> Codes:
        """Return f_C = [f_T, f_P] of faces: section 4.3."""
        return torch.cat(self.features(images), dim=1)

    def decode(self, t: Codes, p: Float[Tensor, "others _"]) -> Image:
        """Return the pictures of codes, row by row, within [-1, 1].

        A gradient flows to the codes. Raises `ParameterError` for codes that don't fit, and for a
        training without a decoder.
        """
        self._require_decoder()
        if len(t) != len(p):
            raise ParameterError(
                f"{len(t)} codes of identity and {len(p)} of all else make no pairs; give as many "
                "of the one as of the other"
            )
        pairs = zip(t.split(AT_ONCE), p.split(AT_ONCE), strict=True)
        return torch.cat([self.parts["decoder"](*pair) for pair in pairs]).float().clamp(-1, 1)

    def forward(self, images: Image) -> Image:
        """Return faces as they are rebuilt from their codes. Raises as `decode` does."""
        return self.decode(*self.features(images))

    def swap(
        self, identity: Image, attributes: Float[Tensor, "others 3 rows columns"]
    ) -> Float[Tensor, "pairs 3 side side"]:
        """Return pictures of one face's f_T and another's f_P, row by row: section 4.3.

        Raises as `decode` does.
        """
        self._require_decoder()
        return self.decode(self.features(identity).t, self.features(attributes).p)

    @property
    def deviation_t(self) -> Float[Tensor, " features"]:
        """The learned standard deviation of each channel of f_T: section 3.4."""
        return self.parts["spread"]["t"].deviation

    @property
    def deviation_p(self) -> Float[Tensor, " features"]:
        """That of f_P. Raises `ParameterError` where there is no branch P."""
        if not self.config.two:
            raise ParameterError(
                "this training had no branch P; give a checkpoint of the whole method"
            )
        return self.parts["spread"]["p"].deviation

    def _require_decoder(self) -> None:
        if not self.config.decode:
            raise ParameterError(
                "this training had no decoder, so there are no pictures of its codes; give a "
                "checkpoint that was trained with decode=True"
            )


def disentangler_of(networks: Mapping[str, nn.Module], config: Config) -> Disentangler:
    """Return the autoencoder of a training's networks, or of their averages: a copy."""
    made = Disentangler(config)
    for name, part in made.parts.items():
        part.load_state_dict(networks[name].state_dict())
    return made
