"""The table of public sets: whole, with addresses and sums of the right shape, and honest."""

import re

import pytest

from facelab.data.public import home, table
from facelab.data.public.pictures import require_framing
from facelab.errors import ParameterError


@pytest.mark.parametrize("name", list(table.MODULES))
def test_each_set_says_what_a_reader_has_to_know(name):
    described = table.find(name)
    assert described.name == name
    for word in (described.title, described.what, described.licence, described.citation):
        assert word
    assert described.files or described.by_hand
    assert set(described.splits) <= set(table.SPLITS)
    for framing in described.framings:
        require_framing(framing)
    assert callable(table.listing_of(name))


@pytest.mark.parametrize("name", list(table.MODULES))
def test_each_file_has_a_plain_name_and_sums_of_the_right_length(name):
    files = table.find(name).files
    assert len({file.name for file in files}) == len(files)
    for file in files:
        assert re.fullmatch(r"[\w.-]+", file.name)
        assert all(url.startswith("https://") for url in file.urls)
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.md5 is None or re.fullmatch(r"[0-9a-f]{32}", file.md5)
        assert file.kind in ("zip", "tar", "file")


@pytest.mark.parametrize("name", list(table.WITHDRAWN))
def test_withdrawn_sets_are_named_with_a_reason_and_an_alternative(name):
    with pytest.raises(ParameterError) as caught:
        table.find(name)
    reason, alternative = table.WITHDRAWN[name]
    assert reason in str(caught.value)
    assert f"take {alternative}" in str(caught.value)


def test_an_unknown_set_is_answered_with_the_nearest():
    with pytest.raises(ParameterError, match="did you mean celeba"):
        table.find("celebaa")


def test_where_a_set_lies(tmp_path):
    assert home.place("lfw", 64, "centre") == tmp_path / "cache/data/lfw-64-centre"
    assert home.sources("lfw") == tmp_path / "cache/sources/lfw"
