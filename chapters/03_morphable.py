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
# # A head from nothing: the morphable model and a crowd of nobody
#
# | | |
# |---|---|
# | **Question** | Can we make pictures of people of whom everything is known, because we made them up? |
# | **You will be able to** | build a head from numbers, place a camera and a light, draw triangles, read the labels of a synthetic dataset, and test whether its people are people to a face recogniser |
# | **You need** | Chapters 1 and 2; a little linear algebra |
# | **Papers behind it** | the 3D morphable model {cite:p}`blanz1999morphable`; the renders from which `ganfaces` starts {cite:p}`gecer2018ganfaces` |
# | **Time and memory** | an hour and a half with the exercises; 1 GB |
#
# The papers of this book change one thing about a face and keep another. To say whether that worked one
# has to *know* both, and photographs don't come with the truth about pose, light or the opening of a
# mouth. So this chapter makes faces from known numbers. Nobody was scanned for them: the shapes come
# from a freely licensed model of the body {cite:p}`bregier2025anny`, the looks from a page of code.

# %% tags=["parameters"]
people = 8  # people on the contact sheet
views = 8  # pictures of each
generated = 200  # photo-like faces to which heads are fitted
seed = 0  # where the random numbers start

# %%
import math

import torch

from facelab import figures, widgets
from facelab.book.exercises import Exercise, source
from facelab.data import anny_faces, card
from facelab.generators import dcgan
from facelab.geometry import appearance, camera, fit, lighting, morphable
from facelab.geometry import painting, pixel_fit, rasterize, render
from facelab.metrics import verification
from facelab.recognition import align, embedder, face_points

random = torch.Generator().manual_seed(seed)
model = morphable.anny_head()

# %% [markdown]
# ## One question, one picture
#
# Each row below is one person, if we did it right: the row's pictures share a shape, a skin, a head of
# hair and a few habits, and nothing else.

# %%
crowd = anny_faces.AnnyFaces(160, people, views, seed=seed, split="test")
faces = crowd.batch(range(len(crowd)))
figures.show(
    figures.face_sheet(faces.images, columns=views),
    alt="A sheet of rendered faces: each row one person under different poses, lights and expressions.",
    photograph=True,
)

# %% [markdown]
# **Predict before you run on.** The recogniser of Chapter 2 was trained on photographs and has never
# seen a rendered head. Take two pictures from this sheet. How often will it find that two of one row are
# more alike than two of different rows? And which rows will it confuse? We ask it at the end.
#
# ## A head is a point
#
# Give every head the same mesh: vertex 4,000 is the same place on everyone. Then a head is one long
# vector $S$ of coordinates, and heads can be averaged, and their differences taken apart into principal
# components $U_k$ with standard deviations $\sigma_k$:
#
# $$ S(a, w) = \bar S + \sum_k a_k\, \sigma_k U_k + \sum_e w_e E_e. \tag{3.1} $$
#
# The numbers $a$ say who it is, and for people drawn from the model they are $\mathcal N(0, 1)$. The
# offsets $E_e$ are expressions; their weights $w$ are of the moment {cite:p}`blanz1999morphable`.

# %%
source(morphable.MorphableModel.shape)

# %% tags=["nbval-check-output"]
rest = model.shape(torch.zeros(1, model.components))
U = model.identity_basis.flatten(1)
print(
    "mean:", torch.equal(rest[0], model.mean_mm), "| vertices:", rest.shape[1]
)
print("orthonormal:", bool((U @ U.T - torch.eye(len(U))).abs().max() < 1e-3))
print(
    f"{model.components} components keep {model.variance_kept:.1%} of the variance"
)

# %% [markdown]
# Here are the first three components, two and a half standard deviations either way. Nobody told them
# what to mean. The first ones are size and weight and the length of a skull, because that is where
# heads differ most *in millimetres*. What makes a face memorable may sit in the fortieth.

# %%
ends = torch.zeros(6, model.components)
for k in range(3):
    ends[2 * k, k], ends[2 * k + 1, k] = -2.5, 2.5
names = [f"{sign}2.5, no. {k + 1}" for k in range(3) for sign in "-+"]
pictures = render.heads(ends, yaw_rad=0.35).split(1)
figures.show(
    figures.image_row(pictures, names, 1.5),
    alt="Six heads in pairs: the first three shape components at minus and plus 2.5 deviations.",
)

# %% [markdown]
# ### Exercise 3.1: how many components?
#
# Components are independent, so variances add. From the deviations $\sigma_k$, largest first, return the
# smallest number of components that keeps a share of their total variance. *(5 minutes, 1 point)*
#
# <details><summary>Hint 1</summary>
#
# A variance is a squared deviation.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `cumsum` gives what the first components keep together.
#
# </details>
# <details><summary>Hint 3</summary>
#
# Count the partial sums that are still below the share, and add one.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _counts_components(answer):
    sigma = torch.tensor([2.0, 1.0, 1.0])
    for share, wanted in [(0.5, 1), (0.7, 2), (0.99, 3)]:
        got = int(answer(sigma, share))
        assert got != {0.5: 2, 0.7: 3}.get(share), (
            "add variances, not deviations"
        )
        assert got == wanted, (
            f"for {share:.0%} of (4 + 1 + 1): {wanted}, got {got}"
        )


enough = Exercise("3.1 How many components?", _counts_components, 5)


# %% tags=["exercise"]
def components_for(deviations, share):
    """Smallest number of components that keeps `share` of the variance."""
    return ...  # your lines


enough.check(components_for)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def components_for_solution(deviations, share):
    """Partial sums of the variances, largest first."""
    kept = deviations.square().cumsum(0) / deviations.square().sum()
    return int((kept < share).sum()) + 1


enough.prove(components_for_solution)

# %%
for share in (0.5, 0.9, 0.99):
    print(
        f"{share:.0%}: {components_for_solution(model.deviations_mm, share)} components"
    )

# %% [markdown]
# ## A face that moves
#
# The $E_e$ of (3.1) are 52 named actions, linear like everything else here. A real lid slides over an eye
# on a curve; ours moves on a straight line, and halfway it cuts the corner. That is the price of a sum.

# %%
actions = {
    "rest": {},
    "jawOpen": {"jawOpen": 0.5},
    "smile": {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0},
    "blink": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "brows": {"browInnerUp": 1.0},
    "pucker": {"mouthPucker": 1.0},
}
moved = torch.cat([model.expression(**weights) for weights in actions.values()])
somebody = model.sample_identity(1, random).expand(len(moved), -1)
figures.show(
    figures.image_row(
        render.heads(somebody, moved).split(1), list(actions), 1.5
    ),
    alt="One head at rest, with open jaw, smiling, blinking, with raised brows, puckering.",
)

# %% [markdown]
# ## A camera
#
# A point $p$ of the world is moved into the camera's space and divided by its depth,
#
# $$ (x, y, z) = R\,p + t, \qquad (u, v) = \left( f\,\tfrac{x}{z} + c_u,\; f\,\tfrac{y}{z} + c_v \right). \tag{3.2} $$
#
# That division is why a face looks different from near: the nose is close, the ears are far. Below the
# focal length grows with the distance, so that the head stays as large.

# %%
near_far = [250.0, 500.0, 1000.0, 4000.0]
shots = [
    render.heads(somebody[:1], camera=camera.Camera.portrait(128, mm, 270.0))
    for mm in near_far
]
figures.show(
    figures.image_row(shots, [f"{mm / 1000:g} m" for mm in near_far], 1.8),
    alt="The same head from a quarter of a metre, half a metre, one metre and four metres.",
)

# %% [markdown]
# ### Exercise 3.2: project a point
#
# Write (3.2) for a batch of points, without the library. *(6 minutes, 2 points)*
#
# <details><summary>Hint 1</summary>
#
# Points are rows, so $R p$ is `points @ R.T`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `z` must keep its last dimension to divide x and y: `moved[:, 2:]`.
#
# </details>
# <details><summary>Hint 3</summary>
#
# `f * moved[:, :2] / moved[:, 2:] + c`.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _projects(answer):
    shot = camera.Camera.portrait(100, 800.0, 300.0)
    points = torch.tensor([[0.0, 0, 0], [30.0, 0, 0], [0, 40.0, 100.0]])
    want = shot.project(points[None])[0][0]
    R, t = shot.rotation[0], shot.translation_mm[0]
    got = answer(points, R, t, shot.focal_px[0], shot.centre_px[0])
    assert got.shape == want.shape, "one pixel (u, v) a point"
    middle, side, near = (
        torch.allclose(*p, atol=1e-4) for p in zip(got, want, strict=True)
    )
    assert middle, "the origin should be at the picture's centre"
    assert side, "scale by f / z"
    assert near, "nearer points: divide by their own depth"


pinhole = Exercise("3.2 Project a point", _projects, 6, 2)


# %% tags=["exercise"]
def project(points, R, t, f, c):
    """Pixels (u, v) of points (n, 3)."""
    return ...  # your lines


pinhole.check(project)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def project_solution(points, R, t, f, c):
    """(3.2), row by row."""
    moved = points @ R.T + t
    return f * moved[:, :2] / moved[:, 2:] + c


pinhole.prove(project_solution)

# %% [markdown]
# ## Light
#
# A matt surface throws back the light that falls on it, whatever direction it is seen from. Light from
# all around, on a normal $n$, is smooth: nine numbers a colour describe it to a few per cent
# {cite:p}`ramamoorthi2001irradiance`. With the harmonics $Y_{lm}$ and $A_l = \pi, 2\pi/3, \pi/4$,
#
# $$ E(n) = \sum_{l=0}^{2} \sum_{m=-l}^{l} A_l\, L_{lm}\, Y_{lm}(n). \tag{3.3} $$
#
# A lamp that casts shadows is not smooth, so it is kept apart. With albedo $\rho$, intensity $I$ and
# direction $d$, and $V = 0$ where something stands in between,
#
# $$ \text{colour} = \rho \left( E(n) / \pi + V\, I \max(0, n \cdot d) \right). \tag{3.4} $$

# %%
source(lighting.irradiance)

# %% tags=["nbval-check-output"]
up = torch.tensor([[[0.0, 1, 0], [0, 0, 1.0]]])
ambient = lighting.Light.ambient(1.0)
print(
    "even light on any normal:",
    lighting.irradiance(up, ambient.harmonics)[0, :, 0].tolist(),
)
print("pi:                      ", round(math.pi, 6))

# %%
lamps = ["frontal", "left", "top", "bottom", "backlit"]
lit = [
    render.heads(somebody[:1], light=lighting.Light.preset(name), shadows=True)
    for name in lamps
]
figures.show(
    figures.image_row(lit, lamps, 1.6),
    alt="One head lit from the front, its left, above, below and behind.",
)

# %% [markdown]
# ## Triangles become pixels
#
# What remains is to find, for every pixel, the nearest triangle. In a triangle with corners $a, b, c$
# every place is a weighted mean of them, and the weights are areas: that of $p, b, c$ over the whole
# belongs to $a$. If all three are positive, $p$ is inside. Here is a rasteriser in twenty lines, one
# triangle after the other, nearest depth wins.


# %%
def toy_rasterise(xy, depth, triangles, size):
    """Number of the nearest triangle at each pixel; -1 where nothing is."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    shown, nearest = torch.full((size, size), -1), torch.full((size, size), 1e9)

    def area(p, q, rx, ry):
        return (q[0] - p[0]) * (ry - p[1]) - (q[1] - p[1]) * (rx - p[0])

    for number, corners in enumerate(triangles):
        a, b, c = xy[corners]
        edges = ((b, c), (c, a), (a, b))
        weights = [area(p, q, x, y) / area(a, b, *c) for p, q in edges]
        z = sum(w * d for w, d in zip(weights, depth[corners], strict=True))
        wins = (torch.stack(weights).min(0).values > 0) & (z < nearest)
        shown[wins], nearest[wins] = number, z[wins]
    return shown


# %% [markdown]
# The library's does all triangles of all pictures at once, knows perspective, has a rule for pixels that
# lie on an edge, and lets gradients through to the corners. On triangles whose edges miss the pixels'
# centres both must agree, pixel by pixel.

# %% tags=["nbval-check-output"]
corners_xy = torch.rand(24, 2, generator=random) * 48 + 0.003
depths = torch.rand(24, generator=random) + 1
threes = torch.arange(24).view(8, 3)
toy = toy_rasterise(corners_xy, depths, threes, 48)
ours = rasterize.rasterize(
    corners_xy[None], depths[None], threes, (48, 48), perspective=False
).triangle[0]
print("pixels that differ:", int((toy != ours).sum()), "of", toy.numel())

# %%
palette = torch.rand(9, 3, generator=random) * 1.6 - 0.8
flat = palette[toy].permute(2, 0, 1)[None]
mesh = render.heads(somebody[:1], size=96, yaw_rad=0.4)
figures.show(
    figures.image_row(
        [flat, mesh], ["8 triangles", f"{len(model.triangles):,}"], 2.2
    ),
    alt="Eight coloured triangles that hide each other, and a head made of ten thousand.",
)

# %% [markdown]
# ### Exercise 3.3: weights
#
# Return the barycentric weights of a point in a triangle in the plane, as a tensor of three.
# *(6 minutes, 2 points)*
#
# <details><summary>Hint 1</summary>
#
# Twice the signed area of $p, q, r$ is $(q - p) \times (r - p)$.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The weight of $a$ is the area of $(p, b, c)$ over that of $(a, b, c)$.
#
# </details>
# <details><summary>Hint 3</summary>
#
# They sum to one; at $a$ they are $(1, 0, 0)$.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _weighs(answer):
    a, b, c = torch.tensor([[0.0, 0], [4.0, 0], [0, 2.0]])
    got = torch.as_tensor(answer(a, a, b, c))
    assert got.shape == (3,), "three weights"
    assert torch.allclose(got, torch.tensor([1.0, 0, 0])), (
        f"at a: (1, 0, 0), got {got.tolist()}"
    )
    inside = torch.as_tensor(answer(torch.tensor([1.0, 0.5]), a, b, c))
    assert torch.allclose(inside.sum(), torch.tensor(1.0)), (
        "they must sum to one"
    )
    assert torch.allclose(inside, torch.tensor([0.5, 0.25, 0.25])), (
        f"got {inside.tolist()}"
    )


weigh = Exercise("3.3 Weights", _weighs, 6, 2)


# %% tags=["exercise"]
def barycentric(p, a, b, c):
    """Weights of a, b and c at p."""
    return ...  # your lines


weigh.check(barycentric)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def barycentric_solution(p, a, b, c):
    """Areas of the three parts over the whole."""

    def area(u, v, w):
        return (v[0] - u[0]) * (w[1] - u[1]) - (v[1] - u[1]) * (w[0] - u[0])

    return torch.stack([area(p, b, c), area(a, p, c), area(a, b, p)]) / area(
        a, b, c
    )


weigh.prove(barycentric_solution)

# %% [markdown]
# ## Skin, hair, glasses
#
# A head needs a surface. Skin is pigment behind glass: what comes back falls exponentially with melanin
# $m$ and haemoglobin $h$, in each colour at its own rate,
#
# $$ \rho = \rho_0 \exp(-m\,\mu - h\,\beta). \tag{3.5} $$

# %%
source(painting.skin_colour)

# %%
grid = torch.cartesian_prod(
    torch.tensor([0.2, 0.7]), torch.tensor([0.05, 0.2, 0.4, 0.8])
)
skins = appearance.plain(8, hair_style=2)
skins = appearance.Appearance(
    **skins.values() | {"melanin": grid[:, 1], "haemoglobin": grid[:, 0]}
)
styles = [
    render.heads(
        somebody[:1], looks=appearance.plain(1, hair_style=k, eyeglasses=k % 4)
    )
    for k in range(6)
]
sheet = render.heads(somebody[:1].expand(8, -1), looks=skins)
figures.show(
    figures.face_sheet(sheet, columns=4, width_in=5.0),
    alt="One head in eight skins: melanin rises to the right, haemoglobin from the first row to the second.",
)

# %%
figures.show(
    figures.image_row(styles, list(appearance.HAIR_STYLES), 1.5),
    alt="One head with six hair styles, some of them with eyeglasses.",
)

# %% [markdown]
# Hair is a shell over the scalp that is lifted and lengthened, eyeglasses are bent tubes. Both are crude,
# and both do what matters here: they hide parts of a face, and they change while the person does not.
#
# ## A crowd with labels
#
# AnnyFaces draws from all of that. An identity seed says who (shape, skin, hair, habits), a view seed
# says how seen (pose, expression, light, background, what is worn that day). Any face can be drawn at any
# time from its two seeds; there are no files. Its labels are what it was made from.

# %%
some = faces.rows(torch.arange(len(faces))[:: max(1, len(faces) // 6)][:6])
figures.show(
    figures.landmarks(some.images, some.landmarks, columns=6),
    alt="Six rendered faces with their 68 landmarks.",
    photograph=True,
)
for row in range(3):
    yaw, pitch, roll = torch.rad2deg(some.euler_rad[row]).tolist()
    on = [
        n
        for n, yes in zip(
            crowd.attribute_names, some.attributes[row], strict=True
        )
        if yes
    ]
    print(
        f"yaw {yaw:.0f}, pitch {pitch:.0f}, roll {roll:.0f} degrees: {', '.join(on)}"
    )

# %% [markdown]
# The 68 points are those of 300-W {cite:p}`sagonas2013faces`, as vertices, so that they are right even
# where nothing can be seen. The attributes bear CelebA's names, but each is decided by a rule from
# numbers (the mouth is open when the lips are so many millimetres apart), where CelebA asked people.
#
# A dataset should come with a card that says what is in it, how it was made and what it is not for
# {cite:p}`gebru2021datasheets`. This one writes its own from the numbers it draws with. Here is the first part.

# %%
print(card.card().split("## How it is made")[0])

# %% [markdown]
# ## Are they people?
#
# Ask the recogniser. All faces are aligned with their true landmarks, as in Chapter 1 with detected ones.

# %%
recogniser = embedder.embedder("dlib")
five = face_points.five_points(faces.landmarks)
codes = recogniser.embed(align.align(faces.images, five, recogniser.template))
pairs = verification.all_pairs(embeddings=codes, people=faces.identity)
same, other = pairs.distances[pairs.same], pairs.distances[~pairs.same]
auc = verification.auc(distances=pairs.distances, same=pairs.same)
print(
    f"AUC {auc:.3f}; same person {same.mean():.3f}, two people {other.mean():.3f}"
)

# %%
figures.show(
    figures.histograms(
        [same, other],
        ["one person", "two people"],
        threshold=recogniser.threshold_squared,
    ),
    alt="Histograms of distances between rendered faces of one person and of two people.",
)

# %% [markdown]
# Within a row the pictures differ (a constant picture would have distances of 0), and still rows hold
# together. But look at the threshold that separates photographs: many pairs of *different* rendered
# people are below it. To a network that learned from photographs all our people are somewhat alike, as
# relatives are. Distances on renders must be compared with distances on renders.
#
# How much of the confusion is pose? Compare pairs by how far apart the two heads are turned.

# %%
yaw = torch.rad2deg(faces.euler_rad[:, 0])
i, j = torch.triu_indices(len(faces), len(faces), 1)
turn = (yaw[i] - yaw[j]).abs()
apart = recogniser.distance(codes[i], codes[j])
one = faces.identity[i] == faces.identity[j]
for low, high in [(0, 15), (15, 30), (30, 120)]:
    here = (turn >= low) & (turn < high)
    score = verification.auc(distances=apart[here], same=one[here])
    print(
        f"turned {low:>2} to {high:>3} degrees apart: AUC {score:.3f}, same {apart[here & one].mean():.3f}"
    )

# %% [markdown]
# ## Not the same for everyone
#
# Error rates differ between groups of people {cite:p}`grother2019`, and here the groups are known, because
# we drew them. Compare strangers *within* a group: the closer they seem, the more often one would be let
# in for the other.

# %%
melanin = faces.labels["looks_melanin"].flatten()
dark = melanin > melanin.median()
for name, group in {"lighter skin": ~dark, "darker skin": dark}.items():
    both = group[i] & group[j] & ~one
    share = (apart[both] < recogniser.threshold_squared).float().mean()
    print(
        f"{name}: strangers {apart[both].mean():.3f} apart, {share:.0%} below the threshold"
    )

# %% [markdown]
# Whatever you see with eight people is chance as much as anything; the `paper` profile draws two hundred people.
# Two causes can't be told apart here: the recogniser's training set, and our own renderer, which may vary
# one group less than another. The ethnic axes of the model we started from are somebody's caricatures of
# populations, and no measurement on them says anything about people {cite:p}`buolamwini2018`.

# %% [markdown]
# ## Back from a picture
#
# Turn the question round: here is a face, which head is it? If the picture shows landmarks $p_i$, look for
# pose $R, t$ and coefficients $c = (a, w)$ whose landmarks $u_i$ fall on them, and which are not too
# unusual for a head {cite:p}`blanz1999morphable`:
#
# $$ \min_{R, t, c}\; \sum_i \frac{\lVert u_i(R, t, c) - p_i \rVert^2}{s^2}
#    + \sum_k \frac{c_k^2}{\sigma_k^2}. \tag{3.6} $$
#
# The landmarks come from a small network. It has learned all 68 from AnnyFaces, and besides, on other
# generated faces, to put five of them where MTCNN does. Nobody knows the true landmarks of a generated face,
# so what we can measure is how well *some* head explains what the network says.

# %%
photos = dcgan.pretrained().sample(generated, random)
points = face_points.landmark_regressor()(photos)
settings = fit.FitSettings(noise=0.05)
fitted = fit.fit_landmarks(model, points, size=64, settings=settings)
eyes = (points[:, 36] - points[:, 45]).norm(dim=1)
error = fitted.residual_px.mean(1) / eyes
half, most = error.quantile(torch.tensor([0.5, 0.9])).tolist()
print(
    f"{generated} generated faces, {int(fitted.converged.sum())} fits converged"
)
print(
    f"landmark error, distances of the eyes: median {half:.1%}, 90 % {most:.1%}"
)

# %% [markdown]
# Best, median and worst by that error, chosen by rule. Light and skin are found from the pixels afterwards
# (`pixel_fit`), by gradients through the rasteriser.

# %%
place = error.argsort()[[0, generated // 2, -1]]
start = fit.fit_landmarks(model, points[place], size=64, settings=settings)
found = pixel_fit.fit_pixels(model, photos[place], points[place], start)
drawn, _ = pixel_fit.face_renderer(model, 64)(
    found.vertices(model), found.camera, found.light, found.appearance
)
rows = torch.cat([photos[place], photos[place], drawn])
marks = torch.cat([points[place], *[found.landmarks(model)] * 2])
figures.show(
    figures.landmarks(rows, marks, columns=3, width_in=4.5),
    alt="Best, median and worst fit: a generated face with the network's points, the head's, and the head drawn.",
    photograph=True,
)

# %% [markdown]
# From above: what the network saw, the fitted head's landmarks, the fitted head. A pair of a photo-like
# face and its render is what `ganfaces` needs to begin {cite:p}`gecer2018ganfaces`; this is how we come by them.
#
# ## Play
#
# Move a head. It needs a running kernel; the rows above are its still frames.

# %%
widgets.head()

# %% [markdown]
# ## What it is good for, and what not
#
# Networks that never saw a photograph have learned to find landmarks from renders
# {cite:p}`wood2021fake`, and nobody had to be asked for their face. Ours are poorer than theirs: no
# strands of hair, no pores, adults alone, one body of data. A result on AnnyFaces is a result on
# AnnyFaces. What it gives is truth about pose, light and expression, and people whose consent is no question.
# What it can't give is any statement about how a system treats real groups of people.
#
# ## Summary
#
# - A head is a mean plus weighted sums of shapes (3.1); identity and expression are separate sums.
# - Perspective divides by depth (3.2); matt light is nine numbers and a lamp (3.3, 3.4); pigment is an
#   exponential (3.5).
# - A rasteriser asks for every pixel which triangle is nearest; barycentric weights carry everything else.
# - Labels come free when the picture is made from them, and distances on renders are not those on photographs.
#
# ## Graded exercises
#
# 1. *(4 points)* Draw two people in the same eight views (give `AnnyFaces` a list of view seeds). Is the
#    distance between two views of one person larger than that between two people in one view? Say what
#    that means for a method that is praised for keeping identity while it changes the pose.
# 2. *(4 points)* Find the shape component that moves the recogniser's embedding most for a step of one
#    standard deviation, and the one that moves it least. Are they the first and the last?
# 3. *(6 points)* Take gradients of one face's embedding with respect to its identity coefficients through
#    the renderer, and walk from one person to another along them. Compare with the straight line.
