"""What can be read off features? Linear SVMs find attributes, probes find what identity is left.

| here | question | claim of d2ae (Liu et al. 2018) |
|---|---|---|
| `attribute_probe` | which attributes does a linear SVM find? | tables 1, 3 |
| `compare_attributes` | which of two features is better, and on which? | figure 5, table 1 |
| `leakage_probe` | how much identity does a feature still hold? | table 1, section 5.1 |

Table 1 verifies people by the cosine of two features. That misses identity that a feature keeps in
a form which the cosine doesn't weigh, so the leak is measured by probes that were trained to find
it: on some faces of people whom the features' network never saw, tested on their other faces.

Channels are brought to mean 0 and deviation 1 of the training part alone. Intervals draw the test
part's people anew and leave the probes as they are: training them on other people is not in them.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor

from facelab.errors import ParameterError
from facelab.metrics import bootstrap
from facelab.metrics.bootstrap import Interval, Statistic, weighted_mean
from facelab.metrics.features import Features, require_features

LEAST = 10  # faces with an attribute, and without it, in either part
TOP, HIDDEN = 5, 128  # guesses; units of the perceptron
# What a leakage probe chooses from by faces that it set aside, the most regularised first: the
# logistic regression's C, and the multilayer perceptron's weight of squared weights.
LOGISTIC, PERCEPTRON = (0.001, 0.01, 0.1, 1.0), (10.0, 1.0, 0.01)

# Any sizes: the functions check them, with a message that says more than a type checker's.
Labels = Bool[Tensor, "_ _"]
People = Int[Tensor, "..."]
Answers = Bool[Tensor, " faces"]
Rows = Float[Tensor, "faces features"]
FIGURES = ("accuracy", "balanced_accuracy")
Reading = LogisticRegression | MLPClassifier
Make = Callable[[float], Reading]


@dataclass(frozen=True)
class Share:
    """A share of faces, or a difference of two, and its interval over people (see `bootstrap`)."""

    value: float
    interval: Interval | None


# --- attributes ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Boundary:
    """A linear SVM's plane in the units of the features: a face f has it where n f > offset.

    `normal` is n, of length one. `direction` is the way to move a feature for an edit, of length
    one too: the normal for standardised channels, each times its channel's deviation. Along n, a
    channel that hardly varies would be moved by many of its deviations, to where no face is.
    `converged` is False where the solver's steps ended before.
    """

    normal: tuple[float, ...]
    offset: float
    direction: tuple[float, ...]
    converged: bool

    def decide(self, features: Features) -> Bool[Tensor, " faces"]:
        """Return which faces (faces, features) have it; `ParameterError` for other widths."""
        rows = _part("given", features, len(self.normal))
        return rows @ torch.tensor(self.normal, dtype=torch.float64) > self.offset


@dataclass(frozen=True)
class Attribute:
    """How well one attribute is found among the test part's faces, and the plane that finds it.

    `majority` is the accuracy of always answering what is commoner in the training part; its
    balanced accuracy is 0.5. `share` is that of test faces that have it.
    """

    accuracy: Share
    balanced_accuracy: Share
    majority: float
    share: float
    boundary: Boundary


@dataclass(frozen=True)
class AttributeProbe:
    """What linear SVMs find: each attribute, the means over them, and which was left out and why.

    `names` are those of the labels' columns. Means are None where all were left out.
    """

    names: tuple[str, ...]
    attributes: dict[str, Attribute]
    left_out: dict[str, str]
    train_faces: int
    test_faces: int
    test_people: int
    accuracy: Share | None
    balanced_accuracy: Share | None
    majority: float | None


def attribute_probe(
    train_features: Features,
    train_labels: Labels,
    test_features: Features,
    test_labels: Labels,
    *,
    names: Sequence[str],
    people: People,
    random: torch.Generator,
    cost: float = 1.0,
    least: int = LEAST,
    replicates: int = 1000,
) -> AttributeProbe:
    """Train a linear SVM for each attribute on one part and judge it by the faces of the other.

    Features are (faces, features), labels (faces, attributes) in the order of `names`; `people`
    numbers who the test faces show: people whom the training part lacks. `cost` is the weight of
    the squared hinge loss against half the squared length of the weights. An attribute is left out
    with fewer than `least` faces that have it, or lack it, in a part, or fewer than 5 test people.
    Raises `ParameterError` for numbers that don't agree or values that are not finite.
    Source: Liu et al. 2018, section 4.3; by LIBLINEAR's primal solver, which draws nothing.
    """
    train = _part("training", train_features, train_features.shape[1], train_labels)
    test = _part("test", test_features, train.shape[1], test_labels, people)
    if not len(names) == train_labels.shape[1] == test_labels.shape[1]:
        raise ParameterError(
            f"there are {len(names)} names for {train_labels.shape[1]} attributes of the training "
            f"part and {test_labels.shape[1]} of the test part; give as many of each"
        )
    draw, scaler = _Drawing(people, random, replicates), StandardScaler().fit(train.numpy())
    found, left_out, scores = {}, {}, []
    for name, seen, truth in zip(names, train_labels.cpu().T, test_labels.cpu().T, strict=True):
        if reason := _too_few(seen, truth, draw.people, least):
            left_out[name] = reason
            continue
        boundary = _boundary(scaler, train, seen, cost)
        scores.append(_scores(boundary.decide(test), truth))
        shares = {figure: draw(scores[-1][figure]) for figure in FIGURES}
        majority = float((truth == (seen.double().mean() > 0.5)).double().mean())
        has = float(truth.double().mean())
        found[name] = Attribute(**shares, majority=majority, share=has, boundary=boundary)
    return AttributeProbe(
        names=tuple(names),
        attributes=found,
        left_out=left_out,
        train_faces=len(train),
        test_faces=len(test),
        test_people=len(people.unique()),
        majority=float(np.mean([a.majority for a in found.values()])) if found else None,
        **{f: draw(_mean([s[f] for s in scores])) if found else None for f in FIGURES},
    )


def _too_few(
    seen: Answers, truth: Bool[Tensor, " others"], people: People, least: int
) -> str | None:
    """Return why an attribute can't be probed, or None."""
    enough = bootstrap.MINIMUM_PEOPLE
    for side, word in ((True, "with"), (False, "without")):
        for what, count, floor in (
            ("faces of the training part", int((seen == side).sum()), least),
            ("faces of the test part", int((truth == side).sum()), least),
            ("people of the test part", len(people[truth == side].unique()), enough),
        ):
            if count < floor:
                return f"{count} {what} are {word} it; {floor} are needed"
    return None


def _boundary(scaler: StandardScaler, train: Rows, labels: Answers, cost: float) -> Boundary:
    """Fit a linear SVM on standardised features; return its plane in the features' units."""
    model = LinearSVC(C=cost, dual=False)
    converged = _fit(model, scaler.transform(train.numpy()), labels)
    weights, mean, deviation = model.coef_[0], scaler.mean_, scaler.scale_
    if not weights.any():
        raise ParameterError("no feature of the training part varies; look at what made them")
    # w (f - mean) / deviation + b > 0, in terms of f
    normal, direction = weights / deviation, weights * deviation
    length = np.linalg.norm(normal)
    return Boundary(
        normal=tuple((normal / length).tolist()),
        offset=float((normal @ mean - model.intercept_[0]) / length),
        direction=tuple((direction / np.linalg.norm(direction)).tolist()),
        converged=converged,
    )


def _scores(answers: Answers, truth: Answers) -> dict[str, Statistic]:
    """Return the statistics: the share of right answers, and its mean over both kinds of faces."""
    right = (answers == truth).double()
    parts = [(kind.numpy(), weighted_mean(right[kind])) for kind in (truth, ~truth)]

    def balanced(weights: Float[np.ndarray, " faces"]) -> float:
        return sum(mean(weights[kind]) for kind, mean in parts) / 2

    return {"accuracy": weighted_mean(right), "balanced_accuracy": balanced}


@dataclass(frozen=True)
class AttributeComparison:
    """On which attributes the first of two features is better, and on which worse.

    `attributes` has the first's figure less the second's, and `difference` the mean over them.
    `better`, `worse` and `equal` count differences as they are, as the paper does; the `clearly`
    ones those whose interval is on one side of 0, where one in twenty is by chance.
    """

    figure: str
    attributes: dict[str, Share]
    better: int
    worse: int
    equal: int
    clearly_better: int
    clearly_worse: int
    difference: Share


def compare_attributes(
    first: tuple[AttributeProbe, Features],
    second: tuple[AttributeProbe, Features],
    labels: Labels,
    *,
    people: People,
    random: torch.Generator,
    figure: str = "accuracy",
    replicates: int = 1000,
) -> AttributeComparison:
    """Compare two probes, each with its features of the same test faces, attribute by attribute.

    Labels (faces, attributes) and `people` are those that both probes were judged by; an attribute
    that one of them left out is not compared. Raises `ParameterError` when names or numbers of
    faces don't agree, or no attribute is left.
    Source: Liu et al. 2018, table 1 ("#drop") and figure 5, which have no intervals.
    """
    names = [name for name in first[0].attributes if name in second[0].attributes]
    agree = first[0].names == second[0].names and len(first[0].names) == labels.shape[1]
    if not names or not agree or figure not in FIGURES:
        raise ParameterError(
            f"{len(names)} attributes were probed by both, which can't be compared by {figure!r} "
            f"with labels of {labels.shape[1]}; give all the same, and one of {', '.join(FIGURES)}"
        )
    for _, rows in (first, second):
        _part("test", rows, rows.shape[1], labels, people)
    draw, found, gaps = _Drawing(people, random, replicates), {}, []
    for name in names:
        truth = labels[:, first[0].names.index(name)].cpu()
        own, other = (
            _scores(probe.attributes[name].boundary.decide(rows), truth)[figure]
            for probe, rows in (first, second)
        )
        gaps.append(_gap(own, other))
        found[name] = draw(gaps[-1])
    signs = [int(np.sign(one.value)) for one in found.values()]
    clear = [one.interval for one in found.values() if one.interval]
    return AttributeComparison(
        figure=figure,
        attributes=found,
        better=signs.count(1),
        worse=signs.count(-1),
        equal=signs.count(0),
        clearly_better=sum(one.low > 0 for one in clear),
        clearly_worse=sum(one.high < 0 for one in clear),
        difference=draw(_mean(gaps)),
    )


# --- identity ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reader:
    """How well one kind of probe names the person on a face it did not see.

    `top5` counts a face whose person is among the probe's first five guesses. `strength` is the
    regularisation that it chose, by faces of the training part that it had set aside.
    """

    accuracy: Share
    top5: Share
    strength: float
    converged: bool


@dataclass(frozen=True)
class Leakage:
    """How much identity a feature holds: at accuracy 1 all, at `chance` (1 over the people) none.

    `linear` is multinomial logistic regression, `perceptron` has one hidden layer of rectified
    units. A leak is shown by either; that neither finds one does not show that there is none.
    """

    people: int
    train_faces: int
    test_faces: int
    chance: float
    chance_top5: float
    linear: Reader
    perceptron: Reader


def leakage_probe(
    train_features: Features,
    train_people: People,
    test_features: Features,
    test_people: People,
    *,
    random: torch.Generator,
    hidden: int = HIDDEN,
    replicates: int = 1000,
) -> Leakage:
    """Train probes to name people by features (faces, features), and test them on other faces.

    Both parts show the same people, whom the features' network must not have seen; `split_faces`
    deals their faces. `random` seeds the probes and draws the people of the intervals. Raises
    `ParameterError` when the training part has fewer than two people or lacks one of the test's.
    """
    train = _part("training", train_features, train_features.shape[1], train_people)
    test = _part("test", test_features, train.shape[1], test_people)
    people = len(train_people.unique())
    lacking = len(set(test_people.tolist()) - set(train_people.tolist()))
    if people < 2 or lacking:
        raise ParameterError(
            f"the training part has {people} people and lacks {lacking} of the test's; "
            "give two people or more, with faces in both parts (see split_faces)"
        )
    scaler = StandardScaler().fit(train.numpy())
    train, test = (torch.from_numpy(scaler.transform(part.numpy())) for part in (train, test))
    seed = int(torch.randint(2**31 - 1, (), generator=random))
    how = {"learning_rate_init": 0.003, "max_iter": 500, "random_state": seed}
    draw, who = _Drawing(test_people, random, replicates), train_people.cpu()

    def read(make: Make, strengths: Sequence[float]) -> Reader:
        strength = _chosen(make, strengths, train, who)
        hits, converged = _named(make(strength), (train, who), (test, draw.people))
        accuracy, top5 = (draw(weighted_mean(h.double())) for h in (hits[:, 0], hits.any(1)))
        return Reader(accuracy, top5, strength, converged)

    return Leakage(
        people=people,
        train_faces=len(train),
        test_faces=len(test),
        chance=1 / people,
        chance_top5=min(TOP / people, 1.0),
        linear=read(lambda c: LogisticRegression(C=c, max_iter=1000), LOGISTIC),
        perceptron=read(lambda a: MLPClassifier((hidden,), alpha=a, **how), PERCEPTRON),
    )


def split_faces(
    people: People, *, random: torch.Generator, share: float = 0.5
) -> tuple[Int[Tensor, " train"], Int[Tensor, " test"]]:
    """Return the rows of two parts: `share` of each person's faces, rounded down, are for testing.

    Each person with two faces or more has one or more in either part; the only face of a person is
    for training. Raises `ParameterError` unless the share is above 0 and below 1.
    """
    if not 0 < share < 1:
        raise ParameterError(f"a share of {share:g} leaves a part empty; give one between 0 and 1")
    testing = torch.zeros(len(people), dtype=torch.bool)
    for person in people.unique():
        own = torch.nonzero(people == person)[:, 0].cpu()
        count = min(max(1, int(len(own) * share)), len(own) - 1)
        testing[own[torch.randperm(len(own), generator=random)[:count]]] = True
    return torch.nonzero(~testing)[:, 0], torch.nonzero(testing)[:, 0]


def _chosen(make: Make, strengths: Sequence[float], rows: Rows, people: People) -> float:
    """Return the strength that names most faces set aside, one in four of each person.

    The most regularised of equals; the middle one where nobody has two faces.
    """
    parts = split_faces(people, random=torch.Generator().manual_seed(0), share=0.25)
    if not len(parts[1]):
        return strengths[len(strengths) // 2]
    kept, aside = ((rows[part], people[part]) for part in parts)
    hits = [int(_named(make(one), kept, aside)[0][:, 0].sum()) for one in strengths]
    return strengths[int(np.argmax(hits))]


def _named(
    model: Reading, train: tuple[Rows, People], test: tuple[Float[Tensor, "others _"], People]
) -> tuple[Bool[Tensor, "others guesses"], bool]:
    """Train; return which of five guesses for each face is right, and if the solver was done."""
    converged = _fit(model, train[0].numpy(), train[1])
    likely = model.predict_proba(test[0].numpy())
    order = np.argsort(-likely, axis=1, kind="stable")[:, :TOP]  # the likeliest first
    return torch.from_numpy(model.classes_[order] == test[1].numpy()[:, None]), converged


class _Drawing:
    """Draws people anew: statistics of weighted faces, with intervals."""

    def __init__(self, people: People, random: torch.Generator, replicates: int):
        self.people, self.how = people.cpu(), {"generator": random, "replicates": replicates}

    def __call__(self, statistic: Statistic) -> Share:
        pairs = torch.stack([self.people] * 2, dim=1)
        value = float(statistic(np.ones(len(pairs))))
        return Share(value, bootstrap.bootstrap_interval(statistic, pairs, **self.how))


def _gap(first: Statistic, second: Statistic) -> Statistic:
    return lambda weights: first(weights) - second(weights)


def _mean(parts: Sequence[Statistic]) -> Statistic:
    return lambda weights: sum(part(weights) for part in parts) / len(parts)


def _fit(model: Reading | LinearSVC, features: np.ndarray, labels: Tensor) -> bool:
    """Fit and return whether the solver was done before its steps ran out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, labels.numpy())
    return bool(np.max(model.n_iter_) < model.max_iter)


def _part(
    part: str, features: Features, width: int, *labels: Tensor
) -> Float[Tensor, "faces features"]:
    """Return a part's features in float64 on the CPU, once all is usable."""
    if features.shape[1] != width:
        raise ParameterError(
            f"the {part} features have {features.shape[1]} numbers a face and those that the probe "
            f"learns from {width}; give features of the same network"
        )
    for values in labels:
        if len(values) != len(features):
            raise ParameterError(
                f"the {part} part has {len(features)} faces and labels of {len(values)}; give one "
                "row of labels, and one person, a face"
            )
    return require_features(features, part, 1).cpu()
