"""pyproject.toml, requirements.lock and environment.yml say the same."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9-]+)==([^ ;\\]+)(?: ; ([^\\]+?))? \\$", re.MULTILINE)


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def locked():
    pins = {}
    for name, version, marker in PIN.findall((ROOT / "requirements.lock").read_text()):
        pins.setdefault(name, set()).add(f"{name}=={version}" + (f" ; {marker}" if marker else ""))
    return pins


def _direct(project):
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    return {re.match(r"[\w-]+", requirement)[0] for requirement in wanted}


def test_every_direct_dependency_is_locked(project, locked):
    assert _direct(project) <= set(locked)


def test_every_locked_package_has_a_hash():
    text = (ROOT / "requirements.lock").read_text()
    assert len(PIN.findall(text)) > 100
    for block in re.split(r"\n(?=[a-z])", text.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_conda_has_the_locked_versions(project, locked):
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pinned = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    wanted = set().union(*(locked[name] for name in _direct(project)))
    assert {entry for entry in pinned if not entry.startswith("-")} == wanted


def test_the_fixed_packages_are_direct_dependencies(project):
    fixed = {
        *("jupyterlab", "jupytext", "torch", "torchvision", "papermill", "ipywidgets"),
        *("facenet-pytorch", "nbval"),
    }
    assert fixed <= _direct(project)


def test_what_is_installed_is_what_is_locked(locked):
    """The tests speak of the locked versions only if those are the ones they ran on."""
    from importlib.metadata import version

    for name in ("torch", "torchvision", "facenet-pytorch", "jupyter-book", "numpy"):
        base = version(name).split("+")[0]
        assert any(pin.startswith(f"{name}=={base}") for pin in locked[name]), name


def test_torch_torchvision_and_facenet_pytorch_work_together():
    """The trap: a CPU-only torch with torchvision's CUDA build fails at its first operator."""
    program = (
        "import torch, torchvision, facenet_pytorch;"
        "boxes = torch.tensor([[0., 0, 2, 2], [0, 0, 2, 2], [5, 5, 6, 6]]);"
        "keep = torchvision.ops.nms(boxes, torch.tensor([.9, .8, .7]), .5);"
        "assert keep.tolist() == [0, 2], keep"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
