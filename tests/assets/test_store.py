"""The table, and what is known about the files that are there."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from facelab import assets
from facelab.assets import cache, store
from facelab.assets.table import ASSETS
from facelab.errors import AssetError


def sum_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_sum_is_computed_once_while_the_file_is_the_same(pack, index, tiny, home, monkeypatch):
    index.serve_wheel("facelab-tiny", {"tiny/weights.bin": pack.content})
    path = pack.spoil(home)
    path.write_bytes(pack.content)
    computed = []
    sha256 = cache.sha256
    monkeypatch.setattr(cache, "sha256", lambda file: (computed.append(file), sha256(file))[1])
    assert assets.path("tiny") == assets.path("tiny") == path
    assert computed == [path]
    os.utime(path, ns=(1, 1))
    assets.path("tiny")
    assert computed == [path] * 2
    assets.verify("tiny")
    assert computed == [path] * 3
    path.write_bytes(pack.content[::-1])
    assert assets.path("tiny").read_bytes() == pack.content
    assert index.downloads == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}', '{"%s": [1, "a"]}', "\0"])
def test_a_damaged_record_of_sums_is_only_a_lost_record(tmp_path, text):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    record = tmp_path / "sums.json"
    record.write_text(text.replace("%s", str(file)))
    sums = cache.Sums(record)
    assert sums.of(file) == sum_of(b"abc")
    sums.save()
    assert json.loads(record.read_text())[str(file)][2] == sum_of(b"abc")


def test_a_cache_that_cannot_be_written_can_be_read(pack, tiny, home, monkeypatch):
    file = pack.spoil(home)
    file.write_bytes(pack.content)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "read-only")

    monkeypatch.setattr(cache, "write_beside", refuse)
    monkeypatch.setattr(cache, "FileLock", refuse)
    assert assets.path("tiny") == file


# The table


def test_a_file_that_cannot_be_read_is_named(pack, tiny, home, monkeypatch):
    file = pack.spoil(home)

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(cache, "sha256", refuse)
    with pytest.raises(AssetError, match=f"{file} can't be read .Permission denied"):
        assets.verify("tiny")


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(AssetError, match="did you mean portraits"):
        assets.path("portrait")
    with pytest.raises(AssetError, match=r"choose one of .*mathjax"):
        assets.verify("qqq")


def test_verify_of_an_absent_asset_says_how_to_fetch_it(tiny):
    with pytest.raises(AssetError, match="facelab assets fetch tiny"):
        assets.verify("tiny")


def test_the_listing_serves_people_and_programs(pack, tiny, home):
    rows = {row["name"]: row for row in assets.listing()}
    assert rows["tiny"]["state"] == "absent"
    pack.spoil(home)
    rows = {row["name"]: row for row in assets.listing()}
    assert rows["tiny"]["state"] == "damaged"
    assert rows["mtcnn"]["state"] == "ready"
    assert json.loads(json.dumps(rows)) == rows
    text = assets.render_listing(list(rows.values()))
    assert "gan-face-generate==1.1.1 (wheel)" in text
    assert "CC0-1.0" in text


def test_every_asset_says_what_it_is_and_how_it_is_checked():
    for asset in ASSETS.values():
        assert asset.title, asset.name
        assert asset.licence, asset.name
        assert asset.use, asset.name
        assert asset.provenance, asset.name
        assert bool(asset.files) != bool(asset.tree), asset.name
        assert len(asset.sha256) == 64
        assert asset.size_bytes > 0
        for source in asset.sources:
            # pip would run an sdist that has no sum, and npm's archives are read by it alone.
            assert source.kind not in ("sdist", "npm") or len(source.archive_sha256) == 64


def test_an_installed_asset_is_verified_and_never_fetched(monkeypatch, tmp_path):
    folder = assets.path("mtcnn")
    assert sorted(path.name for path in folder.glob("*.pt")) == ["onet.pt", "pnet.pt", "rnet.pt"]
    assert assets.verify("mtcnn") == folder
    # A damaged installation names both sums, and pip's remedy; another version is named.
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data" / "onet.pt").write_bytes(b"onet")
    monkeypatch.setattr(store, "_folder", lambda asset: tmp_path / "data")
    with pytest.raises(AssetError, match=f"{sum_of(b'onet')}.*165bfbe4.*facenet-pytorch==2.5.3"):
        assets.path("mtcnn")
    monkeypatch.setattr(store.importlib.metadata, "version", lambda _: "2.6.0")
    with pytest.raises(AssetError, match=r"comes with facenet-pytorch==2.5.3, but 2.6.0 is"):
        assets.path("mtcnn")


def test_the_table_is_read_without_torch():
    program = (
        "import sys; from facelab import assets; assets.listing();"
        "print([m for m in ('torch', 'numpy', 'tqdm', 'facenet_pytorch') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


@pytest.mark.registry
@pytest.mark.parametrize("name", list(ASSETS))
def test_the_real_asset_verifies(name):
    assets.path(name)
    assets.verify(name)


@pytest.mark.registry
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "which"),
    [(a.name, i) for a in ASSETS.values() for i in range(len(a.sources)) if not a.installed],
)
def test_every_source_gives_the_right_files(name, which, monkeypatch, tmp_path):
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path))
    asset = ASSETS[name]
    only = dataclasses.replace(asset, sources=(asset.sources[which],))
    monkeypatch.setitem(ASSETS, name, only)
    start = time.monotonic()
    assets.path(name)
    assert time.monotonic() - start < 300
    assets.verify(name)
