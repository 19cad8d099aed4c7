"""Public datasets in their real layout, a few pictures each, and all that the tests do with them.

`MINIS` has a maker for each set: it returns the files as they are published, name -> bytes. Others
add theirs in a file mini_NAME.py beside this one, with a `MINIS` of its own.
"""

import bz2
import contextlib
import dataclasses
import gzip
import hashlib
import importlib.util
import io
import lzma
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "data_scripts"


@dataclass(frozen=True)
class Mini:
    """A small set: `make` returns its published files; what comes of them has these numbers.

    `script` is the one in data_scripts/ that makes it; `unpacked` says whether the set is given as
    a folder, in which the files are then laid as they are named.
    """

    name: str
    script: str
    make: Callable[[], dict[str, bytes]]
    pictures: int
    people: int
    splits: tuple[int, ...]  # of each picture, in order
    unpacked: bool = False


def load(path: Path):
    """Return a file of Python as a module."""
    name = f"loaded_{path.parent.name}_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def jpeg(width: int, height: int, seed: int) -> bytes:
    """Return a picture of a smooth pattern, as a JPEG."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    PIL.Image.fromarray(small).resize((width, height)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a zip of these files, the same bytes each time."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


def tarred(members: dict[str, bytes], compression: str = "gz") -> bytes:
    """Return a tar of these files, compressed or not (""), the same bytes each time."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    compress = {"gz": lambda data: gzip.compress(data, mtime=0), "bz2": bz2.compress}
    compress |= {"xz": lzma.compress, "": bytes}
    return compress[compression](stream.getvalue())


# --- CelebA --------------------------------------------------------------------------------------

CELEBA_NAMES = tuple(f"{number:06d}.jpg" for number in range(1, 10))
CELEBA_PEOPLE = (2880, 7, 2880, 7, 901, 901, 15, 15, 33)
CELEBA_SPLITS = (0, 0, 0, 0, 1, 1, 2, 2, 0)
CELEBA_POINTS = ((69, 109), (106, 113), (77, 142), (73, 152), (108, 154))
CELEBA_LOOKS = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair
Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair
Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face
Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair
Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
"""


def _table(names: str, rows: list[str]) -> bytes:
    return "\n".join([str(len(rows)), names, *rows, ""]).encode()


def _celeba_lists(landmarks: str, shift: int) -> dict[str, bytes]:
    rows = range(len(CELEBA_NAMES))
    looks = [
        CELEBA_NAMES[n] + "".join(f" {1 if (n + c) % 3 == 0 else -1:2d}" for c in range(40))
        for n in rows
    ]
    points = [
        CELEBA_NAMES[n] + "".join(f"  {x + shift + n} {y + shift}" for x, y in CELEBA_POINTS)
        for n in rows
    ]
    corners = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y"
    people = zip(CELEBA_NAMES, CELEBA_PEOPLE, strict=True)
    splits = zip(CELEBA_NAMES, CELEBA_SPLITS, strict=True)
    return {
        "list_attr_celeba.txt": _table(" ".join(CELEBA_LOOKS.split()) + " ", looks),
        landmarks: _table(f"{corners} rightmouth_x rightmouth_y ", points),
        "identity_CelebA.txt": "".join(f"{n} {p}\n" for n, p in people).encode(),
        "list_eval_partition.txt": "".join(f"{n} {s}\n" for n, s in splits).encode(),
    }


def celeba() -> dict[str, bytes]:
    """Nine aligned pictures of five people."""
    pictures = {
        f"img_align_celeba/{name}": jpeg(178, 218, n) for n, name in enumerate(CELEBA_NAMES)
    }
    lists = _celeba_lists("list_landmarks_align_celeba.txt", 0)
    return {"img_align_celeba.zip": zipped({"img_align_celeba/": b"", **pictures}), **lists}


def celeba_wild() -> dict[str, bytes]:
    """The same nine, larger and of several sizes, as an unpacked folder."""
    pictures = {
        f"img_celeba/{name}": jpeg(300 + 20 * n, 280, n) for n, name in enumerate(CELEBA_NAMES)
    }
    return {**pictures, **_celeba_lists("list_landmarks_celeba.txt", 50)}


# --- LFW -----------------------------------------------------------------------------------------

LFW_PEOPLE = {"Ada_Lovelace": 3, "Bo_Diddley": 1, "Cary_Grant": 2, "Dora_Maar": 2}
LFW_PAIRS = (
    "2\t1\nAda_Lovelace\t1\t2\nBo_Diddley\t1\tCary_Grant\t2\n"
    "Cary_Grant\t1\t2\nAda_Lovelace\t3\tDora_Maar\t1\n"
)
LFW_TRAIN = "1\nAda_Lovelace\t1\t3\nBo_Diddley\t1\tAda_Lovelace\t2\n"
LFW_TEST = "1\nCary_Grant\t1\t2\nCary_Grant\t1\tDora_Maar\t1\n"
LFW_LOOKS = ("Male", "Asian", "5 o' Clock Shadow", *(f"Look {n}" for n in range(4, 74)))


def _lfw(archive: str, folder: str) -> dict[str, bytes]:
    pictures = {
        f"{folder}/{name}/{name}_{n:04d}.jpg": jpeg(250, 250, 10 * place + n)
        for place, (name, count) in enumerate(LFW_PEOPLE.items())
        for n in range(1, count + 1)
    }
    return {
        archive: tarred(pictures),
        "pairs.txt": LFW_PAIRS.encode(),
        "pairsDevTrain.txt": LFW_TRAIN.encode(),
        "pairsDevTest.txt": LFW_TEST.encode(),
    }


def lfw() -> dict[str, bytes]:
    """Eight pictures of four people, and three lists of pairs."""
    return _lfw("lfw.tgz", "lfw")


def lfw_funneled() -> dict[str, bytes]:
    """The same, funneled."""
    return _lfw("lfw-funneled.tgz", "lfw_funneled")


def lfw_deepfunneled() -> dict[str, bytes]:
    """The same, deep funneled."""
    return _lfw("lfw-deepfunneled.tgz", "lfw-deepfunneled")


def lfwa() -> dict[str, bytes]:
    """Seven of the eight, with 73 scores each."""
    scored = [("Ada Lovelace", n) for n in (1, 2, 3)] + [("Cary Grant", n) for n in (1, 2)]
    scored += [("Dora Maar", n) for n in (1, 2)]
    rows = [
        "\t".join([name, str(n), *(f"{(-1) ** (n + c) * (c + 0.5):.6g}" for c in range(73))])
        for name, n in scored
    ]
    head = "# a comment\n#\tperson\timagenum\t" + "\t".join(LFW_LOOKS)
    return {**lfw_funneled(), "lfw_attributes.txt": "\n".join([head, *rows, ""]).encode()}


MINIS: dict[str, Mini] = {
    mini.name: mini
    for mini in (
        Mini("celeba", "celeba", celeba, 9, 5, CELEBA_SPLITS),
        Mini("celeba-wild", "celeba", celeba_wild, 9, 5, CELEBA_SPLITS, unpacked=True),
        Mini("lfw", "lfw", lfw, 8, 4, (0, 0, 0, 0, 2, 2, 2, 2)),
        Mini("lfw-funneled", "lfw", lfw_funneled, 8, 4, (0, 0, 0, 0, 2, 2, 2, 2)),
        Mini("lfw-deepfunneled", "lfw", lfw_deepfunneled, 8, 4, (0, 0, 0, 0, 2, 2, 2, 2)),
        Mini("lfwa", "lfw", lfwa, 7, 3, (0, 0, 0, 2, 2, 2, 2)),
    )
}


def all_minis() -> dict[str, Mini]:
    """Return the sets of this file and of all mini_NAME.py beside it."""
    found = dict(MINIS)
    for path in sorted(HERE.glob("mini_*.py")):
        found |= load(path).MINIS
    return found


# --- what the tests do with them -----------------------------------------------------------------


_FRESH: dict[tuple, dict[str, bytes]] = {}


class Bench:
    """A small set, served on this machine, and its script with a cache of its own.

    `files` are what is served; `publish` says what of size and sums counts as published.
    """

    def __init__(self, mini: Mini, server, monkeypatch, capsys, folder: Path):
        from facelab.data.public import table

        self.mini, self.server, self.folder = mini, server, folder
        self._patch, self._capsys = monkeypatch, capsys
        self.cache = folder / "cache"
        monkeypatch.setenv("FACELAB_CACHE", str(self.cache))
        self.real = table.SETS[mini.name]
        self.files = mini.make()
        self.publish()

    @property
    def archive(self) -> str:
        """The name of the set's first archive."""
        return next(file.name for file in self.real.files if file.kind != "file")

    @property
    def target(self) -> Path:
        """Where the set comes to lie."""
        return self.cache / "data" / f"{self.mini.name}-16-{self.real.framings[0]}"

    @property
    def sources(self) -> Path:
        """Where its archives are collected."""
        return self.cache / "sources" / self.mini.name

    def publish(self, *, mirrors: tuple[str, ...] = ("",), sizes=True, sums=True) -> None:
        """Serve the files under each mirror's folder; say their sizes and sums, or don't."""
        from facelab.data.public import table

        described = []
        for file in self.real.files:
            data = self.files[file.name]
            for mirror in mirrors:
                self.server.pages[f"/{mirror}{file.name}"] = data
            described.append(
                dataclasses.replace(
                    file,
                    urls=tuple(f"{self.server.base}{mirror}{file.name}" for mirror in mirrors),
                    size_bytes=len(data) if sizes else None,
                    sha256=hashlib.sha256(data).hexdigest() if sums and file.sha256 else None,
                    md5=hashlib.md5(data).hexdigest() if sums and file.md5 else None,
                )
            )
        changed = dataclasses.replace(self.real, files=tuple(described), pictures=None, people=None)
        module, attribute, _ = table.MODULES[self.mini.name]
        self._patch.setattr(f"facelab.data.public.{module}.{attribute}", changed)

    def run(self, *arguments: str, accept: bool = True) -> tuple[int, str, str]:
        """Run the script; return its status, its output, and its last line of errors."""
        script = load(SCRIPTS / f"{self.mini.script}.py")
        words = [self.mini.name] if self._is_one_of_several() else []
        words += ["--size", "16", *(["--accept"] if accept else []), *map(str, arguments)]
        if self.mini.unpacked and "--from" not in words and "--verify" not in words:
            words += ["--from", str(self.lay())]
        self._capsys.readouterr()
        status = script.main(words)
        captured = self._capsys.readouterr()
        lines = [n for n in captured.err.splitlines() if n.startswith(f"{self.mini.name}: ")]
        return status, captured.out.strip(), lines[-1] if status else captured.err

    def _is_one_of_several(self) -> bool:
        """Tell whether the script has several sets, whose name comes first."""
        return sum(mini.script == self.mini.script for mini in all_minis().values()) > 1

    def lay(self, folder: Path | None = None) -> Path:
        """Write the files as they are into a folder, and return it."""
        folder = folder or self.folder / "given"
        for name, data in self.files.items():
            self._write(folder, name, data)
        return folder

    def content(self, folder: Path | None = None) -> dict[str, bytes]:
        """Return what a prepared folder holds, name -> bytes."""
        folder = folder or self.target
        return {
            path.name: path.read_bytes()
            for path in sorted(folder.iterdir())
            if not path.name.endswith(".lock")
        }

    @contextlib.contextmanager
    def elsewhere(self, name: str) -> Iterator[None]:
        """Use another cache for a while, as a first reader of the set has it."""
        before = self.cache
        self.cache = self.folder / name
        self._patch.setenv("FACELAB_CACHE", str(self.cache))
        yield
        self.cache = before
        self._patch.setenv("FACELAB_CACHE", str(before))

    def fresh(self) -> dict[str, bytes]:
        """Return what an undisturbed run makes, in a cache of its own; made once a set."""
        from facelab.data.public import preparation

        key = self.mini.name, preparation.SHARD
        if key not in _FRESH:
            with self.elsewhere("undisturbed"):
                status, _, line = self.run()
                assert status == 0, line
                _FRESH[key] = self.content()
        return dict(_FRESH[key])

    def unpack(self, folder: Path) -> Path:
        """Write the files into a folder as a reader has them who unpacked the archives."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            if data.startswith(b"PK"):
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    archive.extractall(folder)
            elif data.startswith(b"\x1f\x8b"):
                with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                    archive.extractall(folder, filter="data")
            else:
                self._write(folder, name, data)
        return folder

    def _write(self, folder: Path, name: str, data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def nothing_is_taken_for_complete(self) -> None:
        """Fail if a partial folder or archive can be had under the name of a whole one."""
        from facelab.data.shards import Shards
        from facelab.errors import DatasetError

        with contextlib.suppress(DatasetError):
            Shards(self.target)
            raise AssertionError(f"{self.target} can be opened")
        assert not any(path.is_dir() for path in self.sources.glob("*.d"))

    def refused(self, *arguments: str) -> str:
        """Run the script, which has to refuse; return its one line."""
        status, out, line = self.run(*arguments)
        assert (status, out) == (2, ""), line
        self.nothing_is_taken_for_complete()
        return line

    def ends_as_a_fresh_one(self) -> None:
        """Run the script again, now that all is well: the bytes are those of a fresh run."""
        status, out, line = self.run()
        assert (status, out) == (0, str(self.target)), line
        assert self.content() == self.fresh()
