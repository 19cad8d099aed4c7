"""Measures: features in, numbers out. One subject a file; none of them reads files or draws."""
