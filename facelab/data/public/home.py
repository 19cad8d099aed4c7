"""Where prepared datasets lie, and where what they are made of is collected."""

from pathlib import Path

from facelab.assets import cache


def place(name: str, size: int, framing: str) -> Path:
    """Return the folder of a prepared set: cache_dir()/data/NAME-SIZE-FRAMING."""
    return cache.cache_dir() / "data" / f"{name}-{size}-{framing}"


def sources(name: str) -> Path:
    """Return the folder where a set's archives are collected and unpacked."""
    return cache.cache_dir() / "sources" / name
