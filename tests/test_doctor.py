"""The doctor: each kind of illness is recognised, and its remedy is said."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from facelab import assets, doctor
from facelab.doctor import Finding

STUB = """
__version__ = "2.13.0+cpu"
class version: cuda = {cuda}
class cuda:
    is_available = staticmethod(lambda: False)
def get_num_threads(): return 3
def tensor(x): return x
ones = tensor
"""


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return doctor.examine()


def test_this_environment_is_sound(findings):
    by_name = {finding.name: finding for finding in findings}
    for name in ("python", "packages", "device", "torch stack", "kernel", "mtcnn"):
        assert by_name[name].ok, by_name[name]
    assert set(assets.ASSETS) <= set(by_name)
    assert sys.executable in by_name["python"].detail
    assert "torchvision" in by_name["torch stack"].detail


def test_the_findings_serve_people_and_programs(findings):
    text = doctor.render(findings)
    assert text.count("\n") + 1 == len(findings) + 1 + sum(not f.ok for f in findings)
    rows = json.loads(doctor.render(findings, as_json=True))
    assert [row["name"] for row in rows] == [finding.name for finding in findings]
    assert {row["state"] for row in rows} <= {"ok", "warning", "failed"}


def test_only_what_is_needed_fails():
    good = Finding("a", True, "there")
    bad = Finding("b", False, "missing", "fetch it")
    less = Finding("c", False, "older", "update it", optional=True)
    assert doctor.exit_code([good, less]) == 0
    assert doctor.exit_code([good, bad, less]) == 1
    assert doctor.render([good, bad, less]).splitlines() == [
        "ok       a                  there",
        "failed   b                  missing",
        "                            -> fetch it",
        "warning  c                  older",
        "                            -> update it",
        "3 examined, 1 failed, 1 to be warned of",
    ]


def test_a_python_out_of_range_fails(monkeypatch):
    for version, fits in (((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)):
        monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
        finding = doctor._python()[0]
        assert finding.ok == fits
        assert "Python 3.11 to 3.13" in finding.remedy


def test_an_environment_without_pip_is_told_how_to_get_it(monkeypatch):
    find_spec = doctor.importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name)
    )
    finding = doctor._python()[1]
    assert not finding.ok
    assert "-m ensurepip" in finding.remedy


@pytest.fixture
def versions(monkeypatch) -> dict:
    """What is installed and what facelab requires, to be set by the test."""
    found = {"facelab": "0.1", "a-b": "1.5", "c": "2.0+cu132", "extra": "3.0", "deep": "1"}
    wanted = ["A_b>=1,<2", "c==2.0", 'extra; extra == "test"', 'no; python_version < "3"']
    monkeypatch.setattr(doctor, "_installed", lambda name: found.get(doctor._plain(name)))
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: wanted)
    return found


@pytest.fixture
def lock(tmp_path) -> Path:
    path = tmp_path / doctor.LOCK
    path.write_text(
        "# made by a tool\n--index-url https://example.org/simple\n"
        "a-b==1.5 \\\n    --hash=sha256:00\n    # via facelab\n"
        "c==2.0 ; python_full_version >= '3.11'\nc==1.0 ; python_full_version < '3.11'\n"
        "extra==3.0\ndeep==1\nabsent==1\nhttps://example.org/x.whl\n"
    )
    return path


def test_packages_as_in_the_lock_are_one_line(versions, lock):
    (finding,) = doctor._packages(lock)
    assert finding.ok
    assert finding.detail == f"3 of 3 are as wanted; compared with {lock}"


@pytest.mark.parametrize(
    ("name", "version", "state", "detail"),
    [
        ("a-b", None, "failed", "missing; <2,>=1 wanted"),
        ("a-b", "2.1", "failed", "2.1; <2,>=1 wanted"),
        ("a-b", "1.4", "warning", "1.4; the lock has 1.5"),
        ("c", "2.1", "failed", "2.1; ==2.0 wanted"),
        ("extra", None, "warning", "missing; any version wanted"),
        ("extra", "2.9", "warning", "2.9; the lock has 3.0"),
        ("deep", "2", "warning", "not as in the lock: deep 2 (lock: 1)"),
    ],
)
def test_another_version_is_named(versions, lock, name, version, state, detail):
    versions[name] = version
    (_, finding) = doctor._packages(lock)
    assert (finding.state, finding.detail) == (state, detail)
    assert "pip install" in finding.remedy


def test_without_a_lock_the_ranges_count(versions):
    versions["a-b"] = "1.4"
    (finding,) = doctor._packages(None)
    assert finding.ok
    assert "no requirements.lock" in finding.detail
    versions["facelab"] = None
    (finding,) = doctor._packages(None)
    assert finding.state == "failed"


def stub(monkeypatch, folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize("when", ["import", "call"])
def test_a_torchvision_of_another_build_fails(monkeypatch, tmp_path, when):
    broken = 'raise RuntimeError("operator torchvision::nms does not exist")'
    stub(monkeypatch, tmp_path, torch=STUB.format(cuda=None), torchvision=broken)
    stub(monkeypatch, tmp_path, facenet_pytorch="")
    if when == "call":
        (tmp_path / "torchvision" / "__init__.py").write_text("__version__ = '0.29'")
        (tmp_path / "torchvision" / "ops.py").write_text(f"def nms(*_): {broken}")
    device, stack = doctor._torch()
    assert stack.state == "failed"
    assert "torch 2.13.0+cpu works, but not together" in stack.detail
    assert "operator torchvision::nms does not exist" in stack.detail
    assert "same build" in stack.remedy
    assert device.detail.startswith("CPU, 3 threads")


def test_a_torch_that_does_not_import_fails(monkeypatch, tmp_path):
    stub(monkeypatch, tmp_path, torch='raise OSError("libcudart.so: cannot open")')
    (finding,) = doctor._torch()
    assert finding.state == "failed"
    assert "libcudart.so: cannot open" in finding.detail
    # Not even a crash of the interpreter takes the doctor along.
    (tmp_path / "torch" / "__init__.py").write_text("import os; os._exit(139)")
    (finding,) = doctor._torch()
    assert "code 139" in finding.detail


@pytest.mark.parametrize(("cuda", "word"), [(None, "without CUDA"), ("13.2", "driver")])
def test_a_gpu_that_torch_cannot_use_is_a_warning(monkeypatch, cuda, word):
    torch = {"version": "2", "cuda": cuda, "device": None, "threads": 2}
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    finding = doctor._device(torch)
    assert finding.state == "warning"
    assert word in finding.detail
    assert doctor._device(torch | {"cuda": "13.2", "device": "H, 139 GiB"}).ok
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor._device(torch).ok


def test_absent_assets_name_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "empty"))
    by_name = {finding.name: finding for finding in doctor._assets()}
    assert by_name["mtcnn"].ok
    assert by_name["portraits"].state == "failed"
    assert by_name["portraits"].remedy == "run `facelab assets fetch portraits`"
    assert not (tmp_path / "empty" / "assets" / "portraits").exists()


def test_a_disk_that_is_nearly_full(monkeypatch, tmp_path):
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "not" / "yet"))
    usage = shutil.disk_usage(tmp_path)
    assert all(f.ok == (usage.free >= 2e9) for f in doctor._room())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=500_000_000))
    cache, here = doctor._room()
    assert (cache.state, here.state) == ("failed", "failed")
    assert "0.5 GB free" in cache.detail
    assert cache.remedy.startswith("free 1.5 GB, or let FACELAB_CACHE")


def kernel(folder: Path, program: str) -> None:
    spec = folder / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    argv = [program, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))


def test_a_kernel_of_another_python_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    for program, fits in (
        (sys.executable, True),
        ("python", True),
        (str(Path(sys.executable).with_name("python")), True),
        ("/opt/other/bin/python", False),
    ):
        kernel(tmp_path, program)
        (finding,) = doctor._kernel()
        assert finding.ok == fits, program
    assert "/opt/other/bin/python" in finding.detail
    assert "ipykernel install --sys-prefix" in finding.remedy


def test_no_browser_is_only_a_warning(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (finding,) = doctor._browser()
    assert finding.state == "warning"
    assert "apt install chromium" in finding.remedy
