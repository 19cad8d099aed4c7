"""The former place of `facelab.assets.networks`."""

from facelab.assets.networks import load, read_header, save

__all__ = ["load", "read_header", "save"]
