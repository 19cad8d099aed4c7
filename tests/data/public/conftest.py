"""The makers of small sets that the scripts' tests have."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mini():
    """The module of small sets."""
    name = "loaded_data_scripts_mini"
    if name not in sys.modules:
        path = Path(__file__).parents[2] / "data_scripts/mini.py"
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """A cache of the test's own."""
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
