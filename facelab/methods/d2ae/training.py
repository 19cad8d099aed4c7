"""The training: one forward and one backward pass, in which each loss moves what it should."""

import dataclasses
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelab.data.base import FaceDataset
from facelab.data.several import with_several
from facelab.errors import DatasetError
from facelab.generators import adversarial, presets
from facelab.methods.d2ae import losses
from facelab.methods.d2ae.config import BOOK, PAPER, PRESETS, TINY, Config, Weights
from facelab.methods.d2ae.networks import Critic, Features, encode, parts_of
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.types import Batch, Image

__all__ = ["BOOK", "METHOD", "PAPER", "PRESETS", "TINY", "Config", "Disentangling", "Weights"]

METHOD = "d2ae"
SHOWN = 8  # faces of a preview
BETAS = (0.5, 0.999)  # of the critic's Adam, as in DCGAN
UNMOVED = ("spread", "critic")  # by the one objective


def people_of(dataset: FaceDataset, config: Config) -> Config:
    """Return the configuration with as many people as the data have.

    Raises `DatasetError` when the faces have another size, a person is numbered beyond the data's
    people, or somebody has fewer than two pictures: nobody can be told from one.
    """
    if dataset.size != config.size:
        raise DatasetError(
            f"{dataset.id} has faces of {dataset.size} pixels, the networks take {config.size}; "
            "choose another preset, or data of that size"
        )
    _require_known(dataset.identity, dataset.people)
    counts = dataset.identity.bincount(minlength=dataset.people)
    few = int((counts < 2).sum())
    if few:
        raise DatasetError(
            f"{few} of the {dataset.people:,} people of {dataset.id} have fewer than two pictures; "
            "give data with two or more of every person, such as anny-faces:64x800x8"
        )
    return dataclasses.replace(config, people=dataset.people)


def paced(config: Config, faces: int) -> Config:
    """Return the configuration with PAPER's milestones at 10, 20 and 30 epochs of so many faces.

    Those of another preset are steps, and stay. Source: section 4.2.
    """
    if dataclasses.replace(config, people=PAPER.people) != PAPER:
        return config
    epoch = max(1, faces // config.batch_size)
    return dataclasses.replace(config, milestones=(10 * epoch, 20 * epoch, 30 * epoch))


def weights_of(config: Config) -> dict[str, float]:
    """Return the weights of equation 6's terms, of those that the configuration asks for."""
    w, rebuilt = config.weights, config.decode and config.weights.reconstruction > 0
    asked = {
        "identity": (True, w.identity),
        "classification": (config.confuses and config.classify, w.dispelling),
        "dispelling": (config.confuses and config.dispel, w.dispelling),
        "reconstruction": (rebuilt, w.reconstruction),
        "augmented": (rebuilt and config.augment, w.reconstruction),
        "adversarial": (config.plays, w.adversarial),
    }
    return {name: weight for name, (wanted, weight) in asked.items() if wanted}


def _sgd(config: Config) -> Optimiser:
    """Return section 4.2's optimiser, whose rate falls to a tenth at each milestone."""
    return Optimiser(
        config.learning_rate,
        name="sgd",
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        schedule="milestones" if config.milestones else "constant",
        milestones=config.milestones,
    )


class Disentangling(Method):
    """Equation 6: all losses of a batch at once, each led to what it moves.

    `networks` are "encoder", "distilling" (B_T), "identity" (W_T and b_T) and "spread" and, as the
    configuration asks for them, "dispelling" (B_P), "hidden" (W_P and b_P), "decoder" and "critic".
    The `averaged` ones are what a user needs: no classifier.
    """

    id = METHOD

    def __init__(self, config: Config = BOOK):
        self.config, self.ema_decay = config, config.ema_decay
        parts = parts_of(config)
        self.averaged = tuple(parts)
        self.networks: dict[str, nn.Module] = {**parts}
        self.networks["identity"] = nn.Linear(config.features, config.people)
        if config.confuses:
            self.networks["hidden"] = nn.Linear(config.features, config.people)
        if config.plays:
            self.networks["critic"] = Critic(config.critic)

    @classmethod
    def preset(cls, name: str) -> "Disentangling":
        """Return the training with the settings "tiny", "book" or "paper"."""
        return cls(presets.choose(PRESETS, name))

    @classmethod
    def for_data(cls, name: str, dataset: FaceDataset) -> "Disentangling":
        """Return the training with a preset's settings for as many people as the data have.

        Raises as `people_of` does.
        """
        return cls(people_of(dataset, presets.choose(PRESETS, name)))

    def material(self, dataset: FaceDataset) -> FaceDataset:
        """Return data without those people who have a single picture, who can't be learned."""
        return with_several(dataset)

    def fitted(self, dataset: FaceDataset) -> "Disentangling":
        """Return a new training with these settings for data's people. Raises as `people_of`.

        PAPER's rates fall after 10, 20 and 30 epochs of these data.
        """
        return type(self)(paced(people_of(dataset, self.config), len(dataset)))

    def phases(self) -> list[Phase]:
        """Return the one phase of equation 6, after the critic's where there is one."""
        moved = tuple(name for name in self.networks if name not in UNMOVED)
        weights, sgd = weights_of(self.config), _sgd(self.config)
        phases = [Phase("disentangling", moved, self.terms, sgd, weights)]
        if self.config.plays:
            adam = Optimiser(self.config.critic_rate, betas=BETAS)
            phases.insert(0, Phase("critic", ("critic",), self.critic_terms, adam))
        return phases

    # --- equation 6 ---

    def terms(self, batch: Batch, step: Step) -> Terms:
        """Return all losses of a batch; the running deviations take its features in.

        Raises `ParameterError` for faces of another size, and `DatasetError` for a person that the
        classifiers don't have.
        """
        presets.require_size(batch.images, self.config.size)
        _require_known(batch.identity, self.config.people)
        features = encode(self.networks, batch.images)
        for spread, code in zip(self.networks["spread"].values(), features, strict=False):
            spread.observe(code)
        seen = augmented(self.networks, features, step) if self.config.augment else features
        logits = self.networks["identity"](seen.t)
        terms = {"identity": losses.identification_loss(logits, batch.identity)}
        if self.config.confuses:
            terms |= self._confusion(seen.p, batch.identity)
        if self.config.decode:
            terms |= self._rebuilding(features, seen, batch.images)
        return {name: terms[name] for name in weights_of(self.config)}

    def _confusion(self, p: Tensor, identities: Tensor) -> dict[str, Tensor]:
        """L_I^adv moves the classifier alone and L_H all before it, the classifier being fixed.

        Where there is no L_I^adv, L_H moves the classifier too: section 5.2.
        """
        hidden, terms = self.networks["hidden"], {}
        if self.config.classify:
            logits = hidden(p.detach())
            terms["classification"] = losses.identification_loss(logits, identities)
        if self.config.dispel:
            weight, bias = hidden.weight, hidden.bias
            if self.config.classify:
                weight, bias = weight.detach(), bias.detach()
            logits = F.linear(p, weight, bias)
            terms["dispelling"] = losses.dispelling_loss(logits, self.config.dispelling)
        return terms

    def _rebuilding(self, plain: Features, seen: Features, x: Image) -> dict[str, Tensor]:
        """L_X of plain and of augmented features, and the critic's opinion of the plain ones'."""
        decoder, terms = self.networks["decoder"], {}
        if self.config.augment and self.config.weights.reconstruction:
            # One pass of both: it is quicker, and normalises them alike.
            both = (torch.cat(pair) for pair in zip(plain, seen, strict=True))
            made, disturbed = decoder(*both).chunk(2)
            terms["augmented"] = losses.reconstruction_loss(x, disturbed)
        else:
            made = decoder(*plain)
        terms["reconstruction"] = losses.reconstruction_loss(x, made)
        if self.config.plays:
            logits = self.networks["critic"](made)
            terms["adversarial"] = adversarial.non_saturating_generator(logits)
        return terms

    # --- figure 11 ---

    def critic_terms(self, batch: Batch, step: Step) -> Terms:
        """Return the critic's loss on faces and on what the autoencoder makes of them."""
        presets.require_size(batch.images, self.config.size)
        with torch.no_grad():
            made = self.networks["decoder"](*encode(self.networks, batch.images))
        critic = self.networks["critic"]
        real, fake = critic(batch.images), critic(made)
        return {"game": adversarial.non_saturating_discriminator(real, fake)}

    # --- what is shown ---

    @torch.no_grad()
    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return faces, spread over the batch, each rebuilt, and as the person before.

        Without a decoder: each face beside the one whose f_T is the closest.
        """
        some = batch.some(SHOWN)
        t, p = encode(networks, some)
        if not self.config.decode:
            unit = F.normalize(t, dim=1)
            nearest = (unit @ unit.T).fill_diagonal_(-2).argmax(1)
            return torch.stack([some, some[nearest]], dim=1).flatten(0, 1)
        made = [networks["decoder"](who, p).float() for who in (t, t.roll(1, 0))]
        return torch.cat([some, *made]).clamp(-1, 1)


def augmented(networks: Mapping[str, nn.Module], features: Features, step: Step) -> Features:
    """Return features with the noise of equation 5, drawn for all their channels by the step."""
    spreads = networks["spread"].values()
    widths = [code.shape[1] for code in features]
    noise = step.draw(
        lambda count, random: torch.randn(count, sum(widths), generator=random),
        len(features.t),
        features.t,
    )
    t, p = noise.split(widths, dim=1)
    found = [s.augment(code, n) for s, code, n in zip(spreads, features, (t, p), strict=False)]
    return Features(*found) if len(found) == 2 else Features(found[0], features.p)


def _require_known(identity: Tensor, people: int) -> None:
    """Raise `DatasetError` unless every number is one of `people`'s, counted from 0."""
    wrong = identity[(identity < 0) | (identity >= people)]
    if len(wrong):
        raise DatasetError(
            f"the data have person number {int(wrong[0])}, the classifiers have {people} people, "
            "counted from 0; give data of that many, numbered without holes"
        )
