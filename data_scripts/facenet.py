"""Fetch FaceNet's weights from the web and make them a safetensors file.

No package index has them, so they are no asset of the book and no chapter needs them. The file is
fetched from facenet-pytorch's release (112 or 116 MB; an interrupted download goes on where it
was), or taken from --from FILE. Its SHA-256 must be the known one; it is read without running code,
its tensors are compared by name and shape with the network, and those that an embedding needs are
written in float32 (94 MB), where `facelab embed --embedder NAME` finds them.
"""

import argparse
import sys
from pathlib import Path

from facelab import assets
from facelab.assets import cache, script, web
from facelab.errors import AssetError, CheckpointError

NAMES = ("facenet-vggface2", "facenet-casia")


def terms(name: str) -> str:
    """Return what a reader should know before the download: source, size, licence, use."""
    checkpoint = _checkpoint(name)
    return "\n".join(
        [
            f"{name}: {checkpoint.file.name}, {checkpoint.file.size_bytes / 1e6:.0f} MB",
            f"  from     {checkpoint.url}",
            f"  licence  {checkpoint.licence}",
            f"  trained  on {checkpoint.trained_on}",
            f"  use      {checkpoint.use}",
        ]
    )


def make(name: str, given: Path | None, url: str | None, output: Path | None) -> Path:
    """Write the safetensors file to `output`, or to the cache, and return its path."""
    checkpoint = _checkpoint(name)
    target = output or _facenet().weights_path(name)
    if output is None and assets.intact(target):
        return target
    original = given or web.download(checkpoint.file, url or checkpoint.url)
    tensors = _convert(name, original)
    source = f"{name} {checkpoint.file.sha256}"
    if output is None:
        with cache.lock(target):
            assets.keep_weights(target, tensors, source)
    else:
        assets.save_weights(target, tensors, source)
    if given is None:
        original.unlink()  # it can be had again; the reader's own file stays
    return target


def verify(name: str, given: Path | None, output: Path | None) -> Path:
    """Check the safetensors file, with --from bit by bit, and return its path.

    Without the original: in the cache its sum, and anywhere where it was made from, every name and
    every shape.
    """
    path = output or _facenet().weights_path(name)
    if output is None and not path.is_file():
        raise AssetError(f"{path} is not there; run this without --verify")
    if output is None and not assets.intact(path, fresh=True):
        raise CheckpointError(f"{path} is damaged; run this without --verify")
    if assets.read_source(path) != f"{name} {_checkpoint(name).file.sha256}":
        raise CheckpointError(f"{path} was not made from the file of {name}; make it again")
    if given is not None:
        assets.verify_weights(path, _convert(name, given))
    else:
        _facenet().load_network(path, name)
    return path


def _convert(name: str, original: Path) -> dict:
    """Return the tensors of a file whose sum is right."""
    file = _checkpoint(name).file
    if not original.is_file():
        raise AssetError(f"{original} is not a file; give the path of {file.name}")
    found = cache.sha256(original)
    if found != file.sha256:
        raise CheckpointError(
            f"{original} has SHA-256 {found} ({original.stat().st_size:,} bytes), expected "
            f"{file.sha256} ({file.size_bytes:,}); give the file {file.name} as it was published"
        )
    return _facenet().read_checkpoint(original, _checkpoint(name))


def _facenet():
    """Return the module; it needs torch, which --help should not wait for."""
    from facelab.recognition import facenet

    return facenet


def _checkpoint(name: str):
    return _facenet().CHECKPOINTS[name]


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return 0, or 2 after one line on standard error."""
    parser = script.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", choices=NAMES, nargs="?", default=NAMES[0], help="which one")
    parser.add_argument("--url", help="a mirror; default: facenet-pytorch's release")
    parser.add_argument(
        "--from", dest="given", type=Path, metavar="FILE", help="a file that you have; no download"
    )
    options = parser.parse_args(arguments)

    def act() -> Path:
        if options.verify:
            return verify(options.name, options.given, options.output)
        print(terms(options.name), file=sys.stderr)
        return make(options.name, options.given, options.url, options.output)

    return script.attempt(options.name, act)


if __name__ == "__main__":
    sys.exit(main())
