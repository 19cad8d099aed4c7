"""Faces as geometry: the head (morphable), the camera, light, and the rasteriser that draws it."""
