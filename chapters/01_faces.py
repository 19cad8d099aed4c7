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
# # A face, found, aligned and embedded
#
# | | |
# |---|---|
# | **Question** | What has to happen to a photograph before a network can say whose face is in it? |
# | **You will be able to** | find a face and its landmarks, bring it to a standard pose, turn it into 128 numbers, compare two faces by those numbers, and draw new faces from a generator |
# | **You need** | Python, tensors, a little least squares; no earlier chapter |
# | **Papers behind it** | MTCNN {cite:p}`zhang2016mtcnn`, Umeyama's alignment {cite:p}`umeyama1991`, residual networks {cite:p}`he2016resnet`, DCGAN {cite:p}`radford2016dcgan` |
# | **Time** | an hour with the exercises |
#
# The five papers of this book change a face and promise to keep the person. Whether they keep the
# promise is measured, and every measurement starts with the same four steps: *detect*, *align*,
# *embed*, *compare*. They look like plumbing. They are not: leave one out, and the numbers of all
# later chapters turn into noise. In this chapter you run each step on real photographs and on faces
# of people who do not exist.

# %% [markdown]
# The cell below holds everything that you may change from outside: in JupyterLab by editing it, on
# the command line with `-p photo=me.jpg`. With an empty `photo` the chapter uses a portrait of the
# astronaut Eileen Collins, which NASA put in the public domain.

# %% tags=["parameters"]
photo = ""  # the path of a picture with one face; empty: the astronaut
faces = 64  # how many faces to draw from the generator
seed = 0  # where the random numbers start

# %%
import math

import torch

from facelab import assets, figures, images, widgets
from facelab.book.exercises import Exercise, source
from facelab.generators import dcgan
from facelab.generators.generator import interpolate_linear
from facelab.generators.generator import interpolate_scaled, path
from facelab.recognition import align, embedder, mtcnn, sampling

random = torch.Generator().manual_seed(seed)

# %% [markdown]
# ## One question, one picture

# %%
photograph = images.load_image(photo or assets.path("astronaut"))
figures.show(
    figures.image_row(
        [photograph], [photo or "Eileen Collins, NASA (public domain)"], 3.6
    ),
    alt="The photograph that this chapter works on, before anything was done to it.",
    photograph=True,
)

# %% [markdown]
# **Predict before you run on.** You recognise people in pictures of any size, turned a little, half
# in shadow. The network that we use later has seen millions of faces. How far may the face slide out
# of the frame that the network expects before a person stops being the same person to it? Write down
# a guess, as a share of that frame's width. You will measure it in a moment.

# %% [markdown]
# ## A picture is a tensor
#
# A file stores a level $v$ between 0 and 255 for each pixel and colour. Inside facelab an image is a
# tensor of shape (batch, 3, height, width) with values
#
# $$ x = \frac{2v}{255} - 1 \in [-1, 1]. \tag{1.1} $$
#
# Generators end in a hyperbolic tangent, so this is the range that they speak. One module,
# `facelab.images`, converts between the two worlds; nothing else is allowed to. Half of all bugs in
# image code are a range or an axis in the wrong place, and they rarely crash: they just make
# everything a little worse.

# %%
source(images.from_uint8)

# %% tags=["nbval-check-output"]
black_grey_white = torch.tensor([0, 51, 255], dtype=torch.uint8)
row = black_grey_white.view(1, 3, 1).expand(
    1, 3, 3
)  # three pixels of three equal channels
values = images.from_uint8(row)[0, 0, 0].tolist()
print(
    "levels",
    black_grey_white.tolist(),
    "->",
    [round(value, 3) for value in values],
)

# %% [markdown]
# ### Exercise 1.1: the way back
#
# Invert (1.1): from values to levels. A network does not know that levels are whole numbers between
# 0 and 255, so your function has to see to that. *(easy, 3 minutes, 1 point)*
#
# <details><summary>Hint 1</summary>
#
# Solve the equation for the level first, and forget about whole numbers.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A conversion to `torch.uint8` cuts the fraction off. Which function brings you to the *nearest*
# whole number?
#
# </details>
# <details><summary>Hint 3</summary>
#
# A value of 1.2 must become 255, not 280: look at `Tensor.clamp`.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _returns_levels(answer):
    got = answer(torch.tensor([-1.0, 0.0, 1.0]))
    assert isinstance(got, torch.Tensor), (
        f"expected a tensor of levels, got {type(got).__name__}"
    )
    assert got.dtype == torch.uint8, f"levels are uint8, yours are {got.dtype}"
    assert got.tolist() != [0, 127, 255], (
        "0 lies at 127.5 and became 127: the fraction was cut off, round it"
    )
    assert got.tolist() == [0, 128, 255], (
        f"-1, 0, 1 should give 0, 128, 255, yours {got.tolist()}"
    )
    got = answer(torch.tensor([-3.0, 1.2]))
    assert got.tolist() == [0, 255], (
        f"values outside must be clipped to 0, 255, yours give {got.tolist()}"
    )


way_back = Exercise("1.1 The way back", _returns_levels, 3, 1, "easy")


# %% tags=["exercise"]
def to_levels(values):
    """Turn values in [-1, 1] into levels 0..255, uint8."""
    return ...  # your line


way_back.check(to_levels)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@way_back.hide("every level there and back, in the shape of a picture")
def _returns_every_level(answer):
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    got = answer(2 * levels.float() / 255 - 1)
    assert got.shape == levels.shape, f"shape {tuple(got.shape)}"
    assert torch.equal(got, levels), "a level did not come back"


@way_back.hide("values between two levels")
def _finds_the_nearest_level(answer):
    stream = torch.Generator().manual_seed(11)
    levels = torch.randint(0, 256, (500,), generator=stream)
    beside = 0.8 * torch.rand(500, generator=stream) - 0.4
    got = answer(2 * (levels + beside) / 255 - 1)
    assert got.tolist() == levels.tolist(), "not the nearest level"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
way_back.refuse(
    lambda values: ((values + 1) * 127.5).clamp(0, 255).to(torch.uint8),
    "the fraction was cut off",
)
way_back.refuse(
    lambda values: ((values + 1) * 127.5).round().clamp(0, 255),
    "levels are uint8, yours are torch.float32",
)
way_back.refuse(
    lambda values: ((values + 1) * 127.5).round().long().to(torch.uint8),
    "values outside must be clipped",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def to_levels_solution(values):
    """Solve (1.1) for the level, then round and clip."""
    return ((values + 1) * 255 / 2).round().clamp(0, 255).to(torch.uint8)


way_back.prove(to_levels_solution)

# %% [markdown]
# ## Detect: where is the face?
#
# MTCNN {cite:p}`zhang2016mtcnn` looks for faces with three small networks in a row. The first is tiny
# and slides over the picture at many scales; it rejects almost everything and lets a few thousand
# candidates through. The second looks harder at those, the third hardest at the few that remain, and
# it also says where the two eyes, the nose and the corners of the mouth are. A cascade spends its
# effort where it is needed: most of any photograph is not a face, and most of that can be seen at a
# glance.

# %%
found = mtcnn.detect(photograph)
labels = [
    f"p = {probability:.3f}" for probability in found.probabilities.tolist()
]
figures.show(
    figures.detections(photograph, found.boxes, found.landmarks, labels),
    alt="The photograph with a box around each detected face, and five landmarks on the face.",
    photograph=True,
)

# %% [markdown]
# A picture with no face, or with several, would make everything below speak of the wrong thing. So the
# chapter insists on exactly one, and stops with one clear line otherwise:

# %%
aligned = align.crop_faces(
    photograph, "dlib150", policy="error", source=photo or "the portrait"
)
print(f"one face, {aligned.boxes[0, 2] - aligned.boxes[0, 0]:.0f} pixels wide")

# %% [markdown]
# Neighbouring windows see the same face, so a detector finds each face many times over. What is kept
# is decided by how much two boxes overlap, the *intersection over union*
#
# $$ \operatorname{IoU}(A, B) = \frac{|A \cap B|}{|A \cup B|}. \tag{1.2} $$
#
# The most certain box stays, and every box that overlaps it by more than a threshold goes
# (*non-maximum suppression*). Then the next most certain one has its turn.
#
# ### Exercise 1.2: intersection over union
#
# Boxes are $(x_1, y_1, x_2, y_2)$. Two boxes that do not touch have an IoU of zero, which the obvious
# formula gets wrong. *(medium, 5 minutes, 2 points)*
#
# <details><summary>Hint 1</summary>
#
# The intersection of two boxes is a box. Its left edge is the larger of the two left edges.
#
# </details>
# <details><summary>Hint 2</summary>
#
# When the boxes don't meet, that intersection has a negative width. What should its area be?
#
# </details>
# <details><summary>Hint 3</summary>
#
# The union counts the intersection once: $|A| + |B| - |A \cap B|$.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _measures_overlap(answer):
    def expect(a, b, value, why):
        got = answer(a, b)
        assert isinstance(got, int | float | torch.Tensor), (
            f"{why}: expected the number {value:.4f}, got {got!r}"
        )
        assert math.isclose(got, value, abs_tol=1e-6), (
            f"{why}: expected {value:.4f}, got {float(got):.4f}"
        )

    square, left = (0, 0, 2, 2), (1, 0, 3, 2)
    expect(square, square, 1, "a box with itself (count what is shared once)")
    expect(square, left, 1 / 3, "two boxes that share half of each")
    apart = "boxes side by side that do not touch"
    expect(square, (5, 0, 6, 1), 0, apart)
    expect((0, 0, 1, 1), (3, 3, 4, 4), 0, "boxes apart in both directions")


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
overlap = Exercise(
    "1.2 Intersection over union", _measures_overlap, 5, 2, "medium"
)


# %% tags=["exercise"]
def intersection_over_union(a, b):
    """Overlap of two boxes (x1, y1, x2, y2), between 0 and 1."""
    return ...  # your lines


overlap.check(intersection_over_union)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
def _by_counting(a, b):
    """Overlap of boxes with whole corners, square by square."""
    squares = [
        {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}
        for box in (a, b)
    ]
    return len(squares[0] & squares[1]) / len(squares[0] | squares[1])


@overlap.hide("boxes anywhere and of any size")
def _overlaps_as_counted(answer):
    stream = torch.Generator().manual_seed(12)
    corners = torch.randint(-6, 7, (60, 2, 2), generator=stream)
    sizes = torch.randint(1, 9, (60, 2, 2), generator=stream)
    for a, b in torch.cat([corners, corners + sizes], dim=2).tolist():
        got, wanted = float(answer(a, b)), _by_counting(a, b)
        assert math.isclose(got, wanted, abs_tol=1e-6), f"{a}, {b}: {got}"


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@overlap.hide("a box within another, and boxes with a common edge")
def _overlaps_at_the_limits(answer):
    inner, outer = (1.0, 1.0, 2.5, 2.0), (0.0, 0.0, 3.0, 4.0)
    for a, b in ((inner, outer), (outer, inner)):
        assert math.isclose(answer(a, b), 1.5 / 12, rel_tol=1e-5), "within"
    beside = (3.0, 0.0, 5.0, 4.0)
    assert math.isclose(answer(outer, beside), 0, abs_tol=1e-6), "an edge"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
def _unclipped(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (areas - width * height)


def _counted_twice(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / areas


overlap.refuse(_unclipped, "do not touch: expected 0.0000, got -0.3750")
overlap.refuse(_counted_twice, "count what is shared once")


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
def _of_the_smaller(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / min(areas)


overlap.refuse(_of_the_smaller, "share half of each: expected 0.3333, got 0.5")


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def intersection_over_union_solution(a, b):
    """Clip the sides of the intersection at zero before they are multiplied."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (area_a + area_b - width * height)


overlap.prove(intersection_over_union_solution)

# %% [markdown]
# ## Align: the same place for the same eyes
#
# A box still lets the head tilt and the eyes wander. So we move the picture until its five landmarks
# $p_i$ lie as near as possible to five fixed points $q_i$, a *template*. Only a scale $s$, a rotation
# $R$ and a shift $t$ are allowed: a face must not be stretched, since its proportions are what tells
# people apart.
#
# $$ \min_{s, R, t} \; \sum_{i=1}^{5} w_i \lVert s R\, p_i + t - q_i \rVert^2 \tag{1.3} $$
#
# The weights $w_i$ say how much each point counts. Ours trust the eyes most: the corners of the mouth
# move when somebody smiles, and a face should not be turned or shrunk by a smile.
#
# This has a closed form, found by Umeyama {cite:p}`umeyama1991` and others before him. In the plane it
# is short enough to read:

# %%
source(align.similarity_transform)

# %% [markdown]
# Does it find what was put in? Turn the template by 20 degrees, shrink it to 70 %, shift it, and ask
# for the way back.

# %% tags=["nbval-check-output"]
template = align.TEMPLATES["dlib150"].points_xy
turn = math.radians(20)
rotation = torch.tensor(
    [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
)
moved = 0.7 * template @ rotation.T + torch.tensor([12.0, -5.0])
transform = align.similarity_transform(moved[None], template[None])[0]
restored = moved @ transform[:, :2].T + transform[:, 2]
error = (restored - template).abs().max().item()
print(f"worst error after the way back: {error:.3f} pixels")

# %% [markdown]
# ### Exercise 1.3: read a transform
#
# The result is a 2 x 3 matrix, $[\, sR \mid t \,]$. Recover the scale and the angle in degrees.
# Positive angles turn from the x axis to the y axis. *(medium, 5 minutes, 2 points)*
#
# <details><summary>Hint 1</summary>
#
# A rotation does not change a vector's length, so the length of a column of $sR$ is $s$.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The first column of $sR$ is $(s \cos\varphi, s \sin\varphi)$.
#
# </details>
# <details><summary>Hint 3</summary>
#
# `math.atan2(y, x)` gives an angle with the right sign in all four quadrants; `math.atan(y / x)` does
# not.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _is_told_right(got, scale, degrees):
    assert isinstance(got, tuple | list | torch.Tensor), (
        f"return two numbers, the scale and the angle, got {got!r}"
    )
    got = torch.as_tensor(got, dtype=torch.float64).flatten().tolist()
    assert len(got) == 2, f"return the scale and the angle, got {got}"
    told = f"a turn of {degrees} degrees: got {got[1]:.2f}"
    assert math.isclose(got[0], scale, rel_tol=1e-3), (
        f"scale {scale}: got {got[0]:.3f}"
    )
    assert not math.isclose(got[1], math.radians(degrees), abs_tol=1e-3), (
        f"{told}, which is in radians"
    )
    assert not math.isclose(got[1], -degrees, abs_tol=1e-2), (
        f"{told}; positive angles turn from x to y"
    )
    assert math.isclose(got[1], degrees, abs_tol=1e-2), told


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _reads_scale_and_angle(answer):
    for scale, degrees in [(1, 25), (2, 30), (0.5, -45), (1.5, 120)]:
        phi = math.radians(degrees)
        cosine, sine = scale * math.cos(phi), scale * math.sin(phi)
        matrix = torch.tensor([[cosine, -sine, 3.0], [sine, cosine, -7.0]])
        _is_told_right(answer(matrix), scale, degrees)


read_transform = Exercise(
    "1.3 Read a transform", _reads_scale_and_angle, 5, 2, "medium"
)


# %% tags=["exercise"]
def scale_and_angle(transform):
    """Scale and rotation in degrees of a (2, 3) similarity transform."""
    return ...  # your lines


read_transform.check(scale_and_angle)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@read_transform.hide("scales, angles and shifts drawn at random")
def _reads_random_transforms(answer):
    stream = torch.Generator().manual_seed(13)
    for part in torch.rand(40, 4, generator=stream).tolist():
        scale, degrees = 0.1 + 5 * part[0], 340 * part[1] - 170
        phi = math.radians(degrees)
        cosine, sine = scale * math.cos(phi), scale * math.sin(phi)
        matrix = [[cosine, -sine, 90 * part[2]], [sine, cosine, -90 * part[3]]]
        got = answer(torch.tensor(matrix))
        assert math.isclose(got[0], scale, rel_tol=1e-3), "scale"
        assert math.isclose(got[1], degrees, abs_tol=0.05), "angle"


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@read_transform.hide("a transform that lays one face's points on a template")
def _reads_what_was_found(answer):
    points = align.TEMPLATES["book64"].points_xy
    turned = 3.0 * points @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    matrix = align.similarity_transform(points[None], turned[None] + 5)[0]
    scale, degrees = answer(matrix)
    assert math.isclose(scale, 3, rel_tol=1e-3), f"scale {scale}"
    assert math.isclose(degrees, 90, abs_tol=0.05), f"angle {degrees}"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
read_transform.refuse(
    lambda m: (float(m[:, 0].norm()), math.atan2(m[1, 0], m[0, 0])),
    "which is in radians",
)
read_transform.refuse(
    lambda m: (
        float(m[:, 0].norm()),
        math.degrees(math.atan2(m[0, 1], m[0, 0])),
    ),
    "positive angles turn from x to y",
)

# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
read_transform.refuse(
    lambda m: (
        float(m[:, 0].norm()),
        math.degrees(math.atan(m[1, 0] / m[0, 0])),
    ),
    "a turn of 120 degrees: got -60.00",
)
read_transform.refuse(
    lambda m: (
        float(torch.linalg.det(m[:, :2])),
        math.degrees(math.atan2(m[1, 0], m[0, 0])),
    ),
    "scale 2: got 4.000",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def scale_and_angle_solution(transform):
    """The first column is s (cos phi, sin phi)."""
    cosine, sine = float(transform[0, 0]), float(transform[1, 0])
    return math.hypot(cosine, sine), math.degrees(math.atan2(sine, cosine))


read_transform.prove(scale_and_angle_solution)

# %% [markdown]
# Now the photograph. Every network was trained with a template of its own, and feeding it crops made
# with another one costs accuracy. Three are drawn here: 64 pixels, the size of the faces that this
# book generates; 112, which ArcFace {cite:p}`deng2019arcface` uses; and 150, which our recogniser
# expects. The picture is smoothed before it is made smaller; otherwise fine patterns of hair and
# cloth would turn into false coarse ones.

# %%
names = ["book64", "arcface112", "dlib150"]
crops = [align.align(photograph, aligned.landmarks, name) for name in names]
figures.show(
    figures.image_row(
        crops, ["book64: 64 px", "arcface112: 112 px", "dlib150: 150 px"]
    ),
    alt="The same face cropped to three templates of 64, 112 and 150 pixels, upright and centred.",
    photograph=True,
)

# %% [markdown]
# ## Embed: 128 numbers
#
# The recogniser is a residual network {cite:p}`he2016resnet` of 29 convolutions, trained by the author
# of dlib {cite:p}`king2009dlib` on about three million photographs of seven thousand people, and given
# to the public domain. Its output, the *embedding*, is 128 numbers. Training pulled pictures of one
# person together and pushed pictures of different people apart, for people who are in the training
# set. That it also works for people who are not is the reason why face recognition exists.
#
# The papers of this book compare unit vectors by their squared Euclidean distance,
#
# $$ d(a, b) = \left\lVert \frac{a}{\lVert a \rVert} - \frac{b}{\lVert b \rVert} \right\rVert^2
# = 2 - 2 \cos(a, b), \tag{1.4} $$
#
# which lies between 0 and 4.

# %%
recogniser = embedder.embedder("dlib")
source(type(recogniser).distance)

# %%
portraits = {
    path.stem: path for path in sorted(assets.path("portraits").glob("*.jpg"))
}
chips = [
    align.crop_faces(
        images.load_image(path), "dlib150", policy="largest"
    ).images
    for path in portraits.values()
]
chips = torch.cat([aligned.images, *chips])
people = ["your photo" if photo else "collins", *portraits]
figures.show(
    figures.image_row(list(chips.split(1)), people, 1.6),
    alt="Five aligned faces: the chapter's photograph, Joe Biden once, Barack Obama three times.",
    photograph=True,
)

# %% [markdown]
# The last four are White House photographs: one of Joe Biden and three of Barack Obama in different
# lights, poses and expressions. (As works of the US government they are in the public domain there; the
# notice that comes with them asks that they not be altered. We crop and compare them, and no chapter
# edits them.) `biden` and `obama3` were cut from one photograph: one room, one camera, one second, two
# people. Below, pairs under the recogniser's same-person threshold are framed.
# Its author gives the threshold for raw embeddings (0.6, not squared); the framed pairs use the same
# border after (1.4), since raw embeddings of this network are about 1.4 long.

# %%
codes = recogniser.embed(chips)
between = torch.stack(
    [recogniser.distance(codes, code[None]) for code in codes]
)
figures.show(
    figures.distance_matrix(between, people, recogniser.threshold_squared),
    alt="Distances between five photographs: small among the three of Obama, large for other pairs.",
)

# %% tags=["nbval-check-output"]
obama = [people.index(name) for name in ("obama", "obama2", "obama3")]
biden = people.index("biden")
same = [between[i, j] for i in obama for j in obama if i < j]
other = [between[biden, i] for i in obama]
print("same person:", ", ".join(f"{value:.4g}" for value in same))
print("another person:", ", ".join(f"{value:.4g}" for value in other))

# %% [markdown]
# ### Exercise 1.4: distance from cosine
#
# Prove (1.4) to yourself: write the distance using nothing but dot products. *(easy, 4 minutes, 1 point)*
#
# <details><summary>Hint 1</summary>
#
# Expand $\lVert u - v \rVert^2$ for two unit vectors $u$ and $v$.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Two of the three terms are 1.
#
# </details>
# <details><summary>Hint 3</summary>
#
# $\cos(a, b) = a \cdot b \,/\, \sqrt{(a \cdot a)(b \cdot b)}$.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _measures_distance(answer):
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.5])
    alone, far = "a vector with itself, whatever its length", "opposite vectors"
    cases = [(a, a, 0, alone), (a, 7 * a, 0, "length must not matter")]
    cases += [(a, b, 2, "orthogonal vectors"), (a, -a, 4, far)]
    for u, v, value, why in cases:
        got = answer(u, v)
        assert isinstance(got, float | int | torch.Tensor), (
            f"{why}: expected the number {value}, got {got!r}"
        )
        assert getattr(got, "shape", ()) == (), f"{why}: one number, got {got}"
        assert value != 2 or not math.isclose(got, 2**0.5, abs_tol=1e-4), (
            f"{why}: got {got:.3f}, the root of 2; (1.4) squares the distance"
        )
        assert math.isclose(got, value, abs_tol=1e-5), (
            f"{why}: expected {value}, got {got:.3f}"
        )


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
by_cosine = Exercise(
    "1.4 Distance from cosine", _measures_distance, 4, 1, "easy"
)


# %% tags=["exercise"]
def distance_by_cosine(a, b):
    """Squared distance of the unit vectors along a and b, by dot products alone."""
    return ...  # your lines


by_cosine.check(distance_by_cosine)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@by_cosine.hide("embeddings of 128 numbers and of any length")
def _measures_embeddings(answer):
    stream = torch.Generator().manual_seed(14)
    for a, b in torch.randn(20, 2, 128, generator=stream).double():
        wanted = (a / a.norm() - b / b.norm()).square().sum()
        for u, v in ((a, b), (5 * a, b), (a, 0.02 * b)):
            got = float(answer(u, v))
            assert math.isclose(got, wanted, abs_tol=1e-5), f"{got}"


@by_cosine.hide("two directions at every angle")
def _measures_every_angle(answer):
    for degrees in range(0, 181, 15):
        phi = math.radians(degrees)
        turned = torch.tensor([2 * math.cos(phi), 2 * math.sin(phi)])
        got = float(answer(torch.tensor([1.0, 0.0]), turned))
        assert math.isclose(got, 4 * math.sin(phi / 2) ** 2, abs_tol=1e-5), (
            f"at {degrees} degrees: {got}"
        )


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
by_cosine.refuse(
    lambda a, b: 2 - 2 * (a @ b),
    "a vector with itself, whatever its length: expected 0, got -16",
)
by_cosine.refuse(
    lambda a, b: (2 - 2 * (a @ b) / (a.norm() * b.norm())).sqrt(),
    "(1.4) squares the distance",
)
by_cosine.refuse(
    lambda a, b: 1 - (a @ b) / (a.norm() * b.norm()),
    "orthogonal vectors: expected 2, got 1.000",
)


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def distance_by_cosine_solution(a, b):
    """Both squared norms are 1, so only the mixed term is left."""
    return 2 - 2 * (a @ b) / ((a @ a) * (b @ b)).sqrt()


by_cosine.prove(distance_by_cosine_solution)

# %% [markdown]
# ## Does alignment matter? Check your prediction
#
# Slide the frame over the photograph by a growing share of its width, and measure how far the
# embedding moves from where it was. The transform tells how large the frame is in the photograph:
# that is what Exercise 1.3 was for.

# %%
scale = float(sampling.scale_of(aligned.transforms)[0])
angle = float(sampling.turn_of(aligned.transforms)[0])
side = 150 / scale
print(
    f"the frame is {side:.0f} pixels wide in the photograph, turned by {angle:.1f} degrees"
)

# %%
shares = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5]
steps = [torch.tensor([share * side, 0.0]) for share in shares]
slid = [
    align.align(photograph, aligned.landmarks + step, "dlib150")
    for step in steps
]
slid_codes = recogniser.embed(torch.cat(slid))
drift = recogniser.distance(slid_codes, slid_codes[:1])
figure = figures.curves(
    shares,
    {"one photograph, frame slid sideways": drift.tolist()},
    x_axis="shift, as a share of the frame's width",
    y_axis="distance to the aligned face",
    references={"same-person threshold": recogniser.threshold_squared},
)
figures.show(
    figure,
    alt="The distance to the aligned face grows as the frame slides off the face.",
)

# %%
another = [
    share
    for share, far in zip(shares, drift, strict=True)
    if far > recogniser.threshold_squared
]
print(
    "another person from a shift of",
    f"{another[0]:.0%}" if another else "more than 50%",
)
figures.show(
    figures.image_row(
        slid[::2], [f"{share:.0%}" for share in shares[::2]], 1.5
    ),
    alt="The frame slid sideways over the same photograph, from well aligned to half a face.",
    photograph=True,
)

# %% [markdown]
# Same photograph, same second, same person: only the frame moved. When you read in a paper that some
# edit "keeps the identity", ask how the faces were aligned before the distance was taken.

# %% [markdown]
# ## Draw: faces of nobody
#
# A *generator* turns a vector of random numbers $z$, the *latent vector*, into a picture,
#
# $$ x = G(z), \qquad z \sim \mathcal{N}(0, I_{100}). \tag{1.5} $$
#
# Later chapters train some. Here we take one that exists: a DCGAN {cite:p}`radford2016dcgan` of five
# transposed convolutions, trained by its authors on DigiFace-1M {cite:p}`bae2023digiface`, a set of
# *rendered* heads. So its faces are of nobody twice over: they are invented, and what they were
# learned from was drawn by a computer too.

# %%
source(dcgan.DCGAN.__init__)

# %%
generator = dcgan.pretrained()
latent = generator.sample_latent(faces, random)
drawn = generator(latent)
print(
    f"{len(drawn)} faces, {drawn.shape[-1]} x {drawn.shape[-1]} pixels, weights: {generator.id}"
)

# %%
figures.show(
    figures.face_sheet(drawn, columns=16),
    alt="A sheet of generated faces: varied in pose, light and age, some with glasses or hats.",
    photograph=True,
)

# %% [markdown]
# They go through the same four steps. A detector trained on photographs does not accept all of them,
# and that is worth a number of its own: a method that quietly leaves out the faces it can't find will
# report a better score than it has. We count them.

# %%
each = [mtcnn.detect(face) for face in drawn.split(1)]
seen = torch.tensor([len(found) > 0 for found in each])
print(f"the detector finds a face in {int(seen.sum())} of {faces} pictures")

# %%
missed = drawn[~seen]
if len(missed):
    figures.show(
        figures.face_sheet(missed, columns=8, width_in=4.8),
        alt="All the generated pictures in which no face was found: dark, blurred or in profile.",
        photograph=True,
    )

# %% [markdown]
# This is the failure gallery, and nobody chose it: it holds *every* picture in which no face was
# found. Look for what they share. The detector learned from photographs in which somebody had marked
# faces; whatever is rare there is hard for it. That is harmless here and is not harmless at a border
# gate {cite:p}`grother2019`.

# %%
landmarks = torch.cat(
    [found.landmarks[:1] for found in each]
)  # the largest face of each picture
chips = align.align(drawn[seen], landmarks, "dlib150")
codes = recogniser.embed(chips)
pairs = torch.combinations(torch.arange(len(codes)))
apart = recogniser.distance(codes[pairs[:, 0]], codes[pairs[:, 1]])
under = (apart < recogniser.threshold_squared).float().mean()
print(
    f"{len(apart)} pairs of different faces: mean distance {apart.mean():.2f}, ",
    end="",
)
print(
    f"standard deviation {apart.std():.2f}, {under:.0%} under the same-person threshold"
)

# %%
figures.show(
    figures.histograms(
        [apart],
        ["pairs of generated faces"],
        threshold=recogniser.threshold_squared,
    ),
    alt="Histogram of the distances of generated faces, with the recogniser's same-person threshold.",
)

# %% [markdown]
# The threshold was set on photographs of different people, and different *photographed* people are
# rarely closer than that. These faces are closer to each other: they come from one renderer, with one
# style of light and skin, and the recogniser sees what they share. Carry this picture with you. A
# threshold belongs to the data it was set on, and a chapter that says "same person" of generated faces
# has to say by which yardstick.
#
# Which two of them does the recogniser think most alike, and which least? (Black is where the frame
# reaches beyond the generated picture: the generator crops its heads tighter than the recogniser's
# template.)

# %%
nearest, farthest = pairs[apart.argmin()], pairs[apart.argmax()]
shown = [chips[index][None] for index in (*nearest, *farthest)]
titles = [f"nearest, {apart.min():.2f}", "", f"farthest, {apart.max():.2f}", ""]
figures.show(
    figures.image_row(shown, titles, 1.7),
    alt="The two generated faces that are nearest to each other, and the two that are farthest.",
    photograph=True,
)

# %% [markdown]
# ## A face next to the photograph
#
# Now put the two worlds into one space: which of the drawn faces does the recogniser find most like
# the person in the photograph? This is, in its smallest form, what the first paper of this book does
# {cite:p}`li2017ganid`: it searches a generator for a face that a recogniser takes for a given person.

# %%
target = recogniser.embed(aligned.images)
to_target = recogniser.distance(codes, target)
order = to_target.argsort()[:5]
titles = ["photograph", *(f"{to_target[index]:.2f}" for index in order)]
figures.show(
    figures.image_row(
        [aligned.images, *(chips[index][None] for index in order)], titles, 1.6
    ),
    alt="The photograph's face and the five drawn faces that the recogniser finds most like it.",
    photograph=True,
)

# %% [markdown]
# ### Exercise 1.5: halfway between two faces
#
# Walk from one latent vector to another in a straight line. Halfway, the vector is *shorter* than both
# ends, and the generator never saw such short vectors in training. Write the walk so that it keeps the
# length: scale each point to the length that lies in proportion between those of its ends.
# *(hard, 8 minutes, 3 points)*
#
# <details><summary>Hint 1</summary>
#
# The straight line is $(1 - t)\, a + t\, b$. Write that first; the ends must come out exactly.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The wanted length is the same blend of the two lengths: $(1 - t) \lVert a \rVert + t \lVert b \rVert$.
#
# </details>
# <details><summary>Hint 3</summary>
#
# Divide by the length that the point has, and multiply by the one that it should have.
#
# </details>


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
def _keeps_length(answer):
    a, b = torch.tensor([4.0, 0.0]), torch.tensor([0.0, 2.0])
    for share, want in [(0, a), (1, b)]:
        got = answer(a, b, share)
        wrong = f"at t = {share} expected {want.tolist()}, got {got!r}"
        assert isinstance(got, torch.Tensor), wrong
        assert got.shape == want.shape, wrong
        assert torch.allclose(got, want, atol=1e-5), wrong
    middle = answer(a, b, 0.5)
    wrong = f"halfway the length should be 3, yours is {middle.norm():.2f}"
    assert math.isclose(middle.norm(), 3, rel_tol=1e-4), wrong
    straight = 3 / 5**0.5 * torch.tensor([2.0, 1.0])
    assert torch.allclose(middle, straight, atol=1e-4), (
        "the direction should stay that of the straight line: expected "
        f"{straight.tolist()}, got {middle.tolist()}"
    )


# %% tags=["exercise-test", "hide-input"] jupyter={"source_hidden": true}
halfway = Exercise("1.5 Halfway between two faces", _keeps_length, 8, 3, "hard")


# %% tags=["exercise"]
def walk(a, b, t):
    """The point at share t of the way from a to b, of a length in proportion."""
    return ...  # your lines


halfway.check(walk)


# %% tags=["hidden-test", "remove-cell"] jupyter={"source_hidden": true}
@halfway.hide("latent vectors of 100 numbers and any share of the way")
def _keeps_lengths_on_the_way(answer):
    stream = torch.Generator().manual_seed(15)
    a, b = torch.randn(2, 100, generator=stream).double()
    for t in torch.rand(20, generator=stream).double():
        straight = a + t * (b - a)
        length = a.norm() + t * (b.norm() - a.norm())
        got = answer(a, b, t)
        wanted = straight * length / straight.norm()
        assert torch.allclose(got, wanted, atol=1e-6), f"at {t:.3f}"


@halfway.hide("ends of very different length")
def _keeps_unequal_lengths(answer):
    a, b = torch.tensor([0.01, 0.0, 0.0]), torch.tensor([0.0, 60.0, 80.0])
    got = answer(a, b, 0.25)
    assert math.isclose(got.norm(), 25.0075, rel_tol=1e-4), "length"


# %% tags=["wrong-answers", "remove-cell"] jupyter={"source_hidden": true}
halfway.refuse(
    lambda a, b, t: (1 - t) * a + t * b,
    "halfway the length should be 3, yours is 2.24",
)
halfway.refuse(
    lambda a, b, t: t * a + (1 - t) * b,
    "at t = 0 expected [4.0, 0.0]",
)


def _on_the_arc(a, b, t):
    phi = torch.tensor(math.pi / 2 * t)
    way = phi.cos() * a / a.norm() + phi.sin() * b / b.norm()
    return way * ((1 - t) * a.norm() + t * b.norm())


halfway.refuse(_on_the_arc, "should stay that of the straight line")


# %% tags=["solution", "hide-input"] jupyter={"source_hidden": true}
def walk_solution(a, b, t):
    """A straight line whose points are scaled to the blend of the two lengths."""
    point = (1 - t) * a + t * b
    return point / point.norm() * ((1 - t) * a.norm() + t * b.norm())


halfway.prove(walk_solution)

# %%
sure = torch.tensor(
    [found.probabilities.max() if len(found) else 0.0 for found in each]
)
start, end = latent[sure.topk(2).indices]
straight = path(start, end, 9, interpolate_linear)
kept = path(start, end, 9, interpolate_scaled)
both = generator(torch.cat([straight, kept]))
figures.show(
    figures.face_sheet(both, columns=9),
    alt="Two walks from one drawn face to another: above a straight line, below of kept length.",
    photograph=True,
)

# %% [markdown]
# The ends are the two faces that the detector is most certain of. Above the straight line, below the
# walk that keeps the length. Every picture on the way is a face: nothing in (1.5) promises that, and it
# is what makes generators worth searching.

# %% [markdown]
# ## Play
#
# Move the slider to walk between any two of the drawn faces. It needs a running kernel; the pictures
# above are its still frames.


# %%
def way(a, b, t):
    """The point at share t of the walk that keeps the length."""
    ends = a[None], b[None], torch.tensor([t])
    return interpolate_scaled(*ends)[0]


widgets.walk(generator, latent, way)

# %% [markdown]
# ## Before you use your own picture
#
# Run this chapter on a picture of yours: set `photo` in the parameters cell, or
# `facelab book run 01_faces --profile quick -p photo=me.jpg`. Nothing leaves your computer. It works on
# other people's pictures just as well, which is the point where a choice begins:
#
# - **Ask.** An embedding is biometric data. In the European Union and in several states of the US it
#   may not be computed from a person's face without consent or another legal ground, also for research.
# - **Don't identify strangers.** A distance below a threshold is no proof. At the scale of a city, a
#   false match rate of one in a million still means false matches every day.
# - **Errors are not spread evenly.** Detectors and recognisers were found to fail more often for women
#   and for people with dark skin {cite:p}`buolamwini2018,grother2019`. Ours comes without such a
#   report; the chapters to come measure what they can on heads whose attributes are known.
# - **Say what is invented.** A generated or edited face that is passed off as a photograph does harm
#   even when it shows nobody: mark it.
#
# What this chapter used, under which licence, and what it may be used for:

# %% tags=["nbval-check-output"]
for name in (
    "astronaut",
    "portraits",
    "mtcnn",
    "gan-face-generate",
    "dlib-resnet",
):
    asset = assets.ASSETS[name]
    print(f"{name} ({asset.licence}): {asset.use}")

# %% [markdown]
# ## Summary
#
# - An image is a tensor in $[-1, 1]$; one module converts, (1.1).
# - A cascade finds the face and five landmarks; boxes are compared by (1.2).
# - A similarity transform, (1.3), brings the landmarks to a template; without it distances mean little.
# - An embedding turns the face into 128 numbers; (1.4) compares two of them, and a threshold belongs to
#   the data that it was set on.
# - A generator, (1.5), draws faces of nobody, which go through the same steps. Those that a detector
#   can't find are counted and not dropped.
#
# **Further reading.** The cascade {cite:p}`zhang2016mtcnn`; how training makes embeddings comparable
# {cite:p}`schroff2015facenet,deng2019arcface`; the game that trains a generator
# {cite:p}`goodfellow2014gan`; who is misread, and how often {cite:p}`buolamwini2018`.
