"""The small public sets, served on this machine."""

import importlib.util
import sys
from pathlib import Path

import pytest

# Failures are tried with a zip and a tar; with the sets of other scripts they are slow tests.
QUICK = ("celeba", "lfw")


def _mini():
    name = "loaded_data_scripts_mini"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("mini.py"))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def pytest_generate_tests(metafunc):
    """A test with `bench` runs for every small set, with `fetched` for one of each script."""
    minis = _mini().all_minis()
    if "fetched" in metafunc.fixturenames:
        first = {mini.script: name for name, mini in reversed(minis.items()) if not mini.unpacked}
        names = [
            pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
            for name in sorted(first.values())
        ]
    elif "bench" in metafunc.fixturenames:
        names = sorted(minis)
    else:
        return
    if not any(
        "set_name" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")
    ):
        metafunc.parametrize("set_name", names)


@pytest.fixture
def bench(set_name, file_server, monkeypatch, capsys, tmp_path):
    """One small set, its server and its script."""
    mini = _mini()
    return mini.Bench(mini.all_minis()[set_name], file_server, monkeypatch, capsys, tmp_path)


@pytest.fixture
def fetched(bench):
    """The same, of a set that is fetched: one of each script."""
    return bench


@pytest.fixture(scope="session")
def mini():
    """The module of small sets."""
    return _mini()
