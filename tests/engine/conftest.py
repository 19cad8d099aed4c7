"""What the engine's tests share: the toy, and a nursery of processes that can be killed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facelab.engine import run_record

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def toy():
    """The module with the toy method and its data."""
    spec = importlib.util.spec_from_file_location("engine_toy", HERE / "toy.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def quick_records(monkeypatch, request):
    """Records don't ask git, which takes longer than a run of the toy."""
    if "with_git" not in request.fixturenames:
        monkeypatch.setattr(run_record.provenance, "commit", lambda root: {})


@pytest.fixture
def with_git():
    """Records ask git in this test."""


class Nursery:
    """Starts trainings, as processes, from one that has imported all that they need."""

    def __init__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, str(HERE / "nursery.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def _ask(self, **order):
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def start(self, output: Path, environment: dict | None = None, **order) -> int:
        """Start a training whose words go to a file; return its process id."""
        order = {"output": str(output), "environment": environment or {}, **order}
        return self._ask(start=order)

    def wait(self, pid: int) -> int:
        """Wait for a process and return its exit code, negative for a signal."""
        return self._ask(wait=pid)

    def close(self) -> None:
        self._server.kill()  # leaving in order takes torch seconds
        self._server.wait(timeout=20)
        self._server.stdin.close()
        self._server.stdout.close()


@pytest.fixture(scope="session")
def nursery():
    """A nursery for the whole run of the tests."""
    nursery = Nursery()
    yield nursery
    nursery.close()
