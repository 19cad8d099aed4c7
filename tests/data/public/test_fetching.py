"""Files whose size or sum nobody published, mirrors, and what is noted of a file."""

import hashlib

import pytest

from facelab.assets import web
from facelab.data.public import fetching
from facelab.data.public.table import Published
from facelab.errors import AssetError, DatasetError, ParameterError

CONTENT = bytes(range(256)) * 1000
OTHER = bytes(255 - value for value in CONTENT)
CUT = 100_000


@pytest.fixture
def server(file_server):
    file_server.content = CONTENT
    return file_server


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sources"


def published(server, *names, **known) -> Published:
    urls = tuple(server.base + name for name in names or ("set.zip",))
    return Published("set.zip", urls, kind="zip", **known)


def refused(*arguments, **named) -> str:
    with pytest.raises(AssetError) as caught:
        fetching.fetch(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_is_known_and_the_file_is_fetched_once(server, folder):
    file = published(server)
    path = fetching.fetch(file, folder)
    assert path == folder / "set.zip"
    assert path.read_bytes() == CONTENT
    assert fetching.fetch(file, folder) == path
    assert server.asked == [None]
    noted = fetching.Noted(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert fetching.noted(folder) == {"set.zip": noted}
    names = {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}
    assert names == {"set.zip", fetching.NOTED}


@pytest.mark.parametrize("mark", [None, '"one"'])
def test_a_file_of_which_nothing_is_known_goes_on(server, folder, mark):
    """At the same address, when the length, and the mark if there is one, are those of before."""
    server.mark, server.cut = mark, CUT
    assert f"broke off after {CUT:,} of 256,000 bytes" in refused(published(server), folder)
    assert fetching.fetch(published(server), folder).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize("change", ["mark", "length", "mirror", "note"])
def test_two_files_are_never_joined(server, folder, change):
    """Where the beginning may be of another file, everything is asked for."""
    server.mark, server.cut = '"one"', CUT
    refused(published(server), folder)
    server.content, file = OTHER, published(server)
    if change == "mark":
        server.mark = '"two"'
    elif change == "length":
        server.mark, server.content = None, OTHER + b"x"
    elif change == "mirror":
        file = published(server, "elsewhere.zip")
    else:
        for note in folder.glob(".*.from.json"):
            note.write_text("no note")
    assert fetching.fetch(file, folder).read_bytes() == server.content


def test_a_server_that_knows_no_condition_is_not_believed(server, folder):
    """It sends the part of another file, with another mark: all of it is asked for again."""
    server.mark, server.cut = '"one"', CUT
    refused(published(server), folder)
    server.content, server.mark, server.conditions = OTHER, '"two"', False
    assert fetching.fetch(published(server), folder).read_bytes() == OTHER
    assert server.asked == [None, f"bytes={CUT}-", None]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_sum_without_a_size(server, folder, algorithm):
    """The rest may come from another mirror; a wrong file is deleted."""
    known = {algorithm: hashlib.new(algorithm, CONTENT).hexdigest()}
    server.cut = CUT
    refused(published(server, **known), folder)
    path = fetching.fetch(published(server, "elsewhere.zip", **known), folder)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={CUT}-"]
    path.unlink()
    server.content = OTHER
    message = refused(published(server, **known), folder)
    assert known[algorithm] in message
    assert hashlib.new(algorithm, OTHER).hexdigest() in message
    assert not list(folder.glob("*.zip"))
    assert not list(folder.glob(".*.part"))


def test_a_size_without_a_sum(server, folder):
    server.cut = CUT
    file = published(server, size_bytes=len(CONTENT))
    refused(file, folder)
    assert fetching.fetch(file, folder).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={CUT}-"]


def test_a_download_that_was_whole_when_it_was_killed(server, folder, monkeypatch):
    """Before it was verified: nothing is asked for again."""
    monkeypatch.setattr(web, "_verify", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fetching.fetch(published(server), folder)
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert fetching.fetch(published(server), folder).read_bytes() == CONTENT
    assert server.asked == [None]


def test_a_file_that_nobody_can_tell_the_end_of(server, folder):
    """A list without a size, a sum or a stated length may have been cut anywhere."""
    server.states_size = False
    file = Published("list.txt", (server.url,))
    assert "nobody can tell whether all of it came" in refused(file, folder)
    assert not (folder / "list.txt").exists()
    server.states_size = True
    assert fetching.fetch(file, folder).read_bytes() == CONTENT


def test_a_page_instead_of_the_file_keeps_what_is_there(server, folder):
    """As a drive has it that was asked too often: with status 200 and of no particular size."""
    known = {"md5": hashlib.md5(CONTENT).hexdigest()}
    server.cut = CUT
    refused(published(server, **known), folder)
    server.content, server.content_type = b"<html>later</html>", "text/html; charset=utf-8"
    server.ranges = False
    assert "offers a web page" in refused(published(server, **known), folder)
    server.content, server.content_type, server.ranges = CONTENT, None, True
    assert fetching.fetch(published(server, **known), folder).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={CUT}-", f"bytes={CUT}-"]


def test_the_sources_are_tried_in_turn_and_the_reader_s_first(server, folder):
    server.pages = {"/c.zip": CONTENT}
    file = published(server, "b.zip", "c.zip")
    fetching.fetch(file, folder, url=server.base + "a.zip")
    assert server.paths == ["/a.zip", "/b.zip", "/c.zip"]


def test_what_all_sources_answered_is_said(server, folder):
    server.pages = {"/x": b""}
    message = refused(published(server, "a.zip", "b.zip"), folder)
    assert message.startswith("set.zip was not had from any of 2 addresses: ")
    assert message.count("404 Not Found") == 2
    assert "give its folder with --from" in refused(Published("set.zip", ()), folder)


def test_the_address_of_a_mirror(server):
    file = published(server)
    assert fetching.address(None, file, 3) is None
    assert fetching.address("https://x.org/data/", file, 3) == "https://x.org/data/set.zip"
    assert fetching.address("https://x.org/other.zip", file, 1) == "https://x.org/other.zip"
    with pytest.raises(ParameterError, match=r"the set has 3 files, .* address of their folder"):
        fetching.address("https://x.org/other.zip", file, 3)


@pytest.mark.parametrize(
    ("known", "word"),
    [
        ({"size_bytes": 5}, "has 256,000 bytes, expected 5"),
        ({"sha256": "0" * 64}, "has SHA-256"),
        ({"md5": "0" * 32}, "has MD5"),
    ],
)
def test_a_reader_s_file_is_checked(server, tmp_path, known, word):
    path = tmp_path / "set.zip"
    path.write_bytes(CONTENT)
    with pytest.raises(DatasetError, match=word):
        fetching.check(path, published(server, **known))
    assert fetching.check(path, published(server)).size_bytes == len(CONTENT)
    # Where both are published the stronger one decides: a copy elsewhere may be packed anew.
    both = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "md5": "0" * 32}
    assert fetching.check(path, published(server, **both)).sha256 == both["sha256"]


def test_an_unreadable_note_is_none(tmp_path):
    (tmp_path / fetching.NOTED).write_text("[1]")
    assert fetching.noted(tmp_path) == {}
