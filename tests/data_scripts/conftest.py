"""The small public sets, served on this machine."""

import importlib.util
import sys
from pathlib import Path

import pytest


def _mini():
    path = Path(__file__).with_name("mini.py")
    name = "loaded_data_scripts_mini"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def pytest_generate_tests(metafunc):
    """A test with `set_name` runs for every small set; `of` narrows that by a marker's words."""
    if "set_name" in metafunc.fixturenames and not metafunc.definition.get_closest_marker(
        "parametrize"
    ):
        metafunc.parametrize("set_name", sorted(_mini().all_minis()))


@pytest.fixture
def bench(set_name, file_server, monkeypatch, capsys, tmp_path):
    """One small set, its server and its script."""
    mini = _mini()
    return mini.Bench(mini.all_minis()[set_name], file_server, monkeypatch, capsys, tmp_path)
