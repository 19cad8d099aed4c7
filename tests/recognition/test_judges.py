"""Nobody judges what he taught, whole or in part."""

import pytest

from facelab.errors import ParameterError
from facelab.recognition.judges import require_unseen


@pytest.mark.parametrize("judge", ["dlib", "dlib-stage4", "dlib:dlib150", "dlib-stage5:book64"])
def test_nobody_judges_what_he_taught(judge):
    message = f"{judge} can't judge a network whose .* with dlib: it would judge itself"
    with pytest.raises(ParameterError, match=message):
        require_unseen(["book", "dlib"], judge)


def test_others_may_judge():
    require_unseen(["dlib"], "faceres")
    require_unseen(["dlib"], "dlibra")
    require_unseen([], "dlib")
