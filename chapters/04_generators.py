# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Two networks that quarrel: DCGAN, BEGAN and StyleGAN2
#
# | | |
# |---|---|
# | **Question** | How does a network learn to draw faces that nobody has, and why is it so hard to teach? |
# | **You will be able to** | write the losses of three kinds of GAN and say what their gradients do, see in two numbers why training runs in circles, train a small GAN with a loop that knows no paper, walk through a latent space, and measure a generator as the field does |
# | **You need** | Chapters 1 and 2; gradients and a little probability |
# | **Papers behind it** | the generators that the book's five papers stand on: DCGAN {cite:p}`radford2016dcgan` (`ganid`), BEGAN {cite:p}`berthelot2017began` (`ganfaces`), StyleGAN2 {cite:p}`karras2020stylegan2` (`idmap`) |
# | **Time and memory** | an hour and a half with the exercises; 1.5 GB |
#
# Four of the five papers of this book have two networks play against each other, and the fifth can.
# Before we use such a game to change a face and keep its owner, we should know the game: what each side
# wants, when it ends well, and how to tell.

# %% tags=["parameters"]
faces = 200  # faces of each generator that are measured
steps = 60  # steps of the training run in this chapter
seed = 0  # where the random numbers start

# %%
import torch

from facelab import figures, widgets
from facelab.book import overview
from facelab.book.exercises import Exercise, source
from facelab.data import samples
from facelab.engine import live_curve, loop, settings
from facelab.generators import adversarial, began, dcgan, dirac, generator
from facelab.generators.stylegan2 import distillation, layers, training
from facelab.metrics import extractors, generator_report

random = torch.Generator().manual_seed(seed)

# %% [markdown]
# ## One question, one picture
#
# Each row comes from another generator.

# %%
rows = {
    "A": dcgan.Game.preset("book").networks["generator"].eval(),
    "B": began.book(),
    "C": dcgan.book(),
    "D": dcgan.pretrained(),
}
drawn = [
    g.sample(8, torch.Generator().manual_seed(seed)) for g in rows.values()
]
figures.show(
    figures.face_sheet(torch.cat(drawn), columns=8),
    alt="Four rows of eight small faces, from noise to nearly photographs.",
    photograph=True,
)

# %% [markdown]
# **Predict before you run on.** One row is by a network whose weights are random. Two were trained by us
# on one processor core each (the last table says for how long), one by its authors. Order them by how *real* they
# look. Then order them by how *different* the eight people of a row are. Is it the same order? We
# measure both at the end.
#
# ## The game
#
# A generator $G$ turns noise $z$ into a picture. A discriminator $D$ says with what probability a picture
# is real. One wants what the other fears {cite:p}`goodfellow2014gan`:
#
# $$ \min_G \max_D\; \mathbb E_x \log D(x) + \mathbb E_z \log\bigl(1 - D(G(z))\bigr). \tag{4.1} $$

# %%
source(adversarial.minimax_discriminator)

# %% [markdown]
# With densities $p$ of real and $q$ of generated pictures the best answer to a generator is
# $D^*(x) = p(x) / (p(x) + q(x))$. Against a perfect generator that is one half everywhere, and the value
# (4.1) is $-\log 4$. A discriminator that shrugs costs exactly that:

# %% tags=["nbval-check-output"]
shrug = adversarial.minimax_discriminator(torch.zeros(3), torch.zeros(3))
print("a loss of log 4:", torch.allclose(shrug, torch.tensor(4.0).log()))

# %% [markdown]
# ### Exercise 4.1: the best discriminator
#
# Real numbers are drawn from $\mathcal N(0, 1)$, generated ones from $\mathcal N(m, 1)$. Return the *logit* of
# the best discriminator, the number whose sigmoid is $D^*(x)$. *(medium, 8 minutes, 2 points)*
#
# <details><summary>Hint 1</summary>
#
# The logit of $p / (p + q)$ is $\log p - \log q$.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The normalising constants of the two densities are the same.
#
# </details>
# <details><summary>Hint 3</summary>
#
# $-x^2/2 + (x - m)^2/2$. Multiply it out: it is linear in $x$.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _log_densities_apart(x, m):
    """log p - log q of the text's two normal densities."""
    normal = torch.distributions.Normal
    return normal(0, 1).log_prob(x) - normal(m, 1).log_prob(x)


def _knows_the_best_discriminator(answer):
    x = torch.linspace(-3, 3, 7)
    wanted, got = _log_densities_apart(x, 1.5), answer(x, 1.5)
    assert isinstance(got, torch.Tensor), f"expected a tensor, got {got!r}"
    assert got.shape == x.shape, f"one logit for each x, got {got.tolist()}"
    told = f"at x = 0, m = 1.5 the logit is {wanted[3]:.3f}, got {got[3]:.3f}"
    assert not torch.allclose(got, torch.sigmoid(wanted), atol=1e-4), (
        f"{told}: that is the probability; the logit comes before the sigmoid"
    )
    assert not torch.allclose(got, -wanted, atol=1e-4), (
        f"{told}: mind the sign, positive where real is likelier"
    )
    assert torch.allclose(got, wanted, atol=1e-4), told


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
best = Exercise(
    "4.1 The best discriminator",
    _knows_the_best_discriminator,
    8,
    2,
    "medium",
)


# %% tags=["exercise"]
def best_logit(x, m):
    """Logit of D*(x) for real N(0, 1) and generated N(m, 1)."""
    return ...  # your lines


best.check(best_logit)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@best.hide("generated numbers around other means")
def _knows_it_for_other_means(answer):
    stream = torch.Generator().manual_seed(41)
    for m in (-2.0, -0.5, 0.25, 4.0):
        x = 5 * torch.randn(60, generator=stream)
        got = answer(x, m)
        assert torch.allclose(got, _log_densities_apart(x, m), atol=1e-3), m


@best.hide("a perfect generator, and numbers halfway between the means")
def _shrugs_where_nobody_knows(answer):
    x = torch.tensor([-7.0, 0.0, 2.5])
    assert answer(x, 0.0).abs().max() < 1e-5, "real and generated are alike"
    assert abs(float(answer(torch.tensor([-1.5]), -3.0))) < 1e-5, "halfway"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
best.refuse(
    lambda x, m: torch.sigmoid(m * m / 2 - m * x),
    "the logit comes before the sigmoid",
)
best.refuse(lambda x, m: m * x - m * m / 2, "mind the sign")
best.refuse(lambda x, m: -m * x, "the logit is 1.125, got -0.000")
best.refuse(
    lambda x, m: (x - m) ** 2 - x**2,
    "the logit is 1.125, got 2.250",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def best_logit_solution(x, m):
    """log p - log q; the squares of x cancel."""
    return m * m / 2 - m * x


best.prove(best_logit_solution)

# %% [markdown]
# ## Who teaches whom
#
# All the generator ever learns is the slope that $D$ hands back. At the start $D$ is sure that its pictures
# are fakes, and just there (4.1) is flat: the student learns nothing when it knows nothing. So nearly
# everybody has $G$ *maximise* $\log D(G(z))$ instead. Same answer, another slope:
#
# $$ \frac{\partial}{\partial\ell} \log(1 - \sigma(\ell)) = -\sigma(\ell), \qquad
#    \frac{\partial}{\partial\ell} \bigl(-\log\sigma(\ell)\bigr) = -\sigma(-\ell). \tag{4.2} $$

# %%
logit = torch.linspace(-6, 6, 61, requires_grad=True)
slopes = {}
for name in ("minimax", "non_saturating", "least_squares"):
    term = getattr(adversarial, f"{name}_generator")(logit)
    slope = torch.autograd.grad(term.sum(), logit)[0]
    slopes[name.replace("_", " ")] = slope.clamp(-1.5, 1.5).tolist()
figures.show(
    figures.curves(
        logit.tolist(),
        slopes,
        x_axis="logit that D gives a generated picture",
        y_axis="slope of G's loss",
        markers=False,
    ),
    alt="Slopes of three generator losses: the minimax one vanishes on the left, where D is sure.",
)

# %% [markdown]
# ## Round in circles
#
# Make the game as small as it gets {cite:p}`mescheder2018training`. All real data are the number 0. The
# generator draws the number $\theta$, the discriminator's logit is $\psi x$. One place is fair:
# $\theta = \psi = 0$. Where does training lead from elsewhere? Two numbers make a plane, and every place has
# an arrow:
#
# $$ v(\theta, \psi) = \bigl(-\partial_\theta L_G,\; -\partial_\psi L_D\bigr). \tag{4.3} $$

# %%
source(dirac.velocity)

# %%
line = torch.linspace(-2, 2, 11)
places = torch.cartesian_prod(line, line)
games = {
    "minimax": ("minimax", 0.0),
    "non-saturating": ("non-saturating", 0.0),
    "with R1": ("non-saturating", 1.0),
}
arrows, paths, begin = {}, {}, torch.tensor([[1.2, 0.0]])
for name, (game, gamma) in games.items():
    arrows[name] = dirac.velocity(places, game, gamma=gamma)
    paths[name] = dirac.play(begin, game, steps=150, rate=0.2, gamma=gamma)[
        :, 0
    ]
figures.show(
    figures.vector_fields(places, arrows, paths, axes_names=("θ", "ψ")),
    alt="Three fields of arrows: around the centre, around the centre, and spiralling into it.",
)

# %% [markdown]
# The arrows of the first game run *around* the fair place, and a step along an arrow leaves the circle
# outwards. Those of the second lean inwards, but the less the nearer they are, and steps end in a ring.
# Training that oscillates isn't a bug of somebody's code; it is what the game is. A penalty on the slope
# of $D$ at real data, $R_1 = \tfrac\gamma2 \lVert\nabla_x D(x)\rVert^2$, takes the energy out.
#
# ### Exercise 4.2: R1
#
# Return $\lVert\nabla_x D(x)\rVert^2$ for each picture of a batch, so that it can be differentiated once more.
# *(medium, 8 minutes, 2 points)*
#
# <details><summary>Hint 1</summary>
#
# `torch.autograd.grad(D(x).sum(), x)` has all pictures' gradients at once: no picture's logit depends on
# another's pixels.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `create_graph=True` keeps the graph, so that the penalty itself has a gradient.
#
# </details>
# <details><summary>Hint 3</summary>
#
# Square, and sum over all dimensions but the first.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _is_r1(answer):
    weight = torch.tensor([2.0, -3.0, 6.0])
    x = torch.tensor([[1.0, 0, 0], [0, 1, 1]]).view(2, 3, 1, 1)
    got = answer(lambda v: (v.flatten(1) @ weight) ** 2 / 2, x.requires_grad_())
    assert isinstance(got, torch.Tensor), f"expected a tensor, got {got!r}"
    assert tuple(got.shape) == (2,), (
        f"one value a picture: expected (2,), got {tuple(got.shape)}"
    )
    first = round(float(got[0].detach()), 2)
    told = f"first picture: expected 14 * 14 = 196, got {first:g}"
    assert first != 14, f"{told}; square the norm"
    assert first != 65.33, f"{told}; sum over a picture, don't average"
    assert abs(first - 196) < 0.01, told
    second = float(got[1].detach())
    assert abs(second - 441) < 0.1, f"second picture: 441, got {second:g}"
    assert got.requires_grad, "create_graph=True, to differentiate once more"


slope_penalty = Exercise("4.2 R1", _is_r1, 8, 2, "medium")


# %% tags=["exercise"]
def r1(judge, x):
    """Squared norm of the gradient of judge(x) at each picture."""
    return ...  # your lines


slope_penalty.check(r1)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@slope_penalty.hide("pictures of several pixels and a curved discriminator")
def _is_r1_of_pictures(answer):
    stream = torch.Generator().manual_seed(42)
    weight = torch.randn(60, generator=stream).double()
    x = torch.randn(5, 3, 4, 5, generator=stream).double() / 8
    got = answer(lambda v: (v.flatten(1) @ weight).tanh(), x.requires_grad_())
    flat = 1 - (x.detach().flatten(1) @ weight).tanh() ** 2
    wanted = flat**2 * weight.square().sum()
    assert got.shape == (5,), f"shape {tuple(got.shape)}"
    assert torch.allclose(got.detach(), wanted), f"{got.tolist()}"
    assert got.requires_grad, "no second derivative"


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@slope_penalty.hide("one picture alone, and one where D is flat")
def _is_r1_of_one(answer):
    x = torch.tensor([3.0, -2.0, 1.0, 0.5]).view(1, 1, 2, 2)
    for scale, wanted in ((1.0, 57.0), (0.0, 0.0)):
        some = (scale * x).requires_grad_()
        got = answer(lambda v: v.square().flatten(1).sum(1), some).detach()
        assert got.shape == (1,), f"shape {tuple(got.shape)}"
        assert abs(float(got) - wanted) < 1e-3, f"{float(got)}"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
def _gradient_kept(judge, x, keep=True):
    return torch.autograd.grad(judge(x).sum(), x, create_graph=keep)[0]


slope_penalty.refuse(
    lambda judge, x: _gradient_kept(judge, x).flatten(1).norm(dim=1),
    "square the norm",
)
slope_penalty.refuse(
    lambda judge, x: _gradient_kept(judge, x, False).square().sum((1, 2, 3)),
    "create_graph=True",
)

# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
slope_penalty.refuse(
    lambda judge, x: _gradient_kept(judge, x).square().mean((1, 2, 3)),
    "sum over a picture, don't average",
)
slope_penalty.refuse(
    lambda judge, x: _gradient_kept(judge, x).square().sum(),
    "one value a picture: expected (2,), got ()",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def r1_solution(judge, x):
    """One backward pass for the batch, kept for another."""
    (gradient,) = torch.autograd.grad(judge(x).sum(), x, create_graph=True)
    return gradient.square().sum((1, 2, 3))


slope_penalty.prove(r1_solution)

# %% [markdown]
# ### Exercise 4.3: home, or away?
#
# Near home every $\sigma$ is nearly one half, and the arrows (4.3) with $R_1$ are
# $v = (\tfrac12 \psi,\; -\tfrac12 \theta - \gamma \psi)$. A step of length $\eta$ along them multiplies
# the place $(\theta, \psi)$ by a matrix. In the long run the distance from home changes by the same
# factor at every step: the largest absolute value of that matrix's eigenvalues, which may be complex.
# Return the factor for a rate $\eta$ and a $\gamma$. Is there a rate at which training comes home
# without $R_1$? *(hard, 8 minutes, 3 points)*
#
# <details><summary>Hint 1</summary>
#
# A step goes from $p$ to $p + \eta\, v$, and $v = A\,p$. So the matrix is $I + \eta A$.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The rows of $A$ are $(0, \tfrac12)$ and $(-\tfrac12, -\gamma)$: what $\theta$ and $\psi$ are moved by.
#
# </details>
# <details><summary>Hint 3</summary>
#
# `torch.linalg.eigvals(matrix)` has complex numbers, `.abs()` their absolute values.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _knows_the_way_home(answer):
    for rate, gamma, wanted in [(0.2, 0.0, 1.005), (0.2, 0.6, 0.9434)]:
        got = answer(rate, gamma)
        told = f"for a rate of {rate} and gamma {gamma} expected {wanted}"
        assert isinstance(got, float | int | torch.Tensor), (
            f"{told}, got {got!r}"
        )
        assert getattr(got, "shape", ()) == (), f"{told}, one number, got {got}"
        told, got = f"{told}, got {got:.4f}", round(float(got), 4)
        assert got != 0.1, f"{told}: a step adds to the place; add I"
        assert got not in (1.0, 0.94), (
            f"{told}: the real part alone; take the absolute value"
        )
        assert got not in (1.01, 0.89), (
            f"{told}: the determinant, the product of two such factors"
        )
        assert got != 1.063, f"{told}: R1 pulls psi home, mind its sign"
        assert abs(got - wanted) < 1e-3, told


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
homewards = Exercise("4.3 Home, or away?", _knows_the_way_home, 8, 3, "hard")


# %% tags=["exercise"]
def factor_of_a_step(rate, gamma):
    """By what the distance from home changes with each step."""
    return ...  # your lines


homewards.check(factor_of_a_step)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@homewards.hide("penalties from none to far too strong")
def _knows_strong_penalties(answer):
    for rate in (0.05, 0.5, 1.5):
        for gamma in (0.0, 0.3, 0.9, 1.25, 4.0):
            root = complex(gamma * gamma - 1) ** 0.5
            ways = [(-gamma + root) / 2, (-gamma - root) / 2]
            wanted = max(abs(1 + rate * way) for way in ways)
            got = float(answer(rate, gamma))
            assert abs(got - wanted) < 1e-3, f"{rate}, {gamma}: {got}"


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@homewards.hide("the chapter's own game, played from very near home")
def _knows_the_game(answer):
    near = 1e-4 * torch.eye(2).double()
    for rate, gamma in ((0.1, 0.0), (0.3, 0.5), (0.7, 2.0)):
        arrows = dirac.velocity(near, "minimax", gamma=gamma)
        moved = (near + rate * arrows) / 1e-4
        wanted = float(torch.linalg.eigvals(moved).abs().max())
        got = float(answer(rate, gamma))
        assert abs(got - wanted) < 1e-3, f"{rate}, {gamma}: {got}"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
def _values(rate, gamma, identity=1.0):
    arrows = torch.tensor([[0.0, 0.5], [-0.5, -gamma]])
    return torch.linalg.eigvals(identity * torch.eye(2) + rate * arrows)


homewards.refuse(
    lambda rate, gamma: _values(rate, gamma).real.max(),
    "the real part alone",
)
homewards.refuse(
    lambda rate, gamma: _values(rate, gamma, 0.0).abs().max(),
    "a step adds to the place; add I",
)

# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
homewards.refuse(
    lambda rate, gamma: _values(rate, gamma).prod().real,
    "the determinant",
)
homewards.refuse(
    lambda rate, gamma: _values(rate, -gamma).abs().max(),
    "R1 pulls psi home, mind its sign",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def factor_of_a_step_solution(rate, gamma):
    """The spectral radius of I + rate A; without R1 it is above 1."""
    arrows = torch.tensor([[0.0, 0.5], [-0.5, -gamma]], dtype=torch.float64)
    step = torch.eye(2, dtype=torch.float64) + rate * arrows
    return float(torch.linalg.eigvals(step).abs().max())


homewards.prove(factor_of_a_step_solution)

# %% [markdown]
# ## DCGAN, and a loop that knows no paper
#
# DCGAN's recipe is convolutions, batch normalisation and no pooling {cite:p}`radford2016dcgan`. `ganid` draws its noise
# from $[-1, 1]^{200}$, which it calls a sphere of radius one; it is a cube, and hardly any of its volume is near
# a sphere. How a method is trained is a list of phases:

# %%
source(dcgan.Game.phases)

# %% [markdown]
# The loop does the rest, for this method and for every other of the book. Here is a short run on
# samples of the pre-trained generator. It shows the machinery at work and no more; the shipped network had longer.

# %%
method = dcgan.Game.preset("tiny")
data = samples.Samples(512, seed=seed)
curve = live_curve.LiveCurve(every=5)
run = loop.train(
    method,
    data,
    settings.Settings(steps=steps, batch=16, log_every=4, seed=seed),
    watchers=[curve],
)

# %% [markdown]
# ## BEGAN: balance by design
#
# BEGAN's discriminator is an autoencoder, and what it asks is not "real or not" but "how well can I copy it?":
# $\mathcal L(v) = |v - D(v)|$ {cite:p}`berthelot2017began`. It learns to copy real pictures and not to copy generated ones,
# and a number $k_t$ decides how much the second counts:
#
# $$ L_D = \mathcal L(x) - k_t\, \mathcal L(G(z)), \qquad L_G = \mathcal L(G(z)), \tag{4.4} $$
#
# $$ k_{t+1} = k_t + \lambda\bigl(\gamma\, \mathcal L(x) - \mathcal L(G(z))\bigr). \tag{4.5} $$
#
# When generated pictures are copied too well, $k$ rises, and $D$ turns against them. One number,
# $M = \mathcal L(x) + \bigl|\gamma\, \mathcal L(x) - \mathcal L(G(z))\bigr|$, tells how far training is, which other
# GANs don't have.

# %%
source(adversarial.next_k)

# %% [markdown]
# ### Exercise 4.4: keep the balance
#
# Write the rule of (4.5) for $k$, kept within 0 and 1. *(easy, 5 minutes, 1 point)*
#
# <details><summary>Hint 1</summary>
#
# $\gamma$ is the ratio that is wanted, $\mathcal L(G(z)) / \mathcal L(x)$.
#
# </details>
# <details><summary>Hint 2</summary>
#
# When the ratio is too small, `gamma * real - fake` is positive, and $k$ must rise.
#
# </details>
# <details><summary>Hint 3</summary>
#
# `min(1.0, max(0.0, ...))`.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _balances(answer):
    def expect(k, real, fake, wanted, why):
        got = answer(k, real, fake, 0.5, 0.1)
        told = f"from k = {k:g} expected {wanted:g}, got {got!r}"
        assert isinstance(got, float | int | torch.Tensor), told
        told = f"from k = {k:g} expected {wanted:g}, got {got:g}"
        assert abs(got - (k - (wanted - k))) > 1e-6 or wanted in (0, 1), (
            f"{told}: the sign; k rises while gamma real > fake"
        )
        assert abs(got - wanted) < 1e-6, f"{told}{why}"

    expect(0.2, 0.4, 0.1, 0.21, "; gamma times real, less fake, times rate")
    expect(0.0, 0.1, 1.0, 0, ": k stays within 0 and 1")
    expect(1.0, 1.0, 0.1, 1, ": k stays within 0 and 1")


balance = Exercise("4.4 Keep the balance", _balances, 5, 1, "easy")


# %% tags=["exercise"]
def next_balance(k, real, fake, gamma, rate):
    """The next k, from the mean errors of real and generated pictures."""
    return ...  # your lines


balance.check(next_balance)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@balance.hide("errors, gammas and rates drawn at random")
def _balances_any(answer):
    stream = torch.Generator().manual_seed(44)
    for draw in torch.rand(100, 5, generator=stream).double().tolist():
        k, real, fake, gamma, rate = draw
        wanted = adversarial.next_k(k, real, fake, gamma=gamma, rate=rate)
        got = float(answer(k, real, fake, gamma, rate))
        assert abs(got - wanted) < 1e-6, f"{draw}: {got}"


@balance.hide("a balance that is kept, and one far out of reach")
def _balances_at_rest(answer):
    assert abs(answer(0.37, 0.8, 0.2, 0.25, 0.4) - 0.37) < 1e-9, "at rest"
    assert answer(0.5, 90.0, 0.0, 0.5, 1.0) == 1, "above"
    assert answer(0.5, 0.0, 90.0, 0.5, 1.0) == 0, "below"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
balance.refuse(
    lambda k, real, fake, gamma, rate: min(
        1.0, max(0.0, k + rate * (fake - gamma * real))
    ),
    "the sign; k rises while gamma real > fake",
)
balance.refuse(
    lambda k, real, fake, gamma, rate: k + rate * (gamma * real - fake),
    "k stays within 0 and 1",
)
balance.refuse(
    lambda k, real, fake, gamma, rate: k + rate * (real - gamma * fake),
    "gamma times real, less fake",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def next_balance_solution(k, real, fake, gamma, rate):
    """A step towards the wanted ratio, clamped."""
    return min(1.0, max(0.0, k + rate * (gamma * real - fake)))


balance.prove(next_balance_solution)

# %% [markdown]
# `ganfaces` prints the rule with $L_D$ in place of $\mathcal L(x)$, and $L_D$ has $-k_t\mathcal L(G(z))$ in it. Both are in
# the library. A toy shows the difference: let generated pictures be the harder to copy the larger $k$ is, and see
# where each rule settles.

# %%
settled = {}
for reading in ("began", "printed"):
    k, fake, ratios = 0.0, 0.02, []
    for _ in range(3000):
        k = adversarial.next_k(k, 0.1, fake, rate=0.05, reading=reading)
        fake += 0.01 * (0.02 + 0.05 * k - fake)
        ratios.append(fake / 0.1)
    settled[reading] = ratios[::60]
figures.show(
    figures.curves(
        list(range(0, 3000, 60)),
        settled,
        x_axis="step",
        y_axis="error of generated / real",
        references={"wanted, γ": 0.5},
        markers=False,
    ),
    alt="The ratio of errors settles at gamma by one rule and below it by the other.",
)

# %% [markdown]
# ## StyleGAN2: a second latent space
#
# A normal cloud in many dimensions is a poor map of faces: some combinations of its axes belong to nobody. StyleGAN
# lets a small network $f$ bend it first, $w = f(z)$, and each layer is steered by $w$ on its own
# {cite:p}`karras2019stylegan`. The steering scales the weights of a convolution, and then undoes what
# that did to the size of its output {cite:p}`karras2020stylegan2`:
#
# $$ w'_{ijk} = s_i\, w_{ijk}, \qquad
#    w''_{ijk} = w'_{ijk} \Big/ \sqrt{\textstyle\sum_{i,k} w'^2_{ijk} + \epsilon}. \tag{4.6} $$

# %%
source(layers.modulated_convolution)

# %% [markdown]
# Weights that differ from picture to picture are slow. But scaling the weights of an input channel is
# scaling that channel, and dividing by the norm can wait until after the convolution. Same numbers:

# %% tags=["nbval-check-output"]
x = torch.randn(4, 8, 16, 16, generator=random)
weight = torch.randn(12, 8, 3, 3, generator=random)
style = torch.rand(4, 8, generator=random) + 0.5
both = [
    layers.modulated_convolution(x, weight, style, fused=fused)
    for fused in (True, False)
]
print("same:", torch.allclose(*both, atol=1e-4))

# %% [markdown]
# ### Exercise 4.5: undo the style
#
# Return what each output channel is divided by: for a batch of styles, the root in (4.6), with
# $\epsilon = 10^{-8}$. *(medium, 8 minutes, 2 points)*
#
# <details><summary>Hint 1</summary>
#
# The weights are (out, in, k, k), the styles (batch, in), the answer (batch, out).
#
# </details>
# <details><summary>Hint 2</summary>
#
# $\sum_{ik} s_i^2 w_{ijk}^2 = \sum_i s_i^2 \bigl(\sum_k w_{ijk}^2\bigr)$.
#
# </details>
# <details><summary>Hint 3</summary>
#
# `style.square() @ weight.square().sum((2, 3)).T`, plus epsilon, and the root.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _undoes_the_style(answer):
    w = torch.zeros(2, 3, 1, 1)
    w[0, 0], w[0, 1], w[1, 2] = 3.0, 4.0, 2.0
    got = answer(w, torch.tensor([[1.0, 1.0, 1.0], [2.0, 0.0, 0.5]]))
    wanted = torch.tensor([[5.0, 2.0], [6.0, 1.0]])
    assert isinstance(got, torch.Tensor), f"expected a tensor, got {got!r}"
    assert tuple(got.shape) == (2, 2), (
        f"(batch, out) is (2, 2) here, got {tuple(got.shape)}"
    )
    told = f"expected {wanted.tolist()}, got {got.tolist()}"
    inverse = torch.allclose(got, 1 / wanted, atol=1e-3)
    assert not inverse, f"the root, not one over it: {told}"
    assert not torch.allclose(got, wanted**2, atol=1e-3), (
        f"take the root: {told}"
    )
    once = torch.tensor([[5.0, 2.0], [18**0.5, 2**0.5]])
    assert not torch.allclose(got, once, atol=1e-3), (
        f"the style scales weights before they are squared: {told}"
    )
    assert torch.allclose(got, wanted, atol=1e-4), told


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
norms = Exercise("4.5 Undo the style", _undoes_the_style, 8, 2, "medium")


# %% tags=["exercise"]
def style_norms(weight, style):
    """Norm of each output channel's weights after the style has scaled them."""
    return ...  # your lines


norms.check(style_norms)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@norms.hide("kernels of three by three, and a larger batch")
def _undoes_random_styles(answer):
    stream = torch.Generator().manual_seed(45)
    weight = torch.randn(5, 4, 3, 3, generator=stream)
    style = torch.randn(6, 4, generator=stream)
    got = answer(weight, style)
    assert got.shape == (6, 5), f"shape {tuple(got.shape)}"
    for row, out in torch.cartesian_prod(torch.arange(6), torch.arange(5)):
        scaled = torch.cat([style[row, i] * weight[out, i] for i in range(4)])
        wanted = (scaled.square().sum() + 1e-8) ** 0.5
        assert abs(got[row, out] - wanted) < 1e-3, f"{got[row, out]}"


@norms.hide("a style that switches everything off")
def _undoes_no_style(answer):
    got = answer(torch.ones(2, 3, 3, 3), torch.zeros(1, 3))
    wanted = torch.full((1, 2), 1e-4)
    assert torch.allclose(got, wanted, rtol=1e-2, atol=0), f"{got.tolist()}"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
def _energies(weight, style):
    return style @ weight.square().sum((2, 3)).T + 1e-8


norms.refuse(
    lambda weight, style: _energies(weight, style**2) ** -0.5,
    "the root, not one over it",
)
norms.refuse(
    lambda weight, style: _energies(weight, style**2),
    "take the root",
)
norms.refuse(
    lambda weight, style: _energies(weight, style) ** 0.5,
    "the style scales weights before they are squared",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def style_norms_solution(weight, style):
    """Squared styles times the squared weights, summed over places first."""
    energy = weight.square().sum((2, 3))
    return (style.square() @ energy.T + 1e-8).sqrt()


norms.prove(style_norms_solution)

# %% [markdown]
# What $w$ buys can be seen. Towards the mean $\bar w$ faces become usual, $\bar w + \psi (w - \bar w)$: truncation.
# And since each layer has its own $w$, one face can lend another its coarse layers, or its fine ones.

# %%
stylish = distillation.book()
z = stylish.sample_latent(6, torch.Generator().manual_seed(seed + 1))
with torch.no_grad():
    w = stylish.mapping(z)
    psis = (1.0, 0.7, 0.4, 0.0)
    rows = [
        stylish.synthesis(stylish.truncate(w, psi)).clamp(-1, 1) for psi in psis
    ]
figures.show(
    figures.face_sheet(torch.cat(rows), columns=6, width_in=5.4),
    alt="Six faces in four rows that become alike from above to below, until all are the mean face.",
    photograph=True,
)

# %%
with torch.no_grad():
    own, lent = stylish.to_w_plus(w), stylish.to_w_plus(w[:1]).expand(6, -1, -1)
    crossed = []
    for layers_lent in (2, 4, 6):
        mixed = torch.cat([lent[:, :layers_lent], own[:, layers_lent:]], dim=1)
        crossed.append(stylish.synthesis(mixed).clamp(-1, 1))
figures.show(
    figures.face_sheet(torch.cat([rows[0], *crossed]), columns=6, width_in=5.4),
    alt="Six faces, and below them the same with the first face's coarse layers, two, four and six of them.",
    photograph=True,
)

# %% [markdown]
# This $\mathcal W$ was not learned by a game on photographs. We taught a small StyleGAN2 to draw what the
# pre-trained DCGAN draws from the same $z$ (distillation), because two processor cores are enough for that.
# It is a real $\mathcal W$ with a mapping network, and it can't be better than its teacher.
#
# ## Walking through latent space
#
# Half the way between two normal vectors on the straight line lies a vector that is too short: the mean of
# two independent ones has length $\sqrt{n/2}$, and $\mathcal N(0, I_n)$ hardly ever draws one that is much
# shorter than $\sqrt n$. On the arc between them the length stays.

# %%
pretrained = dcgan.pretrained()
z = pretrained.sample_latent(2, torch.Generator().manual_seed(seed + 3))
share = torch.linspace(0, 1, 8)
ends = z[:1].expand(8, -1), z[1:].expand(8, -1)
ways = {
    "line": generator.interpolate_linear(*ends, share),
    "arc": generator.interpolate_spherical(*ends, share),
}
for name, way in ways.items():
    lengths = way.norm(dim=1)
    print(
        f"{name}: lengths {lengths[0]:.1f}, {lengths[3]:.1f}, {lengths[7]:.1f}"
    )
with torch.no_grad():
    walked = pretrained(torch.cat(list(ways.values())))
figures.show(
    figures.face_sheet(walked, columns=8),
    alt="One face turns into another, above along the line and below along the arc.",
    photograph=True,
)

# %% [markdown]
# Directions mean something, too {cite:p}`radford2016dcgan`. Take faces that a criterion splits in two, and go
# along the difference of their means. Here the criterion is how dark the picture is; `ganid` does it with
# eyeglasses and open mouths.

# %%
cloud = pretrained.sample_latent(faces, torch.Generator().manual_seed(seed + 4))
with torch.no_grad():
    light = torch.cat(
        [pretrained(part).mean((1, 2, 3)) for part in cloud.split(50)]
    )
bright = light > light.median()
direction = cloud[bright].mean(0) - cloud[~bright].mean(0)
strength = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
some = cloud[:4, None] + strength[None, :, None] * direction
with torch.no_grad():
    swept = pretrained(some.flatten(0, 1))
figures.show(
    figures.face_sheet(swept, columns=5, width_in=4.5),
    alt="Four faces, each in five steps from darker to brighter along one direction.",
    photograph=True,
)

# %% [markdown]
# ## How good are they?
#
# Compare *sets*. Push real and generated pictures through a network that knows faces, fit a Gaussian to each
# cloud of features, and take the distance of the Gaussians {cite:p}`heusel2017ttur`. With the Inception network's features
# that number is called FID. We don't have that network here, so we use what the recogniser sees at its fourth
# stage, before it has boiled a face down to a person, and give the number another name, `dlib-stage4-fd`: a distance
# is worth nothing without the features it was taken in.
#
# Beside it are counts. Draw a ball around each real face that reaches to its third neighbour. Precision is the share of
# generated faces in some ball; recall is the same with the roles exchanged {cite:p}`kynkaanniemi2019precision`; coverage
# is the share of balls, here to the fifth neighbour, with a generated face in them {cite:p}`naeem2020reliable`. The last column is the mean identity
# distance of two faces of a row.

# %%
reference = samples.Samples(faces, seed=seed + 9)
rated = {
    "random weights": dcgan.Game.preset("book").networks["generator"].eval(),
    "DCGAN": dcgan.book(),
    "BEGAN": began.book(),
    "StyleGAN2": training.book(),
    "StyleGAN2, distilled": stylish,
    "pre-trained DCGAN": pretrained,
}

# %%
judge = extractors.extractor("dlib-stage4")
known = generator_report.describe(reference.batch(range(faces)).images, judge)
print(
    f"{'':22}{'distance':>9}{'precision':>11}{'recall':>8}{'coverage':>10}{'identity':>10}"
)
for name, network in rated.items():
    found = generator_report.generator_report(
        network,
        known,
        judge,
        random=torch.Generator().manual_seed(seed + 10),
        count=faces,
        paths=0,
    )
    cover, apart = found["coverage"], found["diversity"]
    print(
        f"{name:22}{found['frechet']['value']:9.3f}{cover['precision']:11.2f}"
        f"{cover['recall']:8.2f}{cover['coverage']:10.2f}{apart['mean_distance']:10.3f}"
    )

# %% [markdown]
# Few faces make the distance larger than it is, so rows compare only with rows of the same size. The
# following table is from one long run on many more faces, with how each network was trained.

# %% tags=["hide-input"]
kept = overview.record("records/generators.json")
print(f"{kept['faces']} faces each; reference: {kept['reference']}")
for name, row in kept["rows"].items():
    between, cover = row["frechet"]["interval"], row["coverage"]
    print(
        f"{name:21}{row['frechet']['value']:6.3f} [{between['low']:.3f}, {between['high']:.3f}]"
        f"  precision {cover['precision']:.2f}, coverage {cover['coverage']:.2f}"
    )
for name, row in kept["training"].items():
    print(f"{name}: {row['images']:,} images, {row['minutes']:.0f} minutes")
print("trained on", row["machine"], "and", row["threads"], "thread")

# %% [markdown]
# Four things to see.
#
# - The first row has a precision of one, and every face in it is a grey square. Some real face lies so far out that
#   its ball is huge, and the square is in it. Nearly all other balls are empty: coverage says what precision hides.
# - Ours had minutes on one core each, and only DCGAN's game has come far enough to draw different people. BEGAN has found
#   *a* face, the one that is easiest to copy; StyleGAN2, whose steps are the dearest, is still looking. Their
#   authors gave them days on several graphics cards.
# - The distilled network is blurred, because a mean absolute error prefers a mean face to a wrong one, but it is
#   blurred in the right places. Copying is an easier lesson than a quarrel.
# - All of ours learned from the pre-trained generator's faces, which are the reference here. It can't be beaten at being
#   itself, so the last row is the floor: what two samples of one generator are apart.
#
# ## What the papers leave open
#
# - `ganid` calls $[-1, 1]^{200}$ "a sphere with radius one". In a cube of 200 dimensions nearly all points are
#   about $\sqrt{200/3} \approx 8.2$ from the centre, and none of the search that follows depends on the word.
# - `ganfaces` prints BEGAN's rule with another first term. The toy above shows what it would do; the authors'
#   code has BEGAN's own rule.
# - Everybody reports one number of one run. Two runs of the same GAN differ, and so do the distances at
#   two numbers of samples. Ask for both before you believe a ranking.
#
# ## Play
#
# Two faces, and a slider between them. It needs a running kernel; the rows above are its still frames.

# %%
widgets.walk(
    pretrained,
    pretrained.sample_latent(8, torch.Generator().manual_seed(seed + 5)),
    lambda a, b, t: generator.interpolate_spherical(
        a[None], b[None], torch.tensor([t])
    )[0],
)

# %% [markdown]
# ## Whose faces are these?
#
# The pre-trained generator learned from rendered people, and its licence allows research alone. A generator
# that learned from photographs has looked at people who were not asked, and can repeat them: "this person does not
# exist" is a claim about the training set that somebody must check {cite:p}`webster2021person`. And
# a face that nobody has is the right face for a false account. Say where your generated faces come from, and
# don't give them names.
#
# ## Summary
#
# - A GAN is two losses that pull on each other (4.1), and the generator's slope decides whether it learns (4.2).
# - The arrows of training run around the equilibrium (4.3); a penalty on the discriminator's slope leads home.
# - BEGAN balances by a number that is moved without a gradient (4.4, 4.5).
# - StyleGAN2 bends its latent space first and steers every layer by scaling weights (4.6).
# - A quality of a generator is a distance between two sets in named features, with their sizes.
#
# ## Graded exercises
#
# 1. *(4 points)* Add a third game to the fields of arrows: least squares, and $R_1$ with $\gamma = 0.1$ and
#    $10$. Which one is home first, and why is more not better?
# 2. *(4 points)* Sample from the pre-trained generator with $z$ scaled by 0.5, 0.7, 1 and 1.3, and measure
#    precision and recall. Compare with truncation in $\mathcal W$ of the distilled network.
# 3. *(6 points)* Train DCGAN twice with `facelab train dcgan --preset tiny`, with seeds 0 and 1, for as long as you can
#    wait, and measure both with 200 and with 1,000 faces. Which difference is larger: between the
#    seeds, or between the numbers of faces?
