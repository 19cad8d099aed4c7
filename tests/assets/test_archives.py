"""Archives: what they claim about themselves is not believed."""

import dataclasses
import io
import tarfile

import pytest
import torch

from facelab.assets import archives
from facelab.assets.table import Source


def test_a_bomb_is_not_unpacked(pack, tmp_path):
    """A member that says it is too large, and one that lies about it."""
    bomb = tmp_path / "bomb.whl"
    bomb.write_bytes(pack.wheel("bomb", {"tiny/weights.bin": bytes(30_000_000)}))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(archives.SourceError, match="30000000 bytes there, 10240 expected"):
        archives.extract(bomb, pack.first, pack.one_file(pack.first), tmp_path / "out")

    said = (30_000_000).to_bytes(4, "little")
    bomb.write_bytes(bomb.read_bytes().replace(said, len(pack.content).to_bytes(4, "little")))
    with pytest.raises(archives.SourceError, match="damaged"):
        archives.extract(bomb, pack.first, pack.one_file(pack.first), tmp_path / "out")
    sizes = [path.stat().st_size for path in (tmp_path / "out").rglob("*.bin")]
    assert all(size <= len(pack.content) for size in sizes)


def test_a_stream_is_copied_up_to_its_size_only(tmp_path):
    with pytest.raises(archives.SourceError, match="goes on after its 4 bytes"):
        archives._copy(io.BytesIO(b"12345"), tmp_path / "long", 4)
    with pytest.raises(archives.SourceError, match="ends 2 bytes too early"):
        archives._copy(io.BytesIO(b"12"), tmp_path / "short", 4)


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_archive_is_another_source_s_turn(pack, tmp_path, kept):
    noise = torch.randint(256, (40_000,), dtype=torch.uint8).numpy().tobytes()
    whole = {
        "wheel": pack.wheel("tiny", {"tiny/weights.bin": noise}),
        "sdist": pack.sdist("tiny", {"tiny/weights.bin": noise}, ""),
    }
    for kind, data in whole.items():
        folder = "tiny" if kind == "wheel" else "tiny-1.0/tiny"
        source = Source("tiny", "1.0", folder, kind)
        path = tmp_path / kind
        path.write_bytes(data)
        archives.extract(
            path, source, pack.one_file(source, content=noise), tmp_path / f"{kind}-out"
        )
        assert (tmp_path / f"{kind}-out" / "weights.bin").read_bytes() == noise
        path.write_bytes(data[: int(kept * len(data))])
        with pytest.raises(archives.SourceError, match="damaged"):
            archives.extract(path, source, pack.one_file(source, content=noise), tmp_path / "out")


def test_a_link_in_an_sdist_is_not_followed(pack, tmp_path):
    (tmp_path / "secret").write_bytes(pack.content)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("tiny/weights.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(link)
    source = dataclasses.replace(pack.first, kind="sdist")
    with pytest.raises(archives.SourceError, match=r"no tiny/weights\.bin"):
        archives.extract(tmp_path / "x.tar.gz", source, pack.one_file(source), tmp_path / "out")
