"""Fetching from the web: whole, in two goes, and each way that it can go wrong."""

import errno
import hashlib
import shutil
import socket

import pytest

from facelab.assets import File, cache, web
from facelab.errors import AssetError

CONTENT = bytes(range(256)) * 4000  # above a megabyte: more than one chunk


@pytest.fixture
def file() -> File:
    return File("weights.pt", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


@pytest.fixture
def server(file_server):
    file_server.content = CONTENT
    return file_server


def refused(file: File, url: str) -> str:
    with pytest.raises(AssetError) as caught:
        web.download(file, url, progress=False)
    message = str(caught.value)
    assert message.startswith((f"{file.name}", url))
    assert "\n" not in message
    return message


def test_a_file_is_fetched_once(server, file):
    path = web.download(file, server.url)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(cache.cache_dir())
    assert web.download(file, server.url) == path
    assert server.asked == [None]


@pytest.mark.parametrize("states_size", [True, False])
def test_a_download_that_broke_off_goes_on(server, file, states_size):
    server.cut, server.states_size = 300_000, states_size
    message = refused(file, server.url)
    assert "broke off after 300,000 of 1,024,000 bytes" in message
    assert "run this again, it goes on from there" in message
    assert web.download(file, server.url).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]


def test_a_server_without_ranges_sends_all_of_it_again(server, file):
    server.cut, server.ranges = 300_000, False
    refused(file, server.url)
    assert web.download(file, server.url).read_bytes() == CONTENT


def test_another_part_than_asked_for_is_refused_and_what_is_there_is_kept(server, file):
    server.cut = 300_000
    refused(file, server.url)
    server.shift = 7
    assert "offers another part than asked for" in refused(file, server.url)
    server.shift = 0
    assert web.download(file, server.url).read_bytes() == CONTENT


@pytest.mark.parametrize("states_size", [True, False])
def test_another_file_of_the_same_size_is_deleted(server, file, states_size):
    server.content, server.states_size = CONTENT[:-1] + b"x", states_size
    message = refused(file, server.url)
    assert file.sha256 in message
    assert hashlib.sha256(server.content).hexdigest() in message
    assert not web.part_path(file).exists()
    server.content = CONTENT
    assert web.download(file, server.url).read_bytes() == CONTENT


def test_a_beginning_of_another_file_is_noticed_at_the_end(server, file):
    place = web.part_path(file)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x" * 1000)
    assert "it was deleted; run this again" in refused(file, server.url)
    assert web.download(file, server.url).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b"<html>log in</html>"])
def test_a_file_of_another_size_is_not_even_fetched(server, file, content):
    server.content = content
    message = refused(file, server.url)
    assert f"offers {len(content):,} bytes, 1,024,000 bytes expected" in message
    assert "give another address with --url" in message
    assert not web.part_path(file).exists()


def test_a_server_that_never_stops_is_not_listened_to(server, file):
    server.content, server.states_size = CONTENT + b"x" * 500_000, False
    assert web.download(file, server.url).read_bytes() == CONTENT


def test_a_shorter_file_at_a_mirror_keeps_what_is_there(server, file):
    server.cut = 300_000
    refused(file, server.url)
    server.content = CONTENT[:1000]
    assert "offers no more than 300,000 bytes" in refused(file, server.url)
    assert web.part_path(file).stat().st_size == 300_000


@pytest.mark.parametrize(("status", "reason"), [(404, "404 Not Found"), (503, "503 Service")])
def test_an_error_of_the_server_is_named(server, file, status, reason):
    server.status = status
    message = refused(file, server.url)
    assert f"can't be fetched from {server.url} ({reason}" in message
    assert "--url" in message
    assert "--from" in message


def test_a_server_that_is_not_there(file, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    message = refused(file, f"http://127.0.0.1:{port}/x")
    assert "Connection refused" in message
    assert "check the network and the proxy settings" in message


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "weights.pt", "https://[x"])
def test_what_is_no_web_address(file, url):
    assert ("no web address" in refused(file, url)) == (not url.startswith("https"))


def test_a_full_disk_is_named(server, file, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5000))
    assert "no space is left" in refused(file, server.url)


def test_a_disk_that_fills_up_is_named(server, file, monkeypatch):
    def full(file, place, out, chunk):
        with cache.writing(file.name, place):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(web, "_write", full)
    assert "no space is left" in refused(file, server.url)
