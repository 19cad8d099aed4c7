"""The training: D_W, M against D_W, and all other losses, each with an optimiser of its own."""

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facelab.data.latents import W_LABEL, code_label
from facelab.errors import DatasetError
from facelab.generators import adversarial, presets
from facelab.generators.generator import Generator
from facelab.methods.idmap import latent_space, losses
from facelab.methods.idmap.config import AUTHORS, BOOK, PAPER, PRESETS, TINY, Config, Weights
from facelab.methods.idmap.identity_encoder import IdentityEncoder, identity_encoder
from facelab.methods.idmap.networks import Codes, LatentCritic, Mapper, W, attribute_encoder
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.recognition.align import reframe
from facelab.recognition.face_points import SIZE, landmark_regressor
from facelab.types import Batch, Image

__all__ = ["AUTHORS", "BOOK", "METHOD", "PAPER", "PRESETS", "TINY", "Config", "Game", "Weights"]

METHOD = "idmap"
MODELS_FRAMING = "book64"  # of the faces that the landmark regressor reads
BOTH = ("attributes", "mapping")
SHOWN = 3  # faces of a preview: their nine combinations are shown


def is_cross(number: int, config: Config) -> bool:
    """Tell whether step `number` combines two faces: the last `cross` of every `period` steps.

    The paper's ratio is one in three: "I_id != I_attr every third iteration".
    """
    return number % config.period >= config.period - config.cross


@dataclass(frozen=True)
class Frozen:
    """What training looks through and never moves: E_id, G, and E_lnd."""

    identity: IdentityEncoder
    generator: Generator
    landmarks: nn.Module

    def to(self, device: torch.device) -> "Frozen":
        """Bring all to a device, in place."""
        for network in (self.identity, self.generator, self.landmarks):
            network.to(device)
        return self


def frozen_of(config: Config) -> Frozen:
    """Return the frozen networks that a configuration names: copies, which a run may move.

    Raises as `latent_space.find_generator` and `recognition.embedder` do.
    """
    # Building a network before its weights are read draws numbers, which must not move a run's.
    with torch.random.fork_rng():
        generator = latent_space.find_generator(config.generator, config.w, config.size)
        parts = (identity_encoder(config.embedder), generator, landmark_regressor())
        return Frozen(*(copy.deepcopy(part).eval().requires_grad_(False) for part in parts))


class Game(Method):
    """Section 3.2: D_W moves, then M plays against it, then E_attr and M learn all the rest.

    The batch's faces are I_attr. At a cross step I_id is the next face of the batch, at the others
    the same one. `labels` may have what need not be computed again: the latent vectors that D_W
    takes for real, and E_id's codes (`data.latents`).
    """

    id = METHOD
    averaged = BOTH

    def __init__(self, config: Config = BOOK, frozen: Frozen | None = None):
        self.config, self.ema_decay, self._loaded = config, config.ema_decay, frozen
        self.attributes, self.mapping = attribute_encoder(config), Mapper(config)
        self.networks: dict[str, nn.Module] = {
            "attributes": self.attributes,
            "mapping": self.mapping,
        }
        if config.weights.adversarial:
            self.critic = LatentCritic(config)
            self.networks["critic"] = self.critic
        self.embedders = (config.embedder,)
        self.mask = None
        if config.mask == "gaussian":
            self.mask = losses.inverse_gaussian_mask(config.size, "cpu")

    @property
    def frozen(self) -> Frozen:
        """What training looks through: loaded when it is first asked for, as it may be large."""
        if self._loaded is None:
            self._loaded = frozen_of(self.config)
        return self._loaded

    @classmethod
    def preset(cls, name: str) -> "Game":
        """Return the training with the settings of `config.PRESETS`."""
        return cls(presets.choose(PRESETS, name))

    @classmethod
    def for_task(cls, preset: str, task: str) -> "Game":
        """Return the training for another generator: `task` is its name or its file.

        The sizes of its latent vectors and pictures are read off it.
        """
        config, found = presets.choose(PRESETS, preset), latent_space.read_generator(task)
        sizes = {"w": latent_space.length_of(found), "size": found.size}
        return cls(dataclasses.replace(config, generator=task, **sizes))

    def phases(self) -> list[Phase]:
        """Return the phases of D_W, of M against it, and of the other losses.

        Where there is a pre-training, its phase comes first and the others begin when it ends.
        """
        c, both, late = self.config, BOTH, self.config.pretrain_steps
        weights = {name: value for name, value in vars(c.weights).items() if value}
        weights.pop("adversarial", None)
        rate = self._adam(c.learning_rate)
        phases = [Phase("other", both, self.other_terms, rate, weights, offset=late)]
        if c.weights.adversarial:
            phases = [*self._game(), *phases]
        if late:
            rate = Optimiser(c.pretrain_rate)
            phases.insert(0, Phase("inversion", both, self.inversion_terms, rate, until=late))
        return phases

    def _game(self) -> list[Phase]:
        """Return the two sides of the game about w, each with its own learning rate."""
        c, late = self.config, self.config.pretrain_steps
        moved = BOTH if c.adversarial_moves == "both" else ("mapping",)
        r1 = {"r1": c.gamma / 2} if c.gamma else {}
        critic, against = self._adam(c.critic_rate), self._adam(c.adversarial_rate)
        weights = {"adversarial": c.weights.adversarial}
        every = {"every": c.adversarial_every, "offset": late}
        return [
            Phase("critic", ("critic",), self.critic_terms, critic, r1, offset=late),
            Phase("adversarial", moved, self.adversarial_terms, against, weights, **every),
        ]

    def _adam(self, rate: float) -> Optimiser:
        """Return the paper's Adam, with 0.9 and 0.999."""
        halve_at = self.config.halve_at
        schedule = "milestones" if halve_at else "constant"
        return Optimiser(rate, schedule=schedule, milestones=halve_at, factor=0.5)

    # --- equation 1 ---

    def identity_codes(self, batch: Batch, step: Step) -> Codes:
        """Return E_id(I_id): of the batch's faces, at a cross step of each one's neighbour."""
        codes = self._own_codes(batch)
        return codes.roll(-1, 0) if is_cross(step.number, self.config) else codes

    def _own_codes(self, batch: Batch) -> Codes:
        stored = batch.labels.get(code_label(self.config.embedder))
        if stored is not None:
            return stored.float()
        with torch.no_grad():
            return self._frozen(batch).identity(batch.images, self.config.framing)

    def predicted(self, batch: Batch, step: Step) -> tuple[W, Codes]:
        """Return M(z) of a step's pairs, and E_id(I_id)."""
        presets.require_size(batch.images, self.config.size)
        codes = self.identity_codes(batch, step)
        return self.mapping(codes, self.attributes(batch.images)), codes

    def inversion_terms(self, batch: Batch, step: Step) -> Terms:
        """Return how far M(z) of one face is from the vector that it was drawn from."""
        presets.require_size(batch.images, self.config.size)
        w = self.mapping(self._own_codes(batch), self.attributes(batch.images))
        return {"latent": losses.latent_loss(w, self._true(batch))}

    # --- equation 2 ---

    def critic_terms(self, batch: Batch, step: Step) -> Terms:
        """Return -log D_W(w) - log(1 - D_W(M(z))), and the slope of D_W at true vectors."""
        with torch.no_grad():
            made, _ = self.predicted(batch, step)
        real = self._true(batch).requires_grad_()
        logits = self.critic(real)
        terms = {"game": adversarial.non_saturating_discriminator(logits, self.critic(made))}
        if self.config.gamma:
            terms["r1"] = adversarial.r1_penalty(logits, real)
        return terms

    def _true(self, batch: Batch) -> Tensor:
        """Return the latent vectors of the batch's faces: those that D_W takes for real."""
        if W_LABEL in batch.labels:
            return batch.labels[W_LABEL].float().clone()
        if "latent" in batch.labels:
            with torch.no_grad():
                return self._frozen(batch).generator.mapping(batch.labels["latent"]).clone()
        raise DatasetError(
            "the faces have no latent vectors, which D_W takes for real; make a training set with "
            "data_scripts/idmap_faces.py, or give --data samples:COUNT"
        )

    # --- equation 3 ---

    def adversarial_terms(self, batch: Batch, step: Step) -> Terms:
        """Return -log D_W(M(z))."""
        w, _ = self.predicted(batch, step)
        return {"adversarial": adversarial.non_saturating_generator(self.critic(w))}

    # --- equations 4 to 8 ---

    def other_terms(self, batch: Batch, step: Step) -> Terms:
        """Return identity and landmarks and, where one face is rebuilt, reconstruction."""
        weights, frozen = self.config.weights, self._frozen(batch)
        w, codes = self.predicted(batch, step)
        made, terms = frozen.generator.synthesis(w), {}
        if weights.identity:
            terms["identity"] = losses.identity_loss(self._seen(made), codes)
        if weights.landmarks:
            terms["landmarks"] = self._landmark_term(made, batch.images)
        if weights.reconstruction:
            terms["reconstruction"] = self._reconstruction(made, batch.images, step)
        if weights.latent:
            terms["latent"] = self._latent_term(w, batch, step)
        return terms

    def _latent_term(self, w: W, batch: Batch, step: Step) -> Tensor:
        """Nothing where two faces are combined: there is no true vector then."""
        if is_cross(step.number, self.config):
            return w.new_zeros(len(w))
        return losses.latent_loss(w, self._true(batch))

    def _seen(self, made: Image) -> Codes:
        return self.frozen.identity(made, self.config.framing)

    def _landmark_term(self, made: Image, target: Image) -> Tensor:
        with torch.no_grad():
            wanted = self.frozen.landmarks(self._read(target))
        found = self.frozen.landmarks(self._read(made))
        return losses.landmark_loss(found, wanted, side_px=SIZE, reading=self.config.landmarks)

    def _read(self, images: Image) -> Image:
        return reframe(images, self.config.framing, MODELS_FRAMING)

    def _reconstruction(self, made: Image, target: Image, step: Step) -> Tensor:
        """Equation 7: nothing where two faces are combined."""
        if is_cross(step.number, self.config):
            return made.new_zeros(len(made))
        mask = None if self.mask is None else self.mask.to(made.device)
        return losses.mix_loss(made, target, alpha=self.config.alpha, mask=mask)

    def _frozen(self, batch: Batch) -> Frozen:
        return self.frozen.to(batch.images.device)

    # --- what is shown ---

    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return three faces and, row by row, their combinations: the paper's figure 2.

        Identity is kept along a column, all else along a row.
        """
        some = batch.images[:SHOWN]
        with torch.no_grad():
            codes = self._frozen(batch).identity(some, self.config.framing)
            attributes = networks["attributes"](some)
            w = networks["mapping"](
                codes.repeat(len(some), 1), attributes.repeat_interleave(len(some), 0)
            )
            return torch.cat([some, self.frozen.generator.synthesis(w).clamp(-1, 1)])
