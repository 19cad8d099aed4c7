"""The game of GANFaces: two translators, two critics, and a network that knows people."""

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from facelab.data.base import FaceDataset
from facelab.data.domains import PAIR_PHOTO, PAIR_RENDER, PHOTO
from facelab.errors import DatasetError
from facelab.generators import adversarial, presets
from facelab.generators.began import Balance
from facelab.methods.ganfaces import losses
from facelab.methods.ganfaces.networks import Critic, Shape, Translator, initialise
from facelab.phases import Method, Optimiser, Phase, Step, Terms
from facelab.recognition.align import reframe
from facelab.recognition.embedder import Embedder, embedder
from facelab.types import Batch, Image

METHOD = "ganfaces"
FRAMING = "book64"
GAMES = ("photo", "render", "pair")  # D_R, D_S and D_P, each with a k of its own
SHOWN = 9  # faces of a preview, as in the paper's Fig. 3


@dataclass(frozen=True)
class Weights:
    """What balances the terms: section 4. A weight of 0 leaves a term out.

    `reconstruction` is the paper's variant of Fig. 5 (d): the pairs also teach G directly.
    `backward` is the cycle that the paper leaves out: G(G'(y)) against y, for G and for G'.
    Where G' has nothing to learn, it and its critic stay as they are.
    """

    cycle: float = 0.5
    pair: float = 0.5
    identity_set: float = 0.001
    identity_l1: float = 0.1
    adversarial: float = 1.0
    inverse_adversarial: float = 1.0
    reconstruction: float = 0.0
    backward: float = 0.0


@dataclass(frozen=True)
class Config:
    """Sizes, weights and readings of GANFaces.

    `people` is how many identities the renders have. `critic_width` and `code` are BEGAN's.
    `embedder` names the frozen network that the set-based loss looks through; "" leaves it out.
    `masked` counts cycle and L1 where the render shows the head alone. `sign`, `centroid` and
    `k_reading` choose between readings of equation 7, of beta and of k_t. The learning rate halves
    at the `halve_at` steps. Raises `ParameterError` on what can't be used.
    """

    size: int = 64
    people: int = 1000
    translator: Shape = field(default_factory=Shape)
    critic_width: int = 24
    code: int = 64
    weights: Weights = field(default_factory=Weights)
    embedder: str = "dlib"
    masked: bool = False
    margin: float = 1.0
    beta: float = 0.95
    sign: losses.Sign = "magnet"
    centroid: losses.Momentum = "momentum"
    k_reading: adversarial.Reading = "began"
    k_rate: float = 0.001
    gamma: float = 0.5
    learning_rate: float = 8e-5
    halve_at: tuple[int, ...] = ()
    batch_size: int = 16
    ema_decay: float = 0.999

    def __post_init__(self):
        presets.require(self.size % 4 == 0, f"size = {self.size}", "a multiple of 4")
        presets.require_whole({"size": self.size, "batch_size": self.batch_size})
        presets.require_whole({"people": self.people}, most=10_000_000)
        presets.require_share({"beta": self.beta, "ema_decay": self.ema_decay})
        presets.require_positive(vars(self.weights), zero=True)
        cycle, pair = self.weights.cycle, self.weights.pair  # equation 6 has the cycle in it
        presets.require(cycle > 0 or not pair, f"pair = {pair} without a cycle", "cycle above 0")
        presets.require_positive({"learning_rate": self.learning_rate})

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "Config":
        """Return the config of JSON values, as checkpoints and records have them.

        What is left out is as by default. Raises `TypeError` for a name that there isn't.
        """
        nested = {"translator": Shape, "weights": Weights}
        built = {name: kind(**settings.get(name, {})) for name, kind in nested.items()}
        return cls(**presets.from_json(settings) | built)


TINY = Config(
    size=16,
    people=8,
    translator=Shape(width=4, blocks=1),
    critic_width=4,
    code=8,
    embedder="",
    k_rate=0.01,
    batch_size=8,
    ema_decay=0.9,
)
BOOK = Config(
    people=2000,
    translator=Shape(width=24),
    weights=Weights(identity_set=0.05, identity_l1=0.3),
    k_rate=0.1,
    gamma=0.8,
    learning_rate=2e-4,
    halve_at=(5000, 6500),
    batch_size=8,
    ema_decay=0.998,
)
HALVED = (128_000, 192_000, 224_000, 240_000, 244_000, 246_000, 247_000)
PAPER = Config(
    size=108, people=10_000, translator=Shape(width=64), critic_width=64, halve_at=HALVED
)
PRESETS = {"tiny": TINY, "book": BOOK, "paper": PAPER}


class People(nn.Module):
    """The identities' centroids c_j, and which have been seen: buffers, kept in checkpoints."""

    centroids: Tensor
    seen: Tensor

    def __init__(self, people: int, features: int):
        super().__init__()
        self.register_buffer("centroids", torch.zeros(people, features))
        self.register_buffer("seen", torch.zeros(people, dtype=torch.bool))


class Game(Method):
    """Equations 8 to 10: critics, then G', then G, each on its own terms.

    The paper updates all at once; here one after the other within a step, as its terms are told
    apart by what they move.
    """

    id = METHOD
    averaged = ("generator", "inverse")

    def __init__(self, config: Config = BOOK):
        self.config, self.ema_decay = config, config.ema_decay
        plain = Shape(config.translator.width, config.translator.blocks, 1.0, skips=False)
        critic = (config.size, config.critic_width, config.code)
        self.generator, self.inverse = Translator(config.translator), Translator(plain)
        self.photo_critic, self.render_critic = Critic(*critic), Critic(*critic)
        for network in (self.generator, self.inverse):
            initialise(network)
        self.balances = nn.ModuleDict({name: Balance() for name in GAMES})
        self.networks = {
            "generator": self.generator,
            "inverse": self.inverse,
            "photo_critic": self.photo_critic,
            "render_critic": self.render_critic,
            "balances": self.balances,
        }
        self.judge: Embedder | None = None
        if config.embedder and config.weights.identity_set:
            self._know_people()

    def _know_people(self) -> None:
        # Trained weights are read wherever the networks are being built.
        with torch.device("cpu"), torch.no_grad():
            # A copy: it goes where the training is, and everybody else's stays where it was.
            self.judge = copy.deepcopy(embedder(self.config.embedder))
            blank = torch.zeros(1, 3, self.judge.size, self.judge.size)
            features = self.judge.embed(blank).shape[1]
        self.people = People(self.config.people, features)
        self.networks["people"] = self.people
        self.embedders = (self.config.embedder,)

    @classmethod
    def preset(cls, name: str) -> "Game":
        """Return the training with the settings "tiny", "book" or "paper"."""
        return cls(presets.choose(PRESETS, name))

    def fitted(self, dataset: FaceDataset) -> "Game":
        """Return a training with a centroid for each of the data's people, these settings' or more.

        A centroid of nobody changes nothing: fewer people are left as they are.
        """
        if dataset.people <= self.config.people:
            return self
        return type(self)(dataclasses.replace(self.config, people=dataset.people))

    def phases(self) -> list[Phase]:
        """Return the critics' phase (equation 10), that of G' (9) and that of G (8)."""
        c = self.config
        adam = Optimiser(
            c.learning_rate,
            betas=(0.5, 0.999),
            schedule="milestones" if c.halve_at else "constant",
            milestones=c.halve_at,
            factor=0.5,
        )
        critics = ("photo_critic", "render_critic")[: 2 if c.weights.inverse_adversarial else 1]
        inverse, generator = _present(inverse_weights(c.weights)), _present(generator_weights(c))
        generator["adversarial"] = c.weights.adversarial  # k needs the term, whatever it weighs
        phases = [
            Phase("critics", critics, self.critic_terms, adam, after=self.remember),
            Phase("inverse", ("inverse",), self.inverse_terms, adam, inverse, after=self.match),
            Phase("generator", ("generator",), self.generator_terms, adam, generator,
                  after=self.rebalance),
        ]  # fmt: skip
        return [phase for phase in phases if inverse or phase.name != "inverse"]

    # --- equations 4, 5 and 10 ---

    def critic_terms(self, batch: Batch, step: Step) -> Terms:
        """Return the critics' errors on true pictures and, weighted by -k_t, on made ones."""
        photo = self._photo(batch)
        with torch.no_grad():
            made = self.generator(batch.images)
        terms = self._critic("photo", self.photo_critic, photo, made)
        if self.config.weights.inverse_adversarial:
            with torch.no_grad():
                back = self.inverse(made)
            terms |= self._critic("render", self.render_critic, batch.images, back)
        return terms

    def _critic(self, name: str, critic: Critic, true: Image, made: Image) -> dict[str, Tensor]:
        k = self.balances[name].k.float()
        real, fake = critic.error(torch.cat([true, made])).split(len(true))
        return {f"{name} real": real, f"{name} fake": -k * fake}

    def remember(self, means: Mapping[str, float]) -> Mapping[str, float]:
        """Keep the errors on true pictures, and L_D, until the translators have moved."""
        for name in ("photo", "render"):
            if f"{name} real" not in means:
                continue
            real, fake = means[f"{name} real"], means[f"{name} fake"]
            self.balances[name].real.fill_(real)
            self.balances[name].discriminator.fill_(real + fake)
        return {}

    # --- equations 3, 6 and 9 ---

    def inverse_terms(self, batch: Batch, step: Step) -> Terms:
        """Return what G' minimises: L_G', the cycle, and the pairs less k times the cycle."""
        with torch.no_grad():
            made = self.generator(batch.images)
        weights, terms = self.config.weights, {}
        back = self.inverse(made)
        if weights.inverse_adversarial:
            terms["adversarial"] = self.render_critic.error(back)
        cycle = losses.cycle_loss(batch.images, back, self._mask(batch))
        if weights.cycle:
            terms["cycle"] = cycle
        if weights.pair:
            render, photo = batch.labels[PAIR_RENDER], batch.labels[PAIR_PHOTO]
            k = self.balances["pair"].k.float()
            terms["pair"] = losses.pair_loss(render, self.inverse(photo), cycle, k)
        if weights.backward:
            terms["backward"] = self._backward_cycle(self._photo(batch))
        return terms

    def _backward_cycle(self, photo: Image) -> Tensor:
        return losses.l1(self.generator(self.inverse(photo)), photo)

    def match(self, means: Mapping[str, float]) -> Mapping[str, float]:
        """Move D_S's k, and keep L_DP and the error on true pairs for the pairs' k."""
        if "pair" in means:
            balance = self.balances["pair"]
            balance.real.fill_(means["pair"] + float(balance.k) * means["cycle"])
            balance.discriminator.fill_(means["pair"])
        return self._move_k("render", means["adversarial"]) if "adversarial" in means else {}

    # --- equations 1, 2, 7 and 8 ---

    def generator_terms(self, batch: Batch, step: Step) -> Terms:
        """Return what G minimises: L_G, the cycle, the set-based loss, and L_id."""
        weights, x, mask = self.config.weights, batch.images, self._mask(batch)
        made = self.generator(x)
        terms = {"adversarial": self.photo_critic.error(made)}
        if weights.cycle:
            terms["cycle"] = losses.cycle_loss(x, self.inverse(made), mask)
        if weights.identity_l1:
            terms["identity_l1"] = losses.identity_l1(x, made, mask)
        if weights.reconstruction:
            pair = batch.labels[PAIR_RENDER], batch.labels[PAIR_PHOTO]
            terms["reconstruction"] = losses.l1(self.generator(pair[0]), pair[1])
        if weights.backward:
            terms["backward"] = self._backward_cycle(self._photo(batch))
        if self.judge is not None:
            terms["identity_set"] = self._set_term(made, batch)
        return terms

    def _set_term(self, made: Image, batch: Batch) -> Tensor:
        if int(batch.identity.max()) >= self.config.people:
            raise DatasetError(
                f"the renders have person number {int(batch.identity.max())}, the centroids are "
                f"of {self.config.people} people; give data of that many, or set people"
            )
        self.judge.to(made.device)
        faces = reframe(made, FRAMING, self.judge.template)
        embeddings = self.judge.embed(faces)
        people, found, c = self.people, batch.identity, self.config
        # Copies: the buffers move before the gradient is taken.
        centroids, seen = people.centroids.clone(), people.seen.clone()
        loss = losses.set_loss(embeddings, found, centroids, seen, margin=c.margin, sign=c.sign)
        self._remember_people(embeddings.detach().float(), found)
        return loss

    @torch.no_grad()
    def _remember_people(self, embeddings: Tensor, found: Tensor) -> None:
        """Move the centroids; an identity's first face is where its centroid begins.

        From zero, where the paper begins, a centroid would be long on its way.
        """
        people, c = self.people, self.config
        embeddings, found = _of_all(embeddings), _of_all(found)
        moved = losses.move_centroids(
            people.centroids, embeddings, found, beta=c.beta, reading=c.centroid
        )
        fresh = ~people.seen[found]
        moved[found[fresh]] = embeddings[fresh]
        people.centroids.copy_(moved)
        people.seen[found] = True

    def rebalance(self, means: Mapping[str, float]) -> Mapping[str, float]:
        """Move the k of D_R and of the pairs; return them and D_R's convergence."""
        fake, real = means["adversarial"], float(self.balances["photo"].real)
        told = self._move_k("photo", fake)
        if self.config.weights.pair and "cycle" in means:
            told |= self._move_k("pair", means["cycle"])
        return told | {"M": adversarial.convergence(real, fake, gamma=self.config.gamma)}

    def _move_k(self, name: str, fake: float) -> dict[str, float]:
        balance, c = self.balances[name], self.config
        k = adversarial.next_k(
            float(balance.k),
            float(balance.real),
            fake,
            discriminator=float(balance.discriminator),
            gamma=c.gamma,
            rate=c.k_rate,
            reading=c.k_reading,
        )
        balance.k.fill_(k)
        return {f"k {name}": k}

    # --- helpers of all ---

    def _photo(self, batch: Batch) -> Image:
        if PHOTO not in batch.labels:
            raise DatasetError(
                "the data have no photographs beside the renders; give three parts, "
                "--data RENDERS+PHOTOS+PAIRS"
            )
        presets.require_size(batch.images, self.config.size)
        return batch.labels[PHOTO]

    def _mask(self, batch: Batch) -> Tensor | None:
        return batch.coverage if self.config.masked else None

    def preview(self, networks: Mapping[str, nn.Module], batch: Batch) -> Image:
        """Return nine renders, spread over the batch, and after them what G makes of each."""
        some = batch.some(SHOWN)
        with torch.no_grad():
            return torch.cat([some, networks["generator"](some)])


def _of_all(rows: Tensor) -> Tensor:
    """Return the rows of all processes: everybody's centroids move by the whole batch."""
    if not torch.distributed.is_initialized():
        return rows
    parts = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def inverse_weights(weights: Weights) -> dict[str, float]:
    """Return the weights of equation 9, and of the cycle that the paper leaves out."""
    return {
        "adversarial": weights.inverse_adversarial,
        "cycle": weights.cycle,
        "pair": weights.pair,
        "backward": weights.backward,
    }


def generator_weights(config: Config) -> dict[str, float]:
    """Return the weights of equation 8 and of L_id."""
    w = config.weights
    return {
        "adversarial": w.adversarial,
        "cycle": w.cycle,
        "identity_l1": w.identity_l1,
        "reconstruction": w.reconstruction,
        "backward": w.backward,
        "identity_set": w.identity_set if config.embedder else 0.0,
    }


def _present(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in weights.items() if value}
