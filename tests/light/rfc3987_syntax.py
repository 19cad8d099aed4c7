"""Stands before the package of this name while the tests run (see conftest.py)."""

raise ImportError("not needed to test notebooks")
