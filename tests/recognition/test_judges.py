"""Nobody judges what he taught, whole or in part; and what those who may judge say."""

from pathlib import Path

import pytest
import torch

from facelab.errors import ParameterError
from facelab.recognition.book_embedder import TINY, BookEmbedder, Network
from facelab.recognition.judges import (
    doubt_of_one_person,
    judges_of,
    require_unseen,
    same_person,
)


@pytest.mark.parametrize("judge", ["dlib", "dlib-stage4", "dlib:dlib150", "dlib-stage5:book64"])
def test_nobody_judges_what_he_taught(judge):
    message = f"{judge} can't judge a network whose .* with dlib: it would judge itself"
    with pytest.raises(ParameterError, match=message):
        require_unseen(["book", "dlib"], judge)


def test_others_may_judge():
    require_unseen(["dlib"], "faceres")
    require_unseen(["dlib"], "dlibra")
    require_unseen([], "dlib")


@pytest.fixture
def embedder():
    return BookEmbedder(Network(TINY), 0.5)


def test_one_person_is_below_the_threshold(embedder):
    axes = torch.eye(2)
    between = torch.tensor([[0.8, 0.6]])  # 0.4 from the first axis, 0.8 from the second
    assert same_person(embedder, between, axes) == [True, False]
    assert judges_of(embedder) == {
        "judge": embedder.id,
        "threshold_same_person": 0.5,
        "pose": "pose_regressor",
        "landmarks": "landmark_judge",
    }


def test_two_people_on_pictures_of_one(embedder):
    paths = [Path(name) for name in ("a.png", "b.png", "c.png")]
    rows = torch.tensor([[0.8, 0.6], [1.0, 0.0], [0.0, 1.0]])
    facts, (doubt,) = doubt_of_one_person(paths, rows, embedder)
    assert facts == {"farthest_distance": 2.0}
    assert doubt.startswith("b.png and c.png are 2.000 apart, two people by ")
    facts, doubts = doubt_of_one_person(paths[:2], rows[:2], embedder)
    assert (facts, doubts) == ({"farthest_distance": pytest.approx(0.4)}, ())
    assert doubt_of_one_person(paths[:1], rows[:1], embedder) == ({}, ())
