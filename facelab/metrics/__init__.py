"""Measures: features in, numbers out. One subject a file; none of them reads files or draws.

`extractors` makes the features of pictures, with networks that are loaded as `recognition` does.
"""
